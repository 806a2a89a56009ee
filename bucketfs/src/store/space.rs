//! How much the store may still write.
//!
//! The file system is asked now and then; in between the store counts what it has promised and
//! written itself. Whatever races with a measurement is counted twice, never not at all.

use std::time::Duration;

use crate::disk::Space;

/// What the operator leaves to the store.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SpaceLimits {
    /// Bytes to keep free on the file system.
    pub(super) reserved: u64,
    /// Most bytes of all files of shares.
    pub(super) size_max: Option<u64>,
}

/// What is free, and what of it is spoken for.
#[derive(Debug)]
pub(super) struct SpaceAccount {
    /// At the last measurement.
    free: u64,
    /// What [`SpaceAccount::written`] was when that was asked for.
    free_at: u64,
    limits: SpaceLimits,
    /// Bytes that the files of all shares have, if that is known.
    held: Option<u64>,
    promised: u64,
    /// Written of uploads in progress, which are no shares yet.
    growing: u64,
    /// Written since the store was opened.
    written: u64,
    inodes: Inodes,
    measuring: bool,
    measured: Duration,
}

/// The same of inodes, of which only small shares are promised any: they are acknowledged before
/// they have their files. Every other file is made first.
#[derive(Debug)]
struct Inodes {
    free: u64,
    free_at: u64,
    promised: u64,
    made: u64,
}

/// A measurement that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    written: u64,
    made: u64,
}

/// How old a measurement may get while the store is written to. Others fill the disk, too.
const AGE_MAX: Duration = Duration::from_secs(1);

/// What a small file costs beside its bytes: the rest of its last block, and one of its directory.
const FILE_COST: u64 = 2 * 4096;

/// What a small share may take: its file, its bucket, and the two directories above that.
const SHARE_INODES: u64 = 4;

/// What these directories cost beside the file: a block each, and one where each has its name.
const DIRECTORIES_COST: u64 = 4 * 4096;

/// What the container of a small share takes of the disk, with all that is made for it.
fn share_cost(size: u64) -> u64 {
    cost(size).saturating_add(DIRECTORIES_COST)
}

/// What a file of this size takes from the disk.
pub(super) fn cost(size: u64) -> u64 {
    size.saturating_add(FILE_COST)
}

impl SpaceAccount {
    pub(super) fn new(space: Space, limits: SpaceLimits, now: Duration) -> Self {
        Self {
            free: space.free,
            free_at: 0,
            limits,
            held: None,
            promised: 0,
            growing: 0,
            written: 0,
            inodes: Inodes {
                free: space.inodes,
                free_at: 0,
                promised: 0,
                made: 0,
            },
            measuring: false,
            measured: now,
        }
    }

    /// What may still be promised.
    pub(super) fn available(&self) -> u64 {
        let spoken_for = (self.written - self.free_at)
            .saturating_add(self.promised)
            .saturating_add(self.limits.reserved);
        let on_disk = self.free.saturating_sub(spoken_for);
        match (self.limits.size_max, self.held) {
            (Some(size_max), Some(held)) => {
                let spoken_for = held
                    .saturating_add(self.growing)
                    .saturating_add(self.promised);
                on_disk.min(size_max.saturating_sub(spoken_for))
            }
            // Nobody knows how much there is.
            _ => on_disk,
        }
    }

    /// Takes note of how many bytes the files of all shares have.
    pub(super) fn hold(&mut self, held: Option<u64>) {
        self.held = held;
    }

    /// What uploads in progress may still write.
    pub(super) fn promised(&self) -> u64 {
        self.promised
    }

    /// What is kept free.
    pub(super) fn reserved(&self) -> u64 {
        self.limits.reserved
    }

    /// What all shares may have.
    pub(super) fn size_max(&self) -> Option<u64> {
        self.limits.size_max
    }

    /// Promises so many bytes, or returns false if they are not there.
    #[must_use]
    pub(super) fn promise(&mut self, size: u64) -> bool {
        let fits = size <= self.available();
        if fits {
            self.promised += size;
        }
        fits
    }

    /// Counts what was promised in an earlier run, whether it is there or not, and what was written
    /// then.
    pub(super) fn promised_before(&mut self, size: u64, written: u64) {
        self.promised = self.promised.saturating_add(size);
        self.growing = self.growing.saturating_add(written);
    }

    /// Takes a promise back.
    pub(super) fn cancel(&mut self, size: u64) {
        let promised = self.promised.checked_sub(size);
        self.promised = promised.expect("it was promised");
    }

    /// Turns a promise into bytes written.
    pub(super) fn keep(&mut self, size: u64) {
        self.cancel(size);
        self.written = self.written.saturating_add(size);
    }

    /// Turns a promise into bytes of an upload in progress.
    pub(super) fn grow(&mut self, size: u64) {
        self.keep(size);
        self.growing = self.growing.saturating_add(size);
    }

    /// So much that was written of an upload is a share now, or gone.
    pub(super) fn end_growth(&mut self, size: u64) {
        let growing = self.growing.checked_sub(size);
        self.growing = growing.expect("it was written");
    }

    /// Promises a small share, of a container of this size, what it may take; or returns false.
    #[must_use]
    pub(super) fn promise_share(&mut self, size: u64) -> bool {
        let fits = self.inodes.available() >= SHARE_INODES && self.promise(share_cost(size));
        if fits {
            self.inodes.promised += SHARE_INODES;
        }
        fits
    }

    /// Takes such a promise back.
    pub(super) fn cancel_share(&mut self, size: u64) {
        self.cancel(share_cost(size));
        self.inodes.promised -= SHARE_INODES;
    }

    /// Turns such a promise into what is written.
    pub(super) fn keep_share(&mut self, size: u64) {
        self.keep(share_cost(size));
        self.inodes.promised -= SHARE_INODES;
        self.inodes.made += SHARE_INODES;
    }

    /// Begins a measurement if it is time for one; the caller then asks the file system.
    #[must_use]
    pub(super) fn begin_if_due(&mut self, now: Duration) -> Option<Measurement> {
        let due = !self.measuring && now.saturating_sub(self.measured) >= AGE_MAX;
        due.then(|| {
            self.measuring = true;
            self.begin()
        })
    }

    /// Begins a measurement.
    pub(super) fn begin(&self) -> Measurement {
        Measurement {
            written: self.written,
            made: self.inodes.made,
        }
    }

    /// Ends a measurement. If the file system gave no answer, the old one stays.
    pub(super) fn end(&mut self, measurement: Measurement, space: Option<Space>, now: Duration) {
        self.measuring = false;
        self.measured = now;
        // An answer that was overtaken by a later one says less than that one.
        if let Some(space) = space.filter(|_| measurement.written >= self.free_at) {
            self.free = space.free;
            self.free_at = measurement.written;
            self.inodes.free = space.inodes;
            self.inodes.free_at = measurement.made;
        }
    }
}

impl Inodes {
    fn available(&self) -> u64 {
        let spoken_for = self.promised + (self.made - self.free_at);
        self.free.saturating_sub(spoken_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free: u64) -> Space {
        Space {
            free,
            total: 1000,
            inodes: u64::MAX,
        }
    }

    fn with_reserve(reserved: u64) -> SpaceAccount {
        let limits = SpaceLimits {
            reserved,
            size_max: None,
        };
        SpaceAccount::new(space(1000), limits, Duration::ZERO)
    }

    // However much the disk still has: the operator has given the store a part of it.
    #[test]
    fn what_the_shares_may_have_counts_those_in_progress_and_those_promised() {
        let limits = SpaceLimits {
            reserved: 0,
            size_max: Some(500),
        };
        let mut account = SpaceAccount::new(space(1000), limits, Duration::ZERO);
        assert_eq!(account.available(), 1000, "nobody has counted");
        account.hold(Some(100));
        assert_eq!(account.available(), 400);
        assert!(account.promise(300));
        assert!(!account.promise(101));
        account.grow(200);
        assert_eq!(account.available(), 100, "it is in progress still");
        account.cancel(100);
        account.hold(Some(300));
        account.end_growth(200);
        assert_eq!(account.available(), 200);
        account.hold(Some(600));
        assert_eq!(account.available(), 0, "leases may go beyond");
    }

    // A share that is acknowledged and finds no inode could not be given its place.
    #[test]
    fn a_small_share_is_promised_its_inodes_too() {
        let mut space = space(1 << 20);
        space.inodes = 3 * SHARE_INODES + 1;
        let mut account = SpaceAccount::new(space, SpaceLimits::default(), Duration::ZERO);
        for _ in 0..3 {
            assert!(account.promise_share(100));
        }
        assert!(!account.promise_share(100));
        assert_eq!(
            account.promised(),
            3 * share_cost(100),
            "nothing of it is left"
        );
        account.cancel_share(100);
        assert!(account.promise_share(100));
        account.keep_share(100);
        assert!(!account.promise_share(100), "made, and not yet measured");
        let measurement = account.begin();
        space.inodes = 3 * SHARE_INODES;
        account.end(measurement, Some(space), AGE_MAX);
        assert!(account.promise_share(100));
        assert!(!account.promise_share(100));
    }

    #[test]
    fn what_is_promised_or_reserved_is_not_promised_again() {
        let mut account = with_reserve(100);
        assert!(account.promise(600));
        assert!(!account.promise(301));
        assert!(account.promise(300));
        account.cancel(300);
        account.keep(600);
        assert_eq!(account.available(), 300);
    }

    // The bytes may or may not be in the answer; a share too many would eat the reserve.
    #[test]
    fn what_is_written_during_a_measurement_is_counted_twice() {
        let mut account = SpaceAccount::new(space(1000), SpaceLimits::default(), Duration::ZERO);
        assert!(account.promise(100));
        let measurement = account.begin_if_due(AGE_MAX).unwrap();
        assert!(account.begin_if_due(AGE_MAX).is_none());
        account.keep(100);
        account.end(measurement, Some(space(900)), AGE_MAX);
        assert_eq!(account.available(), 800);
        let later = account.begin();
        account.end(later, Some(space(900)), AGE_MAX);
        assert_eq!(account.available(), 900);
        account.end(measurement, Some(space(5000)), AGE_MAX);
        assert_eq!(account.available(), 900, "overtaken");
    }

    #[test]
    fn a_reserve_larger_than_the_disk_leaves_nothing() {
        let account = with_reserve(u64::MAX);
        assert_eq!(account.available(), 0);
    }
}
