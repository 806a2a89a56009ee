//! The nodes at one place of the three segment trees, which have one shape and are stored together.
//!
//! ```text
//! 0   16  block hash tree of this share
//! 16  32  crypttext hash tree
//! 48  16  plaintext hash tree
//! ```

use super::damage::Damage;
use super::geometry::NODE_SIZE;
use super::hash::{self, Hash, SHORT_LEN, ShortHash};

const _: () = assert!(NODE_SIZE == Node::LEN as u64);

/// A node as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Of the block hash tree of the share.
    pub block: ShortHash,
    /// Of the crypttext hash tree.
    pub crypttext: Hash,
    /// Of the plaintext hash tree.
    pub plaintext: ShortHash,
}

impl Node {
    /// Length of a stored node.
    pub const LEN: usize = 2 * SHORT_LEN + 32;

    /// The node that is stored in these bytes; all bytes are one.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let (block, rest) = bytes.split_first_chunk().expect("64 is more than 16");
        let (crypttext, rest) = rest.split_first_chunk().expect("48 is more than 32");
        Self {
            block: *block,
            crypttext: *crypttext,
            plaintext: rest.try_into().expect("16 are left"),
        }
    }

    /// The bytes in which it is stored.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(&self.block);
        bytes[16..48].copy_from_slice(&self.crypttext);
        bytes[48..].copy_from_slice(&self.plaintext);
        bytes
    }

    /// Says what is wrong if this is not the node that it should be.
    ///
    /// `segment` is for the report: near which segment the damage is.
    pub fn check(&self, expected: &Self, segment: u64) -> Result<(), Damage> {
        if self.block != expected.block {
            Err(Damage::Block { segment })
        } else if self.crypttext != expected.crypttext {
            Err(Damage::Crypttext { segment })
        } else if self.plaintext != expected.plaintext {
            Err(Damage::Plaintext { segment })
        } else {
            Ok(())
        }
    }

    /// The node above two others.
    pub fn join(left: &Self, right: &Self) -> Top {
        Top {
            block: hash::block_node(&left.block, &right.block),
            crypttext: hash::crypttext_node(&left.crypttext, &right.crypttext),
            plaintext: hash::plaintext_node(&left.plaintext, &right.plaintext),
        }
    }
}

/// A node whose hashes are whole, as those of the root are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// Of the block hash tree of the share.
    pub block: Hash,
    /// Of the crypttext hash tree.
    pub crypttext: Hash,
    /// Of the plaintext hash tree.
    pub plaintext: Hash,
}

impl Top {
    /// A whole node from a stored one; the bytes that are not stored are zeros, and never read.
    pub fn from_stored(node: Node) -> Self {
        let whole = |short: &ShortHash| {
            let mut hash = [0; 32];
            hash[..SHORT_LEN].copy_from_slice(short);
            hash
        };
        Self {
            block: whole(&node.block),
            crypttext: node.crypttext,
            plaintext: whole(&node.plaintext),
        }
    }

    /// What is stored of it.
    pub fn to_stored(self) -> Node {
        Node {
            block: *hash::short(&self.block),
            crypttext: self.crypttext,
            plaintext: *hash::short(&self.plaintext),
        }
    }
}
