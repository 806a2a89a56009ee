//! Temporary names beside a file's own, and what killed processes have left under them.
//!
//! Whoever uses such a name holds a lock on its file. The kernel gives it back whatever ends the
//! process, so a file that can be locked is abandoned.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// Creates a file under a temporary name beside `target`.
///
/// # Errors
///
/// The error of creating it.
pub(super) fn create(target: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    loop {
        let name = name(target)?;
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&name);
        match created {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => {
                let file = created?;
                // Whoever cleans up may have taken it for abandoned before it was locked.
                if lock(&file) != Lock::Others && file.metadata()?.nlink() > 0 {
                    return Ok((file, name));
                }
            }
        }
    }
}

/// Gives a file that has no name a temporary one beside `target`.
///
/// # Errors
///
/// The error of linking it.
pub(super) fn link(file: &File, target: &Path) -> io::Result<PathBuf> {
    lock(file);
    loop {
        let name = name(target)?;
        match super::link_to(file, &name) {
            Err(Errno::EXIST) => {}
            linked => return linked.map(|()| name).map_err(io::Error::from),
        }
    }
}

/// Removes what processes that are no more have left beside `target`. What cannot be removed stays.
pub(super) fn remove_abandoned(target: &Path) {
    let directory = super::directory_of(target);
    let (Some(target), Ok(entries)) = (target.file_name(), fs::read_dir(directory)) else {
        return;
    };
    for entry in entries.flatten() {
        if is_temporary(&entry.file_name(), target) {
            remove_if_abandoned(&entry.path());
        }
    }
}

fn remove_if_abandoned(path: &Path) {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("the kernel takes flags as an int");
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let Ok(file) = opened else {
        return;
    };
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file && lock(&file) == Lock::Ours {
        let _ = fs::remove_file(path);
    }
}

/// Who has the lock on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    Ours,
    Others,
    /// The file system knows no locks: nothing can be told.
    Nobody,
}

fn lock(file: &File) -> Lock {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Lock::Ours,
        Err(Errno::WOULDBLOCK) => Lock::Others,
        Err(_) => Lock::Nobody,
    }
}

/// A name that is not in use, as far as chance goes.
fn name(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut random = [0; RANDOM_LEN];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    let mut temporary = prefix(name);
    temporary.extend_from_slice(lafs::base32::encode(&random).as_bytes());
    temporary.extend_from_slice(SUFFIX);
    Ok(target.with_file_name(OsString::from_vec(temporary)))
}

/// What the temporary names for `target` begin with. Long names are cut, so that these fit too.
fn prefix(target: &OsStr) -> Vec<u8> {
    let target = target.as_bytes();
    let len_max = NAME_LEN_MAX - 2 - MIDDLE_LEN - SUFFIX.len();
    [b".", &target[..target.len().min(len_max)], b"."].concat()
}

fn is_temporary(name: &OsStr, target: &OsStr) -> bool {
    let middle = name.as_bytes().strip_prefix(&prefix(target)[..]);
    let middle = middle.and_then(|rest| rest.strip_suffix(SUFFIX));
    middle.is_some_and(|middle| {
        let is_base32 = |byte: &u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(byte);
        middle.len() == MIDDLE_LEN && middle.iter().all(is_base32)
    })
}

const SUFFIX: &[u8] = b".partial";

/// Two runs at once have the same name once in 2^40.
const RANDOM_LEN: usize = 5;

/// The random bytes in base32.
const MIDDLE_LEN: usize = 8;
const _: () = assert!(RANDOM_LEN * 8 == MIDDLE_LEN * 5);

/// Bytes of a file's name, on every file system of Linux.
const NAME_LEN_MAX: usize = 255;
