//! The connection to one server: made when first needed, and again when it breaks.
//!
//! What is asked goes into the protocol's state machine at once, connected or not; a task moves its
//! bytes. So a first flight carries HELLO and everything asked by then, and many requests share one
//! connection without waiting for each other. When the connection breaks, what can be asked again
//! is, once, on a new one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lafs::ConnectionSecret;
use lafs::nurl::Nurl;
use protocol::client::{Connection, Event};
use protocol::server::Outcome;
use protocol::{RequestNumber, Traffic, Welcome};
use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Patience;
use super::answer::{Held, Reading, Stored};
use super::awaited::Sight;
use super::dial::Dial;
use super::flow::Flow;
use super::pin;
use super::samples::Samples;
use super::trips::Trips;
use crate::failure::ServerError;

mod asked;
mod pump;

pub(super) use asked::Asked;
use asked::Waiting;

/// Share bytes queued to one server, beyond which an upload waits.
const QUEUE_LEN_MAX: usize = 192 << 10;

/// A server that could not be used is not asked for so many times the patience with a stall.
const SHUNNED: u32 = 2;

/// What a first answer is expected to take, in times of what TCP's handshake took.
const FIRST_ROUND_TRIPS: u32 = 4;

/// The connection to one server, and what is asked over it.
pub(super) struct Link {
    address: Address,
    state: RefCell<State>,
    /// Wakes the writer.
    work: Notify,
    /// The line that the links of a grid share.
    flow: Rc<Flow>,
    /// Bytes have left, or the connection has. Shared by the links of a grid.
    room: Rc<Notify>,
    /// Wakes the task that ends the connection at once.
    abandon: Notify,
}

struct Address {
    nurl: Nurl,
    dial: Rc<dyn Dial>,
    config: Arc<ClientConfig>,
    secret: ConnectionSecret,
    patience: Patience,
}

struct State {
    reach: Reach,
    /// Counts connections, so that an upload of an earlier one is not taken for a later one's.
    era: u64,
    connection: Connection,
    waiting: HashMap<RequestNumber, Waiting>,
    welcome: Option<Welcome>,
    /// Of the connections before this one.
    traffic_before: Traffic,
    /// When the last bytes came.
    heard: Option<Instant>,
    /// What connecting took at best: about a round trip.
    round_trip: Option<Duration>,
    /// How long it took from a question to the first bytes of its answer, when idle.
    reactions: Samples,
    /// It was found late and has not said anything since.
    is_late: bool,
    /// Set to make the task end the connection with this error.
    abandoned: Option<ServerError>,
    is_closing: bool,
}

enum Reach {
    /// No connection, and none needed.
    Idle,
    Connecting,
    Open,
    /// Nothing is asked of the server for a while.
    Shunned {
        error: Arc<ServerError>,
        until: Instant,
    },
}

/// Names an upload on this link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UploadId {
    era: u64,
    request: RequestNumber,
}

impl Link {
    pub(super) fn new(
        nurl: &Nurl,
        secret: ConnectionSecret,
        patience: Patience,
        dial: Rc<dyn Dial>,
        flow: Rc<Flow>,
        room: Rc<Notify>,
    ) -> Self {
        let address = Address {
            nurl: nurl.clone(),
            dial,
            config: pin::client_config(nurl.key_hash()),
            secret,
            patience,
        };
        Self {
            state: RefCell::new(State {
                reach: Reach::Idle,
                era: 0,
                connection: address.greet(),
                waiting: HashMap::new(),
                welcome: None,
                traffic_before: Traffic::default(),
                heard: None,
                round_trip: None,
                reactions: Samples::default(),
                is_late: false,
                abandoned: None,
                is_closing: false,
            }),
            address,
            work: Notify::new(),
            flow,
            room,
            abandon: Notify::new(),
        }
    }

    /// Queues a request, and connects if need be. An upload gets its name, unless it failed at once.
    pub(super) fn ask(self: &Rc<Self>, trips: &Trips, asked: Asked) -> Option<UploadId> {
        let mut state = self.state.borrow_mut();
        if let Reach::Shunned { error, until } = &state.reach {
            if Instant::now() < *until {
                let error = error.clone();
                drop(state);
                asked.fail(&error);
                return None;
            }
            state.reach = Reach::Idle;
        }
        if matches!(state.reach, Reach::Idle) {
            state.reach = Reach::Connecting;
            tokio::task::spawn_local(pump::run(self.clone()));
        }
        let waiting = Waiting {
            sent: trips.send(matches!(state.reach, Reach::Open)),
            trips: trips.clone(),
            timed: (state.waiting.is_empty() && asked.is_quick()).then(Instant::now),
            asked,
            resends: 0,
        };
        let request = state.send(waiting);
        self.work.notify_one();
        Some(UploadId {
            era: state.era,
            request,
        })
    }

    pub(super) fn has_room(&self, upload: UploadId) -> bool {
        let state = self.state.borrow();
        state.era != upload.era || state.connection.output_len() < QUEUE_LEN_MAX
    }

    pub(super) fn is_drained(&self, upload: UploadId) -> bool {
        let state = self.state.borrow();
        state.era != upload.era || state.connection.output_len() == 0
    }

    pub(super) fn write(&self, upload: UploadId, bytes: Bytes) {
        let mut state = self.state.borrow_mut();
        if state.is_streaming(upload) {
            state.connection.write(upload.request, bytes);
            self.work.notify_one();
        }
    }

    pub(super) fn close_upload(&self, upload: UploadId) {
        let mut state = self.state.borrow_mut();
        if state.is_streaming(upload) {
            state.connection.close(upload.request);
            state.end_upload(upload.request);
            self.work.notify_one();
        }
    }

    pub(super) fn abort_upload(&self, upload: UploadId) {
        let mut state = self.state.borrow_mut();
        if state.era == upload.era && state.connection.abort(upload.request) {
            state.end_upload(upload.request);
            self.work.notify_one();
        }
    }

    pub(super) fn abandon(&self, error: ServerError) {
        let mut state = self.state.borrow_mut();
        if matches!(state.reach, Reach::Connecting | Reach::Open) {
            state.abandoned.get_or_insert(error);
            self.abandon.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.state.borrow_mut().is_closing = true;
        self.work.notify_one();
    }

    pub(super) fn traffic(&self) -> Traffic {
        let state = self.state.borrow();
        sum(state.traffic_before, state.connection.traffic())
    }

    pub(super) fn sight(&self) -> Sight {
        let state = self.state.borrow();
        let typical = state.reactions.typical();
        Sight {
            heard: state.heard,
            // Not asked before: TLS and the answer are two more round trips, and some work.
            usual: typical.or(state.round_trip.map(|time| time * FIRST_ROUND_TRIPS)),
        }
    }

    pub(super) fn is_late(&self) -> bool {
        self.state.borrow().is_late
    }

    pub(super) fn note_late(&self) {
        self.state.borrow_mut().is_late = true;
    }

    pub(super) fn welcome(&self) -> Option<Welcome> {
        self.state.borrow().welcome
    }

    /// Takes note of what connecting took; returns the shortest time so far.
    fn reached(&self, time: Duration) -> Duration {
        let mut state = self.state.borrow_mut();
        let least = state.round_trip.map_or(time, |least| least.min(time));
        *state.round_trip.insert(least)
    }

    /// Hands on what the server says.
    fn handle(&self, event: Event) -> Result<(), ServerError> {
        match event {
            Event::Welcome(welcome) => self.state.borrow_mut().welcome = Some(welcome),
            Event::Refused { farewell, text } => {
                return Err(ServerError::Farewell(farewell, text));
            }
            Event::Answered { request, outcome } => {
                let answer = match outcome {
                    Outcome::Stored => Ok(Stored::Now),
                    Outcome::AlreadyHere => Ok(Stored::Before),
                    Outcome::Refused(refusal) => Err(Arc::new(ServerError::Refused(refusal))),
                };
                match self.settle(request) {
                    Some(Asked::Put { reply, .. } | Asked::Upload { reply, .. }) => reply(answer),
                    _ => unreachable!("the protocol answers a request in kind"),
                }
            }
            Event::ResumeAt { request, offset } => {
                let resume_at = self.state.borrow_mut().resume(request);
                if let Some(resume_at) = resume_at {
                    resume_at(offset);
                }
            }
            Event::Share {
                request,
                share_number: share,
                offset,
                bytes,
            } => {
                let mut guard = self.state.borrow_mut();
                let state = &mut *guard;
                if let Some(waiting) = state.waiting.get_mut(&request) {
                    waiting.receive(&mut state.reactions);
                    if let Asked::Read {
                        is_begun, reply, ..
                    } = &mut waiting.asked
                    {
                        *is_begun = true;
                        reply(Reading::Bytes {
                            share,
                            offset,
                            bytes,
                        });
                    }
                }
            }
            Event::Held {
                request,
                failure,
                shares,
            } => {
                let held = Held { shares, failure };
                match self.settle(request) {
                    Some(Asked::Lease { reply, .. }) => reply(Ok(held)),
                    Some(Asked::Read { mut reply, .. }) => reply(Reading::Held(held)),
                    _ => unreachable!("the protocol answers a request in kind"),
                }
            }
        }
        Ok(())
    }

    fn settle(&self, request: RequestNumber) -> Option<Asked> {
        let mut state = self.state.borrow_mut();
        let mut waiting = state.waiting.remove(&request)?;
        waiting.receive(&mut state.reactions);
        Some(waiting.asked)
    }

    /// The connection is gone: asks again what may be asked again, and fails the rest.
    ///
    /// Returns whether there is to be a new connection.
    fn recover(&self, error: ServerError) -> bool {
        let error = Arc::new(error);
        let is_passing = error.is_passing() && !self.state.borrow().is_closing;
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        state.traffic_before = sum(state.traffic_before, state.connection.traffic());
        state.connection = self.address.greet();
        state.era += 1;
        state.abandoned = None;
        state.is_late = false;
        state.is_closing = false;

        let mut waiting: Vec<_> = state.waiting.drain().collect();
        waiting.sort_by_key(|&(request, _)| request);
        let (again, failed): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|(_, waiting)| waiting)
            .partition(|waiting| is_passing && waiting.may_be_sent_again());
        let is_needed = !again.is_empty();
        state.reach = if is_needed {
            Reach::Connecting
        } else if error.is_passing() || error.is_stall() {
            Reach::Idle
        } else {
            Reach::Shunned {
                error: error.clone(),
                until: Instant::now() + self.address.patience.stall * SHUNNED,
            }
        };
        for mut waiting in again {
            waiting.resends += 1;
            waiting.timed = None;
            waiting.sent = waiting.trips.send(false);
            state.send(waiting);
        }
        // A reply may ask again.
        drop(guard);
        self.room.notify_waiters();
        for waiting in failed {
            waiting.asked.fail(&error);
        }
        is_needed
    }
}

impl Address {
    /// A connection that has said HELLO, into its buffer.
    fn greet(&self) -> Connection {
        Connection::new(&self.secret, self.nurl.swissnum())
    }
}

impl State {
    fn send(&mut self, waiting: Waiting) -> RequestNumber {
        let connection = &mut self.connection;
        let request = match &waiting.asked {
            Asked::Put {
                storage_index,
                share,
                bytes,
                ..
            } => connection.put(*storage_index, *share, bytes.clone()),
            Asked::Lease { storage_index, .. } => connection.lease(*storage_index),
            Asked::Read { read, .. } => connection.read_shares(read.clone()),
            Asked::Upload {
                storage_index,
                share,
                size,
                resume_at,
                ..
            } => connection.open(*storage_index, *share, *size, resume_at.is_some()),
        };
        self.waiting.insert(request, waiting);
        request
    }

    /// Whether this upload is of this connection and takes bytes.
    fn is_streaming(&self, upload: UploadId) -> bool {
        let waiting = self.waiting.get(&upload.request);
        self.era == upload.era
            && waiting.is_some_and(|waiting| {
                matches!(
                    waiting.asked,
                    Asked::Upload {
                        is_ended: false,
                        resume_at: None,
                        ..
                    }
                )
            })
    }

    /// The server has said from where on it wants the bytes of an upload.
    fn resume(&mut self, request: RequestNumber) -> Option<Box<dyn FnOnce(u64)>> {
        let waiting = self.waiting.get_mut(&request)?;
        waiting.receive(&mut self.reactions);
        // The bytes that follow from this answer are a trip of their own.
        waiting.sent = waiting.trips.send(true);
        match &mut waiting.asked {
            Asked::Upload { resume_at, .. } => resume_at.take(),
            _ => None,
        }
    }

    fn end_upload(&mut self, request: RequestNumber) {
        if let Some(Waiting {
            asked: Asked::Upload { is_ended, .. },
            ..
        }) = self.waiting.get_mut(&request)
        {
            *is_ended = true;
        }
    }

    /// Whether the next step is the server's: to take bytes, or to answer.
    fn is_owed(&self) -> bool {
        self.connection.output_len() > 0
            || self.waiting.values().any(|waiting| match &waiting.asked {
                Asked::Upload {
                    is_ended,
                    resume_at,
                    ..
                } => *is_ended || resume_at.is_some(),
                _ => true,
            })
    }
}

/// What passed over both.
pub(super) fn sum(one: Traffic, other: Traffic) -> Traffic {
    Traffic {
        frames_sent: one.frames_sent + other.frames_sent,
        bytes_sent: one.bytes_sent + other.bytes_sent,
        frames_received: one.frames_received + other.frames_received,
        bytes_received: one.bytes_received + other.bytes_received,
    }
}
