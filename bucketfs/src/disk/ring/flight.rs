//! A flight: one operation, and what the kernel has of it.
//!
//! From the push of a chain to the completion that ends it, the chain and the current file stay in
//! the flight untouched: the kernel reads and writes there.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;

use super::super::files::Taken;
use super::super::program;
use super::super::step::{Chain, Link, Order, Perform, Step};
use super::super::{DiskError, EntryKind, Operation, OperationId, Outcome};
use super::entry::Where;

/// One operation in flight.
pub(super) struct Flight {
    pub(super) id: OperationId,
    /// Tells this flight's completions from those of an earlier one in the same place.
    pub(super) generation: u32,
    program: Pin<Box<dyn Future<Output = Ended>>>,
    turn: Rc<RefCell<Turn>>,
    /// The chain under way.
    pub(super) chain: Chain,
    pub(super) plan: Plan,
    pub(super) current: Current,
    /// Where the kernel writes the answer of an `Examine`.
    pub(super) status: Option<Box<MaybeUninit<libc::statx>>>,
}

/// What a program gives in the end.
pub(super) type Ended = (Operation, Result<Outcome, DiskError>);

/// How a chain goes to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Linked, all at once. What ends it is the last step's completion, or that of a step that
    /// severs: successes of those are silent, and so are the steps behind one that fails.
    Whole,
    /// Unlinked, all at once, a completion each.
    Together { awaited: usize },
    /// One step at a time, this one now.
    Single { index: usize },
    /// It came back, or there was none yet.
    Landed,
}

/// The file an operation has opened.
#[derive(Debug)]
pub(super) enum Current {
    None,
    Descriptor(OwnedFd),
    /// In the ring's own table.
    Slot(u32),
}

/// Whose turn it is, and the chain that is handed to and fro.
enum Turn {
    Program,
    Asked(Chain),
    Landed(Chain),
}

/// The program's side.
struct Desk(Rc<RefCell<Turn>>);

impl Flight {
    /// Makes a flight; its program has not begun.
    pub(super) fn new(
        id: OperationId,
        generation: u32,
        operation: Operation,
        taken: Taken,
    ) -> Self {
        let turn = Rc::new(RefCell::new(Turn::Program));
        let mut desk = Desk(Rc::clone(&turn));
        let program = async move { program::perform(operation, taken.kept, &mut desk).await };
        Self {
            id,
            generation,
            program: Box::pin(program),
            turn,
            chain: Chain::linked(Vec::new()),
            plan: Plan::Landed,
            current: taken.current.into(),
            status: None,
        }
    }

    /// Lets the program go on: gives what it ends with, or makes `chain` the one it asks for.
    pub(super) fn advance(&mut self) -> Option<Ended> {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(ended) = self.program.as_mut().poll(&mut context) {
            return Some(ended);
        }
        match self.turn.replace(Turn::Program) {
            Turn::Asked(chain) => self.chain = chain,
            _ => unreachable!("a program waits for nothing but chains"),
        }
        None
    }

    /// Gives the chain, with its results, back to the program.
    pub(super) fn return_chain(&mut self) {
        let chain = std::mem::replace(&mut self.chain, Chain::linked(Vec::new()));
        self.turn.replace(Turn::Landed(chain));
    }

    /// Takes the kernel's result of a link; returns whether the kernel is done with all it has of
    /// the flight.
    pub(super) fn land(&mut self, index: usize, result: i32, slot: u32) -> bool {
        if self.plan == Plan::Whole {
            self.record_silent_successes(index, slot);
        }
        self.record(index, result, slot);
        match self.plan {
            Plan::Single { .. } => {
                self.step_on(index);
                true
            }
            Plan::Together { awaited: 1 } => {
                self.plan = Plan::Landed;
                true
            }
            Plan::Together { awaited } => {
                let awaited = awaited - 1;
                self.plan = Plan::Together { awaited };
                false
            }
            Plan::Whole => {
                let ends = self.ends_chain(index, result);
                if ends {
                    self.plan = Plan::Landed;
                }
                ends
            }
            Plan::Landed => unreachable!("the kernel has nothing of a chain that landed"),
        }
    }

    /// Whether the chain opens its file into a slot of the ring.
    ///
    /// The steps behind the open find the file there before anybody has heard of it. An open with
    /// none behind it is to give a descriptor.
    pub(super) fn uses_slot(&self) -> bool {
        let last = self.chain.links.last();
        self.plan == Plan::Whole && !last.is_some_and(|link| matches!(link.step, Step::Open { .. }))
    }

    /// Moves on to the next step of a chain that is performed one by one.
    pub(super) fn step_on(&mut self, index: usize) {
        let Chain { links, order } = &self.chain;
        let severed = *order == Order::Linked && links[index].severs();
        self.plan = match index + 1 {
            next if next < links.len() && !severed => Plan::Single { index: next },
            _ => Plan::Landed,
        };
    }

    /// Whether no more completions of a chain come after this one.
    fn ends_chain(&self, index: usize, result: i32) -> bool {
        let links = &self.chain.links;
        let link = &links[index];
        if index + 1 == links.len() {
            return true;
        }
        if result == CANCELED {
            // Cancelled by a step that failed aloud, the links behind are told one by one.
            return !links[..index].iter().any(|link| link.failure().is_some());
        }
        severs(&link.step) && link.severs()
    }

    /// Notes that the steps before the one that completed, if nothing was heard of them, succeeded.
    fn record_silent_successes(&mut self, end: usize, slot: u32) {
        for index in 0..end {
            let link = &self.chain.links[index];
            if link.result.is_none() {
                let len = link.step.transfer_len();
                let len = i32::try_from(len).expect("at most TRANSFER_LEN_MAX");
                self.record(index, len, slot);
            }
        }
    }

    /// Notes the kernel's result of a link, and what it means for the flight.
    fn record(&mut self, index: usize, result: i32, slot: u32) {
        let uses_slot = self.uses_slot();
        let link = &mut self.chain.links[index];
        assert!(link.result.is_none(), "a step completes once");
        if result == CANCELED {
            // It did not run.
            return;
        }
        let Ok(count) = u32::try_from(result) else {
            if matches!(link.step, Step::Close) {
                self.current.forget();
            }
            link.result = Some(Err(Errno::from_raw_os_error(-result)));
            return;
        };
        let mut count = u64::from(count);
        match &mut link.step {
            Step::Open { .. } => {
                self.current = match uses_slot {
                    true => Current::Slot(slot),
                    // SAFETY: the kernel has just opened it for this flight, which alone knows it.
                    false => Current::Descriptor(unsafe { OwnedFd::from_raw_fd(result) }),
                };
                count = 0;
            }
            Step::Close => self.current.forget(),
            Step::Read { buffer, len, .. } => {
                let read = usize::try_from(count).expect("lengths fit");
                assert!(read <= *len, "the kernel wrote within the buffer");
                let filled = buffer.len() + read;
                // SAFETY: the entry named the buffer's spare capacity, at least `len` bytes of it,
                // and the kernel has written `read` bytes there.
                unsafe { buffer.set_len(filled) };
            }
            Step::Examine { kind, .. } => {
                let status = self.status.take().expect("an examine has room");
                // SAFETY: the kernel has written it, and it was zero before, a value of each field.
                *kind = Some(kind_of(unsafe { status.assume_init_ref() }));
            }
            _ => {}
        }
        link.result = Some(Ok(count));
    }
}

impl From<Option<OwnedFd>> for Current {
    fn from(file: Option<OwnedFd>) -> Self {
        file.map_or(Self::None, Self::Descriptor)
    }
}

impl Current {
    pub(super) fn place(&self) -> Where {
        match self {
            Self::None => Where::Nowhere,
            Self::Descriptor(file) => Where::Descriptor(file.as_raw_fd()),
            Self::Slot(slot) => Where::Slot(*slot),
        }
    }

    /// Takes the descriptor out, to be kept or lent to a thread.
    pub(super) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        match std::mem::replace(self, Self::None) {
            Self::None => None,
            Self::Descriptor(file) => Some(file),
            Self::Slot(slot) => unreachable!("slot {slot} is left open by its program"),
        }
    }

    /// After the kernel has closed it.
    fn forget(&mut self) {
        if let Self::Descriptor(file) = std::mem::replace(self, Self::None) {
            let _: RawFd = file.into_raw_fd();
        }
    }
}

impl Perform for Desk {
    async fn run(&mut self, chain: Chain) -> Chain {
        self.0.replace(Turn::Asked(chain));
        poll_fn(|_| match self.0.replace(Turn::Program) {
            Turn::Landed(chain) => Poll::Ready(chain),
            turn => {
                self.0.replace(turn);
                Poll::Pending
            }
        })
        .await
    }
}

/// Whether a link of a chain gives no completion if it succeeds.
pub(super) fn is_silent(link: &Link) -> bool {
    severs(&link.step) || link.optional && matches!(link.step, Step::MakeDirectory { .. })
}

/// Whether the kernel severs a chain at this step if it fails, and tells of it even if silent.
///
/// It takes only these for failures (`req_set_fail` in its sources). An `fsync` that fails lets the
/// chain go on, and had it been asked to be silent about success, nobody would ever know.
fn severs(step: &Step) -> bool {
    matches!(
        step,
        Step::Open { .. } | Step::Close | Step::Read { .. } | Step::Write { .. }
    )
}

fn kind_of(status: &libc::statx) -> EntryKind {
    match u32::from(status.stx_mode) & libc::S_IFMT {
        libc::S_IFREG => EntryKind::File,
        libc::S_IFDIR => EntryKind::Directory,
        _ => EntryKind::Other,
    }
}

const CANCELED: i32 = -libc::ECANCELED;
