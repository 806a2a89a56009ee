//! The check of a share's bytes, which is another crate's: this one knows containers and no shares.

use std::io;

use super::share::{ShareBytes, ShareSeen};

/// Proves shares by their bytes. Several threads of a walk use it at a time.
pub trait Deep: Sync {
    /// Checks a share; returns what is wrong with it, nothing if all is well.
    ///
    /// # Errors
    ///
    /// The disk's: nothing is known about the share then.
    fn check(&self, share: &ShareSeen, bytes: &ShareBytes<'_>) -> io::Result<Vec<Fault>>;
}

/// Something that is wrong with the bytes of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What should be there.
    pub expected: String,
    /// What is there, and where.
    pub found: String,
}
