//! What is held against whom, and what all of it has in common.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::failure::{Failure, Trouble};

/// What is held against whom: for each server the most telling of its failures.
pub(super) struct Blame<'a>(BTreeMap<&'a Arc<str>, &'a Failure>);

impl<'a> Blame<'a> {
    pub(super) fn new(failures: &'a [Failure]) -> Self {
        let mut by_server: BTreeMap<_, &Failure> = BTreeMap::new();
        for failure in failures {
            let told = by_server.entry(&failure.server).or_insert(failure);
            if failure.error.trouble() >= told.error.trouble() {
                *told = failure;
            }
        }
        Self(by_server)
    }

    fn troubles(&self) -> impl Iterator<Item = Trouble> {
        self.0.values().map(|failure| failure.error.trouble())
    }

    pub(super) fn has(&self, trouble: Trouble) -> bool {
        self.troubles().any(|other| other == trouble)
    }

    pub(super) fn is_only(&self, troubles: &[Trouble]) -> bool {
        self.troubles().all(|trouble| troubles.contains(&trouble))
    }

    /// The trouble that all of them have.
    pub(super) fn only_trouble(&self) -> Option<Trouble> {
        let first = self.troubles().next()?;
        self.is_only(&[first]).then_some(first)
    }

    /// The trouble that all of them have but those with this one.
    pub(super) fn only_trouble_besides(&self, ignored: Trouble) -> Option<Trouble> {
        let first = self.troubles().find(|trouble| *trouble != ignored)?;
        self.is_only(&[first, ignored]).then_some(first)
    }
}

impl fmt::Display for Blame<'_> {
    /// A line for each reason, with all servers that it is said of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_reason: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for (server, failure) in &self.0 {
            let reason = (failure.error.trouble(), failure.error.to_string());
            by_reason.entry(reason).or_default().push(server);
        }
        by_reason
            .iter()
            .rev()
            .try_for_each(|((_, reason), servers)| {
                write!(f, "\n  {}: {reason}", servers.join(", "))
            })
    }
}
