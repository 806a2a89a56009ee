//! This project beside its peers, in one run: prints ratios and writes `docs/results.md` with plots.
//!
//! Everything runs on this machine's loopback or in the two hosts of a simulated line, in private
//! instances with their files in one temporary directory, and is gone afterwards.

mod delay;
mod gbs;
mod idle;
mod large;
mod process;
mod small;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, Subcommand};

use benches::gbs::floor;
use benches::results::{self, repository};

/// Compare this project with Tahoe-LAFS, scp and rsync
#[derive(Parser)]
struct Arguments {
    /// Where temporary files go; default the system's directory for them
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Replace the section of docs/results.md
    #[arg(long, global = true)]
    write: bool,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Many small files over a slow line
    Small(small::Options),
    /// One large file on one machine
    Large(large::Options),
    /// Delay and rate of one file over a line
    Delay(delay::Options),
    /// Memory and processor time while nothing happens
    Idle,
    /// Requests of Tahoe-LAFS's protocol: per second, processor time, memory
    Gbs(gbs::Options),
    /// A new `tahoectl` for each file of 1 kB
    Process(process::Options),
    /// Serve what the requests of `gbs` cost at least, from an empty directory
    #[command(hide = true)]
    GbsFloor {
        /// Where its files go
        store: PathBuf,
    },
    /// All of these, one after the other, as they are without options
    All,
}

/// What every part of the comparison needs.
struct Context {
    directory: tempfile::TempDir,
    write: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if let Part::GbsFloor { store } = &arguments.part {
        return Ok(floor::serve(store)?);
    }
    results::expect_writable(arguments.write)?;
    let parent = arguments
        .directory
        .clone()
        .unwrap_or_else(std::env::temp_dir);
    let directory = tempfile::Builder::new()
        .prefix("compare-")
        .tempdir_in(parent)?;
    let context = Context {
        directory,
        write: arguments.write,
    };
    match &arguments.part {
        Part::Small(options) => small::run(&context, options),
        Part::Large(options) => large::run(&context, options),
        Part::Delay(options) => delay::run(&context, options),
        Part::Idle => idle::run(&context),
        Part::Gbs(options) => gbs::run(&context, options),
        Part::Process(options) => process::run(&context, options),
        Part::GbsFloor { .. } => unreachable!("it was served"),
        Part::All => {
            for part in ["small", "large", "delay", "idle", "gbs", "process"] {
                println!("\n{part}\n");
                let Arguments { part, .. } = Arguments::parse_from(["compare", part]);
                run(&Arguments {
                    part,
                    directory: arguments.directory.clone(),
                    write: arguments.write,
                })?;
            }
            Ok(())
        }
    }
}

impl Context {
    /// A new directory for one program's files.
    fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.directory.path().join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// A directory of files whose bytes no program can compress.
    fn random_files(&self, name: &str, count: u32, size: u64) -> io::Result<Vec<PathBuf>> {
        let directory = self.directory(name)?;
        (0..count)
            .map(|index| {
                let path = directory.join(format!("{index:06}"));
                random_file(&path, size)?;
                Ok(path)
            })
            .collect()
    }
}

fn random_file(path: &Path, size: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    io::copy(&mut File::open("/dev/urandom")?.take(size), &mut file)?;
    file.flush()
}

/// Runs a script of `ci/` and returns what it prints: where it put something.
fn prepared(script: &str, arguments: &[&str]) -> io::Result<PathBuf> {
    let output = Command::new(repository().join("ci").join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("ci/{script}: {}", output.status)));
    }
    Ok(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim(),
    ))
}
