//! `tahoectl store`.

use std::fmt::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use indicatif::{BinaryBytes, HumanCount};
use serde_json::{Value, json};
use tools::stats::{AGES, KindStats, LeaseState, SIZES, Stats, StopLook, Sum};
use tools::{Error, Exit};

use crate::arguments::Store;
use crate::object::Object;
use crate::report::Report;

pub(crate) fn run(command: &Store, report: &Report) -> Result<Exit, Error> {
    let Store::Stats { store } = command;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_unix = now.map_or(0, |now| now.as_secs());
    let stats = Stats::gather(store, now_unix, &StopLook::default())?;
    report.result(text(&stats).trim_end(), &object(store, &stats))?;
    Ok(Exit::Done)
}

fn text(stats: &Stats) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("a string takes it");
    line(format!("buckets and slots  {}", HumanCount(stats.buckets)));
    for (name, kind) in kinds(stats) {
        line(format!("{name} shares"));
        line(row("all", kind.files));
        line(format!(
            "  {:<20} {} of shares, {} on the disk, {} leases",
            "",
            BinaryBytes(kind.share_bytes),
            BinaryBytes(kind.disk_bytes),
            HumanCount(kind.leases)
        ));
        let sizes = bounds(&SIZES, |size| BinaryBytes(size).to_string());
        let ages = bounds(&AGES, |days| format!("{days} days"));
        let leases = LeaseState::ALL.map(|state| state.sentence().to_owned());
        let tables = [
            (sizes, &kind.by_size[..]),
            (ages, &kind.by_age[..]),
            (leases.to_vec(), &kind.by_lease[..]),
        ];
        for (names, sums) in tables {
            let filled = names.iter().zip(sums).filter(|(_, sum)| sum.shares > 0);
            filled.for_each(|(name, sum)| line(row(name, *sum)));
        }
    }
    if stats.unsound.shares > 0 || stats.findings > 0 {
        line(row("damaged shares", stats.unsound));
        line(format!(
            "findings           {}; `tahoectl fsck` names them",
            HumanCount(stats.findings)
        ));
    }
    text
}

fn kinds(stats: &Stats) -> [(&'static str, &KindStats); 2] {
    [("immutable", &stats.immutable), ("mutable", &stats.mutable)]
}

fn row(name: &str, sum: Sum) -> String {
    let (shares, bytes) = (HumanCount(sum.shares), BinaryBytes(sum.bytes));
    format!("  {name:<20} {shares:>13}  {bytes:>11}")
}

/// The names of classes: up to each bound, and beyond the last.
fn bounds(bounds: &[u64], print: impl Fn(u64) -> String) -> Vec<String> {
    let up_to = bounds.iter().map(|bound| format!("to {}", print(*bound)));
    let beyond = bounds.last().map(|bound| format!("over {}", print(*bound)));
    up_to.chain(beyond).collect()
}

fn object(store: &Path, stats: &Stats) -> Object {
    let mut object = Object::new("store_stats")
        .path("store", store)
        .with("buckets", stats.buckets);
    for (name, kind) in kinds(stats) {
        object = object.with(name, of_kind(kind));
    }
    object
        .with("damaged", sum(&stats.unsound))
        .with("findings", stats.findings)
}

fn of_kind(kind: &KindStats) -> Value {
    let classes = |key: &str, bounds: &[u64], sums: &[Sum]| -> Vec<Value> {
        let bounds = bounds.iter().map(|bound| json!(bound)).chain([Value::Null]);
        let class = |(bound, of): (Value, &Sum)| {
            let mut class = sum(of);
            class[key] = bound;
            class
        };
        bounds.zip(sums).map(class).collect()
    };
    let states = LeaseState::ALL.iter().zip(&kind.by_lease);
    let leases: serde_json::Map<_, _> = states
        .map(|(state, of)| (state.name().to_owned(), sum(of)))
        .collect();
    json!({
        "shares": kind.files.shares,
        "bytes": kind.files.bytes,
        "share_bytes": kind.share_bytes,
        "disk_bytes": kind.disk_bytes,
        "leases": kind.leases,
        "by_size": classes("size_max", &SIZES, &kind.by_size),
        "by_age": classes("days_max", &AGES, &kind.by_age),
        "by_lease": leases,
    })
}

fn sum(of: &Sum) -> Value {
    json!({ "shares": of.shares, "bytes": of.bytes })
}
