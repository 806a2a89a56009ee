//! The bytes of an upload, front to back.

use lafs::num;

use super::{Flight, Handle, Queued, Upload, Write};
use crate::container::HEADER_SIZE;
use crate::disk::{Completion, Operation};
use crate::error::Refusal;
use crate::store::{Answer, Flight as StoreFlight, Limits, RequestId, Store, refusal};

impl Store {
    pub(in crate::store) fn write(&mut self, upload: RequestId, write: Write) {
        let index = match self.uploads.handles.get_mut(&upload) {
            None => return self.refuse(write.request, Refusal::UnknownUpload),
            Some(Handle::Opening(queued)) => return queued.push(Queued::Write(write)),
            Some(Handle::Open(index)) => *index,
        };
        let size = num::size(write.bytes.len());
        let upload = &mut self.uploads.table[index];
        upload.touched = self.now.elapsed;
        if let Err(refusal) = upload.check_write(&write) {
            return self.refuse(write.request, refusal);
        }
        if size == 0 {
            return self.answer(write.request, Answer::Written);
        }
        // Of an announced size everything is promised already.
        let more = size.saturating_sub(upload.promised);
        if !self.space.promise(more) {
            upload.failure = Some(Refusal::Full);
            return self.refuse(write.request, Refusal::Full);
        }
        upload.promised = upload.promised - size.min(upload.promised);
        upload.accepted += size;
        upload.writing += 1;
        let operation = Operation::WriteAt {
            file: upload.file,
            offset: HEADER_SIZE + write.offset,
            bytes: write.bytes,
        };
        let flight = Flight::Write(index, write.request, size);
        self.start(StoreFlight::Upload(flight), operation);
        self.measure_space_if_due();
    }

    pub(super) fn written(
        &mut self,
        index: usize,
        request: RequestId,
        size: u64,
        completion: &Completion,
    ) {
        self.space.keep(size);
        let upload = &mut self.uploads.table[index];
        upload.writing -= 1;
        match completion.result {
            Ok(_) => self.answer(request, Answer::Written),
            Err(error) => {
                let path = &upload.incoming;
                tracing::warn!(%path, %error, "cannot write to an upload");
                let refusal = refusal(error);
                upload.failure = Some(refusal.clone());
                self.refuse(request, refusal);
            }
        }
        self.go_on_if_written(index);
    }
}

impl Upload {
    fn check_write(&self, write: &Write) -> Result<(), Refusal> {
        let size = num::size(write.bytes.len());
        let end = self.accepted.saturating_add(size);
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if write.offset != self.accepted {
            let expected = self.accepted;
            return Err(Refusal::Gap { expected });
        }
        if write.bytes.len() > Limits::WRITE_LEN {
            let limit = num::size(Limits::WRITE_LEN);
            return Err(Refusal::TooLarge { limit });
        }
        let limit = self.size.unwrap_or(Limits::SHARE_SIZE);
        if end > limit {
            return Err(Refusal::TooLarge { limit });
        }
        Ok(())
    }
}
