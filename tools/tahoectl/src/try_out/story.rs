//! What `tahoectl try` says: a story for a person, an object for each event for a program.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tools::Error;
use tools::local::{LocalGrid, Program};
use tools::upload::Phase;
use tools::wording::counted;

use super::{Connected, Returned, Sent};
use crate::object::Object;
use crate::report::Report;

pub(super) fn started(local: &LocalGrid, time: Duration, report: &Report) -> Result<(), Error> {
    let servers = local.nurls().len();
    let program = Program::find()?;
    if report.is_json() {
        let object = event("started")
            .with("servers", servers)
            .path("directory", local.path())
            .path("program", program.path())
            .with("seconds", time.as_secs_f64());
        return report.result("", &object);
    }
    let program = match &program {
        Program::Tahoed(path) => path.display().to_string(),
        Program::Ours(_) => "tahoed as built into this program".to_owned(),
    };
    report.note(&format!(
        "{} on 127.0.0.1, each a process of its own ({program}),\n\
         each with its own store in {} (started in {})",
        counted(servers, "server"),
        local.path().display(),
        duration(time)
    ));
    Ok(())
}

pub(super) fn connected(connected: &Connected, report: &Report) -> Result<(), Error> {
    let servers = connected.grid.servers().len();
    if report.is_json() {
        let object = event("connected")
            .with("servers", servers)
            .with("answering", connected.answering)
            .with("round_trips", connected.round_trips)
            .with("seconds", connected.time.as_secs_f64());
        return report.result("", &object);
    }
    report.note(&format!(
        "connected to {} of {servers} in {}, {} (TCP, TLS, a first question)",
        connected.answering,
        duration(connected.time),
        trips(connected.round_trips)
    ));
    Ok(())
}

pub(super) fn sent(sent: &Sent, report: &Report) -> Result<(), Error> {
    let uploaded = &sent.uploaded;
    report.note(&format!("\n{}, {} bytes", name(&sent.path), uploaded.size));
    let cap = uploaded.cap.to_string();
    let phases = uploaded.phases.iter();
    let seconds = phases
        .clone()
        .map(|(phase, time)| json!({ "phase": phase_name(*phase), "seconds": time.as_secs_f64() }));
    let object = event("uploaded")
        .path("file", &sent.path)
        .with("cap", &*cap)
        .with("size", uploaded.size)
        .with("shares", uploaded.shares.len())
        .with("happiness", uploaded.happiness)
        .with("round_trips", uploaded.round_trips)
        .with("seconds", sent.time.as_secs_f64())
        .with("phases", seconds.collect::<Vec<_>>());
    report.result(&cap, &object)?;
    if uploaded.shares.is_empty() {
        report.note("  the capability holds the file itself: no server is needed");
        return Ok(());
    }
    let phases: Vec<_> = phases
        .map(|(phase, time)| format!("{} {}", phase_name(*phase), duration(*time)))
        .collect();
    report.note(&format!(
        "  up    {}{}, {}: {}\n        {}, durable on {}",
        duration(sent.time),
        speed(uploaded.size, sent.time),
        trips(uploaded.round_trips),
        phases.join(", "),
        counted(uploaded.shares.len(), "share"),
        counted(uploaded.happiness, "server")
    ));
    Ok(())
}

/// Shows some of the paths under which one server keeps shares.
pub(super) fn layout(local: &LocalGrid, report: &Report) -> Result<(), Error> {
    let containers = local.layout(0, CONTAINERS_SHOWN);
    if report.is_json() {
        let containers: Vec<_> = containers
            .iter()
            .map(|(path, size)| json!({ "path": path.display().to_string(), "size": size }))
            .collect();
        return report.result("", &event("layout").with("containers", containers));
    }
    if containers.is_empty() {
        report.note("\nno server has anything to store");
        return Ok(());
    }
    report.note("\nthe store of one server:");
    for (path, size) in containers {
        report.note(&format!("  {}  ({size} bytes)", path.display()));
    }
    Ok(())
}

pub(super) fn memory(local: &LocalGrid, report: &Report) -> Result<(), Error> {
    let sizes = local.resident_sizes();
    let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) else {
        return Ok(());
    };
    if report.is_json() {
        let object = event("memory")
            .with("resident_least", *least)
            .with("resident_most", *most);
        return report.result("", &object);
    }
    report.note(&format!(
        "memory of a server now: {} to {} MiB resident",
        mebibytes(*least),
        mebibytes(*most)
    ));
    Ok(())
}

pub(super) fn stopped(
    local: &LocalGrid,
    count: usize,
    time: Duration,
    report: &Report,
) -> Result<(), Error> {
    let left = local.running().len();
    if report.is_json() {
        let object = event("stopped")
            .with("servers", count)
            .with("left", left)
            .with("seconds", time.as_secs_f64());
        return report.result("", &object);
    }
    report.note(&format!(
        "\n{} stopped in {}, {left} left",
        counted(count, "server"),
        duration(time)
    ));
    Ok(())
}

pub(super) fn returned(
    sent: &Sent,
    returned: &Returned,
    down: usize,
    report: &Report,
) -> Result<(), Error> {
    if report.is_json() {
        let object = event("downloaded")
            .path("file", &sent.path)
            .with("same", returned.is_same)
            .with("round_trips", returned.round_trips)
            .with("servers_down_asked", returned.down_asked)
            .with("servers_failed", returned.failed)
            .with("seconds", returned.time.as_secs_f64());
        return report.result("", &object);
    }
    let passed_over = passed_over(returned, down);
    let outcome = match returned.is_same {
        true => "the same bytes",
        false => "OTHER BYTES THAN WERE UPLOADED",
    };
    report.note(&format!(
        "\n{}\n  down  {}{}, {}{passed_over}\n        {outcome}",
        name(&sent.path),
        duration(returned.time),
        speed(sent.uploaded.size, returned.time),
        trips(returned.round_trips)
    ));
    Ok(())
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Key => "key",
        Phase::Ask => "ask",
        Phase::Encode => "encode",
        Phase::Stream => "encode and send",
        Phase::Acknowledge => "until durable",
    }
}

/// Only the servers that happened to be asked were in the way.
fn passed_over(returned: &Returned, down: usize) -> String {
    let mut text = match returned.down_asked {
        0 => String::new(),
        asked => format!(", past {asked} of the {down} that are down"),
    };
    if returned.failed > 0 {
        text += &format!(", past {} that failed", counted(returned.failed, "server"));
    }
    text
}

fn event(name: &str) -> Object {
    Object::new("try").with("event", name)
}

fn trips(count: u32) -> String {
    match count {
        0 => "no round trip".to_owned(),
        1 => "1 round trip".to_owned(),
        count => format!("{count} round trips"),
    }
}

fn duration(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}

/// Worth saying only where it is not all latency.
fn speed(size: u64, time: Duration) -> String {
    match u32::try_from(size >> 10) {
        Ok(kibibytes) if kibibytes >= 1024 => {
            let mebibytes = f64::from(kibibytes) / 1024.0;
            format!(" ({:.1} MiB/s)", mebibytes / time.as_secs_f64())
        }
        _ => String::new(),
    }
}

fn mebibytes(size: u64) -> String {
    let tenths = size * 10 / (1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

const CONTAINERS_SHOWN: usize = 4;
