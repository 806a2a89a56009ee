//! The UEB (URI extension block): the last bytes of every share, the same in all of a file.
//!
//! ```text
//! 0    4  "TLN1": Tahoe-LAFS native, format version 1
//! 4    1  shares needed, less one
//! 5    1  shares in all, less one
//! 6    4  segment size
//! 10   8  file size
//! 18  32  root of the crypttext hash tree
//! 50  32  root of the plaintext hash tree
//! 82  32  root of the share hash tree
//! ```
//!
//! Integers are big-endian. It has a fixed size and comes last, so that it is found in a share
//! about which nothing else is known.

use lafs::{Parameters, ParametersError};

use super::hash::Hash;

const _: () = assert!(Ueb::SIZE == 4 + 1 + 1 + 4 + 8 + 3 * 32);

/// What a cap's hash binds: the parameters of a file and the roots of its trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ueb {
    pub(crate) parameters: Parameters,
    pub(crate) file_size: u64,
    pub(crate) crypttext_root: Hash,
    pub(crate) plaintext_root: Hash,
    pub(crate) share_root: Hash,
}

impl Ueb {
    /// Size of a UEB.
    pub const SIZE: usize = 114;

    /// Size of all but the root of the share hash tree, whose leaves repeat it.
    pub(crate) const HEAD_SIZE: usize = Self::SIZE - 32;

    const MAGIC: [u8; 4] = *b"TLN1";

    /// Parses the last bytes of a share.
    ///
    /// # Errors
    ///
    /// [`UebError`] names the rule that is broken.
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self, UebError> {
        let mut rest = bytes.as_slice();
        if take(&mut rest) != Self::MAGIC {
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
        if file_size > Parameters::FILE_SIZE_MAX {
            return Err(UebError::FileSize(file_size));
        }
        Ok(Self {
            parameters,
            file_size,
            crypttext_root: take(&mut rest),
            plaintext_root: take(&mut rest),
            share_root: take(&mut rest),
        })
    }

    /// How the file is cut and spread.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Size of the file.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// The bytes before the root of the share hash tree.
    pub(crate) fn head(&self) -> [u8; Self::HEAD_SIZE] {
        let bytes = self.to_bytes();
        *bytes.first_chunk().expect("a head is shorter than a UEB")
    }

    /// The bytes that a share ends with.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let less_one = |count: usize| u8::try_from(count - 1).expect("a count is 1 to 256");
        let mut bytes = [0; Self::SIZE];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, &Self::MAGIC);
        put(&mut rest, &[less_one(self.parameters.needed())]);
        put(&mut rest, &[less_one(self.parameters.total())]);
        put(&mut rest, &self.parameters.segment_size().to_be_bytes());
        put(&mut rest, &self.file_size.to_be_bytes());
        put(&mut rest, &self.crypttext_root);
        put(&mut rest, &self.plaintext_root);
        put(&mut rest, &self.share_root);
        bytes
    }
}

/// The last bytes of a share are not a UEB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UebError {
    /// They do not begin like a UEB of this version.
    #[error("does not end with a UEB of the native format, version 1")]
    Magic,
    /// The format does not have these parameters.
    #[error("its UEB is impossible: {0}")]
    Parameters(#[from] ParametersError),
    /// The file would be larger than the format allows.
    #[error("its UEB is impossible: a file of {0} bytes")]
    FileSize(u64),
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (field, after) = rest
        .split_first_chunk()
        .expect("the fields are as long as a UEB together");
    *rest = after;
    *field
}

fn put(rest: &mut &mut [u8], field: &[u8]) {
    let (place, after) = std::mem::take(rest).split_at_mut(field.len());
    place.copy_from_slice(field);
    *rest = after;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ueb() -> Ueb {
        let parameters = Parameters::new(3, 10, 0x0003_0000).unwrap();
        Ueb {
            parameters,
            file_size: 1000,
            crypttext_root: [0xc; 32],
            plaintext_root: [0xd; 32],
            share_root: [0xe; 32],
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_table() {
        let bytes = ueb().to_bytes();
        assert_eq!(bytes[..18], *b"TLN1\x02\x09\0\x03\0\0\0\0\0\0\0\0\x03\xe8");
        assert_eq!(bytes[18..50], [0xc; 32]);
        assert_eq!(bytes[50..82], [0xd; 32]);
        assert_eq!(bytes[82..], [0xe; 32]);
        assert_eq!(Ueb::parse(&bytes), Ok(ueb()));
    }

    #[test]
    fn each_error_is_provoked() {
        let with = |at: usize, value: u8| {
            let mut bytes = ueb().to_bytes();
            bytes[at] = value;
            Ueb::parse(&bytes)
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
        let bytes = ueb().to_bytes();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes;
                flipped[index] ^= 1 << bit;
                if let Ok(other) = Ueb::parse(&flipped) {
                    assert_eq!(other.to_bytes(), flipped);
                    assert_ne!(other, ueb());
                }
            }
        }
    }
}
