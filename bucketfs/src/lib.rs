//! The store: containers, the bucket tree, the journal, durability.
//!
//! [`Store`] decides: what is written, what must be synced before what, and when a share may be
//! acknowledged. It is a state machine: requests and completions go in, [`disk::Operation`]s and
//! answers come out, the time is an argument. A [`disk::Engine`] performs the operations, and a
//! [`Driver`] carries things between them and whoever holds a [`StoreHandle`]. [`open`] starts all
//! of it on a store that [`create()`] or [`adopt()`] has made.

mod adopt;
pub mod container;
mod create;
pub mod disk;
mod driver;
mod durable;
mod error;
mod handle;
mod identifier;
pub mod journal;
mod layout;
mod store;
mod version;

pub use adopt::{AdoptError, adopt};
pub use create::create;
pub use driver::{Driver, StartError, open};
pub use error::{Damage, DiskError, JournalDamage, OpenError, Refusal};
pub use handle::{Pending, Spool, StoreHandle, Upload, UploadStart};
pub use identifier::{Found, StoreId, StoreIdError, identify, look};
pub use layout::{Layout, ShareKey};
pub use store::{
    AdvisedKind, Answer, BootId, BootIdError, Config, Durability, Extent, Held, LeaseOwner, Limits,
    Now, Piece, ReadRequest, ReadTestWrite, Request, RequestId, Rest, ShareChange, ShareKind,
    SlotWrite, Status, Store, Test, Wanted, fuzz_ticket,
};
