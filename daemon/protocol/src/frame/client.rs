//! What a client sends.

use bytes::Bytes;
use lafs::{ConnectionSecret, ShareNumber, StorageIndex, Swissnum, num};

use super::RequestNumber;
use super::fields::{Fields, size_or_none};
use crate::error::Malformed;
use crate::limits::{CHUNK_LEN_MAX, DATA_LEN_MAX, READ_RANGES_MAX, payload};
use crate::output::Output;
use crate::range::{ByteRange, ReadRequest, ReadRequestError};
use crate::varint;

/// A frame from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// Who the client is, and that it may come in. First, exactly once.
    Hello(Hello),
    /// A whole share: allocate, write, close.
    Put {
        /// The bucket.
        storage_index: StorageIndex,
        /// Which share of it.
        share_number: ShareNumber,
        /// The share, 1 to 65 536 bytes.
        share: Bytes,
    },
    /// Begins the upload of a share; DATA and CLOSE follow.
    Open {
        /// The bucket.
        storage_index: StorageIndex,
        /// Which share of it.
        share_number: ShareNumber,
        /// Go on where an earlier connection left off.
        resume: bool,
        /// The size of the share where it is known.
        size: Option<u64>,
    },
    /// The next bytes of an upload.
    Data {
        /// The upload's OPEN.
        request: RequestNumber,
        /// Where they belong.
        offset: u64,
        /// At least one byte; how many at most, WELCOME says.
        bytes: Bytes,
    },
    /// Ends an upload.
    Close {
        /// The upload's OPEN.
        request: RequestNumber,
        /// The size of the share.
        size: u64,
    },
    /// Gives an upload up.
    Abort {
        /// The upload's OPEN.
        request: RequestNumber,
    },
    /// Asks for shares, or which are held.
    Read(ReadRequest),
    /// Adds or renews this client's lease on every share held.
    Lease {
        /// The bucket.
        storage_index: StorageIndex,
    },
}

/// The payload of HELLO. The swissnum is what was presented, which may not be one.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// The client's secret at this server.
    pub secret: ConnectionSecret,
    /// What it presents to be let in, 1 to 128 bytes.
    pub swissnum: Bytes,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hello(..)")
    }
}

impl ClientFrame {
    /// Type of HELLO, the one frame that may come first.
    pub const HELLO: u8 = 0x01;
    const PUT: u8 = 0x02;
    const OPEN: u8 = 0x03;
    const DATA: u8 = 0x04;
    const CLOSE: u8 = 0x05;
    const ABORT: u8 = 0x06;
    const READ: u8 = 0x07;
    const LEASE: u8 = 0x08;

    /// The longest payload that a frame of this type has.
    ///
    /// # Errors
    ///
    /// [`Malformed::FrameType`] if clients send no such frames.
    pub fn payload_len_max(frame_type: u8) -> Result<usize, Malformed> {
        match frame_type {
            Self::HELLO => Ok(payload::HELLO),
            Self::PUT => Ok(payload::PUT),
            Self::OPEN => Ok(payload::OPEN),
            Self::DATA => Ok(payload::DATA),
            Self::CLOSE => Ok(payload::CLOSE),
            Self::ABORT => Ok(payload::ABORT),
            Self::READ => Ok(payload::READ),
            Self::LEASE => Ok(payload::LEASE),
            _ => Err(Malformed::FrameType(frame_type)),
        }
    }

    /// Reads the payload of a frame.
    ///
    /// # Errors
    ///
    /// The rule that the payload breaks.
    pub fn decode(frame_type: u8, payload: &Bytes) -> Result<Self, Malformed> {
        let mut fields = Fields::new(payload);
        let frame = match frame_type {
            Self::HELLO => {
                let secret = ConnectionSecret::new(fields.array()?);
                let swissnum = fields.rest();
                if !(1..=Swissnum::LEN_MAX).contains(&swissnum.len()) {
                    return Err(Malformed::SwissnumLen);
                }
                return Ok(Self::Hello(Hello { secret, swissnum }));
            }
            Self::PUT => {
                let storage_index = fields.storage_index()?;
                let share_number = fields.share_number()?;
                let share = fields.chunk(0, CHUNK_LEN_MAX)?;
                return Ok(Self::Put {
                    storage_index,
                    share_number,
                    share,
                });
            }
            Self::DATA => {
                let request = fields.request()?;
                let offset = fields.size()?;
                let bytes = fields.chunk(offset, DATA_LEN_MAX)?;
                return Ok(Self::Data {
                    request,
                    offset,
                    bytes,
                });
            }
            Self::OPEN => Self::Open {
                storage_index: fields.storage_index()?,
                share_number: fields.share_number()?,
                resume: decode_flags(fields.byte()?)?,
                size: fields.size_or_none()?,
            },
            Self::CLOSE => Self::Close {
                request: fields.request()?,
                size: fields.size()?,
            },
            Self::ABORT => Self::Abort {
                request: fields.request()?,
            },
            Self::READ => Self::Read(decode_read(&mut fields)?),
            Self::LEASE => Self::Lease {
                storage_index: fields.storage_index()?,
            },
            _ => return Err(Malformed::FrameType(frame_type)),
        };
        fields.end()?;
        Ok(frame)
    }

    /// Appends the frame to `output`.
    pub fn encode(&self, output: &mut Output) {
        let mut fields = Vec::new();
        let mut chunk = &Bytes::new();
        let frame_type = match self {
            Self::Hello(hello) => {
                fields.extend_from_slice(hello.secret.as_bytes());
                chunk = &hello.swissnum;
                Self::HELLO
            }
            Self::Put {
                storage_index,
                share_number,
                share,
            } => {
                fields.extend_from_slice(storage_index.as_bytes());
                fields.push(share_number.as_u8());
                chunk = share;
                Self::PUT
            }
            Self::Open {
                storage_index,
                share_number,
                resume,
                size,
            } => {
                fields.extend_from_slice(storage_index.as_bytes());
                fields.push(share_number.as_u8());
                fields.push(if *resume { FLAG_RESUME } else { 0 });
                varint::encode(size_or_none(*size), &mut fields);
                Self::OPEN
            }
            Self::Data {
                request,
                offset,
                bytes,
            } => {
                varint::encode(request.0, &mut fields);
                varint::encode(*offset, &mut fields);
                chunk = bytes;
                Self::DATA
            }
            Self::Close { request, size } => {
                varint::encode(request.0, &mut fields);
                varint::encode(*size, &mut fields);
                Self::CLOSE
            }
            Self::Abort { request } => {
                varint::encode(request.0, &mut fields);
                Self::ABORT
            }
            Self::Read(read) => {
                encode_read(read, &mut fields);
                Self::READ
            }
            Self::Lease { storage_index } => {
                fields.extend_from_slice(storage_index.as_bytes());
                Self::LEASE
            }
        };
        output.frame(frame_type, &fields, chunk);
    }
}

fn decode_flags(flags: u8) -> Result<bool, Malformed> {
    match flags {
        0 => Ok(false),
        FLAG_RESUME => Ok(true),
        value => Err(Malformed::Code {
            field: "OPEN flags",
            value,
        }),
    }
}

fn decode_read(fields: &mut Fields<'_>) -> Result<ReadRequest, Malformed> {
    let storage_index = fields.storage_index()?;
    let limit = fields.count(ShareNumber::COUNT)?;
    let mut share_numbers = Vec::new();
    for _ in 0..fields.count(ShareNumber::COUNT)? {
        share_numbers.push(fields.share_number()?);
    }
    let mut ranges = Vec::new();
    for _ in 0..fields.count(READ_RANGES_MAX)? {
        let (offset, size) = (fields.varint()?, fields.varint()?);
        if size == 0 {
            return Err(Malformed::RangeOrder);
        }
        ranges.push(ByteRange::new(offset, size).ok_or(Malformed::PastEnd)?);
    }
    let limit = u16::try_from(limit).expect("a count of at most 256");
    ReadRequest::new(storage_index, limit, share_numbers, ranges).map_err(|error| match error {
        ReadRequestError::Limit | ReadRequestError::RangeCount => Malformed::Count {
            count: 0,
            count_max: ShareNumber::COUNT,
        },
        ReadRequestError::ShareNumberOrder => Malformed::ShareNumberOrder,
        ReadRequestError::RangeOrder => Malformed::RangeOrder,
    })
}

fn encode_read(read: &ReadRequest, fields: &mut Vec<u8>) {
    fields.extend_from_slice(read.storage_index().as_bytes());
    varint::encode(u64::from(read.limit()), fields);
    varint::encode(num::size(read.share_numbers().len()), fields);
    fields.extend(read.share_numbers().iter().map(|number| number.as_u8()));
    varint::encode(num::size(read.ranges().len()), fields);
    for range in read.ranges() {
        varint::encode(range.offset(), fields);
        varint::encode(range.size(), fields);
    }
}

/// OPEN: go on where an earlier connection left off. The other bits are zero.
const FLAG_RESUME: u8 = 0x01;
