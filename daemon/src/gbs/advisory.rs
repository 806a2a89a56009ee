//! `POST .../corrupt`: takes a client's word that a share is damaged.

use std::time::Instant;

use bucketfs::{AdvisedKind, Answer as StoreAnswer, Refusal, Request};
use hyper::StatusCode;
use lafs::{ShareNumber, StorageIndex};
use protocol::gbs::limits::ADVISORY_LEN_MAX;
use protocol::gbs::{Advisory, Kind, Rejection};

use tracing::warn;

use super::answer::Answer;
use super::intake::Intake;
use super::{read, refusal};
use crate::notices;
use crate::printable::Printable;
use crate::shared::Shared;

pub(super) async fn advise_corrupt_share(
    shared: &Shared,
    kind: Kind,
    (storage_index, share_number): (StorageIndex, ShareNumber),
    content_type: Result<(), Rejection>,
    intake: &mut Intake<'_>,
) -> Result<Answer, Rejection> {
    if !read::is_held(shared, storage_index, share_number).await? {
        return Err(Rejection::NothingHeld);
    }
    content_type?;
    let advisory = Advisory::decode(&intake.message(ADVISORY_LEN_MAX).await?)?;
    let reason = Printable::new(advisory.reason());
    let request = Request::Advise {
        storage_index,
        share: share_number,
        kind: match kind {
            Kind::Immutable => AdvisedKind::Immutable,
            Kind::Mutable => AdvisedKind::Mutable,
        },
        reason: advisory.reason().to_owned(),
    };
    match shared.store().ask(request).await {
        StoreAnswer::Advised => {
            if shared
                .notices()
                .note(notices::Kind::CorruptShare, Instant::now())
            {
                warn!(
                    %storage_index, share = %share_number, %reason,
                    "a client reports a corrupt share; further reports are counted, and kept in \
                     corruption-advisories"
                );
            }
            Ok(Answer::Empty(StatusCode::OK))
        }
        StoreAnswer::Refused(Refusal::NoShare) => Err(Rejection::NothingHeld),
        other => Err(refusal::of_answer(&other)),
    }
}
