//! Shares that are acknowledged and not yet in the tree: held for whoever asks, and never forgotten.

use std::time::Duration;

use bucketfs::disk::sim::Faults;
use bucketfs::{
    Advise, LeaseRefusal, RemoveRefusal, ShareKind, Stored, Unwritable, Wanted, limits,
};
use lafs::ShareNumber;

use crate::bench::{Bench, config, key, lease, numbers, path, put, read, remove, sizes};

impl Bench {
    fn is_in_tree(&self, share: u8) -> bool {
        let path = path(share);
        self.sim
            .look(|medium| medium.files().contains_key(path.as_str()))
    }

    /// The disk is full, or has room again.
    fn fill(&mut self, full: bool) {
        self.sim.alter(|medium| {
            let capacity = if full { 0 } else { 64 << 20 };
            medium.set_capacity(capacity);
        });
    }

    fn wait(&mut self, seconds: u64) {
        self.now.elapsed += Duration::from_secs(seconds);
        self.store.handle_timeout(self.now);
        self.settle();
    }

    /// Stores a share that the disk then has no room for.
    fn put_stuck(&mut self, share: u8, bytes: &[u8]) {
        self.fill(true);
        assert_eq!(self.put(share, bytes), Ok(Stored::New));
        self.settle();
        assert!(!self.is_in_tree(share));
        let status = self.status();
        assert!(status.unplaced > 0 && !status.failed);
    }
}

// The acknowledgement waits for the journal alone.
#[test]
fn an_acknowledged_share_is_held_for_everybody_before_the_tree_has_it() {
    let all = &[(0, u64::MAX)];
    for look in 0..6 {
        let mut bench = Bench::new();
        bench.put(2, b"before").unwrap();
        bench.settle();
        bench.put(3, b"share").unwrap();
        assert!(!bench.is_in_tree(3));
        match look {
            0 => {
                let calls = bench.sim.calls();
                let three = Wanted::One(ShareNumber::new(3));
                let answer = bench.ask(read(three, all)).unwrap();
                assert_eq!(answer.pieces[0].bytes[..], b"share"[..]);
                assert!(bench.sim.calls() <= calls + 1, "from memory");
            }
            1 => {
                let answer = bench.ask(read(Wanted::Any(9), all)).unwrap();
                assert_eq!(sizes(&answer.held), [(2, 6), (3, 5)]);
                assert_eq!(answer.pieces[1].bytes[..], b"share"[..]);
            }
            2 => {
                let leased = bench.ask(lease(1)).unwrap();
                assert_eq!(numbers(&leased.held), [(2, 6), (3, 5)]);
            }
            3 => {
                assert_eq!(bench.put(3, b"other"), Ok(Stored::AlreadyHeld));
                assert_eq!(bench.share(3).as_deref(), Some(&b"share"[..]));
            }
            4 => assert_eq!(bench.ask(remove(3)), Ok(())),
            _ => {
                let kind = ShareKind::Immutable;
                let reason = String::from("damaged");
                let key = key(3);
                assert_eq!(bench.ask(Advise { key, kind, reason }), Ok(()));
            }
        }
        bench.settle();
        assert_eq!(bench.is_in_tree(3), look != 4);
        assert_eq!(bench.status().pending, 0);
    }
}

// Space is promised, and yet somebody else may take it. What was acknowledged is not taken back.
#[test]
fn a_share_that_the_disk_refuses_is_served_from_memory_and_tried_again() {
    let mut bench = Bench::new();
    bench.put(0, b"before").unwrap();
    bench.settle();
    bench.put_stuck(1, b"share");
    assert_eq!(bench.share(1).as_deref(), Some(&b"share"[..]));
    let full = Unwritable::Full;
    assert_eq!(bench.put(2, b"new"), Err(full.into()));
    assert_eq!(bench.put(1, b"again"), Err(full.into()));
    assert_eq!(bench.ask(remove(1)), Err(RemoveRefusal::Unwritable(full)));
    let leased = bench.ask(lease(1)).unwrap();
    assert_eq!(numbers(&leased.held), [(0, 6)], "others are not affected");
    let refused = (ShareNumber::new(1), LeaseRefusal::Unwritable(full));
    assert_eq!(leased.failed, [refused]);
    let status = bench.status();
    assert_eq!((status.pending, status.unplaced), (1, 1));
    bench.wait(1);
    assert!(!bench.is_in_tree(1), "still full");
    bench.fill(false);
    bench.wait(1);
    assert!(!bench.is_in_tree(1), "the pauses grow");
    bench.wait(1);
    assert!(bench.is_in_tree(1));
    assert_eq!(bench.status().unplaced, 0);
    assert_eq!(bench.put(2, b"new"), Ok(Stored::New));
    assert_eq!(bench.ask(remove(1)), Ok(()));
}

// A file where a directory should be is the operator's, and stops nobody else.
#[test]
fn what_is_in_the_way_of_one_share_stops_no_other() {
    let mut bench = Bench::new();
    bench.put(0, b"before").unwrap();
    bench.settle();
    let first = bench.send(put(1, b"share"));
    while bench.status().journal_records < 2 {
        bench.turn();
    }
    let foreign = format!("{}/file", path(1));
    bench.sim.alter(|medium| medium.plant(&foreign, b"mine"));
    assert_eq!(bench.answer(first), Ok(Stored::New));
    bench.settle();
    assert_eq!(bench.status().unplaced, 1);
    assert_eq!(bench.share(1).as_deref(), Some(&b"share"[..]));
    assert_eq!(bench.put(2, b"other"), Ok(Stored::New));
    bench.settle();
    assert_eq!(bench.status().unplaced, 1);
}

// The next start has room, and replays what this one could not do.
#[test]
fn a_store_ends_in_order_with_a_share_that_has_no_place_and_keeps_it() {
    let mut bench = Bench::new();
    bench.put_stuck(1, b"share");
    let mut medium = bench.shut_down();
    medium.set_capacity(64 << 20);
    let mut bench = Bench::on(medium, &config()).unwrap();
    assert!(bench.is_in_tree(1));
    assert_eq!(bench.share(1).as_deref(), Some(&b"share"[..]));
}

// Both files hold a share without a place: whatever else wants into the journal would wait for ever.
#[test]
fn with_the_journal_held_new_records_are_refused_and_do_not_hang() {
    let mut bench = Bench::new();
    let share = vec![7; usize::try_from(limits::SMALL_SHARE_SIZE).unwrap()];
    bench.put(0, b"leased").unwrap();
    bench.settle();
    bench.put_stuck(1, &share);
    let mut refused = false;
    for round in 0..100_u8 {
        bench.now.unix += 1000;
        let leased = bench.ask(lease(1 + round % 3)).unwrap();
        let failed = leased.failed.iter();
        refused |= { failed }.any(|(number, _)| number.as_u8() == 0);
    }
    assert!(refused);
    assert!(!bench.status().failed);
    bench.fill(false);
    bench.wait(1);
    assert_eq!(bench.status().unplaced, 0);
    bench.now.unix += 1000;
    assert!(bench.ask(lease(1)).unwrap().failed.is_empty());
}

#[test]
fn a_share_that_there_are_no_inodes_for_is_refused_before_it_is_acknowledged() {
    let mut medium = Bench::new().shut_down();
    medium.set_free_inodes(20);
    let mut bench = Bench::on(medium, &config()).unwrap();
    let mut stored = 0;
    for share in 0..20 {
        match bench.put(share, b"share") {
            Ok(Stored::New) => stored += 1,
            answer => assert_eq!(answer, Err(Unwritable::Full.into())),
        }
        bench.settle();
    }
    assert!(stored > 3, "{stored}");
    assert_eq!(bench.status().unplaced, 0);
}

// An error of the disk while one is placed is not the end of it, nor of the store.
#[test]
fn after_an_error_the_share_is_placed_the_next_time() {
    let mut bench = Bench::new();
    for share in 0..8 {
        assert_eq!(bench.put(share, &[share; 700]), Ok(Stored::New));
        bench.sim.set_faults(Faults {
            error_every: 2,
            ..Faults::default()
        });
        bench.settle();
        bench.sim.set_faults(Faults::default());
        assert_eq!(bench.share(share).as_deref(), Some(&[share; 700][..]));
        for _ in 0..8 {
            bench.wait(60);
        }
        assert_eq!(bench.status().pending, 0);
        assert_eq!(bench.share(share).as_deref(), Some(&[share; 700][..]));
    }
    let mut bench = Bench::on(bench.shut_down(), &config()).unwrap();
    assert_eq!(bench.status().replayed, 0);
}

// What waits has its bytes in memory, and there is a bound to that.
#[test]
fn no_more_shares_are_pending_than_there_is_memory_for() {
    let mut bench = Bench::new();
    let share = vec![7; usize::try_from(limits::SMALL_SHARE_SIZE).unwrap()];
    let ids: Vec<_> = (0..60).map(|n| bench.send(put(n, &share))).collect();
    let most = limits::PENDING_LEN / share.len();
    for id in ids {
        assert_eq!(bench.answer(id), Ok(Stored::New));
        assert!(bench.status().pending <= most);
    }
}
