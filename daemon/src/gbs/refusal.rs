//! How a refusal of the store is told to a client of GBS.

use bucketfs::{Answer, Refusal};
use protocol::gbs::Rejection;

/// Translates a refusal.
pub(super) fn rejection(refusal: &Refusal) -> Rejection {
    match refusal {
        Refusal::Full | Refusal::ReadOnly | Refusal::TooManyLeases => Rejection::NoSpace,
        Refusal::TooLarge { .. } => Rejection::ShareTooLarge,
        Refusal::Conflict => Rejection::Conflict,
        Refusal::BeyondEnd { .. } => Rejection::BeyondAllocated,
        Refusal::WrongSecret => Rejection::WrongUploadSecret,
        Refusal::AlreadyHeld => Rejection::UploadFinished,
        Refusal::UnknownUpload => Rejection::NoSuchUpload,
        Refusal::WrongWriteEnabler => Rejection::WrongWriteEnabler,
        Refusal::NotABucket | Refusal::NotASlot => Rejection::OtherKind,
        Refusal::NoShare => Rejection::NoSuchShare,
        Refusal::TooManyUploads
        | Refusal::TooManyRanges { .. }
        | Refusal::InProgress
        | Refusal::Overloaded => Rejection::Busy,
        Refusal::ShuttingDown => Rejection::Stopping,
        Refusal::Failed | Refusal::Damaged(_) | Refusal::Disk(_) => Rejection::Failed,
        // Nothing that is asked for here meets these: reads have one extent, messages a bound.
        Refusal::TooManyExtents { .. }
        | Refusal::Gap { .. }
        | Refusal::WrongSize { .. }
        | Refusal::EmptyShare => Rejection::Failed,
    }
}

/// Translates an answer that is not the one that the request has on success.
///
/// # Panics
///
/// If it is the answer to another question, which would be a bug of the store.
pub(super) fn of_answer(answer: &Answer) -> Rejection {
    match answer {
        Answer::Refused(refusal) => rejection(refusal),
        other => panic!("the store answered another question: {other:?}"),
    }
}
