//! Who makes repairs: the daemon that has the store open, or this process, which then opens it and asks
//! for the same.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bucketfs::disk::EngineChoice;
use bucketfs::{Config, Mend, MendRefusal, Mending, StartError, StoreHandle};
use tokio::runtime::{Builder, Runtime};

use super::daemon::Daemon;
use super::error::FsckError;

/// Who puts things right: the one process that has the store open.
pub(super) enum Mender {
    /// This one.
    Own(Own),
    /// A daemon.
    Daemon(Daemon),
}

impl Mender {
    /// Opens the store, which replays its journal and clears incoming.
    pub(super) fn open(path: &Path) -> Result<Self, FsckError> {
        Own::open(path).map(Self::Own)
    }

    /// Connects to the daemon that has it open.
    pub(super) fn daemon(path: &Path) -> Result<Self, FsckError> {
        Daemon::connect(path).map(Self::Daemon)
    }

    /// Has something put right; returns where it is now, or why it was not done.
    pub(super) fn mend(&mut self, path: &str, how: Mending) -> Result<Option<String>, String> {
        match self {
            Self::Own(own) => own.mend(path, how).map_err(|refusal| refusal.to_string()),
            Self::Daemon(daemon) => daemon.mend(path, how),
        }
    }

    /// Leaves the store closed in order, or to its daemon.
    pub(super) fn close(self) {
        match self {
            Self::Own(own) => own.close(),
            Self::Daemon(_) => {}
        }
    }
}

/// An open store, driven by a thread of its own.
pub(super) struct Own {
    store: StoreHandle,
    thread: JoinHandle<()>,
    /// To wait for answers on.
    runtime: Runtime,
}

impl Own {
    /// Opens the store, which replays its journal and clears incoming.
    fn open(path: &Path) -> Result<Self, FsckError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| FsckError::System(error.into()))?;
        let mut config = Config::new(seed);
        // Uploads that a daemon of this boot left are the next one's to resume.
        let boot = fs::read_to_string(BOOT_ID).ok();
        if let Some(boot) = boot.and_then(|text| text.trim().parse().ok()) {
            config.boot_id = boot;
        }
        let runtime = new_runtime().map_err(FsckError::System)?;
        let driving = new_runtime().map_err(FsckError::System)?;
        let (sender, opened) = mpsc::channel();
        let drive = {
            let path = path.to_owned();
            move || drive(&driving, &path, &config, &sender)
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(drive)
            .map_err(FsckError::System)?;
        match opened.recv() {
            Ok(Ok(store)) => Ok(Self {
                store,
                thread,
                runtime,
            }),
            Ok(Err(source)) => Err(FsckError::Open {
                path: path.to_owned(),
                source,
            }),
            Err(_) => {
                let ended = "the thread of the store has ended";
                Err(FsckError::System(io::Error::other(ended)))
            }
        }
    }

    /// Has something put right; returns where it is now.
    fn mend(&self, path: &str, how: Mending) -> Result<Option<String>, MendRefusal> {
        let path = path.to_owned();
        let mended = self.runtime.block_on(self.store.ask(Mend { path, how }))?;
        Ok(mended.to)
    }

    /// Closes the store in order: its journal has nothing to replay.
    fn close(self) {
        self.runtime.block_on(self.store.shut_down());
        // It has said what there was to say.
        let _ = self.thread.join();
    }
}

/// Opens the store and drives it until it is shut down.
fn drive(
    runtime: &Runtime,
    path: &Path,
    config: &Config,
    opened: &mpsc::Sender<Result<StoreHandle, StartError>>,
) {
    match bucketfs::open(path, EngineChoice::Pool, config) {
        Ok((store, driver)) => {
            if opened.send(Ok(store)).is_ok() {
                // Whoever asks is told that nobody answers any more.
                let _ = runtime.block_on(driver.run());
            }
        }
        // Nobody waits for it only where this process ends.
        Err(error) => drop(opened.send(Err(error))),
    }
}

fn new_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Where the kernel says which boot it is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
