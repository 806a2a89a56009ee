//! The names of one directory of the tree, in the order of their text, a bounded number at a time.
//!
//! A directory may hold more buckets than fit into memory (a flat store has all of them in one). Of
//! these each listing gives the first [`WINDOW_LEN`] behind a name; the next one reads the directory
//! through again. Names that come and go meanwhile are told or not; those that stay are told once.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use lafs::StorageIndex;
use rustix::fs::{AtFlags, FileType, RawDir};
use rustix::io::Errno;

use super::range::{Range, Text};

/// A part of what a directory of the tree holds.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The names of two characters that directories above buckets have, sorted; all of them.
    pub(super) prefixes: Vec<[u8; 2]>,
    /// The names of buckets, sorted; those behind where the window begins.
    pub(super) buckets: Vec<Text>,
    /// Whether there are more buckets behind the last one.
    pub(super) has_more: bool,
    /// Whether there was no name at all in the directory.
    pub(super) is_empty: bool,
}

/// Lists the directory of a prefix, as far as its buckets are in the range. What is neither a bucket's
/// name with that prefix nor that of a directory above buckets is given to `other`, and not kept.
pub(super) fn window(
    directory: &OwnedFd,
    above: &str,
    is_deepest: bool,
    range: Range,
    mut other: impl FnMut(&[u8], FileType),
) -> Result<Window, Errno> {
    let mut window = Window {
        is_empty: true,
        ..Window::default()
    };
    let mut more = false;
    each(directory, |name, kind| {
        window.is_empty = false;
        let is_directory = kind == FileType::Directory;
        let prefix = prefix(name).filter(|_| is_directory && !is_deepest);
        if let Some(prefix) = prefix {
            window.prefixes.push(prefix);
            return;
        }
        let is_below = |text: &Text| is_directory && text.starts_with(above.as_bytes());
        match bucket(name).filter(is_below) {
            Some(text) if range.has(&text) => window.buckets.push(text),
            Some(_) => {}
            None => other(name, kind),
        }
        if window.buckets.len() == 2 * WINDOW_LEN {
            more = true;
            window.buckets.select_nth_unstable(WINDOW_LEN);
            window.buckets.truncate(WINDOW_LEN);
        }
    })?;
    window.buckets.sort_unstable();
    if window.buckets.len() > WINDOW_LEN {
        more = true;
        window.buckets.truncate(WINDOW_LEN);
    }
    window.prefixes.sort_unstable();
    window.has_more = more;
    Ok(window)
}

/// Gives every name of a directory, and what it names.
pub(super) fn each(
    directory: &OwnedFd,
    mut give: impl FnMut(&[u8], FileType),
) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER_LEN];
    let mut names = RawDir::new(directory, &mut buffer);
    while let Some(name) = names.next() {
        let name = name?;
        let bytes = name.file_name().to_bytes();
        if matches!(bytes, b"." | b"..") {
            continue;
        }
        let mut kind = name.file_type();
        if kind == FileType::Unknown {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            match rustix::fs::statat(directory, name.file_name(), flags) {
                Ok(status) => kind = FileType::from_raw_mode(status.st_mode),
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            }
        }
        give(bytes, kind);
    }
    Ok(())
}

/// Gives the inode number of everything in a directory.
pub(super) fn each_inode(directory: &OwnedFd, mut give: impl FnMut(u64)) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER_LEN];
    let mut names = RawDir::new(directory, &mut buffer);
    while let Some(name) = names.next() {
        give(name?.ino());
    }
    Ok(())
}

/// The name of a directory above buckets.
pub(super) fn prefix(name: &[u8]) -> Option<[u8; 2]> {
    let is_digit = |byte: &u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    <[u8; 2]>::try_from(name)
        .ok()
        .filter(|name| name.iter().all(is_digit))
}

/// The name of a bucket.
pub(super) fn bucket(name: &[u8]) -> Option<Text> {
    let text = Text::try_from(name).ok()?;
    storage_index(&text).map(|_| text)
}

/// The storage index of a text, if it is one.
pub(super) fn storage_index(text: &[u8]) -> Option<StorageIndex> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Most buckets that are kept of one listing: twice that while it is made, 13 MiB.
#[cfg(not(test))]
pub(super) const WINDOW_LEN: usize = 1 << 18;
/// Few, for tests to come to the end of one.
#[cfg(test)]
pub(super) const WINDOW_LEN: usize = 4;

/// Room for some hundred names a call.
const BUFFER_LEN: usize = 16 << 10;
