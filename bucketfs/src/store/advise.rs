//! Reports that a share is corrupt: logged, and kept as Tahoe keeps them, for the operator to read.
//!
//! ```text
//! corruption-advisories/<time>--<storage index>-<share>
//! ```
//!
//! Anybody may report anything, so there are not more than [`Limits::ADVISORIES`] of these files,
//! they come no faster than one in [`INTERVAL`] beyond a burst, and none is written that there is no
//! space for. Whoever reports is thanked all the same: the log has it.

use std::time::Duration;

use bytes::Bytes;
use lafs::num;

use super::space::cost;
use super::{AdvisedKind, Answer, Flight as StoreFlight, Limits, RequestId, Store, is_held};
use crate::disk::{Completion, Existing, Operation, Outcome, StorePath};
use crate::error::Refusal;
use crate::layout::{ADVISORIES, ShareKey};

/// How many reports there are, and how many may follow now.
#[derive(Debug)]
pub(super) struct Advisories {
    /// Not known before the first report.
    files: Option<usize>,
    burst: u32,
    /// Up to when `burst` was reckoned.
    reckoned: Duration,
}

/// A report on its way.
#[derive(Debug)]
pub(super) struct Advice {
    request: RequestId,
    key: ShareKey,
    kind: AdvisedKind,
    reason: String,
}

#[derive(Debug)]
pub(super) enum Flight {
    /// Whether the share is held.
    Probe(Advice),
    /// How many reports there are.
    Count(Advice),
    /// The report is being written, for which so much space was promised.
    File(RequestId, u64),
}

impl Store {
    pub(super) fn advise(
        &mut self,
        request: RequestId,
        key: ShareKey,
        kind: AdvisedKind,
        reason: String,
    ) {
        if reason.len() > Limits::REASON_LEN {
            let limit = num::size(Limits::REASON_LEN);
            return self.refuse(request, Refusal::TooLarge { limit });
        }
        let advice = Advice {
            request,
            key,
            kind,
            reason,
        };
        let flight = Flight::Probe(advice);
        let operation = self.probe(key);
        self.start(StoreFlight::Advise(flight), operation);
    }

    pub(super) fn advise_completed(&mut self, flight: Flight, completion: &Completion) {
        match flight {
            Flight::Probe(advice) => match is_held(completion) {
                Ok(true) => self.advised(advice),
                Ok(false) => self.refuse(advice.request, Refusal::NoShare),
                Err(error) => self.refuse(advice.request, Refusal::Disk(error)),
            },
            Flight::Count(advice) => {
                self.advisories.files = match &completion.result {
                    Ok(Outcome::Listed(entries)) => Some(entries.len()),
                    Err(error) if error.errno == rustix::io::Errno::NOENT => Some(0),
                    // Too many to list, or nobody knows.
                    _ => None,
                };
                self.write_advice(&advice);
            }
            Flight::File(request, promised) => {
                match &completion.result {
                    Ok(_) => self.space.keep(promised),
                    Err(error) => {
                        self.space.cancel(promised);
                        tracing::warn!(%error, "cannot keep a report of a corrupt share");
                    }
                }
                self.answer(request, Answer::Advised);
            }
        }
    }

    fn advised(&mut self, advice: Advice) {
        if !self.advisories.may_write(self.now.elapsed) || self.write_refusal().is_some() {
            return self.answer(advice.request, Answer::Advised);
        }
        let known = self.advisories.files;
        if known.is_some_and(|files| files < Limits::ADVISORIES) {
            return self.write_advice(&advice);
        }
        // The operator may have removed some.
        let path = StorePath::new(ADVISORIES);
        let flight = Flight::Count(advice);
        self.start(StoreFlight::Advise(flight), Operation::List { path });
    }

    fn write_advice(&mut self, advice: &Advice) {
        let text = advice.text();
        let promised = cost(num::size(text.len()));
        let has_place = match &mut self.advisories.files {
            Some(files) if *files < Limits::ADVISORIES => {
                *files += 1;
                true
            }
            _ => false,
        };
        if !has_place || !self.space.promise(promised) {
            return self.answer(advice.request, Answer::Advised);
        }
        let time = time(self.now.unix, self.now.elapsed.subsec_micros());
        let ShareKey {
            storage_index,
            share,
        } = advice.key;
        let operation = Operation::CreateFile {
            path: StorePath::new(&format!("{ADVISORIES}/{time}--{storage_index}-{share}")),
            bytes: Bytes::from(text),
            existing: Existing::Refuse,
            unless: None,
        };
        let flight = Flight::File(advice.request, promised);
        self.start(StoreFlight::Advise(flight), operation);
    }
}

impl Advisories {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            files: None,
            burst: BURST,
            reckoned: now,
        }
    }

    /// Whether it is not too soon for another file.
    fn may_write(&mut self, now: Duration) -> bool {
        let intervals = now.saturating_sub(self.reckoned).as_secs() / INTERVAL.as_secs();
        let more = u32::try_from(intervals).unwrap_or(u32::MAX);
        self.burst = self.burst.saturating_add(more).min(BURST);
        self.reckoned += INTERVAL * more.min(BURST);
        if self.burst == BURST {
            self.reckoned = now;
        }
        let may = self.burst > 0;
        self.burst = self.burst.saturating_sub(1);
        may
    }
}

impl Advice {
    /// The report, as Tahoe writes it.
    fn text(&self) -> String {
        let Self {
            key, kind, reason, ..
        } = self;
        let (storage_index, share, kind) = (key.storage_index, key.share, kind.name());
        format!(
            "report: Share Corruption\ntype: {kind}\nstorage_index: {storage_index}\n\
             share_number: {share}\n\n{reason}\n\n"
        )
    }
}

impl AdvisedKind {
    fn name(self) -> &'static str {
        match self {
            Self::Immutable => "immutable",
            Self::Mutable => "mutable",
        }
    }
}

/// A time as Tahoe has it in names: ISO 8601 without colons.
///
/// The store's clock has whole seconds. The digits behind them only tell reports apart.
fn time(unix: u64, micros: u32) -> String {
    let (mut days, second) = (unix / 86_400, unix % 86_400);
    let mut year = 1970;
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    loop {
        let len = 365 + u64::from(is_leap(year));
        if days < len || year == YEAR_MAX {
            break;
        }
        days -= len;
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for len in months {
        if days < len || month == 12 {
            break;
        }
        days -= len;
        month += 1;
    }
    let day = days.min(30) + 1;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}{minute:02}{second:02}.{micros:06}")
}

/// Where a clock that is absurdly wrong ends.
const YEAR_MAX: u64 = 9999;

/// Reports that may come at once: all the shares of some files.
const BURST: u32 = 32;

/// After a burst, one report is kept in each of these.
const INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix, expected) in [
            (0, "1970-01-01T000000.000007"),
            (951_782_399, "2000-02-28T235959.000007"),
            (951_782_400, "2000-02-29T000000.000007"),
            (1_795_330_643, "2026-11-22T065723.000007"),
            (1_798_761_599, "2026-12-31T235959.000007"),
            (4_107_542_400, "2100-03-01T000000.000007"),
            (u64::MAX, "9999-12-31T070015.000007"),
        ] {
            assert_eq!(time(unix, 7), expected);
        }
    }
}
