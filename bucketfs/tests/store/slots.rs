//! Slots: what is tested, read and changed, and that their files are those Tahoe would leave.

use std::collections::BTreeMap;

use bucketfs::container::mutable::{Content, SHARE_SIZE_MAX};
use bucketfs::disk::sim::{Faults, Medium, Random};
use bucketfs::{
    Config, DropSpool, Extent, Leased, OpenSpool, OpenSpoolRefusal, PutRefusal, ReadTestWrite,
    RequestId, ShareChange, ShareKind, SharesRead, SlotRefusal, SlotWrite, Stored, Test,
    TestedAndWritten, Unavailable, Unreadable, Unwritable, Wanted, WriteSpool, WriteSpoolRefusal,
    limits,
};
use bytes::Bytes;
use lafs::{ShareNumber, WriteEnabler};

use crate::bench::{self, Answered, Bench, bucket, disk, lease, path, put, read, remove, secrets};
use crate::naive::Naive;

mod conversation;

const EMPTY: &[u8] = include_bytes!("../fixtures/mutable-v2-empty-no-lease.bin");
const ONE: &[u8] = include_bytes!("../fixtures/mutable-v1-1lease.bin");
const ONE_WITH_SIX: &[u8] = include_bytes!("../fixtures/mutable-v1-6leases.bin");
const TWO: &[u8] = include_bytes!("../fixtures/mutable-v2-1lease.bin");
const TWO_WITH_SIX: &[u8] = include_bytes!("../fixtures/mutable-v2-6leases.bin");
const GROWN: &[u8] = include_bytes!("../fixtures/mutable-v2-6leases-grown.bin");
const SHRUNK: &[u8] = include_bytes!("../fixtures/mutable-v2-6leases-shrunk.bin");
const SHRUNK_WRITTEN: &[u8] =
    include_bytes!("../fixtures/mutable-v2-6leases-shrunk-then-written.bin");
const CANCELLED: &[u8] = include_bytes!("../fixtures/mutable-v2-lease-cancelled.bin");
const IMMUTABLE: &[u8] = include_bytes!("../fixtures/immutable-v2-1lease.bin");

/// When the fixtures' first lease was made.
const BEGAN: u64 = 1_702_678_400 - 31 * 86_400;

fn node_id() -> [u8; 20] {
    std::array::from_fn(|index| 0xa0 + u8::try_from(index).unwrap())
}

fn write_enabler() -> WriteEnabler {
    WriteEnabler::new(std::array::from_fn(|index| {
        0x40 + u8::try_from(index).unwrap()
    }))
}

fn config() -> Config {
    let mut config = bench::config();
    config.node_id = node_id();
    config
}

fn slots() -> Bench {
    Bench::on(disk(), &config()).unwrap()
}

/// A store with these share files.
fn slots_with(files: &[(u8, &[u8])]) -> Bench {
    let mut medium = slots().shut_down();
    for (share, bytes) in files {
        medium.plant(&path(*share), bytes);
    }
    Bench::on(medium, &config()).unwrap()
}

fn ask() -> ReadTestWrite {
    ReadTestWrite {
        storage_index: bucket(),
        write_enabler: write_enabler(),
        lease: secrets(0),
        shares: BTreeMap::new(),
        read: Vec::new(),
        spool: None,
    }
}

impl Bench {
    fn change(&mut self, ask: ReadTestWrite) -> Answered<ReadTestWrite> {
        self.ask(ask)
    }

    fn spooled(&mut self, bytes: &[u8]) -> RequestId {
        let spool = self.send(OpenSpool).id;
        for bytes in bytes.chunks(100_000) {
            let bytes = Bytes::copy_from_slice(bytes);
            let written = self.send(WriteSpool { spool, bytes });
            assert_eq!(self.answer(written), Ok(()));
        }
        spool
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.sim.look(Medium::files);
        files.retain(|path, _| path.starts_with("shares/"));
        files
    }

    /// The slot's files, by their share numbers; and there are no others.
    fn slot(&mut self) -> BTreeMap<u8, Vec<u8>> {
        self.settle();
        let directory = format!("shares/ae/aq/{}/", bucket());
        let number = |path: String| path.strip_prefix(&directory).unwrap().parse().unwrap();
        let files = self.files().into_iter();
        files.map(|(path, file)| (number(path), file)).collect()
    }
}

fn bytes(offset: u64, bytes: &[u8]) -> SlotWrite {
    SlotWrite {
        offset,
        content: Content::Bytes(Bytes::copy_from_slice(bytes)),
    }
}

fn spooled(offset: u64, from: u64, size: u64) -> SlotWrite {
    SlotWrite {
        offset,
        content: Content::Spooled { offset: from, size },
    }
}

fn is(offset: u64, size: u64, specimen: &[u8]) -> Test {
    Test {
        offset,
        size,
        specimen: Bytes::copy_from_slice(specimen),
    }
}

fn writes(share: u8, writes: Vec<SlotWrite>) -> (ShareNumber, ShareChange) {
    let change = ShareChange {
        writes,
        ..ShareChange::default()
    };
    (ShareNumber::new(share), change)
}

fn cut(share: u8, size: u64) -> (ShareNumber, ShareChange) {
    let change = ShareChange {
        new_length: Some(size),
        ..ShareChange::default()
    };
    (ShareNumber::new(share), change)
}

fn with<const N: usize>(shares: [(ShareNumber, ShareChange); N]) -> ReadTestWrite {
    ReadTestWrite {
        shares: shares.into(),
        ..ask()
    }
}

fn done() -> Answered<ReadTestWrite> {
    done_and_read(&[])
}

fn done_and_read(read: &[(u8, &[&[u8]])]) -> Answered<ReadTestWrite> {
    read_and(true, read)
}

fn read_and(success: bool, read: &[(u8, &[&[u8]])]) -> Answered<ReadTestWrite> {
    let read = read.iter();
    Ok(TestedAndWritten {
        success,
        read: read
            .map(|(share, pieces)| {
                let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece));
                (ShareNumber::new(*share), pieces.collect())
            })
            .collect(),
    })
}

fn refused(refusal: impl Into<SlotRefusal>) -> Answered<ReadTestWrite> {
    Err(refusal.into())
}

fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let words = std::iter::repeat_with(|| random.number().to_le_bytes());
    words.flatten().take(len).collect()
}

// The fixtures were written by Tahoe-LAFS 1.20, one from the other as here.
#[test]
fn the_files_of_slots_are_those_of_tahoe() {
    let share: Vec<u8> = (0..100_u32)
        .map(|index| u8::try_from((index * 31 + 7) % 256).unwrap())
        .collect();
    let mut bench = slots();
    bench.now.unix = BEGAN;
    assert_eq!(
        bench.change(with([writes(0, vec![bytes(0, &share)])])),
        done()
    );
    assert_eq!(bench.file(0), TWO);
    for index in 1..6 {
        bench.now.unix += 1000;
        let Ok(Leased { held, failed }) = bench.ask(lease(index)) else {
            panic!("a lease");
        };
        assert_eq!((held, failed), (vec![(ShareNumber::new(0), 100)], vec![]));
    }
    assert_eq!(bench.file(0), TWO_WITH_SIX);
    // Of the last client, whose lease needs no renewal.
    let mut change = |change: (ShareNumber, ShareChange)| {
        let mut ask = with([change]);
        ask.lease = secrets(5);
        assert!(matches!(
            bench.change(ask),
            Ok(TestedAndWritten { success: true, .. })
        ));
        bench.file(0)
    };
    assert_eq!(change(writes(0, vec![bytes(120, b"grown!")])), GROWN);
    assert_eq!(change(cut(0, 40)), SHRUNK);
    assert_eq!(change(writes(0, vec![bytes(50, b"x")])), SHRUNK_WRITTEN);
}

#[test]
fn leases_of_slots_go_where_tahoe_puts_them() {
    let mut bench = slots_with(&[(0, ONE), (1, EMPTY), (2, CANCELLED)]);
    bench.now.unix = BEGAN + 1000;
    bench.ask(lease(1)).unwrap();
    assert_eq!(
        bench.file(2),
        SHRUNK_WRITTEN,
        "in the place of a cancelled one"
    );
    for index in 2..6 {
        bench.now.unix += 1000;
        bench.ask(lease(index)).unwrap();
    }
    assert_eq!(bench.file(0), ONE_WITH_SIX);
    let mut naive = Naive(EMPTY.to_vec());
    for index in 1..6_u8 {
        let until = 1_702_678_400 + 1000 * u32::from(index);
        naive.lease(&secrets(index), until, node_id());
    }
    assert_eq!(bench.file(1), naive.0);
    // A clock that was set back ends no lease.
    bench.now.unix -= 100_000;
    bench.ask(lease(5)).unwrap();
    assert_eq!(bench.file(1), naive.0);
}

#[test]
fn a_share_comes_to_be_without_writes_and_goes_with_its_directories() {
    let mut bench = slots();
    bench.now.unix = BEGAN;
    let nothing = || (ShareNumber::new(7), ShareChange::default());
    assert_eq!(bench.change(with([nothing()])), done());
    let mut naive = Naive::create(node_id(), &write_enabler());
    naive.lease(&secrets(0), 1_702_678_400, node_id());
    assert_eq!(bench.slot(), BTreeMap::from([(7, naive.0)]));
    // An absent share may be removed, too; writes into one that is removed count for nothing.
    let mut gone = writes(7, vec![bytes(0, b"bytes")]);
    gone.1.new_length = Some(0);
    assert_eq!(
        bench.change(with([gone, cut(8, 0)])),
        done_and_read(&[(7, &[])])
    );
    assert_eq!(bench.slot(), BTreeMap::new());
    let entries = bench.sim.look(Medium::files);
    assert!(entries.keys().all(|path| !path.starts_with("shares/ae")));
}

#[test]
fn tests_and_reads_are_of_the_slot_as_it_was_and_of_all_its_shares() {
    let mut bench = slots();
    let first = with([
        writes(0, vec![bytes(0, b"zero")]),
        writes(5, vec![bytes(0, b"five!")]),
    ]);
    assert_eq!(bench.change(first), done());
    let mut ask = with([writes(5, vec![bytes(4, b"teen")]), writes(9, vec![])]);
    let tests = [
        (5, is(0, 5, b"five!")),
        (5, is(3, 100, b"e!")),
        (9, is(0, 1, b"")),
    ];
    for (share, test) in tests {
        let share = ask.shares.get_mut(&ShareNumber::new(share)).unwrap();
        share.tests.push(test);
    }
    ask.read = [(0, 2), (2, 100), (70, 9)]
        .map(|(offset, size)| Extent { offset, size })
        .to_vec();
    let read: &[(u8, &[&[u8]])] = &[(0, &[b"ze", b"ro", b""]), (5, &[b"fi", b"ve!", b""])];
    assert_eq!(bench.change(ask.clone()), done_and_read(read));
    // The same again: share 9 is there by now, and five is another.
    let read: &[(u8, &[&[u8]])] = &[
        (0, &[b"ze", b"ro", b""]),
        (5, &[b"fi", b"veteen", b""]),
        (9, &[b"", b"", b""]),
    ];
    let before = bench.slot();
    bench.now.unix += 1000;
    assert_eq!(bench.change(ask), read_and(false, read));
    assert_eq!(bench.slot(), before, "no lease is renewed either");
    assert_eq!(Naive(before[&5].clone()).share(), b"fiveteen");
    assert_eq!(bench.share(5).as_deref(), Some(&b"fiveteen"[..]));
}

#[test]
fn a_test_passes_for_equal_bytes_of_equal_length_alone() {
    let mut bench = slots();
    bench
        .change(with([writes(0, vec![bytes(0, b"0123456789")])]))
        .unwrap();
    for (test, passes) in [
        (is(0, 10, b"0123456789"), true),
        (is(0, 10, b"0123456780"), false),
        (is(0, 11, b"0123456789"), true),
        (is(0, 9, b"0123456789"), false),
        (is(3, 4, b"3456"), true),
        (is(3, 4, b"345"), false),
        (is(8, u64::MAX, b"89"), true),
        (is(10, 1, b""), true),
        (is(u64::MAX, u64::MAX, b""), true),
        (is(0, 0, b""), true),
        (is(0, 1, b""), false),
    ] {
        let mut ask = with([writes(0, vec![])]);
        let share = ask.shares.get_mut(&ShareNumber::new(0)).unwrap();
        share.tests.push(test.clone());
        assert_eq!(bench.change(ask), read_and(passes, &[(0, &[])]), "{test:?}");
    }
    // Of a share that is not there.
    for (test, passes) in [(is(0, 1, b""), true), (is(0, 1, b"x"), false)] {
        let mut ask = with([cut(1, 0)]);
        let share = ask.shares.get_mut(&ShareNumber::new(1)).unwrap();
        share.tests.push(test);
        assert_eq!(bench.change(ask), read_and(passes, &[(0, &[])]));
    }
}

// Whoever has not the write enabler learns nothing of the slot this way and changes nothing.
#[test]
fn a_wrong_write_enabler_is_refused_whatever_is_asked() {
    let mut bench = slots();
    bench
        .change(with([writes(0, vec![bytes(0, b"zero")])]))
        .unwrap();
    let before = bench.slot();
    let mut wrong = with([cut(0, 0)]);
    wrong.write_enabler = WriteEnabler::new([7; 32]);
    let only_read = ReadTestWrite {
        shares: BTreeMap::new(),
        ..wrong.clone()
    };
    for ask in [wrong.clone(), only_read] {
        assert_eq!(bench.change(ask), refused(SlotRefusal::WrongWriteEnabler));
    }
    assert_eq!(bench.slot(), before);
    // One share of another enabler is enough.
    let mut medium = bench.shut_down();
    let other = Naive::create(node_id(), &WriteEnabler::new([7; 32]));
    medium.plant(&path(200), &other.0);
    let mut bench = Bench::on(medium, &config()).unwrap();
    let right = with([writes(0, vec![])]);
    assert_eq!(bench.change(right), refused(SlotRefusal::WrongWriteEnabler));
    assert_eq!(bench.change(wrong), refused(SlotRefusal::WrongWriteEnabler));
}

#[test]
fn shares_of_slots_and_of_buckets_are_not_taken_for_each_other() {
    let mut bench = slots_with(&[(0, TWO), (1, IMMUTABLE)]);
    assert_eq!(bench.change(ask()), refused(SlotRefusal::NotASlot));
    assert_eq!(bench.ask(put(0, b"share")), Err(PutRefusal::NotABucket));
    assert_eq!(bench.file(0), TWO);
    let Ok(SharesRead { held, pieces, .. }) = bench.ask(read(Wanted::Any(9), &[(0, 3)])) else {
        panic!("a read");
    };
    let kinds: Vec<_> = held
        .iter()
        .map(|held| (held.share_number.as_u8(), held.size, held.kind))
        .collect();
    let expected = [(0, 100, ShareKind::Mutable), (1, 100, ShareKind::Immutable)];
    assert_eq!(kinds, expected);
    assert_eq!(
        pieces[0].bytes, pieces[1].bytes,
        "both fixtures are of one share"
    );
    assert_eq!(bench.ask(remove(1)), Ok(()));
    assert_eq!(bench.change(with([cut(0, 1)])), done_and_read(&[(0, &[])]));
    let damaged = Unreadable::Damaged(bucketfs::Damage::Truncated);
    let mut bench = slots_with(&[(0, &TWO[..471])]);
    assert_eq!(bench.change(ask()), refused(damaged));
}

// Found out too late, after the journal has the change, it would stop the whole store.
#[test]
fn something_else_in_the_place_of_a_share_is_that_slots_error() {
    let mut medium = slots().shut_down();
    medium.plant(&format!("{}/file", path(3)), b"in a directory");
    let mut bench = Bench::on(medium, &config()).unwrap();
    let damaged = Unreadable::Damaged(bucketfs::Damage::NotAFile);
    for share in [3, 4] {
        assert_eq!(
            bench.change(with([writes(share, vec![])])),
            refused(damaged)
        );
    }
    assert!(!bench.status().failed);
    assert_eq!(bench.put(5, b"share"), Ok(Stored::New));
}

// Old bytes stay behind the end of a share that shrinks, and are nobody's to read.
#[test]
fn a_share_is_read_up_to_its_end_and_no_further() {
    let mut bench = slots_with(&[(0, SHRUNK)]);
    assert_eq!(bench.share(0).unwrap().len(), 40);
    let extents = [(0, 41), (39, 100), (40, 100), (u64::MAX, 1)];
    for wanted in [Wanted::Any(1), Wanted::One(ShareNumber::new(0))] {
        let Ok(SharesRead { pieces, rest, .. }) = bench.ask(read(wanted, &extents)) else {
            panic!("a read");
        };
        let lens: Vec<_> = pieces.iter().map(|piece| piece.bytes.len()).collect();
        assert_eq!((lens, rest), (vec![40, 1], vec![]));
    }
    let mut ask = ask();
    ask.read = vec![Extent {
        offset: 30,
        size: u64::MAX,
    }];
    assert_eq!(
        bench.change(ask),
        done_and_read(&[(0, &[&SHRUNK[498..508]])])
    );
}

// What a request brings in memory is bounded; what it is to change is not.
#[test]
fn large_changes_come_by_spools_and_leave_the_bytes_that_tahoe_leaves() {
    let mut bench = slots();
    bench.now.unix = BEGAN;
    let mut naive = Naive::create(node_id(), &write_enabler());
    naive.lease(&secrets(0), 1_702_678_400, node_id());
    let mut small = naive.clone();

    let content = pattern(300_000, 1);
    let mut ask = with([
        writes(0, vec![spooled(0, 0, 200_000), bytes(10, b"in memory")]),
        writes(1, vec![spooled(5, 200_000, 10), spooled(30, 0, 0)]),
        writes(2, vec![bytes(0, b"small")]),
    ]);
    ask.spool = Some(bench.spooled(&content));
    assert_eq!(bench.change(ask), done());
    naive.write(0, &content[..200_000]);
    naive.write(10, b"in memory");
    let mut second = small.clone();
    second.write(5, &content[200_000..200_010]);
    second.write(30, b"");
    small.write(0, b"small");
    let expected = BTreeMap::from([(0, naive.clone().0), (1, second.0), (2, small.0)]);
    assert!(bench.slot() == expected, "and nothing in incoming");

    // In the middle, beyond the end, and with six leases that have to move.
    for index in 1..6 {
        bench.ask(lease(index)).unwrap();
        naive.lease(&secrets(index), 1_702_678_400, node_id());
    }
    let mut ask = with([writes(
        0,
        vec![spooled(100_000, 7, 70_000), spooled(250_000, 9, 3)],
    )]);
    ask.spool = Some(bench.spooled(&content));
    assert!(matches!(
        bench.change(ask),
        Ok(TestedAndWritten { success: true, .. })
    ));
    naive.write(100_000, &content[7..70_007]);
    naive.write(250_000, &content[9..12]);
    assert!(bench.slot()[&0] == naive.0);
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert!(bench.slot()[&0] == naive.0, "replayed");
}

#[test]
fn a_spool_that_comes_to_nothing_leaves_nothing() {
    let mut bench = slots();
    let change = |spool, size| {
        let mut ask = with([writes(0, vec![spooled(0, 0, size)])]);
        ask.spool = spool;
        ask
    };
    // Dropped, used for a request that is refused, by a test that fails, or twice.
    let spool = bench.spooled(b"bytes");
    assert_eq!(bench.ask(DropSpool { spool }), Ok(()));
    let unknown = refused(SlotRefusal::UnknownSpool);
    assert_eq!(bench.change(change(Some(spool), 5)), unknown);
    let spool = bench.spooled(b"bytes");
    let short = refused(SlotRefusal::SpoolTooShort { written: 5 });
    assert_eq!(bench.change(change(Some(spool), 6)), short);
    assert_eq!(
        bench.change(change(None, 1)),
        refused(SlotRefusal::SpoolTooShort { written: 0 })
    );
    let spool = bench.spooled(b"bytes");
    let mut ask = change(Some(spool), 5);
    let share = ask.shares.get_mut(&ShareNumber::new(0)).unwrap();
    share.tests.push(is(0, 1, b"x"));
    assert_eq!(bench.change(ask), read_and(false, &[]));
    let spool = bench.spooled(b"bytes");
    assert_eq!(bench.change(change(Some(spool), 5)), done());
    assert_eq!(bench.change(change(Some(spool), 5)), unknown);
    let late = WriteSpool {
        spool,
        bytes: Bytes::from_static(b"late"),
    };
    let refusal = WriteSpoolRefusal::UnknownSpool;
    assert_eq!(bench.ask(late), Err(refusal));
    assert_eq!(bench.slot().len(), 1);

    // Of a request that there is no room for.
    let spool = bench.spooled(b"bytes");
    let others: Vec<_> = (0..limits::REQUESTS)
        .map(|_| bench.send(lease(1)))
        .collect();
    let over = bench.send(change(Some(spool), 5));
    assert_eq!(bench.answer(over), refused(Unavailable::Overloaded));
    for id in others {
        bench.answer(id).unwrap();
    }
    assert_eq!(bench.slot().len(), 1);

    // As many as there may be, and everything asked at once.
    let spools: Vec<_> = (0..limits::SPOOLS)
        .map(|_| bench.send(OpenSpool).id)
        .collect();
    let full = bench.send(OpenSpool);
    assert_eq!(bench.answer(full), Err(OpenSpoolRefusal::TooManySpools));
    for spool in &spools {
        let bytes = Bytes::from_static(b"bytes");
        bench.send(WriteSpool {
            spool: *spool,
            bytes,
        });
    }
    let last = bench.send(change(Some(spools[0]), 5));
    for spool in &spools[1..] {
        bench.send(DropSpool { spool: *spool });
    }
    assert_eq!(bench.answer(last), done_and_read(&[(0, &[])]));
    assert_eq!(bench.slot().len(), 1);
    bench.spooled(b"there is room again");
    bench.shut_down();
}

#[test]
fn what_is_beyond_the_limits_is_refused_before_anything_is_done() {
    let mut bench = slots();
    let limit = limits::EXTENTS;
    let many = refused(SlotRefusal::TooManyExtents { limit });
    let extent = Extent { offset: 0, size: 1 };
    let mut ask = ask();
    ask.read = vec![extent; limit + 1];
    assert_eq!(bench.change(ask), many);
    let mut ask = with([writes(0, vec![])]);
    let share = ask.shares.get_mut(&ShareNumber::new(0)).unwrap();
    share.tests = vec![is(0, 1, b""); limit + 1];
    assert_eq!(bench.change(ask), many);
    let limit = limits::SLOT_WRITES;
    let ask = with([
        writes(0, vec![bytes(0, b""); limit]),
        writes(1, vec![bytes(0, b"")]),
    ]);
    assert_eq!(
        bench.change(ask),
        refused(SlotRefusal::TooManyExtents { limit })
    );
    let long = vec![7; limits::SLOT_LEN];
    let limit = limits::SLOT_LEN as u64;
    let ask = with([
        writes(0, vec![bytes(0, &long)]),
        writes(1, vec![bytes(0, b"x")]),
    ]);
    assert_eq!(bench.change(ask), refused(SlotRefusal::TooLarge { limit }));
    let limit = SHARE_SIZE_MAX;
    let ask = with([
        writes(0, vec![bytes(0, b"x")]),
        writes(1, vec![bytes(limit, b"x")]),
    ]);
    assert_eq!(bench.change(ask), refused(SlotRefusal::TooLarge { limit }));
    assert_eq!(bench.slot(), BTreeMap::new());

    // Of what is really there, an answer has room for so much.
    let ask = with([0, 1, 2, 3, 4].map(|share| writes(share, vec![bytes(0, &long[..13_000])])));
    assert_eq!(bench.change(ask), done());
    let mut ask = ask_for(limits::READ_LEN);
    assert!(matches!(
        bench.change(ask.clone()),
        Ok(TestedAndWritten { .. })
    ));
    ask.read = vec![ask.read[0]; 5];
    let limit = limits::READ_LEN as u64;
    assert_eq!(
        bench.change(ask),
        refused(SlotRefusal::AnswerTooLarge { limit })
    );
}

fn ask_for(len: usize) -> ReadTestWrite {
    let size = len as u64;
    ReadTestWrite {
        read: vec![Extent { offset: 0, size }],
        ..ask()
    }
}

// Room is refused where there is none; what needs none is done all the same.
#[test]
fn a_full_store_still_cuts_overwrites_and_removes() {
    let mut bench = slots();
    let long = pattern(60_000, 3);
    let all = with([
        writes(0, vec![bytes(0, &long)]),
        writes(1, vec![bytes(0, b"one")]),
    ]);
    assert_eq!(bench.change(all), done());
    let medium = bench.shut_down();
    let mut full = config();
    full.reserved = u64::MAX;
    let mut read_only = config();
    read_only.read_only = true;
    for (config, refusal) in [
        (full, SlotRefusal::Unwritable(Unwritable::Full)),
        (read_only, SlotRefusal::ReadOnly),
    ] {
        let mut bench = Bench::on(medium.clone(), &config).unwrap();
        let before = bench.slot();
        for growing in [
            writes(2, vec![]),
            writes(1, vec![bytes(3, b"x")]),
            writes(1, vec![bytes(1 << 50, b"")]),
        ] {
            let ask = with([growing, cut(0, 5)]);
            assert_eq!(bench.change(ask), refused(refusal));
        }
        assert_eq!(bench.slot(), before, "none of it is done");
        for (share, change) in [
            writes(0, vec![bytes(59_000, &long[..1000])]),
            cut(0, 5),
            writes(0, vec![bytes(59_000, &long[..1000])]),
            cut(1, 0),
        ] {
            let ask = with([(share, change)]);
            let answer = bench.change(ask);
            assert!(matches!(answer, Ok(TestedAndWritten { success: true, .. })));
        }
        assert_eq!(bench.share(0).unwrap()[..6], [&long[..5], &[0]].concat());
        assert_eq!(bench.share(1), None);
    }
}

// Whoever reads a slot in several parts must not get parts of two states.
#[test]
fn a_reader_can_tell_that_a_slot_has_changed() {
    let mut bench = slots();
    bench
        .change(with([writes(0, vec![bytes(0, b"zero")])]))
        .unwrap();
    let version = |bench: &mut Bench| match bench.ask(read(Wanted::Any(1), &[(0, 1)])) {
        Ok(SharesRead { version, .. }) => version,
        answer => panic!("{answer:?}"),
    };
    let first = version(&mut bench);
    bench.ask(lease(3)).unwrap();
    let mut failing = with([writes(0, vec![bytes(0, b"z")])]);
    let share = failing.shares.get_mut(&ShareNumber::new(0)).unwrap();
    share.tests.push(is(0, 1, b"x"));
    bench.change(failing).unwrap();
    assert_eq!(version(&mut bench), first);
    bench
        .change(with([writes(0, vec![bytes(0, b"z")])]))
        .unwrap();
    assert_ne!(version(&mut bench), first);
}

// A read of all shares, and changes of all shares, in every order that the disk may choose.
#[test]
fn no_reader_sees_half_a_change() {
    for seed in 0..100 {
        let mut bench = slots();
        bench.sim.set_faults(Faults::default());
        let state = |byte: u8| with([0, 1, 2].map(|n| writes(n, vec![bytes(0, &[byte; 900])])));
        bench.change(state(0)).unwrap();
        let mut random = Random::new(seed);
        let mut reads = Vec::new();
        let mut changes = Vec::new();
        for byte in 1..6 {
            changes.push(bench.send(state(byte)));
            for _ in 0..random.index(200) {
                bench.turn();
                if random.one_in(25) {
                    reads.push(bench.send(read(Wanted::Any(3), &[(0, 900)])));
                }
            }
        }
        for id in changes {
            assert!(matches!(
                bench.answer(id),
                Ok(TestedAndWritten { success: true, .. })
            ));
        }
        for id in reads {
            let Ok(SharesRead { pieces, .. }) = bench.answer(id) else {
                panic!("a read");
            };
            assert_eq!(pieces.len(), 3);
            let first = pieces[0].bytes[0];
            let same = |piece: &bucketfs::Piece| piece.bytes.iter().all(|byte| *byte == first);
            assert!(pieces.iter().all(same), "seed {seed}");
        }
    }
}

// Whatever is asked, by whatever way it is done, before and after replays: the bytes are Tahoe's.
#[test]
fn whatever_is_asked_of_a_slot_its_files_are_those_of_tahoe() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut bench = slots();
        let mut naive: BTreeMap<u8, Naive> = BTreeMap::new();
        for _ in 0..40 {
            bench.now.unix += random.below(3);
            let until = bucketfs::container::expiration(bench.now.unix);
            let client = u8::try_from(random.below(8)).unwrap();
            let content = pattern(100_000, random.number());
            let large = random.one_in(3);
            let mut ask = ask();
            ask.lease = secrets(client);
            for _ in 0..1 + random.index(3) {
                let number = u8::try_from(random.below(3)).unwrap();
                if ask.shares.contains_key(&ShareNumber::new(number)) {
                    continue;
                }
                let mut change = ShareChange::default();
                let mut share = naive
                    .remove(&number)
                    .unwrap_or_else(|| Naive::create(node_id(), &write_enabler()));
                for _ in 0..random.index(4) {
                    let len = random.index(if large { 40_000 } else { 1500 });
                    let far = random.one_in(4);
                    let offset = random.index(if far { 90_000 } else { 2000 });
                    let from = random.index(100_000 - len);
                    let written = &content[from..from + len];
                    share.write(offset, written);
                    change.writes.push(match large {
                        true => spooled(offset as u64, from as u64, len as u64),
                        false => bytes(offset as u64, written),
                    });
                }
                if random.one_in(3) {
                    let size = random.index(3) * random.index(3000);
                    change.new_length = Some(size as u64);
                    share.cut(size);
                }
                if change.new_length != Some(0) {
                    share.lease(&secrets(client), until, node_id());
                    naive.insert(number, share);
                }
                ask.shares.insert(ShareNumber::new(number), change);
            }
            if large {
                ask.spool = Some(bench.spooled(&content));
            }
            let answer = bench.change(ask);
            assert!(
                matches!(answer, Ok(TestedAndWritten { success: true, .. })),
                "{answer:?}"
            );
            if random.one_in(5) {
                let now = bench.now;
                bench.settle();
                bench = Bench::on(bench.kill(), &config()).unwrap();
                bench.now = now;
            }
            let expected = naive
                .iter()
                .map(|(number, naive)| (*number, naive.0.clone()));
            assert!(bench.slot() == expected.collect(), "seed {seed}");
        }
    }
}
