//! One share as it lies: its container's header, sizes and leases, and its bytes for who checks them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use lafs::{WriteEnabler, num};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::pace::Pace;
use super::status::Status;
use crate::container::{self, UncheckedHeader, mutable};
use crate::error::Damage;
use crate::kind::ShareKind;
use crate::layout::ShareKey;
use crate::limits;

/// A share whose container is sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSeen {
    /// Which.
    pub key: ShareKey,
    /// What it is.
    pub kind: ShareKind,
    /// Size of the share, in bytes.
    pub size: u64,
    /// Size of its file, in bytes.
    pub file_size: u64,
    /// What the file takes of the disk, in bytes.
    pub disk_size: u64,
    /// When its file was last written, in seconds since 1970.
    pub modified: i64,
    /// How many leases it has.
    pub leases: u32,
    /// When the last of them ends, in seconds since 1970; of a share to which another program gave
    /// more leases than the store would, of the first of them.
    pub lease_end: Option<u32>,
    /// What an immutable container's header says of the size: `u32::MAX` for anything beyond.
    pub(super) header_size: Option<u32>,
}

/// The bytes of a share, without the container's.
#[derive(Debug)]
pub struct ShareBytes<'a> {
    file: &'a OwnedFd,
    /// Where in the file they begin.
    start: u64,
    size: u64,
    pace: &'a Pace,
}

impl ShareBytes<'_> {
    /// How many there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills the buffer with the bytes from `offset` on. Waits where the walk has a budget.
    ///
    /// # Errors
    ///
    /// The disk's, `UnexpectedEof` if the share ends before, and `Interrupted` if the walk is stopped.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.pace.is_stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let end = offset.checked_add(num::size(buffer.len()));
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read = read(self.file, self.start + offset, buffer, self.pace)?;
        match read == buffer.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// What was found in a share's place.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: OwnedFd,
    pub(super) status: Status,
}

/// A container, taken apart.
pub(super) struct Container {
    pub(super) share: ShareSeen,
    /// Of a slot.
    pub(super) write_enabler: Option<WriteEnabler>,
    /// Where in the file the share begins.
    start: u64,
}

/// Why a container could not be taken apart.
#[derive(Debug)]
pub(super) enum Unsound {
    /// It begins with no header.
    Unknown(Vec<u8>),
    /// It should have at least so many bytes.
    Short(u64),
    /// The share of a slot would end there, behind where its extra leases begin.
    Overlap { end: u64, leases: u64 },
    /// The disk refuses.
    Disk(Errno),
}

impl Opened {
    pub(super) fn new(file: OwnedFd) -> Result<Self, Errno> {
        let status = Status::of(&file)?;
        Ok(Self { file, status })
    }

    pub(super) fn is_file(&self) -> bool {
        self.status.kind == FileType::RegularFile
    }

    /// Takes the container apart.
    pub(super) fn container(&self, key: ShareKey, pace: &Pace) -> Result<Container, Unsound> {
        let size = self.status.size;
        let mut front = vec![0; num::len(size).map_or(FRONT_LEN, |len| len.min(FRONT_LEN))];
        let len = read(&self.file, 0, &mut front, pace)?;
        front.truncate(len);
        match mutable::is_mutable(&front) {
            true => self.slot(key, &front, pace),
            false => self.immutable(key, &front, pace),
        }
    }

    /// The bytes of the share in it.
    pub(super) fn bytes<'a>(&'a self, container: &Container, pace: &'a Pace) -> ShareBytes<'a> {
        ShareBytes {
            file: &self.file,
            start: container.start,
            size: container.share.size,
            pace,
        }
    }

    fn immutable(&self, key: ShareKey, front: &[u8], pace: &Pace) -> Result<Container, Unsound> {
        let unchecked = UncheckedHeader::parse(front).map_err(|damage| match damage {
            Damage::Truncated => Unsound::Short(container::HEADER_SIZE),
            _ => Unsound::Unknown(beginning(front)),
        })?;
        let size = self.status.size;
        let header = unchecked
            .check(size)
            .map_err(|_| Unsound::Short(unchecked.file_size_min()))?;
        let count = header.leases().min(container::LEASES_MAX);
        let records = container::LEASE_SIZE * u64::from(count);
        let mut leases = vec![0; num::len(records).unwrap_or(0)];
        self.fill(header.leases_offset(), &mut leases, front, pace)?;
        let leases = container::Lease::parse_all(&leases).unwrap_or_default();
        let header_size = front.get(4..8).and_then(|bytes| bytes.try_into().ok());
        Ok(Container {
            share: ShareSeen {
                lease_end: leases.iter().map(|lease| lease.expiration).max(),
                leases: header.leases(),
                header_size: header_size.map(u32::from_be_bytes),
                ..self.seen(key, ShareKind::Immutable, header.share_size())
            },
            write_enabler: None,
            start: container::HEADER_SIZE,
        })
    }

    fn slot(&self, key: ShareKey, front: &[u8], pace: &Pace) -> Result<Container, Unsound> {
        let size = self.status.size;
        let unchecked = mutable::UncheckedHeader::parse(front).map_err(|damage| match damage {
            Damage::Truncated => Unsound::Short(mutable::HEADER_SIZE + mutable::COUNT_SIZE),
            _ => Unsound::Unknown(beginning(front)),
        })?;
        let sizes = unchecked.sizes();
        let end = mutable::HEADER_SIZE.saturating_add(sizes.data);
        if end > sizes.extra {
            let leases = sizes.extra;
            return Err(Unsound::Overlap { end, leases });
        }
        let wanted = sizes.extra.saturating_add(mutable::COUNT_SIZE);
        let header = unchecked.check(size).map_err(|_| Unsound::Short(wanted))?;
        let offset = header.sizes().extra;
        let mut count = [0; 4];
        self.fill(offset, &mut count, front, pace)?;
        let count = u32::from_be_bytes(count);
        let records = |count: u32| mutable::LEASE_SIZE * u64::from(count);
        let end = offset
            .saturating_add(mutable::COUNT_SIZE)
            .saturating_add(records(count));
        if end > size {
            return Err(Unsound::Short(end));
        }
        let kept = count.min(container::LEASES_MAX);
        let len = num::len(mutable::COUNT_SIZE + records(kept)).unwrap_or(0);
        let mut extra = vec![0; len];
        self.fill(offset, &mut extra, front, pace)?;
        // As if there were no more: what is behind them is not looked at.
        extra[..4].copy_from_slice(&kept.to_be_bytes());
        let leases = header.leases(&extra).map_err(|_| Unsound::Short(end))?;
        let present = || leases.places().filter(|lease| !lease.is_absent());
        let told = u32::try_from(present().count()).expect("a few more than LEASES_MAX");
        Ok(Container {
            share: ShareSeen {
                leases: told.saturating_add(count - kept),
                lease_end: present().map(|lease| lease.expiration).max(),
                ..self.seen(key, ShareKind::Mutable, header.share_size())
            },
            write_enabler: Some(header.write_enabler().clone()),
            start: mutable::HEADER_SIZE,
        })
    }

    fn seen(&self, key: ShareKey, kind: ShareKind, size: u64) -> ShareSeen {
        ShareSeen {
            key,
            kind,
            size,
            file_size: self.status.size,
            disk_size: self.status.disk_size,
            modified: self.status.modified,
            leases: 0,
            lease_end: None,
            header_size: None,
        }
    }

    /// Fills a buffer with a part of the file, of which the front is in memory already.
    fn fill(
        &self,
        offset: u64,
        buffer: &mut [u8],
        front: &[u8],
        pace: &Pace,
    ) -> Result<(), Unsound> {
        let start = num::len(offset).unwrap_or(usize::MAX);
        if let Some(known) = front.get(start..).and_then(|rest| rest.get(..buffer.len())) {
            buffer.copy_from_slice(known);
            return Ok(());
        }
        let read = read(&self.file, offset, buffer, pace)?;
        match read == buffer.len() {
            true => Ok(()),
            // Cut since its size was asked for.
            false => Err(Unsound::Short(
                offset.saturating_add(num::size(buffer.len())),
            )),
        }
    }
}

impl From<Errno> for Unsound {
    fn from(errno: Errno) -> Self {
        Self::Disk(errno)
    }
}

/// What an immutable header says of a size.
pub(super) fn is_header_size(said: u32, size: u64) -> bool {
    let low = u32::try_from(size & u64::from(u32::MAX)).expect("masked");
    // Tahoe-LAFS has written the one and the other for what is beyond.
    said == u32::try_from(size).unwrap_or(u32::MAX) || said == low
}

/// The first bytes of what is no container, to be shown.
fn beginning(front: &[u8]) -> Vec<u8> {
    front[..front.len().min(SHOWN_LEN)].to_vec()
}

/// Reads to the end of the buffer, or of the file; returns how much.
pub(super) fn read(
    file: impl AsFd,
    offset: u64,
    buffer: &mut [u8],
    pace: &Pace,
) -> Result<usize, Errno> {
    pace.bytes(num::size(buffer.len()));
    let mut len = 0;
    while len < buffer.len() {
        let end = buffer.len().min(len + limits::WRITE_LEN);
        match rustix::io::pread(&file, &mut buffer[len..end], offset + num::size(len)) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(len)
}

/// How much of a share's file is read at once: a small share whole, with its leases.
const FRONT_LEN: usize = 4096;

/// How many bytes are shown of what is no container.
const SHOWN_LEN: usize = 12;
