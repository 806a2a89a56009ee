//! `PUT /lease/SI`: adds or renews a lease on every share of a bucket or slot.

use bucketfs::{Answer as StoreAnswer, LeaseOwner, Refusal, Request};
use hyper::StatusCode;
use lafs::{LeaseSecrets, StorageIndex};
use protocol::gbs::Rejection;

use super::answer::Answer;
use super::refusal;
use crate::shared::Shared;

pub(super) async fn add_or_renew_lease(
    shared: &Shared,
    storage_index: StorageIndex,
    lease: LeaseSecrets,
) -> Result<Answer, Rejection> {
    let request = Request::Lease {
        storage_index,
        lease,
        owner: LeaseOwner::Renewal,
    };
    let (held, failed) = match shared.store().ask(request).await {
        StoreAnswer::Leased { held, failed } => (held, failed),
        other => return Err(refusal::of_answer(&other)),
    };
    // A file that is no container keeps no lease, and the others theirs.
    let mut failures = failed.iter().map(|(_, refusal)| refusal);
    let failure = failures.find(|refusal| !matches!(refusal, Refusal::Damaged(_)));
    match (failure, held.is_empty()) {
        (Some(failure), _) => Err(refusal::rejection(failure)),
        (None, true) => Err(Rejection::NothingHeld),
        (None, false) => Ok(Answer::Empty(StatusCode::NO_CONTENT)),
    }
}
