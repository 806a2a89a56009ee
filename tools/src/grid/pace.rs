//! How late is late: measured by those who did answer, as a slow line makes everybody late.

use std::time::Duration;

use tokio::time::Instant;

/// When answers came, and when to stop waiting for the next.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    begun: Instant,
    last: Instant,
}

impl Pace {
    /// Starts to wait.
    #[must_use]
    pub fn start() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            last: now,
        }
    }

    /// An answer came.
    pub fn heard(&mut self) {
        self.last = Instant::now();
    }

    /// When patience ends: after this time, or twice what the answers so far have taken.
    #[must_use]
    pub fn deadline(&self, patience: Duration) -> Instant {
        self.last + patience.max((self.last - self.begun) * 2)
    }
}
