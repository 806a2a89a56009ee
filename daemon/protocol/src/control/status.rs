//! How a daemon and its store are.
//!
//! Times are seconds since 1970, sizes are bytes. What is not known is not there.

use serde::{Deserialize, Serialize};

use super::request::Task;

/// How a store is, and the daemon that serves it, if one does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether a daemon serves it.
    pub state: State,
    /// Which program says so, with its version.
    pub program: String,
    /// The daemon's process.
    pub process: Option<u32>,
    /// Since when it serves.
    pub since: Option<u64>,
    /// The store.
    pub store: Store,
    /// Its disk.
    pub space: Space,
    /// How many shares there are; not there if they were never counted.
    pub shares: Option<Kinds>,
    /// What the last whole walk saw of leases.
    pub leases: Option<Leases>,
    /// The journal.
    pub journal: Journal,
    /// What drives the disk, while a daemon runs.
    pub engine: Option<Engine>,
    /// Who is connected, while a daemon runs.
    pub connections: Option<Connections>,
    /// Proving all bytes.
    pub scrub: Scrub,
    /// Removing shares whose leases have ended.
    pub expiry: Expiry,
    /// The walk that is under way.
    pub work: Option<Work>,
}

/// Whether a daemon serves a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// One does.
    Running,
    /// None does.
    Stopped,
}

/// What a store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Its directory.
    pub path: String,
    /// Which store it is.
    pub identifier: Option<String>,
    /// Where its shares lie.
    pub layout: String,
    /// Where they lay, if they are being moved.
    pub migrating_from: Option<String>,
    /// When a share is acknowledged.
    pub durability: String,
    /// Whether the operator takes no new shares.
    pub read_only: bool,
    /// Whether a failure of the disk has made it stop writing.
    pub failed: bool,
    /// Uploads in progress.
    pub uploads: u64,
    /// Small shares that the journal has and the tree has not yet.
    pub pending: u64,
    /// Those of them that the disk did not take when it was last asked to.
    pub unplaced: u64,
}

/// The disk of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// What uploads may still use.
    pub available: u64,
    /// What is kept free.
    pub reserved: u64,
    /// What is promised to uploads in progress.
    pub promised: u64,
    /// What all shares may take together, if that is bounded.
    pub size_max: Option<u64>,
    /// What is free on the file system.
    pub free: u64,
    /// The size of the file system.
    pub size: u64,
}

/// A number of shares, and the bytes of their files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Shares.
    pub shares: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// Amounts by what the shares are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds {
    /// Of buckets.
    pub immutable: Amount,
    /// Of slots.
    pub mutable: Amount,
}

/// What a walk saw of leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// When the walk ended; 0 while it is under way.
    pub seen: u64,
    /// All leases.
    pub leases: u64,
    /// Shares with a lease that had not ended.
    pub shares_live: u64,
    /// Shares all of whose leases had ended.
    pub shares_ended: u64,
    /// Shares that had no lease at all.
    pub shares_unleased: u64,
}

/// The journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Bytes of both files.
    pub size: u64,
    /// Batches made durable since the start.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Files retired since the start.
    pub checkpoints: u64,
    /// Records replayed at the start.
    pub replayed: u64,
}

/// What drives the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// Its name.
    pub name: String,
    /// Whether the journal and large shares are written past the page cache.
    pub direct: bool,
}

/// Who is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// How many are.
    pub now: u64,
    /// How many may be.
    pub most: u64,
    /// Share bytes on their way to the disk.
    pub bytes_in_flight: u64,
}

/// One walk over the whole store, or as much of it as was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// When it began.
    pub began: u64,
    /// When it ended, if it has.
    pub ended: Option<u64>,
    /// Buckets and slots.
    pub buckets: u64,
    /// Shares.
    pub shares: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// What it saw of leases.
    pub leases: Leases,
}

/// Proving all bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// How often, in seconds; not there if it is not done by itself.
    pub every: Option<u64>,
    /// The pass that is under way or was interrupted.
    pub current: Option<Pass>,
    /// The last one that came to its end.
    pub last: Option<Pass>,
    /// When the next one is due, or goes on.
    pub next: Option<u64>,
    /// Damaged shares that are known of.
    pub damaged: u64,
    /// Some of them, the latest last.
    pub findings: Vec<Finding>,
}

/// A damaged share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its bucket or slot.
    pub storage_index: String,
    /// Which share.
    pub share_number: u8,
    /// When it was first seen.
    pub seen: u64,
    /// What is wrong.
    pub what: String,
}

/// Removing shares whose leases have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// Whether it is done by itself.
    pub enabled: bool,
    /// Whether it only says what it would remove.
    pub dry_run: bool,
    /// By which rule, for people.
    pub rule: Option<String>,
    /// How often, in seconds.
    pub every: Option<u64>,
    /// The pass that is under way or was interrupted.
    pub current: Option<Pass>,
    /// The last one that came to its end.
    pub last: Option<Pass>,
    /// What that one removed, or would have.
    pub removed: Kinds,
    /// Whether that one removed nothing but only said so.
    pub was_dry_run: bool,
    /// When the next one is due, or goes on.
    pub next: Option<u64>,
}

/// The walk that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Which.
    pub task: Task,
    /// Parts of a million of the store that are done, reckoned by storage index.
    pub millionths: u32,
}

#[cfg(test)]
mod tests {
    use super::super::{FINDINGS_MAX, LINE_LEN_MAX, Reply, TEXT_LEN_MAX};
    use super::*;

    fn longest() -> Status {
        let pass = Pass {
            began: u64::MAX,
            ended: Some(u64::MAX),
            buckets: u64::MAX,
            shares: u64::MAX,
            bytes: u64::MAX,
            leases: Leases::default(),
        };
        let finding = Finding {
            storage_index: "a".repeat(26),
            share_number: 255,
            seen: u64::MAX,
            // Each takes two bytes on the line.
            what: "\"".repeat(TEXT_LEN_MAX),
        };
        Status {
            state: State::Running,
            program: "tahoed".to_owned(),
            process: Some(u32::MAX),
            since: Some(u64::MAX),
            store: Store {
                // As long as the kernel lets a path be.
                path: "\u{1}".repeat(4096),
                identifier: Some("0".repeat(32)),
                layout: "two-level".to_owned(),
                migrating_from: Some("one-level".to_owned()),
                durability: "durable".to_owned(),
                read_only: true,
                failed: true,
                uploads: u64::MAX,
                pending: u64::MAX,
                unplaced: u64::MAX,
            },
            space: Space {
                available: u64::MAX,
                reserved: u64::MAX,
                promised: u64::MAX,
                size_max: Some(u64::MAX),
                free: u64::MAX,
                size: u64::MAX,
            },
            shares: Some(Kinds::default()),
            leases: Some(Leases::default()),
            journal: Journal::default(),
            engine: Some(Engine {
                name: "ring".to_owned(),
                direct: true,
            }),
            connections: Some(Connections {
                now: u64::MAX,
                most: u64::MAX,
                bytes_in_flight: u64::MAX,
            }),
            scrub: Scrub {
                every: Some(u64::MAX),
                current: Some(pass),
                last: Some(pass),
                next: Some(u64::MAX),
                damaged: u64::MAX,
                findings: vec![finding; FINDINGS_MAX],
            },
            expiry: Expiry {
                current: Some(pass),
                last: Some(pass),
                ..Expiry::default()
            },
            work: Some(Work {
                task: Task::Scrub,
                millionths: 1_000_000,
            }),
        }
    }

    #[test]
    fn the_longest_status_fits_into_a_line_and_is_read_back() {
        let reply = Reply::Status(Box::new(longest()));
        let line = reply.line();
        assert!(line.len() <= LINE_LEN_MAX, "{}", line.len());
        assert_eq!(
            Reply::parse(line.strip_suffix(b"\n").expect("a line")),
            Ok(reply)
        );
    }
}
