//! A flight: one operation, and what the kernel has of it.
//!
//! From the push of a chain to the completion that ends it, the chain and the current file stay in
//! the flight untouched: the kernel reads and writes there. While they are *lent* so, nothing
//! outside this file can get hold of them.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use rustix::io::Errno;

use super::super::beneath::kind;
use super::super::files::Taken;
use super::super::program;
use super::super::step::{Chain, Link, Order, Perform, Step};
use super::super::{DiskError, Operation, OperationId, Outcome};
use super::entry::Where;

/// One operation in flight.
pub(super) struct Flight {
    pub(super) id: OperationId,
    /// Tells this flight's completions from those of an earlier one in the same place.
    pub(super) generation: u32,
    /// When it was submitted.
    pub(super) began: Instant,
    program: Pin<Box<dyn Future<Output = Ended>>>,
    turn: Rc<RefCell<Turn>>,
    /// The chain under way.
    chain: Chain,
    pub(super) plan: Plan,
    current: Current,
    /// The kernel has something of the chain, and of the file perhaps.
    is_lent: bool,
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
enum Current {
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
struct Desk {
    turn: Rc<RefCell<Turn>>,
    writes_directly: bool,
}

impl Flight {
    /// Makes a flight; its program has not begun.
    pub(super) fn new(
        id: OperationId,
        generation: u32,
        operation: Operation,
        taken: Taken,
        writes_directly: bool,
    ) -> Self {
        let turn = Rc::new(RefCell::new(Turn::Program));
        let mut desk = Desk {
            turn: Rc::clone(&turn),
            writes_directly,
        };
        let program = async move { program::perform(operation, taken.kept, &mut desk).await };
        Self {
            id,
            generation,
            began: Instant::now(),
            program: Box::pin(program),
            turn,
            chain: Chain::linked(Vec::new()),
            plan: Plan::Landed,
            current: taken.current.into(),
            is_lent: false,
        }
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// A link that may be changed: the kernel has nothing of it.
    pub(super) fn link_mut(&mut self, index: usize) -> &mut Link {
        assert!(!self.is_lent, "the kernel has the chain");
        &mut self.chain.links[index]
    }

    /// Where the current file is.
    pub(super) fn place(&self) -> Where {
        match &self.current {
            Current::None => Where::Nowhere,
            Current::Descriptor(file) => Where::Descriptor(file.as_raw_fd()),
            Current::Slot(slot) => Where::Slot(*slot),
        }
    }

    /// Takes the current file out, to be kept or lent to a thread.
    pub(super) fn take_current(&mut self) -> Option<OwnedFd> {
        assert!(!self.is_lent, "the kernel has the file");
        match std::mem::replace(&mut self.current, Current::None) {
            Current::None => None,
            Current::Descriptor(file) => Some(file),
            Current::Slot(slot) => unreachable!("slot {slot} is left open by its program"),
        }
    }

    pub(super) fn put_current(&mut self, file: Option<OwnedFd>) {
        assert!(!self.is_lent, "the kernel has the file");
        self.current = file.into();
    }

    /// Notes that the kernel has the chain, or the step at hand, until `land` says otherwise.
    pub(super) fn lend(&mut self) {
        assert!(!self.is_lent, "a chain is handed over once");
        self.is_lent = true;
    }

    /// Takes back what was to be handed over and never was, to be performed step by step.
    pub(super) fn take_back(&mut self) {
        self.is_lent = false;
        if !matches!(self.plan, Plan::Single { .. }) {
            self.plan = Plan::Single { index: 0 };
        }
    }

    /// Lets the program go on: gives what it ends with, or makes `chain` the one it asks for.
    pub(super) fn advance(&mut self) -> Option<Ended> {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(ended) = self.program.as_mut().poll(&mut context) {
            return Some(ended);
        }
        match self.turn.replace(Turn::Program) {
            Turn::Asked(chain) => {
                check(&chain);
                self.chain = chain;
            }
            _ => unreachable!("a program waits for nothing but chains"),
        }
        None
    }

    /// Gives the chain, with its results, back to the program.
    pub(super) fn return_chain(&mut self) {
        assert!(!self.is_lent, "the kernel has the chain");
        let chain = std::mem::replace(&mut self.chain, Chain::linked(Vec::new()));
        self.turn.replace(Turn::Landed(chain));
    }

    /// Takes the kernel's result of a link; returns whether the kernel is done with all it has of
    /// the flight.
    pub(super) fn land(&mut self, index: usize, result: i32, slot: u32) -> bool {
        assert!(self.is_lent, "the kernel completes what it was given");
        let has_landed = self.take_result(index, result, slot);
        self.is_lent = !has_landed;
        has_landed
    }

    fn take_result(&mut self, index: usize, result: i32, slot: u32) -> bool {
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
        let opens = |link: &Link| matches!(link.step, Step::Open { .. });
        self.plan == Plan::Whole && !last.is_some_and(opens)
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
        let uses_slot = self.uses_slot();
        for link in &mut self.chain.links[..end] {
            if link.result.is_some() {
                continue;
            }
            match &link.step {
                Step::Open { .. } => {
                    assert!(uses_slot, "of a silent open no descriptor is known");
                    self.current = Current::Slot(slot);
                }
                Step::Close => self.current.forget(),
                _ => {}
            }
            link.result = Some(Ok(lafs::num::size(link.step.transfer_len())));
        }
    }

    /// Notes the kernel's result of a link, and what it means for the flight.
    fn record(&mut self, index: usize, result: i32, slot: u32) {
        let uses_slot = self.uses_slot();
        let in_chain = self.plan == Plan::Whole;
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
        let mut count = Ok(u64::from(count));
        match &mut link.step {
            Step::Open { .. } if uses_slot => {
                self.current = Current::Slot(slot);
                count = Ok(0);
            }
            Step::Open { .. } => {
                // SAFETY: it was opened for this flight, and into no slot, so the result is a
                // descriptor of ours; a link is heard of once (asserted), so nobody has it yet.
                self.current = Current::Descriptor(unsafe { OwnedFd::from_raw_fd(result) });
                count = Ok(0);
            }
            // In a chain it was opened into the slot and closed.
            Step::Enter { .. } if in_chain => count = Ok(0),
            Step::Enter { .. } => {
                // SAFETY: as with `Open`; it has done its work, and is closed here.
                drop(unsafe { OwnedFd::from_raw_fd(result) });
                count = Ok(0);
            }
            Step::Examine { kind: found, .. } => {
                // SAFETY: as with `Open`: an `Examine` never opens into a slot.
                let file = unsafe { OwnedFd::from_raw_fd(result) };
                count = kind(file.as_fd()).map(|kind| {
                    *found = Some(kind);
                    0
                });
            }
            Step::Close => self.current.forget(),
            Step::Read { buffer, len, .. } => {
                let read = usize::try_from(result).expect("it is not negative");
                let filled = buffer.len() + read;
                assert!(read <= *len, "the kernel wrote within its bounds");
                assert!(
                    filled <= buffer.capacity(),
                    "the buffer has the room it had"
                );
                // SAFETY: the entry named the buffer's spare capacity, at least `len` bytes of it
                // (asserted there), and the kernel has written `read` bytes at its beginning. Both
                // were counted just now; the buffer was in the flight all the time (`is_lent`).
                unsafe { buffer.set_len(filled) };
            }
            _ => {}
        }
        link.result = Some(count);
    }
}

impl From<Option<OwnedFd>> for Current {
    fn from(file: Option<OwnedFd>) -> Self {
        file.map_or(Self::None, Self::Descriptor)
    }
}

impl Current {
    /// After the kernel has closed it.
    fn forget(&mut self) {
        if let Self::Descriptor(file) = std::mem::replace(self, Self::None) {
            let _: RawFd = file.into_raw_fd();
        }
    }
}

impl Perform for Desk {
    async fn run(&mut self, chain: Chain) -> Chain {
        self.turn.replace(Turn::Asked(chain));
        poll_fn(|_| match self.turn.replace(Turn::Program) {
            Turn::Landed(chain) => Poll::Ready(chain),
            turn => {
                self.turn.replace(turn);
                Poll::Pending
            }
        })
        .await
    }

    fn writes_directly(&self) -> bool {
        self.writes_directly
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
        Step::Open { .. }
            | Step::Enter { .. }
            | Step::Close
            | Step::Read { .. }
            | Step::Write { .. }
    )
}

/// Checks what taking a chain's results apart relies on. A program that asks for anything else is
/// stopped before the kernel hears of it: memory would be at stake, or a descriptor.
fn check(chain: &Chain) {
    let links = &chain.links;
    if chain.order == Order::Together {
        let reads = |link: &Link| matches!(link.step, Step::Read { .. });
        assert!(links.iter().all(reads), "only reads go together");
        return;
    }
    let mut has_opened = false;
    for (index, link) in links.iter().enumerate() {
        let is_last = index + 1 == links.len();
        match &link.step {
            Step::Open { .. } => {
                assert!(!has_opened, "a chain opens one file");
                has_opened = true;
            }
            Step::Enter { .. } => assert!(!has_opened, "the slot has the chain's file"),
            // It says what it found with its own completion, which only the last one always has.
            Step::Examine { .. } => assert!(is_last, "an examine ends its chain"),
            // How much was read nobody would hear.
            Step::Read { .. } => assert!(links.len() == 1, "a read is heard of"),
            _ => {}
        }
    }
}

const CANCELED: i32 = -libc::ECANCELED;

#[cfg(test)]
mod tests {
    use super::super::super::StorePath;
    use super::super::super::beneath::How;
    use super::super::super::step::Handle;
    use super::*;

    fn path() -> StorePath {
        StorePath::new("file")
    }

    fn open() -> Link {
        let (path, how) = (path(), How::Read);
        Step::Open { path, how }.into()
    }

    fn enter() -> Link {
        let directory = path();
        Step::Enter { directory }.into()
    }

    fn examine() -> Link {
        let path = path();
        Link::optional(Step::Examine { path, kind: None })
    }

    fn read() -> Link {
        let link = Step::Read {
            file: Handle::Current,
            offset: 0,
            buffer: Vec::with_capacity(1),
            len: 1,
        };
        link.into()
    }

    // Each would have the flight take a descriptor that is not there, lose one, or believe bytes
    // that were never read.
    #[test]
    fn chains_whose_results_cannot_be_told_apart_are_refused() {
        for chain in [
            Chain::linked(vec![examine(), examine()]),
            Chain::linked(vec![examine(), enter()]),
            Chain::linked(vec![open(), open()]),
            Chain::linked(vec![open(), enter()]),
            Chain::linked(vec![open(), read()]),
            Chain::together(vec![read(), open()]),
        ] {
            let text = format!("{chain:?}");
            let refused = std::panic::catch_unwind(move || check(&chain));
            assert!(refused.is_err(), "{text}");
        }
        for chain in [
            Chain::linked(vec![
                enter(),
                enter(),
                open(),
                Step::Close.into(),
                examine(),
            ]),
            Chain::linked(vec![read()]),
            Chain::together(vec![read(), read()]),
        ] {
            check(&chain);
        }
    }
}
