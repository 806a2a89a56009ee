//! The bounds of a store: of what it is asked, of what it keeps open, of what it keeps in memory.
//!
//! Each is a promise to whoever plans memory or descriptors, so they stand together, and those that
//! depend on each other are compared here. The bounds of the disk layer are beside it
//! ([`crate::disk::OPEN_FILES_MAX`], [`crate::disk::FLIGHT_MAX`]), those of the formats in the formats.

use std::time::Duration;

use lafs::num;

use crate::disk::OPEN_FILES_MAX;

/// Largest share that [`crate::Put`] takes. Small shares go through the journal, which writes them
/// twice; from about here on syncing the file itself costs less.
pub const SMALL_SHARE_SIZE: u64 = 65_536;

/// Largest share of all: 12 bytes of header and the leases still fit below `i64::MAX`.
pub const SHARE_SIZE: u64 = 1 << 62;

/// Most bytes of one write, of an upload or a spool.
pub const WRITE_LEN: usize = 1 << 20;

/// Most bytes in one answer to [`crate::Read`] or [`crate::ReadTestWrite`].
pub const READ_LEN: usize = 1 << 18;

/// Most extents in one [`crate::Read`] or [`crate::ReadTestWrite`], and most tests of one share.
/// (Tahoe's protocol has at most 30.)
pub const EXTENTS: usize = 64;

/// Most bytes that a [`crate::ReadTestWrite`] brings to be written, and likewise to be compared;
/// more to be written goes into a spool. As much as a small share: it goes through the journal.
pub const SLOT_LEN: usize = 65_536;
const _: () = assert!(SLOT_LEN as u64 == SMALL_SHARE_SIZE);

/// Most writes of a [`crate::ReadTestWrite`]: less than a megabyte of them, and enough for each
/// segment of a file of 2 GiB.
pub const SLOT_WRITES: usize = 16_384;

/// Most spools at a time: each keeps a file open.
pub const SPOOLS: usize = 32;

/// Most containers of slots that are written anew at a time; others wait.
pub const REWRITES: usize = 8;

/// Most uploads in progress that are written front to back: each keeps a file open.
pub const UPLOADS: usize = 256;

/// The two files of the journal, which stay open.
pub(crate) const JOURNAL_FILES: usize = 2;

// Every file that is kept open has a place of its own in the engines' table.
const _: () = assert!(JOURNAL_FILES + UPLOADS + SPOOLS + REWRITES == OPEN_FILES_MAX as usize);

/// Bytes that an upload gathers before they are written past the page cache, all at once.
pub const GATHERED_LEN: usize = 256 << 10;

/// Most buffers of [`GATHERED_LEN`] that one upload fills or has the disk write.
pub const GATHERED_BUFFERS: usize = 2;

/// Most uploads that gather at a time, 4 MiB for all of them; others are written through the page
/// cache, which costs the store no memory.
pub const GATHERING_UPLOADS: usize = 8;

/// Most ranged uploads in progress: what is known of each is kept in memory, some 400 bytes.
pub const ALLOCATIONS: usize = 16_384;

/// Most separate ranges of a share in progress, each 16 bytes in memory. Tahoe's client writes
/// front to back and leaves one; whoever writes every other byte gets no further than this.
pub const RANGES: usize = 64;

/// Most bytes of the reason in a [`crate::Advise`]: what fits into Tahoe's own limit.
pub const REASON_LEN: usize = 32_765;

/// Most reports of corrupt shares that are kept; further ones are only logged.
pub const ADVISORIES: usize = 1024;

/// Most requests that await an answer.
pub const REQUESTS: usize = 1024;

/// Most bytes of shares in requests that await an answer; one more request is taken below it.
pub const REQUEST_BYTES: usize = 4 << 20;
const _: () = assert!(REQUEST_BYTES >= WRITE_LEN);

/// Most memory of small shares that the journal has and the tree has not, those included whose
/// record is being written; further puts wait. Enough that all requests together can bring a share of
/// a kilobyte, and that two threads are never without work.
pub const PENDING_LEN: usize = 1 << 20;
const _: () = assert!(PENDING_LEN as u64 >= 2 * SMALL_SHARE_SIZE);

/// Most buckets that one [`crate::MigrateNext`] moves.
pub const MIGRATED: usize = 1024;

/// How long an upload that nobody writes to is kept.
pub const UPLOAD_IDLE: Duration = Duration::from_secs(30 * 60);

/// Names the files kept open of one kind: so many, behind those of the kinds before.
pub(crate) fn open_files(before: usize, count: usize) -> impl Iterator<Item = crate::disk::FileId> {
    let id = |index: usize| u16::try_from(index).expect("below OPEN_FILES_MAX");
    (id(before)..id(before + count)).map(crate::disk::FileId)
}

/// As [`WRITE_LEN`], where sizes are compared.
pub(crate) fn write_size() -> u64 {
    num::size(WRITE_LEN)
}
