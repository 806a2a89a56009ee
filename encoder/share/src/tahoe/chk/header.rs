//! The header of a CHK share: where its parts are.
//!
//! ```text
//! version 1  version 2
//! 0x00  4    0x00  4   version
//! 0x04  4    0x04  8   size of a block. Readers ignore it
//! 0x08  4    0x0c  8   size of all blocks. Readers ignore it
//! 0x0c  4    0x14  8   where the blocks are: right behind the header
//! 0x10  4    0x1c  8   where the unused part is
//! 0x14  4    0x24  8   where the crypttext hash tree is
//! 0x18  4    0x2c  8   where the block hash tree is
//! 0x1c  4    0x34  8   where the share hash chain is
//! 0x20  4    0x3c  8   where the size of the UEB is
//! 0x24       0x44      the blocks
//! ```
//!
//! Integers are big-endian. The parts are in this order and without gaps.

use lafs::num;

use super::ueb::Ueb;
use crate::bytes::Bytes;
use crate::check::Stop;
use crate::tahoe::chain;
use crate::tahoe::tree::StoredTree;
use crate::verdict::{Damage, What};

/// Which layout a share has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Offsets of 32 bits.
    V1,
    /// Offsets of 64 bits.
    V2,
}

impl Version {
    /// Size of each field but the first, and of the size of the UEB.
    pub(crate) fn field_size(self) -> u64 {
        match self {
            Self::V1 => 4,
            Self::V2 => 8,
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    fn header_size(self) -> u64 {
        VERSION_SIZE + FIELDS * self.field_size()
    }

    fn field_at(self, index: usize) -> u64 {
        VERSION_SIZE + num::size(index) * self.field_size()
    }
}

/// The first bytes of what may be a share.
pub(crate) struct Front([u8; Self::LEN]);

impl Front {
    /// How many.
    pub(crate) const LEN: usize = 0x1c;

    /// A shorter one is followed by zeros.
    pub(crate) fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The version, if it is there, and if the blocks are where they must be.
    pub(crate) fn marked(&self) -> Option<Version> {
        let versions = [Version::V1, Version::V2].into_iter();
        let mut marked = versions.filter(|version| self.marks(*version) == [true; 2]);
        marked.next()
    }

    /// The version, if one of the two is there.
    pub(crate) fn half_marked(&self) -> Option<Version> {
        let versions = [Version::V1, Version::V2].into_iter();
        let mut marked = versions.filter(|version| self.marks(*version).contains(&true));
        marked.next()
    }

    fn marks(&self, version: Version) -> [bool; 2] {
        let starts = |at: usize, bytes: &[u8]| self.0[at..].starts_with(bytes);
        let blocks_are = match version {
            Version::V1 => starts(0x0c, &0x24_u32.to_be_bytes()),
            Version::V2 => starts(0x14, &0x44_u64.to_be_bytes()),
        };
        [starts(0, &version.number().to_be_bytes()), blocks_are]
    }
}

/// What a header says.
pub(crate) struct Header {
    version: Version,
    /// The version, then all fields in order.
    number: u32,
    fields: [u64; 8],
}

/// Where the parts of a share are.
pub(crate) struct Places {
    pub(crate) blocks: u64,
    pub(crate) unused: u64,
    pub(crate) crypttext_tree: u64,
    pub(crate) block_tree: u64,
    pub(crate) chain: u64,
}

impl Header {
    /// Reads the header, as one of this version.
    pub(crate) fn read(bytes: &dyn Bytes, version: Version) -> Result<Self, Stop> {
        let size = version.header_size();
        if bytes.size() < size {
            return Err(Damage::new(What::Size, bytes.size(), size, bytes.size()).into());
        }
        let mut header = [0; 0x44];
        let header = &mut header[..num::len(size).expect("a header is small")];
        bytes.read_at(0, header)?;
        let (number, rest) = header.split_first_chunk().expect("it is longer");
        let mut fields = [0; 8];
        let field_len = num::len(version.field_size()).expect("4 or 8");
        for (field, bytes) in fields.iter_mut().zip(rest.chunks_exact(field_len)) {
            *field = bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte));
        }
        Ok(Self {
            version,
            number: u32::from_be_bytes(*number),
            fields,
        })
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Where the size of the UEB is, if the header is right.
    pub(crate) fn ueb_size_at(&self) -> u64 {
        self.fields[7]
    }

    /// Checks every field against what the UEB says of the file.
    pub(crate) fn check(&self, ueb: &Ueb, share_size: u64) -> Result<Places, Damage> {
        let number = self.version.number();
        if self.number != number {
            return Err(Damage::new(
                What::Header,
                0,
                u64::from(number),
                u64::from(self.number),
            ));
        }
        let too_large = || {
            Damage::new(
                What::Parameters,
                0,
                "a file that fits into its share",
                "a larger one",
            )
        };
        let tree_size = StoredTree::size(ueb.blocks.count).ok_or_else(too_large)?;
        let sizes = [
            self.version.header_size(),
            ueb.blocks.all_size,
            tree_size,
            tree_size,
            tree_size,
            num::size(chain::len(ueb.shape.total, true)),
        ];
        let mut expected = [ueb.blocks.size, ueb.blocks.all_size, 0, 0, 0, 0, 0, 0];
        let mut offset: u64 = 0;
        for (place, size) in expected[2..].iter_mut().zip(sizes) {
            offset = offset.checked_add(size).ok_or_else(too_large)?;
            *place = offset;
        }
        for (index, (expected, found)) in expected.into_iter().zip(self.fields).enumerate() {
            if expected != found {
                let at = self.version.field_at(index);
                return Err(Damage::new(What::Header, at, expected, found));
            }
        }
        let [_, _, blocks, unused, crypttext_tree, block_tree, chain, end] = expected;
        debug_assert!(end <= share_size, "the UEB was found there");
        Ok(Places {
            blocks,
            unused,
            crypttext_tree,
            block_tree,
            chain,
        })
    }
}

const VERSION_SIZE: u64 = 4;
const FIELDS: u64 = 8;
const _: () = assert!(VERSION_SIZE + FIELDS * 4 == 0x24);
const _: () = assert!(VERSION_SIZE + FIELDS * 8 == 0x44);
const _: () = assert!(Front::LEN == 0x14 + 8);
