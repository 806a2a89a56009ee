//! Who answers what comes over the control socket.

use bucketfs::MendRefusal;
use protocol::control::{Mended, Mending, Reason, Refused, Reply, Request};

use crate::status::Reporter;

/// Answers requests.
pub(crate) struct Desk {
    pub(crate) reporter: Reporter,
}

/// What is said to one request, line by line.
pub(crate) struct Answer {
    reply: Reply,
}

impl Desk {
    /// Takes a request.
    pub(super) async fn answer(&self, request: Request) -> Answer {
        let reply = match request {
            Request::Status {} => match self.reporter.status().await {
                Some(status) => Reply::Status(Box::new(status)),
                None => unavailable(),
            },
            Request::Mend { path, how } => self.mend(path, how).await,
            _ => Reply::Refused(Refused::new(Reason::NotNow, "this daemon has no walks")),
        };
        Answer { reply }
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
            Err(MendRefusal::Unavailable(_)) => unavailable(),
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
        std::future::ready(self.reply.clone()).await
    }
}

fn unavailable() -> Reply {
    let refused = Refused::new(Reason::Unavailable, "the daemon is stopping");
    Reply::Refused(refused)
}
