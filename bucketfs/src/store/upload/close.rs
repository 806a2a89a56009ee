//! How an upload becomes a share.
//!
//! ```text
//! the rest, lease, header, sync -> close -> published
//! ```
//!
//! Each step waits for the one before. The share's bytes never enter the journal. A failed sync
//! gives the share up: asked again the kernel would say that all is well.

use bytes::Bytes;
use lafs::num;

use super::gather::End;
use super::{Step, Uploads, Way, waiter};
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
    /// The last write has ended: what is still gathered, the lease and the header follow, and a sync
    /// of it all.
    pub(super) fn all_written(&mut self, cx: &mut Context, closing: Closing) {
        let upload = &mut self.table[closing.upload];
        if let Some(failure) = cx.write_refusal().or(upload.failure) {
            return self.close_refused(cx, closing, failure);
        }
        let owner = LeaseOwner::Upload.number();
        let version = cx.settings.container_version;
        let lease = Lease::new(version, &upload.lease, owner, upload.expiration);
        let header = Header::new(version, closing.size);
        let end = match &mut upload.way {
            Way::Gather(gather) | Way::Ungather(gather) => gather.end(Some(header)),
            Way::Through => End {
                offset: header.leases_offset(),
                ..End::default()
            },
        };
        let mut last = end.rest;
        assert_eq!(end.offset + num::size(last.len()), header.leases_offset());
        last.extend_from_slice(&lease.encode());
        let mut writes = vec![(end.offset, Bytes::from(last))];
        if !end.has_header {
            writes.push((0, Bytes::copy_from_slice(&header.encode())));
        }
        let operation = Operation::Finish {
            file: upload.file,
            blocks: end.blocks,
            writes,
            sync: cx.waiver().is_none(),
        };
        let size = std::mem::take(&mut upload.unwritten);
        self.start(cx, Step::Finish(closing, size), operation);
    }

    pub(super) fn finished_writing(
        &mut self,
        cx: &mut Context,
        closing: Closing,
        size: u64,
        completion: Completion,
    ) {
        cx.grow(size);
        self.table[closing.upload].written += size;
        let bytes = match (cx.waiver(), &completion.result) {
            (Some(waiver), Ok(_)) => Ok(BytesDurable::waived(waiver)),
            (Some(_), Err(error)) => Err(*error),
            (None, _) => BytesDurable::synced(&completion),
        };
        self.keep_buffer(completion.operation);
        match bytes {
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
            cx.end_growth(upload.written);
            cx.clean_up(upload.incoming);
            cx.refuse(closing.asker, unwritable(error));
            return cx.release(closing.owned);
        }
        let version = cx.settings.container_version;
        let publish = Publish {
            owned: closing.owned,
            size: Header::new(version, closing.size).file_size(),
            source: upload.incoming,
            bytes,
            then: waiter(self.publishing.insert((closing.asker, upload.written))),
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
