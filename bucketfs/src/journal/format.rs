//! The bytes of a journal file: a header, then batches, each at a multiple of [`BLOCK`].
//!
//! ```text
//! header, in the first sector of the first block, the rest of which is zero
//! 0x000  8  "tahoejnl"
//! 0x008  4  version: 3; 1 and 2 when an earlier program wrote it
//! 0x00c  4  flags: bit 0, batches are written without a sync (relaxed durability)
//! 0x010  8  generation: of two files the one with the lower number comes first
//! 0x018  8  salt: random, new with every header
//! 0x020  8  size of the file
//! 0x028     an account
//! 0x1fc  4  CRC-32 of the 508 bytes before
//! 0x800     the same 512 bytes again, read where the first are damaged
//!
//! header of version 1 or 2: the same up to 0x28, then
//! 0x028  4  CRC-32 of the 40 bytes before
//!
//! batch
//! 0x00  4  CRC-32 of the batch from 0x04 to its end
//! 0x04  4  size of the batch, this header included
//! 0x08  8  salt of the file's header
//! 0x10  8  index of the batch in this file, from 0
//! 0x18  4  number of records
//! 0x1c  4  zero
//! 0x20     the records; then zeros up to the next block
//!
//! record
//! 0x00  1  kind: 1 create, 2 patch, 3 remove, 4 fence, 5 replace, 6 account
//! 0x01  1  share number
//! 0x02  2  zero
//! 0x04  4  size of the body
//! 0x08 16  storage index
//! 0x18     body
//!
//! body of create: the whole container      body of remove, of fence: empty
//! body of replace
//! 0x00  8  serial number of the file in incoming whose container the share has from now on
//!
//! body of patch
//! 0x00  8  size to cut the file to or extend it to after the writes, 2^64 - 1 for none
//! 0x08     writes, to the body's end: offset 8, size 4, that many bytes
//! ```
//!
//! The last record of a batch, and no other, is its account ([`super::account`]), of no share: number
//! and storage index are zero. Batches of versions 1 and 2 have none.
//!
//! Integers are big-endian. A batch is one append: torn, it fails its checksum and none of its
//! records exists. Batches begin at blocks so that an append never rewrites a sector that holds
//! acknowledged records, not even one of 4096 bytes.
//!
//! The salt is what makes stale bytes void: those of the batches before the file was retired, and
//! those that clients chose. Records hold share bytes; with a number that can be guessed in the
//! place of the salt, a client could upload a share that looks like a batch, and a crash at the
//! right place would have the store obey it.

use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, num};

use super::account::{ACCOUNT_LEN_MAX, Account};
use super::fields::Fields;
use crate::container::{HEADER_SIZE, LEASE_SIZE};
use crate::disk::{ALIGN, Aligned};
use crate::error::JournalDamage;
use crate::layout::ShareKey;
use crate::limits;

/// Where batches begin: the largest sector of any disk in use, and the page of the page cache.
pub(crate) const BLOCK: u64 = 4096;

/// [`BLOCK`] in memory.
pub(crate) const BLOCK_LEN: usize = 4096;
const _: () = assert!(BLOCK_LEN as u64 == BLOCK);
// Appends are written past the page cache.
const _: () = assert!(BLOCK_LEN % ALIGN == 0);

/// The version this program writes, and the latest it reads.
///
/// Version 2 came with [`Record::Replace`]: a program that does not know it would empty incoming,
/// and with it lose changes that were acknowledged. Version 3 came with the account: a program that
/// does not know it would change the store and leave the account as it was. Records of earlier
/// versions read as ever.
pub(crate) const VERSION: u32 = 3;

/// The first version that has an account.
const VERSION_OF_ACCOUNTS: u32 = 3;

/// The first version, which is read.
const VERSION_FIRST: u32 = 1;

const MAGIC: &[u8; 8] = b"tahoejnl";
const FLAG_RELAXED: u32 = 1;
/// The fields that every version has.
const FIELDS_LEN: usize = 0x28;
/// A sector is written as a whole or not at all.
const SECTOR_LEN: usize = 512;
const CHECKSUM_LEN: usize = 4;
/// Where the copy of the header's sector begins: a write that fails in its middle leaves one of them.
const COPY_AT: usize = 0x800;
const _: () = assert!(FIELDS_LEN + ACCOUNT_LEN_MAX + CHECKSUM_LEN <= SECTOR_LEN);
pub(crate) const BATCH_HEADER_LEN: usize = 0x20;
const RECORD_HEADER_LEN: usize = 0x18;

/// Size of a record without its body.
pub(crate) const RECORD_HEADER_SIZE: u64 = RECORD_HEADER_LEN as u64;

/// Size of a write of a patch without its bytes.
pub(crate) const WRITE_HEADER_SIZE: u64 = 8 + 4;

/// Most bytes of a batch: some 1500 shares of 600 bytes, a buffer that a small machine can keep.
pub(crate) const BATCH_LEN_MAX: usize = 1 << 20;

/// What a batch keeps free for its account.
pub(crate) const ACCOUNT_ROOM: usize = RECORD_HEADER_LEN + ACCOUNT_LEN_MAX;

/// Largest batch of one record, but for its account: the share of [`limits::SMALL_SHARE_SIZE`] in its container.
pub(crate) const SINGLE_BATCH_SIZE_MAX: u64 = (BATCH_HEADER_LEN + RECORD_HEADER_LEN) as u64
    + HEADER_SIZE
    + limits::SMALL_SHARE_SIZE
    + LEASE_SIZE;
const _: () = assert!(SINGLE_BATCH_SIZE_MAX + (ACCOUNT_ROOM as u64) < BATCH_LEN_MAX as u64);
// The account is in what the smallest journals that were ever made have left behind such a record.
const _: () = assert!(SINGLE_BATCH_SIZE_MAX % BLOCK + ACCOUNT_ROOM as u64 <= BLOCK);

/// Most bytes of records that are to be in one batch: as much as any journal file has room for.
pub(crate) const GROUP_SIZE_MAX: u64 = SINGLE_BATCH_SIZE_MAX - BATCH_HEADER_LEN as u64;

/// The header of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Of a file that an earlier program wrote, less than this program writes.
    pub(crate) version: u32,
    pub(crate) generation: u64,
    pub(crate) salt: u64,
    pub(crate) file_size: u64,
    pub(crate) relaxed: bool,
}

impl FileHeader {
    /// Whether the file tells how much the store holds.
    pub(crate) fn has_account(&self) -> bool {
        self.version >= VERSION_OF_ACCOUNTS
    }

    /// The first block of the file, with this account. Of an earlier version it has none.
    pub(crate) fn encode(&self, account: &Account) -> Aligned {
        let flags = if self.relaxed { FLAG_RELAXED } else { 0 };
        let mut block = Aligned::with_room(BLOCK_LEN);
        block.extend_from_slice(MAGIC);
        block.extend_from_slice(&self.version.to_be_bytes());
        block.extend_from_slice(&flags.to_be_bytes());
        block.extend_from_slice(&self.generation.to_be_bytes());
        block.extend_from_slice(&self.salt.to_be_bytes());
        block.extend_from_slice(&self.file_size.to_be_bytes());
        if self.has_account() {
            account.encode(|bytes| block.extend_from_slice(bytes));
            block.resize(SECTOR_LEN - CHECKSUM_LEN, 0);
        }
        let checksum = crc32fast::hash(&block);
        block.extend_from_slice(&checksum.to_be_bytes());
        if self.has_account() {
            let sector = block.to_vec();
            block.resize(COPY_AT, 0);
            block.extend_from_slice(&sector);
        }
        block.resize(BLOCK_LEN, 0);
        block
    }

    /// Takes the header from the front of a file of this size, and the account if it has one.
    ///
    /// Where the first sector is damaged the copy counts. It may be of the header before: then the
    /// file was not retired yet.
    pub(crate) fn parse(
        front: &[u8],
        file_size: u64,
    ) -> Result<(Self, Option<Account>), JournalDamage> {
        let first = Self::parse_sector(front, file_size);
        match (&first, front.get(COPY_AT..)) {
            (Err(JournalDamage::Header), Some(copy)) => {
                Self::parse_sector(copy, file_size).or(first)
            }
            _ => first,
        }
    }

    fn parse_sector(
        front: &[u8],
        file_size: u64,
    ) -> Result<(Self, Option<Account>), JournalDamage> {
        let sector = front.get(..SECTOR_LEN).ok_or(JournalDamage::Header)?;
        let mut fields = Fields(sector);
        let magic = fields.take::<8>().ok_or(JournalDamage::Header)?;
        let version = fields.u32().ok_or(JournalDamage::Header)?;
        if magic != *MAGIC {
            return Err(JournalDamage::Header);
        }
        // Before the checksum: a later version may have moved it.
        if version > VERSION {
            return Err(JournalDamage::NewerVersion(version));
        }
        let mut parse = || {
            let flags = fields.u32()?;
            let parsed = Self {
                version,
                generation: fields.u64()?,
                salt: fields.u64()?,
                file_size: fields.u64()?,
                relaxed: flags & FLAG_RELAXED != 0,
            };
            let has_account = version >= VERSION_OF_ACCOUNTS;
            let account = match has_account {
                true => Some(Account::parse(&mut fields)?),
                false => None,
            };
            let checked_len = match has_account {
                true => SECTOR_LEN - CHECKSUM_LEN,
                false => FIELDS_LEN,
            };
            let (checked, rest) = sector.split_at_checked(checked_len)?;
            let valid = (VERSION_FIRST..=VERSION).contains(&version)
                && flags & !FLAG_RELAXED == 0
                && Fields(rest).u32()? == crc32fast::hash(checked);
            valid.then_some((parsed, account))
        };
        let (header, account) = parse().ok_or(JournalDamage::Header)?;
        // Batches beyond a cut would be missing without a trace.
        if header.file_size != file_size {
            return Err(JournalDamage::Size);
        }
        Ok((header, account))
    }
}

/// A batch being put together.
#[derive(Debug)]
pub(crate) struct BatchWriter {
    buffer: Aligned,
    len_max: usize,
    records: u32,
}

impl BatchWriter {
    /// Begins a batch of at most this many bytes, its account included, in a buffer that was used
    /// before.
    pub(crate) fn new(mut buffer: Aligned, len_max: usize) -> Self {
        buffer.clear();
        buffer.resize(BATCH_HEADER_LEN, 0);
        Self {
            buffer,
            len_max: len_max.saturating_sub(ACCOUNT_ROOM),
            records: 0,
        }
    }

    /// Adds records, if all of them still fit.
    pub(crate) fn push(&mut self, records: &[Record]) -> bool {
        let len: usize = records.iter().map(Record::encoded_len).sum();
        if self.buffer.len() + len > self.len_max {
            return false;
        }
        for record in records {
            record.encode(&mut self.buffer);
            self.records += 1;
        }
        true
    }

    /// How many records there are, but for the account.
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// Completes the batch: account, header, checksum, zeros up to the next block.
    pub(crate) fn finish(self, account: &Account, salt: u64, index: u64) -> Aligned {
        let mut buffer = self.buffer;
        let records = self.records + 1;
        encode_account(account, &mut buffer);
        let size = u32::try_from(buffer.len()).expect("a batch is at most BATCH_LEN_MAX");
        buffer[0x04..0x08].copy_from_slice(&size.to_be_bytes());
        buffer[0x08..0x10].copy_from_slice(&salt.to_be_bytes());
        buffer[0x10..0x18].copy_from_slice(&index.to_be_bytes());
        buffer[0x18..0x1c].copy_from_slice(&records.to_be_bytes());
        let checksum = crc32fast::hash(&buffer[0x04..]);
        buffer[0x00..0x04].copy_from_slice(&checksum.to_be_bytes());
        pad(&mut buffer);
        buffer
    }

    /// Gives the buffer of a batch without records back.
    pub(crate) fn into_buffer(self) -> Aligned {
        self.buffer
    }
}

/// Adds zeros up to the next block.
pub(crate) fn pad(buffer: &mut Aligned) {
    buffer.resize(buffer.len().next_multiple_of(BLOCK_LEN), 0);
}

/// The header of a batch that carries its file's salt, its checksum not yet compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UncheckedBatch {
    checksum: u32,
    size: u32,
    pub(crate) index: u64,
    records: u32,
}

impl UncheckedBatch {
    /// Takes the header of a batch from the front of a block, or `None` if none of this salt is there.
    pub(crate) fn parse(front: &[u8], salt: u64) -> Option<Self> {
        let mut fields = Fields(front);
        let checksum = fields.u32()?;
        let size = fields.u32()?;
        let own = fields.u64()? == salt;
        let index = fields.u64()?;
        let records = fields.u32()?;
        let len = usize::try_from(size).ok()?;
        let plausible = own && (BATCH_HEADER_LEN..=BATCH_LEN_MAX).contains(&len);
        plausible.then_some(Self {
            checksum,
            size,
            index,
            records,
        })
    }

    /// The length of the batch without its padding.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.size).expect("at most BATCH_LEN_MAX, parse compared")
    }

    /// Where the batch after this one begins, from where this one does.
    pub(crate) fn padded_size(&self) -> u64 {
        u64::from(self.size).next_multiple_of(BLOCK)
    }

    /// Returns the bytes of the batch's records, or `None` if the batch is torn.
    pub(crate) fn check<'a>(&self, bytes: &'a [u8]) -> Option<UnparsedRecords<'a>> {
        let batch = bytes.get(..self.len())?;
        let checked = batch.get(0x04..)?;
        (crc32fast::hash(checked) == self.checksum).then_some(UnparsedRecords {
            bytes: batch.get(BATCH_HEADER_LEN..)?,
            count: self.records,
        })
    }
}

const KIND_ACCOUNT: u8 = 6;

/// Adds the record of an account.
fn encode_account(account: &Account, buffer: &mut Aligned) {
    let size = u32::try_from(account.encoded_len()).expect("at most ACCOUNT_LEN_MAX");
    buffer.extend_from_slice(&[KIND_ACCOUNT, 0, 0, 0]);
    buffer.extend_from_slice(&size.to_be_bytes());
    buffer.extend_from_slice(&[0; StorageIndex::LEN]);
    account.encode(|bytes| buffer.extend_from_slice(bytes));
}

/// Takes the record of an account, if one begins here.
fn parse_account(fields: &mut Fields<'_>) -> Option<Account> {
    let mut rest = *fields;
    if rest.take()? != [KIND_ACCOUNT, 0, 0, 0] {
        return None;
    }
    let size = rest.u32()?;
    if rest.take()? != [0; StorageIndex::LEN] {
        return None;
    }
    let mut body = Fields(rest.bytes(size)?);
    let account = Account::parse(&mut body).filter(|_| body.0.is_empty())?;
    *fields = rest;
    Some(account)
}

/// The records of a batch whose checksum was right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnparsedRecords<'a> {
    bytes: &'a [u8],
    count: u32,
}

impl UnparsedRecords<'_> {
    /// Parses all of them, and the account behind them if there is one.
    pub(crate) fn parse(self) -> Result<(Vec<Record>, Option<Account>), JournalDamage> {
        let mut fields = Fields(self.bytes);
        let mut records = Vec::new();
        let mut account = None;
        while !fields.0.is_empty() {
            let mut ahead = fields;
            if let Some(record) = Record::parse(&mut ahead) {
                records.push(record);
                fields = ahead;
                continue;
            }
            account = parse_account(&mut fields).filter(|_| fields.0.is_empty());
            if account.is_none() {
                return Err(JournalDamage::Record);
            }
        }
        let count = records.len() + usize::from(account.is_some());
        if u32::try_from(count) != Ok(self.count) {
            return Err(JournalDamage::Record);
        }
        Ok((records, account))
    }
}

/// One change to the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The share exists, in exactly this container.
    Create { key: ShareKey, container: Bytes },
    /// The share's container has these bytes at these offsets, and is cut or extended to this size.
    Patch {
        key: ShareKey,
        writes: Vec<(u64, Bytes)>,
        size: Option<u64>,
    },
    /// The share does not exist.
    Remove { key: ShareKey },
    /// What records before this one say about the share is void: it is durable by itself.
    Fence { key: ShareKey },
    /// The share has the container that is in incoming under this number; what records before this
    /// one say about it is void. The file is durable there until a fence.
    Replace { key: ShareKey, serial: u64 },
}

impl Record {
    /// The share that the record is about.
    pub(crate) fn key(&self) -> ShareKey {
        match self {
            Self::Create { key, .. }
            | Self::Patch { key, .. }
            | Self::Remove { key }
            | Self::Fence { key }
            | Self::Replace { key, .. } => *key,
        }
    }

    fn body_len(&self) -> usize {
        match self {
            Self::Create { container, .. } => container.len(),
            Self::Patch { writes, .. } => {
                8 + writes
                    .iter()
                    .map(|(_, bytes)| 12 + bytes.len())
                    .sum::<usize>()
            }
            Self::Remove { .. } | Self::Fence { .. } => 0,
            Self::Replace { .. } => 8,
        }
    }

    /// How many bytes the record has in a batch.
    pub(crate) fn encoded_len(&self) -> usize {
        RECORD_HEADER_LEN + self.body_len()
    }

    fn encode(&self, buffer: &mut Aligned) {
        let size32 = |len: usize| u32::try_from(len).expect("a record fits into a batch");
        let kind = match self {
            Self::Create { .. } => 1,
            Self::Patch { .. } => 2,
            Self::Remove { .. } => 3,
            Self::Fence { .. } => 4,
            Self::Replace { .. } => 5,
        };
        let key = self.key();
        buffer.extend_from_slice(&[kind, key.share_number.as_u8(), 0, 0]);
        buffer.extend_from_slice(&size32(self.body_len()).to_be_bytes());
        buffer.extend_from_slice(key.storage_index.as_bytes());
        match self {
            Self::Create { container, .. } => buffer.extend_from_slice(container),
            Self::Patch { writes, size, .. } => {
                buffer.extend_from_slice(&size.unwrap_or(u64::MAX).to_be_bytes());
                for (offset, bytes) in writes {
                    buffer.extend_from_slice(&offset.to_be_bytes());
                    buffer.extend_from_slice(&size32(bytes.len()).to_be_bytes());
                    buffer.extend_from_slice(bytes);
                }
            }
            Self::Remove { .. } | Self::Fence { .. } => {}
            Self::Replace { serial, .. } => buffer.extend_from_slice(&serial.to_be_bytes()),
        }
    }

    fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        let [kind, share, zero, also_zero] = fields.take()?;
        if [zero, also_zero] != [0, 0] {
            return None;
        }
        let size = fields.u32()?;
        let key = ShareKey {
            storage_index: StorageIndex::new(fields.take()?),
            share_number: ShareNumber::new(share),
        };
        let mut body = Fields(fields.bytes(size)?);
        match kind {
            1 => Some(Self::Create {
                key,
                container: Bytes::copy_from_slice(body.0),
            }),
            2 => {
                let size = Some(body.u64()?).filter(|size| *size != u64::MAX);
                let mut writes = Vec::new();
                while !body.0.is_empty() {
                    let offset = body.u64()?;
                    let size = body.u32()?;
                    let bytes = Bytes::copy_from_slice(body.bytes(size)?);
                    // Beyond this no file can have bytes; the kernel would refuse the write.
                    let end = offset.checked_add(num::size(bytes.len()))?;
                    i64::try_from(end).ok()?;
                    writes.push((offset, bytes));
                }
                Some(Self::Patch { key, writes, size })
            }
            3 if body.0.is_empty() => Some(Self::Remove { key }),
            4 if body.0.is_empty() => Some(Self::Fence { key }),
            5 => {
                let serial = body.u64()?;
                body.0.is_empty().then_some(Self::Replace { key, serial })
            }
            _ => None,
        }
    }
}

/// Meets whatever bytes a fuzzer makes: nothing panics, and records that parse print as read.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    // Whatever the file's size really is; the comparison is a line of its own.
    let _ = FileHeader::parse(bytes, BLOCK);
    if let Some(batch) = UncheckedBatch::parse(bytes, 0) {
        let _ = batch.check(bytes);
        assert!(batch.padded_size() >= num::size(batch.len()));
    }
    // Past the checksum, which a fuzzer does not guess.
    let mut fields = Fields(bytes);
    let mut printed = Aligned::default();
    let mut count = 0_u32;
    while let Some(record) = Record::parse(&mut fields) {
        record.encode(&mut printed);
        count += 1;
        assert_eq!(printed.len() + fields.0.len(), bytes.len());
    }
    assert_eq!(*printed, bytes[..printed.len()]);
    let mut fields = Fields(bytes);
    if let Some(account) = parse_account(&mut fields) {
        let mut printed = Aligned::default();
        encode_account(&account, &mut printed);
        assert_eq!(*printed, bytes[..bytes.len() - fields.0.len()]);
    }
    let parsed = UnparsedRecords {
        bytes: &printed,
        count,
    };
    assert!(parsed.parse().is_ok());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::totals::Totals;

    fn key(byte: u8) -> ShareKey {
        ShareKey {
            storage_index: StorageIndex::new([byte; 16]),
            share_number: ShareNumber::new(byte),
        }
    }

    fn records() -> Vec<Record> {
        vec![
            Record::Create {
                key: key(1),
                container: Bytes::from(vec![7; 5000]),
            },
            Record::Patch {
                key: key(2),
                writes: vec![(8, Bytes::from_static(b"count")), (1 << 40, Bytes::new())],
                size: None,
            },
            Record::Patch {
                key: key(3),
                writes: vec![],
                size: Some(0),
            },
            Record::Remove { key: key(4) },
            Record::Fence { key: key(255) },
            Record::Replace {
                key: key(5),
                serial: 0x1f,
            },
        ]
    }

    fn account() -> Account {
        Account {
            sequence: 9,
            totals: Some(Totals::default()),
            naming: vec![(key(6), 100_000)],
        }
    }

    fn batch(salt: u64, index: u64) -> Aligned {
        let mut writer = BatchWriter::new((&[9; 100][..]).into(), BATCH_LEN_MAX);
        assert!(writer.push(&records()));
        writer.finish(&account(), salt, index)
    }

    fn header() -> FileHeader {
        FileHeader {
            version: VERSION,
            generation: 5,
            salt: 0x0123_4567_89ab_cdef,
            file_size: 1 << 20,
            relaxed: false,
        }
    }

    // Written once; a store of this version must open for ever.
    #[test]
    fn the_first_bytes_of_header_batch_and_record_are_these() {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        assert_eq!(
            hex(&header().encode(&account())[..FIELDS_LEN]),
            "7461686f656a6e6c000000030000000000000000000000050123456789abcdef0000000000100000"
        );
        let mut writer = BatchWriter::new(Aligned::default(), BATCH_LEN_MAX);
        assert!(writer.push(&[Record::Patch {
            key: key(2),
            writes: vec![(8, Bytes::from_static(b"abc"))],
            size: Some(3),
        }]));
        assert_eq!(
            hex(&writer.finish(&account(), 0xff, 3)[..0x20 + 0x18 + 8 + 12 + 3 + 0x18]),
            "9e00ced1000000b000000000000000ff00000000000000030000000200000000\
             020200000000001702020202020202020202020202020202\
             0000000000000003000000000000000800000003616263\
             060000000000004900000000000000000000000000000000"
        );
    }

    // A store that an earlier program left must open, whatever its journal still holds.
    #[test]
    fn headers_of_earlier_versions_are_read() {
        for (version, checksum) in [(1, [0x76, 0x81, 0xd6, 0x2f]), (2, [0xd3, 0x89, 0xbd, 0x43])] {
            let mut earlier = header();
            earlier.version = version;
            let bytes = earlier.encode(&account());
            assert_eq!(bytes[0x28..0x2c], checksum);
            assert_eq!(FileHeader::parse(&bytes, 1 << 20), Ok((earlier, None)));
        }
    }

    // Batches of the first two versions end with their last record.
    #[test]
    fn a_batch_without_an_account_is_read() {
        let mut bytes = Aligned::default();
        for record in records() {
            record.encode(&mut bytes);
        }
        let batch = UnparsedRecords {
            bytes: &bytes,
            count: 6,
        };
        assert_eq!(batch.parse(), Ok((records(), None)));
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = batch(42, 7);
        assert_eq!(bytes.len() % BLOCK_LEN, 0);
        let unchecked = UncheckedBatch::parse(&bytes, 42).unwrap();
        assert_eq!(unchecked.index, 7);
        assert_eq!(unchecked.padded_size(), num::size(bytes.len()));
        let read = unchecked.check(&bytes).unwrap().parse().unwrap();
        assert_eq!(read, (records(), Some(account())));
        let read = FileHeader::parse(&header().encode(&account()), 1 << 20);
        assert_eq!(read, Ok((header(), Some(account()))));
    }

    // Stale or chosen by a client: without the salt it is no batch.
    #[test]
    fn a_batch_of_another_salt_is_none() {
        assert_eq!(UncheckedBatch::parse(&batch(42, 7), 43), None);
    }

    #[test]
    fn no_bit_of_a_batch_can_flip_unnoticed() {
        let bytes = batch(42, 7);
        let len = UncheckedBatch::parse(&bytes, 42).unwrap().len();
        for bit in 0..len * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let records = UncheckedBatch::parse(&bytes, 42)
                .and_then(|batch| batch.check(&bytes).map(UnparsedRecords::parse));
            assert!(records.is_none(), "bit {bit}");
        }
    }

    #[test]
    fn no_bit_of_a_header_can_flip_unnoticed() {
        for bit in 0..SECTOR_LEN * 8 {
            let mut bytes = header().encode(&account());
            bytes[bit / 8] ^= 1 << (bit % 8);
            let sector = &bytes[..SECTOR_LEN];
            assert!(FileHeader::parse(sector, 1 << 20).is_err(), "bit {bit}");
        }
    }

    // A write that failed in its middle left a file that no store opened with.
    #[test]
    fn of_a_header_cut_anywhere_there_is_this_one_or_the_one_before() {
        let before = FileHeader {
            generation: 3,
            ..header()
        };
        for end in 0..=BLOCK_LEN {
            let mut bytes = before.encode(&Account::empty());
            bytes[..end].copy_from_slice(&header().encode(&account())[..end]);
            let (found, _) = FileHeader::parse(&bytes, 1 << 20).unwrap();
            assert!(found == header() || found == before, "{end}");
        }
    }

    #[test]
    fn a_header_of_a_later_version_or_of_another_size_is_named_so() {
        let mut bytes = header().encode(&account());
        bytes[0x0b] = 4;
        assert_eq!(
            FileHeader::parse(&bytes, 1 << 20),
            Err(JournalDamage::NewerVersion(4))
        );
        assert_eq!(
            FileHeader::parse(&header().encode(&account()), 1 << 19),
            Err(JournalDamage::Size)
        );
    }

    #[test]
    fn records_cut_anywhere_are_refused() {
        let bytes = batch(42, 7);
        let len = UncheckedBatch::parse(&bytes, 42).unwrap().len();
        for end in BATCH_HEADER_LEN..len {
            let cut = UnparsedRecords {
                bytes: &bytes[BATCH_HEADER_LEN..end],
                count: 7,
            };
            assert_eq!(cut.parse(), Err(JournalDamage::Record), "{end}");
        }
    }

    #[test]
    fn a_record_that_does_not_fit_stays_out() {
        let mut writer = BatchWriter::new(Aligned::default(), ACCOUNT_ROOM + 100);
        assert!(!writer.push(&records()[..1]));
        assert!(writer.push(&records()[3..4]));
        assert!(!writer.push(&records()[3..6]), "all of them or none");
        assert_eq!(writer.records(), 1);
    }

    proptest! {
        #[test]
        fn the_fuzz_target_holds(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&bytes);
        }

        #[test]
        fn the_fuzz_target_holds_for_records_with_a_byte_changed(at in 0_usize..5200, to: u8) {
            let mut bytes = batch(0, 0);
            fuzz(&bytes);
            bytes[at] = to;
            fuzz(&bytes);
            fuzz(&bytes[BATCH_HEADER_LEN..]);
        }
    }
}
