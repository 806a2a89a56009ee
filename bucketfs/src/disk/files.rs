//! The files an engine keeps open across operations, by the slots the store gave them.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::{FileId, Operation};

/// The table of open files.
#[derive(Debug, Default)]
pub(crate) struct Files {
    slots: Vec<Option<Kept>>,
}

/// A file kept open across operations.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) file: Arc<OwnedFd>,
    /// Whether it is written past the page cache.
    pub(crate) is_direct: bool,
}

/// What an operation needs of the table when it begins.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The open file it names.
    pub(crate) kept: Option<Kept>,
    /// The file it is to close.
    pub(crate) current: Option<OwnedFd>,
}

impl Files {
    /// Gives an operation the file it names. A file to be closed leaves the table.
    pub(crate) fn take(&mut self, operation: &Operation) -> Taken {
        match operation {
            Operation::WriteAt { file, .. }
            | Operation::WriteBlocks { file, .. }
            | Operation::Finish { file, .. }
            | Operation::SyncFile { file }
            | Operation::Append { file, .. }
            | Operation::Copy { file, .. } => Taken {
                kept: Some(self.slot(*file).clone().expect(OPEN)),
                current: None,
            },
            Operation::Close { file } => {
                let kept = self.slot(*file).take().expect(OPEN);
                let file = Arc::into_inner(kept.file);
                Taken {
                    kept: None,
                    current: Some(file.expect("the store closes a file after its last write")),
                }
            }
            _ => Taken::default(),
        }
    }

    /// Puts the file that an operation opened into its slot.
    pub(crate) fn put(&mut self, operation: &Operation, current: Option<OwnedFd>) {
        let (Operation::Open { file, .. }, Some(current)) = (operation, current) else {
            return;
        };
        let slot = self.slot(*file);
        assert!(slot.is_none(), "the store opens into a free slot");
        // What was asked for may not have been had.
        let flags = rustix::fs::fcntl_getfl(&current);
        *slot = Some(Kept {
            file: Arc::new(current),
            is_direct: flags.is_ok_and(|flags| flags.contains(OFlags::DIRECT)),
        });
    }

    fn slot(&mut self, file: FileId) -> &mut Option<Kept> {
        let index = usize::from(file.0);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        &mut self.slots[index]
    }
}

const OPEN: &str = "the store names files that are open";
