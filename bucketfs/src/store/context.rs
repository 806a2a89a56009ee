//! What the machines of the store share, and all that they may do to each other's world.
//!
//! A machine can start an operation on the disk, have a record made durable, wait for a lock, use
//! space, and answer who asked. It sees nothing of another machine but what an [`Event`] says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, num};
use rustix::io::Errno;
use slab::Slab;

use super::event::{Event, NotPublished, NotRenewed, Renewed, Waiter};
use super::locks::{Granted, Locks, Owned, SlotOwned};
use super::pending::PendingShares;
use super::places::Places;
use super::reply::{Asker, Lasting, LeaseProofs, ListsLeases, Passing, Replies};
use super::space::{Measurement, SpaceAccount};
use crate::changes::Changes;
use crate::container::Version;
use crate::container::mutable::NodeId;
use crate::disk::{ByteRange, Completion, Operation, OperationId, Outcome, StorePath};
use crate::durable::{Durability, Durable, Waiver};
use crate::error::DiskError;
use crate::journal::books::{Books, Part};
use crate::journal::log::{Appended, Counters, Failed, Group, Hold, Log, Phase};
use crate::keys::KeySet;
use crate::kind::ShareKind;
use crate::layout::{self, Layouts, ShareKey};
use crate::refusal::Unwritable;
use crate::request::{Ask, Now};
use crate::ticket::BootId;
use crate::totals::Totals;

/// What was chosen for this run of the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) engine: &'static str,
    /// Whether the disk takes writes past the page cache.
    pub(super) writes_directly: bool,
    /// Whether the operator takes no new shares.
    pub(super) read_only: bool,
    pub(super) durability: Durability,
    /// Of containers that are made.
    pub(super) container_version: Version,
    pub(super) boot_id: BootId,
    /// Recorded in new containers and leases of slots.
    pub(super) node_id: NodeId,
}

/// What the machines share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) settings: Settings,
    /// Where each bucket lies.
    pub(super) places: Places,
    now: Now,
    shutting_down: bool,
    awaited: Slab<Awaited>,
    ready: VecDeque<(OperationId, Operation)>,
    events: VecDeque<Event>,
    replies: Replies,
    log: Log<Waiter>,
    locks: Locks<Waiter>,
    /// Shares that the journal has and the tree has not.
    pending: PendingShares,
    /// Shares of which half a change was written and could not be taken back.
    torn: KeySet<ShareKey>,
    /// Shares that somebody is uploading, front to back or by ranges.
    in_progress: KeySet<ShareKey>,
    /// For readers that ask nobody.
    changes: Arc<Changes>,
    space: SpaceAccount,
    /// Names the next file in incoming.
    serial: u64,
}

/// By whom a completion is awaited.
#[derive(Debug)]
enum Awaited {
    Machine(Waiter),
    Journal(Phase),
    Space(Measurement),
    /// The removal of a file that nobody asks for any more.
    CleanUp,
}

/// A machine: it is told what happened to its entries, and does what follows.
///
/// An index is that of the [`Waiter`] that the machine gave away. What a machine never waits for,
/// it is never told.
pub(super) trait Machinery {
    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion);

    fn granted(&mut self, _: &mut Context, index: usize, owned: Owned) {
        unreachable!("{index} did not wait for {owned:?}");
    }

    fn slot_granted(&mut self, _: &mut Context, index: usize, owned: SlotOwned) {
        unreachable!("{index} did not wait for {owned:?}");
    }

    fn admitted(&mut self, _: &mut Context, index: usize) {
        unreachable!("{index} neither reads nor changes");
    }

    fn recorded(&mut self, _: &mut Context, index: usize, _: Durable, _: Hold) {
        unreachable!("{index} recorded nothing");
    }

    fn unrecorded(&mut self, _: &mut Context, index: usize) {
        unreachable!("{index} recorded nothing");
    }

    fn renewed(&mut self, _: &mut Context, index: usize, _: Owned, _: Result<Renewed, NotRenewed>) {
        unreachable!("{index} asked for no lease");
    }

    fn published(
        &mut self,
        _: &mut Context,
        index: usize,
        _: Owned,
        _: Result<Durable, NotPublished>,
    ) {
        unreachable!("{index} publishes nothing");
    }

    fn taken_away(
        &mut self,
        _: &mut Context,
        index: usize,
        _: Owned,
        _: Result<Durable, Unwritable>,
    ) {
        unreachable!("{index} takes nothing away");
    }
}

// Time, settings, names.
impl Context {
    pub(super) fn new(
        settings: Settings,
        places: Places,
        now: Now,
        log: Log<Waiter>,
        space: SpaceAccount,
    ) -> Self {
        let changes = Arc::new(Changes::new(places.layouts()));
        Self {
            settings,
            places,
            now,
            shutting_down: false,
            awaited: Slab::new(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            replies: Replies::default(),
            log,
            locks: Locks::new(),
            pending: PendingShares::default(),
            torn: KeySet::default(),
            in_progress: KeySet::default(),
            changes,
            space,
            serial: 0,
        }
    }

    pub(super) fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// Time on the clock of timeouts.
    pub(super) fn elapsed(&self) -> Duration {
        self.now.elapsed
    }

    /// Seconds since 1970.
    pub(super) fn unix(&self) -> u64 {
        self.now.unix
    }

    pub(super) fn begin_shutting_down(&mut self) {
        self.shutting_down = true;
        self.changes.close();
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.shutting_down
    }

    /// Where a share lies.
    pub(super) fn place(&self, key: ShareKey) -> StorePath {
        self.places.tree(key.storage_index).share(key)
    }

    /// Where a bucket or slot lies.
    pub(super) fn bucket(&self, storage_index: StorageIndex) -> StorePath {
        self.places.tree(storage_index).bucket(storage_index)
    }

    /// The directories that must be synced for the name of a share to last, the deepest first.
    pub(super) fn above(&self, storage_index: StorageIndex) -> Vec<StorePath> {
        self.places.tree(storage_index).above(storage_index)
    }

    /// How many directories above a share may be removed when they are empty.
    pub(super) fn prunable(&self, storage_index: StorageIndex) -> u8 {
        self.places.tree(storage_index).levels()
    }

    /// A bucket stays in the layout that the store is moved from, for now.
    pub(super) fn unsettle(&mut self, storage_index: StorageIndex, error: DiskError) {
        if self.places.is_crowded() {
            let (locks, pending) = (&self.locks, &self.pending);
            let is_free = |index| locks.is_free(index) && pending.numbers(index).is_empty();
            self.places.forget(is_free);
        }
        self.places.unsettle(storage_index, error);
    }

    /// Whether nobody is at any bucket.
    pub(super) fn is_at_rest(&self) -> bool {
        self.locks.is_empty() && self.places.are_left()
    }

    /// From now on the buckets lie in other layouts. Nobody is at any of them, and all that was
    /// changed in them is durable.
    pub(super) fn set_layouts(&mut self, layouts: Layouts) {
        assert!(self.is_at_rest());
        self.places.set_layouts(layouts);
        self.changes.set_layouts(layouts);
    }

    pub(super) fn next_incoming(&mut self) -> StorePath {
        layout::incoming(self.next_serial())
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Serial numbers up to this one were used by an earlier run.
    pub(super) fn skip_serials(&mut self, last: u64) {
        self.serial = last;
    }
}

// Operations and events.
impl Context {
    /// Has the disk do something, of which the machine is told the end.
    pub(super) fn start(&mut self, waiter: Waiter, operation: Operation) {
        self.submit(Awaited::Machine(waiter), operation);
    }

    /// Removes a file in incoming that came to nothing.
    pub(super) fn clean_up(&mut self, path: StorePath) {
        self.submit(Awaited::CleanUp, Operation::Remove { path, prune: 0 });
    }

    fn submit(&mut self, awaited: Awaited, operation: Operation) {
        self.changes.begin_operation(&operation);
        let id = OperationId(num::size(self.awaited.insert(awaited)));
        self.ready.push_back((id, operation));
    }

    /// Asks whether a share is held; [`is_held`] reads the answer.
    pub(super) fn probe(&self, key: ShareKey) -> Operation {
        Operation::Read {
            path: self.place(key),
            ranges: Vec::new(),
        }
    }

    /// Asks what a share is and how large its file; [`kind_and_size`] reads the answer.
    pub(super) fn examine(&self, key: ShareKey) -> Operation {
        let front = ByteRange {
            offset: 0,
            len: ShareKind::FRONT_LEN,
        };
        Operation::Read {
            path: self.place(key),
            ranges: vec![front],
        }
    }

    /// Leaves something for another machine.
    pub(super) fn send(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes the end of an operation; returns the machine that is to be told of it.
    pub(super) fn completed(&mut self, completion: Completion) -> Option<(Waiter, Completion)> {
        self.changes.end_operation(&completion.operation);
        let index = usize::try_from(completion.id.0).expect("ids come from this table");
        match self.awaited.remove(index) {
            Awaited::Machine(waiter) => return Some((waiter, completion)),
            Awaited::Journal(phase) => self.journal_completed(phase, completion),
            Awaited::Space(measurement) => self.measured(measurement, &completion),
            Awaited::CleanUp => cleaned_up(&completion),
        }
        None
    }

    /// Returns the next operation to perform.
    ///
    /// The journal's next batch is put together here, so that it holds whatever the driver
    /// brought since the last one.
    pub(super) fn poll_operation(&mut self) -> Option<(OperationId, Operation)> {
        if self.ready.is_empty() {
            if self.shutting_down && self.replies.none_pending() {
                self.log.close(self.pending.is_settled());
            }
            if let Some((phase, operation)) = self.log.poll() {
                self.submit(Awaited::Journal(phase), operation);
            }
            self.refuse_what_never_fits();
        }
        self.ready.pop_front()
    }

    /// Whether there is an operation to perform, or something to tell a machine.
    pub(super) fn has_more(&self) -> bool {
        !self.ready.is_empty() || !self.events.is_empty()
    }

    /// Whether nothing is under way and nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        let idle = self.awaited.is_empty()
            && self.replies.is_empty()
            && self.pending.is_settled()
            && self.log.is_closed();
        // Whoever holds a lock has an operation in flight or waits for the journal.
        assert!(!idle || self.locks.is_empty());
        // Readers would be sent here for ever.
        let are_sent_here = !self.torn.is_empty() || self.pending.len() > 0;
        assert!(!idle || are_sent_here || self.changes.are_none());
        idle
    }
}

// Locks.
impl Context {
    /// Takes the lock of a share for the waiter, or puts it in line.
    pub(super) fn acquire(&mut self, key: ShareKey, waiter: Waiter) {
        let granted = self.locks.acquire(key, waiter);
        self.grant(granted);
    }

    pub(super) fn release(&mut self, owned: Owned) {
        let granted = self.locks.release(owned);
        self.grant(granted);
    }

    /// Whether somebody owns the lock of a share, or that of its slot.
    pub(super) fn is_owned(&self, key: ShareKey) -> bool {
        self.locks.is_owned(key)
    }

    pub(super) fn acquire_slot(&mut self, storage_index: StorageIndex, waiter: Waiter) {
        let granted = self.locks.acquire_slot(storage_index, waiter);
        self.grant(granted);
    }

    pub(super) fn release_slot(&mut self, owned: SlotOwned) {
        let granted = self.locks.release_slot(owned);
        self.grant(granted);
    }

    /// Begins a read of a share, once no patch is being made.
    pub(super) fn begin_read(&mut self, key: ShareKey, waiter: Waiter) {
        let admitted = self.locks.begin_read(key, waiter);
        self.admit(admitted);
    }

    pub(super) fn end_read(&mut self, key: ShareKey) {
        let admitted = self.locks.end_read(key);
        self.admit(admitted);
    }

    /// Begins a change of a share in place, once nobody reads it.
    pub(super) fn begin_patch(&mut self, owned: &Owned, waiter: Waiter) {
        self.changes.begin(owned.key().storage_index);
        let admitted = self.locks.begin_patch(owned, waiter);
        self.admit(admitted);
    }

    pub(super) fn end_patch(&mut self, owned: &Owned) {
        self.changes.end(owned.key().storage_index);
        let admitted = self.locks.end_patch(owned);
        self.admit(admitted);
    }

    /// Begins a read of any shares of a storage index, once its slot is not being changed.
    pub(super) fn begin_slot_read(&mut self, storage_index: StorageIndex, waiter: Waiter) {
        let admitted = self.locks.begin_slot_read(storage_index, waiter);
        self.admit(admitted);
    }

    pub(super) fn end_slot_read(&mut self, storage_index: StorageIndex) {
        let admitted = self.locks.end_slot_read(storage_index);
        self.admit(admitted);
    }

    /// Begins a change of a slot, once nobody reads it.
    pub(super) fn begin_slot_change(&mut self, owned: &SlotOwned, waiter: Waiter) {
        self.changes.begin(owned.index());
        let admitted = self.locks.begin_slot_change(owned, waiter);
        self.admit(admitted);
    }

    /// Ends the owner's change: the slot has another state from now on.
    pub(super) fn end_slot_change(&mut self, owned: &SlotOwned) {
        self.changes.slot_changed(owned.index());
        self.changes.end(owned.index());
        let admitted = self.locks.end_slot_change(owned);
        self.admit(admitted);
    }

    fn grant(&mut self, granted: impl IntoIterator<Item = Granted<Waiter>>) {
        let books = &mut self.log.books;
        let events = granted.into_iter().map(|granted| match granted {
            Granted::Share(owned, waiter) => {
                books.touch(owned.key().storage_index);
                Event::Granted(waiter, owned)
            }
            Granted::Slot(owned, waiter) => {
                books.touch(owned.index());
                Event::SlotGranted(waiter, owned)
            }
        });
        self.events.extend(events);
    }

    fn admit(&mut self, admitted: impl IntoIterator<Item = Waiter>) {
        self.events
            .extend(admitted.into_iter().map(Event::Admitted));
    }
}

// What is known of shares.
impl Context {
    /// Whether half a change of the share was written.
    pub(super) fn is_torn(&self, key: ShareKey) -> bool {
        self.torn.contains(&key)
    }

    pub(super) fn tear(&mut self, keys: impl IntoIterator<Item = ShareKey>) {
        for key in keys {
            if self.torn.insert(key) {
                // Whoever reads it has to be told so, by the store.
                self.changes.begin(key.storage_index);
            }
        }
    }

    /// What is being changed.
    pub(super) fn changes(&self) -> Arc<Changes> {
        Arc::clone(&self.changes)
    }

    /// The number of a slot's present state.
    pub(super) fn slot_version(&self, storage_index: StorageIndex) -> u64 {
        self.changes.slot_version(storage_index)
    }

    /// Whether somebody is uploading the share.
    pub(super) fn is_in_progress(&self, key: ShareKey) -> bool {
        self.in_progress.contains(&key)
    }

    pub(super) fn begin_progress(&mut self, key: ShareKey) {
        let new = self.in_progress.insert(key);
        assert!(new, "a share is in progress once");
    }

    pub(super) fn end_progress(&mut self, key: ShareKey) {
        self.in_progress.remove(&key);
        if self.in_progress.is_empty() {
            // A burst is over; idle, the store takes little memory.
            self.in_progress = KeySet::default();
        }
    }
}

// The journal.
impl Context {
    pub(super) fn waiver(&self) -> Option<Waiver> {
        self.settings.durability.waiver()
    }

    /// Why nothing at all may be written, if so.
    pub(super) fn write_refusal(&self) -> Option<Unwritable> {
        self.log.has_failed().then_some(Unwritable::Failed)
    }

    /// Why this share may not be written, if so.
    pub(super) fn share_refusal(&self, key: ShareKey) -> Option<Unwritable> {
        let why_stuck = self.pending.why_stuck(key);
        self.write_refusal().or(why_stuck.map(unplaced))
    }

    /// Why nothing of this storage index can be told or changed as a whole, if so: the disk refuses
    /// shares of a bucket there.
    pub(super) fn bucket_refusal(&self, storage_index: StorageIndex) -> Option<Unwritable> {
        self.pending.why_stuck_of(storage_index).map(unplaced)
    }

    /// Why a record was not made durable.
    pub(super) fn record_refusal(&self) -> Unwritable {
        let stuck = self.pending.stuck().next();
        let stuck = stuck.map(|(_, error, _)| unplaced(error));
        self.write_refusal().or(stuck).unwrap_or(Unwritable::Failed)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.log.has_failed()
    }

    pub(super) fn journal_counters(&self) -> Counters {
        self.log.counters
    }

    /// Makes records durable, all in one batch: after a crash all of them are there, or none.
    pub(super) fn record(&mut self, group: Group, waiter: Waiter) {
        if self.log.has_failed() {
            return self.send(Event::Unrecorded(waiter));
        }
        self.log.append(group, waiter);
    }

    /// The tree has what a record says, or never will.
    pub(super) fn release_hold(&mut self, hold: Hold) {
        self.log.release(hold);
    }

    /// Stops writing: the tree lacks what a durable record says, or has half of it.
    ///
    /// What others would build on the share now, replay would take away from under them.
    pub(super) fn give_up(&mut self, path: &StorePath, error: DiskError) {
        tracing::error!(%path, %error, "cannot do what the journal says; the store is read-only until tahoed is restarted");
        let waiters = self.log.give_up();
        self.events
            .extend(waiters.into_iter().map(Event::Unrecorded));
    }

    fn journal_completed(&mut self, phase: Phase, completion: Completion) {
        let failed = match phase {
            Phase::Append => match self.log.appended(completion) {
                Appended::Durable(waiters) => {
                    let event = |(waiter, durable, hold)| Event::Recorded(waiter, durable, hold);
                    return self.events.extend(waiters.into_iter().map(event));
                }
                Appended::Failed(failed) => failed,
            },
            Phase::Sync => match self.log.synced(&completion) {
                Ok(next) => {
                    if let Some((phase, operation)) = next {
                        self.submit(Awaited::Journal(phase), operation);
                    }
                    return;
                }
                Err(failed) => failed,
            },
            Phase::Header => match self.log.retired(&completion) {
                Ok(()) => return,
                Err(failed) => failed,
            },
        };
        let Failed { waiters, error } = failed;
        let step = phase.name();
        tracing::error!(%error, step, "the journal cannot be synced; the store is read-only until tahoed is restarted");
        self.events
            .extend(waiters.into_iter().map(Event::Unrecorded));
    }
}

// How much the store holds.
impl Context {
    /// What the store holds, if anybody has ever counted.
    pub(super) fn held(&self) -> Option<Totals> {
        self.log.books.totals()
    }

    /// Begins a count of the tree.
    pub(super) fn begin_count(&mut self) {
        let (books, at_work) = self.books_and_work();
        books.begin_count(at_work);
    }

    /// Takes what was found in a part of the tree.
    pub(super) fn count_part(
        &mut self,
        after: Option<StorageIndex>,
        upto: Option<StorageIndex>,
        found: &Totals,
    ) -> Part {
        let (books, at_work) = self.books_and_work();
        books.count_part(after, upto, found, at_work)
    }

    /// The books, and where the tree may be about to change, or may lack what was entered already.
    /// Whoever changes a share has its lock from before its entry until the tree has followed, but
    /// for shares that the disk has refused.
    fn books_and_work(&mut self) -> (&mut Books, impl Iterator<Item = StorageIndex>) {
        let stuck = self.pending.stuck().map(|(key, ..)| key.storage_index);
        (&mut self.log.books, self.locks.at_work().chain(stuck))
    }
}

// Space.
impl Context {
    /// How the space is, as of now.
    pub(super) fn space(&mut self) -> &mut SpaceAccount {
        let held = self.held().map(|held| held.bytes());
        self.space.hold(held);
        &mut self.space
    }

    /// Promises so many bytes, or returns false if they are not there.
    #[must_use]
    pub(super) fn promise(&mut self, size: u64) -> bool {
        self.space().promise(size)
    }

    /// Takes a promise back.
    pub(super) fn cancel(&mut self, size: u64) {
        self.space.cancel(size);
    }

    /// Turns a promise into bytes written.
    pub(super) fn keep(&mut self, size: u64) {
        self.space.keep(size);
    }

    /// Turns a promise into bytes of an upload in progress.
    pub(super) fn grow(&mut self, size: u64) {
        self.space.grow(size);
    }

    /// So much that was written of an upload is a share now, or gone.
    pub(super) fn end_growth(&mut self, size: u64) {
        self.space.end_growth(size);
    }

    /// Promises what a small share takes whose container is of this size: bytes and inodes.
    #[must_use]
    pub(super) fn promise_share(&mut self, size: u64) -> bool {
        self.space().promise_share(size)
    }

    /// Takes such a promise back.
    pub(super) fn cancel_share(&mut self, size: u64) {
        self.space.cancel_share(size);
    }

    /// Turns such a promise into what is written.
    fn keep_share(&mut self, size: u64) {
        self.space.keep_share(size);
    }

    pub(super) fn measure_space_if_due(&mut self) {
        if let Some(measurement) = self.space.begin_if_due(self.now.elapsed) {
            self.submit(Awaited::Space(measurement), Operation::FreeSpace);
        }
    }

    /// Begins a measurement that a machine waits for, with [`Operation::FreeSpace`].
    pub(super) fn begin_measurement(&self) -> Measurement {
        self.space.begin()
    }

    pub(super) fn measured(&mut self, measurement: Measurement, completion: &Completion) {
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

// Answers.
impl Context {
    pub(super) fn replies(&self) -> &Replies {
        &self.replies
    }

    pub(super) fn replies_mut(&mut self) -> &mut Replies {
        &mut self.replies
    }

    /// Answers a request that changed nothing, or whose change is not promised to last.
    pub(super) fn tell<A: Ask>(&mut self, asker: Asker<A>, success: impl Passing<A>) {
        self.replies.tell(asker, success);
    }

    /// Answers a request that changed something for good.
    pub(super) fn acknowledge<A: Ask>(
        &mut self,
        asker: Asker<A>,
        success: impl Lasting<A>,
        durable: Durable,
    ) {
        self.replies.acknowledge(asker, success, durable);
    }

    /// Answers a request that added or renewed so many leases.
    pub(super) fn acknowledge_leases<A: Ask>(
        &mut self,
        asker: Asker<A>,
        success: impl ListsLeases<A>,
        proofs: LeaseProofs,
    ) {
        self.replies.acknowledge_leases(asker, success, proofs);
    }

    pub(super) fn refuse<A: Ask>(&mut self, asker: Asker<A>, refusal: impl Into<A::Refusal>) {
        self.replies.refuse(asker, refusal);
    }
}

// Shares that the tree does not have yet.
impl Context {
    /// The container of a share that the tree does not have yet, or not whole.
    pub(super) fn pending(&self, key: ShareKey) -> Option<&Bytes> {
        self.pending.get(key)
    }

    /// The shares of a bucket that the tree does not have yet. Whoever lists a bucket asks before it
    /// is listed: what has its place afterwards may or may not be in the list.
    pub(super) fn pending_numbers(&self, storage_index: StorageIndex) -> Vec<ShareNumber> {
        self.pending.numbers(storage_index)
    }

    /// Takes room for a share that is about to be recorded, if there is some.
    #[must_use]
    pub(super) fn reserve_pending(&mut self, container: &Bytes) -> bool {
        self.pending.reserve(container)
    }

    /// Gives that room back: the share was not recorded.
    pub(super) fn cancel_pending(&mut self, container: &Bytes) {
        self.pending.cancel(container);
    }

    /// A share is recorded: from now on it is held, and the tree follows.
    pub(super) fn insert_pending(&mut self, owned: Owned, container: Bytes, hold: Hold) {
        // Until the tree has it, readers are told of it here.
        self.changes.begin(owned.key().storage_index);
        self.pending.insert(owned.key(), container, hold);
        self.send(Event::Follow(owned));
    }

    /// The tree has a share that was pending.
    pub(super) fn placed(&mut self, key: ShareKey) {
        self.changes.end(key.storage_index);
        let (container, hold) = self.pending.placed(key);
        self.log.release(hold);
        self.keep_share(num::size(container.len()));
    }

    /// The disk has refused to place a share: it stays pending.
    pub(super) fn cannot_place(&mut self, key: ShareKey, error: DiskError) {
        self.pending.refused(key, error);
    }

    /// Whether a share that the disk has refused is still to be placed, which is now tried.
    #[must_use]
    pub(super) fn retry_placing(&mut self, key: ShareKey) -> bool {
        self.pending.retry(key)
    }

    /// The shares that the disk has refused to place.
    pub(super) fn stuck_shares(&self) -> Vec<ShareKey> {
        self.pending.stuck().map(|(key, ..)| key).collect()
    }

    /// Why the disk has refused one of them, if there is one.
    pub(super) fn why_stuck(&self) -> Option<DiskError> {
        self.pending.stuck().next().map(|(_, error, _)| error)
    }

    pub(super) fn stuck_count(&self) -> usize {
        self.pending.stuck_count()
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Why no further share is taken, if so: the disk refuses what the journal has already. Something
    /// foreign in the place of one share is no reason, nor that descriptors or memory were short.
    pub(super) fn new_share_refusal(&self) -> Option<Unwritable> {
        let mut refused = self.pending.stuck().map(|(_, error, _)| error);
        let is_the_disk = |error: &DiskError| !error.is_foreign() && !error.is_shortage();
        refused.find(is_the_disk).map(unplaced)
    }

    /// Whether every pending share is one that the disk has refused: none makes room by itself.
    pub(super) fn pending_is_settled(&self) -> bool {
        self.pending.is_settled()
    }

    /// Refuses what waits for the journal, if that is full and the disk does not take what it holds.
    fn refuse_what_never_fits(&mut self) {
        let mut stuck = self.pending.stuck();
        if stuck.any(|(_, _, hold)| self.log.waits_for(hold)) {
            let waiters = self.log.refuse(self.shutting_down);
            self.events
                .extend(waiters.into_iter().map(Event::Unrecorded));
        }
    }
}

/// Reads what was found of a share that is to be taken away: what it is, and the size of its file.
pub(super) fn kind_and_size(
    completion: &Completion,
) -> Result<Option<(ShareKind, u64)>, DiskError> {
    match &completion.result {
        Ok(Outcome::Read { size, pieces }) => {
            let front = pieces.first().expect("its front was asked for");
            Ok(Some((ShareKind::of(front), *size)))
        }
        Ok(outcome) => panic!("a read gave {outcome:?}"),
        Err(error) if error.errno == Errno::NOENT => Ok(None),
        Err(error) => Err(*error),
    }
}

/// Reads what [`Context::probe`] found.
pub(super) fn is_held(completion: &Completion) -> Result<bool, DiskError> {
    match &completion.result {
        Ok(_) => Ok(true),
        Err(error) if error.errno == Errno::NOENT => Ok(false),
        Err(error) => Err(*error),
    }
}

/// What it means to whoever wants to write that the disk does not take what the journal holds.
pub(super) fn unplaced(error: DiskError) -> Unwritable {
    match unwritable(error) {
        Unwritable::Disk(error) => Unwritable::Unplaced(error),
        full => full,
    }
}

/// What a failure to write a new file means to whoever brought it.
pub(super) fn unwritable(error: DiskError) -> Unwritable {
    match error.errno {
        Errno::NOSPC | Errno::DQUOT => Unwritable::Full,
        _ => Unwritable::Disk(error),
    }
}

/// Says what could not be removed.
pub(super) fn cleaned_up(completion: &Completion) {
    if let (Operation::Remove { path, .. }, Err(error)) =
        (&completion.operation, &completion.result)
    {
        // It goes at the next start at the latest.
        tracing::warn!(%path, %error, "cannot remove a file that came to nothing");
    }
}
