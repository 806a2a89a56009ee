//! The store: containers, the bucket tree, the journal, durability.
//!
//! [`Store`] decides: what is written, what must be synced before what, and when a share may be
//! acknowledged. It is a state machine: requests and completions go in, [`disk::Operation`]s and
//! answers come out, the time is an argument. A [`disk::Engine`] performs the operations.

pub mod disk;
mod error;
mod store;

pub use error::{Damage, DiskError, JournalDamage, OpenError, Refusal};
pub use store::{
    Answer, Durability, Extent, LeaseOwner, Limits, Now, Piece, ReadRequest, Request, RequestId,
    Rest, Status, Wanted,
};
