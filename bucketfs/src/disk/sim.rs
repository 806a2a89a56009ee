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
//!   reordered, files come back with their size and without their bytes, and the rename of a file
//!   may leave both names, or neither, or a directory may be there without what was put into it. A
//!   name that is replaced is of the one file or the other.
//! * **A directory that is renamed has one name.** Its old one, or its new one and then the
//!   directories above that, too, whatever else is lost; and if a directory is gone because all that
//!   was in it had been moved away, then that has been. Otherwise what was synced would be lost.
//!   That is weaker than ext4, XFS and btrfs, where a rename is one transaction and transactions
//!   keep their order: a store that survives this does not depend on which of them it is on.
//!   A sector itself is written or not, never damaged; nothing synced is lost.
//! * **A kill** loses nothing that was written, and syncs nothing: a power cut may follow later.
//! * **A direct write** is not on the disk either when it returns, unless it was to be durable: that
//!   one is two calls here, the bytes and then their sync, which brings over these bytes alone (and
//!   the file's size). A power cut between the two leaves any part of it. One whose offset, length or
//!   place in memory is not aligned fails with `EINVAL`.
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
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::files::Kept;
use super::step::{Chain, Chunk, Handle, Link, Order, Perform, Step, Target};
use super::{
    ALIGN, Completion, DiskError, Engine, FileId, OpenMode, Operation, OperationId, Outcome,
    program,
};

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
    /// Files cannot be written past the page cache.
    pub refuses_direct: bool,
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
    files: HashMap<FileId, Kept>,
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
    /// Those of them that are written past the page cache.
    direct: HashSet<RawFd>,
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
            direct: HashSet::new(),
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
        if let (Operation::Open { file, mode, .. }, Some(node)) = (&operation, opened) {
            self.keep(*file, node, *mode);
        }
        if let Some(closed) = flight.closes {
            let mut world = self.world.borrow_mut();
            world.kept.remove(&closed.as_raw_fd());
            world.direct.remove(&closed.as_raw_fd());
        }
        self.done.push(Completion {
            id: flight.id,
            operation,
            result,
        });
    }

    fn keep(&mut self, file: FileId, node: NodeId, mode: OpenMode) {
        let null = std::fs::File::open("/dev/null").expect("every system has it");
        let fd = OwnedFd::from(null);
        let mut world = self.world.borrow_mut();
        let is_direct = matches!(mode, OpenMode::NewDirect | OpenMode::ExistingDirect);
        let is_direct = is_direct && !world.faults.refuses_direct;
        world.kept.insert(fd.as_raw_fd(), node);
        if is_direct {
            world.direct.insert(fd.as_raw_fd());
        }
        let kept = Kept {
            file: Arc::new(fd),
            is_direct,
        };
        let before = self.files.insert(file, kept);
        assert!(before.is_none(), "the store opens into a free slot");
    }
}

impl Engine for Sim {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn writes_directly(&self) -> bool {
        !self.world.borrow().faults.refuses_direct
    }

    fn submit(&mut self, id: OperationId, operation: Operation) {
        let mut kept = None;
        let mut closes = None;
        let mut current = None;
        match &operation {
            Operation::WriteAt { file, .. }
            | Operation::WriteBlocks { file, .. }
            | Operation::Finish { file, .. }
            | Operation::SyncFile { file }
            | Operation::Append { file, .. }
            | Operation::Copy { file, .. } => kept = Some(self.files[file].clone()),
            Operation::Close { file } => {
                let kept = self.files.remove(file).expect("the store opened it");
                current = self
                    .world
                    .borrow()
                    .kept
                    .get(&kept.file.as_raw_fd())
                    .copied();
                closes = Some(kept.file);
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
                self.set_direct(&link.step);
                link.result = Some(Ok(0));
                continue;
            }
            pause().await;
            self.perform(link);
            if let Step::Write {
                is_durable: true, ..
            } = link.step
            {
                pause().await;
                self.make_durable(link);
            }
            if chain.order == Order::Linked && link.severs() {
                break;
            }
        }
        chain
    }

    fn writes_directly(&self) -> bool {
        !self.world.borrow().faults.refuses_direct
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

    /// The second half of a durable write that has not failed yet.
    fn make_durable(&mut self, link: &mut Link) {
        let Some(Ok(count)) = link.result else {
            return;
        };
        let world = &mut *self.world.borrow_mut();
        if world.has_crashed() {
            link.result = Some(Err(Errno::IO));
            return;
        }
        world.calls += 1;
        if let Err(errno) = world.sync_written(&link.step, count, self.current) {
            link.result = Some(Err(errno));
        }
    }

    /// Has a file that is kept open written past the page cache from now on, or through it.
    fn set_direct(&mut self, step: &Step) {
        if let Step::MustBeFile {
            file: Handle::Kept(fd),
            is_direct,
        } = step
        {
            let mut world = self.world.borrow_mut();
            match is_direct {
                true => world.direct.insert(fd.as_raw_fd()),
                false => world.direct.remove(&fd.as_raw_fd()),
            };
        }
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
            Step::Open { how, .. }
                if how.flags().contains(OFlags::DIRECT) && self.faults.refuses_direct =>
            {
                return Err(Errno::INVAL);
            }
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
            ..
        } = step
        else {
            unreachable!("the caller matched it");
        };
        let node = self.node(file, current);
        let is_direct = self.is_direct(file);
        if is_direct && !is_aligned(*offset, bytes, *written) {
            return Err(Errno::INVAL);
        }
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

    /// Brings over what a durable write has written.
    fn sync_written(
        &mut self,
        step: &Step,
        count: u64,
        current: Option<NodeId>,
    ) -> Result<(), Errno> {
        let Step::Write {
            file,
            offset,
            written,
            ..
        } = step
        else {
            unreachable!("the caller matched it");
        };
        let node = self.node(file, current);
        if self.faults.lie == Some(self.medium.sync_kind(node)) {
            return Ok(());
        }
        let failed = self.random.one_in(self.faults.sync_error_every);
        let losses = failed.then_some(&mut self.random);
        let start = *offset + lafs::num::size(*written);
        self.medium.sync_range(node, start, count, losses)?;
        match failed {
            true => Err(Errno::IO),
            false => Ok(()),
        }
    }

    fn is_direct(&self, file: &Handle) -> bool {
        match file {
            Handle::Current => false,
            Handle::Kept(fd) => self.direct.contains(&fd.as_raw_fd()),
        }
    }

    fn node(&self, file: &Handle, current: Option<NodeId>) -> NodeId {
        match file {
            Handle::Current => current.expect("a program opens first"),
            Handle::Kept(fd) => self.kept[&fd.as_raw_fd()],
        }
    }
}

/// Whether the kernel would take a direct write.
fn is_aligned(offset: u64, bytes: &Chunk, written: usize) -> bool {
    let bytes = &bytes.as_slice()[written..];
    let place = bytes.as_ptr().align_offset(ALIGN);
    offset % lafs::num::size(ALIGN) == 0 && place == 0 && bytes.len() % ALIGN == 0
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
