//! The move of the store to another layout, as an operator has asked for it.
//!
//! It goes on when whoever asked is gone, and after a restart: slowly then, as nobody waits for it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bucketfs::migrate::{MigrateError, Survey, migrate, survey};
use bucketfs::{Layout, StoreHandle};
use protocol::control::{self, Progress, Reason, Refused, Reply, Task, Walked};
use tokio::sync::watch;
use tracing::{info, warn};

/// Moves the store, once at a time.
pub(crate) struct Migrator {
    store: StoreHandle,
    path: PathBuf,
    running: Mutex<Option<Running>>,
}

struct Running {
    to: Layout,
    stop: Arc<AtomicBool>,
    heard: watch::Receiver<Reply>,
}

impl Migrator {
    pub(crate) fn new(store: StoreHandle, path: PathBuf) -> Self {
        Self {
            store,
            path,
            running: Mutex::default(),
        }
    }

    /// Goes on with what an earlier run has begun.
    pub(crate) fn resume(&self, to: Layout) {
        info!(layout = %to, "going on with the move of the store to another layout");
        // It has just started: nothing else moves it.
        let _ = self.begin_to(to, Some(RESUMED_RATE));
    }

    /// Begins, or listens to what is under way.
    pub(super) fn begin(
        &self,
        to: control::Layout,
        rate: Option<u32>,
    ) -> Result<watch::Receiver<Reply>, Refused> {
        self.begin_to(layout(to), rate)
    }

    fn begin_to(&self, to: Layout, rate: Option<u32>) -> Result<watch::Receiver<Reply>, Refused> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.as_ref() {
            match running.heard.has_changed() {
                // Who moved it has ended.
                Err(_) => {}
                Ok(_) if running.to == to => return Ok(running.heard.clone()),
                Ok(_) => {
                    let message = format!("the store is being moved to {}", running.to);
                    return Err(Refused::new(Reason::NotNow, message));
                }
            }
        }
        let (told, heard) = watch::channel(so_far(0));
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work {
            store: self.store.clone(),
            path: self.path.clone(),
            to,
            rate,
            stop: Arc::clone(&stop),
        };
        tokio::spawn(work.run(told));
        *running = Some(Running {
            to,
            stop,
            heard: heard.clone(),
        });
        Ok(heard)
    }

    /// Has it end soon; what is moved is moved.
    pub(super) fn end(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.as_ref() {
            running.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// One move of the store.
struct Work {
    store: StoreHandle,
    path: PathBuf,
    to: Layout,
    rate: Option<u32>,
    stop: Arc<AtomicBool>,
}

impl Work {
    async fn run(self, told: watch::Sender<Reply>) {
        let reply = match self.check().await {
            Ok(()) => self.migrate(&told).await,
            Err(refused) => Reply::Refused(refused),
        };
        if let Reply::Refused(refused) = &reply {
            warn!(layout = %self.to, %refused, "the store is not moved to another layout");
        }
        told.send_replace(reply);
    }

    /// Refuses what cannot come to its end.
    async fn check(&self) -> Result<(), Refused> {
        let (path, to) = (self.path.clone(), self.to);
        let surveyed = tokio::task::spawn_blocking(move || survey(&path, to)).await;
        let failed = |message: String| Refused::new(Reason::Failed, message);
        let found = match surveyed {
            Ok(found) => found.map_err(|error| failed(error.to_string()))?,
            Err(error) => return Err(failed(error.to_string())),
        };
        match why_not(&found) {
            Some(why) => Err(failed(why)),
            None => Ok(()),
        }
    }

    async fn migrate(&self, told: &watch::Sender<Reply>) -> Reply {
        let mut moved = 0;
        let migrated = migrate(&self.store, self.to, self.rate, |progress| {
            moved = progress.moved;
            told.send_replace(so_far(moved));
            !self.stop.load(Ordering::Relaxed)
        });
        let migrated = migrated.await;
        let walked = |whole, buckets| {
            Reply::Walked(Walked {
                whole,
                buckets,
                ..Walked::default()
            })
        };
        match migrated {
            Ok(progress) => walked(true, progress.moved),
            Err(MigrateError::BrokenOff) => walked(false, moved),
            Err(error) => Reply::Refused(Refused::new(Reason::Failed, error.to_string())),
        }
    }
}

/// What speaks against a move, if something does.
fn why_not(found: &Survey) -> Option<String> {
    if found.is_beyond_limit() {
        let limit = found.limit.unwrap_or(u64::MAX);
        return Some(format!(
            "the fullest directory would have {} others in it, and {} lets it have {limit}",
            found.fullest, found.file_system
        ));
    }
    let first = found.taken_names.first()?;
    Some(format!(
        "{} buckets have something in their new place, the first is {first}",
        found.taken
    ))
}

fn so_far(moved: u64) -> Reply {
    Reply::Progress(Progress {
        task: Task::Migrate,
        millionths: 0,
        buckets: moved,
        shares: 0,
        bytes: 0,
    })
}

fn layout(name: control::Layout) -> Layout {
    match name {
        control::Layout::TwoLevel => Layout::TwoLevel,
        control::Layout::OneLevel => Layout::OneLevel,
        control::Layout::Flat => Layout::Flat,
    }
}

/// How many buckets a second are moved when nobody waits for it.
const RESUMED_RATE: u32 = 500;
