//! One look at a bucket, or at whatever else was found on the way: what is there, and what is wrong.
//!
//! A look is a moment, and the store may be at work: what is wrong may be a change under way. So each
//! finding carries a [`Stamp`] of what it is of, and `walk.rs` believes only what is found twice, the
//! same, on something that has not changed in between.

use std::os::fd::{AsFd, OwnedFd};

use lafs::{ShareNumber, StorageIndex, WriteEnabler};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::deep::Deep;
use super::finding::{Finding, Kind, Repair, join, path_of};
use super::names;
use super::pace::Pace;
use super::share::{Container, Opened, ShareSeen, Unsound, is_header_size};
use super::status::{Stamp, Status};
use super::tree::{Places, Task};
use super::words;
use super::{BucketSeen, UnsoundShare, View};
use crate::container::{self, LEASES_MAX};
use crate::disk::{Beneath, How, StorePath};
use crate::kind::ShareKind;
use crate::layout::{Layout, ShareKey, Tree};

/// Looks at things.
pub(super) struct Looker<'a> {
    pub(super) view: &'a View,
    pub(super) pace: &'a Pace,
    pub(super) deep: Option<&'a dyn Deep>,
    /// Later than this no lease ends that was made by now; `None` if nobody knows what time it is.
    pub(super) lease_end_max: Option<u32>,
}

/// What one look gave.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// A bucket, its findings left out; none if it is gone.
    pub(super) bucket: Option<BucketSeen>,
    pub(super) findings: Vec<(Finding, Stamp)>,
}

/// A bucket while it is looked at.
struct Looking<'a> {
    looker: &'a Looker<'a>,
    storage_index: StorageIndex,
    observed: Observed,
    shares: Vec<ShareSeen>,
    unsound: Vec<UnsoundShare>,
    write_enablers: Vec<WriteEnabler>,
}

impl Looker<'_> {
    pub(super) fn look(&self, task: &Task) -> Observed {
        match task {
            Task::Bucket(storage_index, places) => self.bucket(*storage_index, *places),
            Task::Other { directory, name } => self.other(directory, name),
            Task::Directory(path) => self.directory(path),
            Task::Unreadable(path) => self.unreadable(path),
        }
    }

    fn bucket(&self, storage_index: StorageIndex, places: Places) -> Observed {
        let wanted = self.view.layouts();
        let mut looking = Looking {
            looker: self,
            storage_index,
            observed: Observed::default(),
            shares: Vec::new(),
            unsound: Vec::new(),
            write_enablers: Vec::new(),
        };
        let mut place = None;
        for layout in wanted.iter() {
            if let Some((path, directory)) = looking.open(layout) {
                place = place.or(Some(layout));
                looking.directory(&path, &directory);
            }
        }
        for layout in Layout::ALL {
            // Those that were not there when the directory above was read are looked for only where
            // a migration that has begun since may have moved all of the bucket.
            let may_be = places.has(layout) || place.is_none();
            if wanted.has(layout) || !may_be {
                continue;
            }
            if let Some((path, directory)) = looking.open(layout) {
                looking.astray(&path, &directory, wanted.layout, place.is_some());
            }
        }
        looking.judge_whole(place)
    }

    /// A name that the tree does not have.
    fn other(&self, directory: &StorePath, name: &[u8]) -> Observed {
        let mut observed = Observed::default();
        let Some(status) = self.examine(directory, name) else {
            return observed;
        };
        let kind = status.kind;
        let at = join(directory.as_str(), name);
        let bucket = names::bucket(name).and_then(|text| names::storage_index(&text));
        let is_directory = kind == FileType::Directory;
        let finding = match bucket {
            Some(storage_index) if is_directory => {
                let layout = self.view.layout();
                let place = Tree::new(layout).bucket(storage_index);
                let is_taken = self.view.open_directory(&place).is_ok();
                astray(at, &place, is_taken)
            }
            _ if bucket.is_some() || names::prefix(name).is_some() && !is_directory => Finding {
                at,
                share: None,
                kind: Kind::WrongType,
                expected: words::DIRECTORY.to_owned(),
                found: words::of(kind).to_owned(),
                repair: Repair::Quarantine,
            },
            _ => foreign(at, kind),
        };
        observed.findings.push((finding, status.stamp));
        observed
    }

    /// A directory above buckets.
    fn directory(&self, path: &StorePath) -> Observed {
        let mut observed = Observed::default();
        let Ok(directory) = self.view.open_directory(path) else {
            return observed;
        };
        let Ok(status) = Status::of(&directory) else {
            return observed;
        };
        let at = path_of(path.as_str().as_bytes());
        let stamp = status.stamp;
        let odd = self.view.odd(&status, &at, None);
        observed
            .findings
            .extend(odd.map(|finding| (finding, stamp)));
        let mut is_empty = true;
        let listed = names::each(&directory, |_, _| is_empty = false);
        if is_empty && listed.is_ok() {
            observed.findings.push((empty(at), stamp));
        }
        observed
    }

    fn unreadable(&self, path: &StorePath) -> Observed {
        let mut observed = Observed::default();
        let listed = self
            .view
            .open_directory(path)
            .and_then(|directory| names::each(&directory, |_, _| {}));
        match listed {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                let at = path_of(path.as_str().as_bytes());
                let finding = unreadable(at, None, errno);
                observed.findings.push((finding, Stamp::default()));
            }
        }
        observed
    }

    /// What a name in a directory names, if it is still there.
    fn examine(&self, directory: &StorePath, name: &[u8]) -> Option<Status> {
        self.pace.operation();
        let directory = self.view.open_directory(directory).ok()?;
        Status::of_name(&directory, name).ok()
    }
}

impl Looking<'_> {
    /// Opens the bucket's directory in the place of a layout.
    fn open(&mut self, layout: Layout) -> Option<(StorePath, OwnedFd)> {
        let path = Tree::new(layout).bucket(self.storage_index);
        self.looker.pace.operation();
        match self.looker.view.open_directory(&path) {
            Ok(directory) => Some((path, directory)),
            Err(Errno::NOENT) => None,
            // Said where the directory above was read.
            Err(Errno::LOOP | Errno::NOTDIR) => None,
            Err(errno) => {
                let at = path_of(path.as_str().as_bytes());
                self.find(unreadable(at, None, errno), Stamp::default());
                None
            }
        }
    }

    /// Looks at the bucket's directory in a place where it may be.
    fn directory(&mut self, path: &StorePath, directory: &OwnedFd) {
        let at = || path_of(path.as_str().as_bytes());
        let status = match Status::of(directory) {
            Ok(status) => status,
            Err(errno) => return self.find(unreadable(at(), None, errno), Stamp::default()),
        };
        let stamp = status.stamp;
        if let Some(odd) = self.looker.view.odd(&status, &at(), None) {
            self.find(odd, stamp);
        }
        let mut numbers = Vec::new();
        let mut others = 0;
        let mut is_empty = true;
        let mut findings = Vec::new();
        let listed = names::each(directory, |name, kind| {
            is_empty = false;
            let number = crate::store::share_number(name);
            match number {
                Some(number) if kind == FileType::RegularFile => numbers.push(number),
                _ if others == OTHERS_MAX => {}
                _ => {
                    others += 1;
                    let at = join(path.as_str(), name);
                    let share = number.map(|number| self.key(number));
                    findings.push(match share {
                        Some(_) => wrong_type(at, share, kind),
                        None => foreign(at, kind),
                    });
                }
            }
        });
        // Their own names did not change; the directory's stamp is as good.
        findings
            .into_iter()
            .for_each(|found| self.find(found, stamp));
        if let Err(errno) = listed {
            return self.find(unreadable(at(), None, errno), stamp);
        }
        if is_empty {
            self.find(empty(at()), stamp);
        }
        numbers.sort_unstable();
        for number in numbers {
            self.share(path, directory, number);
        }
    }

    fn share(&mut self, bucket: &StorePath, directory: &OwnedFd, number: ShareNumber) {
        let name = number.to_string();
        let at = join(bucket.as_str(), name.as_bytes());
        let key = self.key(number);
        let (view, pace) = (self.looker.view, self.looker.pace);
        if self.is_known(key) {
            let finding = Finding {
                at,
                share: Some(key),
                kind: Kind::Duplicate,
                expected: "a share in one place".to_owned(),
                found: format!("another one in the place of layout {}", view.layout()),
                repair: Repair::Quarantine,
            };
            return self.find(finding, Stamp::default());
        }
        pace.operation();
        let beneath = Beneath {
            directory: directory.as_fd(),
            has_openat2: view.has_openat2,
        };
        let opened = beneath.open(&StorePath::new(&name), How::Read);
        let opened = match opened.and_then(Opened::new) {
            Ok(opened) => opened,
            // Removed, or replaced by something else, since the names were read.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return,
            Err(errno) => {
                self.unsound.push(UnsoundShare::new(key, 0));
                return self.find(unreadable(at, Some(key), errno), Stamp::default());
            }
        };
        if !opened.is_file() {
            return;
        }
        let stamp = opened.status.stamp;
        if let Some(odd) = view.odd(&opened.status, &at, Some(key)) {
            self.find(odd, stamp);
        }
        if opened.status.links > 1 && !view.is_on_its_way(stamp.inode) {
            let finding = Finding {
                at: at.clone(),
                share: Some(key),
                kind: Kind::LinkCount,
                expected: "one name".to_owned(),
                found: format!("{} names", opened.status.links),
                repair: Repair::ByHand,
            };
            self.find(finding, stamp);
        }
        match opened.container(key, pace) {
            Ok(container) => {
                let before = self.observed.findings.len();
                self.judge(&at, &container, stamp);
                let is_sound = !self.observed.findings[before..]
                    .iter()
                    .any(|(finding, _)| finding.kind == Kind::ShareSize);
                // Of a share that is perhaps just being changed the bytes would not be those.
                if let Some(deep) = self.looker.deep.filter(|_| is_sound) {
                    self.prove(deep, &at, &opened, &container, stamp);
                }
                self.write_enablers.extend(container.write_enabler);
                self.shares.push(container.share);
            }
            Err(unsound) => {
                self.unsound
                    .push(UnsoundShare::new(key, opened.status.size));
                let size = opened.status.size;
                self.find(unsound_share(at, key, size, &unsound), stamp);
            }
        }
    }

    /// Compares what a sound container says of its share.
    fn judge(&mut self, at: &std::path::Path, container: &Container, stamp: Stamp) {
        let share = &container.share;
        let finding = |kind, expected, found, repair| Finding {
            at: at.to_path_buf(),
            share: Some(share.key),
            kind,
            expected,
            found,
            repair,
        };
        let said = share.header_size;
        let mut found = Vec::new();
        if let Some(said) = said.filter(|said| !is_header_size(*said, share.size)) {
            found.push(finding(
                Kind::ShareSize,
                format!("a share of {said} bytes, as the header says"),
                format!("one of {} bytes", share.size),
                Repair::Quarantine,
            ));
        }
        // Where the share ends elsewhere, what is read as leases is none.
        let lease_end_max = self.looker.lease_end_max.filter(|_| found.is_empty());
        let is_late = |end: &u32| lease_end_max.is_some_and(|max| *end > max);
        if let Some(end) = share.lease_end.filter(is_late) {
            found.push(finding(
                Kind::LeaseEnd,
                "a lease that ends within 32 days".to_owned(),
                format!("one that ends {end} seconds after 1970 began"),
                Repair::Renewal,
            ));
        }
        if share.leases > LEASES_MAX {
            found.push(finding(
                Kind::LeaseCount,
                format!("at most {LEASES_MAX} leases"),
                format!("{}", share.leases),
                Repair::ByHand,
            ));
        }
        found.into_iter().for_each(|found| self.find(found, stamp));
    }

    fn prove(
        &mut self,
        deep: &dyn Deep,
        at: &std::path::Path,
        opened: &Opened,
        container: &Container,
        stamp: Stamp,
    ) {
        let bytes = opened.bytes(container, self.looker.pace);
        let key = container.share.key;
        match deep.check(&container.share, &bytes) {
            Ok(faults) => {
                for fault in faults {
                    let finding = Finding {
                        at: at.to_path_buf(),
                        share: Some(key),
                        kind: Kind::ShareBytes,
                        expected: fault.expected,
                        found: fault.found,
                        repair: Repair::Quarantine,
                    };
                    self.find(finding, stamp);
                }
            }
            Err(error) => {
                let finding = Finding {
                    at: at.to_path_buf(),
                    share: Some(key),
                    kind: Kind::Unreadable,
                    expected: words::READABLE.to_owned(),
                    found: error.to_string(),
                    repair: Repair::ByHand,
                };
                self.find(finding, stamp);
            }
        }
    }

    /// A directory of the bucket in a place where nobody looks for it.
    fn astray(&mut self, path: &StorePath, directory: &OwnedFd, layout: Layout, is_taken: bool) {
        let stamp = Status::of(directory).map_or(Stamp::default(), |status| status.stamp);
        let place = Tree::new(layout).bucket(self.storage_index);
        let at = path_of(path.as_str().as_bytes());
        self.find(astray(at, &place, is_taken), stamp);
    }

    /// What only all shares together tell.
    fn judge_whole(mut self, place: Option<Layout>) -> Observed {
        let Some(place) = place else {
            return self.observed;
        };
        let at = path_of(
            Tree::new(place)
                .bucket(self.storage_index)
                .as_str()
                .as_bytes(),
        );
        let whole = |kind, expected: &str, found| Finding {
            at: at.clone(),
            share: None,
            kind,
            expected: expected.to_owned(),
            found,
            repair: Repair::ByHand,
        };
        let mutable = self
            .shares
            .iter()
            .filter(|share| share.kind == ShareKind::Mutable)
            .count();
        let immutable = self.shares.len() - mutable;
        let mut found = Vec::new();
        if mutable > 0 && immutable > 0 {
            found.push(whole(
                Kind::MixedBucket,
                "shares of one kind",
                format!("{immutable} immutable and {mutable} mutable"),
            ));
        }
        let mut enablers: Vec<_> = self
            .write_enablers
            .iter()
            .map(|enabler| *enabler.as_bytes())
            .collect();
        enablers.sort_unstable();
        enablers.dedup();
        if enablers.len() > 1 {
            found.push(whole(
                Kind::WriteEnabler,
                "one write enabler for all shares of the slot",
                format!("{} different ones", enablers.len()),
            ));
        }
        // Of several files: what changes one of them makes the finding another.
        found
            .into_iter()
            .for_each(|found| self.find(found, Stamp::default()));
        self.observed.bucket = Some(BucketSeen {
            storage_index: self.storage_index,
            place,
            shares: self.shares,
            unsound: self.unsound,
            findings: Vec::new(),
        });
        self.observed
    }

    fn key(&self, share_number: ShareNumber) -> ShareKey {
        ShareKey {
            storage_index: self.storage_index,
            share_number,
        }
    }

    /// Whether the share was found in another place already.
    fn is_known(&self, key: ShareKey) -> bool {
        let sound = self.shares.iter().map(|share| share.key);
        let unsound = self.unsound.iter().map(|share| share.key);
        sound.chain(unsound).any(|known| known == key)
    }

    fn find(&mut self, finding: Finding, stamp: Stamp) {
        self.observed.findings.push((finding, stamp));
    }
}

/// A bucket in a place where nobody looks for it; its own place may be taken.
fn astray(at: std::path::PathBuf, place: &StorePath, is_taken: bool) -> Finding {
    let (kind, found, repair) = match is_taken {
        true => (Kind::Duplicate, "there and here", Repair::Quarantine),
        false => (Kind::Misplaced, "here", Repair::PutInPlace),
    };
    Finding {
        at,
        share: None,
        kind,
        expected: format!("the bucket at {place}"),
        found: found.to_owned(),
        repair,
    }
}

fn foreign(at: std::path::PathBuf, kind: FileType) -> Finding {
    Finding {
        at,
        share: None,
        kind: Kind::ForeignName,
        expected: "no such name".to_owned(),
        found: words::of(kind).to_owned(),
        repair: Repair::Quarantine,
    }
}

fn wrong_type(at: std::path::PathBuf, share: Option<ShareKey>, kind: FileType) -> Finding {
    Finding {
        at,
        share,
        kind: Kind::WrongType,
        expected: words::FILE.to_owned(),
        found: words::of(kind).to_owned(),
        repair: Repair::Quarantine,
    }
}

fn empty(at: std::path::PathBuf) -> Finding {
    Finding {
        at,
        share: None,
        kind: Kind::EmptyDirectory,
        expected: "a directory with something in it".to_owned(),
        found: "an empty one".to_owned(),
        repair: Repair::RemoveEmpty,
    }
}

pub(super) fn unreadable(at: std::path::PathBuf, share: Option<ShareKey>, errno: Errno) -> Finding {
    Finding {
        at,
        share,
        kind: Kind::Unreadable,
        expected: words::READABLE.to_owned(),
        found: errno.to_string(),
        repair: Repair::ByHand,
    }
}

/// A file in a share's place that is no sound container.
fn unsound_share(at: std::path::PathBuf, key: ShareKey, size: u64, unsound: &Unsound) -> Finding {
    let finding = |kind, expected, found| Finding {
        at: at.clone(),
        share: Some(key),
        kind,
        expected,
        found,
        repair: Repair::Quarantine,
    };
    match unsound {
        Unsound::Unknown(front) => finding(
            Kind::Container,
            "a share container".to_owned(),
            match front.iter().all(|byte| *byte == 0) {
                true => "zeros where its header should be".to_owned(),
                false => format!("a file that begins {}", words::hex(front)),
            },
        ),
        Unsound::Short(least) => finding(
            Kind::Truncated,
            format!("at least {least} bytes, as the header says"),
            format!("{size} bytes"),
        ),
        Unsound::Overlap { end, leases } => finding(
            Kind::Container,
            format!("a share that ends before its extra leases, at {leases}"),
            format!("one that ends at {end}"),
        ),
        Unsound::Disk(errno) => unreadable(at.clone(), Some(key), *errno),
    }
}

/// Later than this no lease ends that is made at `unix`, by seconds since 1970; `None` if the clock is
/// certainly wrong.
pub(super) fn lease_end_max(unix: u64) -> Option<u32> {
    let is_plausible = unix >= container::CLOCK_FLOOR;
    is_plausible.then(|| container::expiration(unix).saturating_add(DAY))
}

/// Clocks are put right by less.
const DAY: u32 = 24 * 60 * 60;

/// Most names of others that are told of one bucket.
const OTHERS_MAX: usize = 256;
