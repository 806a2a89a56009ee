//! What the kernel has in memory, looked at by whoever wants it. But for [`Pace`] no call here waits
//! for a disk.
//!
//! Whatever is not in memory, or not what it should be, is not found here; the engines find it, and
//! say what is wrong.

use std::ffi::CStr;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use lafs::num;
use rustix::fs::FileType;
use rustix::io::{Errno, ReadWriteFlags};

use super::beneath::{Beneath, How};
use super::{ByteRange, DiskError, Operation, Outcome, Root, StorePath, list, syscall};

/// A directory to look beneath.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cached<'a>(Beneath<'a>);

impl Root {
    /// The store directory, to look beneath.
    pub(crate) fn cached(&self) -> Cached<'_> {
        Cached(self.beneath())
    }
}

impl<'a> Cached<'a> {
    /// A directory that was found below this one.
    pub(crate) fn below(self, directory: &'a OwnedFd) -> Self {
        Self(Beneath {
            directory: directory.as_fd(),
            ..self.0
        })
    }

    /// Opens a file to be read. `NOENT` is to be believed; any other errno may mean that the kernel
    /// would have to ask the disk.
    pub(crate) fn open(self, path: &CStr) -> Result<OwnedFd, Errno> {
        self.0.open_cached(path, How::Read)
    }

    /// Opens a directory to be listed, likewise.
    pub(crate) fn open_directory(self, path: &CStr) -> Result<OwnedFd, Errno> {
        self.0.open_cached(path, How::Directory)
    }
}

/// The size of an open file, if it is a regular one.
pub(crate) fn size_of_file(file: BorrowedFd<'_>) -> Option<u64> {
    let status = rustix::fs::fstat(file).ok()?;
    let is_file = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
    u64::try_from(status.st_size).ok().filter(|_| is_file)
}

/// Fills the buffer from the page cache; `None` if not all of it is there.
pub(crate) fn read_cached_into(file: BorrowedFd<'_>, offset: u64, buffer: &mut [u8]) -> Option<()> {
    if buffer.is_empty() {
        return Some(());
    }
    let len = buffer.len();
    let room = &mut [IoSliceMut::new(buffer)];
    let read = rustix::io::preadv2(file, room, offset, ReadWriteFlags::NOWAIT).ok()?;
    (read == len).then_some(())
}

/// Performs an operation that looks at something, or writes a little, if all of it is in memory.
///
/// `None` if it is not, or if something is wrong with it: asked in the ordinary way the disk will
/// say what.
pub(crate) fn perform(
    root: &Root,
    operation: &Operation,
    pace: &mut Pace,
) -> Option<Result<Outcome, DiskError>> {
    let root = root.beneath();
    match operation {
        Operation::Read { path, ranges } => {
            // Of a file that is there the ring reads the inode without making anybody wait.
            let opened = match ranges.is_empty() {
                true => pace.lookups.open(root, path, How::Read),
                false => root.open_cached(path.as_c_str(), How::Read),
            };
            let file = match absent(opened)? {
                Ok(file) => file,
                Err(error) => return Some(Err(error)),
            };
            let size = size_of_file(file.as_fd())?;
            let read = |range: &ByteRange| {
                let left = num::len(size.saturating_sub(range.offset)).unwrap_or(usize::MAX);
                let mut piece = vec![0; left.min(range.len)];
                read_cached_into(file.as_fd(), range.offset, &mut piece)?;
                Some(piece)
            };
            let pieces = ranges.iter().map(read).collect::<Option<_>>()?;
            Some(Ok(Outcome::Read { size, pieces }))
        }
        Operation::List { path } => {
            let began = Instant::now();
            let directory = match absent(pace.lookups.open(root, path, How::Directory))? {
                Ok(directory) => directory,
                Err(error) => return Some(Err(error)),
            };
            let mut entries = Vec::new();
            let listed = list::whole(&directory, &mut entries);
            pace.lookups.took(began.elapsed());
            listed.ok()?;
            Some(Ok(Outcome::Listed(entries)))
        }
        Operation::Patch {
            path,
            writes,
            size: None,
        } => {
            let len: usize = writes.iter().map(|(_, bytes)| bytes.len()).sum();
            let may = len <= PATCH_LEN_MAX && pace.patches.may();
            let file = may.then(|| root.open_cached(path.as_c_str(), How::Write))?;
            let file = file.ok()?;
            size_of_file(file.as_fd())?;
            let began = Instant::now();
            let written = writes.iter().all(|(offset, bytes)| {
                let written = rustix::io::pwrite(&file, bytes, *offset);
                written.is_ok_and(|written| written == bytes.len())
            });
            pace.patches.took(began.elapsed());
            // What was written is written once more, and what is wrong is told then.
            written.then_some(())?;
            let call = "close";
            let closed = syscall::close(file).map_err(|errno| DiskError { call, errno });
            Some(closed.map(|_| Outcome::Done))
        }
        _ => None,
    }
}

/// What an open gave, if that is to be believed.
fn absent(opened: Result<OwnedFd, Errno>) -> Option<Result<OwnedFd, DiskError>> {
    match opened {
        Ok(file) => Some(Ok(file)),
        Err(Errno::NOENT) => {
            let (call, errno) = ("open", Errno::NOENT);
            Some(Err(DiskError { call, errno }))
        }
        Err(_) => None,
    }
}

/// What may be done at once though it may have to wait for the disk, now and then.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    lookups: Attempts,
    patches: Attempts,
    pub(crate) appends: Appends,
}

/// Small appends that nobody else waits for: whether they are made at once.
///
/// An append always waits for the disk, on a good one less than it costs to be woken when the disk is
/// ready. Meanwhile nobody is served. So it is done only where that was short the last time, and not
/// long ago: a disk may have gone to sleep since.
#[derive(Debug, Default)]
pub(crate) struct Appends {
    /// When the last one ended, if it took not long.
    ended: Option<Instant>,
}

impl Appends {
    /// Whether an append of these bytes may be made at once.
    pub(crate) fn may(&self, len: usize, now: Instant) -> bool {
        let is_awake = |ended| now.saturating_duration_since(ended) < APPEND_IDLE;
        len <= APPEND_LEN_MAX && self.ended.is_some_and(is_awake)
    }

    /// One took this time, whichever way it was made.
    pub(crate) fn took(&mut self, began: Instant, now: Instant) {
        let is_short = now.saturating_duration_since(began) < APPEND_TIME;
        self.ended = is_short.then_some(now);
    }
}

/// Calls that nearly always end in memory, and that nobody can tell of beforehand whether they do.
///
/// A lookup of a name that is not there: most of a new bucket's. The kernel knows that from the blocks
/// of the directory, which are nearly always in memory. A write into a page that was just read: it
/// waits when the system has more unwritten pages than it wants. Either takes a few microseconds, and
/// a thread for it many times that. If one took long, threads do them for a while.
#[derive(Debug, Default)]
struct Attempts {
    /// How many are left to others.
    pause: u32,
}

impl Attempts {
    fn may(&mut self) -> bool {
        let may = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        may
    }

    fn took(&mut self, time: Duration) {
        if time > ATTEMPT_TIME {
            self.pause = ATTEMPT_PAUSE;
        }
    }

    fn open(&mut self, root: Beneath<'_>, path: &StorePath, how: How) -> Result<OwnedFd, Errno> {
        match root.open_cached(path.as_c_str(), how) {
            Err(Errno::AGAIN) if self.may() => {
                let began = Instant::now();
                let opened = root.open(path, how);
                self.took(began.elapsed());
                opened
            }
            opened => opened,
        }
    }
}

/// In memory one takes a hundredth of this, and with a disk more.
const ATTEMPT_TIME: Duration = Duration::from_micros(300);

/// So many share the time that one may take on a slow disk: some ten milliseconds.
const ATTEMPT_PAUSE: u32 = 1000;

/// An append that takes longer waits for a disk that has to move something, or is busy with others.
const APPEND_TIME: Duration = Duration::from_millis(1);

/// No disk goes to sleep as soon as this.
const APPEND_IDLE: Duration = Duration::from_secs(1);

/// A block of the journal, as one share has it, or a few.
const APPEND_LEN_MAX: usize = 4096;

/// Most bytes that are written at once; a thread takes longer with more.
const PATCH_LEN_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    // On a disk that is slow for once, everybody would wait for every lookup.
    #[test]
    fn what_took_long_is_left_to_others_for_a_while() {
        let mut attempts = Attempts::default();
        assert!(attempts.may());
        attempts.took(ATTEMPT_TIME);
        assert!(attempts.may());
        attempts.took(ATTEMPT_TIME * 2);
        for attempt in 0..ATTEMPT_PAUSE {
            assert!(!attempts.may(), "{attempt}");
        }
        assert!(attempts.may());
    }

    // Whoever is served by the same thread would wait for a disk that has to wake up.
    #[test]
    fn an_append_is_made_at_once_only_behind_one_that_was_short_and_not_long_ago() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut appends = Appends::default();
        assert!(!appends.may(4096, at(0)), "nothing is known of the disk");
        appends.took(at(0), at(2));
        assert!(!appends.may(4096, at(2)), "the last one was long");
        appends.took(at(3), at(3));
        assert!(appends.may(4096, at(4)));
        assert!(!appends.may(4097, at(4)), "many wait for it");
        assert!(!appends.may(4096, at(1003)), "the disk may sleep");
        appends.took(at(1003), at(1003));
        assert!(appends.may(4096, at(1004)), "it is awake again");
    }
}
