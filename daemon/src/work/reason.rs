//! What a refusal of the store is called on the wire.

use bucketfs::Refusal;
use protocol::Reason;

/// The reason alone.
pub(super) fn of(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::Full => Reason::Full,
        Refusal::ReadOnly => Reason::ReadOnly,
        Refusal::TooLarge { .. } => Reason::TooLarge,
        Refusal::InProgress => Reason::InProgress,
        Refusal::TooManyUploads | Refusal::Overloaded => Reason::TooManyUploads,
        // No READ holds more than the store takes, which `work::read` sees to.
        Refusal::TooManyExtents { .. } => Reason::OutOfOrder,
        Refusal::TooManyLeases => Reason::Full,
        Refusal::UnknownUpload => Reason::Expired,
        Refusal::Gap { .. } => Reason::OutOfOrder,
        Refusal::WrongSize { .. } => Reason::WrongSize,
        // Not of anything that the pipeline asks for.
        Refusal::Conflict
        | Refusal::BeyondEnd { .. }
        | Refusal::TooManyRanges { .. }
        | Refusal::WrongSecret
        | Refusal::AlreadyHeld
        | Refusal::EmptyShare => Reason::OutOfOrder,
        Refusal::NoShare | Refusal::Damaged(_) => Reason::Damaged,
        // Of slots, which this protocol does not change: what is there is no share of a bucket.
        Refusal::NotABucket | Refusal::NotASlot | Refusal::WrongWriteEnabler => Reason::Damaged,
        Refusal::Disk(_) | Refusal::Failed => Reason::Disk,
        Refusal::ShuttingDown => Reason::Stopping,
    }
}

/// The reason, with the store's words where they say more. They name no paths and no secrets.
pub(super) fn refusal(refusal: &Refusal) -> protocol::Refusal {
    let reason = of(refusal);
    match refusal {
        Refusal::TooLarge { .. }
        | Refusal::Gap { .. }
        | Refusal::WrongSize { .. }
        | Refusal::Damaged(_)
        | Refusal::NotABucket
        | Refusal::Disk(_)
        | Refusal::Failed
        | Refusal::TooManyLeases
        | Refusal::Overloaded => protocol::Refusal::with_text(reason, refusal.to_string()),
        _ => reason.into(),
    }
}
