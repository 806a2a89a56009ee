//! The configuration directory: settings, the grid's servers, and the client's secrets.
//!
//! ```text
//! config.toml           settings, with comments
//! servers               the NURLs of the grid, one a line; secret, since they let a client in
//! private/convergence   32 bytes in base32: who shares it finds that two files are equal
//! private/master        32 bytes in base32: leases and unfinished uploads hang on it
//! uploads               what was uploaded where; made as needed, safe to delete
//! ```
//!
//! The directory is for its owner alone and every file is born that way; a secret that others can
//! read is refused, as ssh refuses its keys. Files are replaced whole.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lafs::nurl::Nurl;
use lafs::{ConvergenceSecret, base32};
use zeroize::Zeroizing;

use crate::durable;
use crate::error::HomeError;

mod settings;

pub use settings::{Encoding, Settings};

/// Environment variable that names the configuration directory.
pub const HOME_VARIABLE: &str = "TAHOECTL_DIR";

/// A configuration directory, which need not exist yet.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

/// The client's own secrets.
#[derive(Clone)]
pub struct Secrets {
    /// Makes equal files of this client equal on the grid, and nobody else's.
    pub convergence: ConvergenceSecret,
    /// Root of the secrets shown to servers.
    pub master: Zeroizing<[u8; 32]>,
}

impl Home {
    /// Takes `path` for the configuration directory.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Finds the directory as the user has set it: the option, `$TAHOECTL_DIR`, `~/.tahoectl`.
    ///
    /// # Errors
    ///
    /// [`HomeError::Nowhere`] if none of the three says where.
    pub fn locate(option: Option<PathBuf>) -> Result<Self, HomeError> {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        option
            .or_else(|| variable(HOME_VARIABLE))
            .or_else(|| variable("HOME").map(|home| home.join(".tahoectl")))
            .map(Self::at)
            .ok_or(HomeError::Nowhere)
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where uploads are remembered.
    #[must_use]
    pub fn uploads_path(&self) -> PathBuf {
        self.path.join("uploads")
    }

    /// Makes the directory with fresh secrets, the given settings, and no servers.
    ///
    /// # Errors
    ///
    /// [`HomeError::AlreadyThere`] if it is configured already: secrets are never replaced.
    pub fn create(&self, settings: &Settings) -> Result<(), HomeError> {
        if self.settings_path().exists() {
            return Err(HomeError::AlreadyThere {
                path: self.path.clone(),
            });
        }
        for directory in [&self.path, &self.path.join("private")] {
            durable::create_private_directory(directory)
                .map_err(|source| HomeError::write(directory, source))?;
        }
        for name in [CONVERGENCE, MASTER] {
            self.create_secret(name)?;
        }
        self.set_servers(&[])?;
        // Last, because its presence says that everything else is there.
        let path = self.settings_path();
        durable::create_private(&path, settings.to_toml().as_bytes())
            .map_err(|source| HomeError::write(&path, source))
    }

    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`HomeError::Missing`] before `init`; otherwise what is wrong with the file.
    pub fn settings(&self) -> Result<Settings, HomeError> {
        let path = self.settings_path();
        let text = self.read(&path)?;
        Settings::from_toml(&text).map_err(|source| HomeError::Settings { path, source })
    }

    /// Reads the client's secrets.
    ///
    /// # Errors
    ///
    /// [`HomeError`] if one is missing, malformed, or readable by others.
    pub fn secrets(&self) -> Result<Secrets, HomeError> {
        Ok(Secrets {
            convergence: ConvergenceSecret::new(*self.secret(CONVERGENCE)?),
            master: self.secret(MASTER)?,
        })
    }

    /// Reads the servers of the grid, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// [`HomeError`] naming the line that is no NURL.
    pub fn servers(&self) -> Result<Vec<Nurl>, HomeError> {
        let path = self.servers_path();
        let text = self.read(&path)?;
        text.lines()
            .map(str::trim)
            .enumerate()
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(index, line)| {
                line.parse().map_err(|source| HomeError::Server {
                    path: path.clone(),
                    line: index + 1,
                    source,
                })
            })
            .collect()
    }

    /// Replaces the servers of the grid.
    ///
    /// # Errors
    ///
    /// The error of writing the file; the old list then stands.
    pub fn set_servers(&self, servers: &[Nurl]) -> Result<(), HomeError> {
        let mut text = String::from(SERVERS_HEADER);
        for server in servers {
            text.push_str(&server.to_string());
            text.push('\n');
        }
        let path = self.servers_path();
        durable::replace_private(&path, text.as_bytes())
            .map_err(|source| HomeError::write(&path, source))
    }

    fn settings_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    fn servers_path(&self) -> PathBuf {
        self.path.join("servers")
    }

    fn read(&self, path: &Path) -> Result<String, HomeError> {
        fs::read_to_string(path).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                HomeError::Missing {
                    path: path.to_owned(),
                }
            } else {
                HomeError::Read {
                    path: path.to_owned(),
                    source,
                }
            }
        })
    }

    fn create_secret(&self, name: &str) -> Result<(), HomeError> {
        let path = self.path.join(name);
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *random).map_err(|source| HomeError::write(&path, source.into()))?;
        let text = Zeroizing::new(format!("{}\n", base32::encode(&*random)));
        match durable::create_private(&path, text.as_bytes()) {
            // Left by an `init` that was cut short, or put there by a user who moves house.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.secret(name).map(drop)
            }
            written => written.map_err(|source| HomeError::write(&path, source)),
        }
    }

    fn secret(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, HomeError> {
        let path = self.path.join(name);
        let text = Zeroizing::new(self.read(&path)?);
        let metadata = fs::metadata(&path).map_err(|source| HomeError::Read {
            path: path.clone(),
            source,
        })?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(HomeError::Exposed { path, mode });
        }
        base32::decode_array(text.trim_end_matches('\n'))
            .map(Zeroizing::new)
            .ok_or(HomeError::Secret { path })
    }
}

const CONVERGENCE: &str = "private/convergence";
const MASTER: &str = "private/master";
const SERVERS_HEADER: &str = "\
# The servers of this grid, one NURL a line. Keep it secret: a NURL lets its holder in.
# `tahoectl grid add` and `tahoectl grid remove` rewrite this file.
";
