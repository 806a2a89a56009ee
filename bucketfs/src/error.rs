//! What can go wrong in a store, by what the caller can do about it.

use std::path::PathBuf;

pub use crate::disk::DiskError;
use crate::disk::{EngineError, RootError, StorePath};
use crate::layout::Layout;

/// The bytes on disk are not what they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A container shorter than its header says.
    #[error("the container ends early")]
    Truncated,
    /// A change of the container was half written; opening the store again completes it.
    #[error("a change of the container is half done; restart tahoed, which completes it")]
    HalfChanged,
    /// A container of a version or kind this store does not know, or no container.
    #[error("not a share container")]
    UnknownContainer,
    /// A link, FIFO, socket, device or directory in the place of a container, or of a directory
    /// above it. It was neither followed nor waited for.
    #[error("something else is in the place of the share's file or directory; take it away")]
    NotAFile,
}

/// A container has as many leases as the store gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the share has too many leases")]
pub struct TooManyLeases;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be a store's.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The store is of a format that came after this program.
    #[error(
        "the store has format version {found}, this program knows up to {known}; use a newer one"
    )]
    NewerVersion {
        /// In the version file.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// The version file is not one.
    #[error(
        "the store's file `version` is not of this program; restore it from another store of the same format"
    )]
    MalformedVersion,
    /// There is no store, or only part of one. One is made by [`crate::create()`] alone.
    #[error("there is no store, or only part of one: `{name}` is missing")]
    Missing {
        /// What is missing.
        name: &'static str,
    },
    /// The identifier file is not one.
    #[error("{} does not hold a store's identifier; restore it from a backup", path.display())]
    MalformedIdentifier {
        /// The file.
        path: PathBuf,
    },
    /// The directory has shares or a journal, and no version file.
    #[error(
        "the directory has `{found}` and no file `version`: not a store of this program; adopt it if it is one of Tahoe-LAFS"
    )]
    NotAStore {
        /// The name that speaks against it.
        found: &'static str,
    },
    /// A store with shares has lost a journal file, and with it perhaps acknowledged shares.
    #[error("the store's `{path}` is missing; restore it if you can")]
    JournalMissing {
        /// The file.
        path: StorePath,
    },
    /// A journal file is damaged in a place that no crash touches.
    #[error("the store's `{path}` is damaged at byte {offset}: {damage}")]
    JournalDamaged {
        /// The file.
        path: StorePath,
        /// Where.
        offset: u64,
        /// How.
        damage: JournalDamage,
    },
    /// The journal cannot be made that small, or that large.
    #[error("a journal of {size} bytes cannot be; choose {min} to {max}")]
    JournalSize {
        /// As configured.
        size: u64,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// The disk failed. What the journal holds is still there: opening may be tried again.
    #[error("cannot use the store's `{path}`: {error}")]
    Disk {
        /// What was worked on.
        path: StorePath,
        /// What happened.
        error: DiskError,
    },
}

/// Why a directory is not adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It is something else, or the directory above the right one.
    #[error(
        "not a storage directory of Tahoe-LAFS: there is no directory `shares` in it; \
         name the node's `storage` directory"
    )]
    NotTahoe,
    /// There is nothing left to do.
    #[error("already a store of this program: it has a file `version`; open it as it is")]
    AlreadyAdopted,
    /// Its shares would not be found.
    #[error("the shares lie in layout {found}, not in {named}; adopt it as {found}")]
    OtherLayout {
        /// What was found under `shares`.
        found: Layout,
        /// What was asked for.
        named: Layout,
    },
    /// A sync of the one would not reach the other.
    #[error(
        "`shares` is on another file system than the directory it is in; \
         mount that file system at the storage directory itself"
    )]
    OtherFileSystem,
    /// It was a store and has lost its version file: what the journal holds must not be dropped, nor
    /// be done in another layout.
    #[error(
        "there is a journal with records and no file `version`: a damaged store of this program; \
         restore its version file"
    )]
    JournalInUse,
    /// It cannot be opened or written.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No way to do I/O.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is wrong with a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalDamage {
    /// The file does not begin with a journal header.
    #[error("no journal header")]
    Header,
    /// The header is of a version that came later.
    #[error("a journal of version {0}")]
    NewerVersion(u32),
    /// The file is not of the size its header has.
    #[error("the file has another size than its header says")]
    Size,
    /// A batch does not match its checksum, though a later one is there.
    #[error("a batch is damaged")]
    Batch,
    /// A batch matches its checksum and its records make no sense.
    #[error("a record is malformed")]
    Record,
}
