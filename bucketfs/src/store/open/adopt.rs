//! A store that another program made: given its version file and its journal.

use rustix::io::Errno;

use super::{Opening, at};
use crate::adopt::AdoptError;
use crate::disk::blocking::Blocking;
use crate::disk::{ByteRange, Engine, EntryKind, StorePath};
use crate::error::OpenError;
use crate::journal::format::{BLOCK, BLOCK_LEN, UncheckedBatch};
use crate::journal::log::Salts;
use crate::journal::replay;
use crate::layout::{JOURNAL, JOURNAL_FILES, Layout, SHARES, VERSION};
use crate::store::{Config, Store};

impl Store {
    /// Makes the directory that the engine works on, with shares of Tahoe-LAFS in it, a store.
    ///
    /// [`crate::adopt()`] has the words, and does this in a directory.
    ///
    /// # Errors
    ///
    /// [`AdoptError`]; the directory still is what it was.
    pub fn adopt(
        engine: &mut dyn Engine,
        layout: Layout,
        config: &Config,
    ) -> Result<(), AdoptError> {
        let mut opening = Opening {
            disk: Blocking::new(engine),
            config,
            salts: Salts::new(config.seed),
        };
        opening.check_journal_size()?;
        opening.adopt(layout)
    }
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
        for prefix in self.directories(SHARES)? {
            if is_bucket(&prefix) {
                return Ok(Some(Layout::Flat));
            }
            if !is_prefix(&prefix) {
                continue;
            }
            for name in self.directories(&format!("{SHARES}/{prefix}"))? {
                if is_bucket(&name) {
                    return Ok(Some(Layout::OneLevel));
                }
                if is_prefix(&name) {
                    return Ok(Some(Layout::TwoLevel));
                }
            }
        }
        Ok(None)
    }

    fn directories(&mut self, path: &str) -> Result<Vec<String>, OpenError> {
        let path = StorePath::new(path);
        let entries = match self.list(&path) {
            // More buckets in one directory than are ever listed: they are there.
            Err(OpenError::Disk { error, .. }) if error.errno == Errno::OVERFLOW => Vec::new(),
            listed => listed?,
        };
        let directories = entries
            .into_iter()
            .filter(|(_, kind)| *kind == EntryKind::Directory);
        Ok(directories
            .filter_map(|(name, _)| String::from_utf8(name).ok())
            .collect())
    }

    /// Whether a journal file holds anything; one that was only made does not.
    fn has_records(&mut self, path: &StorePath) -> Result<bool, OpenError> {
        let found = self.found(path)?;
        let range = ByteRange {
            offset: BLOCK,
            len: BLOCK_LEN,
        };
        let (_, front) = replay::read(&mut self.disk, path, range).map_err(at(path))?;
        Ok(UncheckedBatch::parse(&front, found.header.salt).is_some())
    }
}

/// Whether a directory under `shares` leads to buckets.
fn is_prefix(name: &str) -> bool {
    let base32 = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    name.len() == 2 && name.bytes().all(base32)
}

fn is_bucket(name: &str) -> bool {
    name.parse::<lafs::StorageIndex>().is_ok()
}
