//! The share hash chain: what ties the block hash tree of a share to the root of the file.
//!
//! ```text
//! 0  2   number of a node of the share hash tree (numbered as in `tree.rs`), big-endian
//! 2  32  the node
//! ```
//!
//! It has the siblings of all nodes on the way from the leaf of the share to the root. In CHK shares
//! it also has that leaf, which is the root of the block hash tree; in mutable ones it has not. The
//! order is any. So in CHK shares, two neighbours have the same nodes, and their block hash trees say
//! which is which.

use lafs::{ShareNumber, num};

use crate::tahoe::hash::{self, Hash};
use crate::verdict::{Damage, What};

/// Size of an entry.
pub(crate) const ENTRY_LEN: usize = 34;

/// A chain, and where it is in the share.
pub(crate) struct Chain<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) offset: u64,
    pub(crate) has_leaf: bool,
}

/// How many bytes the chain of each share of a file has.
pub(crate) fn len(total: u16, has_leaf: bool) -> usize {
    let levels = usize::from(total).next_power_of_two().ilog2();
    (usize::try_from(levels).expect("at most 8") + usize::from(has_leaf)) * ENTRY_LEN
}

impl Chain<'_> {
    /// Checks that the chain is that of the share with this number, and leads from the root of its
    /// block tree to the root of the file. `total` is more than the number.
    pub(crate) fn check(
        &self,
        number: ShareNumber,
        total: u16,
        block_root: &Hash,
        root: &Hash,
    ) -> Result<(), Damage> {
        debug_assert_eq!(self.bytes.len(), len(total, self.has_leaf));
        let width = usize::from(total).next_power_of_two();
        let entries = self.entries();
        if !is_of(&entries, width, number.index(), self.has_leaf) {
            return Err(self.other(&entries, width, number, block_root));
        }
        let mut node = width - 1 + number.index();
        if self.has_leaf {
            let (offset, leaf) = find(&entries, node).expect("the entries are those of the number");
            if leaf != *block_root {
                let neighbour = (node > 0).then(|| sibling(node));
                let found = neighbour.and_then(|node| find(&entries, node));
                return Err(match found {
                    Some((_, hash)) if hash == *block_root => {
                        self.other(&entries, width, number, block_root)
                    }
                    _ => Damage::new(What::ShareChain, offset, block_root, &leaf),
                });
            }
        }
        let mut hash = *block_root;
        while node > 0 {
            let (_, beside) = find(&entries, sibling(node)).expect("as before");
            hash = match node % 2 {
                1 => hash::node(&hash, &beside),
                _ => hash::node(&beside, &hash),
            };
            node = (node - 1) / 2;
        }
        if hash != *root {
            return Err(Damage::new(What::ShareRoot, self.offset, root, &hash));
        }
        Ok(())
    }

    fn entries(&self) -> Vec<Entry> {
        let chunks = self.bytes.chunks_exact(ENTRY_LEN);
        chunks
            .enumerate()
            .map(|(index, chunk)| {
                let (node, hash) = chunk.split_first_chunk().expect("an entry is 34 bytes");
                Entry {
                    offset: self.offset + num::size(index * ENTRY_LEN),
                    node: u16::from_be_bytes(*node).into(),
                    hash: hash.try_into().expect("32 are left"),
                }
            })
            .collect()
    }

    /// What is wrong if it is not the chain of this share.
    fn other(
        &self,
        entries: &[Entry],
        width: usize,
        number: ShareNumber,
        block_root: &Hash,
    ) -> Damage {
        let is_leaf = |other: &ShareNumber| {
            let leaf = find(entries, width - 1 + other.index());
            leaf.is_some_and(|(_, hash)| hash == *block_root)
        };
        let others: Vec<_> = (0..width)
            .filter_map(ShareNumber::from_index)
            .filter(|other| is_of(entries, width, other.index(), self.has_leaf))
            .collect();
        let other = others.iter().find(|other| is_leaf(other));
        if let Some(other) = other.or(others.first()) {
            let [expected, found] = [number, *other].map(|number| u64::from(number.as_u8()));
            return Damage::new(What::OtherNumber, self.offset, expected, found);
        }
        let expected = nodes_of(width, number.index(), self.has_leaf);
        let stray = |entry: &&Entry| {
            let twice = entries.iter().filter(|other| other.node == entry.node);
            !expected.contains(&entry.node) || twice.count() > 1
        };
        let entry = entries.iter().find(stray);
        let missing = expected.iter().find(|node| find(entries, **node).is_none());
        match (entry, missing) {
            (Some(entry), Some(missing)) => Damage::new(
                What::ShareChain,
                entry.offset,
                num::size(*missing),
                num::size(entry.node),
            ),
            _ => Damage::new(What::ShareChain, self.offset, "each node once", "another"),
        }
    }
}

struct Entry {
    offset: u64,
    node: usize,
    hash: Hash,
}

/// Whether these are the entries of the share with this number: each node once.
fn is_of(entries: &[Entry], width: usize, number: usize, has_leaf: bool) -> bool {
    let nodes = nodes_of(width, number, has_leaf);
    nodes.len() == entries.len() && nodes.iter().all(|node| find(entries, *node).is_some())
}

/// The nodes in the chain of a share, from the leaf up.
fn nodes_of(width: usize, number: usize, has_leaf: bool) -> Vec<usize> {
    let mut node = width - 1 + number;
    let mut nodes = Vec::new();
    if has_leaf {
        nodes.push(node);
    }
    while node > 0 {
        nodes.push(sibling(node));
        node = (node - 1) / 2;
    }
    nodes
}

fn find(entries: &[Entry], node: usize) -> Option<(u64, Hash)> {
    let entry = entries.iter().find(|entry| entry.node == node)?;
    Some((entry.offset, entry.hash))
}

/// The other node below the same one: nodes with odd numbers are on the left.
fn sibling(node: usize) -> usize {
    if node % 2 == 1 { node + 1 } else { node - 1 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tahoe::tree::tests::stored;

    /// The root over these leaves, and the chain of one of them, in ascending order.
    pub(crate) fn chain(leaves: &[Hash], number: usize, has_leaf: bool) -> (Hash, Vec<u8>) {
        let tree = stored(leaves);
        let mut nodes = nodes_of(leaves.len().next_power_of_two(), number, has_leaf);
        nodes.sort_unstable();
        let entry = |node: &usize| {
            let number = u16::try_from(*node).unwrap().to_be_bytes();
            [number.as_slice(), &tree[*node]].concat()
        };
        (tree[0], nodes.iter().flat_map(entry).collect())
    }

    fn check(
        bytes: &[u8],
        total: usize,
        number: usize,
        has_leaf: bool,
        leaf: &Hash,
        root: &Hash,
    ) -> Result<(), Damage> {
        let chain = Chain {
            bytes,
            offset: 100,
            has_leaf,
        };
        let number = ShareNumber::from_index(number).unwrap();
        chain.check(number, total.try_into().unwrap(), leaf, root)
    }

    // Examples of Tahoe-LAFS.
    #[test]
    fn the_nodes_are_those_that_tahoe_writes() {
        for (number, nodes) in [
            (0, [2, 4, 8, 15, 16]),
            (5, [2, 3, 10, 19, 20]),
            (9, [1, 6, 12, 23, 24]),
        ] {
            let mut found = nodes_of(16, number, true);
            found.sort_unstable();
            assert_eq!(found, nodes);
        }
        assert_eq!(nodes_of(1, 0, true), [0]);
        assert!(nodes_of(1, 0, false).is_empty());
    }

    #[test]
    fn every_chain_leads_to_the_root_and_every_changed_byte_is_found() {
        for total in [1, 2, 3, 10, 16, 17, 256_usize] {
            let leaves: Vec<Hash> = (0..total)
                .map(|index| hash::tagged("leaf", &index.to_be_bytes()))
                .collect();
            for (number, has_leaf) in [(0, true), (total / 2, false), (total - 1, true)] {
                let leaf = &leaves[number];
                let (root, good) = chain(&leaves, number, has_leaf);
                assert_eq!(good.len(), len(total.try_into().unwrap(), has_leaf));
                assert_eq!(check(&good, total, number, has_leaf, leaf, &root), Ok(()));
                for at in 0..good.len() {
                    let mut changed = good.clone();
                    changed[at] ^= 0x40;
                    let checked = check(&changed, total, number, has_leaf, leaf, &root);
                    assert!(checked.is_err(), "byte {at}, share {number} of {total}");
                }
                if total > 1 {
                    let other = number ^ 1;
                    let damage = check(&good, total, other, has_leaf, leaf, &root).unwrap_err();
                    assert_eq!(damage.what, What::OtherNumber);
                    assert_eq!(damage.found, num::size(number).into());
                }
            }
        }
    }

    #[test]
    fn a_node_that_comes_twice_is_found() {
        let leaves = [[1; 32], [2; 32], [3; 32]];
        let (root, mut bytes) = chain(&leaves, 0, false);
        bytes.copy_within(..ENTRY_LEN, ENTRY_LEN);
        let damage = check(&bytes, 3, 0, false, &leaves[0], &root).unwrap_err();
        assert_eq!(damage, Damage::new(What::ShareChain, 100, 4_u64, 2_u64));
    }
}
