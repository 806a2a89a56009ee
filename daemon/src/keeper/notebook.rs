//! What walks over a store remember from one start to the next: the folder `keeper` in the store.
//!
//! One file for each walk, `<name>.json`, in one line of JSON with a version; `docs/store-format.md`
//! has its fields. It is written whole under another name and renamed, and not synced: a file that is
//! lost or makes no sense costs a walk from the beginning, and nothing else.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The folder, open.
#[derive(Debug)]
pub(crate) struct Notebook {
    /// `None`: there is none yet.
    folder: Option<OwnedFd>,
    store: OwnedFd,
}

/// A page, as it lies on the disk.
#[derive(Serialize, Deserialize)]
struct Written<T> {
    version: u32,
    #[serde(flatten)]
    page: T,
}

impl Notebook {
    /// Opens the folder of a store, and makes nothing.
    ///
    /// # Errors
    ///
    /// If the store's directory cannot be opened. A folder that is none is an empty one, until
    /// something is to be written into it.
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let store = rustix::fs::open(store, flags, Mode::empty())?;
        let folder = open_folder(&store).ok();
        Ok(Self { folder, store })
    }

    /// Reads a page; `None` if there is none that makes sense.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = self.text(name).ok()?;
        let written: Written<T> = serde_json::from_slice(&text).ok()?;
        (written.version == VERSION).then_some(written.page)
    }

    /// Writes a page, in place of the one that is there.
    ///
    /// # Errors
    ///
    /// What the system says; the old page is there still.
    pub(crate) fn write<T: Serialize>(&mut self, name: &str, page: &T) -> io::Result<()> {
        let version = VERSION;
        let mut text = serde_json::to_vec(&Written { version, page })?;
        text.push(b'\n');
        if text.len() > LEN_MAX {
            return Err(Errno::FBIG.into());
        }
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => self.make_folder()?,
        };
        let (name, new) = (file_name(name), format!("{name}.new"));
        let written = (|| {
            // Whatever has the name: a link is not followed, and nothing else lasts.
            match rustix::fs::unlinkat(&folder, &new, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mode = Mode::RUSR | Mode::WUSR;
            let file = rustix::fs::openat(&folder, &new, flags, mode)?;
            std::fs::File::from(file).write_all(&text)?;
            rustix::fs::renameat(&folder, &new, &folder, &name)?;
            Ok(())
        })();
        self.folder = Some(folder);
        written
    }

    fn text(&self, name: &str) -> io::Result<Vec<u8>> {
        let folder = self.folder.as_ref().ok_or(Errno::NOENT)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, file_name(name), flags, Mode::empty())?;
        let status = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        let mut text = Vec::new();
        let limit = lafs::num::size(LEN_MAX);
        std::fs::File::from(file)
            .take(limit)
            .read_to_end(&mut text)?;
        Ok(text)
    }

    fn make_folder(&self) -> io::Result<OwnedFd> {
        match rustix::fs::mkdirat(&self.store, FOLDER, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Ok(open_folder(&self.store)?),
            Err(error) => Err(error.into()),
        }
    }
}

fn open_folder(store: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat(store, FOLDER, flags, Mode::empty())
}

fn file_name(page: &str) -> String {
    format!("{page}.json")
}

/// The version of every page; one of another version is as none.
const VERSION: u32 = 1;

/// The folder's name in the store directory.
pub(crate) const FOLDER: &str = "keeper";

/// Longest page: all findings that are kept, with their texts.
const LEN_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Page {
        cursor: Option<String>,
        count: u64,
    }

    fn page() -> Page {
        Page {
            cursor: Some("ae".to_owned()),
            count: u64::MAX,
        }
    }

    #[test]
    fn what_is_written_is_read_by_the_next_start() {
        let temporary = tempfile::tempdir().unwrap();
        let mut notebook = Notebook::open(temporary.path()).unwrap();
        assert_eq!(notebook.read::<Page>("scrub"), None);
        assert!(
            !temporary.path().join(FOLDER).exists(),
            "reading makes nothing"
        );
        for count in [1, 2] {
            let page = Page { count, ..page() };
            notebook.write("scrub", &page).unwrap();
            assert_eq!(notebook.read("scrub"), Some(page.clone()));
            let again = Notebook::open(temporary.path()).unwrap();
            assert_eq!(again.read("scrub"), Some(page));
        }
        let folder = temporary.path().join(FOLDER);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("scrub.json")), 0o600);
        let text = fs::read_to_string(folder.join("scrub.json")).unwrap();
        let expected = "{\"version\":1,\"cursor\":\"ae\",\"count\":2}\n";
        assert_eq!(text, expected);
    }

    // It may be lost at any time, so whatever stands in its place is the same as nothing.
    #[test]
    fn a_page_that_makes_no_sense_is_as_none() {
        let temporary = tempfile::tempdir().unwrap();
        let mut notebook = Notebook::open(temporary.path()).unwrap();
        notebook.write("scrub", &page()).unwrap();
        let path = temporary.path().join(FOLDER).join("scrub.json");
        let whole = fs::read_to_string(&path).unwrap();
        let newer = whole.replace("\"version\":1", "\"version\":2");
        for text in ["", "{}", "\0\0\0\0", &whole[..whole.len() / 2], &newer] {
            fs::write(&path, text).unwrap();
            assert_eq!(notebook.read::<Page>("scrub"), None, "{text}");
        }
        fs::write(&path, vec![b' '; LEN_MAX + 10]).unwrap();
        assert_eq!(notebook.read::<Page>("scrub"), None);
        notebook.write("scrub", &page()).unwrap();
        assert_eq!(notebook.read("scrub"), Some(page()));
    }

    #[test]
    fn links_and_pipes_are_neither_followed_nor_waited_for() {
        let temporary = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let (folder, target) = (temporary.path().join(FOLDER), outside.path().join("file"));
        fs::create_dir(&folder).unwrap();
        fs::write(&target, "{\"version\":1,\"cursor\":null,\"count\":1}").unwrap();
        symlink(&target, folder.join("scrub.json")).unwrap();
        symlink(&target, folder.join("scrub.new")).unwrap();
        let pipe = folder.join("expire.json");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let mut notebook = Notebook::open(temporary.path()).unwrap();
        assert_eq!(notebook.read::<Page>("scrub"), None);
        assert_eq!(notebook.read::<Page>("expire"), None);
        let before = fs::read(&target).unwrap();
        notebook.write("scrub", &page()).unwrap();
        assert_eq!(fs::read(&target).unwrap(), before);
        assert_eq!(notebook.read("scrub"), Some(page()));

        fs::remove_dir_all(&folder).unwrap();
        symlink(outside.path(), &folder).unwrap();
        let mut notebook = Notebook::open(temporary.path()).unwrap();
        assert!(notebook.write("scrub", &page()).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }
}
