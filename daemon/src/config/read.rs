//! How a configuration is read: every key, what it may be, and what it is when it is not there.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::limits;

use super::error::ConfigError;
use super::source::{Schema, Source, Table};
use super::{
    ByteSize, Config, ContainerVersion, Date, Durability, Expire, ExpireMode, GivenNames, IoEngine,
    Keeper, LISTEN_MAX, Layout, Limits, Log, LogFormat, LogLevel, Memory, Scrub, Span, Store, Tls,
    TlsVersion,
};

/// Reads the text of a configuration file; `path` is for the messages.
pub(super) fn config(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let source = Source::parse(text, path, SCHEMAS)?;
    let root = source.root();
    let listen = root.texts("listen", 1..=LISTEN_MAX, LISTEN_RULE)?;
    let config = Config {
        nickname: root
            .text::<Nickname>("nickname", "a text of at most 200 bytes")?
            .map_or_else(String::new, |nickname| nickname.0),
        listen: listen.unwrap_or_default(),
        location: root
            .texts("location", 0..=LISTEN_MAX, LOCATION_RULE)?
            .unwrap_or_default(),
        names: names(source.table("tahoe"))?,
        store: store(source.table("store"))?,
        limits: limits(source.table("limits"))?,
        tls: tls(source.table("tls"))?,
        log: log(source.table("log"))?,
        memory: memory(source.table("memory"))?,
        keeper: keeper(source.table("keeper"))?,
        scrub: scrub(source.table("scrub"))?,
        expire: expire(source.table("expire"))?,
    };
    match config.listen.is_empty() {
        true => Err(root.missing("listen", LISTEN_RULE)),
        false => Ok(config),
    }
}

fn names(table: Table<'_>) -> Result<GivenNames, ConfigError> {
    Ok(GivenNames {
        node_id: table.text("node_id", "a TubID: 32 characters of lower-case base32")?,
        server_id: table.text(
            "server_id",
            "up to 100 letters, digits, dots, hyphens and underscores; after \"v0-\" 52 characters \
             of lower-case base32",
        )?,
        permutation_seed: table.text(
            "permutation_seed",
            "lower-case base32 of at most 64 bytes, such as \"aaaaaaaa\"",
        )?,
    })
}

fn store(table: Table<'_>) -> Result<Store, ConfigError> {
    let default = Store::default();
    let path = table.text::<StorePath>("path", "the path of a directory, such as \"storage\"")?;
    let journal_size = table.text_or_number::<JournalSize>("journal_size", JOURNAL_SIZE_RULE)?;
    Ok(Store {
        path: path.map_or(default.path, |path| path.0),
        id: table.text("id", "as `tahoed init` wrote it: 32 digits of hexadecimal")?,
        reserved_space: table
            .text_or_number("reserved_space", SIZE_RULE)?
            .unwrap_or(default.reserved_space),
        max_size: table.text_or_number("max_size", SIZE_RULE)?,
        read_only: table.flag("read_only")?.unwrap_or(default.read_only),
        durability: table
            .choice(
                "durability",
                &[
                    (Durability::Durable.name(), Durability::Durable),
                    (Durability::Relaxed.name(), Durability::Relaxed),
                ],
            )?
            .unwrap_or(default.durability),
        io_engine: table
            .choice(
                "io_engine",
                &[
                    ("auto", IoEngine::Auto),
                    ("ring", IoEngine::Ring),
                    ("pool", IoEngine::Pool),
                ],
            )?
            .unwrap_or(default.io_engine),
        journal_size: journal_size.map_or(default.journal_size, |size| size.0),
        container_version: match table.number("container_version", 1..=2)? {
            Some(1) => ContainerVersion::One,
            _ => default.container_version,
        },
        layout: table
            .choice(
                "layout",
                &[
                    ("two-level", Layout::TwoLevel),
                    ("one-level", Layout::OneLevel),
                ],
            )?
            .unwrap_or(default.layout),
    })
}

fn limits(table: Table<'_>) -> Result<Limits, ConfigError> {
    let count = |key, max, default| -> Result<usize, ConfigError> {
        let number = table.number(key, 1..=max)?;
        Ok(number.map_or(default, |number| {
            lafs::num::len(number).expect("a million is a number of any machine")
        }))
    };
    let seconds = |key, default| -> Result<Duration, ConfigError> {
        let number = table.number(key, TIMEOUT_SECONDS)?;
        Ok(number.map_or(default, Duration::from_secs))
    };
    Ok(Limits {
        threads: count("threads", THREADS_MAX, 1)?,
        connections: count("connections", CONNECTIONS_MAX, limits::CONNECTIONS_MAX)?,
        handshake_timeout: seconds("handshake_timeout_seconds", limits::HANDSHAKE_TIMEOUT)?,
        idle_timeout: seconds("idle_timeout_seconds", limits::IDLE_TIMEOUT)?,
        progress_timeout: seconds("progress_timeout_seconds", limits::PROGRESS_TIMEOUT)?,
        stop_timeout: seconds("stop_timeout_seconds", limits::STOP_TIMEOUT)?,
    })
}

fn tls(table: Table<'_>) -> Result<Tls, ConfigError> {
    let versions = [("1.2", TlsVersion::OneTwo), ("1.3", TlsVersion::OneThree)];
    let version_min = table.choice("version_min", &versions)?;
    Ok(Tls {
        version_min: version_min.unwrap_or(TlsVersion::OneTwo),
    })
}

fn log(table: Table<'_>) -> Result<Log, ConfigError> {
    let levels = [
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ];
    let level = table.choice("level", &levels.map(|level| (level.name(), level)))?;
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Ok(Log {
        level: level.unwrap_or(LogLevel::Info),
        format: table.choice("format", &formats)?.unwrap_or(LogFormat::Text),
    })
}

fn memory(table: Table<'_>) -> Result<Memory, ConfigError> {
    Ok(Memory {
        release_code_pages: table.flag("release_code_pages")?.unwrap_or(true),
    })
}

fn keeper(table: Table<'_>) -> Result<Keeper, ConfigError> {
    let default = Keeper::default();
    let bytes = table.text_or_number::<Rate>("bytes_per_second", RATE_RULE)?;
    Ok(Keeper {
        operations_per_second: table
            .number("operations_per_second", OPERATIONS)?
            .unwrap_or(default.operations_per_second),
        bytes_per_second: bytes.map_or(default.bytes_per_second, |rate| rate.0),
    })
}

fn scrub(table: Table<'_>) -> Result<Scrub, ConfigError> {
    let every = table.text::<Every>("every", EVERY_RULE)?;
    let every = every.map_or(Scrub::default().every, |every| every.0);
    Ok(Scrub { every })
}

fn expire(table: Table<'_>) -> Result<Expire, ConfigError> {
    let default = Expire::default();
    let lease_duration = table.text::<Span>("override_lease_duration", SPAN_RULE)?;
    let cutoff_date = table.text::<Date>("cutoff_date", DATE_RULE)?;
    let modes = [("age", false), ("cutoff-date", true)];
    let by_date = table.choice("mode", &modes)?.unwrap_or(false);
    let mode = match (by_date, lease_duration, cutoff_date) {
        (false, override_lease_duration, None) => ExpireMode::Age {
            override_lease_duration,
        },
        (true, None, Some(date)) => ExpireMode::CutoffDate(date),
        (true, None, None) => return Err(table.missing("cutoff_date", DATE_RULE)),
        (true, Some(_), _) => {
            return Err(table.rejected(
                "override_lease_duration",
                "left out with mode = \"cutoff-date\"",
            ));
        }
        (false, _, Some(_)) => {
            return Err(table.rejected("cutoff_date", "left out unless mode = \"cutoff-date\""));
        }
    };
    let every = table.text::<EveryOften>("every", EVERY_OFTEN_RULE)?;
    Ok(Expire {
        enabled: table.flag("enabled")?.unwrap_or(default.enabled),
        dry_run: table.flag("dry_run")?.unwrap_or(default.dry_run),
        mode,
        immutable: table.flag("immutable")?.unwrap_or(default.immutable),
        mutable: table.flag("mutable")?.unwrap_or(default.mutable),
        every: every.map_or(default.every, |every| every.0),
    })
}

/// Bytes a second that let a walk get on.
struct Rate(ByteSize);

impl std::str::FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let size: ByteSize = text.parse().map_err(|_| ())?;
        match RATES.contains(&size.0) {
            true => Ok(Self(size)),
            false => Err(()),
        }
    }
}

/// How often something is done, if at all.
struct Every(Option<Span>);

impl std::str::FromStr for Every {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "off" => Ok(Self(None)),
            text => Ok(Self(Some(text.parse::<EveryOften>()?.0))),
        }
    }
}

/// How often something is done.
struct EveryOften(Span);

impl std::str::FromStr for EveryOften {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let span: Span = text.parse().map_err(|_| ())?;
        match EVERY_SECONDS.contains(&span.as_secs()) {
            true => Ok(Self(span)),
            false => Err(()),
        }
    }
}

/// A text of bounded length.
struct Nickname(String);

impl std::str::FromStr for Nickname {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.len() <= NICKNAME_LEN_MAX {
            true => Ok(Self(text.to_owned())),
            false => Err(()),
        }
    }
}

/// A path that names something.
struct StorePath(PathBuf);

impl std::str::FromStr for StorePath {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.is_empty() || text.contains('\0') {
            true => Err(()),
            false => Ok(Self(text.into())),
        }
    }
}

/// A size that a journal can have.
struct JournalSize(ByteSize);

impl std::str::FromStr for JournalSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        journal_size(text).map(Self).ok_or(())
    }
}

/// Reads the size of a journal, if it is one that a journal can have.
#[must_use]
pub fn journal_size(text: &str) -> Option<ByteSize> {
    let size: ByteSize = text.parse().ok()?;
    JOURNAL_SIZES.contains(&size.0).then_some(size)
}

/// Every key there is.
const SCHEMAS: &[Schema] = &[
    Schema {
        table: "",
        keys: &["nickname", "listen", "location"],
    },
    Schema {
        table: "tahoe",
        keys: &["node_id", "server_id", "permutation_seed"],
    },
    Schema {
        table: "store",
        keys: &[
            "path",
            "id",
            "reserved_space",
            "max_size",
            "read_only",
            "durability",
            "io_engine",
            "journal_size",
            "container_version",
            "layout",
        ],
    },
    Schema {
        table: "limits",
        keys: &[
            "threads",
            "connections",
            "handshake_timeout_seconds",
            "idle_timeout_seconds",
            "progress_timeout_seconds",
            "stop_timeout_seconds",
        ],
    },
    Schema {
        table: "tls",
        keys: &["version_min"],
    },
    Schema {
        table: "log",
        keys: &["level", "format"],
    },
    Schema {
        table: "memory",
        keys: &["release_code_pages"],
    },
    Schema {
        table: "keeper",
        keys: &["operations_per_second", "bytes_per_second"],
    },
    Schema {
        table: "scrub",
        keys: &["every"],
    },
    Schema {
        table: "expire",
        keys: &[
            "enabled",
            "dry_run",
            "mode",
            "override_lease_duration",
            "cutoff_date",
            "immutable",
            "mutable",
            "every",
        ],
    },
];

const LISTEN_RULE: &str = "a list of 1 to 16 addresses with their ports, such as \
                           [\"0.0.0.0:3457\", \"[::]:3457\"]";

const LOCATION_RULE: &str = "a list of at most 16 host names or addresses, with a port where it is \
                             not the one listened on, such as [\"storage.example.org\"]";

const SIZE_RULE: &str = "a size: a number of bytes, or digits and a unit without blanks, such as \
                         \"500M\", \"1G\" or \"2GiB\", below 2^64 bytes";

const JOURNAL_SIZES: RangeInclusive<u64> =
    bucketfs::Config::JOURNAL_SIZE_MIN..=bucketfs::Config::JOURNAL_SIZE_MAX;

/// What the size of a journal may be.
pub const JOURNAL_SIZE_RULE: &str = "a size from \"1MiB\" to \"4GiB\", such as \"64MiB\"";
const _: () = assert!(*JOURNAL_SIZES.start() <= 1 << 20 && *JOURNAL_SIZES.end() == 4 << 30);

/// From a walk that hardly moves to one that is not held back.
const OPERATIONS: RangeInclusive<u64> = 1..=1_000_000;

/// Likewise. A read is of at most 256 KiB, so less than 64 KiB a second would be seconds of silence.
const RATES: RangeInclusive<u64> = 1 << 16..=1 << 40;

const RATE_RULE: &str = "a size from \"64KiB\" to \"1TiB\", such as \"8M\"";

/// From an hour to ten years.
const EVERY_SECONDS: RangeInclusive<u64> = 3600..=10 * 365 * 86_400;

const EVERY_RULE: &str = "a span of time from an hour to ten years, such as \"30 days\" or \"12 \
                          hours\", or \"off\"";

const EVERY_OFTEN_RULE: &str = "a span of time from an hour to ten years, such as \"1 day\"";

const SPAN_RULE: &str = "a span of time, such as \"60 days\" or \"2 months\"";

const DATE_RULE: &str = "a day in quotes, such as \"2026-01-31\"";

/// Goes into announcements; long enough for any name.
const NICKNAME_LEN_MAX: usize = 200;

/// Beyond any machine this runs on; each thread costs its stack.
const THREADS_MAX: u64 = 256;

/// Each connection costs a descriptor, of which Linux gives a process at most 2^20 by default.
const CONNECTIONS_MAX: u64 = 1_000_000;

/// Up to a day: a longer timeout is none.
const TIMEOUT_SECONDS: RangeInclusive<u64> = 1..=86_400;

#[cfg(test)]
mod tests {
    use bucketfs::StoreId;

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
        assert!(config.memory.release_code_pages);
    }

    // A misspelled limit that is silently ignored is found out when it is needed.
    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_one() {
        for (text, place, advice) in [
            (
                "listen = ['127.0.0.1:0']\nlisten_on = 1",
                "line 2, column 1: there is no key `listen_on`",
                "did you mean `listen`?",
            ),
            (
                "[store]\n  reserve = 1",
                "line 2, column 3: there is no key `store.reserve`",
                "did you mean `store.reserved_space`?",
            ),
            (
                "[limits]\nconnection = 1",
                "line 2, column 1: there is no key `limits.connection`",
                "did you mean `limits.connections`?",
            ),
            (
                "connections = 5",
                "line 1, column 1: there is no key `connections`",
                "did you mean `limits.connections`?",
            ),
            (
                "[log]\nlevels = 'info'",
                "line 2, column 1: there is no key `log.levels`",
                "did you mean `log.level`?",
            ),
            (
                "[stores]",
                "line 1, column 2: there is no key `stores`",
                "did you mean `store`?",
            ),
            (
                "log.colour = true",
                "there is no key `log.colour`",
                "the keys here are level, format",
            ),
            (
                "log.\"a\\u001b\" = 1",
                "there is no key `log.a\\u{1b}`",
                "the keys here are level, format",
            ),
        ] {
            let message = parse(text).unwrap_err().to_string();
            for words in [place, advice] {
                assert!(message.contains(words), "{text}: {message}");
            }
            assert!(message.starts_with("tahoed.toml: "), "{message}");
        }
    }

    #[test]
    fn a_value_that_will_not_do_is_refused_with_what_would() {
        for (text, words) in [
            ("", "`listen` is missing; set it to a list of 1 to 16"),
            ("listen = []", "`listen` is []; it must be a list of 1"),
            (
                "listen = ['localhost']",
                "line 1, column 11: `listen` is 'localhost'; it must be a list of 1 to 16 \
                 addresses with their ports, such as [\"0.0.0.0:3457\", \"[::]:3457\"]",
            ),
            ("listen = 3457", "`listen` is 3457; it must be a list of"),
            (
                "nickname = 7",
                "`nickname` is 7; it must be a text of at most",
            ),
            (
                "location = [1]",
                "`location` is 1; it must be a list of at most 16",
            ),
            (
                "limits.threads = 0",
                "it must be a whole number from 1 to 256",
            ),
            (
                "limits.threads = 'two'",
                "it must be a whole number from 1 to 256",
            ),
            (
                "limits.threads = 1.5",
                "`limits.threads` is 1.5; it must be a whole",
            ),
            (
                "limits.connections = -1",
                "a whole number from 1 to 1000000",
            ),
            (
                "limits.connections = 99999999999999999999",
                "line 1, column 22",
            ),
            (
                "limits.stop_timeout_seconds = 86401",
                "a whole number from 1 to 86400",
            ),
            ("limits = 5", "write [limits], and its keys below it"),
            ("store.path = ''", "it must be the path of a directory"),
            ("store.read_only = 'yes'", "it must be true or false"),
            (
                "\nstore.io_engine = 'uring'",
                "line 2, column 19: `store.io_engine` is 'uring'; it must be \"auto\", \"ring\" or \
                 \"pool\"",
            ),
            (
                "store.durability = 'full'",
                "it must be \"durable\" or \"relaxed\"",
            ),
            ("store.container_version = 3", "a whole number from 1 to 2"),
            (
                "store.reserved_space = '1.5G'",
                "\"500M\", \"1G\" or \"2GiB\"",
            ),
            ("store.reserved_space = -1", "\"500M\", \"1G\" or \"2GiB\""),
            ("store.max_size = 'much'", "\"500M\", \"1G\" or \"2GiB\""),
            (
                "store.journal_size = '1K'",
                "a size from \"1MiB\" to \"4GiB\"",
            ),
            (
                "store.journal_size = '5GiB'",
                "a size from \"1MiB\" to \"4GiB\"",
            ),
            ("store.id = 'x'", "as `tahoed init` wrote it"),
            ("tahoe.node_id = 'x'", "32 characters of lower-case base32"),
            ("tls.version_min = 1.3", "it must be \"1.2\" or \"1.3\""),
            ("tls.version_min = '1.1'", "it must be \"1.2\" or \"1.3\""),
            ("log.level = 'loud'", "\"info\", \"debug\" or \"trace\""),
            ("memory.release_code_pages = 1", "it must be true or false"),
            ("keeper.bytes_per_second = '1K'", "a size from \"64KiB\""),
            ("keeper.operations_per_second = 0", "from 1 to 1000000"),
            ("scrub.every = '5 minutes'", "from an hour to ten years"),
            ("scrub.every = 30", "or \"off\""),
            ("expire.every = 'off'", "such as \"1 day\""),
            ("expire.enabled = 'yes'", "it must be true or false"),
            (
                "expire.mode = 'never'",
                "it must be \"age\" or \"cutoff-date\"",
            ),
            (
                "expire.mode = 'cutoff-date'",
                "`expire.cutoff_date` is missing",
            ),
            ("expire.cutoff_date = 2026-01-31", "a day in quotes"),
            (
                "expire.cutoff_date = '2026-01-31'",
                "left out unless mode = \"cutoff-date\"",
            ),
            (
                "expire = { mode = 'cutoff-date', override_lease_duration = '2 months', cutoff_date = '2026-01-31' }",
                "`expire.override_lease_duration` is '2 months'; it must be left out with",
            ),
            ("expire.override_lease_duration = '2 weeks'", "\"2 months\""),
            ("listen", "line 1, column 7"),
            ("listen = [", "line 1, column 11"),
            ("listen = ['[::]:1']\n\0\0", "line 2, column 3"),
            ("listen = []\nlisten = []", "line 2, column 1"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(words), "{text:?}: {message}");
            for of_rust in ["usize", "i128", "i64", "u64", "sequence", "Some(", "struct"] {
                let rest = message.replace("2^64", "");
                assert!(!rest.contains(of_rust), "{text:?}: {message}");
            }
            assert!(!message.contains(char::is_control), "{text:?}: {message:?}");
        }
    }

    #[test]
    fn every_key_can_be_set() {
        let config = parse(
            "nickname = 'n'\nlisten = ['0.0.0.0:1', '[::]:1']\nlocation = ['a.example', '[::1]:2']\n\
             [tahoe]\nnode_id = 'i7g4bv3qe7blsysbucejb26pjsobzm3j'\nserver_id = 'one'\n\
             permutation_seed = 'aa'\n\
             [store]\npath = '/s'\nid = '000102030405060708090a0b0c0d0e0f'\n\
             reserved_space = '5GiB'\nmax_size = '2T'\nread_only = true\n\
             durability = 'relaxed'\nio_engine = 'pool'\njournal_size = 1048576\n\
             container_version = 1\nlayout = 'one-level'\n\
             [limits]\nthreads = 2\nconnections = 3\nhandshake_timeout_seconds = 4\n\
             idle_timeout_seconds = 5\nprogress_timeout_seconds = 6\nstop_timeout_seconds = 7\n\
             [tls]\nversion_min = '1.3'\n[log]\nlevel = 'debug'\nformat = 'json'\n[memory]\nrelease_code_pages = false\n\
             [keeper]\noperations_per_second = 8\nbytes_per_second = '1MiB'\n[scrub]\nevery = '12 hours'\n\
             [expire]\nenabled = true\ndry_run = true\nmode = 'age'\nimmutable = false\nmutable = false\n\
             override_lease_duration = '2 months'\nevery = '2 days'\n",
        )
        .unwrap();
        assert_eq!(config.store.reserved_space, ByteSize(5 << 30));
        assert_eq!(config.store.max_size, Some(ByteSize(2_000_000_000_000)));
        assert_eq!(config.store.durability, Durability::Relaxed);
        assert_eq!(config.store.container_version, ContainerVersion::One);
        assert_eq!(config.store.layout, Layout::OneLevel);
        let id: [u8; 16] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(config.store.id, Some(StoreId::new(id)));
        assert_eq!(config.names.server_id.unwrap().to_string(), "one");
        assert_eq!(config.limits.stop_timeout, Duration::from_secs(7));
        assert_eq!(config.location[1].port, Some(2));
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!(config.tls.version_min, TlsVersion::OneThree);
        assert!(!config.memory.release_code_pages);
        assert_eq!(config.keeper.operations_per_second, 8);
        assert_eq!(config.keeper.bytes_per_second, ByteSize(1 << 20));
        assert_eq!(config.scrub.every, Some("12 hours".parse().unwrap()));
        let expected = Expire {
            enabled: true,
            dry_run: true,
            mode: ExpireMode::Age {
                override_lease_duration: Some("62 days".parse().unwrap()),
            },
            immutable: false,
            mutable: false,
            every: Span::days(2),
        };
        assert_eq!(config.expire, expected);
    }

    // Nothing may be removed unless the operator has said so.
    #[test]
    fn expiry_is_off_unless_it_is_asked_for() {
        let config = parse("listen = ['127.0.0.1:0']").unwrap();
        assert!(!config.expire.enabled);
        let config = parse("listen = ['127.0.0.1:0']\nexpire.mode = 'age'").unwrap();
        assert_eq!(config.expire, Expire::default());
        let text = "listen = ['127.0.0.1:0']\n[expire]\nmode = 'cutoff-date'\ncutoff_date = '2026-01-31'\n\
                    [scrub]\nevery = 'off'";
        let config = parse(text).unwrap();
        let date = ExpireMode::CutoffDate("2026-01-31".parse().unwrap());
        assert_eq!(config.expire.mode, date);
        assert_eq!(config.scrub.every, None);
    }

    #[test]
    fn what_differs_is_named() {
        let config = parse("listen = ['[::]:1']").unwrap();
        let other = "listen = ['[::]:2']\nlog.level = 'debug'\nstore.read_only = true\n\
                     scrub.every = 'off'\nexpire.enabled = true\nkeeper.operations_per_second = 1";
        let names = config.differences(&parse(other).unwrap());
        let expected = ["listen", "store", "log.level", "keeper", "scrub", "expire"];
        assert_eq!(names, expected);
        assert!(config.differences(&config).is_empty());
    }
}
