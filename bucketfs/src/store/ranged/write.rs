//! One write: compared with what is there, the rest of it written, accounted for in the ticket.
//!
//! ```text
//! create (first write) -> read what overlaps -> write the rest, then the ticket -> answered
//! ```
//!
//! A write that leaves nothing missing is not made here but together with header and lease, in
//! `seal`.

use bytes::Bytes;
use lafs::num;

use super::{Growing, RangedUploads, Step, Waiting, waiter};
use crate::container::HEADER_SIZE;
use crate::disk::{ByteRange, Completion, Existing, Operation, Outcome};
use crate::layout::{self, ShareKey};
use crate::limits;
use crate::refusal::{Unwritable, WriteRangeRefusal};
use crate::request::WriteRange;
use crate::store::context::{Context, unwritable};
use crate::store::reply::{Asker, Missing};
use crate::ticket::Ranges;

/// A range on its way.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) asker: Asker<WriteRange>,
    pub(super) key: ShareKey,
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

impl Write {
    /// Where it ends; it lies within the share, which was compared when it came.
    fn end(&self) -> u64 {
        self.offset + num::size(self.bytes.len())
    }

    /// These ranges of it, and their bytes.
    pub(super) fn pieces(&self, ranges: &[(u64, u64)]) -> Vec<(u64, Bytes)> {
        let index = |at: u64| num::len(at - self.offset).expect("within the range, in memory");
        let piece = |&(begin, end): &(u64, u64)| {
            let bytes = self.bytes.slice(index(begin)..index(end));
            (HEADER_SIZE + begin, bytes)
        };
        ranges.iter().map(piece).collect()
    }
}

impl RangedUploads {
    /// Takes a write up; makes the upload busy if it waits for the disk.
    pub(super) fn begin_write(&mut self, cx: &mut Context, write: Write) {
        if let Some(refusal) = cx.write_refusal() {
            return cx.refuse(write.asker, refusal);
        }
        let upload = self.uploads.get_mut(write.key);
        if write.bytes.is_empty() {
            return cx.tell(write.asker, Missing(upload.missing()));
        }
        let Some(growing) = &upload.growing else {
            upload.busy = true;
            let whole = num::size(write.bytes.len()) == upload.size;
            return if whole && upload.size <= limits::SMALL_SHARE_SIZE {
                self.put_whole(cx, write)
            } else {
                self.create_file(cx, write)
            };
        };
        let after = growing.written.with(write.offset, write.end());
        if after.as_slice().len() > limits::RANGES {
            let limit = limits::RANGES;
            return cx.refuse(write.asker, WriteRangeRefusal::TooManyRanges { limit });
        }
        upload.busy = true;
        let there = growing.written.within(write.offset, write.end());
        if there.is_empty() {
            return self.write_file(cx, write);
        }
        let range = |&(begin, end): &(u64, u64)| ByteRange {
            offset: HEADER_SIZE + begin,
            len: num::len(end - begin).expect("within the range, in memory"),
        };
        let operation = Operation::Read {
            path: growing.path(),
            ranges: there.iter().map(range).collect(),
        };
        self.start(cx, Step::Compared(write), operation);
    }

    fn create_file(&mut self, cx: &mut Context, write: Write) {
        let serial = cx.next_serial();
        let operation = Operation::CreateFile {
            path: layout::incoming_ranged(serial),
            bytes: Bytes::new(),
            existing: Existing::Refuse,
            // Should the share be held by now, all of it is taken before that is found, as the
            // uploader expects.
            unless: None,
        };
        self.start(cx, Step::Created(write, serial), operation);
    }

    pub(super) fn file_created(
        &mut self,
        cx: &mut Context,
        write: Write,
        serial: u64,
        completion: &Completion,
    ) {
        match completion.result {
            Ok(_) => {
                let upload = self.uploads.get_mut(write.key);
                upload.growing = Some(Growing {
                    serial,
                    sequence: 0,
                    written: Ranges::default(),
                    noted: false,
                    sealed: 0,
                });
                self.write_file(cx, write);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot make the file of an upload");
                self.write_refused(cx, write, unwritable(error));
            }
        }
    }

    pub(super) fn compared(&mut self, cx: &mut Context, write: Write, completion: Completion) {
        let there = match completion.result {
            Ok(Outcome::Read { pieces, .. }) => pieces,
            Ok(outcome) => panic!("a read gave {outcome:?}"),
            Err(error) => return self.write_refused(cx, write, Unwritable::Disk(error)),
        };
        let growing = self.uploads.get(write.key).growing.as_ref();
        let written = &growing.expect(GROWING).written;
        let brought = write.pieces(&written.within(write.offset, write.end()));
        let brought = brought.iter().map(|(_, bytes)| &bytes[..]);
        if !brought.eq(there.iter().map(|bytes| &bytes[..])) {
            return self.write_refused(cx, write, WriteRangeRefusal::Conflict);
        }
        self.write_file(cx, write);
    }

    /// Writes what of a range is not there.
    fn write_file(&mut self, cx: &mut Context, write: Write) {
        let upload = self.uploads.get(write.key);
        let growing = upload.growing.as_ref().expect(GROWING);
        let after = growing.written.with(write.offset, write.end());
        if after.total() == upload.size {
            let key = write.key;
            return cx.acquire(key, waiter(self.waiting.insert(Waiting::Seal(write))));
        }
        let new = growing.written.missing(write.offset, write.end());
        if new.is_empty() {
            cx.tell(write.asker, Missing(upload.missing()));
            return self.answered(cx, write.key);
        }
        let ticket = upload.ticket(write.key, growing, &after);
        let (offset, ticket) = ticket.encode(cx.settings.boot_id);
        let mut writes = write.pieces(&new);
        writes.push((offset, ticket.into()));
        let operation = Operation::Patch {
            path: growing.path(),
            writes,
            size: None,
        };
        self.start(cx, Step::Written(write, after), operation);
        cx.measure_space_if_due();
    }

    pub(super) fn written(
        &mut self,
        cx: &mut Context,
        write: Write,
        after: Ranges,
        completion: &Completion,
    ) {
        let upload = self.uploads.get_mut(write.key);
        let growing = upload.growing.as_mut().expect(GROWING);
        if let Err(error) = completion.result {
            // Whatever was written of it is not in the ticket, and may be written again.
            let path = growing.path();
            tracing::warn!(%path, %error, "cannot write to an upload");
            return self.write_refused(cx, write, unwritable(error));
        }
        let size = after.total() - growing.written.total();
        growing.written = after;
        growing.sequence += 1;
        growing.noted = false;
        upload.promised -= size;
        cx.grow(size);
        cx.tell(write.asker, Missing(upload.missing()));
        self.answered(cx, write.key);
    }

    /// Refuses a write; the upload stays.
    pub(super) fn write_refused(
        &mut self,
        cx: &mut Context,
        write: Write,
        refusal: impl Into<WriteRangeRefusal>,
    ) {
        cx.refuse(write.asker, refusal);
        self.answered(cx, write.key);
    }
}

pub(super) const GROWING: &str = "a range is written to a file that was made for it";
