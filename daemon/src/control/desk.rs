//! Who answers what comes over the control socket.

use std::sync::Arc;

use protocol::control::{Reason, Refused, Reply, Request, Task};
use tokio::sync::watch;

use super::Migrator;
use crate::status::Reporter;

/// Answers requests.
pub(crate) struct Desk {
    pub(crate) reporter: Reporter,
    pub(crate) migrator: Arc<Migrator>,
}

/// What is said to one request, line by line.
pub(crate) enum Answer {
    /// One line.
    Said(Reply),
    /// As many as a walk has to say.
    Walk(watch::Receiver<Reply>),
}

impl Desk {
    /// Takes a request.
    pub(super) async fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Status {} => Answer::Said(match self.reporter.status().await {
                Some(status) => Reply::Status(Box::new(status)),
                None => refused(Reason::Unavailable, "the daemon is stopping"),
            }),
            Request::Migrate { to, rate } => match self.migrator.begin(to, rate) {
                Ok(heard) => Answer::Walk(heard),
                Err(refused) => Answer::Said(Reply::Refused(refused)),
            },
            Request::Stop {
                task: Task::Migrate,
            } => {
                self.migrator.end();
                Answer::Said(Reply::Done {})
            }
            _ => Answer::Said(refused(Reason::NotNow, "this daemon has no walks")),
        }
    }
}

impl Answer {
    /// The next line; waits until there is something to say.
    pub(super) async fn next(&mut self) -> Reply {
        match self {
            Self::Said(reply) => reply.clone(),
            Self::Walk(heard) => match heard.changed().await {
                Ok(()) => heard.borrow_and_update().clone(),
                // Interrupted before it began, or by a bug of ours, which the log tells.
                Err(_) => refused(Reason::Unavailable, "the walk has ended and says nothing"),
            },
        }
    }
}

fn refused(reason: Reason, message: &str) -> Reply {
    Reply::Refused(Refused::new(reason, message))
}
