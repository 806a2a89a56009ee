//! What a connection asks of the store, and what the store's answers mean to the connection.
//!
//! No I/O: [`Work`] takes events of a [`server::Connection`] and gives steps for the store; it takes
//! the store's answers and answers the connection. Always holds:
//! * an upload has one step under way, so that its bytes reach the store in order;
//! * a READ has one step under way, of one chunk at most, and the next one is given only when the
//!   connection has room for what it brings; a few READs take turns, the others wait unread;
//! * bytes are released as soon as the store is done with them, whatever came of it.

mod read;
mod reason;
mod upload;

use std::collections::{HashMap, VecDeque};

use bucketfs::{Answer, LeaseOwner, ReadRequest};
use bytes::Bytes;
use lafs::{ConnectionSecret, LeaseSecrets, ShareNumber, StorageIndex, UploadSecret};
use protocol::limits::READS_MAX;
use protocol::server::{self, Event, Outcome};
use protocol::{HeldShare, RequestNumber};

use self::read::Read;
use self::upload::Upload;

/// What is under way for one connection.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Gives lease and upload secrets; there once the client is admitted.
    secret: Option<ConnectionSecret>,
    /// Steps to be given to the store.
    steps: VecDeque<(RequestNumber, Step)>,
    /// Uploads from OPEN to their answer.
    uploads: HashMap<RequestNumber, Upload>,
    /// READs that wait for their turn or for room.
    reads_waiting: VecDeque<Read>,
    /// READs with a step under way.
    reads: HashMap<RequestNumber, Read>,
    /// PUTs under way, with their sizes.
    puts: HashMap<RequestNumber, usize>,
    /// Nobody listens to READs any more.
    deaf: bool,
}

/// One step for the store. Each is answered once, under the number it was given with.
#[derive(Debug)]
pub(crate) enum Step {
    /// Store a whole share.
    Put {
        storage_index: StorageIndex,
        share_number: ShareNumber,
        share: Bytes,
        lease: LeaseSecrets,
    },
    /// Begin or resume the upload that has this number.
    Open {
        storage_index: StorageIndex,
        share_number: ShareNumber,
        secret: UploadSecret,
        lease: LeaseSecrets,
        size: Option<u64>,
        resume: bool,
    },
    /// Write to the upload.
    Write { offset: u64, bytes: Bytes },
    /// Finish the upload.
    Close { size: u64 },
    /// Drop the upload.
    Abort,
    /// Leave the upload, to be resumed.
    Detach,
    /// Read.
    Read(ReadRequest),
    /// Add or renew leases.
    Lease {
        storage_index: StorageIndex,
        lease: LeaseSecrets,
        owner: LeaseOwner,
    },
}

impl Work {
    /// Takes what the peer asks. [`Event::Admitted`] is the caller's to answer.
    ///
    /// # Panics
    ///
    /// If the first event is not [`Event::Admitted`], which a [`server::Connection`] never gives.
    pub(crate) fn handle_event(&mut self, event: Event, connection: &mut server::Connection) {
        match event {
            Event::Admitted { secret } => self.secret = Some(secret),
            Event::Put {
                request,
                storage_index,
                share_number,
                share,
            } => {
                self.puts.insert(request, share.len());
                let step = Step::Put {
                    storage_index,
                    share_number,
                    share,
                    lease: self.secret().lease(storage_index),
                };
                self.steps.push_back((request, step));
            }
            Event::Open {
                request,
                storage_index,
                share_number,
                resume,
                size,
            } => {
                self.uploads.insert(request, Upload::new(resume));
                let step = Step::Open {
                    storage_index,
                    share_number,
                    secret: self.secret().upload(storage_index),
                    lease: self.secret().lease(storage_index),
                    size,
                    resume,
                };
                self.steps.push_back((request, step));
            }
            Event::Data {
                upload,
                offset,
                bytes,
            } => self.push_to_upload(upload, Step::Write { offset, bytes }, connection),
            Event::Close { upload, size } => {
                self.push_to_upload(upload, Step::Close { size }, connection);
            }
            Event::Abort { upload } => self.push_to_upload(upload, Step::Abort, connection),
            Event::Read { request, read } => {
                self.reads_waiting.push_back(Read::new(request, read));
            }
            Event::Lease {
                request,
                storage_index,
            } => {
                let step = Step::Lease {
                    storage_index,
                    lease: self.secret().lease(storage_index),
                    owner: LeaseOwner::Renewal,
                };
                self.steps.push_back((request, step));
            }
        }
    }

    /// Gives the next step for the store, if there is one that may be taken now.
    pub(crate) fn next_step(
        &mut self,
        connection: &server::Connection,
    ) -> Option<(RequestNumber, Step)> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        if self.reads.len() >= READS_MAX || !connection.wants_shares() {
            return None;
        }
        let read = self.reads_waiting.pop_front()?;
        let (request, step) = (read.request(), Step::Read(read.next_step()));
        self.reads.insert(request, read);
        Some((request, step))
    }

    /// Takes the store's answer to a step.
    ///
    /// # Panics
    ///
    /// If there was no such step, or the store answers it with what it cannot be answered with.
    pub(crate) fn handle_answer(
        &mut self,
        request: RequestNumber,
        answer: Answer,
        connection: &mut server::Connection,
    ) {
        if let Some(len) = self.puts.remove(&request) {
            connection.release(len);
            connection.answer(request, put_outcome(answer));
        } else if let Some(mut read) = self.reads.remove(&request) {
            if self.deaf {
                return;
            }
            match read.handle_answer(answer, connection) {
                // To the back: READs take turns.
                read::Next::Step => self.reads_waiting.push_back(read),
                read::Next::Done => {}
            }
        } else if let Some(upload) = self.uploads.get_mut(&request) {
            match upload.handle_answer(request, answer, connection) {
                upload::Next::Step(step) => self.steps.push_back((request, step)),
                upload::Next::Wait => {}
                upload::Next::Done => {
                    self.uploads.remove(&request);
                }
            }
        } else {
            lease_answer(request, answer, connection);
        }
        self.shrink();
    }

    /// Gives up what is not under way, because nothing more comes from the peer: uploads that it
    /// has not closed are left to be resumed. What it has asked for in full goes on.
    pub(crate) fn leave_uploads(&mut self, connection: &mut server::Connection) {
        for (request, upload) in &mut self.uploads {
            if let Some(step) = upload.leave(connection) {
                self.steps.push_back((*request, step));
            }
        }
    }

    /// Gives up READs, because nobody listens any more.
    pub(crate) fn drop_reads(&mut self) {
        self.deaf = true;
        self.reads_waiting.clear();
    }

    /// Whether PUTs are waiting or under way.
    pub(crate) fn has_puts(&self) -> bool {
        !self.puts.is_empty()
    }

    /// Whether steps are waiting or under way.
    pub(crate) fn is_busy(&self) -> bool {
        !(self.steps.is_empty()
            && self.reads_waiting.is_empty()
            && self.reads.is_empty()
            && self.puts.is_empty()
            && self.uploads.values().all(Upload::is_resting))
    }

    fn push_to_upload(
        &mut self,
        request: RequestNumber,
        step: Step,
        connection: &mut server::Connection,
    ) {
        let upload = self
            .uploads
            .get_mut(&request)
            .expect("the connection gives only what belongs to an open upload");
        if let Some(step) = upload.push(step, connection) {
            self.steps.push_back((request, step));
        }
    }

    fn secret(&self) -> &ConnectionSecret {
        self.secret
            .as_ref()
            .expect("the connection admits the client first")
    }

    /// Gives the memory of a busy time back.
    fn shrink(&mut self) {
        if self.steps.is_empty() {
            self.steps = VecDeque::new();
        }
        if self.uploads.is_empty() {
            self.uploads = HashMap::new();
        }
        if self.puts.is_empty() {
            self.puts = HashMap::new();
        }
        if self.reads.is_empty() && self.reads_waiting.is_empty() {
            self.reads = HashMap::new();
            self.reads_waiting = VecDeque::new();
        }
    }
}

fn put_outcome(answer: Answer) -> Outcome {
    match answer {
        Answer::Stored => Outcome::Stored,
        Answer::AlreadyHeld => Outcome::AlreadyHere,
        Answer::Refused(refusal) => Outcome::Refused(reason::refusal(&refusal)),
        other => panic!("a put was answered with {other:?}"),
    }
}

fn lease_answer(request: RequestNumber, answer: Answer, connection: &mut server::Connection) {
    match answer {
        Answer::Leased { held, failed } => {
            let failure = failed.first().map(|(_, refusal)| reason::of(refusal));
            let sound = held.into_iter().map(|(number, size)| (number, Some(size)));
            let broken = failed.into_iter().map(|(number, _)| (number, None));
            connection.held(request, failure, held_shares(sound.chain(broken)));
        }
        Answer::Refused(refusal) => {
            connection.held(request, Some(reason::of(&refusal)), Vec::new());
        }
        other => panic!("a lease was answered with {other:?}"),
    }
}

/// The shares in the order of HELD; one that is named twice counts as what was said last.
fn held_shares(shares: impl Iterator<Item = (ShareNumber, Option<u64>)>) -> Vec<HeldShare> {
    let shares: std::collections::BTreeMap<_, _> = shares.collect();
    shares
        .into_iter()
        .map(|(share_number, size)| HeldShare { share_number, size })
        .collect()
}

#[cfg(test)]
mod tests;
