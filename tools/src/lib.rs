//! The grid client and its command line.
//!
//! [`home`] keeps the configuration, [`grid`] the connections, [`placement`] decides where shares go,
//! [`input`] reads what is uploaded. The library prints nothing; the commands of `tahoectl` are
//! arguments, one call, and a report.

pub mod download;
pub mod durable;
pub mod error;
pub mod exit;
mod failure;
pub mod file_kind;
pub mod fsck;
pub mod grid;
pub mod home;
pub mod input;
pub mod ledger;
pub mod local;
pub mod migrate;
pub mod output;
pub mod placement;
mod shortage;
pub mod stats;
pub mod upload;
pub mod wording;

pub use error::Error;
pub use exit::Exit;
