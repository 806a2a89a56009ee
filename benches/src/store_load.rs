//! Many clients storing small shares in one store, through the driver and a real engine.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bucketfs::disk::EngineChoice;
use bucketfs::{
    AskStatus, Config, Put, ShareKey, StartError, Status, StoreHandle, StoreId, Stored,
};
use bytes::Bytes;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex};
use tokio::runtime::LocalOptions;
use tokio::task::JoinSet;

use crate::disk_limits::rate;
use crate::fit::quantile;
use crate::process;

/// The outcome.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Shares acknowledged per second, until the tree had the last of them too.
    pub rate: f64,
    /// The median time from the request to its acknowledgement.
    pub ack_p50: Duration,
    /// What one in a hundred waits longer than.
    pub ack_p99: Duration,
    /// Processor time per share, of this process and of the kernel's threads that work for it.
    pub cpu: Duration,
    /// Journal batches, each of them one sync.
    pub syncs: u64,
}

/// Stores shares in a new store, from `concurrency` clients at a time, on the calling thread.
///
/// # Errors
///
/// When the store cannot be opened.
///
/// # Panics
///
/// When a share is refused.
pub fn put_shares(
    directory: &Path,
    engine: EngineChoice,
    names: impl Iterator<Item = StorageIndex> + 'static,
    bytes: &Bytes,
    concurrency: usize,
) -> Result<Load, StartError> {
    let config = Config::new([5; 32]);
    bucketfs::create(directory, &config, StoreId::new([5; 16]))?;
    in_store(directory, engine, &config, async |store| {
        let bytes = bytes.clone();
        let shares = names.map(move |name| (name, bytes.clone()));
        put_all(store, shares, concurrency).await
    })
}

/// Opens a store, does something in it on the calling thread, and shuts it down.
///
/// # Errors
///
/// When the store cannot be opened.
///
/// # Panics
///
/// When its driver ends before it is asked to.
pub fn in_store<T>(
    directory: &Path,
    engine: EngineChoice,
    config: &Config,
    work: impl AsyncFnOnce(&StoreHandle) -> T,
) -> Result<T, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime needs three descriptors");
    let (store, driver) = bucketfs::open(directory, engine, config)?;
    Ok(runtime.block_on(async {
        let driver = tokio::task::spawn_local(driver.run());
        let done = work(&store).await;
        store.shut_down().await;
        driver
            .await
            .expect("the driver does not panic")
            .expect("the driver ends when it is asked to");
        done
    }))
}

/// Stores shares from `concurrency` clients at a time, and waits until the tree has them.
///
/// # Panics
///
/// When a share is refused.
pub async fn put_all(
    store: &StoreHandle,
    shares: impl Iterator<Item = (StorageIndex, Bytes)> + 'static,
    concurrency: usize,
) -> Load {
    let before = (status(store).await, cpu());
    let shares = Rc::new(RefCell::new(shares));
    let waits = Rc::new(RefCell::new(Vec::new()));
    let ended = Rc::new(Cell::new(0));
    let started = Instant::now();
    let mut askers = JoinSet::new();
    for _ in 0..concurrency {
        let store = store.clone();
        let (shares, waits, ended) = (Rc::clone(&shares), Rc::clone(&waits), Rc::clone(&ended));
        askers.spawn_local(async move {
            loop {
                let Some((name, bytes)) = shares.borrow_mut().next() else {
                    break;
                };
                let asked = Instant::now();
                let answer = store.ask(put(name, bytes)).await;
                assert_eq!(answer, Ok(Stored::New), "{name}");
                waits.borrow_mut().push(asked.elapsed().as_secs_f64());
            }
            ended.set(ended.get() + 1);
        });
    }
    while let Some(asker) = askers.join_next().await {
        asker.expect("an asker does not panic");
    }
    // What is acknowledged and not yet in the tree is work put off, and not done.
    while status(store).await.pending > 0 {
        tokio::task::yield_now().await;
    }
    let elapsed = started.elapsed();
    let after = (status(store).await, cpu());
    let waits = waits.borrow();
    let count = u32::try_from(waits.len()).expect("fewer than 2^32 were measured");
    Load {
        rate: rate(waits.len(), elapsed),
        ack_p50: Duration::from_secs_f64(quantile(&waits, 0.5)),
        ack_p99: Duration::from_secs_f64(quantile(&waits, 0.99)),
        cpu: (after.1 - before.1) / count,
        syncs: after.0.journal_batches - before.0.journal_batches,
    }
}

/// Storage indexes as random as real ones, and the same in every measurement.
pub fn names(numbers: Range<usize>) -> impl Iterator<Item = StorageIndex> + 'static {
    numbers.map(|number| {
        let hash = blake3::hash(&lafs::num::size(number).to_be_bytes());
        let (index, _) = hash.as_bytes().split_at(StorageIndex::LEN);
        StorageIndex::new(index.try_into().expect("split at its length"))
    })
}

fn put(storage_index: StorageIndex, bytes: Bytes) -> Put {
    Put {
        key: ShareKey {
            storage_index,
            share_number: ShareNumber::new(0),
        },
        share: bytes,
        lease: LeaseSecrets {
            renew: RenewSecret::new([1; 32]),
            cancel: CancelSecret::new([2; 32]),
        },
    }
}

async fn status(store: &StoreHandle) -> Status {
    *store
        .ask(AskStatus)
        .await
        .expect("a store that is open tells its status")
}

fn cpu() -> Duration {
    process::cpu(std::process::id()).expect("this process is there")
}
