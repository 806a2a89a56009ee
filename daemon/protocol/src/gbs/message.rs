//! The small messages: what is asked and answered in CBOR, but for read-test-write.
//!
//! ```text
//! POST allocate     {"share-numbers": set, "allocated-size": uint}
//!   answer          {"already-have": set, "allocated": set}
//! PATCH answer      {"required": [{"begin": uint, "end": uint}, ..]}
//! GET shares answer set
//! POST corrupt      {"reason": text}
//! GET version answer, with keys of bytes
//!   {'http://allmydata.org/tahoe/protocols/storage/v1':
//!      {'maximum-immutable-share-size': uint, 'maximum-mutable-share-size': uint,
//!       'available-space': uint},
//!    'application-version': bytes}
//! ```
//!
//! `set` is an array of share numbers under tag 258. Each is written as Tahoe writes it, byte for
//! byte but for the order within sets, and nothing is added: Tahoe's client refuses an answer with
//! a key that it does not know. Both ends are here; a server that is read by another client than
//! Tahoe's must not be believed either.

use lafs::{ShareNumber, num};
use minicbor::Decoder;

use super::cbor::{self, Keys, written};
use super::limits::{ADVISORY_LEN_MAX, ALLOCATE_LEN_MAX, MUTABLE_SHARE_SIZE_MAX, REASON_LEN_MAX};
use super::rejection::{Malformed, Rejection};

/// What an allocate asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocateRequest {
    /// The shares to be uploaded, ascending, each once; may be none.
    pub share_numbers: Vec<ShareNumber>,
    /// The size of each: at least 1, and nothing else is known of it.
    pub allocated_size: u64,
}

impl AllocateRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// [`Rejection::BodyTooLong`], or the rule of the message that it breaks.
    pub fn decode(body: &[u8]) -> Result<Self, Rejection> {
        check_len(body, ALLOCATE_LEN_MAX)?;
        let (mut share_numbers, mut allocated_size) = (Vec::new(), 0);
        let names = ["share-numbers", "allocated-size"];
        cbor::fields(
            &mut Decoder::new(body),
            Keys::Text,
            &names,
            |decoder, index| {
                match index {
                    0 => share_numbers = cbor::share_set(decoder)?,
                    _ => allocated_size = decoder.u64()?,
                }
                Ok(())
            },
        )?;
        if allocated_size == 0 {
            return Err(Malformed::EmptyShare.into());
        }
        Ok(Self {
            share_numbers,
            allocated_size,
        })
    }

    /// The body of a request.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        written(|writer| {
            writer.map(2)?.str("share-numbers")?;
            cbor::write_share_set(writer, &self.share_numbers)?;
            writer.str("allocated-size")?.u64(self.allocated_size)?;
            Ok(())
        })
    }
}

/// The answer to an allocate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocateAnswer {
    /// Every finished share that is held, asked for or not.
    pub already_have: Vec<ShareNumber>,
    /// The shares whose uploads have begun now.
    pub allocated: Vec<ShareNumber>,
}

impl AllocateAnswer {
    /// The body of the answer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        written(|writer| {
            writer.map(2)?.str("already-have")?;
            cbor::write_share_set(writer, &self.already_have)?;
            writer.str("allocated")?;
            cbor::write_share_set(writer, &self.allocated)
        })
    }

    /// Reads the body of an answer.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut answer = Self::default();
        let names = ["already-have", "allocated"];
        cbor::fields(
            &mut Decoder::new(body),
            Keys::Text,
            &names,
            |decoder, index| {
                let set = cbor::share_set(decoder)?;
                match index {
                    0 => answer.already_have = set,
                    _ => answer.allocated = set,
                }
                Ok(())
            },
        )?;
        Ok(answer)
    }
}

/// The answer to a write, with 200 while bytes are missing and 201 when the share is finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredAnswer {
    /// What is missing: begin and end, half-open, ascending.
    pub required: Vec<(u64, u64)>,
}

impl RequiredAnswer {
    /// The body of the answer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        written(|writer| {
            writer.map(1)?.str("required")?;
            writer.array(num::size(self.required.len()))?;
            for (begin, end) in &self.required {
                writer.map(2)?.str("begin")?.u64(*begin)?;
                writer.str("end")?.u64(*end)?;
            }
            Ok(())
        })
    }

    /// Reads the body of an answer.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut required = Vec::new();
        cbor::fields(
            &mut Decoder::new(body),
            Keys::Text,
            &["required"],
            |decoder, _| {
                // Bounded by the body itself.
                cbor::items(decoder, (usize::MAX, Malformed::Type), |decoder| {
                    let (mut begin, mut end) = (0, 0);
                    cbor::fields(decoder, Keys::Text, &["begin", "end"], |decoder, index| {
                        match index {
                            0 => begin = decoder.u64()?,
                            _ => end = decoder.u64()?,
                        }
                        Ok(())
                    })?;
                    required.push((begin, end));
                    Ok(())
                })
            },
        )?;
        Ok(Self { required })
    }
}

/// The answer that lists shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharesAnswer {
    /// The finished shares that are held.
    pub share_numbers: Vec<ShareNumber>,
}

impl SharesAnswer {
    /// The body of the answer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        written(|writer| cbor::write_share_set(writer, &self.share_numbers))
    }

    /// Reads the body of an answer.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let share_numbers = cbor::share_set(&mut Decoder::new(body))?;
        Ok(Self { share_numbers })
    }
}

/// A client's word that a share is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory {
    reason: String,
}

impl Advisory {
    /// Makes an advisory; `None` if the reason is empty or longer than [`REASON_LEN_MAX`].
    #[must_use]
    pub fn new(reason: String) -> Option<Self> {
        (1..=REASON_LEN_MAX)
            .contains(&reason.len())
            .then_some(Self { reason })
    }

    /// What the client found; from a peer: print it escaped.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// [`Rejection::BodyTooLong`], or the rule of the message that it breaks.
    pub fn decode(body: &[u8]) -> Result<Self, Rejection> {
        check_len(body, ADVISORY_LEN_MAX)?;
        let mut reason = String::new();
        cbor::fields(
            &mut Decoder::new(body),
            Keys::Text,
            &["reason"],
            |decoder, _| {
                reason = cbor::text(decoder)?;
                Ok(())
            },
        )?;
        Self::new(reason).ok_or(Malformed::Reason.into())
    }

    /// The body of a request.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        written(|writer| {
            writer.map(1)?.str("reason")?.str(&self.reason)?;
            Ok(())
        })
    }
}

/// The answer that says what the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionAnswer {
    /// The largest immutable share that it takes now; Tahoe's client uploads nothing to a server
    /// where it is smaller than the share.
    pub immutable_share_size_max: u64,
    /// The largest mutable share that can be.
    pub mutable_share_size_max: u64,
    /// Bytes that are free for shares.
    pub available_space: u64,
    /// The program and its version.
    pub application_version: Vec<u8>,
}

impl VersionAnswer {
    /// The answer of a server that has so much space; 0 where it takes no new shares.
    #[must_use]
    pub fn new(available_space: u64, application_version: &str) -> Self {
        Self {
            immutable_share_size_max: available_space,
            mutable_share_size_max: MUTABLE_SHARE_SIZE_MAX,
            available_space,
            application_version: application_version.as_bytes().to_vec(),
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let [immutable, mutable, space] = SIZE_KEYS.map(str::as_bytes);
        let [protocol, application] = VERSION_KEYS.map(str::as_bytes);
        written(|writer| {
            writer.map(2)?.bytes(protocol)?.map(3)?;
            writer
                .bytes(immutable)?
                .u64(self.immutable_share_size_max)?;
            writer.bytes(mutable)?.u64(self.mutable_share_size_max)?;
            writer.bytes(space)?.u64(self.available_space)?;
            writer
                .bytes(application)?
                .bytes(&self.application_version)?;
            Ok(())
        })
    }

    /// Reads the body of an answer.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut sizes = [0; 3];
        let mut application_version = Vec::new();
        let decoder = &mut Decoder::new(body);
        cbor::fields(decoder, Keys::Bytes, &VERSION_KEYS, |decoder, index| {
            match index {
                0 => cbor::fields(decoder, Keys::Bytes, &SIZE_KEYS, |decoder, index| {
                    sizes[index] = decoder.u64()?;
                    Ok(())
                })?,
                _ => application_version = cbor::bytes(decoder)?,
            }
            Ok(())
        })?;
        let [
            immutable_share_size_max,
            mutable_share_size_max,
            available_space,
        ] = sizes;
        Ok(Self {
            immutable_share_size_max,
            mutable_share_size_max,
            available_space,
            application_version,
        })
    }
}

fn check_len(body: &[u8], len_max: usize) -> Result<(), Rejection> {
    match body.len() <= len_max {
        true => Ok(()),
        false => Err(Rejection::BodyTooLong {
            size_max: num::size(len_max),
        }),
    }
}

const VERSION_KEYS: [&str; 2] = [
    "http://allmydata.org/tahoe/protocols/storage/v1",
    "application-version",
];

const SIZE_KEYS: [&str; 3] = [
    "maximum-immutable-share-size",
    "maximum-mutable-share-size",
    "available-space",
];

#[cfg(test)]
mod tests;
