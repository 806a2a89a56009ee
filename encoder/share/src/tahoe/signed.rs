//! What mutable shares of both kinds have: a public key, a signature over the first bytes, and the
//! hashes that lead to the root that is signed.

use lafs::{ShareNumber, num};
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

use crate::bytes::Bytes;
use crate::check::Stop;
use crate::tahoe::blocks::{Blocks, Shape};
use crate::tahoe::chain::{self, Chain};
use crate::tahoe::der;
use crate::tahoe::hash::{self, Hash};
use crate::tahoe::tree::StoredTree;
use crate::verdict::{Damage, Kind, What, Whole};

/// Where the parts of a share are that both kinds have. Each ends where another one begins, which
/// is checked to be in order and within the share.
pub(crate) struct Parts {
    pub(crate) kind: Kind,
    /// How many of the first bytes are signed.
    pub(crate) signed_len: usize,
    pub(crate) public_key: (u64, u64),
    pub(crate) signature: (u64, u64),
    pub(crate) chain: (u64, u64),
    pub(crate) block_tree: u64,
    pub(crate) blocks: u64,
}

/// What the signed bytes say.
pub(crate) struct Signed {
    pub(crate) shape: Shape,
    pub(crate) root: Hash,
}

impl Parts {
    /// Checks the signature. Returns the fingerprint of the key that made it.
    ///
    /// Whose key it is, only a capability can say: it holds the fingerprint.
    pub(crate) fn check_signature(&self, bytes: &dyn Bytes) -> Result<Hash, Stop> {
        let public_key = read(bytes, What::PublicKey, self.public_key)?;
        let Some(key) = der::rsa_key(&public_key) else {
            let found = public_key.as_slice();
            let expected = "an RSA key in DER";
            return Err(Damage::new(What::PublicKey, self.public_key.0, expected, found).into());
        };
        let signature = read(bytes, What::Signature, self.signature)?;
        let mut signed = vec![0; self.signed_len];
        bytes.read_at(0, &mut signed)?;
        // Tahoe signs with RSASSA-PSS, SHA-256, a salt of 32 bytes, and keys of 2048 bits. Those
        // of its first years have the exponent 17, which is fine for verifying.
        let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key);
        if key.verify(&signed, &signature).is_err() {
            let expected = "a signature of the first bytes by the key in the share";
            let found = signature.as_slice();
            return Err(Damage::new(What::Signature, self.signature.0, expected, found).into());
        }
        Ok(hash::tagged(hash::FINGERPRINT, &public_key))
    }

    /// Checks that a number that is signed is not impossible, and that there is such a share.
    pub(crate) fn check_number(
        &self,
        signed: &Signed,
        counts_at: u64,
        number: ShareNumber,
    ) -> Result<(), Damage> {
        let [needed, total] = [signed.shape.needed, signed.shape.total].map(u64::from);
        if !signed.shape.has_possible_counts() {
            return Err(Damage::new(What::Parameters, counts_at, total, needed));
        }
        if number.index() >= usize::from(signed.shape.total) {
            let number = u64::from(number.as_u8());
            return Err(Damage::new(What::NoSuchShare, counts_at, total, number));
        }
        Ok(())
    }

    /// Checks everything below the root that is signed.
    pub(crate) fn check_hashes(
        &self,
        bytes: &dyn Bytes,
        signed: &Signed,
        blocks: &Blocks,
        number: ShareNumber,
        fingerprint: Hash,
    ) -> Result<Whole, Stop> {
        let tree = StoredTree {
            offset: self.block_tree,
            leaf_count: blocks.count,
            what: What::BlockTree,
        };
        let block_root = tree.check(bytes, None)?;
        let total = signed.shape.total;
        let chain_bytes = read(bytes, What::ShareChain, self.chain)?;
        let chain = Chain {
            bytes: &chain_bytes,
            offset: self.chain.0,
            has_leaf: false,
        };
        chain.check(number, total, &block_root, &signed.root)?;
        blocks.check(bytes, self.blocks, &tree)?;
        Ok(Whole {
            kind: self.kind,
            needed: signed.shape.needed,
            total,
            file_size: signed.shape.file_size,
            identity: fingerprint,
        })
    }
}

/// Reads the header, which the share has or is damaged.
pub(crate) fn read_header<const LEN: usize>(bytes: &dyn Bytes) -> Result<[u8; LEN], Stop> {
    let (size, expected) = (bytes.size(), num::size(LEN));
    if size < expected {
        return Err(Damage::new(What::Size, size, expected, size).into());
    }
    let mut header = [0; LEN];
    bytes.read_at(0, &mut header)?;
    Ok(header)
}

/// A field of a header.
pub(crate) fn field<const LEN: usize>(header: &[u8], at: usize) -> [u8; LEN] {
    *header[at..].first_chunk().expect("a field of the header")
}

/// Size of the share hash chain of each share of a file.
pub(crate) fn chain_size(total: u16) -> u64 {
    num::size(chain::len(total, false))
}

/// Checks that these offsets, each with the place of its field, ascend and end within the share.
pub(crate) fn check_order(offsets: &[(u64, u64)], size: u64) -> Result<(), Damage> {
    let mut before = 0;
    for (at, offset) in offsets {
        if *offset < before {
            return Err(Damage::new(What::Header, *at, before, *offset));
        }
        before = *offset;
    }
    match offsets.last() {
        Some((_, end)) if *end > size => Err(Damage::new(What::Size, size, *end, size)),
        _ => Ok(()),
    }
}

/// Checks that a part begins where the one before it must end.
pub(crate) fn check_offset(at: u64, expected: Option<u64>, found: u64) -> Result<(), Damage> {
    match expected {
        Some(expected) if expected == found => Ok(()),
        Some(expected) => Err(Damage::new(What::Header, at, expected, found)),
        None => Err(Damage::new(
            What::Header,
            at,
            "a part that fits into the share",
            found,
        )),
    }
}

/// The bytes of a small part.
fn read(bytes: &dyn Bytes, what: What, (start, end): (u64, u64)) -> Result<Vec<u8>, Stop> {
    let size = end - start;
    let len = num::len(size).filter(|len| *len <= PART_LEN_MAX);
    let Some(len) = len else {
        let size_max = num::size(PART_LEN_MAX);
        return Err(Damage::new(what, start, size_max, size).into());
    };
    let mut part = vec![0; len];
    bytes.read_at(start, &mut part)?;
    Ok(part)
}

/// Most bytes of a public key, a signature or a share hash chain: what keys of 8192 bits need, the
/// largest that `ring` takes. Tahoe's have 294, 256 and at most 272.
const PART_LEN_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_ascend_and_end_within_the_share() {
        assert_eq!(check_order(&[(1, 10), (2, 10), (3, 20)], 20), Ok(()));
        assert_eq!(
            check_order(&[(1, 10), (2, 9), (3, 20)], 20),
            Err(Damage::new(What::Header, 2, 10_u64, 9_u64))
        );
        assert_eq!(
            check_order(&[(1, 10), (3, 21)], 20),
            Err(Damage::new(What::Size, 20, 21_u64, 20_u64))
        );
    }
}
