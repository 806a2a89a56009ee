//! A load generator for GBS: the same few requests over and over, on connections that stay open, as
//! fast as the server answers.
//!
//! The requests are those of Tahoe-LAFS 1.20's client, header by header. An answer is read whole and
//! must have the right status; the tests of the protocol check the rest. Any key is accepted from the
//! server: this program started it, on loopback.

pub mod floor;
mod wire;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64;
use lafs::nurl::Nurl;
use lafs::{ShareNumber, StorageIndex};
use protocol::gbs::{
    AllocateRequest, Endpoint, Extent, Kind, ReadTestWrite, ShareChange, Test, Write,
};
use tokio::task::JoinSet;

use wire::{Connection, Request};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// The version, which every client asks for once a second.
    Version,
    /// An upload of one share, which is two requests: allocate and write.
    Upload,
    /// The share of an upload, by a range that is longer than it.
    Read,
    /// Which shares there are of an upload.
    List,
    /// A new version of a small mutable share.
    ReadTestWrite,
}

impl Work {
    /// All of them; uploads first, so that reads are of many buckets.
    pub const ALL: [Self; 5] = [
        Self::Upload,
        Self::Version,
        Self::Read,
        Self::List,
        Self::ReadTestWrite,
    ];

    /// How many times the requests of Tahoe-LAFS 1.20 in the same processor time are wanted.
    #[must_use]
    pub fn goal(self) -> u8 {
        match self {
            Self::Version => 30,
            Self::Read | Self::List => 25,
            Self::Upload | Self::ReadTestWrite => 20,
        }
    }

    /// What it is called in a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Upload => "upload of a share",
            Self::Read => "read of a share",
            Self::List => "list of shares",
            Self::ReadTestWrite => "read-test-write",
        }
    }
}

/// Connections to one server.
pub struct Clients {
    connections: Vec<Connection>,
    uploaded: u64,
    /// Versions that were written to slots.
    written: u64,
}

impl Clients {
    /// Opens connections, makes a slot for each, and uploads a share, so that there is one to read.
    ///
    /// # Errors
    ///
    /// When the server refuses the connection.
    pub async fn connect(nurl: &Nurl, count: u8) -> io::Result<Self> {
        let server = Arc::new(wire::Server::new(nurl)?);
        let mut connections = Vec::new();
        for index in 0..count {
            let mut connection = Connection::open(server.clone(), index).await?;
            connection
                .ask(&read_test_write(index, 0, &must_not_exist()))
                .await?;
            connections.push(connection);
        }
        let mut clients = Self {
            connections,
            uploaded: 0,
            written: 0,
        };
        clients.work(Work::Upload, Duration::MAX, 1).await?;
        Ok(clients)
    }

    /// Sends requests on all connections until the time is over or enough is done, and returns how many.
    ///
    /// # Errors
    ///
    /// When the server refuses something or closes a connection.
    pub async fn work(&mut self, work: Work, time: Duration, count_max: u64) -> io::Result<u64> {
        let first = match work {
            Work::Upload => self.uploaded,
            Work::ReadTestWrite => self.written,
            Work::Version | Work::Read | Work::List => 0,
        };
        let uploaded = self.uploaded;
        let tickets = Rc::new(Tickets {
            next: Cell::new(first),
            end: first + count_max,
            began: Instant::now(),
            time,
        });
        let mut working = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            let tickets = tickets.clone();
            working.spawn_local(async move {
                while let Some(ticket) = tickets.take() {
                    once(&mut connection, work, ticket, uploaded).await?;
                }
                Ok::<_, io::Error>(connection)
            });
        }
        while let Some(done) = working.join_next().await {
            self.connections.push(done.expect("it does not panic")?);
        }
        let end = tickets.next.get();
        match work {
            Work::Upload => self.uploaded = end,
            Work::ReadTestWrite => self.written = end,
            _ => {}
        }
        Ok(end - first)
    }
}

/// What is still to be done.
struct Tickets {
    next: Cell<u64>,
    end: u64,
    began: Instant,
    time: Duration,
}

impl Tickets {
    fn take(&self) -> Option<u64> {
        let ticket = self.next.get();
        if ticket == self.end || self.began.elapsed() >= self.time {
            return None;
        }
        self.next.set(ticket + 1);
        Some(ticket)
    }
}

async fn once(
    connection: &mut Connection,
    work: Work,
    ticket: u64,
    uploaded: u64,
) -> io::Result<()> {
    let request = match work {
        Work::Version => Request::get(Endpoint::Version, 200),
        Work::Upload => {
            let storage_index = bucket(ticket);
            connection.ask(&allocate(storage_index)).await?;
            write(storage_index)
        }
        Work::Read => read(bucket(ticket % uploaded)),
        Work::List => Request::get(
            Endpoint::ListShares {
                kind: Kind::Immutable,
                storage_index: bucket(ticket % uploaded),
            },
            200,
        ),
        Work::ReadTestWrite => read_test_write(connection.index(), ticket + 1, &is_there()),
    };
    connection.ask(&request).await
}

fn allocate(storage_index: StorageIndex) -> Request {
    let message = AllocateRequest {
        share_numbers: vec![SHARE],
        allocated_size: SHARE_SIZE,
    };
    let endpoint = Endpoint::AllocateBuckets { storage_index };
    Request::message(endpoint, message.encode(), 200)
        .secret("lease-renew-secret", &secret(1))
        .secret("lease-cancel-secret", &secret(2))
        .secret("upload-secret", &secret(3))
}

fn write(storage_index: StorageIndex) -> Request {
    let endpoint = Endpoint::WriteShareData {
        storage_index,
        share_number: SHARE,
    };
    Request::bytes(endpoint, pattern(SHARE_SIZE), 201)
        .header("Content-Range", &format!("bytes 0-{}/*", SHARE_SIZE - 1))
        .secret("upload-secret", &secret(3))
}

fn read(storage_index: StorageIndex) -> Request {
    let endpoint = Endpoint::ReadShareChunk {
        kind: Kind::Immutable,
        storage_index,
        share_number: SHARE,
    };
    // What the client asks for first, whatever the share has.
    Request::get(endpoint, 206).header("Range", "bytes=0-2547")
}

/// A version of a connection's slot; the versions differ in their last bytes.
fn read_test_write(connection: u8, version: u64, test: &Test) -> Request {
    let mut data = pattern(SLOT_SIZE);
    let at = data.len() - 8;
    data[at..].copy_from_slice(&version.to_be_bytes());
    let message = ReadTestWrite {
        shares: vec![(
            SHARE,
            ShareChange {
                tests: vec![test.clone()],
                writes: vec![Write {
                    offset: 0,
                    data_offset: 0,
                    data_size: SLOT_SIZE,
                }],
                new_length: None,
            },
        )],
        reads: vec![CHECKSTRING],
        data_size: SLOT_SIZE,
    };
    let storage_index = StorageIndex::new([0xf0 ^ connection; 16]);
    let endpoint = Endpoint::ReadTestWrite { storage_index };
    Request::message(endpoint, message.encode(&data), 200)
        .secret("lease-renew-secret", &secret(1))
        .secret("lease-cancel-secret", &secret(2))
        .secret("write-enabler", &secret(4))
}

/// The client's test for a new share.
fn must_not_exist() -> Test {
    Test {
        extent: Extent { offset: 0, size: 1 },
        specimen: Bytes::new(),
    }
}

/// Its test for a share that it has seen.
fn is_there() -> Test {
    Test {
        extent: CHECKSTRING,
        specimen: Bytes::from(pattern(CHECKSTRING.size)),
    }
}

fn bucket(number: u64) -> StorageIndex {
    let mut bytes = [0; 16];
    // Spread over the tree, as hashes are.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    StorageIndex::new(bytes)
}

fn pattern(size: u64) -> Vec<u8> {
    (0..size).map(|index| index.to_le_bytes()[0]).collect()
}

fn secret(kind: u8) -> String {
    BASE64.encode(&[kind; 32])
}

const SHARE: ShareNumber = ShareNumber::new(0);

/// The share of a file of 1 kB, 3 of 10, as Tahoe's client makes it.
const SHARE_SIZE: u64 = 956;

/// The share of an empty directory: most of it is keys.
const SLOT_SIZE: u64 = 2041;

/// The part of a mutable share that says which version it is.
const CHECKSTRING: Extent = Extent {
    offset: 0,
    size: 41,
};
