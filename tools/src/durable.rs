//! Small files that are written whole or not at all, and survive a power cut once written.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Uid, fchown, linkat, open, renameat_with,
};
use rustix::io::Errno;

mod temporary;

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

/// A file that is written without its name and takes it when it is complete.
///
/// Until then it has no name at all where the file system can do that, so that nothing is left of it
/// whatever ends the process; elsewhere it has a temporary one beside its own, which goes when this
/// is dropped before [`Pending::commit`], or else when the same target is written again.
#[derive(Debug)]
pub struct Pending {
    file: File,
    temporary: Option<PathBuf>,
    target: PathBuf,
    audience: Audience,
}

impl Pending {
    /// Starts a file in the directory of `target`, so that a link or a rename suffices to publish it.
    ///
    /// # Errors
    ///
    /// The error of creating the file.
    pub fn create(target: &Path, audience: Audience) -> io::Result<Self> {
        if target.file_name().is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match unnamed(target, audience)? {
            Some(file) => {
                audience.admit(&file)?;
                Ok(Self {
                    file,
                    temporary: None,
                    target: target.to_owned(),
                    audience,
                })
            }
            None => Self::named(target, audience),
        }
    }

    fn named(target: &Path, audience: Audience) -> io::Result<Self> {
        temporary::remove_abandoned(target);
        let (file, temporary) = temporary::create(target, audience.mode_at_birth())?;
        let pending = Self {
            file,
            temporary: Some(temporary),
            target: target.to_owned(),
            audience,
        };
        audience.admit(&pending.file)?;
        Ok(pending)
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
        // A link does not replace what is there, and a file without a name cannot be renamed.
        if self.temporary.is_none() {
            temporary::remove_abandoned(&self.target);
            match temporary::link(&self.file, &self.target) {
                Ok(temporary) => self.temporary = Some(temporary),
                Err(_) => self = self.copied()?,
            }
        }
        let temporary = self.temporary.as_ref().expect("it was given above");
        fs::rename(temporary, &self.target)?;
        self.temporary = None;
        sync_directory_of(&self.target)
    }

    /// As [`Pending::commit`], but leaves an existing target alone and fails with `AlreadyExists`.
    ///
    /// # Errors
    ///
    /// As for [`Pending::commit`].
    pub fn commit_new(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if self.temporary.is_none() {
            match link_to(&self.file, &self.target) {
                Ok(()) => return sync_directory_of(&self.target),
                Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
                Err(_) => self = self.copied()?,
            }
        }
        let temporary = self.temporary.as_ref().expect("it was given above");
        match renameat_with(CWD, temporary, CWD, &self.target, RenameFlags::NOREPLACE) {
            Ok(()) => self.temporary = None,
            // Not every file system can do it.
            Err(Errno::INVAL | Errno::NOSYS) => {
                // A link, unlike a rename, never replaces; dropping takes the temporary name away.
                fs::hard_link(temporary, &self.target)?;
            }
            Err(error) => return Err(error.into()),
        }
        sync_directory_of(&self.target)
    }

    /// The same bytes, durable, in a file with a temporary name: where /proc is not mounted, or
    /// something forbids links, a file without a name gets none.
    fn copied(mut self) -> io::Result<Self> {
        let mut copy = Self::named(&self.target, self.audience)?;
        self.file.rewind()?;
        io::copy(&mut self.file, &mut copy.file)?;
        copy.file.sync_all()?;
        Ok(copy)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing more can be done about a file that cannot be removed.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Starts a file without a name in the directory of `target`; `None` where that cannot be.
fn unnamed(target: &Path, audience: Audience) -> io::Result<Option<File>> {
    let opened = open(
        directory_of(target),
        // To be read when it has to be copied.
        OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
        Mode::from_raw_mode(audience.mode_at_birth()),
    );
    match opened {
        Ok(file) => Ok(Some(File::from(file))),
        // The file system cannot (EOPNOTSUPP), or the kernel knows nothing of it.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Gives a file without a name one, if nothing has it.
fn link_to(file: &File, name: &Path) -> rustix::io::Result<()> {
    // By its descriptor alone it could be linked only with a capability, before Linux 6.10.
    let open_file = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, open_file, CWD, name, AtFlags::SYMLINK_FOLLOW)
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
    File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On every file system, and on those that know no files without names.
    const WAYS: [fn(&Path, Audience) -> io::Result<Pending>; 2] = [Pending::create, Pending::named];

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
        for create in WAYS {
            let pending = create(&target, Audience::Owner).unwrap();
            assert_eq!(pending.file.metadata().unwrap().mode() & 0o777, 0o600);
            pending.commit().unwrap();
            assert_eq!(names(directory.path()), ["secret"]);
        }
    }

    // Killed, a process cleans nothing up.
    #[test]
    fn what_is_never_finished_has_no_name_where_the_file_system_can_do_that() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("file");
        let pending = Pending::create(&target, Audience::Umask).unwrap();
        pending.file().write_all(b"half").unwrap();
        if pending.temporary.is_none() {
            assert_eq!(names(directory.path()), [""; 0]);
        }
    }

    #[test]
    fn a_new_file_appears_whole_and_never_replaces_another() {
        for create in WAYS {
            let directory = tempfile::tempdir().unwrap();
            let target = directory.path().join("file");
            let pending = create(&target, Audience::Umask).unwrap();
            pending.file().write_all(b"whole").unwrap();
            assert!(!target.exists());
            pending.commit_new().unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"whole");
            let late = create(&target, Audience::Umask).unwrap();
            late.file().write_all(b"late").unwrap();
            let error = late.commit_new().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&target).unwrap(), b"whole");
            assert_eq!(names(directory.path()), ["file"]);
        }
    }

    // Without /proc, say: the bytes are there and only the link is refused.
    #[test]
    fn a_file_that_cannot_be_linked_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("file");
        let pending = Pending::create(&target, Audience::Owner).unwrap();
        pending.file().write_all(b"bytes").unwrap();
        pending.copied().unwrap().commit_new().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"bytes");
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(directory.path()), ["file"]);
    }

    // What a killed process has left is taken away when its work is done again, and what belongs to
    // one that is alive is not.
    #[test]
    fn what_an_earlier_run_has_left_is_removed_by_the_next() {
        for create in WAYS {
            let directory = tempfile::tempdir().unwrap();
            let target = directory.path().join("file");
            let abandoned = ".file.aaaaaaaa.partial";
            let others = [
                ".file.partial",
                ".file.a.partial",
                ".other.aaaaaaaa.partial",
            ];
            for name in others.into_iter().chain([abandoned]) {
                fs::write(directory.path().join(name), "half").unwrap();
            }
            let alive = Pending::named(&target, Audience::Umask).unwrap();
            let pending = create(&target, Audience::Umask).unwrap();
            pending.commit().unwrap();
            let mut left = names(directory.path());
            assert!(!left.iter().any(|name| name == abandoned), "{left:?}");
            assert!(
                others
                    .iter()
                    .all(|name| left.iter().any(|left| left == name)),
                "{left:?}"
            );
            alive.commit().unwrap();
            left = names(directory.path());
            assert_eq!(left.len(), others.len() + 1, "{left:?}");
        }
    }

    #[test]
    fn a_name_as_long_as_names_may_be_is_written() {
        for create in WAYS {
            let directory = tempfile::tempdir().unwrap();
            let target = directory.path().join("n".repeat(255));
            create(&target, Audience::Umask).unwrap().commit().unwrap();
            create(&target, Audience::Umask).unwrap().commit().unwrap();
            assert_eq!(names(directory.path()).len(), 1);
        }
    }

    #[test]
    fn a_file_given_up_leaves_the_old_one_and_no_other_name() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("file");
        fs::write(&target, "old").unwrap();
        for create in WAYS {
            let pending = create(&target, Audience::Umask).unwrap();
            pending.file().write_all(b"new").unwrap();
            drop(pending);
            assert_eq!(fs::read(&target).unwrap(), b"old");
            assert_eq!(names(directory.path()), ["file"]);
        }
    }

    // What was for the owner alone must not be for everybody because it was written again.
    #[test]
    fn a_file_that_replaces_another_is_for_the_same_people_from_its_first_moment() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("file");
        let modes = [0o600, 0o640, 0o400, 0o755];
        for (mode, create) in modes
            .into_iter()
            .flat_map(|mode| WAYS.map(|way| (mode, way)))
        {
            let _ = fs::remove_file(&target);
            fs::write(&target, "old").unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
            let audience = Audience::same(&fs::metadata(&target).unwrap());
            let pending = create(&target, audience).unwrap();
            let born = pending.file.metadata().unwrap().mode();
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
