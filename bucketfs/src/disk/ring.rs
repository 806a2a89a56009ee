//! The ring engine: operations through io_uring, batches of them in one system call.
//!
//! ```text
//! submit     a flight is made: the operation's program, run up to its first chain
//! flush      the chains that wait become entries, one io_uring_enter hands them all over
//! reap       completions are matched with flights; a chain that has landed goes back to its
//!            program, which ends or asks for the next chain, to be flushed
//! ```
//!
//! The flight table owns every buffer, path and descriptor that the kernel may look at, from the
//! push of an entry to the completion that ends its chain, whatever becomes of the asker. Programs
//! only hold what has come back.
//!
//! Steps that io_uring has no opcode for go to helper threads, one step at a time. Reads and
//! listings of what the kernel has in memory go neither way: they are done when they are submitted.
//!
//! Shares that the journal has are placed, and buckets moved, by threads of their own, a whole
//! operation at a time: the kernel would hand every step of it to a worker of its own anyway, as each
//! changes a directory, and a thread that makes the calls itself saves the entries, the completions
//! and the wake-ups.
//!
//! A kernel short of memory may refuse the queue. It is offered again, with pauses; after half a
//! minute what it has not taken is taken back, and from then on every step goes to the helpers.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use io_uring::squeue::{Entry, Flags};
use slab::Slab;

use super::cached::{self, Pace};
use super::files::{Files, Taken};
use super::pool::{Performed, Whole};
use super::step::{Chain, Link, Order, Step};
use super::syscall::Syscalls;
use super::workers::{Bell, Job, Workers};
use super::{Completion, DiskError, Engine, FLIGHT_MAX, Operation, OperationId, PLACES_MAX, Root};

mod entry;
#[expect(unsafe_code, reason = "takes back what the kernel was lent")]
mod flight;
#[expect(unsafe_code, reason = "hands pointers to the kernel")]
mod kernel;
mod offer;
mod patience;

use entry::{Place, Where, enter, entry};
use flight::{Flight, Plan};
use kernel::{Kernel, SLOTS};
use patience::Patience;

/// Performs operations through io_uring.
///
/// Only the thread that made it can use it: the kernel refuses any other.
pub struct Ring {
    kernel: Kernel,
    flights: Slab<Flight>,
    /// Flights whose chain, or the next step of it, waits to be pushed.
    waiting: VecDeque<usize>,
    /// How many flights the kernel has something of, or will have once the queue is handed over.
    aloft: usize,
    /// The flights of the queue that the kernel has not taken yet, as far as is known, and how many
    /// entries each has in it.
    queued: VecDeque<(usize, usize)>,
    patience: Patience,
    /// Somebody is about to ring the bell, so that the queue is offered again.
    is_pausing: Arc<AtomicBool>,
    files: Files,
    helpers: Workers<Errand>,
    returned: Vec<Errand>,
    placers: Workers<Whole>,
    /// How many operations the placers have.
    placing: usize,
    placed: Vec<Performed>,
    finished: Vec<Completion>,
    bell: Arc<Bell>,
    root: Arc<Root>,
    pace: Pace,
    generation: u32,
    entries: Vec<Entry>,
}

/// Why there is no ring to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The kernel, or a filter in front of it, refuses.
    #[error(transparent)]
    Refused(#[from] DiskError),
    /// The kernel's io_uring lacks a step of every upload.
    #[error("io_uring has no {opcode} here: it came with Linux 5.15")]
    TooOld {
        /// What is missing.
        opcode: &'static str,
    },
}

/// A step on its way to a helper thread and back.
struct Errand {
    key: usize,
    index: usize,
    link: Link,
    current: Option<OwnedFd>,
}

impl Ring {
    /// Opens a ring that works below `root`.
    ///
    /// # Errors
    ///
    /// [`RingError`], where io_uring is denied or too old.
    pub fn new(root: Arc<Root>) -> Result<Self, RingError> {
        let bell = Arc::new(Bell::new()?);
        let kernel = Kernel::open(&bell)?;
        let helpers = Workers::new(Arc::clone(&root), Arc::clone(&bell), HELPERS_MAX);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let placers = cores.min(PLACES_MAX);
        let placers = Workers::new(Arc::clone(&root), Arc::clone(&bell), placers);
        Ok(Self {
            kernel,
            flights: Slab::new(),
            waiting: VecDeque::new(),
            aloft: 0,
            queued: VecDeque::new(),
            patience: Patience::default(),
            is_pausing: Arc::default(),
            files: Files::default(),
            helpers,
            returned: Vec::new(),
            placers,
            placing: 0,
            placed: Vec::new(),
            finished: Vec::new(),
            bell,
            root,
            pace: Pace::default(),
            generation: 0,
            entries: Vec::new(),
        })
    }

    /// Opens a ring that performs one step at a time, as it does on kernels before 5.19.
    ///
    /// # Errors
    ///
    /// As [`Ring::new`].
    pub fn without_chains(root: Arc<Root>) -> Result<Self, RingError> {
        let mut ring = Self::new(root)?;
        ring.kernel.chains = false;
        Ok(ring)
    }

    /// Lets a flight's program and its steps go on as far as they can without the kernel.
    fn proceed(&mut self, key: usize) {
        loop {
            let flight = &mut self.flights[key];
            if flight.plan == Plan::Landed {
                flight.return_chain();
                if let Some(ended) = flight.advance() {
                    return self.finish(key, ended);
                }
                self.plan(key);
                continue;
            }
            let Plan::Single { index } = flight.plan else {
                return self.waiting.push_back(key);
            };
            if self.perform_if_cached(key, index) {
                continue;
            }
            if self.append_at_once(key, index) {
                continue;
            }
            match &self.flights[key].chain().links[index].step {
                Step::MustBeFile { .. } | Step::Size { .. } | Step::Release => {
                    self.perform_here(key, index);
                }
                step if self.kernel.supports(step) => return self.waiting.push_back(key),
                _ => return self.send_errand(key, index),
            }
        }
    }

    /// Decides how a new chain goes to the kernel.
    fn plan(&mut self, key: usize) {
        let Chain { links, order } = self.flights[key].chain();
        let supported = links.iter().all(|link| self.kernel.supports(&link.step));
        let has_slot = u32::try_from(key).is_ok_and(|key| key < SLOTS);
        self.flights[key].plan = match order {
            Order::Together if supported && links.len() > 1 => Plan::Together {
                awaited: links.len(),
            },
            Order::Linked if supported && has_slot && self.kernel.chains && links.len() > 1 => {
                Plan::Whole
            }
            _ => Plan::Single { index: 0 },
        };
    }

    /// Performs a step that never blocks.
    fn perform_here(&mut self, key: usize, index: usize) {
        let flight = &mut self.flights[key];
        let mut here = Syscalls::new(&self.root, flight.take_current());
        here.step(flight.link_mut(index));
        flight.put_current(here.current);
        flight.step_on(index);
    }

    /// Performs a step that only looks, if what it looks at is in memory: a call or two, where the
    /// ring, or a helper, needs a trip through the event queue, which costs several times as much.
    fn perform_if_cached(&mut self, key: usize, index: usize) -> bool {
        let flight = &mut self.flights[key];
        if matches!(flight.place(), Where::Slot(_)) {
            return false;
        }
        let mut here = Syscalls::new(&self.root, flight.take_current());
        let done = here.step_if_cached(flight.link_mut(index));
        flight.put_current(here.current);
        if done {
            flight.step_on(index);
        }
        done
    }

    /// Makes an append that is small and alone, where the disk is quick: two wake-ups less.
    fn append_at_once(&mut self, key: usize, index: usize) -> bool {
        let is_alone = self.flights.len() == 1;
        let flight = &self.flights[key];
        let len = match &flight.chain().links[index].step {
            Step::Write {
                bytes,
                is_durable: true,
                ..
            } => bytes.as_slice().len(),
            _ => return false,
        };
        let may = is_alone && self.pace.appends.may(len, flight.began);
        if may {
            self.perform_here(key, index);
        }
        may
    }

    fn send_errand(&mut self, key: usize, index: usize) {
        let flight = &mut self.flights[key];
        let absent = Link::from(Step::Close);
        let link = std::mem::replace(flight.link_mut(index), absent);
        let current = flight.take_current();
        self.helpers.give(Errand {
            key,
            index,
            link,
            current,
        });
    }

    fn finish(&mut self, key: usize, ended: flight::Ended) {
        let mut flight = self.flights.remove(key);
        let (operation, result) = ended;
        if matches!(operation, Operation::Append { .. }) {
            self.pace.appends.took(flight.began, Instant::now());
        }
        self.files.put(&operation, flight.take_current());
        self.finished.push(Completion {
            id: flight.id,
            operation,
            result,
        });
    }

    /// Makes the entries of a flight's chain, or of the step at hand, and pushes them.
    ///
    /// Returns `false`, with nothing pushed, if the queue has no room.
    fn push(&mut self, key: usize) -> bool {
        let flight = &mut self.flights[key];
        let index = match flight.plan {
            Plan::Single { index } => index..index + 1,
            Plan::Whole | Plan::Together { .. } => 0..flight.chain().links.len(),
            Plan::Landed => unreachable!("a flight waits with a chain to be pushed"),
        };
        let in_chain = flight.plan == Plan::Whole;
        let root = self.root.as_fd().as_raw_fd();
        let current = match flight.place() {
            Where::Nowhere if flight.uses_slot() => Where::Slot(slot(key)),
            current => current,
        };
        self.entries.clear();
        // Every entry but the last is linked to the next one.
        let mut before: Option<(Entry, Flags)> = None;
        for index in index {
            let tag = tag(key, index, flight.generation);
            let link = flight.link_mut(index);
            let flags = match in_chain {
                true => link_flags(link),
                false => Flags::empty(),
            };
            let (first, second) = match &link.step {
                Step::Enter { directory } if in_chain => {
                    let [open, close] = enter(directory, root, slot(key));
                    (open, Some(close))
                }
                _ => (entry(&mut link.step, Place { root, current }), None),
            };
            for entry in [Some(first), second].into_iter().flatten() {
                let before = before.replace((entry.user_data(tag), flags));
                self.entries
                    .extend(before.map(|(entry, flags)| entry.flags(flags)));
            }
        }
        self.entries.extend(before.map(|(entry, _)| entry));
        // SAFETY: the entries point into the flight's chain, and to what lasts as long as the
        // program. From `lend` to the `land` that says that the kernel is done with the chain, or to
        // `take_back` if it never had it, the flight lets nobody at it; `drop` waits for that too.
        #[expect(unsafe_code, reason = "hands the flight's pointers to the kernel")]
        let pushed = unsafe { self.kernel.push(&self.entries) };
        if pushed {
            flight.lend();
            self.queued.push_back((key, self.entries.len()));
            self.aloft += 1;
        }
        pushed
    }

    /// Matches one completion with its flight, which may thereby have landed or not.
    ///
    /// Returns the flight if the kernel is done with what it had of it.
    fn land(&mut self, tag: u64, result: i32) -> Option<usize> {
        let (key, index, generation) = untag(tag);
        let flight = self.flights.get_mut(key);
        let flight = flight.expect("a flight outlives what the kernel has of it");
        assert_eq!(flight.generation, generation, "a chain completes once");
        let landed = flight.land(index, result, slot(key));
        self.aloft -= usize::from(landed);
        landed.then_some(key)
    }

    /// Takes what the kernel and the helpers have done, and lets the flights go on that landed.
    fn collect(&mut self) {
        loop {
            while let Some((tag, result)) = self.kernel.reap() {
                if let Some(key) = self.land(tag, result) {
                    self.proceed(key);
                }
            }
            if !self.kernel.has_overflowed() {
                break;
            }
            self.kernel.take_overflow();
        }
        self.take_errands();
        self.take_placed();
    }

    fn take_placed(&mut self) {
        if self.placing == 0 {
            return;
        }
        self.placers.take(&mut self.placed);
        for placed in self.placed.drain(..) {
            self.placing -= 1;
            self.finished.push(Completion {
                id: placed.id,
                operation: placed.operation,
                result: placed.result,
            });
        }
    }

    fn take_errands(&mut self) {
        self.helpers.take(&mut self.returned);
        let mut returned = std::mem::take(&mut self.returned);
        for errand in returned.drain(..) {
            let flight = &mut self.flights[errand.key];
            *flight.link_mut(errand.index) = errand.link;
            flight.put_current(errand.current);
            flight.step_on(errand.index);
            self.proceed(errand.key);
        }
        self.returned = returned;
    }
}

impl Engine for Ring {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn writes_directly(&self) -> bool {
        self.root.writes_directly()
    }

    fn submit(&mut self, id: OperationId, operation: Operation) {
        if let Some(result) = cached::perform(&self.root, &operation, &mut self.pace) {
            return self.finished.push(Completion {
                id,
                operation,
                result,
            });
        }
        if let Operation::Place { .. } | Operation::MoveDirectories { .. } = operation {
            self.placing += 1;
            return self.placers.give(Whole {
                id,
                operation,
                taken: Taken::default(),
            });
        }
        self.generation = self.generation.wrapping_add(1);
        let taken = self.files.take(&operation);
        let direct = self.root.writes_directly();
        let flight = Flight::new(id, self.generation, operation, taken, direct);
        let key = self.flights.insert(flight);
        self.proceed(key);
    }

    fn flush(&mut self) {
        self.offer(Instant::now);
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        self.collect();
        completions.append(&mut self.finished);
    }

    fn wait(&mut self) {
        loop {
            self.flush();
            self.collect();
            let is_idle = self.flights.is_empty() && self.placing == 0;
            if !self.finished.is_empty() || is_idle {
                return;
            }
            // Refused, the ring has somebody ring the bell.
            if self.waiting.is_empty() || self.is_pausing.load(Ordering::Acquire) {
                self.bell.wait();
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.flights.len() + self.placing + self.finished.len()
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        Some(self.bell.as_fd())
    }
}

impl Drop for Ring {
    /// Waits until the kernel is done with every buffer; those of a ring that can no longer be
    /// waited for are left to it for good.
    fn drop(&mut self) {
        while self.aloft > 0 {
            if let Err(error) = self.kernel.wait() {
                tracing::error!(%error, flights = self.flights.len(), "the ring cannot be drained");
                std::mem::forget(std::mem::take(&mut self.flights));
                return;
            }
            while let Some((tag, result)) = self.kernel.reap() {
                self.land(tag, result);
            }
        }
    }
}

impl Job for Errand {
    type Done = Self;

    fn perform(mut self, root: &Root) -> Self {
        let mut here = Syscalls::new(root, self.current);
        here.step(&mut self.link);
        self.current = here.current;
        self
    }
}

/// The flags of a step with others behind it.
fn link_flags(link: &Link) -> Flags {
    let order = match link.optional {
        true => Flags::IO_HARDLINK,
        false => Flags::IO_LINK,
    };
    match flight::is_silent(link) {
        true => order | Flags::SKIP_SUCCESS,
        false => order,
    }
}

/// The slot of the ring's file table that belongs to a flight.
fn slot(key: usize) -> u32 {
    u32::try_from(key).expect("flights are few")
}

/// What comes back with a completion: the flight's key and generation, and the link.
fn tag(key: usize, index: usize, generation: u32) -> u64 {
    assert!(index < 1 << INDEX_BITS, "chains are short");
    let place = slot(key) << INDEX_BITS | slot(index);
    u64::from(place) << u32::BITS | u64::from(generation)
}

fn untag(tag: u64) -> (usize, usize, u32) {
    let generation = u32::try_from(tag & u64::from(u32::MAX)).expect("masked");
    let place = usize::try_from(tag >> u32::BITS).expect("32 bits");
    let index = place & ((1 << INDEX_BITS) - 1);
    (place >> INDEX_BITS, index, generation)
}

/// Bits of a tag that say which link of the chain; more than `CHAIN_LEN_MAX` needs.
const INDEX_BITS: u32 = 8;

/// A sync of the file system takes one for as long as it lasts; lists and status calls the other.
const HELPERS_MAX: usize = 2;

const _: () = assert!(FLIGHT_MAX <= SLOTS as usize);
