//! Beside a store at work nothing is found that is not there.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use bucketfs::disk::EngineChoice;
use bucketfs::view::{View, Walk};
use bucketfs::{
    Layout, LeaseOwner, Mend, Mending, OpenUpload, Put, ReadTestWrite, Remove, RenewLeases,
    ShareChange, SlotWrite, StoreHandle,
};
use bytes::Bytes;
use lafs::{ShareNumber, UploadSecret, WriteEnabler};

use super::{Site, config, index, key, secrets};

/// Small shares, large ones, leases, slots that grow and shrink, removals, repairs: all over and over.
async fn work(store: &StoreHandle, round: u32) {
    let byte = u8::try_from(round % 8).unwrap();
    let len = usize::try_from(round % 7 * 1500).unwrap();
    let share = Bytes::from(vec![7; len]);
    let put = |number| Put {
        key: key(byte, number),
        share: share.clone(),
        lease: secrets(1),
    };
    for number in 0..4 {
        store.ask(put(number)).await.unwrap();
    }
    let lease = RenewLeases {
        storage_index: index(byte),
        lease: secrets(u8::try_from(round % 50).unwrap()),
        owner: LeaseOwner::Renewal,
    };
    store.ask(lease).await.unwrap();
    let open = OpenUpload {
        key: key(byte, 9),
        secret: UploadSecret::new([1; 32]),
        lease: secrets(1),
        size: Some(200_000),
        resume: false,
    };
    let (upload, opened) = store.upload(open).await;
    if opened.await == Ok(bucketfs::Opened::At { offset: 0 }) {
        let bytes = Bytes::from(vec![9; 200_000]);
        upload.write(0, bytes).await.await.unwrap();
        upload.close(200_000).await.await.unwrap();
    }
    let slot = 100 + byte;
    let content = bucketfs::container::mutable::Content::Bytes(Bytes::from(vec![5; len + 1]));
    let change = ShareChange {
        tests: Vec::new(),
        writes: vec![SlotWrite { offset: 0, content }],
        new_length: (round % 3 == 0).then_some(1),
    };
    let ask = ReadTestWrite {
        storage_index: index(slot),
        write_enabler: WriteEnabler::new([1; 32]),
        lease: secrets(u8::try_from(round % 30).unwrap()),
        shares: [(ShareNumber::new(0), change)].into(),
        read: Vec::new(),
        spool: None,
    };
    let written = store.read_test_write(ask, None).await;
    written.await.unwrap();
    if round % 5 == 4 {
        store.ask(Remove { key: key(byte, 0) }).await.unwrap();
        let path = super::bucket_in(Layout::TwoLevel, index(byte));
        let mend = Mend {
            path: format!("{path}/1"),
            how: Mending::Quarantine,
        };
        store.ask(mend).await.unwrap();
        for number in [2, 3, 9] {
            let key = key(byte, number);
            store.ask(Remove { key }).await.unwrap();
        }
    }
}

#[test]
fn beside_a_busy_store_nothing_is_found() {
    let site = Site::new(Layout::TwoLevel);
    let path = site.path().to_owned();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let walks = scope.spawn(|| {
            let view = View::open(&path).unwrap();
            let mut count = 0;
            let mut findings = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let ended: ControlFlow<()> = view.walk(&Walk::default(), |seen| {
                    findings.extend_from_slice(seen.findings());
                    ControlFlow::Continue(())
                });
                assert!(ended.is_continue());
                findings.extend(view.check_frame(true));
                count += 1;
            }
            (count, findings)
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (store, driver) =
            bucketfs::open(site.path(), EngineChoice::Pool, &config(site.layout)).unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let driver = tokio::task::spawn_local(driver.run());
            for round in 0..300 {
                work(&store, round).await;
            }
            is_over.store(true, Ordering::Relaxed);
            store.shut_down().await;
            driver.await.unwrap().unwrap();
        });
        let (count, findings) = walks.join().unwrap();
        assert_eq!(findings, []);
        assert!(count > 0);
    });
    let (_, findings) = site.walk(&Walk::default());
    assert_eq!(findings, []);
    assert_eq!(site.view().check_frame(false), []);
}
