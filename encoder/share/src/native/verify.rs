//! Verifies every byte of one share without the read key, in one pass from front to back.

use std::collections::VecDeque;

use lafs::cap::UebHash;
use lafs::cap::native::VerifyCap;
use lafs::{ShareNumber, StorageIndex, num};

use super::damage::Damage;
use super::geometry::{Geometry, NODE_SIZE};
use super::hash::{self, EMPTY_ROOT, Hash};
use super::node::{Node, Top};
use super::trailer::{ShareName, Trailer};
use super::tree::Frontier;

/// Verifies one share as its bytes go by.
///
/// With a verify cap it proves that this is the share that was uploaded. Without one, as in fsck,
/// it proves that the share is whole and belongs in this bucket under this number; only a share
/// that was made anew by someone passes wrongly. Either way, only a reader finds out that an
/// uploader made shares that do not go together.
pub struct ShareVerifier {
    name: ShareName,
    /// How many bytes have come.
    offset: u64,
    expect: Expect,
    /// How many bytes of what is expected are missing.
    missing: usize,
    /// Those that have come, unless a block is expected: that is hashed as it comes.
    gathered: Vec<u8>,
    /// The current segment.
    segment: u64,
    block_hasher: blake3::Hasher,
    block_leaf: Hash,
    tree: Frontier<Top>,
    /// What the next nodes must be.
    nodes: VecDeque<Node>,
    /// The roots of the trees, once all leaves have come.
    root: Option<Top>,
    ueb_hash: Option<UebHash>,
    mismatch: Option<Mismatch>,
}

/// Two byte strings that should be the same, and are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where in the share it was found.
    pub offset: u64,
    /// What the rest of the share says.
    pub expected: Vec<u8>,
    /// What is there.
    pub found: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The block of the current segment.
    Block,
    /// The leaf of the block before it.
    Leaf,
    /// The first of `nodes`.
    Node,
    /// The trailer.
    Trailer,
    /// Nothing: the share has ended, and is good.
    End,
}

impl ShareVerifier {
    /// Begins to verify the share with this number of the file that the cap names.
    ///
    /// # Errors
    ///
    /// [`Damage::NoSuchShare`] if there is none.
    pub fn new(cap: &VerifyCap, number: ShareNumber) -> Result<Self, Damage> {
        ShareName::of_cap(cap, number).map(Self::begin)
    }

    /// Begins to verify a share by what it says about itself.
    ///
    /// `geometry` is what its end says ([`Geometry::of_share`]); the storage index and the number
    /// are where it was found.
    ///
    /// # Errors
    ///
    /// [`Damage::NoSuchShare`] if its end says that there is none with this number.
    pub fn without_cap(
        storage_index: StorageIndex,
        number: ShareNumber,
        geometry: Geometry,
    ) -> Result<Self, Damage> {
        let name = ShareName {
            geometry,
            storage_index,
            number,
            ueb_hash: None,
        };
        name.exists().map(Self::begin)
    }

    fn begin(name: ShareName) -> Self {
        let segment_count = name.geometry.segment_count();
        let empty = Top {
            block: EMPTY_ROOT,
            crypttext: EMPTY_ROOT,
            plaintext: EMPTY_ROOT,
        };
        let mut verifier = Self {
            name,
            offset: 0,
            expect: Expect::Trailer,
            missing: 0,
            gathered: Vec::new(),
            segment: 0,
            block_hasher: hash::begin_block_leaf(),
            block_leaf: EMPTY_ROOT,
            tree: Frontier::new(|left, right| Node::join(&left.to_stored(), &right.to_stored())),
            nodes: VecDeque::new(),
            root: (segment_count == 0).then_some(empty),
            ueb_hash: None,
            mismatch: None,
        };
        verifier.expect(match segment_count {
            0 => Expect::Trailer,
            _ => Expect::Block,
        });
        verifier
    }

    /// Takes the next bytes of the share; it is fastest with 64 KiB and more.
    ///
    /// # Errors
    ///
    /// The first [`Damage`] that is found. The verifier is of no use after it.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<(), Damage> {
        while !bytes.is_empty() {
            if self.expect == Expect::End {
                return Err(self.wrong_size(self.offset + num::size(bytes.len())));
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.missing));
            if self.expect == Expect::Block {
                self.block_hasher.update(now);
            } else {
                self.gathered.extend_from_slice(now);
            }
            self.missing -= now.len();
            self.offset += num::size(now.len());
            bytes = later;
            if self.missing == 0 {
                self.complete()?;
            }
        }
        Ok(())
    }

    /// Ends the share.
    ///
    /// # Errors
    ///
    /// [`Damage::Size`] if it ends too early.
    pub fn finish(self) -> Result<(), Damage> {
        match self.expect {
            Expect::End => Ok(()),
            _ => Err(self.wrong_size(self.offset)),
        }
    }

    /// The hash that a capability of the file names, once all of the share has come.
    #[must_use]
    pub fn ueb_hash(&self) -> Option<&UebHash> {
        self.ueb_hash.as_ref()
    }

    /// How many bytes have come.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What contradicts what, where a [`Damage`] is that. It is there once the damage is.
    #[must_use]
    pub fn mismatch(&self) -> Option<&Mismatch> {
        self.mismatch.as_ref()
    }

    /// What was expected has come.
    fn complete(&mut self) -> Result<(), Damage> {
        match self.expect {
            Expect::Block => {
                let hasher = std::mem::replace(&mut self.block_hasher, hash::begin_block_leaf());
                self.block_leaf = hash::end_leaf(hasher, self.segment);
                let has_leaf = self.name.geometry.leaf(self.segment).is_some();
                self.expect(if has_leaf {
                    Expect::Leaf
                } else {
                    Expect::Trailer
                });
            }
            Expect::Leaf => {
                let leaf = self.node();
                let computed = *hash::short(&self.block_leaf);
                if leaf.block != computed {
                    let segment = self.segment;
                    self.mismatch = Some(Mismatch {
                        offset: self.name.geometry.block(segment).start,
                        expected: leaf.block.to_vec(),
                        found: computed.to_vec(),
                    });
                    return Err(Damage::Block { segment });
                }
                self.push(leaf);
                self.expect_after_node();
            }
            Expect::Node => {
                let expected = self.nodes.pop_front().expect("a node was expected");
                let node = self.node();
                if let Err(damage) = node.check(&expected, self.segment) {
                    self.mismatch = Some(Mismatch {
                        offset: self.offset - NODE_SIZE,
                        expected: expected.to_bytes().to_vec(),
                        found: node.to_bytes().to_vec(),
                    });
                    return Err(damage);
                }
                self.expect_after_node();
            }
            Expect::Trailer => {
                let trailer = Trailer::check(&self.name, &self.gathered)?;
                let (checked, block_root) = match &self.root {
                    Some(top) => (
                        trailer.check_roots(&self.name, top, self.segment),
                        top.block,
                    ),
                    // If there is only one segment, the share has nothing to check its other
                    // hashes against.
                    None => (
                        trailer.check_block_root(&self.name, &self.block_leaf),
                        self.block_leaf,
                    ),
                };
                if let Err(damage) = checked {
                    let (expected, found) = trailer.sides(&self.name, &block_root);
                    self.mismatch = Some(Mismatch {
                        offset: self.name.geometry.trailer().start,
                        expected,
                        found,
                    });
                    return Err(damage);
                }
                self.ueb_hash = Some(trailer.ueb_hash(&self.name, &block_root));
                self.expect(Expect::End);
            }
            Expect::End => unreachable!("nothing was expected"),
        }
        Ok(())
    }

    /// Adds a leaf to the trees. The nodes that it completes must come next.
    fn push(&mut self, leaf: Node) {
        let top = Top {
            block: self.block_leaf,
            ..Top::from_stored(leaf)
        };
        let nodes = &mut self.nodes;
        self.tree
            .push(top, |node| nodes.push_back(node.to_stored()));
        if self.segment + 1 == self.name.geometry.segment_count() {
            self.root = self.tree.finish(|node| nodes.push_back(node.to_stored()));
            // It is not stored.
            nodes.pop_back();
        }
        // The first of them is the leaf itself, which has come already.
        nodes.pop_front();
    }

    fn expect_after_node(&mut self) {
        let last = self.segment + 1 == self.name.geometry.segment_count();
        let next = match (self.nodes.is_empty(), last) {
            (false, _) => Expect::Node,
            (true, true) => Expect::Trailer,
            (true, false) => {
                self.segment += 1;
                Expect::Block
            }
        };
        self.expect(next);
    }

    fn expect(&mut self, expect: Expect) {
        self.expect = expect;
        self.gathered.clear();
        self.missing = match expect {
            Expect::Block => self.name.geometry.block_size(self.segment),
            Expect::Leaf | Expect::Node => Node::LEN,
            Expect::Trailer => self.name.geometry.trailer_len(),
            Expect::End => 0,
        };
    }

    /// The node that has come.
    fn node(&self) -> Node {
        let bytes = self.gathered.as_slice().try_into();
        Node::from_bytes(bytes.expect("as much was expected"))
    }

    fn wrong_size(&self, found: u64) -> Damage {
        Damage::Size {
            expected: self.name.geometry.share_size(),
            found,
        }
    }
}
