//! Steps: what an operation is made of, one system call each, and how they go to the kernel.
//!
//! The programs of `program.rs` say what an operation means in steps; an engine only knows how to
//! perform steps. A step owns everything the kernel looks at while it runs, and gives it back.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::beneath::How;
use super::{ALIGN, Aligned, DiskError, Entry, EntryKind, ListCursor, Space, StorePath};

/// Performs chains of steps; one for each operation in flight.
///
/// It holds the operation's *current file*: what `Step::Open` opened and `Step::Close` closes.
pub(crate) trait Perform {
    /// Runs a chain and gives it back with the results filled in.
    ///
    /// A step may be left without a result: it did not run, and may be asked for again.
    async fn run(&mut self, chain: Chain) -> Chain;

    /// Whether files can be written past the page cache.
    fn writes_directly(&self) -> bool;
}

/// Steps given to the kernel together.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) links: Vec<Link>,
    pub(crate) order: Order,
}

/// How the steps of a chain depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// One after the other; one that does less than it was asked to ends the chain, unless optional.
    ///
    /// On a ring only opens, closes, reads and writes end it: nothing may stand behind another kind
    /// of step but what is right even if that step has failed.
    Linked,
    /// In any order, all of them.
    Together,
}

/// A step in a chain.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) step: Step,
    /// The chain goes on if this step fails. Making a directory may then fail unnoticed.
    pub(crate) optional: bool,
    /// What the system call returned; `None` while it has not run.
    pub(crate) result: Option<Result<u64, Errno>>,
}

/// One system call.
#[derive(Debug)]
pub(crate) enum Step {
    MakeDirectory {
        path: StorePath,
    },
    /// Opens the current file.
    Open {
        path: StorePath,
        how: How,
    },
    /// Fails unless the directory is there and no symbolic link leads to it.
    ///
    /// Steps that name something in it come right behind, as no system call looks for itself. In a
    /// thread they then work in the very directory that was found. On a ring they take the path
    /// from the top: between the two steps only a program that changes the store itself could put a
    /// link there, and the store has one daemon.
    Enter {
        directory: StorePath,
    },
    /// Fails unless the file is a regular one. It is then written past the page cache, or not.
    MustBeFile {
        file: Handle,
        is_direct: bool,
    },
    /// Gives the size of a file as its result; fails unless it is a regular one.
    Size {
        file: Handle,
    },
    /// Appends at most `len` bytes to `buffer`, whose capacity has room for them.
    Read {
        file: Handle,
        offset: u64,
        buffer: Vec<u8>,
        len: usize,
    },
    /// Writes the bytes from `written` on, at `offset + written`; they are durable when it returns, if
    /// that is asked for (`RWF_DSYNC`).
    Write {
        file: Handle,
        offset: u64,
        bytes: Chunk,
        written: usize,
        is_durable: bool,
    },
    /// Makes the file this large, with its space allocated.
    Allocate {
        file: Handle,
        size: u64,
    },
    Resize {
        file: Handle,
        size: u64,
    },
    Sync {
        file: Handle,
        data_only: bool,
    },
    /// Closes the current file.
    Close,
    /// Closes the current file, which was only read; that never blocks and has nothing to tell.
    Release,
    Rename {
        source: StorePath,
        target: StorePath,
        existing: Target,
    },
    /// Makes a second name.
    Link {
        source: StorePath,
        target: StorePath,
    },
    Unlink {
        path: StorePath,
    },
    RemoveDirectory {
        path: StorePath,
    },
    /// Fails with `NOENT` if there is no such name. It ends its chain.
    Examine {
        path: StorePath,
        kind: Option<EntryKind>,
    },
    List {
        path: StorePath,
        entries: Vec<Entry>,
    },
    ListPage {
        path: StorePath,
        after: ListCursor,
        page: Page,
    },
    FreeSpace {
        space: Option<Space>,
    },
    SyncFileSystem,
}

/// A part of a directory, and where the next one begins.
pub(crate) type Page = (Vec<Entry>, Option<ListCursor>);

/// What a rename does with a target that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Fails with `EXIST`.
    Keep,
    /// Takes its place.
    Replace,
}

/// Which file a step is about.
#[derive(Clone, Debug)]
pub(crate) enum Handle {
    /// The one this operation opened.
    Current,
    /// One that is open across operations.
    Kept(Arc<OwnedFd>),
}

/// Bytes to be written, as the operation owns them.
#[derive(Debug)]
pub(crate) enum Chunk {
    Shared(Bytes),
    Own(Vec<u8>),
    Aligned(Aligned),
}

/// Most bytes of one read or write: the kernel takes no more than 2 GiB less a page at a time.
pub(crate) const TRANSFER_LEN_MAX: usize = 1 << 30;

/// Share containers may hold lease secrets in the clear, so others get nothing.
pub(crate) const DIRECTORY_MODE: u32 = 0o750;

impl Chain {
    /// One step after the other.
    pub(crate) fn linked(links: Vec<Link>) -> Self {
        let order = Order::Linked;
        Self { links, order }
    }

    /// Steps that do not depend on each other.
    pub(crate) fn together(links: Vec<Link>) -> Self {
        let order = Order::Together;
        Self { links, order }
    }
}

impl From<Step> for Link {
    fn from(step: Step) -> Self {
        Self {
            step,
            optional: false,
            result: None,
        }
    }
}

impl Link {
    /// A step whose failure does not end its chain.
    pub(crate) fn optional(step: Step) -> Self {
        Self {
            optional: true,
            ..Self::from(step)
        }
    }

    /// How the step failed, if it ran and did.
    pub(crate) fn failure(&self) -> Option<DiskError> {
        let errno = self.result?.err()?;
        let call = self.step.call();
        Some(DiskError { call, errno })
    }

    /// Whether a linked chain stops here.
    pub(crate) fn severs(&self) -> bool {
        let complete = match self.result {
            None => false,
            Some(Err(_)) => self.optional,
            Some(Ok(count)) => self.optional || !self.step.is_short(count),
        };
        !complete
    }
}

impl Step {
    /// The system call's name, as its manual page has it.
    pub(crate) fn call(&self) -> &'static str {
        match self {
            Self::MakeDirectory { .. } => "mkdir",
            Self::Open { .. } | Self::Enter { .. } | Self::Examine { .. } => "open",
            Self::MustBeFile { .. } | Self::Size { .. } => "fstat",
            Self::Read { .. } => "pread",
            Self::Write { .. } => "pwrite",
            Self::Allocate { .. } => "fallocate",
            Self::Resize { .. } => "ftruncate",
            Self::Sync {
                data_only: true, ..
            } => "fdatasync",
            Self::Sync { .. } => "fsync",
            Self::Close | Self::Release => "close",
            Self::Rename { .. } => "rename",
            Self::Link { .. } => "link",
            Self::Unlink { .. } => "unlink",
            Self::RemoveDirectory { .. } => "rmdir",
            Self::List { .. } | Self::ListPage { .. } => "getdents",
            Self::FreeSpace { .. } => "statvfs",
            Self::SyncFileSystem => "syncfs",
        }
    }

    /// How many bytes the kernel is asked to transfer.
    pub(crate) fn transfer_len(&self) -> usize {
        match self {
            Self::Read { len, .. } => (*len).min(TRANSFER_LEN_MAX),
            Self::Write { bytes, written, .. } => {
                (bytes.as_slice().len() - written).min(TRANSFER_LEN_MAX)
            }
            _ => 0,
        }
    }

    /// Whether a transfer is at an offset that no file has.
    ///
    /// System calls refuse these, but a ring takes -1 for "wherever the file's position is".
    pub(crate) fn is_beyond_files(&self) -> bool {
        match self {
            Self::Read { offset, .. } | Self::Write { offset, .. } => {
                i64::try_from(*offset).is_err()
            }
            _ => false,
        }
    }

    /// Whether a transfer of `count` bytes leaves some of what the step was asked for undone.
    fn is_short(&self, count: u64) -> bool {
        let wanted = match self {
            Self::Read { len, .. } => *len,
            Self::Write { bytes, written, .. } => bytes.as_slice().len() - written,
            _ => return false,
        };
        usize::try_from(count).is_ok_and(|count| count < wanted)
    }

    /// Whether a step that failed so may be tried again.
    ///
    /// A sync never is, whatever it says: the kernel may have dropped what it could not write, and
    /// the second sync would find nothing to complain about.
    pub(crate) fn may_be_repeated_after(&self, errno: Errno) -> bool {
        let syncs = match self {
            Self::Sync { .. } | Self::SyncFileSystem => true,
            Self::Write { is_durable, .. } => *is_durable,
            _ => false,
        };
        matches!(errno, Errno::INTR | Errno::AGAIN) && !syncs
    }

    /// Moves a write on by what was written; returns whether some of it is left.
    ///
    /// What was written of a last aligned block is written again with the rest of it.
    pub(crate) fn advance(&mut self, count: u64) -> bool {
        let Self::Write { bytes, written, .. } = self else {
            return false;
        };
        let left = bytes.as_slice().len() - *written;
        let count = usize::try_from(count).map_or(left, |count| count.min(left));
        if count == left {
            *written += count;
            return false;
        }
        *written += match bytes {
            Chunk::Aligned(_) => count - count % ALIGN,
            Chunk::Shared(_) | Chunk::Own(_) => count,
        };
        true
    }

    /// How far a write has come.
    pub(crate) fn progress(&self) -> usize {
        match self {
            Self::Write { written, .. } => *written,
            _ => 0,
        }
    }
}

impl Chunk {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Own(bytes) => bytes,
            Self::Aligned(bytes) => bytes,
        }
    }
}
