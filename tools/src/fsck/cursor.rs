//! The place of a check that is not finished, in a file.
//!
//! ```text
//! tahoectl fsck 1
//! store 000102030405060708090a0b0c0d0e0f
//! after aeaqcaibaeaqcaibaeaqcaibae
//! ```
//!
//! The number is the version of this file. The second line has the store's identifier, or `none`; the
//! third the last bucket that is done. The file is replaced as a whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bucketfs::StoreId;
use lafs::StorageIndex;

use super::error::FsckError;
use super::printed;

/// A file that keeps the place.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    store: Option<StoreId>,
    after: Option<StorageIndex>,
    written: Instant,
}

impl Cursor {
    /// Takes up the place that a file keeps; one that is not there keeps none yet.
    pub(super) fn open(path: &Path, store: Option<StoreId>) -> Result<Self, FsckError> {
        let after = match fs::read_to_string(path) {
            Ok(text) => Some(parse(&text, store).map_err(|found| FsckError::OtherCursor {
                path: path.to_owned(),
                found,
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(failed(path, source)),
        };
        Ok(Self {
            path: path.to_owned(),
            store,
            after,
            written: Instant::now(),
        })
    }

    /// The last bucket that is done.
    pub(super) fn after(&self) -> Option<StorageIndex> {
        self.after
    }

    /// Another bucket is done. Now and then that is written down.
    pub(super) fn advance(&mut self, after: StorageIndex) -> Result<(), FsckError> {
        self.after = Some(after);
        if self.written.elapsed() < INTERVAL {
            return Ok(());
        }
        self.written = Instant::now();
        self.write()
    }

    /// The check has ended before its end.
    pub(super) fn keep(self) -> Result<(), FsckError> {
        self.write()
    }

    /// All is done: the next check begins at the beginning.
    pub(super) fn finish(self) -> Result<(), FsckError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.path, error)),
            _ => Ok(()),
        }
    }

    fn write(&self) -> Result<(), FsckError> {
        let Some(after) = self.after else {
            return Ok(());
        };
        let store = printed(self.store);
        let text = format!("{FIRST_LINE}\nstore {store}\nafter {after}\n");
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(|source| failed(&self.path, source))
    }
}

/// Takes the place from the text of a file, or says what the file is.
fn parse(text: &str, store: Option<StoreId>) -> Result<StorageIndex, String> {
    let other = || "holds something else".to_owned();
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(other());
    }
    let found = lines.next().and_then(|line| line.strip_prefix("store "));
    let found = found.ok_or_else(other)?;
    if found != printed(store) {
        return Err("is of another one".to_owned());
    }
    let after = lines.next().and_then(|line| line.strip_prefix("after "));
    let after = after.and_then(|text| text.parse().ok());
    after.filter(|_| lines.next().is_none()).ok_or_else(other)
}

fn failed(path: &Path, source: io::Error) -> FsckError {
    FsckError::Cursor {
        path: path.to_owned(),
        source,
    }
}

const FIRST_LINE: &str = "tahoectl fsck 1";

/// How often the place is written down.
const INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId::new([7; 16]);

    fn index() -> StorageIndex {
        StorageIndex::new([1; 16])
    }

    #[test]
    fn a_place_is_kept_until_all_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("place");
        let open = || Cursor::open(&path, Some(STORE));
        let mut cursor = open().unwrap();
        assert_eq!(cursor.after(), None);
        cursor.advance(index()).unwrap();
        cursor.keep().unwrap();
        let cursor = open().unwrap();
        assert_eq!(cursor.after(), Some(index()));
        cursor.finish().unwrap();
        assert_eq!(open().unwrap().after(), None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_place_in_another_store_and_other_files_are_refused() {
        let id = "07".repeat(16);
        let good = format!("tahoectl fsck 1\nstore {id}\nafter {}\n", index());
        assert_eq!(parse(&good, Some(STORE)), Ok(index()));
        let of_another = Err("is of another one".to_owned());
        assert_eq!(parse(&good, None), of_another);
        for text in [
            "",
            "fsck",
            &good[..20],
            &good.replace("fsck 1", "fsck 2"),
            &format!("{good}x"),
        ] {
            assert!(parse(text, Some(STORE)).is_err(), "{text:?}");
        }
    }
}
