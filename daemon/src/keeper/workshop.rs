//! What every walk works with: the store, the budget, and the pages of the notebook.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bucketfs::StoreHandle;
use bucketfs::view::Budget;
use protocol::control::{Pass, Task};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::job::Job;
use super::notebook::Notebook;
use super::remembered::read;
use super::schedule::Notes;
use super::scrub;
use crate::config::{self, Config, Span};

/// What walks work with.
pub(crate) struct Workshop {
    store: PathBuf,
    handle: StoreHandle,
    budget: Budget,
    scrub_every: Option<Span>,
    expire: config::Expire,
    /// `None`: the store's directory could not be opened, and nothing is remembered.
    notebook: Mutex<Option<Notebook>>,
    scrub_page: Mutex<scrub::Page>,
}

/// A page of the notebook, with the notes of its walk.
pub(crate) trait Page: Serialize + DeserializeOwned + Default {
    /// Its name.
    const NAME: &'static str;

    /// The notes on it.
    fn notes(&mut self) -> &mut Notes;
}

impl Workshop {
    /// Reads what the last walks have left.
    pub(crate) fn new(store: &Path, handle: StoreHandle, config: &Config) -> Self {
        let notebook = Notebook::open(store).ok();
        let rate = config.keeper.operations_per_second;
        Self {
            store: store.to_owned(),
            handle,
            budget: Budget {
                operations_per_second: Some(u32::try_from(rate).unwrap_or(u32::MAX)),
                bytes_per_second: Some(config.keeper.bytes_per_second.0),
            },
            scrub_every: config.scrub.every,
            expire: config.expire,
            scrub_page: Mutex::new(read(notebook.as_ref())),
            notebook: Mutex::new(notebook),
        }
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

    pub(super) fn scrub_mutex(&self) -> &Mutex<scrub::Page> {
        &self.scrub_page
    }

    /// What a walk does that begins by itself.
    pub(crate) fn job_by_itself(&self, task: Task) -> Option<Job> {
        match task {
            Task::Scrub => Some(Job::Scrub),
            _ => None,
        }
    }

    /// When a walk begins by itself, if it does.
    pub(crate) fn due(&self, task: Task, started: u64, now: u64) -> Option<u64> {
        match task {
            Task::Scrub => {
                let every = self.scrub_every?.duration();
                Some(self.scrub_page().notes().due(every, started, now))
            }
            _ => None,
        }
    }

    /// The last whole pass of each walk.
    pub(crate) fn last_passes(&self) -> [Option<Pass>; 1] {
        [self.scrub_page().notes().last]
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
