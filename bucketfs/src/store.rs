//! The store's decisions: what a request needs of the disk, and when it may be answered.
//!
//! A `Store` is used by its driver as quinn's `Connection` is, with four kinds of methods: those
//! that bring something in (a request, a completion, the time), those that say whether more may
//! be brought, those that give something out (operations, answers, the next timeout), and
//! [`Store::open`], which blocks. After each of the first kind the driver polls all of the third
//! until they give nothing.
//!
//! Each kind of work is a machine of its own, with a table of what it has under way. The machines
//! know nothing of each other: they share a [`Context`] and leave [`Event`]s in it, and the store
//! takes each request, completion and event to the machine that it is for.
//!
//! What waits is owned by the machine, in a table that says for what: the disk, a lock, the journal.
//! It carries what was found out so far, proofs included, so what lacks its proof cannot be written
//! down.
//!
//! What always holds:
//! * A name under `shares` outside of `incoming` exists only after the journal durably holds its
//!   bytes, or after they were synced themselves. (Until the checkpoint, then the tree has them.)
//! * A container changes in place only after the journal durably holds the change.
//! * An acknowledgement is sent only for a [`Durable`](crate::durable::Durable).
//! * Each bucket lies in one place, and whoever is at it is told the same one, also while the store is
//!   migrated: a request that comes to a bucket waits at its [`door`] until that is known.

use std::sync::Arc;
use std::time::Duration;

use lafs::StorageIndex;

use crate::changes::Changes;
use crate::disk::{Completion, Engine, Operation, OperationId};
use crate::error::{AdoptError, OpenError};
use crate::layout::Layout;
use crate::refusal::Unavailable;
use crate::request::{Answer, Now, Request, RequestId, Status};

mod advise;
mod context;
mod count;
mod door;
mod event;
mod expire;
mod follow;
mod lease;
mod listing;
mod locks;
mod mend;
mod migrate;
mod open;
mod pending;
mod places;
mod publish;
mod put;
mod ranged;
pub(crate) mod read;
mod remove;
mod reply;
mod slot;
mod space;
mod spool;
mod upload;

pub use open::Config;

pub(crate) use listing::share_number;
pub(crate) use places::Places;

use advise::Advisories;
use context::{Context, Machinery};
use count::Counts;
use door::Doors;
use event::{Event, Machine};
use expire::Expiries;
use follow::Following;
use lease::Leases;
use mend::Mendings;
use migrate::Migration;
use open::{IfMissing, Opened};
use publish::Publishing;
use put::Puts;
use ranged::RangedUploads;
use read::Reads;
use remove::Removals;
use reply::Asker;
use slot::Slots;
use spool::Spools;
use upload::Uploads;

/// An open store.
#[derive(Debug)]
pub struct Store {
    context: Context,
    machines: Machines,
    /// Records replayed when it was opened.
    replayed: u64,
}

#[derive(Debug)]
struct Machines {
    puts: Puts,
    uploads: Uploads,
    ranged: RangedUploads,
    publishing: Publishing,
    leases: Leases,
    reads: Reads,
    removals: Removals,
    advisories: Advisories,
    slots: Slots,
    spools: Spools,
    following: Following,
    expiries: Expiries,
    counts: Counts,
    mendings: Mendings,
    doors: Doors,
    migration: Migration,
}

// Opened.
impl Store {
    /// Opens the store that the engine works on.
    ///
    /// Blocks until what the journal holds is done and durable.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the journal is as it was, so that opening may be tried again.
    pub fn open(engine: &mut dyn Engine, config: &Config, now: Now) -> Result<Self, OpenError> {
        let opened = open::open(engine, config, now, IfMissing::Refuse)?;
        Ok(Self::begin(opened, now))
    }

    /// Makes a store where the engine works, or as much as is missing of one, and opens it.
    ///
    /// A journal that is missing in part may have held acknowledged shares, and is not made anew.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; it may be tried again.
    pub fn create(engine: &mut dyn Engine, config: &Config, now: Now) -> Result<Self, OpenError> {
        let opened = open::open(engine, config, now, IfMissing::Make)?;
        Ok(Self::begin(opened, now))
    }

    fn begin(opened: Opened, now: Now) -> Self {
        Self {
            context: opened.context,
            machines: Machines {
                puts: Puts::default(),
                uploads: Uploads::new(),
                ranged: RangedUploads::new(opened.ranged),
                publishing: Publishing::default(),
                leases: Leases::default(),
                reads: Reads::default(),
                removals: Removals::default(),
                advisories: Advisories::new(now.elapsed),
                slots: Slots::new(),
                spools: Spools::new(),
                following: Following::new(),
                expiries: Expiries::default(),
                counts: Counts::default(),
                mendings: Mendings::default(),
                doors: Doors::default(),
                migration: Migration::default(),
            },
            replayed: opened.replayed,
        }
    }

    /// Makes the directory that the engine works on, with shares of Tahoe-LAFS in it, a store.
    ///
    /// [`crate::adopt()`] has the words, and does this in a directory.
    ///
    /// # Errors
    ///
    /// [`AdoptError`]; the directory still is what it was.
    pub fn adopt(
        engine: &mut dyn Engine,
        layout: Layout,
        config: &Config,
    ) -> Result<(), AdoptError> {
        open::adopt(engine, layout, config)
    }
}

// In.
impl Store {
    /// Whether another request may be brought; if not, the driver waits for answers.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.context.replies().has_room()
    }

    /// Takes a request.
    ///
    /// # Panics
    ///
    /// If a request of the same id still awaits its answer.
    pub fn handle_request(&mut self, now: Now, id: RequestId, request: impl Into<Request>) {
        let request = request.into();
        self.context.set_now(now);
        let unavailable = if self.context.is_shutting_down() {
            Some(Unavailable::ShuttingDown)
        } else if !self.has_room() && !request.is_ending() {
            Some(Unavailable::Overloaded)
        } else {
            None
        };
        self.context.replies_mut().take(id, request.len());
        match unavailable {
            Some(why) => self.turn_away(id, request, why),
            None => self.arrive(id, request),
        }
        self.run();
    }

    fn turn_away(&mut self, id: RequestId, request: Request, why: Unavailable) {
        let answer = request.unavailable(why);
        self.context.replies_mut().turn_away(id, answer);
        if let Request::ReadTestWrite(ask) = request {
            let spool = ask.spool.map(Event::DropSpool);
            spool.into_iter().for_each(|event| self.context.send(event));
        }
    }

    /// Has a request wait where it has to, while the store is migrated; else carries it out.
    fn arrive(&mut self, id: RequestId, request: Request) {
        let it = &mut self.machines;
        if it.migration.is_shut() && !matches!(request, Request::AskStatus(_)) {
            return it.migration.wait(id, request);
        }
        // What follows upon the beginning of an upload, or upon its end, comes after that.
        let upload = request
            .upload()
            .and_then(|upload| it.doors.of_upload(upload));
        let bucket = it.bucket(&request);
        let bucket = bucket.filter(|bucket| it.doors.is_shut(&self.context, *bucket));
        match upload.or(bucket) {
            Some(bucket) => it.doors.wait(&mut self.context, bucket, (id, request)),
            None => self.enter(id, request),
        }
    }

    /// Carries a request out, of whose bucket it is known where it lies.
    fn enter(&mut self, id: RequestId, request: Request) {
        if let Some(bucket) = self.machines.bucket(&request) {
            self.context.places.enter(id, bucket);
        }
        self.dispatch(id, request);
    }

    /// Takes the end of an operation that [`Store::poll_operation`] gave.
    ///
    /// # Panics
    ///
    /// If the operation was never given out, or has ended before.
    pub fn handle_completion(&mut self, now: Now, completion: Completion) {
        self.context.set_now(now);
        if let Some((waiter, completion)) = self.context.completed(completion) {
            let machine = self.machines.named(waiter.machine);
            machine.completed(&mut self.context, waiter.index, completion);
        }
        self.run();
    }

    /// Takes the time, when [`Store::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.context.set_now(now);
        self.machines.uploads.expire(&mut self.context);
        self.machines.ranged.expire(&mut self.context);
        self.machines.following.expire(&mut self.context);
        self.run();
    }

    /// Refuses new requests, gives uploads in progress up, and finishes everything else.
    ///
    /// Ranged uploads that have a file are left in it, to be resumed when the store is opened
    /// again; those that were only allocated are forgotten.
    pub fn shut_down(&mut self, now: Now) {
        self.context.set_now(now);
        self.context.begin_shutting_down();
        self.machines.uploads.give_all_up(&mut self.context);
        self.machines.spools.drop_all(&mut self.context);
        self.run();
    }

    fn dispatch(&mut self, id: RequestId, request: Request) {
        let cx = &mut self.context;
        let it = &mut self.machines;
        match request {
            Request::Put(put) => it.puts.put(cx, Asker::new(id), put),
            Request::OpenUpload(open) => it.uploads.open(cx, Asker::new(id), open),
            Request::WriteUpload(write) => it.uploads.write_next(cx, Asker::new(id), write),
            Request::CloseUpload(close) => {
                it.uploads
                    .close(cx, Asker::new(id), close.upload, close.size);
            }
            Request::AbortUpload(abort) => it.uploads.abort(cx, Asker::new(id), abort.upload),
            Request::DetachUpload(detach) => it.uploads.detach(cx, Asker::new(id), detach.upload),
            Request::Allocate(allocate) => it.ranged.allocate(cx, Asker::new(id), allocate),
            Request::WriteRange(write) => it.ranged.write(cx, Asker::new(id), write),
            Request::AbortRanged(abort) => it.ranged.abort(cx, Asker::new(id), &abort),
            Request::Advise(advise) => it.advisories.advise(cx, Asker::new(id), advise),
            Request::Read(read) => it.reads.read(cx, Asker::new(id), read),
            Request::RenewLeases(renew) => it.leases.renew_all(cx, Asker::new(id), renew),
            Request::ReadTestWrite(ask) => it.slots.read_test_write(cx, Asker::new(id), ask),
            Request::OpenSpool(_) => it.spools.open(cx, Asker::new(id)),
            Request::WriteSpool(write) => it.spools.write(cx, Asker::new(id), write),
            Request::DropSpool(drop) => it.spools.drop_for(cx, Asker::new(id), drop.spool),
            Request::Remove(remove) => it.removals.remove(cx, Asker::new(id), &remove),
            Request::Expire(expire) => it.expiries.expire(cx, Asker::new(id), expire),
            Request::Count(count) => it.counts.count(cx, Asker::new(id), &count),
            Request::Mend(mend) => it.mendings.mend(cx, Asker::new(id), &mend),
            Request::AskStatus(_) => {
                // Somebody else may fill the disk while nobody stores anything here.
                cx.measure_space_if_due();
                let status = self.status();
                self.context.tell(Asker::new(id), status);
            }
            Request::BeginMigration(begin) => it.migration.begin(cx, Asker::new(id), &begin),
            Request::MigrateNext(next) => it.migration.next(cx, Asker::new(id), &next),
            Request::EndMigration(_) => it.migration.end(cx, Asker::new(id)),
        }
    }

    /// Takes what happened to whom it is for, until nothing more follows.
    fn run(&mut self) {
        while let Some(event) = self.context.next_event() {
            let cx = &mut self.context;
            let it = &mut self.machines;
            match event {
                Event::Arrive(id, request) => self.arrive(id, request),
                Event::Enter(id, request) => self.enter(id, request),
                Event::TurnAway(id, request, why) => self.turn_away(id, request, why),
                Event::Settle(bucket) => it.doors.settle(cx, bucket),
                Event::Settled(bucket, settled) => it.migration.settled(cx, bucket, settled),
                Event::Granted(to, owned) => it.named(to.machine).granted(cx, to.index, owned),
                Event::SlotGranted(to, owned) => {
                    it.named(to.machine).slot_granted(cx, to.index, owned);
                }
                Event::Admitted(to) => it.named(to.machine).admitted(cx, to.index),
                Event::Recorded(to, durable, hold) => {
                    it.named(to.machine).recorded(cx, to.index, durable, hold);
                }
                Event::Unrecorded(to) => it.named(to.machine).unrecorded(cx, to.index),
                Event::Renew(renew) => it.leases.renew(cx, renew),
                Event::Renewed(to, owned, result) => {
                    it.named(to.machine).renewed(cx, to.index, owned, result);
                }
                Event::TakeAway(it_goes) => it.removals.take_away(cx, it_goes),
                Event::TakenAway(to, owned, result) => {
                    it.named(to.machine).taken_away(cx, to.index, owned, result);
                }
                Event::Publish(publish) => it.publishing.publish(cx, publish),
                Event::Published(to, owned, result) => {
                    it.named(to.machine).published(cx, to.index, owned, result);
                }
                Event::Fence(fence) => it.publishing.fence(cx, fence),
                Event::Fenced(to, result) => it.slots.fenced(cx, to.index, result),
                Event::PutRanged(put) => it.puts.put_ranged(cx, put),
                Event::RangedPut(to, outcome) => it.ranged.put(cx, to.index, outcome),
                Event::Follow(owned) => it.following.follow(cx, owned),
                Event::Room => it.puts.room(cx),
                Event::UseSpool(wish) => it.spools.use_up(cx, wish),
                Event::Spooled(to, result) => it.slots.spooled(cx, to.index, result),
                Event::DropSpool(id) => it.spools.drop(cx, id),
            }
        }
    }
}

// Out.
impl Store {
    /// Returns the next operation to perform.
    ///
    /// The journal's next batch is put together here, so that it holds whatever the driver
    /// brought since the last one; likewise what is placed next.
    pub fn poll_operation(&mut self) -> Option<(OperationId, Operation)> {
        loop {
            if let Some(next) = self.context.poll_operation() {
                return Some(next);
            }
            self.machines.following.poll(&mut self.context);
            self.machines.doors.poll(&mut self.context);
            self.machines.migration.poll(&mut self.context);
            if !self.context.has_more() {
                return None;
            }
            self.run();
        }
    }

    /// Returns the next answer to give.
    pub fn poll_answer(&mut self) -> Option<(RequestId, Answer)> {
        let (id, answer) = self.context.replies_mut().poll()?;
        self.context.places.leave(id);
        Some((id, answer))
    }

    /// Returns when [`Store::handle_timeout`] is to be called, on the clock of [`Now::elapsed`].
    ///
    /// It may be called earlier or more often without harm.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let Machines {
            uploads,
            ranged,
            following,
            ..
        } = &self.machines;
        let expiries = [
            uploads.next_expiry(),
            ranged.next_expiry(),
            following.next_retry(),
        ];
        expiries.into_iter().flatten().min()
    }

    /// Where its shares lie, and which of them it is changing: for readers that do not ask it.
    pub(crate) fn sight(&self) -> Arc<Changes> {
        self.context.changes()
    }

    /// Whether, after [`Store::shut_down`], nothing is left to do: the store may be dropped.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.context.is_shutting_down() && self.context.is_idle()
    }

    /// Returns how the store is.
    #[must_use]
    pub fn status(&mut self) -> Status {
        let cx = &mut self.context;
        let counters = cx.journal_counters();
        let held = cx.held();
        let space = cx.space();
        let (available, promised) = (space.available(), space.promised());
        let (reserved, size_max) = (space.reserved(), space.size_max());
        Status {
            engine: cx.settings.engine,
            writes_directly: cx.settings.writes_directly,
            layout: cx.places.layouts().layout,
            migrating_from: cx.places.from(),
            unmoved: cx.places.unsettled_count(),
            durability: cx.settings.durability,
            read_only: cx.settings.read_only,
            failed: cx.has_failed(),
            available,
            reserved,
            size_max,
            held,
            promised,
            pending: cx.pending_count(),
            unplaced: cx.stuck_count(),
            uploads: self.machines.uploads.len() + self.machines.ranged.len(),
            journal_batches: counters.batches,
            journal_records: counters.records,
            checkpoints: counters.checkpoints,
            replayed: self.replayed,
        }
    }
}

impl Machines {
    /// The bucket that a request is about, if it is about one.
    fn bucket(&self, request: &Request) -> Option<StorageIndex> {
        match request {
            Request::CloseUpload(close) => {
                let key = self.uploads.key(close.upload);
                key.map(|key| key.storage_index)
            }
            request => request.storage_index(),
        }
    }

    fn named(&mut self, machine: Machine) -> &mut dyn Machinery {
        match machine {
            Machine::Put => &mut self.puts,
            Machine::Upload => &mut self.uploads,
            Machine::Ranged => &mut self.ranged,
            Machine::Publish => &mut self.publishing,
            Machine::Lease => &mut self.leases,
            Machine::Read => &mut self.reads,
            Machine::Remove => &mut self.removals,
            Machine::Advise => &mut self.advisories,
            Machine::Slot => &mut self.slots,
            Machine::Spool => &mut self.spools,
            Machine::Follow => &mut self.following,
            Machine::Expire => &mut self.expiries,
            Machine::Count => &mut self.counts,
            Machine::Mend => &mut self.mendings,
            Machine::Door => &mut self.doors,
            Machine::Migrate => &mut self.migration,
        }
    }
}
