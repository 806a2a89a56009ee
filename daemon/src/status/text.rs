//! A status as people read it.

use std::fmt;

use protocol::control::{Amount, Expiry, Kinds, Pass, Scrub, State, Status};

use crate::config::{Date, Span};
use crate::printable::Printable;

/// A status, to be printed on a terminal.
#[derive(Clone, Copy, Debug)]
pub struct StatusText<'a> {
    status: &'a Status,
    /// Seconds since 1970.
    now: u64,
}

impl<'a> StatusText<'a> {
    /// Makes text of a status, as it reads at that time in seconds since 1970.
    #[must_use]
    pub fn new(status: &'a Status, now: u64) -> Self {
        Self { status, now }
    }
}

impl fmt::Display for StatusText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, now } = *self;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, text: &dyn fmt::Display| {
            writeln!(f, "{name:<12} {text}")
        };
        row(f, "state", &state(status, now))?;
        row(f, "store", &store(status))?;
        row(f, "space", &space(status))?;
        row(f, "shares", &shares(status))?;
        row(f, "leases", &leases(status))?;
        row(f, "journal", &journal(status))?;
        row(f, "durability", &Printable::new(&status.store.durability))?;
        if let Some(engine) = &status.engine {
            let direct = if engine.direct {
                ", past the page cache"
            } else {
                ""
            };
            let engine = format!("{}{direct}", Printable::new(&engine.name));
            row(f, "engine", &engine)?;
        }
        if let Some(connections) = status.connections {
            let text = format!(
                "{} of {}; {} on their way to the disk",
                connections.now,
                connections.most,
                Size(connections.bytes_in_flight)
            );
            row(f, "connections", &text)?;
        }
        row(f, "scrub", &scrub(&status.scrub, now))?;
        for finding in &status.scrub.findings {
            let what = Printable::new(&finding.what);
            let (bucket, number) = (&finding.storage_index, finding.share_number);
            let bucket = Printable::new(bucket);
            row(f, "", &format!("damaged: {bucket}/{number}: {what}"))?;
        }
        row(f, "expiry", &expiry(&status.expiry, now))?;
        if let Some(work) = &status.work {
            let percent = work.millionths / 10_000;
            let text = format!("{}, {percent} % of the store done", work.task.name());
            row(f, "at work", &text)?;
        }
        Ok(())
    }
}

fn state(status: &Status, now: u64) -> String {
    let program = Printable::new(&status.program);
    match (status.state, status.process, status.since) {
        (State::Running, Some(process), Some(since)) => {
            let ago = Ago(now.saturating_sub(since));
            let since = Time(since);
            format!("running: {program}, process {process}, since {since} ({ago})")
        }
        (State::Running, ..) => format!("running: {program}"),
        (State::Stopped, ..) => "stopped".to_owned(),
    }
}

fn store(status: &Status) -> String {
    let store = &status.store;
    let path = Printable::new(&store.path);
    let mut text = format!("{path}, {}", Printable::new(&store.layout));
    if let Some(from) = &store.migrating_from {
        text += &format!(" (being moved there from {})", Printable::new(from));
    }
    if let Some(identifier) = &store.identifier {
        text += &format!(", identifier {}", Printable::new(identifier));
    }
    if store.read_only {
        text += ", takes no new shares";
    }
    if store.failed {
        text += ", WRITES NOTHING: a failure of the disk; the log says which";
    }
    text
}

fn space(status: &Status) -> String {
    let space = &status.space;
    let mut text = format!("{} of {} free", Size(space.free), Size(space.size));
    text += &format!("; uploads may use {}", Size(space.available));
    text += &format!(" ({} stay free", Size(space.reserved));
    if space.promised > 0 {
        text += &format!(", {} are promised", Size(space.promised));
    }
    if let Some(most) = space.size_max {
        text += &format!(", all shares together at most {}", Size(most));
    }
    text + ")"
}

fn shares(status: &Status) -> String {
    match (&status.shares, status.state) {
        (Some(shares), _) => kinds(shares),
        (None, State::Running) => "not counted yet".to_owned(),
        (None, State::Stopped) => "a running server knows".to_owned(),
    }
}

fn kinds(kinds: &Kinds) -> String {
    let of = |amount: &Amount, kind: &str| {
        let (shares, bytes) = (amount.shares, Size(amount.bytes));
        format!("{shares} {kind} ({bytes})")
    };
    let immutable = of(&kinds.immutable, "immutable");
    format!("{immutable}, {}", of(&kinds.mutable, "mutable"))
}

fn leases(status: &Status) -> String {
    match status.leases {
        Some(seen) => format!(
            "{} on {} shares; {} shares whose leases have ended, {} without a lease; seen until {}",
            seen.leases,
            seen.shares_live.saturating_add(seen.shares_ended),
            seen.shares_ended,
            seen.shares_unleased,
            Time(seen.seen)
        ),
        None => "no walk has seen all of them yet".to_owned(),
    }
}

fn journal(status: &Status) -> String {
    let (journal, store) = (&status.journal, &status.store);
    let mut text = Size(journal.size).to_string();
    if status.state == State::Running {
        text += &format!(
            "; since the start {} records in {} batches, {} replayed",
            journal.records, journal.batches, journal.replayed
        );
        text += &format!("; {} shares wait for their place", store.pending);
        if store.unplaced > 0 {
            text += &format!(", {} OF THEM FOR ROOM ON THE DISK", store.unplaced);
        }
    }
    text
}

fn scrub(scrub: &Scrub, now: u64) -> String {
    let often = match scrub.every {
        Some(every) => format!("every {}", Span::seconds(every)),
        None => "only when asked for".to_owned(),
    };
    let damaged = match scrub.damaged {
        0 => "no damaged share is known".to_owned(),
        1 => "1 DAMAGED SHARE".to_owned(),
        many => format!("{many} DAMAGED SHARES"),
    };
    let passes = passes(scrub.current.as_ref(), scrub.last.as_ref(), scrub.next, now);
    format!("{often}; {damaged}; {passes}")
}

fn expiry(expiry: &Expiry, now: u64) -> String {
    if !expiry.enabled {
        return "off".to_owned();
    }
    let rule = expiry.rule.as_deref().unwrap_or("by no rule");
    let mut text = format!("removes {}", Printable::new(rule));
    if let Some(every) = expiry.every {
        text += &format!(", every {}", Span::seconds(every));
    }
    if expiry.last.is_some() {
        let did = match expiry.was_dry_run {
            true => "would have removed",
            false => "removed",
        };
        text += &format!("; the last pass {did} {}", kinds(&expiry.removed));
    }
    let passes = passes(
        expiry.current.as_ref(),
        expiry.last.as_ref(),
        expiry.next,
        now,
    );
    format!("{text}; {passes}")
}

fn passes(current: Option<&Pass>, last: Option<&Pass>, next: Option<u64>, now: u64) -> String {
    let mut text = match last.and_then(|last| last.ended) {
        Some(ended) => format!("ended {}", Time(ended)),
        None => "never ended yet".to_owned(),
    };
    if let Some(current) = current {
        text += &format!(
            "; {} shares ({}) of a pass that began {}",
            current.shares,
            Size(current.bytes),
            Time(current.began)
        );
    }
    match next {
        Some(next) if next > now => text + &format!("; next {}", Time(next)),
        _ => text,
    }
}

/// A time of seconds since 1970, in UTC.
pub(crate) struct Time(pub(crate) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, second) = (Date::of(self.0), self.0 % 86_400);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(f, "{date} {hour:02}:{minute:02} UTC")
    }
}

/// A span of seconds, in its largest unit.
struct Ago(u64);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
        let fits = units.iter().find(|(seconds, _)| self.0 >= *seconds);
        let (seconds, unit) = fits.unwrap_or(&(1, "s"));
        write!(f, "{} {unit}", self.0 / seconds)
    }
}

/// A number of bytes, in the units that disks are sold in.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
        // In tenths, so that no fraction is needed.
        let (mut tenths, mut unit) = (u128::from(self.0) * 10, "B");
        for next in units {
            if tenths < 10_000 {
                break;
            }
            (tenths, unit) = (tenths / 1000, next);
        }
        match unit {
            "B" => write!(f, "{} B", self.0),
            unit => write!(f, "{}.{} {unit}", tenths / 10, tenths % 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_950, "1.9 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(Time(951_782_460).to_string(), "2000-02-29 00:01 UTC");
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (7300, "2 h"), (200_000, "2 d")] {
            assert_eq!(Ago(seconds).to_string(), text);
        }
    }
}
