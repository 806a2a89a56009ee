//! The hash that a capability holds of a UEB.

use std::fmt;

use crate::base32;

/// Hash of a UEB: what a cap's integrity rests on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UebHash([u8; Self::LEN]);

impl UebHash {
    /// Length of the hash in bytes.
    pub const LEN: usize = 32;

    /// Makes the hash of its bytes; every value is one.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for UebHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32::encode(&self.0))
    }
}
