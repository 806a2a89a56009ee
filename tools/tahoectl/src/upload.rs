//! `tahoectl upload`.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tools::grid::{Grid, Patience};
use tools::home::{Choice, Home};
use tools::input::{Look, look, standard_input};
use tools::ledger::Ledger;
use tools::upload::{Options, Source, Uploader};
use tools::{Error, Exit};

use crate::arguments::Upload;
use crate::progress::{Progress, Work};
use crate::report::Report;
use crate::signals::Stop;

mod printer;

use printer::Printer;

pub(crate) async fn run(
    home: &Home,
    options: Upload,
    report: &Report,
    mut stop: Stop,
) -> Result<Exit, Error> {
    let secrets = home.secrets()?;
    let choice = Choice::from(options.encoding).or(home.settings()?.encoding);
    let servers = home.servers()?;
    if servers.is_empty() {
        return Err(Error::NoServers {
            path: home.path().to_owned(),
        });
    }
    let encoding = choice.for_grid(servers.len())?;
    let grid = Grid::new(&servers, &secrets.master, Patience::default());
    let sources = sources(&options.files);
    let is_size_known = !sources
        .iter()
        .any(|source| matches!(source, Ok(Source::Stream(..))));
    let work = Work {
        files: sources.len(),
        is_size_known,
        ..Work::UPLOAD
    };
    let progress = Arc::new(Progress::new(report, work));
    let uploader = Rc::new(Uploader::new(
        grid.clone(),
        secrets.convergence,
        Options {
            encoding,
            random_key: options.random_key,
        },
        ledger(home, report),
        progress.clone(),
    ));

    let mut printer = Printer::new(&options.files, encoding.needed.into(), report);
    let mut waiting = sources.into_iter().enumerate();
    let mut running = JoinSet::new();
    let running_max = running_max(servers.len());
    let streams = Rc::new(Semaphore::new(STREAMS_MAX));
    let is_interrupted = loop {
        while running.len() < running_max {
            let Some((index, source)) = waiting.next() else {
                break;
            };
            let (uploader, streams) = (uploader.clone(), streams.clone());
            running.spawn_local(async move {
                let _permit = match source {
                    Ok(Source::Stream(..)) => Some(streams.acquire().await),
                    _ => None,
                };
                let uploaded = match source {
                    Ok(source) => uploader.upload(source).await,
                    Err(error) => Err(error),
                };
                (index, uploaded)
            });
        }
        let ended = tokio::select! {
            biased;
            () = stop.wanted() => break true,
            ended = running.join_next() => ended,
        };
        let Some(ended) = ended else {
            break false;
        };
        let (index, uploaded) =
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        progress.file_done();
        printer.take(index, uploaded);
        progress.suspend(|| printer.print_in_order())?;
    };
    progress.finish();
    if is_interrupted {
        // What is stored is not lost because a file before it was not.
        while let Some(Ok((index, uploaded))) = running.try_join_next() {
            printer.take(index, uploaded);
        }
        printer.print_all()?;
    } else {
        grid.close().await;
    }
    printer.finish(is_interrupted)
}

/// What the names on the command line stand for. No file is opened yet: there may be many.
fn sources(files: &[PathBuf]) -> Vec<Result<Source, Error>> {
    let mut inputs = 0;
    let mut all = Vec::new();
    for path in files {
        let is_input = path.as_os_str() == "-";
        inputs += usize::from(is_input);
        all.push(match is_input {
            // Two readers would each get a part of it.
            true if inputs > 1 => Err(Error::input(
                "standard input",
                std::io::Error::other("it can be read only once"),
            )),
            true => standard_input()
                .map_err(Error::from)
                .map(|input| Source::Stream("standard input".to_owned(), Box::new(input))),
            false => source(path),
        });
    }
    all
}

fn source(path: &Path) -> Result<Source, Error> {
    Ok(match look(path)? {
        Look::File => Source::File(path.to_owned()),
        Look::Stream(stream) => Source::Stream(path.display().to_string(), stream),
    })
}

fn ledger(home: &Home, report: &Report) -> Option<Ledger> {
    let path = home.uploads_path();
    match Ledger::open(&path) {
        Ok(ledger) => Some(ledger),
        Err(error) => {
            let path = path.display();
            report.warn(&format!(
                "{path}: {error}; files that were uploaded before are sent again"
            ));
            None
        }
    }
}

/// How many files may be under way: each is an open file, and each server an open connection.
fn running_max(servers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or(RUNNING_MAX, |limit| {
        usize::try_from(limit).unwrap_or(RUNNING_MAX)
    });
    limit
        .saturating_sub(DESCRIPTORS_KEPT + servers)
        .clamp(1, RUNNING_MAX)
}

/// Streams at once: each is read into memory as far as a small file goes, before its size is known.
const STREAMS_MAX: usize = 8;

/// Uploads at once: more than one flight of small shares to a server takes in.
const RUNNING_MAX: usize = 1024;

/// Descriptors for everything but files and connections: the record of uploads, the event queues, the
/// standard streams; and a second connection to a server for a moment.
const DESCRIPTORS_KEPT: usize = 64;
