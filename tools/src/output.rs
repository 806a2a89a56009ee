//! Where a download goes: a file that appears whole or not at all, or a stream.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use tokio::io::{AsyncWriteExt, Stdout};

use crate::durable::{Audience, Pending};
use crate::error::Error;
use crate::file_kind::FileKind;

mod block;
mod direct;
mod place;
mod text;

pub use block::{BLOCK_LEN, Block};
use direct::Way;
use place::Place;
use text::Text;

/// A target of verified bytes, in order.
#[derive(Debug)]
pub struct Target {
    name: String,
    kind: Kind,
}

/// What to do about a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone.
    Refuse,
    /// Put the new file in its place, for the same readers.
    Replace,
}

#[derive(Debug)]
enum Kind {
    /// A regular file, under a temporary name beside its own.
    File(Pending, Existing, Way),
    /// A named pipe or a character device: it has no halves to hide, and must not be replaced by a
    /// file. It may keep us waiting, and the connections must be served meanwhile.
    Stream(tokio::fs::File),
    /// As a stream.
    Stdout(Stdout),
    /// A person looks at it.
    Terminal(Stdout, Text),
}

impl Target {
    /// Prepares to write whatever `path` leads to, and to replace an older file in one step. Opening a
    /// named pipe waits for its reader: see [`Target::open`].
    ///
    /// # Errors
    ///
    /// As [`Target::open`].
    pub fn file(path: &Path) -> Result<Self, Error> {
        match place::find(path).map_err(|source| Error::output(path, source))? {
            Place::Stream(found) => Self::stream(path, &found),
            Place::Other(kind) => Err(Error::not_writable(path, kind)),
            place => Self::regular(path, place, Existing::Replace),
        }
    }

    /// Prepares to write to whatever `path` leads to: a file, through symbolic links, or a stream.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`] for a file that is not to be replaced, [`Error::NotWritable`] for what
    /// is no file and no stream, [`Error::Output`] if nothing can be written there.
    pub async fn open(path: &Path, existing: Existing) -> Result<Self, Error> {
        let path = path.to_owned();
        let opening = tokio::task::spawn_blocking(move || {
            let place = place::find(&path).map_err(|source| Error::output(&path, source))?;
            match place {
                Place::File(..) if existing == Existing::Refuse => Err(Error::OutputExists {
                    target: path.display().to_string(),
                }),
                Place::New(_) => Self::regular(&path, place, existing),
                _ => Self::file(&path),
            }
        });
        let opened = opening.await;
        opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    fn stream(path: &Path, found: &Path) -> Result<Self, Error> {
        // Where the shell has put a file, what it has there stays.
        let file = OpenOptions::new().append(true).open(found);
        let file = file.map_err(|source| Error::output(path, source))?;
        Ok(Self {
            name: path.display().to_string(),
            kind: Kind::Stream(tokio::fs::File::from_std(file)),
        })
    }

    fn regular(path: &Path, place: Place, existing: Existing) -> Result<Self, Error> {
        let (found, audience) = match &place {
            Place::File(found, metadata) => (found, Audience::same(metadata)),
            Place::New(found) => (found, Audience::Umask),
            Place::Stream(_) | Place::Other(_) => unreachable!("the callers took files only"),
        };
        let pending = Pending::create(found, audience);
        Ok(Self {
            name: path.display().to_string(),
            kind: Kind::File(
                pending.map_err(|source| Error::output(path, source))?,
                existing,
                Way::default(),
            ),
        })
    }

    /// Writes to standard output, whatever the bytes are.
    #[must_use]
    pub fn stdout() -> Self {
        Self {
            name: "standard output".to_owned(),
            kind: Kind::Stdout(tokio::io::stdout()),
        }
    }

    /// Writes to standard output, which is a terminal: text only.
    #[must_use]
    pub fn terminal() -> Self {
        Self {
            name: "standard output".to_owned(),
            kind: Kind::Terminal(tokio::io::stdout(), Text::default()),
        }
    }

    /// Whether bytes should come as soon as they are there: somebody may wait for them.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        !matches!(self.kind, Kind::File(..))
    }

    /// Appends bytes, on another thread, and gives their block back, empty. Of a file, all blocks
    /// but the last have [`BLOCK_LEN`] bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Output`], or [`Error::BinaryToTerminal`].
    pub async fn write(&mut self, mut block: Block) -> Result<Block, Error> {
        let written = match &mut self.kind {
            Kind::File(pending, _, way) => {
                let written;
                (block, *way, written) = write_file(pending, *way, block).await;
                written
            }
            Kind::Stream(file) => file.write_all(block.bytes()).await,
            Kind::Stdout(stdout) => stdout.write_all(block.bytes()).await,
            Kind::Terminal(stdout, text) => {
                if !text.goes_on_with(block.bytes()) {
                    return Err(Error::BinaryToTerminal);
                }
                stdout.write_all(block.bytes()).await
            }
        };
        written.map_err(|source| self.error(source))?;
        block.clear();
        Ok(block)
    }

    /// Publishes what was written. A target that is dropped instead leaves no file.
    ///
    /// # Errors
    ///
    /// [`Error::Output`]; [`Error::OutputExists`] if the file has come to be there meanwhile.
    pub async fn finish(self) -> Result<(), Error> {
        let Self { name, kind } = self;
        let finished = match kind {
            Kind::File(pending, Existing::Replace, _) => pending.commit(),
            Kind::File(pending, Existing::Refuse, _) => pending.commit_new(),
            Kind::Stream(mut file) => file.flush().await,
            Kind::Stdout(mut stdout) | Kind::Terminal(mut stdout, _) => stdout.flush().await,
        };
        finished.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::OutputExists { target: name },
            _ => Error::Output {
                target: name,
                source,
            },
        })
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Output {
            target: self.name.clone(),
            source,
        }
    }
}

/// Appends a block to a file: a large one where it may wait for the disk.
async fn write_file(pending: &Pending, way: Way, block: Block) -> (Block, Way, io::Result<()>) {
    if block.bytes().len() < ASIDE_LEN_MIN {
        let (way, written) = way.write(pending.file(), &block);
        return (block, way, written);
    }
    // The file goes away with its temporary name, whatever becomes of the thread.
    let file = match pending.file().try_clone() {
        Ok(file) => file,
        Err(error) => return (block, way, Err(error)),
    };
    let writing = tokio::task::spawn_blocking(move || {
        let (way, written) = way.write(&file, &block);
        (block, way, written)
    });
    let written = writing.await;
    written.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Below this a thread of its own costs more than the cache of pages, which takes it in at once.
const ASIDE_LEN_MIN: usize = 256 << 10;

impl Error {
    fn not_writable(path: &Path, kind: FileKind) -> Self {
        Self::NotWritable {
            target: path.display().to_string(),
            kind,
        }
    }
}
