//! The check of a store: what is told, what is done, and that a second time finds nothing to do.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bucketfs::container::{Lease, Version, encode, expiration};
use bucketfs::disk::EngineChoice;
use bucketfs::{Config, StoreId};
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, StorageIndex};
use tools::fsck::{
    Budget, Finding, FsckError, Kind, Observer, Options, Outcome, Repairs, Stop, Summary,
};

fn config() -> Config {
    let mut config = Config::new([1; 32]);
    config.journal_size = Config::JOURNAL_SIZE_MIN;
    config
}

fn store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    bucketfs::create(directory.path(), &config(), StoreId::new([7; 16])).unwrap();
    directory
}

fn share(len: usize) -> Vec<u8> {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let secrets = LeaseSecrets {
        renew: RenewSecret::new([1; 32]),
        cancel: CancelSecret::new([2; 32]),
    };
    let lease = Lease::new(Version::Two, &secrets, 0, expiration(now));
    encode(Version::Two, &vec![b'x'; len], &lease).to_vec()
}

fn bucket(byte: u8) -> String {
    let text = StorageIndex::new([byte; 16]).to_string();
    format!("shares/{}/{}/{text}", &text[..2], &text[2..4])
}

fn plant(store: &Path, path: &str, bytes: &[u8]) {
    let path = store.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Every file below a directory that a check may move.
fn files(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![store.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(store).unwrap().to_owned();
            if path.is_dir() {
                directories.push(path);
            } else if below.starts_with("shares") || below.starts_with("quarantine") {
                files.insert(below, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// Keeps what it is told; ends the check after so many findings.
#[derive(Default)]
struct Told {
    findings: Vec<(Finding, Outcome)>,
    most: Option<usize>,
    buckets: u64,
}

impl Observer for Told {
    fn found(&mut self, finding: &Finding, outcome: &Outcome) -> ControlFlow<()> {
        self.findings.push((finding.clone(), outcome.clone()));
        match self.most == Some(self.findings.len()) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn progress(&mut self, summary: &Summary) {
        assert!(summary.buckets >= self.buckets, "it never goes back");
        self.buckets = summary.buckets;
    }
}

fn options(repairs: Repairs) -> Options<'static> {
    Options {
        repairs,
        foreign: false,
        budget: Budget::default(),
        threads: 2,
        deep: None,
        cursor: None,
        stop: Stop::default(),
    }
}

fn check(store: &Path, options: &Options<'_>) -> (Summary, Told) {
    let mut told = Told::default();
    let summary = tools::fsck::run(store, options, &mut told).unwrap();
    (summary, told)
}

fn outcomes(told: &Told) -> Vec<(Kind, Outcome)> {
    let findings = told.findings.iter();
    findings
        .map(|(finding, outcome)| (finding.kind, outcome.clone()))
        .collect()
}

/// A store with one of everything that is put right, and some that is not.
fn damaged() -> tempfile::TempDir {
    let store = store();
    let path = store.path();
    plant(path, &format!("{}/0", bucket(1)), &share(100));
    plant(path, &format!("{}/1", bucket(1)), &share(100)[..40]);
    plant(path, "shares/note", b"a note");
    plant(path, "shares/incoming/5", b"half");
    let text = StorageIndex::new([2; 16]).to_string();
    plant(path, &format!("shares/{text}/3"), &share(7));
    fs::create_dir_all(path.join("shares/zz/zz")).unwrap();
    store
}

#[test]
fn looking_and_planning_change_nothing() {
    let store = damaged();
    let before = files(store.path());
    let (summary, told) = check(store.path(), &options(Repairs::None));
    assert_eq!(summary.code(), 4);
    let all_left = told.findings.iter().all(|(_, is)| *is == Outcome::Left);
    assert!(all_left, "{:?}", outcomes(&told));
    let (summary, told) = check(store.path(), &options(Repairs::Plan));
    assert_eq!(summary.code(), 4);
    let planned = |kind| (kind, Outcome::Planned);
    let expected = [
        planned(Kind::AbandonedUpload),
        (Kind::ForeignName, Outcome::Left),
        planned(Kind::Truncated),
        planned(Kind::Misplaced),
        planned(Kind::EmptyDirectory),
    ];
    assert_eq!(outcomes(&told), expected);
    assert_eq!(files(store.path()), before);
}

#[test]
fn repairs_put_right_what_can_be_and_a_second_time_there_is_nothing_to_do() {
    let store = damaged();
    let (summary, told) = check(store.path(), &options(Repairs::Make));
    let corrected = |outcome: &Outcome| matches!(outcome, Outcome::Corrected { .. });
    for (finding, outcome) in &told.findings {
        let expected = finding.kind != Kind::ForeignName;
        assert_eq!(corrected(outcome), expected, "{finding:?}: {outcome:?}");
    }
    assert_eq!((summary.code(), summary.corrected, summary.left), (1, 4, 0));
    let after = files(store.path());
    let paths: Vec<_> = after
        .keys()
        .map(|path| path.display().to_string())
        .collect();
    let [quarantined, rest @ ..] = &paths[..] else {
        panic!("nothing is left: {paths:?}");
    };
    assert!(quarantined.starts_with("quarantine/"), "{quarantined}");
    assert!(quarantined.ends_with(&format!("-0/{}/1", bucket(1))));
    assert_eq!(after[Path::new(quarantined)], share(100)[..40]);
    let expected = [
        format!("{}/0", bucket(1)),
        format!("{}/3", bucket(2)),
        "shares/note".to_owned(),
    ];
    let mut expected: Vec<_> = expected.to_vec();
    expected.sort();
    assert_eq!(rest, expected);
    assert!(!store.path().join("shares/zz").exists());

    let (summary, told) = check(store.path(), &options(Repairs::Make));
    assert_eq!(outcomes(&told), [(Kind::ForeignName, Outcome::Left)]);
    assert_eq!((summary.code(), summary.notices_left), (0, 1));
    assert_eq!(files(store.path()), after);

    let mut with_foreign = options(Repairs::Make);
    with_foreign.foreign = true;
    let (summary, _) = check(store.path(), &with_foreign);
    assert_eq!((summary.code(), summary.notices_left), (1, 0));
    let (summary, told) = check(store.path(), &with_foreign);
    assert_eq!((summary.code(), told.findings.len()), (0, 0));
}

#[test]
fn a_store_that_is_open_is_looked_at_and_not_changed() {
    let store = damaged();
    let open = bucketfs::open(store.path(), EngineChoice::Pool, &config()).unwrap();
    let (summary, _) = check(store.path(), &options(Repairs::Plan));
    assert_eq!(summary.code(), 4);
    let mut told = Told::default();
    let error = tools::fsck::run(store.path(), &options(Repairs::Make), &mut told).unwrap_err();
    assert!(matches!(error, FsckError::InUse { .. }), "{error}");
    assert!(told.findings.is_empty());
    drop(open);
}

// A disk of many millions of buckets takes a while.
#[test]
fn a_check_that_was_ended_goes_on_where_it_was() {
    let store = store();
    for byte in 0..200 {
        let len = match byte % 10 {
            0 => 20,
            _ => 184,
        };
        plant(
            store.path(),
            &format!("{}/0", bucket(byte)),
            &share(100)[..len],
        );
    }
    let (whole, all) = check(store.path(), &options(Repairs::None));
    assert_eq!((whole.buckets, all.findings.len()), (200, 20));
    let place = tempfile::tempdir().unwrap();
    let with_cursor = |cursor: &str| Options {
        cursor: Some(place.path().join(cursor)),
        ..options(Repairs::None)
    };
    let mut findings = Vec::new();
    let mut buckets = 0;
    for run in 0.. {
        let mut told = Told {
            most: Some(7),
            ..Told::default()
        };
        let summary = tools::fsck::run(store.path(), &with_cursor("place"), &mut told).unwrap();
        findings.extend(told.findings);
        buckets += summary.buckets;
        if !summary.is_cancelled {
            assert!(run > 1, "it was ended");
            break;
        }
        assert_eq!(summary.code() & 32, 32);
    }
    assert_eq!(findings, all.findings);
    assert_eq!(buckets, 200);
    assert!(!place.path().join("place").exists());
}

#[test]
fn what_is_no_store_is_named_with_what_to_try() {
    let node = tempfile::tempdir().unwrap();
    let mut told = Told::default();
    let mut hint = || {
        let error = tools::fsck::run(node.path(), &options(Repairs::None), &mut told);
        error.unwrap_err().hint().unwrap()
    };
    assert!(hint().contains("the one with the file `version`"));
    let inner = node.path().join("storage");
    bucketfs::create(&inner, &config(), StoreId::new([7; 16])).unwrap();
    assert!(hint().contains("storage"));
}

// The journal may hold shares that are nowhere else: it is not given up by a program.
#[test]
fn a_store_whose_journal_is_damaged_is_told_of_and_not_opened() {
    let store = damaged();
    let path = store.path().join("journal/a");
    let mut journal = fs::read(&path).unwrap();
    journal[0x20] ^= 1;
    fs::write(&path, journal).unwrap();
    let before = files(store.path());
    let mut told = Told::default();
    let error = tools::fsck::run(store.path(), &options(Repairs::Make), &mut told).unwrap_err();
    assert!(matches!(error, FsckError::Open { .. }), "{error}");
    assert_eq!(told.findings[0].0.kind, Kind::Journal);
    assert_eq!(files(store.path()), before);
}
