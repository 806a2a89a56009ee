//! One upload, from OPEN to its answer: its steps go to the store one after the other.

use std::collections::VecDeque;

use bucketfs::Answer;
use protocol::server::{self, Outcome};
use protocol::{Reason, RequestNumber};

use super::{Step, reason};

/// An upload without an answer, or one whose remains the store has yet to drop.
#[derive(Debug)]
pub(super) struct Upload {
    /// What the store is doing.
    under_way: Option<UnderWay>,
    /// What it is to do next.
    queue: VecDeque<Step>,
    resume: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnderWay {
    Open,
    Write {
        len: usize,
    },
    Close,
    Abort,
    /// As `Abort` or `Detach`, but the peer has its answer or wants none.
    Forget,
}

/// What follows an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// This step.
    Step(Step),
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
    pub(super) fn push(&mut self, step: Step, connection: &mut server::Connection) -> Option<Step> {
        if self.under_way == Some(UnderWay::Forget) {
            // It failed while this was on its way.
            release(&step, connection);
            return None;
        }
        if matches!(step, Step::Abort) {
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
    pub(super) fn leave(&mut self, connection: &mut server::Connection) -> Option<Step> {
        let ends = |step: &Step| matches!(step, Step::Close { .. } | Step::Abort | Step::Detach);
        let closing = matches!(
            self.under_way,
            Some(UnderWay::Close | UnderWay::Abort | UnderWay::Forget)
        );
        if closing || self.queue.back().is_some_and(ends) {
            return None;
        }
        self.push(Step::Detach, connection)
    }

    /// Takes the store's answer to what was under way.
    pub(super) fn handle_answer(
        &mut self,
        request: RequestNumber,
        answer: Answer,
        connection: &mut server::Connection,
    ) -> Next {
        let under_way = self.under_way.take().expect("an answer is to something");
        if let UnderWay::Write { len } = under_way {
            connection.release(len);
        }
        let outcome = match (under_way, answer) {
            (UnderWay::Forget, _) => return Next::Done,
            (UnderWay::Open, Answer::Opened { offset }) => {
                if self.resume {
                    connection.resume_at(request, offset);
                }
                return self.next();
            }
            (UnderWay::Write { .. }, Answer::Written) => return self.next(),
            (UnderWay::Close, Answer::Stored) => Outcome::Stored,
            (UnderWay::Open | UnderWay::Close, Answer::AlreadyHeld) => Outcome::AlreadyHere,
            // Gone already, which is what was wanted.
            (UnderWay::Abort, Answer::Aborted | Answer::Refused(_)) => {
                Outcome::Refused(Reason::Aborted.into())
            }
            (_, Answer::Refused(refusal)) => Outcome::Refused(reason::refusal(&refusal)),
            (under_way, answer) => panic!("{under_way:?} was answered with {answer:?}"),
        };
        self.drop_queue(connection);
        let was_refused = matches!(outcome, Outcome::Refused(_));
        connection.answer(request, outcome);
        match under_way {
            // The store still has what was written before.
            UnderWay::Write { .. } | UnderWay::Close if was_refused => {
                self.under_way = Some(UnderWay::Forget);
                Next::Step(Step::Abort)
            }
            _ => Next::Done,
        }
    }

    fn next(&mut self) -> Next {
        self.begin_next().map_or(Next::Wait, Next::Step)
    }

    fn begin_next(&mut self) -> Option<Step> {
        let step = self.queue.pop_front()?;
        self.under_way = Some(match &step {
            Step::Write { bytes, .. } => UnderWay::Write { len: bytes.len() },
            Step::Close { .. } => UnderWay::Close,
            Step::Abort => UnderWay::Abort,
            Step::Detach => UnderWay::Forget,
            other => unreachable!("{other:?} is no step of an upload"),
        });
        Some(step)
    }

    fn drop_queue(&mut self, connection: &mut server::Connection) {
        for step in self.queue.drain(..) {
            release(&step, connection);
        }
    }
}

fn release(step: &Step, connection: &mut server::Connection) {
    if let Step::Write { bytes, .. } = step {
        connection.release(bytes.len());
    }
}
