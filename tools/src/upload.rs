//! Uploading: plaintext in, shares on servers and a capability out.
//!
//! A file whose shares fit into one frame each is sent in one flight. A larger one is streamed: its
//! segments are encoded on another thread and go to all servers in step, so that memory does not
//! depend on its size. What this client uploaded before is not sent again: the servers are asked
//! whether they still have it, which also renews its leases.

use std::cell::RefCell;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use encoder::native::{ConvergentKey, Geometry};
use lafs::cap::native::{ReadCap, ReadKey};
use lafs::cap::{Cap, Literal, UebHash};
use lafs::{ConvergenceSecret, Parameters, ShareNumber, StorageIndex, num};
use protocol::limits::CHUNK_LEN_MAX;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::error::{Error, Failure, InputError, Unhappy};
use crate::grid::{Grid, Stored};
use crate::home::Encoding;
use crate::input::{self, InputFile, SMALL_LEN_MAX};
use crate::ledger::{Entry, Ledger, ServerTag};
use crate::placement::Goal;

mod encoding;
mod large;
mod share_uploads;
mod small;

use share_uploads::ShareUploads;

/// Uploads files to a grid, any number at once.
pub struct Uploader {
    grid: Grid,
    convergence: ConvergenceSecret,
    options: Options,
    ledger: Option<RefCell<Ledger>>,
    observer: Arc<dyn Observer>,
    /// Share bytes that all uploads together may hold.
    budget: Semaphore,
}

/// How files are uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many shares there are, and how many are enough.
    pub encoding: Encoding,
    /// Whether equal files become unequal on the grid.
    pub random_key: bool,
}

/// What is to be uploaded.
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A stream, and its name for messages. It always gets a random key: it can be read only once.
    Stream(String, Box<dyn Read + Send>),
}

/// Is told how an upload goes, from more than one thread.
pub trait Observer: Send + Sync {
    /// This many bytes will be looked at; not known of a stream.
    fn expects(&self, _bytes: u64) {}
    /// So many more bytes of the plaintext went into the key.
    fn hashed(&self, _bytes: u64) {}
    /// So many more bytes of the plaintext were encoded and queued.
    fn encoded(&self, _bytes: u64) {}
    /// A server failed, and was routed around.
    fn failed(&self, _failure: &Failure) {}
}

/// Ignores it all.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// An upload that succeeded.
#[derive(Debug)]
pub struct Uploaded {
    /// What brings the file back.
    pub cap: Cap,
    /// Size of the file.
    pub size: u64,
    /// Where its shares are, by number; none of a literal. A server may hold several of them.
    pub shares: Vec<Placed>,
    /// Servers of happiness.
    pub happiness: usize,
    /// What went wrong and was routed around.
    pub failures: Vec<Failure>,
    /// Round trips from the first request to the last answer.
    pub round_trips: u32,
    /// How long each part of it took.
    pub phases: Vec<(Phase, Duration)>,
}

/// A share on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which share.
    pub share: ShareNumber,
    /// The server, as `host:port`.
    pub server: Arc<str>,
    /// Whether it was sent now.
    pub stored: Stored,
}

/// A part of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading the file, for its key.
    Key,
    /// Asking servers what they have of it.
    Ask,
    /// Encrypting, erasure coding, hashing.
    Encode,
    /// The same, with shares leaving meanwhile.
    Stream,
    /// From the last byte sent to the last acknowledgement.
    Acknowledge,
}

impl Uploader {
    /// Prepares to upload.
    #[must_use]
    pub fn new(
        grid: Grid,
        convergence: ConvergenceSecret,
        options: Options,
        ledger: Option<Ledger>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            grid,
            convergence,
            options,
            ledger: ledger.map(RefCell::new),
            observer,
            budget: Semaphore::new(BUDGET),
        }
    }

    /// Uploads one file or stream.
    ///
    /// # Errors
    ///
    /// [`Error::Input`], or [`Error::Unhappy`] if too few servers hold shares in the end, or too few
    /// different shares are stored to bring the file back.
    pub async fn upload(&self, source: Source) -> Result<Uploaded, Error> {
        match source {
            Source::File(path) => self.upload_file(InputFile::open(&path)?).await,
            Source::Stream(name, stream) => self.upload_stream(name, stream).await,
        }
    }

    async fn upload_file(&self, file: InputFile) -> Result<Uploaded, Error> {
        let size = file.size();
        let parameters = self.parameters()?;
        let Some(geometry) = Geometry::new(parameters, size) else {
            return Err(file.too_large().into());
        };
        if size > num::size(Literal::SIZE_MAX) {
            self.ensure_grid_is_large_enough()?;
        }
        self.observer.expects(size);
        let permits = share_bytes(geometry);
        let _permits = self.budget.acquire_many(permits).await;
        if size > num::size(SMALL_LEN_MAX) || !is_small(geometry) {
            return self.upload_large_file(file, geometry).await;
        }
        let begun = Instant::now();
        let bytes = file.read_small()?;
        if let Some(literal) = Literal::new(&bytes) {
            return Ok(Uploaded::literal(literal, size));
        }
        let key = if self.options.random_key {
            random_key()?
        } else {
            let mut key = ConvergentKey::new(&self.convergence, parameters);
            key.update(&bytes);
            key.finish()
        };
        self.upload_small(&bytes, key, geometry, begun).await
    }

    async fn upload_stream(
        &self,
        name: String,
        mut stream: Box<dyn Read + Send>,
    ) -> Result<Uploaded, Error> {
        let parameters = self.parameters()?;
        let begun = Instant::now();
        let (head, stream) = encoding::blocking(move || {
            let mut head = vec![0; SMALL_LEN_MAX + 1];
            let len = input::fill(&mut stream, &mut head).map_err(|source| InputError::Read {
                name: name.clone(),
                source,
            })?;
            head.truncate(len);
            Ok::<_, InputError>((head, (name, stream)))
        })
        .await?;
        if let Some(literal) = Literal::new(&head) {
            return Ok(Uploaded::literal(literal, num::size(head.len())));
        }
        self.ensure_grid_is_large_enough()?;
        let key = random_key()?;
        let is_whole = head.len() <= SMALL_LEN_MAX;
        match Geometry::new(parameters, num::size(head.len())) {
            Some(geometry) if is_whole && is_small(geometry) => {
                let _permits = self.budget.acquire_many(share_bytes(geometry)).await;
                self.upload_small(&head, key, geometry, begun).await
            }
            _ => {
                let _permits = self.budget.acquire_many(BUDGET_ALL).await;
                let (name, stream) = stream;
                let stream = Box::new(Cursor::new(head).chain(stream));
                self.upload_large_stream(name, stream, key, parameters)
                    .await
            }
        }
    }

    /// Fails if there are too few servers, before anything is read or asked.
    fn ensure_grid_is_large_enough(&self) -> Result<(), Error> {
        let Encoding { needed, happy, .. } = self.options.encoding;
        let happy = happy.into();
        let servers = self.grid.servers().len();
        if servers >= happy {
            return Ok(());
        }
        Err(Error::Unhappy(Unhappy {
            happiness: 0,
            happy,
            stored: 0,
            needed: needed.into(),
            servers,
            failures: Vec::new(),
        }))
    }

    fn parameters(&self) -> Result<Parameters, Error> {
        let Encoding { needed, total, .. } = self.options.encoding;
        Parameters::default_for(needed.into(), total.into()).map_err(Error::Parameters)
    }

    /// Asks the servers of an earlier upload of this file what they still hold, and plans with that.
    ///
    /// Returns the capability if it is known.
    async fn remembered(
        &self,
        uploads: &mut ShareUploads<'_>,
        key: &ReadKey,
        geometry: Geometry,
    ) -> Option<ReadCap> {
        let ledger = self.ledger.as_ref()?;
        // A record that cannot be read is as good as none.
        let entry = ledger.borrow().find(key.storage_index()).ok()??;
        let servers: Vec<_> = entry.shares.iter().map(|(server, _)| *server).collect();
        uploads.ask_held(&servers, geometry.share_size()).await;
        ReadCap::new(
            key.clone(),
            entry.ueb_hash,
            geometry.parameters(),
            geometry.file_size(),
        )
        .ok()
    }

    fn remember(
        &self,
        uploads: &ShareUploads<'_>,
        storage_index: StorageIndex,
        ueb_hash: &UebHash,
    ) {
        let Some(ledger) = &self.ledger else {
            return;
        };
        let servers = uploads.ring();
        let shares = uploads.plan.holdings().iter().map(|(server, share)| {
            let tag = ServerTag::from(servers[server].nurl().key_hash());
            (tag, share)
        });
        let entry = Entry {
            storage_index,
            ueb_hash: *ueb_hash,
            shares: shares.collect(),
        };
        if let Err(error) = ledger.borrow_mut().append(&entry) {
            // The upload stands; only a second one would send more than it needs.
            tracing::warn!(%error, "the record of uploads cannot be written");
        }
    }

    fn share_uploads(&self, storage_index: StorageIndex) -> ShareUploads<'_> {
        let Encoding {
            needed,
            happy,
            total,
        } = self.options.encoding;
        let goal = Goal {
            total: total.into(),
            needed: needed.into(),
            happy: happy.into(),
        };
        ShareUploads::new(&self.grid, self.observer.as_ref(), storage_index, goal)
    }
}

impl Uploaded {
    fn literal(literal: Literal, size: u64) -> Self {
        Self {
            cap: Cap::Literal(literal),
            size,
            shares: Vec::new(),
            happiness: 0,
            failures: Vec::new(),
            round_trips: 0,
            phases: Vec::new(),
        }
    }
}

/// Whether each share goes into one frame, and all of them into memory.
fn is_small(geometry: Geometry) -> bool {
    let share_size = geometry.share_size();
    share_size <= num::size(CHUNK_LEN_MAX)
        && share_size * num::size(geometry.parameters().total()) <= num::size(BUDGET / 2)
}

/// What an upload takes from the budget.
fn share_bytes(geometry: Geometry) -> u32 {
    let all = geometry
        .share_size()
        .saturating_mul(num::size(geometry.parameters().total()));
    u32::try_from(all).map_or(BUDGET_ALL, |all| all.min(BUDGET_ALL))
}

fn share_number(index: usize) -> ShareNumber {
    ShareNumber::from_index(index).expect("parameters allow 256 shares")
}

fn random_key() -> Result<ReadKey, Error> {
    let mut random = [0; ReadKey::LEN];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.into()))?;
    Ok(ReadKey::new(random))
}

/// Share bytes of all uploads at once. A large file takes it whole, so that large files go one after
/// the other; of 1 kB files at 3-of-10, 800 are under way.
const BUDGET: usize = 4 << 20;
const BUDGET_ALL: u32 = 4 << 20;
const _: () = assert!(BUDGET == BUDGET_ALL as usize);
