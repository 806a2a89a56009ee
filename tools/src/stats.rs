//! What a store holds, told by a walk over it: by kind, by age, by size, by what the leases say.
//!
//! The walk takes no lock and changes nothing, and a daemon may be at work beside it: the numbers are of
//! shares as they were seen, one after the other. The store itself keeps account of its totals alone.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bucketfs::view::{BucketSeen, Seen, ShareSeen, Stop, View, Walk};
use bucketfs::{OpenError, ShareKind};
use lafs::num;

/// Why a store cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot look at the store in {}: {error}", .path.display())]
pub struct StatsError {
    /// The directory.
    path: PathBuf,
    error: OpenError,
}

/// Ends a look at a store from outside; what was seen until then is told.
#[derive(Clone, Debug, Default)]
pub struct StopLook(Stop);

impl StopLook {
    /// Ends it soon.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether it was to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Of buckets.
    pub immutable: KindStats,
    /// Of slots.
    pub mutable: KindStats,
    /// How many buckets and slots.
    pub buckets: u64,
    /// Shares whose containers are not sound, and the bytes of their files.
    pub unsound: Sum,
    /// How much else is wrong, which `tahoectl fsck` names.
    pub findings: u64,
}

/// What was found of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindStats {
    /// All shares, and the bytes of their files.
    pub files: Sum,
    /// The bytes of the shares alone, without headers and leases.
    pub share_bytes: u64,
    /// What the files take of the disk, in bytes.
    pub disk_bytes: u64,
    /// How many leases.
    pub leases: u64,
    /// Likewise, by the size of the share: [`SIZES`], and beyond the last.
    pub by_size: [Sum; SIZES.len() + 1],
    /// Likewise, by how long ago the file was last written: [`AGES`], and beyond the last.
    pub by_age: [Sum; AGES.len() + 1],
    /// Likewise, by the last of its leases.
    pub by_lease: [Sum; LeaseState::ALL.len()],
}

/// Shares, and the bytes of their files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub shares: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The sizes of shares, in bytes, up to which they are counted together.
pub const SIZES: [u64; 8] = [
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    1 << 20,
    16 << 20,
    256 << 20,
    4 << 30,
];

/// Likewise the ages, in days.
pub const AGES: [u64; 6] = [1, 7, 31, 92, 183, 366];

/// What the last lease of a share says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It never had one.
    None,
    /// It has ended.
    Ended,
    /// It ends within a week.
    EndsSoon,
    /// It ends later.
    Holds,
}

impl LeaseState {
    /// All of them, in the order of [`KindStats::by_lease`].
    pub const ALL: [Self; 4] = [Self::None, Self::Ended, Self::EndsSoon, Self::Holds];

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ended => "ended",
            Self::EndsSoon => "ends_within_7_days",
            Self::Holds => "holds",
        }
    }

    /// The same for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::None => "without any lease",
            Self::Ended => "leases ended",
            Self::EndsSoon => "lease ends in 7 days",
            Self::Holds => "leased for longer",
        }
    }

    fn of(end: Option<u32>, now_unix: u64) -> Self {
        let Some(end) = end.map(u64::from) else {
            return Self::None;
        };
        match end.checked_sub(now_unix) {
            None => Self::Ended,
            Some(left) if left <= 7 * DAY => Self::EndsSoon,
            Some(_) => Self::Holds,
        }
    }
}

const DAY: u64 = 24 * 60 * 60;

impl Stats {
    /// Walks over the store in a directory, at a moment in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`StatsError`] if there is no store, or none that this program knows.
    pub fn gather(store: &Path, now_unix: u64, stop: &StopLook) -> Result<Self, StatsError> {
        let view = View::open(store).map_err(|error| StatsError {
            path: store.to_owned(),
            error,
        })?;
        let walk = Walk {
            stop: stop.0.clone(),
            ..Walk::default()
        };
        let mut stats = Self::default();
        let _: ControlFlow<()> = view.walk(&walk, |seen| {
            stats.take(&seen, now_unix);
            ControlFlow::Continue(())
        });
        Ok(stats)
    }

    fn take(&mut self, seen: &Seen, now_unix: u64) {
        self.findings += num::size(seen.findings().len());
        if let Seen::Bucket(bucket) = seen {
            self.bucket(bucket, now_unix);
        }
    }

    fn bucket(&mut self, bucket: &BucketSeen, now_unix: u64) {
        self.buckets += 1;
        for share in &bucket.shares {
            let of_kind = match share.kind {
                ShareKind::Immutable => &mut self.immutable,
                ShareKind::Mutable => &mut self.mutable,
            };
            of_kind.share(share, now_unix);
        }
        for share in &bucket.unsound {
            self.unsound.add(share.file_size);
        }
    }
}

impl KindStats {
    fn share(&mut self, share: &ShareSeen, now_unix: u64) {
        self.files.add(share.file_size);
        self.share_bytes = self.share_bytes.saturating_add(share.size);
        self.disk_bytes = self.disk_bytes.saturating_add(share.disk_size);
        self.leases += u64::from(share.leases);
        let modified = u64::try_from(share.modified).unwrap_or(0);
        let age = now_unix.saturating_sub(modified) / DAY;
        let lease = LeaseState::of(share.lease_end, now_unix);
        let lease = LeaseState::ALL.iter().position(|state| *state == lease);
        let lease = lease.expect("all are there");
        self.by_size[class(&SIZES, share.size)].add(share.file_size);
        // A file of this moment has an age of 0 days: below one.
        self.by_age[AGES.iter().filter(|days| **days <= age).count()].add(share.file_size);
        self.by_lease[lease].add(share.file_size);
    }
}

/// The first of these that is not below a number.
fn class(bounds: &[u64], number: u64) -> usize {
    bounds.iter().filter(|bound| **bound < number).count()
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.shares += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    /// An immutable container with one lease.
    fn container(share: &[u8], end: u32) -> Vec<u8> {
        let mut file = vec![0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1];
        file.extend_from_slice(share);
        file.extend_from_slice(&[0; 68]);
        file.extend_from_slice(&end.to_be_bytes());
        file
    }

    #[test]
    fn shares_are_told_by_kind_size_age_and_lease() {
        let directory = tempfile::tempdir().unwrap();
        let bucket = directory
            .path()
            .join("shares/ae/aeaqcaibaeaqcaibaeaqcaibae");
        fs::create_dir_all(&bucket).unwrap();
        let version = directory.path().join("version");
        fs::write(version, "bucketfs 1\nlayout one-level\n").unwrap();
        let now = u32::try_from(NOW).unwrap();
        fs::write(bucket.join("0"), container(&[7; 1024], now - 1)).unwrap();
        fs::write(bucket.join("1"), container(&[7; 1025], now + 100)).unwrap();
        fs::write(bucket.join("2"), container(&[7; 1025], now + 1_000_000)).unwrap();
        fs::write(bucket.join("3"), b"damaged").unwrap();
        let stats = Stats::gather(directory.path(), NOW, &StopLook::default()).unwrap();
        let files = 3 * (12 + 72) + 1024 + 2 * 1025;
        let of = &stats.immutable;
        assert_eq!((of.files.shares, of.files.bytes), (3, files));
        assert_eq!((of.share_bytes, of.leases), (1024 + 2 * 1025, 3));
        assert_eq!((of.by_size[0].shares, of.by_size[1].shares), (1, 2));
        assert_eq!(of.by_lease.map(|sum| sum.shares), [0, 1, 1, 1]);
        assert_eq!(of.by_age.iter().map(|sum| sum.shares).sum::<u64>(), 3);
        assert_eq!(stats.mutable, KindStats::default());
        assert_eq!((stats.buckets, stats.unsound.shares), (1, 1));
        assert!(stats.findings >= 1);
    }

    #[test]
    fn what_is_no_store_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let error = Stats::gather(directory.path(), NOW, &StopLook::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot look at the store in ")
        );
    }
}
