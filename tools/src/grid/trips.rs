//! Round trips, counted by cause: how often a request had to wait for the answer to another.

use std::cell::Cell;
use std::rc::Rc;

/// The round trips that one operation has taken so far.
///
/// A Lamport clock: a request remembers the count when it is sent, and its answer raises the count
/// to one more. What is asked of many servers at once is one trip, whatever their number. A request
/// on a connection that is not open yet has two trips before it, TCP's and TLS's.
#[derive(Clone, Debug, Default)]
pub struct Trips(Rc<Cell<u32>>);

/// When a request was sent, in round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent(u32);

impl Trips {
    /// Starts at none.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The longest chain of requests and answers so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.get()
    }

    /// A request is sent now.
    pub(super) fn send(&self, is_open: bool) -> Sent {
        Sent(self.count() + if is_open { 0 } else { HANDSHAKES })
    }

    /// Its answer is here.
    pub(super) fn receive(&self, sent: Sent) {
        self.0.set(self.count().max(sent.0 + 1));
    }
}

/// TCP's handshake and TLS 1.3's.
const HANDSHAKES: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_side_by_side_are_one_trip_and_one_after_the_other_are_two() {
        let trips = Trips::new();
        let (one, two) = (trips.send(true), trips.send(true));
        trips.receive(one);
        let three = trips.send(true);
        trips.receive(two);
        assert_eq!(trips.count(), 1);
        trips.receive(three);
        assert_eq!(trips.count(), 2);
    }

    #[test]
    fn first_contact_is_three_trips() {
        let trips = Trips::new();
        let sent = trips.send(false);
        trips.receive(sent);
        assert_eq!(trips.count(), 3);
    }
}
