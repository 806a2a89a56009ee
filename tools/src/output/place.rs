//! Where the name of an output leads, so that a file is replaced and not the link to it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::file_kind::FileKind;

/// What is at the end of a name.
#[derive(Debug)]
pub(super) enum Place {
    /// Nothing yet: a file can be made there.
    New(PathBuf),
    /// A regular file.
    File(PathBuf, Metadata),
    /// What takes bytes as they come.
    Stream(PathBuf),
    /// What takes no file.
    Other(FileKind),
}

/// Follows `path` through symbolic links, also through one that leads to nothing yet.
///
/// # Errors
///
/// The error of looking at what is on the way.
pub(super) fn find(path: &Path) -> io::Result<Place> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if is_descriptor(&path) {
            // Whoever opened it reads what is written there, and not a file that took its place.
            return Ok(Place::Stream(path));
        }
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::New(path)),
            Err(error) => return Err(error),
        };
        let kind = metadata.file_type();
        if kind.is_symlink() {
            let target = path.read_link()?;
            path = match path.parent() {
                Some(directory) => directory.join(target),
                None => target,
            };
            continue;
        }
        return Ok(if kind.is_file() {
            Place::File(path, metadata)
        } else if kind.is_fifo() || kind.is_char_device() {
            Place::Stream(path)
        } else {
            Place::Other(FileKind::of(kind).unwrap_or(FileKind::Device))
        });
    }
    Err(io::Error::other("there are too many symbolic links"))
}

/// Whether this names an open file of a process: `/dev/stdout`, `/dev/fd/63`, `/proc/self/fd/1`.
fn is_descriptor(path: &Path) -> bool {
    let Some(directory) = path.parent().and_then(|parent| parent.canonicalize().ok()) else {
        return false;
    };
    directory.starts_with("/proc") && directory.ends_with("fd")
}

/// As many as Linux follows.
const LINKS_MAX: usize = 40;
