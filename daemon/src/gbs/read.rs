//! Reading shares: the list of them, and ranges of one.

use bucketfs::{Held, Read, ShareKind, SharesRead, Wanted};
use hyper::StatusCode;
use lafs::{ShareNumber, StorageIndex};
use protocol::gbs::{ByteSpan, Kind, Rejection, SharesAnswer};

use super::answer::Answer;
use super::refusal::{Refusal, rejection};
use super::share_stream::{ShareStream, next_extent};
use crate::shared::Shared;

/// Lists the finished shares. As shares of a slot, those of a bucket are named as well.
pub(super) async fn list_shares(
    shared: &Shared,
    kind: Kind,
    storage_index: StorageIndex,
) -> Result<Answer, Rejection> {
    let read = Read {
        storage_index,
        wanted: Wanted::Any(0),
        extents: Vec::new(),
    };
    // One that cannot be read is not named, and the others are.
    let found = shared.store().read(read).await.map_err(rejection)?;
    let of_slot = |held: &Held| held.kind == ShareKind::Mutable;
    let share_numbers: Vec<ShareNumber> = match kind {
        Kind::Mutable => found.held.iter().map(|held| held.share_number).collect(),
        Kind::Immutable if !found.held.is_empty() && found.held.iter().all(of_slot) => {
            return Err(Rejection::OtherKind);
        }
        Kind::Immutable => {
            let held = found.held.iter().filter(|held| !of_slot(held));
            held.map(|held| held.share_number).collect()
        }
    };
    let answer = SharesAnswer { share_numbers };
    Ok(Answer::message(StatusCode::OK, answer.encode()))
}

/// Reads a share, or a range of it.
pub(super) async fn read_share_chunk(
    shared: &Shared,
    kind: Kind,
    storage_index: StorageIndex,
    share_number: ShareNumber,
    range: Result<Option<ByteSpan>, Rejection>,
) -> Result<Answer, Rejection> {
    let first = match range {
        Ok(Some(range)) => vec![next_extent(range.offset(), range.end())],
        Ok(None) => vec![next_extent(0, u64::MAX)],
        // Whether the share is there is the first thing to be told.
        Err(_) => Vec::new(),
    };
    let read = Read {
        storage_index,
        wanted: Wanted::One(share_number),
        extents: first,
    };
    let mut found = shared.store().read(read).await.map_err(rejection)?;
    let held = find_share(&found, kind, share_number)?;
    let bytes = found.pieces.pop().map(|piece| piece.bytes);
    let version = found.version;
    let version = (held.kind == ShareKind::Mutable).then_some(version);
    let stream = |start, end| {
        let share = (storage_index, share_number);
        let first = bytes.unwrap_or_default();
        ShareStream::new(shared.store().clone(), share, (start, end), version, first)
    };
    match range? {
        None => Ok(Answer::Whole(stream(0, held.size))),
        Some(range) => match range.clip(held.size) {
            Some(part) => Ok(Answer::Part(part, stream(part.offset(), part.end()))),
            None => Ok(Answer::Nothing),
        },
    }
}

/// Whether a share is held, of whatever kind.
pub(super) async fn is_held(
    shared: &Shared,
    storage_index: StorageIndex,
    share_number: ShareNumber,
) -> Result<bool, Rejection> {
    let read = Read {
        storage_index,
        wanted: Wanted::One(share_number),
        extents: Vec::new(),
    };
    let found = shared.store().read(read).await.map_err(rejection)?;
    Ok(!found.held.is_empty() || !found.unreadable.is_empty())
}

fn find_share(
    found: &SharesRead,
    kind: Kind,
    share_number: ShareNumber,
) -> Result<Held, Rejection> {
    let unreadable = found.unreadable.iter();
    if let Some((_, refusal)) = unreadable
        .clone()
        .find(|(number, _)| *number == share_number)
    {
        return Err(refusal.rejection());
    }
    let held = found
        .held
        .iter()
        .find(|held| held.share_number == share_number);
    match held {
        Some(held) if held.kind == kind_in_store(kind) => Ok(*held),
        Some(_) => Err(Rejection::OtherKind),
        None => Err(Rejection::NoSuchShare),
    }
}

fn kind_in_store(kind: Kind) -> ShareKind {
    match kind {
        Kind::Immutable => ShareKind::Immutable,
        Kind::Mutable => ShareKind::Mutable,
    }
}
