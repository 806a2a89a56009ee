//! A request on its way: what it takes to send it again, and to answer whoever asked.

use std::sync::Arc;

use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex};
use protocol::ReadRequest;
use tokio::time::Instant;

use crate::failure::ServerError;
use crate::grid::answer::{Answer, Held, Reading, Stored};
use crate::grid::samples::Samples;
use crate::grid::trips::{Sent, Trips};

/// A request, with all that is needed to send it again and to answer it.
pub(in crate::grid) enum Asked {
    Put {
        storage_index: StorageIndex,
        share: ShareNumber,
        bytes: Bytes,
        reply: Box<dyn FnOnce(Answer<Stored>)>,
    },
    Lease {
        storage_index: StorageIndex,
        reply: Box<dyn FnOnce(Answer<Held>)>,
    },
    Read {
        read: ReadRequest,
        /// Bytes have been handed on: asked again, they would come twice.
        is_begun: bool,
        reply: Box<dyn FnMut(Reading)>,
    },
    Upload {
        storage_index: StorageIndex,
        share: ShareNumber,
        size: Option<u64>,
        /// Present until the server has said from where on it wants bytes.
        resume_at: Option<Box<dyn FnOnce(u64)>>,
        /// Everything was sent: the server owes the answer.
        is_ended: bool,
        reply: Box<dyn FnOnce(Answer<Stored>)>,
    },
}

/// A request that has no answer yet.
pub(super) struct Waiting {
    pub(super) asked: Asked,
    pub(super) trips: Trips,
    pub(super) sent: Sent,
    /// When it was asked, if the server had nothing else to do; until it reacts.
    pub(super) timed: Option<Instant>,
    pub(super) resends: u8,
}

impl Waiting {
    /// The server has reacted.
    pub(super) fn receive(&mut self, reactions: &mut Samples) {
        self.trips.receive(self.sent);
        if let Some(asked) = self.timed.take() {
            reactions.push(asked.elapsed());
        }
    }

    pub(super) fn may_be_sent_again(&self) -> bool {
        let is_whole = match &self.asked {
            Asked::Put { .. } | Asked::Lease { .. } => true,
            Asked::Read { is_begun, .. } => !is_begun,
            // Its bytes are gone; whoever makes them resumes it.
            Asked::Upload { .. } => false,
        };
        is_whole && self.resends < RESENDS_MAX
    }
}

impl Asked {
    /// Whether the server can react as soon as it has the question.
    pub(super) fn is_quick(&self) -> bool {
        match self {
            Self::Put { .. } | Self::Lease { .. } | Self::Read { .. } => true,
            Self::Upload { resume_at, .. } => resume_at.is_some(),
        }
    }

    pub(super) fn fail(self, error: &Arc<ServerError>) {
        match self {
            Self::Put { reply, .. } | Self::Upload { reply, .. } => reply(Err(error.clone())),
            Self::Lease { reply, .. } => reply(Err(error.clone())),
            Self::Read { mut reply, .. } => reply(Reading::Failed(error.clone())),
        }
    }
}

/// How often a request is sent again on a new connection.
const RESENDS_MAX: u8 = 1;
