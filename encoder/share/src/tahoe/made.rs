//! Shares of Tahoe's kinds that are made here, of any size: the fixtures are small. The other shares
//! of their files are not made; only hashes stand for them.

mod chk;
mod mutable;

use std::cell::Cell;
use std::io;

use lafs::{ShareNumber, StorageIndex};

use crate::tahoe::hash::{self, Hash, Tagged};
use crate::{Bytes, Container, Damage, Verdict, What, Whole, check};

/// A share, and where its parts begin, each with what is wrong if its first byte is.
struct Made {
    bytes: Vec<u8>,
    container: Container,
    number: u8,
    parts: Vec<(&'static str, usize, What)>,
    whole: Whole,
}

/// The numbers of a file.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    needed: u16,
    total: u16,
    segment_size: u64,
    file_size: u64,
    number: u8,
}

impl Numbers {
    const fn new(
        (needed, total): (u16, u16),
        segment_size: u64,
        file_size: u64,
        number: u8,
    ) -> Self {
        Self {
            needed,
            total,
            segment_size,
            file_size,
            number,
        }
    }

    /// The sizes of the blocks, by the formulas of the reference.
    fn blocks(&self) -> Vec<usize> {
        let (segment, mut rest) = (self.segment_size, self.file_size);
        let mut sizes = Vec::new();
        while rest > 0 {
            let size = rest.min(segment);
            rest -= size;
            sizes.push(usize::try_from(size.div_ceil(self.needed.into())).unwrap());
        }
        sizes
    }
}

impl Made {
    fn check(&self, bytes: &[u8]) -> Verdict {
        let watched = Watched {
            bytes,
            longest: Cell::new(0),
        };
        let index = StorageIndex::new([3; 16]);
        let number = ShareNumber::new(self.number);
        let verdict = check(&watched, self.container, index, number).unwrap();
        assert!(watched.longest.get() <= 256 << 10);
        verdict
    }

    /// Everything that must hold of a good share and its changed copies.
    fn check_all(&self, name: &str) {
        assert_eq!(
            self.check(&self.bytes),
            Verdict::Whole(self.whole),
            "{name}"
        );
        let damage = |bytes: &[u8]| match self.check(bytes) {
            Verdict::Damaged { damage, .. } => damage,
            other => panic!("{name}: {other:?}"),
        };
        for (part, at, what) in &self.parts {
            let mut changed = self.bytes.clone();
            changed[*at] ^= 1;
            let found = damage(&changed);
            assert_eq!(found.what, *what, "{name}: {part}: {found}");
        }
        let boundaries = self.parts.iter().map(|(_, at, _)| *at);
        for len in boundaries.chain([self.bytes.len() - 1]) {
            for len in [len.saturating_sub(1), len, len + 1] {
                if len < self.bytes.len() {
                    let cut = self.check(&self.bytes[..len]);
                    assert!(!matches!(cut, Verdict::Whole(_)), "{name}: cut to {len}");
                }
            }
        }
    }

    fn damage(&self, bytes: &[u8]) -> Damage {
        match self.check(bytes) {
            Verdict::Damaged { damage, .. } => damage,
            other => panic!("{other:?}"),
        }
    }
}

/// Bytes whose longest read is known.
struct Watched<'a> {
    bytes: &'a [u8],
    longest: Cell<usize>,
}

impl Bytes for Watched<'_> {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.longest.set(self.longest.get().max(buffer.len()));
        self.bytes.read_at(offset, buffer)
    }
}

/// Bytes without a pattern.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn noise_hash(seed: u64) -> Hash {
    hash::tagged("noise", &seed.to_be_bytes())
}

/// The leaf of a block, in one piece.
fn block_leaf(parts: &[&[u8]]) -> Hash {
    let mut hasher = Tagged::new(hash::BLOCK);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finish()
}

/// The leaves of the share hash tree, of which this is the one with the number.
fn share_leaves(numbers: Numbers, leaf: Hash) -> Vec<Hash> {
    let mut leaves: Vec<Hash> = (0..numbers.total.into()).map(noise_hash).collect();
    leaves[usize::from(numbers.number)] = leaf;
    leaves
}
