//! What is read without asking the store: the same as the store would say, or nothing.
//!
//! A wrong answer here is a wrong share for a client, or the secrets of its leases.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::IoSliceMut;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bucketfs::container::mutable::Content;
use bucketfs::disk::EngineChoice;
use bucketfs::{
    AskStatus, Config, Extent, LeaseOwner, Put, Read, ReadTestWrite, Remove, RenewLeases,
    ShareChange, ShareKey, SharesRead, SlotWrite, StoreHandle, StoreId, Wanted,
};
use bytes::Bytes;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex, WriteEnabler};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::LocalSet;

const ENGINES: [EngineChoice; 2] = [EngineChoice::Ring, EngineChoice::Pool];

const BUCKET: StorageIndex = StorageIndex::new([7; 16]);
const SLOT: StorageIndex = StorageIndex::new([8; 16]);

/// Opens the store in `directory`, lets `client` ask, and shuts the store down.
fn with_store<F: Future<Output = ()>>(
    directory: &Path,
    engine: EngineChoice,
    client: impl FnOnce(StoreHandle) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let config = Config::new([7; 32]);
    bucketfs::create(directory, &config, StoreId::new([7; 16])).unwrap();
    let (handle, driver) = bucketfs::open(directory, engine, &config).unwrap();
    LocalSet::new().block_on(&runtime, async {
        let driver = tokio::task::spawn_local(driver.run());
        client(handle.clone()).await;
        handle.shut_down().await;
        driver.await.unwrap().unwrap();
        let late = handle.read_at_once(&read(BUCKET, Wanted::Any(1), &[]));
        assert_eq!(late, None, "the store has ended");
    });
}

fn lease(number: u8) -> LeaseSecrets {
    LeaseSecrets {
        renew: RenewSecret::new([number; 32]),
        cancel: CancelSecret::new([number; 32]),
    }
}

fn share(number: u8) -> ShareNumber {
    ShareNumber::new(number)
}

fn put(number: u8, bytes: &[u8]) -> Put {
    Put {
        key: ShareKey {
            storage_index: BUCKET,
            share_number: share(number),
        },
        share: Bytes::copy_from_slice(bytes),
        lease: lease(1),
    }
}

fn read(storage_index: StorageIndex, wanted: Wanted, extents: &[(u64, u64)]) -> Read {
    let extents = extents.iter();
    Read {
        storage_index,
        wanted,
        extents: extents
            .map(|&(offset, size)| Extent { offset, size })
            .collect(),
    }
}

/// Writes the same bytes to these shares of the slot; none are removed.
fn write(shares: &[u8], bytes: &[u8]) -> ReadTestWrite {
    let change = ShareChange {
        tests: Vec::new(),
        writes: vec![SlotWrite {
            offset: 0,
            content: Content::Bytes(Bytes::copy_from_slice(bytes)),
        }],
        new_length: Some(lafs::num::size(bytes.len())),
    };
    let shares = shares.iter().map(|number| (share(*number), change.clone()));
    ReadTestWrite {
        storage_index: SLOT,
        write_enabler: WriteEnabler::new([9; 32]),
        lease: lease(1),
        shares: shares.collect::<BTreeMap<_, _>>(),
        read: Vec::new(),
        spool: None,
    }
}

async fn change(store: &StoreHandle, ask: ReadTestWrite) {
    let done = store.read_test_write(ask, None).await.await.unwrap();
    assert!(done.success);
}

/// Whether the kernel says on this file system what it has in memory.
fn tells_what_is_in_memory(directory: &Path) -> bool {
    let path = directory.join("probe");
    fs::write(&path, b"probe").unwrap();
    let file = File::open(&path).unwrap();
    let mut byte = [0];
    let room = &mut [IoSliceMut::new(&mut byte)];
    preadv2(&file, room, 0, ReadWriteFlags::NOWAIT).is_ok()
}

/// Waits until the tree has what was acknowledged: until then readers are sent to the store.
async fn placed(store: &StoreHandle) {
    while store.ask(AskStatus).await.unwrap().pending > 0 {
        tokio::task::yield_now().await;
    }
}

/// Reads in every way, and compares with what the store says.
async fn compare(store: &StoreHandle, must_know: bool, when: &str) {
    placed(store).await;
    let all = [
        Wanted::Any(0),
        Wanted::Any(2),
        Wanted::Any(256),
        Wanted::These(vec![share(1), share(3)]),
        Wanted::One(share(0)),
        Wanted::One(share(1)),
        Wanted::One(share(200)),
    ];
    let extents: [&[(u64, u64)]; 6] = [
        &[],
        &[(0, 2548)],
        &[(0, u64::MAX)],
        &[(3, 4), (0, 1000), (90_000, 10)],
        &[(700, 1 << 20), (u64::MAX, 1)],
        &[(0, 0), (1, 1)],
    ];
    for storage_index in [BUCKET, SLOT, StorageIndex::new([9; 16])] {
        for wanted in &all {
            for extents in extents {
                let read = read(storage_index, wanted.clone(), extents);
                let said = store.ask(read.clone()).await.unwrap();
                let seen = store.read_at_once(&read);
                if must_know && !(said.held.is_empty() && seen.is_none()) {
                    assert_eq!(seen.as_ref(), Some(&said), "{when}: {read:?}");
                }
                assert!(seen.is_none_or(|seen| seen == said), "{when}: {read:?}");
            }
        }
    }
}

// Acknowledged is held, for every reader, whether the tree has it or only the journal.
#[test]
fn a_share_is_there_for_readers_from_its_acknowledgement_on() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        with_store(directory.path(), engine, |store| async move {
            for number in 0..=255 {
                store.ask(put(number, &[number; 100])).await.unwrap();
                for wanted in [Wanted::One(share(number)), Wanted::Any(256)] {
                    let one = read(BUCKET, wanted, &[(0, 200)]);
                    let seen = store.read(one).await.unwrap();
                    let last = seen.pieces.last().unwrap();
                    assert_eq!(last.share_number, share(number));
                    assert_eq!(last.bytes, vec![number; 100]);
                }
            }
        });
    }
}

#[test]
fn what_is_seen_at_once_is_what_the_store_says_whatever_was_changed() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let knows = tells_what_is_in_memory(directory.path());
        with_store(directory.path(), engine, |store| async move {
            compare(&store, knows, "nothing").await;
            for number in [0, 1, 3, 200] {
                let bytes = vec![number; 900 + usize::from(number)];
                store.ask(put(number, &bytes)).await.unwrap();
            }
            compare(&store, knows, "put").await;
            let large = vec![5; 60_000];
            store.ask(put(5, &large)).await.unwrap();
            compare(&store, knows, "a larger one").await;
            for number in 2..8 {
                let owner = LeaseOwner::Renewal;
                let (storage_index, lease) = (BUCKET, lease(number));
                let renew = RenewLeases {
                    storage_index,
                    lease,
                    owner,
                };
                store.ask(renew).await.unwrap();
                compare(&store, knows, "leased").await;
            }
            change(&store, write(&[0, 1], b"first")).await;
            compare(&store, knows, "a slot").await;
            change(&store, write(&[1, 3], &vec![2; 3000])).await;
            compare(&store, knows, "another version").await;
            change(&store, write(&[0, 1, 3], b"shorter")).await;
            compare(&store, knows, "cut").await;
            let key = put(1, b"").key;
            store.ask(Remove { key }).await.unwrap();
            compare(&store, knows, "removed").await;
            store.ask(put(1, b"anew")).await.unwrap();
            compare(&store, knows, "put anew").await;
        });
    }
}

/// The file of a share.
fn path_of(directory: &Path, number: u8) -> PathBuf {
    let name = BUCKET.to_string();
    let bucket = directory.join("shares").join(&name[..2]).join(&name[2..4]);
    bucket.join(name).join(number.to_string())
}

/// What somebody puts somewhere, and how.
type Foreign = (&'static str, fn(&Path));

// Whatever an operator, or another program, put in the place of a share.
#[test]
fn what_does_not_belong_there_is_left_to_the_store() {
    let foreign: [Foreign; 5] = [
        ("a link", |path| symlink("1", path).unwrap()),
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a FIFO", |path| {
            let mode = rustix::fs::Mode::RUSR;
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
        }),
        ("no container", |path| fs::write(path, b"what?").unwrap()),
        ("an empty file", |path| fs::write(path, b"").unwrap()),
    ];
    for (what, plant) in foreign {
        let directory = tempfile::tempdir().unwrap();
        let path = path_of(directory.path(), 0);
        with_store(directory.path(), EngineChoice::Auto, |store| async move {
            store.ask(put(0, b"share")).await.unwrap();
            store.ask(put(1, b"other")).await.unwrap();
            let one = read(BUCKET, Wanted::One(share(0)), &[(0, 100)]);
            placed(&store).await;
            let before = store.read(one.clone()).await.unwrap();
            assert_eq!(&before.pieces[0].bytes[..], b"share");
            fs::remove_file(&path).unwrap();
            plant(&path);
            let said = store.ask(one.clone()).await.unwrap();
            assert_eq!(said.unreadable.len(), 1, "{what}");
            assert_eq!(store.read(one).await.unwrap(), said, "{what}");
            compare(&store, false, what).await;
        });
    }
}

// A reader on another thread is not waited for: it must notice itself that it saw half a change.
#[test]
fn readers_on_other_threads_see_all_of_a_change_or_nothing_of_it() {
    const CHANGES: u8 = 200;
    let directory = tempfile::tempdir().unwrap();
    with_store(directory.path(), EngineChoice::Auto, |store| async move {
        change(&store, write(&[0, 1], &[0; 2000])).await;
        let over = Arc::new(AtomicBool::new(false));
        let reader = {
            let (store, over) = (store.clone(), over.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let all = read(SLOT, Wanted::Any(2), &[(0, 10_000)]);
                    if let Some(seen) = store.read_at_once(&all) {
                        assert_whole(&seen);
                    }
                }
            })
        };
        for number in 1..=CHANGES {
            let len = 1000 + 5 * usize::from(number);
            change(&store, write(&[0, 1], &vec![number; len])).await;
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        let all = read(SLOT, Wanted::Any(2), &[(0, 10_000)]);
        let last = store.read(all).await.unwrap();
        assert_whole(&last);
        assert_eq!(last.pieces[0].bytes[0], CHANGES);
    });
}

/// Both shares, of one version.
fn assert_whole(seen: &SharesRead) {
    assert_eq!(seen.pieces.len(), 2);
    let first = &seen.pieces[0].bytes;
    assert!(first.iter().all(|byte| *byte == first[0]), "{}", first[0]);
    assert_eq!(first, &seen.pieces[1].bytes);
}
