//! What a connection is doing; tells whether its client is too slow.
//!
//! The parts of a connection write it, and its loop reads it. All of them run on one thread, one after
//! the other; the atomics are there because the parts have different owners.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::patience::Sight;

/// What a connection is doing.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Bytes that passed, both ways.
    moved: AtomicU64,
    /// Requests that came.
    requests: AtomicU64,
    /// The swissnum was right once.
    admitted: AtomicBool,
    /// A request is being served, until all of its answer is handed to the transport.
    serving: AtomicBool,
    /// The rest of a request's body is awaited.
    awaiting_body: AtomicBool,
    /// Part of a request's head has come.
    inside_head: AtomicBool,
    /// The client has bytes to take.
    blocked: AtomicBool,
}

/// A request that is being served; dropped when all of its answer is handed to the transport.
#[derive(Debug)]
pub(super) struct Serving(Arc<Watch>);

/// The wait for the next part of a body.
#[derive(Debug)]
pub(super) struct AwaitingBody<'a>(&'a Watch);

impl Watch {
    pub(super) fn received(&self, len: usize) {
        self.moved
            .fetch_add(lafs::num::size(len), Ordering::Relaxed);
        if !self.serving.load(Ordering::Relaxed) {
            self.inside_head.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn sent(&self, len: usize) {
        self.moved
            .fetch_add(lafs::num::size(len), Ordering::Relaxed);
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    pub(super) fn admit(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }

    /// The head of a request is there.
    pub(super) fn begin(self: &Arc<Self>) -> Serving {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inside_head.store(false, Ordering::Relaxed);
        self.serving.store(true, Ordering::Relaxed);
        Serving(Arc::clone(self))
    }

    /// The client owes part of a body, until what is returned is dropped.
    pub(super) fn await_body(&self) -> AwaitingBody<'_> {
        self.awaiting_body.store(true, Ordering::Relaxed);
        AwaitingBody(self)
    }

    /// Whether the rest of a body is all that is waited for.
    pub(super) fn owes_body(&self) -> bool {
        self.awaiting_body.load(Ordering::Relaxed) && !self.blocked.load(Ordering::Relaxed)
    }

    /// Whether part of a request has come and the rest has not.
    pub(super) fn owes_request(&self) -> bool {
        self.awaiting_body.load(Ordering::Relaxed) || self.inside_head.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How the connection looks now.
    pub(super) fn sight(&self) -> Sight {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let owing = is(&self.awaiting_body) || is(&self.inside_head) || is(&self.blocked);
        Sight {
            admitted: is(&self.admitted),
            moved: self.moved.load(Ordering::Relaxed),
            owing,
            working: is(&self.serving) && !owing,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.store(false, Ordering::Relaxed);
    }
}

impl Drop for AwaitingBody<'_> {
    fn drop(&mut self) {
        self.0.awaiting_body.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_owes_when_it_could_go_on_and_only_then() {
        let watch = Arc::new(Watch::default());
        let seen = |watch: &Watch| {
            let sight = watch.sight();
            (sight.owing, sight.working)
        };
        assert_eq!(seen(&watch), (false, false), "idle");
        assert!(!watch.owes_request());
        watch.received(10);
        assert_eq!(seen(&watch), (true, false), "half a head");
        assert!(watch.owes_request());
        let serving = watch.begin();
        assert_eq!(seen(&watch), (false, true), "at the store");
        assert!(!watch.owes_request());
        let body = watch.await_body();
        watch.received(5);
        assert_eq!(seen(&watch), (true, false), "half a body");
        assert!(watch.owes_body() && watch.owes_request());
        drop(body);
        assert_eq!(seen(&watch), (false, true), "at the store");
        watch.set_blocked(true);
        assert_eq!(seen(&watch), (true, false), "an answer to take");
        watch.set_blocked(false);
        drop(serving);
        assert_eq!(seen(&watch), (false, false), "idle");
        assert_eq!(watch.sight().moved, 15);
        assert!(!watch.sight().admitted);
        watch.admit();
        assert!(watch.sight().admitted);
    }
}
