//! What a disk can do at best with small shares, by plain system calls: the yardsticks of the store.
//!
//! Each is measured in the directory given, on files of the size that the store would write.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use lafs::StorageIndex;
use rustix::fs::{
    Mode, OFlags, RenameFlags, fdatasync, fsync, mkdirat, open, openat, renameat_with,
};
use rustix::io::{Errno, pwrite, write};

use crate::fit::quantile;

/// Appends to a file that was written before, one `fdatasync` a batch.
#[derive(Clone, Copy, Debug)]
pub struct Appending {
    /// Records per second.
    pub rate: f64,
    /// The median duration of a write and its sync.
    pub sync_p50: Duration,
}

/// Measures a journal: `batches` batches of `batch` records of `record_len` bytes.
///
/// # Errors
///
/// When the disk fails.
pub fn append(
    directory: &Path,
    batch: usize,
    record_len: usize,
    batches: usize,
) -> io::Result<Appending> {
    let directory = open_directory(directory)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file = openat(&directory, "journal", flags, FILE)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..JOURNAL_SIZE).step_by(zeros.len()) {
        pwrite(&file, &zeros, offset)?;
    }
    fsync(&file)?;
    let bytes = vec![0xa5; (batch * record_len).next_multiple_of(4096)];
    let mut offset = 0;
    let mut syncs = Vec::with_capacity(batches);
    let started = Instant::now();
    for _ in 0..batches {
        let began = Instant::now();
        pwrite(&file, &bytes, offset)?;
        fdatasync(&file)?;
        syncs.push(began.elapsed().as_secs_f64());
        offset += lafs::num::size(bytes.len());
        if offset + lafs::num::size(bytes.len()) > JOURNAL_SIZE {
            offset = 0;
        }
    }
    Ok(Appending {
        rate: rate(batch * batches, started.elapsed()),
        sync_p50: Duration::from_secs_f64(quantile(&syncs, 0.5)),
    })
}

/// How much of a tree of files is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// None: directories, file, bytes.
    None,
    /// As without, but the file is made in `incoming` and renamed, as the store must do it.
    Renamed,
    /// The file and the directories above are synced, each by itself.
    Synced,
}

/// Measures making shares in the store's own layout, one after the other; shares per second.
///
/// # Errors
///
/// When the disk fails.
pub fn tree(
    directory: &Path,
    care: Care,
    names: impl Iterator<Item = StorageIndex>,
    container: &[u8],
) -> io::Result<f64> {
    let root = open_directory(directory)?;
    for name in ["shares", "shares/incoming"] {
        make_directory(&root, name)?;
    }
    let mut count = 0;
    let started = Instant::now();
    for name in names {
        share(&root, care, &name.to_string(), container)?;
        count += 1;
    }
    Ok(rate(count, started.elapsed()))
}

/// As [`tree`] without any sync, from several threads at once.
///
/// # Errors
///
/// When the disk fails.
///
/// # Panics
///
/// When a thread cannot be started.
pub fn tree_in_threads(
    directory: &Path,
    threads: usize,
    names: impl Iterator<Item = StorageIndex>,
    container: &[u8],
) -> io::Result<f64> {
    let root = open_directory(directory)?;
    make_directory(&root, "shares")?;
    let names: Vec<_> = names.map(|name| name.to_string()).collect();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let make = |first: usize| {
            let mut mine = names.iter().skip(first).step_by(threads);
            mine.try_for_each(|name| share(&root, Care::None, name, container))
        };
        let handles: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || make(first)))
            .collect();
        let mut ended = handles.into_iter().map(|handle| handle.join());
        ended.try_for_each(|end| end.expect("the thread does not panic"))
    })?;
    Ok(rate(names.len(), started.elapsed()))
}

fn share(root: &OwnedFd, care: Care, name: &str, container: &[u8]) -> io::Result<()> {
    let outer = format!("shares/{}", &name[..2]);
    let inner = format!("{outer}/{}", &name[2..4]);
    let bucket = format!("{inner}/{name}");
    let target = format!("{bucket}/0");
    let incoming = format!("shares/incoming/{name}");
    let make_bucket = || {
        if make_directory(root, &bucket).is_err() {
            make_directory(root, &outer)?;
            make_directory(root, &inner)?;
            make_directory(root, &bucket)?;
        }
        io::Result::Ok(())
    };
    let make_file = |path: &str| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(root, path, flags, FILE)?;
        let written = write(&file, container)?;
        assert_eq!(written, container.len(), "a small write is whole");
        io::Result::Ok(file)
    };
    match care {
        Care::None => {
            make_bucket()?;
            drop(make_file(&target)?);
        }
        Care::Renamed => {
            drop(make_file(&incoming)?);
            make_bucket()?;
            renameat_with(root, &incoming, root, &target, RenameFlags::NOREPLACE)?;
        }
        Care::Synced => {
            make_bucket()?;
            fsync(make_file(&target)?)?;
            for directory in [&bucket, &inner, &outer] {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                fsync(openat(root, directory, flags, Mode::empty())?)?;
            }
        }
    }
    Ok(())
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

fn make_directory(root: &OwnedFd, path: &str) -> io::Result<()> {
    match mkdirat(root, path, Mode::from_raw_mode(0o750)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Things per second.
#[must_use]
pub fn rate(count: usize, elapsed: Duration) -> f64 {
    let count = u32::try_from(count).expect("fewer than 2^32 were measured");
    f64::from(count) / elapsed.as_secs_f64()
}

/// How many of something there are for each of something else.
#[must_use]
pub fn ratio(count: u64, each: usize) -> f64 {
    let [count, each] = [count, lafs::num::size(each)]
        .map(|number| f64::from(u32::try_from(number).expect("fewer than 2^32 were measured")));
    count / each
}

const FILE: Mode = Mode::from_raw_mode(0o640);

/// As large as one of the store's two journal files.
const JOURNAL_SIZE: u64 = 32 << 20;
