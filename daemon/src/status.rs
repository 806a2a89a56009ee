//! How a daemon and its store are, for whoever asks over the control socket, and how a store is that
//! nobody serves.

mod place;
mod stopped;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bucketfs::{AskStatus, StoreId, Totals};
use lafs::num;
use protocol::control::{Amount, Connections, Engine, Journal, Kinds, Space, State, Status, Store};
use tracing::warn;

use crate::config::Config;
use crate::keeper::Keeper;
use crate::shared::Shared;

pub use place::{StatusError, ask_server};
pub use stopped::status;
pub use text::StatusText;

/// A running daemon, as far as its status needs it.
pub(crate) struct Reporter {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) config: Config,
    /// The store's directory.
    pub(crate) store: PathBuf,
    pub(crate) identifier: Option<StoreId>,
    /// Since when it serves, in seconds since 1970.
    pub(crate) since: u64,
}

impl Reporter {
    /// How it is now; `None` if it is stopping.
    pub(crate) async fn status(&self) -> Option<Status> {
        let status = self.shared.store().ask(AskStatus).await.ok()?;
        let (free, size) = disk(&self.store);
        Some(Status {
            state: State::Running,
            program: program(),
            process: Some(std::process::id()),
            since: Some(self.since),
            store: Store {
                path: self.store.display().to_string(),
                identifier: self.identifier.map(|id| id.to_string()),
                layout: status.layout.name().to_owned(),
                migrating_from: None,
                durability: self.config.store.durability.name().to_owned(),
                read_only: status.read_only,
                failed: status.failed,
                uploads: num::size(status.uploads),
                pending: num::size(status.pending),
                unplaced: num::size(status.unplaced),
            },
            space: Space {
                available: status.available,
                reserved: status.reserved,
                promised: status.promised,
                size_max: status.size_max,
                free,
                size,
            },
            shares: status.held.as_ref().map(kinds),
            leases: self.keeper.leases(),
            journal: Journal {
                size: journal_size(&self.store),
                batches: status.journal_batches,
                records: status.journal_records,
                checkpoints: status.checkpoints,
                replayed: status.replayed,
            },
            engine: Some(Engine {
                name: status.engine.to_owned(),
                direct: status.writes_directly,
            }),
            connections: Some(Connections {
                now: num::size(self.shared.connections()),
                most: num::size(self.shared.limits().connections),
                bytes_in_flight: num::size(self.shared.bytes_in_flight()),
            }),
            scrub: self.keeper.scrub(),
            expiry: self.keeper.expiry(),
            work: self.keeper.work_under_way(),
        })
    }
}

/// A status as one line of JSON; `docs/control.md` has its fields.
///
/// # Panics
///
/// Never: each of its fields has a form in JSON.
#[must_use]
pub fn json(status: &Status) -> String {
    serde_json::to_string(status).expect("every field has a form")
}

/// What a store holds, in the words of the control protocol.
pub(crate) fn kinds(totals: &Totals) -> Kinds {
    let amount = |tally: &bucketfs::Tally| Amount {
        shares: tally.shares,
        bytes: tally.bytes,
    };
    Kinds {
        immutable: amount(&totals.immutable),
        mutable: amount(&totals.mutable),
    }
}

/// This program, with its version.
pub(crate) fn program() -> String {
    format!("tahoed {}", env!("CARGO_PKG_VERSION"))
}

/// Free bytes of the file system that a store is on, for those who are not root, and its size.
pub(crate) fn disk(store: &Path) -> (u64, u64) {
    match rustix::fs::statvfs(store) {
        Ok(found) => {
            let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
            (bytes(found.f_bavail), bytes(found.f_blocks))
        }
        Err(error) => {
            warn!(%error, "the store's file system does not say how full it is");
            (0, 0)
        }
    }
}

/// Bytes of the journal's files.
pub(crate) fn journal_size(store: &Path) -> u64 {
    let sizes = bucketfs::JOURNAL_FILES
        .iter()
        .filter_map(|name| std::fs::symlink_metadata(store.join(name)).ok());
    sizes.map(|found| found.len()).sum()
}

/// The operator's clock, in seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
