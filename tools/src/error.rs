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
use crate::file_kind::FileKind;
use crate::fsck::{self, FsckError};
use crate::home::{HomeError, SettingsError};
use crate::local::LocalGridError;
use crate::stats::StatsError;
use crate::wording::{quoted, quoted_path};

pub use crate::failure::{Doing, Failure, ServerError, Trouble};
pub use crate::shortage::{DownloadCause, Lack, NotEnoughShares, Unhappy, UploadCause};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Options that make no sense together.
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
    #[error(transparent)]
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
    /// The output file is there already, and was not to be replaced.
    #[error("{target} exists already")]
    OutputExists {
        /// The file.
        target: String,
    },
    /// The output is nothing that a file can be written to.
    #[error("{target} is {kind}, not a file")]
    NotWritable {
        /// What was given.
        target: String,
        /// What it is.
        kind: FileKind,
    },
    /// What would be printed would be taken for commands by the terminal.
    #[error("the file is not text, and could garble this terminal")]
    BinaryToTerminal,
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
    Inconsistent(#[from] encoder::native::Inconsistent),
    /// No server is configured.
    #[error("no server is configured in {}", .path.display())]
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
    /// A store that is to be looked at.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// A local grid.
    #[error(transparent)]
    LocalGrid(#[from] LocalGridError),
    /// A store that was to be checked.
    #[error(transparent)]
    Fsck(#[from] FsckError),
    /// A store that is to be moved to another layout.
    #[error(transparent)]
    Migrate(#[from] crate::migrate::Error),
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
            Self::Settings(_)
            | Self::Parameters(_)
            | Self::Capability(_)
            | Self::Nurl(_)
            | Self::Span { .. }
            | Self::BinaryToTerminal
            | Self::VerifyOnly => Exit::Usage,
            Self::Fsck(_) => Exit::Fsck(fsck::OPERATIONAL),
            Self::Output { .. } if self.is_broken_pipe() => Exit::BrokenPipe,
            Self::Home(_)
            | Self::NoServers { .. }
            | Self::OutputExists { .. }
            | Self::NotWritable { .. }
            | Self::Input(_)
            | Self::Random(_)
            | Self::Runtime(_)
            | Self::Output { .. }
            | Self::Unhappy(_)
            | Self::NotEnoughShares(_)
            | Self::Inconsistent(_)
            | Self::Stats(_)
            | Self::LocalGrid(_)
            | Self::Migrate(_)
            | Self::Interrupted => Exit::CouldNot,
        }
    }

    /// What to try, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Home(error) => return error.hint(),
            Self::LocalGrid(error) => return error.hint(),
            Self::Fsck(error) => return error.hint(),
            Self::Migrate(error) => return error.hint(),
            Self::Input(error) => return input_hint(error),
            Self::OutputExists { .. } => "`--force` replaces it",
            Self::NotWritable {
                target,
                kind: FileKind::Directory,
            } => {
                return Some(format!(
                    "name a file in it: -o {}",
                    quoted_path(&Path::new(target).join("NAME"))
                ));
            }
            Self::NotWritable { .. } => "write it somewhere else",
            Self::BinaryToTerminal => "save it: `-o FILE`; or print it all the same: `-o -`",
            Self::VerifyOnly => "reading takes the capability that `tahoectl upload` printed",
            Self::NoServers { .. } => {
                "add servers: `tahoectl grid add NURL`, where NURL is what `tahoed nurl DIR` prints \
                 on a server. For a grid to try things on: `tahoectl grid up DIR`"
            }
            Self::Capability(CapError::Tahoe(_) | CapError::Path) => return None,
            Self::Capability(_) => "check that the capability was copied whole, in one piece",
            Self::Nurl(_) => {
                "a NURL looks like pb://HASH@host:port/SWISSNUM#v=1; `tahoed nurl DIR` prints it"
            }
            Self::Unhappy(unhappy) => return Some(unhappy.hint()),
            Self::NotEnoughShares(shortage) => return Some(shortage.hint()),
            Self::Stats(_) => "name the directory of a store: the one with the file `version`",
            Self::Settings(_)
            | Self::Parameters(_)
            | Self::Random(_)
            | Self::Runtime(_)
            | Self::Output { .. }
            | Self::Span { .. }
            | Self::Inconsistent(_)
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

/// What to try with the input of an upload.
fn input_hint(error: &InputError) -> Option<String> {
    let hint = match error {
        InputError::NotAFile { name, kind } => match kind {
            FileKind::Directory => format!("name the files in it: {}/*", quoted(name)),
            FileKind::Device => {
                let name = quoted(name);
                format!("to store what it gives: `tahoectl upload - < {name}`")
            }
            FileKind::Socket => "a socket has no content of its own".to_owned(),
        },
        InputError::Closed => "give the command something to read: add `< FILE`".to_owned(),
        InputError::Changed { .. } => {
            "upload a copy of it, or a snapshot, that nothing writes to".to_owned()
        }
        InputError::Read { .. } | InputError::TooLarge { .. } => return None,
    };
    Some(hint)
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
    #[error("{name} is {kind}, not a file")]
    NotAFile {
        /// What was given.
        name: String,
        /// What it is.
        kind: FileKind,
    },
    /// There is no standard input: see [`crate::input::standard_input`].
    #[error("standard input is closed")]
    Closed,
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
