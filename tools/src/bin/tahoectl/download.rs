//! `tahoectl download`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use lafs::cap::Cap;
use serde_json::json;
use tools::download::{Span, download};
use tools::grid::{Grid, Patience};
use tools::home::Home;
use tools::output::Target;
use tools::{Error, Exit};

use crate::arguments::Download;
use crate::progress::Progress;
use crate::report::Report;

pub(crate) async fn run(home: &Home, options: Download, report: &Report) -> Result<Exit, Error> {
    let cap = cap(&options)?;
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
    let target = match path {
        Some(path) if path != Path::new("-") => Target::file(path)?,
        _ => Target::stdout(),
    };
    let progress = Progress::new(report, "downloading");
    let span = options.range.unwrap_or(Span::Whole);
    let downloaded = download(&grid, &cap, span, target, &progress).await;
    progress.finish();
    let downloaded = downloaded?;
    grid.close().await;
    // Where the file itself went to standard output, an object would spoil it.
    if path.is_some_and(|path| path != Path::new("-")) {
        let failures: Vec<_> = downloaded
            .failures
            .iter()
            .map(ToString::to_string)
            .collect();
        let object = json!({
            "file": path.map(|path| path.display().to_string()),
            "size": downloaded.size,
            "servers_asked": downloaded.servers_asked,
            "failures": failures,
            "round_trips": downloaded.round_trips,
        });
        report.result("", &object)?;
    }
    Ok(Exit::Done)
}

fn cap(options: &Download) -> Result<Cap, Error> {
    let text = match (&options.cap, &options.cap_file) {
        (_, Some(path)) => {
            let name = path.display().to_string();
            File::open(path)
                .and_then(read)
                .map_err(|source| Error::input(&name, source))?
        }
        (Some(text), None) if text != "-" => text.clone(),
        _ => read(std::io::stdin()).map_err(|source| Error::input("standard input", source))?,
    };
    Ok(Cap::from_pasted(&text)?)
}

/// Reads a capability, which is short.
fn read(source: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.take(CAP_SIZE_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Far beyond any capability; a wrong file is not read to its end.
const CAP_SIZE_MAX: u64 = 4096;
