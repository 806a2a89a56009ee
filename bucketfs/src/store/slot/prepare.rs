//! What each share is to become, prepared before anything of it is promised.
//!
//! The smallest way that does it is taken:
//!
//! * **Patch**: writes within the room that the share has, made in place once the journal has them.
//!   Needs no space, so a full disk can still have shares cut and written over.
//! * **Create**: the whole container, put together in memory, in the journal and in incoming.
//! * **Replace**: the container is made in incoming, of the old one and the spool, and synced; the
//!   journal has its number there.
//!
//! The first two are of what one batch of the journal holds. Shares are prepared one after the
//! other, so that a request never has more than that and one share's leases in memory.

use bytes::Bytes;
use lafs::{ShareNumber, num};

use super::commit::Step;
use super::{Change, Flight};
use crate::container::Version;
use crate::container::mutable::{
    Content, EXTRA_LEN_MAX, HEADER_SIZE, Header, Image, LEASE_SIZE, LeaseChange, LeaseSearch,
    Leases, Source,
};
use crate::disk::{
    ByteRange, Completion, CopyRange, Existing, FileId, OpenMode, Operation, Outcome, StorePath,
};
use crate::durable::BytesDurable;
use crate::error::{Damage, Refusal};
use crate::journal::format::{GROUP_SIZE_MAX, RECORD_HEADER_SIZE, WRITE_HEADER_SIZE};
use crate::store::{LeaseOwner, Store, Task, refusal};

/// How much of a batch is left for the shares of a request.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

/// Size of the record of a share that takes the least: nothing but a number.
const REPLACE_SIZE: u64 = RECORD_HEADER_SIZE + 8;
const _: () = assert!(256 * REPLACE_SIZE < GROUP_SIZE_MAX);

/// What is under way for a share.
#[derive(Debug)]
pub(in crate::store) enum Prepare {
    /// Its extra leases are being read.
    Leases(ShareNumber),
    /// Its container is being read, to be put together anew.
    Old(Box<Draft>),
    /// The new one is being written.
    Small(Step),
    Open(Rewrite),
    Write(Rewrite),
    Sync(Rewrite),
    Close(Rewrite, BytesDurable),
    /// The file of a share that is given up, for this reason, is being closed.
    Abandoned(Rewrite, Refusal),
}

/// A share, and what is to become of it.
#[derive(Debug)]
pub(in crate::store) struct Draft {
    share: ShareNumber,
    /// Whether there is no such share yet.
    is_new: bool,
    header: Header,
    /// The leases as they are.
    before: Leases,
    lease: LeaseChange,
    /// The leases as they are to be.
    leases: Leases,
    image: Image,
}

/// A container on its way in incoming.
#[derive(Debug)]
pub(in crate::store) struct Rewrite {
    share: ShareNumber,
    file: FileId,
    path: StorePath,
    serial: u64,
    /// What is still to be copied from where.
    copies: Vec<(StorePath, Vec<CopyRange>)>,
    /// What is still to be written.
    writes: Vec<(u64, Bytes)>,
}

impl Budget {
    pub(super) fn new(shares: usize) -> Self {
        let least = REPLACE_SIZE * num::size(shares);
        let left = GROUP_SIZE_MAX.checked_sub(least);
        Self {
            left: left.expect("there are 256 share numbers"),
        }
    }

    /// Takes room for a record with a body of this size, if there is as much.
    fn take(&mut self, body: u64) -> bool {
        let more = (RECORD_HEADER_SIZE + body).saturating_sub(REPLACE_SIZE);
        let fits = more <= self.left;
        if fits {
            self.left -= more;
        }
        fits
    }
}

// One share after the other.
impl Store {
    pub(super) fn prepare(&mut self, mut change: Box<Change>) {
        change.left = change.ask.shares.keys().rev().copied().collect();
        self.prepare_next(change);
    }

    fn prepare_next(&mut self, mut change: Box<Change>) {
        while let Some(share) = change.left.pop() {
            let removes = change.ask.shares[&share].removes();
            match change.found.get(&share) {
                None if removes => {}
                Some(_) if removes => {
                    let key = change.key(share);
                    change.steps.push(Step::Remove { key });
                }
                Some(header) => {
                    let range = ByteRange {
                        offset: header.sizes().extra,
                        len: EXTRA_LEN_MAX,
                    };
                    let operation = self.read_ranges(change.key(share), vec![range]);
                    let flight = Flight::Prepare(change, Prepare::Leases(share));
                    return self.start_change(flight, operation);
                }
                None => {
                    let enabler = change.ask.write_enabler.clone();
                    let header = Header::new(Version::Two, self.slots.node_id, enabler);
                    return match self.draft(&change, share, header, Leases::none(), true) {
                        Ok(draft) => self.drafted(change, draft),
                        Err(refusal) => self.change_refused(*change, refusal),
                    };
                }
            }
        }
        self.all_prepared(change);
    }

    pub(super) fn prepared(
        &mut self,
        mut change: Box<Change>,
        prepare: Prepare,
        completion: Completion,
    ) {
        match prepare {
            Prepare::Leases(share) => match self.draft_of(&change, share, completion) {
                Ok(draft) => self.drafted(change, draft),
                Err(refusal) => self.change_refused(*change, refusal),
            },
            Prepare::Old(draft) => match only_piece(completion) {
                Ok(old) => self.assemble(change, &draft, &old),
                Err(refusal) => self.change_refused(*change, refusal),
            },
            Prepare::Small(step) => match completion.result {
                Ok(_) => {
                    change.steps.push(step);
                    self.prepare_next(change);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot write a slot's share");
                    self.change_refused(*change, refusal(error));
                }
            },
            Prepare::Open(rewrite) => match completion.result {
                Ok(_) => self.rewrite_on(change, rewrite),
                Err(error) => {
                    self.free_file(rewrite.file);
                    self.change_refused(*change, refusal(error));
                }
            },
            Prepare::Write(rewrite) => match completion.result {
                Ok(_) => self.rewrite_on(change, rewrite),
                Err(error) => self.abandon(change, rewrite, refusal(error)),
            },
            Prepare::Sync(rewrite) => match BytesDurable::synced(&completion) {
                Ok(bytes) => self.close_rewrite(change, rewrite, bytes),
                Err(error) => self.abandon(change, rewrite, Refusal::Disk(error)),
            },
            Prepare::Close(rewrite, bytes) => {
                self.free_file(rewrite.file);
                if let Err(error) = completion.result {
                    self.clean_up(rewrite.path);
                    return self.change_refused(*change, refusal(error));
                }
                change.bytes = Some(match change.bytes.take() {
                    Some(others) => others.and(bytes),
                    None => bytes,
                });
                let key = change.key(rewrite.share);
                let serial = rewrite.serial;
                change.steps.push(Step::Replace { key, serial });
                self.prepare_next(change);
            }
            Prepare::Abandoned(rewrite, refusal) => {
                self.free_file(rewrite.file);
                self.clean_up(rewrite.path);
                self.change_refused(*change, refusal);
            }
        }
    }

    fn draft_of(
        &self,
        change: &Change,
        share: ShareNumber,
        completion: Completion,
    ) -> Result<Box<Draft>, Refusal> {
        let extra = only_piece(completion)?;
        let header = change.found[&share].clone();
        let leases = header.leases(&extra)?;
        self.draft(change, share, header, leases, false)
    }

    /// Runs through what is asked of a share.
    fn draft(
        &self,
        change: &Change,
        share: ShareNumber,
        header: Header,
        before: Leases,
        is_new: bool,
    ) -> Result<Box<Draft>, Refusal> {
        let wanted = &change.ask.shares[&share];
        let mut image = Image::new(header.sizes());
        for write in &wanted.writes {
            image.write(write.offset, &write.content)?;
        }
        if let Some(size) = wanted.new_length {
            image.cut(size);
        }
        let search = LeaseSearch {
            secrets: &change.ask.lease,
            owner: LeaseOwner::Renewal.number(),
            expiration: change.expiration,
            node_id: self.slots.node_id,
        };
        let lease = search.run(header.version(), &before)?;
        let mut leases = before.clone();
        leases.apply(&lease);
        Ok(Box::new(Draft {
            share,
            is_new,
            header,
            before,
            lease,
            leases,
            image,
        }))
    }

    /// Takes the smallest way.
    fn drafted(&mut self, mut change: Box<Change>, draft: Box<Draft>) {
        if draft.changes_nothing() {
            return self.prepare_next(change);
        }
        let patch = draft.patch_size();
        if patch.is_some_and(|size| change.budget.take(size)) {
            let key = change.key(draft.share);
            let writes = draft.patch();
            change.steps.push(Step::Patch { key, writes });
            return self.prepare_next(change);
        }
        let size = draft.image.file_size(&draft.leases);
        if draft.needs_spool() || !change.budget.take(size) {
            return self.rewrite(change, draft);
        }
        if !draft.needs_old() {
            return self.assemble(change, &draft, &[]);
        }
        let range = ByteRange {
            offset: 0,
            len: num::len(draft.header.sizes().extra).expect("less than what fits into a batch"),
        };
        let operation = self.read_ranges(change.key(draft.share), vec![range]);
        self.start_change(Flight::Prepare(change, Prepare::Old(draft)), operation);
    }

    fn assemble(&mut self, change: Box<Change>, draft: &Draft, old: &[u8]) {
        let Some(container) = draft.image.assemble(&draft.header, &draft.leases, old) else {
            // Nobody but the owner of the lock changes the file.
            return self.change_refused(*change, Refusal::Damaged(Damage::Truncated));
        };
        let step = Step::Create {
            key: change.key(draft.share),
            container: container.into(),
            incoming: self.next_incoming(),
            is_new: draft.is_new,
        };
        let Step::Create {
            incoming,
            container,
            ..
        } = &step
        else {
            unreachable!("it was just made");
        };
        let operation = Operation::CreateFile {
            path: incoming.clone(),
            bytes: container.clone(),
            existing: Existing::Refuse,
            unless: None,
        };
        self.start_change(Flight::Prepare(change, Prepare::Small(step)), operation);
    }
}

// A container made in incoming.
impl Store {
    pub(in crate::store) fn rewrite(&mut self, change: Box<Change>, draft: Box<Draft>) {
        let Some(file) = self.slots.free_files.pop() else {
            return self.slots.line.push_back(Task::Rewrite(change, draft));
        };
        let path = self.next_incoming();
        let old = self.layout.share(change.key(draft.share));
        let mut rewrite = Rewrite {
            share: draft.share,
            file,
            path: path.clone(),
            serial: self.serial,
            copies: Vec::new(),
            writes: Vec::new(),
        };
        let header = draft.header.encode(draft.image.sizes(), &draft.leases);
        let extra = draft.leases.encode_extra();
        rewrite
            .writes
            .push((draft.image.sizes().extra, extra.into()));
        rewrite.writes.push((0, Bytes::copy_from_slice(&header)));
        let (mut kept, mut spooled) = (Vec::new(), Vec::new());
        for (to, piece) in draft.image.pieces() {
            let size = piece.size;
            let range = |from| CopyRange { from, to, size };
            match &piece.source {
                Source::Old => kept.push(range(to)),
                // What is not written of a new file is zero.
                Source::Zeros => {}
                Source::New(Content::Bytes(bytes)) => rewrite.writes.push((to, bytes.clone())),
                Source::New(Content::Spooled { offset, .. }) => spooled.push(range(*offset)),
            }
        }
        if !kept.is_empty() {
            rewrite.copies.push((old, kept));
        }
        if !spooled.is_empty() {
            let spool = change.spool.clone();
            let spool = spool.expect("its size was compared with what is of it");
            rewrite.copies.push((spool, spooled));
        }
        let mode = OpenMode::New;
        let operation = Operation::Open { file, path, mode };
        self.start_change(Flight::Prepare(change, Prepare::Open(rewrite)), operation);
    }

    fn rewrite_on(&mut self, change: Box<Change>, mut rewrite: Rewrite) {
        let file = rewrite.file;
        let operation = if let Some((source, ranges)) = rewrite.copies.pop() {
            Operation::Copy {
                source,
                file,
                ranges,
            }
        } else if let Some((offset, bytes)) = rewrite.writes.pop() {
            Operation::WriteAt {
                file,
                offset,
                bytes,
            }
        } else if let Some(waiver) = self.waiver() {
            return self.close_rewrite(change, rewrite, BytesDurable::waived(waiver));
        } else {
            let flight = Flight::Prepare(change, Prepare::Sync(rewrite));
            return self.start_change(flight, Operation::SyncFile { file });
        };
        let flight = Flight::Prepare(change, Prepare::Write(rewrite));
        self.start_change(flight, operation);
    }

    fn close_rewrite(&mut self, change: Box<Change>, rewrite: Rewrite, bytes: BytesDurable) {
        let file = rewrite.file;
        let flight = Flight::Prepare(change, Prepare::Close(rewrite, bytes));
        self.start_change(flight, Operation::Close { file });
    }

    fn abandon(&mut self, change: Box<Change>, rewrite: Rewrite, refusal: Refusal) {
        tracing::warn!(path = %rewrite.path, %refusal, "cannot write a slot's share anew");
        let file = rewrite.file;
        let flight = Flight::Prepare(change, Prepare::Abandoned(rewrite, refusal));
        self.start_change(flight, Operation::Close { file });
    }

    fn free_file(&mut self, file: FileId) {
        self.slots.free_files.push(file);
        self.runnable.extend(self.slots.line.pop_front());
    }
}

impl Draft {
    fn changes_nothing(&self) -> bool {
        let pieces = self.image.pieces();
        let mut sources = pieces.map(|(_, piece)| &piece.source);
        let same_bytes = sources.all(|source| *source == Source::Old);
        let same_sizes = self.image.sizes() == self.header.sizes();
        !self.is_new && same_bytes && same_sizes && self.lease == LeaseChange::None
    }

    fn needs_old(&self) -> bool {
        self.image
            .pieces()
            .any(|(_, piece)| piece.source == Source::Old)
    }

    fn needs_spool(&self) -> bool {
        let is_spooled = |source: &Source| matches!(source, Source::New(Content::Spooled { .. }));
        self.image
            .pieces()
            .any(|(_, piece)| is_spooled(&piece.source))
    }

    /// Size of the body of a patch record, if the share can be changed within its room.
    fn patch_size(&self) -> Option<u64> {
        let same_room = self.image.sizes().extra == self.header.sizes().extra;
        let same_leases = !matches!(self.lease, LeaseChange::Extend { .. });
        if self.is_new || !same_room || !same_leases || self.needs_spool() {
            return None;
        }
        let around = 8 + 2 * WRITE_HEADER_SIZE + HEADER_SIZE + LEASE_SIZE;
        let pieces = self.image.pieces();
        let changed = pieces.filter(|(_, piece)| piece.source != Source::Old);
        let sizes = changed.map(|(_, piece)| WRITE_HEADER_SIZE + piece.size);
        Some(sizes.fold(around, u64::saturating_add))
    }

    /// The writes of a patch, at most as many bytes as [`Draft::patch_size`] says.
    fn patch(&self) -> Vec<(u64, Bytes)> {
        let mut writes = Vec::new();
        let header = self.header.encode(self.image.sizes(), &self.leases);
        if header != self.header.encode(self.header.sizes(), &self.before) {
            writes.push((0, Bytes::copy_from_slice(&header)));
        }
        let lease = self.lease.writes(&self.header, &self.before);
        // Those in the header are in it already.
        writes.extend(lease.into_iter().filter(|(at, _)| *at >= HEADER_SIZE));
        for (offset, piece) in self.image.pieces() {
            match &piece.source {
                Source::Old => {}
                Source::Zeros => {
                    let len = num::len(piece.size).expect("less than what fits into a batch");
                    writes.push((offset, vec![0; len].into()));
                }
                Source::New(Content::Bytes(bytes)) => writes.push((offset, bytes.clone())),
                Source::New(Content::Spooled { .. }) => unreachable!("a patch has no spool"),
            }
        }
        writes
    }
}

/// The one piece that was asked for of a share that is there.
fn only_piece(completion: Completion) -> Result<Vec<u8>, Refusal> {
    match completion.result {
        Ok(Outcome::Read { mut pieces, .. }) => Ok(pieces.pop().expect("one range was asked for")),
        Ok(outcome) => panic!("a read gave {outcome:?}"),
        Err(error) => Err(Refusal::Disk(error)),
    }
}
