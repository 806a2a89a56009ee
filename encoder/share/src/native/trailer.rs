//! The end of a share: what ties its block hash tree to the cap.
//!
//! ```text
//! version 1                         version 2
//! 16 c   share hash chain           16 c   share hash chain: c = log2 of total, rounded up
//! 114    UEB                        32     content root
//!                                   8      check: the first bytes of the UEB's hash
//!                                   5 + f  description: what file it is of (`description.rs`)
//! ```
//!
//! With the chain, the hash of a block leads to the share root. In version 1 the share repeats that
//! root; in version 2 it does not, and the UEB's hash is computed with what the chain leads to. The
//! check is that hash, as much of it as is needed to find damage where there is no cap.

use lafs::cap::UebHash;
use lafs::cap::native::{VerifyCap, Version};
use lafs::{ShareNumber, StorageIndex};

use super::damage::Damage;
use super::description;
use super::geometry::{CHECK_LEN, Geometry};
use super::hash::{Hash, ShortHash};
use super::node::Top;
use super::share_tree;
use super::ueb::{self, ContentRoot, UebError, UebHead};

/// Appends the trailer of a share.
pub fn write<'a>(
    head: &UebHead,
    share_root: &Hash,
    chain: impl Iterator<Item = &'a ShortHash>,
    bytes: &mut Vec<u8>,
) {
    bytes.extend(chain.flatten());
    match &head.content {
        ContentRoot::Apart { .. } => {
            bytes.extend_from_slice(&head.to_bytes());
            bytes.extend_from_slice(share_root);
        }
        ContentRoot::Joined(root) => {
            bytes.extend_from_slice(root);
            bytes.extend_from_slice(&check_of(&head.ueb_hash(share_root)));
            description::write(&head.geometry, bytes);
        }
    }
}

/// Which share it is meant to be.
#[derive(Clone, Debug)]
pub struct ShareName {
    /// Its layout.
    pub geometry: Geometry,
    /// Its bucket.
    pub storage_index: StorageIndex,
    /// Which of the file's shares it is.
    pub number: ShareNumber,
    /// What the UEB must hash to; none without a cap.
    pub ueb_hash: Option<UebHash>,
}

impl ShareName {
    /// The share of this number of the file that the cap names.
    pub fn of_cap(cap: &VerifyCap, number: ShareNumber) -> Result<Self, Damage> {
        Self {
            geometry: cap.into(),
            storage_index: cap.storage_index(),
            number,
            ueb_hash: Some(*cap.ueb_hash()),
        }
        .exists()
    }

    /// Checks that the file has a share of this number.
    pub fn exists(self) -> Result<Self, Damage> {
        let total = self.geometry.parameters().total();
        if self.number.index() < total {
            Ok(self)
        } else {
            Err(Damage::NoSuchShare { total })
        }
    }
}

/// A trailer that is of the file that the name of the share names, or claims to be.
pub struct Trailer<'a> {
    head: UebHead,
    chain: &'a [u8],
    expected: Expected,
}

/// What the chain must lead to.
enum Expected {
    /// This share root, from a UEB whose hash is right if there is a cap.
    ShareRoot(Hash),
    /// A UEB of this hash.
    UebHash(UebHash),
    /// A UEB whose hash begins so.
    Check([u8; CHECK_LEN]),
}

impl<'a> Trailer<'a> {
    /// Checks what a trailer says of itself against the name of the share.
    pub fn check(name: &ShareName, trailer: &'a [u8]) -> Result<Self, Damage> {
        let chain_len = share_tree::chain_len(name.geometry.parameters());
        let (chain, rest) = trailer.split_at(chain_len);
        let (head, expected) = match name.geometry.version() {
            Version::V1 => check_v1(name, rest),
            Version::V2 => check_v2(name, rest),
        }?;
        if head.geometry != name.geometry {
            return Err(Damage::Parameters);
        }
        Ok(Self {
            head,
            chain,
            expected,
        })
    }

    /// What it says of the content of the file.
    pub fn content(&self) -> ContentRoot {
        self.head.content
    }

    /// Checks that the trees of the share have the roots that the cap promises.
    ///
    /// `segment` is for the report: near which segment the damage is.
    pub fn check_roots(&self, name: &ShareName, top: &Top, segment: u64) -> Result<(), Damage> {
        match &self.head.content {
            ContentRoot::Apart { crypttext, .. } if top.crypttext != *crypttext => {
                return Err(Damage::Crypttext { segment });
            }
            ContentRoot::Apart { plaintext, .. } if top.plaintext != *plaintext => {
                return Err(Damage::Plaintext { segment });
            }
            content => {
                let version = name.geometry.version();
                if ContentRoot::new(version, &top.crypttext, &top.plaintext) != *content {
                    return Err(Damage::Content { segment });
                }
            }
        }
        self.check_block_root(name, &top.block)
    }

    /// Checks the root of the block hash tree alone. Of a file of one segment, a share proves no
    /// other hash.
    pub fn check_block_root(&self, name: &ShareName, block: &Hash) -> Result<(), Damage> {
        if self.leads_to_root(name, name.number, block) {
            return Ok(());
        }
        let total = name.geometry.parameters().total();
        let other = (0..total)
            .filter_map(ShareNumber::from_index)
            .find(|other| self.leads_to_root(name, *other, block));
        Err(match other {
            Some(actual) => Damage::OtherNumber { actual },
            None => Damage::ShareRoot,
        })
    }

    /// The hash that a cap of the file must name, if the block root is right.
    #[must_use]
    pub fn ueb_hash(&self, name: &ShareName, block_root: &Hash) -> UebHash {
        self.head
            .ueb_hash(&self.share_root(name, name.number, block_root))
    }

    /// What the block root and the chain must lead to, and what they lead to.
    #[must_use]
    pub fn sides(&self, name: &ShareName, block_root: &Hash) -> (Vec<u8>, Vec<u8>) {
        self.sides_of(name, name.number, block_root)
    }

    fn leads_to_root(&self, name: &ShareName, number: ShareNumber, block_root: &Hash) -> bool {
        let (expected, found) = self.sides_of(name, number, block_root);
        expected == found
    }

    fn sides_of(
        &self,
        name: &ShareName,
        number: ShareNumber,
        block_root: &Hash,
    ) -> (Vec<u8>, Vec<u8>) {
        let root = self.share_root(name, number, block_root);
        let ueb_hash = || self.head.ueb_hash(&root);
        match &self.expected {
            Expected::ShareRoot(expected) => (expected.to_vec(), root.to_vec()),
            Expected::UebHash(expected) => {
                (expected.as_bytes().to_vec(), ueb_hash().as_bytes().to_vec())
            }
            Expected::Check(expected) => (expected.to_vec(), check_of(&ueb_hash()).to_vec()),
        }
    }

    fn share_root(&self, name: &ShareName, number: ShareNumber, block_root: &Hash) -> Hash {
        let leaf = self.head.share_leaf(name.storage_index, number, block_root);
        share_tree::root_of(number, leaf, self.chain)
    }
}

fn check_v1(name: &ShareName, ueb: &[u8]) -> Result<(UebHead, Expected), Damage> {
    let ueb = ueb.try_into().expect("cut to the length of a trailer");
    let (head, share_root) = ueb::parse_v1(ueb)?;
    let is_right = name
        .ueb_hash
        .is_none_or(|expected| head.ueb_hash(&share_root) == expected);
    if !is_right {
        return Err(Damage::OtherFile);
    }
    Ok((head, Expected::ShareRoot(share_root)))
}

fn check_v2(name: &ShareName, rest: &[u8]) -> Result<(UebHead, Expected), Damage> {
    const LEN: &str = "cut to the length of a trailer";
    let (content_root, rest) = rest.split_first_chunk().expect(LEN);
    let (check, description) = rest.split_first_chunk().expect(LEN);
    let head = UebHead {
        geometry: description::parse(description)?,
        content: ContentRoot::Joined(*content_root),
    };
    let expected = match name.ueb_hash {
        Some(expected) if check_of(&expected) != *check => return Err(Damage::OtherFile),
        Some(expected) => Expected::UebHash(expected),
        None => Expected::Check(*check),
    };
    Ok((head, expected))
}

fn check_of(ueb_hash: &UebHash) -> [u8; CHECK_LEN] {
    *ueb_hash
        .as_bytes()
        .first_chunk()
        .expect("a check is shorter than a hash")
}

impl Geometry {
    /// The layout of a share of `share_size` bytes, by what its end says.
    ///
    /// `ending` is its last bytes, [`ENDING_LEN`](Self::ENDING_LEN) of them or all. What it says is
    /// not proved by this, but by a [`ShareVerifier`](super::ShareVerifier).
    ///
    /// # Errors
    ///
    /// [`UebError`] names the rule that is broken.
    // The size of a share follows from what its end says. So an end that could be of two versions, as
    // one in 2^32 could by accident, is of the one that fits.
    pub fn of_share(share_size: u64, ending: &[u8]) -> Result<Self, UebError> {
        let first = match ending.last_chunk() {
            Some(ueb) => ueb::parse_v1(ueb).map(|(head, _)| head.geometry),
            None => Err(UebError::Magic),
        };
        let second = description::parse(ending);
        let fits = |geometry: &Self| geometry.share_size() == share_size;
        match (first, second) {
            (Ok(geometry), _) if fits(&geometry) => Ok(geometry),
            (_, Ok(geometry)) if fits(&geometry) => Ok(geometry),
            // The magic of version 1 is the longer mark.
            (Err(UebError::Magic), second) => second,
            (first, _) => first,
        }
    }
}
