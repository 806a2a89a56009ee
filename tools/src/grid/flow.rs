//! The budget of a grid, at work: looks at the kernel's counters, and wakes who may send.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lafs::num;
use tokio::time::{Instant, sleep};

use super::budget::{Budget, LineId};
use super::gauge::{Gauge, Reading};

/// What the connections of a grid share: the line.
#[derive(Debug)]
pub(super) struct Flow(RefCell<State>);

#[derive(Debug)]
struct State {
    budget: Budget,
    gauges: BTreeMap<LineId, Gauge>,
    waiting: BTreeMap<LineId, Waker>,
    /// A task looks until nobody waits.
    is_watched: bool,
    next: LineId,
}

/// A connection that keeps to the budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Metered {
    flow: Rc<Flow>,
    /// `None` where the kernel tells nothing: it sends what it has.
    id: Option<LineId>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self(RefCell::new(State {
            budget: Budget::new(),
            gauges: BTreeMap::new(),
            waiting: BTreeMap::new(),
            is_watched: false,
            next: 0,
        }))
    }

    /// Meters a connection that has just been made; `base` is the shortest round trip seen of it.
    pub(super) fn meter(self: &Rc<Self>, gauge: Option<Gauge>, base: Duration) -> Metered {
        let mut state = self.0.borrow_mut();
        let id = gauge.and_then(|gauge| {
            let reading = gauge.read()?;
            let id = state.next;
            state.next += 1;
            state.budget.open(id, reading, base, Instant::now());
            state.gauges.insert(id, gauge);
            Some(id)
        });
        drop(state);
        if id.is_some() {
            self.watch();
        }
        Metered {
            flow: self.clone(),
            id,
        }
    }

    /// Looks again and again, as long as somebody needs it.
    fn watch(self: &Rc<Self>) {
        if std::mem::replace(&mut self.0.borrow_mut().is_watched, true) {
            return;
        }
        let flow: Weak<Self> = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            while let Some(pause) = flow.upgrade().and_then(|flow| flow.pause()) {
                sleep(pause).await;
                if let Some(flow) = flow.upgrade() {
                    flow.0.borrow_mut().look();
                }
            }
        });
    }

    /// How long to wait before the next look; `None` if nobody waits for it.
    fn pause(&self) -> Option<Duration> {
        let mut state = self.0.borrow_mut();
        let pause = state.budget.pause(Instant::now());
        state.is_watched = pause.is_some();
        pause
    }
}

impl State {
    fn look(&mut self) {
        let now = Instant::now();
        let busy: Vec<_> = self.budget.busy().collect();
        let gauges = &self.gauges;
        let readings = busy
            .into_iter()
            .filter_map(|id| Some((id, gauges.get(&id)?.read()?)));
        self.budget.look(readings, now);
        self.wake(now);
    }

    fn wake(&mut self, now: Instant) {
        if let Some(id) = self.budget.next(now) {
            if let Some(waker) = self.waiting.get(&id) {
                waker.wake_by_ref();
            }
        }
    }

    fn read(&self, id: LineId) -> Option<Reading> {
        self.gauges.get(&id)?.read()
    }
}

impl Metered {
    /// TLS has greeted: what the handshakes have shown counts.
    pub(super) fn greeted(&self) {
        if self.id.is_some() {
            self.flow.0.borrow_mut().look();
        }
    }

    /// Something came: it may have brought acknowledgements.
    pub(super) fn heard(&self) {
        let mut state = self.flow.0.borrow_mut();
        if !state.waiting.is_empty() {
            state.look();
        }
    }

    /// How many of `len` bytes may be sent now; waits while it is none.
    pub(super) fn poll_leave(&self, context: &Context<'_>, len: usize) -> Poll<usize> {
        let Some(id) = self.id else {
            return Poll::Ready(len);
        };
        let mut guard = self.flow.0.borrow_mut();
        let state = &mut *guard;
        let now = Instant::now();
        if state.budget.is_stale(now) {
            state.look();
        }
        let mut leave = state.budget.ask(id, num::size(len), now);
        if leave.is_none() {
            state.look();
            leave = state.budget.ask(id, num::size(len), now);
        }
        if let Some(leave) = leave {
            state.waiting.remove(&id);
            return Poll::Ready(num::len(leave).expect("it is at most what was asked for"));
        }
        state.waiting.insert(id, context.waker().clone());
        state.wake(now);
        drop(guard);
        self.flow.watch();
        Poll::Pending
    }

    /// So many bytes were written.
    pub(super) fn wrote(&self, len: usize) {
        let Some(id) = self.id else {
            return;
        };
        let mut state = self.flow.0.borrow_mut();
        let now = Instant::now();
        let len = num::size(len);
        state.budget.wrote(id, len, now);
        if state.budget.wants_mark(id) {
            if let Some(reading) = state.read(id) {
                state.budget.mark(id, reading, len, now);
            }
        }
        if !state.waiting.is_empty() {
            state.wake(now);
        }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut state = self.flow.0.borrow_mut();
            state.budget.close(id);
            state.gauges.remove(&id);
            state.waiting.remove(&id);
            state.wake(Instant::now());
        }
    }
}
