//! Expiry of one share: its leases are read under its lock, judged, and the share removed with them
//! if they say so.
//!
//! Whoever walks the store has seen the share before, and its leases as they were then. Here they
//! are read again, with nobody else at work on the share until it is gone: a client that renews its
//! lease does so before, and then the share stays, or finds that the share is gone.

use lafs::num;
use rustix::io::Errno;
use slab::Slab;

use super::context::{Context, Machinery};
use super::event::{Event, Machine, TakeAway, Waiter};
use super::locks::Owned;
use super::reply::{Asker, NotExpired, WithShare};
use crate::container::{Header, LEASE_SIZE, LEASES_MAX, Lease, UncheckedHeader, mutable};
use crate::disk::{ByteRange, Completion, Operation, Outcome};
use crate::durable::Durable;
use crate::error::{Damage, TooManyLeases};
use crate::expiry::{ExpiryRule, Judgement};
use crate::kind::ShareKind;
use crate::refusal::{ExpireRefusal, Unreadable, Unwritable};
use crate::request::{Expire, ExpiredShare, Kept};

/// All shares that are being judged or removed.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    /// For the lock of a share.
    waiting: Slab<Asked>,
    /// For the disk.
    steps: Slab<Step>,
    /// For the removal.
    removing: Slab<(Asker<Expire>, ExpiredShare)>,
}

#[derive(Debug)]
struct Asked {
    asker: Asker<Expire>,
    rule: ExpiryRule,
    dry_run: bool,
}

/// A share whose lock is owned.
#[derive(Debug)]
struct Task {
    asked: Asked,
    owned: Owned,
}

#[derive(Debug)]
enum Step {
    /// The front of the container; all of it, if it is small.
    Front(Task),
    /// The leases of a larger one.
    Leases(Task, Header),
    /// The extra leases of a slot's.
    SlotLeases(Task, Box<mutable::Header>),
}

/// How much of a container is read at first; most small shares are read whole with it.
const FRONT_LEN: usize = 4096;

impl Expiries {
    pub(super) fn expire(&mut self, cx: &mut Context, asker: Asker<Expire>, expire: Expire) {
        let Expire { key, rule, dry_run } = expire;
        let asked = Asked {
            asker,
            rule,
            dry_run,
        };
        cx.acquire(key, waiter(self.waiting.insert(asked)));
    }

    fn read(&mut self, cx: &mut Context, step: Step, offset: u64, len: usize) {
        let operation = Operation::Read {
            path: cx.place(step.task().owned.key()),
            ranges: vec![ByteRange { offset, len }],
        };
        cx.start(waiter(self.steps.insert(step)), operation);
    }

    fn front_read(&mut self, cx: &mut Context, task: Task, size: u64, front: &[u8]) {
        if mutable::is_mutable(front) {
            return self.slot_front_read(cx, task, size, front);
        }
        let header = match UncheckedHeader::parse(front).and_then(|header| header.check(size)) {
            Ok(header) => header,
            Err(damage) => return refuse(cx, task, damage),
        };
        if header.leases() > LEASES_MAX {
            return refuse(cx, task, TooManyLeases);
        }
        let leases = num::len(header.leases_offset()).and_then(|start| front.get(start..));
        if let Some(leases) = leases.filter(|_| size == num::size(front.len())) {
            return self.leases_read(cx, task, &header, size, leases);
        }
        let len = usize::try_from(LEASE_SIZE * u64::from(header.leases()))
            .expect("LEASES_MAX leases fit into memory");
        self.read(cx, Step::Leases(task, header), header.leases_offset(), len);
    }

    fn leases_read(
        &mut self,
        cx: &mut Context,
        task: Task,
        header: &Header,
        size: u64,
        leases: &[u8],
    ) {
        // Nobody but the owner of the lock changes the file.
        let leases = match size == header.file_size() {
            true => Lease::parse_all(leases),
            false => Err(Damage::Truncated),
        };
        match leases {
            Ok(leases) => {
                let ends = leases.iter().map(|lease| lease.expiration).collect();
                self.judge(cx, task, ShareKind::Immutable, size, ends);
            }
            Err(damage) => refuse(cx, task, damage),
        }
    }

    fn slot_front_read(&mut self, cx: &mut Context, task: Task, size: u64, front: &[u8]) {
        let header = mutable::UncheckedHeader::parse(front).and_then(|header| header.check(size));
        let header = match header {
            Ok(header) => header,
            Err(damage) => return refuse(cx, task, damage),
        };
        let offset = header.sizes().extra;
        let extra = num::len(offset).and_then(|start| front.get(start..));
        if let Some(extra) = extra.filter(|_| size == num::size(front.len())) {
            return self.slot_leases_read(cx, task, &header, extra);
        }
        let step = Step::SlotLeases(task, Box::new(header));
        self.read(cx, step, offset, mutable::EXTRA_LEN_MAX);
    }

    fn slot_leases_read(
        &mut self,
        cx: &mut Context,
        task: Task,
        header: &mutable::Header,
        extra: &[u8],
    ) {
        match header.leases(extra) {
            Ok(leases) => {
                let leases = leases.places().filter(|lease| !lease.is_absent());
                let ends = leases.map(|lease| lease.expiration).collect();
                self.judge(cx, task, ShareKind::Mutable, header.file_size(), ends);
            }
            Err(mutable::LeasesError::Damaged(damage)) => refuse(cx, task, damage),
            Err(mutable::LeasesError::TooMany(error)) => refuse(cx, task, error),
        }
    }

    fn judge(&mut self, cx: &mut Context, task: Task, kind: ShareKind, size: u64, ends: Vec<u32>) {
        let Asked {
            asker,
            rule,
            dry_run,
        } = task.asked;
        let leases = ends.len();
        let last_end = ends.iter().copied().max().unwrap_or_default();
        let why = match rule.judge(kind, ends, cx.unix()) {
            Judgement::Exempt => Kept::Exempt,
            Judgement::NoLease => Kept::NoLease,
            Judgement::Leased => Kept::Leased,
            Judgement::Expired => {
                let share = ExpiredShare {
                    kind,
                    size,
                    leases,
                    last_end,
                };
                if dry_run {
                    cx.tell(asker, NotExpired::Would(share));
                    return cx.release(task.owned);
                }
                let take = TakeAway {
                    owned: task.owned,
                    kind,
                    size,
                    then: waiter(self.removing.insert((asker, share))),
                };
                return cx.send(Event::TakeAway(take));
            }
        };
        cx.tell(asker, NotExpired::Kept(why));
        cx.release(task.owned);
    }
}

impl Machinery for Expiries {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        let key = owned.key();
        let task = Task {
            asked: self.waiting.remove(index),
            owned,
        };
        if let Some(refusal) = cx.share_refusal(key) {
            return refuse(cx, task, refusal);
        }
        if cx.is_torn(key) {
            return refuse(cx, task, Damage::HalfChanged);
        }
        self.read(cx, Step::Front(task), 0, FRONT_LEN);
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        let step = self.steps.remove(index);
        let (size, bytes) = match completion.result {
            Ok(Outcome::Read { size, mut pieces }) => {
                (size, pieces.pop().expect("one range was asked for"))
            }
            Ok(outcome) => panic!("a read gave {outcome:?}"),
            Err(error) if error.errno == Errno::NOENT => {
                return refuse(cx, step.into_task(), ExpireRefusal::NoShare);
            }
            Err(error) => return refuse(cx, step.into_task(), Unreadable::from(error)),
        };
        match step {
            Step::Front(task) => self.front_read(cx, task, size, &bytes),
            Step::Leases(task, header) => self.leases_read(cx, task, &header, size, &bytes),
            Step::SlotLeases(task, header) => self.slot_leases_read(cx, task, &header, &bytes),
        }
    }

    fn taken_away(
        &mut self,
        cx: &mut Context,
        index: usize,
        owned: Owned,
        result: Result<Durable, Unwritable>,
    ) {
        let (asker, share) = self.removing.remove(index);
        match result {
            Ok(durable) => cx.acknowledge(asker, WithShare(share), durable),
            Err(refusal) => cx.refuse(asker, refusal),
        }
        cx.release(owned);
    }
}

impl Step {
    fn task(&self) -> &Task {
        match self {
            Self::Front(task) | Self::Leases(task, _) | Self::SlotLeases(task, _) => task,
        }
    }

    fn into_task(self) -> Task {
        match self {
            Self::Front(task) | Self::Leases(task, _) | Self::SlotLeases(task, _) => task,
        }
    }
}

fn refuse(cx: &mut Context, task: Task, refusal: impl Into<ExpireRefusal>) {
    cx.refuse(task.asked.asker, refusal);
    cx.release(task.owned);
}

impl From<Damage> for ExpireRefusal {
    fn from(damage: Damage) -> Self {
        Unreadable::from(damage).into()
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Expire,
        index,
    }
}
