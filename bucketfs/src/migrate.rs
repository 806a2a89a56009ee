//! All of a migration, from its beginning to its end, as somebody who holds the store's handle asks
//! for it: the tool that has the store open, or the daemon.
//!
//! The store does the work and knows how far it is. So this may be broken off anywhere, and begun
//! again by anybody: what was moved is moved.

use std::time::{Duration, Instant};

use lafs::{StorageIndex, num};

mod file_system;
mod survey;

use crate::disk::DiskError;
use crate::handle::StoreHandle;
use crate::layout::{Layout, Layouts};
use crate::limits;
use crate::refusal::{MigrateRefusal, Unwritable};
use crate::request::{BeginMigration, EndMigration, MigrateNext, WalkEnd};

pub use survey::{NAMED_MAX, Survey, layouts, survey};

/// How far a migration is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Buckets moved by this call.
    pub moved: u64,
    /// How many walks through the old places have ended.
    pub walks: u64,
    /// Buckets that could not be moved when they were last tried, in this walk; a few of them.
    pub stayed: Vec<(StorageIndex, DiskError)>,
    /// How many there are.
    pub stayed_count: u64,
}

/// Why a migration has not come to its end. What was moved is moved, and everything is served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// The store refused.
    #[error(transparent)]
    Refused(#[from] MigrateRefusal),
    /// Walk after walk has moved nothing, and something is left.
    #[error(
        "{} buckets cannot be moved, the first of them {}: {}",
        progress.stayed_count, first.0, first.1
    )]
    Stuck {
        /// How far it came.
        progress: Progress,
        /// One that is left, and why.
        first: (StorageIndex, DiskError),
    },
    /// Whoever was told how far it is had it end.
    #[error("broken off")]
    BrokenOff,
}

/// Moves the buckets of a store to another layout while it is served, at most so many a second.
///
/// `told` is told how far it is after every some buckets, and says whether to go on. Without a rate it
/// goes as fast as the disk. Waits with tokio's clock.
///
/// # Errors
///
/// [`MigrateError`]; it may be begun again, or be turned round by a migration to the layout that the
/// store had.
pub async fn migrate(
    store: &StoreHandle,
    to: Layout,
    rate: Option<u32>,
    mut told: impl FnMut(&Progress) -> bool,
) -> Result<Progress, MigrateError> {
    let mut progress = Progress::default();
    let Layouts { from, .. } = store.ask(BeginMigration { to }).await?;
    if from.is_none() {
        return Ok(progress);
    }
    let mut idle_walks = 0;
    let mut moved_before = 0;
    loop {
        let began = Instant::now();
        let migrated = match store
            .ask(MigrateNext {
                buckets: step(rate),
            })
            .await
        {
            Ok(migrated) => migrated,
            Err(refusal) => return Err(refusal.into()),
        };
        progress.moved += migrated.moved;
        progress.stayed_count += num::size(migrated.stayed.len());
        let room = STAYED_MAX - progress.stayed.len();
        let some = migrated.stayed.into_iter().take(room);
        progress.stayed.extend(some);
        if !told(&progress) {
            return Err(MigrateError::BrokenOff);
        }
        match migrated.walk_end {
            Some(WalkEnd::NothingLeft) => break,
            Some(WalkEnd::Again) => {
                progress.walks += 1;
                idle_walks = match progress.moved > moved_before {
                    true => 0,
                    false => idle_walks + 1,
                };
                moved_before = progress.moved;
                if let Some(first) = progress.stayed.first().copied() {
                    if idle_walks >= IDLE_WALKS_MAX {
                        return Err(MigrateError::Stuck { progress, first });
                    }
                    // Space may become free, and who is at a bucket may leave.
                    tokio::time::sleep(PAUSE).await;
                }
                progress.stayed.clear();
                progress.stayed_count = 0;
            }
            None => {}
        }
        if let Some(rate) = rate.filter(|_| migrated.moved > 0) {
            let due = Duration::from_secs(migrated.moved) / rate.max(1);
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        }
    }
    match store.ask(EndMigration).await {
        Ok(()) => Ok(progress),
        Err(refusal) => Err(refusal.into()),
    }
}

impl MigrateError {
    /// Whether the disk is full: with more space the same migration goes on.
    #[must_use]
    pub fn is_for_want_of_space(&self) -> bool {
        match self {
            Self::Refused(MigrateRefusal::Unwritable(Unwritable::Full)) => true,
            Self::Stuck { first, .. } => first.1.errno == rustix::io::Errno::NOSPC,
            _ => false,
        }
    }
}

/// How many buckets are moved at a time: so many that asking costs nothing, and at a low rate so few
/// that they do not come in bursts.
fn step(rate: Option<u32>) -> usize {
    let fast = limits::MIGRATED / 4;
    let tenth = rate.map_or(fast, |rate| usize::try_from(rate / 10).unwrap_or(fast));
    tenth.clamp(1, fast)
}

/// How many of the buckets that stayed are named.
const STAYED_MAX: usize = 16;

/// So many walks in a row that have moved nothing are enough.
const IDLE_WALKS_MAX: u32 = 3;

/// How long to wait before buckets are tried again that could not be moved.
const PAUSE: Duration = Duration::from_secs(2);
