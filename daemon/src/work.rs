//! What a connection asks of the store, and what the store's answers mean to the connection.
//!
//! No I/O: [`Work`] takes events of a [`server::Connection`] and gives steps for the store; it takes
//! the store's answers and answers the connection. Always holds:
//! * an upload has one step under way, so that its bytes reach the store in order;
//! * a READ has one step under way, of some chunks at most, and the next one is given only when the
//!   connection has room for what it brings; a few READs take turns, the others wait unread;
//! * bytes are released as soon as the store is done with them, whatever came of it.

mod read;
mod reason;
mod upload;

use std::collections::{HashMap, VecDeque};

use bucketfs::{
    CloseRefusal, LeaseOwner, Leased, OpenRefusal, OpenUpload, Put, PutRefusal, ReadRefusal,
    RenewLeases, RenewRefusal, ShareKey, SharesRead, Stored, Unwritable, WriteRefusal,
};
use lafs::{ConnectionSecret, ShareNumber};
use protocol::limits::READS_MAX;
use protocol::server::{self, Event, Outcome};
use protocol::{HeldShare, RequestNumber};

use self::read::Read;
use self::upload::Upload;
pub(crate) use self::upload::{UploadAnswer, UploadStep};
use crate::notices::Kind;

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
    Put(Put),
    /// The next step of the upload that has this number.
    Upload(UploadStep),
    /// Read.
    Read(bucketfs::Read),
    /// Add or renew leases.
    Lease(RenewLeases),
}

/// What came of a step.
#[derive(Debug)]
pub(crate) enum StepAnswer {
    Put(Result<Stored, PutRefusal>),
    Upload(UploadAnswer),
    Read(Result<SharesRead, ReadRefusal>),
    Lease(Result<Leased, RenewRefusal>),
}

impl StepAnswer {
    /// Why a new share was refused, if one was for a reason that the operator should know.
    pub(crate) fn refused_share(&self) -> Option<Kind> {
        match self {
            Self::Put(Err(PutRefusal::ReadOnly))
            | Self::Upload(UploadAnswer::Opened(Err(OpenRefusal::ReadOnly))) => {
                Some(Kind::ReadOnly)
            }
            Self::Put(Err(PutRefusal::Unwritable(Unwritable::Full)))
            | Self::Upload(
                UploadAnswer::Opened(Err(OpenRefusal::Unwritable(Unwritable::Full)))
                | UploadAnswer::Written(_, Err(WriteRefusal::Unwritable(Unwritable::Full)))
                | UploadAnswer::Closed(Err(CloseRefusal::Unwritable(Unwritable::Full))),
            ) => Some(Kind::Full),
            Self::Upload(UploadAnswer::Opened(Err(OpenRefusal::TooManyUploads))) => {
                Some(Kind::TooManyUploads)
            }
            _ => None,
        }
    }
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
                let put = Put {
                    key: ShareKey {
                        storage_index,
                        share_number,
                    },
                    share,
                    lease: self.secret().lease(storage_index),
                };
                self.steps.push_back((request, Step::Put(put)));
            }
            Event::Open {
                request,
                storage_index,
                share_number,
                resume,
                size,
            } => {
                self.uploads.insert(request, Upload::new(resume));
                let open = OpenUpload {
                    key: ShareKey {
                        storage_index,
                        share_number,
                    },
                    secret: self.secret().upload(storage_index),
                    lease: self.secret().lease(storage_index),
                    size,
                    resume,
                };
                let step = Step::Upload(UploadStep::Open(open));
                self.steps.push_back((request, step));
            }
            Event::Data {
                upload,
                offset,
                bytes,
            } => self.push_to_upload(
                upload,
                UploadStep::Write {
                    offset,
                    pieces: vec![bytes],
                },
                connection,
            ),
            Event::Close { upload, size } => {
                self.push_to_upload(upload, UploadStep::Close { size }, connection);
            }
            Event::Abort { upload } => self.push_to_upload(upload, UploadStep::Abort, connection),
            Event::Read { request, read } => {
                self.reads_waiting.push_back(Read::new(request, read));
            }
            Event::Lease {
                request,
                storage_index,
            } => {
                let renew = RenewLeases {
                    storage_index,
                    lease: self.secret().lease(storage_index),
                    owner: LeaseOwner::Renewal,
                };
                self.steps.push_back((request, Step::Lease(renew)));
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
    /// If there was no such step.
    pub(crate) fn handle_answer(
        &mut self,
        request: RequestNumber,
        answer: StepAnswer,
        connection: &mut server::Connection,
    ) {
        match answer {
            StepAnswer::Put(result) => {
                let len = self.puts.remove(&request).expect(UNDER_WAY);
                connection.release(len);
                connection.answer(request, put_outcome(result));
            }
            StepAnswer::Read(result) => {
                let mut read = self.reads.remove(&request).expect(UNDER_WAY);
                if self.deaf {
                    return;
                }
                match read.handle_answer(result, connection) {
                    // To the back: READs take turns.
                    read::Next::Step => self.reads_waiting.push_back(read),
                    read::Next::Done => {}
                }
            }
            StepAnswer::Upload(answer) => {
                let upload = self.uploads.get_mut(&request).expect(UNDER_WAY);
                match upload.handle_answer(request, answer, connection) {
                    upload::Next::Step(step) => {
                        self.steps.push_back((request, Step::Upload(step)));
                    }
                    upload::Next::Wait => {}
                    upload::Next::Done => {
                        self.uploads.remove(&request);
                    }
                }
            }
            StepAnswer::Lease(result) => lease_answer(request, result, connection),
        }
        self.shrink();
    }

    /// Gives up what is not under way, because nothing more comes from the peer: uploads that it
    /// has not closed are left to be resumed. What it has asked for in full goes on.
    pub(crate) fn leave_uploads(&mut self, connection: &mut server::Connection) {
        for (request, upload) in &mut self.uploads {
            if let Some(step) = upload.leave(connection) {
                self.steps.push_back((*request, Step::Upload(step)));
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
        step: UploadStep,
        connection: &mut server::Connection,
    ) {
        let upload = self
            .uploads
            .get_mut(&request)
            .expect("the connection gives only what belongs to an open upload");
        if let Some(step) = upload.push(step, connection) {
            self.steps.push_back((request, Step::Upload(step)));
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

fn put_outcome(result: Result<Stored, PutRefusal>) -> Outcome {
    match result {
        Ok(Stored::New) => Outcome::Stored,
        Ok(Stored::AlreadyHeld) => Outcome::AlreadyHere,
        Err(refusal) => Outcome::Refused(reason::refusal(&refusal)),
    }
}

fn lease_answer(
    request: RequestNumber,
    result: Result<Leased, RenewRefusal>,
    connection: &mut server::Connection,
) {
    match result {
        Ok(Leased { held, failed }) => {
            let failure = failed.first().map(|(_, refusal)| reason::of(refusal));
            let sound = held.into_iter().map(|(number, size)| (number, Some(size)));
            let broken = failed.into_iter().map(|(number, _)| (number, None));
            connection.held(request, failure, held_shares(sound.chain(broken)));
        }
        Err(refusal) => connection.held(request, Some(reason::of(&refusal)), Vec::new()),
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

const UNDER_WAY: &str = "the store answers what was asked";

#[cfg(test)]
mod tests;
