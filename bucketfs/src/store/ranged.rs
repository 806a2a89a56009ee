//! Ranged uploads: allocated, written in any order, found again after a restart.
//!
//! An allocation is a promise of space and a few hundred bytes in memory. A small share whose first
//! range is all of it is stored as a put. Any other grows in a file in incoming, which is opened
//! for each write and not kept open, so that thousands can be in progress; behind the share that file
//! holds a [`Ticket`], by which the upload is found when the process is started again. What nobody
//! writes to for [`limits::UPLOAD_IDLE`] is given up.
//!
//! The requests for one upload are done one after the other. While one of them is under way the
//! upload is *busy*: it stays in the table, and nobody else touches it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use lafs::{LeaseSecrets, UploadSecret, num};
use slab::Slab;

mod allocate;
mod seal;
mod write;

use super::context::{Context, Machinery, cleaned_up, is_held};
use super::event::{Machine, NotPublished, NotRenewed, PutOutcome, Renewed, Waiter};
use super::locks::Owned;
use super::reply::{Asker, Complete};
use super::space::{Measurement, cost};
use crate::container::{Header, Lease, Version};
use crate::disk::{Completion, Operation, StorePath};
use crate::durable::Durable;
use crate::keys::KeyMap;
use crate::layout::{self, ShareKey};
use crate::limits;
use crate::refusal::{AbortRangedRefusal, Unwritable, WriteRangeRefusal};
use crate::request::{AbortRanged, WriteRange};
use crate::ticket::{Ranges, SecretHash, Ticket};
use allocate::{Allocating, Leasing};
use seal::Sealing;
use write::Write;

/// All ranged uploads.
#[derive(Debug, Default)]
pub(super) struct RangedUploads {
    uploads: Table,
    allocations: Slab<Allocating>,
    /// For the lock of a share.
    waiting: Slab<Waiting>,
    /// For the disk.
    steps: Slab<Step>,
    /// For the lease on a share that is held.
    renewing: Slab<Renewing>,
    /// For a share to be stored, or have its name.
    storing: Slab<Asker<WriteRange>>,
}

/// The uploads by their shares.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_key: KeyMap<ShareKey, Upload>,
    /// When to look at each upload again; it may have been written to meanwhile.
    deadlines: BTreeSet<(Duration, ShareKey)>,
}

/// An upload in progress.
#[derive(Debug)]
struct Upload {
    secret: SecretHash,
    lease: FirstLease,
    size: u64,
    /// What the space account has promised and the disk does not have yet.
    promised: u64,
    /// When somebody last tried to write to it.
    touched: Duration,
    deadline: Duration,
    growing: Option<Growing>,
    /// Left by an earlier run, and its uploader has not come back: whoever allocates the share may
    /// have it. Tahoe's clients never come back.
    orphaned: bool,
    busy: bool,
    line: VecDeque<Wish>,
}

/// The lease that the share will have, made when it was allocated.
#[derive(Debug)]
struct FirstLease {
    version: Version,
    record: Lease,
    /// Not known after a restart.
    secrets: Option<Box<LeaseSecrets>>,
}

/// The file of an upload, and what of the share is in it.
#[derive(Debug)]
struct Growing {
    serial: u64,
    /// Of the next ticket.
    sequence: u64,
    written: Ranges,
    /// The note beside the file says that these ranges are there.
    noted: bool,
    /// How much its last write brought, once that has made it whole.
    sealed: u64,
}

/// A request for an upload.
#[derive(Debug)]
enum Wish {
    Write(Asker<WriteRange>, u64, Bytes),
    Abort(Asker<AbortRanged>),
}

#[derive(Debug)]
enum Waiting {
    /// The last range of a share.
    Seal(Write),
    /// A share that an allocation found held.
    Lease(Leasing),
}

/// Whose lease it is.
#[derive(Debug)]
enum Renewing {
    /// Of an allocation that found the share held.
    Allocation(usize),
    /// Of an upload whose share somebody else has stored.
    Upload(Asker<WriteRange>),
}

#[derive(Debug)]
enum Step {
    /// What the bucket of an allocation holds.
    List(usize),
    /// Nothing seemed free; the file system is asked once more.
    Space(usize, Measurement),
    /// The file for the first range is being made.
    Created(Write, u64),
    /// What is there already of a range is being read.
    Compared(Write),
    /// The rest of the range is being written, so that then these ranges are there.
    Written(Write, Ranges),
    /// The note is being made.
    Noted(Write, Owned),
    /// The share is whole and being synced.
    Sealed(Sealing),
    /// The file of an upload that was aborted goes.
    Aborted(Asker<AbortRanged>),
    /// Whether the share of an abort that fits no upload is held.
    Probe(Asker<AbortRanged>),
}

impl RangedUploads {
    /// Takes up what an earlier run has left.
    pub(super) fn new(uploads: Table) -> Self {
        Self {
            uploads,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.uploads.len()
    }

    /// When [`RangedUploads::expire`] may have something to do.
    pub(super) fn next_expiry(&self) -> Option<Duration> {
        self.uploads
            .deadlines
            .first()
            .map(|(deadline, _)| *deadline)
    }

    pub(super) fn write(&mut self, cx: &mut Context, asker: Asker<WriteRange>, write: WriteRange) {
        let upload = match self.uploads.admitted(write.key, &write.secret) {
            Ok(upload) => upload,
            Err(NotAdmitted::Unknown) => {
                return cx.refuse(asker, WriteRangeRefusal::UnknownUpload);
            }
            Err(NotAdmitted::WrongSecret) => {
                return cx.refuse(asker, WriteRangeRefusal::WrongSecret);
            }
        };
        upload.touched = cx.elapsed();
        upload.orphaned = false;
        let size = upload.size;
        let len = write.bytes.len();
        let fits = write.offset.checked_add(num::size(len));
        let fits = fits.is_some_and(|end| end <= size);
        if len > limits::WRITE_LEN {
            let limit = limits::write_size();
            return cx.refuse(asker, WriteRangeRefusal::TooLarge { limit });
        }
        if !fits {
            return cx.refuse(asker, WriteRangeRefusal::BeyondEnd { size });
        }
        let wish = Wish::Write(asker, write.offset, write.bytes);
        upload.line.push_back(wish);
        self.take_up(cx, write.key);
    }

    pub(super) fn abort(
        &mut self,
        cx: &mut Context,
        asker: Asker<AbortRanged>,
        abort: &AbortRanged,
    ) {
        match self.uploads.admitted(abort.key, &abort.secret) {
            Ok(upload) => {
                upload.line.push_back(Wish::Abort(asker));
                self.take_up(cx, abort.key);
            }
            Err(NotAdmitted::Unknown) if cx.pending(abort.key).is_some() => {
                cx.refuse(asker, AbortRangedRefusal::AlreadyHeld);
            }
            Err(NotAdmitted::Unknown) => {
                let operation = cx.probe(abort.key);
                self.start(cx, Step::Probe(asker), operation);
            }
            Err(NotAdmitted::WrongSecret) => cx.refuse(asker, AbortRangedRefusal::WrongSecret),
        }
    }

    /// Takes up the requests that wait for an upload, until one has to wait for the disk.
    fn take_up(&mut self, cx: &mut Context, key: ShareKey) {
        while let Some(wish) = self.uploads.next_wish(key) {
            match wish {
                Wish::Abort(asker) => self.aborted(cx, asker, key),
                Wish::Write(asker, offset, bytes) => self.begin_write(
                    cx,
                    Write {
                        asker,
                        key,
                        offset,
                        bytes,
                    },
                ),
            }
        }
    }

    /// Ends the request under way; the upload stays.
    fn answered(&mut self, cx: &mut Context, key: ShareKey) {
        self.uploads.get_mut(key).busy = false;
        self.take_up(cx, key);
    }

    /// The upload is not busy: a request for it has just been taken up.
    fn aborted(&mut self, cx: &mut Context, asker: Asker<AbortRanged>, key: ShareKey) {
        match self.given_up(cx, key) {
            Some(path) => {
                let operation = Operation::Remove { path, prune: 0 };
                self.start(cx, Step::Aborted(asker), operation);
            }
            None => cx.tell(asker, ()),
        }
    }

    /// Gives up an orphaned upload for somebody who comes with another secret.
    fn give_way(&mut self, cx: &mut Context, key: ShareKey, to: &SecretHash) {
        let upload = self.uploads.by_key.get(&key);
        if !upload.is_some_and(|upload| upload.orphaned && upload.secret != *to) {
            return;
        }
        if let Some(path) = self.given_up(cx, key) {
            cx.clean_up(path);
        }
    }

    /// Gives up what nobody has written to for too long.
    pub(super) fn expire(&mut self, cx: &mut Context) {
        while let Some(key) = self.uploads.due(cx.elapsed()) {
            if let Some(path) = self.given_up(cx, key) {
                cx.clean_up(path);
            }
        }
    }

    /// Takes an upload out that comes to nothing; returns its file, for the caller to remove.
    fn given_up(&mut self, cx: &mut Context, key: ShareKey) -> Option<StorePath> {
        let upload = self.taken_out(cx, key);
        for wish in upload.line {
            match wish {
                Wish::Write(asker, ..) => cx.refuse(asker, WriteRangeRefusal::UnknownUpload),
                Wish::Abort(asker) => cx.refuse(asker, AbortRangedRefusal::UnknownUpload),
            }
        }
        upload.growing.map(|growing| growing.path())
    }

    /// Takes an upload out whose share is held now, or never will be by its doing.
    fn ended(
        &mut self,
        cx: &mut Context,
        asker: Asker<WriteRange>,
        key: ShareKey,
        result: Result<Durable, WriteRangeRefusal>,
    ) {
        let upload = self.taken_out(cx, key);
        let held = result.is_ok();
        match result {
            Ok(durable) => cx.acknowledge(asker, Complete, durable),
            Err(refusal) => cx.refuse(asker, refusal),
        }
        for wish in upload.line {
            match wish {
                Wish::Write(asker, ..) => cx.refuse(asker, WriteRangeRefusal::UnknownUpload),
                Wish::Abort(asker) if held => cx.refuse(asker, AbortRangedRefusal::AlreadyHeld),
                Wish::Abort(asker) => cx.refuse(asker, AbortRangedRefusal::UnknownUpload),
            }
        }
    }

    fn taken_out(&mut self, cx: &mut Context, key: ShareKey) -> Upload {
        let upload = self.uploads.remove(key);
        cx.end_progress(key);
        cx.cancel(upload.promised);
        if let Some(growing) = &upload.growing {
            cx.end_growth(growing.written.total() + growing.sealed);
        }
        let noted = upload.growing.as_ref().filter(|growing| growing.noted);
        if let Some(growing) = noted {
            cx.clean_up(layout::incoming_note(growing.serial));
        }
        upload
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }
}

impl Machinery for RangedUploads {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        match self.waiting.remove(index) {
            Waiting::Seal(write) => self.seal(cx, write, owned),
            Waiting::Lease(leasing) => self.renew_held(cx, leasing, owned),
        }
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::List(allocation) => self.bucket_listed(cx, allocation, completion),
            Step::Space(allocation, measurement) => {
                cx.measured(measurement, &completion);
                self.promise(cx, allocation);
            }
            Step::Created(write, serial) => self.file_created(cx, write, serial, &completion),
            Step::Compared(write) => self.compared(cx, write, completion),
            Step::Written(write, after) => self.written(cx, write, after, &completion),
            Step::Noted(write, owned) => self.noted(cx, write, owned, &completion),
            Step::Sealed(sealing) => self.sealed(cx, sealing, &completion),
            Step::Aborted(asker) => {
                cleaned_up(&completion);
                cx.tell(asker, ());
            }
            Step::Probe(asker) => {
                let refusal = match is_held(&completion) {
                    Ok(true) => AbortRangedRefusal::AlreadyHeld,
                    Ok(false) => AbortRangedRefusal::UnknownUpload,
                    Err(error) => error.into(),
                };
                cx.refuse(asker, refusal);
            }
        }
    }

    fn renewed(
        &mut self,
        cx: &mut Context,
        index: usize,
        owned: Owned,
        result: Result<Renewed, NotRenewed>,
    ) {
        let key = owned.key();
        match self.renewing.remove(index) {
            Renewing::Allocation(allocation) => {
                self.allocation_leased(cx, allocation, key.share_number, result);
            }
            Renewing::Upload(asker) => {
                let result = match result {
                    Ok(renewed) => Ok(renewed.durable),
                    Err(NotRenewed::Refused(refusal)) => Err(refusal.into()),
                    Err(NotRenewed::NotABucket) => unreachable!("leases of slots were asked for"),
                };
                self.ended(cx, asker, key, result);
            }
        }
        cx.release(owned);
    }

    fn published(
        &mut self,
        cx: &mut Context,
        index: usize,
        owned: Owned,
        result: Result<Durable, NotPublished>,
    ) {
        let key = owned.key();
        let outcome = match result {
            // Somebody else stored it between the allocation and now.
            Err(NotPublished::AlreadyHeld(_)) => {
                return self.put(cx, index, PutOutcome::AlreadyHeld(owned));
            }
            Ok(durable) => PutOutcome::Stored(key, durable),
            Err(NotPublished::Refused(refusal)) => PutOutcome::Refused(key, refusal),
        };
        self.put(cx, index, outcome);
        cx.release(owned);
    }
}

impl Growing {
    fn path(&self) -> StorePath {
        layout::incoming_ranged(self.serial)
    }
}

/// Why a request is not for an upload.
enum NotAdmitted {
    Unknown,
    WrongSecret,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn contains(&self, key: ShareKey) -> bool {
        self.by_key.contains_key(&key)
    }

    /// The shares that are in progress.
    pub(super) fn keys(&self) -> impl Iterator<Item = ShareKey> {
        self.by_key.keys().copied()
    }

    /// Resumes an upload of an earlier run, in the file that it was found in; returns what space it
    /// is to be promised.
    ///
    /// A ticket that was found in the note is not in the file any more: the next one is its first.
    pub(super) fn resume(
        &mut self,
        ticket: Ticket,
        (serial, noted): (u64, bool),
        now: Duration,
    ) -> u64 {
        let all = cost(seal::sealed_size(ticket.size));
        let promised = all.saturating_sub(ticket.written.total());
        let upload = Upload {
            secret: ticket.secret,
            lease: FirstLease {
                version: ticket.version,
                record: ticket.lease,
                secrets: None,
            },
            size: ticket.size,
            promised,
            touched: now,
            deadline: now + limits::UPLOAD_IDLE,
            growing: Some(Growing {
                serial,
                sequence: if noted { 0 } else { ticket.sequence + 1 },
                written: ticket.written,
                noted,
                sealed: 0,
            }),
            orphaned: true,
            busy: false,
            line: VecDeque::new(),
        };
        self.insert(ticket.key, upload);
        promised
    }

    fn insert(&mut self, key: ShareKey, upload: Upload) {
        self.deadlines.insert((upload.deadline, key));
        let before = self.by_key.insert(key, upload);
        assert!(before.is_none(), "a share is in progress once");
    }

    fn remove(&mut self, key: ShareKey) -> Upload {
        let upload = self.by_key.remove(&key).expect(IN_PROGRESS);
        self.deadlines.remove(&(upload.deadline, key));
        if self.by_key.is_empty() {
            // A burst is over; idle, the store takes little memory.
            self.by_key = KeyMap::default();
        }
        upload
    }

    fn get(&self, key: ShareKey) -> &Upload {
        self.by_key.get(&key).expect(IN_PROGRESS)
    }

    fn get_mut(&mut self, key: ShareKey) -> &mut Upload {
        self.by_key.get_mut(&key).expect(IN_PROGRESS)
    }

    /// The upload, if there is one and its secret is known.
    fn admitted(
        &mut self,
        key: ShareKey,
        secret: &UploadSecret,
    ) -> Result<&mut Upload, NotAdmitted> {
        match self.by_key.get_mut(&key) {
            None => Err(NotAdmitted::Unknown),
            Some(upload) if upload.secret != SecretHash::of(secret) => {
                Err(NotAdmitted::WrongSecret)
            }
            Some(upload) => Ok(upload),
        }
    }

    /// The next request for an upload, if it is there and not busy.
    fn next_wish(&mut self, key: ShareKey) -> Option<Wish> {
        let upload = self.by_key.get_mut(&key)?;
        if upload.busy {
            return None;
        }
        upload.line.pop_front()
    }

    /// An upload that is to be given up; moves the deadlines of those that are not on.
    fn due(&mut self, now: Duration) -> Option<ShareKey> {
        loop {
            let (_, key) = *self.deadlines.first().filter(|(at, _)| *at <= now)?;
            let upload = self.by_key.get_mut(&key).expect(IN_PROGRESS);
            let began = if upload.busy { now } else { upload.touched };
            let deadline = began + limits::UPLOAD_IDLE;
            if deadline <= now {
                return Some(key);
            }
            self.deadlines.remove(&(upload.deadline, key));
            upload.deadline = deadline;
            self.deadlines.insert((deadline, key));
        }
    }
}

impl Upload {
    /// The ticket that says that these ranges are there.
    fn ticket(&self, key: ShareKey, growing: &Growing, written: &Ranges) -> Ticket {
        Ticket {
            sequence: growing.sequence,
            key,
            size: self.size,
            secret: self.secret.clone(),
            version: self.lease.version,
            lease: self.lease.record.clone(),
            written: written.clone(),
        }
    }

    /// The header of its container.
    fn header(&self) -> Header {
        Header::new(self.lease.version, self.size)
    }

    /// What of the share is not there.
    fn missing(&self) -> Vec<(u64, u64)> {
        match &self.growing {
            Some(growing) => growing.written.missing(0, self.size),
            None => vec![(0, self.size)],
        }
    }

    fn path(&self) -> Option<StorePath> {
        self.growing.as_ref().map(Growing::path)
    }
}

const IN_PROGRESS: &str = "an upload stays while somebody is at work on it";

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Ranged,
        index,
    }
}

fn refused(refusal: Unwritable) -> Result<Durable, WriteRangeRefusal> {
    Err(refusal.into())
}
