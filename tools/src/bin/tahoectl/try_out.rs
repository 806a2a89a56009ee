//! `tahoectl try`: the whole way there and back, on this machine, in front of one's eyes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lafs::ConvergenceSecret;
use lafs::nurl::Nurl;
use serde_json::json;
use tokio::time::Instant;
use tools::download::{Span, download};
use tools::error::LocalGridError;
use tools::grid::{Grid, Patience};
use tools::home::Encoding;
use tools::local_grid::LocalGrid;
use tools::output::Target;
use tools::upload::{Options, Phase, Source, Uploaded, Uploader};
use tools::{Error, Exit};

use crate::arguments::Try;
use crate::progress::Progress;
use crate::report::Report;

/// Uploaded when no file is named.
const README: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));

const SERVERS: usize = 10;
const STOPPED: usize = 7;

pub(crate) async fn run(options: Try, report: &Report) -> Result<Exit, Error> {
    let directory = tempfile::Builder::new()
        .prefix("tahoectl-try.")
        .tempdir()
        .map_err(|source| file_error(&std::env::temp_dir(), source))?;
    let files = if options.files.is_empty() {
        let path = directory.path().join("README.md");
        fs::write(&path, README).map_err(|source| file_error(&path, source))?;
        vec![path]
    } else {
        options.files
    };

    let begun = Instant::now();
    // Declared after the directory, so that the servers end before it goes.
    let mut local = LocalGrid::start(directory.path(), SERVERS).await?;
    say(
        report,
        &format!(
            "{SERVERS} servers are running in {} ({} to start)",
            directory.path().display(),
            duration(begun.elapsed())
        ),
    );
    let nurls: Vec<_> = local
        .servers()
        .iter()
        .map(|server| server.nurl().clone())
        .collect();
    let uploads = upload_all(&nurls, files, report).await?;
    show_store(&local, report);

    local.stop(STOPPED).await;
    say(
        report,
        &format!(
            "\n{STOPPED} of them are stopped; {} remain",
            local.servers().len()
        ),
    );
    let mut exit = Exit::Done;
    // New connections, as a new process would have.
    let grid = grid(&nurls)?;
    for (path, uploaded) in &uploads {
        exit = exit.worse(fetch(&grid, path, uploaded, directory.path(), report).await?);
    }
    grid.close().await;
    show_memory(&local, report);
    let remaining = local.servers().len();
    local.stop(remaining).await;
    drop(local);
    let path = directory.path().to_owned();
    directory
        .close()
        .map_err(|source| file_error(&path, source))?;
    Ok(exit)
}

fn grid(nurls: &[Nurl]) -> Result<Grid, Error> {
    let mut master = [0; 32];
    getrandom::fill(&mut master).map_err(|error| Error::Random(error.into()))?;
    // A server that was stopped refuses connections at once; what is lost here is little.
    Ok(Grid::new(nurls, &master, Patience::default()))
}

async fn upload_all(
    nurls: &[Nurl],
    files: Vec<PathBuf>,
    report: &Report,
) -> Result<Vec<(PathBuf, Uploaded)>, Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| Error::Random(error.into()))?;
    let options = Options {
        encoding: Encoding::default(),
        random_key: false,
    };
    let grid = grid(nurls)?;
    let progress = Arc::new(Progress::new(report, "uploading"));
    let convergence = ConvergenceSecret::new(secret);
    let uploader = Uploader::new(grid.clone(), convergence, options, None, progress.clone());
    let mut uploads = Vec::new();
    for path in files {
        let begun = Instant::now();
        let uploaded = uploader.upload(Source::File(path.clone())).await?;
        let elapsed = begun.elapsed();
        progress.finish();
        show_upload(&path, &uploaded, elapsed, report)?;
        uploads.push((path, uploaded));
    }
    grid.close().await;
    Ok(uploads)
}

fn show_upload(
    path: &Path,
    uploaded: &Uploaded,
    elapsed: Duration,
    report: &Report,
) -> Result<(), Error> {
    let phases: Vec<_> = uploaded
        .phases
        .iter()
        .map(|(phase, time)| format!("{} {}", phase_name(*phase), duration(*time)))
        .collect();
    say(
        report,
        &format!("\n{}: {} bytes", name(path), uploaded.size),
    );
    say(
        report,
        &format!(
            "  up    {}, {}{}",
            duration(elapsed),
            trips(uploaded.round_trips),
            if phases.is_empty() {
                String::new()
            } else {
                format!(": {}", phases.join(", "))
            },
        ),
    );
    say(
        report,
        &match uploaded.shares.len() {
            0 => "        a literal: the capability holds the file".to_owned(),
            shares => format!(
                "        {shares} shares, acknowledged as durable by {} servers",
                uploaded.happiness
            ),
        },
    );
    let object = json!({
        "file": path.display().to_string(),
        "cap": uploaded.cap.to_string(),
        "size": uploaded.size,
        "upload_s": elapsed.as_secs_f64(),
        "round_trips": uploaded.round_trips,
    });
    report.result(&uploaded.cap.to_string(), &object)
}

async fn fetch(
    grid: &Grid,
    path: &Path,
    uploaded: &Uploaded,
    directory: &Path,
    report: &Report,
) -> Result<Exit, Error> {
    let copy = directory.join("copy");
    let target = Target::file(&copy)?;
    let progress = Progress::new(&Report::new(false, true), "downloading");
    let begun = Instant::now();
    let downloaded = download(grid, &uploaded.cap, Span::Whole, target, &progress).await?;
    let elapsed = begun.elapsed();
    let mut down: Vec<_> = downloaded
        .failures
        .iter()
        .map(|failure| &failure.server)
        .collect();
    down.sort();
    down.dedup();
    let passed_over = match down.len() {
        0 => String::new(),
        count => format!(" past {count} servers that are down"),
    };
    let is_same = same(path, &copy).map_err(|source| file_error(&copy, source))?;
    say(
        report,
        &format!("{}: {} bytes", name(path), downloaded.size),
    );
    say(
        report,
        &format!(
            "  down  {}, {}{}: {}",
            duration(elapsed),
            trips(downloaded.round_trips),
            passed_over,
            if is_same {
                "the same bytes"
            } else {
                "OTHER BYTES"
            },
        ),
    );
    let object = json!({
        "file": path.display().to_string(),
        "same": is_same,
        "download_s": elapsed.as_secs_f64(),
        "round_trips": downloaded.round_trips,
    });
    report.result("", &object)?;
    Ok(if is_same { Exit::Done } else { Exit::No })
}

/// Shows some of the paths under which one server keeps shares.
fn show_store(local: &LocalGrid, report: &Report) {
    let Some(server) = local.servers().first() else {
        return;
    };
    let mut paths = Vec::new();
    walk(&server.directory().join("storage"), &mut paths);
    paths.sort();
    say(report, "\nthe store of one server:");
    for path in paths.iter().take(PATHS_SHOWN) {
        let shown = path.strip_prefix(server.directory()).unwrap_or(path);
        say(report, &format!("  {}", shown.display()));
    }
    if paths.len() > PATHS_SHOWN {
        say(report, &format!("  and {} more", paths.len() - PATHS_SHOWN));
    }
}

fn walk(directory: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, paths);
        } else {
            paths.push(path);
        }
    }
}

fn show_memory(local: &LocalGrid, report: &Report) {
    let server = local.servers().first().and_then(|server| server.pid());
    let server = server.and_then(|pid| memory(&pid.to_string(), "VmRSS:"));
    let client = memory("self", "VmHWM:");
    if let (Some(server), Some(client)) = (server, client) {
        say(
            report,
            &format!(
                "\nmemory: {server} resident in one server now, {client} in this client at most"
            ),
        );
    }
}

/// A line of /proc/PID/status, in MiB.
fn memory(pid: &str, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kib: u32 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!("{:.1} MiB", f64::from(kib) / 1024.0))
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = (vec![0; COMPARE_LEN], vec![0; COMPARE_LEN]);
    loop {
        let len = tools::input::fill(&mut one, &mut left)?;
        let other_len = tools::input::fill(&mut other, &mut right)?;
        if left[..len] != right[..other_len] {
            return Ok(false);
        }
        if len == 0 {
            return Ok(true);
        }
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Key => "key",
        Phase::Ask => "ask",
        Phase::Encode => "encode",
        Phase::Stream => "encode and send",
        Phase::Acknowledge => "durable",
    }
}

fn trips(count: u32) -> String {
    match count {
        0 => "no round trip".to_owned(),
        1 => "1 round trip".to_owned(),
        3 => "3 round trips (TCP, TLS, work)".to_owned(),
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

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn say(report: &Report, text: &str) {
    report.note(text);
}

fn file_error(path: &Path, source: io::Error) -> Error {
    LocalGridError::File {
        path: path.to_owned(),
        source,
    }
    .into()
}

const PATHS_SHOWN: usize = 6;
const COMPARE_LEN: usize = 64 << 10;
