//! What a READ asks for: a bucket, which of its shares, and which bytes of each.
//!
//! Always holds: share numbers ascend, ranges ascend and do not overlap, so that no byte is asked
//! for twice and an answer is never larger than what the server holds.

use lafs::{ShareNumber, StorageIndex};

use crate::limits::{READ_RANGES_MAX, SHARE_SIZE_MAX};

/// A READ: what is asked of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    storage_index: StorageIndex,
    limit: u16,
    share_numbers: Vec<ShareNumber>,
    ranges: Vec<ByteRange>,
}

impl ReadRequest {
    /// Asks for `ranges` of at most `limit` of the shares in `share_numbers`, or of any shares if
    /// `share_numbers` is empty.
    ///
    /// # Errors
    ///
    /// [`ReadRequestError`] if a rule of this module is broken.
    pub fn new(
        storage_index: StorageIndex,
        limit: u16,
        share_numbers: Vec<ShareNumber>,
        ranges: Vec<ByteRange>,
    ) -> Result<Self, ReadRequestError> {
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(ReadRequestError::Limit);
        }
        if !share_numbers.is_sorted_by(|one, next| one < next) {
            return Err(ReadRequestError::ShareNumberOrder);
        }
        if ranges.len() > READ_RANGES_MAX {
            return Err(ReadRequestError::RangeCount);
        }
        if !ranges.is_sorted_by(|one, next| one.end() <= next.offset()) {
            return Err(ReadRequestError::RangeOrder);
        }
        Ok(Self {
            storage_index,
            limit,
            share_numbers,
            ranges,
        })
    }

    /// Asks which shares are held, and their sizes, and for none of their bytes.
    #[must_use]
    pub fn held(storage_index: StorageIndex) -> Self {
        Self {
            storage_index,
            limit: 1,
            share_numbers: Vec::new(),
            ranges: Vec::new(),
        }
    }

    /// Asks for all bytes of at most `limit` shares, whichever are held.
    ///
    /// # Errors
    ///
    /// [`ReadRequestError::Limit`] if `limit` is 0 or more than 256.
    pub fn whole(storage_index: StorageIndex, limit: u16) -> Result<Self, ReadRequestError> {
        Self::new(storage_index, limit, Vec::new(), vec![ByteRange::WHOLE])
    }

    /// The bucket.
    #[must_use]
    pub fn storage_index(&self) -> StorageIndex {
        self.storage_index
    }

    /// Bytes of at most so many shares are wanted: 1 to 256.
    #[must_use]
    pub fn limit(&self) -> u16 {
        self.limit
    }

    /// The shares that are wanted, ascending; empty for any.
    #[must_use]
    pub fn share_numbers(&self) -> &[ShareNumber] {
        &self.share_numbers
    }

    /// The bytes that are wanted of each share, ascending and apart; empty to ask what is held.
    #[must_use]
    pub fn ranges(&self) -> &[ByteRange] {
        &self.ranges
    }

    /// Whether this share is one of those wanted.
    #[must_use]
    pub fn wants(&self, share_number: ShareNumber) -> bool {
        self.share_numbers.is_empty() || self.share_numbers.binary_search(&share_number).is_ok()
    }
}

/// At least one byte of a share, from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    offset: u64,
    size: u64,
}

impl ByteRange {
    /// Every byte that a share can have.
    pub const WHOLE: Self = Self {
        offset: 0,
        size: SHARE_SIZE_MAX,
    };

    /// The range of `size` bytes from `offset` on; `None` if it is empty or ends beyond the largest
    /// share.
    #[must_use]
    pub fn new(offset: u64, size: u64) -> Option<Self> {
        let end = offset.checked_add(size)?;
        (size > 0 && end <= SHARE_SIZE_MAX).then_some(Self { offset, size })
    }

    /// Its first byte.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes it has: at least 1.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The first byte beyond it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.size
    }
}

/// What is asked for cannot be asked in one READ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRequestError {
    /// The limit is 0 or more than there are share numbers.
    #[error("a read asks for 1 to 256 shares")]
    Limit,
    /// Share numbers that do not ascend.
    #[error("the share numbers of a read ascend")]
    ShareNumberOrder,
    /// More ranges than a READ holds.
    #[error("a read has at most {READ_RANGES_MAX} ranges")]
    RangeCount,
    /// Ranges that overlap or do not ascend.
    #[error("the ranges of a read ascend and do not overlap")]
    RangeOrder,
}

/// As many shares as there are share numbers.
const LIMIT_MAX: u16 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: StorageIndex = StorageIndex::new([1; 16]);

    fn range(offset: u64, size: u64) -> ByteRange {
        ByteRange::new(offset, size).unwrap()
    }

    #[test]
    fn a_range_has_at_least_one_byte_and_ends_with_the_largest_share() {
        assert_eq!(ByteRange::new(5, 0), None);
        assert_eq!(ByteRange::new(1, SHARE_SIZE_MAX), None);
        assert_eq!(ByteRange::new(u64::MAX, 2), None);
        assert_eq!(ByteRange::new(0, SHARE_SIZE_MAX), Some(ByteRange::WHOLE));
    }

    #[test]
    fn each_rule_of_a_read_is_kept() {
        let numbers = |numbers: &[u8]| numbers.iter().copied().map(ShareNumber::new).collect();
        let read = |limit, share_numbers: &[u8], ranges: &[ByteRange]| {
            ReadRequest::new(BUCKET, limit, numbers(share_numbers), ranges.to_vec())
        };
        assert!(read(256, &[0, 3, 255], &[range(0, 5), range(5, 1)]).is_ok());
        assert_eq!(read(0, &[], &[]), Err(ReadRequestError::Limit));
        assert_eq!(read(257, &[], &[]), Err(ReadRequestError::Limit));
        for bad in [&[1, 1][..], &[2, 1]] {
            assert_eq!(read(1, bad, &[]), Err(ReadRequestError::ShareNumberOrder));
        }
        for bad in [[range(0, 5), range(4, 1)], [range(5, 1), range(0, 5)]] {
            assert_eq!(read(1, &[], &bad), Err(ReadRequestError::RangeOrder));
        }
        let many: Vec<_> = (0..65).map(|offset| range(offset, 1)).collect();
        assert_eq!(read(1, &[], &many), Err(ReadRequestError::RangeCount));
    }
}
