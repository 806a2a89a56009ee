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
