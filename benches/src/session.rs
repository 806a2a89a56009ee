//! This project's client inside the measuring program, for what a process of its own would hide: one
//! operation on connections that are open already.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lafs::ConvergenceSecret;
use lafs::cap::Cap;
use lafs::nurl::Nurl;
use protocol::Traffic;
use tools::download::{self, Span};
use tools::grid::{Grid, Patience};
use tools::home::Encoding;
use tools::output::Target;
use tools::upload::{Options, Source, Unobserved, Uploader};

/// A client. Its connections are opened when they are first needed, and kept.
pub struct Session {
    grid: Grid,
    uploader: Uploader,
}

/// What one operation took.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From the call to the end.
    pub time: Duration,
    /// How often a request waited for the answer to another, as the client counts.
    pub round_trips: u32,
    /// Frames and bytes, before TLS, on all connections together.
    pub traffic: Traffic,
}

impl Session {
    /// A client of these servers that stores a share on each and waits for all of them.
    ///
    /// # Panics
    ///
    /// For more servers than a file can have shares.
    #[must_use]
    pub fn new(nurls: &[Nurl], needed: u16) -> Self {
        let grid = Grid::new(nurls, &[1; 32], Patience::default());
        let total = u16::try_from(nurls.len()).expect("a grid is small");
        let encoding = Encoding::new(needed, total, total).expect("as many shares as servers");
        let options = Options {
            encoding,
            random_key: true,
        };
        let convergence = ConvergenceSecret::new([2; 32]);
        let observer = Arc::new(Unobserved);
        let uploader = Uploader::new(grid.clone(), convergence, options, None, observer);
        Self { grid, uploader }
    }

    /// Bytes of the frame with which each connection begins, before TLS.
    #[must_use]
    pub fn hello_size(nurls: &[Nurl]) -> u64 {
        // Of a connection that has not been opened it is all that is queued.
        let grid = Grid::new(&nurls[..1], &[1; 32], Patience::default());
        grid.traffic().bytes_sent
    }

    /// Uploads a file.
    ///
    /// # Errors
    ///
    /// When it fails, or a server had to be routed around: then this is not what is to be measured.
    pub async fn upload(&self, path: &Path) -> io::Result<(Cap, Sample)> {
        let (traffic, began) = (self.grid.traffic(), Instant::now());
        let uploaded = self.uploader.upload(Source::File(path.to_owned())).await;
        let time = began.elapsed();
        let uploaded = uploaded.map_err(io::Error::other)?;
        expect_none("upload", &uploaded.failures)?;
        let traffic = since(traffic, self.grid.traffic());
        Ok((
            uploaded.cap,
            Sample {
                time,
                round_trips: uploaded.round_trips,
                traffic,
            },
        ))
    }

    /// Downloads a file.
    ///
    /// # Errors
    ///
    /// When it fails, or a server had to be routed around.
    pub async fn download(&self, cap: &Cap, target: &Path) -> io::Result<Sample> {
        let (traffic, began) = (self.grid.traffic(), Instant::now());
        let target = Target::file(target).map_err(io::Error::other)?;
        let downloaded =
            download::download(&self.grid, cap, Span::Whole, target, &Unobserved).await;
        let time = began.elapsed();
        let downloaded = downloaded.map_err(io::Error::other)?;
        expect_none("download", &downloaded.failures)?;
        let traffic = since(traffic, self.grid.traffic());
        Ok(Sample {
            time,
            round_trips: downloaded.round_trips,
            traffic,
        })
    }

    /// Ends the connections.
    pub async fn close(&self) {
        self.grid.close().await;
    }
}

/// Runs a client's work on the calling thread, in a runtime of its own.
///
/// # Errors
///
/// When there is no runtime, or the work's.
pub fn run<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

fn expect_none(operation: &str, failures: &[tools::error::Failure]) -> io::Result<()> {
    match failures.first() {
        None => Ok(()),
        Some(failure) => Err(io::Error::other(format!("{operation}: {failure}"))),
    }
}

fn since(before: Traffic, after: Traffic) -> Traffic {
    Traffic {
        frames_sent: after.frames_sent - before.frames_sent,
        bytes_sent: after.bytes_sent - before.bytes_sent,
        frames_received: after.frames_received - before.frames_received,
        bytes_received: after.bytes_received - before.bytes_received,
    }
}
