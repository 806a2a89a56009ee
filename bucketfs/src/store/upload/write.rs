//! The bytes of an upload, front to back.

use lafs::num;

use super::{Handle, Queued, Step, Upload, Uploads, Writing};
use crate::container::HEADER_SIZE;
use crate::disk::{Completion, Operation};
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
        upload.writing += 1;
        let operation = Operation::WriteAt {
            file: upload.file,
            offset: HEADER_SIZE + writing.offset,
            bytes: writing.bytes,
        };
        self.start(cx, Step::Write(index, writing.asker, size), operation);
        cx.measure_space_if_due();
    }

    pub(super) fn written(
        &mut self,
        cx: &mut Context,
        index: usize,
        asker: Asker<WriteUpload>,
        size: u64,
        completion: &Completion,
    ) {
        cx.keep(size);
        let upload = &mut self.table[index];
        upload.writing -= 1;
        match completion.result {
            Ok(_) => cx.tell(asker, ()),
            Err(error) => {
                let path = &upload.incoming;
                tracing::warn!(%path, %error, "cannot write to an upload");
                let refusal = unwritable(error);
                upload.failure = Some(refusal);
                cx.refuse(asker, refusal);
            }
        }
        self.continue_if_written(cx, index);
    }
}

impl Upload {
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
