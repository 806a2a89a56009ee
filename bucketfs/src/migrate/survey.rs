//! What a migration would do: how many buckets it moves, what is in its way, and whether the file
//! system has room for so many directories in one.
//!
//! Looks and changes nothing, beside a daemon or without one. No symbolic link is followed: a directory
//! is opened in the one above it, and must be one.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use lafs::{StorageIndex, num};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::file_system;
use crate::disk::{RootError, StorePath};
use crate::error::OpenError;
use crate::layout::{Layout, Layouts, Located, SHARES, Tree, VERSION};
use crate::version;

/// What there is to do, and what speaks against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// In which layouts the store's buckets lie now.
    pub layouts: Layouts,
    /// Buckets that are to be moved.
    pub buckets: u64,
    /// Buckets that are where they are to be.
    pub in_place: u64,
    /// Buckets that are to be moved, and whose new place is taken by a directory with something in it.
    pub taken: u64,
    /// The first of them, at most [`NAMED_MAX`].
    pub taken_names: Vec<StorageIndex>,
    /// How many subdirectories the fullest directory will have.
    pub fullest: u64,
    /// How many the file system lets a directory have, if it has a limit.
    pub limit: Option<u64>,
    /// The file system, as the kernel names it.
    pub file_system: String,
}

/// How many buckets are named.
pub const NAMED_MAX: usize = 16;

impl Survey {
    /// Whether the file system has no room for so many directories in one.
    #[must_use]
    pub fn is_beyond_limit(&self) -> bool {
        self.limit.is_some_and(|limit| self.fullest > limit)
    }
}

/// Looks at a store that is to be moved to a layout.
///
/// Reads every directory above buckets, and blocks meanwhile. Beside a daemon the numbers are those of
/// about now.
///
/// # Errors
///
/// [`OpenError`], if there is no store or a directory cannot be read.
pub fn survey(path: &Path, to: Layout) -> Result<Survey, OpenError> {
    let layouts = layouts(path)?;
    let (file_system, limit) = file_system::of(path);
    let mut surveyor = Surveyor {
        path,
        to: Tree::new(to),
        places: crowds(to),
        survey: Survey {
            layouts,
            buckets: 0,
            in_place: 0,
            taken: 0,
            taken_names: Vec::new(),
            fullest: 0,
            limit,
            file_system,
        },
    };
    let store = rustix::fs::open(path, DIRECTORY, Mode::empty());
    let store = store.map_err(|errno| unreadable(path, errno))?;
    for layout in layouts.from.into_iter().chain([layouts.layout]) {
        surveyor.walk(&store, layout)?;
    }
    let mut survey = surveyor.survey;
    let fullest = surveyor.places.into_iter().max().unwrap_or(0);
    // Beside buckets `shares` has the directories of the other layouts, and that of uploads.
    survey.fullest = u64::from(fullest).max(PREFIXES) + PREFIXES;
    Ok(survey)
}

/// In which layouts the buckets of a store lie, by its version file.
///
/// # Errors
///
/// [`OpenError`], if there is none, or it is not one that this program knows.
pub fn layouts(path: &Path) -> Result<Layouts, OpenError> {
    let missing = OpenError::Missing { name: VERSION };
    let text = match fs::File::open(path.join(VERSION)) {
        Ok(file) => {
            let mut text = Vec::new();
            let len = num::size(version::LEN_MAX);
            io::Read::read_to_end(&mut io::Read::take(file, len), &mut text).map(|_| text)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing),
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| {
        let path = path.join(VERSION);
        OpenError::Root(RootError::Directory { path, error })
    })?;
    version::parse(&text)
}

struct Surveyor<'a> {
    path: &'a Path,
    to: Tree,
    /// How many buckets each directory right above them will have.
    places: Vec<u32>,
    survey: Survey,
}

impl Surveyor<'_> {
    /// Counts the buckets of one layout.
    fn walk(&mut self, store: &OwnedFd, layout: Layout) -> Result<(), OpenError> {
        let tree = Tree::new(layout);
        let mut left = vec![StorePath::new(SHARES)];
        while let Some(path) = left.pop() {
            let mut found = Vec::new();
            match each_directory(store, &path, |name| found.push(name)) {
                Ok(()) => {}
                // Gone meanwhile, or no directory.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if path.as_str() != SHARES => {}
                Err(errno) => {
                    return Err(unreadable(&self.path.join(path.as_str()), errno));
                }
            }
            for name in found {
                let path = StorePath::new(&format!("{path}/{name}"));
                match tree.locate(&path) {
                    Located::Above => left.push(path),
                    Located::Bucket(index) => self.bucket(store, tree, index),
                    Located::Share(_) | Located::Foreign => {}
                }
            }
        }
        Ok(())
    }

    fn bucket(&mut self, store: &OwnedFd, tree: Tree, index: StorageIndex) {
        let place = &mut self.places[crowd(self.to, index)];
        *place = place.saturating_add(1);
        if tree == self.to {
            self.survey.in_place += 1;
            return;
        }
        self.survey.buckets += 1;
        let target = self.to.bucket(index);
        let mut is_empty = true;
        let is_there = each_name(store, &target, |_, _| is_empty = false).is_ok();
        if is_there && !is_empty {
            self.survey.taken += 1;
            if self.survey.taken_names.len() < NAMED_MAX {
                self.survey.taken_names.push(index);
            }
        }
    }
}

/// The directories in one, but for names that are no text.
fn each_directory(
    store: &OwnedFd,
    path: &StorePath,
    mut with: impl FnMut(String),
) -> Result<(), Errno> {
    let directory = open(store, path)?;
    let mut kinds = Vec::new();
    each_entry(&directory, |name, kind| {
        let may_be = matches!(kind, FileType::Directory | FileType::Unknown);
        if let Some(name) = name.to_str().ok().filter(|_| may_be) {
            kinds.push((name.to_owned(), kind));
        }
    })?;
    for (name, kind) in kinds {
        let is_directory = kind == FileType::Directory || {
            let status = rustix::fs::statat(&directory, &*name, AtFlags::SYMLINK_NOFOLLOW);
            status.is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory)
        };
        if is_directory {
            with(name);
        }
    }
    Ok(())
}

fn each_name(
    store: &OwnedFd,
    path: &StorePath,
    with: impl FnMut(&CStr, FileType),
) -> Result<(), Errno> {
    each_entry(&open(store, path)?, with)
}

fn each_entry(directory: &OwnedFd, mut with: impl FnMut(&CStr, FileType)) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            with(name, entry.file_type());
        }
    }
    Ok(())
}

/// Opens a directory below the store, one name after the other.
fn open(store: &OwnedFd, path: &StorePath) -> Result<OwnedFd, Errno> {
    let mut names = path.as_str().split('/');
    let first = names.next().unwrap_or_default();
    let first = rustix::fs::openat(store, first, DIRECTORY, Mode::empty())?;
    names.try_fold(first, |directory, name| {
        rustix::fs::openat(&directory, name, DIRECTORY, Mode::empty())
    })
}

fn unreadable(path: &Path, errno: Errno) -> OpenError {
    let (path, error) = (path.to_path_buf(), io::Error::from(errno));
    OpenError::Root(RootError::Directory { path, error })
}

/// A number for each directory that may hold buckets.
fn crowds(layout: Layout) -> Vec<u32> {
    vec![0; 1 << bits(layout)]
}

/// The number of the directory that holds a bucket: its first characters, of five bits each.
fn crowd(tree: Tree, index: StorageIndex) -> usize {
    let [first, second, third, ..] = *index.as_bytes();
    let front = u32::from_be_bytes([0, first, second, third]);
    let bits = 10 * u32::from(tree.levels() - 1);
    usize::try_from(front >> (24 - bits)).expect("at most 2^20")
}

fn bits(layout: Layout) -> u32 {
    10 * u32::from(Tree::new(layout).levels() - 1)
}

/// How many directories there are of two characters, in one.
const PREFIXES: u64 = 1024;

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::RDONLY);

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with the buckets of these numbers, in the layout.
    fn store(layout: Layout, numbers: std::ops::Range<u8>) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let version = version::print(Layouts::settled(layout));
        fs::write(directory.path().join(VERSION), version).unwrap();
        fs::create_dir(directory.path().join(SHARES)).unwrap();
        for number in numbers {
            plant(directory.path(), layout, number);
        }
        directory
    }

    fn plant(path: &Path, layout: Layout, number: u8) {
        let bucket = Tree::new(layout).bucket(index(number)).to_string();
        fs::create_dir_all(path.join(&bucket)).unwrap();
        fs::write(path.join(bucket).join("0"), b"share").unwrap();
    }

    fn index(number: u8) -> StorageIndex {
        let mut bytes = [0; 16];
        // Four characters are the same, and the next one is not.
        bytes[3] = number;
        StorageIndex::new(bytes)
    }

    #[test]
    fn what_is_to_be_moved_is_counted_and_what_is_in_the_way_is_named() {
        for from in Layout::ALL {
            for to in Layout::ALL.into_iter().filter(|to| *to != from) {
                let store = store(from, 0..20);
                plant(store.path(), to, 7);
                let foreign = store.path().join("shares/notes");
                std::os::unix::fs::symlink("..", foreign).unwrap();
                let found = survey(store.path(), to).unwrap();
                assert_eq!(found.layouts, Layouts::settled(from));
                assert_eq!((found.buckets, found.in_place), (20, 0));
                assert_eq!(found.taken_names, [index(7)], "{from} to {to}");
                assert_eq!(found.taken, 1);
                let same = survey(store.path(), from).unwrap();
                assert_eq!((same.buckets, same.in_place), (0, 20));
            }
        }
    }

    #[test]
    fn the_fullest_directory_is_compared_with_the_limit() {
        let store = store(Layout::TwoLevel, 0..200);
        let mut found = survey(store.path(), Layout::OneLevel).unwrap();
        assert!(found.fullest >= 200);
        found.limit = Some(31_998);
        assert!(!found.is_beyond_limit());
        found.fullest = 31_999;
        assert!(found.is_beyond_limit());
        found.limit = None;
        assert!(!found.is_beyond_limit());
    }

    // All buckets go into one directory, or into that of their first characters.
    #[test]
    fn buckets_crowd_where_the_layout_puts_them() {
        let mut bytes = [0xff; 16];
        let last = StorageIndex::new(bytes);
        bytes[1] = 0x3f;
        let before = StorageIndex::new(bytes);
        for (layout, expected) in [
            (Layout::Flat, [0, 0]),
            (Layout::OneLevel, [1023, 1020]),
            (Layout::TwoLevel, [(1 << 20) - 1, (1020 << 10) + 1023]),
        ] {
            let tree = Tree::new(layout);
            assert_eq!([last, before].map(|index| crowd(tree, index)), expected);
            assert!(expected[0] < crowds(layout).len());
        }
    }

    #[test]
    fn where_no_store_is_that_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let error = survey(directory.path(), Layout::Flat).unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    }
}
