//! Clients storing large shares in one store, through the driver and a real engine.

use std::path::Path;
use std::time::{Duration, Instant};

use bucketfs::disk::EngineChoice;
use bucketfs::{Config, OpenUpload, Opened, ShareKey, StartError, StoreHandle, StoreId};
use bytes::Bytes;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex, UploadSecret};
use tokio::task::JoinSet;

use crate::process;
use crate::store_load::in_store;

/// Stores shares of `size` bytes, `at_a_time` of them together, each in writes of `piece` bytes;
/// the time and the processor time of it all.
///
/// # Errors
///
/// When the store cannot be opened.
///
/// # Panics
///
/// When a share is refused.
pub fn upload_shares(
    directory: &Path,
    engine: EngineChoice,
    size: u64,
    piece: usize,
    at_a_time: u8,
) -> Result<(Duration, Duration), StartError> {
    let config = Config::new([5; 32]);
    bucketfs::create(directory, &config, StoreId::new([5; 16]))?;
    in_store(directory, engine, &config, async |store| {
        let bytes = Bytes::from(vec![0x5a; piece]);
        let (began, before) = (Instant::now(), cpu());
        let mut uploads = JoinSet::new();
        for share in 0..at_a_time {
            uploads.spawn_local(upload(store.clone(), share, size, bytes.clone()));
        }
        while let Some(upload) = uploads.join_next().await {
            upload.expect("an upload does not panic");
        }
        (began.elapsed(), cpu() - before)
    })
}

/// One share, each write answered before the next is sent, as the daemon does it.
async fn upload(store: StoreHandle, share: u8, size: u64, bytes: Bytes) {
    let open = OpenUpload {
        key: ShareKey {
            storage_index: StorageIndex::new([share; 16]),
            share_number: ShareNumber::new(share),
        },
        secret: UploadSecret::of_bytes(b"a secret of more than a few bytes"),
        lease: LeaseSecrets {
            renew: RenewSecret::new([1; 32]),
            cancel: CancelSecret::new([2; 32]),
        },
        size: Some(size),
        resume: false,
    };
    let (upload, opened) = store.upload(open).await;
    assert_eq!(opened.await, Ok(Opened::At { offset: 0 }));
    let mut offset = 0;
    while offset < size {
        let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
        let piece = bytes.slice(..left.min(bytes.len()));
        let len = lafs::num::size(piece.len());
        assert_eq!(upload.write(offset, piece).await.await, Ok(()));
        offset += len;
    }
    assert_eq!(upload.close(size).await.await, Ok(()));
}

fn cpu() -> Duration {
    process::cpu(std::process::id()).expect("this process is there")
}
