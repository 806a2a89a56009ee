//! Which shares may go: the operator's rule about leases that have ended.
//!
//! The rule is Tahoe-LAFS's (`[storage] expire.*`), as its documents have it. A lease is taken for
//! made, or last renewed, [`LEASE_DURATION`] before its end. A share goes when it has leases and all of
//! them have ended; one that never had any stays, as with Tahoe. Leases that have ended stay in their
//! container beside those that have not: a client that comes back finds and renews its own.

use std::time::Duration;

use crate::container::LEASE_DURATION;
use crate::kind::ShareKind;

/// Which shares may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryRule {
    /// When a lease has ended.
    pub mode: ExpiryMode,
    /// Whether shares of buckets may go.
    pub immutable: bool,
    /// Whether shares of slots may go.
    pub mutable: bool,
}

/// When a lease has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryMode {
    /// When it is too old.
    Age {
        /// How long after it was made or last renewed; without it, when its own end has come.
        lasting: Option<Duration>,
    },
    /// When it was made or last renewed before this moment, in seconds since 1970.
    CutoffDate {
        /// The moment.
        unix: u64,
    },
}

/// What a rule says of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Shares of this kind stay.
    Exempt,
    /// It has no lease at all, and stays.
    NoLease,
    /// Some lease has not ended.
    Leased,
    /// All leases have ended.
    Expired,
}

impl ExpiryRule {
    /// Judges a share of this kind, of which these are the ends of all leases, at a moment.
    #[must_use]
    pub fn judge(
        &self,
        kind: ShareKind,
        ends: impl IntoIterator<Item = u32>,
        now_unix: u64,
    ) -> Judgement {
        let applies = match kind {
            ShareKind::Immutable => self.immutable,
            ShareKind::Mutable => self.mutable,
        };
        if !applies {
            return Judgement::Exempt;
        }
        let mut ends = ends.into_iter().peekable();
        if ends.peek().is_none() {
            return Judgement::NoLease;
        }
        match ends.all(|end| self.mode.has_ended(end, now_unix)) {
            true => Judgement::Expired,
            false => Judgement::Leased,
        }
    }
}

impl ExpiryMode {
    fn has_ended(&self, end: u32, now_unix: u64) -> bool {
        // What ends with the field's last second ends later than the field can say.
        if end == u32::MAX {
            return false;
        }
        let end = u64::from(end);
        let made = end.saturating_sub(LEASE_DURATION);
        match self {
            Self::Age { lasting: None } => end < now_unix,
            Self::Age {
                lasting: Some(lasting),
            } => now_unix.saturating_sub(made) > lasting.as_secs(),
            Self::CutoffDate { unix } => made < *unix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;
    const NOW: u64 = 1_700_000_000;

    fn rule(mode: ExpiryMode) -> ExpiryRule {
        ExpiryRule {
            mode,
            immutable: true,
            mutable: true,
        }
    }

    /// The end of a lease that was renewed so many days ago.
    fn renewed(days: u64) -> u32 {
        u32::try_from(NOW - days * DAY + LEASE_DURATION).unwrap()
    }

    fn judge(mode: ExpiryMode, ends: &[u32]) -> Judgement {
        rule(mode).judge(ShareKind::Mutable, ends.iter().copied(), NOW)
    }

    // Tahoe compares the age with the end, so that its mode without an override removes nothing.
    #[test]
    fn by_age_a_lease_ends_when_it_says_or_earlier_or_later_as_the_operator_says() {
        let own = ExpiryMode::Age { lasting: None };
        assert_eq!(
            judge(own, &[renewed(31)]),
            Judgement::Leased,
            "to the second"
        );
        assert_eq!(judge(own, &[renewed(31) - 1]), Judgement::Expired);
        let age = |days| ExpiryMode::Age {
            lasting: Some(Duration::from_secs(days * DAY)),
        };
        assert_eq!(judge(age(60), &[renewed(60)]), Judgement::Leased);
        assert_eq!(judge(age(60), &[renewed(60) - 1]), Judgement::Expired);
        assert_eq!(judge(age(1), &[renewed(2)]), Judgement::Expired);
    }

    #[test]
    fn by_date_a_lease_ends_that_was_renewed_before_it() {
        let unix = NOW - 10 * DAY;
        let date = ExpiryMode::CutoffDate { unix };
        assert_eq!(judge(date, &[renewed(10)]), Judgement::Leased);
        assert_eq!(judge(date, &[renewed(10) - 1]), Judgement::Expired);
    }

    #[test]
    fn one_lease_keeps_a_share_and_none_at_all_does_so_too() {
        let own = ExpiryMode::Age { lasting: None };
        let leases = [renewed(100), renewed(3), renewed(50)];
        assert_eq!(judge(own, &leases), Judgement::Leased);
        assert_eq!(judge(own, &[]), Judgement::NoLease);
    }

    #[test]
    fn a_kind_that_is_exempt_stays_whatever_its_leases() {
        let mut rule = rule(ExpiryMode::Age { lasting: None });
        rule.immutable = false;
        let judged = |kind| rule.judge(kind, [1], NOW);
        assert_eq!(judged(ShareKind::Immutable), Judgement::Exempt);
        assert_eq!(judged(ShareKind::Mutable), Judgement::Expired);
    }

    // Beyond 2106 no lease could be told from one that has ended.
    #[test]
    fn a_lease_that_ends_later_than_the_field_can_say_has_not_ended() {
        let own = rule(ExpiryMode::Age { lasting: None });
        let judged = |end, now| own.judge(ShareKind::Immutable, [end], now);
        assert_eq!(judged(u32::MAX, 1 << 33), Judgement::Leased);
        assert_eq!(judged(u32::MAX - 1, 1 << 33), Judgement::Expired);
        assert_eq!(judged(0, 0), Judgement::Leased);
    }
}
