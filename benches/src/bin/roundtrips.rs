//! How the time of one upload and one download of a 1 kB file grows with the round trip time of the line.
//!
//! Ten real `tahoed` at ten addresses at the far end of a simulated line. The slope of time against
//! round trip time is the number of round trips that are waited for; what is left at zero is everything
//! else: encryption, the erasure code, TLS, and ten commits to one disk.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use lafs::nurl::Nurl;

use benches::fit::{Fit, median};
use benches::hosts::Hosts;
use benches::line::{Line, Settings, Side};
use benches::ours::{Daemons, Programs};
use benches::plot::{Plot, Points, Series, Whose, number};
use benches::results;
use benches::session::{self, Sample, Session};

/// Measure round trips over a simulated line
#[derive(Parser)]
struct Arguments {
    /// Round trip times in milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [14, 50, 100])]
    rtt_ms: Vec<u64>,
    /// Times each operation is measured at each round trip time
    #[arg(long, default_value_t = 15)]
    repeat: u32,
    /// Replace the section of docs/results.md
    #[arg(long)]
    write: bool,
}

/// What is measured.
#[derive(Clone, Copy)]
struct Operation {
    name: &'static str,
    whose: Whose,
    is_download: bool,
    /// The round trips that it may take.
    goal: u8,
}

const OPERATIONS: [Operation; 4] = [
    Operation {
        name: "upload, connections open",
        whose: Whose::Ours,
        is_download: false,
        goal: 1,
    },
    Operation {
        name: "download, connections open",
        whose: Whose::Ours,
        is_download: true,
        goal: 1,
    },
    Operation {
        name: "upload, first contact",
        whose: Whose::OursAlso,
        is_download: false,
        goal: 3,
    },
    Operation {
        name: "download, first contact",
        whose: Whose::OursAlso,
        is_download: true,
        goal: 3,
    },
];

/// The samples of each operation at one round trip time.
struct Measured {
    rtt_ms: f64,
    samples: [Vec<Sample>; 4],
}

impl Measured {
    fn median_ms(&self, operation: usize) -> f64 {
        let times: Vec<_> = self.samples[operation]
            .iter()
            .map(|sample| sample.time.as_secs_f64() * 1000.0)
            .collect();
        median(&times)
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("roundtrips: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    results::expect_writable(arguments.write)?;
    let programs = Programs::build()?;
    let hosts = Hosts::Line(Line::up(Settings::default(), SERVERS)?);
    let stores = tempfile::tempdir()?;
    let daemons = Daemons::start(&hosts, &programs, stores.path(), SERVERS)?;
    // The client's own files are in memory: how long its disk takes is not what is measured here.
    let files = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;

    let mut all = Vec::new();
    for &rtt_ms in &arguments.rtt_ms {
        let Hosts::Line(line) = &hosts else {
            unreachable!("it was made above")
        };
        line.set(Settings {
            rtt: Duration::from_millis(rtt_ms),
            ..Settings::default()
        });
        line.reset_statistics();
        let nurls = daemons.parsed_nurls();
        let samples = line.within(Side::Client, || {
            session::run(measure(&nurls, files.path(), arguments.repeat))
        })??;
        let late = line.statistics();
        let late_us = late.up.late_us_max.max(late.down.late_us_max);
        println!("{rtt_ms} ms: done; no packet was later than {late_us} us");
        all.push(Measured {
            rtt_ms: f64::from(u32::try_from(rtt_ms)?),
            samples,
        });
    }
    report(
        arguments,
        &all,
        Session::hello_size(&daemons.parsed_nurls()),
    )
}

async fn measure(nurls: &[Nurl], directory: &Path, repeat: u32) -> io::Result<[Vec<Sample>; 4]> {
    let mut samples = [const { Vec::new() }; 4];
    let open = Session::new(nurls, NEEDED);
    // Opens the connections; not counted.
    open.upload(&new_file(directory)?).await?;
    for _ in 0..repeat {
        let source = new_file(directory)?;
        let target = directory.join("target");
        let (cap, sample) = open.upload(&source).await?;
        samples[0].push(sample);
        samples[1].push(open.download(&cap, &target).await?);
        same(&source, &target)?;

        let first = Session::new(nurls, NEEDED);
        let (cap, sample) = first.upload(&new_file(directory)?).await?;
        samples[2].push(sample);
        first.close().await;
        let first = Session::new(nurls, NEEDED);
        samples[3].push(first.download(&cap, &target).await?);
        first.close().await;
    }
    open.close().await;
    Ok(samples)
}

/// A file that no server has.
fn new_file(directory: &Path) -> io::Result<PathBuf> {
    let mut bytes = [0; FILE_LEN];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let path = directory.join("source");
    fs::write(&path, bytes)?;
    Ok(path)
}

fn same(source: &Path, target: &Path) -> io::Result<()> {
    if fs::read(source)? == fs::read(target)? {
        return Ok(());
    }
    Err(io::Error::other("a file came back different"))
}

fn report(arguments: &Arguments, all: &[Measured], hello_size: u64) -> Result<(), Box<dyn Error>> {
    let mut table = String::from("| | ");
    for measured in all {
        write!(table, "ms at {} ms | ", measured.rtt_ms)?;
    }
    table += "round trips (slope) | goal | ms at 0 | counted by the client |\n|---|";
    table += &"--:|".repeat(all.len() + 4);
    table.push('\n');
    let mut series = Vec::new();
    for (index, operation) in OPERATIONS.iter().enumerate() {
        let points: Vec<_> = all
            .iter()
            .map(|measured| (measured.rtt_ms, measured.median_ms(index)))
            .collect();
        write!(table, "| {} | ", operation.name)?;
        for (_, ms) in &points {
            write!(table, "{} | ", number(*ms))?;
        }
        let counted: Vec<_> = all
            .iter()
            .flat_map(|measured| &measured.samples[index])
            .map(|sample| sample.round_trips)
            .collect();
        let counted = counted.iter().min().zip(counted.iter().max());
        let counted = counted.map_or_else(String::new, |(least, most)| match least == most {
            true => least.to_string(),
            false => format!("{least} to {most}"),
        });
        if let Some(Fit { intercept, slope }) = Fit::of(&points) {
            let (slope, intercept) = (number(slope), number(intercept));
            writeln!(
                table,
                "{slope} | {} | {intercept} | {counted} |",
                operation.goal
            )?;
        } else {
            writeln!(table, "- | {} | - | {counted} |", operation.goal)?;
        }
        series.push(Series {
            name: operation.name.to_owned(),
            whose: operation.whose,
            is_dashed: operation.is_download,
            points,
        });
    }
    table += "\nMedians. ";
    table += &bytes_per_share(all, hello_size);
    println!("{table}");
    if !arguments.write {
        return Ok(());
    }
    let plot = Points {
        title: "One file of 1 kB, 3 of 10: time against round trip time".to_owned(),
        x: "round trip time, ms".to_owned(),
        y: "ms".to_owned(),
        series,
    };
    let plot = results::write_plot("roundtrips", &Plot::Points(plot))?;
    results::write_section("roundtrips", &format!("{table}\n\n{plot}"))?;
    Ok(())
}

/// What passes for one share. All shares of a file have the same size, and each is one frame here.
fn bytes_per_share(all: &[Measured], hello_size: u64) -> String {
    let per_share = |operation: usize| {
        let traffic = all.first()?.samples[operation].first()?.traffic;
        Some((
            traffic.bytes_sent / traffic.frames_sent,
            traffic.bytes_received / traffic.frames_sent,
            traffic.frames_sent,
        ))
    };
    let mut text = String::new();
    if let (Some(upload), Some(download)) = (per_share(0), per_share(1)) {
        let (sent, answered, frames) = upload;
        let first_flight = sent + hello_size;
        text += &format!(
            "Bytes for a share, before TLS: an upload sends {sent} in one frame to each of {frames} servers and is \
             answered with {answered}; on a new connection the frame that opens it is {hello_size} more, \
             {first_flight} together (goal: at most 600). ",
        );
        let (asked, answered, frames) = download;
        text += &format!(
            "A download asks {frames} servers with {asked} and is answered with {answered}."
        );
    }
    text
}

const SERVERS: u8 = 10;

const NEEDED: u16 = 3;

const FILE_LEN: usize = 1000;
