//! `tahoectl download`.

use std::io::IsTerminal;
use std::path::Path;

use lafs::cap::Cap;
use tools::download::{Span, download};
use tools::grid::{Grid, Patience};
use tools::home::Home;
use tools::output::{Existing, Target};
use tools::{Error, Exit};

use crate::arguments::Download;
use crate::given::Given;
use crate::object::Object;
use crate::progress::{Progress, Work};
use crate::report::Report;

pub(crate) async fn run(home: &Home, options: Download, report: &Report) -> Result<Exit, Error> {
    let cap = cap(&options, report).await?;
    let grid = match cap {
        // It is all in the capability.
        Cap::Literal(_) => Grid::new(&[], &[0; 32], Patience::default()),
        _ => {
            let servers = home.servers()?;
            if servers.is_empty() {
                return Err(Error::NoServers {
                    path: home.path().to_owned(),
                });
            }
            Grid::new(&servers, &home.secrets()?.master, Patience::default())
        }
    };
    let path = options.output.as_deref();
    let target = target(path, options.force).await?;
    let progress = Progress::new(report, Work::DOWNLOAD);
    let span = options.range.unwrap_or(Span::Whole);
    let downloaded = download(&grid, &cap, span, target, &progress).await;
    progress.finish();
    let downloaded = downloaded?;
    grid.close().await;
    // Where the file itself went to standard output, an object would spoil it.
    if let Some(path) = path.filter(|path| *path != Path::new("-")) {
        let object = Object::new("download")
            .path("file", path)
            .with("size", downloaded.size)
            .with("servers_asked", downloaded.servers_asked)
            .with("round_trips", downloaded.round_trips)
            .failures(&downloaded.failures);
        report.result("", &object)?;
    }
    Ok(Exit::Done)
}

async fn target(path: Option<&Path>, is_forced: bool) -> Result<Target, Error> {
    let existing = match is_forced {
        true => Existing::Replace,
        false => Existing::Refuse,
    };
    match path {
        Some(path) if path != Path::new("-") => Target::open(path, existing).await,
        None if std::io::stdout().is_terminal() => Ok(Target::terminal()),
        _ => Ok(Target::stdout()),
    }
}

async fn cap(options: &Download, report: &Report) -> Result<Cap, Error> {
    let given = match (&options.cap, &options.cap_file) {
        (_, Some(path)) => Given::File(path.clone()),
        (Some(text), None) if text != "-" => return Ok(Cap::from_pasted(text)?),
        _ => Given::Input("The capability, then Enter:"),
    };
    given.prompt(report);
    // On another thread, since it may wait for a person, and Ctrl-C is to work meanwhile.
    let read = tokio::task::spawn_blocking(move || given.read()).await;
    let text = read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    Ok(Cap::from_pasted(&text)?)
}
