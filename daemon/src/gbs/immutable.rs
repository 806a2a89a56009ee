//! Uploads of immutable shares: allocate, write, abort.

use std::sync::Arc;

use bucketfs::{Answer as StoreAnswer, Request};
use hyper::StatusCode;
use lafs::{LeaseSecrets, ShareNumber, StorageIndex, UploadSecret, num};
use protocol::gbs::limits::ALLOCATE_LEN_MAX;
use protocol::gbs::{AllocateAnswer, AllocateRequest, ByteSpan, Rejection, RequiredAnswer};
use protocol::limits::CHUNK_LEN_MAX;

use super::answer::Answer;
use super::intake::Intake;
use super::refusal;
use crate::shared::Shared;

/// Begins uploads, and renews the leases of what is held.
pub(super) async fn allocate_buckets(
    shared: &Arc<Shared>,
    storage_index: StorageIndex,
    lease: LeaseSecrets,
    secret: UploadSecret,
    intake: &mut Intake<'_>,
) -> Result<Answer, Rejection> {
    let asked = AllocateRequest::decode(&intake.message(ALLOCATE_LEN_MAX).await?)?;
    let (count, size) = (asked.share_numbers.len(), asked.allocated_size);
    let request = Request::Allocate {
        storage_index,
        shares: asked.share_numbers,
        size: asked.allocated_size,
        secret,
        lease,
    };
    match shared.store().ask(request).await {
        StoreAnswer::Allocated { held, allocated } => {
            if allocated.len() < count.saturating_sub(held.len()) {
                shared.allocated_fewer(size);
            }
            let answer = AllocateAnswer {
                already_have: held,
                allocated,
            };
            Ok(Answer::message(StatusCode::OK, answer.encode()))
        }
        other => Err(refusal::of_answer(&other)),
    }
}

/// Writes the body to its place in the share: 200 while bytes are missing, 201 when none are.
///
/// Each chunk goes to the store by itself: if a later one does not come or is refused, the earlier
/// ones stay, and the client may write them again.
pub(super) async fn write_share_data(
    shared: &Shared,
    (storage_index, share_number): (StorageIndex, ShareNumber),
    secret: UploadSecret,
    range: ByteSpan,
    intake: &mut Intake<'_>,
) -> Result<Answer, Rejection> {
    let mut offset = range.offset();
    loop {
        let left = num::len(range.end() - offset).unwrap_or(usize::MAX);
        let chunk = intake.chunk(left.min(CHUNK_LEN_MAX)).await?;
        let request = Request::WritePart {
            storage_index,
            share: share_number,
            secret: secret.clone(),
            offset,
            // None if the body ends early: the secret is looked at all the same.
            bytes: chunk.bytes.clone(),
        };
        let missing = match shared.store().ask(request).await {
            StoreAnswer::PartWritten { missing } => missing,
            other => return Err(refusal::of_answer(&other)),
        };
        offset += num::size(chunk.bytes.len());
        if chunk.bytes.is_empty() {
            return Err(Rejection::ShortBody);
        }
        let status = match missing.is_empty() {
            // What is left of the body has been written before.
            true => StatusCode::CREATED,
            false if offset == range.end() => StatusCode::OK,
            false => continue,
        };
        let answer = RequiredAnswer { required: missing };
        return Ok(Answer::message(status, answer.encode()));
    }
}

/// Gives an upload up.
pub(super) async fn abort_share_upload(
    shared: &Shared,
    storage_index: StorageIndex,
    share_number: ShareNumber,
    secret: UploadSecret,
) -> Result<Answer, Rejection> {
    let request = Request::AbortParts {
        storage_index,
        share: share_number,
        secret,
    };
    match shared.store().ask(request).await {
        StoreAnswer::Aborted => Ok(Answer::Empty(StatusCode::OK)),
        other => Err(refusal::of_answer(&other)),
    }
}
