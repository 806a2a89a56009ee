//! What is appended to the journal when, and when a file of it is retired.
//!
//! One append is in flight at a time; what arrives meanwhile shares the next one (group commit). A
//! record keeps a [`Hold`] on its file from its append until the tree has followed. A full file is
//! retired in three steps that never overlap: no hold is left, the file system has been synced, a
//! new header has been synced. Until then the other file takes the appends, and when that is full
//! too they wait.
//!
//! The first failure ends it all: after a failed sync nobody knows what the file holds, so nothing
//! is appended behind it, and nothing is retired.

use std::collections::VecDeque;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use lafs::num;

use super::account::{Account, Entry};
use super::books::Books;
use super::format::{
    BATCH_LEN_MAX, BLOCK, BatchWriter, FileHeader, GROUP_SIZE_MAX, Record, VERSION,
};
use crate::disk::{Aligned, Completion, FileId, Operation};
use crate::durable::{BatchDurable, Durable, Waiver};
use crate::error::DiskError;

/// The slots of the two journal files.
pub(crate) const FILES: [FileId; 2] = [FileId(0), FileId(1)];

/// Largest buffer that is kept for the next batch while the store idles.
const KEPT_LEN_MAX: usize = 64 * 1024;

/// The journal of an open store. `T` is whoever waits for a record to be durable.
#[derive(Debug)]
pub(crate) struct Log<T> {
    files: [LogFile; 2],
    active: usize,
    queue: VecDeque<(Group, T)>,
    appending: Option<Vec<T>>,
    /// How many records the append in flight has.
    appending_records: u32,
    checkpoint: Checkpoint,
    buffer: Aligned,
    salts: Salts,
    waiver: Option<Waiver>,
    closing: bool,
    /// When closing: no hold that is left will be given back.
    leaving: bool,
    failed: bool,
    /// What waits fits into no file until one is retired.
    full: bool,
    /// What has been done since the store was opened.
    pub(crate) counters: Counters,
    /// How much the store holds.
    pub(crate) books: Books,
}

/// What is to be in one batch, so that a crash leaves all of it or none.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Of shares that all differ. There may be none, if there is only something to enter.
    pub(crate) records: Vec<Record>,
    /// What the records, or what they tell the end of, change of how much the store holds.
    pub(crate) entries: Vec<Entry>,
    /// Whether all of it tells of what the tree has already, so that it waits however long it takes.
    pub(crate) is_done: bool,
}

impl Group {
    /// A change of one share, with what it changes of the totals.
    pub(crate) fn one(record: Record, entry: Entry) -> Self {
        Self {
            records: vec![record],
            entries: vec![entry],
            is_done: false,
        }
    }

    /// Something to enter that no record tells.
    pub(crate) fn entry(entry: Entry) -> Self {
        Self {
            entries: vec![entry],
            ..Self::default()
        }
    }
}

/// One of the two files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogFile {
    header: FileHeader,
    end: u64,
    batches: u64,
    /// Records whose changes the tree may still lack.
    holds: usize,
}

/// What has been done since the store was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) checkpoints: u64,
}

/// Where the file that is not active stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpoint {
    /// It is empty and may become active.
    Ready,
    /// It is full, and the tree has not followed all of its records.
    ExpectTree,
    /// The file system is being synced.
    ExpectSync,
    /// Its new header is being written.
    ExpectHeader(FileHeader),
}

/// A record's claim on its journal file: while one is left, the file is not retired.
///
/// Given back by [`Log::release`] when the tree has followed, or never will.
#[must_use]
#[derive(Debug)]
pub(crate) struct Hold {
    file: usize,
}

/// Which operation of the journal's a completion is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A batch.
    Append,
    /// The sync before a file is retired.
    Sync,
    /// The header that retires a file.
    Header,
}

impl Phase {
    /// For the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Sync => "sync",
            Self::Header => "header",
        }
    }
}

/// What came of an append.
#[derive(Debug)]
pub(crate) enum Appended<T> {
    /// These wait no longer; the tree may follow.
    Durable(Vec<(T, Durable, Hold)>),
    /// None of the append is known to be durable.
    Failed(Failed<T>),
}

/// The log has failed: these waiters' records never will be durable, nor anything after them.
#[derive(Debug)]
pub(crate) struct Failed<T> {
    pub(crate) waiters: Vec<T>,
    pub(crate) error: DiskError,
}

impl<T> Log<T> {
    /// Takes over two files without batches, of the headers that they have.
    pub(crate) fn new(
        headers: [FileHeader; 2],
        account: Account,
        salts: Salts,
        waiver: Option<Waiver>,
    ) -> Self {
        let active = usize::from(headers[1].generation < headers[0].generation);
        Self {
            files: headers.map(LogFile::empty),
            active,
            queue: VecDeque::new(),
            appending: None,
            appending_records: 0,
            checkpoint: Checkpoint::Ready,
            buffer: Aligned::default(),
            salts,
            waiver,
            closing: false,
            leaving: false,
            failed: false,
            full: false,
            counters: Counters::default(),
            books: Books::new(account),
        }
    }

    /// Queues what the next batch is to have, [`GROUP_SIZE_MAX`] bytes of records at the most. The log
    /// must not have failed.
    pub(crate) fn append(&mut self, group: Group, waiter: T) {
        assert!(!self.failed, "nothing is appended behind a failed sync");
        let len: usize = group.records.iter().map(Record::encoded_len).sum();
        assert!(num::size(len) <= GROUP_SIZE_MAX);
        self.queue.push_back((group, waiter));
    }

    /// Gives a record's hold back: the tree has followed, or never will.
    pub(crate) fn release(&mut self, hold: Hold) {
        let holds = &mut self.files[hold.file].holds;
        *holds = holds.checked_sub(1).expect("a hold is given back once");
    }

    /// Whether a sync has failed; nothing is written any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Fails the log: the tree is not what a durable record says, and only replay can make it so.
    ///
    /// No file is retired any more, so replay will. Returns those who waited in the queue; the
    /// append in flight may still succeed.
    pub(crate) fn give_up(&mut self) -> Vec<T> {
        self.failed = true;
        self.queue.drain(..).map(|(_, waiter)| waiter).collect()
    }

    /// Retires both files as soon as nothing waits, and stays so. With `leaving` no hold that is left
    /// will be given back: its file stays as it is, for the next start to replay.
    pub(crate) fn close(&mut self, leaving: bool) {
        self.closing = true;
        self.leaving = leaving;
    }

    /// Whether what is queued has to wait until this hold is given back.
    pub(crate) fn waits_for(&self, hold: &Hold) -> bool {
        self.full && self.checkpoint == Checkpoint::ExpectTree && hold.file == self.spare()
    }

    /// Gives those back who wait in the queue: it will be long before there is room. Only what is
    /// done already goes on waiting, unless all is to end.
    pub(crate) fn refuse(&mut self, all: bool) -> Vec<T> {
        self.full = false;
        let queue = std::mem::take(&mut self.queue);
        let (stay, go): (VecDeque<_>, VecDeque<_>) = queue
            .into_iter()
            .partition(|(group, _)| !all && group.is_done);
        self.queue = stay;
        go.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// Whether everything has been appended, and retired or given up.
    pub(crate) fn is_closed(&self) -> bool {
        let idle = self.appending.is_none() && self.queue.is_empty();
        let retired = self.checkpoint == Checkpoint::Ready && self.active_is_empty();
        let given_up = !matches!(
            self.checkpoint,
            Checkpoint::ExpectSync | Checkpoint::ExpectHeader(_)
        );
        let left = self.checkpoint == Checkpoint::ExpectTree && self.files[self.spare()].holds > 0;
        self.closing && idle && (retired || (self.failed && given_up) || (self.leaving && left))
    }

    /// Returns the next operation, if there is one to be done now.
    pub(crate) fn poll(&mut self) -> Option<(Phase, Operation)> {
        if self.failed {
            return None;
        }
        if self.closing && self.queue.is_empty() && self.appending.is_none() {
            self.close_active();
        }
        if self.checkpoint == Checkpoint::ExpectTree && self.files[self.spare()].holds == 0 {
            self.checkpoint = Checkpoint::ExpectSync;
            return Some((Phase::Sync, Operation::SyncFileSystem));
        }
        if self.appending.is_some() || self.queue.is_empty() {
            return None;
        }
        self.next_batch()
    }

    /// Takes the completion of an append.
    pub(crate) fn appended(&mut self, mut completion: Completion) -> Appended<T> {
        let waiters = self.appending.take().expect("an append was in flight");
        let durable = BatchDurable::appended(&completion, self.waiver);
        if let Operation::Append { bytes, .. } = &mut completion.operation {
            if bytes.room() <= KEPT_LEN_MAX {
                self.buffer = std::mem::take(bytes);
            }
        }
        match durable {
            Ok(durable) => {
                self.books.batch_durable();
                self.counters.batches += 1;
                self.counters.records += u64::from(self.appending_records);
                let file = self.active;
                let proved = durable.each(waiters);
                let held = proved.map(|(waiter, durable)| (waiter, durable, Hold { file }));
                Appended::Durable(held.collect())
            }
            Err(error) => {
                let queued = self.give_up();
                let waiters = waiters.into_iter().chain(queued).collect();
                Appended::Failed(Failed { waiters, error })
            }
        }
    }

    /// Takes the completion of a sync, and returns the operation that follows it at once, if the
    /// log has not failed meanwhile.
    ///
    /// # Errors
    ///
    /// The waiters of what was still queued, and what the disk said, if the log has failed by it.
    pub(crate) fn synced(
        &mut self,
        completion: &Completion,
    ) -> Result<Option<(Phase, Operation)>, Failed<T>> {
        assert_eq!(self.checkpoint, Checkpoint::ExpectSync);
        if let Err(error) = completion.result {
            return Err(self.fail(error));
        }
        if self.failed {
            self.checkpoint = Checkpoint::ExpectTree;
            return Ok(None);
        }
        let spare = self.spare();
        let header = self.files[spare].header;
        let header = self.salts.header(
            self.files[self.active].header.generation + 1,
            header.file_size,
            self.waiver,
        );
        self.checkpoint = Checkpoint::ExpectHeader(header);
        let account = self.books.durable();
        let operation = write_header(spare, &header, account, self.waiver);
        Ok(Some((Phase::Header, operation)))
    }

    /// Takes the completion of the header that retires a file.
    ///
    /// # Errors
    ///
    /// As [`Log::synced`].
    pub(crate) fn retired(&mut self, completion: &Completion) -> Result<(), Failed<T>> {
        let Checkpoint::ExpectHeader(header) = self.checkpoint else {
            panic!("a header was in flight");
        };
        if let Err(error) = BatchDurable::appended(completion, self.waiver) {
            return Err(self.fail(error));
        }
        let spare = self.spare();
        self.files[spare] = LogFile::empty(header);
        self.checkpoint = Checkpoint::Ready;
        self.counters.checkpoints += 1;
        Ok(())
    }

    fn fail(&mut self, error: DiskError) -> Failed<T> {
        self.checkpoint = Checkpoint::ExpectTree;
        let waiters = self.give_up();
        Failed { waiters, error }
    }

    /// Puts what waits into a batch, in the active file or, if that is full, in the other one.
    fn next_batch(&mut self) -> Option<(Phase, Operation)> {
        let (mut batch, mut count) = self.fill_batch();
        self.full = false;
        if count == 0 {
            self.buffer = batch.into_buffer();
            if self.checkpoint != Checkpoint::Ready {
                self.full = true;
                return None;
            }
            self.switch();
            (batch, count) = self.fill_batch();
            assert!(count > 0, "an empty file has room for any group");
        }
        self.appending_records = batch.records();
        let mut waiters = Vec::with_capacity(count);
        for (group, waiter) in self.queue.drain(..count) {
            self.books.enter(&group.entries);
            waiters.push(waiter);
        }
        let account = self.books.end_batch();
        let file = &mut self.files[self.active];
        let bytes = batch.finish(account, file.header.salt, file.batches);
        let offset = file.end;
        file.end += num::size(bytes.len());
        file.batches += 1;
        file.holds += count;
        self.appending = Some(waiters);
        let operation = Operation::Append {
            file: FILES[self.active],
            offset,
            bytes,
            sync: self.waiver.is_none(),
        };
        Some((Phase::Append, operation))
    }

    /// Fills a batch with as much of the queue as the active file still takes; says how much.
    fn fill_batch(&mut self) -> (BatchWriter, usize) {
        let file = &self.files[self.active];
        let room = num::len(file.header.file_size - file.end).unwrap_or(usize::MAX);
        let buffer = std::mem::take(&mut self.buffer);
        let mut batch = BatchWriter::new(buffer, room.min(BATCH_LEN_MAX));
        let fits = |(group, _): &&(Group, T)| batch.push(&group.records);
        let count = self.queue.iter().take_while(fits).count();
        (batch, count)
    }

    /// Makes the empty file the active one, and begins to retire the other.
    fn switch(&mut self) {
        assert_eq!(self.checkpoint, Checkpoint::Ready);
        self.active = self.spare();
        self.checkpoint = Checkpoint::ExpectTree;
    }

    /// When closing: retires the active file too.
    fn close_active(&mut self) {
        if self.checkpoint == Checkpoint::Ready && !self.active_is_empty() {
            self.switch();
        }
    }

    fn active_is_empty(&self) -> bool {
        self.files[self.active].batches == 0
    }

    fn spare(&self) -> usize {
        1 - self.active
    }
}

impl LogFile {
    fn empty(header: FileHeader) -> Self {
        Self {
            header,
            end: BLOCK,
            batches: 0,
            holds: 0,
        }
    }
}

/// The operation that writes a file's header.
pub(crate) fn write_header(
    file: usize,
    header: &FileHeader,
    account: &Account,
    waiver: Option<Waiver>,
) -> Operation {
    Operation::Append {
        file: FILES[file],
        offset: 0,
        bytes: header.encode(account),
        sync: waiver.is_none(),
    }
}

/// Where salts come from: random bytes that only this run of the store knows.
#[derive(Clone)]
pub(crate) struct Salts([u8; 32]);

impl Salts {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// A header that no header before it looks like.
    pub(crate) fn header(
        &self,
        generation: u64,
        file_size: u64,
        waiver: Option<Waiver>,
    ) -> FileHeader {
        let digest = Blake2b::<U32>::new()
            .chain_update(self.0)
            .chain_update(generation.to_be_bytes())
            .finalize();
        let mut salt = [0; 8];
        salt.copy_from_slice(&digest[..8]);
        FileHeader {
            version: VERSION,
            generation,
            salt: u64::from_be_bytes(salt),
            file_size,
            relaxed: waiver.is_some(),
        }
    }
}

impl std::fmt::Debug for Salts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salts(..)")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lafs::{ShareNumber, StorageIndex};
    use rustix::io::Errno;

    use super::*;
    use crate::disk::{OperationId, Outcome};
    use crate::kind::ShareKind;
    use crate::layout::ShareKey;

    /// Room for the header and three blocks.
    const FILE_SIZE: u64 = 4 * BLOCK;

    fn log() -> Log<u32> {
        let salts = Salts::new([0; 32]);
        let headers = [5, 6].map(|generation| salts.header(generation, FILE_SIZE, None));
        Log::new(headers, Account::empty(), salts, None)
    }

    fn group(records: Vec<Record>) -> Group {
        Group {
            records,
            ..Group::default()
        }
    }

    fn record(len: usize) -> Record {
        Record::Create {
            key: ShareKey {
                storage_index: StorageIndex::new([0; 16]),
                share_number: ShareNumber::new(0),
            },
            container: Bytes::from(vec![0; len]),
        }
    }

    fn completion(operation: Operation, result: Result<(), Errno>) -> Completion {
        Completion {
            id: OperationId(0),
            operation,
            result: match result {
                Ok(()) => Ok(Outcome::Done),
                Err(errno) => Err(DiskError {
                    call: "fdatasync",
                    errno,
                }),
            },
        }
    }

    /// Appends one record, and returns who waited, with their holds, and where it went.
    fn append(log: &mut Log<u32>, waiter: u32) -> (Vec<Hold>, FileId, u64) {
        log.append(group(vec![record(10)]), waiter);
        let (phase, operation) = log.poll().expect("a batch");
        assert_eq!(phase, Phase::Append);
        let Operation::Append { file, offset, .. } = operation else {
            panic!("{operation:?}");
        };
        let Appended::Durable(durable) = log.appended(completion(operation, Ok(()))) else {
            panic!("it succeeded");
        };
        assert_eq!(durable.len(), 1);
        assert_eq!(durable[0].0, waiter);
        let holds = durable.into_iter().map(|(_, _, hold)| hold).collect();
        (holds, file, offset)
    }

    #[test]
    fn what_arrives_during_an_append_shares_the_next_one() {
        let mut log = log();
        log.append(group(vec![record(10)]), 1);
        let (_, first) = log.poll().unwrap();
        log.append(group(vec![record(10)]), 2);
        log.append(group(vec![record(10)]), 3);
        assert!(log.poll().is_none(), "one append at a time");
        let Appended::Durable(durable) = log.appended(completion(first, Ok(()))) else {
            panic!("it succeeded");
        };
        assert_eq!(durable.len(), 1);
        let (_, second) = log.poll().unwrap();
        let Appended::Durable(durable) = log.appended(completion(second, Ok(()))) else {
            panic!("it succeeded");
        };
        assert_eq!(durable.len(), 2);
        assert_eq!(log.counters.batches, 2);
        assert_eq!(log.counters.records, 3);
    }

    // Half of a change to a slot would be there after a crash between two batches.
    #[test]
    fn a_group_waits_for_a_batch_that_holds_all_of_it() {
        let mut log = log();
        log.append(group(vec![record(2 * 4096)]), 1);
        let many = || vec![record(3 * 4096 / 2), record(10)];
        log.append(group(many()), 2);
        let (_, first) = log.poll().unwrap();
        let Operation::Append { offset, file, .. } = &first else {
            panic!("{first:?}");
        };
        assert_eq!((*offset, *file), (BLOCK, FILES[0]));
        let Appended::Durable(durable) = log.appended(completion(first, Ok(()))) else {
            panic!("it succeeded");
        };
        assert_eq!(durable.len(), 1);
        let (_, second) = log.poll().unwrap();
        let Operation::Append { offset, file, .. } = &second else {
            panic!("{second:?}");
        };
        assert_eq!((*offset, *file), (BLOCK, FILES[1]), "the first is full");
        let Appended::Durable(durable) = log.appended(completion(second, Ok(()))) else {
            panic!("it succeeded");
        };
        assert_eq!((durable.len(), durable[0].0), (1, 2));
        assert_eq!(log.counters.records, 3);
    }

    // The file's records are all there is of shares whose rename is still under way: a sync of the
    // file system before the rename, and a new header after it, would lose them.
    #[test]
    fn a_full_file_is_not_synced_while_the_tree_lags_behind_its_records() {
        let mut log = log();
        let mut holds = Vec::new();
        for waiter in 0..3 {
            let (more, file, _) = append(&mut log, waiter);
            assert_eq!(file, FILES[0]);
            holds.extend(more);
        }
        let (other, file, offset) = append(&mut log, 3);
        assert_eq!((file, offset), (FILES[1], BLOCK));
        while let Some(hold) = holds.pop() {
            assert!(log.poll().is_none());
            log.release(hold);
        }
        let (phase, sync) = log.poll().unwrap();
        assert_eq!((phase, &sync), (Phase::Sync, &Operation::SyncFileSystem));
        let (phase, header) = log.synced(&completion(sync, Ok(()))).unwrap().unwrap();
        assert_eq!(phase, Phase::Header);
        log.retired(&completion(header, Ok(()))).unwrap();
        assert_eq!(log.counters.checkpoints, 1);
        drop(other);
    }

    #[test]
    fn with_both_files_full_appends_wait_for_the_checkpoint() {
        let mut log = log();
        let mut holds = Vec::new();
        for waiter in 0..6 {
            holds.extend(append(&mut log, waiter).0);
        }
        log.append(group(vec![record(10)]), 6);
        assert!(log.poll().is_none());
        for hold in holds.drain(..3) {
            log.release(hold);
        }
        let (_, sync) = log.poll().unwrap();
        assert!(log.poll().is_none());
        let (_, header) = log.synced(&completion(sync, Ok(()))).unwrap().unwrap();
        assert!(log.poll().is_none());
        let Operation::Append { bytes, file, .. } = &header else {
            panic!("{header:?}");
        };
        assert_eq!(*file, FILES[0]);
        // Generations 5 and 6 were the files': the retired one comes after both.
        assert_eq!(FileHeader::parse(bytes, FILE_SIZE).unwrap().0.generation, 7);
        log.retired(&completion(header, Ok(()))).unwrap();
        let (_, append) = log.poll().unwrap();
        assert!(matches!(append, Operation::Append { offset: BLOCK, .. }));
    }

    // The kernel reports a lost page once and then says "all is well".
    #[test]
    fn after_a_failed_append_nothing_is_written_again() {
        let mut log = log();
        log.append(group(vec![record(10)]), 1);
        let (_, operation) = log.poll().unwrap();
        log.append(group(vec![record(10)]), 2);
        let Appended::Failed(failed) = log.appended(completion(operation, Err(Errno::IO))) else {
            panic!("it failed");
        };
        assert_eq!(
            (failed.waiters, failed.error.errno),
            (vec![1, 2], Errno::IO)
        );
        assert!(log.has_failed());
        assert!(log.poll().is_none());
        log.close(false);
        assert!(log.poll().is_none());
        assert!(log.is_closed());
    }

    #[test]
    fn after_a_failed_checkpoint_the_full_file_stays() {
        let mut log = log();
        for waiter in 0..4 {
            for hold in append(&mut log, waiter).0 {
                log.release(hold);
            }
        }
        let (_, sync) = log.poll().unwrap();
        log.append(group(vec![record(10)]), 4);
        let failed = log.synced(&completion(sync, Err(Errno::IO))).unwrap_err();
        assert_eq!(failed.waiters, [4]);
        assert!(log.poll().is_none());
    }

    #[test]
    fn closing_retires_what_was_appended() {
        let mut log = log();
        let (holds, ..) = append(&mut log, 1);
        log.close(false);
        assert!(log.poll().is_none());
        assert!(!log.is_closed());
        for hold in holds {
            log.release(hold);
        }
        let (_, sync) = log.poll().unwrap();
        let (_, header) = log.synced(&completion(sync, Ok(()))).unwrap().unwrap();
        assert!(!log.is_closed());
        log.retired(&completion(header, Ok(()))).unwrap();
        assert!(log.poll().is_none());
        assert!(log.is_closed());
    }

    // A header that had more would tell of changes that a crash may take back.
    #[test]
    fn a_header_has_the_account_of_the_last_durable_batch() {
        let mut log = log();
        let held = |operation: &Operation| {
            let Operation::Append { bytes, .. } = operation else {
                panic!("{operation:?}");
            };
            let (_, account) = FileHeader::parse(bytes, FILE_SIZE).unwrap();
            account.unwrap().totals.unwrap().shares()
        };
        let made = |log: &mut Log<u32>| {
            let record = record(10);
            let entry = Entry::made(record.key(), ShareKind::Immutable, 10);
            log.append(Group::one(record, entry), 9);
            log.poll().unwrap().1
        };
        for waiter in 0..2 {
            for hold in append(&mut log, waiter).0 {
                log.release(hold);
            }
        }
        let last = made(&mut log);
        let Appended::Durable(durable) = log.appended(completion(last, Ok(()))) else {
            panic!("it succeeded");
        };
        durable
            .into_iter()
            .for_each(|(_, _, hold)| log.release(hold));
        let beyond = made(&mut log);
        let (_, sync) = log.poll().unwrap();
        let (_, header) = log.synced(&completion(sync, Ok(()))).unwrap().unwrap();
        assert_eq!(held(&header), 1, "one durable, one on its way");
        assert_eq!(log.books.totals().unwrap().shares(), 2);
        drop(beyond);
    }

    #[test]
    fn salts_differ_by_generation_and_by_run() {
        let salt = |seed, generation| Salts::new([seed; 32]).header(generation, 0, None).salt;
        assert_ne!(salt(0, 1), salt(0, 2));
        assert_ne!(salt(0, 1), salt(1, 1));
    }
}
