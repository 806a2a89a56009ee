//! The plan of one upload: which share is asked of which server, as answers come in.
//!
//! Shares go to distinct servers in ring order, then round the ring again if there are more shares
//! than servers. A share that was refused or lost goes to another server. What servers hold already
//! stays there, unless too few servers hold it all to reach `happy`. The intended algorithm of
//! Tahoe-LAFS (reference: Tahoe file formats, section 4.4), made incremental.

use std::collections::BTreeSet;

use lafs::ShareNumber;

use super::happiness::{Holdings, ServerIndex};

/// A share to be stored by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Assignment {
    /// Which share.
    pub share: ShareNumber,
    /// Which server, counted along the ring.
    pub server: ServerIndex,
}

/// What was asked, what was answered, and what follows from it.
///
/// Call [`PlacementPlan::assign`] for what to start, report every outcome, and call it again after each
/// report that was not a success. Servers are counted along the permuted ring.
#[derive(Debug)]
pub struct PlacementPlan {
    happy: usize,
    servers: Vec<Condition>,
    shares: Vec<Share>,
    /// Acknowledged, now or before this upload.
    stored: Holdings,
}

/// Whether more shares go to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Usable,
    /// Has not answered for long: nothing more is asked of it, its answers still count.
    Slow,
    /// Refuses shares or is gone.
    Closed,
}

#[derive(Debug, Default)]
struct Share {
    /// Servers that were ever asked: none is asked twice for one share.
    tried: BTreeSet<ServerIndex>,
    /// Servers whose answer is outstanding.
    asked: BTreeSet<ServerIndex>,
}

impl PlacementPlan {
    /// Plans `total` shares over `servers` servers, of which some hold shares already.
    ///
    /// # Panics
    ///
    /// If there are more shares than share numbers; encoding parameters rule that out.
    #[must_use]
    pub fn new(servers: usize, total: usize, happy: usize, held: Holdings) -> Self {
        assert!(total <= ShareNumber::COUNT, "a file has at most 256 shares");
        let mut shares: Vec<Share> = (0..total).map(|_| Share::default()).collect();
        for (server, share) in held.iter() {
            if let Some(share) = shares.get_mut(share.index()) {
                share.tried.insert(server);
            }
        }
        Self {
            happy,
            servers: vec![Condition::Usable; servers],
            shares,
            stored: held,
        }
    }

    /// Says what to ask now; each assignment is handed out once and counts as outstanding.
    pub fn assign(&mut self) -> Vec<Assignment> {
        let mut expected = self.expected();
        let mut secured: BTreeSet<_> = expected.iter().map(|(_, share)| share).collect();
        let mut assignments = Vec::new();
        for share in (0..self.shares.len()).map(number) {
            if secured.insert(share) {
                if let Some(server) = self.least_loaded(share, &expected) {
                    expected.insert(server, share);
                    assignments.push(self.ask(share, server));
                }
            }
        }
        while expected.happiness() < self.happy {
            let Some((share, server)) = self.spread(&expected) else {
                break;
            };
            expected.insert(server, share);
            assignments.push(self.ask(share, server));
        }
        assignments
    }

    /// The server has acknowledged the share as durable.
    pub fn stored(&mut self, assignment: Assignment) {
        self.settle(assignment);
        self.stored.insert(assignment.server, assignment.share);
        if self.servers[assignment.server] == Condition::Slow {
            self.servers[assignment.server] = Condition::Usable;
        }
    }

    /// The server will not take this share, but may take others.
    pub fn refused(&mut self, assignment: Assignment) {
        self.settle(assignment);
    }

    /// As [`PlacementPlan::refused`], but the server may be asked for this share once more.
    pub fn postponed(&mut self, assignment: Assignment) {
        self.settle(assignment);
        self.shares[assignment.share.index()]
            .tried
            .remove(&assignment.server);
    }

    /// Nothing more is asked of anyone: only what is outstanding can still succeed.
    pub fn freeze(&mut self) {
        self.servers.fill(Condition::Closed);
    }

    /// The server takes no share any more: it is full, read-only, or out of reach.
    ///
    /// Shares outstanding there are still reported one by one, by [`PlacementPlan::stored`] or
    /// [`PlacementPlan::refused`].
    pub fn close(&mut self, server: ServerIndex) {
        self.servers[server] = Condition::Closed;
    }

    /// The server is late: what is outstanding there is asked of others as well.
    pub fn hedge(&mut self, server: ServerIndex) {
        if self.servers[server] == Condition::Usable {
            self.servers[server] = Condition::Slow;
        }
    }

    /// Servers with an answer outstanding.
    #[must_use]
    pub fn awaited(&self) -> BTreeSet<ServerIndex> {
        self.outstanding().map(|(server, _)| server).collect()
    }

    /// What is acknowledged so far, shares held before included.
    #[must_use]
    pub fn holdings(&self) -> &Holdings {
        &self.stored
    }

    /// Whether every share is acknowledged by some server, and enough servers hold them.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.stored.distinct_shares() >= self.shares.len() && self.is_happy()
    }

    /// Whether what is acknowledged is enough to call the upload a success.
    #[must_use]
    pub fn is_happy(&self) -> bool {
        self.stored.happiness() >= self.happy
    }

    /// Whether `happy` could still be reached if every usable server took whatever it is asked.
    #[must_use]
    pub fn may_become_happy(&self) -> bool {
        self.may_spare(None)
    }

    /// Whether `happy` could still be reached if this server did nothing more.
    #[must_use]
    pub fn may_spare(&self, spared: impl Into<Option<ServerIndex>>) -> bool {
        let spared = spared.into();
        let mut possible = self.stored.clone();
        for (server, share) in self.outstanding() {
            if Some(server) != spared {
                possible.insert(server, share);
            }
        }
        for server in self.usable().filter(|&server| Some(server) != spared) {
            for index in 0..self.shares.len() {
                if !self.shares[index].tried.contains(&server) {
                    possible.insert(server, number(index));
                }
            }
        }
        possible.happiness() >= self.happy
    }

    fn ask(&mut self, share: ShareNumber, server: ServerIndex) -> Assignment {
        let entry = &mut self.shares[share.index()];
        entry.tried.insert(server);
        entry.asked.insert(server);
        Assignment { share, server }
    }

    fn settle(&mut self, assignment: Assignment) {
        let was_asked = self.shares[assignment.share.index()]
            .asked
            .remove(&assignment.server);
        assert!(was_asked, "an outcome is reported once per assignment");
    }

    fn usable(&self) -> impl Iterator<Item = ServerIndex> {
        (0..self.servers.len()).filter(|&server| self.servers[server] == Condition::Usable)
    }

    fn outstanding(&self) -> impl Iterator<Item = (ServerIndex, ShareNumber)> {
        self.shares.iter().enumerate().flat_map(|(index, share)| {
            let share_number = number(index);
            share
                .asked
                .iter()
                .map(move |&server| (server, share_number))
        })
    }

    /// What is acknowledged, and what is asked of servers that are expected to answer.
    fn expected(&self) -> Holdings {
        let mut expected = self.stored.clone();
        for (server, share) in self.outstanding() {
            if self.servers[server] == Condition::Usable {
                expected.insert(server, share);
            }
        }
        expected
    }

    fn least_loaded(&self, share: ShareNumber, expected: &Holdings) -> Option<ServerIndex> {
        self.usable()
            .filter(|server| !self.shares[share.index()].tried.contains(server))
            .min_by_key(|&server| (expected.of(server).count(), server))
    }

    /// A share that is stored, but where it adds nothing to happiness, and a server it would help.
    fn spread(&self, expected: &Holdings) -> Option<(ShareNumber, ServerIndex)> {
        let matching = expected.matching();
        let matched: BTreeSet<_> = matching.values().copied().collect();
        let idle = self
            .usable()
            .filter(|server| !matching.contains_key(server));
        idle.flat_map(|server| (0..self.shares.len()).map(move |index| (index, server)))
            .filter(|&(index, _)| !matched.contains(&number(index)))
            .find(|&(index, server)| !self.shares[index].tried.contains(&server))
            .map(|(index, server)| (number(index), server))
    }
}

fn number(index: usize) -> ShareNumber {
    ShareNumber::from_index(index).expect("PlacementPlan::new checked the number of shares")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(index: usize) -> ShareNumber {
        number(index)
    }

    fn pairs(assignments: &[Assignment]) -> Vec<(usize, ServerIndex)> {
        assignments
            .iter()
            .map(|assignment| (assignment.share.index(), assignment.server))
            .collect()
    }

    // A reader asks the first servers of the ring first, so that is where shares belong.
    #[test]
    fn shares_go_to_distinct_servers_in_ring_order() {
        let mut plan = PlacementPlan::new(12, 10, 7, Holdings::new());
        let expected: Vec<_> = (0..10).map(|index| (index, index)).collect();
        assert_eq!(pairs(&plan.assign()), expected);
        assert_eq!(plan.assign(), []);
    }

    #[test]
    fn fewer_servers_than_shares_are_dealt_shares_round_the_ring() {
        let mut plan = PlacementPlan::new(4, 10, 4, Holdings::new());
        let expected: Vec<_> = (0..10).map(|index| (index, index % 4)).collect();
        assert_eq!(pairs(&plan.assign()), expected);
    }

    #[test]
    fn a_refused_share_goes_to_the_next_server_without_one() {
        let mut plan = PlacementPlan::new(12, 10, 7, Holdings::new());
        let first = plan.assign();
        plan.refused(first[3]);
        plan.close(3);
        assert_eq!(pairs(&plan.assign()), [(3, 10)]);
    }

    // No server is asked twice for one share, so a plan ends even if every answer is a refusal.
    #[test]
    fn refusals_by_every_server_end_the_plan() {
        let mut plan = PlacementPlan::new(3, 5, 2, Holdings::new());
        let mut asked = 0;
        loop {
            let assignments = plan.assign();
            if assignments.is_empty() {
                break;
            }
            for assignment in assignments {
                asked += 1;
                plan.refused(assignment);
            }
        }
        assert_eq!(asked, 3 * 5);
        assert!(!plan.may_become_happy());
        assert_eq!(plan.awaited(), BTreeSet::new());
    }

    #[test]
    fn what_servers_hold_is_left_there_and_only_the_missing_is_asked() {
        let held = (0..9).map(|index| (index + 1, share(index))).collect();
        let mut plan = PlacementPlan::new(10, 10, 7, held);
        assert_eq!(pairs(&plan.assign()), [(9, 0)]);
    }

    // All ten shares on one server: its loss is the file's loss, so happiness asks for six more.
    #[test]
    fn shares_crowded_on_one_server_are_spread_until_the_upload_is_happy() {
        let held = (0..10).map(|index| (4, share(index))).collect();
        let mut plan = PlacementPlan::new(10, 10, 7, held);
        let assignments = plan.assign();
        assert_eq!(assignments.len(), 6);
        for assignment in assignments {
            assert_ne!(assignment.server, 4);
            plan.stored(assignment);
        }
        assert!(plan.is_complete());
        assert_eq!(plan.holdings().happiness(), 7);
        assert_eq!(plan.assign(), []);
    }

    // The late server may yet answer: then its copy counts, and nothing is asked a third time.
    #[test]
    fn a_late_server_is_hedged_and_still_counts_when_it_answers() {
        let mut plan = PlacementPlan::new(4, 3, 3, Holdings::new());
        let first = plan.assign();
        plan.stored(first[0]);
        plan.stored(first[2]);
        plan.hedge(1);
        assert_eq!(pairs(&plan.assign()), [(1, 3)]);
        assert_eq!(plan.awaited(), BTreeSet::from([1, 3]));
        plan.stored(first[1]);
        assert!(plan.is_complete());
    }

    #[test]
    fn with_every_other_server_gone_the_last_one_takes_all_and_makes_one_happy() {
        let mut plan = PlacementPlan::new(3, 3, 1, Holdings::new());
        for assignment in plan.assign() {
            if assignment.server == 2 {
                plan.stored(assignment);
            } else {
                plan.close(assignment.server);
                plan.refused(assignment);
            }
        }
        let rest = plan.assign();
        assert_eq!(pairs(&rest), [(0, 2), (1, 2)]);
        rest.into_iter()
            .for_each(|assignment| plan.stored(assignment));
        assert!(plan.is_complete());
        assert_eq!(plan.holdings().happiness(), 1);
    }

    #[test]
    fn a_grid_too_small_to_be_happy_is_known_before_anything_is_sent() {
        assert!(!PlacementPlan::new(6, 10, 7, Holdings::new()).may_become_happy());
        assert!(PlacementPlan::new(7, 10, 7, Holdings::new()).may_become_happy());
    }
}
