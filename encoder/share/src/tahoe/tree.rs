//! A hash tree that a share holds as a whole.
//!
//! ```text
//! node 0 is the root; the nodes below node i are 2 i + 1 and 2 i + 2
//! leaf j is node w - 1 + j, where w is the number of leaves, filled up to a power of two
//! ```
//!
//! All `2 w - 1` nodes are stored in this order, 32 bytes each. A tree of one leaf is that leaf, and so
//! is one of none (of an empty mutable file), which is filled up to one.

use std::io;

use crate::bytes::{Bytes, Window};
use crate::check::Stop;
use crate::tahoe::hash::{self, HASH_SIZE, Hash};
use crate::verdict::{Damage, What};

/// Where a tree is, and over how many leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredTree {
    pub(crate) offset: u64,
    pub(crate) leaf_count: u64,
    /// What is wrong with the share if something is wrong with it.
    pub(crate) what: What,
}

impl StoredTree {
    /// Size of a tree over so many leaves, or none if no file could hold it.
    pub(crate) fn size(leaf_count: u64) -> Option<u64> {
        let width = leaf_count.checked_next_power_of_two()?;
        (width.checked_mul(2)? - 1).checked_mul(HASH_SIZE)
    }

    /// Checks that each node is the hash of those below it, and that the root is this one, if one is
    /// given. Returns the root.
    ///
    /// What stands where leaves are filled up does not matter: it is below the root, and Tahoe's
    /// readers do not look at it. Clients that change a file in place can leave hashes there that were
    /// leaves of a longer version.
    ///
    /// It reads the tree twice, in ascending order: once as parents, once as children.
    pub(crate) fn check(&self, bytes: &dyn Bytes, root: Option<&Hash>) -> Result<Hash, Stop> {
        let mut parents = Window::new(bytes, PARENTS_LEN);
        let mut children = Window::new(bytes, 2 * PARENTS_LEN);
        let found: Hash = parents.array(self.node(0))?;
        if let Some(expected) = root.filter(|expected| **expected != found) {
            return Err(Damage::new(self.what, self.offset, expected, &found).into());
        }
        for index in 0..self.width() - 1 {
            let below: [u8; 64] = children.array(self.node(2 * index + 1))?;
            let (left, right) = below.split_at(32);
            let [left, right] = [left, right].map(|half| half.try_into().expect("half of 64"));
            let expected = hash::node(left, right);
            let found: Hash = parents.array(self.node(index))?;
            if found != expected {
                return Err(Damage::new(self.what, self.node(index), &expected, &found).into());
            }
        }
        Ok(found)
    }

    /// The leaves, to be read in ascending order.
    pub(crate) fn leaves<'a>(&self, bytes: &'a dyn Bytes) -> Leaves<'a> {
        Leaves {
            tree: *self,
            window: Window::new(bytes, PARENTS_LEN),
        }
    }

    fn width(&self) -> u64 {
        self.leaf_count.next_power_of_two()
    }

    fn leaf(&self, index: u64) -> u64 {
        self.node(self.width() - 1 + index)
    }

    fn node(&self, index: u64) -> u64 {
        self.offset + HASH_SIZE * index
    }
}

/// The leaves of a tree.
pub(crate) struct Leaves<'a> {
    tree: StoredTree,
    window: Window<'a>,
}

impl Leaves<'_> {
    /// The leaf with this number.
    pub(crate) fn read(&mut self, index: u64) -> io::Result<Hash> {
        self.window.array(self.tree.leaf(index))
    }
}

/// How much of a tree's parents is in memory.
const PARENTS_LEN: usize = 32 << 10;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The tree over these leaves, as it is stored.
    pub(crate) fn stored(leaves: &[Hash]) -> Vec<Hash> {
        let width = leaves.len().next_power_of_two();
        let mut nodes = vec![[0; 32]; 2 * width - 1];
        for index in 0..width {
            nodes[width - 1 + index] = match leaves.get(index) {
                Some(leaf) => *leaf,
                None => hash::filler(index.try_into().unwrap()),
            };
        }
        for index in (0..width - 1).rev() {
            nodes[index] = hash::node(&nodes[2 * index + 1], &nodes[2 * index + 2]);
        }
        nodes
    }

    fn check(nodes: &[Hash], leaf_count: u64) -> Result<Hash, Damage> {
        let mut bytes = vec![9; 5];
        bytes.extend(nodes.iter().flatten());
        let tree = StoredTree {
            offset: 5,
            leaf_count,
            what: What::BlockTree,
        };
        match tree.check(&bytes.as_slice(), None) {
            Ok(root) => Ok(root),
            Err(Stop::Damage(damage)) => Err(damage),
            Err(Stop::Read(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn a_tree_of_any_size_is_proved_and_each_changed_node_is_found() {
        for count in [0, 1, 2, 3, 4, 5, 8, 9, 31, 33_usize] {
            let leaves: Vec<Hash> = (0..count)
                .map(|index| hash::tagged("leaf", &[u8::try_from(index).unwrap()]))
                .collect();
            let good = stored(&leaves);
            let leaf_count = u64::try_from(count).unwrap();
            let size = u64::try_from(32 * good.len()).unwrap();
            assert_eq!(StoredTree::size(leaf_count), Some(size));
            assert_eq!(check(&good, leaf_count), Ok(good[0]));
            // The root, and a single leaf, are compared by others.
            for index in 0..good.len() {
                let mut changed = good.clone();
                changed[index][31] ^= 1;
                let is_found = check(&changed, leaf_count).is_err();
                assert!(is_found || (count <= 1 && index == 0), "{index} of {count}");
            }
        }
    }

    #[test]
    fn a_tree_that_is_too_large_has_no_size() {
        for count in [(1 << 58) + 1, 1 << 59, 1 << 63, u64::MAX] {
            assert_eq!(StoredTree::size(count), None);
        }
        assert!(StoredTree::size(1 << 58).is_some());
    }
}
