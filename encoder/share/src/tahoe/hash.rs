//! Tahoe's hashes: SHA-256 twice, over a tag and a value.
//!
//! ```text
//! netstring(x)   length of x in decimal, ":", x, ","
//! one value      SHA256(SHA256(netstring(tag) | value))
//! two values     SHA256(SHA256(netstring(tag) | netstring(a) | netstring(b)))
//! ```

use sha2::{Digest, Sha256};

/// A whole hash.
pub(crate) type Hash = [u8; 32];

/// Length of a hash where it is stored.
pub(crate) const HASH_SIZE: u64 = 32;

/// A hash that is begun with its tag, and takes the value in pieces.
#[derive(Clone)]
pub(crate) struct Tagged(Sha256);

impl Tagged {
    /// Begins with no value.
    pub(crate) fn new(tag: &str) -> Self {
        let mut inner = Sha256::new();
        netstring(&mut inner, tag.as_bytes());
        Self(inner)
    }

    /// Takes the next bytes of the value.
    pub(crate) fn update(&mut self, value: &[u8]) {
        self.0.update(value);
    }

    /// The hash of the tag and the value so far.
    pub(crate) fn finish(self) -> Hash {
        Sha256::digest(self.0.finalize()).into()
    }
}

/// The hash of one value.
pub(crate) fn tagged(tag: &str, value: &[u8]) -> Hash {
    let mut hasher = Tagged::new(tag);
    hasher.update(value);
    hasher.finish()
}

/// Inner node of every tree.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut inner = Sha256::new();
    inner.update(b"25:Merkle tree internal node,32:");
    inner.update(left);
    inner.update(b",32:");
    inner.update(right);
    inner.update(b",");
    Sha256::digest(inner.finalize()).into()
}

/// Leaf `index` of a tree that has fewer leaves: a tree is filled up to a power of two.
#[cfg(test)]
pub(crate) fn filler(index: u64) -> Hash {
    tagged("Merkle tree empty leaf", index.to_string().as_bytes())
}

/// The tag of a block.
pub(crate) const BLOCK: &str = "allmydata_encoded_subshare_v1";

/// The tag of a UEB.
pub(crate) const UEB: &str = "allmydata_uri_extension_v1";

/// The tag of a public key.
pub(crate) const FINGERPRINT: &str = "allmydata_mutable_pubkey_to_fingerprint_v1";

fn netstring(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update(bytes.len().to_string());
    hasher.update(b":");
    hasher.update(bytes);
    hasher.update(b",");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // Values that Tahoe-LAFS computed.
    #[test]
    fn the_hashes_are_those_of_tahoe() {
        assert_eq!(
            hex(tagged("tag", b"value")),
            "64b0cafcfe5f99653ae63b644191c890600965073ef48bf9b24f9e623c940229"
        );
        assert_eq!(
            hex(filler(0)),
            "e0024730188e2de564a697cc2987407b24ae7eb6b880190c1a0337a5740e527a"
        );
    }
}
