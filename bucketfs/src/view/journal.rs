//! The journal, read beside whoever writes it or while nobody does; nothing is replayed.

use std::os::fd::OwnedFd;

use lafs::num;
use rustix::io::Errno;

use super::View;
use super::finding::{Finding, Kind, Repair, path_of};
use super::status::Status;
use crate::disk::StorePath;
use crate::error::JournalDamage;
use crate::journal::format::{BATCH_LEN_MAX, BLOCK, BLOCK_LEN, FileHeader, Record, UncheckedBatch};
use crate::keys::KeySet;
use crate::layout::{JOURNAL_FILES, ShareKey};

/// What of the journal matters to the rest of the store.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) findings: Vec<Finding>,
    /// The files in incoming that it speaks of, by their serial numbers.
    pub(super) serials: KeySet<u64>,
}

/// Reads a journal that nobody writes, and says what is wrong with it.
pub(super) fn check(view: &View) -> Journal {
    let mut journal = Journal::default();
    for path in JOURNAL_FILES {
        let serials = &mut journal.serials;
        let read = Reader::open(view, path).and_then(|mut reader| {
            reader.read(|record| {
                if let Record::Replace { serial, .. } = record {
                    serials.insert(*serial);
                }
            })?;
            reader.check_end()
        });
        if let Err(failure) = read {
            journal.findings.push(failure.into_finding(path));
        }
    }
    journal
}

/// Says what is wrong with the headers of a journal that somebody may be writing.
pub(super) fn check_headers(view: &View) -> Vec<Finding> {
    let wrong = |path: &&'static str| Reader::open(view, path).err();
    let wrong = JOURNAL_FILES
        .iter()
        .filter_map(|path| Some(wrong(path)?.into_finding(path)));
    wrong.collect()
}

/// Which of these shares the journal speaks of, as far as it can be read: what is said of a share
/// before a fence is void.
///
/// A share whose record is there all the while this reads is found, whatever else is written meanwhile.
pub(super) fn recorded(view: &View, shares: &KeySet<ShareKey>) -> KeySet<ShareKey> {
    let mut found = KeySet::default();
    // What cannot be read is said by `check`, and by the store when it is opened.
    let readers = JOURNAL_FILES.iter();
    let mut readers: Vec<_> = readers
        .filter_map(|path| Reader::open(view, path).ok())
        .collect();
    readers.sort_by_key(|reader| reader.header.generation);
    for mut reader in readers {
        let _ = reader.read(|record| {
            let key = record.key();
            match record {
                Record::Fence { .. } => _ = found.remove(&key),
                _ if shares.contains(&key) => _ = found.insert(key),
                _ => {}
            }
        });
    }
    found
}

/// Why a journal file cannot be read to its end.
#[derive(Debug)]
enum Failure {
    Damaged(u64, JournalDamage),
    Disk(Errno),
}

impl Failure {
    fn into_finding(self, path: &str) -> Finding {
        let at = path_of(path.as_bytes());
        let kind = Kind::Journal;
        let finding = |expected: &str, found| Finding {
            at,
            share: None,
            kind,
            expected: expected.to_owned(),
            found,
            repair: Repair::ByHand,
        };
        match self {
            Self::Damaged(offset, damage) => finding(
                "a journal file without damage",
                format!("at byte {offset}: {damage}"),
            ),
            Self::Disk(errno) => finding("a journal file", errno.to_string()),
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Disk(errno)
    }
}

/// Reads the batches of a file one after the other.
struct Reader {
    file: OwnedFd,
    header: FileHeader,
    offset: u64,
    index: u64,
}

impl Reader {
    fn open(view: &View, path: &str) -> Result<Self, Failure> {
        let file = view.open_file(&StorePath::new(path))?;
        let size = Status::of(&file)?.size;
        let front = read(&file, 0, BLOCK_LEN)?;
        let (header, _) =
            FileHeader::parse(&front, size).map_err(|damage| Failure::Damaged(0, damage))?;
        Ok(Self {
            file,
            header,
            offset: BLOCK,
            index: 0,
        })
    }

    /// Gives every record, up to the first batch that is not there whole.
    fn read(&mut self, mut give: impl FnMut(&Record)) -> Result<(), Failure> {
        loop {
            let mut bytes = read(&self.file, self.offset, BLOCK_LEN)?;
            let Some(batch) = UncheckedBatch::parse(&bytes, self.header.salt) else {
                return Ok(());
            };
            if batch.index != self.index {
                return Ok(());
            }
            if let Some(more) = batch.len().checked_sub(BLOCK_LEN).filter(|more| *more > 0) {
                bytes.extend(read(&self.file, self.offset + BLOCK, more)?);
            }
            let Some(records) = batch.check(&bytes) else {
                return Ok(());
            };
            let (records, _) = records
                .parse()
                .map_err(|damage| Failure::Damaged(self.offset, damage))?;
            records.iter().for_each(&mut give);
            self.offset += batch.padded_size();
            self.index += 1;
        }
    }

    /// Tells a torn end from damage, as the replay does.
    fn check_end(&self) -> Result<(), Failure> {
        if self.header.relaxed {
            return Ok(());
        }
        let tail = read(&self.file, self.offset + BLOCK, BATCH_LEN_MAX)?;
        let is_later = |block: &[u8]| {
            let batch = UncheckedBatch::parse(block, self.header.salt);
            batch.is_some_and(|batch| batch.index > self.index)
        };
        match tail.chunks(BLOCK_LEN).any(is_later) {
            true => Err(Failure::Damaged(self.offset, JournalDamage::Batch)),
            false => Ok(()),
        }
    }
}

/// Reads a part of a file, or less at its end.
fn read(file: &OwnedFd, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; len];
    let mut have = 0;
    while have < len {
        match rustix::io::pread(file, &mut bytes[have..], offset + num::size(have)) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}
