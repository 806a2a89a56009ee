//! What every walk works with: the store, the budget, and the pages of the notebook.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bucketfs::view::Budget;
use bucketfs::{AskStatus, StoreHandle};
use protocol::control::{Pass, Reason, Refused, Task};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::job::Job;
use super::notebook::Notebook;
use super::remembered::read;
use super::schedule::Notes;
use super::{count, expire, scrub};
use crate::clock::Clock;
use crate::config::{self, Config, Span};
use crate::status::now;

/// What walks work with.
pub(crate) struct Workshop {
    store: PathBuf,
    handle: StoreHandle,
    budget: Budget,
    scrub_every: Option<Span>,
    expire: config::Expire,
    /// Leases are not judged by a clock that cannot be right.
    is_clock_doubted: bool,
    /// Whether the store knows how much it holds.
    is_counted: AtomicBool,
    /// `None`: the store's directory could not be opened, and nothing is remembered.
    notebook: Mutex<Option<Notebook>>,
    scrub_page: Mutex<scrub::Page>,
    expire_page: Mutex<expire::Page>,
    count_page: Mutex<count::Page>,
}

/// A page of the notebook, with the notes of its walk.
pub(crate) trait Page: Serialize + DeserializeOwned + Default {
    /// Its name.
    const NAME: &'static str;

    /// The notes on it.
    fn notes(&mut self) -> &mut Notes;
}

impl Workshop {
    /// Reads what the last walks have left. The clock is as it was before the store was opened.
    pub(crate) fn new(
        store: &Path,
        handle: StoreHandle,
        config: &Config,
        clock: Clock,
        is_counted: bool,
    ) -> Self {
        let notebook = Notebook::open(store).ok();
        let rate = config.keeper.operations_per_second;
        let mut expire_page: expire::Page = read(notebook.as_ref());
        expire_page.starts(clock.last_use, now());
        let workshop = Self {
            store: store.to_owned(),
            handle,
            budget: Budget {
                operations_per_second: Some(u32::try_from(rate).unwrap_or(u32::MAX)),
                bytes_per_second: Some(config.keeper.bytes_per_second.0),
            },
            scrub_every: config.scrub.every,
            expire: config.expire,
            is_clock_doubted: clock.is_doubted,
            is_counted: AtomicBool::new(is_counted),
            scrub_page: Mutex::new(read(notebook.as_ref())),
            count_page: Mutex::new(read(notebook.as_ref())),
            expire_page: Mutex::new(expire_page),
            notebook: Mutex::new(notebook),
        };
        if config.expire.enabled {
            // When it may begin must outlast this process.
            workshop.save(&*workshop.expire_page());
        }
        workshop
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    pub(crate) fn handle(&self) -> &StoreHandle {
        &self.handle
    }

    pub(crate) fn budget(&self) -> Budget {
        self.budget
    }

    /// A store that does not know what it holds should not stay so for days.
    pub(crate) fn count_budget(&self) -> Budget {
        let operations = self.budget.operations_per_second;
        Budget {
            operations_per_second: operations.map(|rate| rate.saturating_mul(COUNT_FASTER)),
            ..self.budget
        }
    }

    pub(crate) fn scrub_every(&self) -> Option<Span> {
        self.scrub_every
    }

    /// What the configuration says of expiry.
    pub(crate) fn expire(&self) -> &config::Expire {
        &self.expire
    }

    pub(crate) fn scrub_page(&self) -> MutexGuard<'_, scrub::Page> {
        lock(&self.scrub_page)
    }

    pub(crate) fn expire_page(&self) -> MutexGuard<'_, expire::Page> {
        lock(&self.expire_page)
    }

    pub(super) fn scrub_mutex(&self) -> &Mutex<scrub::Page> {
        &self.scrub_page
    }

    pub(super) fn expire_mutex(&self) -> &Mutex<expire::Page> {
        &self.expire_page
    }

    pub(super) fn count_mutex(&self) -> &Mutex<count::Page> {
        &self.count_page
    }

    /// Asks the store whether it knows how much it holds: it may have lost count.
    pub(crate) async fn ask_whether_counted(&self) {
        if let Ok(status) = self.handle.ask(AskStatus).await {
            let is_counted = status.held.is_some();
            self.is_counted.store(is_counted, Ordering::Relaxed);
        }
    }

    /// Whether a walk may be asked for.
    pub(crate) fn allows(&self, job: Job) -> Result<(), Refused> {
        let refuse = |message| Err(Refused::new(Reason::NotNow, message));
        let Job::Expire { dry_run } = job else {
            return Ok(());
        };
        if self.is_clock_doubted {
            return refuse(
                "the clock cannot be right, as the log says: set it, and start tahoed again",
            );
        }
        if dry_run {
            return Ok(());
        }
        match (self.expire.enabled, self.expire.dry_run) {
            (false, _) => {
                refuse("expire.enabled is not set in tahoed.toml; only a dry run can be asked for")
            }
            (true, true) => {
                refuse("expire.dry_run is set in tahoed.toml; only a dry run can be asked for")
            }
            (true, false) => Ok(()),
        }
    }

    /// What a walk does that begins by itself.
    pub(crate) fn job_by_itself(&self, task: Task) -> Option<Job> {
        match task {
            Task::Count => Some(Job::Count),
            Task::Expire => {
                let dry_run = self.expire.dry_run;
                Some(Job::Expire { dry_run })
            }
            Task::Scrub => Some(Job::Scrub),
            Task::Migrate => None,
        }
    }

    /// When a walk begins by itself, if it does.
    pub(crate) fn due(&self, task: Task, started: u64, now: u64) -> Option<u64> {
        match task {
            Task::Count => {
                let counted = self.is_counted.load(Ordering::Relaxed);
                let mut page = lock(&self.count_page);
                Some(match counted {
                    true => page.notes().due(COUNT_EVERY, started, now),
                    false => Notes::default().due(COUNT_EVERY, started, now),
                })
            }
            Task::Expire => {
                let does = self.expire.enabled && !self.is_clock_doubted;
                let every = self.expire.every.duration();
                does.then(|| self.expire_page().due(every, started, now))
            }
            Task::Scrub => {
                let every = self.scrub_every?.duration();
                Some(self.scrub_page().notes().due(every, started, now))
            }
            Task::Migrate => None,
        }
    }

    /// The last whole pass of each walk.
    pub(crate) fn last_passes(&self) -> [Option<Pass>; 3] {
        [
            self.scrub_page().notes().last,
            self.expire_page().notes().last,
            lock(&self.count_page).notes().last,
        ]
    }

    /// Remembers a page. That it cannot be written is told, and costs no more than that.
    pub(crate) fn save<P: Page>(&self, page: &P) {
        let mut notebook = lock(&self.notebook);
        let Some(notebook) = notebook.as_mut() else {
            return;
        };
        if let Err(error) = notebook.write(P::NAME, page) {
            let walk = P::NAME;
            warn!(%error, walk, "cannot remember how far a walk is: it may have to begin anew");
        }
    }
}

/// Pages are whole at any moment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often shares are counted that were counted before: what somebody else did to the store's files
/// is put right then.
const COUNT_EVERY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How much faster it is counted than the other walks go.
const COUNT_FASTER: u32 = 10;
