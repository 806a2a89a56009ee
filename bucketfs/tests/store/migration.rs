//! Migrations on a disk that does not crash: each direction, what is asked meanwhile, what is in the
//! way. `tests/crash/migration.rs` has the crashes.

use std::collections::BTreeMap;

use bucketfs::disk::sim::Medium;
use bucketfs::{
    AbortRanged, Allocate, BeginMigration, EndMigration, Layout, Layouts, MigrateNext,
    MigrateRefusal, Migrated, Put, RangeWritten, Read, ShareKey, Stored, WalkEnd, Wanted,
    WriteRange,
};
use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, UploadSecret};

use crate::FIXTURE;
use crate::bench::{
    Bench, bucket, close, config, disk, key, lease, open, path_in, remove, secrets, with_boot,
    write,
};

/// A store of this layout, with some buckets that it had before.
fn store(layout: Layout, buckets: u8) -> Bench {
    let mut config = config();
    config.layout = layout;
    let mut bench = Bench::on(disk(), &config).unwrap();
    for number in 0..buckets {
        assert_eq!(bench.ask(put_into(number, b"before")), Ok(Stored::New));
    }
    bench.settle();
    bench
}

/// Buckets of which some share the directories above them.
fn other(number: u8) -> StorageIndex {
    let mut bytes = [number; 16];
    bytes[0] = number / 4;
    StorageIndex::new(bytes)
}

fn put_into(number: u8, bytes: &'static [u8]) -> Put {
    let storage_index = other(number);
    let share_number = ShareNumber::new(0);
    Put {
        key: ShareKey {
            storage_index,
            share_number,
        },
        share: Bytes::from_static(bytes),
        lease: secrets(0),
    }
}

fn held(bench: &mut Bench, storage_index: StorageIndex) -> usize {
    let read = Read {
        storage_index,
        wanted: Wanted::Any(1),
        extents: Vec::new(),
    };
    bench.ask(read).unwrap().held.len()
}

fn begin(bench: &mut Bench, to: Layout) -> Result<Layouts, MigrateRefusal> {
    bench.ask(BeginMigration { to })
}

/// Moves what is left, and ends the migration.
fn finish(bench: &mut Bench) -> u64 {
    let mut moved = 0;
    loop {
        let migrated = bench.ask(MigrateNext { buckets: 3 }).unwrap();
        assert_eq!(migrated.stayed, []);
        moved += migrated.moved;
        if migrated.walk_end == Some(WalkEnd::NothingLeft) {
            break;
        }
    }
    assert_eq!(bench.ask(EndMigration), Ok(()));
    moved
}

/// What lies under `shares`, by its place below the directories that the layout makes.
fn shares(medium: &Medium) -> BTreeMap<String, Vec<u8>> {
    let files = medium.files().into_iter();
    let files = files.filter_map(|(path, bytes)| {
        let path = path.strip_prefix("shares/")?;
        let names: Vec<_> = path.split('/').collect();
        let place = names[names.len().saturating_sub(2)..].join("/");
        (names[0] != "incoming").then_some((place, bytes))
    });
    files.collect()
}

#[test]
fn a_store_is_moved_in_every_direction_and_nothing_in_it_changes() {
    for from in Layout::ALL {
        for to in Layout::ALL {
            let mut bench = store(from, 20);
            assert_eq!(bench.put(0, FIXTURE), Ok(Stored::New));
            assert!(bench.ask(lease(1)).is_ok());
            bench.settle();
            let before = bench.sim.look(shares);
            let layouts = begin(&mut bench, to).unwrap();
            assert_eq!(layouts.layout, to);
            if from == to {
                assert_eq!(layouts.from, None, "there is nothing to do");
                continue;
            }
            assert_eq!(layouts.from, Some(from));
            let version = bench.sim.look(|medium| medium.files()["version"].clone());
            let expected = format!("bucketfs 2\nlayout {to}\nfrom {from}\n");
            assert_eq!(version, expected.as_bytes());
            assert_eq!(finish(&mut bench), 21);
            let status = bench.status();
            assert_eq!((status.layout, status.migrating_from), (to, None));
            let medium = bench.shut_down();
            assert_eq!(shares(&medium), before);
            let files = medium.files();
            assert!(files.contains_key(&path_in(to, 0)), "{from} to {to}");
            let expected = format!("bucketfs 1\nlayout {to}\n");
            assert_eq!(files["version"], expected.as_bytes());
        }
    }
}

// A reader that looks in one place only would be told that nothing is there.
#[test]
fn whoever_comes_to_a_bucket_before_it_is_moved_finds_it_and_has_it_moved() {
    let mut bench = store(Layout::OneLevel, 8);
    bench.put(0, b"old").unwrap();
    bench.settle();
    begin(&mut bench, Layout::TwoLevel).unwrap();
    let old = path_in(Layout::OneLevel, 0);
    assert!(bench.sim.look(|it| it.files().contains_key(&old)));
    assert_eq!(bench.share(0).as_deref(), Some(&b"old"[..]));
    let new = path_in(Layout::TwoLevel, 0);
    assert!(bench.sim.look(|it| it.files().contains_key(&new)));
    assert_eq!(bench.put(0, b"again"), Ok(Stored::AlreadyHeld));
    assert_eq!(bench.put(1, b"new"), Ok(Stored::New));
    assert_eq!(bench.ask(remove(0)), Ok(()));
    assert_eq!(held(&mut bench, StorageIndex::new([99; 16])), 0);
    for number in 0..8 {
        assert_eq!(held(&mut bench, other(number)), 1);
    }
    assert_eq!(finish(&mut bench), 0, "those who asked have moved them all");
    assert_eq!(bench.share(1).as_deref(), Some(&b"new"[..]));
}

// They know where they are to go when they are begun, and that is not there any more when they end.
#[test]
fn uploads_begun_before_a_migration_end_in_the_new_place() {
    let mut bench = Bench::on(disk(), &with_boot(1)).unwrap();
    bench.put(0, b"other").unwrap();
    let upload = bench.send(open(1, 1, None, false));
    bench.send(write(upload, 0, b"upload"));
    let ranged = Allocate {
        storage_index: bucket(),
        share_numbers: vec![ShareNumber::new(2)],
        size: 8,
        secret: UploadSecret::new([2; 32]),
        lease: secrets(0),
    };
    assert_eq!(bench.ask(ranged).unwrap().allocated.len(), 1);
    let part = |offset, bytes| WriteRange {
        key: key(2),
        secret: UploadSecret::new([2; 32]),
        offset,
        bytes: Bytes::from_static(bytes),
    };
    assert!(bench.ask(part(0, b"half")).is_ok());
    // Sent while the layouts are being changed, each waits its turn.
    let begun = bench.send(BeginMigration { to: Layout::Flat });
    let written = bench.send(write(upload, 6, b"ed"));
    let closed = bench.send(close(upload, 8));
    assert_eq!(bench.answer(begun).unwrap().from, Some(Layout::TwoLevel));
    assert_eq!(bench.answer(written), Ok(()));
    assert_eq!(bench.answer(closed), Ok(()));
    // And one that is resumed in the middle of a migration.
    let mut bench = Bench::on(bench.kill(), &with_boot(1)).unwrap();
    assert_eq!(bench.ask(part(4, b"half")), Ok(RangeWritten::Complete));
    finish(&mut bench);
    bench.settle();
    let files = bench.sim.look(Medium::files);
    for share in 0..3 {
        assert!(files.contains_key(&path_in(Layout::Flat, share)), "{share}");
    }
    assert_eq!(bench.share(1).as_deref(), Some(&b"uploaded"[..]));
    assert_eq!(bench.share(2).as_deref(), Some(&b"halfhalf"[..]));
    let abort = AbortRanged {
        key: key(2),
        secret: UploadSecret::new([2; 32]),
    };
    assert!(bench.ask(abort).is_err(), "it is held");
}

#[test]
fn a_migration_is_gone_on_with_after_a_kill_and_may_be_turned_round() {
    let mut bench = store(Layout::TwoLevel, 20);
    begin(&mut bench, Layout::OneLevel).unwrap();
    let some = bench.ask(MigrateNext { buckets: 7 }).unwrap();
    let expected = Migrated {
        moved: 7,
        stayed: Vec::new(),
        walk_end: None,
    };
    assert_eq!(some, expected);
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    let status = bench.status();
    assert_eq!(status.layout, Layout::OneLevel);
    assert_eq!(status.migrating_from, Some(Layout::TwoLevel));
    let elsewhere = MigrateRefusal::Elsewhere {
        layout: Layout::OneLevel,
        from: Layout::TwoLevel,
    };
    assert_eq!(begin(&mut bench, Layout::Flat), Err(elsewhere));
    assert_eq!(bench.ask(EndMigration), Err(MigrateRefusal::NotDone));
    let same = begin(&mut bench, Layout::OneLevel).unwrap();
    assert_eq!(same.from, Some(Layout::TwoLevel), "it goes on");
    let round = begin(&mut bench, Layout::TwoLevel).unwrap();
    assert_eq!(round.from, Some(Layout::OneLevel));
    assert_eq!(finish(&mut bench), 7);
    assert_eq!(
        bench.ask(MigrateNext { buckets: 1 }),
        Err(MigrateRefusal::NotMigrating)
    );
    for number in 0..20 {
        assert_eq!(held(&mut bench, other(number)), 1);
    }
}

// Which of two is the right one nobody can tell: the one that was served is served on, and nothing is
// lost or mixed.
#[test]
fn a_bucket_with_something_in_its_new_place_is_served_in_the_old_one() {
    let mut bench = store(Layout::OneLevel, 3);
    bench.put(0, b"served").unwrap();
    bench.settle();
    let new = path_in(Layout::TwoLevel, 0);
    bench.sim.alter(|medium| medium.plant(&new, FIXTURE));
    begin(&mut bench, Layout::TwoLevel).unwrap();
    assert_eq!(bench.share(0).as_deref(), Some(&b"served"[..]));
    assert_eq!(bench.put(1, b"beside"), Ok(Stored::New));
    assert_eq!(bench.status().unmoved, 1);
    let stayed = |bench: &mut Bench| loop {
        let migrated = bench.ask(MigrateNext { buckets: 100 }).unwrap();
        if let Some(end) = migrated.walk_end {
            assert_eq!(end, WalkEnd::Again);
            let stayed: Vec<_> = migrated
                .stayed
                .into_iter()
                .map(|(index, _)| index)
                .collect();
            break stayed;
        }
    };
    assert_eq!(stayed(&mut bench), [bucket()]);
    assert_eq!(stayed(&mut bench), [bucket()]);
    assert_eq!(bench.ask(EndMigration), Err(MigrateRefusal::NotDone));
    let files = bench.sim.look(Medium::files);
    assert_eq!(files[&new], FIXTURE, "nothing of it is touched");
    assert!(files.contains_key(&path_in(Layout::OneLevel, 1)));
    // Another start finds it the same; then somebody takes away what is in the way.
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert_eq!(bench.share(0).as_deref(), Some(&b"served"[..]));
    let mut medium = bench.shut_down();
    medium = without(&medium, &new);
    let mut bench = Bench::on(medium, &config()).unwrap();
    begin(&mut bench, Layout::TwoLevel).unwrap();
    finish(&mut bench);
    assert_eq!(bench.share(0).as_deref(), Some(&b"served"[..]));
    assert_eq!(bench.share(1).as_deref(), Some(&b"beside"[..]));
}

/// The same disk without a file.
fn without(medium: &Medium, path: &str) -> Medium {
    let mut left = disk();
    for (name, bytes) in medium.files().iter().filter(|(name, _)| *name != path) {
        left.plant(name, bytes);
    }
    left
}

// Directories take space, and the share is there all the same.
#[test]
fn on_a_full_disk_buckets_stay_where_they_are_and_are_served() {
    let mut bench = store(Layout::Flat, 8);
    bench.put(0, b"share").unwrap();
    bench.settle();
    begin(&mut bench, Layout::TwoLevel).unwrap();
    bench.sim.alter(|medium| medium.set_free_inodes(0));
    assert_eq!(bench.share(0).as_deref(), Some(&b"share"[..]));
    assert!(bench.ask(lease(3)).unwrap().failed.is_empty());
    assert_eq!(bench.ask(remove(0)), Ok(()));
    let migrated = bench.ask(MigrateNext { buckets: 100 }).unwrap();
    assert_eq!(migrated.moved, 0);
    assert_eq!(migrated.stayed.len(), 8);
    bench.sim.alter(|medium| medium.set_free_inodes(u64::MAX));
    // Stored anew where the removed one was not; a power cut must not bring that one back.
    assert_eq!(bench.put(0, b"new"), Ok(Stored::New));
    finish(&mut bench);
    assert_eq!(bench.share(0).as_deref(), Some(&b"new"[..]));
}
