//! Reports that a share is corrupt: logged, and kept as Tahoe keeps them, for the operator to read.
//!
//! ```text
//! corruption-advisories/<time>--<storage index>-<share>
//! ```
//!
//! Anybody may report anything, so there are not more than [`limits::ADVISORIES`] of these files,
//! they come no faster than one in [`INTERVAL`] beyond a burst, and none is written that there is no
//! space for. Whoever reports is thanked all the same: the log has it.

use std::time::Duration;

use bytes::Bytes;
use lafs::num;
use rustix::io::Errno;
use slab::Slab;

use super::context::{Context, Machinery, is_held};
use super::event::{Machine, Waiter};
use super::reply::Asker;
use super::space::cost;
use crate::disk::{Completion, Existing, Operation, Outcome, StorePath};
use crate::kind::ShareKind;
use crate::layout::{self, ShareKey};
use crate::limits;
use crate::refusal::AdviseRefusal;
use crate::request::Advise;

/// How many reports there are, and how many may follow now.
#[derive(Debug)]
pub(super) struct Advisories {
    /// Not known before the first report.
    files: Option<usize>,
    burst: u32,
    /// Up to when `burst` was reckoned.
    reckoned: Duration,
    /// Reports that wait for the disk.
    steps: Slab<Step>,
}

/// A report on its way.
#[derive(Debug)]
struct Advice {
    asker: Asker<Advise>,
    key: ShareKey,
    kind: ShareKind,
    reason: String,
}

#[derive(Debug)]
enum Step {
    /// Whether the share is held.
    Probe(Advice),
    /// How many reports there are.
    Count(Advice),
    /// The report is being written, for which so much space was promised.
    File(Asker<Advise>, u64),
}

impl Advisories {
    pub(super) fn advise(&mut self, cx: &mut Context, asker: Asker<Advise>, advise: Advise) {
        let Advise { key, kind, reason } = advise;
        if reason.len() > limits::REASON_LEN {
            let limit = num::size(limits::REASON_LEN);
            return cx.refuse(asker, AdviseRefusal::TooLarge { limit });
        }
        let advice = Advice {
            asker,
            key,
            kind,
            reason,
        };
        if cx.pending(key).is_some() {
            return self.advised(cx, advice);
        }
        let operation = cx.probe(key);
        self.start(cx, Step::Probe(advice), operation);
    }

    fn advised(&mut self, cx: &mut Context, advice: Advice) {
        if !self.may_write(cx.elapsed()) || cx.has_failed() {
            return cx.tell(advice.asker, ());
        }
        if self.files.is_some_and(|files| files < limits::ADVISORIES) {
            return self.write(cx, advice);
        }
        // The operator may have removed some.
        let path = StorePath::new(layout::ADVISORIES);
        self.start(cx, Step::Count(advice), Operation::List { path });
    }

    fn write(&mut self, cx: &mut Context, advice: Advice) {
        let text = advice.text();
        let promised = cost(num::size(text.len()));
        let has_place = match &mut self.files {
            Some(files) if *files < limits::ADVISORIES => {
                *files += 1;
                true
            }
            _ => false,
        };
        if !has_place || !cx.promise(promised) {
            return cx.tell(advice.asker, ());
        }
        let time = time(cx.unix(), cx.elapsed().subsec_micros());
        let operation = Operation::CreateFile {
            path: layout::advisory(&time, advice.key),
            bytes: Bytes::from(text),
            existing: Existing::Refuse,
            unless: None,
        };
        self.start(cx, Step::File(advice.asker, promised), operation);
    }

    fn start(&mut self, cx: &mut Context, step: Step, operation: Operation) {
        let index = self.steps.insert(step);
        let machine = Machine::Advise;
        cx.start(Waiter { machine, index }, operation);
    }
}

impl Machinery for Advisories {
    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        match self.steps.remove(index) {
            Step::Probe(advice) => match is_held(&completion) {
                Ok(true) => self.advised(cx, advice),
                Ok(false) => cx.refuse(advice.asker, AdviseRefusal::NoShare),
                Err(error) => cx.refuse(advice.asker, error),
            },
            Step::Count(advice) => {
                self.files = match &completion.result {
                    Ok(Outcome::Listed(entries)) => Some(entries.len()),
                    Err(error) if error.errno == Errno::NOENT => Some(0),
                    // Too many to list, or nobody knows.
                    _ => None,
                };
                self.write(cx, advice);
            }
            Step::File(asker, promised) => {
                match &completion.result {
                    Ok(_) => cx.keep(promised),
                    Err(error) => {
                        cx.cancel(promised);
                        tracing::warn!(%error, "cannot keep a report of a corrupt share");
                    }
                }
                cx.tell(asker, ());
            }
        }
    }
}

impl Advisories {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            files: None,
            burst: BURST,
            reckoned: now,
            steps: Slab::new(),
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
        let (storage_index, share_number) = (key.storage_index, key.share_number);
        let kind = kind.name();
        format!(
            "report: Share Corruption\ntype: {kind}\nstorage_index: {storage_index}\n\
             share_number: {share_number}\n\n{reason}\n\n"
        )
    }
}

/// A time as Tahoe has it in names: ISO 8601 without colons.
///
/// The store's clock has whole seconds. The digits behind them only tell reports apart.
pub(super) fn time(unix: u64, micros: u32) -> String {
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
