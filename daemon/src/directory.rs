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
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bucketfs::StoreId;
use lafs::Swissnum;
use lafs::nurl::Nurl;

use crate::command::CommandLine;
use crate::config::{Config, Names, STORE_PATH, with_store};
use crate::error::{DirectoryError, Failed, Remedy};
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
        let text = match read_small(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DirectoryError::NotInitialised {
                    directory: self.0.clone(),
                    remedy: self.make_anew(),
                });
            }
            Err(error) => return Err(unreadable(&path, error)),
        };
        // A file of zeros is what some file systems leave of a file after a crash.
        if text
            .trim_matches(|c: char| c.is_whitespace() || c == '\0')
            .is_empty()
        {
            return Err(DirectoryError::ConfigLost {
                remedy: CommandLine::new("rm", &[&path]).and(&self.make_anew()),
                path,
            });
        }
        Ok(Config::parse(&text, &path).map_err(Box::new)?)
    }

    /// Has the configuration refer to this store from now on.
    ///
    /// All else in it stays as it was written. After a crash it is the old or the new one.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`]; the configuration is as it was.
    pub(crate) fn record_store(&self, store: &Path, id: StoreId) -> Result<(), DirectoryError> {
        let path = self.config_path();
        let text = read_small(&path).map_err(|error| unreadable(&path, error))?;
        let edited = with_store(&text, store, id);
        let edited = edited.ok_or_else(|| DirectoryError::Unchangeable {
            path: path.clone(),
            id,
        })?;
        Ok(replace_file(&path, edited.as_bytes())?)
    }

    /// Reads certificate and key.
    ///
    /// # Errors
    ///
    /// The file is not there, cannot be read, can be read by others, or does not make sense.
    pub fn identity(&self) -> Result<Identity, DirectoryError> {
        let path = self.identity_path();
        // Tahoe-LAFS lets others read its key, and nobody into the directory around it.
        let is_tahoes = self.0.join("tahoe.cfg").exists();
        let pem = self.read_secret(&path, is_tahoes && self.is_private_closed())?;
        let fault = |error| DirectoryError::Identity {
            path: path.clone(),
            error,
            remedy: self.start_over(),
        };
        Identity::from_pem(pem.as_bytes()).map_err(fault)
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
    /// The file is not there, cannot be read, can be read by others, or does not hold one.
    pub fn swissnum(&self) -> Result<Swissnum, DirectoryError> {
        let path = self.swissnum_path();
        let text = self.read_secret(&path, false)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let fault = |error| DirectoryError::Swissnum {
            path: path.clone(),
            error,
            remedy: self.start_over(),
        };
        Swissnum::new(text).map_err(fault)
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
            Nurl::new(*identity.key_hash(), host, port, swissnum.clone()).map_err(|_| {
                DirectoryError::NoPort {
                    path: self.config_path(),
                    location: location.clone(),
                }
            })
        };
        config.location.iter().map(nurl).collect()
    }

    /// Whether no other user of this machine may look into the directory of secrets.
    fn is_private_closed(&self) -> bool {
        let metadata = fs::metadata(self.private_path());
        metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
    }

    /// Reads a file that nobody else may read.
    fn read_secret(&self, path: &Path, others_may: bool) -> Result<String, DirectoryError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(match self.config() {
                    // Its message says how to make a server.
                    Err(missing @ DirectoryError::NotInitialised { .. }) => missing,
                    _ => DirectoryError::SecretLost {
                        path: path.to_owned(),
                        remedy: self.start_over(),
                    },
                });
            }
            Err(error) => return Err(unreadable(path, error)),
        };
        let metadata = file.metadata().map_err(|error| unreadable(path, error))?;
        if metadata.permissions().mode() & 0o077 != 0 && !others_may {
            return Err(DirectoryError::Exposed {
                path: path.to_owned(),
                remedy: CommandLine::new("chmod", &[Path::new("600"), path]),
            });
        }
        read_text(file).map_err(|error| unreadable(path, error))
    }

    /// What makes the configuration anew, and keeps key, swissnum and store.
    fn make_anew(&self) -> CommandLine {
        let verb = match self.0.join("tahoe.cfg").exists() {
            true => "adopt",
            false => "init",
        };
        CommandLine::new("tahoed", &[Path::new(verb), &self.0])
    }

    /// What makes a new server of the same shares.
    fn start_over(&self) -> Remedy {
        let mut directory = self.0.clone().into_os_string();
        directory.push(".new");
        let store = match self.config() {
            Ok(config) => self.store_path(&config),
            Err(_) => self.0.join(STORE_PATH),
        };
        Remedy(CommandLine::init_store(Path::new(&directory), &store))
    }
}

/// Reads a small text file.
pub(crate) fn read_small(path: &Path) -> io::Result<String> {
    read_text(File::open(path)?)
}

fn read_text(file: File) -> io::Result<String> {
    let mut text = String::new();
    let len = file.take(FILE_SIZE_MAX + 1).read_to_string(&mut text)?;
    match lafs::num::size(len) > FILE_SIZE_MAX {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

fn unreadable(path: &Path, error: io::Error) -> DirectoryError {
    match error.kind() {
        io::ErrorKind::InvalidData => DirectoryError::NotText { path: path.into() },
        _ => Failed::new("read", path, error).into(),
    }
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

/// Replaces a file's contents in one step that is durable when this returns. Whose it is and who may
/// read it stays, and so does a symbolic link to it.
fn replace_file(path: &Path, contents: &[u8]) -> Result<(), Failed> {
    let failed = |error| Failed::new("replace", path, error);
    let target = fs::canonicalize(path).map_err(failed)?;
    let directory = target.parent().expect("a file is in a directory");
    let mut new_name = std::ffi::OsString::from(".");
    new_name.push(target.file_name().expect("a file has a name"));
    new_name.push(".new");
    let new_path = directory.join(new_name);
    let replaced = (|| {
        let old = fs::metadata(&target)?;
        // Left by an earlier attempt that was interrupted; nothing refers to it.
        let _ = fs::remove_file(&new_path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new_path)?;
        // Only root can give it away, and only root need.
        let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        file.set_permissions(old.permissions())?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&new_path, &target)
    })();
    if replaced.is_err() {
        let _ = fs::remove_file(&new_path);
    }
    replaced.map_err(failed)?;
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

/// All our files are far smaller; a wrong path in the configuration must not fill memory.
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

    // Half of a configuration would be another one.
    #[test]
    fn a_file_that_is_far_too_large_is_not_read_in_part() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path());
        let comments = "# x\n".repeat(1 << 18) + "listen = ['127.0.0.1:0']\n";
        fs::write(directory.config_path(), comments).unwrap();
        let error = directory.config().unwrap_err();
        assert!(error.to_string().contains("file too large"), "{error}");
    }

    // As ssh has it with its keys.
    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path());
        create_directory(&directory.private_path()).unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        for path in [directory.swissnum_path(), directory.identity_path()] {
            fs::write(&path, b"secret").unwrap();
            for (mode, exposed) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
                set(&path, mode);
                let (identity, swissnum) = (directory.identity(), directory.swissnum());
                let errors = [identity.err(), swissnum.err()];
                let found = errors.iter().flatten().any(|error| {
                    let said = error.to_string();
                    let hint = format!("chmod 600 {}", path.display());
                    matches!(error, DirectoryError::Exposed { .. }) && said.ends_with(&hint)
                });
                assert_eq!(found, exposed, "{} {mode:o}", path.display());
            }
            set(&path, 0o600);
        }
        // A key of Tahoe's, which lets nobody into the directory around it.
        fs::write(temporary.path().join("tahoe.cfg"), b"").unwrap();
        set(&directory.identity_path(), 0o644);
        for (around, exposed) in [(0o700, false), (0o711, true), (0o750, true)] {
            set(&directory.private_path(), around);
            let error = directory.identity().unwrap_err();
            let found = matches!(error, DirectoryError::Exposed { .. });
            assert_eq!(found, exposed, "{around:o}: {error}");
        }
    }

    // After a crash there is the old configuration or the new one.
    #[test]
    fn a_replaced_file_keeps_its_mode_and_a_link_to_it() {
        let temporary = tempfile::tempdir().unwrap();
        let (target, link) = (
            temporary.path().join("target"),
            temporary.path().join("link"),
        );
        fs::write(&target, b"old").unwrap();
        fs::set_permissions(&target, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        fs::write(temporary.path().join(".target.new"), b"half").unwrap();
        replace_file(&link, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        let mode = fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 2);
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
