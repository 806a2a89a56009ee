//! One walk over the store, on from where the last one stopped: counted, told and remembered.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bucketfs::OpenError;
use bucketfs::view::{Deep, Seen, View, Walk};
use lafs::StorageIndex;
use protocol::control::{Pass, Task};

use super::Reins;
use super::tally;
use super::workshop::{Page, Workshop, lock};
use crate::status::now;

/// What a walk is, and where it is remembered.
pub(super) struct Course<'a, P> {
    pub(super) task: Task,
    pub(super) workshop: &'a Workshop,
    pub(super) reins: &'a Reins,
    pub(super) page: &'a Mutex<P>,
    /// Whether it is to be remembered at all.
    pub(super) is_saved: bool,
}

/// How a walk went.
pub(super) struct Gone {
    /// It came to the end of the store.
    pub(super) whole: bool,
    /// All that the pass has seen, with what it saw before it was interrupted.
    pub(super) pass: Pass,
}

impl<P: Page> Course<'_, P> {
    /// Walks, and gives everything seen to `take`. A bucket is done when `take` returns.
    pub(super) fn run(
        &self,
        deep: Option<&dyn Deep>,
        mut take: impl FnMut(&Seen),
    ) -> Result<Gone, OpenError> {
        let view = View::open(self.workshop.store())?;
        let mut at = self.begin();
        let walk = Walk {
            after: at,
            budget: self.workshop.budget(),
            threads: 1,
            deep,
            stop: self.reins.stop.clone(),
            ..Walk::default()
        };
        let (mut told, mut saved) = (Instant::now(), Instant::now());
        let walked = view.walk(&walk, |seen| -> ControlFlow<()> {
            take(&seen);
            if let Seen::Bucket(bucket) = &seen {
                at = Some(bucket.storage_index);
                let mut page = lock(self.page);
                let current = page.notes().begin(now());
                current.pass.buckets += 1;
                for share in &bucket.shares {
                    tally::count(&mut current.pass, share, now());
                }
                current.cursor = Some(bucket.storage_index.to_string());
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                self.tell(at);
            }
            if saved.elapsed() >= SAVE_EVERY {
                saved = Instant::now();
                self.save();
            }
            ControlFlow::Continue(())
        });
        // Whoever stopped it may have done so when everything was seen: then the next one sees nothing.
        let whole = walked.is_continue() && !self.reins.stop.is_stopped();
        let pass = {
            let mut page = lock(self.page);
            let notes = page.notes();
            if whole {
                notes.end(now());
            }
            let current = notes.current.as_ref().map(|current| current.pass);
            current.or(notes.last).unwrap_or_default()
        };
        Ok(Gone { whole, pass })
    }

    /// Remembers the page, as it is now.
    pub(super) fn save(&self) {
        if self.is_saved {
            self.workshop.save(&*lock(self.page));
        }
    }

    /// Begins the pass, or takes up the one that was interrupted; returns where it stopped.
    fn begin(&self) -> Option<StorageIndex> {
        let at = {
            let mut page = lock(self.page);
            let current = page.notes().begin(now());
            current.cursor.as_ref().and_then(|text| text.parse().ok())
        };
        self.tell(at);
        self.save();
        at
    }

    fn tell(&self, at: Option<StorageIndex>) {
        let pass = lock(self.page).notes().begin(now()).pass;
        self.reins.tell(tally::progress(self.task, &pass, at));
    }
}

/// How often whoever listens is told how far it is.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(1);

/// How often it is remembered: a process that is killed does so much again.
const SAVE_EVERY: Duration = Duration::from_secs(30);
