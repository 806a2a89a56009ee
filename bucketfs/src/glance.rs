//! What a reader sees of the tree at a glance, without asking the store.
//!
//! Most of what is read is in the kernel's memory: names in its directory cache, bytes in its page
//! cache. To look there takes a few system calls that never block. The way through the store (a
//! queue, a turn of its driver, a machine, an operation, and the way back) costs more than they do.
//! So whoever holds a [`StoreHandle`](crate::StoreHandle) looks first, on its own thread. What is not
//! at hand, or is being changed ([`crate::changes`]), or is in any way not as it should be, the
//! store is asked for.
//!
//! While a store is migrated a bucket may lie in two places. One that is still in the old one is the
//! store's business, which moves it first; that it is not there any more is looked at, too.
//!
//! What always holds: an answer given here is one that the store could have given at that moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use lafs::{ShareNumber, num};
use rustix::io::Errno;

use crate::changes::Changes;
use crate::container::mutable;
use crate::disk::{ByteRange, Cached, Root};
use crate::kind::ShareKind;
use crate::layout::{ShareKey, SpelledNumber, Tree};
use crate::limits;
use crate::request::{Read, SharesRead, Wanted};
use crate::store::read::{Found, is_wanted, wanted_count};

/// A view of the tree.
#[derive(Debug)]
pub(crate) struct Glance {
    /// The store's, which is given back when that has ended.
    root: Weak<Root>,
    changes: Arc<Changes>,
}

impl Glance {
    pub(crate) fn new(root: &Arc<Root>, changes: Arc<Changes>) -> Self {
        Self {
            root: Arc::downgrade(root),
            changes,
        }
    }

    /// Answers a request, if all that it takes is at hand.
    pub(crate) fn read(&self, read: &Read) -> Option<SharesRead> {
        // The store has the words for that.
        if read.extents.len() > limits::EXTENTS {
            return None;
        }
        let storage_index = read.storage_index;
        let mark = self.changes.quiet(storage_index)?;
        let version = self.changes.slot_version(storage_index);
        let root = self.root.upgrade()?;
        let layouts = self.changes.layouts();
        let tree = Tree::new(layouts.layout);
        if let Some(from) = layouts.from {
            let old = Tree::new(from).spell_bucket(storage_index);
            match root.cached().open_directory(old.as_c_str()) {
                Err(Errno::NOENT) => {}
                _ => return None,
            }
        }
        let found = match read.wanted {
            Wanted::One(number) => look_at_one(tree, root.cached(), read, number)?,
            Wanted::Any(_) | Wanted::These(_) => look_at_all(tree, root.cached(), read)?,
        };
        let is_still = self.changes.is_still(storage_index, mark);
        is_still.then(|| found.into_answer(version))
    }
}

fn look_at_one(tree: Tree, root: Cached<'_>, read: &Read, number: ShareNumber) -> Option<Found> {
    let mut found = Found::new(read.extents.clone(), 1);
    let key = ShareKey {
        storage_index: read.storage_index,
        share_number: number,
    };
    match root.open(tree.spell_share(key).as_c_str()) {
        Ok(file) => look_at(&mut found, &file, number, true)?,
        Err(Errno::NOENT) => {}
        Err(_) => return None,
    }
    Some(found)
}

fn look_at_all(tree: Tree, root: Cached<'_>, read: &Read) -> Option<Found> {
    let path = tree.spell_bucket(read.storage_index);
    let (bucket, numbers) = match root.open_directory(path.as_c_str()) {
        Ok(bucket) => {
            let numbers = numbers(&bucket)?;
            (bucket, numbers)
        }
        Err(Errno::NOENT) => return Some(Found::new(Vec::new(), 0)),
        Err(_) => return None,
    };
    let count = wanted_count(&read.wanted, &numbers);
    let mut found = Found::new(read.extents.clone(), count);
    for (index, number) in numbers.into_iter().enumerate() {
        let wanted = is_wanted(&read.wanted, index, number);
        match root
            .below(&bucket)
            .open(SpelledNumber::of(number).as_c_str())
        {
            Ok(file) => look_at(&mut found, &file, number, wanted)?,
            // Gone between the listing and this.
            Err(Errno::NOENT) => {}
            Err(_) => return None,
        }
    }
    Some(found)
}

/// The share numbers among a bucket's files, in ascending order; other files are left alone. `None`
/// if there are many others: then it takes long.
fn numbers(bucket: &OwnedFd) -> Option<Vec<ShareNumber>> {
    let mut numbers = Vec::new();
    let mut others = 0;
    let give = |name: &[u8]| {
        match crate::store::share_number(name) {
            Some(number) => numbers.push(number),
            None => others += 1,
        }
        others < OTHERS_MAX
    };
    let is_whole = crate::disk::files_of(bucket, give).ok()?;
    numbers.sort_unstable();
    Some(numbers).filter(|_| is_whole)
}

/// Looks at a share, and takes what is wanted of it.
fn look_at(found: &mut Found, file: &OwnedFd, number: ShareNumber, wanted: bool) -> Option<()> {
    let file = file.as_fd();
    let size = crate::disk::size_of_file(file)?;
    if !wanted {
        let mut front = [0; mutable::HEADER_LEN];
        let front = &mut front[..clip(0, mutable::HEADER_LEN, size)];
        crate::disk::read_cached_into(file, 0, front)?;
        found.name(number, ShareKind::of(front), size, front);
        return Some(());
    }
    let ranges = found.plan(ShareKind::Immutable, true);
    let len = ranges[0].len.max(mutable::HEADER_LEN);
    let mut front = read(file, 0, clip(0, len, size))?;
    let kind = ShareKind::of(&front);
    let ranges = match kind {
        ShareKind::Immutable => ranges,
        ShareKind::Mutable => found.plan(kind, true),
    };
    let len = clip(0, ranges[0].len, size);
    if len > front.len() {
        front = read(file, 0, len)?;
    }
    front.truncate(len);
    let others = ranges[1..].iter().map(|range| piece(file, *range, size));
    let pieces: Option<Vec<_>> = std::iter::once(Some(front)).chain(others).collect();
    found.take(number, kind, size, pieces?, true);
    Some(())
}

fn piece(file: BorrowedFd<'_>, range: ByteRange, size: u64) -> Option<Vec<u8>> {
    read(file, range.offset, clip(range.offset, range.len, size))
}

fn read(file: BorrowedFd<'_>, offset: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    crate::disk::read_cached_into(file, offset, &mut bytes)?;
    Some(bytes)
}

/// How much of a range is in a file of this size.
fn clip(offset: u64, len: usize, size: u64) -> usize {
    let left = size.saturating_sub(offset);
    num::len(left).map_or(len, |left| left.min(len))
}

/// Most files of others in a bucket that are passed over.
const OTHERS_MAX: usize = 256;
