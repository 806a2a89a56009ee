//! The uploads of one file's shares: the plan, what was asked, and what was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lafs::cap::Cap;
use lafs::{ShareNumber, StorageIndex};
use protocol::Reason;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Observer, Phase, Placed, Uploaded};
use crate::error::{Error, Unhappy};
use crate::failure::{Failure, ServerError};
use crate::grid::{Answer, Grid, Server, Stored, Trips};
use crate::placement::{Assignment, Goal, Holdings, PlacementPlan, ServerIndex};

mod wait;

pub(super) use wait::note;

/// How often one share is sent to one server again after the connection broke.
const POSTPONEMENTS_MAX: u8 = 2;

/// One file on its way to the servers of a grid.
pub(super) struct ShareUploads<'a> {
    pub(super) grid: &'a Grid,
    pub(super) plan: PlacementPlan,
    pub(super) trips: Trips,
    pub(super) storage_index: StorageIndex,
    observer: &'a dyn Observer,
    ring: Vec<Rc<Server>>,
    goal: Goal,
    outstanding: BTreeSet<Assignment>,
    postponements: BTreeMap<Assignment, u8>,
    stored: BTreeMap<Assignment, Stored>,
    failures: Vec<Noted>,
    /// How many of the failures the observer was told of.
    told: usize,
    sender: mpsc::UnboundedSender<(Assignment, Reply)>,
    inbox: mpsc::UnboundedReceiver<(Assignment, Reply)>,
}

/// What went wrong, at which server, and when.
struct Noted {
    server: ServerIndex,
    at: Instant,
    failure: Failure,
}

/// What a server says of an assignment.
pub(super) enum Reply {
    /// The server wants the bytes from this offset on.
    ResumeAt(u64),
    /// The upload is over.
    Ended(Answer<Stored>),
}

impl<'a> ShareUploads<'a> {
    pub(super) fn new(
        grid: &'a Grid,
        observer: &'a dyn Observer,
        storage_index: StorageIndex,
        goal: Goal,
    ) -> Self {
        let ring = grid.ring(storage_index);
        let (sender, inbox) = mpsc::unbounded_channel();
        Self {
            plan: plan(&ring, goal, Holdings::new()),
            grid,
            observer,
            trips: Trips::new(),
            storage_index,
            ring,
            goal,
            outstanding: BTreeSet::new(),
            postponements: BTreeMap::new(),
            stored: BTreeMap::new(),
            failures: Vec::new(),
            told: 0,
            sender,
            inbox,
        }
    }

    pub(super) fn ring(&self) -> &[Rc<Server>] {
        &self.ring
    }

    pub(super) fn server(&self, assignment: Assignment) -> &Rc<Server> {
        &self.ring[assignment.server]
    }

    /// What to ask now. Each assignment counts as outstanding until its end was heard.
    pub(super) fn assign(&mut self) -> Vec<Assignment> {
        let assignments = self.plan.assign();
        self.outstanding.extend(&assignments);
        assignments
    }

    /// What passes the end of an assignment on to [`ShareUploads::next_reply`].
    pub(super) fn ended(&self, assignment: Assignment) -> impl FnOnce(Answer<Stored>) + 'static {
        let sender = self.sender.clone();
        // Nobody listens once the upload is over; then nobody needs to know.
        move |answer| drop(sender.send((assignment, Reply::Ended(answer))))
    }

    /// What passes the offset of a resumed upload on to [`ShareUploads::next_reply`].
    pub(super) fn resumed(&self, assignment: Assignment) -> Box<dyn FnOnce(u64)> {
        let sender = self.sender.clone();
        Box::new(move |offset| drop(sender.send((assignment, Reply::ResumeAt(offset)))))
    }

    /// Waits for the next reply about an assignment and takes note of it.
    pub(super) async fn next_reply(&mut self) -> (Assignment, Reply) {
        loop {
            let (assignment, reply) = self.inbox.recv().await.expect("we hold a sender ourselves");
            if !self.outstanding.contains(&assignment) {
                // Given up meanwhile.
                continue;
            }
            if let Reply::Ended(answer) = &reply {
                self.outstanding.remove(&assignment);
                match answer {
                    Ok(stored) => {
                        self.plan.stored(assignment);
                        self.stored.insert(assignment, *stored);
                    }
                    Err(error) => self.refused(assignment, error.clone()),
                }
            }
            return (assignment, reply);
        }
    }

    fn refused(&mut self, assignment: Assignment, error: Arc<ServerError>) {
        let postponements = self.postponements.entry(assignment).or_default();
        match advice(&error) {
            Advice::Again if *postponements < POSTPONEMENTS_MAX => {
                *postponements += 1;
                self.plan.postponed(assignment);
            }
            Advice::Elsewhere => self.plan.refused(assignment),
            Advice::Again | Advice::Leave => {
                self.plan.refused(assignment);
                self.plan.close(assignment.server);
            }
        }
        self.fail(assignment.server, Some(assignment.share), error);
    }

    fn fail(&mut self, server: usize, share: Option<ShareNumber>, error: Arc<ServerError>) {
        let failure = Failure {
            server: self.ring[server].name().clone(),
            share,
            error,
        };
        self.failures.push(Noted {
            server,
            at: Instant::now(),
            failure,
        });
    }

    /// What is asked and has no answer.
    pub(super) fn outstanding(&self) -> &BTreeSet<Assignment> {
        &self.outstanding
    }

    /// Fails if too few servers or shares are left, whatever may still be answered.
    pub(super) fn ensure_feasible(&mut self) -> Result<(), Error> {
        if self.plan.may_succeed() {
            Ok(())
        } else {
            self.outcome()
        }
    }

    /// Whether the plan's outcome is a success.
    pub(super) fn outcome(&mut self) -> Result<(), Error> {
        if self.plan.is_success() {
            self.tell(|_| true);
            return Ok(());
        }
        let holdings = self.plan.holdings();
        let (stored, needed) = (holdings.distinct_shares(), self.goal.needed);
        let failures = self.failures.iter().filter(|noted| {
            // Who stores what it was asked for is not to blame for what went wrong on the way; nor,
            // where only servers are wanting, is who stores anything.
            match noted.failure.share {
                Some(share) if stored < needed => !holdings.contains(noted.server, share),
                _ => holdings.of(noted.server).next().is_none(),
            }
        });
        Err(Error::Unhappy(Unhappy {
            happiness: holdings.happiness(),
            happy: self.goal.happy,
            stored,
            needed,
            servers: self.ring.len(),
            failures: failures.map(|noted| noted.failure.clone()).collect(),
        }))
    }

    /// Tells of what the upload has outlived. If it fails in the end, the error tells the rest.
    pub(super) fn tell_outlived(&mut self) {
        let slow = self.grid.patience().slow;
        self.tell(|at| at.elapsed() >= slow);
    }

    fn tell(&mut self, is_told: impl Fn(Instant) -> bool) {
        let untold = self.failures[self.told..].iter();
        for noted in untold.take_while(|noted| is_told(noted.at)) {
            self.observer.failed(&noted.failure);
            self.told += 1;
        }
    }

    /// The report of a success.
    pub(super) fn into_uploaded(
        self,
        cap: Cap,
        size: u64,
        phases: Vec<(Phase, Duration)>,
    ) -> Uploaded {
        let mut shares: Vec<_> = self
            .stored
            .iter()
            .map(|(assignment, stored)| Placed {
                share: assignment.share,
                server: self.ring[assignment.server].name().clone(),
                stored: *stored,
            })
            .collect();
        shares.sort_by_key(|placed| placed.share);
        let failures = self.failures.into_iter().map(|noted| noted.failure);
        Uploaded {
            cap,
            size,
            shares,
            happiness: self.plan.holdings().happiness(),
            failures: failures.collect(),
            round_trips: self.trips.count(),
            phases,
        }
    }
}

/// The plan of an upload that asks nothing of late servers, as far as it can do without them.
fn plan(ring: &[Rc<Server>], goal: Goal, held: Holdings) -> PlacementPlan {
    let mut plan = PlacementPlan::new(ring.len(), goal, held);
    for (index, server) in ring.iter().enumerate() {
        if server.is_late() && plan.may_spare(index) {
            plan.hedge(index);
        }
    }
    plan
}

/// What to do with a share that a server did not take.
enum Advice {
    /// Send it there again.
    Again,
    /// Send it to another server.
    Elsewhere,
    /// The same, and send the server nothing else either.
    Leave,
}

fn advice(error: &ServerError) -> Advice {
    match error {
        error if error.is_passing() => Advice::Again,
        ServerError::Refused(refusal) => match refusal.reason {
            Reason::TooManyUploads | Reason::Expired => Advice::Again,
            Reason::InProgress
            | Reason::OutOfOrder
            | Reason::WrongSize
            | Reason::Aborted
            | Reason::Damaged => Advice::Elsewhere,
            Reason::Full
            | Reason::ReadOnly
            | Reason::TooLarge
            | Reason::Disk
            | Reason::Stopping
            | Reason::Unlisted(_) => Advice::Leave,
        },
        _ => Advice::Leave,
    }
}
