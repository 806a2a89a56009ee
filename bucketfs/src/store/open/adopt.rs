//! A store that another program made: given its version file and its journal.

use rustix::io::Errno;

use super::{Config, Opening, at};
use crate::disk::{ByteRange, Engine, EntryKind, StorePath};
use crate::error::{AdoptError, OpenError};
use crate::journal::format::{BLOCK, BLOCK_LEN, UncheckedBatch};
use crate::journal::replay;
use crate::layout::{JOURNAL, JOURNAL_FILES, Layout, Located, SHARES, Tree, VERSION};

/// Makes the directory that the engine works on, with shares of Tahoe-LAFS in it, a store.
pub(in crate::store) fn adopt(
    engine: &mut dyn Engine,
    layout: Layout,
    config: &Config,
) -> Result<(), AdoptError> {
    let mut opening = Opening::new(engine, config);
    opening.check_journal_size()?;
    opening.adopt(layout)
}

impl Opening<'_> {
    fn adopt(&mut self, named: Layout) -> Result<(), AdoptError> {
        let names = self.list(&StorePath::root())?;
        let is = |name: &str, kind: EntryKind| {
            let mut names = names.iter();
            names.any(|(found, found_kind)| found == name.as_bytes() && *found_kind == kind)
        };
        if is(VERSION, EntryKind::File) {
            return Err(AdoptError::AlreadyAdopted);
        }
        // A symbolic link may lead to a directory; whether it does shows when it is listed.
        if !is(SHARES, EntryKind::Directory) && !is(SHARES, EntryKind::Other) {
            return Err(AdoptError::NotTahoe);
        }
        match self.evident_layout()? {
            Some(found) if found != named => return Err(AdoptError::OtherLayout { found, named }),
            _ => {}
        }
        for (path, file) in JOURNAL_FILES.iter().zip(0..) {
            let path = StorePath::new(path);
            if !self.exists(&path)? {
                self.make_journal(&path, file)?;
            } else if self.has_records(&path)? {
                return Err(AdoptError::JournalInUse);
            }
        }
        // Found or made: whoever finds a version file believes that there is a journal.
        self.sync_directories(&[JOURNAL])?;
        self.make_version(named)?;
        self.sync_directories(&[])?;
        Ok(())
    }

    /// In which layout shares lie here, if there are any.
    fn evident_layout(&mut self) -> Result<Option<Layout>, OpenError> {
        let is_bucket =
            |layout, path: &StorePath| matches!(Tree::new(layout).locate(path), Located::Bucket(_));
        let is_above = |layout, path: &StorePath| Tree::new(layout).locate(path) == Located::Above;
        for path in self.directories(&StorePath::new(SHARES))? {
            if is_bucket(Layout::Flat, &path) {
                return Ok(Some(Layout::Flat));
            }
            if !is_above(Layout::OneLevel, &path) {
                continue;
            }
            for below in self.directories(&path)? {
                if is_bucket(Layout::OneLevel, &below) {
                    return Ok(Some(Layout::OneLevel));
                }
                if is_above(Layout::TwoLevel, &below) {
                    return Ok(Some(Layout::TwoLevel));
                }
            }
        }
        Ok(None)
    }

    fn directories(&mut self, path: &StorePath) -> Result<Vec<StorePath>, OpenError> {
        let entries = match self.list(path) {
            // More buckets in one directory than are ever listed: they are there.
            Err(OpenError::Disk { error, .. }) if error.errno == Errno::OVERFLOW => Vec::new(),
            listed => listed?,
        };
        let named = |(name, kind): (Vec<u8>, EntryKind)| {
            let name = String::from_utf8(name).ok()?;
            let is_directory = kind == EntryKind::Directory;
            is_directory.then(|| StorePath::new(&format!("{path}/{name}")))
        };
        Ok(entries.into_iter().filter_map(named).collect())
    }

    /// Whether a journal file holds anything; one that was only made does not.
    fn has_records(&mut self, path: &StorePath) -> Result<bool, OpenError> {
        let header = self.header(path)?;
        let range = ByteRange {
            offset: BLOCK,
            len: BLOCK_LEN,
        };
        let (_, front) = replay::read(&mut self.disk, path, range).map_err(at(path))?;
        Ok(UncheckedBatch::parse(&front, header.salt).is_some())
    }
}
