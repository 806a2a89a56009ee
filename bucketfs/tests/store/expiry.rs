//! Expiry of single shares, as whoever walks the store asks for it.

use std::time::Duration;

use bucketfs::container::LEASE_DURATION;
use bucketfs::disk::sim::Medium;
use bucketfs::{
    Damage, Expire, ExpireRefusal, Expired, ExpiredShare, ExpiryMode, ExpiryRule, Kept, ShareKind,
    Stored, Unreadable,
};

use crate::bench::{Bench, config, key, lease, path, put};
use crate::{FIXTURE, MUTABLE};

const EMPTY_SLOT: &[u8] = include_bytes!("../fixtures/mutable-v2-empty-no-lease.bin");
const CANCELLED: &[u8] = include_bytes!("../fixtures/mutable-v2-lease-cancelled.bin");
const SIX: &[u8] = include_bytes!("../fixtures/mutable-v2-6leases.bin");

fn rule() -> ExpiryRule {
    ExpiryRule {
        mode: ExpiryMode::Age { lasting: None },
        immutable: true,
        mutable: true,
    }
}

fn expire(share: u8) -> Expire {
    Expire {
        key: key(share),
        rule: rule(),
        dry_run: false,
    }
}

fn dry(share: u8) -> Expire {
    let dry_run = true;
    Expire {
        dry_run,
        ..expire(share)
    }
}

/// A store with these share files, long after their leases ended.
fn with(files: &[(u8, &[u8])]) -> Bench {
    let mut medium = Bench::new().shut_down();
    for (share, bytes) in files {
        medium.plant(&path(*share), bytes);
    }
    Bench::on(medium, &config()).unwrap().later(1_000_000_000)
}

impl Bench {
    fn later(mut self, seconds: u64) -> Self {
        self.now.unix += seconds;
        self
    }

    fn holds(&mut self, share: u8) -> bool {
        self.settle();
        let path = path(share);
        self.sim
            .look(|medium: &Medium| medium.files().contains_key(&path))
    }
}

#[test]
fn a_share_goes_when_all_its_leases_have_ended_and_a_dry_run_only_says_so() {
    let mut bench = Bench::new();
    let began = bench.now.unix;
    bench.put(0, b"share").unwrap();
    bench.now.unix += 1000;
    bench.ask(lease(1)).unwrap();
    bench.now.unix = began + LEASE_DURATION + 500;
    let kept = Ok(Expired::Kept(Kept::Leased));
    assert_eq!(bench.ask(expire(0)), kept, "one of two has ended");
    assert_eq!(bench.ask(dry(0)), kept);
    bench.now.unix = began + LEASE_DURATION + 1001;
    let share = ExpiredShare {
        kind: ShareKind::Immutable,
        size: 12 + 5 + 2 * 72,
        leases: 2,
        last_end: u32::try_from(began + LEASE_DURATION + 1000).unwrap(),
    };
    assert_eq!(bench.ask(dry(0)), Ok(Expired::WouldRemove(share)));
    assert!(bench.holds(0));
    assert_eq!(bench.ask(expire(0)), Ok(Expired::Removed(share)));
    assert!(!bench.holds(0));
    assert_eq!(bench.ask(expire(0)), Err(ExpireRefusal::NoShare));
    assert_eq!(bench.status().held.map(|held| held.shares()), Some(0));
    assert_eq!(bench.put(0, b"again"), Ok(Stored::New));
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert_eq!(bench.share(0).as_deref(), Some(&b"again"[..]));
}

// What a renewal has promised, no removal takes back: whichever has the lock first.
#[test]
fn a_lease_that_is_renewed_before_keeps_its_share() {
    let mut bench = Bench::new();
    bench.put(0, b"share").unwrap();
    bench.put(1, b"share").unwrap();
    bench.now.unix += LEASE_DURATION + 1;
    let renewed = bench.send(lease(0));
    let expired = bench.send(expire(0));
    let held = bench.answer(renewed).unwrap().held;
    // The listing of the renewal may come later than the lock of the expiry.
    let gone = matches!(bench.answer(expired), Ok(Expired::Removed(_)));
    assert_eq!(held.len(), 2 - usize::from(gone));
    assert_eq!(bench.holds(0), !gone);
    assert_eq!(bench.ask(expire(1)), Ok(Expired::Kept(Kept::Leased)));
}

#[test]
fn a_put_that_comes_first_keeps_its_share() {
    let mut bench = Bench::new();
    bench.put(0, b"share").unwrap();
    bench.now.unix += LEASE_DURATION + 1;
    let again = bench.send(put(0, b"share"));
    let expired = bench.send(expire(0));
    assert_eq!(bench.answer(again), Ok(Stored::AlreadyHeld));
    assert_eq!(bench.answer(expired), Ok(Expired::Kept(Kept::Leased)));
}

#[test]
fn slots_expire_likewise_and_what_never_had_a_lease_stays() {
    let files = [
        (0, MUTABLE),
        (1, EMPTY_SLOT),
        (2, CANCELLED),
        (3, SIX),
        (4, FIXTURE),
    ];
    let mut bench = with(&files);
    let mut ask = expire(0);
    ask.rule.mutable = false;
    assert_eq!(bench.ask(ask), Ok(Expired::Kept(Kept::Exempt)));
    let removed = |answer| match answer {
        Ok(Expired::Removed(share)) => (share.kind.name(), share.leases, share.size),
        answer => panic!("{answer:?}"),
    };
    let size = |bytes: &[u8]| bytes.len() as u64;
    assert_eq!(removed(bench.ask(expire(0))), ("mutable", 1, size(MUTABLE)));
    assert_eq!(bench.ask(expire(1)), Ok(Expired::Kept(Kept::NoLease)));
    assert_eq!(removed(bench.ask(expire(3))), ("mutable", 6, size(SIX)));
    let mut ask = expire(4);
    ask.rule.immutable = false;
    assert_eq!(bench.ask(ask), Ok(Expired::Kept(Kept::Exempt)));
    assert_eq!(
        removed(bench.ask(expire(4))),
        ("immutable", 1, size(FIXTURE))
    );
    let held: Vec<_> = (0..5).map(|share| bench.holds(share)).collect();
    assert_eq!(held[..2], [false, true]);
    assert_eq!(held[3..], [false, false]);
}

// Tahoe's crawler dies of the first, and expires nothing from then on.
#[test]
fn odd_files_are_left_and_said() {
    let files: [(u8, &[u8]); 3] = [(1, &FIXTURE[..50]), (2, b"no container"), (3, b"")];
    let mut bench = with(&files);
    let damaged = |damage| Err(ExpireRefusal::Unreadable(Unreadable::Damaged(damage)));
    assert_eq!(bench.ask(expire(1)), damaged(Damage::Truncated));
    assert_eq!(bench.ask(expire(2)), damaged(Damage::UnknownContainer));
    assert_eq!(bench.ask(expire(3)), damaged(Damage::Truncated));
    for (share, _) in files {
        assert!(bench.holds(share));
    }
}

#[test]
fn a_large_share_expires_by_the_leases_at_its_end() {
    let mut bench = Bench::new();
    let upload = bench.send(crate::bench::open(0, 1, None, false));
    bench.send(crate::bench::write(upload, 0, &[7; 100_000]));
    assert_eq!(bench.ask(crate::bench::close(upload, 100_000)), Ok(()));
    let mut ask = expire(0);
    ask.rule.mode = ExpiryMode::Age {
        lasting: Some(Duration::from_secs(100)),
    };
    bench.now.unix += 100;
    assert_eq!(bench.ask(ask), Ok(Expired::Kept(Kept::Leased)));
    bench.now.unix += 1;
    assert!(matches!(bench.ask(ask), Ok(Expired::Removed(_))));
    assert!(!bench.holds(0));
}
