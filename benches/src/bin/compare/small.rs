//! Many small files over a slow line: who waits for what.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use benches::hosts::Hosts;
use benches::line::{Line, Settings, Side};
use benches::ours::{Client, Daemons, Programs};
use benches::peers::ssh::SshServer;
use benches::peers::tahoe::{Encoding, Tahoe};
use benches::plot::{Bar, Bars, Plot, Whose, number};
use benches::{process, results};

use crate::{Context, prepared};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Files of 1 kB
    #[arg(long, default_value_t = 1000)]
    files: u32,
    /// Files for Tahoe-LAFS, whose time per file does not depend on their number
    #[arg(long, default_value_t = 100)]
    tahoe_files: u32,
    /// Round trip time in milliseconds
    #[arg(long, default_value_t = 14)]
    rtt_ms: u64,
    /// Bytes per second to the servers
    #[arg(long, default_value_t = 78_000)]
    up_rate: u64,
}

/// What one program did.
struct Row {
    name: &'static str,
    whose: Whose,
    remark: &'static str,
    files: u32,
    time: Duration,
    /// Bytes of IP packets to the servers.
    up: u64,
    /// The packets themselves; none of what was only computed.
    packets: Option<Packets>,
}

/// What the line was given.
struct Packets {
    sent: u64,
    /// Of those, dropped at the queue in front of the line.
    dropped: u64,
    /// TCP segments that the client sent again.
    resent: u64,
}

impl Row {
    fn ms_per_file(&self) -> f64 {
        self.time.as_secs_f64() * 1000.0 / f64::from(self.files)
    }

    fn up_per_file(&self) -> u64 {
        self.up / u64::from(self.files)
    }

    /// The time, in times of what the line takes for the bytes that it carried.
    fn of_its_bytes(&self, rate: u64) -> f64 {
        let bytes = u32::try_from(self.up).map_or(f64::MAX, f64::from);
        let rate = u32::try_from(rate).map_or(f64::MAX, f64::from);
        self.time.as_secs_f64() * rate / bytes
    }
}

pub(crate) fn run(context: &Context, options: &Options) -> Result<(), Box<dyn Error>> {
    let settings = Settings {
        rtt: Duration::from_millis(options.rtt_ms),
        up_rate: options.up_rate,
        ..Settings::default()
    };
    let hosts = Hosts::Line(Line::up(settings, ENCODING.total + 1)?);
    let plain = context.random_files("files", options.files, FILE_SIZE)?;
    context.random_files("expanded", options.files, EXPANDED_SIZE)?;

    let mut rows = vec![limit(options)];
    rows.push(ours(context, &hosts, &plain)?);
    rows.extend(ssh(context, &hosts, options.files)?);
    let tahoe_files = usize::try_from(options.tahoe_files)?.min(plain.len());
    rows.extend(tahoe(context, &hosts, &plain[..tahoe_files])?);
    report(context, options, &rows)
}

/// What the line alone takes for as many bytes as the shares have.
fn limit(options: &Options) -> Row {
    let up = EXPANDED_SIZE * u64::from(options.files);
    Row {
        name: "the line's limit",
        whose: Whose::Limit,
        remark: "3.33 kB a file and nothing else",
        files: options.files,
        time: Duration::from_nanos(up * 1_000_000_000 / options.up_rate.max(1)),
        up,
        packets: None,
    }
}

fn ours(context: &Context, hosts: &Hosts, files: &[PathBuf]) -> io::Result<Row> {
    let (programs, directory) = (Programs::build()?, context.directory("ours")?);
    let daemons = Daemons::start(hosts, &programs, &directory, ENCODING.total)?;
    let client = Client::new(hosts, &programs, &directory, &daemons)?;
    let count = u32::try_from(files.len()).unwrap_or(u32::MAX);
    let remark = "3 of 10, every share synced to the disk; first contact included";
    measured(hosts, "tahoectl upload", Whose::Ours, remark, count, || {
        client.upload(files, &["--happy", "10"]).map(drop)
    })
}

fn ssh(context: &Context, hosts: &Hosts, files: u32) -> io::Result<Vec<Row>> {
    prepared("packages", &["rsync", "openssh-client"])?;
    let sshd = prepared("sshd", &[])?;
    let server = SshServer::start(hosts, &sshd, &context.directory("ssh")?)?;
    let source = context.directory.path().join("expanded");
    let configuration = server.configuration();

    let mut scp = Command::new("scp");
    scp.arg("-rqF").arg(configuration).arg(&source);
    let mut rsync = Command::new("rsync");
    rsync
        .arg("-re")
        .arg(format!("ssh -F {}", configuration.display()))
        .arg(&source);
    let mut tar = Command::new("sh");
    tar.args([
        "-c",
        "tar -cC \"$0\" . | ssh -F \"$1\" server \"mkdir $2 && tar -xC $2\"",
    ]);
    tar.arg(&source).arg(configuration);

    let mut rows = Vec::new();
    for (name, command) in [
        ("rsync", &mut rsync),
        ("tar over ssh", &mut tar),
        ("scp -r", &mut scp),
    ] {
        let target = context.directory.path().join(name.replace(' ', "-"));
        match name {
            "tar over ssh" => command.arg(&target),
            _ => command.arg(format!("server:{}", target.display())),
        };
        command.stdin(Stdio::null());
        let row = measured(
            hosts,
            name,
            Whose::Copy,
            "files of 3.33 kB; not synced to the disk",
            files,
            || process::run(command, LIMIT, |command| hosts.spawn(Side::Client, command)).map(drop),
        )?;
        let arrived = count_files(&target)?;
        if arrived != files {
            return Err(io::Error::other(format!(
                "{name}: {arrived} of {files} files arrived"
            )));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn tahoe(context: &Context, hosts: &Hosts, files: &[PathBuf]) -> io::Result<Vec<Row>> {
    let environment = prepared("tahoe-venv", &[])?;
    let grid = Tahoe::start(hosts, &environment, &context.directory("tahoe")?, ENCODING)?;
    let count = u32::try_from(files.len()).unwrap_or(u32::MAX);
    let halves = files.split_at(files.len() / 2);
    let remark = "fewer files; not synced to the disk";
    Ok(vec![
        measured(
            hosts,
            "Tahoe-LAFS 1.20, 8 at a time",
            Whose::Tahoe,
            remark,
            count / 2,
            || upload_all(&grid, halves.0, 8),
        )?,
        measured(
            hosts,
            "Tahoe-LAFS 1.20, one by one",
            Whose::Tahoe,
            remark,
            count - count / 2,
            || upload_all(&grid, halves.1, 1),
        )?,
    ])
}

fn upload_all(grid: &Tahoe<'_>, files: &[PathBuf], at_a_time: usize) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let upload_some = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            grid.upload(file)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let uploading: Vec<_> = (0..at_a_time).map(|_| scope.spawn(upload_some)).collect();
        uploading
            .into_iter()
            .try_for_each(|uploading| uploading.join().expect("it does not panic"))
    })
}

fn measured(
    hosts: &Hosts,
    name: &'static str,
    whose: Whose,
    remark: &'static str,
    files: u32,
    work: impl FnOnce() -> io::Result<()>,
) -> io::Result<Row> {
    let Hosts::Line(line) = hosts else {
        unreachable!("this is measured over a line")
    };
    line.reset_statistics();
    let resent = line.resent(Side::Client)?;
    let began = Instant::now();
    work()?;
    let time = began.elapsed();
    let up = line.statistics().up;
    let packets = Packets {
        sent: up.packets,
        dropped: up.dropped,
        resent: line.resent(Side::Client)? - resent,
    };
    let row = Row {
        name,
        whose,
        remark,
        files,
        time,
        up: up.bytes_delivered,
        packets: Some(packets),
    };
    println!(
        "{name}: {} ms a file, {} B a file up",
        number(row.ms_per_file()),
        row.up_per_file()
    );
    Ok(row)
}

fn count_files(directory: &Path) -> io::Result<u32> {
    let mut count = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() {
            count_files(&entry.path())?
        } else {
            1
        };
    }
    Ok(count)
}

fn report(context: &Context, options: &Options, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let mut table = String::from(
        "| | ms a file | of the limit | bytes up a file | of bytes / rate | packets | dropped | sent twice | files | |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for row in rows {
        let (ms, ratio) = (row.ms_per_file(), row.ms_per_file() / rows[0].ms_per_file());
        let Row {
            name,
            remark,
            files,
            ..
        } = row;
        let packets = row.packets.as_ref().map_or_else(
            || "| | ".to_owned(),
            |packets| {
                let Packets {
                    sent,
                    dropped,
                    resent,
                } = packets;
                format!("{sent} | {dropped} | {resent}")
            },
        );
        writeln!(
            table,
            "| {name} | {} | {} x | {} | {} x | {packets} | {files} | {remark} |",
            number(ms),
            number(ratio),
            row.up_per_file(),
            number(row.of_its_bytes(options.up_rate)),
        )?;
    }
    println!("{table}");
    if !context.write {
        return Ok(());
    }
    let bars = rows.iter().map(|row| Bar {
        name: row.name.to_owned(),
        whose: row.whose,
        value: row.ms_per_file(),
    });
    let title = format!(
        "Files of 1 kB over {} ms and {} kB/s up: ms a file",
        options.rtt_ms,
        options.up_rate / 1000
    );
    let bars = bars.collect();
    let plot = results::write_plot("small", &Plot::Bars(Bars { title, bars }))?;
    results::write_section("compare small", &format!("{table}\n{plot}"))?;
    Ok(())
}

const ENCODING: Encoding = Encoding {
    needed: 3,
    total: 10,
};

const FILE_SIZE: u64 = 1000;

/// What 3-of-10 makes of it, so that programs without an erasure code carry as much.
const EXPANDED_SIZE: u64 = 3333;

/// For any one program.
const LIMIT: Duration = Duration::from_secs(1800);
