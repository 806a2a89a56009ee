//! `tahoed`: the storage server.

#[cfg(feature = "jemalloc")]
mod allocator;

use std::io::IsTerminal;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use daemon::Directory;
use daemon::config::{Choices, Location, PORT_DEFAULT};

/// Store other people's shares, and your own
///
/// A server of a storage grid. It keeps shares, which are pieces of encrypted files, and can read
/// none of them. Make a directory for it once, then run it, and give its NURL to the clients:
///
///     tahoed init /srv/tahoed --location storage.example.org
///     tahoed run /srv/tahoed
///     tahoed nurl /srv/tahoed
///     tahoed servers-yaml /srv/tahoed
#[derive(Parser)]
#[command(version, name = "tahoed", verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a server's directory: key, certificate, swissnum, configuration
    ///
    /// The directory may exist, but must not hold a server yet. Nothing is ever overwritten.
    Init(Init),
    /// Take over a storage node of Tahoe-LAFS
    ///
    /// Stop the node first. Key, swissnum, TubID, nickname, reserved space and the shares where they
    /// lie are taken over, so that clients go on as before; what is not is warned of. Tahoe's files
    /// are not changed, and Tahoe may serve the node again when this server is stopped.
    ///
    /// Without a second directory, `tahoed.toml` is made in the node's own.
    Adopt {
        /// The node's directory, in which `tahoe.cfg` is
        node: PathBuf,
        /// The directory to make instead of using the node's
        directory: Option<PathBuf>,
    },
    /// Serve until SIGTERM or SIGINT
    ///
    /// Prints one line for each address listened on. The log goes to standard error.
    Run {
        /// A directory that `tahoed init` made
        directory: PathBuf,
    },
    /// Print the NURLs, which let clients in
    ///
    /// One for each `location` of the configuration. They hold the swissnum: give them to those who
    /// may store here, and to nobody else.
    Nurl {
        /// A directory that `tahoed init` made
        directory: PathBuf,
    },
    /// Print the entry for `private/servers.yaml` of Tahoe-LAFS clients
    ///
    /// A client of Tahoe-LAFS 1.20 that has it uses this server. It holds the swissnum, as NURLs do.
    /// A client that has such a file already needs all but the first line of this one added to it.
    ServersYaml {
        /// A directory that `tahoed init` made
        directory: PathBuf,
    },
}

#[derive(clap::Args)]
struct Init {
    /// The directory to make
    directory: PathBuf,
    /// The port to listen on, on all addresses of this machine; 0 is any free one
    #[arg(long, default_value_t = PORT_DEFAULT)]
    port: u16,
    /// An address to listen on instead, with its port; may be repeated
    #[arg(long, conflicts_with = "port", value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Where clients are told to connect; may be repeated [default: this machine's name]
    #[arg(long, alias = "host", value_name = "HOST[:PORT]")]
    location: Vec<Location>,
    /// A name for people [default: this machine's name]
    #[arg(long)]
    nickname: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = std::panic::catch_unwind(|| match arguments.command {
        Command::Init(init) => make(init),
        Command::Adopt { node, directory } => adopt(&node, directory),
        Command::Run { directory } => daemon::serve(&Directory::new(directory)).map_err(Into::into),
        Command::Nurl { directory } => print_nurls(&Directory::new(directory)),
        Command::ServersYaml { directory } => print_servers_yaml(&Directory::new(directory)),
    });
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("tahoed: {error}");
            ExitCode::from(COULD_NOT)
        }
        Err(_) => ExitCode::from(OUR_BUG),
    }
}

fn make(init: Init) -> Result<(), Box<dyn std::error::Error>> {
    let name = machine_name();
    let listen = match init.listen {
        given if !given.is_empty() => given,
        _ => vec![
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, init.port)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, init.port)),
        ],
    };
    let location = match init.location {
        given if !given.is_empty() => given,
        _ => name.parse().into_iter().collect(),
    };
    let directory = Directory::new(init.directory);
    let choices = Choices {
        nickname: init.nickname.unwrap_or(name),
        listen,
        location,
    };
    daemon::init(&directory, &choices)?;
    let path = directory.path().display();
    if std::io::stdout().is_terminal() {
        println!(
            "Made {path}. Look at {}, then:",
            directory.config_path().display()
        );
        println!("    tahoed run {path}");
        println!("    tahoed nurl {path}");
    }
    Ok(())
}

fn adopt(node: &Path, directory: Option<PathBuf>) -> Result<(), Box<dyn std::error::Error>> {
    let directory = Directory::new(directory.unwrap_or_else(|| node.to_owned()));
    let adopted = daemon::adopt(node, &directory)?;
    for warning in &adopted.warnings {
        eprintln!("tahoed: warning: {warning}");
    }
    let path = directory.path().display();
    println!(
        "Took over {}. Look at {}, then:",
        adopted.store.display(),
        directory.config_path().display()
    );
    println!("    tahoed run {path}");
    println!("    tahoed servers-yaml {path}");
    Ok(())
}

fn print_nurls(directory: &Directory) -> Result<(), Box<dyn std::error::Error>> {
    let config = directory.config()?;
    for nurl in directory.nurls(&config, None)? {
        println!("{nurl}");
    }
    Ok(())
}

fn print_servers_yaml(directory: &Directory) -> Result<(), Box<dyn std::error::Error>> {
    let config = directory.config()?;
    print!("{}", daemon::servers_yaml(directory, &config, None)?);
    Ok(())
}

fn machine_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    match name.is_empty() {
        true => "localhost".to_owned(),
        false => name,
    }
}

/// Exit code: it was understood and could not be done. (Clap exits with 2 for what was not.)
const COULD_NOT: u8 = 3;

/// Exit code: we panicked.
const OUR_BUG: u8 = 70;
