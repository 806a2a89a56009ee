//! When a walk is due: its notes, the configuration and the time, and nothing else.
//!
//! All times are seconds since 1970 by the operator's clock, which may go back.

use std::time::Duration;

use protocol::control::Pass;
use serde::{Deserialize, Serialize};

/// How far a walk has come, from one start to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notes {
    /// The pass under way, or interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<Current>,
    /// The last pass that came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Pass>,
}

/// A pass that has not come to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Current {
    /// What it has seen so far.
    pub(crate) pass: Pass,
    /// The storage index that was done last, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

impl Notes {
    /// Begins a pass, or goes on with the one that was interrupted.
    pub(crate) fn begin(&mut self, now: u64) -> &mut Current {
        self.current.get_or_insert_with(|| Current {
            pass: Pass {
                began: now,
                ..Pass::default()
            },
            cursor: None,
        })
    }

    /// The pass under way has come to its end.
    pub(crate) fn end(&mut self, now: u64) {
        if let Some(current) = self.current.take() {
            let mut pass = current.pass;
            pass.ended = Some(now);
            pass.leases.seen = now;
            self.last = Some(pass);
        }
    }

    /// When the walk is due, if it is done every so often by a daemon that started then.
    ///
    /// One that was interrupted goes on soon after the start. A time that lies further ahead than a
    /// whole turn was written while the clock was wrong, and does not count.
    pub(crate) fn due(&self, every: Duration, started: u64, now: u64) -> u64 {
        let soon = started.saturating_add(START_PAUSE.as_secs());
        let Some(last) = self.last.filter(|_| self.current.is_none()) else {
            return soon;
        };
        let ended = last.ended.unwrap_or(last.began);
        let next = last.began.saturating_add(every.as_secs());
        let next = next.max(ended.saturating_add(REST.as_secs()));
        match next > now.saturating_add(every.as_secs().saturating_add(REST.as_secs())) {
            true => soon,
            false => next.max(soon),
        }
    }
}

/// A daemon that starts has other things to do first, and an operator may start it again at once.
/// (Tahoe's crawlers wait six minutes.)
pub(crate) const START_PAUSE: Duration = Duration::from_secs(6 * 60);

/// How long a walk rests at least after it ended, however long it took.
const REST: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const START: u64 = 1_800_000_000;

    fn done(began: u64, ended: u64) -> Notes {
        let mut notes = Notes::default();
        notes.begin(began);
        notes.end(ended);
        notes
    }

    #[test]
    fn the_first_pass_is_soon_after_the_start_and_the_next_ones_every_so_often() {
        let soon = START + START_PAUSE.as_secs();
        assert_eq!(Notes::default().due(DAY, START, START), soon);
        let notes = done(START, START + 100);
        assert_eq!(notes.due(DAY, START, START + 200), START + DAY.as_secs());
        // It took longer than it should: it rests nevertheless.
        let ended = START + 3 * DAY.as_secs();
        let notes = done(START, ended);
        assert_eq!(notes.due(DAY, START, ended), ended + REST.as_secs());
        // It was due while no daemon ran.
        let notes = done(START - 10 * DAY.as_secs(), START - 9 * DAY.as_secs());
        assert_eq!(notes.due(DAY, START, START), soon);
    }

    #[test]
    fn a_pass_that_was_interrupted_goes_on_soon_after_the_start_where_it_stopped() {
        let mut notes = done(START - 10, START - 5);
        notes.begin(START - 4).cursor = Some("ab".to_owned());
        assert_eq!(notes.due(DAY, START, START), START + START_PAUSE.as_secs());
        let current = notes.begin(START + 1);
        assert_eq!(current.pass.began, START - 4);
        assert_eq!(current.cursor.as_deref(), Some("ab"));
    }

    // A clock that was years ahead must not put the walk off for years.
    #[test]
    fn a_time_from_a_wrong_clock_does_not_count() {
        let ahead = START + 3650 * DAY.as_secs();
        let notes = done(ahead, ahead + 100);
        assert_eq!(notes.due(DAY, START, START), START + START_PAUSE.as_secs());
        assert!(done(u64::MAX, u64::MAX).due(DAY, START, START) < START + DAY.as_secs());
    }
}
