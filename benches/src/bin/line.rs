//! A line with a round trip and a rate, from the command line.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nix::sched::{CloneFlags, setns};

use benches::line::control::{self, Answer, Change, Request};
use benches::line::{Line, Settings, Side, server_address};

/// Simulate a line between two network namespaces
///
/// The client's address is 10.77.0.1, the server's 10.77.0.2, and further ones 10.77.1.1 and on. Nothing
/// outside the two namespaces is touched. The line goes when its time is over, or with `line down`.
#[derive(Parser)]
struct Arguments {
    /// Name of the line, for more than one at a time
    #[arg(long, default_value = "default")]
    name: String,
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make a line
    Up(Up),
    /// Run a program in one of the hosts
    Exec {
        /// Which host
        host: Host,
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<String>,
    },
    /// Change the line; connections stay up
    Set(Properties),
    /// Print what has passed, as JSON
    Stat {
        /// Start counting anew
        #[arg(long)]
        reset: bool,
    },
    /// End the line, and the programs in its hosts
    Down,
    /// Be the process that keeps a line (what `up` starts)
    #[command(hide = true)]
    Keep(Up),
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    properties: Properties,
    /// Further addresses of the server
    #[arg(long, default_value_t = 0)]
    server_addresses: u8,
    /// Seconds until the line ends by itself
    #[arg(long, default_value_t = 7200)]
    ttl: u32,
}

#[derive(Args)]
struct Properties {
    /// Round trip time in milliseconds
    #[arg(long)]
    rtt_ms: Option<f64>,
    /// Bytes per second to the server, IP headers included; 0 for no limit
    #[arg(long)]
    up_rate: Option<u64>,
    /// Bytes per second to the client; 0 for no limit
    #[arg(long)]
    down_rate: Option<u64>,
    /// Bytes that may wait in each direction; 0 for the larger of 64 KiB and twice what the line holds
    #[arg(long)]
    queue_size: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Host {
    Client,
    Server,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("line: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let name = arguments.name.as_str();
    match &arguments.command {
        Task::Up(up) => start_keeper(name, up),
        Task::Keep(up) => keep(name, up),
        Task::Exec { host, program } => {
            let side = match host {
                Host::Client => Side::Client,
                Host::Server => Side::Server,
            };
            let Answer::Namespace(path) = ask(name, &Request::Namespace(side))? else {
                return Err("the keeper answered something else".into());
            };
            setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
            let error = Command::new(&program[0]).args(&program[1..]).exec();
            Err(format!("{}: {error}", program[0]).into())
        }
        Task::Set(properties) => print(&ask(name, &Request::Set(properties.change()?))?),
        Task::Stat { reset } => print(&ask(name, &Request::Statistics { reset: *reset })?),
        Task::Down => ask(name, &Request::Down).map(drop),
    }
}

/// Starts the keeper in the background and waits until the line is up.
fn start_keeper(name: &str, up: &Up) -> Result<(), Box<dyn Error>> {
    if control::is_up(name) {
        return Err(format!(
            "the line '{name}' is up already; end it with `line down`, or give another --name"
        )
        .into());
    }
    let settings = up.properties.change()?.applied_to(Settings::default());
    let mut keeper = Command::new(std::env::current_exe()?)
        .args(["--name", name, "keep"])
        .args(["--ttl", &up.ttl.to_string()])
        .args(["--server-addresses", &up.server_addresses.to_string()])
        .args([
            "--rtt-ms",
            &(settings.rtt.as_secs_f64() * 1000.0).to_string(),
        ])
        .args(["--up-rate", &settings.up_rate.to_string()])
        .args(["--down-rate", &settings.down_rate.to_string()])
        .args(["--queue-size", &settings.queue_size.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut answer = String::new();
    BufReader::new(keeper.stdout.take().expect("stdout is piped")).read_line(&mut answer)?;
    if answer != READY {
        let output = keeper.wait_with_output()?;
        return Err(String::from_utf8_lossy(&output.stderr)
            .trim()
            .trim_start_matches("line: ")
            .into());
    }
    print!(
        "client {} server {}",
        Side::Client.address(),
        Side::Server.address()
    );
    for index in 0..up.server_addresses {
        print!(" {}", server_address(index));
    }
    println!();
    Ok(())
}

fn keep(name: &str, up: &Up) -> Result<(), Box<dyn Error>> {
    let settings = up.properties.change()?.applied_to(Settings::default());
    let line = Line::up(settings, up.server_addresses)?;
    let ttl = Duration::from_secs(up.ttl.into());
    control::keep(name, &line, settings, ttl, || {
        let mut stdout = io::stdout();
        stdout.write_all(READY.as_bytes())?;
        stdout.flush()
    })?;
    Ok(())
}

fn ask(name: &str, request: &Request) -> Result<Answer, Box<dyn Error>> {
    control::ask(name, request).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("no line '{name}' is up; make one with `line up`").into()
        }
        _ => error.into(),
    })
}

fn print(answer: &Answer) -> Result<(), Box<dyn Error>> {
    match answer {
        Answer::Settings(settings) => println!("{}", serde_json::to_string(settings)?),
        Answer::Statistics(statistics) => println!("{}", serde_json::to_string(statistics)?),
        Answer::Namespace(_) | Answer::Down => {}
    }
    Ok(())
}

impl Properties {
    fn change(&self) -> Result<Change, Box<dyn Error>> {
        let rtt = self
            .rtt_ms
            .map(|rtt_ms| Duration::try_from_secs_f64(rtt_ms / 1000.0))
            .transpose()?;
        Ok(Change {
            rtt,
            up_rate: self.up_rate,
            down_rate: self.down_rate,
            queue_size: self.queue_size,
        })
    }
}

/// What the keeper prints once the line is up.
const READY: &str = "ready\n";
