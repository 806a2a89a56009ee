//! A larger share's container, made anew in incoming of the old one and the spool.

use bytes::Bytes;
use lafs::ShareNumber;

use super::commit::Revision;
use super::draft::Draft;
use super::{Change, Slots, Step, refuse};
use crate::container::mutable::{Content, Source};
use crate::disk::{Completion, CopyRange, FileId, OpenMode, Operation, StorePath};
use crate::durable::BytesDurable;
use crate::layout;
use crate::refusal::Unwritable;
use crate::store::context::{Context, unwritable};

/// A container on its way in incoming.
#[derive(Debug)]
pub(super) struct Rewrite {
    share: ShareNumber,
    file: FileId,
    path: StorePath,
    serial: u64,
    /// The size that the file will have.
    size: u64,
    /// What is still to be copied from where.
    copies: Vec<(StorePath, Vec<CopyRange>)>,
    /// What is still to be written.
    writes: Vec<(u64, Bytes)>,
}

/// What is under way for it.
#[derive(Debug)]
pub(super) enum Rewriting {
    Open(Rewrite),
    Write(Rewrite),
    Sync(Rewrite),
    Close(Rewrite, BytesDurable),
    /// The file of a share that is given up, for this reason, is being closed.
    Abandoned(Rewrite, Unwritable),
}

impl Slots {
    pub(super) fn rewrite(&mut self, cx: &mut Context, change: Box<Change>, draft: Box<Draft>) {
        let Some(file) = self.free_files.pop() else {
            return self.in_line.push_back((change, draft));
        };
        let serial = cx.next_serial();
        let path = layout::incoming(serial);
        let old = cx.place(change.key(draft.share));
        let mut rewrite = Rewrite {
            share: draft.share,
            file,
            path: path.clone(),
            serial,
            size: draft.image.file_size(&draft.leases),
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
        self.start(
            cx,
            Step::Rewrite(change, Rewriting::Open(rewrite)),
            operation,
        );
    }

    pub(super) fn rewritten(
        &mut self,
        cx: &mut Context,
        mut change: Box<Change>,
        rewriting: Rewriting,
        completion: &Completion,
    ) {
        let failure = completion.result.as_ref().err().copied();
        match (rewriting, failure) {
            (Rewriting::Open(rewrite) | Rewriting::Write(rewrite), None) => {
                self.rewrite_on(cx, change, rewrite);
            }
            (Rewriting::Open(rewrite), Some(error)) => {
                self.free_file(cx, rewrite.file);
                refuse(cx, *change, unwritable(error));
            }
            (Rewriting::Write(rewrite), Some(error)) => {
                self.abandon(cx, change, rewrite, unwritable(error));
            }
            (Rewriting::Sync(rewrite), _) => match BytesDurable::synced(completion) {
                Ok(bytes) => self.close_rewrite(cx, change, rewrite, bytes),
                Err(error) => self.abandon(cx, change, rewrite, Unwritable::Disk(error)),
            },
            (Rewriting::Close(rewrite, _), Some(error)) => {
                self.free_file(cx, rewrite.file);
                cx.clean_up(rewrite.path);
                refuse(cx, *change, unwritable(error));
            }
            (Rewriting::Close(rewrite, bytes), None) => {
                self.free_file(cx, rewrite.file);
                change.bytes = Some(match change.bytes.take() {
                    Some(others) => others.and(bytes),
                    None => bytes,
                });
                let revision = Revision::Replace {
                    key: change.key(rewrite.share),
                    before: change.file_size(rewrite.share),
                    after: rewrite.size,
                    serial: rewrite.serial,
                };
                self.revised(cx, change, revision);
            }
            (Rewriting::Abandoned(rewrite, refusal), _) => {
                self.free_file(cx, rewrite.file);
                cx.clean_up(rewrite.path);
                refuse(cx, *change, refusal);
            }
        }
    }

    fn rewrite_on(&mut self, cx: &mut Context, change: Box<Change>, mut rewrite: Rewrite) {
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
        } else if let Some(waiver) = cx.waiver() {
            return self.close_rewrite(cx, change, rewrite, BytesDurable::waived(waiver));
        } else {
            let step = Step::Rewrite(change, Rewriting::Sync(rewrite));
            return self.start(cx, step, Operation::SyncFile { file });
        };
        let step = Step::Rewrite(change, Rewriting::Write(rewrite));
        self.start(cx, step, operation);
    }

    fn close_rewrite(
        &mut self,
        cx: &mut Context,
        change: Box<Change>,
        rewrite: Rewrite,
        bytes: BytesDurable,
    ) {
        let file = rewrite.file;
        let step = Step::Rewrite(change, Rewriting::Close(rewrite, bytes));
        self.start(cx, step, Operation::Close { file });
    }

    fn abandon(
        &mut self,
        cx: &mut Context,
        change: Box<Change>,
        rewrite: Rewrite,
        refusal: Unwritable,
    ) {
        tracing::warn!(path = %rewrite.path, %refusal, "cannot write a slot's share anew");
        let file = rewrite.file;
        let step = Step::Rewrite(change, Rewriting::Abandoned(rewrite, refusal));
        self.start(cx, step, Operation::Close { file });
    }

    fn free_file(&mut self, cx: &mut Context, file: FileId) {
        self.free_files.push(file);
        if let Some((change, draft)) = self.in_line.pop_front() {
            self.rewrite(cx, change, draft);
        }
    }
}
