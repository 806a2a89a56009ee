//! The one deadline for a connection on which nothing moves although the server owes a move.
//!
//! No clock here: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Notices that nothing moves.
#[derive(Debug)]
pub(super) struct StallWatch {
    limit: Duration,
    /// When enough had last moved, and how much had moved by then.
    mark: (Instant, u64),
}

impl StallWatch {
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            mark: (now, 0),
        }
    }

    /// Looks at how many bytes have moved so far; says whether the server is given up.
    ///
    /// Less than [`PROGRESS_SIZE_MIN`] within the limit is nothing.
    pub(super) fn is_stalled(&mut self, now: Instant, moved: u64, is_owed: bool) -> bool {
        if !is_owed || moved >= self.mark.1 + PROGRESS_SIZE_MIN {
            self.mark = (now, moved);
        }
        now - self.mark.0 >= self.limit
    }

    /// When to look again.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        now + self.limit / LOOKS
    }
}

/// Bytes that a server must take or send to count as alive: some 100 a second, below any modem.
pub(super) const PROGRESS_SIZE_MIN: u64 = 1024;

/// Looks per limit.
const LOOKS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_server_that_owes_and_does_not_move_is_given_up_at_the_limit() {
        let start = Instant::now();
        let mut watch = StallWatch::new(LIMIT, start);
        assert!(!watch.is_stalled(start + 9 * SECOND, 0, true));
        assert!(watch.is_stalled(start + 10 * SECOND, 0, true));
    }

    #[test]
    fn a_byte_now_and_then_is_no_move() {
        let start = Instant::now();
        let mut watch = StallWatch::new(LIMIT, start);
        for second in 0..10 {
            assert!(!watch.is_stalled(start + second * SECOND, second.into(), true));
        }
        assert!(watch.is_stalled(start + LIMIT, 10, true));
    }

    #[test]
    fn a_slow_server_and_one_that_owes_nothing_are_kept() {
        let start = Instant::now();
        let mut watch = StallWatch::new(LIMIT, start);
        for round in 1..100 {
            let now = start + 9 * round * SECOND;
            assert!(!watch.is_stalled(now, u64::from(round) * PROGRESS_SIZE_MIN, true));
        }
        let mut watch = StallWatch::new(LIMIT, start);
        for round in 1..100 {
            assert!(!watch.is_stalled(start + 9 * round * SECOND, 0, false));
        }
    }
}
