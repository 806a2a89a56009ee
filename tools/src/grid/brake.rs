//! Notices servers that hold all others back.
//!
//! Time counts against a server while it is busy and at least half of the others have nothing left
//! to do. One that gets nothing done at all may do so for a while; one that gets something done, but
//! slowly, may hold the others back for half of the whole time besides: a server at more than half
//! of the others' speed is never given up. On a slow line all are slow, and nobody waits for anybody.
//!
//! No clock here: the time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::Patience;

/// How long each server has held the others back; the caller numbers them.
#[derive(Debug)]
pub struct Brake {
    slow: Duration,
    begun: Instant,
    held_back: BTreeMap<usize, HeldBack>,
}

#[derive(Clone, Copy, Debug, Default)]
struct HeldBack {
    all: Duration,
    /// Since it last got something done.
    at_a_stretch: Duration,
}

impl Brake {
    /// How often to look at servers that hold others back, at least.
    pub const STEP: Duration = Duration::from_millis(250);

    /// Begins now.
    #[must_use]
    pub fn new(patience: Patience, now: Instant) -> Self {
        Self {
            slow: patience.slow,
            begun: now,
            held_back: BTreeMap::new(),
        }
    }

    /// A server has got something done.
    pub fn release(&mut self, server: usize) {
        if let Some(held_back) = self.held_back.get_mut(&server) {
            held_back.at_a_stretch = Duration::ZERO;
        }
    }

    /// These servers have held the rest back for this time, until now. Returns those that have done
    /// so for too long, and for how long.
    ///
    /// Much more time than a step is time in which this process was stopped, and is not counted.
    pub fn add(
        &mut self,
        now: Instant,
        servers: &BTreeSet<usize>,
        time: Duration,
    ) -> Vec<(usize, Duration)> {
        let time = time.min(Self::STEP * 2);
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
            if !is_late(step) {
                brake.release(3);
            }
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

    #[test]
    fn time_in_which_this_process_was_stopped_does_not_count() {
        let start = Instant::now();
        let mut brake = Brake::new(Patience::default(), start);
        let hour = Duration::from_secs(3600);
        let servers = BTreeSet::from([3]);
        assert!(brake.add(start + hour, &servers, hour).is_empty());
    }
}
