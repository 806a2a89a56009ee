//! The store as the daemon opens it, and as one connection uses it.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;

use bucketfs::container::Version;
use bucketfs::disk::EngineChoice;
use bucketfs::{
    BootId, CloseRefusal, Driver, Durability, Layout, Opened, StartError, StoreHandle, Upload,
    WriteRefusal,
};
use bytes::Bytes;
use lafs::num;
use protocol::RequestNumber;

use crate::config::{self, NodeId};
use crate::work::{Step, StepAnswer, UploadAnswer, UploadStep};

/// Opens the store as configured; blocks until its journal is replayed.
pub(crate) fn open(
    path: &Path,
    configured: &config::Store,
    node_id: NodeId,
    seed: [u8; 32],
) -> Result<(StoreHandle, Driver), StartError> {
    let engine = match configured.io_engine {
        config::IoEngine::Auto => EngineChoice::Auto,
        config::IoEngine::Ring => EngineChoice::Ring,
        config::IoEngine::Pool => EngineChoice::Pool,
    };
    let mut store = config(configured, seed);
    store.node_id = *node_id.as_bytes();
    match boot_id() {
        Some(boot_id) => store.boot_id = boot_id,
        None => tracing::warn!("{BOOT_ID} cannot be read: no upload outlasts this process"),
    }
    bucketfs::open(path, engine, &store)
}

/// The configuration of a store, in the store's own words.
pub(crate) fn config(configured: &config::Store, seed: [u8; 32]) -> bucketfs::Config {
    let mut store = bucketfs::Config::new(seed);
    store.reserved = configured.reserved_space.0;
    store.size_max = configured.max_size.map(|size| size.0);
    store.read_only = configured.read_only;
    store.durability = match configured.durability {
        config::Durability::Durable => Durability::Full,
        config::Durability::Relaxed => Durability::Relaxed,
    };
    store.journal_size = configured.journal_size.0;
    store.container_version = match configured.container_version {
        config::ContainerVersion::One => Version::One,
        config::ContainerVersion::Two => Version::Two,
    };
    store.layout = match configured.layout {
        config::Layout::TwoLevel => Layout::TwoLevel,
        config::Layout::OneLevel => Layout::OneLevel,
    };
    store
}

/// Which boot of the kernel this is.
fn boot_id() -> Option<BootId> {
    let text = std::fs::read_to_string(BOOT_ID).ok()?;
    text.trim_end().parse().ok()
}

/// Where the kernel tells.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The store as one connection uses it: steps go in, futures of answers come out.
#[derive(Debug)]
pub(crate) struct Session {
    handle: StoreHandle,
    /// Uploads that have no step under way. Dropping one leaves it to be resumed.
    uploads: HashMap<RequestNumber, Upload>,
}

/// A step that was done. Give it to [`Session::take_back`].
#[derive(Debug)]
pub(crate) struct Done {
    request: RequestNumber,
    answer: StepAnswer,
    /// The upload that the step was of, if it goes on.
    upload: Option<Upload>,
}

impl Session {
    pub(crate) fn new(handle: StoreHandle) -> Self {
        Self {
            handle,
            uploads: HashMap::new(),
        }
    }

    /// Begins a step. An upload has one step at a time, which [`crate::work`] sees to.
    pub(crate) fn begin(
        &mut self,
        request: RequestNumber,
        step: Step,
    ) -> impl Future<Output = Done> + Send + use<> {
        let upload = self.uploads.remove(&request);
        let handle = self.handle.clone();
        async move {
            let (answer, upload) = perform(&handle, upload, step).await;
            Done {
                request,
                answer,
                upload,
            }
        }
    }

    /// Ends a step.
    pub(crate) fn take_back(&mut self, done: Done) -> (RequestNumber, StepAnswer) {
        if let Some(upload) = done.upload {
            self.uploads.insert(done.request, upload);
        } else if self.uploads.is_empty() {
            self.uploads = HashMap::new();
        }
        (done.request, done.answer)
    }
}

async fn perform(
    handle: &StoreHandle,
    upload: Option<Upload>,
    step: Step,
) -> (StepAnswer, Option<Upload>) {
    match step {
        Step::Put(put) => (StepAnswer::Put(handle.ask(put).await), None),
        Step::Read(read) => (StepAnswer::Read(handle.read(read).await), None),
        Step::Lease(renew) => (StepAnswer::Lease(handle.ask(renew).await), None),
        Step::Upload(step) => {
            let (answer, upload) = perform_of_upload(handle, upload, step).await;
            (StepAnswer::Upload(answer), upload)
        }
    }
}

/// Gives all pieces to the store, then waits for it. Of several refusals the first counts.
async fn write(upload: &Upload, mut offset: u64, pieces: Vec<Bytes>) -> Result<(), WriteRefusal> {
    let mut under_way = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let len = num::size(piece.len());
        under_way.push(upload.write(offset, piece).await);
        offset += len;
    }
    let mut result = Ok(());
    for pending in under_way {
        result = result.and(pending.await);
    }
    result
}

/// Without an upload the store has dropped it: an earlier step has ended it.
async fn perform_of_upload(
    handle: &StoreHandle,
    upload: Option<Upload>,
    step: UploadStep,
) -> (UploadAnswer, Option<Upload>) {
    match (step, upload) {
        (UploadStep::Open(open), _) => {
            let (upload, opened) = handle.upload(open).await;
            let opened = opened.await;
            let is_open = matches!(opened, Ok(Opened::At { .. }));
            (UploadAnswer::Opened(opened), is_open.then_some(upload))
        }
        (UploadStep::Write { offset, pieces }, upload) => {
            let len = pieces.iter().map(Bytes::len).sum();
            let result = match &upload {
                Some(upload) => write(upload, offset, pieces).await,
                None => Err(WriteRefusal::UnknownUpload),
            };
            (UploadAnswer::Written(len, result), upload)
        }
        (UploadStep::Close { size }, Some(upload)) => {
            (UploadAnswer::Closed(upload.close(size).await.await), None)
        }
        (UploadStep::Close { .. }, None) => {
            (UploadAnswer::Closed(Err(CloseRefusal::UnknownUpload)), None)
        }
        (UploadStep::Abort, upload) => {
            if let Some(upload) = upload {
                // Gone already is what is wanted, too.
                let _ = upload.abort().await.await;
            }
            (UploadAnswer::Ended, None)
        }
        // Dropped, it stays in the store, to be resumed.
        (UploadStep::Detach, _) => (UploadAnswer::Ended, None),
    }
}
