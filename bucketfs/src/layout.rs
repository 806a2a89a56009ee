//! Where a share lies in the store directory.
//!
//! ```text
//! version                        format version and layout
//! identifier                     which store it is
//! lock                           held by the daemon that has the store open
//! journal/a, journal/b           the redo journal
//! shares/...                     finished shares, as the layout has it
//! shares/incoming/<serial>       uploads and other files on their way, gone after a restart
//! shares/incoming/<serial>.parts ranged uploads, found again after a restart
//! shares/incoming/<serial>.note  beside one that is about to become a share
//! corruption-advisories/...      what clients report, for the operator
//! quarantine/<day>-<serial>/...  what was taken out of the tree, under its old path
//! ```
//!
//! A layout is how many directories of two characters are between `shares` and the buckets:
//!
//! ```text
//! two-level   shares/ab/cd/<si>/<n>    this program's own
//! one-level   shares/ab/<si>/<n>       Tahoe-LAFS since 1.0
//! flat        shares/<si>/<n>          Tahoe-LAFS 0.5.1
//! ```
//!
//! `ab` and `cd` are the first characters of `<si>`. With two levels 1024 x 1024 x 32 000 buckets
//! stay below ext3's limit of 32 000 subdirectories; the older two are served as they lie. All
//! other paths are somebody else's and left alone. Nothing outside this module spells a path.

use std::ffi::CStr;

use lafs::{ShareNumber, StorageIndex};

use crate::disk::StorePath;

/// Names a share: what the store locks, journals and looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShareKey {
    /// The bucket.
    pub storage_index: StorageIndex,
    /// The share.
    pub share_number: ShareNumber,
}

/// How the directories above the buckets are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `shares/<si>/<n>`: at most 32 000 buckets on ext3.
    Flat,
    /// `shares/ab/<si>/<n>`: what a Tahoe-LAFS server of today has.
    OneLevel,
    /// `shares/ab/cd/<si>/<n>`.
    #[default]
    TwoLevel,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Flat, Self::OneLevel, Self::TwoLevel];

    /// The layout's name, as the version file has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::OneLevel => "one-level",
            Self::TwoLevel => "two-level",
        }
    }
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// In which layouts the buckets of a store lie: in one, or some in one and some in the other while
/// they are being moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layouts {
    /// The store's layout, or the one that it is to have.
    pub layout: Layout,
    /// The layout that buckets are being moved from, if they are. It is another one.
    pub from: Option<Layout>,
}

impl Layouts {
    /// Those of a store that is not being moved.
    #[must_use]
    pub fn settled(layout: Layout) -> Self {
        let from = None;
        Self { layout, from }
    }

    /// Each of them once.
    pub(crate) fn iter(self) -> impl Iterator<Item = Layout> {
        std::iter::once(self.layout).chain(self.from)
    }

    /// Whether buckets lie in this one.
    pub(crate) fn has(self, layout: Layout) -> bool {
        self.iter().any(|it| it == layout)
    }

    /// As one number, for whoever keeps it where only a number can be.
    pub(crate) fn as_number(self) -> u8 {
        let index = |layout| {
            let found = Layout::ALL
                .into_iter()
                .zip(1..)
                .find(|(it, _)| *it == layout);
            found.map_or(0, |(_, index)| index)
        };
        4 * index(self.layout) + self.from.map_or(0, index)
    }

    /// The inverse of [`Layouts::as_number`].
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        let named = |index: u8| Layout::ALL.get(usize::from(index).checked_sub(1)?).copied();
        let layout = named(number / 4)?;
        let from = named(number % 4);
        Some(Self { layout, from })
    }
}

/// Where the buckets of a layout lie, and what lies where: nothing else says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    layout: Layout,
}

/// A path of the tree that is spelled out in place: nothing is allocated for it.
#[derive(Clone, Copy)]
pub(crate) struct Spelling {
    bytes: [u8; SPELLING_LEN],
    /// Without the NUL behind it.
    len: usize,
}

/// The longest path of a share, and a NUL.
const SPELLING_LEN: usize =
    SHARES.len() + "/ab/cd/".len() + StorageIndex::TEXT_LEN + "/255\0".len();

impl Spelling {
    fn new(first: &str) -> Self {
        let mut bytes = [0; SPELLING_LEN];
        bytes[..first.len()].copy_from_slice(first.as_bytes());
        let len = first.len();
        Self { bytes, len }
    }

    fn push(&mut self, name: &[u8]) {
        let end = self.len + 1 + name.len();
        self.bytes[self.len] = b'/';
        self.bytes[self.len + 1..end].copy_from_slice(name);
        self.len = end;
    }

    fn push_number(&mut self, number: ShareNumber) {
        let name = SpelledNumber::of(number);
        self.push(name.as_bytes());
    }

    /// The path as the kernel takes it.
    pub(crate) fn as_c_str(&self) -> &CStr {
        let bytes = &self.bytes[..=self.len];
        CStr::from_bytes_with_nul(bytes).expect("names hold no NUL, and one is behind them")
    }
}

impl From<Spelling> for StorePath {
    fn from(path: Spelling) -> Self {
        Self::spelled(path.as_c_str())
    }
}

/// The name of a share in its bucket, spelled out in place.
#[derive(Clone, Copy)]
pub(crate) struct SpelledNumber {
    bytes: [u8; 4],
    start: usize,
}

impl SpelledNumber {
    pub(crate) fn of(number: ShareNumber) -> Self {
        let mut bytes = [0; 4];
        let mut start = 3;
        let mut left = number.as_u8();
        loop {
            start -= 1;
            bytes[start] = b'0' + left % 10;
            left /= 10;
            if left == 0 {
                break Self { bytes, start };
            }
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..3]
    }

    /// The name as the kernel takes it.
    pub(crate) fn as_c_str(&self) -> &CStr {
        let bytes = &self.bytes[self.start..];
        CStr::from_bytes_with_nul(bytes).expect("digits, and a NUL behind them")
    }
}

/// What a path below the store directory is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// A share, in its place.
    Share(ShareKey),
    /// The directory of a bucket or slot, in its place.
    Bucket(StorageIndex),
    /// A directory above buckets.
    Above,
    /// Nothing of this tree: somebody else's, or of another layout.
    Foreign,
}

impl Tree {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout }
    }

    /// The directory of a bucket or slot.
    pub(crate) fn bucket(self, storage_index: StorageIndex) -> StorePath {
        self.spell_bucket(storage_index).into()
    }

    /// The container of a share.
    pub(crate) fn share(self, key: ShareKey) -> StorePath {
        self.spell_share(key).into()
    }

    /// The path of a bucket or slot, for one call and no more.
    pub(crate) fn spell_bucket(self, storage_index: StorageIndex) -> Spelling {
        let name = storage_index.text();
        let mut path = Spelling::new(SHARES);
        match self.layout {
            Layout::Flat => {}
            Layout::OneLevel => path.push(&name[..2]),
            Layout::TwoLevel => {
                path.push(&name[..2]);
                path.push(&name[2..4]);
            }
        }
        path.push(&name);
        path
    }

    /// The path of a share's container, for one call and no more.
    pub(crate) fn spell_share(self, key: ShareKey) -> Spelling {
        let mut path = self.spell_bucket(key.storage_index);
        path.push_number(key.share_number);
        path
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
        match self.layout {
            Layout::Flat => 1,
            Layout::OneLevel => 2,
            Layout::TwoLevel => 3,
        }
    }

    /// What a path is of; the inverse of [`Tree::share`] and [`Tree::bucket`].
    pub(crate) fn locate(self, path: &StorePath) -> Located {
        let Some(names) = path.as_str().strip_prefix(SHARES) else {
            return Located::Foreign;
        };
        let names: Vec<_> = names.split('/').skip(1).collect();
        let levels = usize::from(self.levels());
        if names.len() < levels {
            return match names.iter().all(|name| is_prefix(name)) {
                true => Located::Above,
                false => Located::Foreign,
            };
        }
        let Ok(storage_index) = names[levels - 1].parse() else {
            return Located::Foreign;
        };
        let located = match names[levels..] {
            [] => Located::Bucket(storage_index),
            [number] => match number.parse() {
                Ok(share_number) => Located::Share(ShareKey {
                    storage_index,
                    share_number,
                }),
                Err(_) => Located::Foreign,
            },
            _ => Located::Foreign,
        };
        // Also a bucket below another one's prefix, and a number with a zero in front.
        let place = match &located {
            Located::Share(key) => self.share(*key),
            _ => self.bucket(storage_index),
        };
        match place == *path {
            true => located,
            false => Located::Foreign,
        }
    }
}

/// What of a path is below `shares`, if it leads there and not into incoming.
pub(crate) fn below_shares(path: &StorePath) -> Option<&str> {
    let below = path.as_str().strip_prefix(SHARES)?.strip_prefix('/')?;
    let is_incoming = path.as_str().strip_prefix(INCOMING);
    match is_incoming.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        true => None,
        false => Some(below),
    }
}

/// The bucket that a path leads into, if it does, in any layout or in none.
pub(crate) fn bucket_in(path: &str) -> Option<StorageIndex> {
    path.split('/').find_map(|name| name.parse().ok())
}

/// Whether a directory under `shares` has the name of one above buckets.
fn is_prefix(name: &str) -> bool {
    let base32 = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    name.len() == 2 && name.bytes().all(base32)
}

/// A file on its way to its name. Serial numbers continue after the highest of a ranged upload.
pub(crate) fn incoming(serial: u64) -> StorePath {
    StorePath::new(&format!("{INCOMING}/{serial:x}"))
}

/// The file of a ranged upload.
pub(crate) fn incoming_ranged(serial: u64) -> StorePath {
    StorePath::new(&format!("{INCOMING}/{serial:x}{RANGED}"))
}

/// The note beside it while it becomes a share.
pub(crate) fn incoming_note(serial: u64) -> StorePath {
    StorePath::new(&format!("{INCOMING}/{serial:x}{NOTE}"))
}

/// A report that a share is corrupt, made at this time; as Tahoe names it.
pub(crate) fn advisory(time: &str, key: ShareKey) -> StorePath {
    let (storage_index, share_number) = (key.storage_index, key.share_number);
    StorePath::new(&format!(
        "{ADVISORIES}/{time}--{storage_index}-{share_number}"
    ))
}

/// Where something goes that is taken out of the tree: below a directory of that day, of which there
/// are as many as are needed for no name to be taken twice.
pub(crate) fn quarantine(day: &str, serial: u32, path: &StorePath) -> StorePath {
    StorePath::new(&format!("{QUARANTINE}/{day}-{serial}/{path}"))
}

/// What a file in incoming is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// An upload that is written front to back, or a small share.
    Upload,
    /// A ranged upload.
    Ranged,
    /// The note of one.
    Note,
}

/// The serial number of a file in incoming, and what it is, if it is one of the store's.
pub(crate) fn parse_incoming(name: &str) -> Option<(u64, Incoming)> {
    let suffixes = [(RANGED, Incoming::Ranged), (NOTE, Incoming::Note)];
    let suffixed = suffixes
        .into_iter()
        .find_map(|(suffix, kind)| Some((name.strip_suffix(suffix)?, kind)));
    let (serial, kind) = suffixed.unwrap_or((name, Incoming::Upload));
    // A sign would parse, too.
    let is_serial = serial.bytes().all(|byte| byte.is_ascii_hexdigit());
    let serial = u64::from_str_radix(serial, 16).ok().filter(|_| is_serial)?;
    Some((serial, kind))
}

/// What the name of a ranged upload ends with.
const RANGED: &str = ".parts";
/// What that of its note ends with.
const NOTE: &str = ".note";
/// The second name of a file in incoming that is on its way to its place. Serial numbers do not
/// come that far.
pub(crate) fn spare(serial: u64) -> StorePath {
    incoming(serial | 1 << 63)
}

/// The directory of finished shares.
pub(crate) const SHARES: &str = "shares";
/// The directory of uploads in progress.
pub(crate) const INCOMING: &str = "shares/incoming";
/// The directory of reports that shares are corrupt.
pub(crate) const ADVISORIES: &str = "corruption-advisories";
/// The directory of what was taken out of the tree.
pub(crate) const QUARANTINE: &str = "quarantine";
/// The directory of the journal.
pub(crate) const JOURNAL: &str = "journal";
/// The two files of the journal.
pub const JOURNAL_FILES: [&str; 2] = ["journal/a", "journal/b"];
/// A journal file that is being made.
pub(crate) const JOURNAL_NEW: &str = "journal/new";
/// The version file.
pub(crate) const VERSION: &str = "version";
/// The version file that is being made.
pub(crate) const VERSION_NEW: &str = "version.new";
/// The file that says which store it is.
pub(crate) const IDENTIFIER: &str = "identifier";
/// That file while it is being made.
pub(crate) const IDENTIFIER_NEW: &str = "identifier.new";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_found_again_in_their_number() {
        for layout in Layout::ALL {
            for from in Layout::ALL.map(Some).into_iter().chain([None]) {
                let layouts = Layouts { layout, from };
                assert_eq!(Layouts::from_number(layouts.as_number()), Some(layouts));
            }
        }
        assert_eq!(Layouts::from_number(0), None);
    }

    #[test]
    fn a_share_lies_as_many_levels_down_as_its_layout_has() {
        let key = ShareKey {
            storage_index: StorageIndex::new([1; 16]),
            share_number: ShareNumber::new(7),
        };
        for (layout, directories) in [
            (Layout::Flat, &["shares"][..]),
            (Layout::OneLevel, &["shares/ae", "shares"]),
            (Layout::TwoLevel, &["shares/ae/aq", "shares/ae", "shares"]),
        ] {
            let tree = Tree::new(layout);
            let bucket = format!("{}/aeaqcaibaeaqcaibaeaqcaibae", directories[0]);
            assert_eq!(tree.share(key).as_str(), format!("{bucket}/7"));
            let above: Vec<_> = tree
                .above(key.storage_index)
                .iter()
                .map(StorePath::to_string)
                .collect();
            assert_eq!(above[0], bucket);
            assert_eq!(above[1..], *directories);
            // `shares` itself stays, whatever is removed.
            assert_eq!(usize::from(tree.levels()), directories.len());
        }
    }

    // Whoever walks a store knows by this what is whose.
    #[test]
    fn what_lies_in_its_place_is_located_and_everything_else_is_foreign() {
        let key = ShareKey {
            storage_index: StorageIndex::new([1; 16]),
            share_number: ShareNumber::new(7),
        };
        let name = "aeaqcaibaeaqcaibaeaqcaibae";
        for layout in Layout::ALL {
            let tree = Tree::new(layout);
            let (share, bucket) = (tree.share(key), tree.bucket(key.storage_index));
            assert_eq!(tree.locate(&share), Located::Share(key));
            assert_eq!(tree.locate(&bucket), Located::Bucket(key.storage_index));
            for above in &tree.above(key.storage_index)[1..] {
                assert_eq!(tree.locate(above), Located::Above, "{layout}");
            }
            for other in Layout::ALL.into_iter().filter(|other| *other != layout) {
                let path = Tree::new(other).share(key);
                assert_eq!(tree.locate(&path), Located::Foreign, "{layout}: {path}");
            }
            for foreign in [
                format!("{share}/7"),
                format!("{bucket}/07"),
                format!("{bucket}/256"),
                format!("{bucket}/7.bak"),
                format!("shares/ab/cd/{name}/7"),
                format!("shares/AE/aq/{name}/7"),
                "shares/README".to_owned(),
                "shares/incoming".to_owned(),
                "journal/a".to_owned(),
                "version".to_owned(),
            ] {
                let path = StorePath::new(&foreign);
                assert_eq!(tree.locate(&path), Located::Foreign, "{layout}: {path}");
            }
        }
    }
}
