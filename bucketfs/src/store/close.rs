//! How an upload becomes a share that lasts.
//!
//! ```text
//! lease, header -> file sync -> close -> rename -> directory syncs -> fence -> acknowledged
//! ```
//!
//! Each step waits for the one before. The share's bytes never enter the journal; the fence makes
//! void what the journal still says about an earlier share of the same name. A failed sync gives
//! the share up: asked again the kernel would say that all is well.

use bytes::Bytes;

use super::{Answer, Flight as StoreFlight, LeaseOwner, Recorded, RequestId, Store, refusal};
use crate::container::{Header, Lease, Version};
use crate::disk::{Completion, Operation};
use crate::durable::{BytesDurable, Durable, NameDurable};
use crate::error::{DiskError, Refusal};
use crate::journal::format::Record;
use crate::journal::log::Hold;
use crate::layout::ShareKey;

/// An upload that is complete; owns the share's lock.
#[derive(Debug)]
pub(super) struct Closing {
    request: RequestId,
    upload: usize,
    key: ShareKey,
    size: u64,
}

#[derive(Debug)]
pub(super) enum Flight {
    Lease(Closing),
    Header(Closing),
    Bytes(Closing),
    Closed(Closing, BytesDurable),
    Name(Closing, BytesDurable),
    Directories(Closing, BytesDurable),
    /// The share given up is being removed again; its lock is held until it has gone.
    Gone(Closing, DiskError),
}

impl Closing {
    pub(super) fn new(request: RequestId, upload: usize, key: ShareKey, size: u64) -> Self {
        Self {
            request,
            upload,
            key,
            size,
        }
    }

    pub(super) fn upload(&self) -> usize {
        self.upload
    }
}

impl Store {
    /// The last write has ended: the lease goes behind the share.
    pub(super) fn close_written(&mut self, closing: Closing) {
        if let Some(failure) = self
            .write_refusal()
            .or(self.uploads.failure(closing.upload))
        {
            return self.close_given_up(&closing, failure);
        }
        let upload = self.uploads.get(closing.upload);
        let owner = LeaseOwner::Upload.number();
        let lease = Lease::new(Version::Two, &upload.lease, owner, upload.expiration);
        let operation = Operation::WriteAt {
            file: upload.file,
            offset: Header::new(closing.size).leases_offset(),
            bytes: Bytes::copy_from_slice(&lease.encode()),
        };
        self.start(StoreFlight::Close(Flight::Lease(closing)), operation);
    }

    pub(super) fn close_completed(&mut self, flight: Flight, completion: Completion) {
        match flight {
            Flight::Lease(closing) => match completion.result {
                Ok(_) => self.close_header(closing),
                Err(error) => self.close_failed(&closing, error),
            },
            Flight::Header(closing) => match completion.result {
                Ok(_) => self.close_sync(closing),
                Err(error) => self.close_failed(&closing, error),
            },
            Flight::Bytes(closing) => match BytesDurable::synced(&completion) {
                Ok(bytes) => self.close_file(closing, bytes),
                Err(error) => self.close_failed(&closing, error),
            },
            Flight::Closed(closing, bytes) => self.file_closed(closing, bytes, &completion),
            Flight::Name(closing, bytes) => match completion.result {
                Ok(_) => self.close_directories(closing, bytes),
                Err(error) => self.close_unnamed(&closing, &completion, error),
            },
            Flight::Directories(closing, bytes) => match NameDurable::synced(&completion, bytes) {
                Ok(name) => self.close_fence(closing, name),
                Err(error) => self.close_unsynced(closing, error),
            },
            Flight::Gone(closing, error) => {
                self.cleaned_up(&completion);
                self.close_ended(&closing, Err(Refusal::Disk(error)));
            }
        }
    }

    fn close_header(&mut self, closing: Closing) {
        let header = Header::new(closing.size).encode();
        let operation = Operation::WriteAt {
            file: self.uploads.get(closing.upload).file,
            offset: 0,
            bytes: Bytes::copy_from_slice(&header),
        };
        self.start(StoreFlight::Close(Flight::Header(closing)), operation);
    }

    fn close_sync(&mut self, closing: Closing) {
        if let Some(waiver) = self.waiver() {
            return self.close_file(closing, BytesDurable::waived(waiver));
        }
        let file = self.uploads.get(closing.upload).file;
        let flight = Flight::Bytes(closing);
        self.start(StoreFlight::Close(flight), Operation::SyncFile { file });
    }

    fn close_file(&mut self, closing: Closing, bytes: BytesDurable) {
        let file = self.uploads.get(closing.upload).file;
        let flight = Flight::Closed(closing, bytes);
        self.start(StoreFlight::Close(flight), Operation::Close { file });
    }

    fn file_closed(&mut self, closing: Closing, bytes: BytesDurable, completion: &Completion) {
        let upload = self.upload_finished(closing.upload);
        if let Err(error) = completion.result {
            self.clean_up(upload.incoming);
            return self.close_ended(&closing, Err(refusal(error)));
        }
        let operation = Operation::Publish {
            source: upload.incoming,
            target: self.layout.share(closing.key),
        };
        let flight = Flight::Name(closing, bytes);
        self.start(StoreFlight::Close(flight), operation);
    }

    fn close_directories(&mut self, closing: Closing, bytes: BytesDurable) {
        if let Some(waiver) = self.waiver() {
            return self.close_fence(closing, NameDurable::waived(waiver, bytes));
        }
        let paths = self.layout.above(closing.key.storage_index);
        let flight = Flight::Directories(closing, bytes);
        let operation = Operation::SyncDirectories { paths };
        self.start(StoreFlight::Close(flight), operation);
    }

    /// The fence comes last: before the name is durable it would also void the removal of an
    /// earlier share of that name, and a crash could bring that one back.
    fn close_fence(&mut self, closing: Closing, _: NameDurable) {
        let record = Record::Fence { key: closing.key };
        self.record(record, Recorded::Close(closing));
    }

    pub(super) fn close_recorded(&mut self, closing: Closing, durable: Durable, hold: Hold) {
        self.log.release(hold);
        self.close_ended(&closing, Ok(durable));
    }

    /// Without its fence the share is there, and may go again when the journal is replayed.
    pub(super) fn close_record_failed(&mut self, closing: Closing) {
        self.close_ended(&closing, Err(Refusal::Failed));
    }

    fn close_failed(&mut self, closing: &Closing, error: DiskError) {
        let path = &self.uploads.get(closing.upload).incoming;
        tracing::warn!(%path, %error, "cannot finish an upload");
        self.close_given_up(closing, refusal(error));
    }

    fn close_given_up(&mut self, closing: &Closing, refusal: Refusal) {
        self.end_upload(closing.upload, None);
        self.close_ended(closing, Err(refusal));
    }

    fn close_unnamed(&mut self, closing: &Closing, completion: &Completion, error: DiskError) {
        if let Operation::Publish { source, target } = &completion.operation {
            tracing::warn!(path = %target, %error, "cannot name a share");
            self.clean_up(source.clone());
        }
        self.close_ended(closing, Err(refusal(error)));
    }

    fn close_unsynced(&mut self, closing: Closing, error: DiskError) {
        let path = self.layout.share(closing.key);
        tracing::warn!(%path, %error, "cannot sync the directories above a share");
        let prune = self.layout.levels();
        let operation = Operation::Remove { path, prune };
        let flight = Flight::Gone(closing, error);
        self.start(StoreFlight::Close(flight), operation);
    }

    fn close_ended(&mut self, closing: &Closing, result: Result<Durable, Refusal>) {
        match result {
            Ok(durable) => self.acknowledge(closing.request, Answer::Stored, durable),
            Err(refusal) => self.refuse(closing.request, refusal),
        }
        self.release(closing.key);
    }
}
