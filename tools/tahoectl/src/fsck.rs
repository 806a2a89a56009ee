//! `tahoectl fsck`.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tools::fsck::{
    Budget, Deep, Finding, Observer, Options, Outcome, Prover, Repair, Repairs, Stop as StopCheck,
    Summary,
};
use tools::wording::printable;
use tools::{Error, Exit};

use crate::arguments::Fsck;
use crate::object::Object;
use crate::report::Report;
use crate::signals::Stop;

pub(crate) fn run(options: &Fsck, report: &Report) -> Result<Exit, Error> {
    let stop = StopCheck::default();
    let stopping = stop.clone();
    Stop::listen()
        .and_then(|signals| signals.tell(move || stopping.stop()))
        .map_err(Error::Runtime)?;
    let mut printer = Printer {
        report,
        bar: bar(report),
        result: Ok(()),
    };
    let checked = tools::fsck::run(
        &options.store,
        &Options {
            repairs: match (options.repair, options.dry_run) {
                (_, true) => Repairs::Plan,
                (true, false) => Repairs::Make,
                (false, false) => Repairs::None,
            },
            foreign: options.foreign,
            budget: Budget {
                operations_per_second: options.rate,
                bytes_per_second: options.bytes_rate,
            },
            threads: options.threads.map_or(THREADS, usize::from),
            deep: options.deep.then_some(&Prover as &dyn Deep),
            cursor: options.cursor.clone(),
            stop,
        },
        &mut printer,
    );
    let result = printer.end();
    let summary = checked?;
    result?;
    report.result(said(&summary), &object(&summary))?;
    if summary.is_cancelled && options.cursor.is_some() {
        report.note("ended before the end; the same command goes on from there");
    }
    Ok(Exit::Fsck(summary.code()))
}

/// Prints what is found, and how far the check is.
struct Printer<'a> {
    report: &'a Report,
    bar: Option<ProgressBar>,
    /// Of printing.
    result: Result<(), Error>,
}

impl Printer<'_> {
    fn end(self) -> Result<(), Error> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.result
    }
}

impl Observer for Printer<'_> {
    fn found(&mut self, finding: &Finding, outcome: &Outcome) -> ControlFlow<()> {
        let print = || {
            let object = finding_object(finding, outcome);
            self.report.result(line(finding, outcome), &object)
        };
        self.result = match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        };
        match self.result.is_err() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn progress(&mut self, summary: &Summary) {
        if let Some(bar) = &self.bar {
            bar.set_position(summary.thousandths().into());
            let found = summary.notices + summary.disorders + summary.damages;
            bar.set_message(format!(
                "{} buckets, {} of shares, {} findings",
                HumanCount(summary.buckets),
                BinaryBytes(summary.bytes),
                HumanCount(found)
            ));
        }
    }
}

fn bar(report: &Report) -> Option<ProgressBar> {
    if !report.is_chatty() || !io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(4));
    let style = ProgressStyle::with_template("checking, {percent}%, {msg}, {eta} left");
    bar.set_style(style.expect("the template is sound"));
    bar.enable_steady_tick(Duration::from_millis(500));
    Some(bar)
}

/// A finding, for a person: two lines.
fn line(finding: &Finding, outcome: &Outcome) -> String {
    let Finding {
        at,
        kind,
        expected,
        found,
        ..
    } = finding;
    let what = match outcome {
        Outcome::Left => match finding.repair {
            Repair::Quarantine | Repair::PutInPlace | Repair::RemoveEmpty | Repair::Open => {
                format!("repair: {}", finding.repair.name())
            }
            Repair::Renewal => "goes with the next renewal".to_owned(),
            Repair::ByHand => "to be put right by hand".to_owned(),
        },
        Outcome::Planned => format!("would be repaired: {}", finding.repair.name()),
        Outcome::Corrected { to: Some(to) } => format!("moved to {to}"),
        Outcome::Corrected { to: None } => "removed".to_owned(),
        Outcome::Refused { reason } => format!("not repaired: {reason}"),
    };
    let severity = kind.severity().name();
    let line = format!(
        "{severity:<8} {:<16} {}\n{:25} {found}; expected {expected}; {what}",
        kind.name(),
        at.display(),
        ""
    );
    printable(&line)
}

fn finding_object(finding: &Finding, outcome: &Outcome) -> Object {
    let object = Object::new("finding")
        .path("path", &finding.at)
        .with("kind", finding.kind.name())
        .with("severity", finding.kind.severity().name())
        .with("expected", finding.expected.as_str())
        .with("found", finding.found.as_str())
        .with("repair", finding.repair.name());
    let object = match finding.share {
        Some(share) => object
            .with("storage_index", share.storage_index.to_string())
            .with("share", share.share_number.as_u8()),
        None => object,
    };
    match outcome {
        Outcome::Left => object.with("outcome", "left"),
        Outcome::Planned => object.with("outcome", "planned"),
        Outcome::Corrected { to } => object
            .with("outcome", "corrected")
            .with("to", to.as_deref()),
        Outcome::Refused { reason } => object
            .with("outcome", "refused")
            .with("reason", reason.as_str()),
    }
}

fn said(summary: &Summary) -> String {
    let Summary {
        buckets,
        immutable,
        mutable,
        bytes,
        notices,
        disorders,
        damages,
        corrected,
        left,
        ..
    } = summary;
    let end = match summary.is_cancelled {
        true => "; ended before the end",
        false => "",
    };
    format!(
        "{} buckets, {} immutable and {} mutable shares of {}; damage {damages}, disorder \
         {disorders}, notices {notices}; corrected {corrected}, errors left {left}{end}",
        HumanCount(*buckets),
        HumanCount(*immutable),
        HumanCount(*mutable),
        BinaryBytes(*bytes),
    )
}

fn object(summary: &Summary) -> Object {
    Object::new("fsck")
        .with("buckets", summary.buckets)
        .with("immutable", summary.immutable)
        .with("mutable", summary.mutable)
        .with("bytes", summary.bytes)
        .with("damages", summary.damages)
        .with("disorders", summary.disorders)
        .with("notices", summary.notices)
        .with("corrected", summary.corrected)
        .with("left", summary.left)
        .with("notices_left", summary.notices_left)
        .with("last", summary.last.map(|last| last.to_string()))
        .with("cancelled", summary.is_cancelled)
        .with("exit", summary.code())
}

/// Threads that read, unless said otherwise.
const THREADS: usize = 4;
