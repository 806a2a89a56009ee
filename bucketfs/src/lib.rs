//! The store: containers, the bucket tree, the journal, durability.
//!
//! [`Store`] decides: what is written, what must be synced before what, and when a share may be
//! acknowledged. It is a state machine: requests and completions go in, [`disk::Operation`]s and
//! answers come out, the time is an argument. A [`disk::Engine`] performs the operations, and a
//! [`Driver`] carries things between them and whoever holds a [`StoreHandle`]. [`open`] starts all
//! of it on a store that [`create()`] or [`adopt()`] has made.

mod adopt;
mod changes;
pub mod container;
mod count;
mod create;
pub mod disk;
mod driver;
mod durable;
mod error;
mod expiry;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod glance;
mod handle;
mod identifier;
mod journal;
mod keys;
mod kind;
mod last_use;
mod layout;
pub mod limits;
pub mod migrate;
mod refusal;
mod request;
mod store;
mod ticket;
mod totals;
mod version;
pub mod view;

pub use adopt::adopt;
pub use count::{Counter, Next};
pub use create::create;
pub use driver::{Driver, StartError, open};
pub use durable::Durability;
pub use error::{AdoptError, Damage, DiskError, JournalDamage, OpenError, TooManyLeases};
pub use expiry::{ExpiryMode, ExpiryRule, Judgement};
pub use handle::{Pending, Spool, StoreHandle, Upload};
pub use identifier::{Found, StoreId, StoreIdError, identify, look};
pub use kind::ShareKind;
pub use last_use::last_use;
pub use layout::{JOURNAL_FILES, Layout, Layouts, ShareKey};
pub use migrate::migrate;
pub use refusal::{
    AbortRangedRefusal, AbortRefusal, AdviseRefusal, AllocateRefusal, CloseRefusal, CountRefusal,
    ExpireRefusal, LeaseRefusal, MendRefusal, MigrateRefusal, OpenRefusal, OpenSpoolRefusal,
    PutRefusal, ReadRefusal, RemoveRefusal, RenewRefusal, SlotRefusal, Unavailable, Unreadable,
    Unwritable, WriteRangeRefusal, WriteRefusal, WriteSpoolRefusal,
};
pub use request::{
    AbortRanged, AbortUpload, Advise, Allocate, Allocated, Answer, Ask, AskStatus, BeginMigration,
    CloseUpload, Count, Counted, DetachUpload, DropSpool, EndMigration, Expire, Expired,
    ExpiredShare, Extent, Held, Kept, LeaseOwner, Leased, Mend, Mended, Mending, MigrateNext,
    Migrated, Now, OpenSpool, OpenUpload, Opened, Piece, Put, RangeWritten, Read, ReadTestWrite,
    Remove, RenewLeases, Request, RequestId, Rest, ShareChange, SharesRead, SlotWrite, Status,
    Stored, Test, TestedAndWritten, WalkEnd, Wanted, WriteRange, WriteSpool, WriteUpload,
};
pub use store::{Config, Store};
pub use ticket::{BootId, BootIdError};
pub use totals::{Tally, Totals};
