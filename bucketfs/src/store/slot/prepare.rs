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

use lafs::{ShareNumber, num};

use super::commit::Step;
use super::draft::Draft;
use super::rewrite::Rewrite;
use super::{Change, Flight};
use crate::container::Version;
use crate::container::mutable::{EXTRA_LEN_MAX, Header, Image, LeaseSearch, Leases};
use crate::disk::{ByteRange, Completion, Existing, Operation, Outcome};
use crate::durable::BytesDurable;
use crate::error::{Damage, Refusal};
use crate::store::{LeaseOwner, Store, refusal};

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

/// The one piece that was asked for of a share that is there.
fn only_piece(completion: Completion) -> Result<Vec<u8>, Refusal> {
    match completion.result {
        Ok(Outcome::Read { mut pieces, .. }) => Ok(pieces.pop().expect("one range was asked for")),
        Ok(outcome) => panic!("a read gave {outcome:?}"),
        Err(error) => Err(Refusal::Disk(error)),
    }
}
