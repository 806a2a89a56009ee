//! The strings of CBOR, read from bytes that arrive in any pieces.

use lafs::num;

use super::super::rejection::Malformed;
use super::head::{Head, HeadReader};

/// Reads what is in a string: in one piece of known length, or in several up to a break.
#[derive(Clone, Copy, Debug)]
pub(super) struct StringReader {
    kind: Kind,
    /// What is left of the piece.
    left: u64,
    /// Whether another piece or a break follows it.
    in_pieces: bool,
}

/// Of which type a string and its pieces are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bytes,
    Text,
}

/// How far the reading of a string has come.
pub(super) enum Progress<'a> {
    /// The next bytes of the string.
    Bytes(&'a [u8]),
    /// The input is used up.
    Pending,
    /// The string is whole.
    End,
}

impl StringReader {
    pub(super) fn new(kind: Kind, length: Option<u64>) -> Self {
        Self {
            kind,
            left: length.unwrap_or(0),
            in_pieces: length.is_none(),
        }
    }

    /// Takes bytes off the front of `input` up to the end of a piece, or of `input`.
    ///
    /// # Errors
    ///
    /// [`Malformed::Type`] for a piece of another type, or one that is in pieces itself.
    pub(super) fn read<'a>(
        &mut self,
        head: &mut HeadReader,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a>, Malformed> {
        loop {
            if self.left > 0 {
                if input.is_empty() {
                    return Ok(Progress::Pending);
                }
                let len = num::len(self.left).map_or(input.len(), |left| left.min(input.len()));
                let (bytes, rest) = input.split_at(len);
                *input = rest;
                self.left -= num::size(len);
                return Ok(Progress::Bytes(bytes));
            }
            if !self.in_pieces {
                return Ok(Progress::End);
            }
            match (head.read(input)?, self.kind) {
                (None, _) => return Ok(Progress::Pending),
                (Some(Head::Break), _) => self.in_pieces = false,
                (Some(Head::Bytes(Some(length))), Kind::Bytes)
                | (Some(Head::Text(Some(length))), Kind::Text) => self.left = length,
                _ => return Err(Malformed::Type),
            }
        }
    }
}

/// A key, as far as it has arrived.
#[derive(Debug, Default)]
pub(super) struct KeyBuffer {
    bytes: [u8; KEY_LEN_MAX],
    len: usize,
}

impl KeyBuffer {
    /// Appends the next bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed::UnknownKey`] once it is longer than any key that there is.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let end = self.len + bytes.len();
        let place = self.bytes.get_mut(self.len..end);
        place.ok_or(Malformed::UnknownKey)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The longest key.
const KEY_LEN_MAX: usize = "test-write-vectors".len();
