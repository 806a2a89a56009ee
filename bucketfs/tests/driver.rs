//! The driver between tasks that ask and a store on a real disk, with either engine.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use bucketfs::container::mutable::Content;
use bucketfs::disk::EngineChoice;
use bucketfs::{
    Allocate, AskStatus, Config, Extent, Layout, OpenUpload, Opened, Put, RangeWritten, Read,
    ReadTestWrite, ShareChange, ShareKey, ShareKind, SharesRead, SlotWrite, Spool, StoreHandle,
    StoreId, Stored, Unavailable, Wanted, WriteRange, WriteRangeRefusal,
};
use bytes::Bytes;
use lafs::{
    CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex, UploadSecret, WriteEnabler,
};
use tokio::task::{JoinSet, LocalSet};

const ENGINES: [EngineChoice; 2] = [EngineChoice::Ring, EngineChoice::Pool];

/// Opens the store in `directory`, lets `client` ask, and shuts the store down.
fn with_store<F: Future<Output = ()>>(
    directory: &Path,
    engine: EngineChoice,
    client: impl FnOnce(StoreHandle) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config::new([7; 32]);
    bucketfs::create(directory, &config, StoreId::new([7; 16])).unwrap();
    let (handle, driver) = bucketfs::open(directory, engine, &config).unwrap();
    LocalSet::new().block_on(&runtime, async {
        let driver = tokio::task::spawn_local(driver.run());
        client(handle.clone()).await;
        handle.shut_down().await;
        driver.await.unwrap().unwrap();
        let late = handle.ask(AskStatus).await;
        assert_eq!(late.unwrap_err(), Unavailable::ShuttingDown);
    });
}

fn storage_index(number: u16) -> StorageIndex {
    let mut bytes = [0; StorageIndex::LEN];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    StorageIndex::new(bytes)
}

fn lease() -> LeaseSecrets {
    LeaseSecrets {
        renew: RenewSecret::new([1; 32]),
        cancel: CancelSecret::new([2; 32]),
    }
}

fn share(number: u16) -> Bytes {
    Bytes::from(number.to_be_bytes().repeat(200))
}

fn key(number: u16, share: u8) -> ShareKey {
    ShareKey {
        storage_index: storage_index(number),
        share_number: ShareNumber::new(share),
    }
}

fn put(number: u16) -> Put {
    Put {
        key: key(number, 3),
        share: share(number),
        lease: lease(),
    }
}

fn read(number: u16) -> Read {
    Read {
        storage_index: storage_index(number),
        wanted: Wanted::Any(10),
        extents: vec![Extent {
            offset: 0,
            size: 1 << 16,
        }],
    }
}

async fn assert_is_held(store: &StoreHandle, number: u16, bytes: &Bytes) {
    let read = store.ask(read(number)).await.unwrap();
    assert_eq!(read.held.len(), 1, "share {number}");
    assert_eq!(&read.pieces[0].bytes, bytes, "share {number}");
}

// The queue and the store are bounded: what does not fit waits, and is never refused for it.
#[test]
fn more_askers_than_the_store_has_room_for_are_all_answered() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        with_store(directory.path(), engine, |store| async move {
            let mut askers = JoinSet::new();
            for number in 0..1300 {
                let store = store.clone();
                askers.spawn(async move { store.ask(put(number)).await });
            }
            while let Some(answer) = askers.join_next().await {
                assert_eq!(answer.unwrap(), Ok(Stored::New));
            }
        });
        with_store(directory.path(), engine, |store| async move {
            for number in (0..1300).step_by(97) {
                assert_is_held(&store, number, &share(number)).await;
            }
        });
    }
}

// A client that hangs up after sending must not leave its share half there.
#[test]
fn what_was_asked_is_done_though_the_asker_is_gone() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        with_store(directory.path(), engine, |store| async move {
            for number in 0..100 {
                drop(store.send(put(number)).await);
            }
        });
        with_store(directory.path(), engine, |store| async move {
            for number in 0..100 {
                assert_is_held(&store, number, &share(number)).await;
            }
        });
    }
}

#[test]
fn other_threads_ask_too() {
    let directory = tempfile::tempdir().unwrap();
    with_store(directory.path(), EngineChoice::Auto, |store| async move {
        let mut threads = JoinSet::new();
        for thread in 0..4 {
            let store = store.clone();
            threads.spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.build().unwrap();
                runtime.block_on(async {
                    for number in thread * 50..thread * 50 + 50 {
                        assert_eq!(store.ask(put(number)).await, Ok(Stored::New));
                        assert_is_held(&store, number, &share(number)).await;
                    }
                });
            });
        }
        while let Some(ended) = threads.join_next().await {
            ended.unwrap();
        }
    });
}

// The bytes of an upload are sent behind its opening without waiting; if the connection breaks,
// the uploader comes back and resumes where it was.
#[test]
fn an_upload_that_was_dropped_is_resumed_where_it_ended() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        with_store(directory.path(), engine, |store| async move {
            let bytes = Bytes::from(share(9).repeat(1000));
            let start = |resume| OpenUpload {
                key: key(9, 0),
                secret: UploadSecret::new([3; 32]),
                lease: lease(),
                size: None,
                resume,
            };
            let (upload, opened) = store.upload(start(false)).await;
            let written = upload.write(0, bytes.slice(..100_000)).await;
            assert_eq!(opened.await, Ok(Opened::At { offset: 0 }));
            assert_eq!(written.await, Ok(()));
            drop(upload);

            let (upload, opened) = store.upload(start(true)).await;
            assert_eq!(opened.await, Ok(Opened::At { offset: 100_000 }));
            let written = upload.write(100_000, bytes.slice(100_000..)).await;
            let size = u64::try_from(bytes.len()).unwrap();
            assert_eq!(upload.close(size).await.await, Ok(()));
            assert_eq!(written.await, Ok(()));

            let read = store.ask(read(9)).await.unwrap();
            assert_eq!(read.pieces[0].bytes, bytes.slice(..1 << 16));
        });
    }
}

#[test]
fn a_driver_that_nobody_can_ask_any_more_ends() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config::new([7; 32]);
    bucketfs::create(directory.path(), &config, StoreId::new([7; 16])).unwrap();
    let (handle, driver) = bucketfs::open(directory.path(), EngineChoice::Auto, &config).unwrap();
    drop(handle);
    runtime.block_on(driver.run()).unwrap();
}

fn change(number: u16, writes: Vec<SlotWrite>) -> ReadTestWrite {
    let change = ShareChange {
        writes,
        ..ShareChange::default()
    };
    ReadTestWrite {
        storage_index: storage_index(number),
        write_enabler: WriteEnabler::new([3; 32]),
        lease: lease(),
        shares: [(ShareNumber::new(0), change)].into(),
        read: Vec::new(),
        spool: None,
    }
}

async fn open_spool(store: &StoreHandle) -> Spool {
    store.spool().await.unwrap()
}

// What is too large for a request comes by a spool; one that is dropped leaves nothing behind.
#[test]
fn slots_are_changed_with_and_without_spools() {
    let content: Vec<u8> = (0..1_500_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let bytes = Bytes::from(content.clone());
        with_store(directory.path(), engine, |store| async move {
            for (offset, size) in [(0, 1_500_000), (400, 300_000), (1_400_000, 200_000)] {
                let (dropped, spool) = (open_spool(&store).await, open_spool(&store).await);
                let mut written = Vec::new();
                for start in (0..bytes.len()).step_by(500_000) {
                    let part = bytes.slice(start..start + 500_000);
                    written.push(spool.write(part.clone()).await);
                    drop(dropped.write(part).await);
                }
                let content = Content::Spooled { offset: 0, size };
                let change = change(1, vec![SlotWrite { offset, content }]);
                let changed = store.read_test_write(change, Some(spool)).await.await;
                assert!(changed.unwrap().success);
                for written in written {
                    assert_eq!(written.await, Ok(()));
                }
            }
            let content = Content::Bytes(Bytes::from_static(b"small"));
            let offset = 1_599_998;
            let change = change(1, vec![SlotWrite { offset, content }]);
            let changed = store.read_test_write(change, None).await.await;
            assert!(changed.unwrap().success);
        });
        let incoming = std::fs::read_dir(directory.path().join("shares/incoming")).unwrap();
        assert_eq!(incoming.count(), 0);
        with_store(directory.path(), engine, |store| async move {
            let read = Read {
                storage_index: storage_index(1),
                wanted: Wanted::One(ShareNumber::new(0)),
                extents: vec![Extent {
                    offset: 1_399_990,
                    size: 1 << 20,
                }],
            };
            let SharesRead { held, pieces, .. } = store.ask(read).await.unwrap();
            assert_eq!(
                (held[0].size, held[0].kind),
                (1_600_003, ShareKind::Mutable)
            );
            assert_eq!(pieces[0].bytes.len(), 200_013);
            assert!(pieces[0].bytes.ends_with(b"small"));
        });
    }
}

// The whole way of a Tahoe server's successor, on a real disk: a store is adopted, a large share
// comes in ranges of any order, the process ends in the middle of it, and the next one resumes it.
#[test]
fn a_large_share_in_ranges_outlasts_the_process_in_an_adopted_store() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("shares/incoming")).unwrap();
        let mut config = Config::new([7; 32]);
        config.journal_size = Config::JOURNAL_SIZE_MIN;
        bucketfs::adopt(directory.path(), Layout::OneLevel, &config).unwrap();
        let bytes: Vec<u8> = (0..400_000_u32).flat_map(u32::to_be_bytes).collect();
        let bytes = Bytes::from(bytes);
        let size = bytes.len();
        let part = |begin: usize, end: usize| WriteRange {
            key: key(1, 3),
            secret: UploadSecret::of_bytes(b"secret"),
            offset: begin as u64,
            bytes: bytes.slice(begin..end),
        };
        with_store(directory.path(), engine, async |store: StoreHandle| {
            let allocate = Allocate {
                storage_index: storage_index(1),
                share_numbers: vec![ShareNumber::new(3)],
                size: size as u64,
                secret: UploadSecret::of_bytes(b"secret"),
                lease: lease(),
            };
            let answer = store.ask(allocate).await.unwrap();
            assert_eq!(answer.allocated.len(), 1);
            store.ask(part(1_000_000, size)).await.unwrap();
            let answer = store.ask(part(0, 400_000)).await;
            let missing = vec![(400_000, 1_000_000)];
            assert_eq!(answer, Ok(RangeWritten::Missing(missing)));
        });
        with_store(directory.path(), engine, async |store: StoreHandle| {
            let mut other = bytes.slice(399_000..399_100).to_vec();
            other[99] ^= 1;
            let differs = WriteRange {
                key: key(1, 3),
                secret: UploadSecret::of_bytes(b"secret"),
                offset: 399_000,
                bytes: other.into(),
            };
            let conflict = Err(WriteRangeRefusal::Conflict);
            assert_eq!(store.ask(differs).await, conflict);
            let answer = store.ask(part(300_000, 1_100_000)).await;
            assert_eq!(answer, Ok(RangeWritten::Complete));
        });
        let name = storage_index(1).to_string();
        let file = directory
            .path()
            .join("shares")
            .join(&name[..2])
            .join(name)
            .join("3");
        let container = std::fs::read(file).unwrap();
        assert_eq!(container[12..12 + size], bytes);
        assert_eq!(container.len(), 12 + size + 72);
        let incoming = std::fs::read_dir(directory.path().join("shares/incoming"));
        assert_eq!(incoming.unwrap().count(), 0);
    }
}

// The word of the end overtook the beginning, and the spool was then kept for ever.
#[test]
fn spools_that_are_dropped_at_once_do_not_use_up_those_there_are() {
    let directory = tempfile::tempdir().unwrap();
    with_store(directory.path(), EngineChoice::Pool, |store| async move {
        for _ in 0..200 {
            // There may be none before those dropped are gone.
            if let Ok(spool) = store.spool().await {
                let written = spool.write(Bytes::from_static(b"bytes")).await;
                drop((spool, written));
            }
        }
        // Once all of that is carried out there is room for one that is used.
        store.ask(AskStatus).await.unwrap();
        let mut tries = 0;
        let spool = loop {
            match store.spool().await {
                Ok(spool) => break spool,
                Err(refusal) => assert!(tries < 10_000, "{refusal}"),
            }
            tries += 1;
        };
        let written = spool.write(Bytes::from_static(b"bytes")).await.await;
        assert_eq!(written, Ok(()));
    });
    let incoming = std::fs::read_dir(directory.path().join("shares/incoming")).unwrap();
    assert_eq!(incoming.count(), 0);
}
