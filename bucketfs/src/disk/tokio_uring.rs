//! The engine on the crate tokio-uring: for comparison, behind a feature of the same name.
//!
//! A thread of its own runs the crate's runtime, as nothing else in a daemon should: it ends the
//! process where io_uring is denied, and loses a descriptor with each open that is given up. So no
//! operation is ever given up here. What the crate does not offer (opening beneath a directory,
//! renaming without replacing, all that io_uring has no opcode for) is a plain system call in that thread.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_uring::buf::BoundedBuf;
use tokio_uring::fs::{DirBuilder, File};

use super::files::{Files, Taken};
use super::program;
use super::step::{Chain, Chunk, DIRECTORY_MODE, Handle, Link, Order, Perform, Step};
use super::syscall::Syscalls;
use super::workers::Bell;
use super::{Completion, DiskError, Engine, Operation, OperationId, Outcome, Root, StorePath};

/// Performs operations through tokio-uring.
pub struct TokioUring {
    /// `None` once it is being dropped.
    jobs: Option<mpsc::UnboundedSender<Whole>>,
    root: Arc<Root>,
    thread: Option<JoinHandle<()>>,
    done: Arc<Mutex<Vec<Performed>>>,
    bell: Arc<Bell>,
    files: Files,
    in_flight: usize,
}

/// An operation on its way to the runtime.
struct Whole {
    id: OperationId,
    operation: Operation,
    taken: Taken,
}

/// An operation on its way back.
struct Performed {
    id: OperationId,
    operation: Operation,
    result: Result<Outcome, DiskError>,
    current: Option<OwnedFd>,
}

impl TokioUring {
    /// Starts the runtime in a thread. io_uring must work here.
    ///
    /// # Errors
    ///
    /// If there is no descriptor left for an eventfd, or no thread.
    pub fn new(root: Arc<Root>) -> Result<Self, DiskError> {
        let bell = Arc::new(Bell::new()?);
        let done = Arc::new(Mutex::new(Vec::new()));
        let (jobs, inbox) = mpsc::unbounded_channel();
        let desk = Desk {
            root: Arc::clone(&root),
            bell: Arc::clone(&bell),
            done: Arc::clone(&done),
        };
        let thread = std::thread::Builder::new()
            .name("tokio-uring".into())
            .spawn(move || tokio_uring::start(serve(desk, inbox)))
            .map_err(|error| DiskError {
                call: "clone",
                errno: errno(&error),
            })?;
        Ok(Self {
            jobs: Some(jobs),
            root,
            thread: Some(thread),
            done,
            bell,
            files: Files::default(),
            in_flight: 0,
        })
    }
}

impl Engine for TokioUring {
    fn name(&self) -> &'static str {
        "tokio-uring"
    }

    fn writes_directly(&self) -> bool {
        self.root.writes_directly()
    }

    fn submit(&mut self, id: OperationId, operation: Operation) {
        let taken = self.files.take(&operation);
        self.in_flight += 1;
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        let whole = Whole {
            id,
            operation,
            taken,
        };
        jobs.send(whole)
            .unwrap_or_else(|_| panic!("the runtime serves until the engine is dropped"));
    }

    fn flush(&mut self) {}

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        for performed in take(&self.done) {
            self.files.put(&performed.operation, performed.current);
            self.in_flight -= 1;
            completions.push(Completion {
                id: performed.id,
                operation: performed.operation,
                result: performed.result,
            });
        }
    }

    fn wait(&mut self) {
        let is_empty = || lock(&self.done).is_empty();
        while self.in_flight > 0 && is_empty() {
            self.bell.wait();
        }
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        Some(self.bell.as_fd())
    }
}

impl Drop for TokioUring {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// What every operation's task has of the engine.
#[derive(Clone)]
struct Desk {
    root: Arc<Root>,
    bell: Arc<Bell>,
    done: Arc<Mutex<Vec<Performed>>>,
}

/// Performs what comes, until nothing can come any more and all of it is done.
async fn serve(desk: Desk, mut inbox: mpsc::UnboundedReceiver<Whole>) {
    let mut tasks = JoinSet::new();
    while let Some(whole) = inbox.recv().await {
        let desk = desk.clone();
        tasks.spawn_local(async move {
            let performed = perform(&desk.root, whole).await;
            lock(&desk.done).push(performed);
            desk.bell.ring();
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

async fn perform(root: &Root, whole: Whole) -> Performed {
    let Taken { kept, current } = whole.taken;
    let mut steps = Steps {
        root,
        current: current.map(own),
    };
    let (operation, result) = program::perform(whole.operation, kept, &mut steps).await;
    let current = match steps.current {
        None => None,
        // The crate does not give descriptors away.
        Some(file) => borrow(&file).try_clone_to_owned().ok(),
    };
    Performed {
        id: whole.id,
        operation,
        result,
        current,
    }
}

/// Performs one operation's steps.
struct Steps<'a> {
    root: &'a Root,
    current: Option<File>,
}

impl Perform for Steps<'_> {
    async fn run(&mut self, mut chain: Chain) -> Chain {
        for link in &mut chain.links {
            let result = self.step(link).await;
            link.result = Some(result.map_err(|error| errno(&error)));
            if chain.order == Order::Linked && link.severs() {
                break;
            }
        }
        chain
    }

    fn writes_directly(&self) -> bool {
        self.root.writes_directly()
    }
}

impl Steps<'_> {
    async fn step(&mut self, link: &mut Link) -> io::Result<u64> {
        let done = |()| 0;
        match &mut link.step {
            Step::MakeDirectory { path } => {
                let mut builder = DirBuilder::new();
                let path = self.path(path);
                builder.mode(DIRECTORY_MODE).create(path).await.map(done)
            }
            Step::Read {
                file,
                offset,
                buffer,
                len,
            } => {
                let start = buffer.len();
                let room = std::mem::take(buffer).slice(start..start + *len);
                let file = self.file(file)?;
                let (result, room) = file.get().read_at(room, *offset).await;
                *buffer = room.into_inner();
                file.done().await?;
                result.map(lafs::num::size)
            }
            // The crate has no flags for a write, and takes no buffer of ours.
            Step::Write {
                bytes: Chunk::Aligned(_),
                ..
            } => self.call(link),
            Step::Write {
                file,
                offset,
                bytes,
                written,
                is_durable: false,
            } => {
                let offset = *offset + lafs::num::size(*written);
                let file = self.file(file)?;
                let result = match bytes {
                    Chunk::Shared(bytes) => {
                        let rest = Bytes::slice(bytes, *written..);
                        file.get().write_at(rest, offset).submit().await.0
                    }
                    Chunk::Own(bytes) => {
                        let rest = std::mem::take(bytes).slice(*written..);
                        let (result, rest) = file.get().write_at(rest, offset).submit().await;
                        *bytes = rest.into_inner();
                        result
                    }
                    Chunk::Aligned(_) => unreachable!("it is the arm above"),
                };
                file.done().await?;
                result.map(lafs::num::size)
            }
            Step::Sync { file, data_only } => {
                let file = self.file(file)?;
                let result = match data_only {
                    true => file.get().sync_data().await,
                    false => file.get().sync_all().await,
                };
                file.done().await?;
                result.map(done)
            }
            Step::Close | Step::Release => {
                let file = self
                    .current
                    .take()
                    .expect("a program closes what it opened");
                file.close().await.map(done)
            }
            Step::Unlink { path } => tokio_uring::fs::remove_file(self.path(path))
                .await
                .map(done),
            Step::RemoveDirectory { path } => {
                tokio_uring::fs::remove_dir(self.path(path)).await.map(done)
            }
            _ => self.call(link),
        }
    }

    /// Performs a step that the crate does not offer.
    fn call(&mut self, link: &mut Link) -> io::Result<u64> {
        let current = match &self.current {
            None => None,
            Some(file) => Some(borrow(file).try_clone_to_owned()?),
        };
        let had = current.is_some();
        let mut calls = Syscalls::new(self.root, current);
        calls.step(link);
        if !had {
            self.current = calls.current.map(own);
        }
        let result = link.result.expect("it was performed");
        result.map_err(io::Error::from)
    }

    fn path(&self, path: &StorePath) -> PathBuf {
        let root = PathBuf::from(format!("/proc/self/fd/{}", self.root.as_fd().as_raw_fd()));
        root.join(OsStr::from_bytes(path.as_c_str().to_bytes()))
    }

    fn file(&self, handle: &Handle) -> io::Result<OneFile<'_>> {
        match handle {
            Handle::Current => {
                let current = self.current.as_ref().expect("a program opens first");
                Ok(OneFile::Current(current))
            }
            Handle::Kept(file) => Ok(OneFile::Copy(own(file.try_clone()?))),
        }
    }
}

/// A file for one step. The crate's files own their descriptor, so a kept one is duplicated.
enum OneFile<'a> {
    Current(&'a File),
    Copy(File),
}

impl OneFile<'_> {
    fn get(&self) -> &File {
        match self {
            Self::Current(file) => file,
            Self::Copy(file) => file,
        }
    }

    async fn done(self) -> io::Result<()> {
        match self {
            Self::Current(_) => Ok(()),
            Self::Copy(file) => file.close().await,
        }
    }
}

#[expect(
    unsafe_code,
    reason = "the crate has no safe way to take a descriptor over"
)]
fn own(file: OwnedFd) -> File {
    // SAFETY: the descriptor was owned until here, and the file owns it from here on.
    unsafe { File::from_raw_fd(file.into_raw_fd()) }
}

#[expect(
    unsafe_code,
    reason = "the crate's files are from before borrowed descriptors"
)]
fn borrow(file: &File) -> BorrowedFd<'_> {
    // SAFETY: the file is open for as long as it is borrowed.
    unsafe { BorrowedFd::borrow_raw(file.as_raw_fd()) }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn take(done: &Mutex<Vec<Performed>>) -> Vec<Performed> {
    std::mem::take(&mut *lock(done))
}

fn lock(done: &Mutex<Vec<Performed>>) -> std::sync::MutexGuard<'_, Vec<Performed>> {
    // The list is whole between any two statements, whoever panicked.
    done.lock().unwrap_or_else(PoisonError::into_inner)
}
