//! Uploads of immutable shares: allocate, write, abort.

use std::sync::Arc;

use bucketfs::{AbortRanged, Allocate, RangeWritten, ShareKey, WriteRange};
use hyper::StatusCode;
use lafs::{LeaseSecrets, ShareNumber, StorageIndex, UploadSecret, num};
use protocol::gbs::limits::ALLOCATE_LEN_MAX;
use protocol::gbs::{AllocateAnswer, AllocateRequest, ByteSpan, Rejection, RequiredAnswer};
use protocol::limits::CHUNK_LEN_MAX;

use super::answer::Answer;
use super::intake::Intake;
use super::refusal::rejection;
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
    let allocate = Allocate {
        storage_index,
        share_numbers: asked.share_numbers,
        size: asked.allocated_size,
        secret,
        lease,
    };
    let done = shared.store().ask(allocate).await.map_err(rejection)?;
    if done.allocated.len() < count.saturating_sub(done.held.len()) {
        shared.allocated_fewer(size);
    }
    let answer = AllocateAnswer {
        already_have: done.held,
        allocated: done.allocated,
    };
    Ok(Answer::message(StatusCode::OK, answer.encode()))
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
        let write = WriteRange {
            key: ShareKey {
                storage_index,
                share_number,
            },
            secret: secret.clone(),
            offset,
            // None if the body ends early: the secret is looked at all the same.
            bytes: chunk.bytes.clone(),
        };
        let missing = match shared.store().ask(write).await.map_err(rejection)? {
            RangeWritten::Missing(ranges) => ranges,
            RangeWritten::Complete => Vec::new(),
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
    let key = ShareKey {
        storage_index,
        share_number,
    };
    let abort = AbortRanged { key, secret };
    shared.store().ask(abort).await.map_err(rejection)?;
    Ok(Answer::Empty(StatusCode::OK))
}
