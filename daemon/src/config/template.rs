//! The configuration file that `tahoed init` writes: every key, with what it means.

use std::fmt::Write;
use std::net::SocketAddr;

use super::{ByteSize, Expire, ExpireMode, Layout, Location, Names, Store};

/// The port of a server whose operator chose none.
pub const PORT_DEFAULT: u16 = 3457;

/// What the operator chose at `tahoed init`.
#[derive(Clone, Debug)]
pub struct Choices {
    /// A name for people.
    pub nickname: String,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Where clients are told to connect.
    pub location: Vec<Location>,
    /// The store. Its identifier is not chosen.
    pub store: Store,
    /// What is removed when its leases have ended.
    pub expire: Expire,
}

/// Returns the text of a configuration file with these choices, of a server with these names;
/// `None` if the path of the store is not text.
#[must_use]
pub fn render(choices: &Choices, names: &Names) -> Option<String> {
    let store = &choices.store;
    let layout = match store.layout {
        Layout::TwoLevel => "two-level",
        Layout::OneLevel => "one-level",
    };
    let id = match &store.id {
        Some(id) => format!("id = {}", quote(&id.to_string())),
        None => "# No store was made yet.".to_owned(),
    };
    // The nickname last: it may hold anything, the other placeholders included.
    let text = TEMPLATE
        .replace("{listen}", &list(&choices.listen))
        .replace("{location}", &list(&choices.location))
        .replace("{node_id}", &quote(&names.node_id.to_string()))
        .replace("{server_id}", &quote(&names.server_id.to_string()))
        .replace("{seed}", &quote(&names.permutation_seed.to_string()))
        .replace("{id}", &id)
        .replace("{path}", &line("path", "storage", store.path.to_str()?))
        .replace(
            "{reserved_space}",
            &size_line("reserved_space", "1G", store.reserved_space),
        )
        .replace(
            "{max_size}",
            &match store.max_size {
                Some(size) => format!("max_size = {}", size.0),
                None => "# max_size = \"500G\"".to_owned(),
            },
        )
        .replace(
            "{read_only}",
            match store.read_only {
                true => "read_only = true",
                false => "#read_only = false",
            },
        )
        .replace(
            "{journal_size}",
            &size_line("journal_size", "64MiB", store.journal_size),
        )
        .replace("{layout}", &line("layout", "two-level", layout))
        .replace("{expire}", &expire_lines(&choices.expire))
        .replace("{nickname}", &quote(&choices.nickname));
    Some(text)
}

/// A key with its value, in a comment if that is the default.
fn line(key: &str, default: &str, value: &str) -> String {
    let mark = if value == default { "#" } else { "" };
    format!("{mark}{key} = {}", quote(value))
}

/// Likewise of a size.
fn size_line(key: &str, default: &str, size: ByteSize) -> String {
    match default.parse() == Ok(size) {
        true => line(key, default, default),
        false => format!("{key} = {}", size.0),
    }
}

/// What is chosen of expiry, and the defaults in comments. (How often it is done is not chosen.)
fn expire_lines(expire: &Expire) -> String {
    let flag = |key: &str, default: bool, value: bool| {
        let mark = if value == default { "#" } else { "" };
        format!("{mark}{key} = {value}\n")
    };
    let mode = match expire.mode {
        ExpireMode::Age {
            override_lease_duration: None,
        } => line("mode", "age", "age"),
        ExpireMode::Age {
            override_lease_duration: Some(span),
        } => {
            let span = quote(&span.to_string());
            format!("mode = \"age\"\noverride_lease_duration = {span}")
        }
        ExpireMode::CutoffDate(date) => {
            format!("mode = \"cutoff-date\"\ncutoff_date = \"{date}\"")
        }
    };
    let default = Expire::default();
    [
        flag("enabled", default.enabled, expire.enabled),
        flag("dry_run", default.dry_run, expire.dry_run),
        mode + "\n",
        flag("immutable", default.immutable, expire.immutable),
        flag("mutable", default.mutable, expire.mutable),
    ]
    .concat()
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| quote(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// A TOML basic string, which is a double-quoted string of YAML as well.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            control if control.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(control)).expect("a string takes it");
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

const TEMPLATE: &str = r#"# The configuration of this tahoed. It is read at start; SIGHUP has it read again, which takes
# effect for log.level. A key in a comment shows its default.

# A name for people to know this server by. It is no secret and need not be unique.
nickname = {nickname}

# The addresses to listen on. Port 0 is any free one, printed at start.
listen = {listen}

# Where clients are told to connect, HOST or HOST:PORT: the name or address of this machine as
# others see it. Without a port it is the one listened on. `tahoed nurl` prints one NURL for each.
location = {location}

[tahoe]
# What clients of Tahoe-LAFS know this server by, as `tahoed servers-yaml` tells them. Never change
# these: clients that were told others could no longer write to their slots nor renew their leases.
node_id = {node_id}
server_id = {server_id}
permutation_seed = {seed}

[store]
# The directory that holds the shares, relative to the directory of this file. It should be on
# the disk that is meant to fill up.
{path}

# Which store that is: its file `identifier` says the same. Where the two differ, or there is no
# store because a disk is not mounted, tahoed does not start. To make another store, or to serve one
# that exists: tahoed init DIRECTORY --store PATH
{id}

# Space to leave free on that disk: 500M, 1G, 2GiB. When no more is left, new shares are refused;
# reads, renewals and deletions still work.
{reserved_space}

# Most space that the files of all shares may take, however much the disk has: as above, or without
# a bound where it is not set. When that is reached, new shares are refused likewise.
{max_size}

# Take no new shares.
{read_only}

# "durable": a share is acknowledged when it would survive a power cut.
# "relaxed": when the kernel has it. A power cut may lose what was acknowledged shortly before.
# Clients are told.
#durability = "durable"

# "ring": io_uring. "pool": plain calls on a few threads. "auto": the ring where the kernel allows it.
#io_engine = "auto"

# Disk space of the journal, which makes small shares durable quickly. A store that exists keeps
# the journal that it has.
{journal_size}

# The version of new containers. 2 keeps hashes of lease secrets; 1 keeps them in the clear, for
# Tahoe-LAFS before 1.17. Both are read.
#container_version = 2

# Where the shares of a new store lie: "two-level", which is right for any number of shares, or
# "one-level", where a Tahoe-LAFS server would look for them. A store that exists keeps its layout.
{layout}

[limits]
# Threads that serve connections. One serves a gigabit.
#threads = 1

# Connections at once. Each takes less than 20 KiB of memory while idle.
#connections = 1024

# How long a client may take to finish TLS and present the swissnum.
#handshake_timeout_seconds = 15

# How long a connection may be idle.
#idle_timeout_seconds = 600

# How long a client may take to move 4 KiB in the middle of something.
#progress_timeout_seconds = 60

# How long a stopping server waits for what is in flight.
#stop_timeout_seconds = 20

[tls]
# The oldest version that clients of Tahoe-LAFS may speak: "1.2" or "1.3". tahoectl speaks 1.3 only.
#version_min = "1.2"

[log]
# "error", "warn", "info" (starting, stopping, trouble), "debug" (connections), "trace" (requests).
#level = "info"

# "text" or "json", on standard error.
#format = "text"

[memory]
# Give pages of program code back to the page cache while nothing happens. They are read again from
# the page cache when they are needed.
#release_code_pages = true

[keeper]
# Walks over the whole store, such as those below, run in one thread of low priority. This is how
# much of the disk they may take a second.
#operations_per_second = 200
#bytes_per_second = "8M"

[scrub]
# How often every share is read and its bytes are proved: "30 days", "12 hours", or "off". Damage is
# told in the log, in `tahoed status`, and as a corruption advisory. Nothing is changed.
#every = "30 days"

[expire]
# Remove shares all of whose leases have ended. A share without any lease stays. With dry_run it is
# only said what would be removed.
#
# mode = "age": a lease ends at the time that it names, 31 days after it was last renewed. With
# override_lease_duration = "60 days" it ends so long after it was last renewed.
# mode = "cutoff-date": a lease has ended if it was last renewed before the day (in UTC) that is
# named by cutoff_date = "2026-01-31".
{expire}
# How often.
#every = "1 day"
"#;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{ByteSize, Config};
    use crate::identity::Identity;

    fn names() -> Names {
        let pem = Identity::generate().unwrap();
        Names::of(&Identity::from_pem(pem.as_bytes()).unwrap())
    }

    fn choices(nickname: &str) -> Choices {
        Choices {
            nickname: nickname.to_owned(),
            listen: vec!["127.0.0.1:7".parse().unwrap(), "[::]:7".parse().unwrap()],
            location: vec!["storage.example".parse().unwrap()],
            store: Store::default(),
            expire: Expire::default(),
        }
    }

    #[test]
    fn what_init_writes_is_what_run_reads() {
        let names = names();
        for nickname in [
            "alice",
            "",
            "a \"quoted\" \\ \u{1b} n\u{e4}me\n",
            "{listen}",
        ] {
            let text = render(&choices(nickname), &names).unwrap();
            let config = Config::parse(&text, Path::new("tahoed.toml")).unwrap();
            assert_eq!(config.nickname, nickname);
            assert_eq!(config.listen, choices("").listen);
            assert_eq!(config.location, choices("").location);
            assert_eq!(config.names.server_id.as_ref(), Some(&names.server_id));
            assert_eq!(config.names.or(self::names()), names);
        }
    }

    #[test]
    fn a_store_that_is_chosen_is_read_back() {
        let store = Store {
            path: "/srv/a \"b\"".into(),
            id: Some(bucketfs::StoreId::new([7; 16])),
            reserved_space: ByteSize(5 << 30),
            max_size: Some(ByteSize(7 << 40)),
            read_only: true,
            journal_size: ByteSize(8 << 20),
            layout: Layout::OneLevel,
            ..Store::default()
        };
        let mut choices = choices("alice");
        choices.store = store.clone();
        let text = render(&choices, &names()).unwrap();
        let config = Config::parse(&text, Path::new("tahoed.toml")).unwrap();
        assert_eq!(config.store, store);
    }

    #[test]
    fn expiry_that_is_chosen_is_read_back() {
        for (mode, immutable, mutable) in [
            (
                ExpireMode::Age {
                    override_lease_duration: Some("2 months".parse().unwrap()),
                },
                true,
                false,
            ),
            (
                ExpireMode::CutoffDate("2026-01-31".parse().unwrap()),
                false,
                true,
            ),
            (Expire::default().mode, true, true),
        ] {
            let expire = Expire {
                enabled: true,
                dry_run: true,
                mode,
                immutable,
                mutable,
                ..Expire::default()
            };
            let mut choices = choices("alice");
            choices.expire = expire;
            let text = render(&choices, &names()).unwrap();
            let config = Config::parse(&text, Path::new("tahoed.toml")).unwrap();
            assert_eq!(config.expire, expire);
        }
    }

    // The comments promise defaults; with each key taken out of its comment nothing may change.
    #[test]
    fn the_defaults_in_comments_are_the_defaults() {
        let text = render(&choices("alice"), &names()).unwrap();
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.contains(" = ") && !key.starts_with(' ') => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(
            uncommented.matches("\n# ").count(),
            text.matches("\n# ").count()
        );
        assert_ne!(uncommented, text);
        let parse = |text: &str| Config::parse(text, Path::new("tahoed.toml")).unwrap();
        assert_eq!(parse(&uncommented), parse(&text));
    }
}
