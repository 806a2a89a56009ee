//! Extents of shares: what the bucket holds, then each share by itself.
//!
//! Reads look at the tree, and never at the journal: what that has and the tree has not is pending,
//! and read from memory. A share that cannot be read is named and does not keep the others from being
//! read. All of a read is of one state of a slot: its changes wait until no read is under way.
//!
//! What a share is shows in the first bytes of its file. They are read as those of an immutable
//! share; one of a slot takes a second look.

use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex, num};
use rustix::io::Errno;
use slab::Slab;

use super::context::{Context, Machinery};
use super::event::{Machine, Waiter};
use super::listing::share_numbers;
use super::reply::Asker;
use crate::container::{self, UncheckedHeader, mutable};
use crate::disk::{ByteRange, Completion, Operation, Outcome};
use crate::error::{Damage, DiskError};
use crate::kind::ShareKind;
use crate::layout::ShareKey;
use crate::limits;
use crate::refusal::{ReadRefusal, Unreadable};
use crate::request::{Extent, Held, Piece, Read, Rest, SharesRead, Wanted};

/// All reads under way.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Requests whose shares are known.
    readings: Slab<Reading>,
    /// For a change of the slot or a share to end.
    waiting: Slab<Waiting>,
    /// For the disk.
    steps: Slab<Step>,
}

/// A request, until the last of its shares is read.
#[derive(Debug)]
struct Reading {
    asker: Asker<Read>,
    storage_index: StorageIndex,
    remaining: usize,
    found: Found,
}

/// What was found of a request so far. It is the same whoever reads: the store, or a reader that
/// does not ask it.
#[derive(Debug)]
pub(crate) struct Found {
    extents: Vec<Extent>,
    /// How many bytes of each share go into the answer.
    share_len: usize,
    held: Vec<Held>,
    unreadable: Vec<(ShareNumber, Unreadable)>,
    pieces: Vec<Piece>,
    rest: Vec<Rest>,
}

/// One share of it.
#[derive(Clone, Copy, Debug)]
struct ShareRead {
    reading: usize,
    key: ShareKey,
    /// Whether its bytes are asked for, or its size alone.
    wanted: bool,
}

#[derive(Debug)]
enum Waiting {
    /// The whole request, for a change of its slot.
    Request(Asker<Read>, Read),
    /// A share, for a patch of it.
    Share(ShareRead),
}

#[derive(Debug)]
enum Step {
    /// What the bucket holds beside these.
    List(Asker<Read>, Read, Vec<ShareNumber>),
    /// The header of a share, and the extents wanted.
    Share(ShareRead, ShareKind),
}

impl Reads {
    pub(super) fn read(&mut self, cx: &mut Context, asker: Asker<Read>, read: Read) {
        let limit = limits::EXTENTS;
        if read.extents.len() > limit {
            return cx.refuse(asker, ReadRefusal::TooManyExtents { limit });
        }
        let storage_index = read.storage_index;
        let index = self.waiting.insert(Waiting::Request(asker, read));
        cx.begin_slot_read(storage_index, waiter(index));
    }

    fn begin(&mut self, cx: &mut Context, asker: Asker<Read>, read: Read) {
        if let Wanted::One(share_number) = read.wanted {
            return self.read_shares(cx, asker, read, &[share_number]);
        }
        let path = cx.bucket(read.storage_index);
        let pending = cx.pending_numbers(read.storage_index);
        let step = Step::List(asker, read, pending);
        self.start(cx, step, Operation::List { path });
    }

    fn read_shares(
        &mut self,
        cx: &mut Context,
        asker: Asker<Read>,
        read: Read,
        numbers: &[ShareNumber],
    ) {
        let count = wanted_count(&read.wanted, numbers);
        let reading = self.readings.insert(Reading {
            asker,
            storage_index: read.storage_index,
            // One more than there are shares, until all of them have been begun.
            remaining: numbers.len() + 1,
            found: Found::new(read.extents, count),
        });
        for (index, share_number) in numbers.iter().enumerate() {
            let wanted = is_wanted(&read.wanted, index, *share_number);
            let key = ShareKey {
                storage_index: read.storage_index,
                share_number: *share_number,
            };
            let share = ShareRead {
                reading,
                key,
                wanted,
            };
            if !self.read_pending(cx, share) {
                let index = self.waiting.insert(Waiting::Share(share));
                cx.begin_read(key, waiter(index));
            }
        }
        self.readings[reading].remaining -= 1;
        self.answer_if_complete(cx, reading);
    }

    /// Reads a share from memory, if the tree does not have it yet.
    fn read_pending(&mut self, cx: &mut Context, share: ShareRead) -> bool {
        let Some(container) = cx.pending(share.key).cloned() else {
            return false;
        };
        let kind = ShareKind::Immutable;
        let piece = |range: ByteRange| {
            let start =
                num::len(range.offset).map_or(container.len(), |at| at.min(container.len()));
            let end = start.saturating_add(range.len).min(container.len());
            container[start..end].to_vec()
        };
        let pieces = self.ranges(share, kind).into_iter().map(piece).collect();
        let size = num::size(container.len());
        let read = Ok(Outcome::Read { size, pieces });
        self.share_read(cx, share, kind, read);
        true
    }

    /// What of a share's file is read.
    fn ranges(&self, share: ShareRead, kind: ShareKind) -> Vec<ByteRange> {
        let reading = &self.readings[share.reading];
        reading.found.plan(kind, share.wanted)
    }

    fn read_share(&mut self, cx: &mut Context, share: ShareRead, kind: ShareKind) {
        let ranges = self.ranges(share, kind);
        let path = cx.place(share.key);
        let step = Step::Share(share, kind);
        self.start(cx, step, Operation::Read { path, ranges });
    }

    fn share_read(
        &mut self,
        cx: &mut Context,
        share: ShareRead,
        kind: ShareKind,
        read: Result<Outcome, DiskError>,
    ) {
        let reading = &mut self.readings[share.reading];
        reading.remaining -= 1;
        let share_number = share.key.share_number;
        match read {
            // What was to be a lease would be read as the end of the share.
            Ok(_) if cx.is_torn(share.key) => {
                reading.found.fail(share_number, Damage::HalfChanged);
            }
            Ok(Outcome::Read { size, pieces }) => {
                let found = &mut reading.found;
                found.take(share_number, kind, size, pieces, share.wanted);
            }
            Ok(outcome) => panic!("a read gave {outcome:?}"),
            // Gone between the listing and the read, or asked for without one.
            Err(error) if error.errno == Errno::NOENT => {}
            Err(error) => reading.found.fail(share_number, error),
        }
        self.answer_if_complete(cx, share.reading);
    }

    fn answer_if_complete(&mut self, cx: &mut Context, index: usize) {
        if self.readings[index].remaining > 0 {
            return;
        }
        let reading = self.readings.remove(index);
        let version = cx.slot_version(reading.storage_index);
        let read = reading.found.into_answer(version);
        cx.tell(reading.asker, read);
        cx.end_slot_read(reading.storage_index);
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        cx.start(waiter(self.steps.insert(step)), operation);
    }
}

impl Machinery for Reads {
    fn admitted(&mut self, cx: &mut Context, index: usize) {
        match self.waiting.remove(index) {
            Waiting::Request(asker, read) => self.begin(cx, asker, read),
            // The share may have become pending while the read waited for a change of it.
            Waiting::Share(share) if cx.pending(share.key).is_some() => {
                cx.end_read(share.key);
                self.read_pending(cx, share);
            }
            Waiting::Share(share) => self.read_share(cx, share, ShareKind::Immutable),
        }
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::List(asker, read, pending) => match share_numbers(completion.result, pending) {
                Ok(numbers) => self.read_shares(cx, asker, read, &numbers),
                Err(error) => {
                    cx.refuse(asker, error);
                    cx.end_slot_read(read.storage_index);
                }
            },
            Step::Share(share, ShareKind::Immutable) if is_of_slot(&completion) => {
                self.read_share(cx, share, ShareKind::Mutable);
            }
            Step::Share(share, kind) => {
                cx.end_read(share.key);
                self.share_read(cx, share, kind, completion.result);
            }
        }
    }
}

impl Found {
    /// Of a request for these extents of so many shares.
    pub(crate) fn new(extents: Vec<Extent>, wanted: usize) -> Self {
        Self {
            extents,
            share_len: limits::READ_LEN / wanted.max(1),
            held: Vec::new(),
            unreadable: Vec::new(),
            pieces: Vec::new(),
            rest: Vec::new(),
        }
    }

    /// What of a share's file to read: its header, and the extents if its bytes are wanted.
    pub(crate) fn plan(&self, kind: ShareKind, wanted: bool) -> Vec<ByteRange> {
        match wanted {
            true => plan(kind, &self.extents, self.share_len),
            false => plan(kind, &[], 0),
        }
    }

    pub(crate) fn fail(&mut self, share_number: ShareNumber, why: impl Into<Unreadable>) {
        self.unreadable.push((share_number, why.into()));
    }

    /// Takes what was read by [`Found::plan`] of a share's file of this size.
    pub(crate) fn take(
        &mut self,
        share_number: ShareNumber,
        kind: ShareKind,
        file_size: u64,
        pieces: Vec<Vec<u8>>,
        wanted: bool,
    ) {
        let front = pieces.first().expect("the header was asked for");
        let held = self.name(share_number, kind, file_size, front);
        if let Some(held) = held.filter(|_| wanted) {
            self.cut(held, pieces);
        }
    }

    /// Names a share that is held, by the front of its file and the size of that.
    pub(crate) fn name(
        &mut self,
        share_number: ShareNumber,
        kind: ShareKind,
        file_size: u64,
        front: &[u8],
    ) -> Option<Held> {
        match share_size(kind, front, file_size) {
            Ok(size) => {
                let held = Held {
                    share_number,
                    size,
                    kind,
                };
                self.held.push(held);
                Some(held)
            }
            Err(damage) => {
                self.fail(share_number, damage);
                None
            }
        }
    }

    pub(crate) fn into_answer(mut self, version: u64) -> SharesRead {
        self.held.sort_unstable_by_key(|held| held.share_number);
        self.unreadable.sort_unstable_by_key(|(number, _)| *number);
        // Stable: the pieces of one share stay in the order of the extents.
        self.pieces.sort_by_key(|piece| piece.share_number);
        self.rest.sort_unstable_by_key(|rest| rest.share_number);
        SharesRead {
            held: self.held,
            unreadable: self.unreadable,
            pieces: self.pieces,
            rest: self.rest,
            version,
        }
    }

    /// Cuts what was read to the share's end, and notes what is left to read.
    ///
    /// What lies behind the share are leases, whose secrets no reader may see.
    fn cut(&mut self, held: Held, pieces: Vec<Vec<u8>>) {
        let share_number = held.share_number;
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
                    share_number,
                    offset: extent.offset,
                    bytes,
                });
            }
        }
        if !rest.is_empty() {
            self.rest.push(Rest {
                share_number,
                extents: rest,
            });
        }
    }
}

/// Whether the bytes of a share are asked for; `index` is its place among those that are held.
pub(crate) fn is_wanted(wanted: &Wanted, index: usize, number: ShareNumber) -> bool {
    match wanted {
        Wanted::Any(limit) => index < *limit,
        Wanted::These(these) => these.contains(&number),
        Wanted::One(one) => *one == number,
    }
}

/// Of how many shares held the bytes are asked for.
pub(crate) fn wanted_count(wanted: &Wanted, numbers: &[ShareNumber]) -> usize {
    let numbers = numbers.iter().enumerate();
    numbers
        .filter(|(index, number)| is_wanted(wanted, *index, **number))
        .count()
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
    if extent.size == 0 || extent.offset >= limits::SHARE_SIZE {
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

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Read,
        index,
    }
}
