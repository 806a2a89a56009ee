//! The shape of the segment trees: RFC 6962 section 2.1, grown one leaf at a time.
//!
//! The left child of a node over n leaves stands over the largest power of two less than n. Nodes
//! are completed and stored in post-order. The writer keeps one node per level: a few kilobytes for
//! a file of any size.

use std::ops::Range;

/// Some consecutive leaves that stand under one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subtree {
    /// Its first leaf.
    pub first: u64,
    /// The leaf after its last.
    pub end: u64,
}

impl Subtree {
    /// The whole tree.
    pub fn root(leaf_count: u64) -> Self {
        Self {
            first: 0,
            end: leaf_count,
        }
    }

    /// Whether all of these leaves stand under it.
    pub fn contains(self, leaves: &Range<u64>) -> bool {
        self.first <= leaves.start && leaves.end <= self.end
    }

    /// Whether none of these leaves stands under it.
    pub fn is_apart_from(self, leaves: &Range<u64>) -> bool {
        self.end <= leaves.start || leaves.end <= self.first
    }

    /// How many leaves stand under it.
    pub fn leaf_count(self) -> u64 {
        self.end - self.first
    }

    /// The two nodes below this one; a leaf has none.
    pub fn children(self) -> Option<(Self, Self)> {
        if self.leaf_count() < 2 {
            return None;
        }
        let middle = self.first + (1 << (self.leaf_count() - 1).ilog2());
        Some((
            Self {
                end: middle,
                ..self
            },
            Self {
                first: middle,
                ..self
            },
        ))
    }

    /// Its place among all nodes of a tree of `leaf_count` leaves, in the order of completion.
    ///
    /// A perfect subtree is completed with its last leaf, after the nodes of everything before it
    /// and its own descendants. The others stand on the right edge: they are completed after all
    /// the perfect ones, the one with the fewest leaves first.
    pub fn position(self, leaf_count: u64) -> u64 {
        if self.leaf_count().is_power_of_two() {
            nodes_before(self.first) + 2 * self.leaf_count() - 2
        } else {
            debug_assert_eq!(self.end, leaf_count, "only the right edge is imperfect");
            nodes_before(leaf_count) + u64::from(self.leaf_count().count_ones()) - 2
        }
    }
}

/// How many nodes are completed before the leaf `leaf`, the nodes of all perfect subtrees so far.
pub fn nodes_before(leaf: u64) -> u64 {
    2 * leaf - u64::from(leaf.count_ones())
}

/// A growing tree, of which only the right edge is kept.
pub struct Frontier<T> {
    join: fn(&T, &T) -> T,
    /// Roots of the perfect subtrees so far, the largest first: one for each bit of `leaf_count`.
    peaks: Vec<T>,
    leaf_count: u64,
}

impl<T> Frontier<T> {
    /// A tree without leaves, whose inner nodes are made by `join`.
    pub fn new(join: fn(&T, &T) -> T) -> Self {
        Self {
            join,
            peaks: Vec::new(),
            leaf_count: 0,
        }
    }

    /// Adds a leaf, and calls `completed` for each node that it completes, the leaf first.
    pub fn push(&mut self, leaf: T, mut completed: impl FnMut(&T)) {
        completed(&leaf);
        let mut node = leaf;
        for _ in 0..self.leaf_count.trailing_ones() {
            let left = self.peaks.pop().expect("one peak for each bit set");
            node = (self.join)(&left, &node);
            completed(&node);
        }
        self.peaks.push(node);
        self.leaf_count += 1;
    }

    /// Joins what is left, calls `completed` for each node that this completes, and returns the
    /// root, if there are leaves.
    ///
    /// The last completed node, here or in the last [`push`](Self::push), is the root.
    pub fn finish(&mut self, mut completed: impl FnMut(&T)) -> Option<T> {
        let mut node = self.peaks.pop()?;
        while let Some(left) = self.peaks.pop() {
            node = (self.join)(&left, &node);
            completed(&node);
        }
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::hash::{self, Hash, short};

    fn block_node(left: &Hash, right: &Hash) -> Hash {
        hash::block_node(short(left), short(right))
    }

    /// RFC 6962 section 2.1, as it is written there.
    fn root_by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [leaf] => *leaf,
            _ => {
                let middle = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(middle);
                block_node(&root_by_definition(left), &root_by_definition(right))
            }
        }
    }

    // Readers compute where a node is; writers only ever append. Both must mean the same node.
    #[test]
    fn nodes_come_out_at_the_position_that_arithmetic_gives_them() {
        let leaves: Vec<Hash> = (0..70).map(|n| [n; 32]).collect();
        for count in 0..=leaves.len() {
            let leaves = &leaves[..count];
            let mut frontier = Frontier::new(block_node);
            let mut completed = Vec::new();
            for leaf in leaves {
                let before = nodes_before(frontier.leaf_count);
                assert_eq!(u64::try_from(completed.len()), Ok(before));
                frontier.push(*leaf, |node| completed.push(*node));
            }
            let root = frontier.finish(|node| completed.push(*node));
            assert_eq!(
                root,
                (count > 0).then(|| root_by_definition(leaves)),
                "{count} leaves"
            );
            assert_eq!(completed.len(), (2 * count).saturating_sub(1));

            let mut open = vec![Subtree::root(leaves.len().try_into().unwrap())];
            while let Some(subtree) = open.pop().filter(|subtree| subtree.leaf_count() > 0) {
                let range =
                    usize::try_from(subtree.first).unwrap()..usize::try_from(subtree.end).unwrap();
                let position = subtree.position(count.try_into().unwrap());
                assert_eq!(
                    completed[usize::try_from(position).unwrap()],
                    root_by_definition(&leaves[range]),
                    "{subtree:?} of {count}"
                );
                if let Some((left, right)) = subtree.children() {
                    open.extend([left, right]);
                }
            }
        }
    }
}
