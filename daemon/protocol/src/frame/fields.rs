//! Takes the fields of a payload, front to back, and puts them.

use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, num};

use super::RequestNumber;
use crate::error::Malformed;
use crate::limits::SHARE_SIZE_MAX;
use crate::varint;

/// What is left of a payload. Every method takes from the front or fails.
pub(super) struct Fields<'a> {
    payload: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(payload: &'a Bytes) -> Self {
        Self {
            payload,
            rest: payload,
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        varint::take(&mut self.rest)
    }

    pub(super) fn request(&mut self) -> Result<RequestNumber, Malformed> {
        self.varint().map(RequestNumber)
    }

    pub(super) fn storage_index(&mut self) -> Result<StorageIndex, Malformed> {
        self.array().map(StorageIndex::new)
    }

    pub(super) fn share_number(&mut self) -> Result<ShareNumber, Malformed> {
        self.byte().map(ShareNumber::new)
    }

    /// A size or offset in a share.
    pub(super) fn size(&mut self) -> Result<u64, Malformed> {
        match self.varint()? {
            size if size <= SHARE_SIZE_MAX => Ok(size),
            _ => Err(Malformed::PastEnd),
        }
    }

    /// A size that may be absent: 0 for none, else one more than it.
    pub(super) fn size_or_none(&mut self) -> Result<Option<u64>, Malformed> {
        match self.varint()?.checked_sub(1) {
            Some(size) if size > SHARE_SIZE_MAX => Err(Malformed::PastEnd),
            size => Ok(size),
        }
    }

    /// How many of something follow; no memory may be taken for them before this has passed.
    pub(super) fn count(&mut self, count_max: usize) -> Result<usize, Malformed> {
        let count = self.varint()?;
        match num::len(count) {
            Some(len) if len <= count_max => Ok(len),
            _ => Err(Malformed::Count { count, count_max }),
        }
    }

    /// The rest of the payload, uncopied.
    pub(super) fn rest(self) -> Bytes {
        self.payload.slice(self.payload.len() - self.rest.len()..)
    }

    /// The rest of the payload as share bytes from `offset` on, so many at most.
    pub(super) fn chunk(self, offset: u64, len_max: usize) -> Result<Bytes, Malformed> {
        let chunk = self.rest();
        if chunk.is_empty() {
            return Err(Malformed::Empty);
        }
        if chunk.len() > len_max {
            return Err(Malformed::TrailingBytes);
        }
        if offset + num::size(chunk.len()) > SHARE_SIZE_MAX {
            return Err(Malformed::PastEnd);
        }
        Ok(chunk)
    }

    /// Refuses anything that is left.
    pub(super) fn end(self) -> Result<(), Malformed> {
        match self.rest {
            [] => Ok(()),
            _ => Err(Malformed::TrailingBytes),
        }
    }
}

/// The spelling of a size that may be absent.
pub(super) fn size_or_none(size: Option<u64>) -> u64 {
    size.map_or(0, |size| size + 1)
}
