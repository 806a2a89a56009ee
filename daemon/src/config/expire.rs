//! What `[expire]` says: which shares are removed.

use std::fmt;

use super::{Date, Span};

/// Removing shares whose leases have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expire {
    /// Do it.
    pub enabled: bool,
    /// Only say what would be removed.
    pub dry_run: bool,
    /// When a lease has ended.
    pub mode: ExpireMode,
    /// Of buckets.
    pub immutable: bool,
    /// Of slots.
    pub mutable: bool,
    /// How often.
    pub every: Span,
}

/// When a lease has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireMode {
    /// At the end that it names, or so long after it was last renewed.
    Age {
        /// So long.
        override_lease_duration: Option<Span>,
    },
    /// If it was last renewed before this day.
    CutoffDate(Date),
}

impl Default for Expire {
    fn default() -> Self {
        Self {
            enabled: false,
            dry_run: false,
            mode: ExpireMode::Age {
                override_lease_duration: None,
            },
            immutable: true,
            mutable: true,
            every: Span::days(1),
        }
    }
}

impl fmt::Display for Expire {
    /// For people, in a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.enabled {
            return f.write_str("off");
        }
        let of = match (self.immutable, self.mutable) {
            (true, true) => "shares",
            (true, false) => "immutable shares",
            (false, true) => "mutable shares",
            (false, false) => "no shares",
        };
        let mode = match self.mode {
            ExpireMode::Age {
                override_lease_duration: None,
            } => "whose leases have ended".to_owned(),
            ExpireMode::Age {
                override_lease_duration: Some(span),
            } => format!("whose leases were not renewed for {span}"),
            ExpireMode::CutoffDate(date) => format!("whose leases were not renewed since {date}"),
        };
        let dry = if self.dry_run { " (dry run)" } else { "" };
        write!(f, "{of} {mode}{dry}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_said_in_words() {
        let mut expire = Expire::default();
        assert_eq!(expire.to_string(), "off");
        expire.enabled = true;
        assert_eq!(expire.to_string(), "shares whose leases have ended");
        expire.mutable = false;
        expire.dry_run = true;
        expire.mode = ExpireMode::Age {
            override_lease_duration: Some(Span::days(60)),
        };
        let expected = "immutable shares whose leases were not renewed for 60 days (dry run)";
        assert_eq!(expire.to_string(), expected);
        (expire.immutable, expire.mutable) = (false, true);
        expire.mode = ExpireMode::CutoffDate("2026-01-31".parse().unwrap());
        let expected = "mutable shares whose leases were not renewed since 2026-01-31 (dry run)";
        assert_eq!(expire.to_string(), expected);
    }
}
