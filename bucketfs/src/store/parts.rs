//! Uploads of parts: allocated, written in any order, found again after a restart.
//!
//! An allocation is a promise of space and a few hundred bytes in memory. A small share whose first
//! part is all of it goes the way of a put. Any other grows in a file in incoming, which is opened
//! for each part and not kept open, so that thousands can be in progress; behind the share that file
//! holds a [`ticket`], by which the upload is found when the process is started again. What nobody
//! writes to for [`Limits::UPLOAD_IDLE`] is given up.
//!
//! The requests for one upload are done one after the other. While one of them is under way the
//! upload is *busy*: it stays in the table, and nobody else touches it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use lafs::{LeaseSecrets, UploadSecret, num};

mod finish;
pub(crate) mod ranges;
pub(crate) mod ticket;
mod write;

use super::space::cost;
use super::{Answer, Flight as StoreFlight, LeaseOwner, Limits, RequestId, Store, is_held};
use crate::container::{Header, Lease, Version};
use crate::disk::{Completion, Operation, StorePath};
use crate::durable::Durable;
use crate::error::Refusal;
use crate::layout::{self, ShareKey};
use ranges::Ranges;
use ticket::{SecretHash, Ticket};

use finish::Sealing;
pub(super) use finish::sealed_size;
pub(super) use write::Part;

/// All uploads of parts.
#[derive(Debug, Default)]
pub(super) struct Parts {
    uploads: HashMap<ShareKey, Upload>,
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
    busy: bool,
    line: VecDeque<Waiting>,
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
}

/// A request for an upload.
#[derive(Debug)]
struct Waiting {
    request: RequestId,
    wish: Wish,
}

#[derive(Debug)]
enum Wish {
    Write { offset: u64, bytes: Bytes },
    Abort,
}

/// What a new upload begins with.
#[derive(Debug)]
pub(super) struct Allocation<'a> {
    pub(super) key: ShareKey,
    pub(super) size: u64,
    pub(super) secret: &'a SecretHash,
    pub(super) lease: &'a LeaseSecrets,
    pub(super) expiration: u32,
}

#[derive(Debug)]
pub(super) enum Flight {
    /// The file for the first part is being made.
    Created(Part, u64),
    /// What is there already of a part is being read.
    Compared(Part),
    /// The rest of the part is being written, so that then these ranges are there.
    Written(Part, Ranges),
    /// The note is being made; the flight owns the share's lock, and so does the next.
    Noted(Part),
    /// The share is whole and being synced.
    Sealed(Sealing),
    /// The file of an upload that was aborted goes.
    Aborted(RequestId),
    /// Whether the share of an abort that fits no upload is held.
    Probe(RequestId),
}

impl Store {
    /// Begins an upload, for which [`cost`] of its [`sealed_size`] was promised.
    pub(super) fn begin_parts(&mut self, allocation: &Allocation<'_>) {
        let version = self.container_version;
        let owner = LeaseOwner::Upload.number();
        let record = Lease::new(version, allocation.lease, owner, allocation.expiration);
        let upload = Upload {
            secret: allocation.secret.clone(),
            lease: FirstLease {
                version,
                record,
                secrets: Some(Box::new(allocation.lease.clone())),
            },
            size: allocation.size,
            promised: cost(sealed_size(allocation.size)),
            touched: self.now.elapsed,
            deadline: self.now.elapsed + Limits::UPLOAD_IDLE,
            growing: None,
            busy: false,
            line: VecDeque::new(),
        };
        self.parts.insert(allocation.key, upload);
    }

    pub(super) fn write_part(
        &mut self,
        request: RequestId,
        key: ShareKey,
        secret: &UploadSecret,
        offset: u64,
        bytes: Bytes,
    ) {
        let now = self.now.elapsed;
        let upload = match self.parts.admitted(key, secret) {
            Ok(upload) => upload,
            Err(refusal) => return self.refuse(request, refusal),
        };
        upload.touched = now;
        let size = upload.size;
        let fits = offset
            .checked_add(num::size(bytes.len()))
            .is_some_and(|end| end <= size);
        if bytes.len() > Limits::WRITE_LEN {
            let limit = num::size(Limits::WRITE_LEN);
            return self.refuse(request, Refusal::TooLarge { limit });
        }
        if !fits {
            return self.refuse(request, Refusal::BeyondEnd { size });
        }
        let wish = Wish::Write { offset, bytes };
        upload.line.push_back(Waiting { request, wish });
        self.go_on_with_parts(key);
    }

    pub(super) fn abort_parts(&mut self, request: RequestId, key: ShareKey, secret: &UploadSecret) {
        match self.parts.admitted(key, secret) {
            Ok(upload) => {
                let wish = Wish::Abort;
                upload.line.push_back(Waiting { request, wish });
                self.go_on_with_parts(key);
            }
            Err(Refusal::UnknownUpload) => {
                let operation = self.probe(key);
                let flight = Flight::Probe(request);
                self.start(StoreFlight::Parts(flight), operation);
            }
            Err(refusal) => self.refuse(request, refusal),
        }
    }

    /// Takes up the requests that wait for an upload, until one has to wait for the disk.
    fn go_on_with_parts(&mut self, key: ShareKey) {
        while let Some(Waiting { request, wish }) = self.parts.next_waiting(key) {
            match wish {
                Wish::Abort => self.aborted(request, key),
                Wish::Write { offset, bytes } => self.begin_part(Part {
                    request,
                    key,
                    offset,
                    bytes,
                }),
            }
        }
    }

    /// Ends the request under way for an upload that goes on.
    fn part_answered(&mut self, key: ShareKey) {
        self.parts.get_mut(key).busy = false;
        self.go_on_with_parts(key);
    }

    pub(super) fn parts_completed(&mut self, flight: Flight, completion: Completion) {
        match flight {
            Flight::Created(part, serial) => self.part_file_created(part, serial, &completion),
            Flight::Compared(part) => self.part_compared(part, completion),
            Flight::Written(part, written) => self.part_written(&part, written, &completion),
            Flight::Noted(part) => self.parts_noted(part, &completion),
            Flight::Sealed(sealing) => self.parts_sealed(&sealing, &completion),
            Flight::Aborted(request) => {
                self.cleaned_up(&completion);
                self.answer(request, Answer::Aborted);
            }
            Flight::Probe(request) => {
                let refusal = match is_held(&completion) {
                    Ok(true) => Refusal::AlreadyHeld,
                    Ok(false) => Refusal::UnknownUpload,
                    Err(error) => Refusal::Disk(error),
                };
                self.refuse(request, refusal);
            }
        }
    }

    /// The upload is not busy: a request for it has just been taken up.
    fn aborted(&mut self, request: RequestId, key: ShareKey) {
        match self.parts_given_up(key) {
            Some(path) => {
                let flight = Flight::Aborted(request);
                let operation = Operation::Remove { path, prune: 0 };
                self.start(StoreFlight::Parts(flight), operation);
            }
            None => self.answer(request, Answer::Aborted),
        }
    }

    /// Gives up what nobody has written to for too long.
    pub(super) fn expire_parts(&mut self) {
        let now = self.now.elapsed;
        while let Some(key) = self.parts.due(now) {
            if let Some(path) = self.parts_given_up(key) {
                self.clean_up(path);
            }
        }
    }

    /// Takes an upload out that comes to nothing; returns its file, for the caller to remove.
    fn parts_given_up(&mut self, key: ShareKey) -> Option<StorePath> {
        let upload = self.parts.remove(key);
        self.space.cancel(upload.promised);
        self.clean_up_note(&upload);
        for waiting in upload.line {
            self.refuse(waiting.request, Refusal::UnknownUpload);
        }
        upload.growing.map(|growing| growing.path())
    }

    /// Takes an upload out whose share is held now, or never will be by its doing.
    pub(super) fn parts_ended(
        &mut self,
        request: RequestId,
        key: ShareKey,
        result: Result<Durable, Refusal>,
    ) {
        let upload = self.parts.remove(key);
        self.space.cancel(upload.promised);
        self.clean_up_note(&upload);
        let held = result.is_ok();
        match result {
            Ok(durable) => {
                let missing = Vec::new();
                self.acknowledge(request, Answer::PartWritten { missing }, durable);
            }
            Err(refusal) => self.refuse(request, refusal),
        }
        for waiting in upload.line {
            let refusal = match waiting.wish {
                Wish::Abort if held => Refusal::AlreadyHeld,
                Wish::Abort | Wish::Write { .. } => Refusal::UnknownUpload,
            };
            self.refuse(waiting.request, refusal);
        }
    }
}

impl Store {
    fn clean_up_note(&mut self, upload: &Upload) {
        let noted = upload.growing.as_ref().filter(|growing| growing.noted);
        if let Some(growing) = noted {
            self.clean_up(layout::incoming_note(growing.serial));
        }
    }
}

impl Growing {
    fn path(&self) -> StorePath {
        layout::incoming_parts(self.serial)
    }
}

impl Parts {
    pub(super) fn len(&self) -> usize {
        self.uploads.len()
    }

    pub(super) fn is_in_progress(&self, key: ShareKey) -> bool {
        self.uploads.contains_key(&key)
    }

    /// When [`Store::expire_parts`] may have something to do.
    pub(super) fn next_expiry(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Goes on with an upload of an earlier run, in the file that it was found in.
    ///
    /// A ticket that was found in the note is not in the file any more: the next one is its first.
    pub(super) fn resume(
        &mut self,
        ticket: Ticket,
        (serial, noted): (u64, bool),
        now: Duration,
    ) -> u64 {
        let all = cost(sealed_size(ticket.size));
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
            deadline: now + Limits::UPLOAD_IDLE,
            growing: Some(Growing {
                serial,
                sequence: if noted { 0 } else { ticket.sequence + 1 },
                written: ticket.written,
                noted,
            }),
            busy: false,
            line: VecDeque::new(),
        };
        self.insert(ticket.key, upload);
        promised
    }

    fn insert(&mut self, key: ShareKey, upload: Upload) {
        self.deadlines.insert((upload.deadline, key));
        let before = self.uploads.insert(key, upload);
        assert!(before.is_none(), "a share is in progress once");
    }

    fn remove(&mut self, key: ShareKey) -> Upload {
        let upload = self.uploads.remove(&key).expect(IN_PROGRESS);
        self.deadlines.remove(&(upload.deadline, key));
        if self.uploads.is_empty() {
            // A burst is over; idle, the store takes little memory.
            self.uploads = HashMap::new();
        }
        upload
    }

    fn get(&self, key: ShareKey) -> &Upload {
        self.uploads.get(&key).expect(IN_PROGRESS)
    }

    fn get_mut(&mut self, key: ShareKey) -> &mut Upload {
        self.uploads.get_mut(&key).expect(IN_PROGRESS)
    }

    /// The upload, if there is one and its secret is known.
    fn admitted(&mut self, key: ShareKey, secret: &UploadSecret) -> Result<&mut Upload, Refusal> {
        match self.uploads.get_mut(&key) {
            None => Err(Refusal::UnknownUpload),
            Some(upload) if upload.secret != SecretHash::of(secret) => Err(Refusal::WrongSecret),
            Some(upload) => Ok(upload),
        }
    }

    /// The next request for an upload, if it is there and not busy.
    fn next_waiting(&mut self, key: ShareKey) -> Option<Waiting> {
        let upload = self.uploads.get_mut(&key)?;
        if upload.busy {
            return None;
        }
        upload.line.pop_front()
    }

    /// An upload that is to be given up; moves the deadlines of those that are not on.
    fn due(&mut self, now: Duration) -> Option<ShareKey> {
        loop {
            let (_, key) = *self.deadlines.first().filter(|(at, _)| *at <= now)?;
            let upload = self.uploads.get_mut(&key).expect(IN_PROGRESS);
            let began = if upload.busy { now } else { upload.touched };
            let deadline = began + Limits::UPLOAD_IDLE;
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
}

const IN_PROGRESS: &str = "an upload stays while somebody is at work on it";
