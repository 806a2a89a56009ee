//! Why the daemon cannot do what it was told: what happened, to what, and what to try.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bucketfs::StoreId;
use lafs::SwissnumError;

use crate::adopt::process::ProcessInTheWay;
use crate::command::CommandLine;
use crate::config::{ConfigError, Location};
use crate::identity::IdentityError;
use crate::store_fault::StoreFault;
use crate::wrong_store::WrongStore;

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

/// What to do about a secret that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy(pub(crate) CommandLine);

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = &self.0;
        write!(
            f,
            "restore it from a backup; without one, make a new server for the same shares, whose NURL \
             every client needs: {command}"
        )
    }
}

/// The daemon's directory cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is no configuration.
    #[error("there is no server in {}: it has no tahoed.toml; to make one: {remedy}", directory.display())]
    NotInitialised {
        /// The directory.
        directory: PathBuf,
        /// What makes it.
        remedy: CommandLine,
    },
    /// The configuration has no contents.
    #[error(
        "{} is empty, or all zeros as a crash may leave it; restore it from a backup, or make a new \
         one, which keeps key, swissnum and shares: {remedy}", path.display()
    )]
    ConfigLost {
        /// The file.
        path: PathBuf,
        /// What makes a new one.
        remedy: CommandLine,
    },
    /// A store cannot be written into the configuration.
    #[error("{} cannot be changed by a program; set id = \"{id}\" below [store] by hand", path.display())]
    Unchangeable {
        /// The file.
        path: PathBuf,
        /// What it is to say.
        id: StoreId,
    },
    /// A file is not text.
    #[error("{} is not a text in UTF-8; restore it from a backup", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] Box<ConfigError>),
    /// Key or swissnum is missing.
    #[error("{} is missing; {remedy}", path.display())]
    SecretLost {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: Remedy,
    },
    /// A secret is none any more.
    #[error("other users of this machine can read {}; make it yours alone: {remedy}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// What makes it secret.
        remedy: CommandLine,
    },
    /// Key and certificate make no sense.
    #[error("{}: {error}; {remedy}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: IdentityError,
        /// What to do.
        remedy: Remedy,
    },
    /// The swissnum is none.
    #[error("{}: {error}; {remedy}", path.display())]
    Swissnum {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SwissnumError,
        /// What to do.
        remedy: Remedy,
    },
    /// No NURL can be made.
    #[error(
        "{} has no `location`; set it to the name or address at which clients reach this machine, \
         such as location = [\"storage.example.org:3457\"]", path.display()
    )]
    NoLocation {
        /// The configuration.
        path: PathBuf,
    },
    /// No NURL can be made.
    #[error(
        "{}: the server listens on any free port, so a location needs one: set it, such as location \
         = [\"{location}:3457\"], or choose a port in `listen`", path.display()
    )]
    NoPort {
        /// The configuration.
        path: PathBuf,
        /// The location without a port.
        location: Location,
    },
}

/// `tahoed init` made nothing, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// It was done before.
    #[error(
        "there is a server in {} already, and nothing in it is replaced; to run it: {run}",
        directory.display()
    )]
    Exists {
        /// The directory.
        directory: PathBuf,
        /// What runs it.
        run: CommandLine,
    },
    /// It is a node of Tahoe-LAFS.
    #[error("{} is a node of Tahoe-LAFS; to take it over: {remedy}", directory.display())]
    Tahoe {
        /// The directory.
        directory: PathBuf,
        /// What takes it over.
        remedy: CommandLine,
    },
    /// The parent is missing.
    #[error("there is no directory {}; to make it: {remedy}", path.display())]
    NoParent {
        /// The directory above the one to be made.
        path: PathBuf,
        /// What makes it.
        remedy: CommandLine,
    },
    /// No NURL could be made.
    #[error(
        "with port 0 nobody knows which port clients are to use: give each location one, as in \
         --location HOST:PORT, or choose a --port"
    )]
    NoPort,
    /// The path of the store cannot stand in a configuration.
    #[error("the path {} is not text; name the store by another path", path.display())]
    PathNotText {
        /// The path.
        path: PathBuf,
    },
    /// The store cannot be made.
    #[error(transparent)]
    Store(#[from] Box<StoreFault>),
    /// What is there already cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
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

impl InitError {
    pub(crate) fn exists(directory: &Path) -> Self {
        Self::Exists {
            directory: directory.to_owned(),
            run: CommandLine::new("tahoed", &[Path::new("run"), directory]),
        }
    }

    pub(crate) fn tahoe(directory: &Path) -> Self {
        Self::Tahoe {
            directory: directory.to_owned(),
            remedy: CommandLine::new("tahoed", &[Path::new("adopt"), directory]),
        }
    }

    pub(crate) fn no_parent(path: &Path) -> Self {
        Self::NoParent {
            path: path.to_owned(),
            remedy: CommandLine::new("mkdir", &[Path::new("-p"), path]),
        }
    }
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
    /// The store is not the one that the configuration names, or is not there.
    #[error(transparent)]
    WrongStore(#[from] Box<WrongStore>),
    /// The store cannot be opened, or the disk not driven as configured.
    #[error(transparent)]
    Store(#[from] Box<StoreFault>),
    /// The process may open too few files.
    #[error(
        "the process may have only {limit} files open and needs {least} at least: raise the limit \
         (ulimit -n {least}, or LimitNOFILE= of a systemd unit)"
    )]
    FewDescriptors {
        /// What it may.
        limit: u64,
        /// What it needs.
        least: u64,
    },
    /// None of the addresses exists on this machine.
    #[error(
        "none of the addresses in `listen` is of a kind that this machine has; an IPv4 address such \
         as 0.0.0.0:3457 will do almost everywhere"
    )]
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
