//! `tahoectl upload`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};
use tools::grid::{Grid, Patience, Stored};
use tools::home::Home;
use tools::ledger::Ledger;
use tools::upload::{Options, Source, Uploaded, Uploader};
use tools::{Error, Exit};

use crate::arguments::Upload;
use crate::progress::Progress;
use crate::report::Report;

pub(crate) async fn run(home: &Home, options: Upload, report: &Report) -> Result<Exit, Error> {
    let secrets = home.secrets()?;
    let encoding = options.encoding.or(home.settings()?.encoding)?;
    let servers = home.servers()?;
    if servers.is_empty() {
        return Err(Error::NoServers {
            path: home.path().to_owned(),
        });
    }
    let grid = Grid::new(&servers, &secrets.master, Patience::default());
    let ledger = match Ledger::open(&home.uploads_path()) {
        Ok(ledger) => Some(ledger),
        Err(error) => {
            let path = home.uploads_path();
            report.note(&format!(
                "tahoectl: {}: {error}; files uploaded before are sent again",
                path.display()
            ));
            None
        }
    };
    let progress = Arc::new(Progress::new(report, "uploading"));
    let uploader = Rc::new(Uploader::new(
        grid.clone(),
        secrets.convergence,
        Options {
            encoding,
            random_key: options.random_key,
        },
        ledger,
        progress.clone(),
    ));

    let (mut finished, results) = start(&uploader, &options.files);
    let mut exit = Exit::Done;
    let mut printed = 0;
    while finished.join_next().await.is_some() {
        // In the order of the arguments, as soon as that is possible.
        loop {
            let Some(result) = results.borrow_mut().get_mut(printed).and_then(Option::take) else {
                break;
            };
            let path = &options.files[printed];
            printed += 1;
            let ended = progress.suspend(|| print(path, result, &options, report));
            exit = exit.worse(ended?);
        }
    }
    progress.finish();
    grid.close().await;
    Ok(exit)
}

type Results = Rc<RefCell<Vec<Option<Result<Uploaded, Error>>>>>;

/// Starts all uploads; the uploader bounds how many of them are really under way.
fn start(uploader: &Rc<Uploader>, files: &[PathBuf]) -> (tokio::task::JoinSet<()>, Results) {
    let results = Rc::new(RefCell::new(Vec::new()));
    let mut started = tokio::task::JoinSet::new();
    for (index, path) in files.iter().enumerate() {
        results.borrow_mut().push(None);
        let (uploader, results) = (uploader.clone(), results.clone());
        let source = source(path);
        started.spawn_local(async move {
            let result = uploader.upload(source).await;
            results.borrow_mut()[index] = Some(result);
        });
    }
    (started, results)
}

fn source(path: &Path) -> Source {
    if path.as_os_str() == "-" {
        Source::Stream("standard input".to_owned(), Box::new(std::io::stdin()))
    } else {
        Source::File(path.to_owned())
    }
}

/// Prints the result of one file. A file that failed does not stop the others.
fn print(
    path: &Path,
    result: Result<Uploaded, Error>,
    options: &Upload,
    report: &Report,
) -> Result<Exit, Error> {
    match result {
        Ok(uploaded) => {
            report.result(&uploaded.cap.to_string(), &object(path, &uploaded))?;
            Ok(Exit::Done)
        }
        Err(error) => {
            if options.files.len() > 1 {
                report.note(&format!("tahoectl: {} was not uploaded:", path.display()));
            }
            report.error(&error);
            Ok(error.exit())
        }
    }
}

fn object(path: &Path, uploaded: &Uploaded) -> Value {
    let shares: Vec<_> = uploaded
        .shares
        .iter()
        .map(|placed| {
            json!({
                "share": placed.share.as_u8(),
                "server": &*placed.server,
                "sent": placed.stored == Stored::Now,
            })
        })
        .collect();
    let failures: Vec<_> = uploaded.failures.iter().map(ToString::to_string).collect();
    json!({
        "file": path.display().to_string(),
        "cap": uploaded.cap.to_string(),
        "size": uploaded.size,
        "happiness": uploaded.happiness,
        "shares": shares,
        "failures": failures,
        "round_trips": uploaded.round_trips,
    })
}
