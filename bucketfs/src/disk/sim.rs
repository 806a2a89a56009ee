//! The simulated disk: an engine in memory that crashes, for tests.
//!
//! It performs the same programs as the engines on the kernel, one system call at a time, and
//! picks at random which of the operations in flight makes the next one. The fault model:
//!
//! * **What is written is not on the disk.** [`Medium`] keeps what programs see apart from what a
//!   power cut leaves. A file's sync brings over its bytes and size, a directory's sync its
//!   entries (not those of the directories below, nor the files they name), `syncfs` everything
//!   that was done before it.
//! * **A power cut keeps any part of the rest.** Of each sector of 512 bytes the disk has the
//!   state after any number of the unsynced writes to it, in their order; of a file's size, and of
//!   each name of a directory, likewise, all independently of each other. So writes are torn and
//!   reordered, files come back with their size and without their bytes, and a rename may leave
//!   both names, or neither, or a directory may be there without what was put into it. A name
//!   that is replaced is of the one file or the other.
//!   That is weaker than ext4, XFS and btrfs, where a rename is one transaction and transactions
//!   keep their order: a store that survives this does not depend on which of them it is on.
//!   A sector itself is written or not, never damaged; nothing synced is lost.
//! * **A kill** loses nothing that was written, and syncs nothing: a power cut may follow later.
//! * **Errors.** Any system call may fail with `EIO`; a write then may have been done in part.
//!   When a sync fails each unsynced write may be lost for good while programs go on seeing it,
//!   and the sync after next succeeds without it: as Linux does, and why failed syncs are not
//!   retried. The file is told once, by its own sync, and `syncfs` once, whoever lost the write.
//!   Directories lose nothing: a file system that loses its own bytes stops.
//!   Writes that need space which is not there fail with `ENOSPC`; writes may be short.
//! * **Lies.** For canaries: a kind of sync that reports success and does nothing.
//!
//! Everything follows from the seed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;

use super::step::{Chain, Handle, Link, Order, Perform, Step, Target};
use super::{Completion, DiskError, Engine, FileId, Operation, OperationId, Outcome, program};

mod medium;
mod node;
mod random;

pub use medium::Medium;
pub use random::Random;

use node::NodeId;

/// What may go wrong beside the crash.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Of how many system calls that change something one fails with `EIO`; 0 for none.
    pub error_every: u64,
    /// Likewise for syncs.
    pub sync_error_every: u64,
    /// Of how many writes one is short; 0 for none.
    pub short_every: u64,
    /// The kind of sync that does nothing.
    pub lie: Option<SyncKind>,
}

/// What a sync is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// A journal file.
    Journal,
    /// Another file.
    File,
    /// A directory.
    Directory,
    /// The file system.
    FileSystem,
}

/// The engine.
pub struct Sim {
    world: Rc<RefCell<World>>,
    flights: Vec<Flight>,
    done: Vec<Completion>,
    files: HashMap<FileId, Arc<OwnedFd>>,
}

/// What the programs of all operations share.
struct World {
    medium: Medium,
    random: Random,
    faults: Faults,
    /// System calls made so far.
    calls: u64,
    /// The call before which everything stops.
    crash_at: Option<u64>,
    /// Which file a descriptor kept across operations is of.
    ///
    /// The programs carry such files as descriptors; here each is one of `/dev/null`.
    kept: HashMap<RawFd, NodeId>,
}

type Program = dyn Future<Output = (Operation, Result<Outcome, DiskError>, Option<NodeId>)>;

struct Flight {
    id: OperationId,
    program: Pin<Box<Program>>,
    /// What an operation closes goes when it ends.
    closes: Option<Arc<OwnedFd>>,
}

impl Sim {
    /// Starts an engine on a medium.
    #[must_use]
    pub fn new(medium: Medium, seed: u64, faults: Faults) -> Self {
        let world = World {
            medium,
            random: Random::new(seed),
            faults,
            calls: 0,
            crash_at: None,
            kept: HashMap::new(),
        };
        Self {
            world: Rc::new(RefCell::new(world)),
            flights: Vec::new(),
            done: Vec::new(),
            files: HashMap::new(),
        }
    }

    /// Has everything stop before a system call, counted from the engine's start.
    ///
    /// From then on every operation ends with an error, and none has an effect.
    pub fn crash_at(&mut self, call: u64) {
        self.world.borrow_mut().crash_at = Some(call);
    }

    /// Whether it has come to that.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.world.borrow().has_crashed()
    }

    /// How many system calls were made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.world.borrow().calls
    }

    /// Other faults from here on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.world.borrow_mut().faults = faults;
    }

    /// Looks at the medium as programs see it.
    pub fn look<T>(&self, look: impl FnOnce(&Medium) -> T) -> T {
        look(&self.world.borrow().medium)
    }

    /// Changes the medium behind the back of those who use it.
    pub fn alter(&mut self, alter: impl FnOnce(&mut Medium)) {
        alter(&mut self.world.borrow_mut().medium);
    }

    /// Ends the engine, whatever is in flight, and returns the medium.
    #[must_use]
    pub fn into_medium(mut self) -> Medium {
        self.flights.clear();
        let medium = Medium::new(0);
        std::mem::replace(&mut self.world.borrow_mut().medium, medium)
    }

    /// Lets one of the operations in flight make its next system call, or end.
    pub fn step(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let index = self.world.borrow_mut().random.index(self.flights.len());
        let flight = &mut self.flights[index];
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(output) = flight.program.as_mut().poll(&mut context) else {
            return;
        };
        let (operation, result, opened) = output;
        let flight = self.flights.swap_remove(index);
        if let (Operation::Open { file, .. }, Some(node)) = (&operation, opened) {
            self.keep(*file, node);
        }
        if let Some(closed) = flight.closes {
            self.world.borrow_mut().kept.remove(&closed.as_raw_fd());
        }
        self.done.push(Completion {
            id: flight.id,
            operation,
            result,
        });
    }

    fn keep(&mut self, file: FileId, node: NodeId) {
        let null = std::fs::File::open("/dev/null").expect("every system has it");
        let fd = OwnedFd::from(null);
        self.world.borrow_mut().kept.insert(fd.as_raw_fd(), node);
        let before = self.files.insert(file, Arc::new(fd));
        assert!(before.is_none(), "the store opens into a free slot");
    }
}

impl Engine for Sim {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn submit(&mut self, id: OperationId, operation: Operation) {
        let mut kept = None;
        let mut closes = None;
        let mut current = None;
        match &operation {
            Operation::WriteAt { file, .. }
            | Operation::SyncFile { file }
            | Operation::Append { file, .. }
            | Operation::Copy { file, .. } => kept = Some(Arc::clone(&self.files[file])),
            Operation::Close { file } => {
                let fd = self.files.remove(file).expect("the store opened it");
                current = self.world.borrow().kept.get(&fd.as_raw_fd()).copied();
                closes = Some(fd);
            }
            _ => {}
        }
        let mut on = Performer {
            world: Rc::clone(&self.world),
            current,
        };
        let program = Box::pin(async move {
            let (operation, result) = program::perform(operation, kept, &mut on).await;
            (operation, result, on.current)
        });
        self.flights.push(Flight {
            id,
            program,
            closes,
        });
    }

    fn flush(&mut self) {}

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        completions.append(&mut self.done);
    }

    fn wait(&mut self) {
        while self.done.is_empty() && !self.flights.is_empty() {
            self.step();
        }
    }

    fn in_flight(&self) -> usize {
        self.flights.len() + self.done.len()
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Performs the steps of one operation.
struct Performer {
    world: Rc<RefCell<World>>,
    current: Option<NodeId>,
}

impl Perform for Performer {
    async fn run(&mut self, mut chain: Chain) -> Chain {
        for link in &mut chain.links {
            // A disk in memory has nothing but files and directories: there is nothing to find out,
            // and no system call in which something could go wrong.
            if let Step::Enter { .. } | Step::MustBeFile { .. } = link.step {
                link.result = Some(Ok(0));
                continue;
            }
            pause().await;
            self.perform(link);
            if chain.order == Order::Linked && link.severs() {
                break;
            }
        }
        chain
    }
}

impl Performer {
    fn perform(&mut self, link: &mut Link) {
        let world = &mut *self.world.borrow_mut();
        link.result = Some(if world.has_crashed() {
            Err(Errno::IO)
        } else {
            world.calls += 1;
            world.call(&mut link.step, &mut self.current)
        });
    }
}

impl World {
    fn has_crashed(&self) -> bool {
        self.crash_at.is_some_and(|call| self.calls >= call)
    }

    /// Decides what goes wrong with a system call, then makes it.
    fn call(&mut self, step: &mut Step, current: &mut Option<NodeId>) -> Result<u64, Errno> {
        match step {
            Step::Sync { file, .. } => {
                let node = self.node(file, *current);
                let kind = self.medium.sync_kind(node);
                self.sync(kind, Some(node))
            }
            Step::SyncFileSystem => self.sync(SyncKind::FileSystem, None),
            Step::Write { .. } if self.random.one_in(self.faults.error_every) => {
                // Part of it may be there all the same.
                let _ = self.write(step, *current, true);
                Err(Errno::IO)
            }
            Step::Write { .. } => {
                let short = self.random.one_in(self.faults.short_every);
                self.write(step, *current, short)
            }
            step => {
                let changes = !matches!(
                    step,
                    Step::Close | Step::Release | Step::FreeSpace { .. } | Step::Size { .. }
                );
                if changes && self.random.one_in(self.faults.error_every) {
                    return Err(Errno::IO);
                }
                self.medium_call(step, current)
            }
        }
    }

    fn medium_call(&mut self, step: &mut Step, current: &mut Option<NodeId>) -> Result<u64, Errno> {
        match step {
            Step::Open { path, how } => {
                *current = Some(self.medium.open(path, how.flags())?);
            }
            Step::Close | Step::Release => *current = None,
            Step::Size { file } => return self.medium.size(self.node(file, *current)),
            Step::Read {
                file,
                offset,
                buffer,
                len,
            } => {
                let node = self.node(file, *current);
                let bytes = self.medium.read_at(node, *offset, *len)?;
                buffer.extend_from_slice(bytes);
                return Ok(lafs::num::size(bytes.len()));
            }
            Step::Allocate { file, size } => {
                let node = self.node(file, *current);
                self.medium.allocate(node, *size)?;
            }
            Step::Resize { file, size } => {
                let node = self.node(file, *current);
                self.medium.resize(node, *size)?;
            }
            Step::MakeDirectory { path } => self.medium.make_directory(path)?,
            Step::Rename {
                source,
                target,
                existing: Target::Keep,
            } => self.medium.rename(source, target)?,
            Step::Rename {
                source,
                target,
                existing: Target::Replace,
            } => self.medium.replace(source, target)?,
            Step::Link { source, target } => self.medium.link(source, target)?,
            Step::Unlink { path } => self.medium.unlink(path)?,
            Step::RemoveDirectory { path } => self.medium.remove_directory(path)?,
            Step::Examine { path, kind } => *kind = Some(self.medium.examine(path)?),
            Step::List { path, entries } => *entries = self.medium.list(path)?,
            Step::ListPage { path, after, page } => *page = self.medium.list_page(path, after)?,
            Step::FreeSpace { space } => *space = Some(self.medium.space()),
            Step::Enter { .. }
            | Step::MustBeFile { .. }
            | Step::Write { .. }
            | Step::Sync { .. }
            | Step::SyncFileSystem => unreachable!("they are made elsewhere"),
        }
        Ok(0)
    }

    fn write(&mut self, step: &Step, current: Option<NodeId>, short: bool) -> Result<u64, Errno> {
        let Step::Write {
            file,
            offset,
            bytes,
            written,
        } = step
        else {
            unreachable!("the caller matched it");
        };
        let node = self.node(file, current);
        let mut bytes = &bytes.as_slice()[*written..];
        if short && !bytes.is_empty() {
            bytes = &bytes[..self.random.index(bytes.len())];
        }
        let offset = *offset + lafs::num::size(*written);
        self.medium.write_at(node, offset, bytes)?;
        Ok(lafs::num::size(bytes.len()))
    }

    fn sync(&mut self, kind: SyncKind, node: Option<NodeId>) -> Result<u64, Errno> {
        if self.faults.lie == Some(kind) {
            return Ok(0);
        }
        let failed = self.random.one_in(self.faults.sync_error_every);
        let losses = failed.then_some(&mut self.random);
        let told = match node {
            Some(node) => self.medium.sync(node, losses),
            None => self.medium.sync_all(losses),
        };
        if failed {
            Err(Errno::IO)
        } else {
            told.map(|()| 0)
        }
    }

    fn node(&self, file: &Handle, current: Option<NodeId>) -> NodeId {
        match file {
            Handle::Current => current.expect("a program opens first"),
            Handle::Kept(fd) => self.kept[&fd.as_raw_fd()],
        }
    }
}

/// Lets another operation go first, perhaps.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut paused, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
