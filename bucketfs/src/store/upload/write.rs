//! The bytes of an upload, front to back.

use bytes::Buf;
use lafs::num;

use super::gather::End;
use super::{Handle, Queued, Step, Upload, Uploads, Way, Writing};
use crate::container::HEADER_SIZE;
use crate::disk::{Completion, Operation};
use crate::error::DiskError;
use crate::limits;
use crate::refusal::{Unwritable, WriteRefusal};
use crate::request::{RequestId, WriteUpload};
use crate::store::context::{Context, unwritable};
use crate::store::reply::Asker;

impl Uploads {
    pub(in crate::store) fn write_next(
        &mut self,
        cx: &mut Context,
        asker: Asker<WriteUpload>,
        write: WriteUpload,
    ) {
        let writing = Writing {
            asker,
            offset: write.offset,
            bytes: write.bytes,
        };
        self.write(cx, write.upload, writing);
    }

    pub(super) fn write(&mut self, cx: &mut Context, upload: RequestId, writing: Writing) {
        let index = match self.handles.get_mut(&upload) {
            None => return cx.refuse(writing.asker, WriteRefusal::UnknownUpload),
            Some(Handle::Opening(queued)) => return queued.push(Queued::Write(writing)),
            Some(Handle::Open(index)) => *index,
        };
        let size = num::size(writing.bytes.len());
        let upload = &mut self.table[index];
        upload.touched = cx.elapsed();
        if let Err(refusal) = upload.check(&writing) {
            return cx.refuse(writing.asker, refusal);
        }
        if size == 0 {
            return cx.tell(writing.asker, ());
        }
        // Of an announced size everything is promised already.
        let more = size.saturating_sub(upload.promised);
        if !cx.promise(more) {
            upload.failure = Some(Unwritable::Full);
            return cx.refuse(writing.asker, Unwritable::Full);
        }
        upload.promised = upload.promised - size.min(upload.promised);
        upload.accepted += size;
        upload.unwritten += size;
        upload.queue.push_back((writing.asker, writing.bytes));
        self.write_queue(cx, index);
        cx.measure_space_if_due();
    }

    /// Brings as much of the queue on its way as can be now.
    fn write_queue(&mut self, cx: &mut Context, index: usize) {
        loop {
            let upload = &mut self.table[index];
            let Some((_, bytes)) = upload.queue.front_mut() else {
                return;
            };
            match &mut upload.way {
                Way::Gather(gather) => {
                    let taken = gather.fill(&mut self.seats, bytes);
                    if taken == 0 {
                        return;
                    }
                    bytes.advance(taken);
                    if bytes.is_empty() {
                        let (asker, _) = upload.queue.pop_front().expect("it is the first");
                        cx.tell(asker, ());
                    }
                    self.write_blocks(cx, index);
                }
                Way::Ungather(_) => return,
                Way::Through => {
                    let offset = upload.accepted - upload.queued();
                    let (asker, bytes) = upload.queue.pop_front().expect("it is the first");
                    let size = num::size(bytes.len());
                    upload.unwritten -= size;
                    upload.writing += 1;
                    let operation = Operation::WriteAt {
                        file: upload.file,
                        offset: HEADER_SIZE + offset,
                        bytes,
                    };
                    self.start(cx, Step::Write(index, asker, size), operation);
                }
            }
        }
    }

    /// Has a buffer written, if it is full.
    fn write_blocks(&mut self, cx: &mut Context, index: usize) {
        let upload = &mut self.table[index];
        let Way::Gather(gather) = &mut upload.way else {
            return;
        };
        let Some((offset, bytes)) = gather.full() else {
            return;
        };
        let size = share_bytes(offset, bytes.len());
        upload.unwritten -= size;
        upload.writing += 1;
        let operation = Operation::WriteBlocks {
            file: upload.file,
            offset,
            bytes,
        };
        self.start(cx, Step::Blocks(index, size), operation);
    }

    pub(super) fn blocks_written(
        &mut self,
        cx: &mut Context,
        index: usize,
        size: u64,
        completion: Completion,
    ) {
        cx.grow(size);
        let upload = &mut self.table[index];
        upload.written += size;
        upload.writing -= 1;
        if let Way::Gather(gather) | Way::Ungather(gather) = &mut upload.way {
            gather.written();
        }
        if let Operation::WriteBlocks { bytes, .. } = completion.operation {
            self.seats.keep(bytes);
        }
        match completion.result {
            Ok(_) => self.write_queue(cx, index),
            Err(error) => self.write_failed(cx, index, error),
        }
        self.continue_if_written(cx, index);
    }

    /// Has an upload written through the page cache from now on, if it gathers: its memory is needed
    /// by those that are written to.
    pub(super) fn ungather(&mut self, cx: &mut Context, index: usize) {
        let upload = &mut self.table[index];
        upload.way = match std::mem::replace(&mut upload.way, Way::Through) {
            Way::Gather(gather) => Way::Ungather(gather),
            way => way,
        };
        self.continue_if_written(cx, index);
    }

    /// Writes what was gathered so far; nothing else is being written.
    pub(super) fn write_gathered(&mut self, cx: &mut Context, index: usize) {
        let upload = &mut self.table[index];
        let Way::Ungather(gather) = &mut upload.way else {
            return;
        };
        let End {
            blocks,
            offset,
            rest,
            ..
        } = gather.end(None);
        let size = upload.unwritten - upload.queued();
        upload.unwritten -= size;
        upload.writing += 1;
        let operation = Operation::Finish {
            file: upload.file,
            blocks,
            writes: vec![(offset, rest.into())],
            sync: false,
        };
        self.start(cx, Step::Gathered(index, size), operation);
    }

    pub(super) fn gathered_written(
        &mut self,
        cx: &mut Context,
        index: usize,
        size: u64,
        completion: Completion,
    ) {
        cx.grow(size);
        self.keep_buffer(completion.operation);
        let upload = &mut self.table[index];
        upload.written += size;
        upload.writing -= 1;
        match completion.result {
            Ok(_) => {
                self.leave_seat(index);
                self.write_queue(cx, index);
            }
            Err(error) => self.write_failed(cx, index, error),
        }
        self.continue_if_written(cx, index);
    }

    /// Takes back the buffer that came with the end of what was gathered.
    pub(super) fn keep_buffer(&mut self, operation: Operation) {
        if let Operation::Finish {
            blocks: Some((_, buffer)),
            ..
        } = operation
        {
            self.seats.keep(buffer);
        }
    }

    fn write_failed(&mut self, cx: &mut Context, index: usize, error: DiskError) {
        let upload = &mut self.table[index];
        let path = &upload.incoming;
        tracing::warn!(%path, %error, "cannot write to an upload");
        let refusal = unwritable(error);
        upload.failure = Some(refusal);
        for (asker, _) in std::mem::take(&mut upload.queue) {
            cx.refuse(asker, refusal);
        }
    }

    pub(super) fn written(
        &mut self,
        cx: &mut Context,
        index: usize,
        asker: Asker<WriteUpload>,
        size: u64,
        completion: &Completion,
    ) {
        cx.grow(size);
        let upload = &mut self.table[index];
        upload.written += size;
        upload.writing -= 1;
        match completion.result {
            Ok(_) => cx.tell(asker, ()),
            Err(error) => {
                cx.refuse(asker, unwritable(error));
                self.write_failed(cx, index, error);
            }
        }
        self.continue_if_written(cx, index);
    }
}

/// How many bytes of the share a part of its file has.
fn share_bytes(offset: u64, len: usize) -> u64 {
    let header = match offset {
        0 => HEADER_SIZE,
        _ => 0,
    };
    num::size(len) - header
}

impl Upload {
    /// How many bytes are not even gathered.
    fn queued(&self) -> u64 {
        self.queue
            .iter()
            .map(|(_, bytes)| num::size(bytes.len()))
            .sum()
    }

    fn check(&self, writing: &Writing) -> Result<(), WriteRefusal> {
        let size = num::size(writing.bytes.len());
        let end = self.accepted.saturating_add(size);
        if let Some(failure) = self.failure {
            return Err(failure.into());
        }
        if writing.offset != self.accepted {
            let expected = self.accepted;
            return Err(WriteRefusal::Gap { expected });
        }
        if writing.bytes.len() > limits::WRITE_LEN {
            let limit = limits::write_size();
            return Err(WriteRefusal::TooLarge { limit });
        }
        let limit = self.size.unwrap_or(limits::SHARE_SIZE);
        if end > limit {
            return Err(WriteRefusal::TooLarge { limit });
        }
        Ok(())
    }
}
