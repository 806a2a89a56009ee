//! A walk through the places that buckets are being moved from, one page of a directory at a time.
//!
//! What is moved away during the walk is no trouble: it is told or it is not. What is no bucket of
//! the old layout is passed over; buckets of the new one are among it.

use rustix::io::Errno;

use lafs::StorageIndex;

use crate::disk::{Entry, EntryKind, ListCursor, Outcome, StorePath};
use crate::error::DiskError;
use crate::layout::{Layout, Located, SHARES, Tree};

/// How far it is.
#[derive(Debug)]
pub(super) struct Walk {
    tree: Tree,
    /// The directories that it is in, the deepest last.
    levels: Vec<Level>,
    /// There was a bucket that is or was in the old place, or a directory that could not be read.
    has_found: bool,
}

/// A directory that is being listed.
#[derive(Debug)]
struct Level {
    path: StorePath,
    /// What was listed and not looked at yet.
    entries: Vec<Entry>,
    /// Where the listing goes on.
    next: Option<ListCursor>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A bucket is there, or was.
    Bucket(StorageIndex),
    /// A part of this directory is to be listed.
    Page(StorePath, ListCursor),
    /// There is no more.
    End,
}

impl Walk {
    pub(super) fn new(from: Layout) -> Self {
        Self {
            tree: Tree::new(from),
            levels: vec![Level::new(StorePath::new(SHARES))],
            has_found: false,
        }
    }

    /// Notes that there was something in the old places.
    pub(super) fn found(&mut self) {
        self.has_found = true;
    }

    pub(super) fn has_found_nothing(&self) -> bool {
        !self.has_found
    }

    pub(super) fn next(&mut self) -> Step {
        while let Some(level) = self.levels.last_mut() {
            let Some(entry) = level.entries.pop() else {
                match level.next.take() {
                    Some(after) => return Step::Page(level.path.clone(), after),
                    None => self.levels.pop(),
                };
                continue;
            };
            let Some(path) = level.directory(&entry) else {
                continue;
            };
            match self.tree.locate(&path) {
                Located::Bucket(index) => return Step::Bucket(index),
                Located::Above => self.levels.push(Level::new(path)),
                Located::Share(_) | Located::Foreign => {}
            }
        }
        Step::End
    }

    /// Takes the page that was asked for.
    pub(super) fn listed(&mut self, result: Result<Outcome, DiskError>) -> Result<(), DiskError> {
        let level = self.levels.last_mut().expect("it asked for a page of it");
        match result {
            Ok(Outcome::Page { entries, next }) => {
                level.entries = entries;
                level.next = next;
                Ok(())
            }
            Ok(outcome) => panic!("a listing gave {outcome:?}"),
            Err(error) => {
                self.levels.pop();
                if error.errno == Errno::NOENT || error.is_foreign() {
                    // Its last bucket was moved away, and so it went.
                    return Ok(());
                }
                // There may be more in it: another walk has to be made.
                self.has_found = true;
                match error.errno {
                    // It went, and was made again.
                    Errno::STALE => Ok(()),
                    _ => Err(error),
                }
            }
        }
    }
}

impl Level {
    fn new(path: StorePath) -> Self {
        Self {
            path,
            entries: Vec::new(),
            next: Some(ListCursor::Start),
        }
    }

    /// Where the directory of an entry is, if it is one that may be the store's.
    fn directory(&self, entry: &Entry) -> Option<StorePath> {
        let name = std::str::from_utf8(&entry.name).ok()?;
        let is_name = !name.contains(['/', '\0']) && !matches!(name, "" | "." | "..");
        let is_directory = entry.kind == EntryKind::Directory;
        (is_name && is_directory).then(|| StorePath::new(&format!("{}/{name}", self.path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(names: &[(&str, EntryKind)], next: Option<ListCursor>) -> Result<Outcome, DiskError> {
        let entry = |(name, kind): &(&str, EntryKind)| Entry {
            name: name.as_bytes().to_vec(),
            kind: *kind,
        };
        let entries = names.iter().map(entry).collect();
        Ok(Outcome::Page { entries, next })
    }

    #[test]
    fn buckets_of_the_old_layout_are_found_and_nothing_else() {
        let index = StorageIndex::new([1; 16]);
        let name = index.to_string();
        let (prefix, below) = (&name[..2], &name[2..4]);
        let directory = EntryKind::Directory;
        let mut walk = Walk::new(Layout::OneLevel);
        let Step::Page(path, ListCursor::Start) = walk.next() else {
            panic!("it begins with a page");
        };
        assert_eq!(path.as_str(), "shares");
        let names = [
            ("incoming", directory),
            (prefix, directory),
            (&name, directory),
            ("zz", EntryKind::File),
        ];
        walk.listed(page(&names, None)).unwrap();
        let Step::Page(path, ListCursor::Start) = walk.next() else {
            panic!("a directory above buckets is listed");
        };
        assert_eq!(path, StorePath::new(&format!("shares/{prefix}")));
        let names = [(&*name, directory), (below, directory)];
        let after = ListCursor::Name(b"x".to_vec());
        walk.listed(page(&names, Some(after.clone()))).unwrap();
        assert_eq!(walk.next(), Step::Bucket(index));
        assert_eq!(walk.next(), Step::Page(path, after));
        let gone = DiskError {
            call: "open",
            errno: Errno::NOENT,
        };
        walk.listed(Err(gone)).unwrap();
        assert_eq!(walk.next(), Step::End);
    }

    // A directory that was not read may hold buckets: the store must not be taken for moved.
    #[test]
    fn a_directory_that_cannot_be_read_leaves_the_walk_undone() {
        for errno in [Errno::STALE, Errno::IO] {
            let mut walk = Walk::new(Layout::Flat);
            assert!(matches!(walk.next(), Step::Page(..)));
            let call = "open";
            let result = walk.listed(Err(DiskError { call, errno }));
            assert_eq!(result.is_err(), errno == Errno::IO);
            assert!(!walk.has_found_nothing());
        }
    }
}
