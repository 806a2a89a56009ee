//! The slot as it is: whether the request may be made, what it reads, and whether its tests pass.

use std::collections::BTreeMap;

use bytes::Bytes;
use lafs::{ShareNumber, WriteEnabler, num};
use rustix::io::Errno;

use super::{Change, Slots, Step, leave_unchanged, refuse};
use crate::container::UncheckedHeader;
use crate::container::mutable::{self, HEADER_LEN, HEADER_SIZE, Header, ShareTooLarge, Sizes};
use crate::disk::{ByteRange, Completion, Entry, EntryKind, Operation, Outcome};
use crate::error::{Damage, DiskError};
use crate::limits;
use crate::refusal::{SlotRefusal, Unreadable};
use crate::store::context::Context;
use crate::store::listing::{share_number, share_numbers};
use crate::store::space;

/// Proof that the write enabler is that of every share of the slot.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(super) struct Authorized(());

impl Authorized {
    /// Compares with all of them, whichever differs first.
    fn compare(shown: &WriteEnabler, shares: &BTreeMap<ShareNumber, Header>) -> Option<Self> {
        let differ = shares
            .values()
            .filter(|header| header.write_enabler() != shown)
            .count();
        (differ == 0).then_some(Self(()))
    }
}

/// What of a share is to be looked at.
#[derive(Debug)]
pub(super) struct Look {
    share: ShareNumber,
    ranges: Vec<ByteRange>,
    /// Of the ranges, how many are of tests.
    tests: usize,
}

impl Slots {
    pub(super) fn listed(&mut self, cx: &mut Context, change: Box<Change>, completion: Completion) {
        let strange =
            |entry: &Entry| entry.kind != EntryKind::File && share_number(&entry.name).is_some();
        if let Ok(Outcome::Listed(entries)) = &completion.result {
            if entries.iter().any(strange) {
                // Whatever an operator put in the place of a share: the change would fail on it
                // when it is too late.
                return refuse(cx, *change, Damage::NotAFile);
            }
        }
        // With the lock of all of it there is nothing pending.
        match share_numbers(completion.result, Vec::new()) {
            Ok(numbers) => self.next_front(cx, change, numbers),
            Err(error) => refuse(cx, *change, Unreadable::from(error)),
        }
    }

    pub(super) fn header_read(
        &mut self,
        cx: &mut Context,
        mut change: Box<Change>,
        share: ShareNumber,
        left: Vec<ShareNumber>,
        completion: Completion,
    ) {
        let refusal = match front(completion.result) {
            Ok(_) if cx.is_torn(change.key(share)) => Damage::HalfChanged.into(),
            Ok(front) => {
                if let Some((header, file)) = front {
                    if header.file_size() == num::size(file.len()) {
                        change.whole_len += file.len();
                        change.whole.insert(share, file);
                    }
                    change.found.insert(share, header);
                }
                return self.next_front(cx, change, left);
            }
            Err(refusal) => refusal,
        };
        refuse(cx, *change, refusal);
    }

    fn next_front(&mut self, cx: &mut Context, change: Box<Change>, mut left: Vec<ShareNumber>) {
        let Some(share) = left.pop() else {
            return self.fronts_read(cx, change);
        };
        // Most shares of slots are small: then this is all that is ever read of them.
        let len = match change.whole_len < WHOLE_LEN_MAX {
            true => FRONT_LEN,
            false => HEADER_LEN,
        };
        let range = ByteRange { offset: 0, len };
        let operation = change.read_ranges(cx, share, vec![range]);
        self.start(cx, Step::Front(change, share, left), operation);
    }

    fn fronts_read(&mut self, cx: &mut Context, change: Box<Change>) {
        let ask = &change.ask;
        let Some(authorized) = Authorized::compare(&ask.write_enabler, &change.found) else {
            return refuse(cx, *change, SlotRefusal::WrongWriteEnabler);
        };
        let read: u64 = change
            .found
            .values()
            .flat_map(|header| {
                ask.read
                    .iter()
                    .map(|extent| within(header, extent.offset, extent.size).1)
            })
            .fold(0, u64::saturating_add);
        let limit = num::size(limits::READ_LEN);
        if read > limit {
            return refuse(cx, *change, SlotRefusal::AnswerTooLarge { limit });
        }
        let left = change.found.keys().rev().copied().collect();
        self.next_look(cx, change, authorized, left);
    }

    fn next_look(
        &mut self,
        cx: &mut Context,
        mut change: Box<Change>,
        authorized: Authorized,
        mut left: Vec<ShareNumber>,
    ) {
        while let Some(share) = left.pop() {
            let look = change.plan(share);
            if let Some(file) = change.whole.get(&share) {
                let Some(pieces) = parts(file, &look.ranges) else {
                    return refuse(cx, *change, Damage::Truncated);
                };
                change.take(&look, pieces);
                continue;
            }
            if look.ranges.iter().any(|range| range.len > 0) {
                let operation = change.read_ranges(cx, share, look.ranges.clone());
                let step = Step::Look(change, look, authorized, left);
                return self.start(cx, step, operation);
            }
            let nothing = vec![Vec::new(); look.ranges.len()];
            change.take(&look, nothing);
        }
        self.judge(cx, change, authorized);
    }

    pub(super) fn looked(
        &mut self,
        cx: &mut Context,
        mut change: Box<Change>,
        look: &Look,
        authorized: Authorized,
        left: Vec<ShareNumber>,
        completion: Completion,
    ) {
        let pieces = match completion.result {
            Ok(Outcome::Read { pieces, .. }) => pieces,
            Ok(outcome) => panic!("a read gave {outcome:?}"),
            Err(error) => return refuse(cx, *change, Unreadable::from(error)),
        };
        let whole = |(piece, range): (&Vec<u8>, &ByteRange)| piece.len() == range.len;
        if !pieces.iter().zip(&look.ranges).all(whole) {
            // Nobody but the owner of the lock changes the file.
            return refuse(cx, *change, Damage::Truncated);
        }
        change.take(look, pieces);
        self.next_look(cx, change, authorized, left);
    }

    /// All tests are made: if none failed, the change is prepared.
    fn judge(&mut self, cx: &mut Context, mut change: Box<Change>, _: Authorized) {
        let absent = change.ask.shares.iter();
        let mut absent = absent.filter(|(share, _)| !change.found.contains_key(share));
        // A share that is not there is empty, and so must what is looked for be.
        let passes =
            absent.all(|(_, wanted)| wanted.tests.iter().all(|test| test.specimen.is_empty()));
        change.passed &= passes;
        if !change.passed || change.ask.shares.is_empty() {
            return leave_unchanged(cx, *change);
        }
        match Self::growth(&change) {
            Err(refusal) => refuse(cx, *change, refusal),
            Ok(0) => self.prepare(cx, change),
            Ok(_) if cx.settings.read_only => refuse(cx, *change, SlotRefusal::ReadOnly),
            Ok(growth) => {
                change.promised = growth;
                cx.measure_space_if_due();
                if cx.promise(growth) {
                    return self.prepare(cx, change);
                }
                let measurement = cx.begin_measurement();
                self.start(cx, Step::Space(change, measurement), Operation::FreeSpace);
            }
        }
    }

    /// How much more room the shares will take: 0 for changes within what they have, which are
    /// made however full the disk is, and where the operator takes no new shares.
    fn growth(change: &Change) -> Result<u64, ShareTooLarge> {
        let mut growth = 0_u64;
        for (share, wanted) in &change.ask.shares {
            if wanted.removes() {
                continue;
            }
            let found = change.found.get(share).map(Header::sizes);
            let mut sizes = found.unwrap_or(Sizes::EMPTY);
            for write in &wanted.writes {
                sizes.write(write.offset, write.content.size())?;
            }
            let more = match found {
                Some(found) => sizes.extra - found.extra,
                None => space::cost(sizes.extra),
            };
            growth = growth.saturating_add(more);
        }
        Ok(growth)
    }
}

impl Change {
    /// What of a share is to be looked at. Tests that lengths alone fail are not.
    fn plan(&mut self, share: ShareNumber) -> Look {
        let header = &self.found[&share];
        let mut ranges = Vec::new();
        let tests = self.ask.shares.get(&share).map(|wanted| &wanted.tests[..]);
        for test in tests.unwrap_or_default() {
            let (start, size) = within(header, test.offset, test.size);
            let len = test.specimen.len();
            self.passed &= size == num::size(len);
            ranges.push(ByteRange {
                offset: HEADER_SIZE + start,
                len: if self.passed { len } else { 0 },
            });
        }
        let tests = ranges.len();
        ranges.extend(self.ask.read.iter().map(|extent| {
            let (start, size) = within(header, extent.offset, extent.size);
            ByteRange {
                offset: HEADER_SIZE + start,
                len: num::len(size).expect("the sum was compared with READ_LEN"),
            }
        }));
        Look {
            share,
            ranges,
            tests,
        }
    }

    /// Compares what is tested with what is looked for, and keeps what is read.
    fn take(&mut self, look: &Look, mut pieces: Vec<Vec<u8>>) {
        let read = pieces.split_off(look.tests);
        let read = read.into_iter().map(Bytes::from).collect();
        self.read.push((look.share, read));
        let tests = self.ask.shares.get(&look.share);
        let tests = tests.map(|wanted| &wanted.tests[..]).unwrap_or_default();
        for (test, piece) in tests.iter().zip(&pieces) {
            self.passed &= test.specimen == piece;
        }
    }
}

/// The part of a share that a range comes to: where it starts in it, and its size.
fn within(header: &Header, offset: u64, size: u64) -> (u64, u64) {
    let start = offset.min(header.share_size());
    let end = offset.saturating_add(size).min(header.share_size());
    (start, end - start)
}

/// Parts of a file that is in memory.
fn parts(file: &[u8], ranges: &[ByteRange]) -> Option<Vec<Vec<u8>>> {
    let part = |range: &ByteRange| match range.len {
        0 => Some(Vec::new()),
        len => {
            let start = num::len(range.offset)?;
            Some(file.get(start..start.checked_add(len)?)?.to_vec())
        }
    };
    ranges.iter().map(part).collect()
}

/// Reads the header of a share of a slot, and gives what was read with it; `None` if the share has
/// gone.
fn front(read: Result<Outcome, DiskError>) -> Result<Option<(Header, Vec<u8>)>, SlotRefusal> {
    let (size, front) = match read {
        Ok(Outcome::Read { size, mut pieces }) => {
            (size, pieces.pop().expect("one range was asked for"))
        }
        Ok(outcome) => panic!("a read gave {outcome:?}"),
        Err(error) if error.errno == Errno::NOENT => return Ok(None),
        Err(error) => return Err(Unreadable::from(error).into()),
    };
    if !mutable::is_mutable(&front) {
        UncheckedHeader::parse(&front)?;
        return Err(SlotRefusal::NotASlot);
    }
    let header = mutable::UncheckedHeader::parse(&front).and_then(|header| header.check(size));
    Ok(Some((header?, front)))
}

/// How much of a file is read at first.
const FRONT_LEN: usize = 4096;
const _: () = assert!(FRONT_LEN >= HEADER_LEN);

/// How many bytes of small files are kept for one request, give or take one of them.
const WHOLE_LEN_MAX: usize = limits::SLOT_LEN;
