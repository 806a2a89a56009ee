//! One life of a store: opened, asked many things at once, ended by a crash or in order.

use std::collections::BTreeMap;
use std::time::Duration;

use bucketfs::container::expiration;
use bucketfs::disk::Engine;
use bucketfs::disk::sim::{Faults, Medium, Random, Sim};
use bucketfs::{
    AbortRangedRefusal, AbortRefusal, AbortUpload, Answer, BootId, CloseRefusal, CloseUpload,
    Config, Count, DetachUpload, Durability, Expire, ExpireRefusal, Expired, ExpiryMode,
    ExpiryRule, Extent, Held, Layout, LeaseOwner, LeaseRefusal, Leased, Mend, MendRefusal, Mending,
    MigrateRefusal, Now, OpenRefusal, OpenUpload, Opened, Put, PutRefusal, Read, Remove,
    RemoveRefusal, RenewLeases, Request, RequestId, ShareKey, Store, Stored, Unreadable,
    Unwritable, Wanted, WriteRangeRefusal, WriteRefusal, WriteUpload, limits,
};
use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex};

pub(crate) mod migration;
mod ranged;

use crate::held;
use crate::ledger::{Attempt, CLIENTS, Ledger, Verdict, Violation, secrets, upload_secret};

/// How a life goes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How many requests are made.
    pub(crate) requests: usize,
    /// The system call before which it ends; `None` for in order.
    pub(crate) crash_at: Option<u64>,
    pub(crate) faults: Faults,
    pub(crate) durability: Durability,
    pub(crate) layout: Layout,
    /// Which boot of the kernel it is in.
    pub(crate) boot: u8,
    /// Whether buckets are moved from one layout to another meanwhile.
    pub(crate) migrates: bool,
    /// To which layout they are all moved before it ends.
    pub(crate) migrates_to: Option<Layout>,
}

/// A store at work.
struct Life<'a> {
    store: Store,
    sim: Sim,
    ledger: &'a mut Ledger,
    random: Random,
    now: Now,
    next_id: u64,
    asked: BTreeMap<RequestId, Asked>,
    /// How many requests that may change a share are under way.
    busy: BTreeMap<ShareKey, usize>,
    removing: Option<ShareKey>,
    /// How many removals were asked for.
    removals: usize,
    uploads: Vec<Attempted>,
    faulty: bool,
    migrates: bool,
    /// Buckets are being moved, now or later.
    is_migrated: bool,
    /// What the last request of a migration was answered.
    migrated: Option<Answer>,
}

/// What was asked under an id.
#[derive(Clone, Debug)]
enum Asked {
    Put(Attempted),
    Open(Attempted),
    Write,
    Close(Attempted),
    End,
    Lease(StorageIndex, u8, u32),
    Remove(ShareKey),
    Count,
    /// Whether the share may go, by the leases that it was promised.
    Expire(ShareKey, bool),
    Quarantine(ShareKey),
    /// With the shares that were there for certain when it was asked, and how many removals had been
    /// asked for by then.
    Read(StorageIndex, Vec<ShareKey>, usize),
    /// Whether the ledger has an upload of the share, which waits meanwhile.
    Allocate(Attempted, bool),
    Part(ranged::Sent),
    AbortParts(ShareKey),
    Migrate,
}

/// An attempt to store a share.
#[derive(Clone, Debug)]
struct Attempted {
    key: ShareKey,
    attempt: Attempt,
    client: u8,
    until: u32,
    /// How it goes on once it is open, if it waits for that.
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Everything was asked already.
    Nothing,
    /// Half of it, then detach; another open resumes it.
    Half,
    /// The rest, and close.
    Rest,
    /// Some, then abort.
    Abort,
}

/// Lives one life, and returns the disk as it is left, and whether it crashed.
pub(crate) fn live(
    medium: Medium,
    ledger: &mut Ledger,
    now: &mut Now,
    plan: &Plan,
) -> Verdict<(Medium, bool)> {
    let mut sim = Sim::new(medium, plan.seed, plan.faults.clone());
    if let Some(call) = plan.crash_at {
        sim.crash_at(call);
    }
    let mut config = config(plan.seed, plan.durability);
    config.layout = plan.layout;
    config.boot_id = BootId::new([plan.boot; 16]);
    let faulty = plan.faults.error_every != 0 || plan.faults.sync_error_every != 0;
    let mut store = match Store::create(&mut sim, &config, *now) {
        Ok(store) => store,
        Err(_) if sim.has_crashed() || faulty => return Ok((sim.into_medium(), true)),
        Err(error) => return Err(Violation(format!("cannot open: {error}"))),
    };
    if sim.has_crashed() {
        return Ok((sim.into_medium(), true));
    }
    if !faulty && plan.durability == Durability::Full {
        sim.look(|medium| ledger.check(&medium.files()))?;
        sim.look(|medium| held::check(&mut store, &medium.files(), ledger.has_mended))?;
    }
    let mut life = Life {
        store,
        sim,
        ledger,
        random: Random::new(!plan.seed),
        now: *now,
        next_id: 0,
        asked: BTreeMap::new(),
        busy: BTreeMap::new(),
        removing: None,
        removals: 0,
        uploads: Vec::new(),
        faulty,
        migrates: plan.migrates,
        is_migrated: plan.migrates || plan.migrates_to.is_some(),
        migrated: None,
    };
    life.forget_questions();
    life.ledger.parts_may_be_left |= faulty;
    life.work(plan.requests, plan.migrates_to)?;
    *now = life.now;
    let crashed = life.sim.has_crashed();
    if !crashed && !faulty {
        // In order: nothing is under way.
        let store = &mut life.store;
        life.sim
            .look(|medium| held::check(store, &medium.files(), life.ledger.has_mended))?;
    }
    Ok((life.sim.into_medium(), crashed))
}

pub(crate) fn config(seed: u64, durability: Durability) -> Config {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut config = Config::new(bytes);
    config.journal_size = Config::JOURNAL_SIZE_MIN;
    config.durability = durability;
    config
}

// The work.
impl Life<'_> {
    fn work(&mut self, requests: usize, to: Option<Layout>) -> Verdict {
        if self.store.status().held.is_none() {
            // Nobody is at work yet: the whole tree is one part.
            let found = self.sim.look(|medium| held::count(&medium.files()));
            self.send(Asked::Count, Count::Begin);
            let (after, upto) = (None, None);
            self.send(Asked::Count, Count::Part { after, upto, found });
        }
        for _ in 0..requests {
            self.ask();
            for _ in 0..self.random.index(12) {
                self.turn()?;
            }
            while self.asked.len() > 12 && !self.sim.has_crashed() {
                self.turn()?;
            }
            if self.sim.has_crashed() {
                return Ok(());
            }
        }
        if let Some(to) = to {
            self.migrate(to)?;
        }
        while !self.asked.is_empty() && !self.sim.has_crashed() {
            self.turn()?;
        }
        self.store.shut_down(self.now);
        while !self.store.is_shut_down() && !self.sim.has_crashed() {
            self.turn()?;
        }
        Ok(())
    }

    /// One turn of the driver's loop, with a disk that makes at most one system call meanwhile.
    fn turn(&mut self) -> Verdict {
        while let Some((id, operation)) = self.store.poll_operation() {
            self.sim.submit(id, operation);
        }
        if self.sim.in_flight() == 0 && !self.asked.is_empty() && self.store_is_silent() {
            return Err(Violation(format!("never answered: {:?}", self.asked)));
        }
        self.sim.step();
        if self.sim.has_crashed() {
            return Ok(());
        }
        let mut completions = Vec::new();
        self.sim.reap(&mut completions);
        for completion in completions {
            self.store.handle_completion(self.now, completion);
        }
        while let Some((id, answer)) = self.store.poll_answer() {
            self.answered(id, answer)?;
        }
        let is_expiring = |asked: &Asked| matches!(asked, Asked::Expire(..));
        if self.random.one_in(50) && !self.asked.values().any(is_expiring) {
            self.now.elapsed += Duration::from_millis(self.random.below(2000));
            // The operator's clock may go back as well. A request that waits for its bucket to be moved
            // is dated by when that is done, and the ledger by when it was asked.
            let back = if self.is_migrated { 0 } else { 100 };
            self.now.unix = self.now.unix + self.random.below(400) - back;
            self.ledger.lease_until(expiration(self.now.unix));
            self.store.handle_timeout(self.now);
        }
        Ok(())
    }

    fn store_is_silent(&mut self) -> bool {
        match self.store.poll_answer() {
            None => true,
            Some((id, answer)) => self.answered(id, answer).is_err(),
        }
    }

    fn ask(&mut self) {
        self.ledger.lease_until(expiration(self.now.unix));
        if self.migrates && self.random.one_in(4) {
            return self.ask_migration();
        }
        match self.random.below(26) {
            20.. => self.ask_parts(),
            0..=8 => self.ask_put(),
            9..=12 => self.ask_upload(),
            13..=15 => self.ask_lease(),
            16 => self.ask_expire(),
            17 => self.ask_remove(),
            _ => self.ask_read(),
        }
    }

    fn key(&mut self) -> ShareKey {
        let byte = u8::try_from(self.random.below(3)).unwrap();
        ShareKey {
            // The first two lie in one directory of the second level, the third apart.
            storage_index: StorageIndex::new(match byte {
                0 => [0x11; 16],
                1 => [[0x11; 8], [0x22; 8]].concat().try_into().unwrap(),
                _ => [0xee; 16],
            }),
            share_number: ShareNumber::new(u8::try_from(self.random.below(3)).unwrap()),
        }
    }

    fn client(&mut self) -> u8 {
        u8::try_from(self.random.below(u64::from(CLIENTS))).unwrap()
    }

    fn attempted(&mut self, key: ShareKey, len: usize, then: Then) -> Attempted {
        Attempted {
            key,
            attempt: self.ledger.attempt(len),
            client: self.client(),
            until: expiration(self.now.unix),
            then,
        }
    }

    fn send(&mut self, asked: Asked, request: impl Into<Request>) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.asked.insert(id, asked);
        self.store.handle_request(self.now, id, request);
        id
    }

    fn ask_put(&mut self) {
        let key = self.key();
        if self.removing == Some(key) {
            return;
        }
        let len = match self.random.below(8) {
            0 => 20_000 + self.random.index(45_537),
            1 => self.random.index(3),
            _ => self.random.index(1500),
        };
        let put = self.attempted(key, len, Then::Nothing);
        self.ledger.may_store(key, put.attempt);
        *self.busy.entry(key).or_default() += 1;
        let request = Put {
            key,
            share: self.ledger.bytes(put.attempt).into(),
            lease: secrets(put.client, key.storage_index),
        };
        self.send(Asked::Put(put), request);
    }

    fn ask_upload(&mut self) {
        if let Some(index) =
            (!self.uploads.is_empty()).then(|| self.random.index(self.uploads.len()))
        {
            if self.removing != Some(self.uploads[index].key) {
                let mut upload = self.uploads.swap_remove(index);
                upload.then = Then::Rest;
                upload.until = expiration(self.now.unix);
                return self.open(upload, true);
            }
        }
        let key = self.key();
        if self.removing == Some(key) {
            return;
        }
        let mut len = self.random.index(20_000);
        if len % 16 == 5 {
            // Too much to be gathered in one buffer.
            len += limits::GATHERED_LEN + 16 * len;
        }
        let then = [Then::Nothing, Then::Half, Then::Rest, Then::Abort][self.random.index(4)];
        let upload = self.attempted(key, len, then);
        self.open(upload, false);
    }

    fn open(&mut self, upload: Attempted, resume: bool) {
        let key = upload.key;
        *self.busy.entry(key).or_default() += 1;
        let bytes = self.ledger.bytes(upload.attempt);
        let request = OpenUpload {
            key,
            secret: upload_secret(upload.client),
            lease: secrets(upload.client, key.storage_index),
            size: self.random.one_in(2).then_some(bytes.len() as u64),
            resume,
        };
        let then = upload.then;
        let id = self.send(Asked::Open(upload.clone()), request);
        if then == Then::Nothing {
            self.write(id, &bytes, 0);
            self.close(id, upload, bytes.len());
        }
    }

    /// Sends bytes in pieces.
    fn write(&mut self, upload: RequestId, bytes: &[u8], offset: usize) {
        let mut offset = offset;
        while offset < bytes.len() {
            let piece = 1 + self.random.index(8000);
            let piece = match bytes.len() > limits::GATHERED_LEN {
                true => 20 * piece,
                false => piece,
            };
            let end = (offset + piece).min(bytes.len());
            let request = WriteUpload {
                upload,
                offset: offset as u64,
                bytes: Bytes::copy_from_slice(&bytes[offset..end]),
            };
            self.send(Asked::Write, request);
            offset = end;
        }
    }

    fn close(&mut self, upload: RequestId, attempted: Attempted, len: usize) {
        self.ledger.may_store(attempted.key, attempted.attempt);
        *self.busy.entry(attempted.key).or_default() += 1;
        let request = CloseUpload {
            upload,
            size: len as u64,
        };
        self.send(Asked::Close(attempted), request);
    }

    fn ask_lease(&mut self) {
        let storage_index = self.key().storage_index;
        if self
            .removing
            .is_some_and(|key| key.storage_index == storage_index)
        {
            return;
        }
        let client = self.client();
        for share in 0..3 {
            let share_number = ShareNumber::new(share);
            let key = ShareKey {
                storage_index,
                share_number,
            };
            *self.busy.entry(key).or_default() += 1;
        }
        let request = RenewLeases {
            storage_index,
            lease: secrets(client, storage_index),
            owner: LeaseOwner::Renewal,
        };
        let until = expiration(self.now.unix);
        self.send(Asked::Lease(storage_index, client, until), request);
    }

    fn ask_remove(&mut self) {
        let key = self.key();
        let busy = self.busy.get(&key).is_some_and(|count| *count > 0);
        if busy || self.removing.is_some() {
            return;
        }
        self.removing = Some(key);
        self.removals += 1;
        let was_certain = self.ledger.is_certain(key);
        if was_certain && self.random.one_in(2) {
            // To those who read it, it is gone as one that was removed.
            self.ledger.may_quarantine(key);
            self.ledger.may_remove(key);
            let path = self.path(key);
            let how = Mending::Quarantine;
            self.send(Asked::Quarantine(key), Mend { path, how });
            return;
        }
        if was_certain {
            self.ledger.may_remove(key);
        }
        let request = Remove { key };
        self.send(Asked::Remove(key), request);
    }

    /// Has a share expire, if its leases are old enough. The clock stands still meanwhile, so that
    /// what may go is known before.
    fn ask_expire(&mut self) {
        let key = self.key();
        let busy = self.busy.get(&key).is_some_and(|count| *count > 0);
        if busy || self.removing.is_some() {
            return;
        }
        let lasting = Duration::from_secs(self.random.below(600));
        let mode = match self.random.one_in(3) {
            true => ExpiryMode::CutoffDate {
                unix: self.now.unix - lasting.as_secs(),
            },
            false => ExpiryMode::Age {
                lasting: Some(lasting),
            },
        };
        let may_go = self
            .ledger
            .may_expire(key, self.now.unix - lasting.as_secs());
        self.removing = Some(key);
        self.removals += 1;
        if may_go && self.ledger.is_certain(key) {
            self.ledger.may_remove(key);
        }
        let rule = ExpiryRule {
            mode,
            immutable: true,
            mutable: true,
        };
        let dry_run = self.random.one_in(4);
        let request = Expire { key, rule, dry_run };
        self.send(Asked::Expire(key, may_go), request);
    }

    /// Where a share lies, unless its bucket is moved before it is asked for.
    fn path(&mut self, key: ShareKey) -> String {
        let (index, number) = (key.storage_index.to_string(), key.share_number);
        let (first, second) = (&index[..2], &index[2..4]);
        match self.store.status().layout {
            Layout::Flat => format!("shares/{index}/{number}"),
            Layout::OneLevel => format!("shares/{first}/{index}/{number}"),
            Layout::TwoLevel => format!("shares/{first}/{second}/{index}/{number}"),
        }
    }

    fn ask_read(&mut self) {
        let storage_index = self.key().storage_index;
        let request = Read {
            storage_index,
            wanted: Wanted::Any(3),
            extents: vec![Extent {
                offset: 0,
                size: u64::MAX,
            }],
        };
        let key = |share| ShareKey {
            storage_index,
            share_number: ShareNumber::new(share),
        };
        let mut certain: Vec<_> = (0..3).map(key).collect();
        certain.retain(|key| self.ledger.is_certain(*key) && self.removing != Some(*key));
        self.send(Asked::Read(storage_index, certain, self.removals), request);
    }
}

// The answers.
impl Life<'_> {
    fn answered(&mut self, id: RequestId, answer: Answer) -> Verdict {
        let asked = self.asked.remove(&id);
        let asked = asked.ok_or_else(|| Violation(format!("{id:?} was answered twice")))?;
        self.check_refusal(&asked, &answer)?;
        match (asked, answer) {
            (Asked::Put(put), answer) => {
                self.idle(put.key);
                self.attempt_ended(&put, &answer)
            }
            (Asked::Close(upload), answer) => {
                self.idle(upload.key);
                self.attempt_ended(&upload, &answer)
            }
            (Asked::Open(upload), answer) => {
                self.idle(upload.key);
                match answer {
                    Answer::OpenUpload(Ok(Opened::At { offset })) => self.go_on(id, upload, offset),
                    Answer::OpenUpload(Ok(Opened::AlreadyHeld)) => {
                        let lease = (upload.client, upload.until);
                        return self.ledger.held(upload.key, upload.attempt, lease);
                    }
                    _ => {}
                }
                Ok(())
            }
            (Asked::Lease(storage_index, client, until), answer) => {
                for share in 0..3 {
                    let share_number = ShareNumber::new(share);
                    self.idle(ShareKey {
                        storage_index,
                        share_number,
                    });
                }
                self.leased(storage_index, client, until, answer)
            }
            (Asked::Remove(key), answer) => {
                self.removing = None;
                if answer == Answer::Remove(Ok(())) {
                    self.ledger.removed(key);
                }
                Ok(())
            }
            (Asked::Count, Answer::Count(Err(refusal))) if !self.faulty => {
                Err(Violation(format!("nothing is counted: {refusal}")))
            }
            (Asked::Count, _) => Ok(()),
            (Asked::Expire(key, may_go), answer) => {
                self.removing = None;
                match answer {
                    Answer::Expire(Ok(Expired::Removed(_))) if may_go => self.ledger.removed(key),
                    Answer::Expire(Ok(Expired::Removed(_) | Expired::WouldRemove(_)))
                        if !may_go =>
                    {
                        return Err(Violation(format!("{key:?} expired under a live lease")));
                    }
                    Answer::Expire(Ok(Expired::Kept(_) | Expired::WouldRemove(_))) => {
                        self.ledger.stays(key);
                    }
                    _ => {}
                }
                Ok(())
            }
            (Asked::Quarantine(key), answer) => {
                self.removing = None;
                let is_there = matches!(answer, Answer::Mend(Ok(_)));
                self.ledger.quarantined(key, is_there);
                if is_there {
                    self.ledger.removed(key);
                }
                Ok(())
            }
            (Asked::Read(storage_index, certain, removals), Answer::Read(Ok(read))) => {
                // What was acknowledged is read at every moment, wherever it is by then.
                let held = read.held.iter().map(|held| held.share_number);
                let unreadable = read.unreadable.iter().map(|(number, _)| *number);
                let named: Vec<_> = held.chain(unreadable).collect();
                let mut missing = certain.iter();
                let missing = missing.find(|key| !named.contains(&key.share_number));
                if let Some(key) = missing.filter(|_| removals == self.removals) {
                    return Err(Violation(format!("{key:?} is held and not read")));
                }
                if let Some((number, why)) = read.unreadable.first().filter(|_| !self.faulty) {
                    return Err(Violation(format!("{number:?} is not read: {why}")));
                }
                for Held {
                    share_number, size, ..
                } in read.held
                {
                    let key = ShareKey {
                        storage_index,
                        share_number,
                    };
                    let mut pieces = read.pieces.iter();
                    let piece = pieces.find(|piece| piece.share_number == share_number);
                    let bytes = piece.map(|piece| &piece.bytes[..]).unwrap_or_default();
                    // The answer has an end.
                    let is_cut = read
                        .rest
                        .iter()
                        .any(|rest| rest.share_number == share_number);
                    let whole = is_cut || bytes.len() as u64 == size;
                    if !whole || !self.ledger.may_read(key, bytes, size) {
                        let len = bytes.len();
                        let text = format!(
                            "{key:?} of {size} bytes reads as {len} others: {:x?}",
                            &bytes[..len.min(40)]
                        );
                        return Err(Violation(text));
                    }
                }
                Ok(())
            }
            (Asked::Allocate(attempted, again), answer) => {
                self.allocated(&attempted, again, answer)
            }
            (Asked::Part(sent), answer) => self.part_answered(&sent, answer),
            (Asked::AbortParts(key), answer) => {
                self.idle(key);
                self.parts_aborted(key, &answer)
            }
            (Asked::Migrate, answer) => {
                self.migrated = Some(answer);
                Ok(())
            }
            (Asked::Write | Asked::End | Asked::Read(..), _) => Ok(()),
        }
    }

    fn attempt_ended(&mut self, put: &Attempted, answer: &Answer) -> Verdict {
        let lease = (put.client, put.until);
        match answer {
            Answer::Put(Ok(Stored::New)) | Answer::CloseUpload(Ok(())) => {
                self.ledger.stored(put.key, put.attempt, lease)
            }
            Answer::Put(Ok(Stored::AlreadyHeld)) => self.ledger.held(put.key, put.attempt, lease),
            // The journal may have it, and a crash may bring it about.
            Answer::Put(Err(PutRefusal::Unwritable(Unwritable::Disk(_) | Unwritable::Failed)))
            | Answer::CloseUpload(Err(CloseRefusal::Unwritable(
                Unwritable::Disk(_) | Unwritable::Failed,
            )))
            | Answer::Put(Err(PutRefusal::Lease(LeaseRefusal::Unreadable(Unreadable::Disk(_))))) => {
                Ok(())
            }
            Answer::Put(Err(_)) | Answer::CloseUpload(Err(_)) => {
                self.ledger.cannot_store(put.key, put.attempt)
            }
            answer => Err(Violation(format!("{put:?} was answered {answer:?}"))),
        }
    }

    /// An upload is open that waited for it.
    fn go_on(&mut self, id: RequestId, mut upload: Attempted, offset: u64) {
        let bytes = self.ledger.bytes(upload.attempt);
        let offset = usize::try_from(offset).unwrap();
        match upload.then {
            Then::Nothing => {}
            Then::Half => {
                self.write(id, &bytes[..bytes.len() / 2], offset.min(bytes.len() / 2));
                self.send(Asked::End, DetachUpload { upload: id });
                upload.then = Then::Rest;
                self.uploads.push(upload);
            }
            Then::Rest => {
                // Resumed by whoever has the secret, it may be of another attempt.
                if offset > 0 && self.random.one_in(4) {
                    self.send(Asked::End, AbortUpload { upload: id });
                    return;
                }
                let same = offset <= bytes.len() && !self.mixes(&upload, offset);
                if !same {
                    self.send(Asked::End, AbortUpload { upload: id });
                    return;
                }
                self.write(id, &bytes, offset);
                self.close(id, upload, bytes.len());
            }
            Then::Abort => {
                self.write(id, &bytes[..bytes.len() / 2], offset.min(bytes.len() / 2));
                self.send(Asked::End, AbortUpload { upload: id });
            }
        }
    }

    /// Whether the bytes before `offset` may be those of another attempt.
    ///
    /// A client's bytes follow from the share, so that in earnest this cannot be; here every
    /// attempt has its own.
    fn mixes(&self, upload: &Attempted, offset: usize) -> bool {
        offset != 0 && offset != self.ledger.bytes(upload.attempt).len() / 2
    }

    fn leased(
        &mut self,
        storage_index: StorageIndex,
        client: u8,
        until: u32,
        answer: Answer,
    ) -> Verdict {
        let Answer::RenewLeases(Ok(Leased { held, failed })) = answer else {
            return Ok(());
        };
        for share in 0..3 {
            let key = ShareKey {
                storage_index,
                share_number: ShareNumber::new(share),
            };
            let is_held = held.iter().any(|(number, _)| *number == key.share_number);
            let has_failed = failed.iter().any(|(number, _)| *number == key.share_number);
            if is_held {
                self.ledger.leased(key, client, until)?;
            } else if has_failed && !self.faulty {
                return Err(Violation(format!("{key:?}: {failed:?}")));
            }
        }
        Ok(())
    }

    /// On a disk without errors nothing is refused but for a reason.
    fn check_refusal(&self, asked: &Asked, answer: &Answer) -> Verdict {
        let Some(refusal) = answer.refusal() else {
            return Ok(());
        };
        let reasonable = matches!(
            answer,
            Answer::Put(Err(PutRefusal::InProgress))
                | Answer::OpenUpload(Err(OpenRefusal::InProgress))
                | Answer::WriteUpload(Err(WriteRefusal::UnknownUpload
                    | WriteRefusal::Gap { .. }
                    | WriteRefusal::TooLarge { .. },))
                | Answer::CloseUpload(Err(
                    CloseRefusal::UnknownUpload | CloseRefusal::WrongSize { .. },
                ))
                | Answer::AbortUpload(Err(AbortRefusal::UnknownUpload))
                | Answer::WriteRange(Err(WriteRangeRefusal::UnknownUpload
                    | WriteRangeRefusal::Conflict
                    | WriteRangeRefusal::TooManyRanges { .. },))
                | Answer::AbortRanged(Err(
                    AbortRangedRefusal::UnknownUpload | AbortRangedRefusal::AlreadyHeld,
                ))
                | Answer::Remove(Err(RemoveRefusal::NoShare))
                | Answer::BeginMigration(Err(MigrateRefusal::Elsewhere { .. }))
                | Answer::MigrateNext(Err(MigrateRefusal::NotMigrating))
                | Answer::EndMigration(Err(MigrateRefusal::NotDone))
                | Answer::Expire(Err(ExpireRefusal::NoShare))
        );
        let is_elsewhere =
            self.is_migrated && matches!(answer, Answer::Mend(Err(MendRefusal::NotThere)));
        if reasonable || is_elsewhere || self.faulty {
            return Ok(());
        }
        Err(Violation(format!("{asked:?} was refused: {refusal}")))
    }

    fn idle(&mut self, key: ShareKey) {
        *self.busy.get_mut(&key).expect("it was busy") -= 1;
    }
}

const _: () = assert!(limits::SMALL_SHARE_SIZE == 65_536);
