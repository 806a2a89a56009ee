//! What servers answer.

use std::sync::Arc;

use bytes::Bytes;
use lafs::ShareNumber;
use protocol::{HeldShare, Reason};

use crate::failure::ServerError;

/// What a server answered, or why it did not.
pub type Answer<T> = Result<T, Arc<ServerError>>;

/// How a share came to be on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was sent, and is durable.
    Now,
    /// It was there already; our lease was renewed.
    Before,
}

/// Part of the answer to a read.
#[derive(Debug)]
pub enum Reading {
    /// Bytes of a share. Nothing is known about them.
    Bytes {
        /// Which share.
        share: ShareNumber,
        /// Where in it.
        offset: u64,
        /// At least one.
        bytes: Bytes,
    },
    /// The end: the shares that the server holds of those asked for.
    Held(Held),
    /// The end: there is no answer, or not all of it.
    Failed(Arc<ServerError>),
}

/// The shares that a server holds, of those asked for.
#[derive(Clone, Debug)]
pub struct Held {
    /// Them, ascending.
    pub shares: Vec<HeldShare>,
    /// Why some of it could not be read or leased although it is held.
    pub failure: Option<Reason>,
}
