//! Steps as plain system calls that block the thread.
//!
//! The pool performs whole operations this way; the ring performs the steps this way that io_uring
//! has no opcode for. `rustix` and not `nix`: its offsets are 64 bits on every target.

use std::ffi::CStr;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use rustix::fs::{AtFlags, FallocateFlags, Mode, RenameFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::beneath::{Beneath, How, kind, size};
use super::step::{Chain, DIRECTORY_MODE, Handle, Link, Order, Perform, Step, Target};
use super::{Root, Space, StorePath, list};

/// Performs one operation's steps in the calling thread.
pub(crate) struct Syscalls<'a> {
    store: &'a Root,
    root: Beneath<'a>,
    /// The operation's current file.
    pub(crate) current: Option<OwnedFd>,
    /// The directory that was entered last.
    entered: Option<(StorePath, OwnedFd)>,
}

impl<'a> Syscalls<'a> {
    pub(crate) fn new(root: &'a Root, current: Option<OwnedFd>) -> Self {
        Self {
            store: root,
            root: root.beneath(),
            current,
            entered: None,
        }
    }

    /// Performs a step that only looks, if the kernel has what it looks at in memory.
    ///
    /// Returns `false`, with nothing done, if it has not, or refuses for whatever reason: asked in
    /// the ordinary way it will say why. (A directory whose entry is in memory and whose listing is
    /// not is read from the disk all the same; that is rare, as one came with the other.)
    pub(crate) fn step_if_cached(&mut self, link: &mut Link) -> bool {
        let result = match &mut link.step {
            Step::Open { path, how } => self.root.open_cached(path.as_c_str(), *how).map(|file| {
                self.current = Some(file);
                0
            }),
            Step::Enter { directory } => self
                .root
                .open_cached(directory.as_c_str(), How::Enter)
                .map(|_| 0),
            Step::List { path, entries } => {
                let listed = self
                    .root
                    .open_cached(path.as_c_str(), How::Directory)
                    .and_then(|directory| list::whole(&directory, entries));
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
        link.result = Some(self.call(&mut link.step));
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

    fn writes_directly(&self) -> bool {
        self.store.writes_directly()
    }
}

/// Runs a program whose steps block; it is done when it is first looked at.
pub(crate) fn run<F: Future>(program: F) -> F::Output {
    match pin!(program).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("blocking steps are never pending"),
    }
}

impl Syscalls<'_> {
    fn call(&mut self, step: &mut Step) -> Result<u64, Errno> {
        let done = |()| 0;
        match step {
            Step::MakeDirectory { path } => {
                let (directory, name) = self.place(path);
                rustix::fs::mkdirat(directory, name, Mode::from(DIRECTORY_MODE)).map(done)
            }
            Step::Open { path, how } => {
                self.current = Some(self.root.open(path, *how)?);
                Ok(0)
            }
            Step::Enter { directory } => {
                let found = self.root.open(directory, How::Enter)?;
                self.entered = Some((directory.clone(), found));
                Ok(0)
            }
            Step::MustBeFile { file, is_direct } => {
                size(of(file, &self.current), *is_direct).map(|_| 0)
            }
            Step::Size { file } => size(of(file, &self.current), false),
            Step::Read {
                file,
                offset,
                buffer,
                len,
            } => read(of(file, &self.current), *offset, buffer, *len),
            Step::Write {
                file,
                offset,
                bytes,
                written,
                is_durable,
            } => {
                let bytes = &bytes.as_slice()[*written..];
                let offset = *offset + lafs::num::size(*written);
                let file = of(file, &self.current);
                let count = match is_durable {
                    true => {
                        let bytes = &[IoSlice::new(bytes)];
                        rustix::io::pwritev2(file, bytes, offset, ReadWriteFlags::DSYNC)
                    }
                    false => rustix::io::pwrite(file, bytes, offset),
                };
                count.map(lafs::num::size)
            }
            Step::Allocate { file, size } => {
                let file = of(file, &self.current);
                rustix::fs::fallocate(file, FallocateFlags::empty(), 0, *size).map(done)
            }
            Step::Resize { file, size } => {
                rustix::fs::ftruncate(of(file, &self.current), *size).map(done)
            }
            Step::Sync { file, data_only } => {
                let file = of(file, &self.current);
                if *data_only {
                    rustix::fs::fdatasync(file).map(done)
                } else {
                    rustix::fs::fsync(file).map(done)
                }
            }
            Step::Close => close(
                self.current
                    .take()
                    .expect("a program closes what it opened"),
            ),
            Step::Release => {
                self.current = None;
                Ok(0)
            }
            Step::Rename {
                source,
                target,
                existing,
            } => {
                let ((from, source), (to, target)) = (self.place(source), self.place(target));
                let flags = rename_flags(*existing);
                rustix::fs::renameat_with(from, source, to, target, flags).map(done)
            }
            Step::Link { source, target } => {
                let ((from, source), (to, target)) = (self.place(source), self.place(target));
                rustix::fs::linkat(from, source, to, target, AtFlags::empty()).map(done)
            }
            Step::Unlink { path } => {
                let (directory, name) = self.place(path);
                rustix::fs::unlinkat(directory, name, AtFlags::empty()).map(done)
            }
            Step::RemoveDirectory { path } => {
                let (directory, name) = self.place(path);
                rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).map(done)
            }
            Step::Examine { path, kind: found } => {
                let file = self.root.open(path, How::Look)?;
                *found = Some(kind(file.as_fd())?);
                Ok(0)
            }
            Step::List { path, entries } => {
                let directory = self.root.open(path, How::Directory)?;
                list::whole(&directory, entries).map(done)
            }
            Step::ListPage {
                path,
                after,
                page: (entries, next),
            } => {
                let directory = self.root.open(path, How::Directory)?;
                entries.clear();
                *next = list::page(&directory, after, entries)?;
                Ok(0)
            }
            Step::FreeSpace { space } => {
                let status = rustix::fs::fstatvfs(self.root.directory)?;
                *space = Some(Space {
                    free: status.f_bavail.saturating_mul(status.f_frsize),
                    total: status.f_blocks.saturating_mul(status.f_frsize),
                    // One that makes inodes as they are needed says that it has none at all.
                    inodes: match status.f_files {
                        0 => u64::MAX,
                        _ => status.f_favail,
                    },
                });
                Ok(0)
            }
            Step::SyncFileSystem => rustix::fs::syncfs(self.root.directory).map(done),
        }
    }

    /// Where a name is: in the directory that was entered, or somewhere below the root.
    fn place<'p>(&self, path: &'p StorePath) -> (BorrowedFd<'_>, &'p CStr) {
        let entered = self.entered.as_ref();
        let found =
            entered.and_then(|(directory, fd)| Some((fd.as_fd(), path.name_in(directory)?)));
        found.unwrap_or((self.root.directory, path.as_c_str()))
    }
}

fn of<'a>(file: &'a Handle, current: &'a Option<OwnedFd>) -> BorrowedFd<'a> {
    match file {
        Handle::Current => current.as_ref().expect("a program opens first").as_fd(),
        Handle::Kept(file) => file.as_fd(),
    }
}

fn read(file: BorrowedFd<'_>, offset: u64, buffer: &mut Vec<u8>, len: usize) -> Result<u64, Errno> {
    let start = buffer.len();
    buffer.resize(start + len, 0);
    let result = rustix::io::pread(file, &mut buffer[start..], offset);
    buffer.truncate(start + result.unwrap_or(0));
    result.map(lafs::num::size)
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

/// The flags of a rename; without any, every file system can do it.
pub(crate) fn rename_flags(existing: Target) -> RenameFlags {
    match existing {
        Target::Keep => RenameFlags::NOREPLACE,
        Target::Replace => RenameFlags::empty(),
    }
}
