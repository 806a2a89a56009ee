//! The plan of one upload: which share is asked of which server, as answers come in.
//!
//! Shares go to distinct servers in ring order, then round the ring again if there are more shares
//! than servers. A share that was refused or lost goes to another server. What servers hold already
//! stays there, unless too few servers hold it all to reach `happy`. The intended algorithm of
//! Tahoe-LAFS (reference: Tahoe file formats, section 4.4), made incremental.

use std::collections::BTreeSet;

use lafs::ShareNumber;

use super::goal::Goal;
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
/// report. Servers are counted along the permuted ring.
#[derive(Debug)]
pub struct PlacementPlan {
    goal: Goal,
    servers: Vec<Condition>,
    shares: Vec<Share>,
    /// Acknowledged, now or before this upload.
    stored: Holdings,
}

/// Whether more shares go to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Usable,
    /// Has not answered for long: it is asked last, its answers still count.
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
    /// Plans the shares of one file over `servers` servers, of which some hold shares already.
    ///
    /// # Panics
    ///
    /// If there are more shares than share numbers; encoding parameters rule that out.
    #[must_use]
    pub fn new(servers: usize, goal: Goal, held: Holdings) -> Self {
        assert!(
            goal.total <= ShareNumber::COUNT,
            "a file has at most 256 shares"
        );
        let mut shares: Vec<Share> = (0..goal.total).map(|_| Share::default()).collect();
        for (server, share) in held.iter() {
            if let Some(share) = shares.get_mut(share.index()) {
                share.tried.insert(server);
            }
        }
        Self {
            goal,
            servers: vec![Condition::Usable; servers],
            shares,
            stored: held,
        }
    }

    /// Says what to ask now; each assignment is handed out once and counts as outstanding.
    ///
    /// Slow servers are asked only where the others are not enough.
    pub fn assign(&mut self) -> Vec<Assignment> {
        let mut assignments = self.assign_to_usable();
        if !self.goal.is_met(&self.expected()) && self.recall_idle() {
            assignments.extend(self.assign_to_usable());
        }
        assignments
    }

    fn assign_to_usable(&mut self) -> Vec<Assignment> {
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
        while expected.happiness() < self.goal.happy {
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
        self.goal.is_met_in_full(&self.stored)
    }

    /// Whether what is acknowledged is enough to call the upload a success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.goal.is_met(&self.stored)
    }

    /// Whether what is acknowledged, and these as well, would be enough.
    #[must_use]
    pub fn would_succeed_with(&self, assignments: impl Iterator<Item = Assignment>) -> bool {
        let mut holdings = self.stored.clone();
        holdings.extend(assignments.map(|assignment| (assignment.server, assignment.share)));
        self.goal.is_met(&holdings)
    }

    /// Whether this could still be a success if every server that is left took whatever it is asked.
    #[must_use]
    pub fn may_succeed(&self) -> bool {
        self.may_succeed_with(|_| true)
    }

    /// Whether this could still be a success if this server did nothing more, nor those that are
    /// slow and asked for nothing.
    #[must_use]
    pub fn may_spare(&self, spared: ServerIndex) -> bool {
        let awaited = self.awaited();
        self.may_succeed_with(|server| {
            server != spared
                && (self.servers[server] != Condition::Slow || awaited.contains(&server))
        })
    }

    fn may_succeed_with(&self, counts: impl Fn(ServerIndex) -> bool) -> bool {
        let mut possible = self.stored.clone();
        possible.extend(self.outstanding().filter(|&(server, _)| counts(server)));
        let left = (0..self.servers.len())
            .filter(|&server| self.servers[server] != Condition::Closed && counts(server));
        for server in left {
            for index in 0..self.shares.len() {
                if !self.shares[index].tried.contains(&server) {
                    possible.insert(server, number(index));
                }
            }
        }
        self.goal.is_met(&possible)
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

    /// Makes slow servers usable of which nothing is outstanding; false if there are none.
    fn recall_idle(&mut self) -> bool {
        let awaited = self.awaited();
        let mut is_any = false;
        for (server, condition) in self.servers.iter_mut().enumerate() {
            if *condition == Condition::Slow && !awaited.contains(&server) {
                *condition = Condition::Usable;
                is_any = true;
            }
        }
        is_any
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

    /// Every share holds the whole file, so that only servers can be too few.
    fn goal(total: usize, happy: usize) -> Goal {
        Goal {
            total,
            needed: 1,
            happy,
        }
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
        let mut plan = PlacementPlan::new(12, goal(10, 7), Holdings::new());
        let expected: Vec<_> = (0..10).map(|index| (index, index)).collect();
        assert_eq!(pairs(&plan.assign()), expected);
        assert_eq!(plan.assign(), []);
    }

    #[test]
    fn fewer_servers_than_shares_are_dealt_shares_round_the_ring() {
        let mut plan = PlacementPlan::new(4, goal(10, 4), Holdings::new());
        let expected: Vec<_> = (0..10).map(|index| (index, index % 4)).collect();
        assert_eq!(pairs(&plan.assign()), expected);
    }

    #[test]
    fn a_refused_share_goes_to_the_next_server_without_one() {
        let mut plan = PlacementPlan::new(12, goal(10, 7), Holdings::new());
        let first = plan.assign();
        plan.refused(first[3]);
        plan.close(3);
        assert_eq!(pairs(&plan.assign()), [(3, 10)]);
    }

    // No server is asked twice for one share, so a plan ends even if every answer is a refusal.
    #[test]
    fn refusals_by_every_server_end_the_plan() {
        let mut plan = PlacementPlan::new(3, goal(5, 2), Holdings::new());
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
        assert!(!plan.may_succeed());
        assert_eq!(plan.awaited(), BTreeSet::new());
    }

    #[test]
    fn what_servers_hold_is_left_there_and_only_the_missing_is_asked() {
        let held = (0..9).map(|index| (index + 1, share(index))).collect();
        let mut plan = PlacementPlan::new(10, goal(10, 7), held);
        assert_eq!(pairs(&plan.assign()), [(9, 0)]);
    }

    // All ten shares on one server: its loss is the file's loss, so happiness asks for six more.
    #[test]
    fn shares_crowded_on_one_server_are_spread_until_the_upload_is_happy() {
        let held = (0..10).map(|index| (4, share(index))).collect();
        let mut plan = PlacementPlan::new(10, goal(10, 7), held);
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
        let mut plan = PlacementPlan::new(4, goal(3, 3), Holdings::new());
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
        let mut plan = PlacementPlan::new(3, goal(3, 1), Holdings::new());
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
        assert!(!PlacementPlan::new(6, goal(10, 7), Holdings::new()).may_succeed());
        assert!(PlacementPlan::new(7, goal(10, 7), Holdings::new()).may_succeed());
    }

    /// Three of four shares are needed, and one server is enough.
    const FEW_SERVERS: Goal = Goal {
        total: 4,
        needed: 3,
        happy: 1,
    };

    // One server of happiness was a success, with two shares of a file that needs three.
    #[test]
    fn enough_servers_with_too_few_different_shares_are_no_success() {
        let mut plan = PlacementPlan::new(2, FEW_SERVERS, Holdings::new());
        let first = plan.assign();
        assert_eq!(pairs(&first), [(0, 0), (1, 1), (2, 0), (3, 1)]);
        plan.stored(first[0]);
        plan.stored(first[1]);
        assert!(!plan.is_success());
        assert!(plan.may_succeed());
        assert!(!plan.would_succeed_with([].into_iter()));
        assert!(plan.would_succeed_with([first[2]].into_iter()));
        for full in [2, 3] {
            plan.close(first[full].server);
            plan.refused(first[full]);
        }
        assert_eq!(plan.assign(), []);
        assert_eq!(plan.holdings().happiness(), 2);
        assert!(!plan.is_success());
        assert!(!plan.may_succeed(), "nothing more is waited for");
    }

    // The same share twice is no second share.
    #[test]
    fn copies_of_one_share_do_not_make_up_for_another() {
        let held = (0..3).map(|server| (server, share(0))).collect();
        let mut plan = PlacementPlan::new(3, FEW_SERVERS, held);
        let rest = plan.assign();
        assert_eq!(pairs(&rest), [(1, 0), (2, 1), (3, 2)]);
        plan.stored(rest[0]);
        assert!(!plan.is_success());
        plan.stored(rest[2]);
        assert!(plan.is_success());
        assert!(!plan.is_complete());
    }

    // Its shares are needed, though as a server it is not.
    #[test]
    fn a_server_is_not_spared_while_its_shares_are_needed() {
        let mut plan = PlacementPlan::new(2, FEW_SERVERS, Holdings::new());
        let first = plan.assign();
        assert!(plan.may_spare(1));
        plan.freeze();
        assert!(!plan.may_spare(1), "the other one is asked for two shares");
        plan.stored(first[0]);
        plan.stored(first[2]);
        assert!(plan.may_succeed());
        assert!(!plan.may_spare(1));
        plan.refused(first[1]);
        assert!(plan.may_succeed());
        plan.refused(first[3]);
        assert!(!plan.may_succeed());
    }

    // Its last upload found it late; now the punctual server has no room, and it was not asked.
    #[test]
    fn a_slow_server_is_asked_when_the_others_are_not_enough() {
        let mut plan = PlacementPlan::new(2, FEW_SERVERS, Holdings::new());
        assert!(plan.may_spare(1));
        plan.hedge(1);
        let first = plan.assign();
        assert_eq!(pairs(&first), [(0, 0), (1, 0), (2, 0), (3, 0)]);
        plan.stored(first[0]);
        plan.stored(first[1]);
        plan.close(0);
        plan.refused(first[2]);
        assert!(plan.may_succeed());
        assert_eq!(pairs(&plan.assign()), [(2, 1), (3, 1)]);
    }

    /// Draws numbers from a seed.
    struct Draw(blake3::OutputReader);

    impl Draw {
        fn new(seed: u64) -> Self {
            let mut hasher = blake3::Hasher::new();
            Self(hasher.update(&seed.to_le_bytes()).finalize_xof())
        }

        fn below(&mut self, bound: usize) -> usize {
            let mut bytes = [0; 2];
            self.0.fill(&mut bytes);
            usize::from(u16::from_le_bytes(bytes)) % bound
        }
    }

    // Whatever the numbers and whatever is answered: success is never said of what cannot be read,
    // and no upload is given up as hopeless that would have been one.
    #[test]
    fn no_course_of_an_upload_is_a_success_with_fewer_different_shares_than_are_needed() {
        let mut unreadable_with_enough_servers = 0;
        for seed in 0..4000 {
            let mut draw = Draw::new(seed);
            let total = 1 + draw.below(10);
            let goal = Goal {
                total,
                needed: 1 + draw.below(total),
                happy: 1 + draw.below(total),
            };
            let servers = 1 + draw.below(8);
            // What is acknowledged, counted apart from the plan.
            let mut acknowledged = Holdings::new();
            for _ in 0..draw.below(3) {
                acknowledged.insert(draw.below(servers), share(draw.below(total)));
            }
            let mut plan = PlacementPlan::new(servers, goal, acknowledged.clone());
            let loss = 1 + draw.below(8);
            let mut asked = Vec::new();
            let mut was_hopeless = false;
            for _ in 0..1000 {
                asked.extend(plan.assign());
                if asked.is_empty() {
                    break;
                }
                let assignment = asked.swap_remove(draw.below(asked.len()));
                match draw.below(loss + 4) {
                    0 => plan.close(assignment.server),
                    1 => plan.hedge(assignment.server),
                    2 if draw.below(8) == 0 => plan.freeze(),
                    _ => {}
                }
                if draw.below(loss + 1) == 0 {
                    plan.stored(assignment);
                    acknowledged.insert(assignment.server, assignment.share);
                } else {
                    plan.refused(assignment);
                }
                let different: BTreeSet<_> = acknowledged.iter().map(|(_, share)| share).collect();
                let is_readable = different.len() >= goal.needed;
                let is_safe = acknowledged.happiness() >= goal.happy;
                let is_success = plan.is_success();
                assert_eq!(is_success, is_readable && is_safe, "seed {seed}: {goal:?}");
                assert!(is_success || !plan.is_complete(), "seed {seed}: {goal:?}");
                assert!(!(was_hopeless && is_success), "seed {seed}: {goal:?}");
                was_hopeless |= !plan.may_succeed();
                unreadable_with_enough_servers += usize::from(is_safe && !is_readable);
            }
            assert!(asked.is_empty(), "seed {seed}: {goal:?}");
            let is_readable = acknowledged.distinct_shares() >= goal.needed;
            let is_exhausted = is_readable || !plan.may_succeed();
            assert!(
                is_exhausted,
                "seed {seed}: {goal:?}: a server was not asked"
            );
        }
        // Else this has not been where the difference is.
        assert!(unreadable_with_enough_servers > 1000);
    }
}
