//! How far the answer to one READ has come.
//!
//! A server sends shares in ascending order, at most as many as were asked for; of each, the ranges
//! in order, without gaps, up to the share's end. Anything else is more than was asked for, or less.

use lafs::ShareNumber;

use crate::error::Misbehaved;
use crate::frame::{HeldShare, RequestNumber};
use crate::range::ReadRequest;
use crate::refusal::Reason;

/// What was asked, and what of it has arrived.
#[derive(Debug)]
pub(super) struct ReadCursor {
    read: ReadRequest,
    /// The shares whose bytes began to arrive, ascending, and where the last byte of each ended.
    begun: Vec<(ShareNumber, u64)>,
    /// The range of the last share that the next byte belongs to.
    range: usize,
}

impl ReadCursor {
    pub(super) fn new(read: ReadRequest) -> Self {
        Self {
            read,
            begun: Vec::new(),
            range: 0,
        }
    }

    /// Whether `size` bytes from `offset` on are what comes next; if so they have come.
    pub(super) fn takes(&mut self, share_number: ShareNumber, offset: u64, size: u64) -> bool {
        match self.begun.last() {
            Some((last, _)) if *last == share_number => {}
            last => {
                let ascends = last.is_none_or(|(last, _)| *last < share_number);
                let within = self.begun.len() < usize::from(self.read.limit());
                if !ascends || !within || !self.read.wants(share_number) {
                    return false;
                }
                self.begun.push((share_number, 0));
                self.range = 0;
            }
        }
        let (_, end) = self.begun.last_mut().expect("a share has begun");
        let Some(range) = self.read.ranges().get(self.range) else {
            return false;
        };
        if offset != (*end).max(range.offset()) || size > range.end() - offset {
            return false;
        }
        *end = offset + size;
        if *end == range.end() {
            self.range += 1;
        }
        true
    }

    /// Compares what has come with what the server says it holds.
    pub(super) fn finish(self, failure: Option<Reason>, held: &[HeldShare]) -> Result<(), Lie> {
        if !held.iter().all(|share| self.read.wants(share.share_number)) {
            return Err(Lie::Unasked);
        }
        for (share_number, end) in &self.begun {
            let share = held
                .binary_search_by_key(share_number, |share| share.share_number)
                .map(|index| held[index]);
            match share {
                // Bytes of a share that it says it does not hold.
                Err(_) => return Err(Lie::Unasked),
                // The read failed in the middle, and it says so.
                Ok(HeldShare { size: None, .. }) => {}
                Ok(HeldShare {
                    size: Some(size), ..
                }) => {
                    let wanted = self.end_wanted(size);
                    if *end > wanted {
                        return Err(Lie::Unasked);
                    }
                    if *end < wanted && failure.is_none() {
                        return Err(Lie::Missing);
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the last byte asked of a share of this size ends.
    fn end_wanted(&self, size: u64) -> u64 {
        let ranges = self.read.ranges().iter().rev();
        ranges
            .filter(|range| range.offset() < size)
            .map(|range| range.end().min(size))
            .next()
            .unwrap_or(0)
    }
}

/// The answer to a READ contradicts itself or what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// More than was asked for, or than is held.
    Unasked,
    /// Less than is held.
    Missing,
}

impl Lie {
    pub(super) fn of(self, request: RequestNumber) -> Misbehaved {
        match self {
            Self::Unasked => Misbehaved::UnaskedBytes(request),
            Self::Missing => Misbehaved::MissingBytes(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use lafs::StorageIndex;

    use super::*;
    use crate::range::ByteRange;

    const ZERO: ShareNumber = ShareNumber::new(0);
    const ONE: ShareNumber = ShareNumber::new(1);
    const TWO: ShareNumber = ShareNumber::new(2);

    fn cursor(limit: u16, numbers: &[ShareNumber], ranges: &[(u64, u64)]) -> ReadCursor {
        let ranges = ranges
            .iter()
            .map(|&(offset, size)| ByteRange::new(offset, size).unwrap())
            .collect();
        let bucket = StorageIndex::new([1; 16]);
        ReadCursor::new(ReadRequest::new(bucket, limit, numbers.to_vec(), ranges).unwrap())
    }

    fn held(share_number: ShareNumber, size: u64) -> HeldShare {
        HeldShare {
            share_number,
            size: Some(size),
        }
    }

    #[test]
    fn pieces_in_order_are_taken_up_to_the_end_of_the_share() {
        let mut cursor = cursor(2, &[], &[(10, 5), (15, 5), (30, 10)]);
        assert!(cursor.takes(ONE, 10, 3));
        assert!(cursor.takes(ONE, 13, 2));
        assert!(cursor.takes(ONE, 15, 5));
        assert!(cursor.takes(ONE, 30, 4));
        assert!(cursor.takes(TWO, 10, 2));
        let shares = [held(ZERO, 3), held(ONE, 34), held(TWO, 12)];
        assert_eq!(cursor.finish(None, &shares), Ok(()));
    }

    #[test]
    fn bytes_that_were_not_asked_for_are_refused() {
        for (what, pieces) in [
            ("before the range", vec![(ONE, 9, 1)]),
            ("a gap", vec![(ONE, 11, 1)]),
            ("beyond the range", vec![(ONE, 10, 6)]),
            ("twice", vec![(ONE, 10, 2), (ONE, 10, 2)]),
            ("a range skipped", vec![(ONE, 10, 2), (ONE, 30, 1)]),
            (
                "after the last range",
                vec![(ONE, 10, 5), (ONE, 30, 10), (ONE, 40, 1)],
            ),
            ("another share", vec![(TWO, 10, 1)]),
            ("shares descending", vec![(ONE, 10, 5), (ZERO, 10, 5)]),
            (
                "one share more than the limit",
                vec![(ZERO, 10, 5), (ONE, 10, 5)],
            ),
        ] {
            let mut cursor = cursor(1, &[ZERO, ONE], &[(10, 5), (30, 10)]);
            let (last, first) = pieces.split_last().unwrap();
            for &(number, offset, size) in first {
                assert!(cursor.takes(number, offset, size), "{what}");
            }
            assert!(!cursor.takes(last.0, last.1, last.2), "{what}");
        }
    }

    // The decoder would wait forever for bytes that the server claims to have sent.
    #[test]
    fn an_answer_that_contradicts_itself_is_refused() {
        let begun = || {
            let mut cursor = cursor(1, &[ONE], &[(10, 5)]);
            assert!(cursor.takes(ONE, 10, 3));
            cursor
        };
        assert_eq!(begun().finish(None, &[held(ONE, 14)]), Err(Lie::Missing));
        assert_eq!(begun().finish(Some(Reason::Disk), &[held(ONE, 14)]), Ok(()));
        assert_eq!(begun().finish(None, &[held(ONE, 13)]), Ok(()));
        assert_eq!(begun().finish(None, &[held(ONE, 12)]), Err(Lie::Unasked));
        assert_eq!(begun().finish(None, &[]), Err(Lie::Unasked));
        assert_eq!(
            begun().finish(None, &[held(ONE, 13), held(TWO, 1)]),
            Err(Lie::Unasked)
        );
        let unreadable = HeldShare {
            share_number: ONE,
            size: None,
        };
        assert_eq!(begun().finish(None, &[unreadable]), Ok(()));
    }
}
