//! Small files that are written whole or not at all, and survive a power cut once written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Who may read what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The owner alone, whatever the umask.
    Owner,
    /// Whom the umask lets.
    Umask,
}

impl Audience {
    fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Umask => 0o666,
        }
    }
}

/// A file that is written under another name and takes its own when it is complete.
///
/// Dropped before [`Pending::commit`], it takes its temporary name away again.
#[derive(Debug)]
pub struct Pending {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Pending {
    /// Starts a file beside `target`, so that a rename suffices to publish it.
    ///
    /// # Errors
    ///
    /// The error of creating the temporary file.
    pub fn create(target: &Path, audience: Audience) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        loop {
            let mut random = [0; 5];
            getrandom::fill(&mut random).map_err(io::Error::from)?;
            let mut temporary_name = std::ffi::OsString::from(".");
            temporary_name.push(name);
            temporary_name.push(format!(".{}.partial", lafs::base32::encode(&random)));
            let temporary = target.with_file_name(temporary_name);
            let created = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(audience.mode())
                .open(&temporary);
            match created {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => {
                    return Ok(Self {
                        file: created?,
                        temporary,
                        target: target.to_owned(),
                        committed: false,
                    });
                }
            }
        }
    }

    /// The file as it grows.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes the bytes durable and replaces whatever has the final name.
    ///
    /// # Errors
    ///
    /// The first step that failed; the target is then as it was, unless only the last sync, of the
    /// directory, failed.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        self.committed = true;
        sync_directory_of(&self.target)
    }

    /// As [`Pending::commit`], but leaves an existing target alone and fails with `AlreadyExists`.
    ///
    /// # Errors
    ///
    /// As for [`Pending::commit`].
    pub fn commit_new(self) -> io::Result<()> {
        self.file.sync_all()?;
        // A link, unlike a rename, never replaces; dropping takes the temporary name away.
        fs::hard_link(&self.temporary, &self.target)?;
        sync_directory_of(&self.target)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing more can be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes `bytes` to a file for the owner alone, replacing an older one in one step.
///
/// # Errors
///
/// The first step that failed.
pub fn replace_private(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut pending = Pending::create(target, Audience::Owner)?;
    pending.file().write_all(bytes)?;
    pending.commit()
}

/// Writes `bytes` to a file for the owner alone that must not exist yet.
///
/// # Errors
///
/// `AlreadyExists`, or the first step that failed.
pub fn create_private(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut pending = Pending::create(target, Audience::Owner)?;
    pending.file().write_all(bytes)?;
    pending.commit_new()
}

/// Creates a directory for the owner alone, and the directories above it; an existing one is fine.
///
/// # Errors
///
/// The error of creating it.
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    sync_directory_of(path)
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    // Whoever opens a secret between creation and chmod keeps it open: the mode is there at birth.
    #[test]
    fn a_private_file_is_for_the_owner_from_its_first_moment() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("secret");
        let pending = Pending::create(&target, Audience::Owner).unwrap();
        let mode = fs::metadata(&pending.temporary)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        pending.commit().unwrap();
        assert_eq!(names(directory.path()), ["secret"]);
    }

    #[test]
    fn a_file_given_up_leaves_the_old_one_and_no_other_name() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("file");
        fs::write(&target, "old").unwrap();
        let mut pending = Pending::create(&target, Audience::Umask).unwrap();
        pending.file().write_all(b"new").unwrap();
        drop(pending);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["file"]);
    }

    // A convergence secret overwritten is every deduplication lost.
    #[test]
    fn a_secret_that_exists_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("secret");
        create_private(&target, b"first").unwrap();
        let error = create_private(&target, b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"first");
        assert_eq!(names(directory.path()), ["secret"]);
    }

    #[test]
    fn a_target_that_names_no_file_is_refused() {
        assert!(Pending::create(Path::new("/"), Audience::Umask).is_err());
        assert!(Pending::create(Path::new(".."), Audience::Umask).is_err());
    }
}
