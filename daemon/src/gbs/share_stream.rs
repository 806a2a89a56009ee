//! The bytes of a share as they go to a client: read from the store chunk by chunk, as they are taken.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bucketfs::{Extent, Read, ReadRefusal, SharesRead, StoreHandle, Wanted};
use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, num};
use protocol::limits::CHUNK_LEN_MAX;

/// The next chunk of a range.
pub(super) fn next_extent(offset: u64, end: u64) -> Extent {
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
    /// The next bytes; empty if the store must be asked for more.
    Ready(Bytes),
    /// The store has been asked.
    Asking(Pin<Box<dyn Future<Output = Result<SharesRead, ReadRefusal>> + Send>>),
}

impl ShareStream {
    /// The bytes of a share from `start` to `end`, of which the `first` are read already.
    pub(super) fn new(
        store: StoreHandle,
        (storage_index, share_number): (StorageIndex, ShareNumber),
        (start, end): (u64, u64),
        version: Option<u64>,
        first: Bytes,
    ) -> Self {
        Self {
            store,
            storage_index,
            share_number,
            offset: start,
            end,
            version,
            state: State::Ready(first),
        }
    }

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
                    let read = Read {
                        storage_index: self.storage_index,
                        wanted: Wanted::One(self.share_number),
                        extents: vec![next_extent(self.offset, self.end)],
                    };
                    if let Some(found) = store.read_at_once(&read) {
                        match self.bytes_of(found) {
                            Some(bytes) => self.state = State::Ready(bytes),
                            None => return Poll::Ready(Some(Err(Torn))),
                        }
                        continue;
                    }
                    let asking = async move { store.ask(read).await };
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
                    match found.ok().and_then(|found| self.bytes_of(found)) {
                        Some(bytes) => self.state = State::Ready(bytes),
                        None => return Poll::Ready(Some(Err(Torn))),
                    }
                }
            }
        }
    }

    /// The next bytes, if they are there. Removed or changed meanwhile, what was promised cannot be
    /// kept.
    fn bytes_of(&self, mut found: SharesRead) -> Option<Bytes> {
        let is_same = self.version.is_none_or(|it| it == found.version);
        let piece = found.pieces.pop().filter(|_| is_same)?;
        Some(piece.bytes).filter(|bytes| !bytes.is_empty())
    }
}

/// A share changed or became unreadable while it was sent. The connection ends, so that the client does
/// not take a part for the whole.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the share could not be read to its end")]
pub(super) struct Torn;
