//! How much a store holds: exactly what is there, whatever was done and however it ended.

use std::collections::BTreeMap;

use bucketfs::disk::sim::{Faults, Medium};
use bucketfs::{
    Count, CountRefusal, Counted, Counter, Next, PutRefusal, ReadTestWrite, ShareChange, ShareKind,
    SlotWrite, Stored, Totals, Unwritable, container::mutable::Content,
};
use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, WriteEnabler};

use crate::bench::{
    Bench, bucket, close, config, disk, lease, open, path, put, remove, secrets, write,
};
use crate::ranged::{allocate, part};

/// What is there.
fn count(medium: &Medium) -> Totals {
    let mut totals = Totals::default();
    for (path, file) in medium.files() {
        let in_tree = path.strip_prefix("shares/");
        if in_tree.is_some_and(|path| !path.starts_with("incoming/")) {
            totals.add(ShareKind::of(&file), file.len() as u64);
        }
    }
    totals
}

impl Bench {
    /// What the store says it holds, which must be what is there.
    fn held(&mut self) -> Totals {
        self.settle();
        let there = self.sim.look(count);
        assert_eq!(self.status().held, Some(there));
        there
    }

    /// Kills the process and opens the store again: what it held must be what it holds.
    fn reopened(mut self) -> Self {
        let before = self.held();
        let mut bench = Self::on(self.kill(), &config()).unwrap();
        assert_eq!(bench.held(), before);
        let mut bench = Self::on(bench.shut_down(), &config()).unwrap();
        assert_eq!(bench.held(), before, "there is nothing to replay");
        bench
    }

    fn upload(&mut self, share: u8, len: usize) {
        let bytes = vec![share; len];
        let upload = self.send(open(share, 1, None, false));
        for (piece, offset) in bytes.chunks(100_000).zip((0..).step_by(100_000)) {
            let written = self.send(write(upload, offset, piece));
            assert_eq!(self.answer(written), Ok(()));
        }
        assert_eq!(self.ask(close(upload, len as u64)), Ok(()));
    }
}

fn of(share: u8, change: ShareChange) -> ReadTestWrite {
    ReadTestWrite {
        storage_index: bucket(),
        write_enabler: WriteEnabler::new([7; 32]),
        lease: secrets(0),
        shares: BTreeMap::from([(ShareNumber::new(share), change)]),
        read: Vec::new(),
        spool: None,
    }
}

fn write_slot(share: u8, offset: u64, len: usize) -> ReadTestWrite {
    let content = Content::Bytes(Bytes::from(vec![1; len]));
    let writes = vec![SlotWrite { offset, content }];
    let change = ShareChange {
        writes,
        ..ShareChange::default()
    };
    of(share, change)
}

fn cut_slot(share: u8, size: u64) -> ReadTestWrite {
    let change = ShareChange {
        new_length: Some(size),
        ..ShareChange::default()
    };
    of(share, change)
}

#[test]
fn a_new_store_holds_nothing_and_then_what_was_stored_in_every_way() {
    let mut bench = Bench::new();
    assert_eq!(bench.held(), Totals::default());
    bench.put(0, b"a small one").unwrap();
    assert_eq!(bench.held().immutable.bytes, 12 + 11 + 72);
    bench.upload(1, 300_000);
    bench.ask(allocate(&[2, 3], 100_000, 1)).unwrap();
    bench.ask(part(2, 1, 50_000, &[2; 50_000])).unwrap();
    assert_eq!(bench.held().shares(), 2, "one is in progress");
    bench.ask(part(2, 1, 0, &[2; 50_000])).unwrap();
    let mut bench = bench.reopened();
    let before = bench.held();
    assert_eq!((before.immutable.shares, before.mutable.shares), (3, 0));
    bench.ask(lease(2)).unwrap();
    assert_eq!(bench.held().bytes(), before.bytes() + 3 * 72);
    bench.now.unix += 1000;
    bench.ask(lease(2)).unwrap();
    assert_eq!(bench.held().bytes(), before.bytes() + 3 * 72, "renewed");
    let mut bench = bench.reopened();
    bench.ask(remove(1)).unwrap();
    bench.ask(remove(0)).unwrap();
    let bench = bench.reopened();
    let mut bench = bench.reopened();
    assert_eq!(bench.held().shares(), 1);
}

#[test]
fn slots_are_counted_as_they_grow_are_cut_leased_and_removed() {
    let mut bench = Bench::new();
    bench.ask(write_slot(0, 0, 100)).unwrap();
    let first = bench.held().mutable;
    assert_eq!((first.shares, first.bytes), (1, 468 + 100 + 4));
    bench.ask(write_slot(0, 50, 20)).unwrap();
    assert_eq!(bench.held().mutable, first, "within its room");
    bench.ask(write_slot(0, 4000, 1000)).unwrap();
    bench.ask(write_slot(1, 0, 60_000)).unwrap();
    // Of what is there and more than a batch holds: written anew, and replaced.
    bench.ask(write_slot(1, 59_000, 50_000)).unwrap();
    let mut bench = bench.reopened();
    assert_eq!(
        bench.held().mutable.bytes,
        468 + 5000 + 4 + 468 + 109_000 + 4
    );
    bench.ask(cut_slot(1, 10)).unwrap();
    for index in 1..7 {
        bench.ask(lease(index)).unwrap();
    }
    let mut bench = bench.reopened();
    bench.ask(cut_slot(1, 0)).unwrap();
    bench.ask(remove(0)).unwrap();
    let mut bench = bench.reopened();
    assert_eq!(bench.held(), Totals::default());
}

// The record of the lease stays in the journal, and a replay would add what was taken back.
#[test]
fn a_lease_that_was_taken_back_is_not_counted_nor_replayed() {
    let mut bench = Bench::new();
    bench.put(0, b"share").unwrap();
    let before = bench.held();
    let mut failed = 0;
    for seed in 2..40 {
        bench.sim.set_faults(Faults {
            error_every: seed,
            ..Faults::default()
        });
        let leased = bench.ask(lease(u8::try_from(seed).unwrap()));
        failed += leased.map_or(1, |leased| leased.failed.len());
        bench.sim.set_faults(Faults::default());
        if bench.status().failed {
            break;
        }
        bench.held();
    }
    assert!(failed > 0);
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert!(bench.held().bytes() >= before.bytes());
}

/// A store of an earlier program, with shares in it.
fn uncounted() -> Bench {
    let mut bench = Bench::new();
    for share in 0..3 {
        bench.put(share, b"share").unwrap();
    }
    let mut medium = bench.shut_down();
    for path in ["journal/a", "journal/b"] {
        let mut bytes = medium.files()[path].clone();
        bytes[0x0b] = 2;
        bytes[0x28..0x200].fill(0);
        let checksum = crc32fast::hash(&bytes[..0x28]);
        bytes[0x28..0x2c].copy_from_slice(&checksum.to_be_bytes());
        medium.plant(path, &bytes);
    }
    let bucket = format!("{}a", "7".repeat(25));
    medium.plant(&format!("shares/77/77/{bucket}/9"), b"damaged");
    Bench::on(medium, &config()).unwrap()
}

/// The buckets behind one, in their order, and what is in each.
fn walk(medium: &Medium, after: Option<StorageIndex>) -> Vec<(StorageIndex, Totals)> {
    let mut buckets: BTreeMap<String, Totals> = BTreeMap::new();
    for (path, file) in medium.files() {
        let names: Vec<_> = path.split('/').collect();
        if let ["shares", _, _, bucket, _] = names[..] {
            let totals = buckets.entry(bucket.to_owned()).or_default();
            totals.add(ShareKind::of(&file), file.len() as u64);
        }
    }
    let after = after.map(|after| after.to_string());
    let behind = buckets
        .into_iter()
        .filter(|(bucket, _)| after.as_ref().is_none_or(|after| bucket > after));
    behind
        .map(|(bucket, totals)| (bucket.parse().unwrap(), totals))
        .collect()
}

#[test]
fn a_store_that_was_never_counted_says_so_until_it_is() {
    let mut bench = uncounted();
    assert_eq!(bench.status().held, None);
    bench.put(3, b"beside").unwrap();
    assert_eq!(bench.status().held, None);
    bench.settle();
    assert_eq!(bench.ask(Count::Begin), Ok(Counted::GoOn));
    let mut counter = Counter::new();
    for (index, totals) in bench.sim.look(|medium| walk(medium, None)) {
        assert_eq!(counter.bucket(index, &totals), None, "not many");
    }
    let answer = bench.ask(counter.end()).unwrap();
    let now = bench.held();
    assert_eq!(now.shares(), 5);
    assert_eq!(answer, Counted::Whole { before: None, now });
    assert_eq!(counter.answered(&answer), Next::Done);
    let mut bench = bench.reopened();
    assert_eq!(bench.ask(counter.end()), Err(CountRefusal::Elsewhere));
}

// Half of what is under way would be in what was found, or all, or nothing.
#[test]
fn a_part_that_somebody_was_at_work_on_is_not_taken() {
    let mut bench = uncounted();
    let found = || {
        let mut found = Totals::default();
        (0..4).for_each(|_| found.add(ShareKind::Immutable, 12 + 5 + 72));
        found.add(ShareKind::Immutable, 7);
        found
    };
    let all = || Count::Part {
        after: None,
        upto: None,
        found: found(),
    };
    // It begins before, and is in the middle when the part is told.
    let under_way = bench.send(put(3, b"share"));
    bench.ask(Count::Begin).unwrap();
    assert_eq!(bench.ask(all()), Ok(Counted::Again));
    assert_eq!(bench.answer(under_way), Ok(Stored::New));
    bench.settle();
    // That part saw it being placed.
    assert_eq!(bench.ask(all()), Ok(Counted::Again));
    // It begins and ends within.
    bench.put(3, b"other").unwrap();
    assert_eq!(bench.ask(all()), Ok(Counted::Again));
    let counted = bench.ask(all()).unwrap();
    assert!(matches!(counted, Counted::Whole { before: None, .. }));
    bench.held();
}

// Somebody else has removed a share by hand, and the numbers are wrong until it is counted anew.
#[test]
fn counting_anew_corrects_the_totals_and_says_what_they_were() {
    let mut bench = Bench::new();
    for share in 0..4 {
        bench.put(share, b"share").unwrap();
    }
    let before = bench.held();
    let files = bench.shut_down().files();
    let mut medium = disk();
    for (name, bytes) in files.iter().filter(|(name, _)| **name != path(2)) {
        medium.plant(name, bytes);
    }
    let mut bench = Bench::on(medium, &config()).unwrap();
    assert_eq!(bench.status().held, Some(before));
    bench.ask(Count::Begin).unwrap();
    let mut counter = Counter::new();
    for (index, totals) in bench.sim.look(|medium| walk(medium, None)) {
        assert_eq!(counter.bucket(index, &totals), None);
    }
    let answer = bench.ask(counter.end()).unwrap();
    let now = bench.held();
    assert_eq!(
        answer,
        Counted::Whole {
            before: Some(before),
            now
        }
    );
    assert_eq!(now.shares(), 3);
}

// The disk has room, and the operator has not: what is held goes on, and room comes back.
#[test]
fn what_the_shares_may_have_is_not_exceeded_by_new_ones() {
    let mut config = config();
    config.size_max = Some(1 << 20);
    let mut bench = Bench::on(disk(), &config).unwrap();
    assert_eq!(bench.status().available, 1 << 20);
    let share = [7; 60_000];
    let mut stored = 0;
    for number in 0..40 {
        match bench.put(number, &share) {
            Ok(Stored::New) => stored += 1,
            answer => assert_eq!(answer, Err(PutRefusal::Unwritable(Unwritable::Full))),
        }
    }
    assert!((10..=17).contains(&stored), "{stored}");
    assert!(bench.held().bytes() <= 1 << 20);
    let refused = bench.ask(open(50, 1, Some(200_000), false));
    assert_eq!(refused, Err(Unwritable::Full.into()));
    assert_eq!(bench.put(0, &share), Ok(Stored::AlreadyHeld));
    assert!(bench.ask(lease(1)).unwrap().failed.is_empty());
    for number in 0..4 {
        assert_eq!(bench.ask(remove(number)), Ok(()));
    }
    bench.settle();
    bench.upload(50, 100_000);
    // In progress it counts as well.
    let upload = bench.send(open(51, 1, None, false));
    let mut written = 0;
    while bench.ask(write(upload, written, &[1; 50_000])).is_ok() {
        written += 50_000;
    }
    assert!(written <= 250_000, "{written}");
    assert!(bench.put(0, &share).is_err());
}
