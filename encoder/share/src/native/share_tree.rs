//! The share hash tree: its leaves are the shares, its root is the last field of the UEB.
//!
//! A perfect binary tree over `total` leaves, filled up to a power of two with hashes of zeros, so
//! that every share has a chain of the same length: the siblings on the way from its leaf to the
//! root, the lowest first.

use lafs::{Parameters, ShareNumber};

use super::hash::{self, Hash, SHORT_LEN, ShortHash};

/// All nodes of a share hash tree.
pub struct ShareTree {
    /// The leaves, then each level above them.
    levels: Vec<Vec<ShortHash>>,
    root: Hash,
}

impl ShareTree {
    /// Builds the tree over these leaves, at least one.
    pub fn new(leaves: &[Hash]) -> Self {
        if let [leaf] = leaves {
            return Self {
                levels: Vec::new(),
                root: *leaf,
            };
        }
        let mut level: Vec<ShortHash> = leaves.iter().map(|leaf| *hash::short(leaf)).collect();
        level.resize(leaves.len().next_power_of_two(), [0; SHORT_LEN]);
        let mut levels = Vec::new();
        loop {
            let pairs = level.chunks_exact(2);
            let above: Vec<Hash> = pairs
                .map(|pair| hash::share_node(&pair[0], &pair[1]))
                .collect();
            levels.push(level);
            if let [root] = *above {
                return Self { levels, root };
            }
            level = above.iter().map(|node| *hash::short(node)).collect();
        }
    }

    /// The node over all leaves.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The share hash chain of a share.
    pub fn chain(&self, number: ShareNumber) -> impl Iterator<Item = &ShortHash> {
        let mut index = number.index();
        self.levels.iter().map(move |level| {
            let sibling = &level[index ^ 1];
            index /= 2;
            sibling
        })
    }
}

/// Length of a share hash chain: a hash for each level of the tree below its root.
pub fn chain_len(parameters: Parameters) -> usize {
    let levels = parameters.total().next_power_of_two().ilog2();
    usize::try_from(levels).expect("at most 8") * SHORT_LEN
}

/// The root that a leaf and its chain lead to.
pub fn root_of(number: ShareNumber, leaf: Hash, chain: &[u8]) -> Hash {
    debug_assert_eq!(chain.len() % SHORT_LEN, 0);
    let mut index = number.index();
    let mut node = leaf;
    for sibling in chain.chunks_exact(SHORT_LEN) {
        let sibling = sibling.try_into().expect("cut to this length");
        node = if index % 2 == 0 {
            hash::share_node(hash::short(&node), sibling)
        } else {
            hash::share_node(sibling, hash::short(&node))
        };
        index /= 2;
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_leads_to_the_root_and_only_from_its_own_leaf() {
        for total in [1, 2, 3, 4, 5, 10, 16, 17, 255, 256_usize] {
            let leaves: Vec<Hash> = (0..total)
                .map(|index| hash::block_leaf(u64::try_from(index).unwrap(), b""))
                .collect();
            let tree = ShareTree::new(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let number = ShareNumber::from_index(index).unwrap();
                let chain: Vec<u8> = tree.chain(number).flatten().copied().collect();
                assert_eq!(
                    root_of(number, *leaf, &chain),
                    *tree.root(),
                    "{number} of {total}"
                );
                let other = ShareNumber::from_index(index ^ 1).unwrap();
                if total > 1 {
                    assert_ne!(root_of(other, *leaf, &chain), *tree.root());
                    assert_ne!(root_of(number, [9; 32], &chain), *tree.root());
                }
            }
        }
    }
}
