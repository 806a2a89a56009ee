//! Servers of happiness: how many servers could each be the only one left holding a share of theirs.
//!
//! The size of a maximum matching between servers and shares. Ten shares on one server are worth
//! one, because that server's loss takes them all (reference: Tahoe file formats, section 4.2).

use std::collections::{BTreeMap, BTreeSet};

use lafs::ShareNumber;

/// A server, by its place in the list that the caller keeps.
pub type ServerIndex = usize;

/// Which servers hold, or have agreed to take, which shares of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings(BTreeMap<ServerIndex, BTreeSet<ShareNumber>>);

impl Holdings {
    /// Makes holdings without a share.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `server` holds `share`; false if it was known.
    pub fn insert(&mut self, server: ServerIndex, share: ShareNumber) -> bool {
        self.0.entry(server).or_default().insert(share)
    }

    /// Whether `server` holds `share`.
    #[must_use]
    pub fn contains(&self, server: ServerIndex, share: ShareNumber) -> bool {
        self.of(server).any(|held| held == share)
    }

    /// The shares that `server` holds.
    pub fn of(&self, server: ServerIndex) -> impl Iterator<Item = ShareNumber> {
        self.0.get(&server).into_iter().flatten().copied()
    }

    /// Every server with every share it holds.
    pub fn iter(&self) -> impl Iterator<Item = (ServerIndex, ShareNumber)> {
        self.0
            .iter()
            .flat_map(|(&server, shares)| shares.iter().map(move |&share| (server, share)))
    }

    /// The number of different shares held.
    #[must_use]
    pub fn distinct_shares(&self) -> usize {
        let shares: BTreeSet<_> = self.iter().map(|(_, share)| share).collect();
        shares.len()
    }

    /// The servers of happiness: the size of a maximum matching.
    #[must_use]
    pub fn happiness(&self) -> usize {
        self.matching().len()
    }

    /// Servers that hold more than one share, with what they hold: the loss of one takes them all.
    pub fn crowded(&self) -> impl Iterator<Item = (ServerIndex, Vec<ShareNumber>)> {
        self.0
            .iter()
            .filter(|(_, shares)| shares.len() > 1)
            .map(|(&server, shares)| (server, shares.iter().copied().collect()))
    }

    /// How many servers may be lost, whichever they are, with `needed` shares left; at least so many.
    ///
    /// A share that two servers hold is counted as lost with the first of them.
    #[must_use]
    pub fn losses_survived(&self, needed: usize) -> usize {
        let mut counts: Vec<_> = self.0.values().map(BTreeSet::len).collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        let Some(mut spare) = self.distinct_shares().checked_sub(needed) else {
            return 0;
        };
        let survived = counts.iter().take_while(|&&count| {
            let is_survived = count <= spare;
            spare = spare.saturating_sub(count);
            is_survived
        });
        survived.count()
    }

    /// A largest set of servers with a share of its own for each, found by augmenting paths.
    #[must_use]
    pub fn matching(&self) -> BTreeMap<ServerIndex, ShareNumber> {
        let mut keeper = BTreeMap::new();
        for &server in self.0.keys() {
            self.augment(server, &mut keeper, &mut BTreeSet::new());
        }
        keeper
            .into_iter()
            .map(|(share, server)| (server, share))
            .collect()
    }

    /// Finds a share for `server`, moving servers already seated where that frees one.
    ///
    /// Recursion is bounded by the 256 shares there can be: `visited` only grows.
    fn augment(
        &self,
        server: ServerIndex,
        keeper: &mut BTreeMap<ShareNumber, ServerIndex>,
        visited: &mut BTreeSet<ShareNumber>,
    ) -> bool {
        for share in self.of(server) {
            if !visited.insert(share) {
                continue;
            }
            let free = match keeper.get(&share) {
                None => true,
                Some(&seated) => self.augment(seated, keeper, visited),
            };
            if free {
                keeper.insert(share, server);
                return true;
            }
        }
        false
    }
}

impl FromIterator<(ServerIndex, ShareNumber)> for Holdings {
    fn from_iter<T: IntoIterator<Item = (ServerIndex, ShareNumber)>>(pairs: T) -> Self {
        let mut holdings = Self::new();
        holdings.extend(pairs);
        holdings
    }
}

impl Extend<(ServerIndex, ShareNumber)> for Holdings {
    fn extend<T: IntoIterator<Item = (ServerIndex, ShareNumber)>>(&mut self, pairs: T) {
        for (server, share) in pairs {
            self.insert(server, share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holdings(pairs: &[(ServerIndex, u8)]) -> Holdings {
        let pairs = pairs.iter();
        pairs
            .map(|&(server, share)| (server, ShareNumber::new(share)))
            .collect()
    }

    #[test]
    fn servers_with_several_shares_are_crowded() {
        let holdings = holdings(&[(0, 0), (1, 1), (1, 3), (2, 2)]);
        let crowded: Vec<_> = holdings.crowded().collect();
        let shares = vec![ShareNumber::new(1), ShareNumber::new(3)];
        assert_eq!(crowded, [(1, shares)]);
    }

    #[test]
    fn the_losses_that_are_survived_are_those_of_the_fullest_servers() {
        let one_each: Vec<_> = (0..10).map(|share| (usize::from(share), share)).collect();
        assert_eq!(holdings(&one_each).losses_survived(3), 7);
        assert_eq!(holdings(&one_each).losses_survived(10), 0);
        assert_eq!(holdings(&one_each).losses_survived(11), 0);
        let all_on_one: Vec<_> = (0..10).map(|share| (0, share)).collect();
        assert_eq!(holdings(&all_on_one).losses_survived(3), 0);
        let three_servers: Vec<_> = (0..10)
            .map(|share| (usize::from(share % 3), share))
            .collect();
        assert_eq!(holdings(&three_servers).losses_survived(3), 2);
        assert_eq!(holdings(&three_servers).losses_survived(4), 1);
        // Either copy would do: what is promised may be less than what is true.
        assert_eq!(holdings(&[(0, 0), (1, 0)]).losses_survived(1), 0);
    }
}
