//! How an upload becomes a share.
//!
//! ```text
//! lease, header -> file sync -> close -> published
//! ```
//!
//! Each step waits for the one before. The share's bytes never enter the journal. A failed sync
//! gives the share up: asked again the kernel would say that all is well.

use bytes::Bytes;

use super::{Step, Uploads, waiter};
use crate::container::{Header, Lease};
use crate::disk::{Completion, Operation};
use crate::durable::BytesDurable;
use crate::error::DiskError;
use crate::refusal::Unwritable;
use crate::request::{CloseUpload, LeaseOwner};
use crate::store::context::{Context, unwritable};
use crate::store::event::{Event, Publish};
use crate::store::locks::Owned;
use crate::store::reply::Asker;

/// An upload that is complete, and its share's lock.
#[derive(Debug)]
pub(super) struct Closing {
    asker: Asker<CloseUpload>,
    owned: Owned,
    upload: usize,
    size: u64,
}

impl Closing {
    pub(super) fn new(asker: Asker<CloseUpload>, owned: Owned, upload: usize, size: u64) -> Self {
        Self {
            asker,
            owned,
            upload,
            size,
        }
    }
}

impl Uploads {
    /// The last write has ended: the lease goes behind the share.
    pub(super) fn all_written(&mut self, cx: &mut Context, closing: Closing) {
        let upload = &self.table[closing.upload];
        if let Some(failure) = cx.write_refusal().or(upload.failure) {
            return self.close_refused(cx, closing, failure);
        }
        let owner = LeaseOwner::Upload.number();
        let version = cx.settings.container_version;
        let lease = Lease::new(version, &upload.lease, owner, upload.expiration);
        let operation = Operation::WriteAt {
            file: upload.file,
            offset: Header::new(version, closing.size).leases_offset(),
            bytes: Bytes::copy_from_slice(&lease.encode()),
        };
        self.start(cx, Step::Lease(closing), operation);
    }

    pub(super) fn lease_written(
        &mut self,
        cx: &mut Context,
        closing: Closing,
        completion: &Completion,
    ) {
        if let Err(error) = completion.result {
            return self.close_failed(cx, closing, error);
        }
        let header = Header::new(cx.settings.container_version, closing.size).encode();
        let operation = Operation::WriteAt {
            file: self.table[closing.upload].file,
            offset: 0,
            bytes: Bytes::copy_from_slice(&header),
        };
        self.start(cx, Step::Header(closing), operation);
    }

    pub(super) fn header_written(
        &mut self,
        cx: &mut Context,
        closing: Closing,
        completion: &Completion,
    ) {
        if let Err(error) = completion.result {
            return self.close_failed(cx, closing, error);
        }
        if let Some(waiver) = cx.waiver() {
            return self.close_file(cx, closing, BytesDurable::waived(waiver));
        }
        let file = self.table[closing.upload].file;
        self.start(cx, Step::Bytes(closing), Operation::SyncFile { file });
    }

    pub(super) fn synced(&mut self, cx: &mut Context, closing: Closing, completion: &Completion) {
        match BytesDurable::synced(completion) {
            Ok(bytes) => self.close_file(cx, closing, bytes),
            Err(error) => self.close_failed(cx, closing, error),
        }
    }

    fn close_file(&mut self, cx: &mut Context, closing: Closing, bytes: BytesDurable) {
        let file = self.table[closing.upload].file;
        let step = Step::Complete(closing, bytes);
        self.start(cx, step, Operation::Close { file });
    }

    pub(super) fn file_closed(
        &mut self,
        cx: &mut Context,
        closing: Closing,
        bytes: BytesDurable,
        completion: &Completion,
    ) {
        let upload = self.finished(cx, closing.upload);
        if let Err(error) = completion.result {
            cx.clean_up(upload.incoming);
            cx.refuse(closing.asker, unwritable(error));
            return cx.release(closing.owned);
        }
        let publish = Publish {
            owned: closing.owned,
            source: upload.incoming,
            bytes,
            then: waiter(self.publishing.insert(closing.asker)),
        };
        cx.send(Event::Publish(publish));
    }

    fn close_failed(&mut self, cx: &mut Context, closing: Closing, error: DiskError) {
        let path = &self.table[closing.upload].incoming;
        tracing::warn!(%path, %error, "cannot finish an upload");
        self.close_refused(cx, closing, unwritable(error));
    }

    fn close_refused(&mut self, cx: &mut Context, closing: Closing, refusal: Unwritable) {
        self.give_up(cx, closing.upload, None);
        cx.refuse(closing.asker, refusal);
        cx.release(closing.owned);
    }
}
