//! `tahoectl try`: the whole way there and back, on this machine, in front of one's eyes.

mod story;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lafs::nurl::Nurl;
use lafs::{ConvergenceSecret, StorageIndex};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tools::download::{Span, download};
use tools::grid::{Grid, Patience, Trips, name_of};
use tools::home::Encoding;
use tools::local::{LocalGrid, LocalGridError, SERVERS_DEFAULT};
use tools::output::Target;
use tools::upload::{Options, Source, Uploaded, Uploader};
use tools::{Error, Exit};

use crate::arguments::Try;
use crate::progress::{Progress, Work};
use crate::report::Report;

/// Uploaded when no file is named.
const README: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md"));

/// Servers that are left when the files are fetched: just as many as shares are needed.
const SERVERS_LEFT: usize = 3;

/// Connections to those servers of a grid that answer.
struct Connected {
    grid: Grid,
    answering: usize,
    time: Duration,
    round_trips: u32,
}

/// A file that was uploaded.
struct Sent {
    path: PathBuf,
    uploaded: Uploaded,
    time: Duration,
}

/// A file that came back.
struct Returned {
    time: Duration,
    round_trips: u32,
    /// Servers that were asked although they are down.
    down_asked: usize,
    /// Servers that run and did not give what was asked.
    failed: usize,
    is_same: bool,
}

pub(crate) async fn run(options: Try, report: &Report) -> Result<Exit, Error> {
    let begun = Instant::now();
    let mut local = LocalGrid::start(SERVERS_DEFAULT).await?;
    story::started(&local, begun.elapsed(), report)?;
    let files = if options.files.is_empty() {
        let path = local.path().join("README.md");
        fs::write(&path, README).map_err(|source| file_error(&path, source))?;
        vec![path]
    } else {
        options.files
    };

    let connected = connect(local.nurls()).await?;
    story::connected(&connected, report)?;
    let sent = upload_all(&connected.grid, files, report).await?;
    if sent.iter().any(|file| !file.uploaded.shares.is_empty()) {
        placed(&local).await;
    }
    story::layout(&local, report)?;
    story::memory(&local, report)?;
    connected.grid.close().await;

    let begun = Instant::now();
    let stopped: Vec<_> = local.running().into_iter().skip(SERVERS_LEFT).collect();
    local.stop(&stopped).await;
    story::stopped(&local, stopped.len(), begun.elapsed(), report)?;
    let down: Vec<_> = stopped
        .iter()
        .map(|&index| name_of(&local.nurls()[index]))
        .collect();
    // New connections, to whoever of the ten is still there: as a new process would have.
    let connected = connect(local.nurls()).await?;
    story::connected(&connected, report)?;
    let mut exit = Exit::Done;
    for file in &sent {
        let returned = fetch(&connected.grid, file, &down, local.path()).await?;
        story::returned(file, &returned, down.len(), report)?;
        if !returned.is_same {
            exit = exit.worse(Exit::No);
        }
    }
    connected.grid.close().await;
    local.end().await?;
    report.note("\nEverything is stopped and removed.");
    Ok(exit)
}

/// Waits until a server has a file to show. It confirms a share when its journal has it, and gives it
/// its place a moment after.
async fn placed(local: &LocalGrid) {
    let begun = Instant::now();
    while local.layout(0, 1).is_empty() && begun.elapsed() < PLACED_WITHIN {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Connects to all servers, so that what follows shows what it takes by itself.
async fn connect(nurls: &[Nurl]) -> Result<Connected, Error> {
    let (master, unused) = (random()?, random()?);
    let grid = Grid::new(nurls, &master, Patience::default());
    let trips = Trips::new();
    let (sender, mut answers) = mpsc::unbounded_channel();
    let begun = Instant::now();
    for server in grid.servers() {
        let sender = sender.clone();
        // Asks for what nobody has.
        let storage_index = StorageIndex::new(unused);
        server.lease(&trips, storage_index, move |answer| {
            // We wait for all answers, whatever they are.
            let _ = sender.send(answer.is_ok());
        });
    }
    drop(sender);
    let mut answering = 0;
    while let Some(is_answer) = answers.recv().await {
        answering += usize::from(is_answer);
    }
    Ok(Connected {
        grid,
        answering,
        time: begun.elapsed(),
        round_trips: trips.count(),
    })
}

async fn upload_all(grid: &Grid, files: Vec<PathBuf>, report: &Report) -> Result<Vec<Sent>, Error> {
    let options = Options {
        encoding: Encoding::TEN,
        random_key: false,
    };
    let convergence = ConvergenceSecret::new(random()?);
    let mut all = Vec::new();
    for path in files {
        let progress = Arc::new(Progress::new(report, Work::UPLOAD));
        let uploader = Uploader::new(
            grid.clone(),
            convergence.clone(),
            options,
            None,
            progress.clone(),
        );
        let begun = Instant::now();
        let uploaded = uploader.upload(Source::File(path.clone())).await;
        let time = begun.elapsed();
        progress.finish();
        let sent = Sent {
            path,
            uploaded: uploaded?,
            time,
        };
        story::sent(&sent, report)?;
        all.push(sent);
    }
    Ok(all)
}

async fn fetch(
    grid: &Grid,
    sent: &Sent,
    down: &[Arc<str>],
    directory: &Path,
) -> Result<Returned, Error> {
    let copy = directory.join("copy");
    let target = Target::file(&copy)?;
    // We stopped the servers ourselves, and need not say that they are down.
    let progress = Progress::new(&Report::silent(), Work::DOWNLOAD);
    let begun = Instant::now();
    let downloaded = download(grid, &sent.uploaded.cap, Span::Whole, target, &progress).await?;
    let time = begun.elapsed();
    let failures = downloaded.failures.iter();
    let in_vain: BTreeSet<_> = failures.map(|failure| &failure.server).collect();
    let down_asked = in_vain
        .iter()
        .filter(|server| down.contains(server))
        .count();
    let (one, other) = (sent.path.clone(), copy.clone());
    let compared = tokio::task::spawn_blocking(move || same(&one, &other)).await;
    let is_same = compared
        .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
        .map_err(|source| file_error(&sent.path, source))?;
    Ok(Returned {
        time,
        round_trips: downloaded.round_trips,
        down_asked,
        failed: in_vain.len() - down_asked,
        is_same,
    })
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

fn random<const LEN: usize>() -> Result<[u8; LEN], Error> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.into()))?;
    Ok(bytes)
}

fn file_error(path: &Path, source: io::Error) -> Error {
    LocalGridError::File {
        path: path.to_owned(),
        source,
    }
    .into()
}

const COMPARE_LEN: usize = 64 << 10;

/// A disk that needs longer is not to keep the show.
const PLACED_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    // The one claim of `try` that nothing else checks.
    #[test]
    fn files_that_differ_in_one_byte_or_in_length_are_not_the_same() {
        let temporary = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = temporary.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let bytes = vec![1; COMPARE_LEN + 1];
        let mut other = bytes.clone();
        other[COMPARE_LEN] = 2;
        let one = write("one", &bytes);
        assert!(same(&one, &write("same", &bytes)).unwrap());
        for differing in [&other[..], &bytes[..COMPARE_LEN], &[]] {
            assert!(!same(&one, &write("differing", differing)).unwrap());
        }
    }
}
