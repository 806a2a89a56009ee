//! The memory of one `tahoed`: idle, with many idle connections, and after they have gone.
//!
//! It starts a server of its own on loopback and is all of its clients. Each client stores a share,
//! so that its connection has been through everything before it falls silent.

use std::cell::{Cell, RefCell};
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use lafs::nurl::Nurl;
use lafs::{ShareNumber, StorageIndex};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};
use tools::grid::{Grid, Patience, Trips};

use benches::hosts::Hosts;
use benches::ours::{Daemons, Programs};
use benches::process::{self, Memory};
use benches::results;

/// Measure the memory of tahoed
#[derive(Parser)]
struct Arguments {
    /// Connections to have at once; at most 1024
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Uploads to have in progress at once
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=200))]
    uploads: u16,
    /// Measure the program for 32-bit x86
    #[arg(long)]
    i686: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Replace the section of docs/results.md
    #[arg(long)]
    write: bool,
}

/// What was measured, in KiB.
#[derive(Serialize)]
struct Measured {
    connections: u16,
    uploads: u16,
    idle: State,
    with_connections: State,
    per_connection: f64,
    after_connections: State,
    with_uploads: State,
    per_upload: f64,
    after_uploads: State,
    peak: u64,
}

/// The memory of the server at some time, in KiB.
#[derive(Clone, Copy, Serialize)]
struct State {
    resident: u64,
    own: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = results::expect_writable(arguments.write) {
        eprintln!("memory: {error}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let measured = runtime
        .and_then(|runtime| runtime.block_on(LocalSet::new().run_until(measure(&arguments))));
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => {
            eprintln!("memory: {error}");
            return ExitCode::FAILURE;
        }
    };
    let table = measured.table();
    if arguments.json {
        println!("{}", serde_json::json!(measured));
    } else {
        print!("{table}");
    }
    let section = match arguments.i686 {
        false => "memory",
        true => "memory i686",
    };
    if arguments.write {
        if let Err(error) = results::write_section(section, &table) {
            eprintln!("memory: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn measure(arguments: &Arguments) -> io::Result<Measured> {
    raise_descriptor_limit(u64::from(arguments.connections) + 100)?;
    let directory = tempfile::tempdir()?;
    let programs = match arguments.i686 {
        false => Programs::build()?,
        true => Programs::build_i686()?,
    };
    let daemons = Daemons::start(&Hosts::Loopback, &programs, directory.path(), 1)?;
    let (nurl, pid) = (daemons.parsed_nurls().remove(0), daemons.pids()[0]);

    let idle = settled(pid).await?;
    let grid = connected(&nurl, arguments.connections).await?;
    let with_connections = settled(pid).await?;
    grid.close().await;
    drop(grid);
    let after_connections = settled(pid).await?;

    let grid = connected(&nurl, 1).await?;
    let before_uploads = settled(pid).await?;
    let uploading = connected(&nurl, arguments.uploads).await?;
    let uploads = uploading_now(&uploading).await;
    let with_uploads = settled(pid).await?;
    drop(uploads);
    uploading.close().await;
    drop(uploading);
    grid.close().await;
    drop(grid);
    let after_uploads = settled(pid).await?;
    let peak = process::memory(pid)?.peak;

    Ok(Measured {
        connections: arguments.connections,
        uploads: arguments.uploads,
        per_connection: each(idle, with_connections, arguments.connections),
        per_upload: each(before_uploads, with_uploads, arguments.uploads),
        idle: idle.into(),
        with_connections: with_connections.into(),
        after_connections: after_connections.into(),
        with_uploads: with_uploads.into(),
        after_uploads: after_uploads.into(),
        peak: peak / 1024,
    })
}

/// So many clients of one server, each of which has stored a share.
async fn connected(nurl: &Nurl, count: u16) -> io::Result<Grid> {
    let patience = Patience {
        stall: LIMIT,
        ..Patience::default()
    };
    let grid = Grid::new(&vec![nurl.clone(); usize::from(count)], &[7; 32], patience);
    let waiting = Waiting::new(grid.servers().len());
    // A few handshakes at a time: this machine is both ends of all of them.
    for (index, servers) in (0_u64..).zip(grid.servers().chunks(HANDSHAKES)) {
        let before = waiting.left();
        for (offset, server) in (0_u8..).zip(servers) {
            let mut bucket = [offset; 16];
            bucket[..8].copy_from_slice(&index.to_be_bytes());
            let share = Bytes::from(vec![offset; SHARE_LEN]);
            let waiting = waiting.clone();
            let (bucket, number) = (StorageIndex::new(bucket), ShareNumber::new(0));
            server.put(&Trips::new(), bucket, number, share, move |answer| {
                waiting.end(answer.map(drop).map_err(|error| error.to_string()));
            });
        }
        waiting.until(before - servers.len()).await?;
    }
    Ok(grid)
}

/// One upload on each connection, in the middle of its share and with nothing under way.
async fn uploading_now(grid: &Grid) -> Vec<tools::grid::Upload> {
    let uploads: Vec<_> = (0_u64..)
        .zip(grid.servers())
        .map(|(index, server)| {
            let mut bucket = [0xff; 16];
            bucket[..8].copy_from_slice(&index.to_be_bytes());
            let (bucket, number) = (StorageIndex::new(bucket), ShareNumber::new(0));
            let upload = server.open(&Trips::new(), bucket, number, None, None, |_| {});
            upload.write(Bytes::from(vec![1; UPLOADED_LEN]));
            upload
        })
        .collect();
    let sent = async {
        while !uploads.iter().all(tools::grid::Upload::is_drained) {
            grid.room().await;
        }
    };
    // What is not sent by then shows in the figures.
    let _ = timeout(LIMIT, sent).await;
    uploads
}

/// The memory of a process once it has not changed for a while.
async fn settled(pid: u32) -> io::Result<Memory> {
    let began = Instant::now();
    let (mut last, mut since) = (process::memory(pid)?, Instant::now());
    while since.elapsed() < QUIET && began.elapsed() < LIMIT {
        sleep(Duration::from_millis(50)).await;
        let now = process::memory(pid)?;
        if now.resident != last.resident {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// How much more `after` has than `before` for each of `count`, in KiB.
fn each(before: Memory, after: Memory, count: u16) -> f64 {
    let kib = |memory: Memory| f64::from(u32::try_from(memory.resident / 1024).unwrap_or(u32::MAX));
    (kib(after) - kib(before)) / f64::from(count)
}

impl From<Memory> for State {
    fn from(memory: Memory) -> Self {
        Self {
            resident: memory.resident / 1024,
            own: memory.own / 1024,
        }
    }
}

impl Measured {
    fn table(&self) -> String {
        let row = |what: &str, state: State, note: &str| {
            format!("| {what} | {} | {} | {note} |\n", state.resident, state.own)
        };
        let mut table = String::from(
            "| `tahoed` | resident, KiB | of it its own, KiB | |\n|---|---|---|---|\n",
        );
        table += &row("idle", self.idle, "goal: at most 4096");
        let each = format!("{:.1} KiB each; goal: at most 20", self.per_connection);
        let what = format!("{} idle connections", self.connections);
        table += &row(&what, self.with_connections, &each);
        table += &row("after they have gone", self.after_connections, "");
        let each = format!("{:.1} KiB each, connection included", self.per_upload);
        let what = format!("{} uploads in progress", self.uploads);
        table += &row(&what, self.with_uploads, &each);
        table += &row("after they have gone", self.after_uploads, "");
        table + &format!("\nAt most {} KiB at any time.\n", self.peak)
    }
}

/// Answers that are still to come.
#[derive(Clone)]
struct Waiting(Rc<Answers>);

struct Answers {
    left: Cell<usize>,
    error: RefCell<Option<String>>,
    one_more: Notify,
}

impl Waiting {
    fn new(count: usize) -> Self {
        Self(Rc::new(Answers {
            left: Cell::new(count),
            error: RefCell::new(None),
            one_more: Notify::new(),
        }))
    }

    fn left(&self) -> usize {
        self.0.left.get()
    }

    fn end(&self, answer: Result<(), String>) {
        self.0.left.set(self.left() - 1);
        if let Err(error) = answer {
            self.0.error.replace(Some(error));
        }
        self.0.one_more.notify_one();
    }

    /// Waits until at most so many are left.
    async fn until(&self, left: usize) -> io::Result<()> {
        let all = async {
            while self.left() > left {
                self.0.one_more.notified().await;
            }
        };
        timeout(LIMIT, all).await?;
        match self.0.error.take() {
            Some(error) => Err(io::Error::other(error)),
            None => Ok(()),
        }
    }
}

fn raise_descriptor_limit(wanted: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        ..limit
    };
    setrlimit(Resource::Nofile, raised).map_err(|_| {
        io::Error::other(format!(
            "{wanted} open files are needed; raise the limit (ulimit -n)"
        ))
    })
}

/// For any one step.
const LIMIT: Duration = Duration::from_secs(120);

/// A server that gives memory back does so within this time.
const QUIET: Duration = Duration::from_secs(4);

/// Handshakes under way at once.
const HANDSHAKES: usize = 50;

/// The share of a 1000-byte file at 3-of-10.
const SHARE_LEN: usize = 445;

/// What of each upload has been sent.
const UPLOADED_LEN: usize = 256 << 10;
