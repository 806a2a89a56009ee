//! The one deadline for a connection on which nothing moves although the server owes a move.
//!
//! No clock here: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Notices that nothing moves.
#[derive(Debug)]
pub(super) struct StallWatch {
    limit: Duration,
    looked: Instant,
    /// How much had moved when enough had last moved, and for how long nothing has since.
    moved: u64,
    still: Duration,
}

impl StallWatch {
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            looked: now,
            moved: 0,
            still: Duration::ZERO,
        }
    }

    /// Looks at how many bytes have moved so far; says whether the server is given up.
    ///
    /// Less than [`PROGRESS_SIZE_MIN`] within the limit is nothing. Time in which nobody looked is
    /// ours: this process was stopped, or the machine asleep.
    pub(super) fn is_stalled(&mut self, now: Instant, moved: u64, is_owed: bool) -> bool {
        let since = (now - self.looked).min(self.interval() * 2);
        self.looked = now;
        if !is_owed || moved >= self.moved + PROGRESS_SIZE_MIN {
            self.moved = moved;
            self.still = Duration::ZERO;
        } else {
            self.still += since;
        }
        self.still >= self.limit
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Instant {
        self.looked + self.interval()
    }

    fn interval(&self) -> Duration {
        self.limit / LOOKS
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

    /// Looks each second; how many seconds until the server is given up, if that is within 100.
    fn given_up_after(moved: impl Fn(u32) -> u64, is_owed: bool) -> Option<u32> {
        let start = Instant::now();
        let mut watch = StallWatch::new(LIMIT, start);
        (1..=100).find(|&second| watch.is_stalled(start + second * SECOND, moved(second), is_owed))
    }

    #[test]
    fn a_server_that_owes_and_does_not_move_is_given_up_at_the_limit() {
        assert_eq!(given_up_after(|_| 0, true), Some(10));
        let stops_at_20 = |second: u32| PROGRESS_SIZE_MIN * u64::from(second.min(20));
        assert_eq!(given_up_after(stops_at_20, true), Some(30));
    }

    #[test]
    fn a_byte_now_and_then_is_no_move() {
        assert_eq!(given_up_after(u64::from, true), Some(10));
    }

    #[test]
    fn a_slow_server_and_one_that_owes_nothing_are_kept() {
        let slow = |second: u32| u64::from(second / 9) * PROGRESS_SIZE_MIN;
        assert_eq!(given_up_after(slow, true), None);
        assert_eq!(given_up_after(|_| 0, false), None);
    }

    // Ctrl-Z, and an hour later fg: the servers have done nothing wrong.
    #[test]
    fn time_in_which_this_process_was_stopped_does_not_count() {
        let start = Instant::now();
        let mut watch = StallWatch::new(LIMIT, start);
        assert!(!watch.is_stalled(start + SECOND, 0, true));
        assert!(!watch.is_stalled(start + 3600 * SECOND, 0, true));
        assert_eq!(watch.next_look(), start + 3600 * SECOND + LIMIT / LOOKS);
    }
}
