//! Where a share lies in the store directory.
//!
//! ```text
//! version                    format version and layout
//! lock                       held by the daemon that has the store open
//! journal/a, journal/b       the redo journal
//! shares/ab/cd/<si>/<n>      finished shares; ab and cd are the first characters of <si>
//! shares/incoming/<serial>   uploads and other files on their way, gone after a restart
//! ```
//!
//! Two characters of base32 a level: 1024 x 1024 x 32 000 buckets stay below ext3's limit of
//! 32 000 subdirectories. All other paths are somebody else's and left alone. Nothing outside
//! this module spells a path.

use lafs::{ShareNumber, StorageIndex};

use crate::disk::StorePath;

/// Names a share: what the store locks, journals and looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShareKey {
    /// The bucket.
    pub storage_index: StorageIndex,
    /// The share.
    pub share: ShareNumber,
}

/// How the directories above the buckets are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `shares/ab/cd/<si>/<n>`.
    TwoLevel,
}

impl Layout {
    /// The directory of a bucket.
    pub(crate) fn bucket(self, storage_index: StorageIndex) -> StorePath {
        let name = storage_index.to_string();
        match self {
            Self::TwoLevel => {
                StorePath::new(&format!("{SHARES}/{}/{}/{name}", &name[..2], &name[2..4]))
            }
        }
    }

    /// The container of a share.
    pub(crate) fn share(self, key: ShareKey) -> StorePath {
        StorePath::new(&format!("{}/{}", self.bucket(key.storage_index), key.share))
    }

    /// The directories that must be synced for a share's name to last, the deepest first.
    ///
    /// All of them, up to `shares` itself: another share may have made one a moment ago without
    /// syncing it, and nobody can tell.
    pub(crate) fn above(self, storage_index: StorageIndex) -> Vec<StorePath> {
        let bucket = self.bucket(storage_index);
        std::iter::successors(Some(bucket), StorePath::parent)
            .take(usize::from(self.levels()) + 1)
            .collect()
    }

    /// How many directories between a share and `shares` may be removed when they are empty.
    pub(crate) fn levels(self) -> u8 {
        match self {
            Self::TwoLevel => 3,
        }
    }
}

/// A file on its way to its name; serial numbers begin anew with every start of the store.
pub(crate) fn incoming(serial: u64) -> StorePath {
    StorePath::new(&format!("{INCOMING}/{serial:x}"))
}

/// The second name of a file in incoming that is on its way to its place. Serial numbers do not
/// come that far.
pub(crate) fn spare(serial: u64) -> StorePath {
    incoming(serial | 1 << 63)
}

/// The directory of finished shares.
pub(crate) const SHARES: &str = "shares";
/// The directory of uploads in progress.
pub(crate) const INCOMING: &str = "shares/incoming";
/// The directory of the journal.
pub(crate) const JOURNAL: &str = "journal";
/// The two files of the journal.
pub(crate) const JOURNAL_FILES: [&str; 2] = ["journal/a", "journal/b"];
/// A journal file that is being made.
pub(crate) const JOURNAL_NEW: &str = "journal/new";
/// The version file.
pub(crate) const VERSION: &str = "version";
/// The version file that is being made.
pub(crate) const VERSION_NEW: &str = "version.new";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lies_two_levels_of_two_characters_down() {
        let key = ShareKey {
            storage_index: StorageIndex::new([1; 16]),
            share: ShareNumber::new(7),
        };
        assert_eq!(
            Layout::TwoLevel.share(key).as_str(),
            "shares/ae/aq/aeaqcaibaeaqcaibaeaqcaibae/7"
        );
        let above: Vec<_> = Layout::TwoLevel
            .above(key.storage_index)
            .iter()
            .map(StorePath::to_string)
            .collect();
        assert_eq!(
            above,
            [
                "shares/ae/aq/aeaqcaibaeaqcaibaeaqcaibae",
                "shares/ae/aq",
                "shares/ae",
                "shares"
            ]
        );
    }
}
