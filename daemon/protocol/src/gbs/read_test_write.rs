//! Read-test-write: everything that is asked of and done to a slot at once.
//!
//! ```text
//! request  {"test-write-vectors":
//!             {uint: {"test": [{"offset": uint, "size": uint, "specimen": bytes}, ..],
//!                     "write": [{"offset": uint, "data": bytes}, ..],
//!                     "new-length": uint or null}, ..},
//!           "read-vector": [{"offset": uint, "size": uint}, ..]}
//! answer   {"success": bool, "data": {uint: [bytes, ..], ..}}
//! ```
//!
//! A request holds whole shares, so it is never held whole: [`ReadTestWriteDecoder`] takes it in
//! whatever pieces it comes and gives the data of its writes on at once, one write after the other.
//! What remains is a [`ReadTestWrite`], which says of each write where in that stream its data is.

mod decoder;
mod head;
mod string;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod whole;

use bytes::{Bytes, BytesMut};
use lafs::{ShareNumber, num};

pub use self::decoder::ReadTestWriteDecoder;
use super::cbor::{self, Keys, written};
use super::limits::{READS_MAX, SHARES_MAX};
use super::rejection::Malformed;

/// What a read-test-write asks for, without the data of its writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadTestWrite {
    /// What is to be tested and changed, each share once, in the order of the message.
    pub shares: Vec<(ShareNumber, ShareChange)>,
    /// What is to be read of every share of the slot.
    pub reads: Vec<Extent>,
    /// How many bytes the data of all writes has together.
    pub data_size: u64,
}

/// The tests and changes of one share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareChange {
    /// What must hold for any share to be changed.
    pub tests: Vec<Test>,
    /// What is written, in this order.
    pub writes: Vec<Write>,
    /// Zero to delete the share, else where it is cut off if it is longer.
    pub new_length: Option<u64>,
}

/// Bytes of a share, clipped to what there is: neither its beginning nor its end need exist, and
/// offset and size together may be more than 64 bits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The first byte.
    pub offset: u64,
    /// At most so many.
    pub size: u64,
}

/// Passes if the extent, clipped, is exactly the specimen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Test {
    /// What is compared.
    pub extent: Extent,
    /// What it must be.
    pub specimen: Bytes,
}

/// One write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// Where in the share the first byte goes.
    pub offset: u64,
    /// Where its data begins among the data of all writes.
    pub data_offset: u64,
    /// How many bytes are written: may be none. They end within the largest share.
    pub data_size: u64,
}

/// A request that is written: with the data of its writes behind one another.
impl ReadTestWrite {
    /// The body of a request, whose writes take their data from `data`.
    ///
    /// # Panics
    ///
    /// If a write takes data from beyond the end of `data`.
    #[must_use]
    pub fn encode(&self, data: &[u8]) -> Vec<u8> {
        let index = |offset| num::len(offset).expect("the data is in memory");
        written(|writer| {
            writer.map(2)?.str("test-write-vectors")?;
            writer.map(num::size(self.shares.len()))?;
            for (number, change) in &self.shares {
                writer.u8(number.as_u8())?.map(3)?.str("test")?;
                writer.array(num::size(change.tests.len()))?;
                for Test { extent, specimen } in &change.tests {
                    writer.map(3)?.str("offset")?.u64(extent.offset)?;
                    writer.str("size")?.u64(extent.size)?;
                    writer.str("specimen")?.bytes(specimen)?;
                }
                writer.str("write")?.array(num::size(change.writes.len()))?;
                for write in &change.writes {
                    let (start, end) = (write.data_offset, write.data_offset + write.data_size);
                    writer.map(2)?.str("offset")?.u64(write.offset)?;
                    writer.str("data")?.bytes(&data[index(start)..index(end)])?;
                }
                writer.str("new-length")?;
                match change.new_length {
                    Some(length) => writer.u64(length)?,
                    None => writer.null()?,
                };
            }
            writer
                .str("read-vector")?
                .array(num::size(self.reads.len()))?;
            for extent in &self.reads {
                writer.map(2)?.str("offset")?.u64(extent.offset)?;
                writer.str("size")?.u64(extent.size)?;
            }
            Ok(())
        })
    }
}

/// The answer to a read-test-write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadTestWriteAnswer {
    /// Whether all tests passed and everything was written.
    pub success: bool,
    /// Of every share of the slot what each read gave, before anything was written.
    pub data: Vec<(ShareNumber, Vec<Bytes>)>,
}

impl ReadTestWriteAnswer {
    /// The body of the answer, in pieces that belong behind one another: long share bytes are not
    /// copied.
    #[must_use]
    pub fn encode(&self) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let mut tail = BytesMut::new();
        tail.extend_from_slice(&written(|writer| {
            writer.map(2)?.str("success")?.bool(self.success)?;
            writer.str("data")?.map(num::size(self.data.len()))?;
            Ok(())
        }));
        for (number, reads) in &self.data {
            tail.extend_from_slice(&written(|writer| {
                writer.u8(number.as_u8())?.array(num::size(reads.len()))?;
                Ok(())
            }));
            for bytes in reads {
                tail.extend_from_slice(&written(|writer| {
                    writer.bytes_len(num::size(bytes.len()))?;
                    Ok(())
                }));
                if bytes.len() < COPY_LEN_MAX {
                    tail.extend_from_slice(bytes);
                } else {
                    pieces.extend([tail.split().freeze(), bytes.clone()]);
                }
            }
        }
        if !tail.is_empty() {
            pieces.push(tail.freeze());
        }
        pieces
    }

    /// Reads the body of an answer.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut answer = Self::default();
        let decoder = &mut minicbor::Decoder::new(body);
        cbor::fields(
            decoder,
            Keys::Text,
            &["success", "data"],
            |decoder, index| {
                if index == 0 {
                    answer.success = decoder.bool()?;
                    return Ok(());
                }
                cbor::entries(decoder, (SHARES_MAX, Malformed::Shares), |decoder| {
                    let number = cbor::share_number(decoder)?;
                    if answer.data.iter().any(|(other, _)| *other == number) {
                        return Err(Malformed::RepeatedKey);
                    }
                    let mut reads = Vec::new();
                    cbor::items(decoder, (READS_MAX, Malformed::Reads), |decoder| {
                        reads.push(cbor::bytes(decoder)?.into());
                        Ok(())
                    })?;
                    answer.data.push((number, reads));
                    Ok(())
                })
            },
        )?;
        Ok(answer)
    }
}

/// Reads below this are copied behind what precedes them: cheaper than a piece of their own.
const COPY_LEN_MAX: usize = 4096;

#[cfg(test)]
mod tests;
