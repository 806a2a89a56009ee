//! Uploads in progress: opened, written front to back, resumed, given up.
//!
//! An upload is a file in incoming that is kept open, with room for the header in front. It is of
//! one share, and whoever knows its upload secret may resume it, over any connection: the one
//! that opened or resumed it last is its owner, and earlier ones have lost it. What nobody writes
//! to for [`limits::UPLOAD_IDLE`] is given up.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use lafs::{LeaseSecrets, UploadSecret};
use slab::Slab;

mod close;
mod end;
mod gather;
mod write;

use super::context::{Context, Machinery, cleaned_up, is_held, unwritable};
use super::event::{Event, Machine, NotPublished, NotRenewed, Renew, Renewed, Waiter};
use super::locks::Owned;
use super::reply::{AlreadyHeld, Asker, OpenAt};
use super::space::{Measurement, cost};
use crate::container::{self, Header};
use crate::disk::{Completion, FileId, OpenMode, Operation, StorePath};
use crate::durable::{BytesDurable, Durable};
use crate::keys::KeyMap;
use crate::layout::ShareKey;
use crate::limits;
use crate::refusal::{AbortRefusal, CloseRefusal, OpenRefusal, Unwritable, WriteRefusal};
use crate::request::{
    AbortUpload, CloseUpload, DetachUpload, LeaseOwner, OpenUpload, RequestId, WriteUpload,
};
use close::Closing;
use gather::{Gather, Seats};

/// All uploads.
#[derive(Debug)]
pub(super) struct Uploads {
    table: Slab<Upload>,
    by_key: KeyMap<ShareKey, usize>,
    handles: KeyMap<RequestId, Handle>,
    free_files: Vec<FileId>,
    seats: Seats,
    /// Each waits for an upload that is ending to be gone.
    in_line: VecDeque<(Opening, Owned)>,
    /// No upload expires before this.
    next_expiry: Option<Duration>,
    /// For the lock of a share.
    waiting: Slab<Waiting>,
    /// For the disk.
    steps: Slab<Step>,
    /// For the lease on a share that is held.
    renewing: Slab<Asker<OpenUpload>>,
    /// For a share to have its name; with how much was written of it.
    publishing: Slab<(Asker<CloseUpload>, u64)>,
}

/// An upload in progress.
#[derive(Debug)]
struct Upload {
    key: ShareKey,
    file: FileId,
    incoming: StorePath,
    lease: Box<LeaseSecrets>,
    /// Of its lease: counted from the request that opened or resumed it, as in Tahoe.
    expiration: u32,
    secret: UploadSecret,
    size: Option<u64>,
    owner: Option<RequestId>,
    touched: Duration,
    /// Where the next write must begin.
    accepted: u64,
    way: Way,
    /// Accepted, and not with the disk yet, in their order.
    queue: VecDeque<(Asker<WriteUpload>, Bytes)>,
    /// How many bytes were accepted and are not with the disk yet: in the queue, or gathered.
    unwritten: u64,
    /// Writes that the disk has not ended.
    writing: usize,
    /// What the space account has promised and the disk does not have yet.
    promised: u64,
    /// What the disk has, as the space account knows it.
    written: u64,
    failure: Option<Unwritable>,
    state: State,
}

/// How the bytes of an upload get to the disk.
#[derive(Debug)]
enum Way {
    /// Past the page cache, in whole blocks.
    Gather(Gather),
    /// Through the page cache from now on: what was gathered is on its way there.
    Ungather(Gather),
    /// Through the page cache, each as it comes.
    Through,
}

#[derive(Debug)]
enum State {
    Writing,
    /// Waits for its lock, or its last writes.
    Closing(Option<Closing>),
    /// Waits for its last writes, then goes; this request wants to know.
    Ending(Option<Asker<AbortUpload>>),
}

/// A request to begin or resume an upload.
#[derive(Debug)]
struct Opening {
    asker: Asker<OpenUpload>,
    key: ShareKey,
    secret: UploadSecret,
    lease: Box<LeaseSecrets>,
    expiration: u32,
    size: Option<u64>,
    resume: bool,
}

/// The next bytes of an upload.
#[derive(Debug)]
struct Writing {
    asker: Asker<WriteUpload>,
    offset: u64,
    bytes: Bytes,
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
    Write(Writing),
    Close(Asker<CloseUpload>, u64),
    Abort(Asker<AbortUpload>),
    Detach(Asker<DetachUpload>),
}

#[derive(Debug)]
enum Waiting {
    Open(Opening),
    /// An upload that is closed with this size.
    Close(Asker<CloseUpload>, usize, u64),
}

#[derive(Debug)]
enum Step {
    /// Whether the share is held.
    Probe(Opening, Owned),
    /// Nothing seemed free; the file system is asked once more.
    Space(Opening, Owned, Measurement),
    /// The new file in incoming.
    File(Opening, Owned, NewFile),
    /// So many bytes of an upload, for a request.
    Write(usize, Asker<WriteUpload>, u64),
    /// Blocks of an upload that have so many bytes of its share.
    Blocks(usize, u64),
    /// The rest of what was gathered, so many bytes of the share.
    Gathered(usize, u64),
    /// The end of an upload that is complete, so many bytes of the share among it; the close of its
    /// file.
    Finish(Closing, u64),
    Complete(Closing, BytesDurable),
    /// The file of an upload that is given up is closed, then removed.
    Closed(usize),
    Removed(usize),
}

/// The file of an upload that is being opened.
#[derive(Debug)]
struct NewFile {
    file: FileId,
    incoming: StorePath,
    gather: Option<Gather>,
}

// Opened.
impl Uploads {
    pub(super) fn new() -> Self {
        let files: Vec<_> = limits::open_files(limits::JOURNAL_FILES, limits::UPLOADS).collect();
        Self {
            table: Slab::new(),
            by_key: KeyMap::default(),
            handles: KeyMap::default(),
            free_files: files.into_iter().rev().collect(),
            seats: Seats::new(),
            in_line: VecDeque::new(),
            next_expiry: None,
            waiting: Slab::new(),
            steps: Slab::new(),
            renewing: Slab::new(),
            publishing: Slab::new(),
        }
    }

    pub(super) fn next_expiry(&self) -> Option<Duration> {
        self.next_expiry
    }

    /// The share of an upload that is open.
    pub(super) fn key(&self, upload: RequestId) -> Option<ShareKey> {
        match self.handles.get(&upload)? {
            Handle::Open(index) => Some(self.table[*index].key),
            Handle::Opening(_) => None,
        }
    }

    /// How many there are, those that are ending included.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn open(&mut self, cx: &mut Context, asker: Asker<OpenUpload>, open: OpenUpload) {
        let limit = limits::SHARE_SIZE;
        if open.size.is_some_and(|size| size > limit) {
            return cx.refuse(asker, OpenRefusal::TooLarge { limit });
        }
        self.handles.insert(asker.id(), Handle::Opening(Vec::new()));
        let opening = Opening {
            asker,
            key: open.key,
            secret: open.secret,
            lease: Box::new(open.lease),
            expiration: container::expiration(cx.unix()),
            size: open.size,
            resume: open.resume,
        };
        self.acquire(cx, opening);
    }

    fn acquire(&mut self, cx: &mut Context, opening: Opening) {
        let key = opening.key;
        cx.acquire(key, waiter(self.waiting.insert(Waiting::Open(opening))));
    }

    fn open_locked(&mut self, cx: &mut Context, opening: Opening, owned: Owned) {
        if let Some(refusal) = cx.share_refusal(opening.key) {
            return self.open_refused(cx, opening, owned, refusal);
        }
        if let Some(&index) = self.by_key.get(&opening.key) {
            let upload = &self.table[index];
            if upload.secret != opening.secret {
                return self.open_refused(cx, opening, owned, OpenRefusal::InProgress);
            }
            if matches!(upload.state, State::Closing(_)) {
                // Its close is next in line, or it would hold the lock.
                self.acquire(cx, opening);
                return cx.release(owned);
            }
            let same_size = opening.size.is_none() || upload.size == opening.size;
            if opening.resume && same_size && upload.failure.is_none() {
                return self.resume(cx, opening, owned, index);
            }
            self.give_up(cx, index, None);
        } else if cx.is_in_progress(opening.key) {
            return self.open_refused(cx, opening, owned, OpenRefusal::InProgress);
        }
        let operation = cx.probe(opening.key);
        self.start(cx, Step::Probe(opening, owned), operation);
    }

    fn resume(&mut self, cx: &mut Context, opening: Opening, owned: Owned, index: usize) {
        let upload = &mut self.table[index];
        let before = upload.owner.replace(opening.asker.id());
        upload.lease = opening.lease;
        upload.expiration = opening.expiration;
        upload.touched = cx.elapsed();
        let offset = upload.accepted;
        if let Some(before) = before {
            self.handles.remove(&before);
        }
        self.opened(cx, opening.asker, index, offset);
        cx.release(owned);
    }

    fn probed(
        &mut self,
        cx: &mut Context,
        opening: Opening,
        owned: Owned,
        completion: &Completion,
    ) {
        match is_held(completion) {
            Err(error) => self.open_refused(cx, opening, owned, Unwritable::Disk(error)),
            Ok(true) => {
                let then = waiter(self.renewing.insert(opening.asker));
                let renew = Renew {
                    owned,
                    secrets: opening.lease,
                    owner: LeaseOwner::Upload,
                    expiration: opening.expiration,
                    only_buckets: true,
                    then,
                };
                cx.send(Event::Renew(renew));
            }
            Ok(false) if cx.settings.read_only => {
                self.open_refused(cx, opening, owned, OpenRefusal::ReadOnly);
            }
            Ok(false) if self.len() >= limits::UPLOADS => self.open_in_line(cx, opening, owned),
            Ok(false) => self.open_promised(cx, opening, owned),
        }
    }

    /// Has an upload wait for the place of another that nobody is connected to any more, and that
    /// was left alone for longest.
    fn open_in_line(&mut self, cx: &mut Context, opening: Opening, owned: Owned) {
        match self.longest_left() {
            Some(index) => {
                tracing::debug!("an upload that was left alone makes place for another");
                self.in_line.push_back((opening, owned));
                self.give_up(cx, index, None);
            }
            None => self.open_refused(cx, opening, owned, OpenRefusal::TooManyUploads),
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

    fn open_promised(&mut self, cx: &mut Context, opening: Opening, owned: Owned) {
        cx.measure_space_if_due();
        if cx.promise(opening.cost()) {
            return self.open_file(cx, opening, owned);
        }
        let measurement = cx.begin_measurement();
        let step = Step::Space(opening, owned, measurement);
        self.start(cx, step, Operation::FreeSpace);
    }

    fn open_file(&mut self, cx: &mut Context, opening: Opening, owned: Owned) {
        let Some(file) = self.free_files.pop() else {
            cx.cancel(opening.cost());
            return self.open_refused(cx, opening, owned, OpenRefusal::TooManyUploads);
        };
        let incoming = cx.next_incoming();
        let version = cx.settings.container_version;
        let header = opening.size.map(|size| Header::new(version, size));
        let gather = match cx.settings.writes_directly && opening.is_large() {
            true => self.seats.take(header),
            false => None,
        };
        let operation = Operation::Open {
            file,
            path: incoming.clone(),
            mode: match gather {
                Some(_) => OpenMode::NewDirect,
                None => OpenMode::New,
            },
        };
        let new = NewFile {
            file,
            incoming,
            gather,
        };
        self.start(cx, Step::File(opening, owned, new), operation);
    }

    fn file_opened(
        &mut self,
        cx: &mut Context,
        opening: Opening,
        owned: Owned,
        new: NewFile,
        completion: &Completion,
    ) {
        if let Err(error) = completion.result {
            cx.cancel(opening.cost());
            self.free_files.push(new.file);
            if let Some(gather) = new.gather {
                self.seats.give_back(gather);
            }
            return self.open_refused(cx, opening, owned, unwritable(error));
        }
        let NewFile {
            file,
            incoming,
            gather,
        } = new;
        let promised = opening.cost();
        let index = self.table.insert(Upload {
            key: opening.key,
            file,
            incoming,
            promised,
            lease: opening.lease,
            expiration: opening.expiration,
            secret: opening.secret,
            size: opening.size,
            owner: Some(opening.asker.id()),
            touched: cx.elapsed(),
            accepted: 0,
            way: gather.map_or(Way::Through, Way::Gather),
            queue: VecDeque::new(),
            unwritten: 0,
            written: 0,
            writing: 0,
            failure: None,
            state: State::Writing,
        });
        self.by_key.insert(opening.key, index);
        cx.begin_progress(opening.key);
        let expiry = cx.elapsed() + limits::UPLOAD_IDLE;
        self.next_expiry = Some(self.next_expiry.map_or(expiry, |next| next.min(expiry)));
        self.opened(cx, opening.asker, index, 0);
        cx.release(owned);
        if cx.is_shutting_down() {
            self.give_all_up(cx);
        }
    }

    fn open_refused(
        &mut self,
        cx: &mut Context,
        opening: Opening,
        owned: Owned,
        refusal: impl Into<OpenRefusal>,
    ) {
        let id = opening.asker.id();
        cx.refuse(opening.asker, refusal);
        self.forget_handle(cx, id);
        cx.release(owned);
    }

    /// Answers, and takes up what was asked of the upload meanwhile.
    fn opened(&mut self, cx: &mut Context, asker: Asker<OpenUpload>, index: usize, offset: u64) {
        let id = asker.id();
        cx.tell(asker, OpenAt(offset));
        let handle = self.handles.insert(id, Handle::Open(index));
        let Some(Handle::Opening(queued)) = handle else {
            panic!("an upload is opened once");
        };
        for queued in queued {
            match queued {
                Queued::Write(writing) => self.write(cx, id, writing),
                Queued::Close(asker, size) => self.close(cx, asker, id, size),
                Queued::Abort(asker) => self.abort(cx, asker, id),
                Queued::Detach(asker) => self.detach(cx, asker, id),
            }
        }
    }

    /// Ends what was asked of an upload that will never be open.
    fn forget_handle(&mut self, cx: &mut Context, id: RequestId) {
        let Some(Handle::Opening(queued)) = self.handles.remove(&id) else {
            return;
        };
        for queued in queued {
            match queued {
                Queued::Write(writing) => cx.refuse(writing.asker, WriteRefusal::UnknownUpload),
                Queued::Close(asker, _) => cx.refuse(asker, CloseRefusal::UnknownUpload),
                Queued::Abort(asker) => cx.refuse(asker, AbortRefusal::UnknownUpload),
                Queued::Detach(asker) => cx.tell(asker, ()),
            }
        }
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }
}

impl Machinery for Uploads {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        match self.waiting.remove(index) {
            Waiting::Open(opening) => self.open_locked(cx, opening, owned),
            Waiting::Close(asker, upload, size) => {
                let closing = Closing::new(asker, owned, upload, size);
                self.table[upload].state = State::Closing(Some(closing));
                self.continue_if_written(cx, upload);
            }
        }
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Probe(opening, owned) => self.probed(cx, opening, owned, &completion),
            Step::Space(opening, owned, measurement) => {
                cx.measured(measurement, &completion);
                if cx.promise(opening.cost()) {
                    self.open_file(cx, opening, owned);
                } else {
                    self.open_refused(cx, opening, owned, Unwritable::Full);
                }
            }
            Step::File(opening, owned, new) => {
                self.file_opened(cx, opening, owned, new, &completion);
            }
            Step::Write(upload, asker, size) => {
                self.written(cx, upload, asker, size, &completion);
            }
            Step::Blocks(upload, size) => self.blocks_written(cx, upload, size, completion),
            Step::Gathered(upload, size) => self.gathered_written(cx, upload, size, completion),
            Step::Finish(closing, size) => self.finished_writing(cx, closing, size, completion),
            Step::Complete(closing, bytes) => self.file_closed(cx, closing, bytes, &completion),
            Step::Closed(upload) => {
                let ended = &self.table[upload];
                self.free_files.push(ended.file);
                let path = ended.incoming.clone();
                let operation = Operation::Remove { path, prune: 0 };
                self.start(cx, Step::Removed(upload), operation);
            }
            Step::Removed(upload) => {
                cleaned_up(&completion);
                let ended = self.remove(upload);
                cx.end_growth(ended.written);
                if let State::Ending(Some(asker)) = ended.state {
                    cx.tell(asker, ());
                }
                // As many wait as were ended for them; it does not matter whose place it is.
                if let Some((opening, owned)) = self.in_line.pop_front() {
                    self.open_promised(cx, opening, owned);
                }
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
        let asker = self.renewing.remove(index);
        let id = asker.id();
        match result {
            Ok(renewed) => cx.acknowledge(asker, AlreadyHeld, renewed.durable),
            Err(NotRenewed::NotABucket) => cx.refuse(asker, OpenRefusal::NotABucket),
            Err(NotRenewed::Refused(refusal)) => cx.refuse(asker, refusal),
        }
        self.forget_handle(cx, id);
        cx.release(owned);
    }

    fn published(
        &mut self,
        cx: &mut Context,
        index: usize,
        owned: Owned,
        result: Result<Durable, NotPublished>,
    ) {
        let (asker, written) = self.publishing.remove(index);
        cx.end_growth(written);
        match result {
            Ok(durable) => cx.acknowledge(asker, (), durable),
            Err(NotPublished::AlreadyHeld(error)) => cx.refuse(asker, Unwritable::Disk(error)),
            Err(NotPublished::Refused(refusal)) => cx.refuse(asker, refusal),
        }
        cx.release(owned);
    }
}

impl Opening {
    fn cost(&self) -> u64 {
        cost(self.size.unwrap_or(0))
    }

    /// Whether the share is, or may be, more than what a put takes.
    fn is_large(&self) -> bool {
        self.size.is_none_or(|size| size > limits::SMALL_SHARE_SIZE)
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Upload,
        index,
    }
}
