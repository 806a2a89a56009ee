//! The view of a store: what a walk sees, and one damaged store for each finding.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bucketfs::container::mutable::{self, NodeId};
use bucketfs::container::{Lease, Version, encode, expiration};
use bucketfs::disk::EngineChoice;
use bucketfs::view::{
    BucketSeen, Budget, Deep, Fault, Finding, Kind, Prefix, Repair, Seen, ShareBytes, ShareSeen,
    Stop, View, Walk,
};
use bucketfs::{Config, Layout, ShareKey, ShareKind, StoreId};
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex, WriteEnabler};

mod busy;

/// A store in a directory of its own.
struct Site {
    directory: tempfile::TempDir,
    layout: Layout,
}

fn config(layout: Layout) -> Config {
    let mut config = Config::new([1; 32]);
    config.journal_size = Config::JOURNAL_SIZE_MIN;
    config.layout = layout;
    config
}

impl Site {
    fn new(layout: Layout) -> Self {
        let directory = tempfile::tempdir().unwrap();
        bucketfs::create(directory.path(), &config(layout), StoreId::new([7; 16])).unwrap();
        Self { directory, layout }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn join(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Puts a file there, with the directories above it.
    fn plant(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn view(&self) -> View {
        View::open(self.path()).unwrap()
    }

    /// All that a walk sees.
    fn walk(&self, walk: &Walk<'_>) -> (Vec<BucketSeen>, Vec<Finding>) {
        let (mut buckets, mut findings) = (Vec::new(), Vec::new());
        let ended: ControlFlow<()> = self.view().walk(walk, |seen| {
            findings.extend_from_slice(seen.findings());
            if let Seen::Bucket(bucket) = seen {
                buckets.push(bucket);
            }
            ControlFlow::Continue(())
        });
        assert!(ended.is_continue());
        (buckets, findings)
    }

    fn findings(&self) -> Vec<Finding> {
        self.walk(&Walk::default()).1
    }

    /// The bucket's directory, below the store directory.
    fn bucket(&self, index: StorageIndex) -> String {
        bucket_in(self.layout, index)
    }

    fn share(&self, index: StorageIndex, number: u8) -> String {
        format!("{}/{number}", self.bucket(index))
    }
}

fn bucket_in(layout: Layout, index: StorageIndex) -> String {
    let text = index.to_string();
    match layout {
        Layout::Flat => format!("shares/{text}"),
        Layout::OneLevel => format!("shares/{}/{text}", &text[..2]),
        Layout::TwoLevel => format!("shares/{}/{}/{text}", &text[..2], &text[2..4]),
    }
}

fn index(byte: u8) -> StorageIndex {
    StorageIndex::new([byte; 16])
}

fn key(byte: u8, number: u8) -> ShareKey {
    ShareKey {
        storage_index: index(byte),
        share_number: ShareNumber::new(number),
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn secrets(byte: u8) -> LeaseSecrets {
    LeaseSecrets {
        renew: RenewSecret::new([byte; 32]),
        cancel: CancelSecret::new([!byte; 32]),
    }
}

/// An immutable container of so many bytes.
fn immutable(len: usize) -> Vec<u8> {
    let lease = Lease::new(Version::Two, &secrets(1), 0, expiration(now()));
    encode(Version::Two, &vec![b'x'; len], &lease).to_vec()
}

/// A mutable container of no bytes that wants this write enabler.
fn slot(enabler: u8) -> Vec<u8> {
    let enabler = WriteEnabler::new([enabler; 32]);
    let header = mutable::Header::new(Version::Two, NodeId([3; 20]), enabler);
    let leases = mutable::Leases::none();
    let mut file = header.encode(mutable::Sizes::EMPTY, &leases).to_vec();
    file.extend_from_slice(&leases.encode_extra());
    file
}

/// Twenty storage indexes that share many characters, and some that do not.
fn indexes() -> Vec<StorageIndex> {
    let mut indexes = Vec::new();
    for first in [0_u8, 0x11, 0x88, 0xff] {
        for last in 0..5_u8 {
            let mut bytes = [first; 16];
            bytes[2] = last << 4;
            bytes[15] = last;
            indexes.push(StorageIndex::new(bytes));
        }
    }
    indexes.sort_by_key(ToString::to_string);
    indexes
}

const LAYOUTS: [Layout; 3] = Layout::ALL;

#[test]
fn a_walk_sees_every_bucket_once_in_the_order_of_the_names_in_each_layout() {
    for layout in LAYOUTS {
        let site = Site::new(layout);
        for (number, index) in (0..).zip(indexes()) {
            site.plant(&site.share(index, number), &immutable(usize::from(number)));
        }
        for threads in [1, 4] {
            let walk = Walk {
                threads,
                ..Walk::default()
            };
            let (buckets, findings) = site.walk(&walk);
            assert_eq!(findings, [], "{layout}");
            let seen: Vec<_> = buckets.iter().map(|bucket| bucket.storage_index).collect();
            assert_eq!(seen, indexes(), "{layout}");
            for (number, bucket) in (0..).zip(&buckets) {
                assert_eq!(bucket.place, layout);
                let [share] = &bucket.shares[..] else {
                    panic!("one share: {bucket:?}");
                };
                assert_eq!(share.key.share_number, ShareNumber::new(number));
                assert_eq!(share.kind, ShareKind::Immutable);
                assert_eq!(share.size, u64::from(number));
                assert_eq!(share.file_size, 12 + u64::from(number) + 72);
                assert_eq!(share.leases, 1);
                assert!(share.lease_end.is_some_and(|end| u64::from(end) > now()));
            }
        }
    }
}

// Whoever keeps the last bucket goes on behind it, and the parts of a store are all of it.
#[test]
fn a_walk_goes_on_behind_any_bucket_and_parts_make_the_whole() {
    for layout in LAYOUTS {
        let site = Site::new(layout);
        for index in indexes() {
            site.plant(&site.share(index, 0), &immutable(1));
        }
        let seen = |walk: Walk<'_>| -> Vec<StorageIndex> {
            let (buckets, _) = site.walk(&walk);
            buckets.iter().map(|bucket| bucket.storage_index).collect()
        };
        for (place, after) in indexes().into_iter().enumerate() {
            let walk = Walk {
                after: Some(after),
                ..Walk::default()
            };
            assert_eq!(seen(walk), indexes()[place + 1..], "{layout}");
        }
        let parts: BTreeSet<_> = indexes().into_iter().map(Prefix::of).collect();
        let mut all = Vec::new();
        for prefix in Prefix::all() {
            let walk = Walk {
                within: Some(prefix),
                threads: 1,
                ..Walk::default()
            };
            let part = seen(walk);
            assert_eq!(!part.is_empty(), parts.contains(&prefix), "{prefix}");
            all.extend(part);
        }
        assert_eq!(all, indexes(), "{layout}");
    }
}

#[test]
fn whoever_takes_what_is_seen_may_break_off_and_so_may_others() {
    let site = Site::new(Layout::TwoLevel);
    for index in indexes() {
        site.plant(&site.share(index, 0), &immutable(1));
    }
    for threads in [1, 4] {
        let walk = Walk {
            threads,
            ..Walk::default()
        };
        let mut count = 0;
        let ended = site.view().walk(&walk, |_| {
            count += 1;
            match count {
                7 => ControlFlow::Break("enough"),
                _ => ControlFlow::Continue(()),
            }
        });
        assert_eq!((ended, count), (ControlFlow::Break("enough"), 7));
        let stop = Stop::default();
        stop.stop();
        let budget = Budget {
            operations_per_second: Some(1),
            bytes_per_second: Some(1),
        };
        let walk = Walk {
            threads,
            budget,
            stop,
            ..Walk::default()
        };
        assert_eq!(site.walk(&walk), (Vec::new(), Vec::new()));
    }
}

/// Finds `byte` at its place.
struct FindsByte(u8);

impl Deep for FindsByte {
    fn check(&self, share: &ShareSeen, bytes: &ShareBytes<'_>) -> std::io::Result<Vec<Fault>> {
        assert_eq!(bytes.size(), share.size);
        let mut read = vec![0; usize::try_from(bytes.size()).unwrap()];
        bytes.read_at(0, &mut read)?;
        assert!(bytes.read_at(1, &mut read).is_err(), "beyond the share");
        let at = read.iter().position(|byte| *byte == self.0);
        let fault = at.map(|at| Fault {
            expected: "x".to_owned(),
            found: format!("at byte {at} another"),
        });
        Ok(fault.into_iter().collect())
    }
}

fn finding(
    at: &str,
    share: Option<ShareKey>,
    kind: Kind,
    expected: &str,
    found: &str,
    repair: Repair,
) -> Finding {
    Finding {
        at: at.into(),
        share,
        kind,
        expected: expected.to_owned(),
        found: found.to_owned(),
        repair,
    }
}

#[test]
fn bytes_are_checked_by_who_knows_them() {
    let site = Site::new(Layout::TwoLevel);
    let mut damaged = immutable(5000);
    damaged[12 + 4321] = b'y';
    site.plant(&site.share(index(1), 0), &immutable(5000));
    site.plant(&site.share(index(1), 1), &damaged);
    let walk = Walk {
        deep: Some(&FindsByte(b'y')),
        ..Walk::default()
    };
    let expected = finding(
        &site.share(index(1), 1),
        Some(key(1, 1)),
        Kind::ShareBytes,
        "x",
        "at byte 4321 another",
        Repair::Quarantine,
    );
    assert_eq!(site.walk(&walk).1, [expected]);
}

#[test]
fn containers_that_are_none_or_cut_short_are_found() {
    let site = Site::new(Layout::TwoLevel);
    let cut = |mut file: Vec<u8>, len: usize| {
        file.truncate(len);
        file
    };
    let mut overlapping = slot(1);
    overlapping[0x54..0x5c].copy_from_slice(&1000_u64.to_be_bytes());
    let cases: Vec<(Vec<u8>, Kind, &str, &str)> = vec![
        (
            b"hello, world".to_vec(),
            Kind::Container,
            "a share container",
            "a file that begins 68 65 6c 6c 6f 2c 20 77 6f 72 6c 64",
        ),
        (
            vec![0; 100],
            Kind::Container,
            "a share container",
            "zeros where its header should be",
        ),
        (
            Vec::new(),
            Kind::Truncated,
            "at least 12 bytes, as the header says",
            "0 bytes",
        ),
        (
            cut(immutable(0), 20),
            Kind::Truncated,
            "at least 84 bytes, as the header says",
            "20 bytes",
        ),
        (
            cut(slot(1), 470),
            Kind::Truncated,
            "at least 472 bytes, as the header says",
            "470 bytes",
        ),
        (
            overlapping,
            Kind::Container,
            "a share that ends before its extra leases, at 468",
            "one that ends at 1468",
        ),
        (
            cut(immutable(1000), 1000),
            Kind::ShareSize,
            "a share of 1000 bytes, as the header says",
            "one of 916 bytes",
        ),
    ];
    let mut expected = Vec::new();
    for (number, (file, kind, wanted, found)) in (0..).zip(&cases) {
        let at = site.share(index(number), 3);
        site.plant(&at, file);
        let share = Some(key(number, 3));
        expected.push(finding(
            &at,
            share,
            *kind,
            wanted,
            found,
            Repair::Quarantine,
        ));
    }
    expected.sort_by(|one, other| one.at.cmp(&other.at));
    assert_eq!(site.findings(), expected);
    let (buckets, _) = site.walk(&Walk::default());
    let unsound: usize = buckets.iter().map(|bucket| bucket.unsound.len()).sum();
    assert_eq!(unsound, cases.len() - 1, "the last has another size only");
}

/// What something is called, and how it is made.
type Make<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn what_is_no_file_or_directory_is_found_and_neither_followed_nor_waited_for() {
    let site = Site::new(Layout::TwoLevel);
    let bucket = site.bucket(index(1));
    fs::create_dir_all(site.join(&bucket)).unwrap();
    site.plant("outside", &immutable(3));
    let make: [Make; 4] = [
        ("a FIFO", &|path| {
            let mode = rustix::fs::Mode::RUSR;
            rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
        }),
        ("a symbolic link", &|path| {
            symlink(site.join("outside"), path).unwrap();
        }),
        ("a socket", &|path| {
            UnixListener::bind(path).unwrap();
        }),
        ("a directory", &|path| fs::create_dir(path).unwrap()),
    ];
    let mut expected = Vec::new();
    for (number, (found, make)) in (0..).zip(make) {
        let at = format!("{bucket}/{number}");
        make(&site.join(&at));
        expected.push(finding(
            &at,
            Some(key(1, number)),
            Kind::WrongType,
            "a regular file",
            found,
            Repair::Quarantine,
        ));
    }
    for (at, found) in [
        ("shares/ae/ab", "a symbolic link"),
        ("shares/zz", "a symbolic link"),
    ] {
        symlink(site.join("shares/ae"), site.join(at)).unwrap();
        expected.push(finding(
            at,
            None,
            Kind::WrongType,
            "a directory",
            found,
            Repair::Quarantine,
        ));
    }
    let mut found = site.findings();
    found.sort_by(|one, other| one.at.cmp(&other.at));
    expected.sort_by(|one, other| one.at.cmp(&other.at));
    assert_eq!(found, expected);
}

#[test]
fn names_that_are_nobodys_are_found_at_every_level() {
    for layout in LAYOUTS {
        let site = Site::new(layout);
        site.plant(&site.share(index(1), 0), &immutable(1));
        let bucket = site.bucket(index(1));
        let mut expected = Vec::new();
        let mut directory = PathBuf::from(&bucket);
        while directory.starts_with("shares") {
            for (name, is_directory) in [("note", false), ("300", false), ("x", true)] {
                let at = directory.join(name);
                match is_directory {
                    true => fs::create_dir(site.path().join(&at)).unwrap(),
                    false => fs::write(site.path().join(&at), b"").unwrap(),
                }
                expected.push(finding(
                    at.to_str().unwrap(),
                    None,
                    Kind::ForeignName,
                    "no such name",
                    match is_directory {
                        true => "a directory",
                        false => "a regular file",
                    },
                    Repair::Quarantine,
                ));
            }
            directory.pop();
        }
        let mut found = site.findings();
        found.sort_by(|one, other| one.at.cmp(&other.at));
        expected.sort_by(|one, other| one.at.cmp(&other.at));
        assert_eq!(found, expected, "{layout}");
    }
}

#[test]
fn a_bucket_in_the_place_of_another_layout_is_found() {
    for layout in LAYOUTS {
        for other in LAYOUTS.into_iter().filter(|other| *other != layout) {
            let site = Site::new(layout);
            let astray = bucket_in(other, index(1));
            site.plant(&format!("{astray}/0"), &immutable(1));
            let expected = format!("the bucket at {}", site.bucket(index(1)));
            let misplaced = finding(
                &astray,
                None,
                Kind::Misplaced,
                &expected,
                "here",
                Repair::PutInPlace,
            );
            assert_eq!(site.findings(), [misplaced], "{other} in {layout}");
            site.plant(&site.share(index(1), 1), &immutable(1));
            let duplicate = finding(
                &astray,
                None,
                Kind::Duplicate,
                &expected,
                "there and here",
                Repair::Quarantine,
            );
            assert_eq!(site.findings(), [duplicate], "{other} in {layout}");
        }
    }
}

#[test]
fn a_bucket_below_the_prefix_of_another_is_found() {
    let site = Site::new(Layout::TwoLevel);
    let text = index(1).to_string();
    let astray = format!("shares/zz/zz/{text}");
    site.plant(&format!("{astray}/0"), &immutable(1));
    let misplaced = finding(
        &astray,
        None,
        Kind::Misplaced,
        &format!("the bucket at {}", site.bucket(index(1))),
        "here",
        Repair::PutInPlace,
    );
    assert_eq!(site.findings(), [misplaced]);
}

#[test]
fn empty_directories_are_found() {
    let site = Site::new(Layout::TwoLevel);
    let paths = [
        site.bucket(index(1)),
        "shares/zz/zz".to_owned(),
        "shares/yy".to_owned(),
    ];
    let mut expected = Vec::new();
    for path in &paths {
        fs::create_dir_all(site.join(path)).unwrap();
        expected.push(finding(
            path,
            None,
            Kind::EmptyDirectory,
            "a directory with something in it",
            "an empty one",
            Repair::RemoveEmpty,
        ));
    }
    expected.sort_by(|one, other| one.at.cmp(&other.at));
    assert_eq!(site.findings(), expected);
}

#[test]
fn leases_and_write_enablers_are_compared() {
    let site = Site::new(Layout::TwoLevel);
    let late = expiration(now() + 7 * 86_400);
    let lease = Lease::new(Version::Two, &secrets(1), 0, late);
    site.plant(
        &site.share(index(1), 0),
        &encode(Version::Two, b"x", &lease),
    );
    let mut many = immutable(5);
    many[8..12].copy_from_slice(&1025_u32.to_be_bytes());
    let record = many[17..].to_vec();
    for _ in 1..1025 {
        many.extend_from_slice(&record);
    }
    site.plant(&site.share(index(2), 0), &many);
    site.plant(&site.share(index(3), 0), &slot(1));
    site.plant(&site.share(index(3), 1), &slot(2));
    site.plant(&site.share(index(4), 0), &slot(1));
    site.plant(&site.share(index(4), 1), &immutable(1));
    let mut expected = vec![
        finding(
            &site.share(index(1), 0),
            Some(key(1, 0)),
            Kind::LeaseEnd,
            "a lease that ends within 32 days",
            &format!("one that ends {late} seconds after 1970 began"),
            Repair::Renewal,
        ),
        finding(
            &site.share(index(2), 0),
            Some(key(2, 0)),
            Kind::LeaseCount,
            "at most 1024 leases",
            "1025",
            Repair::ByHand,
        ),
        finding(
            &site.bucket(index(3)),
            None,
            Kind::WriteEnabler,
            "one write enabler for all shares of the slot",
            "2 different ones",
            Repair::ByHand,
        ),
        finding(
            &site.bucket(index(4)),
            None,
            Kind::MixedBucket,
            "shares of one kind",
            "1 immutable and 1 mutable",
            Repair::ByHand,
        ),
    ];
    expected.sort_by(|one, other| one.at.cmp(&other.at));
    assert_eq!(site.findings(), expected);
}

#[test]
fn permissions_and_second_names_are_found() {
    let site = Site::new(Layout::TwoLevel);
    let open = site.plant(&site.share(index(1), 0), &immutable(1));
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();
    let closed = site.plant(&site.share(index(2), 0), &immutable(1));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o440)).unwrap();
    let two = site.plant(&site.share(index(3), 0), &immutable(1));
    fs::hard_link(&two, site.join("elsewhere")).unwrap();
    let above = site.join("shares/ae");
    fs::set_permissions(&above, fs::Permissions::from_mode(0o777)).unwrap();
    let of_file = "rw for its user, and no w for others";
    let mut expected = vec![
        finding(
            &site.share(index(1), 0),
            Some(key(1, 0)),
            Kind::Permissions,
            of_file,
            "0666",
            Repair::ByHand,
        ),
        finding(
            &site.share(index(2), 0),
            Some(key(2, 0)),
            Kind::Permissions,
            of_file,
            "0440",
            Repair::ByHand,
        ),
        finding(
            &site.share(index(3), 0),
            Some(key(3, 0)),
            Kind::LinkCount,
            "one name",
            "2 names",
            Repair::ByHand,
        ),
        finding(
            "shares/ae",
            None,
            Kind::Permissions,
            "rwx for its user, and no w for others",
            "0777",
            Repair::ByHand,
        ),
    ];
    expected.sort_by(|one, other| one.at.cmp(&other.at));
    let mut found = site.findings();
    found.sort_by(|one, other| one.at.cmp(&other.at));
    assert_eq!(found, expected);
}

// A slot that is being written anew has a second name for a moment, and after a crash until the start.
#[test]
fn a_second_name_in_incoming_is_no_finding() {
    let site = Site::new(Layout::TwoLevel);
    let share = site.plant(&site.share(index(1), 0), &slot(1));
    fs::hard_link(&share, site.join("shares/incoming/5")).unwrap();
    assert_eq!(site.findings(), []);
}

#[test]
fn beside_the_buckets_a_sound_store_has_nothing_to_find() {
    let site = Site::new(Layout::TwoLevel);
    let view = site.view();
    assert!(!view.is_in_use().unwrap());
    assert_eq!(view.check_frame(false), []);
    let store = bucketfs::open(site.path(), EngineChoice::Pool, &config(site.layout)).unwrap();
    assert!(view.is_in_use().unwrap());
    assert_eq!(view.check_frame(true), []);
    drop(store);
}

#[test]
fn what_is_left_in_incoming_is_found_while_nobody_has_the_store_open() {
    let site = Site::new(Layout::TwoLevel);
    site.plant("shares/incoming/2a", b"half");
    site.plant("shares/incoming/7.parts", &[0; 5000]);
    site.plant("shares/incoming/8.note", &[0; 4096]);
    site.plant("shares/incoming/note", b"");
    site.plant("shares/incoming/ae/aeaqcaibaeaqcaibaeaqcaibae/3", b"");
    fs::create_dir_all(site.join("shares/incoming/ba")).unwrap();
    let abandoned = |at: &str, found| {
        finding(
            at,
            None,
            Kind::AbandonedUpload,
            "uploads that somebody goes on with",
            found,
            Repair::Open,
        )
    };
    let foreign = finding(
        "shares/incoming/note",
        None,
        Kind::ForeignName,
        "no such name",
        "a regular file",
        Repair::Quarantine,
    );
    let expected = [
        abandoned("shares/incoming/2a", "an upload that ended"),
        finding(
            "shares/incoming/7.parts",
            None,
            Kind::Ticket,
            "a ticket at the end of the file, or in its note",
            "none that is whole",
            Repair::Open,
        ),
        abandoned("shares/incoming/8.note", "a note of no upload"),
        abandoned("shares/incoming/ae", "uploads of Tahoe-LAFS"),
        foreign.clone(),
    ];
    assert_eq!(site.view().check_frame(false), expected);
    assert_eq!(
        site.view().check_frame(true),
        std::slice::from_ref(&foreign)
    );
    // The repair that they name.
    bucketfs::open(site.path(), EngineChoice::Pool, &config(site.layout)).unwrap();
    assert_eq!(site.view().check_frame(false), [foreign]);
}

#[test]
fn a_damaged_journal_and_a_damaged_identifier_are_found() {
    let site = Site::new(Layout::TwoLevel);
    let mut journal = fs::read(site.join("journal/a")).unwrap();
    // The header is there twice.
    [0x20, 0x820].iter().for_each(|at| journal[*at] ^= 1);
    fs::write(site.join("journal/a"), &journal).unwrap();
    fs::remove_file(site.join("journal/b")).unwrap();
    fs::write(site.join("identifier"), b"whatever\n").unwrap();
    let finding = |at: &str, kind, expected: &str, found: &str| {
        finding(at, None, kind, expected, found, Repair::ByHand)
    };
    let expected = [
        finding(
            "identifier",
            Kind::Identifier,
            "a store's identifier",
            "a file that holds none",
        ),
        finding(
            "journal/a",
            Kind::Journal,
            "a journal file without damage",
            "at byte 0: no journal header",
        ),
        finding(
            "journal/b",
            Kind::Journal,
            "a journal file",
            "No such file or directory (os error 2)",
        ),
    ];
    assert_eq!(site.view().check_frame(false), expected);
    assert_eq!(site.view().check_frame(true), expected);
}

#[test]
fn what_is_no_store_is_not_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    for (make, expected) in [
        (None, "`version` is missing"),
        (Some("shares"), "no file `version`"),
    ] {
        if let Some(name) = make {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let error = View::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let site = Site::new(Layout::TwoLevel);
    fs::write(site.join("version"), b"bucketfs 99\n").unwrap();
    let error = View::open(site.path()).unwrap_err();
    assert!(error.to_string().contains("format version 99"), "{error}");
}
