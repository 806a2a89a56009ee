//! Where a download goes: a file that appears whole or not at all, or a stream.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use tokio::io::{AsyncWriteExt, Stdout};

use crate::durable::{Audience, Pending};
use crate::error::Error;

/// A target of verified bytes, in order.
#[derive(Debug)]
pub struct Target {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A regular file, under a temporary name beside its own.
    File(Pending),
    /// A device or a named pipe: it has no halves to hide, and must not be replaced by a file.
    Device(File),
    /// A pipe may take its time, and the connections must be served meanwhile.
    Stdout(Stdout),
}

impl Target {
    /// Prepares to write this file, and replace an older one in one step.
    ///
    /// # Errors
    ///
    /// [`Error::Output`] if nothing can be written there.
    pub fn file(path: &Path) -> Result<Self, Error> {
        let is_device = path
            .metadata()
            .is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
        let kind = if is_device {
            OpenOptions::new().write(true).open(path).map(Kind::Device)
        } else {
            resolve(path)
                .and_then(|path| Pending::create(&path, Audience::Umask))
                .map(Kind::File)
        };
        Ok(Self {
            kind: kind.map_err(|source| Error::output(path, source))?,
            name: path.display().to_string(),
        })
    }

    /// Writes to standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self {
            name: "standard output".to_owned(),
            kind: Kind::Stdout(tokio::io::stdout()),
        }
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Output`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = match &mut self.kind {
            Kind::File(pending) => pending.file().write_all(bytes),
            Kind::Device(file) => file.write_all(bytes),
            Kind::Stdout(stdout) => stdout.write_all(bytes).await,
        };
        written.map_err(|source| self.error(source))
    }

    /// Publishes what was written. A target that is dropped instead leaves no file.
    ///
    /// # Errors
    ///
    /// [`Error::Output`].
    pub async fn finish(self) -> Result<(), Error> {
        let Self { name, kind } = self;
        let finished = match kind {
            Kind::File(pending) => pending.commit(),
            Kind::Device(_) => Ok(()),
            Kind::Stdout(mut stdout) => stdout.flush().await,
        };
        finished.map_err(|source| Error::Output {
            target: name,
            source,
        })
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Output {
            target: self.name.clone(),
            source,
        }
    }
}

/// Follows symbolic links, so that the file is replaced and not the link to it.
fn resolve(path: &Path) -> io::Result<std::path::PathBuf> {
    match path.canonicalize() {
        Ok(path) if path.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        resolved => resolved,
    }
}
