//! Which walks there are.

use protocol::control::{Reply, Task};

use super::workshop::Workshop;
use super::{Reins, count, expire, scrub};

/// A walk over the store, and what it is to do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Count all shares.
    Count,
    /// Remove shares whose leases have ended.
    Expire {
        /// Or only say which.
        dry_run: bool,
    },
    /// Prove all bytes.
    Scrub,
}

impl Job {
    /// Those that begin by themselves, the most urgent first.
    pub(crate) const BY_THEMSELVES: [Task; 3] = [Task::Count, Task::Expire, Task::Scrub];

    /// The walk.
    pub(crate) fn task(self) -> Task {
        match self {
            Self::Count => Task::Count,
            Self::Expire { .. } => Task::Expire,
            Self::Scrub => Task::Scrub,
        }
    }

    /// Walks until it is done, or told to stop; returns what is to be said of it.
    pub(super) fn perform(self, workshop: &Workshop, reins: &Reins) -> Reply {
        match self {
            Self::Count => count::run(workshop, reins),
            Self::Expire { dry_run } => expire::run(workshop, reins, dry_run),
            Self::Scrub => scrub::run(workshop, reins),
        }
    }
}
