//! Log lines that strangers can cause, a few at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lets one line through per [`INTERVAL`] and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    started: Instant,
    /// Milliseconds since the start at which the next line may go.
    next_ms: AtomicU64,
    withheld: AtomicU64,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            next_ms: AtomicU64::new(0),
            withheld: AtomicU64::new(0),
        }
    }

    /// Calls `line` with the number of lines withheld before it, or withholds this one.
    pub(crate) fn say(&self, line: impl FnOnce(u64)) {
        let now = self.started.elapsed();
        let next = Duration::from_millis(self.next_ms.load(Ordering::Relaxed));
        if now < next {
            self.withheld.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let next = u64::try_from((now + INTERVAL).as_millis()).unwrap_or(u64::MAX);
        self.next_ms.store(next, Ordering::Relaxed);
        line(self.withheld.swap(0, Ordering::Relaxed));
    }
}

const INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    // A stranger must not be able to fill the operator's disk with log lines.
    #[test]
    fn one_line_goes_through_and_the_others_are_counted() {
        let throttle = Throttle::new();
        let mut said = Vec::new();
        for _ in 0..1000 {
            throttle.say(|withheld| said.push(withheld));
        }
        assert_eq!(said, [0]);
        throttle.next_ms.store(0, Ordering::Relaxed);
        throttle.say(|withheld| said.push(withheld));
        assert_eq!(said, [0, 999]);
    }
}
