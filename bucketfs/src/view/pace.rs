//! How fast a walk may go: so many operations and bytes a second, for all of its threads together.
//!
//! A bucket of tokens for each. What is taken before there is enough of it is owed, and whoever takes
//! waits until the debt is paid: a single large read is never refused, and the rate holds on average.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a walk may use; nothing given is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Directories listed and files opened, a second.
    pub operations_per_second: Option<u32>,
    /// Bytes read, a second.
    pub bytes_per_second: Option<u64>,
}

/// Ends a walk from outside, wherever it is.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the walk soon.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps the threads of one walk to its budget.
#[derive(Debug)]
pub(super) struct Pace {
    operations: Option<Mutex<Tokens>>,
    bytes: Option<Mutex<Tokens>>,
    stop: Stop,
    /// Whoever takes what is seen has had enough.
    has_ended: Stop,
}

#[derive(Debug)]
struct Tokens {
    per_second: f64,
    /// When all that was taken is paid for.
    paid_at: Instant,
}

impl Pace {
    pub(super) fn new(budget: Budget, stop: Stop) -> Self {
        let tokens = |per_second: f64| {
            Mutex::new(Tokens {
                per_second: per_second.max(1.0),
                paid_at: Instant::now(),
            })
        };
        Self {
            operations: budget
                .operations_per_second
                .map(|rate| tokens(f64::from(rate))),
            bytes: budget.bytes_per_second.map(|rate| tokens(float(rate))),
            stop,
            has_ended: Stop::default(),
        }
    }

    /// Takes an operation, and waits for its turn.
    pub(super) fn operation(&self) {
        self.take(self.operations.as_ref(), 1.0);
    }

    /// Takes so many bytes, and waits for their turn.
    pub(super) fn bytes(&self, count: u64) {
        self.take(self.bytes.as_ref(), float(count));
    }

    /// Has nobody wait any more.
    pub(super) fn end(&self) {
        self.has_ended.stop();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.has_ended.is_stopped() || self.stop.is_stopped()
    }

    /// Waits, unless or until the walk is stopped.
    pub(super) fn pause(&self, length: Duration) {
        let end = Instant::now() + length;
        while !self.is_stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    fn take(&self, tokens: Option<&Mutex<Tokens>>, count: f64) {
        let Some(tokens) = tokens else {
            return;
        };
        let wait = {
            let mut tokens = tokens.lock().expect("nobody panics with the lock");
            tokens.take(count, Instant::now())
        };
        self.pause(wait);
    }
}

impl Tokens {
    /// Takes some at a moment; returns how long to wait.
    fn take(&mut self, count: f64, now: Instant) -> Duration {
        let cost = Duration::from_secs_f64((count / self.per_second).min(COST_MAX));
        // A burst of what was not used for a while, and no more.
        let floor = now.checked_sub(BURST).unwrap_or(now);
        self.paid_at = self.paid_at.max(floor) + cost;
        self.paid_at.saturating_duration_since(now)
    }
}

/// As a number to reckon rates with, where the last bits do not matter.
fn float(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).expect("the upper half");
    let low = u32::try_from(count & u64::from(u32::MAX)).expect("the lower half");
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// How long a waiting thread sleeps before it looks whether the walk is stopped.
const NAP: Duration = Duration::from_millis(50);

/// What may be used at once after a pause.
const BURST: Duration = Duration::from_millis(50);

/// Most seconds that anything costs.
const COST_MAX: f64 = 3600.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_paid_for_in_time_and_idling_saves_up_little() {
        let start = Instant::now();
        let mut tokens = Tokens {
            per_second: 100.0,
            paid_at: start,
        };
        let wait = (0..100).map(|_| tokens.take(1.0, start)).last().unwrap();
        assert_eq!(wait.as_millis(), 1000);
        let later = start + Duration::from_secs(60);
        let wait = (0..100).map(|_| tokens.take(1.0, later)).last().unwrap();
        assert_eq!(wait.as_millis(), 950);
    }

    #[test]
    fn without_a_budget_and_after_the_end_nobody_waits() {
        let pace = Pace::new(Budget::default(), Stop::default());
        pace.bytes(u64::MAX);
        let budget = Budget {
            operations_per_second: Some(1),
            bytes_per_second: Some(1),
        };
        let stop = Stop::default();
        let pace = Pace::new(budget, stop.clone());
        stop.stop();
        pace.bytes(u64::MAX);
        pace.operation();
    }
}
