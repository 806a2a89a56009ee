//! Waiting for servers: as long as they are punctual, and then turning to others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Reply, ShareUploads, plan};
use crate::failure::{Doing, ServerError};
use crate::grid::{Answer, Awaited, Held, Sight, Stored, until};
use crate::ledger::ServerTag;
use crate::placement::{Assignment, Holdings, ServerIndex};

impl ShareUploads<'_> {
    /// Sends what `ask` sends, and waits until all shares are stored, or enough and no more will be.
    ///
    /// What a late server owes is sent to another as well; the first answer ends the wait.
    pub(in crate::upload) async fn put_all(&mut self, mut ask: impl FnMut(&Self, Assignment)) {
        let mut awaited = Awaited::quick(self.grid.patience());
        loop {
            for assignment in self.assign() {
                awaited.ask(assignment, Instant::now());
                ask(self, assignment);
            }
            let is_over = self.plan.is_complete() || self.outstanding.is_empty();
            if is_over || !self.plan.may_succeed() {
                break;
            }
            // Before half have answered, the line that is slow may be our own.
            let is_measured = self.stored.len() * 2 >= self.goal.total;
            let late_at = awaited.next_late(|late| self.sight(late));
            let give_up_at = awaited.give_up_at();
            tokio::select! {
                // What has come is looked at first: it may be we who were late.
                biased;
                (assignment, reply) = self.next_reply() => note(&mut awaited, assignment, &reply),
                () = until(late_at), if is_measured => drop(self.hedge_late(&mut awaited)),
                () = until(give_up_at), if self.plan.is_success() => break,
            }
        }
        for assignment in self.outstanding.clone() {
            if awaited.is_late(assignment) {
                self.give_up_late(assignment, &awaited);
            } else {
                self.withdraw(assignment);
            }
        }
    }

    /// Turns to other servers for what the late ones owe; returns what that is.
    pub(in crate::upload) fn hedge_late(
        &mut self,
        awaited: &mut Awaited<Assignment>,
    ) -> Vec<Assignment> {
        let late = awaited.find_late(Instant::now(), |late| self.sight(late));
        for assignment in &late {
            self.plan.hedge(assignment.server);
            self.server(*assignment).note_late();
        }
        late
    }

    pub(in crate::upload) fn sight(&self, assignment: Assignment) -> Sight {
        self.server(assignment).sight()
    }

    /// Asks servers which shares they hold, renews the leases there, and plans with the answers.
    pub(in crate::upload) async fn ask_held(&mut self, servers: &[ServerTag], share_size: u64) {
        let (sender, mut answers) = mpsc::unbounded_channel();
        let mut awaited = Awaited::quick(self.grid.patience());
        for (index, server) in self.ring.iter().enumerate() {
            if servers.contains(&ServerTag::from(server.nurl().key_hash())) {
                let sender = sender.clone();
                awaited.ask(index, Instant::now());
                server.lease(&self.trips, self.storage_index, move |answer| {
                    // Nobody listens to an answer that came too late.
                    drop(sender.send((index, answer)));
                });
            }
        }
        let mut held = Holdings::new();
        while !awaited.is_all_late() {
            let late_at = awaited.next_late(|index| self.ring[index].sight());
            let answer: Option<(ServerIndex, Answer<Held>)> = tokio::select! {
                biased;
                answer = answers.recv() => answer,
                () = until(late_at) => None,
            };
            let now = Instant::now();
            match answer {
                Some((index, Ok(answer))) => {
                    awaited.reacted(index, now);
                    awaited.answered(index, now);
                    held.extend(answer.shares.iter().filter_map(|share| {
                        let is_ours = share.share_number.index() < self.goal.total;
                        (is_ours && share.size == Some(share_size))
                            .then_some((index, share.share_number))
                    }));
                }
                Some((index, Err(error))) => {
                    awaited.forget(index);
                    self.fail(index, None, error);
                }
                None => {
                    for index in awaited.find_late(now, |index| self.ring[index].sight()) {
                        self.ring[index].note_late();
                        let error = too_slow(awaited.waited(index, now));
                        self.fail(index, None, Arc::new(error));
                    }
                }
            }
        }
        for (server, share) in held.iter() {
            self.stored
                .insert(Assignment { share, server }, Stored::Before);
        }
        self.plan = plan(&self.ring, self.goal, held);
    }

    /// Gives up an assignment whose server is late.
    pub(in crate::upload) fn give_up_late(
        &mut self,
        assignment: Assignment,
        awaited: &Awaited<Assignment>,
    ) {
        let waited = awaited.waited(assignment, Instant::now());
        if self.outstanding.remove(&assignment) {
            self.server(assignment).note_late();
            self.refused(assignment, Arc::new(too_slow(waited)));
        }
    }

    /// Gives up a server that has held the others back for so long; returns what it was to store.
    pub(in crate::upload) fn give_up_server(
        &mut self,
        server: ServerIndex,
        held_back: Duration,
    ) -> Vec<Assignment> {
        let error = || ServerError::TooSlow {
            doing: Doing::TakingBytes,
            limit: held_back,
        };
        let of_server = |assignment: &&Assignment| assignment.server == server;
        let lost: Vec<_> = self.outstanding.iter().filter(of_server).copied().collect();
        for assignment in &lost {
            self.outstanding.remove(assignment);
            self.refused(*assignment, Arc::new(error()));
        }
        self.ring[server].abandon(error());
        lost
    }

    /// Waits no longer for an assignment that others have made superfluous.
    pub(in crate::upload) fn withdraw(&mut self, assignment: Assignment) {
        if self.outstanding.remove(&assignment) {
            self.plan.refused(assignment);
        }
    }
}

/// Tells those who wait what a server has said.
pub(in crate::upload) fn note(
    awaited: &mut Awaited<Assignment>,
    assignment: Assignment,
    reply: &Reply,
) {
    let now = Instant::now();
    match reply {
        Reply::ResumeAt(_) | Reply::Ended(Ok(_)) => {
            awaited.reacted(assignment, now);
            awaited.answered(assignment, now);
        }
        Reply::Ended(Err(_)) => awaited.forget(assignment),
    }
}

/// Why a server that was waited for is not waited for any more.
fn too_slow(waited: Duration) -> ServerError {
    ServerError::TooSlow {
        doing: Doing::Answering,
        limit: waited,
    }
}
