//! A storage server: sockets, TLS, configuration.
//!
//! It carries things between the wire protocol ([`protocol`]) and the store ([`bucketfs`]), which
//! decide. A daemon lives in a [`Directory`] that [`init`] makes; [`Daemon::start`] opens the store and the
//! sockets, [`Daemon::run`] serves until told to stop. [`serve`] is all of it, as a process does it.

mod adopt;
mod code_pages;
pub mod config;
mod connection;
mod crew;
mod daemon;
mod directory;
mod error;
mod gathering;
mod gbs;
mod goodbye;
mod identity;
mod init;
mod limits;
pub mod log;
mod patience;
mod pipeline;
mod serve;
mod servers_yaml;
mod shared;
mod store;
mod throttle;
mod tls;
mod work;

pub use adopt::process::ProcessInTheWay;
pub use adopt::{AdoptError, Adopted, Warning, adopt};
pub use daemon::Daemon;
pub use directory::Directory;
pub use error::{DirectoryError, Failed, InitError, RunError};
pub use identity::{Identity, IdentityError};
pub use init::init;
pub use serve::serve;
pub use servers_yaml::servers_yaml;
