//! Reading shares: the list of them, and ranges of one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bucketfs::{
    Answer as StoreAnswer, Extent, Held, Piece, ReadRequest, Request, ShareKind, StoreHandle,
    Wanted,
};
use bytes::Bytes;
use hyper::StatusCode;
use lafs::{ShareNumber, StorageIndex, num};
use protocol::gbs::{ByteSpan, Kind, Rejection, SharesAnswer};
use protocol::limits::CHUNK_LEN_MAX;

use super::answer::Answer;
use super::refusal;
use crate::shared::Shared;

/// Lists the finished shares. As shares of a slot, those of a bucket are named as well.
pub(super) async fn list_shares(
    shared: &Shared,
    kind: Kind,
    storage_index: StorageIndex,
) -> Result<Answer, Rejection> {
    let read = ReadRequest {
        storage_index,
        wanted: Wanted::Any(0),
        extents: Vec::new(),
    };
    // One that cannot be read is not named, and the others are.
    let found = Found::ask(shared.store(), read).await?;
    let of_slot = |held: &Held| held.kind == ShareKind::Mutable;
    let share_numbers: Vec<ShareNumber> = match kind {
        Kind::Mutable => found.held.iter().map(|held| held.share).collect(),
        Kind::Immutable if !found.held.is_empty() && found.held.iter().all(of_slot) => {
            return Err(Rejection::OtherKind);
        }
        Kind::Immutable => {
            let held = found.held.iter().filter(|held| !of_slot(held));
            held.map(|held| held.share).collect()
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
    let read = ReadRequest {
        storage_index,
        wanted: Wanted::One(share_number),
        extents: first,
    };
    let mut found = Found::ask(shared.store(), read).await?;
    let held = find_share(&found, kind, share_number)?;
    let bytes = found.pieces.pop().map(|piece| piece.bytes);
    let version = found.version;
    let stream = |start, end| ShareStream {
        store: shared.store().clone(),
        storage_index,
        share_number,
        offset: start,
        end,
        version: (held.kind == ShareKind::Mutable).then_some(version),
        state: State::Ready(bytes.unwrap_or_default()),
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
    let read = ReadRequest {
        storage_index,
        wanted: Wanted::One(share_number),
        extents: Vec::new(),
    };
    let found = Found::ask(shared.store(), read).await?;
    Ok(!found.held.is_empty() || !found.unreadable.is_empty())
}

fn find_share(found: &Found, kind: Kind, share_number: ShareNumber) -> Result<Held, Rejection> {
    let unreadable = found.unreadable.iter();
    if let Some((_, refusal)) = unreadable
        .clone()
        .find(|(number, _)| *number == share_number)
    {
        return Err(refusal::rejection(refusal));
    }
    let held = found.held.iter().find(|held| held.share == share_number);
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

/// What the store answered to a read.
struct Found {
    held: Vec<Held>,
    unreadable: Vec<(ShareNumber, bucketfs::Refusal)>,
    pieces: Vec<Piece>,
    /// Of the slot.
    version: u64,
}

impl Found {
    async fn ask(store: &StoreHandle, read: ReadRequest) -> Result<Self, Rejection> {
        match store.ask(Request::Read(read)).await {
            StoreAnswer::Read {
                held,
                unreadable,
                pieces,
                // No more is asked for than fits.
                rest: _,
                version,
            } => Ok(Self {
                version,
                held,
                unreadable,
                pieces,
            }),
            other => Err(refusal::of_answer(&other)),
        }
    }
}

/// The next chunk of a range.
fn next_extent(offset: u64, end: u64) -> Extent {
    Extent {
        offset,
        size: (end - offset).min(num::size(CHUNK_LEN_MAX)),
    }
}

/// Bytes of a share, read from the store as they are taken.
pub(super) struct ShareStream {
    store: StoreHandle,
    storage_index: StorageIndex,
    share_number: ShareNumber,
    /// The first byte that was not taken yet.
    offset: u64,
    end: u64,
    /// Which state of a slot all bytes must be of.
    version: Option<u64>,
    state: State,
}

enum State {
    /// These come next; none if the store has to be asked.
    Ready(Bytes),
    /// The store has been asked.
    Asking(Pin<Box<dyn Future<Output = Result<Found, Rejection>> + Send>>),
}

impl ShareStream {
    /// How many bytes were not taken yet.
    pub(super) fn size_left(&self) -> u64 {
        self.end - self.offset
    }

    /// Gives the next bytes.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Torn>>> {
        if self.size_left() == 0 {
            return Poll::Ready(None);
        }
        loop {
            match &mut self.state {
                State::Ready(bytes) if bytes.is_empty() => {
                    let store = self.store.clone();
                    let read = ReadRequest {
                        storage_index: self.storage_index,
                        wanted: Wanted::One(self.share_number),
                        extents: vec![next_extent(self.offset, self.end)],
                    };
                    let asking = async move { Found::ask(&store, read).await };
                    self.state = State::Asking(Box::pin(asking));
                }
                State::Ready(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.offset += num::size(bytes.len());
                    return Poll::Ready(Some(Ok(bytes)));
                }
                State::Asking(asking) => {
                    let found = ready!(asking.as_mut().poll(context));
                    self.state = State::Ready(Bytes::new());
                    // Removed or changed meanwhile: what was promised cannot be kept.
                    let version = self.version;
                    let is_same = |found: &Found| version.is_none_or(|it| it == found.version);
                    let found = found.ok().filter(is_same);
                    let piece = found.and_then(|mut found| found.pieces.pop());
                    match piece {
                        Some(piece) if !piece.bytes.is_empty() => {
                            self.state = State::Ready(piece.bytes);
                        }
                        _ => return Poll::Ready(Some(Err(Torn))),
                    }
                }
            }
        }
    }
}

/// A share changed or could not be read on while it was sent: the connection ends, so that the client
/// does not take half of it for all.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the share could not be read to its end")]
pub(super) struct Torn;
