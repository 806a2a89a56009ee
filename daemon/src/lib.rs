//! A storage server: sockets, TLS, configuration.
//!
//! It carries things between the wire protocol ([`protocol`]) and the store ([`bucketfs`]), which
//! decide. A daemon lives in a [`Directory`] that [`init()`] or [`adopt()`] makes; [`serve()`] opens
//! its store and its sockets and serves until told to stop.

mod adopt;
mod clock;
mod code_pages;
mod command;
pub mod config;
mod connection;
mod control;
mod crew;
mod daemon;
mod descriptors;
mod directory;
mod error;
mod file_system;
mod gathering;
mod gbs;
mod goodbye;
mod identity;
mod init;
mod keeper;
mod limits;
pub mod log;
mod notices;
mod operator;
mod patience;
mod peer;
mod pipeline;
mod printable;
mod quick_ack;
mod serve;
mod servers_yaml;
mod shared;
mod signals;
mod socket;
mod status;
mod store;
mod store_fault;
mod store_place;
mod tls;
mod work;
mod wrong_store;

pub use adopt::process::ProcessInTheWay;
pub use adopt::{AdoptError, Adopted, Taken, Warning, adopt};
pub use command::CommandLine;
pub use control::{ControlError, ask};
pub use directory::Directory;
pub use error::{DirectoryError, Failed, InitError, Remedy, RunError};
pub use identity::{Identity, IdentityError};
pub use init::{Made, in_directory, init, set_store};
pub use printable::Printable;
pub use serve::serve;
pub use servers_yaml::servers_yaml;
pub use status::{StatusError, StatusText, ask_server, json, status};
pub use store_fault::StoreFault;
pub use wrong_store::WrongStore;
