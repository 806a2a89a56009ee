//! The UEB (URI extension block): what the hash in a cap stands for.
//!
//! ```text
//! version 1                               version 2
//! 0    4  "TLN1"                          0    4  "TLN2"
//! 4    1  shares needed, less one         4    1  shares needed, less one
//! 5    1  shares in all, less one         5    1  shares in all, less one
//! 6    4  segment size                    6    4  segment size
//! 10   8  file size                       10   8  file size
//! 18  32  root of the crypttext tree      18  32  content root: a hash of both of these roots
//! 50  32  root of the plaintext tree
//! 82  32  root of the share tree          50  32  root of the share tree
//! ```
//!
//! Integers are big-endian. Shares of version 1 end with it. Of version 2 it is in no share: whoever
//! checks a share computes it, and compares its hash.

use lafs::cap::UebHash;
use lafs::cap::native::Version;
use lafs::{Parameters, ParametersError, ShareNumber, StorageIndex};

use super::geometry::{Geometry, UEB_SIZE_V1};
use super::hash::{self, Hash};

// The fields before the hashes, and the hashes.
const _: () = assert!(UEB_SIZE_V1 == (4 + 1 + 1 + 4 + 8) + 3 * 32);

/// All of a UEB but its last field, the root of the share tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UebHead {
    /// Its version is that of `content`.
    pub geometry: Geometry,
    /// The roots of the trees over the content of the file.
    pub content: ContentRoot,
}

/// What a UEB says of the content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRoot {
    /// Version 1: the roots of two trees.
    Apart {
        /// Of the crypttext hash tree.
        crypttext: Hash,
        /// Of the plaintext hash tree.
        plaintext: Hash,
    },
    /// Version 2: one hash of both. It is 32 bytes less in every share.
    Joined(Hash),
}

impl ContentRoot {
    /// What a UEB of this version says of these roots.
    pub fn new(version: Version, crypttext: &Hash, plaintext: &Hash) -> Self {
        match version {
            Version::V1 => Self::Apart {
                crypttext: *crypttext,
                plaintext: *plaintext,
            },
            Version::V2 => Self::Joined(hash::content_root(crypttext, plaintext)),
        }
    }
}

impl UebHead {
    /// The leaf of a share in the share tree.
    pub fn share_leaf(
        &self,
        storage_index: StorageIndex,
        number: ShareNumber,
        block_root: &Hash,
    ) -> Hash {
        let version = self.geometry.version();
        hash::share_leaf(version, storage_index, number, &self.to_bytes(), block_root)
    }

    /// The hash of the UEB with this share root.
    pub fn ueb_hash(&self, share_root: &Hash) -> UebHash {
        let mut bytes = self.to_bytes();
        bytes.extend_from_slice(share_root);
        hash::ueb_hash(self.geometry.version(), &bytes)
    }

    /// The bytes before the share root.
    pub fn to_bytes(&self) -> Vec<u8> {
        let less_one = |count: usize| u8::try_from(count - 1).expect("a count is 1 to 256");
        let parameters = self.geometry.parameters();
        let mut bytes = Vec::with_capacity(UEB_SIZE_V1);
        bytes.extend_from_slice(magic(self.geometry.version()));
        bytes.push(less_one(parameters.needed()));
        bytes.push(less_one(parameters.total()));
        bytes.extend_from_slice(&parameters.segment_size().to_be_bytes());
        bytes.extend_from_slice(&self.geometry.file_size().to_be_bytes());
        match &self.content {
            ContentRoot::Apart {
                crypttext,
                plaintext,
            } => {
                bytes.extend_from_slice(crypttext);
                bytes.extend_from_slice(plaintext);
            }
            ContentRoot::Joined(root) => bytes.extend_from_slice(root),
        }
        bytes
    }
}

/// Parses the last bytes of a share of version 1; returns the UEB's share root apart.
pub fn parse_v1(bytes: &[u8; UEB_SIZE_V1]) -> Result<(UebHead, Hash), UebError> {
    let mut rest = bytes.as_slice();
    if take(&mut rest) != *magic(Version::V1) {
        return Err(UebError::Magic);
    }
    let [needed_less_one] = take(&mut rest);
    let [total_less_one] = take(&mut rest);
    let parameters = Parameters::new(
        usize::from(needed_less_one) + 1,
        usize::from(total_less_one) + 1,
        u32::from_be_bytes(take(&mut rest)),
    )?;
    let file_size = u64::from_be_bytes(take(&mut rest));
    let head = UebHead {
        geometry: Geometry::of_version(Version::V1, parameters, file_size)
            .ok_or(UebError::FileSize(file_size))?,
        content: ContentRoot::Apart {
            crypttext: take(&mut rest),
            plaintext: take(&mut rest),
        },
    };
    Ok((head, take(&mut rest)))
}

/// The end of a share does not say what share it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UebError {
    /// It is not marked as an end of any version that is known here.
    #[error("does not end like a share of the native format, version 1 or 2")]
    Magic,
    /// The format does not have these parameters.
    #[error("its end is impossible: {0}")]
    Parameters(#[from] ParametersError),
    /// The file would be larger than the format allows.
    #[error("its end is impossible: a file of {0} bytes")]
    FileSize(u64),
    /// The size of the file has a zero in front, or is cut.
    #[error("its end is impossible: the size of the file is not written in the one way")]
    Spelling,
}

const fn magic(version: Version) -> &'static [u8; 4] {
    match version {
        Version::V1 => b"TLN1",
        Version::V2 => b"TLN2",
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (field, after) = rest
        .split_first_chunk()
        .expect("the fields are as long as a UEB together");
    *rest = after;
    *field
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version) -> UebHead {
        let parameters = Parameters::new(3, 10, 0x0003_0000).unwrap();
        UebHead {
            geometry: Geometry::of_version(version, parameters, 1000).unwrap(),
            content: match version {
                Version::V1 => ContentRoot::Apart {
                    crypttext: [0xc; 32],
                    plaintext: [0xd; 32],
                },
                Version::V2 => ContentRoot::Joined([0xb; 32]),
            },
        }
    }

    fn v1() -> [u8; UEB_SIZE_V1] {
        let mut bytes = head(Version::V1).to_bytes();
        bytes.extend([0xe; 32]);
        bytes.try_into().unwrap()
    }

    #[test]
    fn the_bytes_are_those_of_the_table() {
        let bytes = v1();
        assert_eq!(bytes[..18], *b"TLN1\x02\x09\0\x03\0\0\0\0\0\0\0\0\x03\xe8");
        assert_eq!(bytes[18..50], [0xc; 32]);
        assert_eq!(bytes[50..82], [0xd; 32]);
        assert_eq!(bytes[82..], [0xe; 32]);
        assert_eq!(parse_v1(&bytes), Ok((head(Version::V1), [0xe; 32])));

        let bytes = head(Version::V2).to_bytes();
        assert_eq!(bytes[..18], *b"TLN2\x02\x09\0\x03\0\0\0\0\0\0\0\0\x03\xe8");
        assert_eq!(bytes[18..], [0xb; 32]);
    }

    #[test]
    fn each_error_is_provoked() {
        let with = |at: usize, value: u8| {
            let mut bytes = v1();
            bytes[at] = value;
            parse_v1(&bytes)
        };
        assert_eq!(with(3, b'2'), Err(UebError::Magic));
        assert_eq!(
            with(10, 0x20),
            Err(UebError::FileSize(0x2000_0000_0000_03e8))
        );
        for (at, value) in [(4, 10), (9, 1), (6, 1)] {
            assert!(
                matches!(with(at, value), Err(UebError::Parameters(_))),
                "byte {at}"
            );
        }
    }

    // A UEB with two spellings would have two hashes.
    #[test]
    fn what_parses_prints_as_it_was() {
        let bytes = v1();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes;
                flipped[index] ^= 1 << bit;
                if let Ok((other, share_root)) = parse_v1(&flipped) {
                    assert_eq!([other.to_bytes(), share_root.to_vec()].concat(), flipped);
                    assert_ne!((other, share_root), (head(Version::V1), [0xe; 32]));
                }
            }
        }
    }
}
