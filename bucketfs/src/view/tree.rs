//! The way through the directories above the buckets, in the order of the buckets' names.
//!
//! A store has one layout, or two while it is migrated from one to the other, and a fault may have put
//! a bucket into the place of the third. So each directory is read for what any of the three has in
//! it, and what lies in several places is one task. The order is the same in every layout:
//!
//! ```text
//! shares/          buckets of flat, and ab          a window of them, cut into parts by two characters
//! shares/ab/       buckets of one-level, and cd     those of `ab` from above, merged with these
//! shares/ab/cd/    buckets of two-level             those of `abcd` from above, merged with these
//! ```
//!
//! While a store is migrated to a layout of fewer levels, a bucket may be moved from a directory that
//! is not yet read into one that was: it is then passed over in this walk.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use lafs::StorageIndex;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::View;
use super::names::{self, Window};
use super::pace::Pace;
use super::range::{Range, Text};
use crate::disk::StorePath;
use crate::layout::{INCOMING, Layout, SHARES};

/// Something to be looked at.
#[derive(Debug)]
pub(super) enum Task {
    /// A bucket, that is in these places.
    Bucket(StorageIndex, Places),
    /// A name that is neither a bucket in its place nor a directory above some.
    Other { directory: StorePath, name: Vec<u8> },
    /// A directory above buckets that is not as it should be.
    Directory(StorePath),
    /// A directory that cannot be listed.
    Unreadable(StorePath),
}

/// In which layouts' places something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(u8);

impl Places {
    pub(super) const NONE: Self = Self(0);

    pub(super) fn with(self, layout: Layout) -> Self {
        Self(self.0 | Self::bit(layout))
    }

    pub(super) fn has(self, layout: Layout) -> bool {
        self.0 & Self::bit(layout) != 0
    }

    fn bit(layout: Layout) -> u8 {
        match layout {
            Layout::Flat => 1,
            Layout::OneLevel => 2,
            Layout::TwoLevel => 4,
        }
    }
}

/// Goes through the tree.
pub(super) struct Lister<'a> {
    pub(super) view: &'a View,
    pub(super) pace: &'a Pace,
    /// Takes the tasks, in their order.
    pub(super) emit: &'a mut dyn FnMut(Task) -> ControlFlow<()>,
}

/// Buckets that were found further up, in their order.
type Found = Vec<(Text, Places)>;

impl Lister<'_> {
    pub(super) fn run(&mut self, range: Range) -> ControlFlow<()> {
        self.directory("", Vec::new(), range)
    }

    /// Goes through what begins with `prefix`: the directory of that name, and what was found above.
    fn directory(&mut self, prefix: &str, found: Found, mut range: Range) -> ControlFlow<()> {
        let path = path(prefix);
        let begins = range.begins(prefix);
        let mut is_first = true;
        let mut found = found.into_iter().peekable();
        loop {
            let window = self.list(prefix, &path, range, begins && is_first)?;
            is_first = false;
            let last = window.buckets.last().copied();
            let part = Range {
                after: range.after,
                until: last.filter(|_| window.has_more).or(range.until),
            };
            let mut above = Vec::new();
            while let Some(next) = found.next_if(|(text, _)| part.has(text)) {
                above.push(next);
            }
            let own = window.buckets.iter().copied();
            let buckets = merged(own, layout(prefix), above);
            self.part(prefix, &window.prefixes, buckets, part)?;
            if !window.has_more {
                return ControlFlow::Continue(());
            }
            range.after = last;
        }
    }

    /// Goes through a part of a directory: these buckets, and the directories of these names.
    fn part(
        &mut self,
        prefix: &str,
        directories: &[[u8; 2]],
        buckets: Found,
        range: Range,
    ) -> ControlFlow<()> {
        if prefix.len() == DEPTH_MAX {
            return buckets.into_iter().try_for_each(|found| self.bucket(found));
        }
        let level = prefix.len();
        let next = |text: &Text| [text[level], text[level + 1]];
        let mut names: BTreeSet<[u8; 2]> = buckets.iter().map(|(text, _)| next(text)).collect();
        names.extend(directories);
        let mut buckets = buckets.into_iter().peekable();
        for name in names {
            let mut below = Vec::new();
            while let Some(found) = buckets.next_if(|(text, _)| next(text) == name) {
                below.push(found);
            }
            let name_text = std::str::from_utf8(&name).expect("characters of base32");
            let child = format!("{prefix}{name_text}");
            if directories.binary_search(&name).is_err() {
                below.into_iter().try_for_each(|found| self.bucket(found))?;
            } else if range.meets(&child) {
                self.directory(&child, below, range)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn bucket(&mut self, (text, places): (Text, Places)) -> ControlFlow<()> {
        let storage_index = names::storage_index(&text).expect("parsed when it was listed");
        (self.emit)(Task::Bucket(storage_index, places))
    }

    /// Reads a part of a directory; what is no bucket and leads to none is told where that is asked.
    fn list(
        &mut self,
        prefix: &str,
        path: &StorePath,
        range: Range,
        tells_others: bool,
    ) -> ControlFlow<(), Window> {
        self.pace.operation();
        if self.pace.is_stopped() {
            return ControlFlow::Break(());
        }
        let directory = match self.view.open_directory(path) {
            Ok(directory) => directory,
            // Gone since its name was read.
            Err(Errno::NOENT) => return ControlFlow::Continue(Window::default()),
            Err(_) => {
                if tells_others {
                    (self.emit)(Task::Unreadable(path.clone()))?;
                }
                return ControlFlow::Continue(Window::default());
            }
        };
        let mut flow = ControlFlow::Continue(());
        let deepest = prefix.len() == DEPTH_MAX;
        let other = |name: &[u8], kind: FileType| {
            let is_incoming = prefix.is_empty() && name == incoming_name();
            if !tells_others || flow.is_break() || is_incoming && kind == FileType::Directory {
                return;
            }
            flow = (self.emit)(Task::Other {
                directory: path.clone(),
                name: name.to_vec(),
            });
        };
        let listed = names::window(&directory, prefix, deepest, range, other);
        flow?;
        if tells_others {
            let is_empty = listed.as_ref().is_ok_and(|window| window.is_empty);
            if is_empty && !prefix.is_empty() || self.view.is_odd_directory(&directory) {
                (self.emit)(Task::Directory(path.clone()))?;
            }
        }
        match listed {
            Ok(window) => ControlFlow::Continue(window),
            Err(_) => {
                if tells_others {
                    (self.emit)(Task::Unreadable(path.clone()))?;
                }
                ControlFlow::Continue(Window::default())
            }
        }
    }
}

/// The buckets of a directory, and those of the same names found above it.
fn merged(own: impl Iterator<Item = Text>, layout: Layout, above: Found) -> Found {
    let mut merged: Found = own
        .map(|text| (text, Places::NONE.with(layout)))
        .chain(above)
        .collect();
    merged.sort_unstable_by_key(|(text, _)| *text);
    merged.dedup_by(|next, first| {
        let is_same = next.0 == first.0;
        if is_same {
            first.1 = Places(first.1.0 | next.1.0);
        }
        is_same
    });
    merged
}

/// The layout whose buckets are in the directory of this prefix.
fn layout(prefix: &str) -> Layout {
    match prefix.len() {
        0 => Layout::Flat,
        2 => Layout::OneLevel,
        _ => Layout::TwoLevel,
    }
}

/// The directory of a prefix.
fn path(prefix: &str) -> StorePath {
    match prefix.len() {
        0 => StorePath::new(SHARES),
        2 => StorePath::new(&format!("{SHARES}/{prefix}")),
        _ => StorePath::new(&format!("{SHARES}/{}/{}", &prefix[..2], &prefix[2..])),
    }
}

/// The name under `shares` that is of no bucket.
fn incoming_name() -> &'static [u8] {
    let name = INCOMING.strip_prefix(SHARES).expect("it is below");
    name.trim_start_matches('/').as_bytes()
}

/// Characters in the prefix of the deepest directories.
const DEPTH_MAX: usize = 4;
