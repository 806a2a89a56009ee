//! What this client uploaded where, so that uploading a file again sends none of it.
//!
//! ```text
//! 24   "tahoectl uploads, v1", padded with zeros
//! then one record after the other, appended:
//!   2   length of the body, big-endian
//!   16  BLAKE3 of the body, cut
//!   body:
//!     16  storage index
//!     32  UEB hash, from which follows the capability
//!     9 for each share: 8 bytes of the server's key hash, share number
//! ```
//!
//! A hint, never a promise: what servers really hold is asked of them. So it may be deleted, it is
//! not synced, a torn end is cut off, and when it has grown to its bound the older half goes. A later
//! record of a storage index replaces an earlier one. Several processes may use it at once.
//!
//! Each process reads all of it, for one file perhaps. So of each record only the length and the
//! storage index are looked at, and the checksum where it matters: of the last one, which may be torn,
//! and of one that is wanted.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lafs::cap::UebHash;
use lafs::nurl::KeyHash;
use lafs::{ShareNumber, StorageIndex, num};
use rustix::fs::FlockOperation;

use crate::durable;

/// Size at which the older half is dropped: some 50 000 files at ten shares.
pub const SIZE_MAX: u64 = 8 << 20;

/// The record of uploads, with an index of it in memory.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    /// Half of the storage index, to where its last record starts.
    index: HashMap<u64, u32>,
    /// How far the file is known and whole.
    end: u64,
    size_max: u64,
}

/// One upload, as remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which file.
    pub storage_index: StorageIndex,
    /// What its shares bind to.
    pub ueb_hash: UebHash,
    /// Which server acknowledged which share.
    pub shares: Vec<(ServerTag, ShareNumber)>,
}

/// A server, by the first bytes of its key hash: enough to tell a grid's servers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerTag([u8; Self::LEN]);

impl ServerTag {
    const LEN: usize = 8;
}

impl From<&KeyHash> for ServerTag {
    fn from(hash: &KeyHash) -> Self {
        let (tag, _) = hash
            .as_bytes()
            .split_first_chunk()
            .expect("a hash has 32 bytes");
        Self(*tag)
    }
}

impl Ledger {
    /// Opens the record, or begins one.
    ///
    /// # Errors
    ///
    /// The error of opening or reading it; `InvalidData` if a newer program wrote it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_bounded(path, SIZE_MAX)
    }

    fn open_bounded(path: &Path, size_max: u64) -> io::Result<Self> {
        let mut ledger = Self {
            path: path.to_owned(),
            file: open_file(path)?,
            index: HashMap::new(),
            end: 0,
            size_max,
        };
        ledger.lock(FlockOperation::LockExclusive)?;
        let caught_up = ledger.catch_up();
        ledger.lock(FlockOperation::Unlock)?;
        caught_up.map(|()| ledger)
    }

    /// What is remembered of this file.
    ///
    /// # Errors
    ///
    /// The error of reading the record.
    pub fn find(&self, storage_index: StorageIndex) -> io::Result<Option<Entry>> {
        let Some(&start) = self.index.get(&key(storage_index)) else {
            return Ok(None);
        };
        let entry = self.read_at(start.into())?.map(|(entry, _)| entry);
        // Two storage indexes may share the half that is the key.
        Ok(entry.filter(|entry| entry.storage_index == storage_index))
    }

    /// Remembers an upload.
    ///
    /// # Errors
    ///
    /// The error of writing; the record is then as good as before.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.lock(FlockOperation::LockExclusive)?;
        let appended = self.append_locked(entry);
        self.lock(FlockOperation::Unlock)?;
        appended
    }

    fn append_locked(&mut self, entry: &Entry) -> io::Result<()> {
        self.catch_up()?;
        let record = entry.to_record();
        if self.end + num::size(record.len()) > self.size_max {
            self.drop_older_half()?;
        }
        self.file.write_all_at(&record, self.end)?;
        self.index
            .insert(key(entry.storage_index), offset(self.end)?);
        self.end += num::size(record.len());
        Ok(())
    }

    /// Takes the lock of the file that has the name now: another process may have replaced it.
    fn lock(&mut self, operation: FlockOperation) -> io::Result<()> {
        loop {
            rustix::fs::flock(&self.file, operation)?;
            if operation == FlockOperation::Unlock {
                return Ok(());
            }
            let ours = self.file.metadata()?;
            match fs::metadata(&self.path) {
                Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => {
                    return Ok(());
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {
                    self.file = open_file(&self.path)?;
                    self.index.clear();
                    self.end = 0;
                }
            }
        }
    }

    /// Reads what was appended since, and cuts off a torn end. Under the lock.
    fn catch_up(&mut self) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        if self.end == 0 {
            if size < num::size(HEADER.len()) {
                // New, or the crash came before the first record.
                self.file.set_len(0)?;
                self.file.write_all_at(&HEADER, 0)?;
            } else {
                let mut header = [0; HEADER.len()];
                self.file.read_exact_at(&mut header, 0)?;
                if header != HEADER {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            self.end = num::size(HEADER.len());
        }
        let mut last = None;
        let mut rest = Unread::from(&self.file, self.end, size);
        while let Some((half, len)) = rest.next()? {
            last = Some(self.end);
            self.index.insert(half, offset(self.end)?);
            self.end += len;
        }
        // Torn at the end of a page, it has its length and not its bytes.
        if let Some(start) = last {
            if self.read_at(start)?.is_none() {
                self.end = start;
            }
        }
        if self.file.metadata()?.len() > self.end {
            self.file.set_len(self.end)?;
        }
        Ok(())
    }

    fn drop_older_half(&mut self) -> io::Result<()> {
        let mut starts: Vec<_> = self.index.values().copied().map(u64::from).collect();
        starts.sort_unstable();
        let mut kept = Vec::new();
        for &start in starts.iter().rev() {
            let Some((entry, len)) = self.read_at(start)? else {
                continue;
            };
            if num::size(kept.iter().map(Vec::len).sum::<usize>()) + len > self.size_max / 2 {
                break;
            }
            kept.push(entry.to_record());
        }
        let mut bytes = HEADER.to_vec();
        kept.iter().rev().for_each(|record| bytes.extend(record));
        durable::replace_private(&self.path, &bytes)?;
        // The new file is nobody's yet, and whoever waits for the old one's lock looks again.
        self.file = open_file(&self.path)?;
        rustix::fs::flock(&self.file, FlockOperation::LockExclusive)?;
        self.index.clear();
        self.end = 0;
        self.catch_up()
    }

    fn read_at(&self, start: u64) -> io::Result<Option<(Entry, u64)>> {
        let mut reader = &self.file;
        reader.seek(SeekFrom::Start(start))?;
        read_record(&mut reader)
    }
}

/// The part of the record that was not looked at yet.
struct Unread<'a> {
    file: &'a File,
    /// Where `bytes` begin in the file.
    offset: u64,
    end: u64,
    bytes: Vec<u8>,
    /// How many of them were looked at.
    taken: usize,
}

impl<'a> Unread<'a> {
    fn from(file: &'a File, offset: u64, end: u64) -> Self {
        Self {
            file,
            offset,
            end,
            bytes: Vec::new(),
            taken: 0,
        }
    }

    /// The key of the next record and the record's length; `None` where no whole record follows.
    fn next(&mut self) -> io::Result<Option<(u64, u64)>> {
        if !self.has(HEAD_LEN)? {
            return Ok(None);
        }
        let head = &self.bytes[self.taken..][..HEAD_LEN];
        let body_len = usize::from(u16::from_be_bytes([head[0], head[1]]));
        let (half, _) = head[PREFIX_LEN..]
            .split_first_chunk()
            .expect("a head has 8 bytes of the storage index");
        let half = u64::from_be_bytes(*half);
        let is_body = body_len
            .checked_sub(BODY_LEN_MIN)
            .is_some_and(|shares| shares % SHARE_LEN == 0 && shares / SHARE_LEN <= SHARES_MAX);
        if !is_body {
            return Ok(None);
        }
        let len = PREFIX_LEN + body_len;
        if !self.has(len)? {
            return Ok(None);
        }
        self.taken += len;
        Ok(Some((half, num::size(len))))
    }

    /// Whether so many bytes follow; reads more if need be.
    fn has(&mut self, len: usize) -> io::Result<bool> {
        if self.bytes.len() - self.taken >= len {
            return Ok(true);
        }
        self.bytes.drain(..self.taken);
        self.offset += num::size(self.taken);
        self.taken = 0;
        let have = self.bytes.len();
        let left = self.end.saturating_sub(self.offset + num::size(have));
        let more = num::len(left).map_or(READ_LEN, |left| left.min(READ_LEN));
        self.bytes.resize(have + more, 0);
        self.file
            .read_exact_at(&mut self.bytes[have..], self.offset + num::size(have))?;
        Ok(self.bytes.len() >= len)
    }
}

impl Entry {
    fn to_record(&self) -> Vec<u8> {
        let mut body = self.storage_index.as_bytes().to_vec();
        body.extend(self.ueb_hash.as_bytes());
        for (server, share) in self.shares.iter().take(SHARES_MAX) {
            body.extend(server.0);
            body.push(share.as_u8());
        }
        let len = u16::try_from(body.len()).expect("SHARES_MAX keeps it short");
        let mut record = len.to_be_bytes().to_vec();
        record.extend(checksum(&body));
        record.extend(body);
        record
    }

    fn from_body(body: &[u8]) -> Option<Self> {
        let (storage_index, rest) = body.split_first_chunk()?;
        let (ueb_hash, mut rest) = rest.split_first_chunk()?;
        let mut shares = Vec::new();
        while !rest.is_empty() {
            let (server, after) = rest.split_first_chunk()?;
            let (&share, after) = after.split_first()?;
            shares.push((ServerTag(*server), ShareNumber::new(share)));
            rest = after;
        }
        Some(Self {
            storage_index: StorageIndex::new(*storage_index),
            ueb_hash: UebHash::new(*ueb_hash),
            shares,
        })
    }
}

/// Reads one record and its length; `None` at the end, or where a record is torn.
fn read_record(reader: &mut impl Read) -> io::Result<Option<(Entry, u64)>> {
    let mut prefix = [0; PREFIX_LEN];
    let mut body = Vec::new();
    let read = reader.read_exact(&mut prefix).and_then(|()| {
        body.resize(usize::from(u16::from_be_bytes([prefix[0], prefix[1]])), 0);
        reader.read_exact(&mut body)
    });
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    if prefix[2..] != checksum(&body) {
        return Ok(None);
    }
    let len = num::size(PREFIX_LEN + body.len());
    Ok(Entry::from_body(&body).map(|entry| (entry, len)))
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let hash = blake3::hash(body);
    let (cut, _) = hash
        .as_bytes()
        .split_first_chunk()
        .expect("a hash has 32 bytes");
    *cut
}

fn key(storage_index: StorageIndex) -> u64 {
    let (half, _) = storage_index
        .as_bytes()
        .split_first_chunk()
        .expect("a storage index has 16 bytes");
    u64::from_be_bytes(*half)
}

fn offset(end: u64) -> io::Result<u32> {
    u32::try_from(end).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

const HEADER: [u8; 24] = *b"tahoectl uploads, v1\0\0\0\0";
const CHECKSUM_LEN: usize = 16;
const PREFIX_LEN: usize = 2 + CHECKSUM_LEN;
/// What is looked at of every record: the prefix, and half of the storage index.
const HEAD_LEN: usize = PREFIX_LEN + 8;
/// Storage index and UEB hash.
const BODY_LEN_MIN: usize = 16 + 32;
/// A server and a share.
const SHARE_LEN: usize = ServerTag::LEN + 1;
/// At least one record.
const READ_LEN: usize = 64 << 10;
/// Far beyond 256 shares on several servers each, and within the 16 bits of the length.
const SHARES_MAX: usize = 4096;
const _: () = assert!(PREFIX_LEN + BODY_LEN_MIN + SHARES_MAX * SHARE_LEN <= READ_LEN);

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u8) -> Entry {
        Entry {
            storage_index: StorageIndex::new([number; 16]),
            ueb_hash: UebHash::new([number ^ 0xff; 32]),
            shares: (0..10)
                .map(|share| (ServerTag([share; 8]), ShareNumber::new(share)))
                .collect(),
        }
    }

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("uploads");
        (directory, path)
    }

    #[test]
    fn what_was_appended_is_found_again_the_latest_first() {
        let (_directory, path) = directory();
        let mut ledger = Ledger::open(&path).unwrap();
        let mut changed = entry(1);
        changed.shares.truncate(3);
        for entry in [&entry(1), &entry(2), &changed] {
            ledger.append(entry).unwrap();
        }
        for ledger in [&ledger, &Ledger::open(&path).unwrap()] {
            assert_eq!(
                ledger.find(changed.storage_index).unwrap(),
                Some(changed.clone())
            );
            assert_eq!(ledger.find(entry(2).storage_index).unwrap(), Some(entry(2)));
            assert_eq!(ledger.find(entry(3).storage_index).unwrap(), None);
        }
    }

    // A crash may leave any prefix of the last record, or garbage in its place.
    #[test]
    fn a_torn_end_costs_only_the_torn_record() {
        let (_directory, path) = directory();
        Ledger::open(&path).unwrap().append(&entry(1)).unwrap();
        let whole = fs::read(&path).unwrap();
        let second = entry(2).to_record();
        for len in 0..second.len() {
            let mut bytes = whole.clone();
            bytes.extend(&second[..len]);
            fs::write(&path, &bytes).unwrap();
            let mut ledger = Ledger::open(&path).unwrap();
            assert_eq!(ledger.find(entry(1).storage_index).unwrap(), Some(entry(1)));
            assert_eq!(ledger.find(entry(2).storage_index).unwrap(), None, "{len}");
            ledger.append(&entry(3)).unwrap();
            let ledger = Ledger::open(&path).unwrap();
            assert_eq!(ledger.find(entry(3).storage_index).unwrap(), Some(entry(3)));
        }
    }

    // A wrong UEB hash would print a capability of a file that does not exist.
    #[test]
    fn a_flipped_bit_is_a_record_less_and_never_a_wrong_one() {
        let (_directory, path) = directory();
        Ledger::open(&path).unwrap().append(&entry(1)).unwrap();
        let whole = fs::read(&path).unwrap();
        for bit in HEADER.len() * 8..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            let ledger = Ledger::open(&path).unwrap();
            assert_eq!(ledger.find(entry(1).storage_index).unwrap(), None, "{bit}");
        }
    }

    // The checksums of records that nobody asks for are not looked at.
    #[test]
    fn a_damaged_record_costs_only_itself_and_those_whose_length_follows_from_it() {
        let (_directory, path) = directory();
        let mut ledger = Ledger::open(&path).unwrap();
        for number in 1..=3 {
            ledger.append(&entry(number)).unwrap();
        }
        let len = entry(1).to_record().len();
        let mut bytes = fs::read(&path).unwrap();
        bytes[HEADER.len() + len + PREFIX_LEN + 30] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        for (number, expected) in [(1, Some(entry(1))), (2, None), (3, Some(entry(3)))] {
            let found = ledger.find(entry(number).storage_index).unwrap();
            assert_eq!(found, expected);
        }
        bytes[HEADER.len() + len] ^= 0x80;
        fs::write(&path, &bytes).unwrap();
        let mut ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.find(entry(3).storage_index).unwrap(), None);
        ledger.append(&entry(4)).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        for number in [1, 4] {
            let found = ledger.find(entry(number).storage_index).unwrap();
            assert_eq!(found, Some(entry(number)));
        }
    }

    #[test]
    fn a_record_larger_than_what_is_read_at_once_is_read_whole() {
        let (_directory, path) = directory();
        let mut ledger = Ledger::open(&path).unwrap();
        for number in 1..=200 {
            let mut entry = entry(number);
            let shares = entry.shares.clone().into_iter().cycle();
            entry.shares = shares.take(usize::from(number) * 20).collect();
            ledger.append(&entry).unwrap();
        }
        let ledger = Ledger::open(&path).unwrap();
        for number in 1..=200 {
            let found = ledger.find(entry(number).storage_index).unwrap().unwrap();
            assert_eq!(found.shares.len(), usize::from(number) * 20);
        }
    }

    #[test]
    fn the_record_stays_within_its_bound_and_keeps_the_newest() {
        let (_directory, path) = directory();
        let mut ledger = Ledger::open_bounded(&path, 2000).unwrap();
        for number in 0..200 {
            ledger.append(&entry(number)).unwrap();
            assert!(fs::metadata(&path).unwrap().len() <= 2000);
        }
        assert_eq!(
            ledger.find(entry(199).storage_index).unwrap(),
            Some(entry(199))
        );
        assert_eq!(ledger.find(entry(0).storage_index).unwrap(), None);
    }

    #[test]
    fn two_processes_see_each_others_records_even_when_one_rewrites_the_file() {
        let (_directory, path) = directory();
        let mut one = Ledger::open_bounded(&path, 2000).unwrap();
        let mut two = Ledger::open_bounded(&path, 2000).unwrap();
        for number in 0..100 {
            one.append(&entry(2 * number)).unwrap();
            two.append(&entry(2 * number + 1)).unwrap();
            let found = two.find(entry(2 * number).storage_index).unwrap();
            assert_eq!(found, Some(entry(2 * number)));
        }
    }

    #[test]
    fn a_record_of_a_newer_program_is_left_alone() {
        let (_directory, path) = directory();
        fs::write(&path, b"tahoectl uploads, v2\0\0\0\0and more").unwrap();
        let error = Ledger::open(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(fs::read(&path).unwrap().ends_with(b"and more"));
    }

    #[test]
    fn a_record_that_was_deleted_is_begun_anew() {
        let (_directory, path) = directory();
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.append(&entry(1)).unwrap();
        fs::remove_file(&path).unwrap();
        ledger.append(&entry(2)).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.find(entry(1).storage_index).unwrap(), None);
        assert_eq!(ledger.find(entry(2).storage_index).unwrap(), Some(entry(2)));
    }
}
