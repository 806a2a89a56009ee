//! What all connections of a daemon share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use bucketfs::limits as store_limits;
use bucketfs::{AskStatus, Durability, Status, StoreHandle};
use lafs::Swissnum;
use protocol::{Welcome, limits};
use rustls::ServerConfig;
use tokio::sync::{Semaphore, watch};
use tracing::{info, warn};

use crate::config::{Limits, Tls};
use crate::identity::Identity;
use crate::notices::{Kind, Notices};
use crate::tls;

/// The store, the secrets, and the counts that bound all connections together.
pub(crate) struct Shared {
    store: StoreHandle,
    swissnum: Swissnum,
    pipeline_tls: Arc<ServerConfig>,
    gbs_tls: Arc<ServerConfig>,
    limits: Limits,
    relaxed: bool,
    /// From the store's last status.
    read_only: AtomicBool,
    space_free: AtomicU64,
    uploads: AtomicUsize,
    /// A status is being asked for.
    asking: AtomicBool,
    /// When one was asked for last, in milliseconds since the start.
    asked_ms: AtomicU64,
    started: Instant,
    bytes_in_flight: AtomicUsize,
    /// A permit for each connection that may be served.
    served: Arc<Semaphore>,
    notices: Notices,
}

impl Shared {
    pub(crate) fn new(
        store: StoreHandle,
        swissnum: Swissnum,
        identity: &Identity,
        tls: Tls,
        limits: Limits,
        status: &Status,
    ) -> Self {
        Self {
            store,
            swissnum,
            pipeline_tls: tls::pipeline(identity),
            gbs_tls: tls::gbs(identity, tls.version_min),
            limits,
            relaxed: status.durability == Durability::Relaxed,
            read_only: AtomicBool::new(status.read_only || status.failed),
            space_free: AtomicU64::new(status.available),
            uploads: AtomicUsize::new(status.uploads),
            asking: AtomicBool::new(false),
            asked_ms: AtomicU64::new(0),
            started: Instant::now(),
            bytes_in_flight: AtomicUsize::new(0),
            served: Arc::new(Semaphore::new(limits.connections)),
            notices: Notices::default(),
        }
    }

    pub(crate) fn store(&self) -> &StoreHandle {
        &self.store
    }

    pub(crate) fn swissnum(&self) -> &Swissnum {
        &self.swissnum
    }

    pub(crate) fn pipeline_tls(&self) -> &Arc<ServerConfig> {
        &self.pipeline_tls
    }

    pub(crate) fn gbs_tls(&self) -> &Arc<ServerConfig> {
        &self.gbs_tls
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What peers cause, for the log.
    pub(crate) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Permits for connections that are served.
    pub(crate) fn served(&self) -> &Arc<Semaphore> {
        &self.served
    }

    /// How many connections are served now.
    pub(crate) fn connections(&self) -> usize {
        let free = self.served.available_permits();
        self.limits.connections.saturating_sub(free)
    }

    /// Takes note that fewer shares of this size were allocated than a client asked for, which is
    /// how GBS refuses them. They may also be under way already, which nobody needs to know.
    pub(crate) fn allocated_fewer(self: &Arc<Self>, size: u64) {
        let space = self.space();
        if space.read_only {
            self.share_refused(Kind::ReadOnly);
        } else if space.uploads >= store_limits::ALLOCATIONS {
            self.share_refused(Kind::TooManyUploads);
        } else if space.free < size {
            self.share_refused(Kind::Full);
        }
    }

    /// Takes note that a new share was refused, and why.
    pub(crate) fn share_refused(&self, kind: Kind) {
        if !self.notices.note(kind, Instant::now()) {
            return;
        }
        match kind {
            Kind::ReadOnly => info!("refusing new shares: the store is read-only"),
            Kind::TooManyUploads => {
                warn!("refusing an upload: there are too many; more are counted")
            }
            _ => warn!(
                available = self.space_free.load(Ordering::Relaxed),
                "refusing new shares: the free space is down to store.reserved_space, or the shares \
                 have store.max_size"
            ),
        }
    }

    /// What a new client is told.
    pub(crate) fn welcome(self: &Arc<Self>) -> Welcome {
        let space = self.space();
        Welcome {
            relaxed: self.relaxed,
            read_only: space.read_only,
            long_data: true,
            space_free: space.free,
            share_size_max: limits::SHARE_SIZE_MAX,
            uploads_max: lafs::num::size(limits::UPLOADS_MAX),
            requests_max: lafs::num::size(limits::REQUESTS_MAX),
        }
    }

    /// What the store may still take. Waits for nothing: it is what it was when somebody asked last,
    /// or a second before.
    pub(crate) fn space(self: &Arc<Self>) -> Space {
        self.refresh_status();
        Space {
            read_only: self.read_only.load(Ordering::Relaxed),
            free: self.space_free.load(Ordering::Relaxed),
            uploads: self.uploads.load(Ordering::Relaxed),
        }
    }

    fn refresh_status(self: &Arc<Self>) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now
            < self
                .asked_ms
                .load(Ordering::Relaxed)
                .saturating_add(STATUS_AGE_MS)
            || self.asking.swap(true, Ordering::Relaxed)
        {
            return;
        }
        self.asked_ms.store(now, Ordering::Relaxed);
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if let Ok(status) = shared.store.ask(AskStatus).await {
                let read_only = status.read_only || status.failed;
                shared.read_only.store(read_only, Ordering::Relaxed);
                shared.space_free.store(status.available, Ordering::Relaxed);
                shared.uploads.store(status.uploads, Ordering::Relaxed);
            }
            shared.asking.store(false, Ordering::Relaxed);
        });
    }

    /// Share bytes in flight over all connections.
    pub(crate) fn bytes_in_flight(&self) -> usize {
        self.bytes_in_flight.load(Ordering::Relaxed)
    }

    /// Counts bytes until what is returned is dropped.
    pub(crate) fn take_in_flight(&self, len: usize) -> InFlight<'_> {
        self.recount_bytes(0, len);
        InFlight { shared: self, len }
    }

    /// A connection that had `before` bytes in flight has `after`.
    pub(crate) fn recount_bytes(&self, before: usize, after: usize) {
        if after > before {
            self.bytes_in_flight
                .fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.bytes_in_flight
                .fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

/// What a store may still take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    /// Nothing.
    pub(crate) read_only: bool,
    /// So many bytes.
    pub(crate) free: u64,
    /// Uploads in progress.
    pub(crate) uploads: usize,
}

/// How old a status may be before it is asked for again: every client of GBS asks once a second.
const STATUS_AGE_MS: u64 = 1000;

/// Bytes in flight that the daemon's total knows of.
pub(crate) struct InFlight<'a> {
    shared: &'a Shared,
    len: usize,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.shared.recount_bytes(self.len, 0);
    }
}

/// Tells connections that the daemon stops.
#[derive(Clone, Debug)]
pub(crate) struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// The signal, and what gives it.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits for it.
    pub(crate) async fn stopped(mut self) {
        // A daemon that has ended has stopped.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}
