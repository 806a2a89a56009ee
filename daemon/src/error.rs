//! Why the daemon cannot do what it was told: what happened, to what, and what to try.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lafs::SwissnumError;

use crate::adopt::process::ProcessInTheWay;
use crate::config::ConfigError;
use crate::identity::IdentityError;

/// A system call on a path failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {error}", path.display())]
pub struct Failed {
    /// What was tried.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

impl Failed {
    pub(crate) fn new(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            error,
        }
    }
}

/// The daemon's directory cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file that `tahoed init` makes is not there.
    #[error(
        "{} is missing; make the directory with: tahoed init {}", path.display(), directory.display()
    )]
    NotInitialised {
        /// The directory.
        directory: PathBuf,
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Key and certificate make no sense.
    #[error("{}: {error}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: IdentityError,
    },
    /// The swissnum is none.
    #[error("{}: {error}", path.display())]
    Swissnum {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SwissnumError,
    },
    /// No NURL can be made.
    #[error(
        "{} has no `location`; give it the name or address at which clients reach this machine", path.display()
    )]
    NoLocation {
        /// The configuration.
        path: PathBuf,
    },
    /// No NURL can be made.
    #[error(
        "a location has no port and the server listens on any free one; give one of them a port"
    )]
    NoPort,
}

/// `tahoed init` made nothing, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// It was done before.
    #[error(
        "{} exists already, and is not replaced; choose another directory, or `tahoed run` this one", path.display()
    )]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// The parent is missing.
    #[error("the directory above {} does not exist; make it first", path.display())]
    NoParent {
        /// The directory to be made.
        path: PathBuf,
    },
    /// A file or directory could not be made.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// No key could be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The system gave no randomness.
    #[error("no swissnum could be made: the system gave no randomness")]
    Random,
}

/// The daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its directory cannot be used as it is.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A Tahoe-LAFS node serves the same store.
    #[error(
        "process {} works in this store, as {} says: stop the Tahoe-LAFS node first; if it is \
         another program, remove that file", .0.process, .0.path.display()
    )]
    TahoeRuns(ProcessInTheWay),
    /// The store cannot be opened, or the disk not driven as configured.
    #[error(transparent)]
    Store(#[from] bucketfs::StartError),
    /// None of the addresses exists on this machine.
    #[error("none of the addresses in `listen` is of a kind that this machine has")]
    NoAddress,
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}{}", listen_advice(error))]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The system gave no randomness.
    #[error("cannot start: the system gave no randomness")]
    Random,
    /// The operating system refuses something that every process needs.
    #[error("cannot {action}: {error}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why.
        error: io::Error,
    },
}

fn listen_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there, or this server runs already",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege, choose a higher one"
        }
        _ => "",
    }
}
