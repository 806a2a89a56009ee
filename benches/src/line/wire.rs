//! One direction of a line: what becomes of a packet, decided without a kernel or a clock.
//!
//! A packet waits until the wire is free, occupies it for its length divided by the rate, then travels
//! for the delay. Packets keep their order. A packet that finds too much waiting is dropped, as in a
//! router with a bounded queue; nothing else is ever lost.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Packets under way at most, whatever the rate and the delay: 1 GB/s at a delay of 50 ms.
const PACKETS_MAX: usize = 1 << 15;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// One direction of a line. Times count from when the line came up.
#[derive(Debug, Default)]
pub struct Wire {
    settings: WireSettings,
    counters: Counters,
    free_at: Duration,
    last_due: Duration,
    under_way: VecDeque<(Duration, Vec<u8>)>,
}

/// What a direction does to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireSettings {
    /// Time a packet takes from end to end, its transmission not counted.
    pub delay: Duration,
    /// Bytes per second, IP headers included; 0 for no limit.
    pub rate: u64,
    /// Bytes that may wait for the wire before packets are dropped. Without a rate nothing waits.
    pub queue_size: u64,
}

/// What has passed in one direction. Bytes are those of IP packets, headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that came in at the sender's end, dropped ones included.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets dropped because the queue was full.
    pub dropped: u64,
    /// Packets given to the receiver.
    pub packets_delivered: u64,
    /// Their bytes.
    pub bytes_delivered: u64,
    /// The most, in microseconds, that a packet was given to the receiver later than it should have
    /// been: how much to trust a time that was measured over this line.
    pub late_us_max: u64,
}

impl Wire {
    /// A direction with nothing on it.
    #[must_use]
    pub fn new(settings: WireSettings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Takes a packet from the sender.
    pub fn send(&mut self, now: Duration, packet: &[u8]) {
        let size = u64::try_from(packet.len()).expect("a packet is small");
        self.counters.packets += 1;
        self.counters.bytes += size;

        let start = self.free_at.max(now);
        if self.is_full(start - now, size) {
            self.counters.dropped += 1;
            return;
        }
        if let Some(nanos) = (size * NANOS_PER_SECOND).checked_div(self.settings.rate) {
            self.free_at = start + Duration::from_nanos(nanos);
        } else {
            self.free_at = now;
        }
        // Order is kept also when the delay is lowered while packets are under way.
        self.last_due = self.last_due.max(self.free_at + self.settings.delay);
        self.under_way.push_back((self.last_due, packet.to_vec()));
    }

    /// Gives the next packet that has arrived by now.
    pub fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (due, _) = self.under_way.front()?;
        let late = now.checked_sub(*due)?;
        let (_, packet) = self.under_way.pop_front()?;
        self.counters.packets_delivered += 1;
        self.counters.bytes_delivered += u64::try_from(packet.len()).expect("a packet is small");
        let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.counters.late_us_max = self.counters.late_us_max.max(late_us);
        Some(packet)
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Duration> {
        self.under_way.front().map(|(due, _)| *due)
    }

    /// What the wire does to packets from now on. Those under way are not touched.
    pub fn set(&mut self, settings: WireSettings) {
        self.settings = settings;
        self.free_at = Duration::ZERO;
    }

    /// What the wire does to packets.
    #[must_use]
    pub fn settings(&self) -> WireSettings {
        self.settings
    }

    /// What has passed.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Starts counting anew.
    pub fn reset_counters(&mut self) {
        self.counters = Counters::default();
    }

    fn is_full(&self, wait: Duration, size: u64) -> bool {
        let waiting =
            wait.as_nanos() * u128::from(self.settings.rate) / u128::from(NANOS_PER_SECOND);
        // A packet larger than the queue passes when nothing waits: a wire always carries something.
        let queue_full =
            waiting > 0 && waiting + u128::from(size) > u128::from(self.settings.queue_size);
        queue_full || self.under_way.len() >= PACKETS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn arrivals(wire: &mut Wire) -> Vec<(Duration, usize)> {
        let mut seen = Vec::new();
        while let Some(due) = wire.next_arrival() {
            assert_eq!(
                wire.arrived(due - Duration::from_nanos(1)),
                None,
                "a packet came early"
            );
            let packet = wire.arrived(due).expect("a packet is due");
            seen.push((due, packet.len()));
        }
        seen
    }

    #[test]
    fn without_a_rate_a_packet_takes_the_delay() {
        let mut wire = Wire::new(WireSettings {
            delay: 7 * MS,
            rate: 0,
            queue_size: 0,
        });
        wire.send(MS, &[0; 1500]);
        wire.send(MS, &[0; 40]);
        assert_eq!(arrivals(&mut wire), [(8 * MS, 1500), (8 * MS, 40)]);
    }

    #[test]
    fn with_a_rate_packets_follow_each_other_on_the_wire() {
        let mut wire = Wire::new(WireSettings {
            delay: 10 * MS,
            rate: 1_000_000,
            queue_size: 64 << 10,
        });
        wire.send(Duration::ZERO, &[0; 1000]);
        wire.send(Duration::ZERO, &[0; 500]);
        // The wire was free again by then.
        wire.send(20 * MS, &[0; 1000]);
        assert_eq!(
            arrivals(&mut wire),
            [(11 * MS, 1000), (11 * MS + MS / 2, 500), (31 * MS, 1000)]
        );
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let mut wire = Wire::new(WireSettings {
            delay: MS,
            rate: 1000,
            queue_size: 2000,
        });
        for _ in 0..4 {
            wire.send(Duration::ZERO, &[0; 1000]);
        }
        let counters = wire.counters();
        assert_eq!(
            (counters.packets, counters.bytes, counters.dropped),
            (4, 4000, 2)
        );
        assert_eq!(arrivals(&mut wire).len(), 2);
        assert_eq!(wire.counters().bytes_delivered, 2000);
    }

    #[test]
    fn order_is_kept_when_the_delay_is_lowered() {
        let mut wire = Wire::new(WireSettings {
            delay: 50 * MS,
            rate: 0,
            queue_size: 0,
        });
        wire.send(Duration::ZERO, &[1]);
        wire.set(WireSettings {
            delay: MS,
            rate: 0,
            queue_size: 0,
        });
        wire.send(Duration::ZERO, &[2]);
        assert_eq!(wire.arrived(50 * MS), Some(vec![1]));
        assert_eq!(wire.arrived(50 * MS), Some(vec![2]));
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut wire = Wire::new(WireSettings {
            delay: 1000 * MS,
            rate: 0,
            queue_size: 0,
        });
        for _ in 0..PACKETS_MAX + 10 {
            wire.send(Duration::ZERO, &[0; 1]);
        }
        assert!(wire.under_way.len() <= PACKETS_MAX);
        assert!(wire.counters().dropped >= 10);
    }
}
