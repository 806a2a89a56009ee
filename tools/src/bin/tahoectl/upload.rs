//! `tahoectl upload`.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tools::grid::{Grid, Patience, Stored};
use tools::home::{Choice, Home};
use tools::input::{Look, look, standard_input};
use tools::ledger::Ledger;
use tools::upload::{Options, Source, Uploaded, Uploader};
use tools::wording::counted;
use tools::{Error, Exit};

use crate::arguments::Upload;
use crate::object::Object;
use crate::progress::{Progress, Work};
use crate::report::{Report, line_with_name};
use crate::signals::Stop;
use crate::spread::Crowded;

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

/// Prints results in the order of the arguments, as soon as that is possible.
struct Printer<'a> {
    files: &'a [PathBuf],
    needed: usize,
    report: &'a Report,
    results: Vec<Option<Result<Uploaded, Error>>>,
    printed: usize,
    uploaded: usize,
    /// The first file of which a server holds several shares, and how many such files there are.
    crowded: Option<(PathBuf, Crowded)>,
    crowded_files: usize,
    exit: Exit,
}

impl<'a> Printer<'a> {
    fn new(files: &'a [PathBuf], needed: usize, report: &'a Report) -> Self {
        Self {
            files,
            needed,
            report,
            results: files.iter().map(|_| None).collect(),
            printed: 0,
            uploaded: 0,
            crowded: None,
            crowded_files: 0,
            exit: Exit::Done,
        }
    }

    fn take(&mut self, index: usize, result: Result<Uploaded, Error>) {
        self.results[index] = Some(result);
    }

    /// Prints what is next in order.
    fn print_in_order(&mut self) -> Result<(), Error> {
        while let Some(result) = self.results.get_mut(self.printed).and_then(Option::take) {
            let index = self.printed;
            self.printed += 1;
            self.print(index, result)?;
        }
        Ok(())
    }

    /// Prints whatever there is: nothing more will come.
    fn print_all(&mut self) -> Result<(), Error> {
        for index in 0..self.results.len() {
            if let Some(result) = self.results[index].take() {
                self.print(index, result)?;
            }
        }
        Ok(())
    }

    fn print(&mut self, index: usize, result: Result<Uploaded, Error>) -> Result<(), Error> {
        let path = &self.files[index];
        let is_one_of_several = self.files.len() > 1;
        match result {
            Ok(uploaded) => {
                self.uploaded += 1;
                let crowded = Crowded::of(&uploaded.shares, self.needed);
                let cap = uploaded.cap.to_string();
                let line = match is_one_of_several {
                    true => line_with_name(&cap, path),
                    false => cap.into_bytes(),
                };
                let object = object(path, &uploaded, crowded.as_ref());
                self.report.result(line, &object)?;
                if let Some(crowded) = crowded {
                    self.crowded_files += 1;
                    self.crowded.get_or_insert_with(|| (path.clone(), crowded));
                }
            }
            Err(error) => {
                let is_named = is_one_of_several || self.report.is_json();
                self.report.failed(&error, is_named.then_some(path));
                self.exit = self.exit.worse(error.exit());
            }
        }
        Ok(())
    }

    /// Says what is to be said of all files together.
    fn finish(self, is_interrupted: bool) -> Result<Exit, Error> {
        if let Some((path, crowded)) = &self.crowded {
            let sentence = crowded.sentence(self.crowded_files);
            self.report.warn(&format!("{}: {sentence}", path.display()));
        }
        if !is_interrupted {
            return Ok(self.exit);
        }
        if self.files.len() > 1 {
            self.report.note(&format!(
                "{} of {} uploaded; if you run it again, they are not sent again",
                self.uploaded,
                counted(self.files.len(), "file")
            ));
        }
        Err(Error::Interrupted)
    }
}

fn object(path: &Path, uploaded: &Uploaded, crowded: Option<&Crowded>) -> Object {
    let shares: Vec<_> = uploaded
        .shares
        .iter()
        .map(|placed| {
            serde_json::json!({
                "share": placed.share.as_u8(),
                "server": &*placed.server,
                "sent": placed.stored == Stored::Now,
            })
        })
        .collect();
    let warnings: Vec<_> = crowded.map(Crowded::value).into_iter().collect();
    Object::new("upload")
        .path("file", path)
        .with("cap", uploaded.cap.to_string())
        .with("size", uploaded.size)
        .with("happiness", uploaded.happiness)
        .with("shares", shares)
        .with("warnings", warnings)
        .with("round_trips", uploaded.round_trips)
        .failures(&uploaded.failures)
}

/// Streams at once: each is read into memory as far as a small file goes, before its size is known.
const STREAMS_MAX: usize = 8;

/// Uploads at once: more than one flight of small shares to a server takes in.
const RUNNING_MAX: usize = 1024;

/// Descriptors for everything but files and connections: the record of uploads, the event queues, the
/// standard streams; and a second connection to a server for a moment.
const DESCRIPTORS_KEPT: usize = 64;
