//! Reports of corrupt shares: as Tahoe keeps them, and no more than an operator can read.

use std::time::Duration;

use bucketfs::disk::sim::Medium;
use bucketfs::{Advise, AdviseRefusal, ShareKind, limits};

use crate::MUTABLE;
use crate::bench::{Bench, config, disk, key, path};

fn advise(share: u8, kind: ShareKind, reason: &str) -> Advise {
    Advise {
        key: key(share),
        kind,
        reason: reason.to_owned(),
    }
}

fn advisories(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    let files = bench.sim.look(Medium::files).into_iter();
    files
        .filter(|(path, _)| path.starts_with("corruption-advisories/"))
        .collect()
}

// Name and text as Tahoe-LAFS 1.20 writes them, so that an operator's tools find them.
#[test]
fn a_report_is_kept_as_tahoe_keeps_it() {
    let mut bench = Bench::new();
    bench.put(0, b"share").unwrap();
    bench.now.unix = 1_795_330_643;
    bench.now.elapsed = Duration::from_micros(5_548_386);
    let reason = "block 3 failed its hash check";
    let answer = bench.ask(advise(0, ShareKind::Immutable, reason));
    assert_eq!(answer, Ok(()));
    let kept = advisories(&bench);
    assert_eq!(kept.len(), 1);
    let name = "corruption-advisories/2026-11-22T065723.548386--aeaqcaibaeaqcaibaeaqcaibae-0";
    assert_eq!(kept[0].0, name);
    let text = "report: Share Corruption\ntype: immutable\n\
                storage_index: aeaqcaibaeaqcaibaeaqcaibae\nshare_number: 0\n\n\
                block 3 failed its hash check\n\n";
    assert_eq!(kept[0].1, text.as_bytes());
}

// The reporter's word says the kind, and the file need not be whole: that is what is reported.
#[test]
fn any_file_that_is_there_can_be_reported_and_nothing_else() {
    let mut medium = Bench::new().shut_down();
    medium.plant(&path(1), MUTABLE);
    medium.plant(&path(2), b"torn");
    let mut bench = Bench::on(medium, &config()).unwrap();
    for share in [1, 2] {
        let answer = bench.ask(advise(share, ShareKind::Mutable, "r"));
        assert_eq!(answer, Ok(()));
    }
    let none = Err(AdviseRefusal::NoShare);
    assert_eq!(bench.ask(advise(0, ShareKind::Mutable, "r")), none);
    let kept = advisories(&bench);
    assert_eq!(kept.len(), 2);
    assert!(
        kept[0]
            .1
            .starts_with(b"report: Share Corruption\ntype: mutable\n")
    );
    let long = "r".repeat(limits::REASON_LEN + 1);
    let limit = limits::REASON_LEN as u64;
    let refused = Err(AdviseRefusal::TooLarge { limit });
    assert_eq!(bench.ask(advise(1, ShareKind::Mutable, &long)), refused);
    assert_eq!(bench.ask(advise(1, ShareKind::Mutable, &long[1..])), Ok(()));
}

// Anybody may report anything, any number of times.
#[test]
fn reports_are_bounded_in_rate_and_number() {
    let mut bench = Bench::new();
    bench.put(0, b"share").unwrap();
    let mut kept_after = |seconds: u64, reports: u32| {
        bench.now.elapsed += Duration::from_secs(seconds);
        for _ in 0..reports {
            bench.now.elapsed += Duration::from_micros(1);
            let answer = bench.ask(advise(0, ShareKind::Immutable, "again"));
            assert_eq!(answer, Ok(()));
        }
        bench.now.unix += seconds;
        advisories(&bench).len()
    };
    assert_eq!(kept_after(1000, 100), 32);
    assert_eq!(kept_after(9, 10), 32);
    assert_eq!(kept_after(1, 10), 33);
    assert_eq!(kept_after(30, 10), 36);
    assert_eq!(kept_after(100_000, 100), 36 + 32);

    let mut medium = Bench::new().shut_down();
    for number in 0..limits::ADVISORIES - 1 {
        medium.plant(&format!("corruption-advisories/{number}"), b"");
    }
    let mut bench = Bench::on(medium, &config()).unwrap();
    bench.put(0, b"share").unwrap();
    for _ in 0..3 {
        bench.now.elapsed += Duration::from_secs(10);
        bench.ask(advise(0, ShareKind::Immutable, "again")).unwrap();
        assert_eq!(advisories(&bench).len(), limits::ADVISORIES);
    }
}

#[test]
fn where_there_is_no_space_a_report_is_taken_and_not_kept() {
    let mut full = config();
    full.reserved = u64::MAX;
    let mut medium = Bench::on(disk(), &config()).unwrap();
    medium.put(0, b"share").unwrap();
    let mut bench = Bench::on(medium.shut_down(), &full).unwrap();
    let answer = bench.ask(advise(0, ShareKind::Immutable, "r"));
    assert_eq!(answer, Ok(()));
    assert_eq!(advisories(&bench), []);
    assert_eq!(bench.status().promised, 0);
}
