//! `tahoed.toml`: what an operator decides.
//!
//! Parsed once into a [`Config`] that cannot be wrong. A key that is not known is refused with its
//! place, so that a misspelled limit is not silently the default.

mod location;
mod names;
mod size;
mod template;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::limits;
use serde::Deserialize;

pub use location::{Location, LocationError};
pub use names::{GivenNames, NameError, Names, NodeId, PermutationSeed, ServerId};
pub use size::{ByteSize, ByteSizeError};
pub use template::{Choices, PORT_DEFAULT, render};
pub(crate) use template::{quote, with_store};

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
    /// What is logged.
    pub log: Log,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Its directory; relative to the node's.
    pub path: PathBuf,
    /// Bytes that are kept free on its file system.
    pub reserved_space: ByteSize,
    /// Take no new shares.
    pub read_only: bool,
    /// When a share is acknowledged.
    pub durability: Durability,
    /// How the disk is driven.
    pub io_engine: IoEngine,
    /// Bytes of the journal.
    pub journal_size: ByteSize,
    /// How new containers keep lease secrets.
    pub container_version: ContainerVersion,
    /// Where the shares of a new store lie.
    pub layout: Layout,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from("storage"),
            reserved_space: ByteSize(1_000_000_000),
            read_only: false,
            durability: Durability::Durable,
            io_engine: IoEngine::Auto,
            journal_size: ByteSize(64 << 20),
            container_version: ContainerVersion::Two,
            layout: Layout::TwoLevel,
        }
    }
}

/// Where the shares of a new store lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Under two levels of directories.
    TwoLevel,
    /// As a Tahoe-LAFS server has them.
    OneLevel,
}

/// How new containers keep lease secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub enum ContainerVersion {
    /// In the clear, as all versions of Tahoe-LAFS read them.
    One,
    /// Hashed, as Tahoe-LAFS 1.17 and later read them.
    Two,
}

impl TryFrom<u8> for ContainerVersion {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err("a container version is 1 or 2"),
        }
    }
}

/// When a share is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it would survive a power cut.
    Durable,
    /// When the kernel has it.
    Relaxed,
}

/// How the disk is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least important that is logged.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Text,
        }
    }
}

/// The least important that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads the text of a configuration file; `path` is for the messages.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which says where and what.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            error: Box::new(error),
        })?;
        file.check(path)
    }
}

/// The file as it is written, before it is judged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    nickname: String,
    listen: Vec<SocketAddr>,
    #[serde(default)]
    location: Vec<Location>,
    #[serde(default, rename = "tahoe")]
    names: GivenNames,
    #[serde(default)]
    store: Store,
    #[serde(default)]
    limits: UncheckedLimits,
    #[serde(default)]
    log: Log,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UncheckedLimits {
    threads: usize,
    connections: usize,
    handshake_timeout_seconds: u64,
    idle_timeout_seconds: u64,
    progress_timeout_seconds: u64,
    stop_timeout_seconds: u64,
}

impl Default for UncheckedLimits {
    fn default() -> Self {
        Self {
            threads: 1,
            connections: limits::CONNECTIONS_MAX,
            handshake_timeout_seconds: limits::HANDSHAKE_TIMEOUT.as_secs(),
            idle_timeout_seconds: limits::IDLE_TIMEOUT.as_secs(),
            progress_timeout_seconds: limits::PROGRESS_TIMEOUT.as_secs(),
            stop_timeout_seconds: limits::STOP_TIMEOUT.as_secs(),
        }
    }
}

impl File {
    fn check(self, path: &Path) -> Result<Config, ConfigError> {
        let fault = |key, rule| ConfigError::Value {
            path: path.to_owned(),
            key,
            rule,
        };
        if self.listen.is_empty() || self.listen.len() > LISTEN_MAX {
            return Err(fault("listen", "1 to 16 addresses"));
        }
        if self.location.len() > LISTEN_MAX {
            return Err(fault("location", "at most 16 places"));
        }
        if self.nickname.len() > NICKNAME_LEN_MAX {
            return Err(fault("nickname", "at most 200 bytes"));
        }
        if self.store.path.as_os_str().is_empty() {
            return Err(fault("store.path", "the path of a directory"));
        }
        let given = self.limits;
        if !(1..=THREADS_MAX).contains(&given.threads) {
            return Err(fault("limits.threads", "1 to 256"));
        }
        if !(1..=CONNECTIONS_MAX).contains(&given.connections) {
            return Err(fault("limits.connections", "1 to 1000000"));
        }
        let seconds = |key, value| match value {
            1..=TIMEOUT_SECONDS_MAX => Ok(Duration::from_secs(value)),
            _ => Err(fault(key, "1 to 86400 seconds")),
        };
        let limits = Limits {
            threads: given.threads,
            connections: given.connections,
            handshake_timeout: seconds(
                "limits.handshake_timeout_seconds",
                given.handshake_timeout_seconds,
            )?,
            idle_timeout: seconds("limits.idle_timeout_seconds", given.idle_timeout_seconds)?,
            progress_timeout: seconds(
                "limits.progress_timeout_seconds",
                given.progress_timeout_seconds,
            )?,
            stop_timeout: seconds("limits.stop_timeout_seconds", given.stop_timeout_seconds)?,
        };
        Ok(Config {
            nickname: self.nickname,
            listen: self.listen,
            location: self.location,
            names: self.names,
            store: self.store,
            limits,
            log: self.log,
        })
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is not a configuration; the message shows the place.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where.
        error: Box<toml::de::Error>,
    },
    /// A value that is out of its range.
    #[error("{}: `{key}` must be {rule}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which.
        key: &'static str,
        /// What it may be.
        rule: &'static str,
    },
}

/// Each address costs a descriptor.
const LISTEN_MAX: usize = 16;

/// Goes into announcements; long enough for any name.
const NICKNAME_LEN_MAX: usize = 200;

/// Beyond any machine this runs on; each thread costs its stack.
const THREADS_MAX: usize = 256;

/// Each connection costs a descriptor, of which Linux gives a process at most 2^20 by default.
const CONNECTIONS_MAX: usize = 1_000_000;

/// A day: a longer timeout is none.
const TIMEOUT_SECONDS_MAX: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("tahoed.toml"))
    }

    #[test]
    fn only_the_addresses_to_listen_on_must_be_given() {
        let config = parse("listen = ['127.0.0.1:0']").unwrap();
        assert_eq!(config.store, Store::default());
        assert_eq!(config.limits.connections, limits::CONNECTIONS_MAX);
        assert_eq!(config.limits.idle_timeout, limits::IDLE_TIMEOUT);
    }

    // A misspelled limit that is silently ignored is found out when it is needed.
    #[test]
    fn an_unknown_key_is_refused_with_line_and_column() {
        for (text, place) in [
            (
                "listen = ['127.0.0.1:0']\nlisten_on = 1",
                "line 2, column 1",
            ),
            ("listen = []\n[store]\n  reserve = 1", "line 3, column 3"),
            ("listen = []\n[limits]\nconnection = 1", "line 3, column 1"),
            ("listen = []\n[log]\nlevels = 'info'", "line 3, column 1"),
            ("listen = []\n[stores]", "line 2, column 2"),
            ("listen = ['localhost']", "line 1, column 11"),
            (
                "listen = []\nstore.io_engine = 'uring'",
                "line 2, column 19",
            ),
            (
                "listen = []\nstore.container_version = 3",
                "line 2, column 27",
            ),
            ("listen = []\ntahoe.node_id = 'x'", "line 2, column 17"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(place), "{text}: {message}");
            assert!(message.starts_with("tahoed.toml: "), "{message}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_name() {
        for (text, key) in [
            ("listen = []", "listen"),
            ("listen = ['[::]:0']\nlimits.threads = 0", "limits.threads"),
            (
                "listen = ['[::]:0']\nlimits.connections = 0",
                "limits.connections",
            ),
            (
                "listen = ['[::]:0']\nlimits.idle_timeout_seconds = 0",
                "limits.idle_timeout_seconds",
            ),
            (
                "listen = ['[::]:0']\nlimits.stop_timeout_seconds = 86401",
                "limits.stop_timeout_seconds",
            ),
            ("listen = ['[::]:0']\nstore.path = ''", "store.path"),
        ] {
            match parse(text).unwrap_err() {
                ConfigError::Value { key: found, .. } => assert_eq!(found, key),
                other => panic!("{text}: {other}"),
            }
        }
    }

    #[test]
    fn every_key_can_be_set() {
        let config = parse(
            "nickname = 'n'\nlisten = ['0.0.0.0:1', '[::]:1']\nlocation = ['a.example', '[::1]:2']\n\
             [tahoe]\nnode_id = 'i7g4bv3qe7blsysbucejb26pjsobzm3j'\nserver_id = 'one'\n\
             permutation_seed = 'aa'\n\
             [store]\npath = '/s'\nreserved_space = '5GiB'\nread_only = true\n\
             durability = 'relaxed'\nio_engine = 'pool'\njournal_size = 1048576\n\
             container_version = 1\nlayout = 'one-level'\n\
             [limits]\nthreads = 2\nconnections = 3\nhandshake_timeout_seconds = 4\n\
             idle_timeout_seconds = 5\nprogress_timeout_seconds = 6\nstop_timeout_seconds = 7\n\
             [log]\nlevel = 'debug'\nformat = 'json'\n",
        )
        .unwrap();
        assert_eq!(config.store.reserved_space, ByteSize(5 << 30));
        assert_eq!(config.store.durability, Durability::Relaxed);
        assert_eq!(config.store.container_version, ContainerVersion::One);
        assert_eq!(config.store.layout, Layout::OneLevel);
        assert_eq!(config.names.server_id.unwrap().to_string(), "one");
        assert_eq!(config.limits.stop_timeout, Duration::from_secs(7));
        assert_eq!(config.location[1].port, Some(2));
        assert_eq!(config.log.format, LogFormat::Json);
    }
}
