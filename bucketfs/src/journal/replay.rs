//! Does again what the journal records, after a crash or none.
//!
//! Records are applied in their order to whatever the tree is: doing one again changes nothing, so
//! a crash during replay is followed by another replay. Records of a share before its last fence,
//! or its last replacement, are left out. Before the tree follows any, all of them are written and
//! synced once more: after a sync that failed the kernel shows what the disk does not have, and a
//! power cut would then leave a tree that is half changed, and no record to complete it. The tree
//! is not synced here and no file retired; the caller does that once all is done, the older file
//! first. (The newer one alone would be replayed onto a tree that holds its changes; the older one
//! alone would undo them.)
//!
//! A bucket of a store that is migrated is moved before its first record is done; where it cannot be
//! moved, its records are done where it is.

use std::collections::HashMap;

use super::account::Account;
use super::format::{self, BATCH_LEN_MAX, BLOCK, BLOCK_LEN, FileHeader, Record, UncheckedBatch};
use crate::disk::blocking::Blocking;
use crate::disk::{
    Aligned, ByteRange, Completion, Existing, FileId, Move, Moved, Operation, Outcome, StorePath,
};
use crate::error::{DiskError, JournalDamage, OpenError};
use crate::layout::{self, ShareKey, Tree};
use crate::store::Places;
use rustix::io::Errno;

/// A journal file as it was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: StorePath,
    /// The slot that it is open in.
    pub(crate) file: FileId,
    pub(crate) header: FileHeader,
    /// That of its header.
    pub(crate) account: Option<Account>,
}

/// What a replay found.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// How many records there were, accounts not counted.
    pub(crate) records: u64,
    /// How many batches.
    pub(crate) batches: u64,
    /// How much the store holds, those shares included that were about to have their names.
    pub(crate) account: Option<Account>,
}

impl Replayed {
    /// Takes an account that was found; of all of them the last counts.
    fn take(&mut self, found: Option<Account>) {
        let last = self.account.as_ref().map(|account| account.sequence);
        if let Some(found) = found.filter(|found| last.is_none_or(|last| found.sequence > last)) {
            self.account = Some(found);
        }
    }
}

/// A batch as it was found.
struct Batch {
    offset: u64,
    bytes: Vec<u8>,
    records: Vec<Record>,
    account: Option<Account>,
}

/// Replays both files, the one of the lower generation first.
pub(crate) fn replay(
    disk: &mut Blocking<'_>,
    places: &mut Places,
    mut files: [Found; 2],
) -> Result<Replayed, OpenError> {
    files.sort_by_key(|file| file.header.generation);
    let mut fences = HashMap::new();
    let mut found = Replayed::default();
    for file in &mut files {
        found.take(file.account.take());
    }
    each_batch(disk, &files, |disk, file, batch| {
        for record in batch.records {
            if let Record::Fence { key } | Record::Replace { key, .. } = record {
                fences.insert(key, found.records);
            }
            found.records += 1;
        }
        found.batches += 1;
        found.take(batch.account.filter(|_| file.header.has_account()));
        let mut bytes = Aligned::from(&batch.bytes[..]);
        format::pad(&mut bytes);
        let write = Operation::Append {
            file: file.file,
            offset: batch.offset,
            bytes,
            sync: false,
        };
        perform(disk, file, write)
    })?;
    if found.batches > 0 {
        for file in &files {
            perform(disk, file, Operation::SyncFile { file: file.file })?;
        }
    }
    let mut position = 0_u64;
    each_batch(disk, &files, |disk, _, batch| {
        // Within a batch no two records are of one share, and only those could depend on order;
        // should a journal hold such a batch anyway, the flights keep the order.
        for record in &batch.records {
            settle(disk, places, record.key())?;
        }
        let places = &*places;
        let mut flights = disk.flights();
        for record in batch.records {
            let key = record.key();
            let tree = places.tree(key.storage_index);
            let fenced = fences.get(&key).is_some_and(|fence| position < *fence);
            position += 1;
            if let Some(operation) = redo(tree, record).filter(|_| !fenced) {
                flights.start(key, operation, |key, done| applied(places, key, &done))?;
            }
        }
        flights.finish(|key, done| applied(places, key, &done))
    })?;
    Ok(found)
}

/// Moves the bucket of a share to where it is to be, if the store is migrated.
fn settle(disk: &mut Blocking<'_>, places: &mut Places, key: ShareKey) -> Result<(), OpenError> {
    let index = key.storage_index;
    if !places.must_settle(index) {
        return Ok(());
    }
    let (source, target) = places.ends(index);
    let path = source.clone();
    let moved = disk.perform(Operation::MoveDirectories {
        moves: vec![Move { source, target }],
        prune: places.prunable(),
        has_room: true,
    });
    let moved = match moved {
        Ok(Outcome::Moved(mut moved)) => moved.pop().expect("one was to be moved"),
        Ok(outcome) => panic!("a bucket was moved, and gave {outcome:?}"),
        Err(error) => Err(error),
    };
    match moved {
        Ok(Moved::Moved | Moved::NotThere) => places.settle(index),
        Ok(Moved::Stays(error)) => {
            tracing::warn!(%path, %error, "cannot move a bucket; it is served where it is");
            places.unsettle(index, error);
        }
        Err(error) => return Err(OpenError::Disk { path, error }),
    }
    Ok(())
}

/// The operation that makes the tree what the record says.
fn redo(tree: Tree, record: Record) -> Option<Operation> {
    let path = tree.share(record.key());
    match record {
        // In place: should it be torn again, the record is still there.
        Record::Create { container, .. } => Some(Operation::CreateFile {
            path,
            bytes: container,
            existing: Existing::Overwrite,
            unless: None,
        }),
        Record::Patch { writes, size, .. } => Some(Operation::Patch { path, writes, size }),
        Record::Remove { .. } => Some(Operation::Remove {
            path,
            prune: tree.levels(),
        }),
        Record::Fence { .. } => None,
        // Not moved: a name that is not synced may be lost again, and this record be all there is.
        Record::Replace { serial, .. } => Some(Operation::Replace {
            source: layout::incoming(serial),
            spare: Some(layout::spare(serial)),
            target: path,
        }),
    }
}

/// Judges what came of a record.
fn applied(places: &Places, key: ShareKey, done: &Completion) -> Result<(), OpenError> {
    let tree = places.tree(key.storage_index);
    match (&done.operation, &done.result) {
        (_, Ok(_)) => Ok(()),
        // A share whose records begin with a patch was durable before it: if its file is gone, it
        // was removed by a record to come, or by an operator; likewise for one removed already.
        (Operation::Patch { .. } | Operation::Remove { .. }, Err(error))
            if error.errno == Errno::NOENT =>
        {
            Ok(())
        }
        // Only where nobody synced it (relaxed durability), or an operator emptied incoming.
        (Operation::Replace { source, .. }, Err(error)) if error.errno == Errno::NOENT => {
            let path = tree.share(key);
            tracing::error!(%path, %source, "the change of a slot is lost: its file has gone");
            Ok(())
        }
        (_, Err(error)) => Err(OpenError::Disk {
            path: tree.share(key),
            error: *error,
        }),
    }
}

fn each_batch(
    disk: &mut Blocking<'_>,
    files: &[Found],
    mut with: impl FnMut(&mut Blocking<'_>, &Found, Batch) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    for file in files {
        let mut reader = Reader {
            file,
            offset: BLOCK,
            index: 0,
        };
        while let Some(batch) = reader.next_batch(disk)? {
            with(disk, file, batch)?;
        }
        reader.check_end(disk)?;
    }
    Ok(())
}

fn perform(disk: &mut Blocking<'_>, on: &Found, operation: Operation) -> Result<(), OpenError> {
    match disk.perform(operation) {
        Ok(_) => Ok(()),
        Err(error) => Err(OpenError::Disk {
            path: on.path.clone(),
            error,
        }),
    }
}

/// Reads the batches of a file one after the other.
struct Reader<'a> {
    file: &'a Found,
    offset: u64,
    index: u64,
}

impl Reader<'_> {
    /// Reads the next batch, or returns `None` at the first one that is not there whole.
    fn next_batch(&mut self, disk: &mut Blocking<'_>) -> Result<Option<Batch>, OpenError> {
        let mut bytes = self.read(disk, self.offset, BLOCK_LEN)?;
        let Some(batch) = UncheckedBatch::parse(&bytes, self.file.header.salt) else {
            return Ok(None);
        };
        if batch.index != self.index {
            return Ok(None);
        }
        if let Some(more) = batch.len().checked_sub(BLOCK_LEN).filter(|more| *more > 0) {
            bytes.extend(self.read(disk, self.offset + BLOCK, more)?);
        }
        let Some(records) = batch.check(&bytes) else {
            return Ok(None);
        };
        let (records, account) = records
            .parse()
            .map_err(|damage| self.damaged(self.offset, damage))?;
        let found = Batch {
            offset: self.offset,
            bytes,
            records,
            account,
        };
        self.offset += batch.padded_size();
        self.index += 1;
        Ok(Some(found))
    }

    /// Tells a torn end from damage: behind an append that was torn, none was ever made.
    ///
    /// The batch after a damaged one begins at most the largest batch later; its header alone is
    /// proof, since nobody outside knows the salt.
    fn check_end(&self, disk: &mut Blocking<'_>) -> Result<(), OpenError> {
        if self.file.header.relaxed {
            return Ok(());
        }
        for step in 0..BATCH_LEN_MAX / TAIL_READ_LEN {
            let start = self.offset + BLOCK + (step * TAIL_READ_LEN) as u64;
            let bytes = self.read(disk, start, TAIL_READ_LEN)?;
            for block in bytes.chunks(BLOCK_LEN) {
                let batch = UncheckedBatch::parse(block, self.file.header.salt);
                if batch.is_some_and(|batch| batch.index > self.index) {
                    return Err(self.damaged(self.offset, JournalDamage::Batch));
                }
            }
        }
        Ok(())
    }

    fn read(&self, disk: &mut Blocking<'_>, offset: u64, len: usize) -> Result<Vec<u8>, OpenError> {
        let range = ByteRange { offset, len };
        read(disk, &self.file.path, range)
            .map(|(_, bytes)| bytes)
            .map_err(|error| OpenError::Disk {
                path: self.file.path.clone(),
                error,
            })
    }

    fn damaged(&self, offset: u64, damage: JournalDamage) -> OpenError {
        OpenError::JournalDamaged {
            path: self.file.path.clone(),
            offset,
            damage,
        }
    }
}

/// How much is read at a time behind the last batch.
const TAIL_READ_LEN: usize = 64 * 1024;
const _: () = assert!(BATCH_LEN_MAX % TAIL_READ_LEN == 0);

/// Reads one range of a file; returns the file's size with it.
pub(crate) fn read(
    disk: &mut Blocking<'_>,
    path: &StorePath,
    range: ByteRange,
) -> Result<(u64, Vec<u8>), DiskError> {
    let operation = Operation::Read {
        path: path.clone(),
        ranges: vec![range],
    };
    match disk.perform(operation)? {
        Outcome::Read { size, mut pieces } => Ok((size, pieces.pop().unwrap_or_default())),
        outcome => panic!("a read gave {outcome:?}"),
    }
}
