//! What a store answers, and what it leaves on the disk.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use bucketfs::container::Container;
use bucketfs::disk::sim::Faults;
use bucketfs::{
    Damage, Durability, LeaseRefusal, OpenRefusal, PutRefusal, RemoveRefusal, RenewRefusal,
    SharesRead, Stored, Unavailable, Unreadable, Unwritable, Wanted, limits,
};
use lafs::ShareNumber;

mod advisories;
mod bench;
mod expiry;
mod layouts;
mod mend;
mod migration;
#[path = "../naive/mutable.rs"]
mod naive;
mod opening;
mod pending;
mod ranged;
mod slots;
mod totals;
mod uploads;

use bench::{Bench, bucket, config, disk, lease, numbers, path, put, read, remove, sizes};

const FIXTURE: &[u8] = include_bytes!("../fixtures/immutable-v2-1lease.bin");
const FIXTURE_WITH_THREE: &[u8] = include_bytes!("../fixtures/immutable-v2-3leases.bin");
const FIXTURE_ONE: &[u8] = include_bytes!("../fixtures/immutable-v1-1lease.bin");
const MUTABLE: &[u8] = include_bytes!("../fixtures/mutable-v2-1lease.bin");
const FIXTURE_ONE_WITH_THREE: &[u8] = include_bytes!("../fixtures/immutable-v1-3leases.bin");

#[test]
fn a_share_put_reads_back_and_is_held_from_then_on() {
    let mut bench = Bench::new();
    assert_eq!(bench.put(3, b"share"), Ok(Stored::New));
    assert_eq!(bench.put(3, b"other"), Ok(Stored::AlreadyHeld));
    assert_eq!(bench.share(3).as_deref(), Some(&b"share"[..]));
    assert_eq!(bench.share(4), None);
}

// The fixtures were written by Tahoe-LAFS 1.20: the first lease is dated 31 days after the Unix
// time at which these requests are made, the next ones 1000 seconds later each.
#[test]
fn containers_and_the_leases_added_to_them_are_those_of_tahoe() {
    let share = Container::parse(FIXTURE).unwrap().share;
    let mut bench = Bench::new();
    bench.now.unix = 1_702_678_400 - 31 * 86_400;
    assert_eq!(bench.put(0, share), Ok(Stored::New));
    assert_eq!(bench.file(0), FIXTURE);
    for index in 1..3 {
        bench.now.unix += 1000;
        bench.ask(lease(index)).unwrap();
    }
    assert_eq!(bench.file(0), FIXTURE_WITH_THREE);
}

#[test]
fn leases_of_old_containers_are_added_in_the_clear() {
    let mut medium = disk();
    bench_files(&mut medium, &[(0, FIXTURE_ONE)]);
    let mut bench = Bench::on(medium, &config()).unwrap();
    bench.now.unix = 1_702_678_400 - 31 * 86_400;
    for index in 1..3 {
        bench.now.unix += 1000;
        bench.ask(lease(index)).unwrap();
    }
    assert_eq!(bench.file(0), FIXTURE_ONE_WITH_THREE);
}

/// Puts share files onto the disk of a store that is made for it.
fn bench_files(medium: &mut bucketfs::disk::sim::Medium, files: &[(u8, &[u8])]) {
    *medium = Bench::on(medium.clone(), &config()).unwrap().shut_down();
    for (share, bytes) in files {
        medium.plant(&path(*share), bytes);
    }
}

// Whoever asks twice gets what was asked for once: the lease on a share held.
#[test]
fn a_put_of_a_share_held_renews_its_lease_and_a_clock_set_back_does_not() {
    let mut bench = Bench::new();
    bench.put(0, b"share").unwrap();
    let ends = |bench: &mut Bench| {
        let file = bench.file(0);
        let leases = Container::parse(&file).unwrap().leases;
        assert_eq!(leases.len(), 1);
        leases[0].expiration
    };
    let before = ends(&mut bench);
    bench.now.unix += 500;
    assert_eq!(bench.put(0, b"share"), Ok(Stored::AlreadyHeld));
    assert_eq!(ends(&mut bench), before + 500);
    bench.now.unix -= 100_000;
    assert_eq!(bench.put(0, b"share"), Ok(Stored::AlreadyHeld));
    assert_eq!(ends(&mut bench), before + 500);
}

// The loser must neither fail nor overwrite the winner.
#[test]
fn of_two_puts_of_one_share_at_once_one_is_stored_and_the_other_finds_it() {
    let mut bench = Bench::new();
    let first = bench.send(put(0, b"first"));
    let second = bench.send(put(0, b"second"));
    assert_eq!(bench.answer(first), Ok(Stored::New));
    assert_eq!(bench.answer(second), Ok(Stored::AlreadyHeld));
    assert_eq!(bench.share(0).as_deref(), Some(&b"first"[..]));
}

// Group commit: a sync a batch, not a share.
#[test]
fn shares_that_arrive_together_share_a_sync() {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..100).map(|share| bench.send(put(share, b"x"))).collect();
    for id in ids {
        assert_eq!(bench.answer(id), Ok(Stored::New));
    }
    let status = bench.status();
    assert_eq!(status.journal_records, 100);
    assert!(status.journal_batches < 50, "{}", status.journal_batches);
}

// The journal takes about one share of this size a file: every put waits for a checkpoint.
#[test]
fn with_the_journal_full_requests_wait_for_the_checkpoint_and_no_longer() {
    let mut bench = Bench::new();
    let share = vec![7; usize::try_from(limits::SMALL_SHARE_SIZE).unwrap()];
    let ids: Vec<_> = (0..20).map(|n| bench.send(put(n, &share))).collect();
    for id in ids {
        assert_eq!(bench.answer(id), Ok(Stored::New));
    }
    assert!(bench.status().checkpoints >= 18);
}

#[test]
fn a_share_too_large_for_one_request_is_refused() {
    let mut bench = Bench::new();
    let limit = limits::SMALL_SHARE_SIZE;
    let share = vec![7; usize::try_from(limit).unwrap() + 1];
    let refused = Err(PutRefusal::TooLarge { limit });
    assert_eq!(bench.put(0, &share), refused);
}

#[test]
fn a_removed_share_is_gone_with_its_directories_and_can_be_put_anew() {
    let mut bench = Bench::new();
    bench.put(0, b"one").unwrap();
    assert_eq!(bench.ask(remove(0)), Ok(()));
    assert_eq!(bench.ask(remove(0)), Err(RemoveRefusal::NoShare), "once");
    assert_eq!(bench.put(0, b"two"), Ok(Stored::New));
    assert_eq!(bench.share(0).as_deref(), Some(&b"two"[..]));
}

#[test]
fn parts_of_any_shares_are_read_without_asking_first_what_is_held() {
    let mut bench = Bench::new();
    for share in [9, 2, 5] {
        bench.put(share, &[share; 100]).unwrap();
    }
    let SharesRead {
        held,
        unreadable,
        pieces,
        rest,
        ..
    } = bench
        .ask(read(
            Wanted::Any(2),
            &[(0, 10), (90, 1000), (100, 1), (u64::MAX, 1)],
        ))
        .unwrap();
    assert_eq!(sizes(&held), [(2, 100), (5, 100), (9, 100)]);
    assert!(unreadable.is_empty() && rest.is_empty());
    let read: Vec<_> = pieces
        .iter()
        .map(|piece| (piece.share_number.as_u8(), piece.offset, piece.bytes.len()))
        .collect();
    assert_eq!(read, [(2, 0, 10), (2, 90, 10), (5, 0, 10), (5, 90, 10)]);
    assert!(
        pieces
            .iter()
            .all(|piece| piece.bytes[..] == vec![piece.share_number.as_u8(); 10])
    );
}

// A download reads a share in many parts; listing its bucket for each took longer than the parts.
#[test]
fn one_share_is_read_without_a_look_at_the_others() {
    let mut medium = disk();
    bench_files(&mut medium, &[(1, b"no container")]);
    let mut bench = Bench::on(medium, &config()).unwrap();
    bench.put(2, b"two").unwrap();
    bench.put(3, b"three").unwrap();
    for (share, expected) in [(2, Some(&b"two"[..])), (3, Some(b"three")), (4, None)] {
        let wanted = Wanted::One(ShareNumber::new(share));
        let SharesRead {
            held,
            unreadable,
            pieces,
            ..
        } = bench.ask(read(wanted, &[(0, 100)])).unwrap();
        assert_eq!(unreadable, []);
        let size = expected.map(|bytes| u64::try_from(bytes.len()).unwrap());
        let named: Vec<_> = size.map(|size| (share, size)).into_iter().collect();
        assert_eq!(sizes(&held), named);
        let bytes = pieces.first().map(|piece| &piece.bytes[..]);
        assert_eq!(bytes, expected);
    }
}

#[test]
fn what_does_not_fit_into_an_answer_is_named_for_the_next_question() {
    let mut bench = Bench::new();
    let share: Vec<u8> = (0..60_000_u32).flat_map(u32::to_be_bytes).collect();
    let upload = bench.send(bench::open(0, 1, None, false));
    bench.send(bench::write(upload, 0, &share));
    bench.send(bench::write(upload, 240_000, &share));
    let size = 480_000;
    assert_eq!(bench.ask(bench::close(upload, size)), Ok(()));
    let mut got = vec![0; 480_000];
    let mut extents = vec![(400_000, 100), (0, u64::MAX)];
    let mut questions = 0;
    while !extents.is_empty() {
        questions += 1;
        let SharesRead { pieces, rest, .. } = bench.ask(read(Wanted::Any(1), &extents)).unwrap();
        for piece in pieces {
            let start = usize::try_from(piece.offset).unwrap();
            got[start..start + piece.bytes.len()].copy_from_slice(&piece.bytes);
        }
        let rest = rest.first().map_or(&[][..], |rest| &rest.extents);
        extents = rest.iter().map(|rest| (rest.offset, rest.size)).collect();
    }
    assert_eq!(questions, 2);
    assert!(got == [&share[..], &share[..]].concat());
}

// One damaged file makes a whole bucket unusable in Tahoe.
#[test]
fn a_damaged_share_does_not_keep_the_others_from_being_read_or_leased() {
    let mut medium = disk();
    let cut = &FIXTURE[..50];
    bench_files(&mut medium, &[(1, cut), (2, b"no container"), (3, b"")]);
    medium.plant(&path(0).replace("/0", "/0_1"), b"a side file");
    let mut bench = Bench::on(medium, &config()).unwrap();
    assert_eq!(bench.put(7, b"good"), Ok(Stored::New));
    let bad = [
        (ShareNumber::new(1), Unreadable::Damaged(Damage::Truncated)),
        (
            ShareNumber::new(2),
            Unreadable::Damaged(Damage::UnknownContainer),
        ),
        (ShareNumber::new(3), Unreadable::Damaged(Damage::Truncated)),
    ];
    let answer = bench.ask(read(Wanted::Any(9), &[(0, 100)])).unwrap();
    assert_eq!(sizes(&answer.held), [(7, 4)]);
    assert_eq!(answer.unreadable, bad);
    assert_eq!(answer.pieces[0].bytes[..], b"good"[..]);
    let answer = bench.ask(lease(1)).unwrap();
    assert_eq!(numbers(&answer.held), [(7, 4)]);
    let bad = bad.map(|(number, why)| (number, LeaseRefusal::Unreadable(why)));
    assert_eq!(answer.failed, bad);
    let truncated = LeaseRefusal::Unreadable(Unreadable::Damaged(Damage::Truncated));
    let refused = Err(PutRefusal::Lease(truncated));
    assert_eq!(bench.put(1, b"anew"), refused);
    assert_eq!(bench.file(1), cut, "left for fsck");
}

// The disk is well, and an operator who is told that it fails looks in the wrong place.
#[test]
fn something_else_in_the_place_of_a_share_is_damage_and_no_disk_error() {
    let mut medium = Bench::new().shut_down();
    medium.plant(&format!("{}/file", path(3)), b"in a directory");
    let mut bench = Bench::on(medium, &config()).unwrap();
    let foreign = Unreadable::Damaged(Damage::NotAFile);
    let three = Wanted::One(ShareNumber::new(3));
    let answer = bench.ask(read(three, &[(0, 100)])).unwrap();
    assert_eq!(answer.unreadable, [(ShareNumber::new(3), foreign)]);
    let Err(PutRefusal::Unwritable(Unwritable::Disk(error))) = bench.put(3, b"share") else {
        panic!("a refusal");
    };
    assert!(error.is_foreign());
    assert_eq!(bench.put(4, b"share"), Ok(Stored::New));
    assert!(!bench.status().failed);
}

#[test]
fn a_read_only_store_takes_no_shares_and_goes_on_with_those_it_has() {
    let mut bench = Bench::new();
    bench.put(0, b"old").unwrap();
    bench.put(1, b"old").unwrap();
    let mut config = config();
    config.read_only = true;
    let mut bench = Bench::on(bench.shut_down(), &config).unwrap();
    assert_eq!(bench.put(2, b"new"), Err(PutRefusal::ReadOnly));
    let opened = bench.ask(bench::open(2, 1, None, false));
    assert_eq!(opened, Err(OpenRefusal::ReadOnly));
    assert_eq!(bench.put(0, b"old"), Ok(Stored::AlreadyHeld));
    assert!(bench.ask(lease(1)).unwrap().held.len() == 2);
    assert_eq!(bench.ask(remove(1)), Ok(()));
    assert!(bench.status().read_only);
}

#[test]
fn what_the_operator_reserves_is_not_written_to() {
    let mut config = config();
    config.reserved = 63 << 20;
    let mut bench = Bench::on(disk(), &config).unwrap();
    let share = [7; 60_000];
    let mut stored = 0;
    for number in 0..40 {
        match bench.put(number, &share) {
            Ok(Stored::New) => stored += 1,
            answer => assert_eq!(answer, Err(Unwritable::Full.into())),
        }
    }
    assert!(stored > 5);
    let free = bench.sim.look(bucketfs::disk::sim::Medium::free);
    assert!(free >= 63 << 20, "{free}");
    // Full is no reason to end the leases of what is held.
    assert_eq!(bench.put(0, &share), Ok(Stored::AlreadyHeld));
    assert!(bench.ask(lease(1)).unwrap().failed.is_empty());
    assert_eq!(bench.ask(remove(0)), Ok(()));
    bench.settle();
    assert_eq!(bench.put(0, &share), Ok(Stored::New), "there is room again");
}

// A lost page of the journal is reported once; asked again the kernel says that all is well.
#[test]
fn after_a_failed_sync_the_store_only_reads_until_it_is_opened_again() {
    let mut bench = Bench::new();
    assert_eq!(bench.put(0, b"before"), Ok(Stored::New));
    bench.sim.set_faults(Faults {
        sync_error_every: 1,
        ..Faults::default()
    });
    assert_eq!(bench.put(1, b"lost"), Err(Unwritable::Failed.into()));
    bench.sim.set_faults(Faults::default());
    assert_eq!(bench.put(2, b"late"), Err(Unwritable::Failed.into()));
    assert_eq!(bench.share(0).as_deref(), Some(&b"before"[..]));
    assert!(bench.status().failed);
    let mut bench = Bench::on(bench.shut_down(), &config()).unwrap();
    assert_eq!(bench.share(0).as_deref(), Some(&b"before"[..]));
    assert_eq!(bench.put(2, b"late"), Ok(Stored::New));
}

#[test]
fn relaxed_durability_is_said_and_costs_no_sync() {
    let mut config = config();
    config.durability = Durability::Relaxed;
    let mut bench = Bench::on(disk(), &config).unwrap();
    bench.sim.set_faults(Faults {
        sync_error_every: 1,
        ..Faults::default()
    });
    assert_eq!(bench.put(0, b"share"), Ok(Stored::New));
    let upload = bench.send(bench::open(1, 1, None, false));
    assert_eq!(bench.ask(bench::close(upload, 0)), Ok(()));
    assert_eq!(bench.status().durability, Durability::Relaxed);
}

#[test]
fn more_requests_than_the_store_has_room_for_are_refused_not_kept() {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..limits::REQUESTS)
        .map(|_| bench.send(lease(1)))
        .collect();
    assert!(!bench.store.has_room());
    let over = bench.send(lease(1));
    assert_eq!(
        bench.answer(over),
        Err(RenewRefusal::Unavailable(Unavailable::Overloaded))
    );
    for id in ids {
        assert!(bench.answer(id).is_ok());
    }
    assert!(bench.store.has_room());
}

#[test]
fn after_shutting_down_nothing_is_taken_and_nothing_is_left_to_replay() {
    let mut bench = Bench::new();
    let put_before = bench.send(put(0, b"share"));
    bench.store.shut_down(bench.now);
    assert_eq!(bench.put(1, b"late"), Err(Unavailable::ShuttingDown.into()));
    assert_eq!(bench.answer(put_before), Ok(Stored::New));
    let mut bench = Bench::on(bench.shut_down(), &config()).unwrap();
    assert_eq!(bench.status().replayed, 0);
    assert_eq!(bench.share(0).as_deref(), Some(&b"share"[..]));
    assert_eq!(bench.put(1, b"more"), Ok(Stored::New));
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert_eq!(bench.status().replayed, 1);
    assert_eq!(bench.share(1).as_deref(), Some(&b"more"[..]));
}

// Every client of Tahoe's protocol asks once a second, and the answer must not be that old.
#[test]
fn the_free_space_is_looked_at_once_a_second_however_often_the_status_is_asked_for() {
    let mut bench = Bench::new();
    for second in 1..4 {
        bench.now.elapsed = std::time::Duration::from_secs(second);
        let before = bench.sim.calls();
        for _ in 0..10 {
            bench.status();
            bench.settle();
        }
        assert_eq!(bench.sim.calls(), before + 1);
    }
}

#[test]
fn what_is_not_the_stores_is_left_alone() {
    let mut medium = Bench::new().shut_down();
    let foreign = [
        "notes.txt".to_owned(),
        "shares/README".to_owned(),
        "shares/incoming/ae/half/3".to_owned(),
        "shares/incoming/not-a-number".to_owned(),
        "shares/incoming/+1".to_owned(),
        "shares/incoming/not-a-number.parts".to_owned(),
        "shares/incoming/ae/aeaqcaibaeaqcaibaeaqcaibae/0.bak".to_owned(),
        format!("shares/ae/aq/{}/0.bak", bucket()),
    ];
    for path in &foreign {
        medium.plant(path, b"mine");
    }
    medium.plant("shares/incoming/1f", b"an upload of the last run");
    let mut bench = Bench::on(medium, &config()).unwrap();
    bench.put(0, b"share").unwrap();
    bench.ask(remove(0)).unwrap();
    let files = bench.sim.look(bucketfs::disk::sim::Medium::files);
    for path in &foreign {
        assert_eq!(files[path], b"mine");
    }
    assert!(!files.contains_key("shares/incoming/1f"));
}
