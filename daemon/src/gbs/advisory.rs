//! `POST .../corrupt`: takes a client's word that a share is damaged.

use std::time::Instant;

use bucketfs::{Advise, ShareKey, ShareKind};
use hyper::StatusCode;
use lafs::{ShareNumber, StorageIndex};
use protocol::gbs::limits::ADVISORY_LEN_MAX;
use protocol::gbs::{Advisory, Kind, Rejection};

use tracing::warn;

use super::answer::Answer;
use super::intake::Intake;
use super::read;
use super::refusal::rejection;
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
    let advise = Advise {
        key: ShareKey {
            storage_index,
            share_number,
        },
        kind: match kind {
            Kind::Immutable => ShareKind::Immutable,
            Kind::Mutable => ShareKind::Mutable,
        },
        reason: advisory.reason().to_owned(),
    };
    shared.store().ask(advise).await.map_err(rejection)?;
    let now = Instant::now();
    if shared.notices().note(notices::Kind::CorruptShare, now) {
        warn!(
            %storage_index, share = %share_number, %reason,
            "a client reports a corrupt share; further reports are counted, and kept in \
             corruption-advisories"
        );
    }
    Ok(Answer::Empty(StatusCode::OK))
}
