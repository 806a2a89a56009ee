//! Literal capabilities, common to all suites: the file itself, as text.
//!
//! ```text
//! URI:LIT:BYTES       BYTES  the file in base32
//! ```
//!
//! The same text as Tahoe's (reference: Tahoe file formats, section 3.2).

use std::fmt;
use std::str::FromStr;

use super::error::CapError;
use crate::base32;

/// A file that is its own capability: no server keeps anything of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Literal(Vec<u8>);

impl Literal {
    pub(super) const PREFIX: &str = "URI:LIT:";

    /// Largest file that writers make a literal of, as in Tahoe-LAFS. Readers accept any size.
    pub const SIZE_MAX: usize = 55;

    /// Makes a literal of a file, or `None` of one that is too large.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::SIZE_MAX).then(|| Self(bytes.to_vec()))
    }

    /// The file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, base32::encode(&self.0))
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Literal({} bytes)", self.0.len())
    }
}

impl FromStr for Literal {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        let bytes = text.strip_prefix(Self::PREFIX).ok_or(CapError::Kind)?;
        base32::decode(bytes).map(Self).ok_or(CapError::Literal)
    }
}
