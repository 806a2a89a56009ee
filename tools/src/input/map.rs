//! One window on a file, in memory only while it is looked at.
//!
//! The one place of this crate with `unsafe`: a mapping shows a file that others may write, and a
//! page whose bytes are gone kills the process with SIGBUS unless the signal is handled.

#![expect(
    unsafe_code,
    reason = "mapping a file, and surviving that it shrinks, cannot be had without"
)]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{Advice, Mmap, MmapOptions};

/// A part of a file, mapped for reading. Unmapped when dropped.
///
/// Where the file shrinks meanwhile, its bytes read as zeros and the window says that it is torn.
#[derive(Debug)]
pub(super) struct Mapping {
    map: Mmap,
    watch: &'static Watch,
}

impl Mapping {
    /// Maps `len` bytes from `offset` on.
    pub(super) fn new(file: &File, offset: u64, len: usize) -> io::Result<Self> {
        handle_sigbus()?;
        // SAFETY: a mapping is unsound to read while another process writes the file, because the
        // bytes then change under a `&[u8]`. Nothing here decides by a byte that it reads twice:
        // bytes are hashed, encrypted and copied, front to back, so a write yields other bytes, which
        // `InputFile` detects by the file's times, and never a broken invariant. Truncation is
        // answered by the signal handler below.
        let map = unsafe { MmapOptions::new().offset(offset).len(len).map(file) }?;
        // Advice only: a kernel that does not take it reads ahead less.
        let _ = map.advise(Advice::Sequential);
        let Some(watch) = Watch::begin(&map) else {
            return Err(io::Error::other("more than 64 files are mapped at once"));
        };
        Ok(Self { map, watch })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Whether bytes were missing, so that what was read is not the file.
    pub(super) fn was_torn(&self) -> bool {
        self.watch.torn.load(Ordering::SeqCst)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.watch.end();
    }
}

/// What the signal handler knows of one mapping: only atomics, as it may run at any instruction.
#[derive(Debug)]
struct Watch {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    torn: AtomicBool,
}

/// One upload maps one window; a few more let a library user run several at once.
static WATCHES: [Watch; 64] = [const { Watch::idle() }; 64];

impl Watch {
    const fn idle() -> Self {
        Self {
            taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            torn: AtomicBool::new(false),
        }
    }

    fn begin(map: &Mmap) -> Option<&'static Self> {
        let watch = WATCHES
            .iter()
            .find(|watch| !watch.taken.swap(true, Ordering::SeqCst))?;
        let page = page_len();
        let start = map.as_ptr().addr();
        watch.torn.store(false, Ordering::SeqCst);
        watch.start.store(start / page * page, Ordering::SeqCst);
        // Last: an end beyond the start is what arms the watch.
        let end = (start + map.len()).next_multiple_of(page);
        watch.end.store(end, Ordering::SeqCst);
        Some(watch)
    }

    fn end(&self) {
        self.end.store(0, Ordering::SeqCst);
        self.taken.store(false, Ordering::SeqCst);
    }

    /// Puts zeros in place of the pages from `address` to the end of the mapping.
    fn patch(&self, address: usize) -> bool {
        let (start, end) = (
            self.start.load(Ordering::SeqCst),
            self.end.load(Ordering::SeqCst),
        );
        if !(start..end).contains(&address) {
            return false;
        }
        self.torn.store(true, Ordering::SeqCst);
        let first = start + (address - start) / page_len() * page_len();
        // SAFETY: `first..end` lies within a mapping that this process made and, since its watch is
        // armed, still holds; replacing its pages by zeros keeps every `&[u8]` into it readable.
        let patched = unsafe {
            libc::mmap(
                ptr::with_exposed_provenance_mut(first),
                end - first,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        patched != libc::MAP_FAILED
    }
}

/// Installs the handler, once for the process.
fn handle_sigbus() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        // The first call looks it up; the handler then finds it known.
        page_len();
        // SAFETY: all-zero bytes are a valid sigaction: no handler, no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `action` is initialised and its handler has the signature that SA_SIGINFO asks for.
        match unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        }
    });
    installed.map_err(io::Error::from_raw_os_error)
}

/// Patches the mapping that lost its bytes; a SIGBUS of any other origin ends the process as ever.
extern "C" fn on_sigbus(
    _signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO.
    let info = unsafe { &*info };
    // SAFETY: si_addr is a field of what SIGBUS delivers.
    let address = unsafe { info.si_addr() }.addr();
    if !WATCHES.iter().any(|watch| watch.patch(address)) {
        // The instruction runs again and meets the default action.
        // SAFETY: signal() is async-signal-safe and SIG_DFL a valid action.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
    }
}

fn page_len() -> usize {
    rustix::param::page_size()
}
