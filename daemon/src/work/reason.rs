//! What a refusal of the store is called on the wire.

use std::fmt::Display;

use bucketfs::{
    CloseRefusal, LeaseRefusal, OpenRefusal, PutRefusal, ReadRefusal, RenewRefusal, Unavailable,
    Unreadable, Unwritable, WriteRefusal,
};
use protocol::Reason;

/// What a refusal is called, and whether its text says more than that.
#[derive(Clone, Copy)]
pub(super) struct Called {
    pub(super) reason: Reason,
    with_text: bool,
}

impl Called {
    fn alone(reason: Reason) -> Self {
        Self {
            reason,
            with_text: false,
        }
    }

    fn with_text(reason: Reason) -> Self {
        Self {
            reason,
            with_text: true,
        }
    }
}

/// A refusal that a frame of the pipeline may meet. Its text names no paths and no secrets.
pub(super) trait Refusal: Display {
    fn called(&self) -> Called;
}

/// The reason alone.
pub(super) fn of(refusal: &impl Refusal) -> Reason {
    refusal.called().reason
}

/// The reason, with the store's words where they say more.
pub(super) fn refusal(refusal: &impl Refusal) -> protocol::Refusal {
    match refusal.called() {
        Called {
            reason,
            with_text: true,
        } => protocol::Refusal::with_text(reason, refusal.to_string()),
        Called { reason, .. } => reason.into(),
    }
}

impl Refusal for Unavailable {
    fn called(&self) -> Called {
        match self {
            Self::ShuttingDown => Called::alone(Reason::Stopping),
            Self::Overloaded => Called::with_text(Reason::TooManyUploads),
            Self::Disk(_) => Called::with_text(Reason::Disk),
        }
    }
}

impl Refusal for Unwritable {
    fn called(&self) -> Called {
        match self {
            Self::Full => Called::alone(Reason::Full),
            Self::Failed | Self::Disk(_) | Self::Unplaced(_) => Called::with_text(Reason::Disk),
        }
    }
}

impl Refusal for Unreadable {
    fn called(&self) -> Called {
        Called::with_text(match self {
            Self::Damaged(_) => Reason::Damaged,
            Self::Disk(_) => Reason::Disk,
        })
    }
}

impl Refusal for LeaseRefusal {
    fn called(&self) -> Called {
        match self {
            Self::Gone => Called::alone(Reason::Damaged),
            Self::TooMany(_) => Called::with_text(Reason::Full),
            Self::Unreadable(refusal) => refusal.called(),
            Self::Unwritable(refusal) => refusal.called(),
        }
    }
}

impl Refusal for PutRefusal {
    fn called(&self) -> Called {
        match self {
            Self::Unavailable(refusal) => refusal.called(),
            Self::TooLarge { .. } => Called::with_text(Reason::TooLarge),
            Self::InProgress => Called::alone(Reason::InProgress),
            Self::ReadOnly => Called::alone(Reason::ReadOnly),
            // What is there is no share of a bucket.
            Self::NotABucket => Called::with_text(Reason::Damaged),
            Self::Unwritable(refusal) => refusal.called(),
            Self::Lease(refusal) => refusal.called(),
        }
    }
}

impl Refusal for OpenRefusal {
    fn called(&self) -> Called {
        match self {
            Self::Unavailable(refusal) => refusal.called(),
            Self::TooLarge { .. } => Called::with_text(Reason::TooLarge),
            Self::InProgress => Called::alone(Reason::InProgress),
            Self::TooManyUploads => Called::alone(Reason::TooManyUploads),
            Self::ReadOnly => Called::alone(Reason::ReadOnly),
            // What is there is no share of a bucket.
            Self::NotABucket => Called::with_text(Reason::Damaged),
            Self::Unwritable(refusal) => refusal.called(),
            Self::Lease(refusal) => refusal.called(),
        }
    }
}

impl Refusal for WriteRefusal {
    fn called(&self) -> Called {
        match self {
            Self::Unavailable(refusal) => refusal.called(),
            Self::UnknownUpload => Called::alone(Reason::Expired),
            Self::Gap { .. } => Called::with_text(Reason::OutOfOrder),
            Self::TooLarge { .. } => Called::with_text(Reason::TooLarge),
            Self::Unwritable(refusal) => refusal.called(),
        }
    }
}

impl Refusal for CloseRefusal {
    fn called(&self) -> Called {
        match self {
            Self::Unavailable(refusal) => refusal.called(),
            Self::UnknownUpload => Called::alone(Reason::Expired),
            Self::WrongSize { .. } => Called::with_text(Reason::WrongSize),
            Self::Unwritable(refusal) => refusal.called(),
        }
    }
}

impl Refusal for ReadRefusal {
    fn called(&self) -> Called {
        match self {
            Self::Unavailable(refusal) => refusal.called(),
            // No READ holds more than the store takes, which `work::read` sees to.
            Self::TooManyExtents { .. } => Called::alone(Reason::OutOfOrder),
            Self::Disk(_) => Called::with_text(Reason::Disk),
        }
    }
}

impl Refusal for RenewRefusal {
    fn called(&self) -> Called {
        match self {
            Self::Unavailable(refusal) => refusal.called(),
            Self::Disk(_) => Called::with_text(Reason::Disk),
        }
    }
}
