//! Who answers what comes over the control socket.

use std::sync::Arc;
use std::time::Duration;

use bucketfs::MendRefusal;
use protocol::control::{Mended, Mending, Reason, Refused, Reply, Request};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::keeper::{Job, Keeper};
use crate::status::Reporter;

/// Answers requests.
pub(crate) struct Desk {
    pub(crate) reporter: Reporter,
    pub(crate) keeper: Arc<Keeper>,
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
            Request::Scrub {} => self.begin(Job::Scrub),
            Request::Expire { dry_run } => self.begin(Job::Expire { dry_run }),
            Request::Count {} => self.begin(Job::Count),
            Request::Stop { task } => {
                self.keeper.end(task);
                Answer::Said(Reply::Done {})
            }
            Request::Mend { path, how } => Answer::Said(self.mend(path, how).await),
        }
    }

    fn begin(&self, job: Job) -> Answer {
        match self.keeper.begin(job) {
            Ok(heard) => Answer::Walk(heard),
            Err(refused) => Answer::Said(Reply::Refused(refused)),
        }
    }

    async fn mend(&self, path: String, how: Mending) -> Reply {
        let how = match how {
            Mending::Quarantine => bucketfs::Mending::Quarantine,
            Mending::PutInPlace => bucketfs::Mending::PutInPlace,
            Mending::RemoveEmpty => bucketfs::Mending::RemoveEmpty,
        };
        let store = self.reporter.shared.store();
        match store.ask(bucketfs::Mend { path, how }).await {
            Ok(mended) => Reply::Mended(Mended { to: mended.to }),
            Err(MendRefusal::Unavailable(_)) => {
                refused(Reason::Unavailable, "the daemon is stopping")
            }
            Err(refusal) => {
                let why = refusal.to_string();
                Reply::Refused(Refused::new(Reason::Failed, why))
            }
        }
    }
}

impl Answer {
    /// The next line; waits until there is something to say.
    pub(super) async fn next(&mut self) -> Reply {
        match self {
            Self::Said(reply) => reply.clone(),
            Self::Walk(heard) => match timeout(SILENCE_MAX, heard.changed()).await {
                // Reading a large share takes a while: the other side is told that it still goes on.
                Ok(Ok(())) | Err(_) => heard.borrow_and_update().clone(),
                Ok(Err(_)) => refused(Reason::Unavailable, "the walk was given up before it began"),
            },
        }
    }
}

fn refused(reason: Reason, message: &str) -> Reply {
    Reply::Refused(Refused::new(reason, message))
}

/// How long the other side hears nothing of a walk.
const SILENCE_MAX: Duration = Duration::from_secs(10);
