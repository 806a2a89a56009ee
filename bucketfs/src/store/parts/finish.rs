//! How an upload of parts becomes a share: a small one as a put, any other by the way of `close`.

use bytes::Bytes;

use super::write::{GROWING, Part};
use super::{Flight, Growing, Upload};
use crate::container::{Header, Version};
use crate::disk::{Completion, Existing, Operation, StorePath};
use crate::durable::BytesDurable;
use crate::error::Refusal;
use crate::layout::{self, ShareKey};
use crate::store::close::{Naming, Origin};
use crate::store::lease::{Renew, Then};
use crate::store::put::Put;
use crate::store::{Flight as StoreFlight, LeaseOwner, RequestId, Store, Task, refusal};

/// A share that was written whole; owns its lock.
#[derive(Debug)]
pub(in crate::store) struct Sealing {
    request: RequestId,
    key: ShareKey,
    /// How many bytes its last part brings.
    new: u64,
}

/// The size of a container of a share of this size, with one lease.
pub(in crate::store) fn sealed_size(size: u64) -> u64 {
    // An absurd size is asked for by somebody, and promised to nobody.
    let around = Header::new(Version::Two, 0).file_size();
    size.saturating_add(around)
}

// A share in one part.
impl Store {
    /// Takes the way of a put, which takes over what was promised.
    pub(super) fn put_parts(&mut self, part: Part) {
        let incoming = self.next_incoming();
        let upload = self.parts.get_mut(part.key);
        upload.promised = 0;
        let lease = &upload.lease;
        let put = Put::of_parts(
            part.request,
            part.key,
            crate::container::encode(lease.version, &part.bytes, &lease.record),
            incoming,
        );
        self.acquire(part.key, Task::Put(put));
    }
}

// A share in several.
impl Store {
    /// Makes a note of what was answered: the share's file is about to lose its ticket.
    ///
    /// Without it a process killed between that and the new name would leave a file of nobody.
    pub(in crate::store) fn seal_locked(&mut self, part: Part) {
        if let Some(refusal) = self.write_refusal() {
            return self.parts_not_sealed(part.request, part.key, refusal);
        }
        let upload = self.parts.get(part.key);
        let growing = upload.growing.as_ref().expect(GROWING);
        let nothing_answered = growing.written.as_slice().is_empty();
        if growing.noted || nothing_answered {
            return self.seal_noted(&part);
        }
        let mut ticket = upload.ticket(part.key, growing, &growing.written);
        ticket.sequence = 0;
        let (_, bytes) = ticket.encode(self.boot_id);
        let operation = Operation::CreateFile {
            path: layout::incoming_note(growing.serial),
            bytes: bytes.into(),
            existing: Existing::Overwrite,
            unless: None,
        };
        self.start(StoreFlight::Parts(Flight::Noted(part)), operation);
    }

    pub(super) fn parts_noted(&mut self, part: Part, completion: &Completion) {
        let upload = self.parts.get_mut(part.key);
        let growing = upload.growing.as_mut().expect(GROWING);
        match completion.result {
            Ok(_) => {
                growing.noted = true;
                self.seal_noted(&part);
            }
            Err(error) => {
                let path = growing.path();
                tracing::warn!(%path, %error, "cannot make a note of an upload");
                self.refuse(part.request, refusal(error));
                self.release(part.key);
                self.part_answered(part.key);
            }
        }
    }

    /// Writes the rest of the share, its lease and its header, cuts the ticket off, and syncs.
    fn seal_noted(&mut self, part: &Part) {
        let upload = self.parts.get(part.key);
        let growing = upload.growing.as_ref().expect(GROWING);
        let header = upload.header();
        let mut writes = part.pieces(&growing.written.missing(0, upload.size));
        let lease = Bytes::copy_from_slice(&upload.lease.record.encode());
        writes.push((header.leases_offset(), lease));
        writes.push((0, Bytes::copy_from_slice(&header.encode())));
        let path = growing.path();
        let size = header.file_size();
        let operation = match self.waiver() {
            None => Operation::Seal { path, writes, size },
            Some(_) => Operation::Patch {
                path,
                writes,
                size: Some(size),
            },
        };
        let sealing = Sealing {
            request: part.request,
            key: part.key,
            new: upload.size - growing.written.total(),
        };
        self.start(StoreFlight::Parts(Flight::Sealed(sealing)), operation);
    }

    pub(super) fn parts_sealed(&mut self, sealing: &Sealing, completion: &Completion) {
        let (request, key) = (sealing.request, sealing.key);
        let synced = match (self.waiver(), completion.result.as_ref()) {
            (Some(waiver), Ok(_)) => Ok(BytesDurable::waived(waiver)),
            (Some(_), Err(error)) => Err(*error),
            (None, _) => BytesDurable::synced(completion),
        };
        let upload = self.parts.get_mut(key);
        let path = upload.growing.as_ref().expect(GROWING).path();
        match synced {
            Ok(bytes) => {
                upload.promised -= sealing.new;
                self.space.keep(sealing.new);
                let naming = Naming::new(request, key, Origin::Parts);
                self.close_named(naming, path, bytes);
            }
            Err(error) => {
                tracing::warn!(%path, %error, "cannot finish an upload");
                self.parts_not_sealed(request, key, refusal(error));
            }
        }
    }

    /// Gives up an upload whose lock is owned.
    fn parts_not_sealed(&mut self, request: RequestId, key: ShareKey, refusal: Refusal) {
        let path = self.parts.get(key).path();
        self.parts_ended(request, key, Err(refusal));
        if let Some(path) = path {
            self.clean_up(path);
        }
        self.release(key);
    }
}

// A share that somebody else has stored meanwhile.
impl Store {
    /// Renews the lease on a share held, as what is left to do for an upload of it.
    pub(in crate::store) fn parts_held_locked(&mut self, request: RequestId, key: ShareKey) {
        let upload = self.parts.get_mut(key);
        let expiration = upload.lease.record.expiration;
        let Some(secrets) = upload.lease.secrets.take() else {
            // Of an earlier run, and its lease secrets with it. Whoever uploads asks again for the
            // bucket, and is told that the share is held.
            self.parts_ended(request, key, Err(Refusal::UnknownUpload));
            return self.release(key);
        };
        self.renew_locked(Renew {
            key,
            secrets,
            owner: LeaseOwner::Upload,
            expiration,
            then: Then::Parts(request),
        });
    }
}

impl Upload {
    fn path(&self) -> Option<StorePath> {
        self.growing.as_ref().map(Growing::path)
    }
}
