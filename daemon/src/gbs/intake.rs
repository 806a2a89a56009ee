//! The body of a request as it comes: in chunks, or as one message.
//!
//! Nothing is read before it is asked for. hyper gives what a read of the socket brought; small
//! pieces are gathered, so that the store is not asked for each.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use lafs::num;
use protocol::gbs::Rejection;

use super::watch::Watch;
use crate::shared::{InFlight, Shared};

/// The body of one request.
pub(super) struct Intake<'a> {
    body: Incoming,
    shared: &'a Shared,
    watch: &'a Watch,
    /// What came and was not asked for yet.
    rest: Bytes,
}

/// Part of a body. Counted among the bytes in flight until it is dropped.
pub(super) struct Chunk<'a> {
    pub(super) bytes: Bytes,
    _in_flight: InFlight<'a>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(body: Incoming, shared: &'a Shared, watch: &'a Watch) -> Self {
        Self {
            body,
            shared,
            watch,
            rest: Bytes::new(),
        }
    }

    /// What the client said of the body's size, if anything.
    pub(super) fn size(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Whether all of the body was taken.
    pub(super) fn is_over(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    /// The next `len_max` bytes, or what is left; none at the end.
    pub(super) async fn chunk(&mut self, len_max: usize) -> Result<Chunk<'a>, Rejection> {
        let bytes = self.gather(len_max).await?;
        Ok(Chunk {
            _in_flight: self.shared.take_in_flight(bytes.len()),
            bytes,
        })
    }

    /// All of the body, if it is no longer than this.
    pub(super) async fn message(&mut self, len_max: usize) -> Result<Bytes, Rejection> {
        let message = self.gather(len_max).await?;
        if self.rest.is_empty() {
            self.rest = self.next().await?;
        }
        match self.rest.is_empty() {
            true => Ok(message),
            false => Err(Rejection::BodyTooLong {
                size_max: num::size(len_max),
            }),
        }
    }

    /// Takes what is left of the body and drops it, if it is not much; whether it is over then.
    ///
    /// A connection whose client has sent the rest in vain must end.
    pub(super) async fn drain(&mut self) -> bool {
        self.rest = Bytes::new();
        if self.size().is_none_or(|left| left > DRAINED_SIZE_MAX) {
            return self.is_over();
        }
        loop {
            match self.next().await {
                Ok(bytes) if bytes.is_empty() => return self.is_over(),
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    async fn gather(&mut self, len_max: usize) -> Result<Bytes, Rejection> {
        if self.rest.is_empty() {
            self.rest = self.next().await?;
        }
        // Most of the time it is all there.
        if self.rest.len() >= len_max || self.rest.is_empty() || self.body.is_end_stream() {
            return Ok(self.take(len_max));
        }
        let announced = self.size().and_then(num::len);
        let left = self.rest.len().saturating_add(announced.unwrap_or(len_max));
        let mut gathered = BytesMut::with_capacity(left.min(len_max));
        while gathered.len() < len_max {
            if self.rest.is_empty() {
                self.rest = self.next().await?;
            }
            if self.rest.is_empty() {
                break;
            }
            let part = self.take(len_max - gathered.len());
            gathered.extend_from_slice(&part);
        }
        Ok(gathered.freeze())
    }

    fn take(&mut self, len_max: usize) -> Bytes {
        self.rest.split_to(self.rest.len().min(len_max))
    }

    /// What comes next; empty at the end.
    async fn next(&mut self) -> Result<Bytes, Rejection> {
        loop {
            if self.body.is_end_stream() {
                return Ok(Bytes::new());
            }
            let awaiting = self.watch.await_body();
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await;
            drop(awaiting);
            match frame.transpose() {
                // Trailers say nothing to us.
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Ok(bytes),
                    _ => {}
                },
                Ok(None) => return Ok(Bytes::new()),
                // The client has hung up, or its chunks are none; nobody will read the answer.
                Err(_) => return Err(Rejection::ShortBody),
            }
        }
    }
}

/// Most of a body that is read for nothing, to keep the connection: no message is longer, and what
/// is left of a share takes longer than a new connection.
const DRAINED_SIZE_MAX: u64 = 65_536;
