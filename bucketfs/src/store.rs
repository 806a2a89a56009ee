//! The store's decisions: what a request needs of the disk, and when it may be answered.
//!
//! A `Store` is used by its driver as quinn's `Connection` is, with four kinds of methods: those
//! that bring something in (a request, a completion, the time), those that say whether more may
//! be brought, those that give something out (operations, answers, the next timeout), and
//! [`Store::open`], which blocks. After each of the first kind the driver polls all of the third
//! until they give nothing.
//!
//! A task that waits is owned by what it waits for: an operation's [`Flight`], the journal
//! ([`Recorded`]), a lock ([`Task`]). Each carries what was found out so far, proofs included, so
//! a task in a state without its proof cannot be written down.
//!
//! What always holds:
//! * A name under `shares` outside of `incoming` exists only after the journal durably holds its
//!   bytes, or after they were synced themselves. (Until the checkpoint, then the tree has them.)
//! * A container changes in place only after the journal durably holds the change.
//! * An acknowledgement is sent only for a [`Durable`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use lafs::num;
use rustix::io::Errno;
use slab::Slab;

use crate::container;
use crate::disk::{Completion, Operation, OperationId, Outcome, StorePath};
use crate::durable::{Durable, Waiver};
use crate::error::{DiskError, Refusal};
use crate::journal::format::Record;
use crate::journal::log::{Appended, Failed, Hold, Log, Part};
use crate::layout::{self, Layout, ShareKey};

mod advise;
mod allocate;
mod close;
mod lease;
mod locks;
mod open;
mod parts;
mod put;
mod read;
mod remove;
mod request;
mod slot;
mod space;
mod upload;

pub use open::Config;
pub use parts::ticket::{BootId, BootIdError, fuzz as fuzz_ticket};
pub use request::{
    AdvisedKind, Answer, Durability, Extent, Held, LeaseOwner, Limits, Now, Piece, ReadRequest,
    Request, RequestId, Rest, ShareKind, Status, Wanted,
};
pub use slot::{ReadTestWrite, ShareChange, SlotWrite, Test};

use advise::Advisories;
use locks::Locks;
use parts::Parts;
use slot::Slots;
use space::{Measurement, SpaceAccount};
use upload::Uploads;

/// An open store.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    engine: &'static str,
    read_only: bool,
    durability: Durability,
    /// Of containers that are made.
    container_version: container::Version,
    boot_id: BootId,
    now: Now,

    flights: Slab<Flight>,
    ready: VecDeque<(OperationId, Operation)>,
    runnable: VecDeque<Task>,
    answers: VecDeque<(RequestId, Answer)>,
    /// Requests that await an answer, and how many bytes each brought.
    pending: HashMap<RequestId, usize>,
    pending_len: usize,

    log: Log<Recorded>,
    locks: Locks<Task>,
    /// Shares of which half a change was written and could not be taken back.
    torn: HashSet<ShareKey>,
    space: SpaceAccount,
    uploads: Uploads,
    parts: Parts,
    allocations: Slab<allocate::Allocating>,
    advisories: Advisories,
    slots: Slots,
    leasings: Slab<lease::Leasing>,
    readings: Slab<read::Reading>,
    /// Names the next file in incoming.
    serial: u64,
    replayed: u64,
    shutting_down: bool,
}

/// What a completion is awaited by.
#[derive(Debug)]
enum Flight {
    Journal(Part),
    Space(Measurement),
    /// The removal of a file that nobody asks for any more.
    Cleanup,
    Put(put::Flight),
    Lease(lease::Flight),
    Read(read::Flight),
    Remove(remove::Flight),
    Upload(upload::Flight),
    Close(close::Flight),
    Allocate(allocate::Flight),
    Parts(parts::Flight),
    Advise(advise::Flight),
    Change(slot::Flight),
}

/// What waits for a lock, or for the file that a slot is written anew to.
#[derive(Debug)]
enum Task {
    Put(put::Put),
    Open(upload::Open),
    Close(close::Closing),
    /// The last part of a share.
    Seal(parts::Part),
    Renew(lease::Renew),
    Patch(lease::Patch),
    Remove(remove::Removal),
    Read(read::ShareRead),
    ReadAny(read::Admission),
    Change(Box<slot::Change>),
    Rewrite(Box<slot::Change>, Box<slot::Draft>),
    Follow(slot::Following),
}

/// What waits for its record to be durable.
#[derive(Debug)]
enum Recorded {
    Put(put::Put),
    Renew(lease::Recording),
    Remove(remove::Removal),
    Close(close::Naming),
    Change(Box<slot::Change>),
    Fences(slot::Settling),
}

// In.
impl Store {
    /// Whether another request may be brought; if not, the driver waits for answers.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.pending.len() < Limits::REQUESTS && self.pending_len < Limits::REQUEST_BYTES
    }

    /// Takes a request.
    ///
    /// # Panics
    ///
    /// If a request of the same id still awaits its answer.
    pub fn handle_request(&mut self, now: Now, id: RequestId, request: Request) {
        self.now = now;
        let len = request.len();
        let refusal = if self.shutting_down {
            Some(Refusal::ShuttingDown)
        } else if !self.has_room() && !request.is_ending() {
            Some(Refusal::Overloaded)
        } else {
            None
        };
        let known = self.pending.insert(id, len).is_some();
        assert!(!known, "no two requests that await an answer share an id");
        self.pending_len += len;
        match refusal {
            Some(refusal) => {
                self.drop_spool(request.spool());
                self.refuse(id, refusal);
            }
            None => self.dispatch(now, id, request),
        }
        self.run();
    }

    /// Takes the end of an operation that [`Store::poll_operation`] gave.
    ///
    /// # Panics
    ///
    /// If the operation was never given out, or has ended before.
    pub fn handle_completion(&mut self, now: Now, completion: Completion) {
        self.now = now;
        let index = usize::try_from(completion.id.0).expect("ids come from the table of flights");
        match self.flights.remove(index) {
            Flight::Journal(part) => self.journal_completed(part, completion),
            Flight::Space(measurement) => self.space_completed(measurement, &completion),
            Flight::Cleanup => self.cleaned_up(&completion),
            Flight::Put(flight) => self.put_completed(flight, completion),
            Flight::Lease(flight) => self.lease_completed(flight, completion),
            Flight::Read(flight) => self.read_completed(flight, completion),
            Flight::Remove(flight) => self.remove_completed(flight, completion),
            Flight::Upload(flight) => self.upload_completed(flight, completion),
            Flight::Close(flight) => self.close_completed(flight, completion),
            Flight::Allocate(flight) => self.allocate_completed(flight, completion),
            Flight::Parts(flight) => self.parts_completed(flight, completion),
            Flight::Advise(flight) => self.advise_completed(flight, &completion),
            Flight::Change(flight) => self.change_completed(flight, completion),
        }
        self.run();
    }

    /// Takes the time, when [`Store::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.expire_uploads();
        self.expire_parts();
        self.run();
    }

    /// Refuses new requests, gives uploads in progress up, and finishes everything else.
    ///
    /// Uploads of parts that have a file are left in it, to be gone on with when the store is opened
    /// again; those that were only allocated are forgotten.
    pub fn shut_down(&mut self, now: Now) {
        self.now = now;
        self.shutting_down = true;
        self.end_all_uploads();
        self.drop_all_spools();
        self.run();
    }

    fn dispatch(&mut self, now: Now, id: RequestId, request: Request) {
        let key = |storage_index, share| ShareKey {
            storage_index,
            share,
        };
        match request {
            Request::Put {
                storage_index,
                share,
                bytes,
                lease,
            } => self.put(id, key(storage_index, share), &bytes, lease),
            Request::OpenUpload {
                storage_index,
                share,
                secret,
                lease,
                size,
                resume,
            } => self.open_upload(upload::Open {
                request: id,
                key: key(storage_index, share),
                secret,
                lease: Box::new(lease),
                expiration: container::expiration(now.unix),
                size,
                resume,
            }),
            Request::Write {
                upload,
                offset,
                bytes,
            } => self.write(upload, upload::Write::new(id, offset, bytes)),
            Request::Close { upload, size } => self.close(upload, id, size),
            Request::Abort { upload } => self.abort(upload, id),
            Request::Detach { upload } => self.detach(upload, id),
            Request::Allocate {
                storage_index,
                shares,
                size,
                secret,
                lease,
            } => self.allocate(id, storage_index, shares, size, (&secret, lease)),
            Request::WritePart {
                storage_index,
                share,
                secret,
                offset,
                bytes,
            } => self.write_part(id, key(storage_index, share), &secret, offset, bytes),
            Request::AbortParts {
                storage_index,
                share,
                secret,
            } => self.abort_parts(id, key(storage_index, share), &secret),
            Request::Advise {
                storage_index,
                share,
                kind,
                reason,
            } => self.advise(id, key(storage_index, share), kind, reason),
            Request::Read(request) => self.read(id, request),
            Request::Lease {
                storage_index,
                lease,
                owner,
            } => self.lease(id, storage_index, lease, owner),
            Request::Remove {
                storage_index,
                share,
            } => self.remove(id, key(storage_index, share)),
            Request::ReadTestWrite(ask) => self.read_test_write(id, ask),
            Request::OpenSpool => self.open_spool(id),
            Request::Spool { spool, bytes } => self.spool(spool, id, bytes),
            Request::DropSpool { spool } => {
                self.drop_spool(Some(spool));
                self.answer(id, Answer::Detached);
            }
            Request::Status => {
                // Somebody else may fill the disk while nobody stores anything here.
                self.measure_space_if_due();
                let status = self.status();
                self.answer(id, Answer::Status(Box::new(status)));
            }
        }
    }

    /// Runs the tasks whose locks have become free.
    ///
    /// A loop, not a call from where the lock is released: a long line of tasks that each end at
    /// once must not become a deep stack.
    fn run(&mut self) {
        while let Some(task) = self.runnable.pop_front() {
            match task {
                Task::Put(put) => self.put_locked(put),
                Task::Open(open) => self.open_locked(open),
                Task::Close(closing) => self.close_locked(closing),
                Task::Seal(part) => self.seal_locked(part),
                Task::Renew(renew) => self.renew_locked(renew),
                Task::Patch(patch) => self.patch_locked(patch),
                Task::Remove(removal) => self.remove_locked(removal),
                Task::Read(read) => self.read_locked(read),
                Task::ReadAny(read) => self.read_admitted(read),
                Task::Change(change) => self.change_locked(change),
                Task::Rewrite(change, draft) => self.rewrite(change, draft),
                Task::Follow(following) => self.follow(following),
            }
        }
    }
}

// Out.
impl Store {
    /// Returns the next operation to perform.
    ///
    /// The journal's next batch is put together here, so that it holds whatever the driver
    /// brought since the last one.
    pub fn poll_operation(&mut self) -> Option<(OperationId, Operation)> {
        if self.ready.is_empty() {
            if self.shutting_down && self.pending.is_empty() {
                self.log.close();
            }
            if let Some((part, operation)) = self.log.poll() {
                self.start(Flight::Journal(part), operation);
            }
        }
        self.ready.pop_front()
    }

    /// Returns the next answer to give.
    pub fn poll_answer(&mut self) -> Option<(RequestId, Answer)> {
        self.answers.pop_front()
    }

    /// Returns when [`Store::handle_timeout`] is to be called, on the clock of [`Now::elapsed`].
    ///
    /// It may be called earlier or more often without harm.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let expiries = [self.uploads.next_expiry(), self.parts.next_expiry()];
        expiries.into_iter().flatten().min()
    }

    /// Whether, after [`Store::shut_down`], nothing is left to do: the store may be dropped.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        let idle = self.flights.is_empty() && self.answers.is_empty() && self.pending.is_empty();
        let shut_down = self.shutting_down && idle && self.log.is_closed();
        // Whoever holds a lock has a flight or waits for the journal.
        assert!(!shut_down || self.locks.is_empty());
        shut_down
    }

    /// Returns how the store is.
    #[must_use]
    pub fn status(&self) -> Status {
        let counters = self.log.counters;
        Status {
            engine: self.engine,
            layout: self.layout,
            durability: self.durability,
            read_only: self.read_only,
            failed: self.log.has_failed(),
            available: self.space.available(),
            reserved: self.space.reserved(),
            promised: self.space.promised(),
            uploads: self.uploads.len() + self.parts.len(),
            journal_batches: counters.batches,
            journal_records: counters.records,
            checkpoints: counters.checkpoints,
            replayed: self.replayed,
        }
    }
}

// What the tasks share.
impl Store {
    fn start(&mut self, flight: Flight, operation: Operation) {
        let id = OperationId(num::size(self.flights.insert(flight)));
        self.ready.push_back((id, operation));
    }

    fn acquire(&mut self, key: ShareKey, task: Task) {
        self.runnable.extend(self.locks.acquire(key, task));
    }

    fn release(&mut self, key: ShareKey) {
        self.runnable.extend(self.locks.release(key));
    }

    /// Answers a request that changed nothing, or whose change is not promised to last.
    fn answer(&mut self, request: RequestId, answer: Answer) {
        let len = self.pending.remove(&request);
        self.pending_len -= len.expect("a request is answered once");
        self.answers.push_back((request, answer));
    }

    /// Answers a request that changed something for good.
    fn acknowledge(&mut self, request: RequestId, answer: Answer, _: Durable) {
        self.answer(request, answer);
    }

    fn refuse(&mut self, request: RequestId, refusal: Refusal) {
        self.answer(request, Answer::Refused(refusal));
    }

    fn waiver(&self) -> Option<Waiver> {
        self.durability.waiver()
    }

    /// Why nothing at all may be written, if so.
    fn write_refusal(&self) -> Option<Refusal> {
        self.log.has_failed().then_some(Refusal::Failed)
    }

    fn next_incoming(&mut self) -> StorePath {
        layout::incoming(self.next_serial())
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Asks whether a share is held; [`is_held`] reads the answer.
    fn probe(&self, key: ShareKey) -> Operation {
        Operation::Read {
            path: self.layout.share(key),
            ranges: Vec::new(),
        }
    }

    /// Removes a file in incoming that came to nothing.
    fn clean_up(&mut self, path: StorePath) {
        self.start(Flight::Cleanup, Operation::Remove { path, prune: 0 });
    }

    fn cleaned_up(&mut self, completion: &Completion) {
        if let (Operation::Remove { path, .. }, Err(error)) =
            (&completion.operation, &completion.result)
        {
            // It goes at the next start at the latest.
            tracing::warn!(%path, %error, "cannot remove a file that came to nothing");
        }
    }

    fn measure_space_if_due(&mut self) {
        if let Some(measurement) = self.space.begin_if_due(self.now.elapsed) {
            self.start(Flight::Space(measurement), Operation::FreeSpace);
        }
    }

    fn space_completed(&mut self, measurement: Measurement, completion: &Completion) {
        let space = match &completion.result {
            Ok(Outcome::Space(space)) => Some(*space),
            Ok(outcome) => panic!("the free space was asked for, not {outcome:?}"),
            Err(error) => {
                tracing::warn!(%error, "cannot ask for the free space");
                None
            }
        };
        self.space.end(measurement, space, self.now.elapsed);
    }
}

// The journal.
impl Store {
    fn record(&mut self, record: Record, waiter: Recorded) {
        if self.log.has_failed() {
            return self.record_failed(waiter);
        }
        self.log.append(record, waiter);
    }

    /// Records that one batch is to hold.
    fn record_all(&mut self, records: Vec<Record>, waiter: Recorded) {
        if self.log.has_failed() {
            return self.record_failed(waiter);
        }
        self.log.append_all(records, waiter);
    }

    fn journal_completed(&mut self, part: Part, completion: Completion) {
        let failed = match part {
            Part::Append => match self.log.appended(completion) {
                Appended::Durable(waiters) => {
                    for (waiter, durable, hold) in waiters {
                        self.recorded(waiter, durable, hold);
                    }
                    return;
                }
                Appended::Failed(failed) => failed,
            },
            Part::Sync => match self.log.synced(&completion) {
                Ok(next) => {
                    if let Some((part, operation)) = next {
                        self.start(Flight::Journal(part), operation);
                    }
                    return;
                }
                Err(failed) => failed,
            },
            Part::Header => match self.log.retired(&completion) {
                Ok(()) => return,
                Err(failed) => failed,
            },
        };
        let Failed { waiters, error } = failed;
        tracing::error!(%error, "the journal cannot be synced; the store only reads now");
        for waiter in waiters {
            self.record_failed(waiter);
        }
    }

    /// Stops writing: the tree lacks what a durable record says, or has half of it.
    ///
    /// What others would build on the share now, replay would take away from under them.
    fn give_up(&mut self, path: &StorePath, error: DiskError) {
        tracing::error!(%path, %error, "cannot do what the journal says; the store only reads now");
        for waiter in self.log.give_up() {
            self.record_failed(waiter);
        }
    }

    fn recorded(&mut self, waiter: Recorded, durable: Durable, hold: Hold) {
        match waiter {
            Recorded::Put(put) => self.put_recorded(put, durable, hold),
            Recorded::Renew(recording) => self.renew_recorded(recording, durable, hold),
            Recorded::Remove(removal) => self.remove_recorded(removal, durable, hold),
            Recorded::Close(naming) => self.close_recorded(naming, durable, hold),
            Recorded::Change(change) => self.change_recorded(change, durable, hold),
            Recorded::Fences(settling) => self.fences_recorded(settling, hold),
        }
    }

    fn record_failed(&mut self, waiter: Recorded) {
        match waiter {
            Recorded::Put(put) => self.put_record_failed(put),
            Recorded::Renew(recording) => self.renew_ended(recording.renew, Err(Refusal::Failed)),
            Recorded::Remove(removal) => self.remove_ended(&removal, Err(Refusal::Failed)),
            Recorded::Close(naming) => self.close_record_failed(naming),
            Recorded::Change(change) => self.change_record_failed(*change),
            Recorded::Fences(settling) => self.fences_failed(settling),
        }
    }
}

impl Request {
    /// How many bytes of shares the request brings.
    fn len(&self) -> usize {
        match self {
            Self::Put { bytes, .. }
            | Self::Write { bytes, .. }
            | Self::WritePart { bytes, .. }
            | Self::Spool { bytes, .. } => Bytes::len(bytes),
            Self::Advise { reason, .. } => reason.len(),
            Self::ReadTestWrite(ask) => ask.len(),
            _ => 0,
        }
    }

    /// The spool that the request uses up.
    fn spool(&self) -> Option<RequestId> {
        match self {
            Self::ReadTestWrite(ask) => ask.spool,
            _ => None,
        }
    }

    /// Whether the request only ends something, and is taken however much there is to do.
    fn is_ending(&self) -> bool {
        matches!(
            self,
            Self::Close { .. }
                | Self::Abort { .. }
                | Self::AbortParts { .. }
                | Self::Detach { .. }
                | Self::DropSpool { .. }
                | Self::Status
        )
    }
}

/// Reads what [`Store::probe`] found.
fn is_held(completion: &Completion) -> Result<bool, DiskError> {
    match &completion.result {
        Ok(_) => Ok(true),
        Err(error) if error.errno == Errno::NOENT => Ok(false),
        Err(error) => Err(*error),
    }
}

/// What a failure to write a new file means to whoever brought it.
fn refusal(error: DiskError) -> Refusal {
    match error.errno {
        Errno::NOSPC | Errno::DQUOT => Refusal::Full,
        _ => Refusal::Disk(error),
    }
}
