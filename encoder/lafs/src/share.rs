//! What names a share: the storage index of its bucket, and its number within the file.

use std::fmt;
use std::str::FromStr;

use crate::base32;

/// Names a bucket (immutable shares) or a slot (mutable shares) on every server of a grid.
///
/// Printed as 26 characters of base32; the same text is its directory name on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorageIndex([u8; Self::LEN]);

impl StorageIndex {
    /// Length of a storage index in bytes.
    pub const LEN: usize = 16;

    /// Makes a storage index of its bytes; every value is one.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, as they go over the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Length of the text.
    pub const TEXT_LEN: usize = 26;

    /// The text: characters of base32.
    #[must_use]
    pub fn text(&self) -> [u8; Self::TEXT_LEN] {
        let mut text = [0; Self::TEXT_LEN];
        base32::encode_into(&self.0, &mut text);
        text
    }
}

impl fmt::Display for StorageIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        f.write_str(std::str::from_utf8(&text).expect("characters of base32"))
    }
}

impl fmt::Debug for StorageIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for StorageIndex {
    type Err = StorageIndexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        base32::decode_array(text)
            .map(Self)
            .ok_or(StorageIndexError)
    }
}

/// The text is not 26 characters of base32 whose two spare bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a storage index is 26 characters of a-z and 2-7, the last one of a, e, i, m, q, u, y, 4")]
pub struct StorageIndexError;

/// Which of the up to 256 shares of a file this is, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShareNumber(u8);

impl ShareNumber {
    /// How many share numbers there are.
    pub const COUNT: usize = 256;

    /// Makes a share number; every byte is one.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The number as the byte that goes over the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self.0
    }

    /// The number as an index into a table of shares.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The share number of a table index, or `None` from 256 on.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        u8::try_from(index).ok().map(Self)
    }
}

impl fmt::Display for ShareNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ShareNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for ShareNumber {
    type Err = ShareNumberError;

    /// Parses the decimal form without sign or leading zeros, the one that names a share file.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = text == "0" || !text.starts_with(['0', '+']);
        match text.parse() {
            Ok(number) if canonical => Ok(Self(number)),
            _ => Err(ShareNumberError),
        }
    }
}

/// The text is not a decimal number from 0 to 255 without sign or leading zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share number is a decimal number from 0 to 255 without leading zeros")]
pub struct ShareNumberError;

#[cfg(test)]
mod tests {
    use super::*;

    // The fixture identity of the reference: 16 bytes 01 live under `ae/`.
    #[test]
    fn a_storage_index_prints_as_its_directory_name_and_parses_back() {
        let index = StorageIndex::new([1; 16]);
        assert_eq!(index.to_string(), "aeaqcaibaeaqcaibaeaqcaibae");
        assert_eq!("aeaqcaibaeaqcaibaeaqcaibae".parse(), Ok(index));
    }

    // A second spelling of one index would be a second directory for one bucket.
    #[test]
    fn a_storage_index_has_one_spelling() {
        for text in [
            "",
            "AEAQCAIBAEAQCAIBAEAQCAIBAE",
            "aeaqcaibaeaqcaibaeaqcaibaf",
            "../../../../../../../etc/x",
        ] {
            assert_eq!(
                text.parse::<StorageIndex>(),
                Err(StorageIndexError),
                "{text:?}"
            );
        }
    }

    // Tahoe's lax parser takes names like `1_0` for numbers; side files must not become shares.
    #[test]
    fn a_share_number_has_one_spelling() {
        assert_eq!("255".parse(), Ok(ShareNumber::new(255)));
        assert_eq!("0".parse(), Ok(ShareNumber::new(0)));
        for text in ["", "00", "01", "+1", "-1", "256", "1_0", " 8", "1e1"] {
            assert_eq!(
                text.parse::<ShareNumber>(),
                Err(ShareNumberError),
                "{text:?}"
            );
        }
    }
}
