//! The tree follows the journal: shares that were acknowledged are given their places.
//!
//! ```text
//! the journal has it    pending    its lock is kept, readers are served from memory
//!                       readers    those that began before it was there, and look at the tree, end
//!                       disk       directories and file, in place, many shares to an operation
//! the tree has it       the lock and the hold on the journal are given back
//! ```
//!
//! The file is made under its own name and not in incoming: nobody looks at it before it is whole,
//! and what a crash leaves of it replay makes exact, as its batch is not retired before.
//!
//! A share that the disk refuses stays pending, and its batch with it. It is tried again, with
//! pauses that double from one second to a minute. Readers are served all the while; whoever wants to
//! write it is refused, and so are new shares where it is the disk that refuses and not this place.

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;

use super::context::{Context, Machinery};
use super::event::{Event, Machine, Waiter};
use super::locks::Owned;
use crate::disk::{Completion, Operation, Outcome, PLACES_MAX};
use crate::error::DiskError;
use crate::layout::ShareKey;

/// All shares on their way into the tree.
#[derive(Debug)]
pub(super) struct Following {
    /// For the readers that are there; then in the queue, then on the disk.
    shares: Slab<Owned>,
    /// To be placed next.
    queue: VecDeque<usize>,
    /// For the disk: which shares an operation places.
    placing: Slab<Vec<usize>>,
    /// For the lock, of shares that are to be tried again.
    retrying: Slab<ShareKey>,
    /// When those are tried again that the disk has refused.
    retry: Option<Duration>,
    /// How long to wait before that, the next time.
    pause: Duration,
}

impl Following {
    pub(super) fn new() -> Self {
        Self {
            shares: Slab::new(),
            queue: VecDeque::new(),
            placing: Slab::new(),
            retrying: Slab::new(),
            retry: None,
            pause: PAUSE_MIN,
        }
    }

    /// Places a share that is pending, whose lock this is from now on.
    pub(super) fn follow(&mut self, cx: &mut Context, owned: Owned) {
        let entry = self.shares.vacant_entry();
        let waiter = waiter(entry.key());
        let owned = entry.insert(owned);
        cx.begin_patch(owned, waiter);
    }

    /// Hands the disk what has gathered.
    pub(super) fn poll(&mut self, cx: &mut Context) {
        while self.placing.len() < PLACES_MAX && !self.queue.is_empty() {
            // Spread over the threads that there are, many at a time when there are many.
            let idle = PLACES_MAX - self.placing.len();
            let count = self.queue.len().div_ceil(idle).min(PLACE_SHARES);
            let batch: Vec<_> = self.queue.drain(..count).collect();
            let file = |index: &usize| {
                let key = self.shares[*index].key();
                let container = cx.pending(key).expect("it is pending until it is placed");
                (cx.place(key), container.clone())
            };
            let files = batch.iter().map(file).collect();
            let index = self.placing.insert(batch);
            cx.start(waiter(index), Operation::Place { files });
        }
        if self.queue.is_empty() && self.queue.capacity() > PLACE_SHARES {
            self.queue = VecDeque::new();
        }
    }

    /// When those that the disk refused are tried again.
    pub(super) fn next_retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Tries those again that the disk refused, if it is time.
    pub(super) fn expire(&mut self, cx: &mut Context) {
        if cx.is_shutting_down() {
            // What is left to do stays in the journal, and the next start does it.
            self.retry = None;
        }
        if self.retry.is_none_or(|at| at > cx.elapsed()) {
            return;
        }
        self.retry = None;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        for key in cx.stuck_shares() {
            let index = self.retrying.insert(key);
            cx.acquire(key, waiter(index));
        }
    }

    fn refused(&mut self, cx: &mut Context, key: ShareKey, error: DiskError) {
        if cx.stuck_count() == 0 {
            self.pause = PAUSE_MIN;
            let path = cx.place(key);
            tracing::error!(%path, %error, "cannot give a share its place; it stays in the journal, is served from memory, and is tried again");
        }
        cx.cannot_place(key, error);
        if self.retry.is_none() && !cx.is_shutting_down() {
            self.retry = Some(cx.elapsed() + self.pause);
        }
    }
}

impl Machinery for Following {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        let key = self.retrying.remove(index);
        if cx.retry_placing(key) {
            self.follow(cx, owned);
        } else {
            cx.release(owned);
        }
    }

    fn admitted(&mut self, _: &mut Context, index: usize) {
        self.queue.push_back(index);
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        let batch = self.placing.remove(index);
        let results = match completion.result {
            Ok(Outcome::Placed(results)) => results,
            Ok(outcome) => panic!("shares were placed, and gave {outcome:?}"),
            Err(error) => vec![Err(error); batch.len()],
        };
        assert_eq!(results.len(), batch.len(), "each share has a result");
        let was_stuck = cx.stuck_count();
        for (index, result) in batch.into_iter().zip(results) {
            let owned = self.shares.remove(index);
            match result {
                Ok(()) => cx.placed(owned.key()),
                Err(error) => self.refused(cx, owned.key(), error),
            }
            cx.end_patch(&owned);
            cx.release(owned);
        }
        if was_stuck > 0 && cx.stuck_count() == 0 {
            tracing::info!("every share has its place again");
            self.retry = None;
        }
        cx.send(Event::Room);
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Follow,
        index,
    }
}

/// Most shares to an operation: enough that what an operation costs by itself does not show, and so
/// few that a thread is soon free for others.
const PLACE_SHARES: usize = 32;

/// How long to wait before shares that the disk refused are tried again: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
