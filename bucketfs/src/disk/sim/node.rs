//! A file or directory: what programs see of it, what is synced, and the changes in between.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Random;

/// Names a file or directory, under whatever names.
pub(super) type NodeId = usize;

/// What a power cut leaves of unsynced writes is decided for each of these.
pub(super) const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(File),
    Directory(Directory),
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) seen: Vec<u8>,
    pub(super) synced: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
    pub(super) names: usize,
    pub(super) in_journal: bool,
    /// A sync of the file has not told yet.
    pub(super) has_lost: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize { len: usize },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    pub(super) seen: BTreeMap<String, NodeId>,
    pub(super) synced: BTreeMap<String, NodeId>,
    pub(super) unsynced: Vec<NameChange>,
}

/// Another file or directory under a name, or none.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub(super) id: ChangeId,
    pub(super) name: String,
    pub(super) node: Option<NodeId>,
    /// Changes of names, in any directory, that are on the disk before this one is.
    pub(super) needs: Vec<(NodeId, ChangeId)>,
}

/// Names a change of a name; later ones have higher ids.
pub(super) type ChangeId = u64;

impl File {
    /// Brings the changes over, but for those that are lost; returns whether any was.
    pub(super) fn settle(&mut self, mut losses: Option<&mut Random>) -> bool {
        let mut has_lost = false;
        for change in self.unsynced.drain(..) {
            let may_be_lost = matches!(change, Change::Write { .. });
            let lost = losses.as_deref_mut().is_some_and(|random| random.one_in(2));
            if may_be_lost && lost {
                has_lost = true;
            } else {
                change.apply(&mut self.synced);
            }
        }
        self.has_lost |= has_lost;
        has_lost
    }

    /// Brings the bytes of a range over, but for sectors that are lost, and the size.
    pub(super) fn settle_range(&mut self, range: Range<usize>, mut losses: Option<&mut Random>) {
        let resizes = |change: &Change| matches!(change, Change::Resize { .. });
        if range.end > self.synced.len() || self.unsynced.iter().any(resizes) {
            // The file system's own journal keeps its order: the new size comes with all before it.
            self.settle(None);
        }
        let before = std::mem::take(&mut self.unsynced);
        let left = before.into_iter().flat_map(|change| change.without(&range));
        self.unsynced = left.collect();
        let mut start = range.start;
        while start < range.end {
            let end = (start / SECTOR + 1) * SECTOR;
            let sector = start..end.min(range.end);
            let is_lost = losses.as_deref_mut().is_some_and(|random| random.one_in(2));
            match is_lost {
                true => self.seen[sector.clone()].copy_from_slice(&self.synced[sector]),
                false => self.synced[sector.clone()].copy_from_slice(&self.seen[sector]),
            }
            start = end;
        }
    }

    /// Any number of the changes of each sector, and of the size.
    pub(super) fn cut_power(&mut self, random: &mut Random) {
        self.has_lost = false;
        if !self.unsynced.is_empty() {
            let changes = std::mem::take(&mut self.unsynced);
            let mut lens = vec![self.synced.len()];
            for change in &changes {
                lens.push(change.len_after(*lens.last().expect("one to begin with")));
            }
            let longest = *lens.iter().max().expect("one to begin with");
            let mut left = std::mem::take(&mut self.synced);
            left.resize(longest, 0);
            for (index, sector) in left.chunks_mut(SECTOR).enumerate() {
                let touching: Vec<_> = changes
                    .iter()
                    .filter(|change| change.touches(index * SECTOR, sector.len()))
                    .collect();
                for change in &touching[..random.index(touching.len() + 1)] {
                    change.apply_to_sector(index * SECTOR, sector);
                }
            }
            left.truncate(lens[random.index(lens.len())]);
            self.synced = left;
        }
        self.seen.clone_from(&self.synced);
    }
}

impl Directory {
    /// Brings over the changes of one name up to this one; returns what has to be on the disk before.
    pub(super) fn settle_name(&mut self, last: ChangeId) -> Vec<(NodeId, ChangeId)> {
        let mut changes = self.unsynced.iter();
        let Some(last_change) = changes.find(|change| change.id == last) else {
            return Vec::new();
        };
        let name = last_change.name.clone();
        let mut needs = Vec::new();
        self.unsynced.retain_mut(|change| {
            if change.name != name || change.id > last {
                return true;
            }
            match change.node {
                Some(node) => self.synced.insert(name.clone(), node),
                None => self.synced.remove(&name),
            };
            needs.append(&mut change.needs);
            false
        });
        needs
    }

    /// Of each name the last of its changes that a power cut leaves: after any number of them.
    pub(super) fn picked(&self, random: &mut Random) -> Vec<ChangeId> {
        let mut names: BTreeMap<&str, Vec<ChangeId>> = BTreeMap::new();
        for change in &self.unsynced {
            names.entry(&change.name).or_default().push(change.id);
        }
        let picked = names.into_values().filter_map(|changes| {
            let count = random.index(changes.len() + 1);
            changes[..count].last().copied()
        });
        picked.collect()
    }
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes: new } => {
                let end = offset + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(new);
            }
            Self::Resize { len } => bytes.resize(*len, 0),
        }
    }

    /// What is left of a change when a range of the file is written anew.
    fn without(self, range: &Range<usize>) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else {
            return vec![self];
        };
        let part = |from: usize, to: usize| {
            let bytes = bytes.get(from..to).filter(|part| !part.is_empty())?;
            Some(Self::Write {
                offset: offset + from,
                bytes: bytes.to_vec(),
            })
        };
        let before = range.start.saturating_sub(offset).min(bytes.len());
        let behind = range.end.saturating_sub(offset).min(bytes.len());
        let parts = [part(0, before), part(behind, bytes.len())];
        parts.into_iter().flatten().collect()
    }

    fn len_after(&self, len: usize) -> usize {
        match self {
            Self::Write { offset, bytes } => len.max(offset + bytes.len()),
            Self::Resize { len } => *len,
        }
    }

    fn touches(&self, start: usize, len: usize) -> bool {
        match self {
            Self::Write { offset, bytes } => *offset < start + len && start < offset + bytes.len(),
            Self::Resize { len: new } => *new < start + len,
        }
    }

    fn apply_to_sector(&self, start: usize, sector: &mut [u8]) {
        match self {
            Self::Write { offset, bytes } => {
                let from = start.max(*offset);
                let to = (start + sector.len()).min(offset + bytes.len());
                if from < to {
                    sector[from - start..to - start]
                        .copy_from_slice(&bytes[from - offset..to - offset]);
                }
            }
            Self::Resize { len } => {
                let keep = len.saturating_sub(start).min(sector.len());
                sector[keep..].fill(0);
            }
        }
    }
}
