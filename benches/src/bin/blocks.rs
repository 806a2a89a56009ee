//! A large share and a journal's append, past the page cache and through it: why the store writes as
//! it does, and how near it comes.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bucketfs::disk::EngineChoice;
use clap::Parser;

use benches::fit::median;
use benches::large_load::upload_shares;
use benches::large_writes::{self, Append, Way};

/// Measure writes past the page cache and through it, by plain calls and by the store
///
/// Every round measures each way once, in turn. The figures are medians.
#[derive(Parser)]
struct Arguments {
    /// Directory on the disk to measure
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Megabytes of a share
    #[arg(long, default_value_t = 100)]
    megabytes: u64,
    /// Uploads at a time, one or several numbers
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    uploads: Vec<u8>,
    /// Appends measured
    #[arg(long, default_value_t = 500)]
    appends: usize,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Engines, one or several names
    #[arg(long, value_delimiter = ',', default_value = "ring,pool")]
    engines: Vec<String>,
}

/// Figures of one way, one for each round.
struct Row {
    name: String,
    figures: Vec<[f64; 3]>,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blocks: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::Builder::new()
        .prefix("blocks-bench-")
        .tempdir_in(&arguments.dir)?;
    let (mut shares, mut appends) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        share_rows(arguments, directory.path(), &mut shares)?;
        append_rows(arguments, directory.path(), &mut appends)?;
    }
    print(
        ["a large share", "ns a byte", "CPU ns a byte", "sync ms"],
        &shares,
    );
    print(
        ["an append of 4 KiB", "a second", "p50 us", "CPU us"],
        &appends,
    );
    directory.close()?;
    Ok(())
}

fn share_rows(
    arguments: &Arguments,
    directory: &Path,
    rows: &mut Vec<Row>,
) -> Result<(), Box<dyn Error>> {
    let size = usize::try_from(arguments.megabytes << 20)?;
    for (way, piece) in ways() {
        let cost = large_writes::write_share(directory, way, size, piece)?;
        let name = format!("{way}, {} KiB", piece >> 10);
        let sync = cost.sync.as_secs_f64() * 1e3;
        let [time, cpu] = [cost.time, cost.cpu].map(|time| each(time, arguments.megabytes));
        add(rows, name, [time, cpu, sync]);
    }
    for engine in &arguments.engines {
        for at_a_time in &arguments.uploads {
            let place = tempfile::tempdir_in(directory)?;
            let choice: EngineChoice = engine.parse()?;
            let size = arguments.megabytes << 20;
            let (time, cpu) = upload_shares(place.path(), choice, size, PIECE, *at_a_time)?;
            let all = arguments.megabytes * u64::from(*at_a_time);
            let name = format!("**store, {engine}, {at_a_time} at a time**");
            add(rows, name, [each(time, all), each(cpu, all), f64::NAN]);
        }
    }
    Ok(())
}

fn append_rows(
    arguments: &Arguments,
    directory: &Path,
    rows: &mut Vec<Row>,
) -> Result<(), Box<dyn Error>> {
    for (way, name) in [
        (Append::Through, "page cache, then fdatasync"),
        (Append::Direct, "direct, durable by itself"),
    ] {
        let (rate, p50, cpu) = large_writes::append(directory, way, 4096, arguments.appends)?;
        let [p50, cpu] = [p50, cpu].map(|time| time.as_secs_f64() * 1e6);
        add(rows, name.into(), [rate, p50, cpu]);
    }
    Ok(())
}

fn ways() -> Vec<(Way, usize)> {
    let direct = |at_a_time, allocated| Way::Direct {
        at_a_time,
        allocated,
    };
    vec![
        (Way::Through, 64 << 10),
        (Way::Through, 256 << 10),
        (Way::Behind, 1 << 20),
        (direct(1, false), 256 << 10),
        (direct(2, false), 256 << 10),
        (direct(2, true), 256 << 10),
        (direct(1, false), 1 << 20),
        (direct(2, true), 1 << 20),
    ]
}

fn add(rows: &mut Vec<Row>, name: String, figures: [f64; 3]) {
    match rows.iter_mut().find(|row| row.name == name) {
        Some(row) => row.figures.push(figures),
        None => rows.push(Row {
            name,
            figures: vec![figures],
        }),
    }
}

/// Nanoseconds a byte.
fn each(time: Duration, megabytes: u64) -> f64 {
    let megabytes = u32::try_from(megabytes).expect("fewer than 2^32 are measured");
    time.as_secs_f64() * 1e9 / (f64::from(megabytes) * f64::from(1 << 20))
}

fn print(header: [&str; 4], rows: &[Row]) {
    println!("| {} |", header.join(" | "));
    println!("|---|--:|--:|--:|");
    for row in rows {
        let cells = [0, 1, 2].map(|column| {
            let values: Vec<_> = row.figures.iter().map(|figures| figures[column]).collect();
            match median(&values) {
                value if value.is_nan() => String::new(),
                value => format!("{value:.2}"),
            }
        });
        println!("| {} | {} |", row.name, cells.join(" | "));
    }
    println!();
}

/// As the pipeline protocol brings them.
const PIECE: usize = 64 << 10;
