//! The words in findings.

use rustix::fs::FileType;

pub(super) const FILE: &str = "a regular file";
pub(super) const DIRECTORY: &str = "a directory";
pub(super) const READABLE: &str = "something that can be read";

/// What something is.
pub(super) fn of(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => FILE,
        FileType::Directory => DIRECTORY,
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::BlockDevice => "a block device",
        FileType::CharacterDevice => "a character device",
        FileType::Unknown => "something unknown",
    }
}

/// A few bytes, to be shown.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}
