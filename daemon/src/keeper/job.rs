//! Which walks there are.

use protocol::control::{Reply, Task};

use super::workshop::Workshop;
use super::{Reins, scrub};

/// A walk over the store, and what it is to do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Prove all bytes.
    Scrub,
}

impl Job {
    /// Those that begin by themselves, the most urgent first.
    pub(crate) const BY_THEMSELVES: [Task; 1] = [Task::Scrub];

    /// The walk.
    pub(crate) fn task(self) -> Task {
        match self {
            Self::Scrub => Task::Scrub,
        }
    }

    /// Walks until it is done, or told to stop; returns what is to be said of it.
    pub(super) fn perform(self, workshop: &Workshop, reins: &Reins) -> Reply {
        match self {
            Self::Scrub => scrub::run(workshop, reins),
        }
    }
}
