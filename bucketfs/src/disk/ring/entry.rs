//! A step as the kernel takes it: one submission queue entry.
//!
//! Entries hold pointers into the step; building one is safe, handing it over is not. What the
//! kernel is to know of an open lies in tables that last as long as the program.

use std::os::fd::{AsRawFd, RawFd};

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, Fixed, FsyncFlags, OpenHow};
use rustix::fs::OFlags;

use super::super::StorePath;
use super::super::beneath::{How, RESOLVE};
use super::super::step::{DIRECTORY_MODE, Handle, Step};
use super::super::syscall::rename_flags;

/// What a step needs beside itself to become an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The store directory.
    pub(super) root: RawFd,
    /// Where the current file is, or where an open is to put it.
    pub(super) current: Where,
}

/// Where a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// Nowhere: an open is to give a descriptor.
    Nowhere,
    /// In the process's table.
    Descriptor(RawFd),
    /// In the ring's own table.
    Slot(u32),
}

/// Makes the entry of a step.
///
/// # Panics
///
/// If io_uring has no such step: `Kernel::supports` was not asked.
pub(super) fn entry(step: &mut Step, place: Place) -> Entry {
    let root = Fd(place.root);
    let len = step.transfer_len();
    let transfer_len = u32::try_from(len).expect("at most TRANSFER_LEN_MAX");
    match step {
        Step::MakeDirectory { path } => opcode::MkDirAt::new(root, path.as_c_str().as_ptr())
            .mode(DIRECTORY_MODE)
            .build(),
        Step::Open { path, how } => open(place, path, *how),
        // What is found is a descriptor, closed as soon as it is heard of.
        Step::Enter { directory } => found(root, directory, How::Enter),
        Step::Examine { path, .. } => found(root, path, How::Look),
        Step::Close => close(place.current),
        Step::Read {
            file,
            offset,
            buffer,
            ..
        } => {
            let room = buffer.spare_capacity_mut();
            assert!(room.len() >= len, "a read has room");
            on(file, place, |fd| {
                opcode::Read::new(fd, room.as_mut_ptr().cast(), transfer_len)
                    .offset(*offset)
                    .build()
            })
        }
        Step::Write {
            file,
            offset,
            bytes,
            written,
            is_durable,
        } => {
            let bytes = &bytes.as_slice()[*written..];
            let offset = *offset + lafs::num::size(*written);
            let flags = match is_durable {
                true => libc::RWF_DSYNC,
                false => 0,
            };
            on(file, place, |fd| {
                opcode::Write::new(fd, bytes.as_ptr(), transfer_len)
                    .offset(offset)
                    .rw_flags(flags)
                    .build()
            })
        }
        Step::Allocate { file, size } => {
            on(file, place, |fd| opcode::Fallocate::new(fd, *size).build())
        }
        Step::Resize { file, size } => {
            on(file, place, |fd| opcode::Ftruncate::new(fd, *size).build())
        }
        Step::Sync { file, data_only } => {
            let flags = match data_only {
                true => FsyncFlags::DATASYNC,
                false => FsyncFlags::empty(),
            };
            on(file, place, |fd| {
                opcode::Fsync::new(fd).flags(flags).build()
            })
        }
        Step::Rename {
            source,
            target,
            existing,
        } => {
            let (source, target) = (source.as_c_str().as_ptr(), target.as_c_str().as_ptr());
            opcode::RenameAt::new(root, source, root, target)
                .flags(rename_flags(*existing).bits())
                .build()
        }
        Step::Link { source, target } => {
            let (source, target) = (source.as_c_str().as_ptr(), target.as_c_str().as_ptr());
            opcode::LinkAt::new(root, source, root, target).build()
        }
        Step::Unlink { path } => opcode::UnlinkAt::new(root, path.as_c_str().as_ptr()).build(),
        Step::RemoveDirectory { path } => opcode::UnlinkAt::new(root, path.as_c_str().as_ptr())
            .flags(libc::AT_REMOVEDIR)
            .build(),
        Step::MustBeFile { .. }
        | Step::Size { .. }
        | Step::Release
        | Step::List { .. }
        | Step::ListPage { .. }
        | Step::FreeSpace { .. }
        | Step::SyncFileSystem => unreachable!("io_uring has no opcode for {}", step.call()),
    }
}

/// Makes the entries of an `Enter` within a chain: an open into the slot, and its close.
///
/// The open ends the chain if it fails. That is all that is wanted of it.
pub(super) fn enter(directory: &StorePath, root: RawFd, slot: u32) -> [Entry; 2] {
    let place = Place {
        root,
        current: Where::Slot(slot),
    };
    [open(place, directory, How::Enter), close(Where::Slot(slot))]
}

fn open(place: Place, path: &StorePath, how: How) -> Entry {
    let (hows, slot) = match place.current {
        Where::Slot(slot) => {
            let slot = DestinationSlot::try_from_slot_target(slot).expect("slots are few");
            (&IN_SLOT, Some(slot))
        }
        Where::Nowhere => (&AS_DESCRIPTOR, None),
        Where::Descriptor(_) => unreachable!("a program closes a file before it opens the next"),
    };
    let path = path.as_c_str().as_ptr();
    opcode::OpenAt2::new(Fd(place.root), path, &hows[how as usize])
        .file_index(slot)
        .build()
}

fn found(root: Fd, path: &StorePath, how: How) -> Entry {
    let path = path.as_c_str().as_ptr();
    opcode::OpenAt2::new(root, path, &AS_DESCRIPTOR[how as usize]).build()
}

/// How files are opened, by [`How`].
static AS_DESCRIPTOR: [OpenHow; How::ALL.len()] = hows(OFlags::CLOEXEC);

/// The same for a slot of the ring: that is no descriptor which a child could inherit, and the
/// kernel refuses the flag.
static IN_SLOT: [OpenHow; How::ALL.len()] = hows(OFlags::empty());

const fn hows(flags: OFlags) -> [OpenHow; How::ALL.len()] {
    let mut hows = [OpenHow::new(); How::ALL.len()];
    let mut index = 0;
    while index < hows.len() {
        let how = How::ALL[index];
        assert!(how as usize == index);
        hows[index] = OpenHow::new()
            .flags(how.flags().union(flags).bits() as u64)
            .mode(how.mode() as u64)
            .resolve(RESOLVE.bits());
        index += 1;
    }
    hows
}

fn close(file: Where) -> Entry {
    match file {
        Where::Descriptor(fd) => opcode::Close::new(Fd(fd)).build(),
        Where::Slot(slot) => opcode::Close::new(Fixed(slot)).build(),
        Where::Nowhere => unreachable!("a program closes what it opened"),
    }
}

/// Makes the entry of a step on a file, wherever that is.
fn on(file: &Handle, place: Place, make: impl FnOnce(Fd) -> Entry) -> Entry {
    let file = match file {
        Handle::Kept(file) => Where::Descriptor(file.as_raw_fd()),
        Handle::Current => place.current,
    };
    match file {
        Where::Descriptor(fd) => make(Fd(fd)),
        Where::Slot(slot) => {
            let index = RawFd::try_from(slot).expect("slots are few");
            make(Fd(index)).flags(Flags::FIXED_FILE)
        }
        Where::Nowhere => unreachable!("a program opens a file before it uses it"),
    }
}
