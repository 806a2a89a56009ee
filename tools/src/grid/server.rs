//! A server of the grid, and what can be asked of it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use lafs::nurl::Nurl;
use lafs::{ConnectionSecret, ShareNumber, StorageIndex};
use protocol::{ReadRequest, Traffic, Welcome};
use tokio::sync::Notify;

use super::Patience;
use super::answer::{Answer, Held, Reading, Stored};
use super::awaited::Sight;
use super::dial::Dial;
use super::flow::Flow;
use super::link::{Asked, Link, UploadId};
use super::trips::Trips;
use crate::failure::ServerError;
use crate::placement::Seed;

/// One server.
pub struct Server {
    name: Arc<str>,
    nurl: Nurl,
    seed: Seed,
    link: Rc<Link>,
}

impl Server {
    pub(super) fn new(
        nurl: Nurl,
        master: &[u8; 32],
        patience: Patience,
        dial: Rc<dyn Dial>,
        flow: Rc<Flow>,
        room: Rc<Notify>,
    ) -> Self {
        let secret = ConnectionSecret::derive(master, nurl.key_hash().as_bytes());
        Self {
            name: name_of(&nurl),
            seed: Seed::new(*nurl.key_hash().as_bytes()),
            link: Rc::new(Link::new(&nurl, secret, patience, dial, flow, room)),
            nurl,
        }
    }

    /// The server for a person: `host:port`.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The server as configured.
    #[must_use]
    pub fn nurl(&self) -> &Nurl {
        &self.nurl
    }

    /// What decides its place on the ring.
    #[must_use]
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// What passed over its connections, before TLS.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.link.traffic()
    }

    /// What it said of itself, once connected.
    #[must_use]
    pub fn welcome(&self) -> Option<Welcome> {
        self.link.welcome()
    }

    /// What it has shown of itself so far.
    #[must_use]
    pub fn sight(&self) -> Sight {
        self.link.sight()
    }

    /// Whether it was found late, and has not said anything since.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.link.is_late()
    }

    /// Remembers that it is late, until it says something.
    pub fn note_late(&self) {
        self.link.note_late();
    }

    /// Stores a share that fits into one frame. Sent again if the connection breaks.
    pub fn put(
        &self,
        trips: &Trips,
        storage_index: StorageIndex,
        share: ShareNumber,
        bytes: Bytes,
        reply: impl FnOnce(Answer<Stored>) + 'static,
    ) {
        self.link.ask(
            trips,
            Asked::Put {
                storage_index,
                share,
                bytes,
                reply: Box::new(reply),
            },
        );
    }

    /// Asks which shares the server holds, and leases them. Sent again if the connection breaks.
    pub fn lease(
        &self,
        trips: &Trips,
        storage_index: StorageIndex,
        reply: impl FnOnce(Answer<Held>) + 'static,
    ) {
        self.link.ask(
            trips,
            Asked::Lease {
                storage_index,
                reply: Box::new(reply),
            },
        );
    }

    /// Reads shares. Sent again if the connection breaks before the first bytes.
    pub fn read(&self, trips: &Trips, read: ReadRequest, reply: impl FnMut(Reading) + 'static) {
        self.link.ask(
            trips,
            Asked::Read {
                read,
                is_begun: false,
                reply: Box::new(reply),
            },
        );
    }

    /// Begins an upload whose bytes follow. `reply` gets its end, which may come at any time: the
    /// server refuses, has the share, has stored it, or is gone.
    ///
    /// With `resume_at`, an upload that this client began earlier is resumed: the bytes may follow
    /// only after it was called with the offset to send from.
    pub fn open(
        &self,
        trips: &Trips,
        storage_index: StorageIndex,
        share: ShareNumber,
        size: Option<u64>,
        resume_at: Option<Box<dyn FnOnce(u64)>>,
        reply: impl FnOnce(Answer<Stored>) + 'static,
    ) -> Upload {
        let id = self.link.ask(
            trips,
            Asked::Upload {
                storage_index,
                share,
                size,
                resume_at,
                is_ended: false,
                reply: Box::new(reply),
            },
        );
        Upload {
            link: self.link.clone(),
            id,
        }
    }

    /// Gives the server up: everything it was asked fails with `error`.
    pub fn abandon(&self, error: ServerError) {
        self.link.abandon(error);
    }

    /// Ends the connection once everything queued is sent.
    pub(super) fn close(&self) {
        self.link.close();
    }
}

/// An upload in progress. Dropped before [`Upload::close`], it is aborted.
pub struct Upload {
    link: Rc<Link>,
    /// `None` where the server could not even be asked: the reply has said so.
    id: Option<UploadId>,
}

impl Upload {
    /// Whether the connection takes more bytes now, or is gone.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.id.is_none_or(|id| self.link.has_room(id))
    }

    /// Whether everything written so far has left for the server.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.id.is_none_or(|id| self.link.is_drained(id))
    }

    /// Queues the next bytes; nothing if the upload has ended.
    pub fn write(&self, bytes: Bytes) {
        if let Some(id) = self.id {
            self.link.write(id, bytes);
        }
    }

    /// Ends the share: it is what was written.
    pub fn close(mut self) {
        if let Some(id) = self.id.take() {
            self.link.close_upload(id);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.link.abort_upload(id);
        }
    }
}

/// A server for a person: `host:port`.
#[must_use]
pub fn name_of(nurl: &Nurl) -> Arc<str> {
    let (host, port) = (nurl.host(), nurl.port());
    if host.as_str().contains(':') {
        format!("[{host}]:{port}").into()
    } else {
        format!("{host}:{port}").into()
    }
}
