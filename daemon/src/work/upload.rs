//! One upload, from OPEN to its answer: its steps go to the store one after the other.

use std::collections::VecDeque;

use bucketfs::{CloseRefusal, OpenRefusal, OpenUpload, Opened, WriteRefusal};
use bytes::Bytes;
use lafs::num;
use protocol::limits::GATHERED_LEN_MAX;
use protocol::server::{self, Outcome};
use protocol::{Reason, RequestNumber};

use super::reason;

/// One step of an upload.
#[derive(Debug)]
pub(crate) enum UploadStep {
    /// Begin or resume it.
    Open(OpenUpload),
    /// Write to it: pieces that follow each other, at most [`GATHERED_LEN_MAX`] bytes or one piece.
    Write { offset: u64, pieces: Vec<Bytes> },
    /// Finish it.
    Close { size: u64 },
    /// Drop it.
    Abort,
    /// Leave it, to be resumed.
    Detach,
}

/// What came of a step of an upload.
#[derive(Debug)]
pub(crate) enum UploadAnswer {
    Opened(Result<Opened, OpenRefusal>),
    /// So many bytes are done with.
    Written(usize, Result<(), WriteRefusal>),
    Closed(Result<(), CloseRefusal>),
    /// It was dropped or left, or was not there any more.
    Ended,
}

/// An upload without an answer, or one whose remains the store has yet to drop.
#[derive(Debug)]
pub(super) struct Upload {
    /// What the store is doing.
    under_way: Option<UnderWay>,
    /// What it is to do next.
    queue: VecDeque<UploadStep>,
    resume: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnderWay {
    Open,
    Write,
    Close,
    Abort,
    /// As `Abort` or `Detach`, but the peer has its answer or wants none.
    Forget,
}

/// What follows an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// This step.
    Step(UploadStep),
    /// Whatever the peer sends.
    Wait,
    /// Nothing.
    Done,
}

impl Upload {
    /// An upload whose OPEN is with the store.
    pub(super) fn new(resume: bool) -> Self {
        Self {
            under_way: Some(UnderWay::Open),
            queue: VecDeque::new(),
            resume,
        }
    }

    /// Whether nothing is under way: the upload waits for the peer.
    pub(super) fn is_resting(&self) -> bool {
        self.under_way.is_none()
    }

    /// Takes the peer's next step; gives it back if it is the store's turn now.
    pub(super) fn push(
        &mut self,
        step: UploadStep,
        connection: &mut server::Connection,
    ) -> Option<UploadStep> {
        if self.under_way == Some(UnderWay::Forget) {
            // It failed while this was on its way.
            release(&step, connection);
            return None;
        }
        if matches!(step, UploadStep::Abort) {
            self.drop_queue(connection);
        }
        self.queue.push_back(step);
        match self.under_way {
            None => self.begin_next(),
            Some(_) => None,
        }
    }

    /// Nothing more comes from the peer. Gives the step, if any, that leaves an upload which was
    /// not closed to be resumed.
    pub(super) fn leave(&mut self, connection: &mut server::Connection) -> Option<UploadStep> {
        let ends = |step: &UploadStep| {
            matches!(
                step,
                UploadStep::Close { .. } | UploadStep::Abort | UploadStep::Detach
            )
        };
        let closing = matches!(
            self.under_way,
            Some(UnderWay::Close | UnderWay::Abort | UnderWay::Forget)
        );
        if closing || self.queue.back().is_some_and(ends) {
            return None;
        }
        self.push(UploadStep::Detach, connection)
    }

    /// Takes the store's answer to what was under way.
    pub(super) fn handle_answer(
        &mut self,
        request: RequestNumber,
        answer: UploadAnswer,
        connection: &mut server::Connection,
    ) -> Next {
        let under_way = self.under_way.take();
        if let UploadAnswer::Written(len, _) = answer {
            connection.release(len);
        }
        if under_way == Some(UnderWay::Forget) {
            return Next::Done;
        }
        // Of what was refused the store still has what was written before.
        let (outcome, remains) = match answer {
            UploadAnswer::Opened(Ok(Opened::At { offset })) => {
                if self.resume {
                    connection.resume_at(request, offset);
                }
                return self.next();
            }
            UploadAnswer::Written(_, Ok(())) => return self.next(),
            UploadAnswer::Closed(Ok(())) => (Outcome::Stored, false),
            UploadAnswer::Opened(Ok(Opened::AlreadyHeld)) => (Outcome::AlreadyHere, false),
            UploadAnswer::Ended => (Outcome::Refused(Reason::Aborted.into()), false),
            UploadAnswer::Opened(Err(refusal)) => {
                (Outcome::Refused(reason::refusal(&refusal)), false)
            }
            UploadAnswer::Written(_, Err(refusal)) => {
                (Outcome::Refused(reason::refusal(&refusal)), true)
            }
            UploadAnswer::Closed(Err(refusal)) => {
                (Outcome::Refused(reason::refusal(&refusal)), true)
            }
        };
        self.drop_queue(connection);
        connection.answer(request, outcome);
        if !remains {
            return Next::Done;
        }
        self.under_way = Some(UnderWay::Forget);
        Next::Step(UploadStep::Abort)
    }

    fn next(&mut self) -> Next {
        self.begin_next().map_or(Next::Wait, Next::Step)
    }

    fn begin_next(&mut self) -> Option<UploadStep> {
        let mut step = self.queue.pop_front()?;
        if let UploadStep::Write { offset, pieces } = &mut step {
            self.gather(*offset, pieces);
        }
        self.under_way = Some(match &step {
            UploadStep::Open(_) => UnderWay::Open,
            UploadStep::Write { .. } => UnderWay::Write,
            UploadStep::Close { .. } => UnderWay::Close,
            UploadStep::Abort => UnderWay::Abort,
            UploadStep::Detach => UnderWay::Forget,
        });
        Some(step)
    }

    /// Adds what follows at once and has come already: the store writes it together.
    fn gather(&mut self, offset: u64, pieces: &mut Vec<Bytes>) {
        let mut len = pieces.iter().map(Bytes::len).sum::<usize>();
        while let Some(UploadStep::Write {
            offset: next,
            pieces: more,
        }) = self.queue.front_mut()
        {
            let more_len = more.iter().map(Bytes::len).sum::<usize>();
            if *next != offset + num::size(len) || len + more_len > GATHERED_LEN_MAX {
                return;
            }
            pieces.append(more);
            len += more_len;
            self.queue.pop_front();
        }
    }

    fn drop_queue(&mut self, connection: &mut server::Connection) {
        for step in self.queue.drain(..) {
            release(&step, connection);
        }
    }
}

fn release(step: &UploadStep, connection: &mut server::Connection) {
    if let UploadStep::Write { pieces, .. } = step {
        connection.release(pieces.iter().map(Bytes::len).sum());
    }
}
