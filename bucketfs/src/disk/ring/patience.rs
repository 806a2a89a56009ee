//! How long the ring lets the kernel refuse what it is given.

use std::time::{Duration, Instant};

/// Counts from the first refusal in a row.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Instant>,
}

impl Patience {
    /// Notes a refusal; returns whether it has been enough.
    pub(super) fn is_at_end(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        now.saturating_duration_since(since) >= PATIENCE
    }

    /// The kernel has taken something.
    pub(super) fn renew(&mut self) {
        self.since = None;
    }
}

/// How long the same entries are offered again.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long after a refusal they are.
pub(super) const PAUSE: Duration = Duration::from_millis(10);
