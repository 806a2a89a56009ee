//! One upload's dealings with servers: the plan, what was asked, and what was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lafs::cap::Cap;
use lafs::{ShareNumber, StorageIndex};
use protocol::Reason;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Observer, Phase, Placed, Uploaded};
use crate::error::{Doing, Error, Failure, ServerError, Unhappy};
use crate::grid::{Answer, Grid, Held, Pace, Server, Stored, Trips};
use crate::ledger::ServerTag;
use crate::placement::{Assignment, Holdings, PlacementPlan, ServerIndex};

/// How often one share is sent to one server again after the connection broke.
const POSTPONEMENTS_MAX: u8 = 2;

pub(super) struct ShareUploads<'a> {
    pub(super) grid: &'a Grid,
    pub(super) plan: PlacementPlan,
    pub(super) trips: Trips,
    pub(super) storage_index: StorageIndex,
    observer: &'a dyn Observer,
    ring: Vec<Rc<Server>>,
    total: usize,
    happy: usize,
    outstanding: BTreeSet<Assignment>,
    postponements: BTreeMap<Assignment, u8>,
    stored: BTreeMap<Assignment, Stored>,
    failures: Vec<Failure>,
    sender: mpsc::UnboundedSender<(Assignment, Reply)>,
    inbox: mpsc::UnboundedReceiver<(Assignment, Reply)>,
}

/// What a server says of an assignment.
pub(super) enum Reply {
    /// The upload goes on from this offset.
    ResumeAt(u64),
    /// The upload is over.
    Ended(Answer<Stored>),
}

impl<'a> ShareUploads<'a> {
    pub(super) fn new(
        grid: &'a Grid,
        observer: &'a dyn Observer,
        storage_index: StorageIndex,
        total: usize,
        happy: usize,
    ) -> Self {
        let ring = grid.ring(storage_index);
        let (sender, inbox) = mpsc::unbounded_channel();
        Self {
            plan: PlacementPlan::new(ring.len(), total, happy, Holdings::new()),
            grid,
            observer,
            trips: Trips::new(),
            storage_index,
            ring,
            total,
            happy,
            outstanding: BTreeSet::new(),
            postponements: BTreeMap::new(),
            stored: BTreeMap::new(),
            failures: Vec::new(),
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

    /// Gives an assignment up, whatever its server may still say.
    pub(super) fn give_up(&mut self, assignment: Assignment, error: ServerError) {
        if self.outstanding.remove(&assignment) {
            self.refused(assignment, Arc::new(error));
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
        self.observer.failed(&failure);
        self.failures.push(failure);
    }

    /// Whether an upload to these alone, besides what is stored, would be a success.
    pub(super) fn would_suffice(&self, assignments: impl Iterator<Item = Assignment>) -> bool {
        let mut holdings = self.plan.holdings().clone();
        holdings.extend(assignments.map(|assignment| (assignment.server, assignment.share)));
        holdings.happiness() >= self.happy
    }

    /// Sends what `ask` sends, and waits until all shares are stored, or enough and no more will be.
    pub(super) async fn put_all(&mut self, mut ask: impl FnMut(&Self, Assignment)) {
        let mut pace = Pace::start();
        for assignment in self.assign() {
            ask(self, assignment);
        }
        let patience = self.grid.patience();
        let mut is_hedged = false;
        while !self.plan.is_complete() && !self.outstanding.is_empty() {
            let is_answered = self.stored.len() * 2 >= self.total;
            // Nobody is given up before others were asked for what it owes.
            let may_end = self.plan.is_happy() && (is_hedged || !is_answered);
            tokio::select! {
                _ = self.next_reply() => pace.heard(),
                () = sleep_until(pace.deadline(patience.hedge)), if is_answered => {
                    for server in self.plan.awaited() {
                        self.plan.hedge(server);
                    }
                    is_hedged = true;
                    pace.heard();
                }
                () = sleep_until(pace.deadline(patience.grace)), if may_end => break,
            }
            for assignment in self.assign() {
                ask(self, assignment);
            }
            if !self.plan.may_become_happy() {
                break;
            }
        }
        for server in self.plan.awaited() {
            self.give_up_server(server);
        }
    }

    /// Asks servers which shares they hold, renews the leases there, and plans with the answers.
    pub(super) async fn ask_held(&mut self, servers: &[ServerTag], share_size: u64) {
        let (sender, mut answers) = mpsc::unbounded_channel();
        for (index, server) in self.ring.iter().enumerate() {
            if servers.contains(&ServerTag::from(server.nurl().key_hash())) {
                let sender = sender.clone();
                server.lease(&self.trips, self.storage_index, move |answer| {
                    // Nobody listens to an answer that came too late.
                    drop(sender.send((index, answer)));
                });
            }
        }
        drop(sender);
        let mut held = Holdings::new();
        let limit = self.grid.patience().hedge;
        let deadline = Instant::now() + limit;
        loop {
            let answer: Option<(usize, Answer<Held>)> = tokio::select! {
                answer = answers.recv() => answer,
                () = sleep_until(deadline) => None,
            };
            let Some((index, answer)) = answer else {
                break;
            };
            match answer {
                Ok(answer) => held.extend(answer.shares.iter().filter_map(|share| {
                    let is_ours = share.share_number.index() < self.total;
                    (is_ours && share.size == Some(share_size))
                        .then_some((index, share.share_number))
                })),
                Err(error) => self.fail(index, None, error),
            }
        }
        for (server, share) in held.iter() {
            self.stored
                .insert(Assignment { share, server }, Stored::Before);
        }
        self.plan = PlacementPlan::new(self.ring.len(), self.total, self.happy, held);
    }

    /// Gives up whatever this server still owes.
    pub(super) fn give_up_server(&mut self, server: ServerIndex) {
        let owed: Vec<_> = self
            .outstanding
            .iter()
            .copied()
            .filter(|assignment| assignment.server == server)
            .collect();
        for assignment in owed {
            self.give_up(assignment, self.too_late());
        }
    }

    /// Why a server that was waited for is not waited for any more.
    pub(super) fn too_late(&self) -> ServerError {
        ServerError::TooSlow {
            doing: Doing::Answering,
            limit: self.grid.patience().hedge,
        }
    }

    /// Fails if even a grid in which all goes well would be too small.
    pub(super) fn ensure_feasible(&self) -> Result<(), Error> {
        if self.plan.may_become_happy() {
            Ok(())
        } else {
            self.outcome()
        }
    }

    /// Whether the plan's outcome is a success.
    pub(super) fn outcome(&self) -> Result<(), Error> {
        if self.plan.is_happy() {
            return Ok(());
        }
        Err(Error::Unhappy(Unhappy {
            happiness: self.plan.holdings().happiness(),
            happy: self.happy,
            servers: self.ring.len(),
            failures: self.failures.clone(),
        }))
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
        Uploaded {
            cap,
            size,
            shares,
            happiness: self.plan.holdings().happiness(),
            failures: self.failures,
            round_trips: self.trips.count(),
            phases,
        }
    }
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
