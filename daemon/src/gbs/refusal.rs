//! How a refusal of the store is told to a client of GBS.

use bucketfs::{
    AbortRangedRefusal, AdviseRefusal, AllocateRefusal, LeaseRefusal, OpenSpoolRefusal,
    ReadRefusal, RenewRefusal, SlotRefusal, Unavailable, Unreadable, Unwritable, WriteRangeRefusal,
    WriteSpoolRefusal,
};
use protocol::gbs::Rejection;

/// A refusal that a request of GBS may meet.
pub(super) trait Refusal {
    /// What it is to the client.
    fn rejection(&self) -> Rejection;
}

/// What a refusal is to the client.
pub(super) fn rejection(refusal: impl Refusal) -> Rejection {
    refusal.rejection()
}

impl Refusal for Unavailable {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Overloaded => Rejection::Busy,
            Self::ShuttingDown => Rejection::Stopping,
            Self::Disk(_) => Rejection::Failed,
        }
    }
}

impl Refusal for Unwritable {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Full => Rejection::NoSpace,
            Self::Failed | Self::Disk(_) => Rejection::Failed,
            // Temporary: it is tried again.
            Self::Unplaced(_) => Rejection::Busy,
        }
    }
}

impl Refusal for Unreadable {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Damaged(_) | Self::Disk(_) => Rejection::Failed,
        }
    }
}

impl Refusal for LeaseRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Gone => Rejection::NoSuchShare,
            Self::TooMany(_) => Rejection::NoSpace,
            Self::Unreadable(refusal) => refusal.rejection(),
            Self::Unwritable(refusal) => refusal.rejection(),
        }
    }
}

impl Refusal for AllocateRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Unavailable(refusal) => refusal.rejection(),
            Self::NotABucket => Rejection::OtherKind,
            // The message's decoder refuses a size of 0 before the store does.
            Self::EmptyShare | Self::Disk(_) => Rejection::Failed,
        }
    }
}

impl Refusal for WriteRangeRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Unavailable(refusal) => refusal.rejection(),
            Self::UnknownUpload => Rejection::NoSuchUpload,
            Self::WrongSecret => Rejection::WrongUploadSecret,
            Self::TooLarge { .. } => Rejection::ShareTooLarge,
            Self::BeyondEnd { .. } => Rejection::BeyondAllocated,
            Self::TooManyRanges { .. } => Rejection::Busy,
            Self::Conflict => Rejection::Conflict,
            Self::Unwritable(refusal) => refusal.rejection(),
            Self::Lease(refusal) => refusal.rejection(),
        }
    }
}

impl Refusal for AbortRangedRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Unavailable(refusal) => refusal.rejection(),
            Self::UnknownUpload => Rejection::NoSuchUpload,
            Self::WrongSecret => Rejection::WrongUploadSecret,
            Self::AlreadyHeld => Rejection::UploadFinished,
            Self::Disk(_) => Rejection::Failed,
        }
    }
}

impl Refusal for AdviseRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Unavailable(refusal) => refusal.rejection(),
            Self::NoShare => Rejection::NothingHeld,
            // The message's decoder refuses a longer reason before the store does.
            Self::TooLarge { .. } | Self::Disk(_) => Rejection::Failed,
        }
    }
}

impl Refusal for ReadRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Unavailable(refusal) => refusal.rejection(),
            // A read has one extent.
            Self::TooManyExtents { .. } | Self::Disk(_) => Rejection::Failed,
        }
    }
}

impl Refusal for RenewRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Unavailable(refusal) => refusal.rejection(),
            Self::Disk(_) => Rejection::Failed,
        }
    }
}

impl Refusal for SlotRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Unavailable(refusal) => refusal.rejection(),
            Self::TooLarge { .. } => Rejection::ShareTooLarge,
            Self::AnswerTooLarge { .. } => Rejection::AnswerTooLong,
            Self::NotASlot => Rejection::OtherKind,
            Self::WrongWriteEnabler => Rejection::WrongWriteEnabler,
            Self::ReadOnly | Self::TooManyLeases(_) => Rejection::NoSpace,
            Self::Unreadable(refusal) => refusal.rejection(),
            Self::Unwritable(refusal) => refusal.rejection(),
            // Messages have a bound, and the spool is made by us.
            Self::TooManyExtents { .. } | Self::UnknownSpool | Self::SpoolTooShort { .. } => {
                Rejection::Failed
            }
        }
    }
}

impl Refusal for OpenSpoolRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Unavailable(refusal) => refusal.rejection(),
            Self::TooManySpools => Rejection::Busy,
            Self::Unwritable(refusal) => refusal.rejection(),
        }
    }
}

impl Refusal for WriteSpoolRefusal {
    fn rejection(&self) -> Rejection {
        match self {
            Self::Unavailable(refusal) => refusal.rejection(),
            Self::Unwritable(refusal) => refusal.rejection(),
            // The spool is made by us, and written to in pieces that fit.
            Self::UnknownSpool | Self::TooLarge { .. } => Rejection::Failed,
        }
    }
}
