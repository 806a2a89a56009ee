//! The store as others see it: something that can be asked, from any task and any thread.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::glance::Glance;
use crate::refusal::{OpenSpoolRefusal, ReadRefusal, Unavailable};
use crate::request::{
    AbortUpload, Answer, Ask, CloseUpload, OpenSpool, OpenUpload, Read, ReadTestWrite, Request,
    RequestId, SharesRead, WriteSpool, WriteUpload,
};

/// A way to ask the store. Cheap to clone.
///
/// Requests are taken in the order in which `send` is awaited, from one handle or several.
#[derive(Clone, Debug)]
pub struct StoreHandle {
    inbox: mpsc::Sender<Message>,
    left: mpsc::UnboundedSender<Left>,
    next: Arc<AtomicU64>,
    glance: Arc<Glance>,
}

/// What comes to the driver.
#[derive(Debug)]
pub(crate) enum Message {
    Ask {
        id: RequestId,
        request: Request,
        reply: oneshot::Sender<Answer>,
    },
    /// Ends the driver. The sender is dropped when it has ended.
    ShutDown(oneshot::Sender<()>),
}

/// What nobody is there for any more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// An upload: it stays, to be resumed.
    Upload(RequestId),
    /// A spool: it goes.
    Spool(RequestId),
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) messages: mpsc::Receiver<Message>,
    /// As many as there are uploads and spools, at most.
    pub(crate) left: mpsc::UnboundedReceiver<Left>,
    next: Arc<AtomicU64>,
}

/// An answer to come. Dropping it takes nothing back: the request is carried out all the same.
#[derive(Debug)]
#[must_use = "the request was sent, but nobody will know its answer"]
pub struct Pending<A> {
    id: RequestId,
    reply: oneshot::Receiver<Answer>,
    asked: PhantomData<fn() -> A>,
}

/// A file for what one request is to write to a slot, if that is more than it may bring itself.
///
/// Writes may follow at once, without waiting for an answer; what went wrong with one is told by
/// the next ones and by the request. Dropped before [`StoreHandle::read_test_write`], it goes.
#[derive(Debug)]
pub struct Spool {
    id: RequestId,
    handle: StoreHandle,
    over: bool,
}

/// An upload in progress.
///
/// Writes may follow at once, without waiting for an answer. Dropped before `close` or `abort`,
/// the upload stays in the store for a while, to be resumed.
#[derive(Debug)]
pub struct Upload {
    id: RequestId,
    handle: StoreHandle,
    over: bool,
}

impl StoreHandle {
    /// Makes the two ends of a queue of [`QUEUE_LEN`] requests.
    pub(crate) fn new(glance: Glance) -> (Self, Inbox) {
        let (inbox, messages) = mpsc::channel(QUEUE_LEN);
        let (left, uploads) = mpsc::unbounded_channel();
        let next = Arc::new(AtomicU64::new(0));
        let end = Inbox {
            messages,
            left: uploads,
            next: Arc::clone(&next),
        };
        let handle = Self {
            inbox,
            left,
            next,
            glance: Arc::new(glance),
        };
        (handle, end)
    }

    /// Reads parts of shares: at once if all of it is at hand, or else by asking the store.
    ///
    /// # Errors
    ///
    /// Why nothing was read.
    pub async fn read(&self, read: Read) -> Result<SharesRead, ReadRefusal> {
        match self.read_at_once(&read) {
            Some(read) => Ok(read),
            None => self.ask(read).await,
        }
    }

    /// What a read finds, if all of it is in the kernel's memory and nothing of it is being changed.
    /// Never blocks, and does not ask the store.
    #[must_use]
    pub fn read_at_once(&self, read: &Read) -> Option<SharesRead> {
        self.glance.read(read)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// Why it was not done.
    pub async fn ask<A: Ask>(&self, ask: A) -> Result<A::Success, A::Refusal> {
        self.send(ask).await.await
    }

    /// Asks, waiting only for a place in the queue.
    pub async fn send<A: Ask>(&self, ask: A) -> Pending<A> {
        let id = next_id(&self.next);
        let (reply, pending) = oneshot::channel();
        let request = ask.into();
        let message = Message::Ask { id, request, reply };
        // A queue that is closed drops the message, and the answer is that nobody is there.
        let _ = self.inbox.send(message).await;
        Pending {
            id,
            reply: pending,
            asked: PhantomData,
        }
    }

    /// Begins or resumes an upload. Writes may follow before it is answered.
    pub async fn upload(&self, open: OpenUpload) -> (Upload, Pending<OpenUpload>) {
        let pending = self.send(open).await;
        let upload = Upload {
            id: pending.id,
            handle: self.clone(),
            over: false,
        };
        (upload, pending)
    }

    /// Begins a spool.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn spool(&self) -> Result<Spool, OpenSpoolRefusal> {
        let pending = self.send(OpenSpool).await;
        let id = pending.id;
        pending.await?;
        Ok(Spool {
            id,
            handle: self.clone(),
            over: false,
        })
    }

    /// Tests, reads and changes the shares of a slot, with a spool if its writes name one.
    pub async fn read_test_write(
        &self,
        mut ask: ReadTestWrite,
        spool: Option<Spool>,
    ) -> Pending<ReadTestWrite> {
        ask.spool = spool.as_ref().map(|spool| spool.id);
        let pending = self.send(ask).await;
        if let Some(mut spool) = spool {
            spool.over = true;
        }
        pending
    }

    /// Lets the store finish what it has begun, refuse the rest and end; returns when it has.
    pub async fn shut_down(&self) {
        let (sender, ended) = oneshot::channel();
        if self.inbox.send(Message::ShutDown(sender)).await.is_ok() {
            let _ = ended.await;
        }
    }
}

impl Upload {
    /// Writes the next bytes.
    pub async fn write(&self, offset: u64, bytes: Bytes) -> Pending<WriteUpload> {
        let upload = self.id;
        let write = WriteUpload {
            upload,
            offset,
            bytes,
        };
        self.handle.send(write).await
    }

    /// Finishes the upload.
    pub async fn close(mut self, size: u64) -> Pending<CloseUpload> {
        let upload = self.id;
        let pending = self.handle.send(CloseUpload { upload, size }).await;
        self.over = true;
        pending
    }

    /// Gives the upload up.
    pub async fn abort(mut self) -> Pending<AbortUpload> {
        let upload = self.id;
        let pending = self.handle.send(AbortUpload { upload }).await;
        self.over = true;
        pending
    }
}

impl Spool {
    /// Writes the next bytes.
    pub async fn write(&self, bytes: Bytes) -> Pending<WriteSpool> {
        let spool = self.id;
        self.handle.send(WriteSpool { spool, bytes }).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.over {
            // Without a driver there is no upload either.
            let _ = self.handle.left.send(Left::Upload(self.id));
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.over {
            // Without a driver there is no spool either.
            let _ = self.handle.left.send(Left::Spool(self.id));
        }
    }
}

impl<A: Ask> Future for Pending<A> {
    type Output = Result<A::Success, A::Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply)
            .poll(context)
            .map(|reply| match reply {
                Ok(answer) => {
                    A::result(answer).expect("the store answers through an asker of the kind")
                }
                Err(_) => Err(Unavailable::ShuttingDown.into()),
            })
    }
}

impl Inbox {
    /// An id for a request of the driver's own.
    pub(crate) fn next_id(&self) -> RequestId {
        next_id(&self.next)
    }
}

fn next_id(next: &AtomicU64) -> RequestId {
    RequestId(next.fetch_add(1, Ordering::Relaxed))
}

/// Requests that wait to be taken by the store; their frames are at most 64 KiB each.
const QUEUE_LEN: usize = 64;
