//! What of a store is not buckets: its identifier, its journal, and what is in incoming.

use super::View;
use super::finding::{Finding, Kind, Repair, path_of};
use super::pace::Stop;
use super::{incoming, journal};
use crate::error::OpenError;
use crate::identifier::look;
use crate::layout::IDENTIFIER;

impl View {
    /// Looks at what is beside the buckets, and says what is wrong with it.
    ///
    /// While the store is open, its journal and incoming are at work: then only that is told which no
    /// work explains. `is_in_use` is what [`View::is_in_use`] said.
    #[must_use]
    pub fn check_frame(&self, is_in_use: bool) -> Vec<Finding> {
        let mut findings: Vec<_> = self.identifier().into_iter().collect();
        if is_in_use {
            findings.extend(self.headers());
            findings.extend(incoming::check(self, None));
        } else {
            let journal = journal::check(self);
            findings.extend(journal.findings);
            findings.extend(incoming::check(self, Some(&journal.serials)));
        }
        findings
    }

    fn identifier(&self) -> Option<Finding> {
        match look(self.path()) {
            Err(OpenError::MalformedIdentifier { .. }) => Some(Finding {
                at: path_of(IDENTIFIER.as_bytes()),
                share: None,
                kind: Kind::Identifier,
                expected: "a store's identifier".to_owned(),
                found: "a file that holds none".to_owned(),
                repair: Repair::ByHand,
            }),
            // What else is missing keeps the view from being opened, or is found where it should be.
            _ => None,
        }
    }

    /// A header may be half written at one moment, and is whole at the next.
    fn headers(&self) -> Vec<Finding> {
        let first = journal::check_headers(self);
        if first.is_empty() {
            return first;
        }
        let pace = super::pace::Pace::new(super::Budget::default(), Stop::default());
        pace.pause(super::walk::PAUSE);
        let second = journal::check_headers(self);
        second
            .into_iter()
            .filter(|finding| first.contains(finding))
            .collect()
    }
}
