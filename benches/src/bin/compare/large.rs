//! One large file on one machine: rate, processor time and memory.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use benches::hosts::Hosts;
use benches::ours::{Client, Daemons, Programs};
use benches::parts::Parts;
use benches::peers::tahoe::{Encoding, Tahoe};
use benches::plot::{Bar, Bars, Plot, Whose, number};
use benches::process::{self, Cost};
use benches::results;

use crate::{Context, prepared, random_file};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Size of the file in MB (10^6 bytes)
    #[arg(long, default_value_t = 1000)]
    size_mb: u64,
    /// Size of the file for Tahoe-LAFS in MB
    #[arg(long, default_value_t = 250)]
    tahoe_size_mb: u64,
    /// Also measure this project with ten times the size: takes 55 times the size of disk space
    #[arg(long)]
    huge: bool,
    /// A directory in memory, to measure there too
    #[arg(long, default_value = "/dev/shm")]
    memory: PathBuf,
}

/// What one program did with a file.
struct Row {
    name: &'static str,
    place: &'static str,
    size: u64,
    upload: Transfer,
    download: Transfer,
}

/// What it cost one way.
struct Transfer {
    client: Cost,
    /// Processor time of all servers, and the peak of one.
    servers: Cost,
}

impl Transfer {
    fn rate(&self, size: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a size far below 2^52")]
        let megabytes = size as f64 / 1e6;
        megabytes / self.client.time.as_secs_f64()
    }
}

pub(crate) fn run(context: &Context, options: &Options) -> Result<(), Box<dyn Error>> {
    let programs = Programs::build()?;
    let environment = prepared("tahoe-venv", &[])?;
    let in_memory = tempfile::Builder::new()
        .prefix("compare-")
        .tempdir_in(&options.memory)?;
    let mut rows = Vec::new();
    let mut parts = None;
    for (place, directory) in [
        ("disk", context.directory.path()),
        ("memory", in_memory.path()),
    ] {
        let size = options.size_mb * MB;
        rows.push(shown(ours(&programs, place, &emptied(directory)?, size)?));
        if place == "disk" {
            parts = Some(Parts::measure(
                &emptied(directory)?,
                ENCODING.needed,
                ENCODING.total,
            )?);
        }
        let size = options.tahoe_size_mb * MB;
        rows.push(shown(tahoe(
            &environment,
            place,
            &emptied(directory)?,
            size,
        )?));
    }
    if options.huge {
        let size = 10 * options.size_mb * MB;
        rows.push(shown(ours(
            &programs,
            "disk",
            &emptied(context.directory.path())?,
            size,
        )?));
    }
    report(context, &rows, parts.as_ref())
}

/// One at a time, so that the space of the one before is free again.
fn emptied(parent: &Path) -> io::Result<PathBuf> {
    let directory = parent.join("large");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir(&directory)?;
    Ok(directory)
}

fn ours(programs: &Programs, place: &'static str, directory: &Path, size: u64) -> io::Result<Row> {
    let hosts = Hosts::Loopback;
    let daemons = Daemons::start(&hosts, programs, directory, ENCODING.total)?;
    let client = Client::new(&hosts, programs, directory, &daemons)?;
    let (source, target) = (directory.join("source"), directory.join("target"));
    random_file(&source, size)?;

    let pids = daemons.pids();
    let ((capabilities, cost), servers) =
        process::observe(&pids, || client.upload(std::slice::from_ref(&source), &[]))?;
    let upload = Transfer {
        client: cost,
        servers,
    };
    let (cost, servers) = process::observe(&pids, || client.download(&capabilities[0], &target))?;
    let download = Transfer {
        client: cost,
        servers,
    };
    same(&source, &target)?;
    Ok(Row {
        name: "tahoectl and tahoed",
        place,
        size,
        upload,
        download,
    })
}

fn tahoe(environment: &Path, place: &'static str, directory: &Path, size: u64) -> io::Result<Row> {
    let hosts = Hosts::Loopback;
    let grid = Tahoe::start(&hosts, environment, directory, ENCODING)?;
    let (source, target) = (directory.join("source"), directory.join("target"));
    random_file(&source, size)?;

    let (client, servers) = ([grid.client_pid()], grid.server_pids());
    let ((capability, cost), servers_cost) = process::observe(servers, || {
        process::observe(&client, || grid.upload(&source))
    })?;
    let upload = Transfer {
        client: cost,
        servers: servers_cost,
    };
    let (((), cost), servers_cost) = process::observe(servers, || {
        process::observe(&client, || {
            grid.download(&capability, &mut File::create(&target)?)
        })
    })?;
    let download = Transfer {
        client: cost,
        servers: servers_cost,
    };
    same(&source, &target)?;
    Ok(Row {
        name: "Tahoe-LAFS 1.20",
        place,
        size,
        upload,
        download,
    })
}

/// What came back is what went in, or nothing else counts.
fn same(source: &Path, target: &Path) -> io::Result<()> {
    let hash = |path| {
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(path)?;
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok::<_, io::Error>(hasher.finalize()),
                len => hasher.update(&piece[..len]),
            };
        }
    };
    if hash(source)? == hash(target)? {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} came back different",
        source.display()
    )))
}

fn shown(row: Row) -> Row {
    println!(
        "{} ({}): {} MB/s up, {} MB/s down",
        row.name,
        row.place,
        number(row.upload.rate(row.size)),
        number(row.download.rate(row.size))
    );
    row
}

fn report(context: &Context, rows: &[Row], parts: Option<&Parts>) -> Result<(), Box<dyn Error>> {
    let mut table = String::from(
        "| | on | MB | | MB/s | CPU s/GB, client | CPU s/GB, servers | peak MiB, client | peak MiB, a server |\n\
         |---|---|--:|---|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let Row {
            name,
            place,
            size,
            upload,
            download,
        } = row;
        for (direction, transfer) in [("up", upload), ("down", download)] {
            let rate = number(transfer.rate(*size));
            let [client, servers] =
                [transfer.client, transfer.servers].map(|cost| per_gb(cost, *size));
            let [client_peak, server_peak] = [transfer.client, transfer.servers].map(mebibytes);
            let size = size / MB;
            writeln!(
                table,
                "| {name} | {place} | {size} | {direction} | {rate} | {client} | {servers} | {client_peak} | {server_peak} |"
            )?;
        }
    }
    let first = |name: &str| rows.iter().find(|row| row.name.starts_with(name));
    if let (Some(ours), Some(theirs)) = (first("tahoectl"), first("Tahoe")) {
        let ratio =
            |way: fn(&Row) -> &Transfer| way(ours).rate(ours.size) / way(theirs).rate(theirs.size);
        let (up, down) = (
            number(ratio(|row| &row.upload)),
            number(ratio(|row| &row.download)),
        );
        writeln!(
            table,
            "\nOn the disk: {up} times Tahoe-LAFS's rate up, {down} times down."
        )?;
    }
    if let (Some(ours), Some(parts)) = (first("tahoectl"), parts) {
        table.push_str(&beside(ours, parts)?);
    }
    println!("{table}");
    if !context.write {
        return Ok(());
    }
    let bars = rows.iter().flat_map(|row| {
        [("up", &row.upload), ("down", &row.download)]
            .map(|(direction, transfer)| bar(row, direction, transfer))
    });
    let bars = Bars {
        title: "One large file, 3 of 10, all on one machine: MB/s".to_owned(),
        bars: bars.collect(),
    };
    let plot = results::write_plot("large", &Plot::Bars(bars))?;
    results::write_section("compare large", &format!("{table}\n{plot}"))?;
    Ok(())
}

/// The result on the disk beside the parts that it is made of.
fn beside(ours: &Row, parts: &Parts) -> Result<String, std::fmt::Error> {
    let mut table = String::from(
        "\n| the parts, each alone, in the same run | CPU s/GB up | CPU s/GB down |\n|---|--:|--:|\n",
    );
    for part in &parts.parts {
        let (up, down) = (number(part.up), number(part.down));
        writeln!(table, "| {} | {up} | {down} |", part.name)?;
    }
    let both = |transfer: &Transfer| (transfer.client.cpu + transfer.servers.cpu).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a size far below 2^52")]
    let [up, down] =
        [&ours.upload, &ours.download].map(|way| number(both(way) * 1e9 / ours.size as f64));
    writeln!(
        table,
        "| **client and servers together** | **{up}** | **{down}** |"
    )?;
    let [disk_up, disk_down] = parts.disk.map(number);
    writeln!(
        table,
        "| seconds of the disk for what is written | {disk_up} | {disk_down} |"
    )?;
    let [up, down] = parts.rates();
    let [times_up, times_down] = [
        up / ours.upload.rate(ours.size),
        down / ours.download.rate(ours.size),
    ];
    writeln!(
        table,
        "\nSpread over all processors the parts allow {} MB/s up and {} MB/s down: {} and {} times what \
         was measured.",
        number(up),
        number(down),
        number(times_up),
        number(times_down)
    )?;
    Ok(table)
}

fn bar(row: &Row, direction: &str, transfer: &Transfer) -> Bar {
    let (name, whose) = match row.name.starts_with("Tahoe") {
        true => ("Tahoe-LAFS", Whose::Tahoe),
        false => ("tahoectl", Whose::Ours),
    };
    Bar {
        name: format!("{name}, {} MB {direction}, {}", row.size / MB, row.place),
        whose,
        value: transfer.rate(row.size),
    }
}

fn per_gb(cost: Cost, size: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size far below 2^52")]
    let gigabytes = size as f64 / 1e9;
    number(cost.cpu.as_secs_f64() / gigabytes)
}

fn mebibytes(cost: Cost) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size far below 2^52")]
    let mebibytes = cost.peak as f64 / f64::from(1 << 20);
    number(mebibytes)
}

const ENCODING: Encoding = Encoding {
    needed: 3,
    total: 10,
};

const MB: u64 = 1_000_000;
