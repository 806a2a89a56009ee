//! How long a peer may do nothing, or next to nothing, before its connection is closed.
//!
//! Takes the time as an argument. There are three kinds of waiting: for HELLO; for a peer that has
//! sent part of a frame or has answers to read; and for a peer that asks for nothing.

use std::time::{Duration, Instant};

use protocol::Farewell;
use protocol::limits::PROGRESS_LEN_MIN;

use crate::config::Limits;

/// What is expected of one peer, and until when.
#[derive(Debug)]
pub(crate) struct Patience {
    idle_timeout: Duration,
    progress_timeout: Duration,
    /// HELLO must be there by then.
    hello_due: Option<Instant>,
    moved: u64,
    moved_at: Instant,
    owing: Option<Owing>,
}

/// A peer that it is the turn of.
#[derive(Clone, Copy, Debug)]
struct Owing {
    since: Instant,
    /// What had moved by then.
    moved: u64,
}

/// What a connection looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// HELLO had the right swissnum.
    pub(crate) admitted: bool,
    /// Bytes that passed so far, both ways.
    pub(crate) moved: u64,
    /// The peer must send the rest of a frame, or has answers to read.
    pub(crate) owing: bool,
    /// We are working for the peer.
    pub(crate) working: bool,
}

impl Patience {
    /// For a new connection whose HELLO must come by `hello_due`.
    pub(crate) fn new(limits: &Limits, hello_due: Instant, now: Instant) -> Self {
        Self {
            idle_timeout: limits.idle_timeout,
            progress_timeout: limits.progress_timeout,
            hello_due: Some(hello_due),
            moved: 0,
            moved_at: now,
            owing: None,
        }
    }

    /// Takes note of how the connection is now.
    pub(crate) fn observe(&mut self, now: Instant, sight: Sight) {
        if sight.admitted {
            self.hello_due = None;
        }
        if sight.moved != self.moved || sight.working {
            self.moved = sight.moved;
            self.moved_at = now;
        }
        let fresh = Owing {
            since: now,
            moved: sight.moved,
        };
        self.owing = match self.owing {
            _ if !sight.owing => None,
            Some(owing) if sight.moved - owing.moved < PROGRESS_LEN_MIN => Some(owing),
            _ => Some(fresh),
        };
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Instant {
        let idle = self.moved_at + self.idle_timeout;
        let progress = self.owing.map(|owing| owing.since + self.progress_timeout);
        [self.hello_due, progress]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }

    /// Why the connection ends now, if it does.
    pub(crate) fn verdict(&self, now: Instant) -> Option<Farewell> {
        let is_over = |due: Instant| due <= now;
        if self.hello_due.is_some_and(is_over) {
            return Some(Farewell::TooSlow);
        }
        if self
            .owing
            .is_some_and(|owing| is_over(owing.since + self.progress_timeout))
        {
            return Some(Farewell::TooSlow);
        }
        is_over(self.moved_at + self.idle_timeout).then_some(Farewell::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience(now: Instant) -> Patience {
        let limits = Limits {
            threads: 1,
            connections: 1,
            handshake_timeout: 15 * SECOND,
            idle_timeout: 600 * SECOND,
            progress_timeout: 60 * SECOND,
            stop_timeout: SECOND,
        };
        Patience::new(&limits, now + 20 * SECOND, now)
    }

    fn sight(moved: u64, owing: bool) -> Sight {
        Sight {
            admitted: true,
            moved,
            owing,
            working: false,
        }
    }

    #[test]
    fn a_client_that_never_says_hello_is_too_slow() {
        let start = Instant::now();
        let mut patience = patience(start);
        let silent = Sight {
            admitted: false,
            ..sight(10, true)
        };
        patience.observe(start, silent);
        assert_eq!(patience.deadline(), start + 20 * SECOND);
        assert_eq!(patience.verdict(start + 19 * SECOND), None);
        assert_eq!(
            patience.verdict(start + 20 * SECOND),
            Some(Farewell::TooSlow)
        );
    }

    // A byte a second keeps a naive idle timeout from ever firing.
    #[test]
    fn a_byte_a_second_in_the_middle_of_a_frame_is_too_slow() {
        let start = Instant::now();
        let mut patience = patience(start);
        let mut now = start;
        for moved in 0..61 {
            patience.observe(now, sight(moved, true));
            if moved < 60 {
                assert_eq!(patience.verdict(now), None, "after {moved} bytes");
            }
            now += SECOND;
        }
        assert_eq!(patience.verdict(now), Some(Farewell::TooSlow));
    }

    #[test]
    fn slow_but_steady_is_fine() {
        let start = Instant::now();
        let mut patience = patience(start);
        for minute in 0..100_u32 {
            let now = start + 59 * SECOND * minute;
            patience.observe(now, sight(u64::from(minute) * PROGRESS_LEN_MIN, true));
            assert_eq!(patience.verdict(now), None);
        }
    }

    #[test]
    fn a_peer_that_wants_nothing_is_idle_at_last_but_not_while_we_work_for_it() {
        let start = Instant::now();
        let mut patience = patience(start);
        let working = Sight {
            working: true,
            ..sight(5, false)
        };
        patience.observe(start + 500 * SECOND, working);
        let end = start + 1100 * SECOND;
        assert_eq!(patience.deadline(), end);
        assert_eq!(patience.verdict(end - SECOND), None);
        assert_eq!(patience.verdict(end), Some(Farewell::Idle));
        patience.observe(end, sight(6, false));
        assert_eq!(patience.verdict(end), None);
    }
}
