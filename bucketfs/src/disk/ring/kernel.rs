//! The two queues shared with the kernel; the only place that hands it pointers.
//!
//! Safe to use but for [`Kernel::push`], whose caller promises that what an entry points to stays
//! where it is until the entry's completion has been reaped.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use io_uring::register::Probe;
use io_uring::squeue::{self, Entry};
use io_uring::{Builder, IoUring, cqueue, opcode};
use rustix::io::Errno;

use super::super::DiskError;
use super::super::step::Step;
use super::super::workers::Bell;
use super::RingError;
use super::patience::{PATIENCE, PAUSE};

/// An open ring.
pub(super) struct Kernel {
    ring: IoUring,
    opcodes: Probe,
    /// Whether files can be opened into slots of the ring and chains complete as one.
    pub(super) chains: bool,
    /// Hands the queue over. Tests put one here that the kernel refuses.
    pub(super) submit: Submit,
    /// Nothing is handed over any more.
    has_given_up: bool,
}

type Submit = fn(&IoUring) -> io::Result<usize>;

/// What came of handing the queue over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    /// The kernel has it all.
    All,
    /// The kernel is short of memory, or wants completions reaped first. It may have taken some.
    Later,
}

impl Kernel {
    /// Opens a ring whose completions ring `bell`.
    ///
    /// # Errors
    ///
    /// As [`super::Ring::new`].
    pub(super) fn open(bell: &Bell) -> Result<Self, RingError> {
        let ring = build().map_err(|error| refused("io_uring_setup", &error))?;
        let submitter = ring.submitter();
        let mut opcodes = Probe::new();
        let bell = bell.as_fd().as_raw_fd();
        submitter
            .register_probe(&mut opcodes)
            .and_then(|()| submitter.register_eventfd(bell))
            .map_err(|error| refused("io_uring_register", &error))?;
        if let Some(opcode) = missing_opcode(&opcodes) {
            return Err(RingError::TooOld { opcode });
        }
        submitter
            .register_iowq_max_workers(&mut [WORKERS_MAX, WORKERS_MAX])
            .map_err(|error| refused("io_uring_register", &error))?;
        let skips = ring.params().is_feature_skip_cqe_on_success();
        let slots = submitter.register_files_sparse(SLOTS).is_ok();
        let mut kernel = Self {
            ring,
            opcodes,
            chains: false,
            submit: |ring| ring.submit(),
            has_given_up: false,
        };
        kernel.chains = skips && slots && kernel.a_failed_chain_completes_once()?;
        Ok(kernel)
    }

    /// Whether the kernel can perform a step without a thread of ours.
    pub(super) fn supports(&self, step: &Step) -> bool {
        if self.has_given_up {
            return false;
        }
        let code = match step {
            Step::MakeDirectory { .. } => opcode::MkDirAt::CODE,
            Step::Open { .. } | Step::Enter { .. } | Step::Examine { .. } => opcode::OpenAt2::CODE,
            Step::Read { .. } => opcode::Read::CODE,
            Step::Write { .. } => opcode::Write::CODE,
            Step::Allocate { .. } => opcode::Fallocate::CODE,
            Step::Resize { .. } => opcode::Ftruncate::CODE,
            Step::Sync { .. } => opcode::Fsync::CODE,
            Step::Close => opcode::Close::CODE,
            Step::Rename { .. } => opcode::RenameAt::CODE,
            Step::Link { .. } => opcode::LinkAt::CODE,
            Step::Unlink { .. } | Step::RemoveDirectory { .. } => opcode::UnlinkAt::CODE,
            Step::MustBeFile { .. }
            | Step::Size { .. }
            | Step::Release
            | Step::List { .. }
            | Step::ListPage { .. }
            | Step::FreeSpace { .. }
            | Step::SyncFileSystem => return false,
        };
        self.opcodes.is_supported(code)
    }

    /// Queues entries, all or none; `false` if there is no room before the queue is handed over.
    ///
    /// # Safety
    ///
    /// Everything the entries point to stays valid and unmoved until [`Kernel::reap`] has given the
    /// completion that ends them.
    pub(super) unsafe fn push(&mut self, entries: &[Entry]) -> bool {
        let mut queue = self.ring.submission();
        // SAFETY: passed on to the caller.
        unsafe { queue.push_multiple(entries) }.is_ok()
    }

    /// Hands what is queued to the kernel: one system call, however much it is.
    ///
    /// The kernel may have taken entries even when the call fails; nobody may conclude otherwise
    /// from an error. It is called again until the queue is empty.
    pub(super) fn hand_over(&mut self) -> Handed {
        let mut interruptions = 0;
        while !self.has_given_up && self.left() > 0 {
            let Err(error) = (self.submit)(&self.ring) else {
                continue;
            };
            match error.raw_os_error() {
                Some(libc::EINTR) if interruptions < INTERRUPTIONS_MAX => interruptions += 1,
                Some(errno) if passes(errno) => return Handed::Later,
                _ => panic!("io_uring_enter on a ring of ours: {error}"),
            }
        }
        Handed::All
    }

    /// How many entries in the queue the kernel has not taken.
    pub(super) fn left(&mut self) -> usize {
        self.ring.submission().len()
    }

    /// Never hands over what is left in the queue, nor takes anything else.
    ///
    /// What the kernel has taken it completes as ever. What it has not it will not look at: it reads
    /// the queue in `io_uring_enter` alone, as far as it is told to.
    pub(super) fn give_up(&mut self) {
        self.has_given_up = true;
    }

    /// Blocks until there is a completion to reap.
    ///
    /// # Errors
    ///
    /// As `io_uring_enter`, if waiting is impossible.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let mut refusals = 0;
        while self.ring.completion().is_empty() {
            let waited = match self.has_given_up {
                false => self.ring.submit_and_wait(1),
                true => self.enter_empty_handed(1),
            };
            match waited {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => match error.raw_os_error() {
                    Some(errno) if passes(errno) && refusals < REFUSALS_MAX => {
                        refusals += 1;
                        std::thread::sleep(PAUSE);
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Lets the kernel complete things, and waits for that, without handing anything over.
    fn enter_empty_handed(&self, completions: u32) -> io::Result<usize> {
        let submitter = self.ring.submitter();
        let nothing = None::<&libc::sigset_t>;
        // SAFETY: with no entry handed over the kernel looks at none, and there is no argument.
        unsafe { submitter.enter(0, completions, ENTER_GETEVENTS, nothing) }
    }

    /// Takes the next completion: the entry's user data and result.
    pub(super) fn reap(&mut self) -> Option<(u64, i32)> {
        let completion = self.ring.completion().next()?;
        Some((completion.user_data(), completion.result()))
    }

    /// Whether completions were left with the kernel because the queue was full.
    pub(super) fn has_overflowed(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Lets the kernel move completions that it had to keep back.
    pub(super) fn take_overflow(&mut self) {
        // Failing is no loss: the completions stay where they are until the next try.
        let _ = match self.has_given_up {
            false => self.ring.submit(),
            true => self.enter_empty_handed(0),
        };
    }

    /// Whether a linked chain that fails in the middle gives exactly the failed step's completion.
    ///
    /// The flight table counts on it to know when the kernel is done with a chain's buffers.
    fn a_failed_chain_completes_once(&mut self) -> Result<bool, RingError> {
        let quiet = squeue::Flags::SKIP_SUCCESS;
        let linked = quiet | squeue::Flags::IO_LINK;
        // A close of a slot that is empty fails; two steps stand on either side of it.
        let close = opcode::Close::new(io_uring::types::Fixed(0)).build();
        let chain = [
            opcode::Nop::new().build().flags(linked).user_data(0),
            close.flags(linked).user_data(1),
            opcode::Nop::new().build().flags(linked).user_data(2),
            opcode::Nop::new().build().user_data(3),
        ];
        // SAFETY: these entries point to nothing.
        let pushed = unsafe { self.push(&chain) };
        assert!(pushed, "the queue is empty and longer than a chain");
        self.wait()
            .map_err(|error| refused("io_uring_enter", &error))?;
        let first = self.reap();
        // Completions come in the order of these steps, so one more tells that the chain has ended.
        // SAFETY: this entry points to nothing.
        let pushed = unsafe { self.push(&[opcode::Nop::new().build().user_data(4)]) };
        assert!(pushed, "the queue was handed over");
        self.wait()
            .map_err(|error| refused("io_uring_enter", &error))?;
        let second = self.reap();
        let mut more = false;
        while self.reap().is_some() {
            more = true;
        }
        Ok(first == Some((1, -libc::EBADF)) && second == Some((4, 0)) && !more)
    }
}

/// The first opcode that every upload needs and this kernel has not.
fn missing_opcode(opcodes: &Probe) -> Option<&'static str> {
    let wanted = [
        ("openat2", opcode::OpenAt2::CODE),
        ("read", opcode::Read::CODE),
        ("write", opcode::Write::CODE),
        ("fsync", opcode::Fsync::CODE),
        ("close", opcode::Close::CODE),
        ("renameat", opcode::RenameAt::CODE),
        ("unlinkat", opcode::UnlinkAt::CODE),
        ("mkdirat", opcode::MkDirAt::CODE),
    ];
    let missing = wanted
        .into_iter()
        .find(|(_, code)| !opcodes.is_supported(*code));
    missing.map(|(name, _)| name)
}

/// Whether `io_uring_enter` may succeed later: the kernel has too little memory at the moment (which
/// before Linux 6.14 it also says with `ENOMEM`), wants completions reaped, or heard a signal.
fn passes(errno: i32) -> bool {
    matches!(
        errno,
        libc::EAGAIN | libc::EBUSY | libc::ENOMEM | libc::EINTR
    )
}

fn refused(call: &'static str, error: &io::Error) -> RingError {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    RingError::Refused(DiskError { call, errno })
}

/// Sets a ring up with the flags that fit one thread that also does other work; without them on
/// kernels that do not know them.
fn build() -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    with_sizes(&mut builder)
        .setup_coop_taskrun()
        .setup_single_issuer()
        .setup_submit_all();
    match builder.build(QUEUE_LEN) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            with_sizes(&mut IoUring::builder()).build(QUEUE_LEN)
        }
        result => result,
    }
}

fn with_sizes(
    builder: &mut Builder<squeue::Entry, cqueue::Entry>,
) -> &mut Builder<squeue::Entry, cqueue::Entry> {
    builder.setup_cqsize(COMPLETIONS_LEN)
}

/// How often a signal may get in the way of one call before others have a turn.
const INTERRUPTIONS_MAX: usize = 16;

/// How often waiting is tried again, with a pause each time.
const REFUSALS_MAX: u128 = PATIENCE.as_millis() / PAUSE.as_millis();

/// `IORING_ENTER_GETEVENTS` of `linux/io_uring.h`.
const ENTER_GETEVENTS: u32 = 1;

/// Entries handed over in one system call at most.
const QUEUE_LEN: u32 = 256;

/// Room for a completion of every step in flight; beyond it the kernel keeps them back for us.
const COMPLETIONS_LEN: u32 = 2048;

/// Slots for files opened within a chain, one a flight.
pub(super) const SLOTS: u32 = 256;

/// Most kernel threads that perform steps which would block.
///
/// Nearly every step that changes a directory does, and they contend for the same locks: more
/// threads make a batch slower, not faster.
const WORKERS_MAX: u32 = 4;

// The structures are the kernel's, so their sizes are the same on 32 bits and 64. The crate's
// bindings were generated on 64 bits; a difference in layout would show here.
const _: () = {
    assert!(size_of::<squeue::Entry>() == 64);
    assert!(size_of::<cqueue::Entry>() == 16);
    assert!(size_of::<io_uring::types::OpenHow>() == 24);
    assert!(size_of::<io_uring::types::Timespec>() == 16);
};
