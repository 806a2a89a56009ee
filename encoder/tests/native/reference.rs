//! The native format a second time, straight from `docs/native-format.md`: whole files in memory,
//! trees by recursion, the code by its formula. Slow, and sharing nothing with what it judges but
//! BLAKE3 and ChaCha20.

mod field;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

pub(crate) use self::field::Field;

type Hash = [u8; 32];

/// What becomes of a file.
pub(crate) struct Reference {
    pub(crate) storage_index: [u8; 16],
    pub(crate) ueb_hash: Hash,
    pub(crate) shares: Vec<Vec<u8>>,
}

/// The version of the format, as a number.
pub(crate) type Version = u8;

/// "Keys".
pub(crate) fn convergent_key(
    version: Version,
    secret: &Hash,
    (needed, total, segment_size): (usize, usize, usize),
    plaintext: &[u8],
) -> Hash {
    let mut input = secret.to_vec();
    input.extend(u16::try_from(needed).unwrap().to_be_bytes());
    input.extend(u16::try_from(total).unwrap().to_be_bytes());
    input.extend(u32::try_from(segment_size).unwrap().to_be_bytes());
    let key = blake3::derive_key(
        &format!("tahoe-native 2026-11 convergence v{version}"),
        &input,
    );
    *blake3::keyed_hash(&key, plaintext).as_bytes()
}

/// What an uploader can do who wants readers to disagree: everything is hashed after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malice {
    None,
    /// Secondary blocks do not go with the primary ones.
    Secondary,
    /// There is something behind the end of the file.
    Padding,
    /// The plaintext hashes are of another file.
    Plaintext,
}

/// All the rest.
pub(crate) fn encode(
    version: Version,
    field: &Field,
    read_key: &Hash,
    (needed, total, segment_size): (usize, usize, usize),
    plaintext: &[u8],
    malice: Malice,
) -> Reference {
    let storage_index = blake3::derive_key("tahoe-native 2026-11 storage index v1", read_key);
    let storage_index: [u8; 16] = storage_index[..16].try_into().unwrap();
    let segments: Vec<&[u8]> = plaintext.chunks(segment_size).collect();
    let blocks: Vec<Vec<Vec<u8>>> = (0..)
        .zip(&segments)
        .map(|(index, segment)| {
            let ciphertext = encrypt(read_key, index, segment);
            blocks(field, (needed, total), &ciphertext, malice)
        })
        .collect();

    let plaintext_leaves: Vec<Hash> = (0..)
        .zip(&segments)
        .map(|(index, segment)| {
            let key = blake3::derive_key("tahoe-native 2026-11 plaintext leaf v1", read_key);
            match malice {
                Malice::Plaintext => leaf(&key, b"another file", index),
                _ => leaf(&key, segment, index),
            }
        })
        .collect();
    let block_leaves: Vec<Vec<Hash>> = (0..total)
        .map(|number| {
            (0..)
                .zip(&blocks)
                .map(|(index, blocks)| leaf(&domain("block leaf"), &blocks[number], index))
                .collect()
        })
        .collect();
    let crypttext_leaves: Vec<Hash> = (0..segments.len())
        .map(|index| {
            let primary = block_leaves[..needed].iter();
            let leaves: Vec<u8> = primary.flat_map(|leaves| leaves[index]).collect();
            leaf(
                &domain("crypttext leaf"),
                &leaves,
                u64::try_from(index).unwrap(),
            )
        })
        .collect();
    let plaintext_tree = tree("plaintext node", 16, &plaintext_leaves);
    let crypttext_tree = tree("crypttext node", 32, &crypttext_leaves);
    let block_trees: Vec<Tree> = block_leaves
        .iter()
        .map(|leaves| tree("block node", 16, leaves))
        .collect();

    let mut ueb = format!("TLN{version}").into_bytes();
    ueb.push(u8::try_from(needed - 1).unwrap());
    ueb.push(u8::try_from(total - 1).unwrap());
    ueb.extend(u32::try_from(segment_size).unwrap().to_be_bytes());
    ueb.extend(u64::try_from(plaintext.len()).unwrap().to_be_bytes());
    let roots = [crypttext_tree.root, plaintext_tree.root].concat();
    let content_root = blake3::keyed_hash(&domain_of(2, "content"), &roots);
    match version {
        1 => ueb.extend(roots),
        _ => ueb.extend(content_root.as_bytes()),
    }
    let share_leaves: Vec<Vec<u8>> = (0..total)
        .map(|number| {
            let mut input = storage_index.to_vec();
            input.push(u8::try_from(number).unwrap());
            input.extend(&ueb);
            input.extend(block_trees[number].root);
            blake3::keyed_hash(&domain_of(version, "share leaf"), &input)
                .as_bytes()
                .to_vec()
        })
        .collect();
    ueb.extend(share_node(&share_leaves, 0..total.next_power_of_two()));
    let ueb_hash = *blake3::keyed_hash(&domain_of(version, "UEB"), &ueb).as_bytes();

    let shares = (0..total)
        .map(|number| {
            let mut share = Vec::new();
            for (index, blocks) in blocks.iter().enumerate() {
                share.extend(&blocks[number]);
                // The nodes that come after this block and before the next.
                let trees = [&block_trees[number], &crypttext_tree, &plaintext_tree];
                for node in 0..trees[0].nodes.len() {
                    let stored = trees.map(|tree| &tree.nodes[node]);
                    if stored[0].after == index {
                        share.extend(&stored[0].hash[..16]);
                        share.extend(&stored[1].hash);
                        share.extend(&stored[2].hash[..16]);
                    }
                }
            }
            let mut width = 1;
            while width < total {
                let sibling = (number / width) ^ 1;
                let below = sibling * width..(sibling + 1) * width;
                share.extend(&share_node(&share_leaves, below)[..16]);
                width *= 2;
            }
            if version == 1 {
                share.extend(&ueb);
                return share;
            }
            share.extend(content_root.as_bytes());
            share.extend(&ueb_hash[..8]);
            // The description.
            share.push(u8::try_from(needed - 1).unwrap());
            share.push(u8::try_from(total - 1).unwrap());
            let units = segment_size / needed / 64;
            share.extend(u16::try_from(units - 1).unwrap().to_be_bytes());
            let mut size = plaintext.len();
            let mut size_bytes = Vec::new();
            while size > 0 {
                size_bytes.insert(0, u8::try_from(size % 256).unwrap());
                size /= 256;
            }
            share.extend(&size_bytes);
            share.push(0x20 + u8::try_from(size_bytes.len()).unwrap());
            share
        })
        .collect();
    Reference {
        storage_index,
        ueb_hash,
        shares,
    }
}

/// "Capabilities": the text with its check, of one without.
pub(crate) fn checked(text: &str) -> String {
    let mut remainder = u32::MAX;
    for byte in text.bytes() {
        remainder ^= u32::from(byte);
        for _ in 0..8 {
            let odd = remainder & 1 == 1;
            remainder >>= 1;
            if odd {
                remainder ^= 0xedb8_8320;
            }
        }
    }
    let mut bits = u64::from(!remainder) << 3;
    let mut check = String::new();
    for _ in 0..7 {
        let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
        let value = usize::try_from(bits >> 30).unwrap();
        check.push(char::from(alphabet[value]));
        bits = bits << 5 & ((1 << 35) - 1);
    }
    let prefix_len = 1 + text.match_indices(':').nth(1).unwrap().0;
    let (prefix, fields) = text.split_at(prefix_len);
    format!("{prefix}{check}:{fields}")
}

/// "Encryption".
fn encrypt(read_key: &Hash, index: u64, segment: &[u8]) -> Vec<u8> {
    let key = blake3::derive_key("tahoe-native 2026-11 cipher key v1", read_key);
    let mut nonce = vec![0; 4];
    nonce.extend(index.to_be_bytes());
    let mut ciphertext = segment.to_vec();
    ChaCha20::new_from_slices(&key, &nonce)
        .unwrap()
        .apply_keystream(&mut ciphertext);
    ciphertext
}

/// "Erasure code".
fn blocks(
    field: &Field,
    (needed, total): (usize, usize),
    ciphertext: &[u8],
    malice: Malice,
) -> Vec<Vec<u8>> {
    let block_len = ciphertext.len().div_ceil(needed).next_multiple_of(2);
    let mut padded = ciphertext.to_vec();
    padded.resize(block_len * needed, u8::from(malice == Malice::Padding));
    let mut blocks: Vec<Vec<u8>> = padded.chunks(block_len).map(<[u8]>::to_vec).collect();
    for row in 0..total - needed {
        let mut block = vec![u8::from(malice == Malice::Secondary); block_len];
        for (column, primary) in blocks[..needed].iter().enumerate() {
            let coefficient = field.coefficient((needed, total), row, column);
            field.add_product(&mut block, primary, coefficient);
        }
        blocks.push(block);
    }
    blocks
}

fn domain(name: &str) -> Hash {
    domain_of(1, name)
}

fn domain_of(version: Version, name: &str) -> Hash {
    blake3::derive_key(&format!("tahoe-native 2026-11 {name} v{version}"), &[])
}

fn leaf(key: &Hash, content: &[u8], index: u64) -> Hash {
    let mut input = content.to_vec();
    input.extend(index.to_be_bytes());
    *blake3::keyed_hash(key, &input).as_bytes()
}

/// A segment tree.
struct Tree {
    /// All but the root, in the order in which they are stored.
    nodes: Vec<StoredNode>,
    root: Hash,
}

struct StoredNode {
    hash: Hash,
    /// The block that it is stored behind.
    after: usize,
}

/// "Segment trees".
fn tree(name: &str, kept: usize, leaves: &[Hash]) -> Tree {
    let mut nodes = Vec::new();
    if leaves.is_empty() {
        return Tree {
            nodes,
            root: [0; 32],
        };
    }
    collect(&domain(name), kept, leaves, 0..leaves.len(), &mut nodes);
    let root = nodes.pop().unwrap().hash;
    Tree { nodes, root }
}

/// The nodes below and at a node, in post-order. A node is complete with its last leaf.
fn collect(
    key: &Hash,
    kept: usize,
    leaves: &[Hash],
    below: std::ops::Range<usize>,
    nodes: &mut Vec<StoredNode>,
) -> Hash {
    let hash = if below.len() == 1 {
        leaves[below.start]
    } else {
        let middle = below.start + below.len().next_power_of_two() / 2;
        let left = collect(key, kept, leaves, below.start..middle, nodes);
        let right = collect(key, kept, leaves, middle..below.end, nodes);
        *blake3::keyed_hash(key, &[&left[..kept], &right[..kept]].concat()).as_bytes()
    };
    nodes.push(StoredNode {
        hash,
        after: below.end - 1,
    });
    hash
}

/// "Share tree".
fn share_node(leaves: &[Vec<u8>], below: std::ops::Range<usize>) -> Vec<u8> {
    if below.len() == 1 {
        return leaves.get(below.start).cloned().unwrap_or(vec![0; 32]);
    }
    // Filled up with leaves of zeros; nothing stands over them but hashes.
    let middle = below.start + below.len() / 2;
    let left = share_node(leaves, below.start..middle);
    let right = share_node(leaves, middle..below.end);
    let input = [&left[..16], &right[..16]].concat();
    blake3::keyed_hash(&domain("share node"), &input)
        .as_bytes()
        .to_vec()
}
