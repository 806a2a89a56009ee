//! Adoption: the storage directory of a Tahoe-LAFS node becomes a store, where it lies.
//!
//! Nothing is moved or changed; `lock`, `journal/` and `version` come to be beside `shares`. They
//! mean nothing to Tahoe-LAFS, so that after an orderly shutdown its server may use the directory
//! again, and this program after it.
//!
//! `version` comes last, whole and by one rename, after the journal is durable. A crash before it
//! leaves a Tahoe store with an empty journal beside it, and adopting again completes it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::Access;

use crate::disk::{EngineChoice, Root, RootError, start_engine};
use crate::error::{AdoptError, OpenError};
use crate::layout::{Layout, SHARES, VERSION};
use crate::store::{Config, Store};

/// Makes the Tahoe-LAFS storage directory at `path` (a node's `BASEDIR/storage`) a store.
///
/// Of `config` the journal's size and the seed are used. Blocks until the store can be opened. No
/// other program may use the directory meanwhile: the node is stopped, which nobody can check here.
///
/// # Errors
///
/// [`AdoptError`]; the directory still is what it was.
pub fn adopt(path: &Path, layout: Layout, config: &Config) -> Result<(), AdoptError> {
    check(path)?;
    let root = Arc::new(Root::open(path).map_err(OpenError::from)?);
    let mut engine = start_engine(&root, EngineChoice::Pool)?;
    Store::adopt(engine.as_mut(), layout, config)
}

/// What can be told without leaving a trace in a directory that is not to be adopted.
fn check(path: &Path) -> Result<(), AdoptError> {
    let directory = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(AdoptError::NotTahoe),
        found => found.map_err(|error| unreadable(path, error))?,
    };
    if !directory.is_dir() {
        let path = path.to_path_buf();
        return Err(OpenError::from(RootError::NotADirectory { path }).into());
    }
    if fs::symlink_metadata(path.join(VERSION)).is_ok() {
        return Err(AdoptError::AlreadyAdopted);
    }
    let shares = path.join(SHARES);
    match fs::metadata(&shares) {
        Ok(found) if !found.is_dir() => return Err(AdoptError::NotTahoe),
        Ok(found) if found.dev() != directory.dev() => {
            return Err(AdoptError::OtherFileSystem);
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(AdoptError::NotTahoe),
        Err(error) => return Err(unreadable(&shares, error)),
    }
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::access(&shares, wanted).map_err(|errno| {
        let path = shares;
        OpenError::from(RootError::NotWritable { path, errno }).into()
    })
}

fn unreadable(path: &Path, error: io::Error) -> AdoptError {
    let path = path.to_path_buf();
    OpenError::from(RootError::Directory { path, error }).into()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const SHARE: &str = "shares/ae/aeaqcaibaeaqcaibaeaqcaibae/0";

    fn config() -> Config {
        let mut config = Config::new([1; 32]);
        config.journal_size = Config::JOURNAL_SIZE_MIN;
        config
    }

    fn with(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("storage");
        fs::create_dir(&path).unwrap();
        for file in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, b"bytes").unwrap();
        }
        (directory, path)
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_tahoe_store_is_adopted_once_and_nothing_in_it_changes() {
        let (_directory, path) = with(&[SHARE, "bucket_counter.state.json"]);
        adopt(&path, Layout::OneLevel, &config()).unwrap();
        let version = fs::read_to_string(path.join(VERSION)).unwrap();
        assert_eq!(version, "bucketfs 1\nlayout one-level\n");
        assert_eq!(fs::read(path.join(SHARE)).unwrap(), b"bytes");
        assert_eq!(
            names(&path),
            [
                "bucket_counter.state.json",
                "journal",
                "lock",
                "shares",
                "version"
            ]
        );
        assert_eq!(names(&path.join(SHARES)), ["ae"]);
        let error = adopt(&path, Layout::OneLevel, &config()).unwrap_err();
        assert!(matches!(error, AdoptError::AlreadyAdopted), "{error}");
    }

    #[test]
    fn what_is_no_tahoe_store_is_left_without_a_trace() {
        let (_directory, path) = with(&["storage/shares/ae/x"]);
        let error = adopt(&path, Layout::OneLevel, &config()).unwrap_err();
        assert!(matches!(error, AdoptError::NotTahoe), "{error}");
        assert_eq!(names(&path), ["storage"]);
        let missing = path.join("missing");
        let error = adopt(&missing, Layout::OneLevel, &config()).unwrap_err();
        assert!(matches!(error, AdoptError::NotTahoe), "{error}");
        assert!(!missing.exists());
        let (_directory, path) = with(&["shares"]);
        let error = adopt(&path, Layout::OneLevel, &config()).unwrap_err();
        assert!(matches!(error, AdoptError::NotTahoe), "{error}");
        let error = adopt(&path.join("shares"), Layout::OneLevel, &config()).unwrap_err();
        let expected = "is not a directory";
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_store_that_is_open_is_not_adopted() {
        let (_directory, path) = with(&[SHARE]);
        let _root = Root::open(&path).unwrap();
        let error = adopt(&path, Layout::OneLevel, &config()).unwrap_err();
        let locked = RootError::Locked { path };
        assert_eq!(error.to_string(), locked.to_string());
    }

    // It could lead nowhere but to the same file system, so nothing is lost by it.
    #[test]
    fn shares_behind_a_symbolic_link_are_refused_in_words() {
        let (_directory, path) = with(&["elsewhere/ae/x"]);
        std::os::unix::fs::symlink("elsewhere", path.join(SHARES)).unwrap();
        let error = adopt(&path, Layout::OneLevel, &config()).unwrap_err();
        let expected = "a symbolic link is there";
        assert!(error.to_string().contains(expected), "{error}");
    }

    // Syncs of the file system are asked for at the store directory.
    #[test]
    fn shares_on_another_file_system_are_refused() {
        let (_directory, path) = with(&[]);
        std::os::unix::fs::symlink("/proc", path.join(SHARES)).unwrap();
        let error = adopt(&path, Layout::OneLevel, &config()).unwrap_err();
        assert!(matches!(error, AdoptError::OtherFileSystem), "{error}");
    }
}
