//! Uploads in progress: opened, written front to back, resumed, given up.
//!
//! An upload is a file in incoming that is kept open, with room for the header in front. It is of
//! one share, and whoever knows its upload secret may go on with it, over any connection: the one
//! that opened or resumed it last is its owner, and earlier ones have lost it. What nobody writes
//! to for [`Limits::UPLOAD_IDLE`] is given up. Finishing one is told in `close`.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use lafs::{LeaseSecrets, UploadSecret};
use slab::Slab;

mod end;
mod write;

use super::lease::{Renew, Then};
use super::space::{Measurement, cost};
use super::{
    Answer, Flight as StoreFlight, LeaseOwner, Limits, RequestId, Store, Task, close, is_held,
    refusal,
};
use crate::disk::{Completion, FileId, OPEN_FILES_MAX, OpenMode, Operation, StorePath};
use crate::error::Refusal;
use crate::journal::log;
use crate::layout::ShareKey;

/// A request to begin or resume an upload.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) request: RequestId,
    pub(super) key: ShareKey,
    pub(super) secret: UploadSecret,
    pub(super) lease: Box<LeaseSecrets>,
    pub(super) expiration: u32,
    pub(super) size: Option<u64>,
    pub(super) resume: bool,
}

/// The next bytes of an upload.
#[derive(Debug)]
pub(super) struct Write {
    request: RequestId,
    offset: u64,
    bytes: Bytes,
}

impl Write {
    pub(super) fn new(request: RequestId, offset: u64, bytes: Bytes) -> Self {
        Self {
            request,
            offset,
            bytes,
        }
    }
}

/// An upload in progress.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: ShareKey,
    pub(super) file: FileId,
    pub(super) incoming: StorePath,
    pub(super) lease: Box<LeaseSecrets>,
    /// Of its lease: counted from the request that opened or resumed it, as in Tahoe.
    pub(super) expiration: u32,
    secret: UploadSecret,
    size: Option<u64>,
    owner: Option<RequestId>,
    touched: Duration,
    /// Where the next write must begin.
    accepted: u64,
    /// Writes that the disk has not ended.
    writing: usize,
    /// What the space account has promised and the disk does not have yet.
    promised: u64,
    failure: Option<Refusal>,
    state: State,
}

#[derive(Debug)]
enum State {
    Writing,
    /// Waits for its lock, or its last writes.
    Closing(Option<close::Closing>),
    /// Waits for its last writes, then goes; this request wants to know.
    Ending(Option<RequestId>),
}

/// All uploads.
#[derive(Debug)]
pub(super) struct Uploads {
    table: Slab<Upload>,
    by_key: HashMap<ShareKey, usize>,
    handles: HashMap<RequestId, Handle>,
    free_files: Vec<FileId>,
    /// Each waits for an upload that is ending to be gone, and owns its share's lock.
    waiting: VecDeque<Open>,
    /// No upload expires before this.
    next_expiry: Option<Duration>,
}

/// What the id of an open request leads to.
#[derive(Debug)]
enum Handle {
    /// Not open yet; these requests came meanwhile.
    Opening(Vec<Queued>),
    Open(usize),
}

/// A request for an upload that is being opened.
#[derive(Debug)]
enum Queued {
    Write(Write),
    Close(RequestId, u64),
    Abort(RequestId),
    Detach(RequestId),
}

#[derive(Debug)]
pub(super) enum Flight {
    /// Whether the share is held.
    Probe(Open),
    /// Nothing seemed free; the file system is asked once more.
    Space(Open, Measurement),
    /// The new file in incoming.
    File(Open, FileId, StorePath),
    /// So many bytes of an upload, for a request.
    Write(usize, RequestId, u64),
    /// The file of an upload that is given up is closed, then removed.
    Closed(usize),
    Removed(usize),
}

impl Store {
    pub(super) fn open_upload(&mut self, open: Open) {
        if open.size.is_some_and(|size| size > Limits::SHARE_SIZE) {
            let limit = Limits::SHARE_SIZE;
            return self.refuse(open.request, Refusal::TooLarge { limit });
        }
        let handle = Handle::Opening(Vec::new());
        self.uploads.handles.insert(open.request, handle);
        self.acquire(open.key, Task::Open(open));
    }

    pub(super) fn open_locked(&mut self, open: Open) {
        if let Some(refusal) = self.write_refusal() {
            return self.open_refused(&open, refusal);
        }
        if self.parts.is_in_progress(open.key) {
            return self.open_refused(&open, Refusal::InProgress);
        }
        if let Some(&index) = self.uploads.by_key.get(&open.key) {
            let upload = &self.uploads.table[index];
            if upload.secret != open.secret {
                return self.open_refused(&open, Refusal::InProgress);
            }
            if matches!(upload.state, State::Closing(_)) {
                // Its close is next in line, or it would hold the lock.
                let key = open.key;
                let at_once = self.locks.acquire(key, Task::Open(open));
                assert!(at_once.is_none(), "this task holds the lock");
                return self.release(key);
            }
            let same_size = open.size.is_none() || upload.size == open.size;
            if open.resume && same_size && upload.failure.is_none() {
                return self.resume_upload(open, index);
            }
            self.end_upload(index, None);
        }
        let operation = self.probe(open.key);
        let flight = Flight::Probe(open);
        self.start(StoreFlight::Upload(flight), operation);
    }

    fn resume_upload(&mut self, open: Open, index: usize) {
        let upload = &mut self.uploads.table[index];
        let before = upload.owner.replace(open.request);
        upload.lease = open.lease;
        upload.expiration = open.expiration;
        upload.touched = self.now.elapsed;
        let offset = upload.accepted;
        if let Some(before) = before {
            self.uploads.handles.remove(&before);
        }
        self.opened(open.request, index, offset);
        self.release(open.key);
    }

    fn probed(&mut self, open: Open, completion: &Completion) {
        match is_held(completion) {
            Err(error) => self.open_refused(&open, Refusal::Disk(error)),
            Ok(true) => self.renew_locked(Renew {
                key: open.key,
                secrets: open.lease,
                owner: LeaseOwner::Upload,
                expiration: open.expiration,
                then: Then::AlreadyHeld(open.request),
            }),
            Ok(false) if self.read_only => self.open_refused(&open, Refusal::ReadOnly),
            Ok(false) if self.uploads.len() >= Limits::UPLOADS => self.open_in_place(open),
            Ok(false) => self.open_promised(open),
        }
    }

    /// Has an upload wait for the place of another that nobody is connected to any more, and that
    /// was left alone for longest.
    fn open_in_place(&mut self, open: Open) {
        match self.uploads.longest_left() {
            Some(index) => {
                tracing::debug!("an upload that was left alone makes place for another");
                self.uploads.waiting.push_back(open);
                self.end_upload(index, None);
            }
            None => self.open_refused(&open, Refusal::TooManyUploads),
        }
    }

    fn open_promised(&mut self, open: Open) {
        self.measure_space_if_due();
        if self.space.promise(open.cost()) {
            return self.open_file(open);
        }
        let flight = Flight::Space(open, self.space.begin());
        self.start(StoreFlight::Upload(flight), Operation::FreeSpace);
    }

    fn open_file(&mut self, open: Open) {
        let Some(file) = self.uploads.free_files.pop() else {
            self.space.cancel(open.cost());
            return self.open_refused(&open, Refusal::TooManyUploads);
        };
        let incoming = self.next_incoming();
        let operation = Operation::Open {
            file,
            path: incoming.clone(),
            mode: OpenMode::New,
        };
        let flight = Flight::File(open, file, incoming);
        self.start(StoreFlight::Upload(flight), operation);
    }

    fn file_opened(
        &mut self,
        open: Open,
        file: FileId,
        incoming: StorePath,
        completion: &Completion,
    ) {
        if let Err(error) = completion.result {
            self.space.cancel(open.cost());
            self.uploads.free_files.push(file);
            return self.open_refused(&open, refusal(error));
        }
        let index = self.uploads.table.insert(Upload {
            key: open.key,
            file,
            incoming,
            promised: open.cost(),
            lease: open.lease,
            expiration: open.expiration,
            secret: open.secret,
            size: open.size,
            owner: Some(open.request),
            touched: self.now.elapsed,
            accepted: 0,
            writing: 0,
            failure: None,
            state: State::Writing,
        });
        self.uploads.by_key.insert(open.key, index);
        let expiry = self.now.elapsed + Limits::UPLOAD_IDLE;
        let next = self.uploads.next_expiry;
        self.uploads.next_expiry = Some(next.map_or(expiry, |next| next.min(expiry)));
        self.opened(open.request, index, 0);
        self.release(open.key);
        if self.shutting_down {
            self.end_all_uploads();
        }
    }

    fn open_refused(&mut self, open: &Open, refusal: Refusal) {
        self.refuse(open.request, refusal);
        self.forget_handle(open.request);
        self.release(open.key);
    }

    /// Answers, and takes up what was asked of the upload meanwhile.
    fn opened(&mut self, request: RequestId, index: usize, offset: u64) {
        self.answer(request, Answer::Opened { offset });
        let handle = self.uploads.handles.insert(request, Handle::Open(index));
        let Some(Handle::Opening(queued)) = handle else {
            panic!("an upload is opened once");
        };
        for queued in queued {
            match queued {
                Queued::Write(write) => self.write(request, write),
                Queued::Close(id, size) => self.close(request, id, size),
                Queued::Abort(id) => self.abort(request, id),
                Queued::Detach(id) => self.detach(request, id),
            }
        }
    }

    /// Ends what was asked of an upload that will never be open.
    pub(super) fn forget_handle(&mut self, request: RequestId) {
        let Some(Handle::Opening(queued)) = self.uploads.handles.remove(&request) else {
            return;
        };
        for queued in queued {
            match queued {
                Queued::Write(Write { request, .. })
                | Queued::Close(request, _)
                | Queued::Abort(request) => self.refuse(request, Refusal::UnknownUpload),
                Queued::Detach(request) => self.answer(request, Answer::Detached),
            }
        }
    }
}

impl Store {
    pub(super) fn upload_completed(&mut self, flight: Flight, completion: Completion) {
        match flight {
            Flight::Probe(open) => self.probed(open, &completion),
            Flight::Space(open, measurement) => {
                self.space_completed(measurement, &completion);
                if self.space.promise(open.cost()) {
                    self.open_file(open);
                } else {
                    self.open_refused(&open, Refusal::Full);
                }
            }
            Flight::File(open, file, incoming) => {
                self.file_opened(open, file, incoming, &completion);
            }
            Flight::Write(index, request, size) => {
                self.written(index, request, size, &completion);
            }
            Flight::Closed(index) => {
                let upload = &self.uploads.table[index];
                self.uploads.free_files.push(upload.file);
                let path = upload.incoming.clone();
                let operation = Operation::Remove { path, prune: 0 };
                let flight = Flight::Removed(index);
                self.start(StoreFlight::Upload(flight), operation);
            }
            Flight::Removed(index) => {
                self.cleaned_up(&completion);
                let upload = self.uploads.table.remove(index);
                if let State::Ending(Some(request)) = upload.state {
                    self.answer(request, Answer::Aborted);
                }
                // As many wait as were ended for them; it does not matter whose place it is.
                if let Some(open) = self.uploads.waiting.pop_front() {
                    self.open_promised(open);
                }
            }
        }
    }
}

impl Open {
    fn cost(&self) -> u64 {
        cost(self.size.unwrap_or(0))
    }
}

impl Uploads {
    pub(super) fn new() -> Self {
        let first = log::FILES.map(|file| file.0 + 1).into_iter().max();
        let slots = (first.unwrap_or(0)..OPEN_FILES_MAX).take(Limits::UPLOADS);
        Self {
            table: Slab::new(),
            by_key: HashMap::new(),
            handles: HashMap::new(),
            free_files: slots.map(FileId).rev().collect(),
            waiting: VecDeque::new(),
            next_expiry: None,
        }
    }

    /// The upload without an owner that was left alone for longest.
    fn longest_left(&self) -> Option<usize> {
        let is_left = |upload: &Upload| {
            matches!(upload.state, State::Writing) && upload.owner.is_none() && upload.writing == 0
        };
        let left = self.table.iter().filter(|(_, upload)| is_left(upload));
        let longest = left.min_by_key(|(_, upload)| upload.touched)?;
        Some(longest.0)
    }

    /// How many there are, those that are ending included.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_in_progress(&self, key: ShareKey) -> bool {
        self.by_key.contains_key(&key)
    }

    pub(super) fn next_expiry(&self) -> Option<Duration> {
        self.next_expiry
    }

    pub(super) fn get(&self, index: usize) -> &Upload {
        &self.table[index]
    }

    /// What went wrong with the writes of an upload.
    pub(super) fn failure(&self, index: usize) -> Option<Refusal> {
        self.table[index].failure.clone()
    }
}

const _: () = assert!(Limits::UPLOADS + 2 <= OPEN_FILES_MAX as usize);
