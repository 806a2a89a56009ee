//! Small files that are written whole or not at all, and survive a power cut once written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, RenameFlags, Uid, fchown, renameat_with};
use rustix::io::Errno;

/// Who may read what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The owner alone, whatever the umask.
    Owner,
    /// Whom the umask lets.
    Umask,
    /// Whoever may read the file that is replaced: its mode, and its owner and group where the system
    /// lets us give files away.
    Same {
        /// Permission bits.
        mode: u32,
        /// User.
        owner: u32,
        /// Group.
        group: u32,
    },
}

impl Audience {
    /// Whoever may read a file that this is about.
    #[must_use]
    pub fn same(metadata: &fs::Metadata) -> Self {
        Self::Same {
            mode: metadata.mode() & 0o777,
            owner: metadata.uid(),
            group: metadata.gid(),
        }
    }

    fn mode_at_birth(self) -> u32 {
        match self {
            // Nobody opens it before its own mode is set.
            Self::Owner | Self::Same { .. } => 0o600,
            Self::Umask => 0o666,
        }
    }

    /// Lets in, before there is anything to read, whom a file was born without.
    fn admit(self, file: &File) -> io::Result<()> {
        let Self::Same { mode, owner, group } = self else {
            return Ok(());
        };
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (owner, group) {
            // Only root may give a file to another user; to a group of one's own anybody may.
            let (owner, group) = (Uid::from_raw(owner), Gid::from_raw(group));
            let _ =
                fchown(file, Some(owner), Some(group)).or_else(|_| fchown(file, None, Some(group)));
        }
        // A group that it did not get must not lend its rights to another.
        let is_same_group = file.metadata()?.gid() == group;
        let mode = if is_same_group { mode } else { mode & !0o070 };
        file.set_permissions(fs::Permissions::from_mode(mode))
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
                .mode(audience.mode_at_birth())
                .open(&temporary);
            match created {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => {
                    let pending = Self {
                        file: created?,
                        temporary,
                        target: target.to_owned(),
                        committed: false,
                    };
                    audience.admit(&pending.file)?;
                    return Ok(pending);
                }
            }
        }
    }

    /// The file as it grows.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
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
    pub fn commit_new(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        match renameat_with(
            CWD,
            &self.temporary,
            CWD,
            &self.target,
            RenameFlags::NOREPLACE,
        ) {
            Ok(()) => self.committed = true,
            // Not every file system can do it.
            Err(Errno::INVAL | Errno::NOSYS) => {
                // A link, unlike a rename, never replaces; dropping takes the temporary name away.
                fs::hard_link(&self.temporary, &self.target)?;
            }
            Err(error) => return Err(error.into()),
        }
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
    let pending = Pending::create(target, Audience::Owner)?;
    pending.file().write_all(bytes)?;
    pending.commit()
}

/// Writes `bytes` to a file for the owner alone that must not exist yet.
///
/// # Errors
///
/// `AlreadyExists`, or the first step that failed.
pub fn create_private(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let pending = Pending::create(target, Audience::Owner)?;
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
        assert_eq!(
            fs::metadata(&pending.temporary).unwrap().mode() & 0o777,
            0o600
        );
        pending.commit().unwrap();
        assert_eq!(names(directory.path()), ["secret"]);
    }

    #[test]
    fn a_file_given_up_leaves_the_old_one_and_no_other_name() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("file");
        fs::write(&target, "old").unwrap();
        let pending = Pending::create(&target, Audience::Umask).unwrap();
        pending.file().write_all(b"new").unwrap();
        drop(pending);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["file"]);
    }

    // What was for the owner alone must not be for everybody because it was written again.
    #[test]
    fn a_file_that_replaces_another_is_for_the_same_people_from_its_first_moment() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("file");
        for mode in [0o600, 0o640, 0o400, 0o755] {
            let _ = fs::remove_file(&target);
            fs::write(&target, "old").unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
            let audience = Audience::same(&fs::metadata(&target).unwrap());
            let pending = Pending::create(&target, audience).unwrap();
            let born = fs::metadata(&pending.temporary).unwrap().mode();
            assert_eq!(born & 0o777, mode);
            pending.commit().unwrap();
            assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, mode);
        }
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
