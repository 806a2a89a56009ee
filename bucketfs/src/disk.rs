//! What the store asks of a disk, and the engines that do it.
//!
//! An [`Operation`] is one *logical* step: an engine may need many system calls for it, but the
//! store waits once. Operations in flight together may be performed in any order and interleaved;
//! the store never has two in flight whose order matters. What goes into an operation comes back
//! out of its [`Completion`], on failure too.
//!
//! Paths are relative to the store directory. Offsets and sizes are `u64` on every target.

use std::os::fd::BorrowedFd;

use bytes::Bytes;

mod aligned;
mod beneath;
pub(crate) mod blocking;
mod cached;
mod direct;
mod error;
mod files;
mod list;
mod path;
mod pool;
mod probe;
mod program;
mod ring;
mod root;
#[cfg(feature = "sim")]
pub mod sim;
mod step;
mod syscall;
#[cfg(feature = "tokio-uring")]
mod tokio_uring;
mod workers;

pub use aligned::{ALIGN, Aligned};
pub(crate) use beneath::{Beneath, How};
pub(crate) use cached::{Cached, read_cached_into, size_of_file};
pub use error::DiskError;
pub(crate) use list::files as files_of;
pub use path::StorePath;
pub use pool::Pool;
pub use probe::{EngineChoice, EngineError, RingRefusal, UnknownEngine, start_engine};
pub use ring::{Ring, RingError};
pub use root::{Root, RootError};
#[cfg(feature = "tokio-uring")]
pub use tokio_uring::TokioUring;

/// Most files the store keeps open at a time: both journal files, the uploads in progress, spools,
/// and containers of slots being written anew.
///
/// File ids are below this, so that an engine can use them as slots of a fixed table. Far below
/// the usual limit of 1024 descriptors a process, which the sockets share.
pub const OPEN_FILES_MAX: u16 = 298;

/// Most operations the store has in flight at a time; what is beyond waits inside the store.
pub const FLIGHT_MAX: usize = 256;

/// Most [`Operation::Place`] and, beside them, most [`Operation::MoveDirectories`] the store has in
/// flight at a time. Two threads that make files keep two
/// cores busy; four make no more, as they wait for each other's directories.
pub const PLACES_MAX: usize = 2;

/// Performs operations on a disk: ring, pool, simulation.
///
/// Call `submit` any number of times, `flush` once, then `reap` when [`Engine::readiness`] says so.
/// An engine never blocks in these three; [`Engine::wait`] does, and is used only before the store
/// serves and after it has stopped.
pub trait Engine {
    /// Returns the engine's name for logs and status: `ring`, `pool`, `sim`.
    fn name(&self) -> &'static str;

    /// Whether files can be written past the page cache here.
    fn writes_directly(&self) -> bool;

    /// Takes an operation. Its completion carries the same id.
    fn submit(&mut self, id: OperationId, operation: Operation);

    /// Hands the disk what was submitted, if `submit` has not done so already.
    fn flush(&mut self);

    /// Appends what has been completed to `completions`, without waiting.
    fn reap(&mut self, completions: &mut Vec<Completion>);

    /// Flushes, then blocks until `reap` has something to give. Returns at once with nothing in flight.
    fn wait(&mut self);

    /// Returns the number of operations submitted and not yet reaped.
    fn in_flight(&self) -> usize;

    /// Returns the descriptor that is readable when `reap` has something to give (an eventfd).
    ///
    /// `None` for an engine that works only when it is called, as the simulation does.
    fn readiness(&self) -> Option<BorrowedFd<'_>>;
}

/// Names an operation from `submit` to its completion; no two in flight share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(pub u64);

/// A file kept open across operations: a slot, chosen by the store, below [`OPEN_FILES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u16);

/// One logical step on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes a file with these bytes, and the directories above it; nothing is synced.
    ///
    /// If `unless` is given and exists, fails with `EXIST`, whatever else there is to fail. An
    /// operation that fails removes the file that it made, as far as the disk lets it.
    CreateFile {
        /// Where.
        path: StorePath,
        /// The whole content.
        bytes: Bytes,
        /// What to do when `path` exists.
        existing: Existing,
        /// A path that must not exist.
        unless: Option<StorePath>,
    },
    /// Makes files with these bytes under the names that they keep, and the directories above them,
    /// one after the other; nothing is synced. A file that is there is written anew, in place.
    ///
    /// Each is by itself: one that fails is not there, as far as the disk lets it be removed, and
    /// keeps no other from being made. Blocks a thread for as long as it takes, on every engine.
    Place {
        /// Where, and the whole content.
        files: Vec<(StorePath, Bytes)>,
    },
    /// Makes a file of this size, its space allocated and written with zeros, so that writing into
    /// it needs no new space and changes nothing but data. The file must not exist. Nothing is
    /// synced.
    Preallocate {
        /// Where.
        path: StorePath,
        /// How large.
        size: u64,
    },
    /// Makes directories, as `mkdir -p`; nothing is synced.
    MakeDirectories {
        /// The deepest one.
        path: StorePath,
    },
    /// Opens a file for writing into the slot `file`, which is free.
    Open {
        /// The slot.
        file: FileId,
        /// Where.
        path: StorePath,
        /// Whether it is there already.
        mode: OpenMode,
    },
    /// Writes all the bytes at an offset of an open file.
    WriteAt {
        /// The file.
        file: FileId,
        /// Where in it.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// Writes whole blocks of an open file, past the page cache if it was opened so. Offset and length
    /// are multiples of [`ALIGN`].
    WriteBlocks {
        /// The file.
        file: FileId,
        /// Where in it.
        offset: u64,
        /// What. The buffer comes back to be used again.
        bytes: Aligned,
    },
    /// Ends what is written past the page cache: writes whole blocks so, has the file written through
    /// the page cache from then on, writes the rest, in the order given, and makes its bytes and size
    /// durable (`fdatasync`) if asked. The first failure ends it, whatever was written stays.
    Finish {
        /// The file.
        file: FileId,
        /// The offset of whole blocks, and what they hold. The buffer comes back.
        blocks: Option<(u64, Aligned)>,
        /// Offsets and bytes.
        writes: Vec<(u64, Bytes)>,
        /// Whether to make it durable.
        sync: bool,
    },
    /// Makes an open file's bytes and size durable (`fdatasync`).
    SyncFile {
        /// The file.
        file: FileId,
    },
    /// Closes an open file. The slot is free again even if this fails.
    Close {
        /// The file.
        file: FileId,
    },
    /// Writes all the bytes at an offset of an open file, and makes them durable: in one call past
    /// the page cache if the file was opened so, by `fdatasync` if not.
    ///
    /// Into a file opened past the page cache, offset and length are multiples of [`ALIGN`].
    Append {
        /// The file.
        file: FileId,
        /// Where in it.
        offset: u64,
        /// What. The buffer comes back to be used again.
        bytes: Aligned,
        /// Whether to make it durable; not so only in a store of relaxed durability.
        sync: bool,
    },
    /// Renames a file, making the directories above the target; nothing is synced.
    ///
    /// Fails with `EXIST` if the target exists (`RENAME_NOREPLACE`, or link and unlink where the
    /// file system has none). A directory that a concurrent [`Operation::Remove`] took away in
    /// between is made again: the engine retries, a bounded number of times.
    Publish {
        /// The file.
        source: StorePath,
        /// Its new name.
        target: StorePath,
    },
    /// Gives what is no directory a second name, making the directories above it; nothing is synced.
    ///
    /// Fails with `EXIST` if the name is taken, and with `PERM` for a directory and where the system
    /// allows no second name (`protected_hardlinks`). A symbolic link is not followed.
    Link {
        /// What has a name already.
        source: StorePath,
        /// Its other name.
        target: StorePath,
    },
    /// Gives a file the name of another, which is replaced if it exists, making the directories
    /// above it; nothing is synced. Whoever opens the name has the one file or the other.
    ///
    /// With `spare` the file keeps its own name: it is given the second name `spare`, and that one
    /// is renamed. So it is still to be found, should the new name not last. If both are names of
    /// one file already, `spare` may be left behind.
    Replace {
        /// The file.
        source: StorePath,
        /// A name beside it that nobody else uses.
        spare: Option<StorePath>,
        /// Its new name.
        target: StorePath,
    },
    /// Gives directories other names, one after the other: each with all that is in it, or not at
    /// all. Makes the directories above the new names, and removes up to `prune` directories above
    /// each old one as far as they are empty. Nothing is synced.
    ///
    /// Each is by itself. An empty directory of the new name gives way, and nothing else does. What
    /// is no directory is left alone. Blocks a thread for as long as it takes, on every engine.
    MoveDirectories {
        /// Which, and where to.
        moves: Vec<Move>,
        /// How many directories above an old name may go.
        prune: u8,
        /// Whether there is room for new directories; if not, each stays where it is.
        has_room: bool,
    },
    /// Copies parts of a file into an open one. Nothing is synced.
    ///
    /// Fails with `IO` if the source ends before a part does.
    Copy {
        /// The file to read.
        source: StorePath,
        /// The file to write.
        file: FileId,
        /// Which parts go where.
        ranges: Vec<CopyRange>,
    },
    /// Makes the entries of directories durable (`fsync`), in the order given.
    SyncDirectories {
        /// The directories.
        paths: Vec<StorePath>,
    },
    /// Makes everything that completed before this was submitted durable (`syncfs`).
    SyncFileSystem,
    /// Reads parts of a file, all from one open, clipped to its end. Buffers are made to measure.
    Read {
        /// The file.
        path: StorePath,
        /// Which parts; their lengths are bounded by the store.
        ranges: Vec<ByteRange>,
    },
    /// Writes into an existing file in place, in the order given, then sets its size if asked.
    ///
    /// Of writes of [`LARGE_LEN`] and more the whole blocks come first, past the page cache where
    /// that can be had; no other write overlaps these. Nothing is synced. The first failure ends it, whatever was written stays.
    Patch {
        /// The file.
        path: StorePath,
        /// Offsets and bytes.
        writes: Vec<(u64, Bytes)>,
        /// The size to cut the file to, or extend it to.
        size: Option<u64>,
    },
    /// Writes into an existing file in place, in the order given, sets its size, then makes its
    /// bytes and size durable (`fdatasync`). Large writes are as in [`Operation::Patch`]. The first failure ends it, whatever was written stays.
    Seal {
        /// The file.
        path: StorePath,
        /// Offsets and bytes.
        writes: Vec<(u64, Bytes)>,
        /// The size to cut the file to, or extend it to.
        size: u64,
    },
    /// Removes a file, then up to `prune` directories above it as far as they are empty.
    ///
    /// Nothing is synced. Only the file's own removal can fail.
    Remove {
        /// The file.
        path: StorePath,
        /// How many directories above it may go.
        prune: u8,
    },
    /// Removes a directory, which must be empty, then up to `prune` directories above it as far as they
    /// are empty.
    ///
    /// Nothing is synced. Only the directory's own removal can fail: with `NOTEMPTY` or `EXIST` if
    /// something is in it.
    RemoveDirectory {
        /// The directory.
        path: StorePath,
        /// How many directories above it may go.
        prune: u8,
    },
    /// Lists a directory, at most [`LIST_ENTRIES_MAX`] entries, in any order.
    List {
        /// The directory.
        path: StorePath,
    },
    /// Lists a part of a directory: some [`LIST_PAGE_LEN`] entries, in any order.
    ///
    /// From [`ListCursor::Start`] on, each time from the cursor that the page before gave, until one
    /// gives none: a name that is there all the while is told once, one that is made or taken away
    /// meanwhile at most once. Fails with `STALE` if the cursor is of another directory.
    ListPage {
        /// The directory.
        path: StorePath,
        /// Where to begin.
        after: ListCursor,
    },
    /// Asks for the free space of the file system.
    FreeSpace,
}

impl Operation {
    /// Says what of the tree it may change: the names that it makes, takes away, or writes to.
    pub(crate) fn changed(&self, mut say: impl FnMut(&StorePath)) {
        match self {
            Self::CreateFile { path, .. }
            | Self::Preallocate { path, .. }
            | Self::MakeDirectories { path }
            | Self::Open { path, .. }
            | Self::Patch { path, .. }
            | Self::Seal { path, .. }
            | Self::Remove { path, .. }
            | Self::RemoveDirectory { path, .. }
            | Self::Link { target: path, .. }
            | Self::Replace { target: path, .. } => say(path),
            Self::Publish { source, target } => {
                say(source);
                say(target);
            }
            Self::Place { files } => files.iter().for_each(|(path, _)| say(path)),
            Self::MoveDirectories { moves, .. } => {
                for Move { source, target } in moves {
                    say(source);
                    say(target);
                }
            }
            // Files that are open are those of the journal, of uploads and of spools.
            Self::WriteAt { .. }
            | Self::SyncFile { .. }
            | Self::Close { .. }
            | Self::Append { .. }
            | Self::WriteBlocks { .. }
            | Self::Finish { .. }
            | Self::Copy { .. }
            | Self::SyncDirectories { .. }
            | Self::SyncFileSystem
            | Self::Read { .. }
            | Self::List { .. }
            | Self::ListPage { .. }
            | Self::FreeSpace => {}
        }
    }
}

/// What a write into an existing file has at least to go past the page cache. Less is no dearer
/// through it, where it needs no call of its own.
pub const LARGE_LEN: usize = 128 << 10;

/// Most entries one [`Operation::List`] gives; a directory with more fails with `OVERFLOW`.
///
/// A bucket has at most 256 shares; the rest are foreign files, which only an operator can add.
pub const LIST_ENTRIES_MAX: usize = 65_536;

/// How many entries one [`Operation::ListPage`] gives, unless it is the last; a few more where the
/// file system has one position for several names.
pub const LIST_PAGE_LEN: usize = 4096;

/// Where in a directory a listing goes on.
///
/// It may be kept, over restarts too, for as long as the directory is the same one: not when it was
/// copied or restored. What it is made of depends on the file system; `list.rs` has which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListCursor {
    /// At the beginning.
    #[default]
    Start,
    /// At a position of the file system's.
    Position {
        /// The directory's.
        inode: u64,
        /// As `getdents64` gives it.
        offset: u64,
    },
    /// Behind a name, in the order of the names' bytes.
    Name(Vec<u8>),
}

/// What [`Operation::CreateFile`] does when the path exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Fails with `EXIST`.
    Refuse,
    /// Cuts the file to nothing and writes it anew, in place.
    Overwrite,
}

/// Whether [`Operation::Open`] makes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must not exist; it and the directories above it are made.
    New,
    /// The file must exist; nothing of it changes.
    Existing,
    /// As with `New`, and then as with `ExistingDirect`.
    NewDirect,
    /// The file must exist, and is written past the page cache, in multiples of [`ALIGN`], if that
    /// can be had; else as with `Existing`.
    ExistingDirect,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Where it starts.
    pub offset: u64,
    /// Its most bytes; in memory, hence `usize`.
    pub len: usize,
}

/// A directory that is to have another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The directory.
    pub source: StorePath,
    /// Its new name.
    pub target: StorePath,
}

/// What came of a [`Move`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It has its new name.
    Moved,
    /// There was no such directory.
    NotThere,
    /// It has its old name, with all that is in it.
    Stays(
        /// Why.
        DiskError,
    ),
}

/// A part of a file that is to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRange {
    /// Where it starts in the source.
    pub from: u64,
    /// Where it starts in the target.
    pub to: u64,
    /// How long it is, whatever fits into memory.
    pub size: u64,
}

/// An operation that has ended.
#[derive(Debug)]
pub struct Completion {
    /// The id it was submitted with.
    pub id: OperationId,
    /// The operation, with the buffers that went into it.
    pub operation: Operation,
    /// What came of it.
    pub result: Result<Outcome, DiskError>,
}

/// What an operation gives beside having happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Done,
    /// Of [`Operation::Read`]: the file's size, and the bytes of each range, shorter at the end.
    Read {
        /// Size of the whole file.
        size: u64,
        /// One piece a range.
        pieces: Vec<Vec<u8>>,
    },
    /// Of [`Operation::List`].
    Listed(Vec<Entry>),
    /// Of [`Operation::ListPage`].
    Page {
        /// Its entries.
        entries: Vec<Entry>,
        /// Where the next page begins; `None` after the last.
        next: Option<ListCursor>,
    },
    /// Of [`Operation::FreeSpace`].
    Space(Space),
    /// Of [`Operation::Place`]: of each file, in the order given.
    Placed(Vec<Result<(), DiskError>>),
    /// Of [`Operation::MoveDirectories`]: of each, in the order given; an error where it is not known
    /// which name it has.
    Moved(Vec<Result<Moved, DiskError>>),
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, whatever bytes it is of.
    pub name: Vec<u8>,
    /// What it names.
    pub kind: EntryKind,
}

/// What an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// Space of the file system that holds the store: bytes, and inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an unprivileged process may still use (`f_bavail * f_frsize`).
    pub free: u64,
    /// All there is.
    pub total: u64,
    /// How many more files and directories an unprivileged process may make (`f_favail`); `u64::MAX`
    /// where the file system has no fixed number of them.
    pub inodes: u64,
}
