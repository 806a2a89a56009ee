//! What is not as it should be in a store: data, for whoever reports it or plans repairs.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::layout::ShareKey;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: a path below the store directory.
    pub at: PathBuf,
    /// The share that it is of, if it is of one.
    pub share: Option<ShareKey>,
    /// What.
    pub kind: Kind,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What would be done about it.
    pub repair: Repair,
}

/// Makes the kinds, with their names and how grave they are.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $name:literal, $severity:ident;)*) => {
        /// The kinds of findings; `docs/fsck.md` has all of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The kind's name, which stays what it is.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// How grave it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$kind => Severity::$severity,)*
                }
            }
        }
    };
}

kinds! {
    /// The file `identifier` holds none.
    Identifier, "identifier", Damage;
    /// A journal file is damaged, in a place that no crash touches.
    Journal, "journal", Damage;
    /// A file in incoming that no upload will go on with.
    AbandonedUpload, "abandoned-upload", Notice;
    /// A file of a ranged upload whose tickets are not whole.
    Ticket, "ticket", Notice;
    /// A name that is nobody's.
    ForeignName, "foreign-name", Notice;
    /// A name of the store's that is of something else than a file or a directory as it should be.
    WrongType, "wrong-type", Damage;
    /// A bucket in a place where nobody looks for it.
    Misplaced, "misplaced", Damage;
    /// A bucket in two places.
    Duplicate, "duplicate", Damage;
    /// A directory with nothing in it.
    EmptyDirectory, "empty-directory", Notice;
    /// Something that cannot be opened or read.
    Unreadable, "unreadable", Damage;
    /// A share whose file begins with no header of a container.
    Container, "container", Damage;
    /// A share whose file is too short for what its header says.
    Truncated, "truncated", Damage;
    /// An immutable share that has another size than its header says.
    ShareSize, "share-size", Damage;
    /// A share whose bytes do not prove what they should (a deep check).
    ShareBytes, "share-bytes", Damage;
    /// A share with more leases than the store gives one.
    LeaseCount, "lease-count", Notice;
    /// A share whose lease ends later than any lease that is made now.
    LeaseEnd, "lease-end", Notice;
    /// Immutable and mutable shares in one bucket.
    MixedBucket, "mixed-bucket", Damage;
    /// Shares of one slot that want different write enablers.
    WriteEnabler, "write-enabler", Damage;
    /// A file or directory whose permissions are too many or too few.
    Permissions, "permissions", Disorder;
    /// A file or directory of another user than the store is of.
    Owner, "owner", Disorder;
    /// A share's file with a second name.
    LinkCount, "link-count", Disorder;
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The store works as it should; somebody may want to know.
    Notice,
    /// Something may go wrong for it.
    Disorder,
    /// A share, or more, is not served as it should be.
    Damage,
}

impl Severity {
    /// Its name, which stays what it is.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Disorder => "disorder",
            Self::Damage => "damage",
        }
    }
}

/// What would be done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Repair {
    /// It is moved into the quarantine.
    Quarantine,
    /// The bucket is moved to where it is looked for.
    PutInPlace,
    /// The directory is removed, if it is empty still.
    RemoveEmpty,
    /// The store does it when it opens.
    Open,
    /// The store does it when the lease is renewed.
    Renewal,
    /// A person has to.
    ByHand,
}

impl Repair {
    /// Its name, which stays what it is.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::PutInPlace => "put-in-place",
            Self::RemoveEmpty => "remove-empty",
            Self::Open => "open",
            Self::Renewal => "renewal",
            Self::ByHand => "by-hand",
        }
    }
}

impl Finding {
    /// The path as text, if it is text: what a repair can name.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.at.to_str()
    }
}

/// A path of bytes, whatever they are.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(bytes)).to_path_buf()
}

/// A path in a directory.
pub(super) fn join(directory: &str, name: &[u8]) -> PathBuf {
    match directory {
        "" | "." => path_of(name),
        directory => Path::new(directory).join(OsStr::from_bytes(name)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    // They are in scripts and in dashboards.
    #[test]
    fn every_kind_has_a_name_of_its_own_in_kebab_case() {
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for name in names {
            let is_plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-'));
            assert!(is_plain, "{name}");
        }
    }
}
