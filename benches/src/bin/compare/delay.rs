//! The fit of time = A + size / B for one file: A is what is waited for, B what the line carries.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lafs::cap::Cap;

use benches::fit::{Fit, median};
use benches::hosts::Hosts;
use benches::line::{Line, Settings, Side};
use benches::ours::{Client, Daemons, Programs};
use benches::peers::ssh::SshServer;
use benches::peers::tahoe::{Encoding, Tahoe};
use benches::plot::{Plot, Points, Series, Whose, number};
use benches::session::{self, Session};
use benches::{process, results};

use crate::{Context, prepared, random_file};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Round trip time in milliseconds
    #[arg(long, default_value_t = 50)]
    rtt_ms: u64,
    /// Bytes per second each way
    #[arg(long, default_value_t = 1_000_000)]
    rate: u64,
    /// Sizes in kB
    #[arg(long, value_delimiter = ',', default_values_t = [1, 20, 50, 100, 200, 400])]
    sizes_kb: Vec<u64>,
    /// Times each size is measured
    #[arg(long, default_value_t = 5)]
    repeat: u32,
}

/// The median time of each size.
struct Row {
    name: &'static str,
    whose: Whose,
    up: Vec<(f64, f64)>,
    down: Vec<(f64, f64)>,
}

/// One program's way of storing a file and having it back.
trait Store {
    fn upload(&mut self, source: &Path) -> io::Result<()>;
    /// Downloads what was uploaded last.
    fn download(&mut self, target: &Path) -> io::Result<()>;
}

pub(crate) fn run(context: &Context, options: &Options) -> Result<(), Box<dyn Error>> {
    let rtt = Duration::from_millis(options.rtt_ms);
    let (up_rate, down_rate) = (options.rate, options.rate);
    // A quarter of a second, as routers have: ten servers that are sent to at once overrun less, and
    // what is measured is then how TCP recovers.
    let queue_size = (options.rate / 4).max(64 << 10);
    let settings = Settings {
        rtt,
        up_rate,
        down_rate,
        queue_size,
    };
    let hosts = Hosts::Line(Line::up(settings, ENCODING.total + 1)?);
    let directory = context.directory("delay")?;

    let programs = Programs::build()?;
    let mut rows = Vec::new();
    {
        let home = context.directory("ours")?;
        let daemons = Daemons::start(&hosts, &programs, &home, ENCODING.total)?;
        rows.push(open_connections(&hosts, &daemons, options, &directory)?);
        let client = Client::new(&hosts, &programs, &home, &daemons)?;
        let mut store = OurProcess {
            client,
            cap: String::new(),
        };
        rows.push(measure(
            ("tahoectl, first contact", Whose::Ours),
            options,
            &directory,
            &mut store,
        )?);
    }
    {
        let home = context.directory("tahoe")?;
        let grid = Tahoe::start(&hosts, &prepared("tahoe-venv", &[])?, &home, ENCODING)?;
        let mut store = TahoeGateway {
            grid,
            cap: String::new(),
        };
        rows.push(measure(
            ("Tahoe-LAFS 1.20, connections open", Whose::Tahoe),
            options,
            &directory,
            &mut store,
        )?);
    }
    {
        prepared("packages", &["openssh-client"])?;
        let home = context.directory("ssh")?;
        let server = SshServer::start(&hosts, &prepared("sshd", &[])?, &home)?;
        let mut store = Scp {
            hosts: &hosts,
            server,
            stored: home.join("stored"),
        };
        rows.push(measure(
            ("scp of one copy, first contact", Whose::Copy),
            options,
            &directory,
            &mut store,
        )?);
    }
    report(context, options, &rows)
}

fn measure(
    (name, whose): (&'static str, Whose),
    options: &Options,
    directory: &Path,
    store: &mut impl Store,
) -> io::Result<Row> {
    let mut row = Row::new(name, whose);
    for &size_kb in &options.sizes_kb {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for _ in 0..options.repeat {
            let (source, target) = new_file(directory, size_kb)?;
            up.push(timed(|| store.upload(&source))?);
            down.push(timed(|| store.download(&target))?);
        }
        row.add(size_kb, &up, &down);
    }
    Ok(row)
}

/// The same for this project's client in this process, whose calls are not blocking.
fn open_connections(
    hosts: &Hosts,
    daemons: &Daemons,
    options: &Options,
    directory: &Path,
) -> io::Result<Row> {
    let nurls = daemons.parsed_nurls();
    let work = async || {
        let mut row = Row::new("this project, connections open", Whose::Ours);
        let session = Session::new(&nurls, ENCODING.needed.into());
        session.upload(&new_file(directory, 1)?.0).await?;
        for &size_kb in &options.sizes_kb {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            for _ in 0..options.repeat {
                let (source, target) = new_file(directory, size_kb)?;
                let (cap, sample): (Cap, _) = session.upload(&source).await?;
                up.push(milliseconds(sample.time));
                down.push(milliseconds(session.download(&cap, &target).await?.time));
            }
            row.add(size_kb, &up, &down);
        }
        session.close().await;
        Ok(row)
    };
    hosts.within(Side::Client, || session::run(work()))?
}

impl Row {
    fn new(name: &'static str, whose: Whose) -> Self {
        Self {
            name,
            whose,
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    fn add(&mut self, size_kb: u64, up: &[f64], down: &[f64]) {
        let size_kb = f64::from(u32::try_from(size_kb).expect("a file for a slow line is small"));
        let (up, down) = (median(up), median(down));
        println!(
            "{}, {size_kb} kB: {} ms up, {} ms down",
            self.name,
            number(up),
            number(down)
        );
        self.up.push((size_kb, up));
        self.down.push((size_kb, down));
    }
}

struct OurProcess<'a> {
    client: Client<'a>,
    cap: String,
}

impl Store for OurProcess<'_> {
    fn upload(&mut self, source: &Path) -> io::Result<()> {
        let (mut caps, _) = self.client.upload(&[source.to_owned()], &[])?;
        self.cap = caps.remove(0);
        Ok(())
    }

    fn download(&mut self, target: &Path) -> io::Result<()> {
        self.client.download(&self.cap, target).map(drop)
    }
}

struct TahoeGateway<'a> {
    grid: Tahoe<'a>,
    cap: String,
}

impl Store for TahoeGateway<'_> {
    fn upload(&mut self, source: &Path) -> io::Result<()> {
        self.cap = self.grid.upload(source)?;
        Ok(())
    }

    fn download(&mut self, target: &Path) -> io::Result<()> {
        self.grid.download(&self.cap, &mut File::create(target)?)
    }
}

struct Scp<'a> {
    hosts: &'a Hosts,
    server: SshServer,
    stored: PathBuf,
}

impl Scp<'_> {
    fn copy(&self, source: &str, target: &str) -> io::Result<()> {
        let mut command = Command::new("scp");
        command
            .arg("-qF")
            .arg(self.server.configuration())
            .args([source, target]);
        command.stdin(Stdio::null());
        process::run(&mut command, LIMIT, |command| {
            self.hosts.spawn(Side::Client, command)
        })
        .map(drop)
    }
}

impl Store for Scp<'_> {
    fn upload(&mut self, source: &Path) -> io::Result<()> {
        self.copy(
            &source.to_string_lossy(),
            &format!("server:{}", self.stored.display()),
        )
    }

    fn download(&mut self, target: &Path) -> io::Result<()> {
        self.copy(
            &format!("server:{}", self.stored.display()),
            &target.to_string_lossy(),
        )
    }
}

/// A file that no server has, and where it is to come back to.
fn new_file(directory: &Path, size_kb: u64) -> io::Result<(PathBuf, PathBuf)> {
    let source = directory.join("source");
    random_file(&source, 1000 * size_kb)?;
    Ok((source, directory.join("target")))
}

fn timed(work: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(milliseconds(began.elapsed()))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn report(context: &Context, options: &Options, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let rtt_ms = f64::from(u32::try_from(options.rtt_ms)?);
    let mut table = String::from(
        "| | | A, ms | A, round trips | B, kB/s of the file | of the line |\n|---|---|--:|--:|--:|--:|\n",
    );
    let line = f64::from(u32::try_from(options.rate)?) / 1000.0;
    for row in rows {
        for (direction, points) in [("up", &row.up), ("down", &row.down)] {
            let Some(Fit { intercept, slope }) = Fit::of(points) else {
                continue;
            };
            let (ms, trips, rate) = (intercept, intercept / rtt_ms, 1000.0 / slope);
            let [ms, trips, part] = [ms, trips, 100.0 * rate / line].map(number);
            let (name, rate) = (row.name, number(rate));
            writeln!(
                table,
                "| {name} | {direction} | {ms} | {trips} | {rate} | {part} % |"
            )?;
        }
    }
    let (needed, total) = (f64::from(ENCODING.needed), f64::from(ENCODING.total));
    writeln!(
        table,
        "\nThe line: {} ms, {line} kB/s each way. Up, a grid sends {} times the file, so that {} % of the line is all \
         that is possible; scp sends one copy.",
        options.rtt_ms,
        number(total / needed),
        number(100.0 * needed / total),
    )?;
    println!("{table}");
    if !context.write {
        return Ok(());
    }
    let mut text = table;
    for (direction, name) in [("up", "delay-up"), ("down", "delay-down")] {
        let series = rows.iter().map(|row| Series {
            name: row.name.to_owned(),
            whose: row.whose,
            is_dashed: row.name.ends_with("first contact"),
            points: match direction {
                "up" => row.up.clone(),
                _ => row.down.clone(),
            },
        });
        let plot = Points {
            title: format!(
                "One file {direction}, over {} ms and {line} kB/s",
                options.rtt_ms
            ),
            x: "size, kB".to_owned(),
            y: "ms".to_owned(),
            series: series.collect(),
        };
        let plot = results::write_plot(name, &Plot::Points(plot))?;
        write!(text, "\n{plot}\n")?;
    }
    results::write_section("compare delay", &text)?;
    Ok(())
}

const ENCODING: Encoding = Encoding {
    needed: 3,
    total: 10,
};

/// For one file.
const LIMIT: Duration = Duration::from_secs(300);
