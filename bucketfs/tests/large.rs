//! Shares beyond 4 GiB, on a real disk, also where memory has 32 bits of addresses.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bucketfs::container::mutable::{self, Content, NodeId};
use bucketfs::container::{HEADER_SIZE, Header, Lease, Version};
use bucketfs::disk::{Engine, Pool, Root};
use bucketfs::{
    Ask, Config, Extent, LeaseOwner, Now, Read, ReadTestWrite, RenewLeases, RequestId, ShareChange,
    SlotWrite, Store, TestedAndWritten, Wanted,
};
use bytes::Bytes;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex, WriteEnabler};

const SIZE: u64 = (5 << 30) + 3;

fn secrets(byte: u8) -> LeaseSecrets {
    LeaseSecrets {
        renew: RenewSecret::new([byte; 32]),
        cancel: CancelSecret::new([!byte; 32]),
    }
}

fn ask<A: Ask>(
    store: &mut Store,
    engine: &mut Pool,
    now: Now,
    ask: A,
) -> Result<A::Success, A::Refusal> {
    store.handle_request(now, RequestId(0), ask);
    loop {
        if let Some((_, answer)) = store.poll_answer() {
            return A::result(answer).expect("the answer to what was asked");
        }
        while let Some((id, operation)) = store.poll_operation() {
            engine.submit(id, operation);
        }
        engine.flush();
        engine.wait();
        let mut completions = Vec::new();
        engine.reap(&mut completions);
        for completion in completions {
            store.handle_completion(now, completion);
        }
    }
}

// The size field of such a container is saturated, and its leases lie beyond 2^32.
#[test]
fn a_share_beyond_4_gib_is_read_and_leased() {
    let directory = tempfile::tempdir().unwrap();
    let root = Arc::new(Root::open(directory.path()).unwrap());
    let mut engine = Pool::new(root).unwrap();
    let now = Now {
        elapsed: Duration::ZERO,
        unix: 1_700_000_000,
    };
    let mut config = Config::new([1; 32]);
    config.journal_size = Config::JOURNAL_SIZE_MIN;
    let mut store = Store::create(&mut engine, &config, now).unwrap();

    // A sparse file: written in full it would only test the patience of whoever waits.
    let storage_index = StorageIndex::new([1; 16]);
    let bucket = directory
        .path()
        .join(format!("shares/ae/aq/{storage_index}"));
    fs::create_dir_all(&bucket).unwrap();
    let file = fs::File::create(bucket.join("0")).unwrap();
    let header = Header::new(Version::Two, SIZE);
    let lease = Lease::new(Version::Two, &secrets(1), 0, 7);
    file.write_all_at(&header.encode(), 0).unwrap();
    file.write_all_at(b"end", HEADER_SIZE + SIZE - 3).unwrap();
    file.write_all_at(&lease.encode(), header.leases_offset())
        .unwrap();

    let renewal = RenewLeases {
        storage_index,
        lease: secrets(2),
        owner: LeaseOwner::Renewal,
    };
    let leased = ask(&mut store, &mut engine, now, renewal).unwrap();
    assert!(leased.held.len() == 1 && leased.failed.is_empty());
    assert_eq!(file.metadata().unwrap().len(), HEADER_SIZE + SIZE + 2 * 72);
    let read = Read {
        storage_index,
        wanted: Wanted::Any(1),
        extents: vec![Extent {
            offset: SIZE - 3,
            size: 1000,
        }],
    };
    let read = ask(&mut store, &mut engine, now, read).unwrap();
    assert_eq!(read.held[0].size, SIZE);
    let piece = &read.pieces[0];
    assert_eq!((piece.offset, &piece.bytes[..]), (SIZE - 3, &b"end"[..]));
}

// A change within the share's room is made in place, however large the container is.
#[test]
fn a_slot_beyond_4_gib_is_changed_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let root = Arc::new(Root::open(directory.path()).unwrap());
    let mut engine = Pool::new(root).unwrap();
    let now = Now {
        elapsed: Duration::ZERO,
        unix: 1_700_000_000,
    };
    let mut config = Config::new([1; 32]);
    config.journal_size = Config::JOURNAL_SIZE_MIN;
    let mut store = Store::create(&mut engine, &config, now).unwrap();

    let storage_index = StorageIndex::new([1; 16]);
    let bucket = directory
        .path()
        .join(format!("shares/ae/aq/{storage_index}"));
    fs::create_dir_all(&bucket).unwrap();
    let file = fs::File::create(bucket.join("0")).unwrap();
    let enabler = WriteEnabler::new([4; 32]);
    let header = mutable::Header::new(Version::Two, NodeId::default(), enabler.clone());
    let mut sizes = header.sizes();
    sizes.write(0, SIZE).unwrap();
    let leases = mutable::Leases::none();
    file.write_all_at(&header.encode(sizes, &leases), 0)
        .unwrap();
    file.write_all_at(&leases.encode_extra(), sizes.extra)
        .unwrap();

    let write = SlotWrite {
        offset: SIZE - 4,
        content: Content::Bytes(Bytes::from_static(b"!end")),
    };
    let change = ShareChange {
        writes: vec![write],
        new_length: Some(SIZE - 1),
        ..ShareChange::default()
    };
    let share = ShareNumber::new(0);
    let tail = Extent {
        offset: SIZE - 4,
        size: 1000,
    };
    let mut ask_for = ReadTestWrite {
        storage_index,
        write_enabler: enabler,
        lease: secrets(2),
        shares: [(share, change)].into(),
        read: vec![tail],
        spool: None,
    };
    for wanted in [&[0, 0, 0, 0][..], b"!en"] {
        let request = ask_for.clone();
        let read = vec![(share, vec![Bytes::copy_from_slice(wanted)])];
        let success = true;
        let answer = ask(&mut store, &mut engine, now, request);
        assert_eq!(answer, Ok(TestedAndWritten { success, read }));
        ask_for.shares.clear();
    }
    assert_eq!(file.metadata().unwrap().len(), 468 + SIZE + 4);
}
