//! `tahoed.toml`: what an operator decides.
//!
//! Parsed once into a [`Config`] that cannot be wrong. A key that is not known is refused with its
//! place, so that a misspelled limit is not silently the default.

mod edit;
mod error;
mod expire;
mod location;
mod names;
mod read;
mod size;
mod source;
mod span;
mod template;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bucketfs::StoreId;

pub(crate) use edit::with_store;
pub use error::{ConfigError, KeyAdvice, Place, Rule};
pub use expire::{Expire, ExpireMode};
pub use location::{Location, LocationError};
pub use names::{GivenNames, NameError, Names, NodeId, PermutationSeed, ServerId};
pub use read::{JOURNAL_SIZE_RULE, journal_size};
pub use size::{ByteSize, ByteSizeError};
pub use span::{Date, DateError, Span, SpanError};
pub(crate) use template::quote;
pub use template::{Choices, PORT_DEFAULT, render};

/// What the operator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A name for people.
    pub nickname: String,
    /// Where to listen; port 0 is any free one.
    pub listen: Vec<SocketAddr>,
    /// Where clients are told to connect.
    pub location: Vec<Location>,
    /// What clients of Tahoe-LAFS know it by, as far as it is given.
    pub names: GivenNames,
    /// The store.
    pub store: Store,
    /// How much at once, and for how long.
    pub limits: Limits,
    /// How connections are encrypted.
    pub tls: Tls,
    /// What is logged.
    pub log: Log,
    /// What is done to need little memory.
    pub memory: Memory,
    /// How fast the walks over the whole store are.
    pub keeper: Keeper,
    /// Proving all bytes.
    pub scrub: Scrub,
    /// Removing shares whose leases have ended.
    pub expire: Expire,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Its directory; relative to the node's.
    pub path: PathBuf,
    /// Which store has to be there; a node made before stores had identifiers names none.
    pub id: Option<StoreId>,
    /// Bytes that are kept free on its file system.
    pub reserved_space: ByteSize,
    /// Most bytes of the files of all shares, if that is bounded.
    pub max_size: Option<ByteSize>,
    /// Take no new shares.
    pub read_only: bool,
    /// When a share is acknowledged.
    pub durability: Durability,
    /// How the disk is driven.
    pub io_engine: IoEngine,
    /// Bytes of the journal of a store that is made.
    pub journal_size: ByteSize,
    /// How new containers keep lease secrets.
    pub container_version: ContainerVersion,
    /// Where the shares of a store that is made lie.
    pub layout: Layout,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from(STORE_PATH),
            id: None,
            reserved_space: ByteSize(1_000_000_000),
            max_size: None,
            read_only: false,
            durability: Durability::Durable,
            io_engine: IoEngine::Auto,
            journal_size: ByteSize(bucketfs::Config::JOURNAL_SIZE),
            container_version: ContainerVersion::Two,
            layout: Layout::TwoLevel,
        }
    }
}

/// Where the shares of a new store lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Under two levels of directories.
    TwoLevel,
    /// As a Tahoe-LAFS server has them.
    OneLevel,
}

/// How new containers keep lease secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerVersion {
    /// In the clear, as all versions of Tahoe-LAFS read them.
    One,
    /// Hashed, as Tahoe-LAFS 1.17 and later read them.
    Two,
}

/// When a share is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it would survive a power cut.
    Durable,
    /// When the kernel has it.
    Relaxed,
}

impl Durability {
    /// As the configuration has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Relaxed => "relaxed",
        }
    }
}

/// How the disk is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoEngine {
    /// The ring where the kernel allows it, else the pool.
    Auto,
    /// `io_uring`, or do not start.
    Ring,
    /// Blocking calls on a few threads.
    Pool,
}

/// How much at once, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads that serve connections.
    pub threads: usize,
    /// Connections at once.
    pub connections: usize,
    /// Time for TLS and HELLO.
    pub handshake_timeout: Duration,
    /// Time without any request.
    pub idle_timeout: Duration,
    /// Time in which a peer must move something.
    pub progress_timeout: Duration,
    /// Time for what is in flight when stopping.
    pub stop_timeout: Duration,
}

/// How connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The oldest version that is served.
    pub version_min: TlsVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2, which clients of Tahoe-LAFS may speak.
    OneTwo,
    /// 1.3.
    OneThree,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important that is logged.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// The least important that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What needs the operator now.
    Error,
    /// What should not be.
    Warn,
    /// Starting, stopping, and what an operator would ask about.
    Info,
    /// Connections.
    Debug,
    /// Requests.
    Trace,
}

impl LogLevel {
    /// As the configuration has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is done to need little memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Give pages of program code back to the page cache while idle.
    pub release_code_pages: bool,
}

/// How fast the walks over the whole store are, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// Operations of the disk a second: opens, directories, reads.
    pub operations_per_second: u64,
    /// Bytes read a second.
    pub bytes_per_second: ByteSize,
}

impl Default for Keeper {
    fn default() -> Self {
        Self {
            operations_per_second: 200,
            bytes_per_second: ByteSize(8_000_000),
        }
    }
}

/// Proving all bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// How often; `None`: only when asked for.
    pub every: Option<Span>,
}

impl Default for Scrub {
    fn default() -> Self {
        Self {
            every: Some(Span::days(30)),
        }
    }
}

impl Config {
    /// Reads the text of a configuration file; `path` is for the messages.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which says where and what.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        read::config(text, path)
    }

    /// The keys whose values differ, by their tables or by themselves.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let (ours, theirs) = (self, other);
        [
            ("nickname", ours.nickname != theirs.nickname),
            ("listen", ours.listen != theirs.listen),
            ("location", ours.location != theirs.location),
            ("tahoe", ours.names != theirs.names),
            ("store", ours.store != theirs.store),
            ("limits", ours.limits != theirs.limits),
            ("tls", ours.tls != theirs.tls),
            ("log.level", ours.log.level != theirs.log.level),
            ("log.format", ours.log.format != theirs.log.format),
            ("memory", ours.memory != theirs.memory),
            ("keeper", ours.keeper != theirs.keeper),
            ("scrub", ours.scrub != theirs.scrub),
            ("expire", ours.expire != theirs.expire),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

/// The store's directory in the node's, unless the operator has it elsewhere.
pub(crate) const STORE_PATH: &str = "storage";

/// Each address costs a descriptor.
pub(crate) const LISTEN_MAX: usize = 16;
