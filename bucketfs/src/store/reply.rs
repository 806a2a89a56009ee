//! Who asked, and what may be answered to whom.
//!
//! An [`Asker`] is one request that awaits its answer, and knows of which kind. It is used up by the
//! answer, so none is answered twice. Three ways lead to an answer: a refusal, a success that
//! promises nothing ([`Passing`]), and one that says that something lasts ([`Lasting`]), for which
//! there must be a [`Durable`].

use std::collections::VecDeque;
use std::marker::PhantomData;

use bytes::Bytes;
use lafs::ShareNumber;

use crate::durable::Durable;
use crate::keys::KeyMap;
use crate::layout::Layouts;
use crate::limits;
use crate::request::{
    AbortRanged, AbortUpload, Advise, Allocate, Allocated, Answer, Ask, AskStatus, BeginMigration,
    CloseUpload, Count, Counted, DetachUpload, DropSpool, EndMigration, Expire, Expired,
    ExpiredShare, Kept, Leased, Mend, Mended, MigrateNext, Migrated, OpenSpool, OpenUpload, Opened,
    Put, RangeWritten, Read, ReadTestWrite, Remove, RenewLeases, RequestId, SharesRead, Status,
    Stored, TestedAndWritten, WriteRange, WriteSpool, WriteUpload,
};

/// A request that awaits its answer.
#[must_use]
#[derive(Debug)]
pub(super) struct Asker<A> {
    id: RequestId,
    kind: PhantomData<fn() -> A>,
}

impl<A: Ask> Asker<A> {
    /// The request that was just taken under this id.
    pub(super) fn new(id: RequestId) -> Self {
        let kind = PhantomData;
        Self { id, kind }
    }

    pub(super) fn id(&self) -> RequestId {
        self.id
    }
}

/// A success of `A`, or one case of it, that does not say that anything lasts.
pub(super) trait Passing<A: Ask> {
    fn success(self) -> A::Success;
}

/// A success of `A`, or one case of it, that says that something lasts.
pub(super) trait Lasting<A: Ask> {
    fn success(self) -> A::Success;
}

/// All requests that await an answer, and the answers that are to be given.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// How many bytes each brought.
    pending: KeyMap<RequestId, usize>,
    pending_len: usize,
    answers: VecDeque<(RequestId, Answer)>,
}

impl Replies {
    /// Whether another request may be brought.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < limits::REQUESTS && self.pending_len < limits::REQUEST_BYTES
    }

    /// Whether no request awaits its answer.
    pub(super) fn none_pending(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many requests await their answer.
    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Whether there is nothing to answer and nothing to give out.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.answers.is_empty()
    }

    /// Takes a request that brings so many bytes.
    pub(super) fn take(&mut self, id: RequestId, len: usize) {
        let known = self.pending.insert(id, len).is_some();
        assert!(!known, "no two requests that await an answer share an id");
        self.pending_len += len;
    }

    pub(super) fn poll(&mut self) -> Option<(RequestId, Answer)> {
        self.answers.pop_front()
    }

    /// Answers a request that was refused as it came.
    pub(super) fn turn_away(&mut self, id: RequestId, answer: Answer) {
        self.answer(id, answer);
    }

    /// Answers a request that changed nothing, or whose change is not promised to last.
    pub(super) fn tell<A: Ask>(&mut self, asker: Asker<A>, success: impl Passing<A>) {
        self.answer(asker.id, A::answer(Ok(success.success())));
    }

    /// Answers a request that changed something for good.
    pub(super) fn acknowledge<A: Ask>(
        &mut self,
        asker: Asker<A>,
        success: impl Lasting<A>,
        _: Durable,
    ) {
        self.answer(asker.id, A::answer(Ok(success.success())));
    }

    pub(super) fn refuse<A: Ask>(&mut self, asker: Asker<A>, refusal: impl Into<A::Refusal>) {
        self.answer(asker.id, A::answer(Err(refusal.into())));
    }

    fn answer(&mut self, id: RequestId, answer: Answer) {
        let len = self.pending.remove(&id);
        self.pending_len -= len.expect("a request is answered once");
        self.answers.push_back((id, answer));
    }
}

/// The proofs of all leases of one request; of none there is nothing to prove.
#[derive(Debug, Default)]
pub(super) struct LeaseProofs {
    durable: Option<Durable>,
    count: usize,
}

impl LeaseProofs {
    pub(super) fn add(&mut self, durable: Durable) {
        self.count += 1;
        self.durable = Some(match self.durable.take() {
            Some(others) => others.and(durable),
            None => durable,
        });
    }
}

/// A success that lists leases, of each of which there is a proof.
pub(super) trait ListsLeases<A: Ask>: Lasting<A> {
    /// Whether proofs of so many leases are enough for what it says.
    fn is_proved_by(&self, leases: usize) -> bool;
}

impl Replies {
    /// Answers a request that added or renewed so many leases.
    pub(super) fn acknowledge_leases<A: Ask>(
        &mut self,
        asker: Asker<A>,
        success: impl ListsLeases<A>,
        proofs: LeaseProofs,
    ) {
        assert!(success.is_proved_by(proofs.count), "each lease was proved");
        self.answer(asker.id, A::answer(Ok(success.success())));
    }
}

/// Declares which successes promise nothing, and which need a proof.
macro_rules! successes {
    ($kind:ident: $($ask:ident of $given:ty => |$it:pat_param| $success:expr;)*) => {
        $(
            impl $kind<$ask> for $given {
                fn success(self) -> <$ask as Ask>::Success {
                    let $it = self;
                    $success
                }
            }
        )*
    };
}

/// An upload is open, and its next byte goes here.
#[derive(Debug)]
pub(super) struct OpenAt(pub(super) u64);

/// The share was held before, and has the lease now.
#[derive(Debug)]
pub(super) struct AlreadyHeld;

/// Of a ranged upload these are missing, at least one.
#[derive(Debug)]
pub(super) struct Missing(pub(super) Vec<(u64, u64)>);

/// Of a ranged upload nothing is missing any more.
#[derive(Debug)]
pub(super) struct Complete;

/// A slot was read and perhaps tested, and nothing of it changed.
#[derive(Debug)]
pub(super) struct Unchanged {
    pub(super) passed: bool,
    pub(super) read: Vec<(ShareNumber, Vec<Bytes>)>,
}

/// An empty directory is gone.
#[derive(Debug)]
pub(super) struct Emptied;

/// Every test passed, and every change is made.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) read: Vec<(ShareNumber, Vec<Bytes>)>,
}

/// A share stays, or this is a dry run.
#[derive(Debug)]
pub(super) enum NotExpired {
    Kept(Kept),
    Would(ExpiredShare),
}

/// A share is gone that had expired.
#[derive(Debug)]
pub(super) struct WithShare(pub(super) ExpiredShare);

/// What a part of a count comes to. What is counted is true whether it lasts or not.
#[derive(Debug)]
pub(super) struct PartCounted(pub(super) Counted);

successes! { Passing:
    OpenUpload of OpenAt => |OpenAt(offset)| Opened::At { offset };
    WriteUpload of () => |()| ();
    AbortUpload of () => |()| ();
    DetachUpload of () => |()| ();
    WriteRange of Missing => |Missing(ranges)| RangeWritten::Missing(ranges);
    AbortRanged of () => |()| ();
    Advise of () => |()| ();
    Read of SharesRead => |read| read;
    ReadTestWrite of Unchanged => |it| TestedAndWritten { success: it.passed, read: it.read };
    OpenSpool of () => |()| ();
    Mend of Emptied => |Emptied| Mended { to: None };
    WriteSpool of () => |()| ();
    DropSpool of () => |()| ();
    AskStatus of Status => |status| Box::new(status);
    BeginMigration of Layouts => |layouts| layouts;
    MigrateNext of Migrated => |migrated| migrated;
    EndMigration of () => |()| ();
    Expire of NotExpired => |it| match it {
        NotExpired::Kept(why) => Expired::Kept(why),
        NotExpired::Would(share) => Expired::WouldRemove(share),
    };
    Count of PartCounted => |PartCounted(counted)| counted;
}

successes! { Lasting:
    Put of Stored => |stored| stored;
    OpenUpload of AlreadyHeld => |AlreadyHeld| Opened::AlreadyHeld;
    CloseUpload of () => |()| ();
    WriteRange of Complete => |Complete| RangeWritten::Complete;
    Remove of () => |()| ();
    Expire of WithShare => |WithShare(share)| Expired::Removed(share);
    Mend of Mended => |mended| mended;
    ReadTestWrite of Changed => |it| TestedAndWritten { success: true, read: it.read };
    RenewLeases of Leased => |leased| leased;
    Allocate of Allocated => |allocated| allocated;
}

impl ListsLeases<RenewLeases> for Leased {
    fn is_proved_by(&self, leases: usize) -> bool {
        leases == self.held.len()
    }
}

impl ListsLeases<Allocate> for Allocated {
    /// A share may be held without the lease; see [`Allocated`].
    fn is_proved_by(&self, leases: usize) -> bool {
        leases <= self.held.len()
    }
}
