//! The store as the daemon opens it, and as one connection uses it.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;

use bucketfs::container::Version;
use bucketfs::disk::EngineChoice;
use bucketfs::{
    Answer, BootId, Driver, Durability, Layout, Pending, Refusal, Request, StartError, StoreHandle,
    Upload, UploadStart,
};
use protocol::RequestNumber;

use crate::config::{self, NodeId};
use crate::work::Step;

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
    answer: Answer,
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
    pub(crate) fn take_back(&mut self, done: Done) -> (RequestNumber, Answer) {
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
) -> (Answer, Option<Upload>) {
    let (step, upload) = match (step, upload) {
        (Step::Write { offset, bytes }, Some(upload)) => {
            let answer = upload.write(offset, bytes).await.await;
            return (answer, Some(upload));
        }
        (Step::Close { size }, Some(upload)) => return (closed(upload.close(size)).await, None),
        (Step::Abort, Some(upload)) => return (closed(upload.abort()).await, None),
        (Step::Detach, _) => return (Answer::Detached, None),
        (step, upload) => (step, upload),
    };
    let request = match step {
        Step::Put {
            storage_index,
            share_number,
            share,
            lease,
        } => Request::Put {
            storage_index,
            share: share_number,
            bytes: share,
            lease,
        },
        Step::Open {
            storage_index,
            share_number,
            secret,
            lease,
            size,
            resume,
        } => {
            let start = UploadStart {
                storage_index,
                share: share_number,
                secret,
                lease,
                size,
                resume,
            };
            let (upload, answer) = handle.upload(start).await;
            return match answer.await {
                opened @ Answer::Opened { .. } => (opened, Some(upload)),
                other => (other, None),
            };
        }
        Step::Read(read) => Request::Read(read),
        Step::Lease {
            storage_index,
            lease,
            owner,
        } => Request::Lease {
            storage_index,
            lease,
            owner,
        },
        // Its upload went with an earlier step: the store has dropped it.
        Step::Write { .. } | Step::Close { .. } | Step::Abort | Step::Detach => {
            return (Answer::Refused(Refusal::UnknownUpload), upload);
        }
    };
    (handle.ask(request).await, None)
}

async fn closed(sent: impl Future<Output = Pending>) -> Answer {
    sent.await.await
}
