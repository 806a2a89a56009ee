//! What can go wrong in the client, by what the user can do about it.
//!
//! A message says what happened and to what; [`Error::hint`] says what to try. What went wrong at
//! one server is a [`ServerError`]: it is routed around while that is possible, and reported by
//! server when it is not.

use std::io;
use std::path::{Path, PathBuf};

use lafs::cap::CapError;
use lafs::nurl::NurlError;

use crate::exit::Exit;
use crate::home::HOME_VARIABLE;

pub use crate::failure::{Doing, Failure, ServerError, Trouble};
pub use crate::shortage::{DownloadCause, NotEnoughShares, Unhappy, UploadCause};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A number or combination of options that cannot be meant.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Encoding parameters that the format does not have.
    #[error("files cannot be encoded so: {0}")]
    Parameters(encoder::ParametersError),
    /// The system gives no event queue.
    #[error("cannot wait for events: {0}")]
    Runtime(io::Error),
    /// The system has no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(io::Error),
    /// A capability that does not parse.
    #[error("this is not a capability: {0}")]
    Capability(#[from] CapError),
    /// A NURL that does not parse.
    #[error("this is not a NURL: {0}")]
    Nurl(#[from] NurlError),
    /// The input of an upload.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Where a result was to be written.
    #[error("cannot write {target}: {source}")]
    Output {
        /// The file, or "standard output".
        target: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The range is not within the file.
    #[error("the range starts at byte {start}, the file has {size} bytes")]
    Span {
        /// Where the range starts.
        start: u64,
        /// The size of the file.
        size: u64,
    },
    /// A capability that cannot do what was asked.
    #[error("this capability only verifies shares; it does not read the file")]
    VerifyOnly,
    /// Good shares that make no file.
    #[error(transparent)]
    Inconsistent(#[from] encoder::Inconsistent),
    /// No server is configured.
    #[error("no server is configured in {path}")]
    NoServers {
        /// The configuration directory.
        path: PathBuf,
    },
    /// Too few servers hold shares of their own.
    #[error(transparent)]
    Unhappy(#[from] Unhappy),
    /// Too few good shares were found.
    #[error(transparent)]
    NotEnoughShares(#[from] NotEnoughShares),
    /// A local grid.
    #[error(transparent)]
    LocalGrid(#[from] LocalGridError),
    /// The user pressed Ctrl-C, or the system asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Makes the error of writing to `target`.
    pub fn output(target: &Path, source: io::Error) -> Self {
        Self::Output {
            target: target.display().to_string(),
            source,
        }
    }

    /// Makes the error of reading `name`.
    #[must_use]
    pub fn input(name: &str, source: io::Error) -> Self {
        Self::Input(InputError::Read {
            name: name.to_owned(),
            source,
        })
    }

    /// How the program ends on this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Home(_)
            | Self::Settings(_)
            | Self::Parameters(_)
            | Self::Capability(_)
            | Self::Nurl(_)
            | Self::Span { .. }
            | Self::VerifyOnly
            | Self::NoServers { .. } => Exit::Usage,
            Self::Input(_)
            | Self::Random(_)
            | Self::Runtime(_)
            | Self::Output { .. }
            | Self::Unhappy(_)
            | Self::NotEnoughShares(_)
            | Self::Inconsistent(_)
            | Self::LocalGrid(_)
            | Self::Interrupted => Exit::CouldNot,
        }
    }

    /// What to try, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Home(error) => return error.hint(),
            Self::NoServers { .. } => {
                "add servers with `tahoectl grid add NURL`; `tahoed nurl DIR` prints a server's. \
                 For a grid to try things on: `tahoectl grid up DIR`"
            }
            Self::Capability(_) => "check that the capability was copied whole, in one piece",
            Self::Nurl(_) => {
                "a NURL looks like pb://HASH@host:port/SWISSNUM#v=1; `tahoed nurl DIR` prints it"
            }
            Self::Input(InputError::Changed { .. }) => {
                "upload a copy of it, or a snapshot, that nothing writes to"
            }
            Self::Unhappy(unhappy) => return Some(unhappy.hint()),
            Self::NotEnoughShares(shortage) => return Some(shortage.hint()),
            Self::Settings(_)
            | Self::Parameters(_)
            | Self::Random(_)
            | Self::Runtime(_)
            | Self::Input(_)
            | Self::Output { .. }
            | Self::Span { .. }
            | Self::VerifyOnly
            | Self::Inconsistent(_)
            | Self::LocalGrid(_)
            | Self::Interrupted => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether nobody reads what is written any more, which needs no message.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// What is wrong with the configuration directory.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither option, variable nor home directory say where it is.
    #[error("there is no home directory to hold a configuration")]
    Nowhere,
    /// `init` on a directory that is configured already.
    #[error("{path} is configured already")]
    AlreadyThere {
        /// The directory.
        path: PathBuf,
    },
    /// A file of it does not exist.
    #[error("{path} does not exist")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file of it cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file or directory of it cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others can read a secret.
    #[error("{path} holds a secret and is open to others (mode {mode:03o})")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret file that holds no secret.
    #[error("{path} does not hold 32 bytes in base32")]
    Secret {
        /// The file.
        path: PathBuf,
    },
    /// The settings.
    #[error("{path}: {source}")]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SettingsError,
    },
    /// A line of the list of servers.
    #[error("{path}, line {line}: {source}")]
    Server {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: NurlError,
    },
}

impl HomeError {
    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Nowhere => format!("set {HOME_VARIABLE} to a directory"),
            Self::AlreadyThere { .. } => {
                "its secrets are never replaced; to begin anew, move it away first".to_owned()
            }
            Self::Missing { .. } => {
                format!("run `tahoectl init`, or set {HOME_VARIABLE} to where the configuration is")
            }
            Self::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
            _ => return None,
        };
        Some(hint)
    }
}

/// What is wrong with a setting.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not TOML, or a key that does not exist.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// Written by a newer program.
    #[error("version {version} of this file is not known here; this program knows version 1")]
    Version {
        /// What the file says.
        version: u32,
    },
    /// Needed, happy and total do not fit each other.
    #[error(
        "{needed} needed, {happy} happy, {total} total cannot be meant: \
         needed and happy are between 1 and total, total is at most 256"
    )]
    Encoding {
        /// Shares that bring the file back.
        needed: u16,
        /// Servers that must hold a share.
        happy: u16,
        /// Shares made.
        total: u16,
    },
}

/// What is wrong with the input of an upload.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be opened or read.
    #[error("cannot read {name}: {source}")]
    Read {
        /// The file, or "standard input".
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A directory, a socket, a device.
    #[error("{name} is not a file")]
    NotAFile {
        /// What was given.
        name: String,
    },
    /// It changed while it was uploaded: what would be stored never existed.
    #[error("{name} changed while it was being uploaded")]
    Changed {
        /// The file.
        name: String,
    },
    /// Larger than the format allows.
    #[error("{name} is larger than 2^60 bytes")]
    TooLarge {
        /// The file, or "standard input".
        name: String,
    },
}

/// What went wrong with a grid on this machine.
#[derive(Debug, thiserror::Error)]
pub enum LocalGridError {
    /// A file of it could not be made or read.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A daemon could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A daemon ended or did not say that it is ready.
    #[error("the daemon in {path} did not become ready: {said}")]
    NotReady {
        /// Its directory.
        path: PathBuf,
        /// The last line that it wrote, or how it ended.
        said: String,
    },
    /// The directory of a daemon could not be made.
    #[error(transparent)]
    Init(#[from] daemon::InitError),
    /// The directory of a daemon cannot be used.
    #[error(transparent)]
    Directory(#[from] daemon::DirectoryError),
    /// A daemon could not run.
    #[error(transparent)]
    Daemon(#[from] daemon::RunError),
    /// Another command is at work there.
    #[error("another `tahoectl grid up` or `grid down` is at work in {path}")]
    Busy {
        /// The grid's directory.
        path: PathBuf,
    },
    /// A daemon is still there after it was killed.
    #[error("a daemon of {path} does not end: its disk may be stuck")]
    Unstoppable {
        /// The grid's directory.
        path: PathBuf,
    },
    /// `grid down` where no grid is running.
    #[error("no grid is running in {path}")]
    NotRunning {
        /// The grid's directory.
        path: PathBuf,
    },
}

impl LocalGridError {
    /// Makes the error of using the file or directory `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
