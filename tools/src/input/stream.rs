//! What is read once, from its beginning to its end: standard input, pipes, and files that are made
//! up while they are read.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FsWord, OFlags, fcntl_getfl, major, minor, statfs};

use crate::error::InputError;
use crate::file_kind::FileKind;

/// How something that was named can be read.
pub enum Look {
    /// As often as one likes, at any place.
    File,
    /// Once.
    Stream(Box<dyn Read + Send>),
}

/// Says how `path` can be read, without opening it.
///
/// A named pipe is a stream, and so is a file of `/proc` or `/sys`: its size says nothing, and it may
/// read differently the second time. An empty file is taken for one of these, which costs nothing.
///
/// # Errors
///
/// [`InputError::NotAFile`] for what has no content of its own, or that it cannot be looked at.
pub fn look(path: &Path) -> Result<Look, InputError> {
    let name = || path.display().to_string();
    let read = |source| InputError::Read {
        name: name(),
        source,
    };
    let metadata = path.metadata().map_err(read)?;
    if let Some(kind) = FileKind::of(metadata.file_type()) {
        return Err(InputError::NotAFile { name: name(), kind });
    }
    let is_plain = metadata.is_file() && metadata.len() > 0 && !is_made_up(path).map_err(read)?;
    Ok(if is_plain {
        Look::File
    } else {
        Look::Stream(Box::new(Later::At(path.to_owned())))
    })
}

/// Standard input, as a stream that does not pass over errors.
///
/// # Errors
///
/// [`InputError::Closed`] if there is none.
pub fn standard_input() -> Result<File, InputError> {
    let own = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    own.ok()
        .filter(|own| !stands_in(own))
        .ok_or(InputError::Closed)
}

/// Whether this is what Rust's start-up puts in the place of a closed standard input: `/dev/null`,
/// opened for reading and for writing. What a shell opens with `</dev/null` is for reading alone. Some
/// languages open it as Rust does for the programs they run, which likewise say that there is nothing.
fn stands_in(input: &File) -> bool {
    let Ok(metadata) = input.metadata() else {
        return true;
    };
    let device = (major(metadata.rdev()), minor(metadata.rdev()));
    let is_null = metadata.file_type().is_char_device() && device == (1, 3);
    let mode = fcntl_getfl(input).map(|flags| flags & OFlags::RWMODE);
    is_null && mode.is_ok_and(|mode| mode == OFlags::RDWR)
}

/// Whether the file is on a file system that makes content up.
fn is_made_up(path: &Path) -> io::Result<bool> {
    Ok(MADE_UP.contains(&statfs(path)?.f_type))
}

/// A file that is opened when it is first read: opening a pipe waits for its writer.
enum Later {
    At(PathBuf),
    Open(File),
}

impl Read for Later {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::At(path) = self {
            *self = Self::Open(File::open(path)?);
        }
        match self {
            Self::Open(file) => file.read(buffer),
            Self::At(_) => unreachable!("it was just opened"),
        }
    }
}

/// proc, sysfs, debugfs, tracefs, securityfs, cgroup, cgroup2, from `linux/magic.h`.
const MADE_UP: [FsWord; 7] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x0027_e0eb,
    0x6367_7270,
];

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn content(look: Look) -> Vec<u8> {
        let Look::Stream(mut stream) = look else {
            panic!("it is a stream");
        };
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_the_kernel_makes_up_is_read_to_its_end_whatever_its_size_says() {
        let status = content(look(Path::new("/proc/self/status")).unwrap());
        assert!(status.starts_with(b"Name:"));
        let kernel = Path::new("/sys/kernel/mm/transparent_hugepage/enabled");
        if let Ok(expected) = std::fs::read(kernel) {
            assert_eq!(content(look(kernel).unwrap()), expected);
        }
    }

    #[test]
    fn a_file_is_a_file_and_an_empty_one_reads_as_empty() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "x").unwrap();
        assert!(matches!(look(&path).unwrap(), Look::File));
        std::fs::write(&path, "").unwrap();
        assert!(content(look(&path).unwrap()).is_empty());
    }

    #[test]
    fn what_has_no_content_of_its_own_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for (path, expected) in [
            (directory.path(), FileKind::Directory),
            (&socket, FileKind::Socket),
            (Path::new("/dev/zero"), FileKind::Device),
        ] {
            match look(path).err() {
                Some(InputError::NotAFile { kind, .. }) => assert_eq!(kind, expected),
                other => panic!("{}: {other:?}", path.display()),
            }
        }
    }
}
