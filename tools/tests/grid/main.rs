//! The grid client against servers over loopback, honest and otherwise.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod again;
mod blame;
mod caps;
mod fake;
mod late;
mod readable;
mod roundtrip;
mod routing;

use std::fs;

use lafs::cap::Cap;
use tools::Error;
use tools::download::{Span, download};
use tools::grid::Grid;
use tools::home::Encoding;
use tools::output::Target;
use tools::upload::{Source, Unobserved, Uploaded};

use fake::uploader;

/// Uploads these bytes as a file.
async fn upload(grid: &Grid, encoding: Encoding, bytes: &[u8]) -> Result<Uploaded, Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("input");
    fs::write(&path, bytes).unwrap();
    let uploader = uploader(grid, encoding, None);
    uploader.upload(Source::File(path)).await
}

/// Downloads to a file, which is there only if that succeeds.
async fn fetch(grid: &Grid, cap: &Cap, span: Span) -> Result<Vec<u8>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("output");
    let target = Target::file(&path).unwrap();
    let result = download(grid, cap, span, target, &Unobserved).await;
    let names = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(
        names,
        usize::from(result.is_ok()),
        "no partial file remains"
    );
    result.map(|_| fs::read(&path).unwrap())
}
