//! What a server sends.

use bytes::Bytes;
use lafs::{ShareNumber, num};

use super::RequestNumber;
use super::fields::{Fields, size_or_none};
use crate::error::Malformed;
use crate::limits::{CHUNK_LEN_MAX, payload};
use crate::output::Output;
use crate::refusal::{self, Farewell, Reason, Refusal};
use crate::varint;

/// A frame from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFrame {
    /// The client is let in. First, exactly once.
    Welcome(Welcome),
    /// The share of a PUT or an upload is on stable storage.
    Stored {
        /// The PUT or OPEN.
        request: RequestNumber,
    },
    /// The share was here before; its lease was renewed.
    AlreadyHere {
        /// The PUT or OPEN.
        request: RequestNumber,
    },
    /// The upload goes on from this offset; its answer is still to come.
    ResumeAt {
        /// The OPEN.
        request: RequestNumber,
        /// The first byte that the server does not have.
        offset: u64,
    },
    /// The share is not stored.
    Refused {
        /// The PUT or OPEN.
        request: RequestNumber,
        /// Why.
        refusal: Refusal,
    },
    /// Bytes of a share.
    Share {
        /// The READ.
        request: RequestNumber,
        /// Which share.
        share_number: ShareNumber,
        /// Where they belong.
        offset: u64,
        /// At least one byte.
        bytes: Bytes,
    },
    /// Ends a READ or LEASE.
    Held {
        /// The READ or LEASE.
        request: RequestNumber,
        /// Why one of the shares could not be read or leased.
        failure: Option<Reason>,
        /// The shares asked for that are held, ascending.
        shares: Vec<HeldShare>,
    },
    /// The connection ends.
    Refuse {
        /// Why, for a program.
        farewell: Farewell,
        /// Why, for a person.
        text: String,
    },
}

/// The payload of WELCOME: what the server is and how much it takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The operator chose to acknowledge before shares would survive a power cut.
    pub relaxed: bool,
    /// No new shares are taken.
    pub read_only: bool,
    /// A DATA may have [`DATA_LEN_MAX`](crate::limits::DATA_LEN_MAX) share bytes.
    pub long_data: bool,
    /// Bytes that are free for shares.
    pub space_free: u64,
    /// The largest share that is taken.
    pub share_size_max: u64,
    /// Uploads that may be open at once on this connection.
    pub uploads_max: u64,
    /// Requests that are worked on at once on this connection; the server reads no further.
    pub requests_max: u64,
}

/// A share that a server holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldShare {
    /// Which one.
    pub share_number: ShareNumber,
    /// Its size, or `None` if it is there but could not be read.
    pub size: Option<u64>,
}

impl ServerFrame {
    const WELCOME: u8 = 0x81;
    const RESULT: u8 = 0x82;
    const SHARE: u8 = 0x83;
    const HELD: u8 = 0x84;
    const REFUSE: u8 = 0x85;

    /// The longest payload that a frame of this type has.
    ///
    /// # Errors
    ///
    /// [`Malformed::FrameType`] if servers send no such frames.
    pub fn payload_len_max(frame_type: u8) -> Result<usize, Malformed> {
        match frame_type {
            Self::WELCOME => Ok(payload::WELCOME),
            Self::RESULT => Ok(payload::RESULT),
            Self::SHARE => Ok(payload::SHARE),
            Self::HELD => Ok(payload::HELD),
            Self::REFUSE => Ok(payload::REFUSE),
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
            Self::WELCOME => Self::Welcome(decode_welcome(&mut fields)?),
            Self::RESULT => return decode_result(fields),
            Self::SHARE => {
                let request = fields.request()?;
                let share_number = fields.share_number()?;
                let offset = fields.size()?;
                let bytes = fields.chunk(offset, CHUNK_LEN_MAX)?;
                return Ok(Self::Share {
                    request,
                    share_number,
                    offset,
                    bytes,
                });
            }
            Self::HELD => Self::Held {
                request: fields.request()?,
                failure: match fields.byte()? {
                    0 => None,
                    code => Some(Reason::from_code(code)),
                },
                shares: decode_held(&mut fields)?,
            },
            Self::REFUSE => {
                let farewell = Farewell::from_code(fields.byte()?);
                let text = refusal::text(&fields.rest())?;
                return Ok(Self::Refuse { farewell, text });
            }
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
            Self::Welcome(welcome) => {
                encode_welcome(welcome, &mut fields);
                Self::WELCOME
            }
            Self::Stored { request } => {
                varint::encode(request.0, &mut fields);
                fields.push(STATUS_STORED);
                Self::RESULT
            }
            Self::AlreadyHere { request } => {
                varint::encode(request.0, &mut fields);
                fields.push(STATUS_ALREADY_HERE);
                Self::RESULT
            }
            Self::ResumeAt { request, offset } => {
                varint::encode(request.0, &mut fields);
                fields.push(STATUS_RESUME_AT);
                varint::encode(*offset, &mut fields);
                Self::RESULT
            }
            Self::Refused { request, refusal } => {
                varint::encode(request.0, &mut fields);
                fields.push(STATUS_REFUSED);
                fields.push(refusal.reason.code());
                fields.extend_from_slice(refusal::cut(&refusal.text).as_bytes());
                Self::RESULT
            }
            Self::Share {
                request,
                share_number,
                offset,
                bytes,
            } => {
                varint::encode(request.0, &mut fields);
                fields.push(share_number.as_u8());
                varint::encode(*offset, &mut fields);
                chunk = bytes;
                Self::SHARE
            }
            Self::Held {
                request,
                failure,
                shares,
            } => {
                varint::encode(request.0, &mut fields);
                fields.push(failure.map_or(0, Reason::code));
                varint::encode(num::size(shares.len()), &mut fields);
                for share in shares {
                    fields.push(share.share_number.as_u8());
                    varint::encode(size_or_none(share.size), &mut fields);
                }
                Self::HELD
            }
            Self::Refuse { farewell, text } => {
                fields.push(farewell.code());
                fields.extend_from_slice(refusal::cut(text).as_bytes());
                Self::REFUSE
            }
        };
        output.frame(frame_type, &fields, chunk);
    }
}

fn decode_welcome(fields: &mut Fields<'_>) -> Result<Welcome, Malformed> {
    let flags = fields.byte()?;
    // The other bits are for a later server to say what else it does: unknown ones are ignored.
    Ok(Welcome {
        relaxed: flags & FLAG_RELAXED != 0,
        read_only: flags & FLAG_READ_ONLY != 0,
        long_data: flags & FLAG_LONG_DATA != 0,
        space_free: fields.varint()?,
        share_size_max: fields.size()?,
        uploads_max: fields.varint()?,
        requests_max: fields.varint()?,
    })
}

fn encode_welcome(welcome: &Welcome, fields: &mut Vec<u8>) {
    let mut flags = 0;
    if welcome.relaxed {
        flags |= FLAG_RELAXED;
    }
    if welcome.read_only {
        flags |= FLAG_READ_ONLY;
    }
    if welcome.long_data {
        flags |= FLAG_LONG_DATA;
    }
    fields.push(flags);
    for number in [
        welcome.space_free.min(varint::MAX),
        welcome.share_size_max,
        welcome.uploads_max,
        welcome.requests_max,
    ] {
        varint::encode(number, fields);
    }
}

fn decode_result(mut fields: Fields<'_>) -> Result<ServerFrame, Malformed> {
    let request = fields.request()?;
    let frame = match fields.byte()? {
        STATUS_STORED => ServerFrame::Stored { request },
        STATUS_ALREADY_HERE => ServerFrame::AlreadyHere { request },
        STATUS_RESUME_AT => ServerFrame::ResumeAt {
            request,
            offset: fields.size()?,
        },
        STATUS_REFUSED => {
            let reason = Reason::from_code(fields.byte()?);
            let text = refusal::text(&fields.rest())?;
            let refusal = Refusal { reason, text };
            return Ok(ServerFrame::Refused { request, refusal });
        }
        value => {
            let field = "RESULT status";
            return Err(Malformed::Code { field, value });
        }
    };
    fields.end()?;
    Ok(frame)
}

fn decode_held(fields: &mut Fields<'_>) -> Result<Vec<HeldShare>, Malformed> {
    let mut shares: Vec<HeldShare> = Vec::new();
    for _ in 0..fields.count(ShareNumber::COUNT)? {
        let share_number = fields.share_number()?;
        if shares
            .last()
            .is_some_and(|last| last.share_number >= share_number)
        {
            return Err(Malformed::ShareNumberOrder);
        }
        let size = fields.size_or_none()?;
        shares.push(HeldShare { share_number, size });
    }
    Ok(shares)
}

const STATUS_STORED: u8 = 0;
const STATUS_ALREADY_HERE: u8 = 1;
const STATUS_RESUME_AT: u8 = 2;
const STATUS_REFUSED: u8 = 3;

const FLAG_RELAXED: u8 = 0x01;
const FLAG_READ_ONLY: u8 = 0x02;
const FLAG_LONG_DATA: u8 = 0x04;
