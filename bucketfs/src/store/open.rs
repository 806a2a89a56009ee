//! How a store is opened, and how it is made.
//!
//! A new store comes to be in an order that tells how far it came: the version file is durable
//! before the journal is made, and the journal before `shares`. So whoever finds `shares` without
//! a journal knows that one was lost, and after a crash in between the rest is made.
//!
//! Opening replays the journal and then syncs the file system, journal or none: a share that a
//! killed process left in the tree may not have reached the disk, and is about to be believed.

use bytes::Bytes;
use rustix::io::Errno;

use super::context::{Context, Settings};
use super::places::Places;
use super::ranged::Table;
use super::space::{SpaceAccount, SpaceLimits};
use crate::container::Version;
use crate::container::mutable::NodeId;
use crate::disk::blocking::Blocking;
use crate::disk::{
    ByteRange, Engine, Entry, EntryKind, Existing, ListCursor, OpenMode, Operation, Outcome, Space,
    StorePath,
};
use crate::durable::Durability;
use crate::error::{DiskError, OpenError};
use crate::journal::account::Account;
use crate::journal::format::{self, BLOCK, BLOCK_LEN, FileHeader, SINGLE_BATCH_SIZE_MAX};
use crate::journal::log::{FILES, Log, Salts, write_header};
use crate::journal::replay::{self, Found};
use crate::layout::{INCOMING, JOURNAL, JOURNAL_FILES, JOURNAL_NEW, Layout, Layouts, SHARES};
use crate::layout::{Tree, VERSION, VERSION_NEW};
use crate::request::Now;
use crate::ticket::BootId;
use crate::version;

mod adopt;
mod incoming;

pub(super) use adopt::adopt;

/// What an operator chooses.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes to keep free on the file system.
    pub reserved: u64,
    /// Most bytes that the files of its shares may have in all. It is heeded once the store knows how
    /// much it holds ([`crate::Status::held`]).
    pub size_max: Option<u64>,
    /// Take no new shares.
    pub read_only: bool,
    /// When acknowledgements are sent.
    pub durability: Durability,
    /// Size of both journal files together; of a store that exists they keep the size they have.
    pub journal_size: u64,
    /// Where the shares of a store lie that is made; one that exists keeps the layout it has.
    pub layout: Layout,
    /// Of containers that are made; those that exist keep the version they have. Version 1, which
    /// Tahoe-LAFS before 1.17 reads, keeps lease secrets in the clear.
    pub container_version: Version,
    /// Which boot of the kernel this is. Ranged uploads that an earlier run of the same boot left
    /// are resumed; by default there was none, so that they are not.
    pub boot_id: BootId,
    /// Names this server in the shares and leases of slots that it takes (Tahoe's TubID).
    pub node_id: [u8; 20],
    /// 32 random bytes, new for every start: nobody may guess what the journal is salted with.
    pub seed: [u8; 32],
}

impl Config {
    /// A journal of 64 MiB: at full load a checkpoint every few seconds, a replay of about as long.
    pub const JOURNAL_SIZE: u64 = 64 << 20;
    /// Smallest journal: each file holds its header and one share of any size.
    pub const JOURNAL_SIZE_MIN: u64 = 2 * (BLOCK + SINGLE_BATCH_SIZE_MAX.next_multiple_of(BLOCK));
    /// Largest journal: its replay takes minutes.
    pub const JOURNAL_SIZE_MAX: u64 = 4 << 30;

    /// The defaults: nothing reserved, durable, a server without a name.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let mut boot_id = [0; 16];
        boot_id.copy_from_slice(&seed[..16]);
        Self {
            reserved: 0,
            size_max: None,
            read_only: false,
            durability: Durability::Full,
            journal_size: Self::JOURNAL_SIZE,
            layout: Layout::default(),
            container_version: Version::default(),
            boot_id: BootId::new(boot_id),
            node_id: [0; 20],
            seed,
        }
    }
}

/// What an opened store begins with.
pub(super) struct Opened {
    pub(super) context: Context,
    /// Ranged uploads of an earlier run.
    pub(super) ranged: Table,
    /// How many records were replayed.
    pub(super) replayed: u64,
}

/// Opens the store that the engine works on.
pub(super) fn open(
    engine: &mut dyn Engine,
    config: &Config,
    now: Now,
    if_missing: IfMissing,
) -> Result<Opened, OpenError> {
    let mut opening = Opening::new(engine, config);
    let mut places = Places::new(opening.find_or_make(if_missing)?);
    let Replayed {
        headers,
        account,
        records,
        has_lost,
    } = opening.replay(&mut places)?;
    let left = opening.sort_incoming(places.layouts(), has_lost, now)?;
    let limits = SpaceLimits {
        reserved: config.reserved,
        size_max: config.size_max,
    };
    let mut space = SpaceAccount::new(opening.free_space()?, limits, now.elapsed);
    space.promised_before(left.promised, left.written);
    let settings = Settings {
        engine: opening.disk.engine_name(),
        writes_directly: opening.disk.writes_directly(),
        read_only: config.read_only,
        durability: config.durability,
        container_version: config.container_version,
        boot_id: config.boot_id,
        node_id: NodeId(config.node_id),
    };
    let log = Log::new(headers, account, opening.salts, config.durability.waiver());
    let mut context = Context::new(settings, places, now, log, space);
    context.skip_serials(left.serial);
    for key in left.ranged.keys() {
        context.begin_progress(key);
    }
    Ok(Opened {
        context,
        ranged: left.ranged,
        replayed: records,
    })
}

/// What to do about a store that is not there, or only in part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    Make,
    Refuse,
}

/// What was done before the store could be believed.
struct Replayed {
    headers: [FileHeader; 2],
    /// How much the store holds.
    account: Account,
    /// How many records there were.
    records: u64,
    /// The file system has lost writes of an earlier run, and nobody knows which.
    has_lost: bool,
}

/// A store being opened.
struct Opening<'a> {
    disk: Blocking<'a>,
    config: &'a Config,
    salts: Salts,
}

impl<'a> Opening<'a> {
    fn new(engine: &'a mut dyn Engine, config: &'a Config) -> Self {
        Self {
            disk: Blocking::new(engine),
            config,
            salts: Salts::new(config.seed),
        }
    }
}

impl Opening<'_> {
    /// Finds what is there, and makes what is not if it may; returns with all of it durable.
    fn find_or_make(&mut self, if_missing: IfMissing) -> Result<Layouts, OpenError> {
        self.check_journal_size()?;
        let root = StorePath::root();
        let names = self.list(&root)?;
        let has = |name: &str| names.iter().any(|(found, _)| found == name.as_bytes());
        let layouts = if has(VERSION) {
            let path = StorePath::new(VERSION);
            let len = version::LEN_MAX;
            let text = replay::read(&mut self.disk, &path, ByteRange { offset: 0, len });
            version::parse(&text.map_err(at(&path))?.1)?
        } else if let Some(found) = [SHARES, JOURNAL].into_iter().find(|name| has(name)) {
            return Err(OpenError::NotAStore { found });
        } else if if_missing == IfMissing::Refuse {
            return Err(OpenError::Missing { name: VERSION });
        } else {
            self.make_version(self.config.layout)?;
            Layouts::settled(self.config.layout)
        };
        // Each name is synced before the next one is made, whether it was made just now or found: a
        // killed process may have made it and not synced it.
        self.sync_directories(&[])?;
        for (path, file) in JOURNAL_FILES.iter().zip(0..) {
            let path = StorePath::new(path);
            if self.exists(&path)? {
                continue;
            }
            // Whoever makes a store where all of the journal has gone knows what that means.
            if has(SHARES) && (has(JOURNAL) || if_missing == IfMissing::Refuse) {
                return Err(OpenError::JournalMissing { path });
            }
            if if_missing == IfMissing::Refuse {
                return Err(OpenError::Missing { name: JOURNAL });
            }
            // How much there is of shares that are there already, nobody knows.
            let account = match has(SHARES) {
                true => Account::default(),
                false => Account::empty(),
            };
            self.make_journal(&path, file, &account)?;
        }
        if !has(SHARES) && if_missing == IfMissing::Refuse {
            return Err(OpenError::Missing { name: SHARES });
        }
        if !has(SHARES) || !has(JOURNAL) {
            self.sync_directories(&[JOURNAL])?;
        }
        let incoming = StorePath::new(INCOMING);
        self.perform(&incoming, |path| Operation::MakeDirectories { path })?;
        self.sync_directories(&[SHARES])?;
        Ok(layouts)
    }

    fn check_journal_size(&self) -> Result<(), OpenError> {
        let size = self.config.journal_size;
        let (min, max) = (Config::JOURNAL_SIZE_MIN, Config::JOURNAL_SIZE_MAX);
        if !(min..=max).contains(&size) {
            return Err(OpenError::JournalSize { size, min, max });
        }
        Ok(())
    }

    fn make_version(&mut self, layout: Layout) -> Result<(), OpenError> {
        let new = StorePath::new(VERSION_NEW);
        self.remove_if_there(&new)?;
        self.perform(&new, |path| Operation::CreateFile {
            path,
            bytes: Bytes::from(version::print(Layouts::settled(layout))),
            existing: Existing::Refuse,
            unless: None,
        })?;
        let file = FILES[0];
        let mode = OpenMode::Existing;
        self.perform(&new, |path| Operation::Open { file, path, mode })?;
        self.perform(&new, |_| Operation::SyncFile { file })?;
        self.perform(&new, |_| Operation::Close { file })?;
        self.publish(&new, &StorePath::new(VERSION))
    }

    /// Makes a journal file, whole before it has its name.
    fn make_journal(
        &mut self,
        path: &StorePath,
        index: u64,
        account: &Account,
    ) -> Result<(), OpenError> {
        let new = StorePath::new(JOURNAL_NEW);
        self.remove_if_there(&new)?;
        let size = (self.config.journal_size / 2) / BLOCK * BLOCK;
        self.perform(&new, |path| Operation::Preallocate { path, size })?;
        let file = 0;
        let mode = OpenMode::Existing;
        let slot = FILES[file];
        self.perform(&new, |path| Operation::Open {
            file: slot,
            path,
            mode,
        })?;
        // Synced whatever the operator has waived: a journal without a header opens no more.
        let header = self
            .salts
            .header(index, size, self.config.durability.waiver());
        self.perform(&new, |_| write_header(file, &header, account, None))?;
        self.perform(&new, |_| Operation::Close { file: slot })?;
        self.publish(&new, path)
    }

    /// Replays the journal, makes the tree durable, and leaves both files open and empty.
    fn replay(&mut self, places: &mut Places) -> Result<Replayed, OpenError> {
        let paths = JOURNAL_FILES.map(StorePath::new);
        for (path, file) in paths.iter().zip(FILES) {
            let mode = match self.disk.writes_directly() {
                true => OpenMode::ExistingDirect,
                false => OpenMode::Existing,
            };
            self.perform(path, |path| Operation::Open { file, path, mode })?;
        }
        let found = [self.found(0)?, self.found(1)?];
        let mut headers = [found[0].header, found[1].header];
        // Pages lost before this start, which the next sync of the file system would be told of:
        // those that matter are in the journal and about to be written again.
        let synced = self.disk.perform(Operation::SyncFileSystem);
        if let Err(error) = &synced {
            tracing::warn!(%error, "the file system lost writes before the store was opened");
        }
        let replay::Replayed {
            records,
            batches,
            account,
        } = replay::replay(&mut self.disk, places, found)?;
        let mut account = account.unwrap_or_default();
        let unsure = !account.naming.is_empty();
        // What is seen now is durable after the sync that follows.
        let layouts = places.layouts();
        account.settle(|key| {
            let mut is_there = false;
            for layout in layouts.iter() {
                is_there |= self.exists(&Tree::new(layout).share(key))?;
            }
            Ok::<_, OpenError>(is_there)
        })?;
        self.perform(&StorePath::root(), |_| Operation::SyncFileSystem)?;
        let waiver = self.config.durability.waiver();
        let other_promise = |header: &FileHeader| header.relaxed != waiver.is_some();
        // An earlier program must not take up what this one will write behind its header.
        let other_version = |header: &FileHeader| header.version != format::VERSION;
        let differs = |header: &FileHeader| other_promise(header) || other_version(header);
        if batches > 0 || unsure || headers.iter().any(differs) {
            if records > 0 {
                tracing::info!(records, "replayed the journal");
            }
            account.sequence += 1;
            // The older file first, as `replay` has it.
            let older = usize::from(headers[1].generation < headers[0].generation);
            for file in [older, 1 - older] {
                let last = headers[0].generation.max(headers[1].generation);
                let size = headers[file].file_size;
                headers[file] = self.salts.header(last + 1, size, waiver);
                let header = headers[file];
                self.perform(&paths[file], |_| {
                    write_header(file, &header, &account, None)
                })?;
            }
        }
        Ok(Replayed {
            headers,
            account,
            records,
            has_lost: synced.is_err(),
        })
    }

    /// A journal file, open already.
    fn found(&mut self, index: usize) -> Result<Found, OpenError> {
        let path = StorePath::new(JOURNAL_FILES[index]);
        let (header, account) = self.header(&path)?;
        Ok(Found {
            path,
            file: FILES[index],
            header,
            account,
        })
    }

    fn header(&mut self, path: &StorePath) -> Result<(FileHeader, Option<Account>), OpenError> {
        let range = ByteRange {
            offset: 0,
            len: BLOCK_LEN,
        };
        let (size, front) = replay::read(&mut self.disk, path, range).map_err(at(path))?;
        FileHeader::parse(&front, size).map_err(|damage| OpenError::JournalDamaged {
            path: path.clone(),
            offset: 0,
            damage,
        })
    }

    fn free_space(&mut self) -> Result<Space, OpenError> {
        match self.perform(&StorePath::root(), |_| Operation::FreeSpace)? {
            Outcome::Space(space) => Ok(space),
            outcome => panic!("the free space was asked for, not {outcome:?}"),
        }
    }

    fn perform(
        &mut self,
        path: &StorePath,
        operation: impl FnOnce(StorePath) -> Operation,
    ) -> Result<Outcome, OpenError> {
        self.disk.perform(operation(path.clone())).map_err(at(path))
    }

    /// All names of a directory.
    fn list(&mut self, path: &StorePath) -> Result<Vec<(Vec<u8>, EntryKind)>, OpenError> {
        let mut names = Vec::new();
        let mut after = Some(ListCursor::Start);
        while let Some(cursor) = after {
            let (entries, next) = self.page(path, cursor)?;
            let named = entries.into_iter().map(|entry| (entry.name, entry.kind));
            names.extend(named);
            after = next;
        }
        Ok(names)
    }

    /// Some names of a directory, and where the next ones are.
    fn page(
        &mut self,
        path: &StorePath,
        after: ListCursor,
    ) -> Result<(Vec<Entry>, Option<ListCursor>), OpenError> {
        match self.perform(path, |path| Operation::ListPage { path, after })? {
            Outcome::Page { entries, next } => Ok((entries, next)),
            outcome => panic!("a listing gave {outcome:?}"),
        }
    }

    fn exists(&mut self, path: &StorePath) -> Result<bool, OpenError> {
        let ranges = Vec::new();
        let operation = Operation::Read {
            path: path.clone(),
            ranges,
        };
        match self.disk.perform(operation) {
            Ok(_) => Ok(true),
            Err(error) if error.errno == Errno::NOENT => Ok(false),
            Err(error) => Err(at(path)(error)),
        }
    }

    fn remove_if_there(&mut self, path: &StorePath) -> Result<(), OpenError> {
        self.remove_and_prune(path, 0)
    }

    fn remove_and_prune(&mut self, path: &StorePath, prune: u8) -> Result<(), OpenError> {
        let operation = Operation::Remove {
            path: path.clone(),
            prune,
        };
        match self.disk.perform(operation) {
            Err(error) if error.errno != Errno::NOENT => Err(at(path)(error)),
            _ => Ok(()),
        }
    }

    fn publish(&mut self, source: &StorePath, target: &StorePath) -> Result<(), OpenError> {
        let source = source.clone();
        self.perform(target, |target| Operation::Publish { source, target })?;
        Ok(())
    }

    /// Syncs these directories and the store directory above them.
    fn sync_directories(&mut self, names: &[&str]) -> Result<(), OpenError> {
        let mut paths: Vec<_> = names.iter().map(|name| StorePath::new(name)).collect();
        paths.push(StorePath::root());
        self.perform(&StorePath::root(), |_| Operation::SyncDirectories { paths })?;
        Ok(())
    }
}

/// Says what was worked on when the disk failed.
fn at(path: &StorePath) -> impl Fn(DiskError) -> OpenError {
    let path = path.clone();
    move |error| OpenError::Disk {
        path: path.clone(),
        error,
    }
}
