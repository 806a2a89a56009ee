//! Every hash of the native format that needs no key, each with a domain of its own.
//!
//! A domain is a BLAKE3 key made from a context string ([`blake3::derive_key`]), so that no input
//! of one purpose can be passed off as another's: a leaf for a node, a block for a UEB. The strings
//! are part of the format (`docs/native-format.md`, "Hashes").

use std::sync::LazyLock;

use lafs::cap::UebHash;
use lafs::cap::native::Version;
use lafs::{ShareNumber, StorageIndex};

/// A whole hash.
pub type Hash = [u8; 32];

/// The part of a hash that is kept where the integrity of a cap does not depend on it.
pub type ShortHash = [u8; SHORT_LEN];

/// Length of a short hash: a second preimage takes 2^128 work. Only the uploader could look for
/// collisions, and they cannot change a file: the crypttext tree has no short hashes.
pub const SHORT_LEN: usize = 16;

/// The root of each segment tree of an empty file, which has no leaves.
pub const EMPTY_ROOT: Hash = [0; 32];

/// Returns the part of a hash that is stored.
pub fn short(hash: &Hash) -> &ShortHash {
    hash.first_chunk().expect("16 is less than 32")
}

/// Leaf of a block hash tree: one block of one share.
pub fn block_leaf(segment: u64, block: &[u8]) -> Hash {
    leaf(&DOMAINS.block_leaf, segment, [block])
}

/// Begins the leaf of a block hash tree whose block comes in pieces; [`end_leaf`] ends it.
pub fn begin_block_leaf() -> blake3::Hasher {
    blake3::Hasher::new_keyed(&DOMAINS.block_leaf)
}

/// Leaf of the crypttext hash tree: the leaf hashes of all primary blocks of a segment.
///
/// It stands for the ciphertext, which is those blocks end to end, without a second pass over it.
pub fn crypttext_leaf<'a>(
    segment: u64,
    primary_blocks: impl IntoIterator<Item = &'a Hash>,
) -> Hash {
    leaf(
        &DOMAINS.crypttext_leaf,
        segment,
        primary_blocks.into_iter().map(<[u8; 32]>::as_slice),
    )
}

/// Inner node of a block hash tree.
pub fn block_node(left: &ShortHash, right: &ShortHash) -> Hash {
    short_node(&DOMAINS.block_node, left, right)
}

/// Inner node of the crypttext hash tree: whole hashes, because the integrity of caps depends on
/// it.
pub fn crypttext_node(left: &Hash, right: &Hash) -> Hash {
    let mut input = [0; 64];
    input[..32].copy_from_slice(left);
    input[32..].copy_from_slice(right);
    keyed(&DOMAINS.crypttext_node, &input)
}

/// Inner node of the plaintext hash tree. It needs no key, so that every byte of a share can be
/// verified without one.
pub fn plaintext_node(left: &ShortHash, right: &ShortHash) -> Hash {
    short_node(&DOMAINS.plaintext_node, left, right)
}

/// What a UEB of version 2 says of the roots of the crypttext and the plaintext tree. Whole,
/// because the integrity of caps depends on it.
pub fn content_root(crypttext: &Hash, plaintext: &Hash) -> Hash {
    let mut input = [0; 64];
    input[..32].copy_from_slice(crypttext);
    input[32..].copy_from_slice(plaintext);
    keyed(&DOMAINS.content, &input)
}

/// Leaf of the share hash tree.
///
/// It contains the storage index, the share number and the UEB. So a share in the wrong bucket,
/// under the wrong number, or with any byte changed, is found even without a capability, as by
/// fsck. `ueb_head` is the UEB without the root of this tree, which always has the same length.
pub fn share_leaf(
    version: Version,
    storage_index: StorageIndex,
    number: ShareNumber,
    ueb_head: &[u8],
    block_root: &Hash,
) -> Hash {
    let mut hasher = blake3::Hasher::new_keyed(match version {
        Version::V1 => &DOMAINS.share_leaf,
        Version::V2 => &DOMAINS.share_leaf_v2,
    });
    hasher.update(storage_index.as_bytes());
    hasher.update(&[number.as_u8()]);
    hasher.update(ueb_head);
    hasher.update(block_root);
    hasher.finalize().into()
}

/// Inner node of the share hash tree.
pub fn share_node(left: &ShortHash, right: &ShortHash) -> Hash {
    short_node(&DOMAINS.share_node, left, right)
}

/// What a cap holds of a UEB.
pub fn ueb_hash(version: Version, ueb: &[u8]) -> UebHash {
    let domain = match version {
        Version::V1 => &DOMAINS.ueb,
        Version::V2 => &DOMAINS.ueb_v2,
    };
    UebHash::new(keyed(domain, ueb))
}

/// The keys of all hashes that need no secret.
struct Domains {
    block_leaf: Hash,
    block_node: Hash,
    crypttext_leaf: Hash,
    crypttext_node: Hash,
    plaintext_node: Hash,
    share_leaf: Hash,
    share_leaf_v2: Hash,
    share_node: Hash,
    content: Hash,
    ueb: Hash,
    ueb_v2: Hash,
}

static DOMAINS: LazyLock<Domains> = LazyLock::new(|| {
    let domain = |context| blake3::derive_key(context, &[]);
    Domains {
        block_leaf: domain("tahoe-native 2026-11 block leaf v1"),
        block_node: domain("tahoe-native 2026-11 block node v1"),
        crypttext_leaf: domain("tahoe-native 2026-11 crypttext leaf v1"),
        crypttext_node: domain("tahoe-native 2026-11 crypttext node v1"),
        plaintext_node: domain("tahoe-native 2026-11 plaintext node v1"),
        share_leaf: domain("tahoe-native 2026-11 share leaf v1"),
        share_leaf_v2: domain("tahoe-native 2026-11 share leaf v2"),
        share_node: domain("tahoe-native 2026-11 share node v1"),
        content: domain("tahoe-native 2026-11 content v2"),
        ueb: domain("tahoe-native 2026-11 UEB v1"),
        ueb_v2: domain("tahoe-native 2026-11 UEB v2"),
    }
});

/// The leaf of a segment in the domain of this key.
///
/// The content first, so that it is hashed at full width from an aligned start; the number last.
pub fn leaf<'a>(key: &Hash, segment: u64, content: impl IntoIterator<Item = &'a [u8]>) -> Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in content {
        hasher.update(part);
    }
    end_leaf(hasher, segment)
}

/// Ends the leaf of a segment.
pub fn end_leaf(mut hasher: blake3::Hasher, segment: u64) -> Hash {
    hasher.update(&segment.to_be_bytes());
    hasher.finalize().into()
}

fn short_node(key: &Hash, left: &ShortHash, right: &ShortHash) -> Hash {
    let mut input = [0; 2 * SHORT_LEN];
    input[..SHORT_LEN].copy_from_slice(left);
    input[SHORT_LEN..].copy_from_slice(right);
    keyed(key, &input)
}

fn keyed(key: &Hash, input: &[u8]) -> Hash {
    blake3::keyed_hash(key, input).into()
}
