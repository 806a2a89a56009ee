//! Directories that are no stores, or no longer, and what is said about each.

use std::time::Duration;

use bucketfs::disk::sim::{Faults, Medium, Sim};
use bucketfs::{Config, Durability, JournalDamage, Now, OpenError, Store, Stored};

use crate::bench::{Bench, config, disk};

/// The error of opening a store on this disk.
fn error(medium: Medium) -> OpenError {
    match Bench::on(medium, &config()) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

/// A store whose journal holds three batches.
fn with_journal() -> Medium {
    let mut bench = Bench::new();
    for share in 0..3 {
        assert_eq!(bench.put(share, b"share"), Ok(Stored::New));
    }
    bench.kill()
}

fn change(medium: &mut Medium, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = medium.files()[path].clone();
    change(&mut bytes);
    medium.plant(path, &bytes);
}

// A disk that is not mounted must not become an empty store.
#[test]
fn opening_makes_nothing_of_a_store_that_is_not_there_or_only_in_part() {
    let whole = Bench::new().shut_down().files();
    let names = ["version", "journal", "shares"];
    for (there, missing) in [(0, "version"), (1, "journal"), (2, "shares")] {
        let mut medium = disk();
        for (path, bytes) in &whole {
            if names[..there].iter().any(|name| path.starts_with(name)) {
                medium.plant(path, bytes);
            }
        }
        let mut sim = Sim::new(medium, 1, Faults::default());
        let before = sim.look(Medium::files);
        let now = Now {
            elapsed: Duration::ZERO,
            unix: 1_700_000_000,
        };
        let Err(error) = Store::open(&mut sim, &config(), now) else {
            panic!("it opens without `{missing}`");
        };
        assert!(
            matches!(error, OpenError::Missing { name } if name == missing),
            "{missing}: {error}"
        );
        assert_eq!(sim.look(Medium::files), before);
        // Making it is another matter.
        Bench::on(sim.into_medium(), &config()).unwrap();
    }
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let mut medium = Bench::new().shut_down();
    medium.plant("version", b"bucketfs 7\nlayout sideways\n");
    let error = error(medium);
    let expected = OpenError::NewerVersion { found: 7, known: 2 };
    assert_eq!(error.to_string(), expected.to_string());
}

#[test]
fn a_directory_with_shares_of_another_program_is_refused() {
    let mut medium = disk();
    medium.plant("shares/ae/aeaqcaibaeaqcaibaeaqcaibae/0", b"Tahoe's");
    let error = error(medium);
    assert!(matches!(error, OpenError::NotAStore { found: "shares" }));
}

// Acknowledged shares may have been in it: a new one in its place would hide that.
#[test]
fn a_store_that_lost_a_journal_file_is_refused() {
    let files = Bench::new().shut_down().files();
    let mut medium = disk();
    for (path, bytes) in files.iter().filter(|(path, _)| *path != "journal/b") {
        medium.plant(path, bytes);
    }
    medium.plant("shares/README", b"so that there are shares");
    let error = error(medium);
    assert!(matches!(error, OpenError::JournalMissing { path } if path.as_str() == "journal/b"));
}

#[test]
fn a_damaged_journal_header_is_told_from_a_journal_without_one() {
    let damage = |change_header: fn(&mut Vec<u8>)| {
        let mut medium = with_journal();
        change(&mut medium, "journal/a", change_header);
        match error(medium) {
            OpenError::JournalDamaged { damage, .. } => damage,
            error => panic!("{error}"),
        }
    };
    let both = |bytes: &mut Vec<u8>| [0x12, 0x812].iter().for_each(|at| bytes[*at] ^= 1);
    assert_eq!(damage(both), JournalDamage::Header);
    assert_eq!(damage(Vec::clear), JournalDamage::Header);
    assert_eq!(
        damage(|bytes| bytes[0x0b] = 4),
        JournalDamage::NewerVersion(4)
    );
    assert_eq!(damage(|bytes| bytes.truncate(8192)), JournalDamage::Size);
}

// An earlier program would empty incoming, where changes of slots may be all there is of them.
#[test]
fn a_journal_of_the_first_version_is_replayed_and_made_one_of_this_version() {
    let to_first = |bytes: &mut Vec<u8>| {
        bytes[0x0b] = 1;
        let checksum = crc32fast::hash(&bytes[..0x28]);
        bytes[0x28..0x2c].copy_from_slice(&checksum.to_be_bytes());
    };
    let mut medium = with_journal();
    for file in ["journal/a", "journal/b"] {
        change(&mut medium, file, to_first);
    }
    for replayed in [3, 0] {
        let mut bench = Bench::on(medium, &config()).unwrap();
        let status = bench.status();
        assert_eq!((status.replayed, status.held), (replayed, None));
        medium = bench.kill();
        for file in ["journal/a", "journal/b"] {
            assert_eq!(medium.files()[file][0x0b], 3);
        }
    }
    for file in ["journal/a", "journal/b"] {
        change(&mut medium, file, to_first);
    }
    let medium = Bench::on(medium, &config()).unwrap().kill();
    assert_eq!(
        medium.files()["journal/b"][0x0b],
        3,
        "there was nothing to replay"
    );
}

// A torn batch is the end of the journal, unless another follows: that one was begun only after
// the torn one had been synced, so its records were acknowledged, and are lost.
#[test]
fn a_damaged_batch_is_told_from_a_torn_one() {
    let batch = |index: usize| 4096 * (1 + index);
    let mut medium = with_journal();
    change(&mut medium, "journal/a", |bytes| bytes[batch(2) + 40] ^= 1);
    let mut bench = Bench::on(medium, &config()).unwrap();
    assert_eq!(bench.status().replayed, 2);

    for at in [batch(1) + 40, batch(1) + 8, batch(0), batch(0) + 5] {
        let mut medium = with_journal();
        change(&mut medium, "journal/a", |bytes| bytes[at] ^= 1);
        let error = error(medium);
        let OpenError::JournalDamaged { damage, offset, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(damage, JournalDamage::Batch);
        assert_eq!(offset, (at / 4096 * 4096) as u64);
    }
}

// Without its journal's syncs a relaxed store may come back with a later batch and not an earlier
// one; the operator chose that, and the store opens.
#[test]
fn a_relaxed_store_opens_with_a_hole_in_its_journal() {
    let mut relaxed = config();
    relaxed.durability = Durability::Relaxed;
    let mut bench = Bench::on(disk(), &relaxed).unwrap();
    for share in 0..3 {
        bench.put(share, b"share").unwrap();
    }
    let mut medium = bench.kill();
    change(&mut medium, "journal/a", |bytes| bytes[8192 + 40] ^= 1);
    let mut bench = Bench::on(medium, &config()).unwrap();
    assert_eq!(bench.status().replayed, 1);
}

#[test]
fn a_journal_too_small_for_a_share_or_too_large_to_replay_is_refused() {
    for size in [
        0,
        Config::JOURNAL_SIZE_MIN - 1,
        Config::JOURNAL_SIZE_MAX + 1,
    ] {
        let mut config = config();
        config.journal_size = size;
        let Err(error) = Bench::on(disk(), &config) else {
            panic!("it opens");
        };
        assert!(matches!(error, OpenError::JournalSize { .. }), "{error}");
    }
}
