//! When answers to PUTs wait a moment for each other.
//!
//! Each answer is a few bytes, and sent by itself costs a TLS record and a packet, and the client a
//! packet that confirms it: on a slow line upwards those confirmations were a twentieth of all
//! bytes of an upload of many small files. So while the store has more PUTs of a connection, its
//! answers are gathered, for [`GATHER_TIME`] at most. The answer to a single PUT waits for nothing.
//!
//! Takes the time as an argument.

use std::time::{Duration, Instant};

/// The answers of one connection that wait.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    until: Option<Instant>,
}

impl Gathering {
    /// Whether `len` bytes of output should wait for more. `more`: the store has more PUTs.
    pub(crate) fn holds(&mut self, now: Instant, len: usize, more: bool) -> bool {
        let until = *self.until.get_or_insert(now + GATHER_TIME);
        let holds = more && len < GATHER_LEN && now < until;
        if !holds {
            self.until = None;
        }
        holds
    }

    /// When to look again, if answers wait.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.until
    }
}

/// Far below what a person or a protocol notices, and enough for a commit or two.
const GATHER_TIME: Duration = Duration::from_millis(5);

/// Bytes that fill a packet on any line; also what is no mere answer but bytes of shares.
const GATHER_LEN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    // A client that uploads one file waits for this very answer.
    #[test]
    fn the_answer_to_the_only_put_goes_at_once() {
        let mut gathering = Gathering::default();
        assert!(!gathering.holds(Instant::now(), 4, false));
        assert_eq!(gathering.deadline(), None);
    }

    #[test]
    fn answers_wait_for_those_behind_them_until_the_last_one_is_there() {
        let mut gathering = Gathering::default();
        let now = Instant::now();
        assert!(gathering.holds(now, 4, true));
        assert!(gathering.holds(now, 8, true));
        assert!(!gathering.holds(now, 12, false));
        assert_eq!(gathering.deadline(), None);
    }

    #[test]
    fn the_first_answer_waits_no_longer_than_the_time() {
        let mut gathering = Gathering::default();
        let now = Instant::now();
        assert!(gathering.holds(now, 4, true));
        let later = now + GATHER_TIME / 2;
        assert!(gathering.holds(later, 8, true));
        assert_eq!(gathering.deadline(), Some(now + GATHER_TIME));
        assert!(!gathering.holds(now + GATHER_TIME, 8, true));
        // The next answer starts a new wait.
        assert!(gathering.holds(now + GATHER_TIME, 4, true));
    }

    #[test]
    fn a_packet_full_does_not_wait() {
        let mut gathering = Gathering::default();
        assert!(!gathering.holds(Instant::now(), GATHER_LEN, true));
    }
}
