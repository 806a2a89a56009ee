//! The frames of both directions: bytes to values that cannot be wrong, and back.
//!
//! Parsers only take, front to back, and refuse what is left over, so that each frame has exactly
//! one spelling. The tables are in `docs/pipeline-protocol.md`.

mod client;
mod fields;
mod server;

use std::fmt;

pub use client::{ClientFrame, Hello};
pub use server::{HeldShare, ServerFrame, Welcome};

/// Names a request on its connection: counted from 0 in the order of PUT, OPEN, READ and LEASE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestNumber(pub(crate) u64);

impl RequestNumber {
    /// The first request of a connection.
    pub const FIRST: Self = Self(0);

    /// The number, for logs.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of the request after this one.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        // 2^62 requests take longer than any connection lasts.
        Self(self.0 + 1)
    }
}

impl fmt::Display for RequestNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
