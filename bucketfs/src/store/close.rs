//! How an upload becomes a share that lasts.
//!
//! ```text
//! lease, header -> file sync -> close -> rename -> directory syncs -> fence -> acknowledged
//! ```
//!
//! An upload of parts joins at the rename; what is before it is one operation there. Each step waits for the one before. The share's bytes never enter the journal; the fence makes
//! void what the journal still says about an earlier share of the same name. A failed sync gives
//! the share up: asked again the kernel would say that all is well.

use bytes::Bytes;
use rustix::io::Errno;

use super::{Answer, Flight as StoreFlight, LeaseOwner, Recorded, RequestId, Store, refusal};
use crate::container::{Header, Lease};
use crate::disk::{Completion, Operation, StorePath};
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

/// A share whose file is complete and closed, and gets its name; owns the share's lock.
#[derive(Debug)]
pub(super) struct Naming {
    request: RequestId,
    key: ShareKey,
    origin: Origin,
}

/// What the share came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An upload that was written front to back and closed.
    Upload,
    /// An upload of parts.
    Parts,
}

#[derive(Debug)]
pub(super) enum Flight {
    Lease(Closing),
    Header(Closing),
    Bytes(Closing),
    Closed(Closing, BytesDurable),
    Name(Naming, BytesDurable),
    Directories(Naming, BytesDurable),
    /// The share given up is being removed again; its lock is held until it has gone.
    Gone(Naming, DiskError),
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

    fn naming(&self) -> Naming {
        Naming::new(self.request, self.key, Origin::Upload)
    }
}

impl Naming {
    pub(super) fn new(request: RequestId, key: ShareKey, origin: Origin) -> Self {
        Self {
            request,
            key,
            origin,
        }
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
        let version = self.container_version;
        let lease = Lease::new(version, &upload.lease, owner, upload.expiration);
        let operation = Operation::WriteAt {
            file: upload.file,
            offset: Header::new(version, closing.size).leases_offset(),
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
            Flight::Closed(closing, bytes) => self.file_closed(&closing, bytes, &completion),
            Flight::Name(naming, bytes) => match completion.result {
                Ok(_) => self.close_directories(naming, bytes),
                Err(error) => self.close_unnamed(&naming, &completion, error),
            },
            Flight::Directories(naming, bytes) => match NameDurable::synced(&completion, bytes) {
                Ok(name) => self.close_fence(naming, name),
                Err(error) => self.close_unsynced(naming, error),
            },
            Flight::Gone(naming, error) => {
                self.cleaned_up(&completion);
                self.close_ended(&naming, Err(Refusal::Disk(error)));
            }
        }
    }

    fn close_header(&mut self, closing: Closing) {
        let header = Header::new(self.container_version, closing.size).encode();
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

    fn file_closed(&mut self, closing: &Closing, bytes: BytesDurable, completion: &Completion) {
        let upload = self.upload_finished(closing.upload);
        if let Err(error) = completion.result {
            self.clean_up(upload.incoming);
            return self.close_ended(&closing.naming(), Err(refusal(error)));
        }
        self.close_named(closing.naming(), upload.incoming, bytes);
    }

    /// Gives a file, whose bytes are durable, the share's name.
    pub(super) fn close_named(&mut self, naming: Naming, source: StorePath, bytes: BytesDurable) {
        let operation = Operation::Publish {
            source,
            target: self.layout.share(naming.key),
        };
        let flight = Flight::Name(naming, bytes);
        self.start(StoreFlight::Close(flight), operation);
    }

    fn close_directories(&mut self, naming: Naming, bytes: BytesDurable) {
        if let Some(waiver) = self.waiver() {
            return self.close_fence(naming, NameDurable::waived(waiver, bytes));
        }
        let paths = self.layout.above(naming.key.storage_index);
        let flight = Flight::Directories(naming, bytes);
        let operation = Operation::SyncDirectories { paths };
        self.start(StoreFlight::Close(flight), operation);
    }

    /// The fence comes last: before the name is durable it would also void the removal of an
    /// earlier share of that name, and a crash could bring that one back.
    fn close_fence(&mut self, naming: Naming, _: NameDurable) {
        let record = Record::Fence { key: naming.key };
        self.record(record, Recorded::Close(naming));
    }

    pub(super) fn close_recorded(&mut self, naming: Naming, durable: Durable, hold: Hold) {
        self.log.release(hold);
        self.close_ended(&naming, Ok(durable));
    }

    /// Without its fence the share is there, and may go again when the journal is replayed.
    pub(super) fn close_record_failed(&mut self, naming: Naming) {
        self.close_ended(&naming, Err(Refusal::Failed));
    }

    fn close_failed(&mut self, closing: &Closing, error: DiskError) {
        let path = &self.uploads.get(closing.upload).incoming;
        tracing::warn!(%path, %error, "cannot finish an upload");
        self.close_given_up(closing, refusal(error));
    }

    fn close_given_up(&mut self, closing: &Closing, refusal: Refusal) {
        self.end_upload(closing.upload, None);
        self.close_ended(&closing.naming(), Err(refusal));
    }

    fn close_unnamed(&mut self, naming: &Naming, completion: &Completion, error: DiskError) {
        if let Operation::Publish { source, target } = &completion.operation {
            tracing::warn!(path = %target, %error, "cannot name a share");
            self.clean_up(source.clone());
        }
        if error.errno == Errno::EXIST && naming.origin == Origin::Parts {
            // Somebody else stored it between the allocation and now.
            return self.parts_held_locked(naming.request, naming.key);
        }
        self.close_ended(naming, Err(refusal(error)));
    }

    fn close_unsynced(&mut self, naming: Naming, error: DiskError) {
        let path = self.layout.share(naming.key);
        tracing::warn!(%path, %error, "cannot sync the directories above a share");
        let prune = self.layout.levels();
        let operation = Operation::Remove { path, prune };
        let flight = Flight::Gone(naming, error);
        self.start(StoreFlight::Close(flight), operation);
    }

    fn close_ended(&mut self, naming: &Naming, result: Result<Durable, Refusal>) {
        match (naming.origin, result) {
            (Origin::Parts, result) => self.parts_ended(naming.request, naming.key, result),
            (_, Ok(durable)) => self.acknowledge(naming.request, Answer::Stored, durable),
            (_, Err(refusal)) => self.refuse(naming.request, refusal),
        }
        self.release(naming.key);
    }
}
