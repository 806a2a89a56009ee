//! The end of an upload: closed, aborted, left alone, or grown too old.

use super::{Handle, Queued, State, Step, Upload, Uploads, Waiting, Way, waiter};
use crate::disk::Operation;
use crate::limits;
use crate::refusal::{AbortRefusal, CloseRefusal};
use crate::request::{AbortUpload, CloseUpload, DetachUpload, RequestId};
use crate::store::context::Context;
use crate::store::reply::Asker;

impl Uploads {
    pub(in crate::store) fn close(
        &mut self,
        cx: &mut Context,
        asker: Asker<CloseUpload>,
        upload: RequestId,
        size: u64,
    ) {
        let index = match self.handles.get_mut(&upload) {
            None => return cx.refuse(asker, CloseRefusal::UnknownUpload),
            Some(Handle::Opening(queued)) => return queued.push(Queued::Close(asker, size)),
            Some(Handle::Open(index)) => *index,
        };
        self.handles.remove(&upload);
        let upload = &mut self.table[index];
        upload.owner = None;
        let written = upload.accepted;
        let announced = upload.size.unwrap_or(size);
        let refusal = match upload.failure {
            Some(failure) => Some(failure.into()),
            None if size != written || size != announced => {
                Some(CloseRefusal::WrongSize { written })
            }
            None => None,
        };
        if let Some(refusal) = refusal {
            cx.refuse(asker, refusal);
            return self.give_up(cx, index, None);
        }
        upload.state = State::Closing(None);
        let key = upload.key;
        let waiting = Waiting::Close(asker, index, size);
        cx.acquire(key, waiter(self.waiting.insert(waiting)));
    }

    pub(in crate::store) fn abort(
        &mut self,
        cx: &mut Context,
        asker: Asker<AbortUpload>,
        upload: RequestId,
    ) {
        match self.handles.get_mut(&upload) {
            None => cx.refuse(asker, AbortRefusal::UnknownUpload),
            Some(Handle::Opening(queued)) => queued.push(Queued::Abort(asker)),
            Some(Handle::Open(index)) => {
                let index = *index;
                self.give_up(cx, index, Some(asker));
            }
        }
    }

    pub(in crate::store) fn detach(
        &mut self,
        cx: &mut Context,
        asker: Asker<DetachUpload>,
        upload: RequestId,
    ) {
        match self.handles.get_mut(&upload) {
            Some(Handle::Opening(queued)) => return queued.push(Queued::Detach(asker)),
            Some(Handle::Open(index)) => {
                let index = *index;
                self.table[index].owner = None;
                // It may be left alone for long.
                self.ungather(cx, index);
            }
            None => {}
        }
        self.handles.remove(&upload);
        cx.tell(asker, ());
    }

    pub(in crate::store) fn give_all_up(&mut self, cx: &mut Context) {
        self.give_up_those(cx, |_| true);
    }

    pub(in crate::store) fn expire(&mut self, cx: &mut Context) {
        let now = cx.elapsed();
        self.give_up_those(cx, |upload| now >= upload.touched + limits::UPLOAD_IDLE);
        let writing = self.table.iter().map(|(_, upload)| upload);
        let writing = writing.filter(|upload| matches!(upload.state, State::Writing));
        let next = writing.map(|upload| upload.touched + limits::UPLOAD_IDLE);
        self.next_expiry = next.min();
    }

    fn give_up_those(&mut self, cx: &mut Context, which: impl Fn(&Upload) -> bool) {
        let ends = |upload: &Upload| matches!(upload.state, State::Writing) && which(upload);
        let table = self.table.iter();
        let indexes: Vec<_> = table
            .filter_map(|(index, upload)| ends(upload).then_some(index))
            .collect();
        for index in indexes {
            self.give_up(cx, index, None);
        }
    }

    /// Gives an upload up. Its share may be uploaded anew at once, in another file.
    pub(super) fn give_up(
        &mut self,
        cx: &mut Context,
        index: usize,
        tell: Option<Asker<AbortUpload>>,
    ) {
        let upload = &mut self.table[index];
        if let Some(owner) = upload.owner.take() {
            self.handles.remove(&owner);
        }
        self.by_key.remove(&upload.key);
        cx.end_progress(upload.key);
        cx.cancel(std::mem::take(&mut upload.promised));
        cx.cancel(std::mem::take(&mut upload.unwritten));
        // With these buffers nothing more is to be done.
        for (asker, _) in std::mem::take(&mut upload.queue) {
            match upload.failure {
                Some(failure) => cx.refuse(asker, failure),
                None => cx.tell(asker, ()),
            }
        }
        upload.state = State::Ending(tell);
        self.continue_if_written(cx, index);
    }

    /// Takes an upload out that has become a share, its file closed.
    pub(super) fn finished(&mut self, cx: &mut Context, index: usize) -> Upload {
        let upload = self.remove(index);
        self.by_key.remove(&upload.key);
        cx.end_progress(upload.key);
        self.free_files.push(upload.file);
        cx.cancel(upload.promised);
        upload
    }

    /// An upload that does not gather any more needs no seat.
    pub(super) fn leave_seat(&mut self, index: usize) {
        let way = &mut self.table[index].way;
        if let Way::Gather(gather) | Way::Ungather(gather) = std::mem::replace(way, Way::Through) {
            self.seats.give_back(gather);
        }
    }

    /// Takes an upload out of the table; nothing of it is being written.
    pub(super) fn remove(&mut self, index: usize) -> Upload {
        self.leave_seat(index);
        let upload = self.table.remove(index);
        if self.table.is_empty() {
            self.seats.rest();
        }
        upload
    }

    /// Takes up what waited for the last write to end.
    pub(super) fn continue_if_written(&mut self, cx: &mut Context, index: usize) {
        let upload = &mut self.table[index];
        if upload.writing > 0 {
            return;
        }
        let is_over = upload.failure.is_some() || matches!(upload.state, State::Ending(_));
        if matches!(upload.way, Way::Ungather(_)) && !is_over {
            return self.write_gathered(cx, index);
        }
        match &mut upload.state {
            State::Writing => {}
            State::Closing(closing) => {
                if let Some(closing) = closing.take() {
                    self.all_written(cx, closing);
                }
            }
            State::Ending(_) => {
                let operation = Operation::Close { file: upload.file };
                self.start(cx, Step::Closed(index), operation);
            }
        }
    }
}
