//! What an upload must reach to count as a success.

use super::happiness::Holdings;

/// How many shares there are, and how many of what are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Shares made.
    pub total: usize,
    /// Different shares that bring the file back.
    pub needed: usize,
    /// Servers of happiness wanted.
    pub happy: usize,
}

impl Goal {
    /// Whether this is a success: the file can be read, and outlives the loss of servers as wanted.
    ///
    /// Neither follows from the other. One server may hold every share, and with `happy` below
    /// `needed` enough servers may hold too few shares to read the file.
    #[must_use]
    pub fn is_met(self, holdings: &Holdings) -> bool {
        holdings.distinct_shares() >= self.needed && holdings.happiness() >= self.happy
    }

    /// Whether this is a success, and every share is somewhere.
    #[must_use]
    pub fn is_met_in_full(self, holdings: &Holdings) -> bool {
        holdings.distinct_shares() >= self.total && self.is_met(holdings)
    }
}
