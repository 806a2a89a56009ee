//! Which bytes of a share prove some of its segments, and the check of these bytes.
//!
//! A [`Proof`] is for a run of segments. It starts from its base, a node over all of them: one that
//! an earlier proof of the same share has verified, or else the root, which the trailer ties to the
//! cap. Besides the segments it needs the nodes that stand beside them below the base. From both
//! the base is computed, and compared. Proofs may arrive in any order.

use std::collections::BTreeMap;
use std::ops::Range;

use lafs::num;
use share::native::Damage;
use share::native::geometry::Geometry;
use share::native::hash::{self, Hash, ShortHash};
use share::native::node::Node;
use share::native::trailer::{ShareName, Trailer};
use share::native::tree::Subtree;
use share::native::ueb::ContentRoot;

use super::inconsistent::Inconsistent;

/// The nodes of one share that are known to be right.
#[derive(Default)]
pub(crate) struct KnownNodes(BTreeMap<Subtree, Node>);

impl KnownNodes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the nodes that a proof has verified, and drops those that stand only over segments
    /// before `from`. What is left is about one node for each level of the tree.
    pub(crate) fn learn(&mut self, nodes: Vec<(Subtree, Node)>, from: u64) {
        self.0.extend(nodes);
        self.0.retain(|subtree, _| subtree.end > from);
    }

    /// The lowest known node over all of these segments.
    fn base(&self, root: Subtree, run: &Range<u64>) -> Option<(Subtree, Node)> {
        let mut base = None;
        let mut next = Some(root);
        while let Some(subtree) = next {
            base = self.0.get(&subtree).map(|node| (subtree, *node)).or(base);
            next = subtree
                .children()
                .and_then(|(left, right)| [left, right].into_iter().find(|c| c.contains(run)));
        }
        base
    }
}

/// A run of segments that is to be proved.
pub(crate) struct Proof {
    geometry: Geometry,
    run: Range<u64>,
    /// The known node to prove it from, or none for the root.
    base: Option<(Subtree, Node)>,
}

impl Proof {
    /// A proof for these segments, at least one, on top of what is known of the share.
    pub(crate) fn new(geometry: Geometry, run: Range<u64>, known: &KnownNodes) -> Self {
        let root = Subtree::root(geometry.segment_count());
        Self {
            base: known.base(root, &run),
            geometry,
            run,
        }
    }

    /// The bytes of the share that make the proof, as ranges that ascend and do not touch. Where
    /// the gap between two would be small, they are one range, with the bytes between.
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges = vec![self.geometry.run(&self.run)];
        let subtree = match self.base {
            Some((subtree, _)) => subtree,
            None => {
                ranges.push(self.geometry.trailer());
                Subtree::root(self.geometry.segment_count())
            }
        };
        self.beside(subtree, &mut ranges);
        ranges.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start <= last.end + GAP_SIZE => {
                    last.end = range.end.max(last.end)
                }
                _ => merged.push(range),
            }
        }
        merged
    }

    fn beside(&self, subtree: Subtree, ranges: &mut Vec<Range<u64>>) {
        if subtree.is_apart_from(&self.run) {
            ranges.push(self.geometry.node(subtree));
        } else if !self.covers(subtree) {
            let (left, right) = subtree.children().expect("a leaf is covered or apart");
            self.beside(left, ranges);
            self.beside(right, ranges);
        }
    }

    fn covers(&self, subtree: Subtree) -> bool {
        self.run.start <= subtree.first && subtree.end <= self.run.end
    }

    /// Checks the proof in the bytes of [`ranges`](Self::ranges).
    ///
    /// Returns what it proves: a leaf for each segment, and other nodes that are known now.
    pub(crate) fn check(&self, name: &ShareName, bytes: &Sparse<'_>) -> Result<Proved, Damage> {
        let mut check = Check {
            proof: self,
            bytes,
            proved: Proved::default(),
        };
        let segment = self.run.start;
        if let Some((subtree, expected)) = self.base {
            check.node(subtree)?.check(&expected, segment)?;
            return Ok(check.proved);
        }
        let trailer = Trailer::check(name, bytes.slice(self.geometry.trailer()))?;
        let root = Subtree::root(self.geometry.segment_count());
        let Some((left, right)) = root.children() else {
            // The only leaf is the root; a share proves only its own block of it. No other proof
            // will start from it.
            let block = check.block_leaf(root.first);
            trailer.check_block_root(name, &block)?;
            return Ok(Proved {
                leaves: vec![Leaf {
                    block,
                    content: Content::Root(trailer.content()),
                }],
                nodes: Vec::new(),
            });
        };
        let top = Node::join(&check.node(left)?, &check.node(right)?);
        trailer.check_roots(name, &top, segment)?;
        let mut proved = check.proved;
        proved.nodes.push((root, top.to_stored()));
        Ok(proved)
    }
}

/// What a verified proof has established.
#[derive(Default)]
pub(crate) struct Proved {
    /// One for each segment of the run.
    pub(crate) leaves: Vec<Leaf>,
    /// Nodes beside the run and above it.
    pub(crate) nodes: Vec<(Subtree, Node)>,
}

/// What a verified proof says of one segment.
pub(crate) struct Leaf {
    /// Hash of the block, computed from it.
    pub(crate) block: Hash,
    /// What the segment must decode and decrypt to.
    pub(crate) content: Content,
}

/// The hashes of the content of a segment, as much of them as is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// Those of the only segment, from the trailer.
    Root(ContentRoot),
    /// Those of any other segment, from a node.
    Node {
        /// Of its ciphertext.
        crypttext: Hash,
        /// Of its plaintext.
        plaintext: ShortHash,
    },
}

impl Content {
    /// Checks the crypttext leaf, as far as there is something to check it against.
    pub(crate) fn check_crypttext(&self, leaf: &Hash, segment: u64) -> Result<(), Inconsistent> {
        match self {
            Self::Root(ContentRoot::Apart { crypttext, .. }) | Self::Node { crypttext, .. }
                if leaf != crypttext =>
            {
                Err(Inconsistent::Crypttext { segment })
            }
            _ => Ok(()),
        }
    }

    /// Checks the plaintext leaf, and whatever is not checked yet.
    pub(crate) fn check(
        &self,
        crypttext_leaf: &Hash,
        plaintext_leaf: &Hash,
        segment: u64,
    ) -> Result<(), Inconsistent> {
        self.check_crypttext(crypttext_leaf, segment)?;
        let is_right = match self {
            Self::Root(ContentRoot::Apart { plaintext, .. }) => plaintext == plaintext_leaf,
            Self::Node { plaintext, .. } => plaintext == hash::short(plaintext_leaf),
            Self::Root(ContentRoot::Joined(root)) => {
                if hash::content_root(crypttext_leaf, plaintext_leaf) != *root {
                    return Err(Inconsistent::Content { segment });
                }
                true
            }
        };
        is_right
            .then_some(())
            .ok_or(Inconsistent::Plaintext { segment })
    }
}

/// Some ranges of a share, end to end.
pub(crate) struct Sparse<'a> {
    pub(crate) ranges: &'a [Range<u64>],
    pub(crate) bytes: &'a [u8],
}

impl<'a> Sparse<'a> {
    /// The bytes of a range that lies within one of the ranges.
    pub(crate) fn slice(&self, range: Range<u64>) -> &'a [u8] {
        let start = locate(self.ranges, range.start);
        let len = num::len(range.end - range.start).expect("it is in memory");
        &self.bytes[start..start + len]
    }
}

/// Where a byte of the share is when these ranges are laid end to end.
pub(crate) fn locate(ranges: &[Range<u64>], offset: u64) -> usize {
    let mut before = 0;
    for range in ranges {
        if offset < range.end {
            let index = before + offset.checked_sub(range.start).expect("within a range");
            return num::len(index).expect("it is in memory");
        }
        before += range.end - range.start;
    }
    unreachable!("the ranges hold what is looked for in them")
}

/// Computes the hashes over the run, from the leaves up.
struct Check<'a> {
    proof: &'a Proof,
    bytes: &'a Sparse<'a>,
    proved: Proved,
}

impl Check<'_> {
    /// The node at `subtree`: read if it stands beside the run, computed if it stands over it.
    fn node(&mut self, subtree: Subtree) -> Result<Node, Damage> {
        if subtree.is_apart_from(&self.proof.run) {
            let node = self.stored(self.proof.geometry.node(subtree));
            self.proved.nodes.push((subtree, node));
            return Ok(node);
        }
        match subtree.children() {
            Some((left, right)) => {
                let (left, right) = (self.node(left)?, self.node(right)?);
                Ok(Node::join(&left, &right).to_stored())
            }
            None => self.leaf(subtree),
        }
    }

    /// Checks what one share can of the leaf of a segment: the hash of its block. The hashes of the
    /// whole segment are taken from the share, and compared when the segment has been decoded.
    fn leaf(&mut self, subtree: Subtree) -> Result<Node, Damage> {
        let stored = self.stored(self.proof.geometry.node(subtree));
        let block = self.block_leaf(subtree.first);
        if stored.block != *hash::short(&block) {
            let segment = subtree.first;
            return Err(Damage::Block { segment });
        }
        self.proved.leaves.push(Leaf {
            block,
            content: Content::Node {
                crypttext: stored.crypttext,
                plaintext: stored.plaintext,
            },
        });
        Ok(stored)
    }

    fn block_leaf(&self, segment: u64) -> Hash {
        hash::block_leaf(
            segment,
            self.bytes.slice(self.proof.geometry.block(segment)),
        )
    }

    fn stored(&self, range: Range<u64>) -> Node {
        let bytes = self.bytes.slice(range);
        Node::from_bytes(bytes.try_into().expect("a node's range is a node long"))
    }
}

/// Two ranges with a gap of at most so many bytes are requested as one, gap included.
const GAP_SIZE: u64 = 512;
