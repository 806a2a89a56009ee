//! Counting: walks over the tree and tells the store what is there, so that its totals are exact.
//!
//! [`bucketfs::Counter`] knows what to tell and when; what changes meanwhile is counted again. A count
//! that is interrupted begins anew.

use std::ops::ControlFlow;
use std::time::Instant;

use bucketfs::view::{BucketSeen, Seen, View, Walk};
use bucketfs::{Count, Counted, Counter, Next, OpenError, ShareKind, Totals};
use lafs::StorageIndex;
use protocol::control::{Pass, Reason, Refused, Reply, Task, Walked};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::Reins;
use super::pass::TELL_EVERY;
use super::schedule::{Current, Notes};
use super::tally;
use super::wait::wait;
use super::workshop::{self, Workshop, lock};
use crate::status::now;

/// What is remembered of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    #[serde(flatten)]
    notes: Notes,
}

impl workshop::Page for Page {
    const NAME: &'static str = "count";

    fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }
}

/// Walks until it is done, or told to stop.
pub(super) fn run(workshop: &Workshop, reins: &Reins) -> Reply {
    let mut counting = Counting {
        workshop,
        reins,
        counter: Counter::new(),
        pass: Pass {
            began: now(),
            ..Pass::default()
        },
        taken: Pass::default(),
        told: Instant::now(),
    };
    counting.taken = counting.pass;
    let counted = counting.run();
    let pass = counting.pass;
    let whole = match counted {
        Ok(whole) => whole,
        Err(refused) => return Reply::Refused(refused),
    };
    if whole {
        let mut page = lock(workshop.count_mutex());
        page.notes.current = Some(Current { pass, cursor: None });
        page.notes.end(now());
        workshop.save(&*page);
    }
    Reply::Walked(Walked {
        whole,
        buckets: pass.buckets,
        shares: pass.shares,
        bytes: pass.bytes,
        ..Walked::default()
    })
}

/// A count under way.
struct Counting<'a> {
    workshop: &'a Workshop,
    reins: &'a Reins,
    counter: Counter,
    pass: Pass,
    /// As of the last part that the store has taken.
    taken: Pass,
    told: Instant,
}

impl Counting<'_> {
    /// Returns whether the store is counted.
    fn run(&mut self) -> Result<bool, Refused> {
        self.ask(Count::Begin)?;
        self.counter = Counter::new();
        let failed = |error: OpenError| Refused::new(Reason::Failed, error.to_string());
        let view = View::open(self.workshop.store()).map_err(failed)?;
        loop {
            let walk = Walk {
                after: self.counter.at(),
                budget: self.workshop.count_budget(),
                threads: 1,
                stop: self.reins.stop.clone(),
                ..Walk::default()
            };
            let walked = view.walk(&walk, |seen| match seen {
                Seen::Bucket(bucket) => match self.take(&bucket) {
                    Ok(Next::GoOn) => ControlFlow::Continue(()),
                    other => ControlFlow::Break(other),
                },
                Seen::Findings(_) => ControlFlow::Continue(()),
            });
            let next = match walked {
                ControlFlow::Break(next) => next?,
                ControlFlow::Continue(()) if self.reins.stop.is_stopped() => return Ok(false),
                ControlFlow::Continue(()) => self.ask(self.counter.end())?,
            };
            if next == Next::Done {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, bucket: &BucketSeen) -> Result<Next, Refused> {
        let mut found = Totals::default();
        self.pass.buckets += 1;
        for share in &bucket.shares {
            found.add(share.kind, share.file_size);
            tally::count(&mut self.pass, share, now());
        }
        for share in &bucket.unsound {
            found.add(ShareKind::Immutable, share.file_size);
        }
        self.tell(bucket.storage_index);
        match self.counter.bucket(bucket.storage_index, &found) {
            Some(part) => self.ask(part),
            None => Ok(Next::GoOn),
        }
    }

    fn ask(&mut self, count: Count) -> Result<Next, Refused> {
        let counted = wait(self.workshop.handle().ask(count))
            .map_err(|refusal| Refused::new(Reason::Failed, refusal.to_string()))?;
        if let Counted::Whole { before, now } = counted {
            say(before, now);
        }
        let next = self.counter.answered(&counted);
        match next {
            Next::GoOn | Next::Done => self.taken = self.pass,
            Next::WalkFrom(_) => self.pass = self.taken,
        }
        Ok(next)
    }

    fn tell(&mut self, at: StorageIndex) {
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            let progress = tally::progress(Task::Count, &self.pass, Some(at));
            self.reins.tell(progress);
        }
    }
}

fn say(before: Option<Totals>, now: Totals) {
    let (shares, bytes) = (now.shares(), now.bytes());
    match before {
        None => info!(shares, bytes, "counted all shares"),
        Some(before) if before == now => info!(shares, bytes, "counted all shares again"),
        Some(before) => {
            let (shares_before, bytes_before) = (before.shares(), before.bytes());
            info!(
                shares,
                bytes,
                shares_before,
                bytes_before,
                "counted all shares: somebody else has changed the store's files"
            );
        }
    }
}
