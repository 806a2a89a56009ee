//! The directory of one daemon: what lies where.
//!
//! ```text
//! DIR/tahoed.toml        the configuration, for the operator to edit
//! DIR/private/node.pem   certificate and private key: the server's identity
//! DIR/private/swissnum   the secret that lets clients in
//! DIR/storage/           the shares, unless configured elsewhere
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lafs::Swissnum;
use lafs::nurl::Nurl;

use crate::config::{Config, Names};
use crate::error::{DirectoryError, Failed};
use crate::identity::Identity;

/// The directory of one daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory(PathBuf);

impl Directory {
    /// Names a directory, which need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.0.join("tahoed.toml")
    }

    /// Certificate and private key.
    #[must_use]
    pub fn identity_path(&self) -> PathBuf {
        self.private_path().join("node.pem")
    }

    /// The secret that lets clients in.
    #[must_use]
    pub fn swissnum_path(&self) -> PathBuf {
        self.private_path().join("swissnum")
    }

    /// Where the shares are.
    #[must_use]
    pub fn store_path(&self, config: &Config) -> PathBuf {
        self.0.join(&config.store.path)
    }

    pub(crate) fn private_path(&self) -> PathBuf {
        self.0.join("private")
    }

    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// The file is not there, cannot be read, or does not make sense.
    pub fn config(&self) -> Result<Config, DirectoryError> {
        let path = self.config_path();
        Ok(Config::parse(&self.read(&path)?, &path)?)
    }

    /// Reads certificate and key.
    ///
    /// # Errors
    ///
    /// The file is not there, cannot be read, or does not make sense.
    pub fn identity(&self) -> Result<Identity, DirectoryError> {
        let path = self.identity_path();
        let pem = self.read(&path)?;
        Identity::from_pem(pem.as_bytes()).map_err(|error| DirectoryError::Identity { path, error })
    }

    /// What clients of Tahoe-LAFS know this server by.
    ///
    /// # Errors
    ///
    /// The identity cannot be read, from which comes what the configuration does not give.
    pub fn names(&self, config: &Config) -> Result<Names, DirectoryError> {
        Ok(config.names.or(Names::of(&self.identity()?)))
    }

    /// Reads the swissnum.
    ///
    /// # Errors
    ///
    /// The file is not there, cannot be read, or does not hold one.
    pub fn swissnum(&self) -> Result<Swissnum, DirectoryError> {
        let path = self.swissnum_path();
        let text = self.read(&path)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Swissnum::new(text).map_err(|error| DirectoryError::Swissnum { path, error })
    }

    /// The NURLs of this server, one for each location; `port` stands where a location has none.
    ///
    /// # Errors
    ///
    /// Identity or swissnum cannot be read, or a location needs a port and there is none.
    pub fn nurls(&self, config: &Config, port: Option<u16>) -> Result<Vec<Nurl>, DirectoryError> {
        let configured = config.listen.iter().map(std::net::SocketAddr::port);
        let port = port.or_else(|| configured.into_iter().find(|port| *port != 0));
        let (identity, swissnum) = (self.identity()?, self.swissnum()?);
        if config.location.is_empty() {
            let path = self.config_path();
            return Err(DirectoryError::NoLocation { path });
        }
        let nurl = |location: &crate::config::Location| {
            let port = location.port.or(port).unwrap_or(0);
            let host = location.host.clone();
            Nurl::new(*identity.key_hash(), host, port, swissnum.clone())
                .map_err(|_| DirectoryError::NoPort)
        };
        config.location.iter().map(nurl).collect()
    }

    /// The files of ours that other users of this machine may read, and should not.
    #[must_use]
    pub fn exposed(&self) -> Vec<PathBuf> {
        let is_open_to_others = |path: &Path, mode| {
            fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & mode != 0)
        };
        // Tahoe lets others read its files, and nobody into the directory.
        if !is_open_to_others(&self.private_path(), 0o011) {
            return Vec::new();
        }
        let exposed = |path: &PathBuf| is_open_to_others(path, 0o077);
        [self.identity_path(), self.swissnum_path()]
            .into_iter()
            .filter(exposed)
            .collect()
    }

    /// Reads a small file of this directory.
    fn read(&self, path: &Path) -> Result<String, DirectoryError> {
        match read_small(path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(DirectoryError::NotInitialised {
                    directory: self.0.clone(),
                    path: path.to_owned(),
                })
            }
            Err(error) => Err(Failed::new("read", path, error).into()),
        }
    }
}

/// Reads a small text file.
pub(crate) fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(FILE_SIZE_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Makes a directory that only we may enter, if it is not there; those above it must be.
pub(crate) fn create_directory(path: &Path) -> Result<(), Failed> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_directory(path.parent().unwrap_or(Path::new("."))),
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(Failed::new("create the directory", path, error)),
    }
}

/// Creates a file that only we may read, with these contents, whole or not at all.
///
/// Never replaces a file: the name is linked only when the contents are on stable storage.
pub(crate) fn create_file(path: &Path, contents: &[u8]) -> Result<(), Failed> {
    let directory = path.parent().expect("a file of ours is in a directory");
    let name = path.file_name().expect("a file of ours has a name");
    let mut new_name = std::ffi::OsString::from(".");
    new_name.push(name);
    new_name.push(".new");
    let new_path = directory.join(new_name);

    let written = (|| {
        // Left by an earlier attempt that was interrupted; nothing refers to it.
        let _ = fs::remove_file(&new_path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new_path)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::hard_link(&new_path, path)
    })();
    let _ = fs::remove_file(&new_path);
    written.map_err(|error| Failed::new("create", path, error))?;
    sync_directory(directory)
}

fn sync_directory(path: &Path) -> Result<(), Failed> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Failed::new("sync the directory", path, error))
}

/// No file of ours comes near; a wrong path in the configuration must not fill memory.
const FILE_SIZE_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_for_its_owner_alone_and_never_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("secret");
        create_file(&path, b"one").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let error = create_file(&path, b"two").unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(
            fs::read_dir(temporary.path()).unwrap().count(),
            1,
            "nothing is left behind"
        );
    }

    #[test]
    fn a_secret_is_exposed_when_others_reach_and_read_it() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path());
        create_directory(&directory.private_path()).unwrap();
        let path = directory.swissnum_path();
        fs::write(&path, b"secret").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode));
        for (around, mode, exposed) in [
            (0o700, 0o644, false),
            (0o711, 0o600, false),
            (0o711, 0o644, true),
            (0o750, 0o640, true),
        ] {
            set(&directory.private_path(), around).unwrap();
            set(&path, mode).unwrap();
            let found = directory.exposed();
            assert_eq!(found.contains(&path), exposed, "{around:o} {mode:o}");
        }
    }

    #[test]
    fn an_interrupted_creation_is_no_obstacle() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join(".secret.new"), b"half").unwrap();
        let path = temporary.path().join("secret");
        create_file(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }
}
