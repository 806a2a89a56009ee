//! `tahoed`: the storage server.

#[cfg(feature = "jemalloc")]
mod allocator;
mod report;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use daemon::config::{self, ByteSize, Choices, Layout, Location, PORT_DEFAULT};
use daemon::{Directory, InitError, Made};
use protocol::control::Request;

/// Store other people's shares, and your own
///
/// A server of a storage grid. It keeps shares, which are pieces of encrypted files, and can read
/// none of them. Make a directory for it once, then run it. Clients need its NURL: one line that
/// holds its address, its key and the secret that lets them in.
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
    /// Make a server: directory, key, swissnum, store, configuration
    ///
    /// The swissnum is the secret that lets clients in. Nothing is ever overwritten: a key, a
    /// swissnum or a store that is there already is kept.
    ///
    /// For a server that exists, `--store` gives it another store, and changes nothing else.
    Init(Init),
    /// Take over a storage node of Tahoe-LAFS
    ///
    /// Stop the node first. Key, swissnum, TubID, nickname, reserved space and the shares where they
    /// lie are taken over, so that clients notice nothing; what is not taken over is warned of.
    /// Tahoe's files are not changed, and Tahoe may serve the node again when this server is stopped.
    ///
    /// Without a second directory, `tahoed.toml` is made in the node's own.
    Adopt {
        /// The node's directory, in which `tahoe.cfg` is
        node: PathBuf,
        /// The directory to make instead of using the node's
        directory: Option<PathBuf>,
    },
    /// Serve until SIGTERM, SIGINT or SIGQUIT
    ///
    /// Prints one line for each address listened on. The log goes to standard error. SIGHUP has the
    /// configuration read again, SIGUSR1 logs the status.
    Run {
        /// A directory that `tahoed init` made
        directory: PathBuf,
    },
    /// Print how a server and its store are
    ///
    /// Asks the running server; of one that is stopped, its store is looked at. Nothing is changed.
    Status(Asking),
    /// Have a running server prove the bytes of all its shares
    ///
    /// It begins now, or goes on where the last pass stopped, and goes on if this command is
    /// interrupted. Nothing is changed. What is damaged is in the log and in `tahoed status`.
    Scrub(Asking),
    /// Have a running server remove the shares whose leases have ended
    ///
    /// By the rule below `[expire]` in its configuration, which must allow it.
    Expire {
        #[command(flatten)]
        asking: Asking,
        /// Remove nothing; say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// Have a running server count its shares anew
    Count(Asking),
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
struct Asking {
    /// A directory that `tahoed init` made, or a store
    directory: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Init {
    /// The directory to make
    directory: PathBuf,
    /// The port to listen on, on all addresses of this machine; 0 is any free one
    #[arg(long, default_value_t = PORT_DEFAULT)]
    port: u16,
    /// An address to listen on instead, with its port; may be repeated
    #[arg(long, conflicts_with = "port", value_name = "ADDRESS:PORT", value_parser = address)]
    listen: Vec<SocketAddr>,
    /// Where clients are told to connect; may be repeated [default: this machine's name]
    #[arg(long, alias = "host", value_name = "HOST[:PORT]")]
    location: Vec<Location>,
    /// A name for people [default: this machine's name]
    #[arg(long)]
    nickname: Option<String>,
    /// The directory of the store, made if it is not there [default: storage, in DIRECTORY]
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
    /// How the shares of a new store lie: two-level, or one-level as Tahoe-LAFS has them
    #[arg(long, value_enum, default_value = "two-level")]
    layout: LayoutName,
    /// The size of the journal of a new store
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = journal_size)]
    journal_size: ByteSize,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LayoutName {
    TwoLevel,
    OneLevel,
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| match arguments.command {
        Command::Init(init) => make(init, &matches),
        Command::Adopt { node, directory } => adopt(&node, directory),
        Command::Run { directory } => daemon::serve(&Directory::new(directory)).map_err(Into::into),
        Command::Status(asking) => report::status(&asking.directory, asking.json),
        Command::Scrub(asking) => walk(&asking, &Request::Scrub {}),
        Command::Expire { asking, dry_run } => walk(&asking, &Request::Expire { dry_run }),
        Command::Count(asking) => walk(&asking, &Request::Count {}),
        Command::Nurl { directory } => print_nurls(&Directory::new(directory)),
        Command::ServersYaml { directory } => print_servers_yaml(&Directory::new(directory)),
    }));
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("tahoed: {error}");
            ExitCode::from(COULD_NOT)
        }
        Err(_) => ExitCode::from(OUR_BUG),
    }
}

fn make(init: Init, matches: &ArgMatches) -> Result<(), Box<dyn std::error::Error>> {
    let directory = Directory::new(&init.directory);
    if let Some(store) = init
        .store
        .as_deref()
        .filter(|_| directory.config_path().exists())
    {
        return give_store(&directory, store, matches);
    }
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
        // Without a port there is no place to name yet.
        _ if init.port == 0 => Vec::new(),
        _ => name.parse().into_iter().collect(),
    };
    let default = config::Store::default();
    let path = init.store.as_deref();
    let choices = Choices {
        nickname: init.nickname.unwrap_or(name),
        listen,
        location,
        store: config::Store {
            path: path.map_or(default.path.clone(), |path| {
                daemon::in_directory(directory.path(), path)
            }),
            layout: match init.layout {
                LayoutName::TwoLevel => Layout::TwoLevel,
                LayoutName::OneLevel => Layout::OneLevel,
            },
            journal_size: init.journal_size,
            ..default
        },
        expire: config::Expire::default(),
    };
    let made = match daemon::init(&directory, &choices) {
        Err(error @ InitError::NoPort) => usage(ErrorKind::MissingRequiredArgument, &error),
        made => made?,
    };
    let path = directory.path().display();
    println!("Made a server in {path}:");
    println!("    settings  {}", directory.config_path().display());
    for (what, file, which) in [
        (
            "key",
            directory.identity_path(),
            "back it up: clients know the server by it",
        ),
        (
            "swissnum",
            directory.swissnum_path(),
            "back it up: it lets clients in",
        ),
    ] {
        let which = match made.kept.contains(&file) {
            true => "it was there and is kept",
            false => which,
        };
        println!("    {what:<9} {} ({which})", file.display());
    }
    println!("    store     {} ({})", made.store.display(), state(&made));
    println!("Next:");
    println!("    tahoed run {path}");
    if choices.location.is_empty() {
        let config = directory.config_path();
        println!(
            "    set `location` in {}, where clients are to connect",
            config.display()
        );
    }
    println!("    tahoed nurl {path}           # for tahoectl grid add");
    println!("    tahoed servers-yaml {path}   # for clients of Tahoe-LAFS");
    Ok(())
}

/// Gives a server that exists another store.
fn give_store(
    directory: &Directory,
    store: &Path,
    matches: &ArgMatches,
) -> Result<(), Box<dyn std::error::Error>> {
    let (_, given) = matches.subcommand().expect("clap asks for one");
    let is_given = |option: &&&str| given.value_source(option) == Some(ValueSource::CommandLine);
    let others = [
        "port",
        "listen",
        "location",
        "nickname",
        "layout",
        "journal_size",
    ];
    if let Some(option) = others.iter().find(is_given) {
        let option = option.replace('_', "-");
        let path = directory.config_path();
        let said = format!(
            "there is a server already: only --store can be given; change --{option} in {}",
            path.display()
        );
        usage(ErrorKind::ArgumentConflict, &said);
    }
    let made = daemon::set_store(directory, store)?;
    let path = directory.path().display();
    println!(
        "The server in {path} has the store {} ({}).",
        made.store.display(),
        state(&made)
    );
    println!("Next:");
    println!("    tahoed run {path}");
    Ok(())
}

fn state(made: &Made) -> String {
    let id = made.id;
    match made.store_was_there {
        true => format!("it was there and is kept; identifier {id}"),
        false => format!("new and empty; identifier {id}"),
    }
}

/// Ends the process as clap does for arguments that make no sense.
fn usage(kind: ErrorKind, error: &dyn std::fmt::Display) -> ! {
    Arguments::command().error(kind, error).exit()
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let rule = "it must be an address and a port, such as 0.0.0.0:3457 or [::]:3457";
    text.parse().map_err(|_| rule)
}

fn journal_size(text: &str) -> Result<ByteSize, String> {
    let rule = || format!("it must be {}", config::JOURNAL_SIZE_RULE);
    config::journal_size(text).ok_or_else(rule)
}

fn adopt(node: &Path, directory: Option<PathBuf>) -> Result<(), Box<dyn std::error::Error>> {
    let directory = Directory::new(directory.unwrap_or_else(|| node.to_owned()));
    let adopted = daemon::adopt(node, &directory)?;
    println!("Taken over from tahoe.cfg, beside key, swissnum and names:");
    for taken in &adopted.taken {
        println!("    {taken}");
    }
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

fn walk(asking: &Asking, request: &Request) -> Result<(), Box<dyn std::error::Error>> {
    report::walk(&asking.directory, request, asking.json)
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
