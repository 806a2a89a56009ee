//! The configuration directory: settings, the grid's servers, and the client's secrets.
//!
//! ```text
//! config.toml           settings, with comments
//! servers               the NURLs of the grid, one a line; secret, since they let a client in
//! private/convergence   32 bytes in base32: who shares it finds that two files are equal
//! private/master        32 bytes in base32: the secrets of leases and uploads are made from it
//! uploads               what was uploaded where; made as needed, safe to delete
//! ```
//!
//! The directory is for its owner alone and every file is born that way; a secret that others can
//! read is refused, as ssh refuses its keys. Files are written whole or not at all, and only the
//! list of servers is ever replaced.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lafs::nurl::Nurl;
use lafs::{ConvergenceSecret, base32};
use zeroize::Zeroizing;

use crate::durable;

mod error;
mod settings;

pub use error::{HOME_VARIABLE, HomeError};
pub use settings::{Choice, Encoding, Settings, SettingsError};

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
    /// What [`Home::create`] makes, relative to the directory.
    pub const FILES: [&str; 4] = [CONVERGENCE.name, MASTER.name, SERVERS, CONFIG];

    /// Takes `path` for the configuration directory.
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Self {
        // Without a slash at its end, which messages would otherwise repeat.
        let path = path.as_ref().components().collect();
        Self { path }
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

    /// Makes what is missing of the directory: fresh secrets, the given settings, no servers.
    ///
    /// What is there is never replaced. Returns which of [`Home::FILES`] were made.
    ///
    /// # Errors
    ///
    /// [`HomeError::AlreadyThere`] if nothing was missing.
    pub fn create(&self, settings: &Settings) -> Result<Vec<&'static str>, HomeError> {
        for directory in [&self.path, &self.path.join("private")] {
            durable::create_private_directory(directory)
                .map_err(|source| HomeError::write(directory, source))?;
        }
        let mut made = Vec::new();
        for secret in [CONVERGENCE, MASTER] {
            if self.create_secret(secret)? {
                made.push(secret.name);
            }
        }
        // The settings last, because their presence says that everything else was there.
        let settings = settings.to_toml();
        for (name, text) in [(SERVERS, SERVERS_HEADER), (CONFIG, settings.as_str())] {
            if self.create_file(name, text.as_bytes())? {
                made.push(name);
            }
        }
        if made.is_empty() {
            return Err(HomeError::AlreadyThere {
                path: self.path.clone(),
            });
        }
        Ok(made)
    }

    /// Whether it was configured once: `init` then only replaces what was lost.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.settings_path().exists()
    }

    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`HomeError::Missing`] before `init`; otherwise what is wrong with the file.
    pub fn settings(&self) -> Result<Settings, HomeError> {
        let path = self.settings_path();
        let text = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(HomeError::Missing { path });
            }
            Err(source) => return Err(HomeError::Read { path, source }),
        };
        Settings::from_bytes(&text).map_err(|source| HomeError::Settings { path, source })
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
    /// [`HomeError`] naming the line that is no NURL; or that others can read the file.
    pub fn servers(&self) -> Result<Vec<Nurl>, HomeError> {
        let path = self.servers_path();
        let text = self.read_secret(SERVERS, SERVERS_PURPOSE)?;
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

    /// Where the settings are.
    #[must_use]
    pub fn settings_path(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    fn servers_path(&self) -> PathBuf {
        self.path.join(SERVERS)
    }

    fn create_secret(&self, secret: SecretFile) -> Result<bool, HomeError> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *random)
            .map_err(|source| HomeError::write(&self.path.join(secret.name), source.into()))?;
        let text = Zeroizing::new(format!("{}\n", base32::encode(&*random)));
        let is_new = self.create_file(secret.name, text.as_bytes())?;
        if !is_new {
            // Left by an `init` that was cut short, or copied there by the user.
            self.secret(secret)?;
        }
        Ok(is_new)
    }

    /// Writes a file for the owner alone; false if there is one, which is left as it is.
    fn create_file(&self, name: &str, bytes: &[u8]) -> Result<bool, HomeError> {
        let path = self.path.join(name);
        match durable::create_private(&path, bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(HomeError::write(&path, source)),
        }
    }

    fn secret(&self, secret: SecretFile) -> Result<Zeroizing<[u8; 32]>, HomeError> {
        let text = self.read_secret(secret.name, secret.purpose)?;
        base32::decode_array(text.trim_end_matches('\n'))
            .map(Zeroizing::new)
            .ok_or_else(|| HomeError::Secret {
                path: self.path.join(secret.name),
                purpose: secret.purpose,
            })
    }

    /// Reads a file that nobody else may read: what others could have read is no secret.
    fn read_secret(
        &self,
        name: &str,
        purpose: &'static str,
    ) -> Result<Zeroizing<String>, HomeError> {
        let path = self.path.join(name);
        let read = |source| HomeError::Read {
            path: path.clone(),
            source,
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(read(error)),
            Err(_) if self.is_configured() => return Err(HomeError::Lost { path, purpose }),
            Err(_) => {
                return Err(HomeError::Missing {
                    path: self.settings_path(),
                });
            }
        };
        // Asked of the file that is read, which the name may not be a moment later.
        let mode = file.metadata().map_err(read)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(HomeError::Exposed { path, mode });
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.read_to_end(&mut bytes).map_err(read)?;
        // What is no text is none of what is kept here either, and is refused as such.
        Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// A file that holds 32 secret bytes.
#[derive(Clone, Copy)]
struct SecretFile {
    name: &'static str,
    purpose: &'static str,
}

const CONFIG: &str = "config.toml";
const SERVERS: &str = "servers";
const CONVERGENCE: SecretFile = SecretFile {
    name: "private/convergence",
    purpose: "With a new one, files that were uploaded before are stored anew when they are \
              uploaded again; their old capabilities stay good",
};
const MASTER: SecretFile = SecretFile {
    name: "private/master",
    purpose: "With a new one, uploads that were broken off begin anew; what is stored stays good",
};
const SERVERS_PURPOSE: &str = "A new one is empty: add the servers again";
const SERVERS_HEADER: &str = "\
# The servers of this grid, one NURL a line. A NURL is a server's address, the hash of its key, and
# the secret that lets clients in: keep this file to yourself.
# `tahoectl grid add` and `tahoectl grid remove` rewrite this file.
";
