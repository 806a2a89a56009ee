//! `tahoectl migrate`.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tools::migrate::{LAYOUTS, check, migrate, survey};
use tools::{Error, Exit};

use crate::arguments::Migrate;
use crate::object::Object;
use crate::report::Report;
use crate::signals::Stop;

pub(crate) async fn run(options: Migrate, report: &Report, stop: Stop) -> Result<Exit, Error> {
    let mut layouts = LAYOUTS.iter();
    let to = layouts.find(|(name, _)| *name == options.to);
    let (name, to) = *to.expect("the command line takes no other name");
    let found = survey(&options.store, to)?;
    let from = found.layouts.from.filter(|from| *from != to);
    let from = from.unwrap_or(found.layouts.layout);
    let object = Object::new("migrate")
        .path("store", &options.store)
        .with("from", from.name())
        .with("to", name)
        .with("dry_run", options.dry_run)
        .with("buckets", found.buckets)
        .with("in_place", found.in_place)
        .with("taken", found.taken)
        .with("fullest", found.fullest)
        .with("limit", found.limit)
        .with("file_system", found.file_system.clone());
    let is_there = found.layouts.layout == to && found.layouts.from.is_none();
    if is_there {
        let text = format!("the store is {name} already");
        report.result(text, &object.with("moved", 0_u64))?;
        return Ok(Exit::Done);
    }
    check(&found)?;
    let buckets = found.buckets;
    if options.dry_run {
        let text = format!("{buckets} buckets would be moved from {from} to {name}");
        report.result(text, &object.with("moved", 0_u64))?;
        return Ok(Exit::Done);
    }
    let bar = bar(report, buckets);
    let moved = migrate(&options.store, to, options.rate, |progress| {
        if let Some(bar) = &bar {
            bar.set_position(progress.moved);
        }
        !stop.is_wanted()
    });
    let moved = moved.await;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let moved = moved?.moved;
    let text = format!("{moved} buckets were moved; the store is {name} now");
    report.result(text, &object.with("moved", moved))?;
    Ok(Exit::Done)
}

/// A line of how far it is, where somebody sees it.
fn bar(report: &Report, buckets: u64) -> Option<ProgressBar> {
    if !report.is_chatty() || !io::stderr().is_terminal() {
        return None;
    }
    let style =
        ProgressStyle::with_template("moving: {human_pos} of {human_len} buckets, {per_sec}")
            .expect("the template is well formed");
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(Some(buckets), target).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    Some(bar)
}
