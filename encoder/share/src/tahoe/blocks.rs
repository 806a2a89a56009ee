//! How a file is cut into segments, and the blocks of a share.

use lafs::num;

use crate::bytes::{Bytes, Window};
use crate::check::{PIECE_LEN, Stop};
use crate::tahoe::hash::{self, Tagged};
use crate::tahoe::tree::StoredTree;
use crate::verdict::{Damage, What};

/// The numbers of a file. The blocks of a share follow from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) needed: u16,
    pub(crate) total: u16,
    pub(crate) segment_size: u64,
    pub(crate) file_size: u64,
}

/// The blocks of a share, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    pub(crate) count: u64,
    /// Size of all of them but the last.
    pub(crate) size: u64,
    pub(crate) last_size: u64,
    /// Size of all together.
    pub(crate) all_size: u64,
}

impl Shape {
    /// Whether the counts of shares are possible.
    pub(crate) fn has_possible_counts(&self) -> bool {
        1 <= self.needed && self.needed <= self.total && self.total <= 256
    }

    /// The blocks, each with `extra` bytes of something else; none if the numbers contradict each
    /// other, or if no share of `size_max` bytes could hold the blocks.
    pub(crate) fn blocks(&self, extra: u64, size_max: u64) -> Option<Blocks> {
        if !self.has_possible_counts() {
            return None;
        }
        let needed = u64::from(self.needed);
        if self.file_size == 0 {
            return Some(Blocks {
                count: 0,
                size: 0,
                last_size: 0,
                all_size: 0,
            });
        }
        if self.segment_size == 0 || self.segment_size % needed != 0 {
            return None;
        }
        let count = self.file_size.div_ceil(self.segment_size);
        let tail = self.file_size - (count - 1) * self.segment_size;
        let size = (self.segment_size / needed).checked_add(extra)?;
        let last_size = tail.div_ceil(needed).checked_add(extra)?;
        let all_size = (count - 1).checked_mul(size)?.checked_add(last_size)?;
        (all_size <= size_max).then_some(Blocks {
            count,
            size,
            last_size,
            all_size,
        })
    }

    /// How many bytes the last segment has when it is filled up to whole blocks. For numbers that
    /// have blocks.
    pub(crate) fn padded_tail(&self) -> u64 {
        let tail = match self.file_size % self.segment_size {
            0 => self.segment_size,
            tail => tail,
        };
        let needed = u64::from(self.needed);
        tail.div_ceil(needed).saturating_mul(needed)
    }
}

impl Blocks {
    /// Checks each block against its leaf in the block hash tree.
    pub(crate) fn check(
        &self,
        bytes: &dyn Bytes,
        start: u64,
        tree: &StoredTree,
    ) -> Result<(), Stop> {
        let mut window = Window::new(bytes, PIECE_LEN);
        let mut leaves = tree.leaves(bytes);
        let empty = Tagged::new(hash::BLOCK);
        let mut offset = start;
        for index in 0..self.count {
            let block_start = offset;
            let is_last = index + 1 == self.count;
            let mut missing = if is_last { self.last_size } else { self.size };
            let mut hasher = empty.clone();
            while missing > 0 {
                let piece = window.some(offset, missing)?;
                hasher.update(piece);
                let size = num::size(piece.len());
                offset += size;
                missing -= size;
            }
            let found = hasher.finish();
            let expected = leaves.read(index)?;
            if found != expected {
                return Err(Damage::new(What::Block, block_start, &expected, &found).into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(needed: u16, segment_size: u64, file_size: u64) -> Shape {
        Shape {
            needed,
            total: 10,
            segment_size,
            file_size,
        }
    }

    #[test]
    fn blocks_are_those_of_the_reference() {
        let blocks = |shape: Shape| {
            let blocks = shape.blocks(0, u64::MAX).unwrap();
            (blocks.count, blocks.size, blocks.last_size, blocks.all_size)
        };
        assert_eq!(blocks(shape(3, 1002, 1000)), (1, 334, 334, 334));
        assert_eq!(blocks(shape(2, 1024, 4096)), (4, 512, 512, 2048));
        assert_eq!(blocks(shape(7, 105, 1000)), (10, 15, 8, 143));
        assert_eq!(blocks(shape(3, 3, 1)), (1, 1, 1, 1));
        assert_eq!(blocks(shape(3, 3, 0)), (0, 0, 0, 0));
        let salted = shape(3, 6, 7).blocks(16, u64::MAX).unwrap();
        assert_eq!(
            (salted.size, salted.last_size, salted.all_size),
            (18, 17, 35)
        );
    }

    #[test]
    fn numbers_that_contradict_each_other_or_the_size_have_no_blocks() {
        for shape in [
            shape(3, 0, 1),
            shape(3, 4, 1),
            shape(0, 3, 1),
            shape(11, 11, 1),
        ] {
            assert_eq!(shape.blocks(0, u64::MAX), None);
        }
        assert_eq!(shape(3, 3, 100).blocks(0, 33), None);
        assert!(shape(3, 3, 100).blocks(0, 34).is_some());
        for segment_size in [1, 2, u64::MAX] {
            assert_eq!(shape(1, segment_size, u64::MAX).blocks(16, 1 << 62), None);
        }
        assert_eq!(shape(1, u64::MAX, u64::MAX).blocks(1, u64::MAX), None);
    }
}
