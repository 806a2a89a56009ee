//! One budget for all connections of a client: how many bytes may be under way at once.
//!
//! The connections to a grid share this side's line. Each by itself would fill the queue in front of
//! it: ten first flights are more than a slow line's queue holds, and what does not fit is lost and
//! sent again. So the sum of what is sent and not acknowledged is bounded by a *window*, which
//! follows the line's delay:
//!
//! * It begins with what one connection of TCP may send at once, or with what the handshakes have
//!   shown the line to carry in [`START`].
//! * While it holds somebody back and packets wait for less than half of [`DELAY_MAX`], it grows by
//!   what is acknowledged: slow start, over the sum.
//! * When a packet has waited for longer than [`DELAY_MAX`], it shrinks to what would have kept
//!   packets waiting for [`DELAY_GOAL`].
//!
//! How long a packet waited is its round trip without the shortest of its connection, so that servers
//! may be near and far; of a packet that came back between two looks, the least it can have been. So
//! the window binds where a queue was measured, not where this process was busy.
//!
//! What TCP itself holds back is not on the line and does not count: otherwise the first connections
//! of a long line would take the window with bytes that cannot leave. What is let go is let go in whole packets, several of one connection at a
//! time, to the connection with the least under way: so packets stay full, TLS records few, and all
//! connections move in step.
//!
//! Always holds:
//! * what is under way exceeds the window by at most what was let go when nothing was under way, and
//!   by one packet of each new connection, whose first flight does not wait;
//! * a connection that TCP holds back is given no more than its equal share of the window in advance;
//! * a connection on which nothing is acknowledged for [`STUCK`] does not count, and gets nothing;
//! * if a connection waits, then something is under way that counts, or it may go, or it is stuck or
//!   held back by TCP itself.
//!
//! No clock here: the time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use lafs::num;
use tokio::time::Instant;

use super::gauge::Reading;

/// What is under way, and who waits to send more.
#[derive(Debug)]
pub(super) struct Budget {
    window: u64,
    lines: BTreeMap<LineId, Line>,
    /// Orders those that wait alike.
    turn: u64,
    /// When all connections were last looked at.
    looked: Option<Instant>,
    /// Somebody had to wait since the window last changed.
    is_limiting: bool,
    /// Nothing has waited for too long so far.
    is_starting: bool,
    /// How long a packet waited lately.
    delay: Duration,
    /// The round trip of which that is a part.
    round_trip: Duration,
    /// Until the effect of the last shrinking can be seen.
    settles_at: Option<Instant>,
    /// When the first bytes of this busy time left, and what has been acknowledged since.
    begun: Option<Instant>,
    delivered: u64,
}

/// Names a connection; the caller chooses.
pub(super) type LineId = usize;

#[derive(Debug)]
struct Line {
    counted: Reading,
    under_way: u64,
    /// When something was last acknowledged, or the first byte was written.
    moved: Instant,
    /// The shortest round trip so far.
    base: Duration,
    /// A packet whose round trip is being measured: when it left, and what is acknowledged with it.
    mark: Option<(Instant, u64)>,
    /// It has sent nothing but TLS's first flight.
    is_new: bool,
    /// A round trip was measured while others sent.
    is_known: bool,
    waits: Option<Waits>,
}

#[derive(Clone, Copy, Debug)]
struct Waits {
    len: u64,
    turn: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            window: WINDOW_START,
            lines: BTreeMap::new(),
            turn: 0,
            looked: None,
            is_limiting: false,
            is_starting: true,
            delay: Duration::ZERO,
            round_trip: Duration::ZERO,
            settles_at: None,
            begun: None,
            delivered: 0,
        }
    }

    /// A connection is open: TLS's first flight leaves now. `base` is the shortest round trip seen.
    pub(super) fn open(&mut self, id: LineId, reading: Reading, base: Duration, now: Instant) {
        self.begin(now);
        let line = Line {
            counted: reading,
            under_way: 0,
            moved: now,
            base,
            mark: None,
            is_new: true,
            is_known: false,
            waits: None,
        };
        self.lines.insert(id, line);
    }

    /// A connection is gone; returns its shortest round trip.
    pub(super) fn close(&mut self, id: LineId) -> Option<Duration> {
        self.lines.remove(&id).map(|line| line.base)
    }

    /// Whether it is time to look at all connections again.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.looked.is_none_or(|looked| now >= looked + STALE)
    }

    /// Connections that have something under way.
    pub(super) fn busy(&self) -> impl Iterator<Item = LineId> + '_ {
        let busy = self
            .lines
            .iter()
            .filter(|(_, line)| line.under_way > 0 || line.is_new);
        busy.map(|(id, _)| *id)
    }

    /// The kernel's counters of the busy connections.
    pub(super) fn look(
        &mut self,
        readings: impl IntoIterator<Item = (LineId, Reading)>,
        now: Instant,
    ) {
        // If nobody looked for a while, what was measured is our time and not the line's.
        let looked = self.looked.replace(now).unwrap_or(now);
        let is_late = now >= looked + STALE * STALE_MANY;
        let mut acknowledged = 0;
        for (id, reading) in readings {
            let Some(line) = self.lines.get_mut(&id) else {
                continue;
            };
            if is_late {
                line.mark = None;
                line.moved = now;
            }
            acknowledged += line.look(reading, now);
            if let Some(round_trip) = line.take_round_trip(looked, now) {
                let base = line.base;
                self.measured(round_trip, base, now);
            }
        }
        self.delivered += acknowledged;
        self.grow(acknowledged, now);
        if self.lines.values().all(|line| line.waits.is_none()) {
            self.is_limiting = false;
        }
    }

    /// A connection has so many bytes to send. Says how many may go now; if none, it waits.
    pub(super) fn ask(&mut self, id: LineId, len: u64, now: Instant) -> Option<u64> {
        let turn = self.turn;
        let line = self.lines.get_mut(&id)?;
        let waits = line.waits.get_or_insert(Waits { len, turn });
        waits.len = len;
        self.turn += 1;
        let line = &self.lines[&id];
        let quantum = self.quantum_of(line);
        let granted = if line.is_new {
            len.min(whole(0, line.counted.segment) - FINISHED_LEN)
        } else {
            if self.next(now) != Some(id) {
                self.is_limiting = true;
                return None;
            }
            len.min(quantum)
        };
        let line = self.lines.get_mut(&id).expect("it was just there");
        line.waits = None;
        line.is_new = false;
        Some(granted)
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, id: LineId, len: u64, now: Instant) {
        if self.under_way(now) == 0 {
            self.begin(now);
        }
        if let Some(line) = self.lines.get_mut(&id) {
            if line.under_way == 0 {
                line.moved = now;
            }
            line.under_way += len;
        }
    }

    /// Whether a reading just before and one just after the next write tell when a packet left.
    pub(super) fn wants_mark(&self, id: LineId) -> bool {
        self.lines.get(&id).is_some_and(|line| line.mark.is_none())
    }

    /// Counters just after a write of so many bytes.
    pub(super) fn mark(&mut self, id: LineId, reading: Reading, len: u64, now: Instant) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        // If the kernel sent none of them, or older ones first, the time is not that of a packet.
        if reading.unsent == 0 || reading.unsent < len {
            let first = reading.written.saturating_sub(len) + len.min(reading.segment);
            line.mark = Some((now, first));
        }
    }

    /// The connection that may send next, of those that wait.
    pub(super) fn next(&self, now: Instant) -> Option<LineId> {
        let (id, line, waits) = self
            .lines
            .iter()
            .filter_map(|(id, line)| Some((*id, line, line.waits?)))
            .filter(|(_, line, _)| !line.is_stuck(now) && self.may_be_next(line))
            .min_by_key(|(_, line, waits)| {
                let is_full = waits.len >= self.quantum_of(line);
                (!is_full, line.under_way, waits.turn)
            })?;
        let under_way = self.under_way(now);
        let len = waits.len.min(self.quantum_of(line));
        (under_way == 0 || under_way + len <= self.window).then_some(id)
    }

    /// What a connection may send at a time.
    ///
    /// TCP sends again what is not acknowledged within twice the round trip that it reckons with, a
    /// lone packet excepted, and begins to reckon with that of a line without a queue. So while it
    /// reckons with too little, a connection has its equal share of the window, or a lone packet.
    fn quantum_of(&self, line: &Line) -> u64 {
        let segment = line.counted.segment;
        let quantum = quantum(self.window, segment);
        if line.is_known && line.counted.smoothed * 2 >= self.expected(line) {
            return quantum;
        }
        quantum.min(whole(self.share().saturating_sub(line.under_way), segment))
    }

    /// The round trip that a packet will take, at most.
    fn expected(&self, line: &Line) -> Duration {
        if self.delay > DELAY_MAX / 4 {
            line.base + DELAY_MAX
        } else {
            line.base + self.delay
        }
    }

    /// Whether TCP will send what a connection is given, and soon enough.
    fn may_be_next(&self, line: &Line) -> bool {
        let reckons_well = line.is_known && line.counted.smoothed * 2 >= self.expected(line);
        let share = self.share();
        let is_held_back = line.counted.unsent > 0 && line.counted.unsent >= share;
        let is_within = line.under_way == 0 || line.under_way + line.counted.segment <= share;
        !is_held_back && (reckons_well || is_within)
    }

    /// A connection's equal part of the window.
    fn share(&self) -> u64 {
        self.window / num::size(self.lines.len()).max(1)
    }

    /// How long to wait before looking again: while somebody waits, and while handshakes show what the
    /// line carries. `None` if nobody needs it.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        if self.lines.values().any(|line| line.waits.is_some()) {
            return Some((self.round_trip / LOOKS).clamp(PAUSE_MIN, PAUSE_MAX));
        }
        let is_greeting = self.lines.values().any(|line| line.is_new);
        let first = self.begun? + self.base()? + TIME_MIN;
        (is_greeting && now < first).then(|| first - now)
    }

    /// The shortest round trip of all.
    fn base(&self) -> Option<Duration> {
        self.lines.values().map(|line| line.base).min()
    }

    /// Bytes under way that count.
    fn under_way(&self, now: Instant) -> u64 {
        let lines = self.lines.values().filter(|line| !line.is_stuck(now));
        lines
            .map(|line| line.under_way.saturating_sub(line.counted.unsent))
            .sum()
    }

    /// Something leaves after a time in which nothing was under way.
    fn begin(&mut self, now: Instant) {
        if self
            .lines
            .values()
            .all(|line| line.under_way == 0 && !line.is_new)
        {
            self.begun = Some(now);
            self.delivered = 0;
        }
    }

    /// A packet came back.
    fn measured(&mut self, round_trip: Duration, base: Duration, now: Instant) {
        self.delay = round_trip.saturating_sub(base);
        self.round_trip = round_trip;
        let is_settled = self.settles_at.is_none_or(|at| now >= at);
        if self.delay > DELAY_MAX && is_settled {
            self.is_starting = false;
            self.window = scaled(self.window, base + DELAY_GOAL, round_trip).max(WINDOW_MIN);
            self.settles_at = Some(now + round_trip);
        }
    }

    fn grow(&mut self, acknowledged: u64, now: Instant) {
        if self.delay > DELAY_MAX / 2 {
            return;
        }
        if self.is_limiting {
            self.window += acknowledged;
        }
        if self.is_starting {
            if let Some((begun, base)) = self.begun.zip(self.base()) {
                // A byte is acknowledged a round trip after it left, at the earliest.
                let time = now.saturating_duration_since(begun + base).max(TIME_MIN);
                let carried = scaled(self.delivered, START, time);
                self.window = self.window.max(carried.min(self.delivered * TRUST));
            }
        }
        self.window = self.window.min(WINDOW_MAX);
    }
}

impl Line {
    /// Takes the counters in; returns what was acknowledged since the last time.
    fn look(&mut self, reading: Reading, now: Instant) -> u64 {
        let acknowledged = reading
            .acknowledged
            .saturating_sub(self.counted.acknowledged);
        self.under_way = reading.written.saturating_sub(reading.acknowledged);
        if acknowledged > 0 || self.under_way == 0 {
            self.moved = now;
        }
        self.counted = reading;
        acknowledged
    }

    /// The least round trip that the marked packet can have had, once it has come back: it had not at
    /// the look before.
    fn take_round_trip(&mut self, looked: Instant, now: Instant) -> Option<Duration> {
        let (left, _) = self
            .mark
            .take_if(|(_, first)| *first <= self.counted.acknowledged)?;
        self.base = self.base.min(now - left);
        self.is_known = true;
        Some(looked.saturating_duration_since(left).max(self.base))
    }

    fn is_stuck(&self, now: Instant) -> bool {
        self.under_way > 0 && now.saturating_duration_since(self.moved) >= STUCK
    }
}

/// What one connection may send at a time: a part of the window, in whole packets.
fn quantum(window: u64, segment: u64) -> u64 {
    whole(window / QUANTA, segment)
}

/// So many bytes on the line, or less, as bytes of one TLS record in whole packets; one packet at least.
fn whole(bytes: u64, segment: u64) -> u64 {
    let segment = segment.max(SEGMENT_MIN);
    let packets = (bytes / segment).max(1) * segment;
    (packets - RECORD_OVERHEAD).min(QUANTUM_MAX)
}

/// `bytes * time / unit`, within bounds.
fn scaled(bytes: u64, time: Duration, unit: Duration) -> u64 {
    let scaled = u128::from(bytes) * time.as_micros() / unit.as_micros().max(1);
    u64::try_from(scaled).unwrap_or(u64::MAX).min(WINDOW_MAX)
}

/// Ten packets: what one connection of TCP may send before it knows anything (RFC 6928).
const WINDOW_START: u64 = 10 * 1460;

/// Four packets: two connections can send two each, and a receiver acknowledges every second at once.
const WINDOW_MIN: u64 = 4 * 1460;

/// More than any line between a client and its grid holds: 10 Gbit/s, 50 ms.
const WINDOW_MAX: u64 = 64 << 20;

/// How long packets may wait in front of the line: less than TCP's shortest timer, more than two packets
/// of two connections take on the slowest lines of today, and well above the 40 ms that a receiver may
/// hold an acknowledgement back.
const DELAY_MAX: Duration = Duration::from_millis(150);

/// How long they are to wait: the line must not run dry meanwhile.
const DELAY_GOAL: Duration = Duration::from_millis(110);

/// At the start, what the line is seen to carry in this time may be under way.
const START: Duration = Duration::from_millis(200);

/// At the start, no more than so many times what was acknowledged may be under way: a handshake of 230
/// bytes lets two first flights of TCP go, and not more. So where the handshakes show no queue, TCP's
/// own window is the shorter one.
const TRUST: u64 = 128;

/// The least time that a rate is measured over.
const TIME_MIN: Duration = Duration::from_millis(1);

/// A connection that has acknowledged nothing for so long is not waiting for the line.
const STUCK: Duration = Duration::from_secs(1);

/// What one connection sends at a time is the window divided by this: few TLS records and few
/// acknowledgements, and yet another one's packets while they are awaited.
const QUANTA: u64 = 3;

/// What TLS takes at once.
const QUANTUM_MAX: u64 = 64 << 10;

/// No line has shorter packets (RFC 1122).
const SEGMENT_MIN: u64 = 536;

/// Header, type and tag of a TLS 1.3 record.
const RECORD_OVERHEAD: u64 = 5 + 1 + 16;

/// What ends the handshake goes into the first packet: a record that changes nothing, and Finished with
/// the longer hash.
const FINISHED_LEN: u64 = 6 + RECORD_OVERHEAD + 4 + 48;

/// All connections are looked at so often while bytes are sent, and more often while somebody waits.
const STALE: Duration = Duration::from_millis(100);

/// So many times without a look are time in which this process was stopped.
const STALE_MANY: u32 = 10;

/// Looks per round trip, while somebody waits.
const LOOKS: u32 = 16;
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
