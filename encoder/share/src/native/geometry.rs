//! Where everything is in a share: it follows from the parameters and the size of the file alone.
//!
//! ```text
//! block 0, nodes that leaf 0 completes, block 1, nodes that leaf 1 completes, ...
//! the nodes of the right edge but the root
//! trailer                                         (`trailer.rs`; its size depends on the version)
//!
//! a node:  16 block hash | 32 crypttext hash | 16 plaintext hash
//! ```
//!
//! All shares of a file have one layout. Sizes go up to 2^62, and no arithmetic here overflows for
//! any value of [`Parameters`] and any size up to [`Parameters::FILE_SIZE_MAX`].

use std::ops::Range;

use lafs::cap::native::{ReadCap, VerifyCap, Version};
use lafs::{Parameters, num};

use super::share_tree;
use super::tree::{self, Subtree};

/// Size of a stored node.
pub const NODE_SIZE: u64 = 64;

/// Size of a UEB of version 1, with which shares of that version end.
pub const UEB_SIZE_V1: usize = 114;

/// Size of the content root of version 2.
const CONTENT_ROOT_LEN: usize = 32;

/// Length of the check of version 2. It is against accidents, of which it misses one in 2^64:
/// whoever makes a wrong share can make its check as well.
pub const CHECK_LEN: usize = 8;

/// Size of all of a description but the file size.
const DESCRIPTION_FIXED_SIZE: usize = 1 + 1 + 2 + 1;

/// The layout of all shares of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    version: Version,
    parameters: Parameters,
    file_size: u64,
    segment_count: u64,
}

impl Geometry {
    /// The layout that shares of the [current](Version::CURRENT) version have, for a file of
    /// `file_size` bytes, or `None` if that is beyond [`Parameters::FILE_SIZE_MAX`].
    #[must_use]
    pub fn new(parameters: Parameters, file_size: u64) -> Option<Self> {
        Self::of_version(Version::CURRENT, parameters, file_size)
    }

    /// The same for any version.
    #[must_use]
    pub fn of_version(version: Version, parameters: Parameters, file_size: u64) -> Option<Self> {
        (file_size <= Parameters::FILE_SIZE_MAX).then(|| Self {
            version,
            parameters,
            file_size,
            segment_count: file_size.div_ceil(parameters.segment_size().into()),
        })
    }

    /// How many bytes at the end of a share of any version say what it is.
    pub const ENDING_LEN: usize = UEB_SIZE_V1;

    /// The version of the format.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the file is cut and spread.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Size of the file.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// Size of each share.
    #[must_use]
    pub fn share_size(&self) -> u64 {
        self.trailer().end
    }

    /// How many segments the file has; an empty one has none.
    #[must_use]
    pub fn segment_count(&self) -> u64 {
        self.segment_count
    }

    /// The segments that hold these bytes of the file; what is beyond its end is ignored.
    #[must_use]
    pub fn segments_of(&self, plaintext: &Range<u64>) -> Range<u64> {
        let end = plaintext.end.min(self.file_size);
        if plaintext.start >= end {
            return 0..0;
        }
        let segment_size = u64::from(self.parameters.segment_size());
        plaintext.start / segment_size..end.div_ceil(segment_size)
    }

    /// The bytes of the file that a segment holds.
    #[must_use]
    pub fn plaintext(&self, segment: u64) -> Range<u64> {
        debug_assert!(segment < self.segment_count);
        let start = segment * u64::from(self.parameters.segment_size());
        let end = start + u64::from(self.parameters.segment_size());
        start..end.min(self.file_size)
    }

    /// Size of a segment's block in each share.
    #[must_use]
    pub fn block_size(&self, segment: u64) -> usize {
        let plaintext = self.plaintext(segment);
        let len = num::len(plaintext.end - plaintext.start).expect("a segment is at most 4 MiB");
        block_size(self.parameters, len)
    }

    /// Where a segment's block is in each share.
    #[must_use]
    pub fn block(&self, segment: u64) -> Range<u64> {
        let start = self.blocks_size(segment) + NODE_SIZE * tree::nodes_before(segment);
        start..start + num::size(self.block_size(segment))
    }

    /// Where the blocks and the leaves of these segments are: one range, with some other nodes
    /// between them.
    pub fn run(&self, segments: &Range<u64>) -> Range<u64> {
        debug_assert!(segments.start < segments.end);
        let block = self.block(segments.end - 1);
        let end = self
            .leaf(segments.end - 1)
            .map_or(block.end, |leaf| leaf.end);
        self.block(segments.start).start..end
    }

    /// Where the leaf of a segment is: behind its block. A leaf that is the root is not stored.
    pub fn leaf(&self, segment: u64) -> Option<Range<u64>> {
        let leaf = Subtree {
            first: segment,
            end: segment + 1,
        };
        (self.segment_count > 1).then(|| self.node(leaf))
    }

    /// Where a node is, other than the root, which is not stored.
    pub fn node(&self, subtree: Subtree) -> Range<u64> {
        debug_assert!(subtree.leaf_count() < self.segment_count);
        let start =
            self.blocks_size(subtree.end) + NODE_SIZE * subtree.position(self.segment_count);
        start..start + NODE_SIZE
    }

    /// Where the trailer is: the end of each share.
    #[must_use]
    pub fn trailer(&self) -> Range<u64> {
        let start = self.blocks_size(self.segment_count)
            + NODE_SIZE * (2 * self.segment_count).saturating_sub(2);
        start..start + num::size(self.trailer_len())
    }

    /// Length of the trailer.
    #[must_use]
    pub fn trailer_len(&self) -> usize {
        share_tree::chain_len(self.parameters)
            + match self.version {
                Version::V1 => UEB_SIZE_V1,
                Version::V2 => CONTENT_ROOT_LEN + CHECK_LEN + description_len(self.file_size),
            }
    }

    /// Size of the first `count` blocks of a share together.
    fn blocks_size(&self, count: u64) -> u64 {
        let block_size = u64::from(self.parameters.block_size());
        if count < self.segment_count || count == 0 {
            count * block_size
        } else {
            (count - 1) * block_size + num::size(self.block_size(count - 1))
        }
    }
}

impl From<&ReadCap> for Geometry {
    fn from(cap: &ReadCap) -> Self {
        Self::of_version(cap.version(), cap.parameters(), cap.size())
            .expect("a cap's size is in range")
    }
}

impl From<&VerifyCap> for Geometry {
    fn from(cap: &VerifyCap) -> Self {
        Self::of_version(cap.version(), cap.parameters(), cap.size())
            .expect("a cap's size is in range")
    }
}

/// Size of the description of a file of this size, which is written without zeros in front.
pub fn description_len(file_size: u64) -> usize {
    let zeros = file_size
        .to_be_bytes()
        .into_iter()
        .take_while(|byte| *byte == 0);
    DESCRIPTION_FIXED_SIZE + (8 - zeros.count())
}

/// Size of each block of a segment of `len` bytes: even, because the codec's symbols are two bytes.
pub fn block_size(parameters: Parameters, len: usize) -> usize {
    len.div_ceil(parameters.needed()).next_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(needed: usize, total: usize, segment_size: u32, file_size: u64) -> Geometry {
        let parameters = Parameters::new(needed, total, segment_size).unwrap();
        Geometry::new(parameters, file_size).unwrap()
    }

    // What a file of 1 kB costs on the wire is mostly this.
    #[test]
    fn a_share_of_1000_bytes_at_3_of_10_has_445_bytes() {
        let parameters = Parameters::default_for(3, 10).unwrap();
        for (version, size) in [(Version::V1, 512), (Version::V2, 445)] {
            let geometry = Geometry::of_version(version, parameters, 1000).unwrap();
            assert_eq!(geometry.block(0), 0..334);
            assert_eq!(geometry.trailer(), 334..size);
            assert_eq!(geometry.share_size(), size);
        }
    }

    #[test]
    fn an_empty_file_has_shares_of_a_trailer_only() {
        let parameters = Parameters::new(3, 10, 192).unwrap();
        for (version, size) in [(Version::V1, 64 + 114), (Version::V2, 64 + 45)] {
            let geometry = Geometry::of_version(version, parameters, 0).unwrap();
            assert_eq!(geometry.segment_count(), 0);
            assert_eq!(geometry.trailer(), 0..size);
            assert_eq!(geometry.segments_of(&(0..u64::MAX)), 0..0);
        }
    }

    // The blocks and nodes of a share neither overlap nor leave a gap.
    #[test]
    fn blocks_and_nodes_tile_the_share() {
        let parameters = Parameters::new(3, 5, 192).unwrap();
        for (file_size, version) in (1..64 * 3 * 40)
            .step_by(61)
            .zip(Version::ALL.iter().cycle())
        {
            let geometry = Geometry::of_version(*version, parameters, file_size).unwrap();
            let mut ranges: Vec<_> = (0..geometry.segment_count())
                .map(|segment| geometry.block(segment))
                .collect();
            let mut open: Vec<_> = Subtree::root(geometry.segment_count())
                .children()
                .into_iter()
                .flat_map(|(left, right)| [left, right])
                .collect();
            while let Some(subtree) = open.pop() {
                ranges.push(geometry.node(subtree));
                open.extend(subtree.children().into_iter().flat_map(|(l, r)| [l, r]));
            }
            ranges.push(geometry.trailer());
            ranges.sort_by_key(|range| range.start);
            let mut end = 0;
            for range in ranges {
                assert_eq!(range.start, end, "file of {file_size}");
                end = range.end;
            }
            assert_eq!(end, geometry.share_size());
        }
    }

    #[test]
    fn the_largest_files_are_within_arithmetic() {
        for (needed, total, segment_size) in [(1, 1, 64), (1, 256, 4 << 20), (256, 256, 16384)] {
            let geometry = geometry(needed, total, segment_size, Parameters::FILE_SIZE_MAX);
            let last = geometry.segment_count() - 1;
            assert!(geometry.block(last).end <= geometry.trailer().start);
            assert!(geometry.share_size() < 1 << 62);
        }
        let parameters = Parameters::default_for(3, 10).unwrap();
        assert_eq!(
            Geometry::new(parameters, Parameters::FILE_SIZE_MAX + 1),
            None
        );
    }

    #[test]
    fn a_range_names_the_segments_it_touches() {
        let geometry = geometry(1, 1, 64, 130);
        for (range, segments) in [
            (0..0, 0..0),
            (0..1, 0..1),
            (63..64, 0..1),
            (63..65, 0..2),
            (64..130, 1..3),
            (129..u64::MAX, 2..3),
            (130..131, 0..0),
        ] {
            assert_eq!(geometry.segments_of(&range), segments, "{range:?}");
        }
    }
}
