//! Notices servers that hold all others back.
//!
//! Time counts against a server while it has no room and at least half of the others have nothing
//! left to send. One that takes nothing at all may do so for a while; one that takes bytes, but
//! slowly, may hold the others back for half of the whole time besides: a server at more than half
//! of the others' speed is never given up.
//!
//! No clock here: the time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::grid::Patience;
use crate::placement::ServerIndex;

/// How long each server has held the others back.
pub(super) struct Brake {
    slow: Duration,
    begun: Instant,
    held_back: BTreeMap<ServerIndex, HeldBack>,
}

#[derive(Clone, Copy, Default)]
struct HeldBack {
    all: Duration,
    /// Since it last had room.
    at_a_stretch: Duration,
}

impl Brake {
    pub(super) fn new(patience: Patience, now: Instant) -> Self {
        Self {
            slow: patience.slow,
            begun: now,
            held_back: BTreeMap::new(),
        }
    }

    /// These servers, and no others, have held the rest back for this time, until now. Returns those
    /// that have done so for too long, and for how long.
    pub(super) fn add(
        &mut self,
        now: Instant,
        servers: &BTreeSet<ServerIndex>,
        time: Duration,
    ) -> Vec<(ServerIndex, Duration)> {
        for (server, held_back) in &mut self.held_back {
            if !servers.contains(server) {
                held_back.at_a_stretch = Duration::ZERO;
            }
        }
        let limit = self.slow + (now - self.begun) / 2;
        let mut late = Vec::new();
        for &server in servers {
            let held_back = self.held_back.entry(server).or_default();
            held_back.all += time;
            held_back.at_a_stretch += time;
            if held_back.at_a_stretch >= self.slow {
                late.push((server, held_back.at_a_stretch));
            } else if held_back.all >= limit {
                late.push((server, held_back.all));
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    /// Reports whether the server holds the others back in each step, until it is given up; after
    /// so many steps of 10 s.
    fn given_up_after(is_late: impl Fn(u32) -> bool) -> Option<u32> {
        let start = Instant::now();
        let patience = Patience {
            slow: Duration::from_secs(2),
            ..Patience::default()
        };
        let mut brake = Brake::new(patience, start);
        (1..=100).find(|&step| {
            let servers = is_late(step).then_some(3).into_iter().collect();
            !brake.add(start + STEP * step, &servers, STEP).is_empty()
        })
    }

    #[test]
    fn a_server_that_takes_nothing_is_given_up_after_the_time_of_a_slow_one() {
        assert_eq!(given_up_after(|_| true), Some(20));
        assert_eq!(given_up_after(|step| step > 50), Some(70));
    }

    #[test]
    fn a_server_at_half_the_speed_of_the_others_is_kept() {
        assert_eq!(given_up_after(|step| step % 2 == 0), None);
    }

    // It has room now and then, and keeps the others waiting for nine tenths of the time.
    #[test]
    fn a_server_at_a_tenth_of_the_speed_is_given_up() {
        let after = given_up_after(|step| step % 10 != 0);
        assert_eq!(after, Some(48));
    }
}
