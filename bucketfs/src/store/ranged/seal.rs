//! How a ranged upload becomes a share: a small one in one write as a put, any other by its own
//! sync, and then by its name like every other share.

use bytes::Bytes;

use super::write::{GROWING, Write};
use super::{RangedUploads, Renewing, Step, refused, waiter};
use crate::container::{Header, Version};
use crate::disk::{Completion, Existing, Operation};
use crate::durable::BytesDurable;
use crate::layout::{self, ShareKey};
use crate::refusal::{Unwritable, WriteRangeRefusal};
use crate::request::{LeaseOwner, WriteRange};
use crate::store::context::{Context, unwritable};
use crate::store::event::{Event, Publish, PutOutcome, PutRanged, Renew};
use crate::store::locks::Owned;
use crate::store::reply::Asker;

/// A share that was written whole, and its lock.
#[derive(Debug)]
pub(super) struct Sealing {
    asker: Asker<WriteRange>,
    owned: Owned,
    /// How many bytes its last write brings.
    new: u64,
}

/// The size of a container of a share of this size, with one lease.
pub(super) fn sealed_size(size: u64) -> u64 {
    // An absurd size is asked for by somebody, and promised to nobody.
    let around = Header::new(Version::Two, 0).file_size();
    size.saturating_add(around)
}

// A share in one write.
impl RangedUploads {
    /// Takes the way of a put, which takes over what was promised.
    pub(super) fn put_whole(&mut self, cx: &mut Context, write: Write) {
        let upload = self.uploads.get_mut(write.key);
        upload.promised = 0;
        let lease = &upload.lease;
        let put = PutRanged {
            key: write.key,
            container: crate::container::encode(lease.version, &write.bytes, &lease.record),
            then: waiter(self.storing.insert(write.asker)),
        };
        cx.send(Event::PutRanged(put));
    }

    /// The share is stored, or was before, or will not be.
    pub(in crate::store) fn put(&mut self, cx: &mut Context, index: usize, outcome: PutOutcome) {
        let asker = self.storing.remove(index);
        match outcome {
            PutOutcome::Stored(key, durable) => self.ended(cx, asker, key, Ok(durable)),
            PutOutcome::Refused(key, refusal) => self.ended(cx, asker, key, refused(refusal)),
            PutOutcome::AlreadyHeld(owned) => self.held(cx, asker, owned),
        }
    }
}

// A share in several.
impl RangedUploads {
    /// Makes a note of what was answered: the share's file is about to lose its ticket.
    ///
    /// Without it a process killed between that and the new name would leave an orphaned file.
    pub(super) fn seal(&mut self, cx: &mut Context, write: Write, owned: Owned) {
        if let Some(refusal) = cx.write_refusal() {
            return self.not_sealed(cx, write.asker, owned, refusal);
        }
        let upload = self.uploads.get(write.key);
        let growing = upload.growing.as_ref().expect(GROWING);
        let nothing_answered = growing.written.as_slice().is_empty();
        if growing.noted || nothing_answered {
            return self.seal_noted(cx, write, owned);
        }
        let mut ticket = upload.ticket(write.key, growing, &growing.written);
        ticket.sequence = 0;
        let (_, bytes) = ticket.encode(cx.settings.boot_id);
        let operation = Operation::CreateFile {
            path: layout::incoming_note(growing.serial),
            bytes: bytes.into(),
            existing: Existing::Overwrite,
            unless: None,
        };
        self.start(cx, Step::Noted(write, owned), operation);
    }

    pub(super) fn noted(
        &mut self,
        cx: &mut Context,
        write: Write,
        owned: Owned,
        completion: &Completion,
    ) {
        let upload = self.uploads.get_mut(write.key);
        let growing = upload.growing.as_mut().expect(GROWING);
        match completion.result {
            Ok(_) => {
                growing.noted = true;
                self.seal_noted(cx, write, owned);
            }
            Err(error) => {
                let path = growing.path();
                tracing::warn!(%path, %error, "cannot make a note of an upload");
                cx.release(owned);
                self.write_refused(cx, write, unwritable(error));
            }
        }
    }

    /// Writes the rest of the share, its lease and its header, cuts the ticket off, and syncs.
    fn seal_noted(&mut self, cx: &mut Context, write: Write, owned: Owned) {
        let upload = self.uploads.get(write.key);
        let growing = upload.growing.as_ref().expect(GROWING);
        let header = upload.header();
        let mut writes = write.pieces(&growing.written.missing(0, upload.size));
        let lease = Bytes::copy_from_slice(&upload.lease.record.encode());
        writes.push((header.leases_offset(), lease));
        writes.push((0, Bytes::copy_from_slice(&header.encode())));
        let path = growing.path();
        let size = header.file_size();
        let operation = match cx.waiver() {
            None => Operation::Seal { path, writes, size },
            Some(_) => Operation::Patch {
                path,
                writes,
                size: Some(size),
            },
        };
        let sealing = Sealing {
            asker: write.asker,
            owned,
            new: upload.size - growing.written.total(),
        };
        self.start(cx, Step::Sealed(sealing), operation);
    }

    pub(super) fn sealed(&mut self, cx: &mut Context, sealing: Sealing, completion: &Completion) {
        let synced = match (cx.waiver(), completion.result.as_ref()) {
            (Some(waiver), Ok(_)) => Ok(BytesDurable::waived(waiver)),
            (Some(_), Err(error)) => Err(*error),
            (None, _) => BytesDurable::synced(completion),
        };
        let Sealing { asker, owned, new } = sealing;
        let upload = self.uploads.get_mut(owned.key());
        let path = upload.path().expect(GROWING);
        match synced {
            Ok(bytes) => {
                upload.promised -= new;
                cx.grow(new);
                let size = upload.header().file_size();
                upload.growing.as_mut().expect(GROWING).sealed = new;
                let publish = Publish {
                    owned,
                    size,
                    source: path,
                    bytes,
                    then: waiter(self.storing.insert(asker)),
                };
                cx.send(Event::Publish(publish));
            }
            Err(error) => {
                tracing::warn!(%path, %error, "cannot finish an upload");
                self.not_sealed(cx, asker, owned, unwritable(error));
            }
        }
    }

    /// Gives up an upload whose lock is owned.
    fn not_sealed(
        &mut self,
        cx: &mut Context,
        asker: Asker<WriteRange>,
        owned: Owned,
        refusal: Unwritable,
    ) {
        let key: ShareKey = owned.key();
        let path = self.uploads.get(key).path();
        self.ended(cx, asker, key, refused(refusal));
        if let Some(path) = path {
            cx.clean_up(path);
        }
        cx.release(owned);
    }
}

// A share that somebody else has stored meanwhile.
impl RangedUploads {
    /// Renews the lease on a share held, as what is left to do for an upload of it.
    fn held(&mut self, cx: &mut Context, asker: Asker<WriteRange>, owned: Owned) {
        let key = owned.key();
        let upload = self.uploads.get_mut(key);
        let expiration = upload.lease.record.expiration;
        let Some(secrets) = upload.lease.secrets.take() else {
            // Of an earlier run, and its lease secrets with it. Whoever uploads asks again for the
            // bucket, and is told that the share is held.
            self.ended(cx, asker, key, Err(WriteRangeRefusal::UnknownUpload));
            return cx.release(owned);
        };
        let renew = Renew {
            owned,
            secrets,
            owner: LeaseOwner::Upload,
            expiration,
            only_buckets: false,
            then: waiter(self.renewing.insert(Renewing::Upload(asker))),
        };
        cx.send(Event::Renew(renew));
    }
}
