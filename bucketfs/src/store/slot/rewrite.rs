//! A larger share's container, made anew in incoming of the old one and the spool.

use bytes::Bytes;
use lafs::ShareNumber;

use super::draft::Draft;
use super::prepare::Prepare;
use super::{Change, Flight};
use crate::container::mutable::{Content, Source};
use crate::disk::{CopyRange, FileId, OpenMode, Operation, StorePath};
use crate::durable::BytesDurable;
use crate::error::Refusal;
use crate::store::{Store, Task};

/// A container on its way in incoming.
#[derive(Debug)]
pub(in crate::store) struct Rewrite {
    pub(super) share: ShareNumber,
    pub(super) file: FileId,
    pub(super) path: StorePath,
    pub(super) serial: u64,
    /// What is still to be copied from where.
    copies: Vec<(StorePath, Vec<CopyRange>)>,
    /// What is still to be written.
    writes: Vec<(u64, Bytes)>,
}

impl Store {
    pub(in crate::store) fn rewrite(&mut self, change: Box<Change>, draft: Box<Draft>) {
        let Some(file) = self.slots.free_files.pop() else {
            return self.slots.line.push_back(Task::Rewrite(change, draft));
        };
        let path = self.next_incoming();
        let old = self.layout.share(change.key(draft.share));
        let mut rewrite = Rewrite {
            share: draft.share,
            file,
            path: path.clone(),
            serial: self.serial,
            copies: Vec::new(),
            writes: Vec::new(),
        };
        let header = draft.header.encode(draft.image.sizes(), &draft.leases);
        let extra = draft.leases.encode_extra();
        rewrite
            .writes
            .push((draft.image.sizes().extra, extra.into()));
        rewrite.writes.push((0, Bytes::copy_from_slice(&header)));
        let (mut kept, mut spooled) = (Vec::new(), Vec::new());
        for (to, piece) in draft.image.pieces() {
            let size = piece.size;
            let range = |from| CopyRange { from, to, size };
            match &piece.source {
                Source::Old => kept.push(range(to)),
                // What is not written of a new file is zero.
                Source::Zeros => {}
                Source::New(Content::Bytes(bytes)) => rewrite.writes.push((to, bytes.clone())),
                Source::New(Content::Spooled { offset, .. }) => spooled.push(range(*offset)),
            }
        }
        if !kept.is_empty() {
            rewrite.copies.push((old, kept));
        }
        if !spooled.is_empty() {
            let spool = change.spool.clone();
            let spool = spool.expect("its size was compared with what is of it");
            rewrite.copies.push((spool, spooled));
        }
        let mode = OpenMode::New;
        let operation = Operation::Open { file, path, mode };
        self.start_change(Flight::Prepare(change, Prepare::Open(rewrite)), operation);
    }

    pub(super) fn rewrite_on(&mut self, change: Box<Change>, mut rewrite: Rewrite) {
        let file = rewrite.file;
        let operation = if let Some((source, ranges)) = rewrite.copies.pop() {
            Operation::Copy {
                source,
                file,
                ranges,
            }
        } else if let Some((offset, bytes)) = rewrite.writes.pop() {
            Operation::WriteAt {
                file,
                offset,
                bytes,
            }
        } else if let Some(waiver) = self.waiver() {
            return self.close_rewrite(change, rewrite, BytesDurable::waived(waiver));
        } else {
            let flight = Flight::Prepare(change, Prepare::Sync(rewrite));
            return self.start_change(flight, Operation::SyncFile { file });
        };
        let flight = Flight::Prepare(change, Prepare::Write(rewrite));
        self.start_change(flight, operation);
    }

    pub(super) fn close_rewrite(
        &mut self,
        change: Box<Change>,
        rewrite: Rewrite,
        bytes: BytesDurable,
    ) {
        let file = rewrite.file;
        let flight = Flight::Prepare(change, Prepare::Close(rewrite, bytes));
        self.start_change(flight, Operation::Close { file });
    }

    pub(super) fn abandon(&mut self, change: Box<Change>, rewrite: Rewrite, refusal: Refusal) {
        tracing::warn!(path = %rewrite.path, %refusal, "cannot write a slot's share anew");
        let file = rewrite.file;
        let flight = Flight::Prepare(change, Prepare::Abandoned(rewrite, refusal));
        self.start_change(flight, Operation::Close { file });
    }

    pub(super) fn free_file(&mut self, file: FileId) {
        self.slots.free_files.push(file);
        self.runnable.extend(self.slots.line.pop_front());
    }
}
