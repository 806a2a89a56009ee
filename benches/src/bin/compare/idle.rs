//! What a server and a client take while nothing happens.

use std::error::Error;
use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use benches::hosts::Hosts;
use benches::ours::{Daemons, Programs};
use benches::peers::tahoe::{Encoding, Tahoe};
use benches::plot::number;
use benches::{process, results};

use crate::{Context, prepared};

pub(crate) fn run(context: &Context) -> Result<(), Box<dyn Error>> {
    let hosts = Hosts::Loopback;
    let environment = prepared("tahoe-venv", &[])?;
    let daemons = Daemons::start(&hosts, &Programs::build()?, &context.directory("ours")?, 1)?;
    let encoding = Encoding {
        needed: 1,
        total: 1,
    };
    let tahoe = Tahoe::start(&hosts, &environment, &context.directory("tahoe")?, encoding)?;
    thread::sleep(SETTLED);

    let rows = [
        ("tahoed, never connected to", daemons.pids()[0]),
        (
            "Tahoe-LAFS 1.20, storage node, after one file of 1 kB",
            tahoe.server_pids()[0],
        ),
        (
            "Tahoe-LAFS 1.20, client node, after the same",
            tahoe.client_pid(),
        ),
    ];
    let mut table = String::from("| | MiB resident | processor, ms a minute |\n|---|--:|--:|\n");
    let before = rows.map(|(_, pid)| process::cpu(pid));
    thread::sleep(WATCHED);
    for ((name, pid), before) in rows.into_iter().zip(before) {
        let cpu = process::cpu(pid)?.saturating_sub(before?);
        let resident = f64::from(u32::try_from(process::memory(pid)?.resident / 1024)?) / 1024.0;
        let (resident, minutes) = (number(resident), WATCHED.as_secs_f64() / 60.0);
        let cpu = number(cpu.as_secs_f64() * 1000.0 / minutes);
        writeln!(table, "| {name} | {resident} | {cpu} |")?;
    }
    println!("{table}");
    if context.write {
        results::write_section("compare idle", &table)?;
    }
    Ok(())
}

/// Until what happens after a start has happened.
const SETTLED: Duration = Duration::from_secs(10);

/// How long processor time is counted.
const WATCHED: Duration = Duration::from_secs(30);
