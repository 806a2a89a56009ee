//! The check of a whole store on this machine: look, plan, do.
//!
//! Looking is [`bucketfs::view`], beside a daemon or without one. What is to be done about a finding
//! is asked of the store, which this process opens for that: so it happens under its locks and its
//! journal. This library prints nothing; whoever watches is told of every finding, and what came of it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bucketfs::view::{Seen, View, Walk};
use bucketfs::{Found, Mending, OpenError, ShareKind, StoreId, look};
use lafs::StorageIndex;

mod cursor;
mod daemon;
mod deep;
mod error;
mod mender;

pub use bucketfs::view::{Budget, Deep, Finding, Kind, Repair, Severity, Stop};
pub use deep::Prover;
pub use error::FsckError;

use cursor::Cursor;
use mender::Mender;

/// What to do about what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repairs {
    /// Nothing.
    None,
    /// Say what would be done.
    Plan,
    /// Do it.
    Make,
}

/// How to check.
pub struct Options<'a> {
    /// What to do about what is found.
    pub repairs: Repairs,
    /// Whether names that are nobody's are moved too.
    pub foreign: bool,
    /// How fast.
    pub budget: Budget,
    /// How many threads read.
    pub threads: usize,
    /// Checks the bytes of the shares.
    pub deep: Option<&'a dyn Deep>,
    /// Keeps the place: where it is there, the check goes on behind it; it goes when all is checked.
    pub cursor: Option<PathBuf>,
    /// Ends the check from outside.
    pub stop: Stop,
}

/// What came of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is only told.
    Left,
    /// This would be done.
    Planned,
    /// It was done; where it is now, if it is anywhere else.
    Corrected {
        /// A path below the store directory.
        to: Option<String>,
    },
    /// It was to be done and was not.
    Refused {
        /// Why.
        reason: String,
    },
}

/// What was seen and done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Buckets and slots.
    pub buckets: u64,
    /// Immutable shares whose containers are sound.
    pub immutable: u64,
    /// Mutable ones.
    pub mutable: u64,
    /// Bytes of these shares.
    pub bytes: u64,
    /// Findings that are of no harm.
    pub notices: u64,
    /// Findings from which harm may come.
    pub disorders: u64,
    /// Findings of harm.
    pub damages: u64,
    /// How many of all findings were corrected.
    pub corrected: u64,
    /// How many are left, notices not counted.
    pub left: u64,
    /// How many notices are left.
    pub notices_left: u64,
    /// The last bucket that is done.
    pub last: Option<StorageIndex>,
    /// The check was ended before its end.
    pub is_cancelled: bool,
}

impl Summary {
    /// The exit code of fsck(8).
    #[must_use]
    pub fn code(&self) -> u8 {
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        bit(self.corrected > 0, CORRECTED)
            | bit(self.left > 0, UNCORRECTED)
            | bit(self.is_cancelled, CANCELLED)
    }

    /// How much of the store is done, in thousandths: names are evenly spread.
    #[must_use]
    pub fn thousandths(&self) -> u16 {
        let Some(last) = self.last else {
            return 0;
        };
        // By the order of the text, in which digits come first.
        let digit = |byte: u8| match byte {
            b'2'..=b'7' => u32::from(byte - b'2'),
            _ => u32::from(byte.saturating_sub(b'a')) + 6,
        };
        let [first, second, third, ..] = last.text();
        let place = (digit(first) * 32 + digit(second)) * 32 + digit(third);
        u16::try_from(place * 1000 / (32 * 32 * 32)).unwrap_or(1000)
    }

    fn count(&mut self, finding: &Finding, outcome: &Outcome) {
        let severity = finding.kind.severity();
        *match severity {
            Severity::Notice => &mut self.notices,
            Severity::Disorder => &mut self.disorders,
            Severity::Damage => &mut self.damages,
        } += 1;
        match (outcome, severity) {
            (Outcome::Corrected { .. }, _) => self.corrected += 1,
            (_, Severity::Notice) => self.notices_left += 1,
            _ => self.left += 1,
        }
    }
}

/// Watches a check.
pub trait Observer {
    /// Something was found, and this came of it.
    fn found(&mut self, finding: &Finding, outcome: &Outcome) -> ControlFlow<()>;

    /// The check has come this far.
    fn progress(&mut self, summary: &Summary);
}

/// Checks a store.
///
/// # Errors
///
/// [`FsckError`] if the store cannot be looked at, or not be opened for repairs. What was found before
/// was told.
pub fn run(
    store: &Path,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Summary, FsckError> {
    let view = View::open(store).map_err(|error| FsckError::look(store, error))?;
    let id = match look(store) {
        Ok(Found::Store(id)) => id,
        // A finding of its own.
        Ok(_) | Err(OpenError::MalformedIdentifier { .. }) => None,
        Err(error) => return Err(FsckError::look(store, error)),
    };
    let is_in_use = view.is_in_use().map_err(|source| FsckError::Lock {
        path: store.to_owned(),
        source,
    })?;
    let daemon = match is_in_use && options.repairs == Repairs::Make {
        true => Some(Mender::daemon(store)?),
        false => None,
    };
    let cursor = options.cursor.as_deref();
    let cursor = cursor.map(|path| Cursor::open(path, id)).transpose()?;
    let check = Check {
        options,
        observer,
        summary: Summary::default(),
        mender: daemon,
        is_over: false,
    };
    check.run(&view, is_in_use, cursor)
}

/// A check under way.
struct Check<'a, 'o> {
    options: &'a Options<'o>,
    observer: &'a mut dyn Observer,
    summary: Summary,
    mender: Option<Mender>,
    /// The observer has had enough.
    is_over: bool,
}

impl Check<'_, '_> {
    fn run(
        mut self,
        view: &View,
        is_in_use: bool,
        mut cursor: Option<Cursor>,
    ) -> Result<Summary, FsckError> {
        self.summary.last = cursor.as_ref().and_then(Cursor::after);
        let frame = view.check_frame(is_in_use);
        if self.options.repairs == Repairs::Make && self.mender.is_none() {
            match Mender::open(view.path()) {
                Ok(mender) => self.mender = Some(mender),
                Err(error) => {
                    // Perhaps for one of these reasons.
                    for finding in &frame {
                        self.tell(finding, &Outcome::Left);
                    }
                    return Err(error);
                }
            }
        }
        for finding in &frame {
            self.found(finding);
        }
        let walk = Walk {
            after: self.summary.last,
            budget: self.options.budget,
            threads: self.options.threads,
            deep: self.options.deep,
            stop: self.options.stop.clone(),
            ..Walk::default()
        };
        let mut failed = Ok(());
        let _ = view.walk(&walk, |seen| {
            self.seen(&seen);
            failed = match (&mut cursor, self.summary.last) {
                (Some(cursor), Some(last)) => cursor.advance(last),
                _ => Ok(()),
            };
            match failed.is_err() || self.is_over {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        if let Some(mender) = self.mender.take() {
            mender.close();
        }
        failed?;
        self.summary.is_cancelled = self.is_over || self.options.stop.is_stopped();
        match cursor {
            Some(cursor) if self.summary.is_cancelled => cursor.keep()?,
            Some(cursor) => cursor.finish()?,
            None => {}
        }
        self.observer.progress(&self.summary);
        Ok(self.summary)
    }

    fn seen(&mut self, seen: &Seen) {
        for finding in seen.findings() {
            self.found(finding);
        }
        if let Seen::Bucket(bucket) = seen {
            self.summary.buckets += 1;
            for share in &bucket.shares {
                *match share.kind {
                    ShareKind::Immutable => &mut self.summary.immutable,
                    ShareKind::Mutable => &mut self.summary.mutable,
                } += 1;
                self.summary.bytes = self.summary.bytes.saturating_add(share.size);
            }
            self.summary.last = Some(bucket.storage_index);
        }
        self.observer.progress(&self.summary);
    }

    fn found(&mut self, finding: &Finding) {
        let outcome = match (self.options.repairs, self.plan(finding)) {
            (Repairs::None, _) | (_, Planned::Nothing) => Outcome::Left,
            (Repairs::Plan, _) => Outcome::Planned,
            // It was, before this was told.
            (Repairs::Make, Planned::ByOpening) => Outcome::Corrected { to: None },
            (Repairs::Make, Planned::Mend(how)) => self.mend(finding, how),
        };
        self.tell(finding, &outcome);
    }

    fn plan(&self, finding: &Finding) -> Planned {
        match finding.repair {
            Repair::Quarantine if finding.kind == Kind::ForeignName && !self.options.foreign => {
                Planned::Nothing
            }
            Repair::Quarantine => Planned::Mend(Mending::Quarantine),
            Repair::PutInPlace => Planned::Mend(Mending::PutInPlace),
            Repair::RemoveEmpty => Planned::Mend(Mending::RemoveEmpty),
            Repair::Open => Planned::ByOpening,
            Repair::Renewal | Repair::ByHand => Planned::Nothing,
        }
    }

    fn mend(&mut self, finding: &Finding, how: Mending) -> Outcome {
        let Some(mender) = &mut self.mender else {
            return Outcome::Left;
        };
        let Some(path) = finding.path() else {
            let reason = "its name is no text; move it by hand".to_owned();
            return Outcome::Refused { reason };
        };
        match mender.mend(path, how) {
            Ok(to) => Outcome::Corrected { to },
            Err(reason) => Outcome::Refused { reason },
        }
    }

    fn tell(&mut self, finding: &Finding, outcome: &Outcome) {
        self.summary.count(finding, outcome);
        self.is_over |= self.observer.found(finding, outcome).is_break();
    }
}

/// What is to be done about a finding.
enum Planned {
    Nothing,
    ByOpening,
    Mend(Mending),
}

/// As it is printed.
fn printed(id: Option<StoreId>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

/// Errors were corrected.
pub const CORRECTED: u8 = 1;
/// Errors are left.
pub const UNCORRECTED: u8 = 4;
/// The check could not be made.
pub const OPERATIONAL: u8 = 8;
/// The command line makes no sense.
pub const USAGE: u8 = 16;
/// The check was ended before its end.
pub const CANCELLED: u8 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_check_is_follows_from_the_last_name() {
        let at = |text: &str| {
            let summary = Summary {
                last: text.parse().ok(),
                ..Summary::default()
            };
            summary.thousandths()
        };
        assert_eq!(at("22222222222222222222222224"), 0);
        assert_eq!(at("77222222222222222222222224"), 161);
        assert_eq!(at("aaaaaaaaaaaaaaaaaaaaaaaaaa"), 193);
        assert_eq!(at("zzzzzzzzzzzzzzzzzzzzzzzzz4"), 999);
    }

    #[test]
    fn the_code_tells_what_was_corrected_and_what_is_left() {
        let code = |corrected, left, is_cancelled| {
            let summary = Summary {
                corrected,
                left,
                is_cancelled,
                notices_left: 1,
                ..Summary::default()
            };
            summary.code()
        };
        assert_eq!(code(0, 0, false), 0, "a notice is no error");
        assert_eq!(code(2, 0, false), 1);
        assert_eq!(code(0, 3, false), 4);
        assert_eq!(code(2, 3, true), 37);
    }
}
