//! A large share written in every way that a server could, by plain system calls: the yardsticks of
//! the store's own way. And the append of a journal, in both ways.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bucketfs::disk::{ALIGN, Aligned};
use rustix::fs::{
    Advice, FallocateFlags, Mode, OFlags, fadvise, fallocate, fdatasync, fsync, open, unlink,
};
use rustix::io::{ReadWriteFlags, pwrite, pwritev2};

use crate::disk_limits::rate;
use crate::fit::quantile;
use crate::process;

/// How a share gets to the disk.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Through the page cache.
    Through,
    /// Through the page cache, which is made to give the pages up soon.
    Behind,
    /// Past the page cache.
    Direct {
        /// How many writes are under way.
        at_a_time: usize,
        /// Whether the space is allocated before.
        allocated: bool,
    },
}

/// What it cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From the first write to the end of the sync.
    pub time: Duration,
    /// Of processors, the kernel's threads that worked for it included.
    pub cpu: Duration,
    /// Of the sync alone.
    pub sync: Duration,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Through => write!(f, "page cache"),
            Self::Behind => write!(f, "page cache, given up behind"),
            Self::Direct {
                at_a_time,
                allocated,
            } => {
                let first = if *allocated { ", allocated first" } else { "" };
                write!(f, "direct, {at_a_time} at a time{first}")
            }
        }
    }
}

/// Writes a share of `size` bytes in pieces, each copied from elsewhere first, and syncs it.
///
/// # Errors
///
/// When the disk fails, or takes no direct writes.
///
/// # Panics
///
/// If the pieces are not aligned.
pub fn write_share(directory: &Path, way: Way, size: usize, piece: usize) -> io::Result<Cost> {
    assert_eq!(piece % ALIGN, 0, "pieces are whole blocks");
    let path = directory.join("share");
    let mut flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    if matches!(way, Way::Direct { .. }) {
        flags |= OFlags::DIRECT;
    }
    let file = open(&path, flags, FILE)?;
    let source = vec![0x5a; piece];
    let cpu = process::cpu(std::process::id())?;
    let began = Instant::now();
    let at_a_time = match way {
        Way::Through | Way::Behind => 1,
        Way::Direct {
            at_a_time,
            allocated,
        } => {
            if allocated {
                fallocate(&file, FallocateFlags::empty(), 0, lafs::num::size(size))?;
            }
            at_a_time
        }
    };
    let write = |first: usize| -> io::Result<()> {
        let mut buffer = Aligned::with_room(piece);
        for offset in (first * piece..size).step_by(at_a_time * piece) {
            buffer.clear();
            buffer.extend_from_slice(&source);
            pwrite(&file, &buffer, lafs::num::size(offset))?;
            if matches!(way, Way::Behind) {
                give_up_behind(&file, offset, piece)?;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (1..at_a_time)
            .map(|first| scope.spawn(move || write(first)))
            .collect();
        write(0)?;
        for writer in writers {
            writer.join().expect("a writer does not panic")?;
        }
        io::Result::Ok(())
    })?;
    let syncing = Instant::now();
    fdatasync(&file)?;
    let cost = Cost {
        time: began.elapsed(),
        cpu: process::cpu(std::process::id())?.saturating_sub(cpu),
        sync: syncing.elapsed(),
    };
    drop(file);
    unlink(&path)?;
    Ok(cost)
}

/// Has what was written a while ago reach the disk, and its pages go.
fn give_up_behind(file: &OwnedFd, offset: usize, piece: usize) -> io::Result<()> {
    let Some(behind) = offset.checked_sub(BEHIND * piece) else {
        return Ok(());
    };
    let (behind, piece) = (lafs::num::size(behind), lafs::num::size(piece));
    // A sync of the whole file is the portable way to have a part of it written.
    if (behind / piece) % lafs::num::size(BEHIND) == 0 {
        fdatasync(file)?;
    }
    fadvise(
        file,
        behind,
        std::num::NonZeroU64::new(piece),
        Advice::DontNeed,
    )?;
    Ok(())
}

/// How an append is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// Through the page cache, then `fdatasync`.
    Through,
    /// Past the page cache, durable by itself.
    Direct,
}

/// Appends blocks to a file that was written before, one after the other; how many a second, the
/// median duration, and the processor time of one.
///
/// # Errors
///
/// When the disk fails, or takes no direct writes.
pub fn append(
    directory: &Path,
    way: Append,
    len: usize,
    count: usize,
) -> io::Result<(f64, Duration, Duration)> {
    let path = directory.join("journal");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = open(&path, flags, FILE)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..JOURNAL_SIZE).step_by(zeros.len()) {
        pwrite(&file, &zeros, offset)?;
    }
    fsync(&file)?;
    drop(file);
    let flags = match way {
        Append::Through => OFlags::WRONLY | OFlags::CLOEXEC,
        Append::Direct => OFlags::WRONLY | OFlags::CLOEXEC | OFlags::DIRECT,
    };
    let file = open(&path, flags, FILE)?;
    let mut bytes = Aligned::default();
    bytes.resize(len.next_multiple_of(ALIGN), 0xa5);
    let mut offset = 0;
    let mut times = Vec::with_capacity(count);
    let cpu = process::cpu(std::process::id())?;
    let began = Instant::now();
    for _ in 0..count {
        let append = Instant::now();
        append_once(&file, way, &bytes, offset)?;
        times.push(append.elapsed().as_secs_f64());
        offset += lafs::num::size(bytes.len());
        if offset + lafs::num::size(bytes.len()) > JOURNAL_SIZE {
            offset = 0;
        }
    }
    let rate = rate(count, began.elapsed());
    let cpu = process::cpu(std::process::id())?.saturating_sub(cpu);
    drop(file);
    unlink(&path)?;
    let each = cpu / u32::try_from(count).expect("fewer than 2^32 are measured");
    Ok((rate, Duration::from_secs_f64(quantile(&times, 0.5)), each))
}

fn append_once(
    file: impl std::os::fd::AsFd,
    way: Append,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    let file: BorrowedFd<'_> = file.as_fd();
    match way {
        Append::Through => {
            pwrite(file, bytes, offset)?;
            fdatasync(file)?;
        }
        Append::Direct => {
            let bytes = &[IoSlice::new(bytes)];
            pwritev2(file, bytes, offset, ReadWriteFlags::DSYNC)?;
        }
    }
    Ok(())
}

const FILE: Mode = Mode::from_raw_mode(0o640);

/// How many pieces behind the last one the pages are given up.
const BEHIND: usize = 8;

/// As large as one of the store's two journal files.
const JOURNAL_SIZE: u64 = 32 << 20;
