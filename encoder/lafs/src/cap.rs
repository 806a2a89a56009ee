//! Capabilities: the text that names a file, and says how much of it its holder may see.
//!
//! A capability is of a suite and of a kind. [`native`] has those of the native suite; a
//! [`Literal`] belongs to all suites; those of [`tahoe`] are only named, so far.
//!
//! Parsing is strict, and `Display` prints a value in one way. A program that reads what it printed
//! parses with [`FromStr`]; what a person typed or pasted goes through [`Cap::from_pasted`].

mod check;
mod error;
mod literal;
pub mod native;
mod pasted;
pub mod tahoe;
mod ueb_hash;

use std::fmt;
use std::str::FromStr;

pub use self::error::CapError;
pub use self::literal::Literal;
pub use self::ueb_hash::UebHash;

/// A capability of any kind this project knows, named by suite and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cap {
    /// Reads a native file.
    NativeRead(native::ReadCap),
    /// Verifies a native file.
    NativeVerify(native::VerifyCap),
    /// Is a small file.
    Literal(Literal),
}

impl Cap {
    /// Parses what a person typed or pasted: blanks around it are dropped, percent-encoding is
    /// undone, and of the address of a page on a Tahoe-LAFS gateway the capability is taken.
    ///
    /// # Errors
    ///
    /// [`CapError`] says what is wrong, without repeating the text.
    pub fn from_pasted(text: &str) -> Result<Self, CapError> {
        pasted::unwrap(text)?.parse()
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NativeRead(cap) => cap.fmt(f),
            Self::NativeVerify(cap) => cap.fmt(f),
            Self::Literal(literal) => literal.fmt(f),
        }
    }
}

impl FromStr for Cap {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        if native::ReadCap::is_named_by(text) {
            text.parse().map(Self::NativeRead)
        } else if native::VerifyCap::is_named_by(text) {
            text.parse().map(Self::NativeVerify)
        } else if text.starts_with(Literal::PREFIX) {
            text.parse().map(Self::Literal)
        } else if let Some(kind) = tahoe::Kind::of(text) {
            Err(CapError::Tahoe(kind))
        } else if native::is_newer(text) {
            Err(CapError::Newer)
        } else if text.starts_with("URI:") {
            Err(CapError::UnknownKind)
        } else {
            Err(CapError::Kind)
        }
    }
}

#[cfg(test)]
mod tests;
