//! The end of an upload: closed, aborted, left alone, or grown too old.

use super::{Flight, Handle, Queued, State, Upload};
use crate::disk::Operation;
use crate::error::Refusal;
use crate::store::{Answer, Flight as StoreFlight, Limits, RequestId, Store, Task, close};

impl Store {
    pub(in crate::store) fn close(&mut self, upload: RequestId, request: RequestId, size: u64) {
        let index = match self.uploads.handles.get_mut(&upload) {
            None => return self.refuse(request, Refusal::UnknownUpload),
            Some(Handle::Opening(queued)) => return queued.push(Queued::Close(request, size)),
            Some(Handle::Open(index)) => *index,
        };
        self.uploads.handles.remove(&upload);
        let upload = &mut self.uploads.table[index];
        upload.owner = None;
        let written = upload.accepted;
        let announced = upload.size.unwrap_or(size);
        let refusal = match &upload.failure {
            Some(failure) => Some(failure.clone()),
            None if size != written || size != announced => Some(Refusal::WrongSize { written }),
            None => None,
        };
        if let Some(refusal) = refusal {
            self.refuse(request, refusal);
            return self.end_upload(index, None);
        }
        upload.state = State::Closing(None);
        let key = upload.key;
        let closing = close::Closing::new(request, index, key, size);
        self.acquire(key, Task::Close(closing));
    }

    pub(in crate::store) fn close_locked(&mut self, closing: close::Closing) {
        let index = closing.upload();
        let upload = &mut self.uploads.table[index];
        upload.state = State::Closing(Some(closing));
        self.go_on_if_written(index);
    }

    pub(in crate::store) fn abort(&mut self, upload: RequestId, request: RequestId) {
        match self.uploads.handles.get_mut(&upload) {
            None => self.refuse(request, Refusal::UnknownUpload),
            Some(Handle::Opening(queued)) => queued.push(Queued::Abort(request)),
            Some(Handle::Open(index)) => {
                let index = *index;
                self.end_upload(index, Some(request));
            }
        }
    }

    pub(in crate::store) fn detach(&mut self, upload: RequestId, request: RequestId) {
        match self.uploads.handles.get_mut(&upload) {
            Some(Handle::Opening(queued)) => return queued.push(Queued::Detach(request)),
            Some(Handle::Open(index)) => self.uploads.table[*index].owner = None,
            None => {}
        }
        self.uploads.handles.remove(&upload);
        self.answer(request, Answer::Detached);
    }

    /// Gives an upload up. Its share may be uploaded anew at once, in another file.
    pub(in crate::store) fn end_upload(&mut self, index: usize, tell: Option<RequestId>) {
        let upload = &mut self.uploads.table[index];
        if let Some(owner) = upload.owner.take() {
            self.uploads.handles.remove(&owner);
        }
        self.uploads.by_key.remove(&upload.key);
        self.space.cancel(std::mem::take(&mut upload.promised));
        upload.state = State::Ending(tell);
        self.go_on_if_written(index);
    }

    /// Takes an upload out that has become a share, its file closed.
    pub(in crate::store) fn upload_finished(&mut self, index: usize) -> Upload {
        let upload = self.uploads.table.remove(index);
        self.uploads.by_key.remove(&upload.key);
        self.uploads.free_files.push(upload.file);
        self.space.cancel(upload.promised);
        upload
    }

    pub(in crate::store) fn end_all_uploads(&mut self) {
        self.end_uploads(|_| true);
    }

    pub(in crate::store) fn expire_uploads(&mut self) {
        let now = self.now.elapsed;
        self.end_uploads(|upload| now >= upload.touched + Limits::UPLOAD_IDLE);
        let writing = self.uploads.table.iter().map(|(_, upload)| upload);
        let writing = writing.filter(|upload| matches!(upload.state, State::Writing));
        let next = writing.map(|upload| upload.touched + Limits::UPLOAD_IDLE);
        self.uploads.next_expiry = next.min();
    }

    fn end_uploads(&mut self, which: impl Fn(&Upload) -> bool) {
        let ends = |upload: &Upload| matches!(upload.state, State::Writing) && which(upload);
        let table = self.uploads.table.iter();
        let indexes: Vec<_> = table
            .filter_map(|(index, upload)| ends(upload).then_some(index))
            .collect();
        for index in indexes {
            self.end_upload(index, None);
        }
    }

    /// Takes up what waited for the last write to end.
    pub(super) fn go_on_if_written(&mut self, index: usize) {
        let upload = &mut self.uploads.table[index];
        if upload.writing > 0 {
            return;
        }
        match &mut upload.state {
            State::Writing => {}
            State::Closing(closing) => {
                if let Some(closing) = closing.take() {
                    self.close_written(closing);
                }
            }
            State::Ending(_) => {
                let operation = Operation::Close { file: upload.file };
                let flight = Flight::Closed(index);
                self.start(StoreFlight::Upload(flight), operation);
            }
        }
    }
}
