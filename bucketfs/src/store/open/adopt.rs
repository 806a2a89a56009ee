//! A store that another program made: given its version file and its journal.

use super::{Config, Opening, at};
use crate::disk::{ByteRange, Engine, EntryKind, ListCursor, StorePath};
use crate::error::{AdoptError, OpenError};
use crate::journal::account::Account;
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
                self.make_journal(&path, file, &Account::default())?;
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
        self.find_directory(&StorePath::new(SHARES), |opening, path| {
            if is_bucket(Layout::Flat, path) {
                return Ok(Some(Layout::Flat));
            }
            if !is_above(Layout::OneLevel, path) {
                return Ok(None);
            }
            opening.find_directory(path, |_, path| {
                Ok(if is_bucket(Layout::OneLevel, path) {
                    Some(Layout::OneLevel)
                } else {
                    is_above(Layout::TwoLevel, path).then_some(Layout::TwoLevel)
                })
            })
        })
    }

    /// The first that is found among the directories in one, which may be very many.
    fn find_directory<T>(
        &mut self,
        path: &StorePath,
        find: impl Fn(&mut Self, &StorePath) -> Result<Option<T>, OpenError>,
    ) -> Result<Option<T>, OpenError> {
        let mut after = Some(ListCursor::Start);
        while let Some(cursor) = after {
            let (entries, next) = self.page(path, cursor)?;
            for entry in entries {
                let name = String::from_utf8(entry.name).ok();
                let Some(name) = name.filter(|_| entry.kind == EntryKind::Directory) else {
                    continue;
                };
                if let Some(found) = find(self, &StorePath::new(&format!("{path}/{name}")))? {
                    return Ok(Some(found));
                }
            }
            after = next;
        }
        Ok(None)
    }

    /// Whether a journal file holds anything; one that was only made does not.
    fn has_records(&mut self, path: &StorePath) -> Result<bool, OpenError> {
        let (header, _) = self.header(path)?;
        let range = ByteRange {
            offset: BLOCK,
            len: BLOCK_LEN,
        };
        let (_, front) = replay::read(&mut self.disk, path, range).map_err(at(path))?;
        Ok(UncheckedBatch::parse(&front, header.salt).is_some())
    }
}

fn is_bucket(layout: Layout, path: &StorePath) -> bool {
    matches!(Tree::new(layout).locate(path), Located::Bucket(_))
}

fn is_above(layout: Layout, path: &StorePath) -> bool {
    Tree::new(layout).locate(path) == Located::Above
}
