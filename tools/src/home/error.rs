//! What can be wrong with a configuration directory, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use lafs::nurl::NurlError;

use super::settings::SettingsError;
use crate::wording::quoted_path;

/// Environment variable that names the configuration directory.
pub const HOME_VARIABLE: &str = "TAHOECTL_DIR";

/// What is wrong with the configuration directory.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither option, variable nor home directory say where it is.
    #[error("there is no home directory to hold a configuration")]
    Nowhere,
    /// `init` on a directory that has everything.
    #[error("{} is configured already", .path.display())]
    AlreadyThere {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing is configured there.
    #[error("{} does not exist: nothing is configured there", .path.display())]
    Missing {
        /// The file that says that all is there.
        path: PathBuf,
    },
    /// A configured directory has lost a file.
    #[error("{} is missing", .path.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// What it was for, and what a new one costs.
        purpose: &'static str,
    },
    /// A file of it cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file or directory of it cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others can read a secret.
    #[error("{} holds a secret and is open to others (mode {mode:03o})", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret file that holds no secret.
    #[error("{} does not hold 32 bytes in base32", .path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What it was for, and what a new one costs.
        purpose: &'static str,
    },
    /// The settings.
    #[error("{}: {source}", .path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SettingsError,
    },
    /// A line of the list of servers.
    #[error("{}, line {line}: {source}", .path.display())]
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
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }

    /// What to try, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Nowhere => {
                format!("say where: `tahoectl --dir DIR init`, or set {HOME_VARIABLE}")
            }
            Self::AlreadyThere { path } => {
                let path = quoted_path(path);
                format!(
                    "its secrets are never replaced. To begin anew, move it away first: \
                     `mv {path} {path}.old`"
                )
            }
            Self::Missing { .. } => format!(
                "`tahoectl init` makes a configuration; if there is one elsewhere, name it with \
                 --dir or {HOME_VARIABLE}"
            ),
            Self::Lost { purpose, .. } => {
                format!("restore it from a copy, or make a new one: `tahoectl init`. {purpose}")
            }
            Self::Exposed { path, .. } => {
                format!("`chmod 600 {}` closes it", quoted_path(path))
            }
            Self::Secret { path, purpose } => {
                let path = quoted_path(path);
                format!(
                    "restore it from a copy, or make a new one: `mv {path} {path}.bad`, then \
                     `tahoectl init`. {purpose}"
                )
            }
            Self::Settings { path, .. } => {
                let path = quoted_path(path);
                format!(
                    "correct it, or begin with a new one: `mv {path} {path}.bad`, then \
                     `tahoectl init`"
                )
            }
            Self::Server { .. } => "correct that line, or delete it".to_owned(),
            Self::Read { .. } | Self::Write { .. } => return None,
        };
        Some(hint)
    }
}
