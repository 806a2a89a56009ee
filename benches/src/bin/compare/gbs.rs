//! One server beside another under the same requests of GBS: rate, processor time and memory.

use std::array;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lafs::num;
use lafs::nurl::Nurl;

use benches::fit::median;
use benches::gbs::floor::Floor;
use benches::gbs::{Clients, Work};
use benches::hosts::Hosts;
use benches::ours::{Daemons, Programs};
use benches::peers::tahoe::alone::{Gateway, StorageNode};
use benches::plot::{Bar, Bars, Plot, Whose, number};
use benches::process::{self, Memory};
use benches::{results, session};

use crate::{Context, prepared};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to ask for
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Work::ALL)]
    work: Vec<Work>,
    /// Times that everything is asked for
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds that one kind of request has at each server a round
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Requests of one kind at each server a round, at most
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Connections that ask at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
    /// Files of 1 kB for the real client
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    files: u32,
}

/// The two servers, always in this order.
const NAMES: [&str; 2] = ["tahoed", "Tahoe-LAFS 1.20"];

/// Something of each server.
type Both<T> = [T; 2];

/// Something of each server, and of the floor behind them.
type All<T> = [T; 3];

/// What one kind of work took in each round.
struct Asked {
    work: Work,
    /// A second.
    rates: All<Vec<f64>>,
    /// Microseconds of the server's processor time each.
    cpu: All<Vec<f64>>,
}

/// What the real client took, in milliseconds a file.
struct Served {
    up: Both<f64>,
    down: Both<f64>,
    /// Of the server's processor time, both ways together.
    cpu: Both<f64>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Result<(), Box<dyn Error>> {
    let environment = prepared("tahoe-venv", &[])?;
    let directory = context.directory("tahoed")?;
    let daemons = Daemons::start(&Hosts::Loopback, &Programs::build()?, &directory, 1)?;
    let node = StorageNode::start(&environment, &context.directory("storage")?)?;
    let pids = [daemons.pids()[0], node.pid()];
    let mut command = Command::new(env::current_exe()?);
    command.arg("gbs-floor").arg(context.directory("floor")?);
    let floor = Floor::start(&mut command)?;
    thread::sleep(SETTLED);
    let idle = both(|server| process::memory(pids[server]))?;

    let nurls = [
        daemons.parsed_nurls().remove(0),
        node.nurl().clone(),
        floor.nurl().clone(),
    ];
    let asked = session::run(ask(&nurls, [pids[0], pids[1], floor.pid()], options))?;
    drop(floor);
    let loaded = both(|server| process::memory(pids[server]))?;

    let entries = [daemons.servers_yaml()[0].clone(), node.servers_yaml()?];
    let names = ["client-ours", "client-theirs"];
    let gateways = both(|server| {
        let directory = context.directory(names[server])?;
        Gateway::start(&environment, &directory, &entries[server])
    })?;
    let served = serve(&gateways, pids, options)?;
    report(context, options, &asked, (idle, loaded), &served)
}

/// Asks all servers for everything, in rounds.
async fn ask(nurls: &All<Nurl>, pids: All<u32>, options: &Options) -> io::Result<Vec<Asked>> {
    let mut clients = Vec::new();
    for nurl in nurls {
        clients.push(Clients::connect(nurl, options.connections).await?);
    }
    let unasked = |&work| Asked {
        work,
        rates: array::from_fn(|_| Vec::new()),
        cpu: array::from_fn(|_| Vec::new()),
    };
    let mut asked: Vec<_> = options.work.iter().map(unasked).collect();
    let time = Duration::from_secs(options.seconds);
    for round in 0..options.rounds {
        for Asked { work, rates, cpu } in &mut asked {
            for turn in 0..3 {
                // Another one is the first in every round.
                let server = (turn + num::len(round.into()).unwrap_or(0)) % 3;
                let (began, before) = (Instant::now(), process::cpu(pids[server])?);
                let done = clients[server].work(*work, time, options.requests).await?;
                let done = f64::from(u32::try_from(done).map_err(io::Error::other)?);
                let spent = process::cpu(pids[server])? - before;
                rates[server].push(done / began.elapsed().as_secs_f64());
                cpu[server].push(spent.as_secs_f64() * 1e6 / done);
            }
        }
    }
    Ok(asked)
}

/// Stores and fetches files with a real client of each server, in turn.
fn serve(gateways: &Both<Gateway>, pids: Both<u32>, options: &Options) -> io::Result<Served> {
    let before = both(|server| process::cpu(pids[server]))?;
    let mut times: Both<[Vec<f64>; 2]> = Default::default();
    for file in 0..options.files {
        for (gateway, times) in gateways.iter().zip(&mut times) {
            let mut content = vec![0; FILE_SIZE];
            content[..4].copy_from_slice(&file.to_be_bytes());
            let began = Instant::now();
            let capability = gateway.upload(&content)?;
            times[0].push(began.elapsed().as_secs_f64() * 1000.0);
            let began = Instant::now();
            if gateway.download(&capability)? != content {
                return Err(io::Error::other("a file came back different"));
            }
            times[1].push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let cpu = both(|server| Ok(process::cpu(pids[server])? - before[server]))?;
    Ok(Served {
        up: [0, 1].map(|server: usize| median(&times[server][0])),
        down: [0, 1].map(|server: usize| median(&times[server][1])),
        cpu: cpu.map(|cpu| cpu.as_secs_f64() * 1000.0 / f64::from(options.files)),
    })
}

fn report(
    context: &Context,
    options: &Options,
    asked: &[Asked],
    (idle, loaded): (Both<Memory>, Both<Memory>),
    served: &Served,
) -> Result<(), Box<dyn Error>> {
    let [ours, theirs] = NAMES;
    let mut text = format!(
        "| {} connections | {ours}, per second | {theirs} | {ours}, CPU us each | {theirs} | ratio of CPU | goal | floor, CPU us | of the floor |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        options.connections
    );
    let mut ratios = Vec::new();
    let mut forbidden = Vec::new();
    for Asked { work, rates, cpu } in asked {
        let rates = [0, 1].map(|server: usize| number(median(&rates[server])));
        let [ours, theirs, floor] = cpu;
        let ratio = median(&ratios_of(ours, theirs));
        let (over_floor, floor_ratio) = (
            median(&ratios_of(floor, ours)),
            median(&ratios_of(floor, theirs)),
        );
        let cpu = [0, 1, 2].map(|server: usize| number(median(&cpu[server])));
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | **{}** | {} | {} | {}x |",
            work.name(),
            rates[0],
            rates[1],
            cpu[0],
            cpu[1],
            number(ratio),
            work.goal(),
            cpu[2],
            number(over_floor),
        )?;
        if floor_ratio < f64::from(work.goal()) {
            forbidden.push(format!("{} ({})", work.name(), number(floor_ratio)));
        }
        ratios.push(Bar {
            name: work.name().to_owned(),
            whose: Whose::Ours,
            value: ratio,
        });
    }
    let memory = [
        ("resident, idle", idle.map(|memory| memory.resident)),
        (
            "resident, after the requests",
            loaded.map(|memory| memory.resident),
        ),
        ("at most", loaded.map(|memory| memory.peak)),
    ];
    writeln!(
        text,
        "\n| memory, MiB | {ours} | {theirs} | ratio |\n|---|--:|--:|--:|"
    )?;
    let mut parts = Vec::new();
    for (what, sizes) in memory {
        let [ours, theirs] = sizes.map(mebibytes);
        let part = theirs / ours;
        let [ours, theirs] = [ours, theirs].map(number);
        writeln!(text, "| {what} | {ours} | {theirs} | 1/{} |", number(part))?;
        parts.push(part);
    }
    writeln!(
        text,
        "\n| a real client, 1 kB, ms a file | {ours} | {theirs} |\n|---|--:|--:|"
    )?;
    for (what, times) in [
        ("up", served.up),
        ("down", served.down),
        ("CPU of the server, both ways and the polls", served.cpu),
    ] {
        let [ours, theirs] = times.map(number);
        writeln!(text, "| {what} | {ours} | {theirs} |")?;
    }
    let part_min = parts.iter().copied().fold(f64::MAX, f64::min);
    writeln!(
        text,
        "\nAn upload is two requests, allocate and write. The floor is TLS, the bare system calls of the answer and \
         nothing else: one direct write makes durable what waits for it. Goal for its multiple: 1.4. Of the memory \
         `tahoed` has at most 1/{} (goal: 1/15).",
        number(part_min),
    )?;
    if !forbidden.is_empty() {
        writeln!(
            text,
            "\nThe floor itself, as a multiple of Tahoe-LAFS, is below the goal for: {}.",
            forbidden.join(", ")
        )?;
    }
    println!("{text}");
    if !context.write {
        return Ok(());
    }
    let bars = Bars {
        title: "Requests in a second of processor time, as a multiple of Tahoe-LAFS 1.20"
            .to_owned(),
        bars: ratios,
    };
    let plot = results::write_plot("gbs", &Plot::Bars(bars))?;
    results::write_section("compare gbs", &format!("{text}\n{plot}"))?;
    Ok(())
}

/// How much more the second took than the first, in each round.
fn ratios_of(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| theirs / ours)
        .collect()
}

fn both<T>(mut make: impl FnMut(usize) -> io::Result<T>) -> io::Result<Both<T>> {
    Ok([make(0)?, make(1)?])
}

fn mebibytes(size: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size far below 2^52")]
    let mebibytes = size as f64 / f64::from(1 << 20);
    mebibytes
}

/// Until what happens after a start has happened.
const SETTLED: Duration = Duration::from_secs(5);

const FILE_SIZE: usize = 1000;
