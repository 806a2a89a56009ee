//! Lives of slots: changed in every way there is, over several shares, leased, removed and read,
//! while the power goes or the process is killed.
//!
//! The oracle runs through each request as Tahoe would, on files in memory. After every crash each
//! slot must be wholly one of the states that it may be in, to the byte: of a change the state
//! before it or the one after it, all shares together; of leases any share with or without.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bucketfs::container::expiration;
use bucketfs::container::mutable::Content;
use bucketfs::disk::Engine;
use bucketfs::disk::sim::{Faults, Medium, Random, Sim, SyncKind};
use bucketfs::{
    Answer, DropSpool, Durability, Extent, LeaseOwner, Leased, Now, OpenSpool, Read, ReadTestWrite,
    RenewLeases, Request, RequestId, ShareChange, SharesRead, SlotRefusal, SlotWrite, Store, Test,
    TestedAndWritten, Wanted, WriteSpool,
};
use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, WriteEnabler};

use crate::held;
use crate::ledger::{CLIENTS, Verdict, Violation, secrets};
use crate::life::migration::next_step;
use crate::life::{Plan, config};
use crate::naive::Naive;
use crate::{CAPACITY, each_seed, plan, start};

const NODE_ID: [u8; 20] = [9; 20];
const SHARES: u8 = 3;

/// The files of one slot.
type State = BTreeMap<u8, Naive>;

/// What each slot may be.
#[derive(Default)]
struct Ledger {
    slots: BTreeMap<StorageIndex, Promise>,
}

#[derive(Clone, Debug)]
struct Promise {
    may_be: BTreeSet<State>,
    /// All there ever were: what a read that began earlier may still give.
    ever: BTreeSet<State>,
}

impl Default for Promise {
    fn default() -> Self {
        let nothing = BTreeSet::from([State::new()]);
        Self {
            may_be: nothing.clone(),
            ever: nothing,
        }
    }
}

impl Ledger {
    fn slot(&mut self, index: StorageIndex) -> &mut Promise {
        self.slots.entry(index).or_default()
    }

    /// What the slot is, if that is certain.
    fn state(&mut self, index: StorageIndex) -> Option<State> {
        let may_be = &self.slot(index).may_be;
        match may_be.len() {
            1 => may_be.first().cloned(),
            _ => None,
        }
    }

    fn may_become(&mut self, index: StorageIndex, state: &State) {
        let slot = self.slot(index);
        slot.may_be.insert(state.clone());
        slot.ever.insert(state.clone());
    }

    fn is(&mut self, index: StorageIndex, state: State) {
        self.slot(index).may_be = BTreeSet::from([state]);
    }

    /// Compares every slot on a disk with what it may be, and takes what is there for promised.
    fn check(&mut self, files: &BTreeMap<String, Vec<u8>>) -> Verdict {
        let mut found: BTreeMap<StorageIndex, State> = BTreeMap::new();
        for (path, file) in files {
            let Some(name) = path.strip_prefix("shares/") else {
                continue;
            };
            let names: Vec<_> = name.split('/').collect();
            let (index, share) = match names[..] {
                [index, share] | [_, index, share] | [_, _, index, share]
                    if names[0] != "incoming" =>
                {
                    (index, share)
                }
                _ => return Err(Violation(format!("{path} was left"))),
            };
            let slot = found.entry(index.parse().unwrap()).or_default();
            let before = slot.insert(share.parse().unwrap(), Naive(file.clone()));
            if before.is_some() {
                return Err(Violation(format!("{path} is there twice")));
            }
        }
        for index in indexes() {
            let state = found.remove(&index).unwrap_or_default();
            let slot = self.slot(index);
            if !slot.may_be.contains(&state) {
                let is = describe(&state);
                let may_be: Vec<_> = slot.may_be.iter().map(describe).collect();
                return Err(Violation(format!("{index} is {is}, may be {may_be:?}")));
            }
            slot.may_be = BTreeSet::from([state]);
        }
        Ok(())
    }
}

fn describe(state: &State) -> String {
    let shares = state.iter().map(|(share, naive)| {
        let (data, extra, len) = (naive.data(), naive.extra(), naive.0.len());
        let sum: u64 = naive.0.iter().map(|byte| u64::from(*byte)).sum();
        format!("{share}: {data} bytes, leases at {extra}, {len} in all, sum {sum}")
    });
    format!("{:?}", shares.collect::<Vec<_>>())
}

/// The first two lie in one directory of the second level, the third apart.
fn indexes() -> [StorageIndex; 3] {
    let beside = [[0x11; 8], [0x22; 8]].concat().try_into().unwrap();
    [[0x11; 16], beside, [0xee; 16]].map(StorageIndex::new)
}

fn write_enabler(index: StorageIndex) -> WriteEnabler {
    let [first, ..] = *index.as_bytes();
    WriteEnabler::new([first; 32])
}

struct Life<'a> {
    store: Store,
    sim: Sim,
    ledger: &'a mut Ledger,
    random: Random,
    now: Now,
    next_id: u64,
    asked: BTreeMap<RequestId, Asked>,
    /// Slots that a request changes, or of which nobody knows what they are.
    busy: BTreeSet<StorageIndex>,
    faulty: bool,
    migrates: bool,
}

enum Asked {
    /// What the slot is and is to be, and the answer.
    Change(StorageIndex, [State; 2], TestedAndWritten),
    /// Of each share that is there, what it is to be with the lease.
    Lease(StorageIndex, State),
    Read(StorageIndex),
    Spool,
    Migrate,
}

fn live(
    medium: Medium,
    ledger: &mut Ledger,
    now: &mut Now,
    plan: &Plan,
) -> Verdict<(Medium, bool)> {
    let mut sim = Sim::new(medium, plan.seed, plan.faults.clone());
    if let Some(call) = plan.crash_at {
        sim.crash_at(call);
    }
    let faulty = plan.faults.error_every != 0 || plan.faults.sync_error_every != 0;
    let mut config = config(plan.seed, plan.durability);
    config.node_id = NODE_ID;
    let mut store = match Store::create(&mut sim, &config, *now) {
        Ok(store) if !sim.has_crashed() => store,
        Err(error) if !sim.has_crashed() && !faulty => {
            return Err(Violation(format!("cannot open: {error}")));
        }
        _ => return Ok((sim.into_medium(), true)),
    };
    if !faulty {
        sim.look(|medium| ledger.check(&medium.files()))?;
        sim.look(|medium| held::check(&mut store, &medium.files(), false))?;
    }
    let unsure = indexes().map(|index| (index, ledger.state(index).is_none()));
    let unsure = unsure.into_iter().filter(|(_, unsure)| *unsure);
    let mut life = Life {
        store,
        sim,
        random: Random::new(!plan.seed),
        now: *now,
        next_id: 0,
        asked: BTreeMap::new(),
        busy: unsure.map(|(index, _)| index).collect(),
        faulty,
        migrates: plan.migrates,
        ledger,
    };
    life.work(plan.requests)?;
    *now = life.now;
    let crashed = life.sim.has_crashed();
    if !crashed && !faulty {
        let store = &mut life.store;
        life.sim
            .look(|medium| held::check(store, &medium.files(), false))?;
    }
    Ok((life.sim.into_medium(), crashed))
}

// The work.
impl Life<'_> {
    fn work(&mut self, requests: usize) -> Verdict {
        for _ in 0..requests {
            self.ask();
            for _ in 0..self.random.index(60) {
                self.turn()?;
            }
            if self.sim.has_crashed() {
                return Ok(());
            }
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

    fn turn(&mut self) -> Verdict {
        while let Some((id, operation)) = self.store.poll_operation() {
            self.sim.submit(id, operation);
        }
        let silent = self.sim.in_flight() == 0 && !self.asked.is_empty();
        self.sim.step();
        if self.sim.has_crashed() {
            return Ok(());
        }
        let mut completions = Vec::new();
        self.sim.reap(&mut completions);
        for completion in completions {
            self.store.handle_completion(self.now, completion);
        }
        let mut answered = false;
        while let Some((id, answer)) = self.store.poll_answer() {
            answered = true;
            self.answered(id, answer)?;
        }
        if silent && !answered {
            return Err(Violation("some request is never answered".to_owned()));
        }
        if self.random.one_in(50) {
            self.now.elapsed += Duration::from_millis(self.random.below(2000));
            let later = self.random.below(400);
            // A request that waits for its slot to be moved is dated by when that is done, and what it
            // is compared with by when it was asked.
            self.now.unix += if self.migrates { 0 } else { later };
            self.store.handle_timeout(self.now);
        }
        Ok(())
    }

    fn send(&mut self, asked: Asked, request: impl Into<Request>) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.asked.insert(id, asked);
        self.store.handle_request(self.now, id, request);
        id
    }

    fn ask(&mut self) {
        let is_idle = |asked: &Asked| !matches!(asked, Asked::Migrate);
        if self.migrates && self.random.one_in(3) && self.asked.values().all(is_idle) {
            let request = next_step(&mut self.store, &mut self.random);
            self.send(Asked::Migrate, request);
            return;
        }
        let index = indexes()[self.random.index(3)];
        if self.random.one_in(4) {
            return self.ask_read(index);
        }
        if self.busy.contains(&index) {
            return;
        }
        let state = self.ledger.state(index).expect("it is not busy");
        self.busy.insert(index);
        match self.random.one_in(4) {
            true => self.ask_lease(index, &state),
            false => self.ask_change(index, &state),
        }
    }

    fn ask_read(&mut self, storage_index: StorageIndex) {
        let request = Read {
            storage_index,
            wanted: Wanted::Any(usize::from(SHARES)),
            extents: vec![Extent {
                offset: 0,
                size: u64::MAX,
            }],
        };
        self.send(Asked::Read(storage_index), request);
    }

    fn ask_lease(&mut self, index: StorageIndex, state: &State) {
        let client = u8::try_from(self.random.below(u64::from(CLIENTS) + 4)).unwrap();
        let lease = secrets(client, index);
        let until = expiration(self.now.unix);
        let mut leased = state.clone();
        for naive in leased.values_mut() {
            naive.lease(&lease, until, NODE_ID);
        }
        // Each share is leased by itself.
        let numbers: Vec<_> = state.keys().copied().collect();
        for chosen in 0..1_u32 << numbers.len() {
            let mut some = state.clone();
            for (place, number) in numbers.iter().enumerate() {
                if chosen & 1 << place != 0 {
                    some.insert(*number, leased[number].clone());
                }
            }
            self.ledger.may_become(index, &some);
        }
        let request = RenewLeases {
            storage_index: index,
            lease,
            owner: LeaseOwner::Renewal,
        };
        self.send(Asked::Lease(index, leased), request);
    }

    fn ask_change(&mut self, index: StorageIndex, state: &State) {
        let client = u8::try_from(self.random.below(u64::from(CLIENTS))).unwrap();
        let read = Extent {
            offset: self.random.below(2000),
            size: self.random.below(3000),
        };
        let mut ask = ReadTestWrite {
            storage_index: index,
            write_enabler: write_enabler(index),
            lease: secrets(client, index),
            shares: BTreeMap::new(),
            read: vec![read],
            spool: None,
        };
        let content: Vec<u8> = std::iter::repeat_with(|| self.random.number().to_le_bytes())
            .flatten()
            .take(24_000)
            .collect();
        let large = self.random.one_in(3);
        let mut next = state.clone();
        for _ in 0..1 + self.random.index(3) {
            let number = u8::try_from(self.random.below(u64::from(SHARES))).unwrap();
            let share = ShareNumber::new(number);
            if !ask.shares.contains_key(&share) {
                let naive = next.remove(&number);
                let naive = naive.unwrap_or_else(|| Naive::create(NODE_ID, &write_enabler(index)));
                let (change, naive) = self.share_change(naive, &content, large);
                if let Some(mut naive) = naive {
                    let until = expiration(self.now.unix);
                    naive.lease(&ask.lease, until, NODE_ID);
                    next.insert(number, naive);
                }
                ask.shares.insert(share, change);
            }
        }
        let fails = self.random.one_in(8);
        let number = *ask.shares.keys().next().unwrap();
        let test = self.test(state.get(&number.as_u8()), fails);
        let change = ask.shares.get_mut(&number).unwrap();
        change.tests.push(test);
        if fails {
            next.clone_from(state);
        }
        let answer = TestedAndWritten {
            success: !fails,
            read: state
                .iter()
                .map(|(number, naive)| (ShareNumber::new(*number), vec![part(naive, read)]))
                .collect(),
        };
        if large {
            ask.spool = Some(self.spool(&content));
        }
        self.ledger.may_become(index, &next);
        let states = [state.clone(), next];
        self.send(Asked::Change(index, states, answer), ask);
    }

    /// Some change of a share, and what the share is then, if it is still there.
    fn share_change(
        &mut self,
        mut naive: Naive,
        content: &[u8],
        large: bool,
    ) -> (ShareChange, Option<Naive>) {
        let mut change = ShareChange::default();
        for _ in 0..self.random.index(4) {
            let len = self.random.index(if large { 20_000 } else { 1500 });
            let far = self.random.one_in(6);
            let offset = self.random.index(if far { 30_000 } else { 3000 });
            let from = self.random.index(content.len() - len);
            let bytes = &content[from..from + len];
            naive.write(offset, bytes);
            let content = match large {
                true => Content::Spooled {
                    offset: from as u64,
                    size: len as u64,
                },
                false => Content::Bytes(Bytes::copy_from_slice(bytes)),
            };
            let offset = offset as u64;
            change.writes.push(SlotWrite { offset, content });
        }
        if self.random.one_in(3) {
            let size = self.random.index(3) * self.random.index(2000);
            naive.cut(size);
            change.new_length = Some(size as u64);
        }
        let there = change.new_length != Some(0);
        (change, there.then_some(naive))
    }

    fn test(&mut self, naive: Option<&Naive>, fails: bool) -> Test {
        let extent = Extent {
            offset: self.random.below(1000),
            size: self.random.below(2000),
        };
        let mut specimen = naive.map(|naive| part(naive, extent)).unwrap_or_default();
        if fails {
            specimen = [&specimen[..], b"not there"].concat().into();
        }
        Test {
            offset: extent.offset,
            size: extent.size,
            specimen,
        }
    }

    fn spool(&mut self, content: &[u8]) -> RequestId {
        if self.random.one_in(4) {
            let spool = self.send(Asked::Spool, OpenSpool);
            let bytes = Bytes::copy_from_slice(&content[..500]);
            self.send(Asked::Spool, WriteSpool { spool, bytes });
            self.send(Asked::Spool, DropSpool { spool });
        }
        let spool = self.send(Asked::Spool, OpenSpool);
        for bytes in content.chunks(9000) {
            let bytes = Bytes::copy_from_slice(bytes);
            self.send(Asked::Spool, WriteSpool { spool, bytes });
        }
        spool
    }
}

fn part(naive: &Naive, extent: Extent) -> Bytes {
    let share = naive.share();
    let start = usize::try_from(extent.offset).unwrap().min(share.len());
    let len = usize::try_from(extent.size).unwrap();
    Bytes::copy_from_slice(&share[start..share.len().min(start + len)])
}

// The answers.
impl Life<'_> {
    fn answered(&mut self, id: RequestId, answer: Answer) -> Verdict {
        let asked = self.asked.remove(&id);
        let asked = asked.ok_or_else(|| Violation(format!("{id:?} was answered twice")))?;
        if matches!(asked, Asked::Migrate) {
            return Ok(());
        }
        if let (Some(refusal), false) = (answer.refusal(), self.faulty) {
            return Err(Violation(format!("{id:?} was refused: {refusal}")));
        }
        match (asked, answer) {
            (Asked::Change(index, [old, next], expected), answer) => match answer {
                Answer::ReadTestWrite(Ok(answer)) if answer == expected => {
                    self.ledger.is(index, next);
                    self.busy.remove(&index);
                }
                // The journal may have it, and a crash may bring it about.
                Answer::ReadTestWrite(Err(
                    SlotRefusal::Unwritable(_) | SlotRefusal::Unreadable(_),
                )) => {}
                // Its spool was refused, or the disk did not tell where the slot is.
                Answer::ReadTestWrite(Err(
                    SlotRefusal::UnknownSpool | SlotRefusal::Unavailable(_),
                )) => {
                    self.ledger.is(index, old);
                    self.busy.remove(&index);
                }
                answer => {
                    let text = format!("{index} gives {answer:?}, not {expected:?}");
                    return Err(Violation(text));
                }
            },
            (Asked::Lease(index, leased), Answer::RenewLeases(Ok(Leased { held, failed }))) => {
                let all = held.len() == leased.len();
                if all && failed.is_empty() {
                    self.ledger.is(index, leased);
                    self.busy.remove(&index);
                } else if !self.faulty {
                    return Err(Violation(format!("{index}: {held:?}, {failed:?}")));
                }
            }
            (Asked::Read(index), Answer::Read(Ok(SharesRead { pieces, rest, .. }))) => {
                assert!(rest.is_empty(), "shares are small");
                let mut read: BTreeMap<u8, &[u8]> = BTreeMap::new();
                for piece in &pieces {
                    read.insert(piece.share_number.as_u8(), &piece.bytes);
                }
                // A share that is empty has no piece.
                let is = |state: &State| {
                    let shares = state.iter().filter(|(_, naive)| naive.data() > 0);
                    read.iter()
                        .map(|(number, bytes)| (*number, *bytes))
                        .eq(shares.map(|(number, naive)| (*number, naive.share())))
                };
                if !self.faulty && !self.ledger.slot(index).ever.iter().any(is) {
                    let lens = pieces
                        .iter()
                        .map(|piece| (piece.share_number, piece.bytes.len()));
                    let lens: Vec<_> = lens.collect();
                    return Err(Violation(format!("{index} reads as {lens:?}, torn")));
                }
            }
            (Asked::Spool | Asked::Lease(..) | Asked::Read(_) | Asked::Migrate, _) => {}
        }
        Ok(())
    }
}

fn lives(seed: u64, faults: &Faults) -> Verdict {
    lives_with(seed, faults, false)
}

fn lives_with(seed: u64, faults: &Faults, migrates: bool) -> Verdict {
    let mut random = Random::new(seed);
    let mut medium = Medium::new(CAPACITY);
    let mut ledger = Ledger::default();
    let mut now = start();
    for _ in 0..6 {
        let mut plan = plan(random.number(), 30);
        plan.faults = faults.clone();
        plan.migrates = migrates;
        plan.crash_at = match random.below(4) {
            0 => Some(random.below(100)),
            1 | 2 => Some(random.below(2500)),
            _ => None,
        };
        let (left, crashed) = live(medium, &mut ledger, &mut now, &plan)?;
        medium = if crashed && random.one_in(4) {
            left
        } else {
            left.cut_power(&mut random)
        };
    }
    let mut last = plan(random.number(), 0);
    last.faults.lie = faults.lie;
    live(medium, &mut ledger, &mut now, &last)?;
    Ok(())
}

#[test]
fn a_slot_is_wholly_old_or_wholly_new_after_a_crash() {
    each_seed(0..200, |seed| lives(seed, &Faults::default()));
}

// What is changed is moved at the same time, in part or wholly.
#[test]
fn a_slot_is_wholly_old_or_wholly_new_while_it_is_moved_to_another_layout() {
    each_seed(6000..6200, |seed| {
        lives_with(seed, &Faults::default(), true)
    });
    let faults = Faults {
        error_every: 300,
        sync_error_every: 60,
        ..Faults::default()
    };
    each_seed(6500..6600, |seed| lives_with(seed, &faults, true));
}

#[test]
fn slots_survive_short_writes() {
    let faults = Faults {
        short_every: 5,
        ..Faults::default()
    };
    each_seed(1000..1040, |seed| lives(seed, &faults));
}

#[test]
fn slots_survive_a_disk_that_fails_now_and_then() {
    let faults = Faults {
        error_every: 300,
        sync_error_every: 60,
        ..Faults::default()
    };
    each_seed(2000..2150, |seed| lives(seed, &faults));
}

/// Before every single system call of a life with changes of every kind, then a life on what is
/// left.
#[test]
fn a_power_cut_may_come_before_any_system_call_of_a_change() {
    for seed in 3000..3003 {
        for call in 0.. {
            let mut random = Random::new(seed ^ (call << 32));
            let mut ledger = Ledger::default();
            let mut now = start();
            let mut first = plan(seed, 12);
            first.crash_at = Some(call);
            let mut run = || -> Verdict<bool> {
                let medium = Medium::new(CAPACITY);
                let (left, crashed) = live(medium, &mut ledger, &mut now, &first)?;
                let medium = left.cut_power(&mut random);
                live(medium, &mut ledger, &mut now, &plan(seed + 1, 3))?;
                Ok(crashed)
            };
            match run() {
                Ok(true) => {}
                Ok(false) => break,
                Err(Violation(text)) => panic!("seed {seed}, call {call}: {text}"),
            }
        }
    }
}

/// The replay after a crash is cut short again and again.
#[test]
fn a_power_cut_may_come_before_any_system_call_of_a_replay_of_slots() {
    for seed in 4000..4012 {
        let mut ledger = Ledger::default();
        let mut now = start();
        let mut random = Random::new(seed);
        let mut first = plan(seed, 120);
        first.crash_at = Some(1000);
        let medium = Medium::new(CAPACITY);
        let (left, crashed) = live(medium, &mut ledger, &mut now, &first).unwrap();
        assert!(crashed, "there is something to replay");
        let mut medium = left.cut_power(&mut random);
        for call in 0.. {
            let mut again = plan(seed + call, 0);
            again.crash_at = Some(call);
            let lived = live(medium, &mut ledger, &mut now, &again);
            let (left, crashed) = lived.unwrap_or_else(|Violation(text)| {
                panic!("seed {seed}, call {call}: {text}");
            });
            medium = left.cut_power(&mut random);
            if !crashed {
                break;
            }
        }
    }
}

// The harness must see that a slot's records, containers or names were not synced.
#[test]
fn a_disk_that_lies_to_slots_about_a_sync_is_found_out() {
    for lie in [
        SyncKind::Journal,
        SyncKind::File,
        SyncKind::Directory,
        SyncKind::FileSystem,
    ] {
        let faults = Faults {
            lie: Some(lie),
            ..Faults::default()
        };
        let found = (0..100).find(|seed| lives(*seed, &faults).is_err());
        assert!(found.is_some(), "{lie:?}");
    }
}

#[test]
fn slots_of_a_relaxed_store_survive_that_it_is_killed() {
    each_seed(5000..5030, |seed| {
        let mut random = Random::new(seed);
        let mut medium = Medium::new(CAPACITY);
        let mut ledger = Ledger::default();
        let mut now = start();
        for _ in 0..4 {
            let mut plan = plan(random.number(), 30);
            plan.durability = Durability::Relaxed;
            plan.crash_at = Some(random.below(2500));
            medium = live(medium, &mut ledger, &mut now, &plan)?.0;
        }
        live(medium, &mut ledger, &mut now, &plan(0, 0))?;
        Ok(())
    });
}
