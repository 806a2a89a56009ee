//! Durable small shares a second: the store with each engine, beside what the same disk can do.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bucketfs::disk::EngineChoice;
use bytes::Bytes;
use clap::Parser;
use serde::Serialize;

use benches::disk_limits::{self, Care};
use benches::fit::median;
use benches::process;
use benches::results;
use benches::store_load;

/// Measure durable small uploads against the raw limits of the same disk
///
/// Every round measures each contender once, in turn, so that what else the machine does hits all of them.
/// The table has the medians. Everything is made in a directory of its own, which is removed at the end;
/// on some disks that takes longer than the measurement.
#[derive(Parser)]
struct Arguments {
    /// Directory on the disk to measure
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Shares stored in one measurement
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Bytes of a share
    #[arg(long, default_value_t = 400)]
    size: usize,
    /// Askers at a time, one or several numbers
    #[arg(long, value_delimiter = ',', default_value = "1,16,256,1008")]
    concurrency: Vec<usize>,
    /// Engines, one or several names
    #[arg(long, value_delimiter = ',', default_value = "ring,pool")]
    engines: Vec<String>,
    /// Replace the section of docs/results.md
    #[arg(long)]
    write: bool,
}

/// One contender's figures, one for each round.
#[derive(Serialize)]
struct Row {
    name: String,
    /// Shares (or records) a second.
    rates: Vec<f64>,
    /// Rates as shares of the same round's tree without any sync.
    of_tree: Vec<f64>,
    ack_p50_ms: Vec<f64>,
    ack_p99_ms: Vec<f64>,
    cpu_us: Vec<f64>,
    syncs_per_share: Vec<f64>,
}

/// What is measured.
#[derive(Clone, Debug)]
enum Contender {
    Tree(Care),
    Threads(usize),
    Journal { batch: usize },
    Store { engine: String, concurrency: usize },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    results::expect_writable(arguments.write)?;
    let directory = tempfile::Builder::new()
        .prefix("store-bench-")
        .tempdir_in(&arguments.dir)?;
    let contenders = contenders(arguments);
    let warm = directory.path().join("warm");
    std::fs::create_dir(&warm)?;
    contenders[0].measure(arguments, &warm, &mut Row::new(&contenders[0]))?;
    let mut rows: Vec<_> = contenders.iter().map(Row::new).collect();
    for round in 0..arguments.rounds {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        for turn in 0..contenders.len() {
            // Nobody is always the first, nor always behind the same other.
            let index = (turn + round * STRIDE) % contenders.len();
            let directory = directory.path().join(format!("{round}-{index}"));
            std::fs::create_dir(&directory)?;
            let row = &mut rows[index];
            contenders[index].measure(arguments, &directory, row)?;
            eprintln!("  {}: {:.0} a second", row.name, row.rates[round]);
        }
        let tree = rows[0].rates[round];
        for row in &mut rows {
            row.of_tree.push(row.rates[round] / tree);
        }
    }
    let table = table(&rows);
    println!("{table}");
    println!("{}", serde_json::to_string(&rows)?);
    if arguments.write {
        results::write_section("store", &table)?;
    }
    eprintln!("removing {}", directory.path().display());
    directory.close()?;
    Ok(())
}

fn contenders(arguments: &Arguments) -> Vec<Contender> {
    // The yardstick is the first.
    let mut contenders = vec![
        Contender::Tree(Care::None),
        Contender::Tree(Care::Renamed),
        Contender::Tree(Care::Synced),
    ];
    contenders.push(Contender::Threads(2));
    contenders.extend([1, 16, 256].map(|batch| Contender::Journal { batch }));
    for concurrency in &arguments.concurrency {
        for engine in &arguments.engines {
            contenders.push(Contender::Store {
                engine: engine.clone(),
                concurrency: *concurrency,
            });
        }
    }
    contenders
}

impl Contender {
    fn name(&self) -> String {
        match self {
            Self::Tree(Care::None) => "tree without any sync, made in place".into(),
            Self::Threads(threads) => format!("the same in {threads} threads"),
            Self::Tree(Care::Renamed) => "tree by way of incoming and a rename".into(),
            Self::Tree(Care::Synced) => "tree, each file and directory synced".into(),
            Self::Journal { batch } => format!("journal alone, {batch} a sync"),
            Self::Store {
                engine,
                concurrency,
            } => format!("**store, {engine}, {concurrency} at a time**"),
        }
    }

    fn measure(
        &self,
        arguments: &Arguments,
        directory: &Path,
        row: &mut Row,
    ) -> Result<(), Box<dyn Error>> {
        let bytes = Bytes::from(vec![0x5a; arguments.size]);
        match self {
            Self::Tree(care) => {
                let count = match care {
                    Care::Synced => arguments.count.min(SYNCED_COUNT_MAX),
                    Care::None | Care::Renamed => arguments.count,
                };
                let container = vec![0x5a; HEADER_AND_LEASE_LEN + arguments.size];
                let before = process::cpu(std::process::id())?;
                let rate =
                    disk_limits::tree(directory, *care, store_load::names(0..count), &container)?;
                let cpu = process::cpu(std::process::id())? - before;
                row.rates.push(rate);
                row.cpu_us
                    .push(cpu.as_secs_f64() * 1e6 * disk_limits::ratio(1, count));
            }
            Self::Threads(threads) => {
                let count = arguments.count;
                let container = vec![0x5a; HEADER_AND_LEASE_LEN + arguments.size];
                let before = process::cpu(std::process::id())?;
                let rate = disk_limits::tree_in_threads(
                    directory,
                    *threads,
                    store_load::names(0..count),
                    &container,
                )?;
                let cpu = process::cpu(std::process::id())? - before;
                row.rates.push(rate);
                row.cpu_us
                    .push(cpu.as_secs_f64() * 1e6 * disk_limits::ratio(1, count));
            }
            Self::Journal { batch } => {
                let record_len = HEADER_AND_LEASE_LEN + arguments.size;
                let appending =
                    disk_limits::append(directory, *batch, record_len, JOURNAL_BATCHES)?;
                row.rates.push(appending.rate);
                row.ack_p50_ms
                    .push(appending.sync_p50.as_secs_f64() * 1000.0);
            }
            Self::Store {
                engine,
                concurrency,
            } => {
                let engine: EngineChoice = engine.parse()?;
                let names = store_load::names(0..count_of(arguments.count, *concurrency));
                let load = store_load::put_shares(directory, engine, names, &bytes, *concurrency)?;
                row.rates.push(load.rate);
                row.ack_p50_ms.push(load.ack_p50.as_secs_f64() * 1000.0);
                row.ack_p99_ms.push(load.ack_p99.as_secs_f64() * 1000.0);
                row.cpu_us.push(load.cpu.as_secs_f64() * 1e6);
                let count = count_of(arguments.count, *concurrency);
                let syncs = disk_limits::ratio(load.syncs, count);
                row.syncs_per_share.push(syncs);
            }
        }
        Ok(())
    }
}

impl Row {
    fn new(contender: &Contender) -> Self {
        Self {
            name: contender.name(),
            rates: Vec::new(),
            of_tree: Vec::new(),
            ack_p50_ms: Vec::new(),
            ack_p99_ms: Vec::new(),
            cpu_us: Vec::new(),
            syncs_per_share: Vec::new(),
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| small shares | a second | of the tree | ack or sync p50 | p99 | CPU a share | syncs a share |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    let cell = |values: &[f64], digits: usize, unit: &str| match values {
        [] => String::new(),
        values => format!("{:.digits$}{unit}", median(values)),
    };
    for row in rows {
        let percent: Vec<_> = row.of_tree.iter().map(|share| share * 100.0).collect();
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.name,
            cell(&row.rates, 0, ""),
            cell(&percent, 0, " %"),
            cell(&row.ack_p50_ms, 2, " ms"),
            cell(&row.ack_p99_ms, 2, " ms"),
            cell(&row.cpu_us, 0, " us"),
            cell(&row.syncs_per_share, 3, ""),
        )
        .expect("a string takes everything");
    }
    table.push_str(
        "\nMedians of the rounds, on a machine that others use too: only what is in one table can \
         be compared. The percentages are of the same round.\n",
    );
    table
}

/// How many shares are stored so many at a time: one by one most of it is waiting.
fn count_of(count: usize, concurrency: usize) -> usize {
    match concurrency {
        1 => count.min(LONE_COUNT_MAX),
        _ => count,
    }
}

/// Enough for a median, of shares that wait for a sync each.
const LONE_COUNT_MAX: usize = 2000;

/// What a container has beside the share: a header and one lease.
const HEADER_AND_LEASE_LEN: usize = 12 + 72;

/// Shares each synced for itself: a hundred take about a second.
const SYNCED_COUNT_MAX: usize = 100;

/// How far along a round begins from where the last one began.
const STRIDE: usize = 5;

/// Enough for a median.
const JOURNAL_BATCHES: usize = 300;
