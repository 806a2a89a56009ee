//! Parts of shares: what the bucket holds, then each share by itself.
//!
//! Reads look at the tree alone, never at the journal. A share that cannot be read is named and
//! does not keep the others from being read. All of a read is of one state of a slot: its changes
//! wait until no read is under way.
//!
//! What a share is shows in the first bytes of its file. They are read as those of an immutable
//! share; one of a slot takes a second look.

use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, num};
use rustix::io::Errno;

use super::{
    Answer, Extent, Flight as StoreFlight, Held, Limits, Piece, ReadRequest, RequestId, Rest,
    ShareKind, Store, Task, Wanted,
};
use crate::container::{self, UncheckedHeader, mutable};
use crate::disk::{ByteRange, Completion, EntryKind, Operation, Outcome};
use crate::error::{Damage, DiskError, Refusal};
use crate::layout::ShareKey;

/// A request that waits for a change of its slot.
#[derive(Debug)]
pub(super) struct Admission {
    request: RequestId,
    read: ReadRequest,
}

/// A read request, until the last of its shares is read.
#[derive(Debug)]
pub(super) struct Reading {
    request: RequestId,
    storage_index: StorageIndex,
    extents: Vec<Extent>,
    /// How many bytes of each share go into the answer.
    share_len: usize,
    remaining: usize,
    held: Vec<Held>,
    unreadable: Vec<(ShareNumber, Refusal)>,
    pieces: Vec<Piece>,
    rest: Vec<Rest>,
}

/// One share of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShareRead {
    reading: usize,
    key: ShareKey,
    /// Whether its bytes are asked for, or its size alone.
    wanted: bool,
}

#[derive(Debug)]
pub(super) enum Flight {
    /// What the bucket holds.
    List(RequestId, ReadRequest),
    /// The header of a share, and the parts wanted.
    Share(ShareRead, ShareKind),
}

impl Store {
    pub(super) fn read(&mut self, request: RequestId, read: ReadRequest) {
        let limit = Limits::EXTENTS;
        if read.extents.len() > limit {
            return self.refuse(request, Refusal::TooManyExtents { limit });
        }
        let index = read.storage_index;
        let task = Task::ReadAny(Admission { request, read });
        self.runnable
            .extend(self.locks.begin_slot_read(index, task));
    }

    pub(super) fn read_admitted(&mut self, Admission { request, read }: Admission) {
        if let Wanted::One(share) = read.wanted {
            return self.read_shares(request, read, &[share]);
        }
        let path = self.layout.bucket(read.storage_index);
        let flight = Flight::List(request, read);
        self.start(StoreFlight::Read(flight), Operation::List { path });
    }

    pub(super) fn read_completed(&mut self, flight: Flight, completion: Completion) {
        match flight {
            Flight::List(request, read) => match share_numbers(completion.result) {
                Ok(numbers) => self.read_shares(request, read, &numbers),
                Err(error) => {
                    self.refuse(request, Refusal::Disk(error));
                    self.end_reading(read.storage_index);
                }
            },
            Flight::Share(share, ShareKind::Immutable) if is_of_slot(&completion) => {
                self.read_share(share, ShareKind::Mutable);
            }
            Flight::Share(share, kind) => {
                let patch = self.locks.end_read(share.key);
                self.runnable.extend(patch);
                self.share_read(share, kind, completion);
            }
        }
    }

    fn read_shares(&mut self, request: RequestId, read: ReadRequest, numbers: &[ShareNumber]) {
        let wanted = |index: usize, number: &ShareNumber| match &read.wanted {
            Wanted::Any(limit) => index < *limit,
            Wanted::These(these) => these.contains(number),
            Wanted::One(one) => one == number,
        };
        let wanted: Vec<bool> = numbers
            .iter()
            .enumerate()
            .map(|(index, number)| wanted(index, number))
            .collect();
        let count = wanted.iter().filter(|wanted| **wanted).count();
        let reading = self.readings.insert(Reading {
            request,
            storage_index: read.storage_index,
            extents: read.extents,
            share_len: Limits::READ_LEN / count.max(1),
            remaining: numbers.len(),
            held: Vec::new(),
            unreadable: Vec::new(),
            pieces: Vec::new(),
            rest: Vec::new(),
        });
        for (share, wanted) in numbers.iter().zip(wanted) {
            let read = ShareRead {
                reading,
                key: share_key(read.storage_index, *share),
                wanted,
            };
            let ready = self.locks.begin_read(read.key, Task::Read(read));
            self.runnable.extend(ready);
        }
        self.answer_reading_if_complete(reading);
    }

    pub(super) fn read_locked(&mut self, share: ShareRead) {
        self.read_share(share, ShareKind::Immutable);
    }

    fn read_share(&mut self, share: ShareRead, kind: ShareKind) {
        let reading = &self.readings[share.reading];
        let ranges = if share.wanted {
            plan(kind, &reading.extents, reading.share_len)
        } else {
            plan(kind, &[], 0)
        };
        let path = self.layout.share(share.key);
        let operation = Operation::Read { path, ranges };
        self.start(StoreFlight::Read(Flight::Share(share, kind)), operation);
    }

    fn share_read(&mut self, share: ShareRead, kind: ShareKind, completion: Completion) {
        let reading = &mut self.readings[share.reading];
        reading.remaining -= 1;
        let number = share.key.share;
        match completion.result {
            // What was to be a lease would be read as the end of the share.
            Ok(_) if self.torn.contains(&share.key) => {
                let refusal = Refusal::Damaged(Damage::HalfChanged);
                reading.unreadable.push((number, refusal));
            }
            Ok(Outcome::Read { size, pieces }) => {
                let front = pieces.first().expect("the header was asked for");
                match share_size(kind, front, size) {
                    Ok(size) => {
                        let held = Held {
                            share: number,
                            size,
                            kind,
                        };
                        reading.held.push(held);
                        if share.wanted {
                            reading.take(held, pieces);
                        }
                    }
                    Err(damage) => {
                        let refusal = Refusal::Damaged(damage);
                        reading.unreadable.push((number, refusal));
                    }
                }
            }
            Ok(outcome) => panic!("a read gave {outcome:?}"),
            // Gone between the listing and the read, or asked for without one.
            Err(error) if error.errno == Errno::NOENT => {}
            Err(error) => reading.unreadable.push((number, Refusal::Disk(error))),
        }
        self.answer_reading_if_complete(share.reading);
    }

    fn answer_reading_if_complete(&mut self, index: usize) {
        if self.readings[index].remaining > 0 {
            return;
        }
        let mut reading = self.readings.remove(index);
        reading.held.sort_unstable_by_key(|held| held.share);
        reading.unreadable.sort_unstable_by_key(|(share, _)| *share);
        // Stable: the pieces of one share stay in the order of the extents.
        reading.pieces.sort_by_key(|piece| piece.share);
        reading.rest.sort_unstable_by_key(|rest| rest.share);
        let answer = Answer::Read {
            held: reading.held,
            unreadable: reading.unreadable,
            pieces: reading.pieces,
            rest: reading.rest,
            version: self.slots.version(reading.storage_index),
        };
        self.answer(reading.request, answer);
        self.end_reading(reading.storage_index);
    }

    fn end_reading(&mut self, index: StorageIndex) {
        self.runnable.extend(self.locks.end_slot_read(index));
    }
}

impl Reading {
    /// Cuts what was read to the share's end, and notes what is left to read.
    ///
    /// What lies behind the share are leases, and their secrets are nobody's to read.
    fn take(&mut self, held: Held, pieces: Vec<Vec<u8>>) {
        let share = held.share;
        let mut pieces = pieces.into_iter().map(Bytes::from);
        let mut front = pieces.next().expect("the header was asked for");
        let front = front.split_off(front.len().min(header_len(held.kind)));
        let mut front = Some(front).filter(|_| starts_with_front(&self.extents));
        let mut rest = Vec::new();
        let mut budget = self.share_len;
        for extent in &self.extents {
            let Some(len) = planned_len(extent, &mut budget) else {
                continue;
            };
            let read = match front.take() {
                Some(front) => Some(front),
                None if len > 0 => pieces.next(),
                None => None,
            };
            let end = extent.offset.saturating_add(extent.size);
            let size = end.min(held.size).saturating_sub(extent.offset);
            let mut bytes = read.unwrap_or_default();
            bytes.truncate(num::len(size).unwrap_or(usize::MAX));
            let taken = num::size(bytes.len());
            if taken < size {
                rest.push(Extent {
                    offset: extent.offset + taken,
                    size: size - taken,
                });
            }
            if !bytes.is_empty() {
                self.pieces.push(Piece {
                    share,
                    offset: extent.offset,
                    bytes,
                });
            }
        }
        if !rest.is_empty() {
            self.rest.push(Rest {
                share,
                extents: rest,
            });
        }
    }
}

/// The ranges of a container's file to read: its header, then each extent of the share that the
/// budget allows. An extent at the very front is read together with the header.
fn plan(kind: ShareKind, extents: &[Extent], mut budget: usize) -> Vec<ByteRange> {
    let len = header_len(kind);
    let mut ranges = vec![ByteRange { offset: 0, len }];
    for (index, extent) in extents.iter().enumerate() {
        match planned_len(extent, &mut budget) {
            Some(len) if index == 0 && starts_with_front(extents) => ranges[0].len += len,
            Some(len) if len > 0 => ranges.push(ByteRange {
                offset: num::size(header_len(kind)) + extent.offset,
                len,
            }),
            _ => {}
        }
    }
    ranges
}

/// How many bytes of an extent are read; `None` if no share can have any of them.
fn planned_len(extent: &Extent, budget: &mut usize) -> Option<usize> {
    if extent.size == 0 || extent.offset >= Limits::SHARE_SIZE {
        return None;
    }
    let len = num::len(extent.size).unwrap_or(usize::MAX).min(*budget);
    *budget -= len;
    Some(len)
}

/// The length of a container's header, in front of the share.
fn header_len(kind: ShareKind) -> usize {
    match kind {
        ShareKind::Immutable => container::HEADER_LEN,
        ShareKind::Mutable => mutable::HEADER_LEN,
    }
}

/// The size of a share, by the front of its file and the size of that.
fn share_size(kind: ShareKind, front: &[u8], file_size: u64) -> Result<u64, Damage> {
    match kind {
        ShareKind::Immutable => {
            let header = UncheckedHeader::parse(front)?.check(file_size)?;
            Ok(header.share_size())
        }
        ShareKind::Mutable => {
            let header = mutable::UncheckedHeader::parse(front)?.check(file_size)?;
            Ok(header.share_size())
        }
    }
}

/// Whether what was read as an immutable share is one of a slot.
fn is_of_slot(completion: &Completion) -> bool {
    match &completion.result {
        Ok(Outcome::Read { pieces, .. }) => pieces
            .first()
            .is_some_and(|front| mutable::is_mutable(front)),
        _ => false,
    }
}

fn starts_with_front(extents: &[Extent]) -> bool {
    extents
        .first()
        .is_some_and(|extent| extent.offset == 0 && extent.size > 0)
}

fn share_key(storage_index: StorageIndex, share: ShareNumber) -> ShareKey {
    ShareKey {
        storage_index,
        share,
    }
}

/// The share numbers among a bucket's entries, in ascending order; other files are left alone.
pub(super) fn share_numbers(
    listed: Result<Outcome, DiskError>,
) -> Result<Vec<ShareNumber>, DiskError> {
    let entries = match listed {
        Ok(Outcome::Listed(entries)) => entries,
        Ok(outcome) => panic!("a listing gave {outcome:?}"),
        Err(error) if error.errno == Errno::NOENT => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut numbers: Vec<ShareNumber> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter_map(|entry| std::str::from_utf8(&entry.name).ok()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}
