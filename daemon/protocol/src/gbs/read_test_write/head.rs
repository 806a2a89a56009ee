//! The heads of CBOR items, read from bytes that arrive in any pieces (RFC 8949, section 3).
//!
//! A head is the type of an item and a number: the value of an integer, the length of a string, the
//! count of an array. What follows it is the caller's to read.

use super::super::rejection::Malformed;

/// The head of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// An unsigned integer.
    Unsigned(u64),
    /// A byte string of so many bytes, or in pieces up to a break.
    Bytes(Option<u64>),
    /// A text of so many bytes, or in pieces up to a break.
    Text(Option<u64>),
    /// An array of so many items, or up to a break.
    Array(Option<u64>),
    /// A map of so many entries, or up to a break.
    Map(Option<u64>),
    /// Null.
    Null,
    /// The end of what has no length.
    Break,
}

/// Collects the bytes of one head.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    bytes: [u8; LEN_MAX],
    len: usize,
}

impl HeadReader {
    /// Takes bytes off the front of `input` until a head is whole or `input` is empty.
    ///
    /// # Errors
    ///
    /// [`Malformed::Type`] for a head that has no place in a read-test-write.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Head>, Malformed> {
        while let Some((byte, rest)) = input.split_first() {
            self.bytes[self.len] = *byte;
            self.len += 1;
            *input = rest;
            let first = self.bytes[0];
            if self.len == 1 + argument_len(first)? {
                let head = parse(first, &self.bytes[1..self.len]);
                self.len = 0;
                return head.map(Some);
            }
        }
        Ok(None)
    }
}

/// How many bytes of argument follow the first byte.
fn argument_len(first: u8) -> Result<usize, Malformed> {
    match first & INFORMATION {
        0..=23 | INDEFINITE => Ok(0),
        24 => Ok(1),
        25 => Ok(2),
        26 => Ok(4),
        27 => Ok(8),
        _ => Err(Malformed::Type),
    }
}

fn parse(first: u8, argument: &[u8]) -> Result<Head, Malformed> {
    let information = first & INFORMATION;
    let number = match argument {
        [] => u64::from(information),
        bytes => bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    };
    let length = (information != INDEFINITE).then_some(number);
    match (first >> 5, length) {
        (0, Some(number)) => Ok(Head::Unsigned(number)),
        (2, length) => Ok(Head::Bytes(length)),
        (3, length) => Ok(Head::Text(length)),
        (4, length) => Ok(Head::Array(length)),
        (5, length) => Ok(Head::Map(length)),
        (7, None) => Ok(Head::Break),
        _ if first == NULL => Ok(Head::Null),
        // Negative numbers, tags, floats, other simple values; lengths that these do not have.
        _ => Err(Malformed::Type),
    }
}

/// The first byte and an argument of 64 bits.
const LEN_MAX: usize = 1 + 8;

/// The bits of the first byte that are not the major type.
const INFORMATION: u8 = 0x1f;
const INDEFINITE: u8 = 31;
const NULL: u8 = 0xf6;
