//! Files and directories, as programs see them and as a power cut would leave them.

use std::collections::BTreeMap;

use lafs::num;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::node::{Change, ChangeId, Directory, File, NameChange, Node, NodeId};
use super::{Random, SyncKind};
use crate::disk::step::Page;
use crate::disk::{
    Entry, EntryKind, LIST_ENTRIES_MAX, LIST_PAGE_LEN, ListCursor, Space, StorePath,
};

/// What space is given out in.
const BLOCK: u64 = 4096;

/// A disk with one file system.
#[derive(Clone, Debug)]
pub struct Medium {
    nodes: Vec<Node>,
    capacity: u64,
    used: u64,
    /// How many files and directories there can be, those without a name included.
    inodes: u64,
    /// A change was lost, and no sync of the file system has said so yet.
    has_lost: bool,
    /// How many changes of names there were.
    changes: ChangeId,
    /// Of each directory that was made or moved, and has its name: the change that gave it.
    named_by: BTreeMap<NodeId, (NodeId, ChangeId)>,
    /// The changes by which directories have left this one.
    left_by: BTreeMap<NodeId, Vec<(NodeId, ChangeId)>>,
}

const ROOT: NodeId = 0;

impl Medium {
    /// An empty disk of so many bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self {
            nodes: vec![Node::Directory(Directory::default())],
            capacity,
            used: 0,
            inodes: u64::MAX,
            has_lost: false,
            changes: 0,
            named_by: BTreeMap::new(),
            left_by: BTreeMap::new(),
        }
    }

    /// Makes it another disk of so many bytes, however many are used.
    pub fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// Lets so many more files and directories be made.
    pub fn set_free_inodes(&mut self, inodes: u64) {
        self.inodes = num::size(self.nodes.len()).saturating_add(inodes);
    }

    /// What a power cut leaves, chosen at random.
    #[must_use]
    pub fn cut_power(mut self, random: &mut Random) -> Self {
        let mut picked = Vec::new();
        for (id, node) in self.nodes.iter_mut().enumerate() {
            match node {
                Node::File(file) => file.cut_power(random),
                Node::Directory(directory) => {
                    let changes = directory.picked(random).into_iter();
                    picked.extend(changes.map(|change| (id, change)));
                }
            }
        }
        self.settle_names(picked);
        for node in &mut self.nodes {
            if let Node::Directory(directory) = node {
                directory.unsynced.clear();
                directory.seen.clone_from(&directory.synced);
            }
        }
        self.named_by.clear();
        self.left_by.clear();
        self.has_lost = false;
        self.count_names();
        self
    }

    /// Every file that has a name, with what programs see in it.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![(String::new(), ROOT)];
        while let Some((path, node)) = directories.pop() {
            let Node::Directory(directory) = &self.nodes[node] else {
                continue;
            };
            for (name, node) in &directory.seen {
                let path = format!("{path}{name}");
                match &self.nodes[*node] {
                    Node::File(file) => {
                        files.insert(path, file.seen.clone());
                    }
                    Node::Directory(_) => directories.push((format!("{path}/"), *node)),
                }
            }
        }
        files
    }

    /// Puts a file there, with the directories above it, as if it had always been.
    ///
    /// # Panics
    ///
    /// If something of that name is there that is no file.
    pub fn plant(&mut self, path: &str, bytes: &[u8]) {
        let path = StorePath::new(path);
        let above = std::iter::successors(path.parent(), StorePath::parent);
        let mut above: Vec<_> = above.collect();
        above.pop();
        for path in above.iter().rev() {
            let _ = self.make_directory(path);
        }
        let flags = OFlags::CREATE | OFlags::TRUNC;
        let node = self.open(&path, flags).expect("a file can be there");
        self.write_at(node, 0, bytes).expect("there is room for it");
        self.sync_all(None).expect("nothing is lost");
    }

    /// How many bytes are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }

    pub(super) fn space(&self) -> Space {
        Space {
            free: self.free(),
            total: self.capacity,
            inodes: self.inodes.saturating_sub(num::size(self.nodes.len())),
        }
    }

    /// The lookups, after which names that a power cut took or gave back are counted anew.
    fn count_names(&mut self) {
        let mut names = vec![0; self.nodes.len()];
        for node in &self.nodes {
            if let Node::Directory(directory) = node {
                for node in directory.seen.values() {
                    names[*node] += 1;
                }
            }
        }
        self.used = 0;
        for (node, names) in self.nodes.iter_mut().zip(names) {
            if let Node::File(file) = node {
                file.names = names;
                if names > 0 {
                    self.used += blocks(file.seen.len());
                }
            }
        }
    }
}

// Names.
impl Medium {
    pub(super) fn open(&mut self, path: &StorePath, flags: OFlags) -> Result<NodeId, Errno> {
        match self.find(path) {
            Ok(_) if flags.contains(OFlags::EXCL) => Err(Errno::EXIST),
            Ok(node) => {
                let is_file = matches!(self.nodes[node], Node::File(_));
                if flags.contains(OFlags::DIRECTORY) && is_file {
                    return Err(Errno::NOTDIR);
                }
                if !flags.contains(OFlags::DIRECTORY) && !is_file {
                    return Err(Errno::ISDIR);
                }
                if flags.contains(OFlags::TRUNC) {
                    self.resize(node, 0)?;
                }
                Ok(node)
            }
            Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {
                let (parent, name) = self.place(path)?;
                let file = File {
                    in_journal: path.as_str().starts_with("journal/"),
                    ..File::default()
                };
                let node = self.add(Node::File(file))?;
                self.set_name(parent, name, Some(node));
                Ok(node)
            }
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn make_directory(&mut self, path: &StorePath) -> Result<(), Errno> {
        let (parent, name) = self.place(path)?;
        let node = self.add(Node::Directory(Directory::default()))?;
        let change = self.set_name(parent, name, Some(node));
        self.named_by.insert(node, (parent, change));
        Ok(())
    }

    pub(super) fn rename(&mut self, source: &StorePath, target: &StorePath) -> Result<(), Errno> {
        let node = self.find(source)?;
        let (parent, name) = self.place(target)?;
        self.give_name(source, node, (parent, name))
    }

    /// Renames, in place of what is there.
    pub(super) fn replace(&mut self, source: &StorePath, target: &StorePath) -> Result<(), Errno> {
        let node = self.find(source)?;
        let is_directory = matches!(self.nodes[node], Node::Directory(_));
        match self.find(target) {
            // Two names of one file: POSIX has nothing done.
            Ok(there) if there == node => return Ok(()),
            Ok(there) => match &self.nodes[there] {
                Node::Directory(_) if !is_directory => return Err(Errno::ISDIR),
                Node::Directory(directory) if !directory.seen.is_empty() => {
                    return Err(Errno::NOTEMPTY);
                }
                Node::File(_) if is_directory => return Err(Errno::NOTDIR),
                _ => {}
            },
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let parent = self.find(&target.parent().ok_or(Errno::BUSY)?)?;
        self.directory(parent)?;
        self.give_name(source, node, (parent, last_name(target).to_owned()))
    }

    /// Gives what has a name another one. Of a directory it is one change in two places, and needs
    /// the directory that it goes into.
    fn give_name(
        &mut self,
        source: &StorePath,
        node: NodeId,
        (parent, name): (NodeId, String),
    ) -> Result<(), Errno> {
        let given = self.set_name(parent, name, Some(node));
        let (source_parent, taken) = self.clear_name(source)?;
        if let Node::Directory(_) = self.nodes[node] {
            let mut needs = self.making_of(parent);
            needs.push((source_parent, taken));
            self.add_needs((parent, given), needs);
            self.add_needs((source_parent, taken), vec![(parent, given)]);
            self.named_by.insert(node, (parent, given));
            let left = self.left_by.entry(source_parent).or_default();
            left.push((source_parent, taken));
        }
        Ok(())
    }

    /// The changes that gave a directory, and each above it, its name.
    fn making_of(&self, directory: NodeId) -> Vec<(NodeId, ChangeId)> {
        let named = |directory: &NodeId| self.named_by.get(directory);
        let up = std::iter::successors(named(&directory), |(parent, _)| named(parent));
        up.copied().collect()
    }

    fn add_needs(&mut self, change: (NodeId, ChangeId), needs: Vec<(NodeId, ChangeId)>) {
        let (parent, id) = change;
        if let Node::Directory(directory) = &mut self.nodes[parent] {
            let change = directory.unsynced.iter_mut().find(|change| change.id == id);
            change.expect("it was just made").needs.extend(needs);
        }
    }

    pub(super) fn link(&mut self, source: &StorePath, target: &StorePath) -> Result<(), Errno> {
        let node = self.find(source)?;
        if matches!(self.nodes[node], Node::Directory(_)) {
            return Err(Errno::PERM);
        }
        let (parent, name) = self.place(target)?;
        self.set_name(parent, name, Some(node));
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &StorePath) -> Result<(), Errno> {
        match self.nodes[self.find(path)?] {
            Node::File(_) => self.clear_name(path).map(|_| ()),
            Node::Directory(_) => Err(Errno::ISDIR),
        }
    }

    pub(super) fn remove_directory(&mut self, path: &StorePath) -> Result<(), Errno> {
        let node = self.find(path)?;
        match &self.nodes[node] {
            Node::File(_) => return Err(Errno::NOTDIR),
            Node::Directory(directory) if !directory.seen.is_empty() => {
                return Err(Errno::NOTEMPTY);
            }
            Node::Directory(_) => {}
        }
        let change = self.clear_name(path)?;
        self.named_by.remove(&node);
        // It could only go because these had gone.
        let left = self.left_by.remove(&node).unwrap_or_default();
        self.add_needs(change, left);
        self.left_by.entry(change.0).or_default().push(change);
        Ok(())
    }

    pub(super) fn examine(&self, path: &StorePath) -> Result<EntryKind, Errno> {
        Ok(self.kind(self.find(path)?))
    }

    pub(super) fn list(&self, path: &StorePath) -> Result<Vec<Entry>, Errno> {
        let entries = self.names(path)?;
        match entries.len() > LIST_ENTRIES_MAX {
            true => Err(Errno::OVERFLOW),
            false => Ok(entries),
        }
    }

    fn names(&self, path: &StorePath) -> Result<Vec<Entry>, Errno> {
        let entries = self.directory(self.find(path)?)?.seen.iter();
        let entry = |(name, node): (&String, &NodeId)| Entry {
            name: name.clone().into_bytes(),
            kind: self.kind(*node),
        };
        Ok(entries.map(entry).collect())
    }

    /// The names behind the one that the cursor has, which come in their order.
    pub(super) fn list_page(&self, path: &StorePath, after: &ListCursor) -> Result<Page, Errno> {
        let after: &[u8] = match after {
            ListCursor::Start => b"",
            ListCursor::Name(name) => name,
            ListCursor::Position { .. } => return Err(Errno::STALE),
        };
        let mut entries = self.names(path)?;
        entries.retain(|entry| entry.name.as_slice() > after);
        let has_more = entries.len() > LIST_PAGE_LEN;
        entries.truncate(LIST_PAGE_LEN);
        let last = entries.last().filter(|_| has_more);
        let next = last.map(|last| ListCursor::Name(last.name.clone()));
        Ok((entries, next))
    }

    fn kind(&self, node: NodeId) -> EntryKind {
        match self.nodes[node] {
            Node::File(_) => EntryKind::File,
            Node::Directory(_) => EntryKind::Directory,
        }
    }

    fn find(&self, path: &StorePath) -> Result<NodeId, Errno> {
        let Some(parent) = path.parent() else {
            return Ok(ROOT);
        };
        let directory = self.directory(self.find(&parent)?)?;
        let node = directory.seen.get(last_name(path));
        node.copied().ok_or(Errno::NOENT)
    }

    /// Where a new name goes, if it is one.
    fn place(&self, path: &StorePath) -> Result<(NodeId, String), Errno> {
        let parent = self.find(&path.parent().ok_or(Errno::EXIST)?)?;
        let name = last_name(path);
        if self.directory(parent)?.seen.contains_key(name) {
            return Err(Errno::EXIST);
        }
        Ok((parent, name.to_owned()))
    }

    fn clear_name(&mut self, path: &StorePath) -> Result<(NodeId, ChangeId), Errno> {
        let parent = self.find(&path.parent().ok_or(Errno::BUSY)?)?;
        let change = self.set_name(parent, last_name(path).to_owned(), None);
        Ok((parent, change))
    }

    fn set_name(&mut self, parent: NodeId, name: String, node: Option<NodeId>) -> ChangeId {
        self.changes += 1;
        let id = self.changes;
        if let Some(Node::File(file)) = node.map(|node| &mut self.nodes[node]) {
            file.names += 1;
        }
        let Node::Directory(directory) = &mut self.nodes[parent] else {
            unreachable!("it was found as a directory");
        };
        let before = match node {
            Some(node) => directory.seen.insert(name.clone(), node),
            None => directory.seen.remove(&name),
        };
        directory.unsynced.push(NameChange {
            id,
            name,
            node,
            needs: Vec::new(),
        });
        if let Some(Node::File(file)) = before.map(|node| &mut self.nodes[node]) {
            file.names -= 1;
            if file.names == 0 {
                self.used = self.used.saturating_sub(blocks(file.seen.len()));
            }
        }
        id
    }

    fn add(&mut self, node: Node) -> Result<NodeId, Errno> {
        if num::size(self.nodes.len()) >= self.inodes {
            return Err(Errno::NOSPC);
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn directory(&self, node: NodeId) -> Result<&Directory, Errno> {
        match &self.nodes[node] {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(Errno::NOTDIR),
        }
    }
}

// Bytes.
impl Medium {
    pub(super) fn size(&self, node: NodeId) -> Result<u64, Errno> {
        Ok(num::size(self.file(node)?.seen.len()))
    }

    pub(super) fn read_at(&self, node: NodeId, offset: u64, len: usize) -> Result<&[u8], Errno> {
        let seen = &self.file(node)?.seen;
        let start = num::len(offset).unwrap_or(usize::MAX).min(seen.len());
        let end = start.saturating_add(len).min(seen.len());
        Ok(&seen[start..end])
    }

    pub(super) fn write_at(
        &mut self,
        node: NodeId,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Errno> {
        let offset = num::len(offset).ok_or(Errno::FBIG)?;
        let len = self.file(node)?.seen.len().max(offset + bytes.len());
        self.take_space(node, len)?;
        self.change(
            node,
            Change::Write {
                offset,
                bytes: bytes.to_vec(),
            },
        )
    }

    pub(super) fn allocate(&mut self, node: NodeId, size: u64) -> Result<(), Errno> {
        let len = num::len(size).ok_or(Errno::FBIG)?;
        if len > self.file(node)?.seen.len() {
            self.resize(node, size)?;
        }
        Ok(())
    }

    pub(super) fn resize(&mut self, node: NodeId, size: u64) -> Result<(), Errno> {
        let len = num::len(size).ok_or(Errno::FBIG)?;
        self.take_space(node, len)?;
        self.change(node, Change::Resize { len })
    }

    fn change(&mut self, node: NodeId, change: Change) -> Result<(), Errno> {
        let Node::File(file) = &mut self.nodes[node] else {
            return Err(Errno::ISDIR);
        };
        change.apply(&mut file.seen);
        file.unsynced.push(change);
        Ok(())
    }

    fn take_space(&mut self, node: NodeId, len: usize) -> Result<(), Errno> {
        let before = blocks(self.file(node)?.seen.len());
        let used = self.used.saturating_sub(before) + blocks(len);
        if used > self.capacity && blocks(len) > before {
            return Err(Errno::NOSPC);
        }
        self.used = used;
        Ok(())
    }

    fn file(&self, node: NodeId) -> Result<&File, Errno> {
        match &self.nodes[node] {
            Node::File(file) => Ok(file),
            Node::Directory(_) => Err(Errno::ISDIR),
        }
    }
}

// Syncs.
impl Medium {
    pub(super) fn sync_kind(&self, node: NodeId) -> SyncKind {
        match &self.nodes[node] {
            Node::File(file) if file.in_journal => SyncKind::Journal,
            Node::File(_) => SyncKind::File,
            Node::Directory(_) => SyncKind::Directory,
        }
    }

    /// Makes a file's bytes, or a directory's entries, what a power cut leaves.
    ///
    /// With `losses` some of the writes stay to be seen and never get there, and directories wait
    /// for another sync. A file's sync fails once after a loss, this one's or that of a sync of
    /// everything.
    pub(super) fn sync(&mut self, node: NodeId, losses: Option<&mut Random>) -> Result<(), Errno> {
        self.has_lost |= self.settle(node, losses);
        if let Node::File(file) = &mut self.nodes[node] {
            if std::mem::take(&mut file.has_lost) {
                return Err(Errno::IO);
            }
        }
        Ok(())
    }

    /// Makes a part of a file what a power cut leaves, and the file's size.
    ///
    /// With `losses` some sectors of it are lost, from the disk and to whoever looks: a write past
    /// the page cache leaves nothing there.
    pub(super) fn sync_range(
        &mut self,
        node: NodeId,
        offset: u64,
        size: u64,
        losses: Option<&mut Random>,
    ) -> Result<(), Errno> {
        let start = num::len(offset).ok_or(Errno::FBIG)?;
        let len = num::len(size).ok_or(Errno::FBIG)?;
        match &mut self.nodes[node] {
            Node::File(file) => file.settle_range(start..start + len, losses),
            Node::Directory(_) => return Err(Errno::ISDIR),
        }
        Ok(())
    }

    /// The same for everything; fails once after a loss anywhere.
    pub(super) fn sync_all(&mut self, mut losses: Option<&mut Random>) -> Result<(), Errno> {
        for node in 0..self.nodes.len() {
            self.has_lost |= self.settle(node, losses.as_deref_mut());
        }
        if std::mem::take(&mut self.has_lost) {
            return Err(Errno::IO);
        }
        Ok(())
    }

    /// Returns whether something was lost now.
    fn settle(&mut self, node: NodeId, losses: Option<&mut Random>) -> bool {
        match &mut self.nodes[node] {
            Node::File(file) => file.settle(losses),
            // Directories lose nothing: a file system that loses its own bytes stops.
            Node::Directory(directory) => {
                if losses.is_none() {
                    let changes = directory.unsynced.iter().map(|change| (node, change.id));
                    let changes = changes.collect();
                    self.settle_names(changes);
                }
                false
            }
        }
    }

    /// Brings changes of names over, and all that has to be on the disk before them.
    fn settle_names(&mut self, mut changes: Vec<(NodeId, ChangeId)>) {
        while let Some((parent, change)) = changes.pop() {
            if let Node::Directory(directory) = &mut self.nodes[parent] {
                changes.extend(directory.settle_name(change));
            }
        }
    }
}

fn last_name(path: &StorePath) -> &str {
    let path = path.as_str();
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn blocks(len: usize) -> u64 {
    num::size(len).next_multiple_of(BLOCK)
}

#[cfg(test)]
mod tests {
    use super::super::node::SECTOR;
    use super::*;

    fn made(medium: &mut Medium, path: &str) -> NodeId {
        medium
            .open(&StorePath::new(path), OFlags::CREATE | OFlags::EXCL)
            .unwrap()
    }

    /// What different power cuts leave of the file `a`.
    fn outcomes(medium: &Medium) -> Vec<Option<Vec<u8>>> {
        let mut random = Random::new(1);
        let mut outcomes: Vec<_> = (0..200)
            .map(|_| medium.clone().cut_power(&mut random).files().remove("a"))
            .collect();
        outcomes.sort();
        outcomes.dedup();
        outcomes
    }

    #[test]
    fn an_unsynced_file_may_be_absent_empty_torn_or_whole() {
        let mut medium = Medium::new(1 << 20);
        let node = made(&mut medium, "a");
        medium.write_at(node, 0, &[7; 2 * SECTOR]).unwrap();
        let left = outcomes(&medium);
        let (zero, seven) = ([0; SECTOR], [7; SECTOR]);
        for expected in [
            None,
            Some(vec![]),
            Some([zero, zero].concat()),
            Some([zero, seven].concat()),
            Some([seven, zero].concat()),
            Some([seven, seven].concat()),
        ] {
            assert!(left.contains(&expected));
        }
        assert_eq!(left.len(), 6);
    }

    /// What different power cuts leave of a directory that was moved, and of all other files.
    fn left(medium: &Medium) -> Vec<Vec<String>> {
        let mut random = Random::new(1);
        let cut = |random: &mut Random| {
            let files = medium.clone().cut_power(random).files();
            files.into_keys().collect()
        };
        let mut left: Vec<Vec<String>> = (0..200).map(|_| cut(&mut random)).collect();
        left.sort();
        left.dedup();
        left
    }

    // A file system that loses a directory that was synced, or has it twice, is broken.
    #[test]
    fn a_directory_that_is_moved_has_one_of_its_names_whatever_else_is_lost() {
        let mut medium = Medium::new(1 << 20);
        let path = StorePath::new;
        medium.plant("old/one/bucket/0", b"0");
        medium.make_directory(&path("new")).unwrap();
        medium.make_directory(&path("new/deep")).unwrap();
        let (old, new) = (path("old/one/bucket"), path("new/deep/bucket"));
        medium.replace(&old, &new).unwrap();
        medium.remove_directory(&path("old/one")).unwrap();
        medium.remove_directory(&path("old")).unwrap();
        let expected = [["new/deep/bucket/0"], ["old/one/bucket/0"]];
        assert_eq!(left(&medium), expected);
        // Either of the directories that changed brings all of it over.
        let root = medium.find(&StorePath::root()).unwrap();
        for synced in [medium.find(&path("new/deep")).unwrap(), root] {
            let mut medium = medium.clone();
            medium.sync(synced, None).unwrap();
            assert_eq!(left(&medium), expected[..1]);
        }
        // And back again.
        medium.make_directory(&path("old")).unwrap();
        medium.make_directory(&path("old/one")).unwrap();
        medium.replace(&new, &old).unwrap();
        assert_eq!(left(&medium), expected);
    }

    #[test]
    fn a_directory_gives_way_to_another_only_while_it_is_empty() {
        let mut medium = Medium::new(1 << 20);
        let path = StorePath::new;
        medium.plant("a/0", b"0");
        medium.plant("b/0", b"0");
        medium.plant("file", b"0");
        medium.make_directory(&path("empty")).unwrap();
        let mut replace = |target: &str| medium.replace(&path("a"), &path(target));
        assert_eq!(replace("b"), Err(Errno::NOTEMPTY));
        assert_eq!(replace("file"), Err(Errno::NOTDIR));
        assert_eq!(replace("empty"), Ok(()));
    }

    // A file's name is its directory's, and must be synced there.
    #[test]
    fn a_synced_file_may_still_lose_its_name() {
        let mut medium = Medium::new(1 << 20);
        let node = made(&mut medium, "a");
        medium.write_at(node, 0, b"bytes").unwrap();
        medium.sync(node, None).unwrap();
        assert_eq!(outcomes(&medium), [None, Some(b"bytes".to_vec())]);
        medium.sync(ROOT, None).unwrap();
        assert_eq!(outcomes(&medium), [Some(b"bytes".to_vec())]);
    }

    // Linux marks the pages clean; asking again is answered "all is well".
    #[test]
    fn what_a_failed_sync_lost_no_later_sync_brings_back() {
        let mut medium = Medium::new(1 << 20);
        let node = made(&mut medium, "a");
        medium.sync_all(None).unwrap();
        for offset in 0..64 {
            medium.write_at(node, offset, &[1]).unwrap();
        }
        let losses = &mut Random::new(1);
        assert_eq!(medium.sync(node, Some(losses)), Err(Errno::IO));
        assert_eq!(medium.sync(node, None), Ok(()));
        assert_eq!(
            medium.sync_all(None),
            Err(Errno::IO),
            "it is told too, once"
        );
        assert_eq!(medium.sync_all(None), Ok(()));
        assert_eq!(medium.files()["a"], [1; 64]);
        let left = outcomes(&medium);
        assert_eq!(left.len(), 1);
        assert_ne!(left[0].as_deref(), Some(&[1; 64][..]));
    }

    // Other writes to the file stay what they were: that they are synced too nobody promises.
    #[test]
    fn a_durable_write_brings_over_its_own_bytes_alone() {
        let mut medium = Medium::new(1 << 20);
        let node = made(&mut medium, "a");
        medium.write_at(node, 0, &[1; 4 * SECTOR]).unwrap();
        medium.sync_all(None).unwrap();
        medium.write_at(node, 0, &[2; 4 * SECTOR]).unwrap();
        let (start, len) = (SECTOR as u64, SECTOR as u64);
        medium.write_at(node, start, &[3; SECTOR]).unwrap();
        medium.sync_range(node, start, len, None).unwrap();
        let left = outcomes(&medium);
        assert_eq!(left.len(), 8);
        for bytes in left {
            let bytes = bytes.unwrap();
            for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                let allowed: &[u8] = if index == 1 { &[3] } else { &[1, 2] };
                let is_one_of = |value: &u8| sector.iter().all(|byte| byte == value);
                assert!(allowed.iter().any(is_one_of), "{index}");
            }
        }
    }

    #[test]
    fn a_durable_write_that_failed_is_lost_in_part_to_whoever_looks() {
        let mut medium = Medium::new(1 << 20);
        let node = made(&mut medium, "a");
        medium.write_at(node, 0, &[1; 32 * SECTOR]).unwrap();
        medium.sync_all(None).unwrap();
        medium.write_at(node, 0, &[2; 32 * SECTOR]).unwrap();
        let losses = &mut Random::new(1);
        let size = 32 * SECTOR as u64;
        medium.sync_range(node, 0, size, Some(losses)).unwrap();
        let left = outcomes(&medium);
        assert_eq!(left, [Some(medium.files()["a"].clone())]);
        let bytes = left[0].as_ref().unwrap();
        assert!(bytes.contains(&1) && bytes.contains(&2));
    }

    #[test]
    fn space_is_taken_by_blocks_and_given_back() {
        let mut medium = Medium::new(2 * BLOCK);
        let node = made(&mut medium, "a");
        medium.write_at(node, 0, &[0; 4097]).unwrap();
        assert_eq!(medium.space().free, 0);
        let other = made(&mut medium, "b");
        assert_eq!(medium.write_at(other, 0, &[0]), Err(Errno::NOSPC));
        medium.unlink(&StorePath::new("a")).unwrap();
        medium.write_at(other, 0, &[0]).unwrap();
        assert_eq!(medium.space().free, BLOCK);
    }
}
