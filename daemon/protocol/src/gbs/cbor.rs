//! Reading and writing the CBOR of messages (RFC 8949), over minicbor's decoder and encoder.
//!
//! Read is what Tahoe takes: definite and indefinite lengths, integers in any length, keys in any
//! order, and whatever follows the message. Refused are unknown, missing and repeated keys and
//! every value of another type than its place has. A count is never believed: nothing is allocated
//! before its bytes are there. No value is skipped, so that nothing nests deeper than a message.

use std::convert::Infallible;

use lafs::{ShareNumber, num};
use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder, decode, encode};

use super::limits::SHARES_MAX;
use super::rejection::Malformed;

pub(super) type Writer = Encoder<Vec<u8>>;
pub(super) type WriteError = encode::Error<Infallible>;

impl From<decode::Error> for Malformed {
    fn from(error: decode::Error) -> Self {
        match error.is_end_of_input() {
            true => Self::Truncated,
            false => Self::Type,
        }
    }
}

/// Writes a message into new memory.
pub(super) fn written(write: impl FnOnce(&mut Writer) -> Result<(), WriteError>) -> Vec<u8> {
    let mut writer = Encoder::new(Vec::new());
    write(&mut writer).expect("memory takes whatever is written");
    writer.into_writer()
}

/// Writes a set of share numbers as Tahoe does.
pub(super) fn write_share_set(
    writer: &mut Writer,
    share_numbers: &[ShareNumber],
) -> Result<(), WriteError> {
    writer.tag(SET)?.array(num::size(share_numbers.len()))?;
    for number in share_numbers {
        writer.u8(number.as_u8())?;
    }
    Ok(())
}

/// Reads a set of share numbers: ascending, each once, however often it is there.
pub(super) fn share_set(decoder: &mut Decoder<'_>) -> Result<Vec<ShareNumber>, Malformed> {
    if decoder.tag()? != SET {
        return Err(Malformed::Type);
    }
    let mut share_numbers = Vec::new();
    items(decoder, (SHARES_MAX, Malformed::Shares), |decoder| {
        share_numbers.push(share_number(decoder)?);
        Ok(())
    })?;
    share_numbers.sort_unstable();
    share_numbers.dedup();
    Ok(share_numbers)
}

/// Reads a share number.
pub(super) fn share_number(decoder: &mut Decoder<'_>) -> Result<ShareNumber, Malformed> {
    match u8::try_from(decoder.u64()?) {
        Ok(number) => Ok(ShareNumber::new(number)),
        Err(_) => Err(Malformed::ShareNumber),
    }
}

/// What the keys of a map with named fields are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// Text: every message but one.
    Text,
    /// Byte strings: the version answer.
    Bytes,
}

/// Reads a map that has each of the keys in `names` once and no other.
///
/// `field` reads the value of a key, which it is told by its index.
pub(super) fn fields<'b>(
    decoder: &mut Decoder<'b>,
    keys: Keys,
    names: &[&str],
    mut field: impl FnMut(&mut Decoder<'b>, usize) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut left = decoder.map()?;
    let mut seen = 0_u8;
    while another(decoder, &mut left)? {
        let index = key(decoder, keys, names)?;
        if seen & 1 << index != 0 {
            return Err(Malformed::RepeatedKey);
        }
        seen |= 1 << index;
        field(decoder, index)?;
    }
    match seen.count_ones() == u32::try_from(names.len()).expect("a map has few fields") {
        true => Ok(()),
        false => Err(Malformed::MissingKey),
    }
}

/// Reads an array of at most so many items.
pub(super) fn items<'b>(
    decoder: &mut Decoder<'b>,
    bound: (usize, Malformed),
    item: impl FnMut(&mut Decoder<'b>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let left = decoder.array()?;
    counted(decoder, left, bound, item)
}

/// Reads a map of at most so many entries, whose keys are values: `entry` reads both.
pub(super) fn entries<'b>(
    decoder: &mut Decoder<'b>,
    bound: (usize, Malformed),
    entry: impl FnMut(&mut Decoder<'b>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let left = decoder.map()?;
    counted(decoder, left, bound, entry)
}

fn counted<'b>(
    decoder: &mut Decoder<'b>,
    mut left: Option<u64>,
    (count_max, too_many): (usize, Malformed),
    mut item: impl FnMut(&mut Decoder<'b>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if left.is_some_and(|count| count > num::size(count_max)) {
        return Err(too_many);
    }
    let mut count = 0;
    while another(decoder, &mut left)? {
        if count == count_max {
            return Err(too_many);
        }
        count += 1;
        item(decoder)?;
    }
    Ok(())
}

/// Reads a byte string that may come in pieces.
pub(super) fn bytes(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    for piece in decoder.bytes_iter()? {
        bytes.extend_from_slice(piece?);
    }
    Ok(bytes)
}

/// Reads a text that may come in pieces.
pub(super) fn text(decoder: &mut Decoder<'_>) -> Result<String, Malformed> {
    let mut text = String::new();
    for piece in decoder.str_iter()? {
        text.push_str(piece?);
    }
    Ok(text)
}

/// Whether the array or map that is open has another item; takes what ends it.
fn another(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, Malformed> {
    match left {
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
        None if decoder.datatype()? == Type::Break => {
            decoder.set_position(decoder.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}

/// Reads a key and returns which of `names` it is.
fn key(decoder: &mut Decoder<'_>, keys: Keys, names: &[&str]) -> Result<usize, Malformed> {
    let key = match keys {
        Keys::Text => text(decoder)?.into_bytes(),
        Keys::Bytes => bytes(decoder)?,
    };
    names
        .iter()
        .position(|name| name.as_bytes() == key)
        .ok_or(Malformed::UnknownKey)
}

/// Marks an array as a set (IANA CBOR tags: 258, mathematical finite set).
const SET: Tag = Tag::new(258);
