//! `PUT /lease/SI`: adds or renews a lease on every share of a bucket or slot.

use bucketfs::{LeaseOwner, LeaseRefusal, RenewLeases, Unreadable};
use hyper::StatusCode;
use lafs::{LeaseSecrets, StorageIndex};
use protocol::gbs::Rejection;

use super::answer::Answer;
use super::refusal::{Refusal, rejection};
use crate::shared::Shared;

pub(super) async fn add_or_renew_lease(
    shared: &Shared,
    storage_index: StorageIndex,
    lease: LeaseSecrets,
) -> Result<Answer, Rejection> {
    let renew = RenewLeases {
        storage_index,
        lease,
        owner: LeaseOwner::Renewal,
    };
    let done = shared.store().ask(renew).await.map_err(rejection)?;
    // A file that is no container keeps no lease, and the others theirs.
    let is_damaged = |refusal: &&LeaseRefusal| {
        matches!(refusal, LeaseRefusal::Unreadable(Unreadable::Damaged(_)))
    };
    let mut failures = done.failed.iter().map(|(_, refusal)| refusal);
    let failure = failures.find(|refusal| !is_damaged(refusal));
    match (failure, done.held.is_empty()) {
        (Some(failure), _) => Err(failure.rejection()),
        (None, true) => Err(Rejection::NothingHeld),
        (None, false) => Ok(Answer::Empty(StatusCode::NO_CONTENT)),
    }
}
