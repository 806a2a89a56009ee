//! Whether the store that lies at the configured path is the configured one.
//!
//! An empty mount point looks like a store that was never made. So a daemon makes none: it serves
//! the store whose identifier its configuration names, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use bucketfs::{Found, OpenError, StoreId};
use tracing::{info, warn};

use crate::command::CommandLine;
use crate::config::Config;
use crate::directory::Directory;
use crate::wrong_store::{Fault, WrongStore};

/// Whether the configuration names the store already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It does, and rightly.
    Named,
    /// It names none: it is from before stores had identifiers.
    Unnamed,
}

/// Looks at the store of a configuration, and changes nothing.
pub(crate) fn check(directory: &Directory, config: &Config) -> Result<Claim, CheckError> {
    let path = directory.store_path(config);
    let wrong = |fault| {
        Err(CheckError::Wrong(WrongStore {
            fault,
            mount: mount_point(&path),
            remedy: CommandLine::init_store(directory.path(), &path),
            path: path.clone(),
        }))
    };
    match (bucketfs::look(&path)?, config.store.id) {
        (Found::NoDirectory, _) => wrong(Fault::NoDirectory),
        (Found::NoStore, _) => wrong(Fault::NoStore),
        (Found::Part { missing }, _) => wrong(Fault::Part { missing }),
        (Found::Store(_), None) => Ok(Claim::Unnamed),
        (Found::Store(found), Some(configured)) if found == Some(configured) => Ok(Claim::Named),
        (Found::Store(found), Some(configured)) => wrong(Fault::Other { found, configured }),
    }
}

/// Writes the identifier of the open store into a configuration that names none, once.
///
/// A configuration that cannot be written is no reason not to serve; the operator is told the line.
pub(crate) fn name(directory: &Directory, config: &Config, new: StoreId) {
    let path = directory.store_path(config);
    let id = match bucketfs::identify(&path, new) {
        Ok(id) => id,
        Err(error) => {
            warn!(%error, "the store cannot be given an identifier: a missing disk would not show");
            return;
        }
    };
    match directory.record_store(&config.store.path, id) {
        Ok(()) => info!(%id, "wrote the store's identifier into tahoed.toml"),
        Err(error) => warn!(
            %error,
            "a missing disk would not show; add this line to tahoed.toml, below [store]: id = \"{id}\""
        ),
    }
}

/// The store cannot be served.
#[derive(Debug)]
pub(crate) enum CheckError {
    /// It is another one, or none.
    Wrong(WrongStore),
    /// Nobody can tell.
    Open(OpenError),
}

impl From<OpenError> for CheckError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// Where the file system is mounted that a path lies on, or would.
fn mount_point(path: &Path) -> Option<PathBuf> {
    let existing = path.ancestors().find_map(|path| {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        fs::canonicalize(path).ok()
    })?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mount_in(&mounts, &existing)
}

/// Finds it in the text of `/proc/self/mountinfo`: the longest that is above the path, and of
/// several at one place the last.
fn mount_in(mounts: &str, path: &Path) -> Option<PathBuf> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let above = points
        .map(unescaped)
        .filter(|point| path.starts_with(point));
    above.max_by_key(|point| point.components().count())
}

/// Blanks and the like are three octal digits there.
fn unescaped(point: &str) -> PathBuf {
    let mut text = point.to_owned();
    for (escape, character) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        text = text.replace(escape, character);
    }
    PathBuf::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_a_path_lies_on_is_the_longest_above_it() {
        let mounts = "\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
24 22 8:2 / /mnt/a\\040disk rw - xfs /dev/sdb1 rw
25 22 8:3 / /mnt rw - xfs /dev/sdc1 rw
";
        for (path, expected) in [
            ("/srv/tahoed", "/"),
            ("/mnt/a disk/storage", "/mnt/a disk"),
            ("/mnt/a", "/mnt"),
            ("/mnt", "/mnt"),
        ] {
            let found = mount_in(mounts, Path::new(path));
            assert_eq!(found.as_deref(), Some(Path::new(expected)), "{path}");
        }
        assert_eq!(mount_in("", Path::new("/")), None);
    }
}
