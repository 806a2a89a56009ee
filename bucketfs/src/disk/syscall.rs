//! Steps as plain system calls that block the thread.
//!
//! The pool performs whole operations this way; the ring performs the steps this way that io_uring
//! has no opcode for. `rustix` and not `nix`: its offsets are 64 bits on every target.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use rustix::fs::{
    AtFlags, FallocateFlags, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags,
};
use rustix::io::{Errno, ReadWriteFlags};

use super::step::{
    Chain, DIRECTORY_MODE, FILE_MODE, Handle, Link, Order, Perform, Step, Target, open_flags,
};
use super::{Entry, EntryKind, LIST_ENTRIES_MAX, Space, StorePath};

/// Performs one operation's steps in the calling thread.
pub(crate) struct Syscalls<'a> {
    root: BorrowedFd<'a>,
    /// The operation's current file.
    pub(crate) current: Option<OwnedFd>,
}

impl<'a> Syscalls<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>, current: Option<OwnedFd>) -> Self {
        Self { root, current }
    }

    /// Performs a step that only looks, if the kernel has what it looks at in memory.
    ///
    /// Returns `false`, with nothing done, if it has not, or refuses for whatever reason: asked in
    /// the ordinary way it will say why. (A directory whose entry is in memory and whose listing is
    /// not is read from the disk all the same; that is rare, as one came with the other.)
    pub(crate) fn step_if_cached(&mut self, link: &mut Link) -> bool {
        let result = match &mut link.step {
            Step::Open { path, flags } if is_to_read(*flags) => {
                open_cached(self.root, path, *flags).map(|file| {
                    self.current = Some(file);
                    0
                })
            }
            Step::List { path, entries } => {
                let listed = open_cached(self.root, path, LISTED)
                    .and_then(|directory| list_open(&directory, entries));
                if listed.is_err() {
                    entries.clear();
                }
                listed.map(|()| 0)
            }
            Step::Read {
                file,
                offset,
                buffer,
                len,
            } => read_cached(of(file, &self.current), *offset, buffer, *len),
            _ => return false,
        };
        let is_known = matches!(result, Ok(_) | Err(Errno::NOENT));
        if is_known {
            link.result = Some(result);
        }
        is_known
    }

    /// Performs one step.
    pub(crate) fn step(&mut self, link: &mut Link) {
        link.result = Some(call(self.root, &mut self.current, &mut link.step));
    }
}

impl Perform for Syscalls<'_> {
    async fn run(&mut self, mut chain: Chain) -> Chain {
        for link in &mut chain.links {
            self.step(link);
            if chain.order == Order::Linked && link.severs() {
                break;
            }
        }
        chain
    }
}

/// Runs a program whose steps block; it is done when it is first looked at.
pub(crate) fn run<F: Future>(program: F) -> F::Output {
    match pin!(program).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("blocking steps are never pending"),
    }
}

fn call(
    root: BorrowedFd<'_>,
    current: &mut Option<OwnedFd>,
    step: &mut Step,
) -> Result<u64, Errno> {
    let done = |()| 0;
    match step {
        Step::MakeDirectory { path } => {
            rustix::fs::mkdirat(root, path.as_c_str(), Mode::from(DIRECTORY_MODE)).map(done)
        }
        Step::Open { path, flags } => {
            *current = Some(rustix::fs::openat(
                root,
                path.as_c_str(),
                open_flags(*flags),
                Mode::from(FILE_MODE),
            )?);
            Ok(0)
        }
        Step::Size { file } => size(of(file, current)),
        Step::Read {
            file,
            offset,
            buffer,
            len,
        } => read(of(file, current), *offset, buffer, *len),
        Step::Write {
            file,
            offset,
            bytes,
            written,
        } => {
            let bytes = &bytes.as_slice()[*written..];
            let offset = *offset + lafs::num::size(*written);
            rustix::io::pwrite(of(file, current), bytes, offset).map(lafs::num::size)
        }
        Step::Allocate { file, size } => {
            rustix::fs::fallocate(of(file, current), FallocateFlags::empty(), 0, *size).map(done)
        }
        Step::Resize { file, size } => rustix::fs::ftruncate(of(file, current), *size).map(done),
        Step::Sync { file, data_only } => {
            let file = of(file, current);
            if *data_only {
                rustix::fs::fdatasync(file).map(done)
            } else {
                rustix::fs::fsync(file).map(done)
            }
        }
        Step::Close => close(current.take().expect("a program closes what it opened")),
        Step::Release => {
            *current = None;
            Ok(0)
        }
        Step::Rename {
            source,
            target,
            existing,
        } => rename(root, source, target, *existing).map(done),
        Step::Link { source, target } => {
            let (source, target) = (source.as_c_str(), target.as_c_str());
            rustix::fs::linkat(root, source, root, target, AtFlags::empty()).map(done)
        }
        Step::Unlink { path } => {
            rustix::fs::unlinkat(root, path.as_c_str(), AtFlags::empty()).map(done)
        }
        Step::RemoveDirectory { path } => {
            rustix::fs::unlinkat(root, path.as_c_str(), AtFlags::REMOVEDIR).map(done)
        }
        Step::Examine { path, kind } => {
            let status = rustix::fs::statat(root, path.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            *kind = Some(FileType::from_raw_mode(status.st_mode).into());
            Ok(0)
        }
        Step::List { path, entries } => list(root, path, entries).map(done),
        Step::FreeSpace { space } => {
            let status = rustix::fs::fstatvfs(root)?;
            *space = Some(Space {
                free: status.f_bavail.saturating_mul(status.f_frsize),
                total: status.f_blocks.saturating_mul(status.f_frsize),
            });
            Ok(0)
        }
        Step::SyncFileSystem => rustix::fs::syncfs(root).map(done),
    }
}

fn of<'a>(file: &'a Handle, current: &'a Option<OwnedFd>) -> BorrowedFd<'a> {
    match file {
        Handle::Current => current.as_ref().expect("a program opens first").as_fd(),
        Handle::Kept(file) => file.as_fd(),
    }
}

/// The size of an open file; never blocks, as the inode of an open file is in memory.
pub(crate) fn size(file: BorrowedFd<'_>) -> Result<u64, Errno> {
    let status = rustix::fs::fstat(file)?;
    u64::try_from(status.st_size).map_err(|_| Errno::OVERFLOW)
}

fn read(file: BorrowedFd<'_>, offset: u64, buffer: &mut Vec<u8>, len: usize) -> Result<u64, Errno> {
    let start = buffer.len();
    buffer.resize(start + len, 0);
    let result = rustix::io::pread(file, &mut buffer[start..], offset);
    buffer.truncate(start + result.unwrap_or(0));
    result.map(lafs::num::size)
}

fn is_to_read(flags: OFlags) -> bool {
    let changing = OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
    !flags.intersects(changing)
}

/// Opens a file to read it, if every entry on its path is in memory; `AGAIN` if not.
fn open_cached(root: BorrowedFd<'_>, path: &StorePath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = open_flags(flags);
    rustix::fs::openat2(
        root,
        path.as_c_str(),
        flags,
        Mode::empty(),
        ResolveFlags::CACHED,
    )
}

/// Reads what is in the page cache; `AGAIN` if nothing is.
fn read_cached(
    file: BorrowedFd<'_>,
    offset: u64,
    buffer: &mut Vec<u8>,
    len: usize,
) -> Result<u64, Errno> {
    let start = buffer.len();
    buffer.resize(start + len, 0);
    let room = &mut [IoSliceMut::new(&mut buffer[start..])];
    let result = rustix::io::preadv2(file, room, offset, ReadWriteFlags::NOWAIT);
    buffer.truncate(start + result.unwrap_or(0));
    result.map(lafs::num::size)
}

/// Closes a file and says whether that failed; the descriptor is gone in any case.
#[expect(
    unsafe_code,
    reason = "dropping an OwnedFd hides the error of its close"
)]
pub(crate) fn close(file: OwnedFd) -> Result<u64, Errno> {
    // SAFETY: the descriptor was owned until here, and nothing else knows it.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(0),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

fn rename(
    root: BorrowedFd<'_>,
    source: &StorePath,
    target: &StorePath,
    existing: Target,
) -> Result<(), Errno> {
    let (source, target) = (source.as_c_str(), target.as_c_str());
    rustix::fs::renameat_with(root, source, root, target, rename_flags(existing))
}

/// The flags of a rename; without any, every file system can do it.
pub(crate) fn rename_flags(existing: Target) -> RenameFlags {
    match existing {
        Target::Keep => RenameFlags::NOREPLACE,
        Target::Replace => RenameFlags::empty(),
    }
}

fn list(root: BorrowedFd<'_>, path: &StorePath, entries: &mut Vec<Entry>) -> Result<(), Errno> {
    let flags = open_flags(LISTED);
    let directory = rustix::fs::openat(root, path.as_c_str(), flags, Mode::empty())?;
    list_open(&directory, entries)
}

fn list_open(directory: &OwnedFd, entries: &mut Vec<Entry>) -> Result<(), Errno> {
    let mut buffer = Vec::with_capacity(LIST_BUFFER_LEN);
    let mut names = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(name) = names.next() {
        let name = name?;
        let bytes = name.file_name().to_bytes();
        if matches!(bytes, b"." | b"..") {
            continue;
        }
        if entries.len() == LIST_ENTRIES_MAX {
            return Err(Errno::OVERFLOW);
        }
        let mut kind = name.file_type();
        if kind == FileType::Unknown {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let status = rustix::fs::statat(directory, name.file_name(), flags)?;
            kind = FileType::from_raw_mode(status.st_mode);
        }
        entries.push(Entry {
            name: bytes.to_vec(),
            kind: kind.into(),
        });
    }
    Ok(())
}

impl From<FileType> for EntryKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            _ => Self::Other,
        }
    }
}

const LISTED: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Room for a few hundred names a call; a bucket's directory takes one.
const LIST_BUFFER_LEN: usize = 8192;
