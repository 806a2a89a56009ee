//! The encoder: takes plaintext, and gives the bytes of all shares, front to back.

use lafs::cap::native::{ReadCap, ReadKey, Version};
use lafs::{Parameters, ShareNumber, StorageIndex, num};
use share::native::geometry::{Geometry, block_size};
use share::native::hash::{self, EMPTY_ROOT, Hash};
use share::native::node::{Node, Top};
use share::native::share_tree::ShareTree;
use share::native::trailer;
use share::native::tree::Frontier;
use share::native::ueb::{ContentRoot, UebHead};

use super::cipher::Cipher;
use super::codec::{Blocks, Code};
use super::key::PlaintextLeaves;

/// Encodes one file into its shares, a segment at a time.
///
/// The size of the file need not be known in advance, and memory does not depend on it: the encoder
/// holds the blocks of one segment, and one hash per level of each tree. Call
/// [`encode`](Self::encode) for each segment, then [`finish`](Self::finish). What they return for a
/// share number, one after the other, is that share from its first byte to its last.
pub struct Encoder {
    version: Version,
    parameters: Parameters,
    read_key: ReadKey,
    cipher: Cipher,
    plaintext_leaves: PlaintextLeaves,
    code: Code,
    /// The primary blocks of the current segment, end to end.
    ciphertext: Vec<u8>,
    file_size: u64,
    segment_count: u64,
    /// A short segment has been encoded: it was the last.
    ended: bool,
    block_trees: Vec<Frontier<Hash>>,
    crypttext_tree: Frontier<Hash>,
    plaintext_tree: Frontier<Hash>,
    /// The nodes that the segment before the current one completed.
    nodes: Nodes,
    /// The nodes that the current segment completed. They are held back until the next segment,
    /// because the last of them may be the root, which is not stored.
    nodes_held: Nodes,
}

impl Encoder {
    /// An encoder for one file, which is encrypted with this key. Its shares have the
    /// [current](Version::CURRENT) version.
    ///
    /// A key must be used for one file only: derive it from the file
    /// ([`ConvergentKey`](super::ConvergentKey)), or take 32 random bytes.
    #[must_use]
    pub fn new(read_key: ReadKey, parameters: Parameters) -> Self {
        Self::of_version(Version::CURRENT, read_key, parameters)
    }

    /// The same for any version. A key must be used for one version only: shares of two would have
    /// one name.
    #[must_use]
    pub fn of_version(version: Version, read_key: ReadKey, parameters: Parameters) -> Self {
        Self {
            version,
            parameters,
            cipher: Cipher::new(&read_key),
            plaintext_leaves: PlaintextLeaves::new(&read_key),
            read_key,
            code: Code::new(parameters),
            ciphertext: Vec::new(),
            file_size: 0,
            segment_count: 0,
            ended: false,
            block_trees: (0..parameters.total())
                .map(|_| Frontier::new(block_node))
                .collect(),
            crypttext_tree: Frontier::new(hash::crypttext_node),
            plaintext_tree: Frontier::new(plaintext_node),
            nodes: Nodes::default(),
            nodes_held: Nodes::default(),
        }
    }

    /// How the file is cut and spread.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Where the shares go.
    #[must_use]
    pub fn storage_index(&self) -> StorageIndex {
        self.read_key.storage_index()
    }

    /// Encodes the next segment.
    ///
    /// # Panics
    ///
    /// If `plaintext` is empty or longer than [`Parameters::segment_size`], if it follows a segment
    /// that was shorter than that, or if the file grows beyond [`Parameters::FILE_SIZE_MAX`].
    pub fn encode(&mut self, plaintext: &[u8]) -> Segment<'_> {
        let segment = self.admit(plaintext);
        let block_len = block_size(self.parameters, plaintext.len());
        self.ciphertext
            .resize(block_len * self.parameters.needed(), 0);
        let (ciphertext, padding) = self.ciphertext.split_at_mut(plaintext.len());
        self.cipher.segment(segment).apply_to(plaintext, ciphertext);
        padding.fill(0);
        let blocks = self.code.encode(&self.ciphertext, block_len);

        let block_leaves = block_leaves(self.parameters, segment, &blocks);
        let crypttext_leaf =
            hash::crypttext_leaf(segment, &block_leaves[..self.parameters.needed()]);
        let plaintext_leaf = self.plaintext_leaves.leaf(segment, [plaintext]);

        std::mem::swap(&mut self.nodes, &mut self.nodes_held);
        let nodes = &mut self.nodes_held;
        nodes.clear();
        self.crypttext_tree
            .push(crypttext_leaf, |node| nodes.crypttext.push(*node));
        self.plaintext_tree
            .push(plaintext_leaf, |node| nodes.plaintext.push(*node));
        for (tree, leaf) in self.block_trees.iter_mut().zip(block_leaves) {
            let mut completed = nodes.share();
            tree.push(leaf, |node| completed.push(node));
        }
        Segment {
            nodes: &self.nodes,
            blocks,
        }
    }

    /// Ends the file; returns the rest of its shares, and its capability.
    #[must_use]
    pub fn finish(mut self) -> Encoded {
        let mut nodes = Nodes::default();
        let crypttext_root = self
            .crypttext_tree
            .finish(|node| nodes.crypttext.push(*node))
            .unwrap_or(EMPTY_ROOT);
        let plaintext_root = self
            .plaintext_tree
            .finish(|node| nodes.plaintext.push(*node))
            .unwrap_or(EMPTY_ROOT);
        let head = UebHead {
            geometry: Geometry::of_version(self.version, self.parameters, self.file_size)
                .expect("admit checked the size"),
            content: ContentRoot::new(self.version, &crypttext_root, &plaintext_root),
        };
        let storage_index = self.read_key.storage_index();
        let mut share_leaves = Vec::with_capacity(self.parameters.total());
        for (number, tree) in numbers(self.parameters).zip(&mut self.block_trees) {
            let mut completed = nodes.share();
            let root = tree.finish(|node| completed.push(node));
            let root = root.unwrap_or(EMPTY_ROOT);
            share_leaves.push(head.share_leaf(storage_index, number, &root));
        }
        let share_tree = ShareTree::new(&share_leaves);
        let cap = ReadCap::of_version(
            self.version,
            self.read_key,
            head.ueb_hash(share_tree.root()),
            self.parameters,
            self.file_size,
        )
        .expect("admit checked the size");

        let mut endings = Vec::new();
        for number in numbers(self.parameters) {
            let start = endings.len();
            endings.extend_from_slice(self.nodes_held.of_share(number));
            endings.extend_from_slice(nodes.of_share(number));
            // The last node of all is the root: it is in the UEB, or hashed into it.
            let root = endings.len().saturating_sub(Node::LEN).max(start);
            endings.truncate(root);
            let chain = share_tree.chain(number);
            trailer::write(&head, share_tree.root(), chain, &mut endings);
        }
        Encoded {
            cap,
            ending_len: endings.len() / self.parameters.total(),
            endings,
        }
    }

    /// Checks that a segment may follow, counts it, and returns its number.
    fn admit(&mut self, plaintext: &[u8]) -> u64 {
        let (size, size_max) = (
            num::size(plaintext.len()),
            u64::from(self.parameters.segment_size()),
        );
        assert!(0 < size && size <= size_max, "a segment of {size} bytes");
        assert!(!self.ended, "a segment after the last");
        self.ended = size < size_max;
        self.file_size += size;
        assert!(
            self.file_size <= Parameters::FILE_SIZE_MAX,
            "a file of {} bytes",
            self.file_size
        );
        self.segment_count += 1;
        self.segment_count - 1
    }
}

/// What one segment adds to each share.
pub struct Segment<'a> {
    nodes: &'a Nodes,
    blocks: Blocks<'a>,
}

impl Segment<'_> {
    /// The next bytes of the share with this number: the first of these, then the second.
    ///
    /// # Panics
    ///
    /// If the file has no share with this number.
    #[must_use]
    pub fn share(&self, number: ShareNumber) -> [&[u8]; 2] {
        [
            self.nodes.of_share(number),
            self.blocks.block(number.index()),
        ]
    }
}

/// The end of an encoded file: the last bytes of its shares, and its capability.
#[derive(Debug)]
pub struct Encoded {
    cap: ReadCap,
    endings: Vec<u8>,
    ending_len: usize,
}

impl Encoded {
    /// The capability that reads the file.
    #[must_use]
    pub fn cap(&self) -> &ReadCap {
        &self.cap
    }

    /// The last bytes of the share with this number.
    ///
    /// # Panics
    ///
    /// If the file has no share with this number.
    #[must_use]
    pub fn share(&self, number: ShareNumber) -> &[u8] {
        let start = number.index() * self.ending_len;
        &self.endings[start..start + self.ending_len]
    }
}

/// Nodes that were completed together, as each share stores them.
#[derive(Default)]
struct Nodes {
    crypttext: Vec<Hash>,
    plaintext: Vec<Hash>,
    /// Stored nodes, those of one share after those of the other.
    bytes: Vec<u8>,
}

impl Nodes {
    fn clear(&mut self) {
        self.crypttext.clear();
        self.plaintext.clear();
        self.bytes.clear();
    }

    /// Begins the nodes of the next share. Those of the crypttext and plaintext trees must be
    /// there.
    fn share(&mut self) -> ShareNodes<'_> {
        ShareNodes {
            shared: self.crypttext.iter().zip(&self.plaintext),
            bytes: &mut self.bytes,
        }
    }

    fn of_share(&self, number: ShareNumber) -> &[u8] {
        let len = self.crypttext.len() * Node::LEN;
        let start = number.index() * len;
        &self.bytes[start..start + len]
    }
}

/// Appends the nodes of one share.
struct ShareNodes<'a> {
    shared: std::iter::Zip<std::slice::Iter<'a, Hash>, std::slice::Iter<'a, Hash>>,
    bytes: &'a mut Vec<u8>,
}

impl ShareNodes<'_> {
    fn push(&mut self, block: &Hash) {
        let (crypttext, plaintext) = self.shared.next().expect("all trees have one shape");
        let node = Top {
            block: *block,
            crypttext: *crypttext,
            plaintext: *plaintext,
        };
        self.bytes.extend_from_slice(&node.to_stored().to_bytes());
    }
}

/// The leaf of each block tree for one segment.
fn block_leaves(parameters: Parameters, segment: u64, blocks: &Blocks<'_>) -> Vec<Hash> {
    if parameters.needed() == 1 {
        // Every block is a copy of the first.
        return vec![hash::block_leaf(segment, blocks.block(0)); parameters.total()];
    }
    (0..parameters.total())
        .map(|index| hash::block_leaf(segment, blocks.block(index)))
        .collect()
}

fn block_node(left: &Hash, right: &Hash) -> Hash {
    hash::block_node(hash::short(left), hash::short(right))
}

fn plaintext_node(left: &Hash, right: &Hash) -> Hash {
    hash::plaintext_node(hash::short(left), hash::short(right))
}

fn numbers(parameters: Parameters) -> impl Iterator<Item = ShareNumber> {
    (0..parameters.total())
        .map(|index| ShareNumber::from_index(index).expect("a share number is one byte"))
}
