//! Directories listed, whole or in pages.
//!
//! A page ends with a cursor, and the next one begins there, whatever came and went meanwhile. Two
//! kinds of cursor can promise that:
//!
//! * **The file system's own position**, where positions outlive both the open directory and changes
//!   in it: on ext2, ext3 and ext4 it is the hash of the name (or a place that names keep), on XFS
//!   and btrfs a number that a name has for life. A page costs what it tells.
//! * **The last name told**, everywhere else: on tmpfs before Linux 6.6 a position is a mere count,
//!   on overlayfs an index into what was merged when the directory was opened, and of a network's
//!   or FUSE's nobody knows. Each page reads the directory through and keeps the names that come
//!   next: right on any file system, and slow where a directory is very large.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, RawDir, RawDirEntry, SeekFrom};
use rustix::io::Errno;

use super::{Entry, EntryKind, LIST_ENTRIES_MAX, LIST_PAGE_LEN, ListCursor};

/// Appends all names of a directory.
pub(crate) fn whole(directory: &OwnedFd, entries: &mut Vec<Entry>) -> Result<(), Errno> {
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    let mut names = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(name) = names.next() {
        tell(directory, &name?, entries)?;
    }
    Ok(())
}

/// Gives the names of a directory's files, one by one, until one is no more wanted; returns
/// whether that were all.
pub(crate) fn files(
    directory: &OwnedFd,
    mut give: impl FnMut(&[u8]) -> bool,
) -> Result<bool, Errno> {
    let mut buffer = [MaybeUninit::uninit(); FILES_BUFFER_LEN];
    let mut names = RawDir::new(directory, &mut buffer);
    while let Some(name) = names.next() {
        let name = name?;
        let bytes = name.file_name().to_bytes();
        let is_name = !matches!(bytes, b"." | b"..");
        let is_file = is_name && kind(directory, &name)? == Some(EntryKind::File);
        if is_file && !give(bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Appends the names of one page; returns where the next one begins, if there may be more.
pub(crate) fn page(
    directory: &OwnedFd,
    after: &ListCursor,
    entries: &mut Vec<Entry>,
) -> Result<Option<ListCursor>, Errno> {
    match after {
        ListCursor::Start if keeps_positions(directory)? => {
            let inode = rustix::fs::fstat(directory)?.st_ino;
            by_position(directory, inode, 0, entries)
        }
        ListCursor::Start => by_name(directory, b"", entries),
        ListCursor::Name(name) => by_name(directory, name, entries),
        ListCursor::Position { inode, offset } => {
            if rustix::fs::fstat(directory)?.st_ino != *inode {
                return Err(Errno::STALE);
            }
            by_position(directory, *inode, *offset, entries)
        }
    }
}

fn by_position(
    directory: &OwnedFd,
    inode: u64,
    offset: u64,
    entries: &mut Vec<Entry>,
) -> Result<Option<ListCursor>, Errno> {
    rustix::fs::seek(directory, SeekFrom::Start(offset))?;
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    let mut names = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut offset = offset;
    while let Some(name) = names.next() {
        let name = name?;
        let its_own = std::mem::replace(&mut offset, name.next_entry_cookie());
        tell(directory, &name, entries)?;
        // Names of one hash have one position, and a page that began there would tell them all:
        // so they are told together. (A program of 32 bits gets hashes of 31.)
        if entries.len() >= LIST_PAGE_LEN && offset != its_own {
            return Ok(Some(ListCursor::Position { inode, offset }));
        }
    }
    Ok(None)
}

fn by_name(
    directory: &OwnedFd,
    after: &[u8],
    entries: &mut Vec<Entry>,
) -> Result<Option<ListCursor>, Errno> {
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    let mut names = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut page: BTreeMap<Vec<u8>, Option<EntryKind>> = BTreeMap::new();
    let mut has_more = false;
    while let Some(name) = names.next() {
        let name = name?;
        let bytes = name.file_name().to_bytes();
        if bytes <= after || matches!(bytes, b"." | b"..") {
            continue;
        }
        if page.len() == LIST_PAGE_LEN {
            has_more = true;
            if page
                .last_key_value()
                .is_some_and(|(last, _)| bytes > last.as_slice())
            {
                continue;
            }
            page.pop_last();
        }
        page.insert(bytes.to_vec(), kind(directory, &name)?);
    }
    let last = page.last_key_value().filter(|_| has_more);
    let next = last.map(|(name, _)| ListCursor::Name(name.clone()));
    let entry = |(name, kind): (_, Option<_>)| Some(Entry { name, kind: kind? });
    entries.extend(page.into_iter().filter_map(entry));
    Ok(next)
}

/// Appends an entry, unless it is one of the two that every directory has, or gone already.
fn tell(
    directory: &OwnedFd,
    name: &RawDirEntry<'_>,
    entries: &mut Vec<Entry>,
) -> Result<(), Errno> {
    let bytes = name.file_name().to_bytes();
    if matches!(bytes, b"." | b"..") {
        return Ok(());
    }
    let Some(kind) = kind(directory, name)? else {
        return Ok(());
    };
    if entries.len() == LIST_ENTRIES_MAX {
        return Err(Errno::OVERFLOW);
    }
    let name = bytes.to_vec();
    entries.push(Entry { name, kind });
    Ok(())
}

/// What an entry names; `None` if it is gone. Most file systems say it with the name.
fn kind(directory: &OwnedFd, name: &RawDirEntry<'_>) -> Result<Option<EntryKind>, Errno> {
    if name.file_type() != FileType::Unknown {
        return Ok(Some(name.file_type().into()));
    }
    match rustix::fs::statat(directory, name.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => Ok(Some(FileType::from_raw_mode(status.st_mode).into())),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether positions in a directory are good for longer than the directory is open.
fn keeps_positions(directory: &OwnedFd) -> Result<bool, Errno> {
    Ok([EXT, XFS, BTRFS].contains(&file_system(directory)?))
}

/// The kind of file system that something lies on, a number of `linux/magic.h`.
pub(crate) fn file_system(of: impl AsFd) -> Result<u32, Errno> {
    let kind = rustix::fs::fstatfs(of)?.f_type;
    // The type of the field differs by architecture; the numbers are of 32 bits.
    let kind = i128::from(kind) & i128::from(u32::MAX);
    Ok(u32::try_from(kind).expect("masked"))
}

/// `EXT4_SUPER_MAGIC` of `linux/magic.h`, and that of the two before it.
pub(crate) const EXT: u32 = 0xef53;
/// `XFS_SUPER_MAGIC`.
pub(crate) const XFS: u32 = 0x5846_5342;
/// `BTRFS_SUPER_MAGIC`.
const BTRFS: u32 = 0x9123_683e;

/// Room for a few hundred names a call; a bucket's directory takes one.
const BUFFER_LEN: usize = 8192;

/// Room for a bucket's names; more take more calls.
const FILES_BUFFER_LEN: usize = 2048;
