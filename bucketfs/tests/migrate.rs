//! Migrations on a real disk, with either engine, and killed again and again.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

use bucketfs::disk::EngineChoice;
use bucketfs::migrate::{MigrateError, layouts, migrate, survey};
use bucketfs::{
    AskStatus, Config, Extent, Layout, Layouts, MigrateRefusal, Put, Read, RenewLeases, ShareKey,
    SharesRead, StoreHandle, StoreId, Stored, Wanted,
};
use bucketfs::{LeaseOwner, Remove};
use bytes::Bytes;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex};
use tokio::task::LocalSet;

const ENGINES: [EngineChoice; 2] = [EngineChoice::Ring, EngineChoice::Pool];

fn config() -> Config {
    let mut config = Config::new([7; 32]);
    config.journal_size = Config::JOURNAL_SIZE_MIN;
    config
}

fn make(directory: &Path, layout: Layout) {
    let mut config = config();
    config.layout = layout;
    bucketfs::create(directory, &config, StoreId::new([7; 16])).unwrap();
}

/// Opens the store in `directory`, lets `client` ask, and shuts the store down.
fn with_store<F: Future>(
    directory: &Path,
    engine: EngineChoice,
    client: impl FnOnce(StoreHandle) -> F,
) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let (handle, driver) = bucketfs::open(directory, engine, &config()).unwrap();
    LocalSet::new().block_on(&runtime, async {
        let driver = tokio::task::spawn_local(driver.run());
        let output = client(handle.clone()).await;
        handle.shut_down().await;
        driver.await.unwrap().unwrap();
        output
    })
}

/// Two buckets in a row share all directories above them.
fn index(number: u32) -> StorageIndex {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&(number / 2).wrapping_mul(0x9e37_79b1).to_be_bytes());
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    StorageIndex::new(bytes)
}

fn share(number: u32) -> Bytes {
    let len = usize::try_from(number % 700).unwrap();
    Bytes::from(number.to_be_bytes().repeat(1 + len))
}

fn lease() -> LeaseSecrets {
    LeaseSecrets {
        renew: RenewSecret::new([1; 32]),
        cancel: CancelSecret::new([2; 32]),
    }
}

fn put(number: u32) -> Put {
    Put {
        key: ShareKey {
            storage_index: index(number),
            share_number: ShareNumber::new(0),
        },
        share: share(number),
        lease: lease(),
    }
}

async fn read(store: &StoreHandle, number: u32) -> SharesRead {
    let whole = Extent {
        offset: 0,
        size: u64::MAX,
    };
    let read = Read {
        storage_index: index(number),
        wanted: Wanted::Any(1),
        extents: vec![whole],
    };
    store.read(read).await.unwrap()
}

async fn is_whole(store: &StoreHandle, number: u32) -> bool {
    let read = read(store, number).await;
    read.pieces.len() == 1 && read.pieces[0].bytes == share(number)
}

/// Every file of a store that is no journal, with its bytes.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![directory.join("shares")];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => left.push(path),
                false => {
                    let name = path.strip_prefix(directory).unwrap();
                    let bytes = fs::read(&path).unwrap();
                    files.insert(name.to_str().unwrap().to_owned(), bytes);
                }
            }
        }
    }
    files
}

#[test]
fn a_store_is_moved_and_moved_back_while_it_is_used() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        make(path, Layout::OneLevel);
        with_store(path, engine, async |store| {
            for number in 0..300 {
                assert_eq!(store.ask(put(number)).await, Ok(Stored::New));
            }
        });
        let before = files(path);
        for to in [Layout::TwoLevel, Layout::Flat, Layout::OneLevel] {
            let found = survey(path, to).unwrap();
            assert_eq!((found.buckets, found.taken), (300, 0));
            with_store(path, engine, async |store| {
                let moving = migrate(&store, to, None, |_| true);
                let using = async {
                    for number in (0..300).rev() {
                        assert!(is_whole(&store, number).await, "{number}");
                        assert!(!is_whole(&store, 1000 + number).await);
                    }
                };
                let (moved, ()) = tokio::join!(moving, using);
                assert!(moved.unwrap().moved <= 300);
                let status = store.ask(AskStatus).await.unwrap();
                assert_eq!((status.layout, status.migrating_from), (to, None));
            });
            assert_eq!(layouts(path).unwrap(), Layouts::settled(to));
            assert_eq!(files(path).len(), 300);
        }
        assert_eq!(files(path), before, "byte for byte");
        // Nothing is left of the other layouts, but the directory of uploads.
        let names = fs::read_dir(path.join("shares")).unwrap();
        let others = names.filter(|name| name.as_ref().unwrap().file_name().len() > 2);
        assert_eq!(others.count(), 1);
    }
}

#[test]
fn a_migration_that_is_broken_off_is_gone_on_with_and_one_in_its_way_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    make(path, Layout::TwoLevel);
    with_store(path, EngineChoice::Pool, async |store| {
        for number in 0..600 {
            store.ask(put(number)).await.unwrap();
        }
        let some = migrate(&store, Layout::Flat, None, |progress| progress.moved == 0);
        assert_eq!(some.await, Err(MigrateError::BrokenOff));
    });
    let from = Some(Layout::TwoLevel);
    let layout = Layout::Flat;
    assert_eq!(layouts(path).unwrap(), Layouts { layout, from });
    let found = survey(path, Layout::Flat).unwrap();
    assert_eq!(found.buckets + found.in_place, 600);
    assert!(found.in_place > 0 && found.buckets > 0);
    with_store(path, EngineChoice::Ring, async |store| {
        let other = migrate(&store, Layout::OneLevel, None, |_| true).await;
        let elsewhere = MigrateRefusal::Elsewhere {
            layout,
            from: Layout::TwoLevel,
        };
        assert_eq!(other, Err(MigrateError::Refused(elsewhere)));
        let rest = migrate(&store, Layout::Flat, Some(1_000_000), |_| true).await;
        assert_eq!(rest.unwrap().moved, found.buckets);
        for number in 0..600 {
            assert!(is_whole(&store, number).await);
        }
    });
    assert_eq!(files(path).len(), 600);
}

// A reader that looks by itself would be told that nothing is there.
#[test]
fn a_bucket_that_is_not_moved_yet_is_not_taken_for_absent_at_a_glance() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    make(path, Layout::OneLevel);
    with_store(path, EngineChoice::Pool, async |store| {
        store.ask(put(0)).await.unwrap();
        store.ask(put(1)).await.unwrap();
        let begin = bucketfs::BeginMigration {
            to: Layout::TwoLevel,
        };
        store.ask(begin).await.unwrap();
        let glance = |number| {
            store.read_at_once(&Read {
                storage_index: index(number),
                wanted: Wanted::Any(1),
                extents: Vec::new(),
            })
        };
        assert_eq!(glance(0), None, "the store has to move it first");
        assert!(is_whole(&store, 0).await);
        let held = glance(0).map(|read| read.held.len());
        assert_ne!(held, Some(0));
        assert_ne!(glance(1).map(|read| read.held.len()), Some(0));
        let absent = glance(1000).map(|read| read.held.len());
        assert!(absent.unwrap_or(0) == 0);
    });
}

/// What a child process does in the store that is named by this variable.
const CHILD: &str = "BUCKETFS_MIGRATE_CHILD";

/// Serves and moves a store, and says what it was told, until it is killed. As a test it does nothing.
#[test]
fn child_that_is_killed() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let (first, path) = task.split_once(' ').unwrap();
    let first: u32 = first.parse().unwrap();
    with_store(Path::new(path), EngineChoice::Auto, async |store| {
        let number = Rc::new(RefCell::new(first));
        let storing = async {
            loop {
                let number = number.replace_with(|number| *number + 1);
                store.ask(put(number)).await.unwrap();
                if number % 3 == 0 {
                    let key = put(number).key;
                    store.ask(Remove { key }).await.unwrap();
                } else {
                    let told = format!("stored {number}\n");
                    std::io::stdout().write_all(told.as_bytes()).unwrap();
                }
                let renew = RenewLeases {
                    storage_index: index(number / 2),
                    lease: lease(),
                    owner: LeaseOwner::Renewal,
                };
                store.ask(renew).await.unwrap();
                if number == u32::MAX {
                    break;
                }
            }
        };
        let moving = async {
            let first = usize::try_from(first).unwrap();
            for round in first.. {
                let to = Layout::ALL[round % 3];
                match migrate(&store, to, None, |_| true).await {
                    Ok(_) | Err(MigrateError::Refused(MigrateRefusal::Elsewhere { .. })) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        tokio::select! {
            () = storing => {}
            () = moving => {}
        }
    });
}

// Every share that a process was told of is there, whenever it was killed, and once.
#[test]
fn a_process_may_be_killed_at_any_moment_of_a_migration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    make(path, Layout::TwoLevel);
    let mut stored = Vec::new();
    let mut first = 0;
    for _ in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(CHILD, format!("{first} {}", path.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut numbers = Vec::new();
        let enough = 1 + RandomState::new().hash_one(0_u8) % 120;
        let mut line = String::new();
        while lafs::num::size(numbers.len()) < enough {
            line.clear();
            assert!(
                said.read_line(&mut line).unwrap() > 0,
                "it has ended by itself"
            );
            numbers.extend(number(&line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        numbers.extend(rest.split_inclusive('\n').filter_map(number));
        first = numbers.iter().max().unwrap() + 10;
        stored.extend(numbers);
        with_store(path, EngineChoice::Pool, async |store| {
            for number in &stored {
                assert!(is_whole(&store, *number).await, "{number}");
            }
        });
        let mut names: Vec<_> = files(path).into_keys().collect();
        names.retain(|name| !name.starts_with("shares/incoming/"));
        let mut buckets: Vec<_> = names.iter().map(|name| name.rsplit('/').nth(1)).collect();
        buckets.sort_unstable();
        let before = buckets.len();
        buckets.dedup();
        assert_eq!(buckets.len(), before, "a bucket is there twice");
    }
    // And whoever comes back to it moves it to the end.
    with_store(path, EngineChoice::Pool, async |store| {
        let now = store.ask(AskStatus).await.unwrap();
        migrate(&store, now.layout, None, |_| true).await.unwrap();
        for number in &stored {
            assert!(is_whole(&store, *number).await, "{number}");
        }
    });
    assert_eq!(layouts(path).unwrap().from, None);
}

/// The share that a child was told is stored.
fn number(line: &str) -> Option<u32> {
    line.strip_prefix("stored ")?
        .strip_suffix('\n')?
        .parse()
        .ok()
}
