//! How a file is cut and spread in the native suite: needed, total, and the segment size.

use crate::ShareNumber;

/// How many shares there are, how many bring the file back, and how much goes into a segment.
///
/// A value of this type is always one that the native format can encode: `1 <= needed <= total <=
/// 256`, and a segment is `needed` blocks whose size is a multiple of [`Self::BLOCK_UNIT`]
/// (`docs/native-format.md`, "Parameters").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parameters {
    needed: u16,
    total: u16,
    segment_size: u32,
}

impl Parameters {
    /// Most shares a file can have; a share number is one byte.
    pub const TOTAL_MAX: usize = ShareNumber::COUNT;

    /// The block size of a full segment is a multiple of this. It is the codec's chunk, so that the
    /// blocks of one share laid end to end are again one block.
    pub const BLOCK_UNIT: u32 = 64;

    /// Largest segment: a reader must hold at least one in memory.
    pub const SEGMENT_SIZE_MAX: u32 = 4 << 20;

    /// Largest file.
    pub const FILE_SIZE_MAX: u64 = 1 << 60;

    /// The parameters with these values, if the format has them.
    ///
    /// # Errors
    ///
    /// [`ParametersError`] names the rule that is broken.
    pub fn new(needed: usize, total: usize, segment_size: u32) -> Result<Self, ParametersError> {
        let (needed, total) = counts(needed, total)?;
        let unit = u32::from(needed) * Self::BLOCK_UNIT;
        if segment_size == 0 || segment_size > Self::SEGMENT_SIZE_MAX || segment_size % unit != 0 {
            return Err(ParametersError::SegmentSize { segment_size, unit });
        }
        Ok(Self {
            needed,
            total,
            segment_size,
        })
    }

    /// The parameters that a writer should choose.
    ///
    /// The block size is the largest power of two that keeps a segment within 256 KiB and its
    /// blocks together within 2 MiB: large enough that hashing runs at full width, small enough
    /// that a segment stays in a processor's cache and its shares in a small machine's memory.
    ///
    /// # Errors
    ///
    /// [`ParametersError::Counts`] unless `1 <= needed <= total <= 256`.
    pub fn default_for(needed: usize, total: usize) -> Result<Self, ParametersError> {
        let (needed, total) = counts(needed, total)?;
        let block_size_max =
            (SEGMENT_SIZE_TARGET / u32::from(needed)).min(BLOCKS_SIZE_TARGET / u32::from(total));
        let block_size = 1 << block_size_max.ilog2();
        const { assert!(SEGMENT_SIZE_TARGET / 256 >= Self::BLOCK_UNIT) };
        Ok(Self {
            needed,
            total,
            segment_size: u32::from(needed) * block_size,
        })
    }

    /// How many shares bring the file back ("k").
    #[must_use]
    pub fn needed(&self) -> usize {
        usize::from(self.needed)
    }

    /// How many shares there are ("n").
    #[must_use]
    pub fn total(&self) -> usize {
        usize::from(self.total)
    }

    /// Bytes of plaintext in every segment but the last.
    #[must_use]
    pub fn segment_size(&self) -> u32 {
        self.segment_size
    }

    /// Bytes that every segment but the last puts into each share.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        self.segment_size / u32::from(self.needed)
    }
}

/// The parameters cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// The share counts contradict each other or the format.
    #[error("{needed} of {total} shares cannot be needed: choose 1 <= needed <= total <= 256")]
    Counts {
        /// Shares that were to bring the file back.
        needed: usize,
        /// Shares in all.
        total: usize,
    },
    /// The segment size is not a whole number of blocks, or not a size at all.
    #[error(
        "a segment of {segment_size} bytes is not a positive multiple of {unit} bytes (64 for each \
         needed share) of at most 4 MiB"
    )]
    SegmentSize {
        /// The size that was asked for.
        segment_size: u32,
        /// What it must be a multiple of.
        unit: u32,
    },
}

fn counts(needed: usize, total: usize) -> Result<(u16, u16), ParametersError> {
    match (u16::try_from(needed), u16::try_from(total)) {
        (Ok(narrow_needed @ 1..), Ok(narrow_total @ ..=256)) if needed <= total => {
            Ok((narrow_needed, narrow_total))
        }
        _ => Err(ParametersError::Counts { needed, total }),
    }
}

/// The most plaintext in a segment, and so the most that a reader holds for one.
const SEGMENT_SIZE_TARGET: u32 = 256 << 10;

/// The most that all blocks of a segment have together, which is what a writer holds.
const BLOCKS_SIZE_TARGET: u32 = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_outside_the_format_are_refused() {
        for (needed, total) in [(0, 0), (0, 1), (2, 1), (1, 257), (257, 257), (1, 1 << 16)] {
            let expected = Err(ParametersError::Counts { needed, total });
            assert_eq!(Parameters::new(needed, total, 64), expected);
            assert_eq!(Parameters::default_for(needed, total), expected);
        }
    }

    #[test]
    fn a_segment_is_a_whole_number_of_block_units() {
        assert!(Parameters::new(3, 10, 192).is_ok());
        assert!(Parameters::new(1, 1, 4 << 20).is_ok());
        for segment_size in [0, 1, 64, 191, 193, 256, (4 << 20) + 128, u32::MAX] {
            assert_eq!(
                Parameters::new(3, 10, segment_size),
                Err(ParametersError::SegmentSize {
                    segment_size,
                    unit: 192
                })
            );
        }
    }

    // Every pair of counts that readers accept must have a default for writers.
    #[test]
    fn every_pair_of_counts_has_a_default_within_the_bounds() {
        for total in 1..=Parameters::TOTAL_MAX {
            for needed in 1..=total {
                let parameters = Parameters::default_for(needed, total).unwrap();
                let segment_size = parameters.segment_size();
                assert_eq!(Parameters::new(needed, total, segment_size), Ok(parameters));
                assert!(segment_size <= SEGMENT_SIZE_TARGET);
                let blocks_size = parameters.block_size() * u32::try_from(total).unwrap();
                assert!(blocks_size <= BLOCKS_SIZE_TARGET, "{needed} of {total}");
                assert!(parameters.block_size() >= 1024, "{needed} of {total}");
            }
        }
        let usual = Parameters::default_for(3, 10).unwrap();
        assert_eq!(
            (usual.segment_size(), usual.block_size()),
            (196_608, 65_536)
        );
    }
}
