//! The daemon that has the store open, asked over its control socket.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bucketfs::Mending;
use protocol::control::{self, Reply, Request, SOCKET};

use super::error::FsckError;

/// A connection to a daemon.
pub(super) struct Daemon(UnixStream);

impl Daemon {
    pub(super) fn connect(store: &Path) -> Result<Self, FsckError> {
        let connect = || {
            // However long the path of the store is, this one fits into an address.
            let directory = File::open(store)?;
            let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            Ok(stream)
        };
        connect().map(Self).map_err(|source| FsckError::InUse {
            path: store.to_owned(),
            source,
        })
    }

    pub(super) fn mend(&mut self, path: &str, how: Mending) -> Result<Option<String>, String> {
        let request = Request::Mend {
            path: path.to_owned(),
            how: match how {
                Mending::Quarantine => control::Mending::Quarantine,
                Mending::PutInPlace => control::Mending::PutInPlace,
                Mending::RemoveEmpty => control::Mending::RemoveEmpty,
            },
        };
        match control::ask(&mut self.0, &request, |_| {}) {
            Ok(Reply::Mended(mended)) => Ok(mended.to),
            Ok(Reply::Refused(refused)) => Err(refused.message),
            Ok(_) => Err("the daemon's answer is of another question".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How long a daemon may take for a repair.
const SILENCE_MAX: Duration = Duration::from_secs(60);
