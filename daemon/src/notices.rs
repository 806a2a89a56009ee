//! Log lines that peers can cause at will: written once, then counted.
//!
//! The first event of a kind is logged at once. Those that follow are counted, and at the end of each
//! minute one line has their number. A kind that was quiet for a minute begins anew. So nobody can
//! fill the log, and nothing happens that the log does not tell.
//!
//! The time is an argument, but for [`Notices::run`], which waits for it.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use crate::peer::Peer;

/// What a peer can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There are as many connections as may be.
    TurnedAway,
    /// A connection could not be accepted.
    NotAccepted,
    /// TLS failed, or nobody spoke.
    Handshake,
    /// A swissnum that is not ours.
    WrongSwissnum,
    /// What a client sent breaks a rule of its protocol.
    Malformed,
    /// A client reports that a share is corrupt.
    CorruptShare,
    /// An upload was refused because there are too many.
    TooManyUploads,
    /// A new share was refused for want of space.
    Full,
    /// A new share was refused because the store takes none.
    ReadOnly,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::TurnedAway,
        Self::NotAccepted,
        Self::Handshake,
        Self::WrongSwissnum,
        Self::Malformed,
        Self::CorruptShare,
        Self::TooManyUploads,
        Self::Full,
        Self::ReadOnly,
    ];

    /// Whether it is a state: its begin and its end are logged, and its count at the end.
    fn lasts(self) -> bool {
        matches!(self, Self::Full | Self::ReadOnly)
    }
}

/// A line that tells a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    kind: Kind,
    number: u64,
}

impl Count {
    fn say(self) {
        let count = self.number;
        match self.kind {
            Kind::TurnedAway => warn!(count, "turned more clients away in the last minute"),
            Kind::NotAccepted => warn!(
                count,
                "could not accept more connections in the last minute"
            ),
            Kind::Handshake => info!(count, "more TLS handshakes failed in the last minute"),
            Kind::WrongSwissnum => warn!(count, "more wrong swissnums in the last minute"),
            Kind::Malformed => info!(count, "more clients broke the protocol in the last minute"),
            Kind::CorruptShare => warn!(count, "more reports of corrupt shares in the last minute"),
            Kind::TooManyUploads => warn!(count, "refused more uploads in the last minute"),
            Kind::Full => info!(
                count,
                "no new share was refused for a minute; so many were, as full"
            ),
            Kind::ReadOnly => {
                info!(
                    count,
                    "no new share was refused for a minute; so many were, as read-only"
                );
            }
        }
    }
}

/// All kinds, and how often each came.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    state: Mutex<State>,
    /// A minute has begun.
    begun: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// When the minute ends, if anything is being counted.
    ends: Option<Instant>,
    kinds: [Tally; Kind::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// It was logged, and has not been quiet for a minute since.
    is_said: bool,
    /// Since the last line, without what that line was about.
    unsaid: u64,
    /// In this minute.
    recent: u64,
}

impl Notices {
    /// Counts one event; true if the caller should log it.
    #[must_use]
    pub(crate) fn note(&self, kind: Kind, now: Instant) -> bool {
        let mut state = self.state();
        if state.ends.is_none() {
            state.ends = Some(now + PERIOD);
            self.begun.notify_one();
        }
        let tally = &mut state.kinds[kind as usize];
        tally.recent += 1;
        // Of a state the number tells all that was refused.
        if tally.is_said || kind.lasts() {
            tally.unsaid += 1;
        }
        !std::mem::replace(&mut tally.is_said, true)
    }

    /// Logs, or counts, that a client presented a wrong swissnum.
    pub(crate) fn wrong_swissnum(&self, peer: Peer) {
        match self.note(Kind::WrongSwissnum, Instant::now()) {
            true => warn!(%peer, "a client has a wrong swissnum; further ones are counted"),
            false => debug!(%peer, "refused: the swissnum is wrong"),
        }
    }

    /// Logs, or counts, that a client sent what its protocol does not have.
    pub(crate) fn malformed(&self, peer: Peer, error: &dyn fmt::Display) {
        match self.note(Kind::Malformed, Instant::now()) {
            true => info!(%peer, %error, "a client broke the protocol; further ones are counted"),
            false => debug!(%peer, %error, "refused"),
        }
    }

    /// Logs, or counts, that TLS failed.
    pub(crate) fn handshake_failed(&self, peer: Peer, error: &dyn fmt::Display) {
        match self.note(Kind::Handshake, Instant::now()) {
            true => info!(%peer, %error, "TLS failed; further failures are counted"),
            false => debug!(%peer, %error, "TLS failed"),
        }
    }

    /// Ends the minute; returns the numbers to log.
    pub(crate) fn end_period(&self, now: Instant) -> Vec<Count> {
        let mut state = self.state();
        let mut counts = Vec::new();
        for kind in Kind::ALL {
            let tally = &mut state.kinds[kind as usize];
            let is_quiet = std::mem::take(&mut tally.recent) == 0;
            let says = tally.is_said && (is_quiet || !kind.lasts());
            if says && tally.unsaid > 0 {
                let number = std::mem::take(&mut tally.unsaid);
                counts.push(Count { kind, number });
            }
            tally.is_said &= !is_quiet;
        }
        let goes_on = state.kinds.iter().any(|tally| tally.is_said);
        state.ends = goes_on.then_some(now + PERIOD);
        counts
    }

    /// Says the numbers, minute by minute. Sleeps while there is nothing to count.
    pub(crate) async fn run(&self) -> Infallible {
        loop {
            let ends = self.state().ends;
            match ends {
                None => self.begun.notified().await,
                Some(ends) => {
                    sleep_until(ends.into()).await;
                    self.say_counts(Instant::now());
                }
            }
        }
    }

    /// Ends the minute and says its numbers.
    pub(crate) fn say_counts(&self, now: Instant) {
        for count in self.end_period(now) {
            count.say();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A tally is whole at any moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a number is logged.
const PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    // A stranger must not be able to fill the operator's disk with log lines.
    #[test]
    fn one_line_is_said_at_once_and_the_others_as_a_number_each_minute() {
        let (notices, start) = (Notices::default(), Instant::now());
        let said = (0..1000).filter(|_| notices.note(Kind::WrongSwissnum, start));
        assert_eq!(said.count(), 1);
        let count = |number| {
            let kind = Kind::WrongSwissnum;
            vec![Count { kind, number }]
        };
        let minute = start + PERIOD;
        assert_eq!(notices.end_period(minute), count(999));
        assert!(!notices.note(Kind::WrongSwissnum, minute + SECOND));
        assert_eq!(notices.end_period(minute + PERIOD), count(1));
    }

    #[test]
    fn what_came_once_is_said_once_and_after_a_quiet_minute_again() {
        let (notices, start) = (Notices::default(), Instant::now());
        assert!(notices.note(Kind::Handshake, start));
        assert!(notices.note(Kind::Malformed, start), "kinds do not mix");
        assert_eq!(notices.end_period(start + PERIOD), []);
        assert!(!notices.note(Kind::Handshake, start + PERIOD));
        let expected = [Count {
            kind: Kind::Handshake,
            number: 1,
        }];
        assert_eq!(notices.end_period(start + 2 * PERIOD), expected);
        assert_eq!(notices.end_period(start + 3 * PERIOD), []);
        assert_eq!(notices.state().ends, None, "nothing is left to wait for");
        assert!(notices.note(Kind::Handshake, start + 4 * PERIOD));
    }

    // An operator wants to know when it began, when it ended, and how much was lost by it.
    #[test]
    fn of_a_state_the_begin_and_the_end_are_said_and_the_number_with_the_end() {
        let (notices, start) = (Notices::default(), Instant::now());
        assert!(notices.note(Kind::Full, start));
        assert!(!notices.note(Kind::Full, start + SECOND));
        assert_eq!(notices.end_period(start + PERIOD), []);
        assert!(!notices.note(Kind::Full, start + PERIOD + SECOND));
        assert_eq!(notices.end_period(start + 2 * PERIOD), []);
        let expected = [Count {
            kind: Kind::Full,
            number: 3,
        }];
        assert_eq!(notices.end_period(start + 3 * PERIOD), expected);
        assert_eq!(notices.end_period(start + 4 * PERIOD), []);
        assert!(notices.note(Kind::Full, start + 5 * PERIOD));
    }
}
