//! Whom a download asks, and when it turns to others.
//!
//! A server that was asked is a *holder*. The first question, the *opening*, asks for any share; then
//! the decoder asks for bytes of shares that it knows. Where an answer is late, one more server is
//! opened for it. A late opening still counts when it comes; a late holder in the middle of the file
//! is replaced as soon as another has a share to offer in its place.
//!
//! No I/O and no clock: answers and the time are arguments.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use encoder::native::{Holder, RequestId};
use lafs::{ShareNumber, num};
use tokio::time::Instant;

use crate::grid::{Awaited, Brake, Patience, Sight};

/// A server, by its place on the ring.
pub(super) type Place = usize;

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    Opening,
    Request(RequestId),
}

/// Who was asked what, and who may still be asked.
#[derive(Debug)]
pub(super) struct Route {
    /// Places still to be asked: each once, and once more after a passing failure.
    candidates: VecDeque<Place>,
    /// Who was asked, by [`Holder`].
    holders: Vec<HolderState>,
    awaited: Awaited<(Holder, Question)>,
    /// Who holds the others back, by index.
    brake: Brake,
}

/// A server that was asked, in one attempt.
#[derive(Debug)]
struct HolderState {
    place: Place,
    is_second_attempt: bool,
    /// The opening has no end of its answer yet.
    is_opening: bool,
    has_reacted: bool,
    /// It is silent; until it says something.
    is_late: bool,
    /// It holds the others back.
    is_slow: bool,
    is_lost: bool,
    /// Shares that it says to hold.
    offered: BTreeSet<ShareNumber>,
    /// Shares of which bytes were asked or taken.
    used: BTreeSet<ShareNumber>,
    /// Requests without an end.
    requests: BTreeSet<RequestId>,
}

impl Route {
    /// Begins with these places, to be asked in this order.
    pub(super) fn new(
        places: impl IntoIterator<Item = Place>,
        patience: Patience,
        now: Instant,
    ) -> Self {
        Self {
            brake: Brake::new(patience, now),
            candidates: places.into_iter().collect(),
            holders: Vec::new(),
            awaited: Awaited::quick(patience),
        }
    }

    /// The next server to be opened, if more are wanted than are being opened in time.
    pub(super) fn open_next(&mut self, shortfall: usize, now: Instant) -> Option<Holder> {
        let opening = self.holders.iter().filter(|state| state.is_opening);
        let punctual = opening.filter(|state| !state.is_late).count();
        let late = self.replaceable().count();
        let wanted = shortfall + late.saturating_sub(self.spares());
        if punctual >= wanted {
            return None;
        }
        let place = self.candidates.pop_front()?;
        let holder = Holder(num::size(self.holders.len()));
        self.holders.push(HolderState {
            place,
            is_second_attempt: self.holders.iter().any(|state| state.place == place),
            is_opening: true,
            has_reacted: false,
            is_late: false,
            is_slow: false,
            is_lost: false,
            offered: BTreeSet::new(),
            used: BTreeSet::new(),
            requests: BTreeSet::new(),
        });
        self.awaited.ask((holder, Question::Opening), now);
        Some(holder)
    }

    /// A late holder that another can stand in for, and how long it was waited for: its requests are
    /// to be asked of others.
    pub(super) fn replace_next(&mut self, now: Instant) -> Option<(Holder, Duration)> {
        if self.spares() == 0 {
            return None;
        }
        let holder = self.replaceable().next()?;
        let state = self.state(holder);
        let requests = state.requests.iter();
        let waited = requests
            .map(|request| {
                self.awaited
                    .waited((holder, Question::Request(*request)), now)
            })
            .max();
        let place = state.place;
        self.candidates.push_back(place);
        self.lose(holder);
        Some((holder, waited.unwrap_or_default()))
    }

    /// The decoder asks for bytes of a share.
    pub(super) fn ask(
        &mut self,
        holder: Holder,
        request: RequestId,
        share: ShareNumber,
        now: Instant,
    ) {
        let state = self.state_mut(holder);
        state.requests.insert(request);
        state.used.insert(share);
        let question = (holder, Question::Request(request));
        self.awaited.ask_in_line(question, now);
    }

    /// Bytes came.
    pub(super) fn receive(&mut self, holder: Holder, question: Question, now: Instant) {
        let state = self.state_mut(holder);
        let is_first = question == Question::Opening && !state.has_reacted;
        let was_late = state.is_late;
        state.has_reacted = true;
        state.is_late = false;
        if is_first {
            self.awaited.reacted((holder, question), now);
        }
        if was_late {
            self.awaited.forgive(|(late, _)| *late == holder, now);
        }
    }

    /// The opening's bytes of a share are taken.
    pub(super) fn take(&mut self, holder: Holder, share: ShareNumber) {
        self.state_mut(holder).used.insert(share);
    }

    /// An answer is whole; an opening's with the shares that are held.
    pub(super) fn end(
        &mut self,
        holder: Holder,
        question: Question,
        held: impl IntoIterator<Item = ShareNumber>,
        now: Instant,
    ) {
        self.receive(holder, question, now);
        match question {
            Question::Opening => {
                self.awaited.answered((holder, question), now);
                let state = self.state_mut(holder);
                state.is_opening = false;
                state.offered.extend(held);
            }
            Question::Request(request) => {
                self.awaited.forget((holder, question));
                self.brake.release(index(holder));
                self.state_mut(holder).requests.remove(&request);
            }
        }
    }

    /// A server failed; it is asked again, last, if the failure `is_passing`.
    pub(super) fn fail(&mut self, holder: Holder, is_passing: bool) {
        let state = self.state(holder);
        let (place, is_second_attempt) = (state.place, state.is_second_attempt);
        if is_passing && !is_second_attempt {
            self.candidates.push_back(place);
        }
        self.lose(holder);
    }

    /// A share turned out bad.
    pub(super) fn condemn(&mut self, holder: Holder, share: ShareNumber) {
        let state = self.state_mut(holder);
        state.offered.remove(&share);
        state.used.remove(&share);
    }

    /// Nothing came for this time, until now: takes note of who holds the others back.
    pub(super) fn wait(&mut self, now: Instant, time: Duration) {
        let holding_back = self.holding_back();
        for (late, _) in self.brake.add(now, &holding_back, time) {
            self.holders[late].is_slow = true;
        }
    }

    /// Finds out who has become silent.
    pub(super) fn find_silent(
        &mut self,
        now: Instant,
        sight: impl Fn(Place) -> Sight,
    ) -> BTreeSet<Place> {
        let holders = &self.holders;
        let late = self
            .awaited
            .find_late(now, |(holder, _)| sight(holders[index(holder)].place));
        late.into_iter()
            .map(|(holder, _)| {
                let state = self.state_mut(holder);
                state.is_late = true;
                state.place
            })
            .collect()
    }

    /// When to look at who is late, if nothing comes until then.
    pub(super) fn next_look(
        &self,
        now: Instant,
        sight: impl Fn(Place) -> Sight,
    ) -> Option<Instant> {
        let silent = self
            .awaited
            .next_late(|(holder, _)| sight(self.state(holder).place));
        let slow = (!self.holding_back().is_empty()).then_some(now + Brake::STEP);
        silent.into_iter().chain(slow).min()
    }

    /// Whether no answer that is awaited can help.
    pub(super) fn cannot_succeed(&self, shortfall: usize) -> bool {
        if shortfall > 0 {
            !self.holders.iter().any(|state| state.is_opening)
        } else {
            !self.holders.iter().any(HolderState::is_awaited)
        }
    }

    /// Whether nothing this holder says matters any more.
    pub(super) fn is_lost(&self, holder: Holder) -> bool {
        self.state(holder).is_lost
    }

    /// Which server a holder is.
    pub(super) fn place(&self, holder: Holder) -> Place {
        self.state(holder).place
    }

    /// How many servers were asked.
    pub(super) fn servers_asked(&self) -> usize {
        let places: BTreeSet<_> = self.holders.iter().map(|state| state.place).collect();
        places.len()
    }

    /// Late holders that are to be replaced. One that was replaced before is all there is.
    fn replaceable(&self) -> impl Iterator<Item = Holder> {
        self.holders
            .iter()
            .enumerate()
            .filter(|(_, state)| {
                (state.is_late || state.is_slow)
                    && !state.requests.is_empty()
                    && !state.is_second_attempt
            })
            .map(|(index, _)| Holder(num::size(index)))
    }

    /// Shares that are offered by punctual holders and not used by any.
    fn spares(&self) -> usize {
        let punctual = || {
            self.holders
                .iter()
                .filter(|state| !state.is_late && !state.is_slow && !state.is_lost)
        };
        let used: BTreeSet<_> = punctual().flat_map(|state| &state.used).collect();
        let offered: BTreeSet<_> = punctual().flat_map(|state| &state.offered).collect();
        offered.difference(&used).count()
    }

    /// Holders that are busy while at least half of those in use have nothing left to do.
    fn holding_back(&self) -> BTreeSet<usize> {
        let in_use = |state: &&HolderState| !state.used.is_empty() && !state.is_lost;
        let count = self.holders.iter().filter(in_use).count();
        let busy: BTreeSet<_> = (0..self.holders.len())
            .filter(|&index| !self.holders[index].requests.is_empty())
            .collect();
        if busy.len() * 2 <= count {
            busy
        } else {
            BTreeSet::new()
        }
    }

    fn lose(&mut self, holder: Holder) {
        let state = &mut self.holders[index(holder)];
        state.is_lost = true;
        state.is_late = false;
        state.is_opening = false;
        self.awaited.forget((holder, Question::Opening));
        for request in std::mem::take(&mut state.requests) {
            self.awaited.forget((holder, Question::Request(request)));
        }
    }

    fn state(&self, holder: Holder) -> &HolderState {
        &self.holders[index(holder)]
    }

    fn state_mut(&mut self, holder: Holder) -> &mut HolderState {
        &mut self.holders[index(holder)]
    }
}

impl HolderState {
    fn is_awaited(&self) -> bool {
        self.is_opening || !self.requests.is_empty()
    }
}

fn index(holder: Holder) -> usize {
    num::len(holder.0).expect("it is a place in a table")
}

#[cfg(test)]
mod tests {
    use encoder::native::{Decoder, ReadAhead};
    use lafs::Parameters;
    use lafs::cap::UebHash;
    use lafs::cap::native::{ReadCap, ReadKey};

    use super::*;

    const PATIENCE: Patience = Patience {
        late: Duration::from_millis(500),
        slow: Duration::from_secs(2),
        stall: Duration::from_secs(10),
    };

    /// As the decoder makes them.
    fn requests() -> Vec<RequestId> {
        let parameters = Parameters::default_for(9, 9).unwrap();
        let key = ReadKey::new([1; ReadKey::LEN]);
        let cap = ReadCap::new(key, UebHash::new([2; 32]), parameters, 100_000).unwrap();
        let mut decoder = Decoder::new(&cap, 0..100_000, ReadAhead::default());
        (0..9)
            .map(|number| decoder.answer(Holder(0), ShareNumber::new(number)).unwrap())
            .collect()
    }

    fn share(number: u64) -> ShareNumber {
        ShareNumber::new(u8::try_from(number).unwrap())
    }

    /// Reacts at once, and has not been heard since it was asked.
    fn near(_: Place) -> Sight {
        Sight {
            heard: None,
            usual: Some(Duration::ZERO),
        }
    }

    /// The servers that are opened now.
    fn open(route: &mut Route, shortfall: usize, now: Instant) -> Vec<Place> {
        let mut places = Vec::new();
        while let Some(holder) = route.open_next(shortfall, now) {
            places.push(route.place(holder));
        }
        places
    }

    /// Five servers, of which the first two have been opened and asked for bytes.
    fn begun(start: Instant) -> Route {
        let mut route = Route::new(0..5, PATIENCE, start);
        assert_eq!(open(&mut route, 2, start), [0, 1]);
        for number in 0..2 {
            let holder = Holder(number);
            route.end(holder, Question::Opening, [share(number)], start);
            let request = requests()[index(holder)];
            route.ask(holder, request, share(number), start);
        }
        route
    }

    #[test]
    fn as_many_servers_are_opened_as_shares_are_missing() {
        let start = Instant::now();
        let mut route = Route::new(0..5, PATIENCE, start);
        assert_eq!(open(&mut route, 3, start), [0, 1, 2]);
        assert!(open(&mut route, 3, start).is_empty());
        route.end(Holder(1), Question::Opening, [], start);
        assert_eq!(open(&mut route, 3, start), [3]);
        assert_eq!(route.servers_asked(), 4);
    }

    #[test]
    fn one_more_server_is_opened_for_one_that_is_late_and_the_late_one_still_counts() {
        let start = Instant::now();
        let mut route = Route::new(0..5, PATIENCE, start);
        open(&mut route, 2, start);
        route.end(Holder(0), Question::Opening, [share(0)], start);
        let late_at = route.next_look(start, near).unwrap();
        assert_eq!(late_at, start + PATIENCE.late);
        assert_eq!(route.find_silent(late_at, near), BTreeSet::from([1]));
        assert_eq!(open(&mut route, 1, late_at), [2]);
        assert!(open(&mut route, 1, late_at).is_empty());
        assert!(!route.is_lost(Holder(1)));
        assert!(!route.cannot_succeed(1));
    }

    // Until another is known to have a share, a slow server is better than none.
    #[test]
    fn a_late_holder_is_replaced_once_another_has_a_share_to_offer() {
        let start = Instant::now();
        let mut route = begun(start);
        let late_at = start + PATIENCE.late;
        route.end(Holder(0), Question::Request(requests()[0]), [], start);
        assert_eq!(route.find_silent(late_at, near), BTreeSet::from([1]));
        assert_eq!(route.replace_next(late_at), None);
        assert_eq!(open(&mut route, 0, late_at), [2]);
        assert_eq!(route.replace_next(late_at), None);
        // It has none: the next one is opened.
        route.end(Holder(2), Question::Opening, [], late_at);
        assert_eq!(open(&mut route, 0, late_at), [3]);
        route.end(Holder(3), Question::Opening, [share(3)], late_at);
        assert!(open(&mut route, 0, late_at).is_empty());
        let replaced = route.replace_next(late_at);
        assert_eq!(replaced, Some((Holder(1), PATIENCE.late)));
        assert!(route.is_lost(Holder(1)));
        assert_eq!(route.replace_next(late_at), None);
    }

    #[test]
    fn a_late_holder_that_speaks_again_is_kept() {
        let start = Instant::now();
        let mut route = begun(start);
        let late_at = start + PATIENCE.late;
        route.find_silent(late_at, near);
        assert_eq!(open(&mut route, 0, late_at), [2, 3]);
        for number in 0..2 {
            let question = Question::Request(requests()[usize::from(number == 1)]);
            route.receive(Holder(number), question, late_at);
        }
        route.end(Holder(2), Question::Opening, [share(2)], late_at);
        assert_eq!(route.replace_next(late_at), None);
        assert_eq!(route.next_look(start, near), Some(late_at + PATIENCE.late));
    }

    // Each of its windows comes, only so late that the other two wait for it most of the time.
    #[test]
    fn a_holder_that_holds_the_others_back_is_replaced_though_it_sends() {
        let start = Instant::now();
        let mut route = Route::new(0..5, PATIENCE, start);
        open(&mut route, 3, start);
        for number in 0..3 {
            let holder = Holder(number);
            route.end(holder, Question::Opening, [share(number)], start);
            route.take(holder, share(number));
        }
        let requests = requests();
        route.ask(Holder(1), requests[1], share(1), start);
        assert_eq!(route.next_look(start, near), Some(start + Brake::STEP));
        let mut now = start;
        for _ in 0..8 {
            now += Brake::STEP;
            route.receive(Holder(1), Question::Request(requests[1]), now);
            assert!(open(&mut route, 0, now).is_empty());
            route.wait(now, Brake::STEP);
        }
        assert_eq!(open(&mut route, 0, now), [3]);
        route.end(Holder(3), Question::Opening, [share(3)], now);
        let replaced = route.replace_next(now);
        assert_eq!(replaced, Some((Holder(1), PATIENCE.slow)));
    }

    #[test]
    fn holders_that_are_all_slow_hold_nobody_back() {
        let start = Instant::now();
        let mut route = begun(start);
        for step in 1..100 {
            route.wait(start + Brake::STEP * step, Brake::STEP);
        }
        assert!(open(&mut route, 0, start).is_empty());
    }

    // A share that somebody already gives does not help.
    #[test]
    fn a_copy_of_a_share_in_use_replaces_nobody() {
        let start = Instant::now();
        let mut route = begun(start);
        let late_at = start + PATIENCE.late;
        route.end(Holder(0), Question::Request(requests()[0]), [], start);
        route.find_silent(late_at, near);
        open(&mut route, 0, late_at);
        route.end(Holder(2), Question::Opening, [share(0)], late_at);
        assert_eq!(route.replace_next(late_at), None);
        assert_eq!(open(&mut route, 0, late_at), [3]);
    }

    #[test]
    fn a_server_whose_failure_passes_is_asked_once_more_and_last() {
        let start = Instant::now();
        let mut route = Route::new(0..2, PATIENCE, start);
        open(&mut route, 1, start);
        route.fail(Holder(0), true);
        assert_eq!(open(&mut route, 1, start), [1]);
        route.fail(Holder(1), false);
        assert_eq!(open(&mut route, 1, start), [0]);
        assert!(!route.cannot_succeed(1));
        route.fail(Holder(2), true);
        assert!(open(&mut route, 1, start).is_empty());
        assert!(route.cannot_succeed(1));
        assert_eq!(route.servers_asked(), 2);
    }
}
