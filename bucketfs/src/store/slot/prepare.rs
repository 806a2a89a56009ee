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

use super::commit::Revision;
use super::draft::Draft;
use super::{Change, Slots, Step, refuse};
use crate::container::Version;
use crate::container::mutable::{
    EXTRA_LEN_MAX, Header, Image, LeaseSearch, Leases, LeasesError, SHARE_SIZE_MAX, ShareTooLarge,
};
use crate::disk::{ByteRange, Completion, Existing, Operation, Outcome};
use crate::error::Damage;
use crate::refusal::{SlotRefusal, Unreadable};
use crate::request::LeaseOwner;
use crate::store::context::{Context, unwritable};

/// What is under way for a share.
#[derive(Debug)]
pub(super) enum Preparing {
    /// Its extra leases are being read.
    Leases(ShareNumber),
    /// Its container is being read, to be put together anew.
    Old(Box<Draft>),
    /// The new one is being written.
    Small(Revision),
}

// One share after the other.
impl Slots {
    pub(super) fn prepare(&mut self, cx: &mut Context, mut change: Box<Change>) {
        change.left = change.ask.shares.keys().rev().copied().collect();
        self.prepare_next(cx, change);
    }

    fn prepare_next(&mut self, cx: &mut Context, mut change: Box<Change>) {
        while let Some(share) = change.left.pop() {
            let removes = change.ask.shares[&share].removes();
            match change.found.get(&share) {
                None if removes => {}
                Some(header) if removes => {
                    let before = header.file_size();
                    let key = change.key(share);
                    change.revisions.push(Revision::Remove { key, before });
                }
                Some(header) => {
                    let extra = num::len(header.sizes().extra);
                    let whole = change.whole.get(&share);
                    if let Some(extra) = whole.and_then(|file| file.get(extra?..)) {
                        let extra = &extra[..extra.len().min(EXTRA_LEN_MAX)];
                        let draft = draft_of(cx, &change, share, extra);
                        match self.drafted_or_refused(cx, change, draft) {
                            Some(next) => change = next,
                            None => return,
                        }
                        continue;
                    }
                    let range = ByteRange {
                        offset: header.sizes().extra,
                        len: EXTRA_LEN_MAX,
                    };
                    let operation = change.read_ranges(cx, share, vec![range]);
                    let step = Step::Prepare(change, Preparing::Leases(share));
                    return self.start(cx, step, operation);
                }
                None => {
                    let enabler = change.ask.write_enabler.clone();
                    let header = Header::new(Version::Two, cx.settings.node_id, enabler);
                    let draft = draft(cx, &change, share, header, Leases::none(), true);
                    match self.drafted_or_refused(cx, change, draft) {
                        Some(next) => change = next,
                        None => return,
                    }
                }
            }
        }
        self.all_prepared(cx, change);
    }

    pub(super) fn prepared(
        &mut self,
        cx: &mut Context,
        change: Box<Change>,
        preparing: Preparing,
        completion: Completion,
    ) {
        match preparing {
            Preparing::Leases(share) => {
                let draft = only_piece(completion)
                    .map_err(SlotRefusal::from)
                    .and_then(|extra| draft_of(cx, &change, share, &extra));
                if let Some(change) = self.drafted_or_refused(cx, change, draft) {
                    self.prepare_next(cx, change);
                }
            }
            Preparing::Old(draft) => match only_piece(completion) {
                Ok(old) => self.assemble(cx, change, &draft, &old),
                Err(refusal) => refuse(cx, *change, refusal),
            },
            Preparing::Small(revision) => match completion.result {
                Ok(_) => self.revised(cx, change, revision),
                Err(error) => {
                    tracing::warn!(%error, "cannot write a slot's share");
                    refuse(cx, *change, unwritable(error));
                }
            },
        }
    }

    /// A share is prepared; the next one follows.
    pub(super) fn revised(&mut self, cx: &mut Context, mut change: Box<Change>, it: Revision) {
        change.revisions.push(it);
        self.prepare_next(cx, change);
    }

    /// Gives the request back if its share is prepared by this.
    fn drafted_or_refused(
        &mut self,
        cx: &mut Context,
        change: Box<Change>,
        draft: Result<Box<Draft>, SlotRefusal>,
    ) -> Option<Box<Change>> {
        match draft {
            Ok(draft) => self.drafted(cx, change, draft),
            Err(refusal) => {
                refuse(cx, *change, refusal);
                None
            }
        }
    }

    /// Takes the smallest way; gives the request back if it is at its end already.
    fn drafted(
        &mut self,
        cx: &mut Context,
        mut change: Box<Change>,
        draft: Box<Draft>,
    ) -> Option<Box<Change>> {
        if draft.changes_nothing() {
            return Some(change);
        }
        let patch = draft.patch_size();
        if patch.is_some_and(|size| change.budget.take(size)) {
            let key = change.key(draft.share);
            let writes = draft.patch();
            change.revisions.push(Revision::Patch { key, writes });
            return Some(change);
        }
        let size = draft.image.file_size(&draft.leases);
        if draft.needs_spool() || !change.budget.take(size) {
            self.rewrite(cx, change, draft);
            return None;
        }
        if !draft.needs_old() {
            self.assemble(cx, change, &draft, &[]);
            return None;
        }
        if let Some(old) = change.whole.remove(&draft.share) {
            self.assemble(cx, change, &draft, &old);
            return None;
        }
        let range = ByteRange {
            offset: 0,
            len: num::len(draft.header.sizes().extra).expect("less than what fits into a batch"),
        };
        let operation = change.read_ranges(cx, draft.share, vec![range]);
        self.start(cx, Step::Prepare(change, Preparing::Old(draft)), operation);
        None
    }

    fn assemble(&mut self, cx: &mut Context, change: Box<Change>, draft: &Draft, old: &[u8]) {
        let Some(container) = draft.image.assemble(&draft.header, &draft.leases, old) else {
            // Nobody but the owner of the lock changes the file.
            return refuse(cx, *change, Damage::Truncated);
        };
        let step = Revision::Create {
            key: change.key(draft.share),
            before: change.file_size(draft.share),
            container: container.into(),
            incoming: cx.next_incoming(),
        };
        let Revision::Create {
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
        self.start(cx, Step::Prepare(change, Preparing::Small(step)), operation);
    }
}

fn draft_of(
    cx: &Context,
    change: &Change,
    share: ShareNumber,
    extra: &[u8],
) -> Result<Box<Draft>, SlotRefusal> {
    let header = change.found[&share].clone();
    let leases = header.leases(extra)?;
    draft(cx, change, share, header, leases, false)
}

/// Runs through what is asked of a share.
fn draft(
    cx: &Context,
    change: &Change,
    share: ShareNumber,
    header: Header,
    before: Leases,
    is_new: bool,
) -> Result<Box<Draft>, SlotRefusal> {
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
        node_id: cx.settings.node_id,
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

impl From<Damage> for SlotRefusal {
    fn from(damage: Damage) -> Self {
        Unreadable::from(damage).into()
    }
}

impl From<ShareTooLarge> for SlotRefusal {
    fn from(ShareTooLarge: ShareTooLarge) -> Self {
        let limit = SHARE_SIZE_MAX;
        Self::TooLarge { limit }
    }
}

impl From<LeasesError> for SlotRefusal {
    fn from(error: LeasesError) -> Self {
        match error {
            LeasesError::Damaged(damage) => damage.into(),
            LeasesError::TooMany(error) => error.into(),
        }
    }
}

/// The one piece that was asked for of a share that is there.
fn only_piece(completion: Completion) -> Result<Vec<u8>, Unreadable> {
    match completion.result {
        Ok(Outcome::Read { mut pieces, .. }) => Ok(pieces.pop().expect("one range was asked for")),
        Ok(outcome) => panic!("a read gave {outcome:?}"),
        Err(error) => Err(Unreadable::from(error)),
    }
}
