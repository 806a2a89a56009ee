//! Secrets that pass between client and server, and how the pipeline derives them.
//!
//! They are compared in constant time, wiped when dropped, and never printed.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::StorageIndex;

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
        pub struct $name([u8; Self::LEN]);

        impl $name {
            /// Length of the secret in bytes.
            pub const LEN: usize = 32;

            /// Makes the secret of its bytes; every value is one.
            #[must_use]
            pub const fn new(bytes: [u8; Self::LEN]) -> Self {
                Self(bytes)
            }

            /// The bytes, in the clear.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
                &self.0
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                subtle::ConstantTimeEq::ct_eq(self.0.as_slice(), other.0.as_slice()).into()
            }
        }

        impl Eq for $name {}

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}
pub(crate) use secret;

secret! {
    /// Identifies a lease; who knows it may renew the lease.
    RenewSecret
}

secret! {
    /// Kept beside the renew secret in every lease; nothing on the network uses it.
    CancelSecret
}

secret! {
    /// Ties the parts of one upload together; who knows it may continue or abort the upload.
    UploadSecret
}

impl UploadSecret {
    /// The secret of an uploader that chose its own bytes, as clients of Tahoe-LAFS do, whose
    /// upload secrets have any length.
    ///
    /// One-way: who sees this one cannot present the other.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(derive("tahoe-gbs 2026-11 upload secret v1", &[bytes]))
    }
}

secret! {
    /// Lets whoever shows it change the shares of a slot.
    WriteEnabler
}

secret! {
    /// Part of every convergent key: without it, nobody can test whether a guessed file is stored.
    ConvergenceSecret
}

/// The two secrets of one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSecrets {
    /// Identifies the lease.
    pub renew: RenewSecret,
    /// Stored beside it.
    pub cancel: CancelSecret,
}

/// What lets a client into a server: a path segment of printable ASCII, from the NURL.
///
/// Tahoe makes 32 characters of base32 (160 random bits); an operator may choose another.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Swissnum(String);

impl Swissnum {
    /// Longest swissnum in bytes: far beyond any in use, so that a first frame stays small.
    pub const LEN_MAX: usize = 128;

    /// Makes a swissnum of 20 random bytes, in the form of Tahoe-LAFS's own.
    #[must_use]
    pub fn from_random(random: &[u8; 20]) -> Self {
        Self(crate::base32::encode(random))
    }

    /// Checks that `text` can stand in a NURL.
    ///
    /// # Errors
    ///
    /// [`SwissnumError`] if the text is empty, longer than [`Self::LEN_MAX`], or holds a character
    /// that a URL path segment cannot hold unescaped.
    pub fn new(text: &str) -> Result<Self, SwissnumError> {
        let segment =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
        if text.is_empty() || text.len() > Self::LEN_MAX || !text.bytes().all(segment) {
            return Err(SwissnumError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, in the clear.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares with what a peer presented, in time that depends on the lengths alone.
    #[must_use]
    pub fn admits(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }
}

impl PartialEq for Swissnum {
    fn eq(&self, other: &Self) -> bool {
        self.admits(other.0.as_bytes())
    }
}

impl Eq for Swissnum {}

impl fmt::Debug for Swissnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Swissnum(..)")
    }
}

/// The text cannot be a swissnum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a swissnum is 1 to 128 characters that may stand in a URL path")]
pub struct SwissnumError;

/// The secret of one client at one server, sent once per connection (pipeline HELLO).
///
/// Both ends derive every lease and upload secret from it and the storage index, so that secrets
/// cost no bytes per share. A client derives it from its own master secret and the server's
/// identity: two servers cannot tell that they have the same client, nor use its leases elsewhere.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ConnectionSecret([u8; Self::LEN]);

impl ConnectionSecret {
    /// Length of the secret in bytes.
    pub const LEN: usize = 32;

    /// Takes the secret as a peer sent it; every value is one.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The secret that a client with this master secret shows the server with this key.
    ///
    /// `master` is 32 random bytes that never leave the client; `server` is the SHA-256 of the
    /// server's public key as in its NURL.
    #[must_use]
    pub fn derive(master: &[u8; 32], server: &[u8; 32]) -> Self {
        Self(derive(
            "tahoe-pipeline 2026-11 connection secret v1",
            &[master, server],
        ))
    }

    /// The bytes, in the clear.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The lease secrets of this client for every share under `storage_index`.
    #[must_use]
    pub fn lease(&self, storage_index: StorageIndex) -> LeaseSecrets {
        let index: &[u8] = storage_index.as_bytes();
        LeaseSecrets {
            renew: RenewSecret(derive(
                "tahoe-pipeline 2026-11 renew secret v1",
                &[&self.0, index],
            )),
            cancel: CancelSecret(derive(
                "tahoe-pipeline 2026-11 cancel secret v1",
                &[&self.0, index],
            )),
        }
    }

    /// The upload secret of this client for every share under `storage_index`.
    #[must_use]
    pub fn upload(&self, storage_index: StorageIndex) -> UploadSecret {
        let index: &[u8] = storage_index.as_bytes();
        UploadSecret(derive(
            "tahoe-pipeline 2026-11 upload secret v1",
            &[&self.0, index],
        ))
    }
}

impl PartialEq for ConnectionSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ConnectionSecret {}

impl fmt::Debug for ConnectionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionSecret(..)")
    }
}

/// BLAKE3 in key-derivation mode over the concatenated parts, all of which have fixed lengths.
pub(crate) fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    // One purpose, one secret: a renew secret that doubled as the upload secret would let whoever
    // reads a version 1 container abort uploads.
    #[test]
    fn secrets_differ_by_purpose_bucket_and_connection() {
        let connection = ConnectionSecret::new([7; 32]);
        let (one, two) = (StorageIndex::new([1; 16]), StorageIndex::new([2; 16]));
        let lease = connection.lease(one);
        assert_ne!(lease.renew.as_bytes(), lease.cancel.as_bytes());
        assert_ne!(lease.renew.as_bytes(), connection.upload(one).as_bytes());
        assert_ne!(lease, connection.lease(two));
        assert_ne!(lease, ConnectionSecret::new([8; 32]).lease(one));
        assert_eq!(lease, connection.lease(one));
    }

    // Lengths differ; nothing is cut, padded or joined.
    #[test]
    fn upload_secrets_of_any_length_differ() {
        let secrets: [&[u8]; 6] = [b"", b"a", b"aa", b"a\0", &[7; 32], &[7; 33]];
        for (index, one) in secrets.iter().enumerate() {
            for (other_index, other) in secrets.iter().enumerate() {
                let equal = UploadSecret::of_bytes(one) == UploadSecret::of_bytes(other);
                assert_eq!(equal, index == other_index);
            }
        }
        assert_ne!(UploadSecret::of_bytes(&[7; 32]), UploadSecret::new([7; 32]));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let connection = ConnectionSecret::new([7; 32]);
        let lease = connection.lease(StorageIndex::new([1; 16]));
        let swissnum = Swissnum::new("hnww5p2racujw5eabvftfkgmhxpjbzy2").unwrap();
        let printed = format!("{connection:?} {lease:?} {swissnum:?}");
        assert_eq!(
            printed,
            "ConnectionSecret(..) LeaseSecrets { renew: RenewSecret(..), cancel: CancelSecret(..) } \
             Swissnum(..)"
        );
    }

    #[test]
    fn a_swissnum_is_a_path_segment() {
        assert!(Swissnum::new("gbsfixtureswissnum234567abcdefgh").is_ok());
        for text in ["", "a/b", "a b", "a#b", "a?b", "\u{e9}", &"x".repeat(129)] {
            assert_eq!(Swissnum::new(text), Err(SwissnumError), "{text:?}");
        }
    }
}
