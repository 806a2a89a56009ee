//! The slot as it is: whether the request may be made, what it is told, and whether it goes on.

use std::collections::BTreeMap;

use bytes::Bytes;
use lafs::{ShareNumber, WriteEnabler, num};
use rustix::io::Errno;

use super::{Change, Flight};
use crate::container::UncheckedHeader;
use crate::container::mutable::{self, HEADER_LEN, HEADER_SIZE, Header, Sizes};
use crate::disk::{ByteRange, Completion, Entry, EntryKind, Operation, Outcome};
use crate::error::{Damage, DiskError, Refusal};
use crate::store::read::share_numbers;
use crate::store::{Limits, Store, space};

/// Proof that the write enabler is that of every share of the slot.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Authorized(());

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
pub(in crate::store) struct Plan {
    share: ShareNumber,
    ranges: Vec<ByteRange>,
    /// Of the ranges, how many are of tests.
    tests: usize,
}

impl Store {
    pub(super) fn listed(&mut self, change: Box<Change>, completion: Completion) {
        let strange = |entry: &Entry| entry.kind != EntryKind::File && is_share(&entry.name);
        if let Ok(Outcome::Listed(entries)) = &completion.result {
            if entries.iter().any(strange) {
                // Whatever an operator put in the place of a share: the change would fail on it
                // when it is too late.
                let refusal = Refusal::Damaged(Damage::UnknownContainer);
                return self.change_refused(*change, refusal);
            }
        }
        match share_numbers(completion.result) {
            Ok(numbers) => self.next_front(change, numbers),
            Err(error) => self.change_refused(*change, Refusal::Disk(error)),
        }
    }

    pub(super) fn header_read(
        &mut self,
        mut change: Box<Change>,
        share: ShareNumber,
        left: Vec<ShareNumber>,
        completion: Completion,
    ) {
        let refusal = match front(completion.result) {
            Ok(_) if self.torn.contains(&change.key(share)) => {
                Refusal::Damaged(Damage::HalfChanged)
            }
            Ok(header) => {
                change.found.extend(header.map(|header| (share, header)));
                return self.next_front(change, left);
            }
            Err(refusal) => refusal,
        };
        self.change_refused(*change, refusal);
    }

    fn next_front(&mut self, change: Box<Change>, mut left: Vec<ShareNumber>) {
        let Some(share) = left.pop() else {
            return self.fronts_read(change);
        };
        let range = ByteRange {
            offset: 0,
            len: HEADER_LEN,
        };
        let operation = self.read_ranges(change.key(share), vec![range]);
        self.start_change(Flight::Front(change, share, left), operation);
    }

    fn fronts_read(&mut self, change: Box<Change>) {
        let ask = &change.ask;
        let Some(authorized) = Authorized::compare(&ask.write_enabler, &change.found) else {
            return self.change_refused(*change, Refusal::WrongWriteEnabler);
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
        let limit = num::size(Limits::READ_LEN);
        if read > limit {
            return self.change_refused(*change, Refusal::TooLarge { limit });
        }
        let left = change.found.keys().rev().copied().collect();
        self.next_parts(change, authorized, left);
    }

    fn next_parts(
        &mut self,
        mut change: Box<Change>,
        authorized: Authorized,
        mut left: Vec<ShareNumber>,
    ) {
        while let Some(share) = left.pop() {
            let plan = change.plan(share);
            if plan.ranges.iter().any(|range| range.len > 0) {
                let operation = self.read_ranges(change.key(share), plan.ranges.clone());
                let flight = Flight::Parts(change, plan, authorized, left);
                return self.start_change(flight, operation);
            }
            let nothing = vec![Vec::new(); plan.ranges.len()];
            change.take(&plan, nothing);
        }
        self.judge(change, authorized);
    }

    pub(super) fn parts_read(
        &mut self,
        mut change: Box<Change>,
        plan: &Plan,
        authorized: Authorized,
        left: Vec<ShareNumber>,
        completion: Completion,
    ) {
        let pieces = match completion.result {
            Ok(Outcome::Read { pieces, .. }) => pieces,
            Ok(outcome) => panic!("a read gave {outcome:?}"),
            Err(error) => return self.change_refused(*change, Refusal::Disk(error)),
        };
        let whole = |(piece, range): (&Vec<u8>, &ByteRange)| piece.len() == range.len;
        if !pieces.iter().zip(&plan.ranges).all(whole) {
            // Nobody but the owner of the lock changes the file.
            return self.change_refused(*change, Refusal::Damaged(Damage::Truncated));
        }
        change.take(plan, pieces);
        self.next_parts(change, authorized, left);
    }

    /// All tests are made: without one that failed, the change goes on.
    fn judge(&mut self, mut change: Box<Change>, _: Authorized) {
        let absent = change.ask.shares.iter();
        let mut absent = absent.filter(|(share, _)| !change.found.contains_key(share));
        // A share that is not there is empty, and so must what is looked for be.
        let passes =
            absent.all(|(_, wanted)| wanted.tests.iter().all(|test| test.specimen.is_empty()));
        change.passed &= passes;
        if !change.passed || change.ask.shares.is_empty() {
            return self.change_unneeded(*change);
        }
        match self.growth(&change) {
            Err(refusal) => self.change_refused(*change, refusal),
            Ok(0) => self.prepare(change),
            Ok(_) if self.read_only => self.change_refused(*change, Refusal::ReadOnly),
            Ok(growth) => {
                change.promised = growth;
                self.measure_space_if_due();
                if self.space.promise(growth) {
                    return self.prepare(change);
                }
                let measurement = self.space.begin();
                self.start_change(Flight::Space(change, measurement), Operation::FreeSpace);
            }
        }
    }

    /// How much more room the shares will take: 0 for changes within what they have, which are
    /// made however full the disk is, and where the operator takes no new shares.
    fn growth(&self, change: &Change) -> Result<u64, Refusal> {
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
    fn plan(&mut self, share: ShareNumber) -> Plan {
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
        Plan {
            share,
            ranges,
            tests,
        }
    }

    /// Compares what is tested with what is looked for, and keeps what is read.
    fn take(&mut self, plan: &Plan, mut pieces: Vec<Vec<u8>>) {
        let read = pieces.split_off(plan.tests);
        let read = read.into_iter().map(Bytes::from).collect();
        self.read.push((plan.share, read));
        let tests = self.ask.shares.get(&plan.share);
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

/// Reads the header of a share of a slot; `None` if the share has gone.
fn front(read: Result<Outcome, DiskError>) -> Result<Option<Header>, Refusal> {
    let (size, front) = match read {
        Ok(Outcome::Read { size, mut pieces }) => {
            (size, pieces.pop().expect("one range was asked for"))
        }
        Ok(outcome) => panic!("a read gave {outcome:?}"),
        Err(error) if error.errno == Errno::NOENT => return Ok(None),
        Err(error) => return Err(Refusal::Disk(error)),
    };
    if !mutable::is_mutable(&front) {
        UncheckedHeader::parse(&front)?;
        return Err(Refusal::NotASlot);
    }
    Ok(Some(mutable::UncheckedHeader::parse(&front)?.check(size)?))
}

/// Whether a name is that of a share.
fn is_share(name: &[u8]) -> bool {
    let name = std::str::from_utf8(name).ok();
    name.is_some_and(|name| name.parse::<ShareNumber>().is_ok())
}
