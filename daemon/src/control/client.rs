//! Asking a daemon of this machine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::control::{self, AskError, Progress, Refused, Reply, Request};

use super::socket;

/// Asks the daemon that serves the store in a directory; `None` if none does.
///
/// # Errors
///
/// [`ControlError`].
pub fn ask(
    store: &Path,
    request: &Request,
    progress: impl FnMut(&Progress),
) -> Result<Option<Reply>, ControlError> {
    let failed = |error| ControlError::Connect {
        path: store.join(control::SOCKET),
        error,
    };
    let Some(mut stream) = socket::connect(store).map_err(failed)? else {
        return Ok(None);
    };
    // A daemon at work says how far it is every few seconds.
    stream.set_read_timeout(Some(SILENCE_MAX)).map_err(failed)?;
    match control::ask(&mut stream, request, progress)? {
        Reply::Refused(refused) => Err(ControlError::Refused(refused)),
        reply => Ok(Some(reply)),
    }
}

/// A daemon does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket is there and lets nobody in.
    #[error("cannot connect to {}: {error}; it is for the user alone that runs tahoed", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What came is no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The daemon does not do it.
    #[error("tahoed does not do that: {0}")]
    Refused(Refused),
}

/// How long a daemon may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);
