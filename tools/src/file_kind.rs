//! What a name can lead to, other than a file.

use std::fmt;
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;

/// What a name can lead to, other than a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A socket.
    Socket,
    /// A block or character device.
    Device,
}

impl FileKind {
    /// What stands there; `None` for files and named pipes, which have content in order.
    #[must_use]
    pub fn of(kind: FileType) -> Option<Self> {
        if kind.is_dir() {
            Some(Self::Directory)
        } else if kind.is_socket() {
            Some(Self::Socket)
        } else if kind.is_file() || kind.is_fifo() {
            None
        } else {
            Some(Self::Device)
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}
