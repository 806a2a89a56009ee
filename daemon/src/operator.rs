//! The operator of a running daemon, who asks by signals and is answered in the log.

use std::convert::Infallible;

use bucketfs::AskStatus;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::directory::Directory;
use crate::log::Level;
use crate::shared::Shared;
use crate::signals::{Asked, Signals};

/// Who asks, and what the answers need.
pub(crate) struct Operator {
    pub(crate) signals: Signals<(&'static str, Asked)>,
    pub(crate) directory: Directory,
    /// As it was read last.
    pub(crate) config: Config,
    pub(crate) level: Level,
}

impl Operator {
    /// Answers whatever is asked.
    pub(crate) async fn attend(&mut self, shared: &Shared) -> Infallible {
        loop {
            match self.signals.next().await {
                (_, Asked::Status) => say_status(shared).await,
                (_, Asked::Reload) => self.reload(),
                (signal, Asked::Nothing) => info!(
                    signal,
                    "ignored a signal; HUP reads the configuration, USR1 logs the status, TERM stops"
                ),
            }
        }
    }

    /// Reads the configuration again. What is wrong with it changes nothing.
    fn reload(&mut self) {
        let config = match self.directory.config() {
            Ok(config) => config,
            Err(error) => {
                error!(%error, "the configuration was not read again; the old one is in use");
                return;
            }
        };
        let different = self.config.differences(&config);
        let at_restart: Vec<_> = different
            .iter()
            .copied()
            .filter(|key| *key != "log.level")
            .collect();
        let level = config.log.level;
        if different.contains(&"log.level") {
            self.level.set(level);
            info!(
                level = level.name(),
                "read the configuration: a new log.level"
            );
            self.config.log.level = level;
        }
        if !at_restart.is_empty() {
            let changed = at_restart.join(", ");
            warn!(
                changed,
                "read the configuration: these changes take effect at the next start"
            );
        } else if different.is_empty() {
            info!("read the configuration: nothing has changed");
        }
    }
}

async fn say_status(shared: &Shared) {
    let Ok(status) = shared.store().ask(AskStatus).await else {
        return info!("the store is shutting down");
    };
    info!(
        connections = shared.connections(),
        connections_max = shared.limits().connections,
        bytes_in_flight = shared.bytes_in_flight(),
        engine = status.engine,
        direct = status.writes_directly,
        read_only = status.read_only,
        failed = status.failed,
        available = status.available,
        reserved = status.reserved,
        size_max = status.size_max,
        shares_held = status.held.map(|held| held.shares()),
        bytes_held = status.held.map(|held| held.bytes()),
        promised = status.promised,
        uploads = status.uploads,
        journal_batches = status.journal_batches,
        journal_records = status.journal_records,
        checkpoints = status.checkpoints,
        "status"
    );
}
