//! The command line: what can be asked for, and its help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tools::download::Span;
use tools::home::Choice;

/// Store files on a grid of servers that need not be trusted
///
/// A file is encrypted and cut into shares, one for each of several servers. A few of the shares bring
/// the file back, and no server can read it. What `upload` prints is the file's capability: a line of
/// text that names the file and holds its key. Whoever has it can read the file, and nobody else can.
///
/// Exit codes: 0 done, 1 the answer is no, 2 usage, 3 could not, 70 a mistake in tahoectl, 141 nobody
/// reads the output any more.
#[derive(Debug, Parser)]
#[command(name = "tahoectl", version, verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Configuration directory [default: $TAHOECTL_DIR, or ~/.tahoectl]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Print results as JSON, one object a line, and errors as JSON to standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results and errors only: no progress, no remarks, no warnings
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a configuration directory with fresh secrets
    ///
    /// The secrets are made once and never replaced. With the convergence secret, uploading a file
    /// again finds the shares of the first time; keep a copy of the directory if you care.
    ///
    /// In a directory that has lost a file, makes that file again and leaves the others as they are.
    ///
    /// Without the options below, tahoectl chooses how files are spread by the number of servers in
    /// the grid, whenever a file is uploaded. What you set stays as you set it.
    #[command(verbatim_doc_comment)]
    Init(Init),
    /// Say which servers make up the grid
    #[command(subcommand)]
    Grid(Grid),
    /// Store files and print their capabilities
    ///
    /// Prints the capability of the file. Of several files, each line is a capability, two spaces and
    /// the name, in the order of the arguments; a file that fails does not stop the others. (As with
    /// sha256sum, a line that begins with a backslash has \n, \r or \\ in its name.)
    ///
    /// A file that was uploaded before is not sent again: the servers confirm that they have it, and
    /// renew its leases, which say until when they keep it.
    ///
    /// An upload succeeds when `happy` servers hold a share of their own, and together enough shares to
    /// bring the file back. Servers that are down, full, slow or lying are passed over and named on
    /// standard error.
    #[command(verbatim_doc_comment)]
    Upload(Upload),
    /// Bring a file back
    ///
    /// A file named with `-o` appears whole or not at all, and replaces another only with `--force`.
    /// Without `-o` the file goes to standard output, piece by piece as it is verified. What is not
    /// text is not written to a terminal, unless you ask for that with `-o -`.
    #[command(verbatim_doc_comment)]
    Download(Download),
    /// Check a store on this machine, and put right what can be
    ///
    /// STORE is the directory of a store: the one with the file `version`. It may be checked while its
    /// daemon runs; nothing is changed unless `--repair` is given, and nothing is ever deleted. What is
    /// bad is moved into the directory `quarantine` of the store.
    ///
    /// Looks at the place, the name, the type and the permissions of everything in the store, at the
    /// headers, sizes and leases of all shares, at the journal, and at uploads that ended. `docs/fsck.md`
    /// has all that can be found. With `--deep` all bytes are read and proved as well.
    ///
    /// Exit codes are those of fsck(8), added up: 0 nothing is wrong, 1 errors were corrected, 4 errors are
    /// left, 8 the check could not be made, 16 usage, 32 ended by a signal.
    #[command(verbatim_doc_comment)]
    Fsck(Fsck),
    /// Say what a store on this machine holds
    #[command(subcommand)]
    Store(Store),
    /// Try it out: ten servers on this machine, an upload, a download from three of them
    ///
    /// Starts ten real servers in a temporary directory, uploads the files, stops seven of the
    /// servers, downloads from the other three, compares, and cleans up. Needs no configuration.
    /// Without a file it uses a short text of its own.
    #[command(verbatim_doc_comment)]
    Try(Try),
    /// Move a server's store to another layout
    ///
    /// For the operator of a server: STORE is the store's directory, the one with `shares` in it. The
    /// layouts differ in how many directories there are between `shares` and the buckets; two-level is
    /// tahoed's own, one-level that of Tahoe-LAFS, flat that of its first versions.
    ///
    /// Buckets are moved by renaming their directories: nothing is copied, and no share is touched. It may
    /// be broken off at any time, by Ctrl-C or a power cut. The store can be served as it is then, and the
    /// same command goes on. One with the layout that the store had turns it round.
    ///
    /// What the file system has no room for, and what is in the way, is found out before anything is
    /// moved.
    #[command(verbatim_doc_comment)]
    Migrate(Migrate),
    /// Run a storage server in a directory that `tahoed init` made
    #[command(hide = true)]
    Daemon {
        /// The process, our parent, that we are not to outlive
        #[arg(long, value_name = "PID")]
        with: Option<u32>,
        /// The server's directory
        directory: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) encoding: Encoding,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Grid {
    /// Add servers by their NURLs
    ///
    /// `tahoed nurl DIR` prints the NURL of a server: its address, the hash of its key, and a secret
    /// (the swissnum) that lets clients in. Whoever has it may store shares there. `-` reads NURLs from
    /// standard input, which keeps them out of `ps`.
    ///
    /// Says how files are spread over the servers there are now.
    #[command(verbatim_doc_comment)]
    Add {
        /// NURLs, or `-`
        #[arg(required = true, value_name = "NURL")]
        nurls: Vec<String>,
    },
    /// List the servers
    ///
    /// The addresses and keys, not the secrets. With `--nurls`, the NURLs whole.
    #[command(verbatim_doc_comment)]
    List {
        /// Print the NURLs, secrets included
        #[arg(long)]
        nurls: bool,
    },
    /// Remove servers
    ///
    /// Their shares stay where they are, and are not asked for any more. Says how files are spread over
    /// the servers that are left.
    #[command(verbatim_doc_comment)]
    Remove {
        /// Servers as `grid list` prints them (host:port), or NURLs
        #[arg(required = true, value_name = "SERVER")]
        servers: Vec<String>,
    },
    /// Start a grid on this machine
    ///
    /// Makes servers in DIR, starts them, and makes a configuration for them in DIR/client. They run
    /// until `grid down`; a later `grid up` starts the same servers with their shares.
    #[command(verbatim_doc_comment)]
    Up {
        /// Where the grid lives; made if need be
        directory: PathBuf,
        /// How many servers [default: 10, or as many as DIR has]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
        servers: Option<u16>,
    },
    /// Stop the grid that `grid up` started
    ///
    /// The shares stay.
    #[command(verbatim_doc_comment)]
    Down {
        /// Where the grid lives
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Count its shares: by kind, by size, by age, by their leases
    ///
    /// STORE is the directory of a store: the one with the file `version`. Looks at every share's file,
    /// takes no lock and changes nothing; its daemon may run meanwhile, and then the numbers are of
    /// each share as it was seen. A share's age is how long ago its file was last written, a renewed
    /// lease included.
    #[command(verbatim_doc_comment)]
    Stats {
        /// The store
        store: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Upload {
    /// Files, or `-` for standard input
    ///
    /// Pipes, and files of /proc and /sys, are read once, like standard input.
    #[arg(verbatim_doc_comment, required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) encoding: Encoding,
    /// Use a key that nothing can be compared with
    ///
    /// Equal files then become unequal on the grid. What is read only once always gets such a key.
    #[arg(verbatim_doc_comment, long)]
    pub(crate) random_key: bool,
}

/// How files are spread.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Encoding {
    /// Shares that bring a file back [default: as configured, else by the number of servers]
    #[arg(short = 'k', long, value_name = "COUNT")]
    pub(crate) needed: Option<u16>,
    /// Servers that must hold a share of their own [default: as configured, else by the number of servers]
    #[arg(long, value_name = "COUNT")]
    pub(crate) happy: Option<u16>,
    /// Shares made [default: as configured, else by the number of servers]
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) total: Option<u16>,
}

#[derive(Args, Debug)]
pub(crate) struct Download {
    /// The capability, or `-` to read it from standard input
    ///
    /// Every process of this machine can see the arguments of another. `-` and `--cap-file` keep the
    /// capability out of them.
    #[arg(verbatim_doc_comment, required_unless_present = "cap_file")]
    pub(crate) cap: Option<String>,
    /// Read the capability from a file
    #[arg(long, value_name = "FILE", conflicts_with = "cap")]
    pub(crate) cap_file: Option<PathBuf>,
    /// Write to this file, in one step; `-` is standard output
    ///
    /// A symbolic link is followed. A new file gets the permissions that your umask leaves it; one
    /// that replaces another keeps the permissions of the other.
    #[arg(verbatim_doc_comment, short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file that is there
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Only this part: A-B (first and last byte, counted from 0), A- or -N (the last N)
    #[arg(long, value_name = "A-B", allow_hyphen_values = true)]
    pub(crate) range: Option<Span>,
}

#[derive(Args, Debug)]
pub(crate) struct Fsck {
    /// The directory of the store
    pub(crate) store: PathBuf,
    /// Read all bytes of all shares, and prove what can be proved without a key
    #[arg(long)]
    pub(crate) deep: bool,
    /// Put right what can be; a daemon that has the store open is asked to
    #[arg(long)]
    pub(crate) repair: bool,
    /// Only say what `--repair` would do
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Move names that are nobody's into the quarantine too
    #[arg(long)]
    pub(crate) foreign: bool,
    /// Keep the place in FILE: a check that was ended goes on there
    #[arg(long, value_name = "FILE")]
    pub(crate) cursor: Option<PathBuf>,
    /// At most so many directories and files a second
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// At most so many bytes a second
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) bytes_rate: Option<u64>,
    /// Threads that read [default: 4]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: Option<u8>,
}

#[derive(Args, Debug)]
pub(crate) struct Try {
    /// Files to upload
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Migrate {
    /// The store's directory
    #[arg(value_name = "STORE")]
    pub(crate) store: PathBuf,
    /// The layout that it is to have
    #[arg(long, value_name = "LAYOUT", value_parser = ["two-level", "one-level", "flat"])]
    pub(crate) to: String,
    /// Move nothing; say what would be moved
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Move at most so many buckets a second [default: as many as the disk does]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
}

impl Arguments {
    /// Whether the command line asks for JSON, even if the rest of it makes no sense.
    pub(crate) fn ask_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
        arguments
            .take_while(|argument| argument != "--")
            .any(|argument| argument == "--json")
    }
}

impl Arguments {
    /// Whether the command line names `fsck`, whose exit codes are its own, even if the rest of it makes
    /// no sense.
    pub(crate) fn name_fsck(mut arguments: impl Iterator<Item = OsString>) -> bool {
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--dir") => drop(arguments.next()),
                Some(option) if option.starts_with('-') => {}
                command => return command == Some("fsck"),
            }
        }
        false
    }
}

impl From<Encoding> for Choice {
    fn from(encoding: Encoding) -> Self {
        Self {
            needed: encoding.needed,
            happy: encoding.happy,
            total: encoding.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_command_line_of_fsck_is_told_from_others() {
        let names = |line: &str| Arguments::name_fsck(line.split(' ').map(OsString::from));
        assert!(names("fsck"));
        assert!(names("--json --dir upload fsck --what"));
        assert!(!names("upload fsck"));
        assert!(!names("--dir fsck upload"));
    }

    #[test]
    fn a_range_may_begin_with_a_hyphen() {
        let arguments =
            Arguments::try_parse_from(["tahoectl", "download", "--range", "-5", "URI:LIT:aa"]);
        let Command::Download(download) = arguments.unwrap().command else {
            panic!("it is a download");
        };
        assert_eq!(download.range, Some(Span::Last(5)));
    }
}
