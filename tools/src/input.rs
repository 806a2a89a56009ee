//! What is uploaded: a file, seen through a small window that moves over it, or a stream.
//!
//! A file is never mapped or read whole, so that a 32-bit client uploads files larger than its
//! address space and memory does not grow with them. It is read twice, for its key and then for
//! its shares; a file that changes in between, or under a window, is detected and its upload fails:
//! shares of a mixture would spell a file that never existed.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lafs::num;

use crate::error::InputError;
use crate::file_kind::FileKind;

mod map;
mod stream;

use map::Mapping;
pub use stream::{Look, look, standard_input};

/// Files up to this size are read into memory, where a window would cost more than it saves.
pub const SMALL_LEN_MAX: usize = 256 << 10;

/// Size of a window: resident while it is looked at, so part of the memory budget.
pub const WINDOW_LEN: usize = 1 << 20;

/// A file to be uploaded.
#[derive(Debug)]
pub struct InputFile {
    file: File,
    path: PathBuf,
    stamp: Stamp,
}

/// What changes when a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl InputFile {
    /// Opens a regular file.
    ///
    /// # Errors
    ///
    /// [`InputError`] if it cannot be opened or is not a file.
    pub fn open(path: &Path) -> Result<Self, InputError> {
        let read = |source| InputError::Read {
            name: path.display().to_string(),
            source,
        };
        // The type is looked at first: opening a named pipe would wait for its writer.
        let kind = path.metadata().map_err(read)?.file_type();
        if !kind.is_file() {
            return Err(InputError::NotAFile {
                name: path.display().to_string(),
                kind: FileKind::of(kind).unwrap_or(FileKind::Device),
            });
        }
        let file = File::open(path).map_err(read)?;
        let stamp = Stamp::of(&file.metadata().map_err(read)?);
        Ok(Self {
            file,
            path: path.to_owned(),
            stamp,
        })
    }

    /// Its size when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// Fails if the file is no longer what was opened.
    ///
    /// # Errors
    ///
    /// [`InputError::Changed`], or that it cannot be looked at.
    pub fn check_unchanged(&self) -> Result<(), InputError> {
        let metadata = self.file.metadata().map_err(|error| self.read(error))?;
        if Stamp::of(&metadata) == self.stamp {
            Ok(())
        } else {
            Err(self.changed())
        }
    }

    /// Reads the whole of a small file into memory.
    ///
    /// # Errors
    ///
    /// [`InputError`] if it cannot be read or has changed.
    ///
    /// # Panics
    ///
    /// If the file is larger than [`SMALL_LEN_MAX`].
    pub fn read_small(&self) -> Result<Vec<u8>, InputError> {
        let len = num::len(self.size()).filter(|&len| len <= SMALL_LEN_MAX);
        let len = len.expect("the caller chose by size");
        let mut bytes = Vec::with_capacity(len);
        (&self.file)
            .take(self.size() + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| self.read(error))?;
        if bytes.len() != len {
            return Err(self.changed());
        }
        self.check_unchanged()?;
        Ok(bytes)
    }

    /// Shows the file to `look` in order, `step_len` bytes at a time, the last piece shorter.
    ///
    /// # Errors
    ///
    /// [`InputError`] of the file, or the first error of `look`.
    ///
    /// # Panics
    ///
    /// If `step_len` is 0.
    pub fn pieces<E: From<InputError>>(
        &self,
        step_len: usize,
        mut look: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        assert!(step_len > 0, "a file is looked at in pieces of some bytes");
        // Whole pieces to a window, at least one.
        let window_size = num::size(step_len.max(WINDOW_LEN / step_len * step_len));
        let mut offset = 0;
        while offset < self.size() {
            self.check_unchanged()?;
            let len = num::len(window_size.min(self.size() - offset))
                .expect("a window fits in the address space");
            let window = Mapping::new(&self.file, offset, len).map_err(|error| self.read(error))?;
            for piece in window.bytes().chunks(step_len) {
                look(piece)?;
                if window.was_torn() {
                    return Err(self.changed().into());
                }
            }
            offset += num::size(len);
        }
        self.check_unchanged()?;
        Ok(())
    }

    /// Shows `look` up to `len` bytes from `offset` on; `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// [`InputError`] if the file cannot be read or has changed.
    pub fn piece_at<T>(
        &self,
        offset: u64,
        len: usize,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, InputError> {
        self.check_unchanged()?;
        let left = self.size().saturating_sub(offset);
        let len = num::len(left).map_or(len, |left| left.min(len));
        if len == 0 {
            return Ok(None);
        }
        let window = Mapping::new(&self.file, offset, len).map_err(|error| self.read(error))?;
        let seen = look(window.bytes());
        if window.was_torn() {
            return Err(self.changed());
        }
        Ok(Some(seen))
    }

    /// The error of a file that is beyond the format.
    #[must_use]
    pub fn too_large(&self) -> InputError {
        InputError::TooLarge { name: self.name() }
    }

    fn changed(&self) -> InputError {
        InputError::Changed { name: self.name() }
    }

    fn read(&self, source: io::Error) -> InputError {
        InputError::Read {
            name: self.name(),
            source,
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Fills `buffer` from a stream as far as the stream goes and returns how far.
///
/// # Errors
///
/// The stream's.
pub fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match stream.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        fs::write(&path, bytes).unwrap();
        (directory, path)
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..=250).cycle().take(len).collect()
    }

    #[test]
    fn the_pieces_of_a_file_are_the_file() {
        for len in [
            0,
            1,
            4095,
            4096,
            WINDOW_LEN,
            WINDOW_LEN + 1,
            3 * WINDOW_LEN - 7,
        ] {
            let bytes = pattern(len);
            let (_directory, path) = file(&bytes);
            let input = InputFile::open(&path).unwrap();
            for step_len in [262_080, 1 << 20, 3 << 20] {
                let mut seen = Vec::new();
                input
                    .pieces(step_len, |piece| {
                        assert!(piece.len() == step_len || seen.len() + piece.len() == len);
                        seen.extend_from_slice(piece);
                        Ok::<_, InputError>(())
                    })
                    .unwrap();
                assert!(seen == bytes, "{len} bytes by {step_len}");

                let mut seen = Vec::new();
                while let Some(piece) = input
                    .piece_at(num::size(seen.len()), step_len, <[u8]>::to_vec)
                    .unwrap()
                {
                    seen.extend(piece);
                }
                assert!(seen == bytes, "{len} bytes by {step_len}, one at a time");
            }
        }
    }

    // The kernel sends SIGBUS for a page beyond the end of a file that shrank under its mapping.
    #[test]
    fn a_file_that_shrinks_under_a_window_is_an_error_and_not_the_end_of_the_process() {
        let (_directory, path) = file(&pattern(WINDOW_LEN));
        let input = InputFile::open(&path).unwrap();
        let mut sum = 0_u64;
        let error = input
            .pieces(WINDOW_LEN, |piece| {
                OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_len(10)
                    .unwrap();
                sum = piece.iter().copied().map(u64::from).sum();
                Ok::<_, InputError>(())
            })
            .unwrap_err();
        assert!(matches!(error, InputError::Changed { .. }), "{error}");
    }

    #[test]
    fn a_file_that_grows_or_is_written_between_two_looks_is_an_error() {
        let (_directory, path) = file(&pattern(1000));
        let input = InputFile::open(&path).unwrap();
        assert_eq!(input.read_small().unwrap(), pattern(1000));
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"more")
            .unwrap();
        let error = input.pieces(100, |_| Ok::<_, InputError>(())).unwrap_err();
        assert!(matches!(error, InputError::Changed { .. }), "{error}");
    }

    #[test]
    fn a_directory_is_not_a_file_and_a_missing_one_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let error = InputFile::open(directory.path()).unwrap_err();
        assert!(matches!(error, InputError::NotAFile { .. }));
        let error = InputFile::open(&directory.path().join("none")).unwrap_err();
        assert!(matches!(error, InputError::Read { .. }));
    }
}
