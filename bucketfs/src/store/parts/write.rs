//! One part: compared with what is there, the rest of it written, accounted for in the ticket.
//!
//! ```text
//! create (first part) -> read what overlaps -> write the rest, then the ticket -> answered
//! ```
//!
//! A part that leaves nothing missing is not written here but together with header and lease, in
//! `finish`.

use bytes::Bytes;
use lafs::num;

use super::ranges::Ranges;
use super::{Flight, Growing};
use crate::container::HEADER_SIZE;
use crate::disk::{ByteRange, Completion, Existing, Operation, Outcome};
use crate::error::Refusal;
use crate::layout::{self, ShareKey};
use crate::store::{Answer, Flight as StoreFlight, Limits, RequestId, Store, Task, refusal};

/// A part on its way.
#[derive(Debug)]
pub(in crate::store) struct Part {
    pub(super) request: RequestId,
    pub(super) key: ShareKey,
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

impl Part {
    /// Where it ends; it lies within the share, which was compared when it came.
    fn end(&self) -> u64 {
        self.offset + num::size(self.bytes.len())
    }

    /// These ranges of the part, and their bytes.
    pub(super) fn pieces(&self, ranges: &[(u64, u64)]) -> Vec<(u64, Bytes)> {
        let index = |at: u64| num::len(at - self.offset).expect("within the part, in memory");
        let piece = |&(begin, end): &(u64, u64)| {
            let bytes = self.bytes.slice(index(begin)..index(end));
            (HEADER_SIZE + begin, bytes)
        };
        ranges.iter().map(piece).collect()
    }
}

impl Store {
    /// Takes a part up; makes the upload busy if it waits for the disk.
    pub(super) fn begin_part(&mut self, part: Part) {
        if let Some(refusal) = self.write_refusal() {
            return self.refuse(part.request, refusal);
        }
        let upload = self.parts.get_mut(part.key);
        if part.bytes.is_empty() {
            let missing = upload.missing();
            return self.answer(part.request, Answer::PartWritten { missing });
        }
        let Some(growing) = &upload.growing else {
            upload.busy = true;
            let whole = num::size(part.bytes.len()) == upload.size;
            return if whole && upload.size <= Limits::SMALL_SHARE_SIZE {
                self.put_parts(part)
            } else {
                self.create_part_file(part)
            };
        };
        let after = growing.written.with(part.offset, part.end());
        if after.as_slice().len() > Limits::RANGES {
            let limit = Limits::RANGES;
            return self.refuse(part.request, Refusal::TooManyRanges { limit });
        }
        upload.busy = true;
        let there = growing.written.within(part.offset, part.end());
        if there.is_empty() {
            return self.write_part_file(part);
        }
        let range = |&(begin, end): &(u64, u64)| ByteRange {
            offset: HEADER_SIZE + begin,
            len: num::len(end - begin).expect("within the part, in memory"),
        };
        let operation = Operation::Read {
            path: growing.path(),
            ranges: there.iter().map(range).collect(),
        };
        self.start(StoreFlight::Parts(Flight::Compared(part)), operation);
    }

    fn create_part_file(&mut self, part: Part) {
        let serial = self.next_serial();
        let operation = Operation::CreateFile {
            path: layout::incoming_parts(serial),
            bytes: Bytes::new(),
            existing: Existing::Refuse,
            // Should the share be held by now, all of the parts are taken before that is found, as
            // the uploader expects.
            unless: None,
        };
        let flight = Flight::Created(part, serial);
        self.start(StoreFlight::Parts(flight), operation);
    }

    pub(super) fn part_file_created(&mut self, part: Part, serial: u64, completion: &Completion) {
        match completion.result {
            Ok(_) => {
                let upload = self.parts.get_mut(part.key);
                upload.growing = Some(Growing {
                    serial,
                    sequence: 0,
                    written: Ranges::default(),
                    noted: false,
                });
                self.write_part_file(part);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot make the file of an upload");
                self.refuse(part.request, refusal(error));
                self.part_answered(part.key);
            }
        }
    }

    pub(super) fn part_compared(&mut self, part: Part, completion: Completion) {
        let there = match completion.result {
            Ok(Outcome::Read { pieces, .. }) => pieces,
            Ok(outcome) => panic!("a read gave {outcome:?}"),
            Err(error) => {
                self.refuse(part.request, Refusal::Disk(error));
                return self.part_answered(part.key);
            }
        };
        let ranges = self
            .growing(part.key)
            .written
            .within(part.offset, part.end());
        let brought = part.pieces(&ranges);
        let brought = brought.iter().map(|(_, bytes)| &bytes[..]);
        if !brought.eq(there.iter().map(|bytes| &bytes[..])) {
            self.refuse(part.request, Refusal::Conflict);
            return self.part_answered(part.key);
        }
        self.write_part_file(part);
    }

    /// Writes what of a part is not there.
    fn write_part_file(&mut self, part: Part) {
        let upload = self.parts.get(part.key);
        let growing = upload.growing.as_ref().expect(GROWING);
        let after = growing.written.with(part.offset, part.end());
        if after.total() == upload.size {
            let key = part.key;
            return self.acquire(key, Task::Seal(part));
        }
        let new = growing.written.missing(part.offset, part.end());
        if new.is_empty() {
            let missing = upload.missing();
            self.answer(part.request, Answer::PartWritten { missing });
            return self.part_answered(part.key);
        }
        let (offset, ticket) = upload
            .ticket(part.key, growing, &after)
            .encode(self.boot_id);
        let mut writes = part.pieces(&new);
        writes.push((offset, ticket.into()));
        let operation = Operation::Patch {
            path: growing.path(),
            writes,
            size: None,
        };
        let flight = Flight::Written(part, after);
        self.start(StoreFlight::Parts(flight), operation);
        self.measure_space_if_due();
    }

    pub(super) fn part_written(&mut self, part: &Part, after: Ranges, completion: &Completion) {
        let upload = self.parts.get_mut(part.key);
        let growing = upload.growing.as_mut().expect(GROWING);
        match completion.result {
            Ok(_) => {
                let size = after.total() - growing.written.total();
                growing.written = after;
                growing.sequence += 1;
                growing.noted = false;
                upload.promised -= size;
                self.space.keep(size);
                let missing = upload.missing();
                self.answer(part.request, Answer::PartWritten { missing });
            }
            Err(error) => {
                // Whatever was written of it is not in the ticket, and may be written again.
                let path = growing.path();
                tracing::warn!(%path, %error, "cannot write to an upload");
                self.refuse(part.request, refusal(error));
            }
        }
        self.part_answered(part.key);
    }

    fn growing(&self, key: ShareKey) -> &Growing {
        self.parts.get(key).growing.as_ref().expect(GROWING)
    }
}

pub(super) const GROWING: &str = "a part is written to a file that was made for it";
