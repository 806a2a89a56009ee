//! The server's end of one connection.
//!
//! The caller feeds what arrives to [`Connection::read`], which gives events one by one; does what
//! they ask, in whatever order it gets done; answers with the other methods; and writes
//! [`Connection::output`] to the peer.
//!
//! Always holds:
//! * before a HELLO with the right swissnum there is no event, and no memory for more than a HELLO;
//! * every PUT, OPEN, READ and LEASE that came out as an event is answered exactly once;
//! * `read` takes nothing while the connection has as much in hand as its limits allow, so that the
//!   peer is slowed by its own socket; what was taken can always be finished without reading more;
//! * after a violation, or a farewell of ours, nothing is read any more, and REFUSE is the last
//!   frame of the output.

use std::collections::HashMap;

use bytes::{Buf, Bytes};
use lafs::{ConnectionSecret, ShareNumber, StorageIndex, Swissnum};

use crate::error::{Misbehaved, Violation};
use crate::frame::{ClientFrame, HeldShare, RequestNumber, ServerFrame, Welcome};
use crate::limits::{BYTES_IN_FLIGHT_MAX, OUTPUT_LEN_MAX, REQUESTS_MAX, UPLOADS_MAX};
use crate::output::Output;
use crate::range::ReadRequest;
use crate::reader::FrameReader;
use crate::refusal::{Farewell, Reason, Refusal};
use crate::traffic::Traffic;

/// One connection, as the server sees it.
#[derive(Debug)]
pub struct Connection {
    swissnum: Swissnum,
    phase: Phase,
    admitted: bool,
    reader: FrameReader,
    output: Output,
    request_next: RequestNumber,
    /// What was asked and not yet answered.
    pending: HashMap<RequestNumber, Pending>,
    uploads_open: usize,
    bytes_in_flight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    ExpectHello,
    ExpectRequest,
    /// REFUSE is queued.
    Ended,
}

/// A request that awaits its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    /// A PUT, or an upload after its CLOSE or ABORT.
    Share,
    /// An upload that more frames belong to.
    OpenUpload,
    /// A READ.
    Read,
    /// A LEASE.
    Lease,
}

/// What the peer asks of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer may come in: answer with [`Connection::welcome`]. First, exactly once.
    Admitted {
        /// Gives the client's lease and upload secrets.
        secret: ConnectionSecret,
    },
    /// Store a whole share. [`Connection::release`] its bytes, then [`Connection::answer`].
    Put {
        /// Goes with the answer.
        request: RequestNumber,
        /// The bucket.
        storage_index: StorageIndex,
        /// Which share of it.
        share_number: ShareNumber,
        /// The share.
        share: Bytes,
    },
    /// Begin an upload. Answer at once if it is refused or here already, else after its end; if it
    /// is to resume, say [`Connection::resume_at`] in between.
    Open {
        /// Goes with the answer, and names the upload.
        request: RequestNumber,
        /// The bucket.
        storage_index: StorageIndex,
        /// Which share of it.
        share_number: ShareNumber,
        /// Go on where an earlier connection left off.
        resume: bool,
        /// The size of the share where it is known.
        size: Option<u64>,
    },
    /// The next bytes of an open upload; [`Connection::release`] them.
    Data {
        /// The upload.
        upload: RequestNumber,
        /// Where the client says they belong.
        offset: u64,
        /// At least one byte.
        bytes: Bytes,
    },
    /// The upload is whole if it has this size; answer it.
    Close {
        /// The upload.
        upload: RequestNumber,
        /// The share's size.
        size: u64,
    },
    /// The client gave the upload up; answer it.
    Abort {
        /// The upload.
        upload: RequestNumber,
    },
    /// Send shares with [`Connection::share`], then answer with [`Connection::held`].
    Read {
        /// Goes with the answer.
        request: RequestNumber,
        /// What is asked.
        read: ReadRequest,
    },
    /// Add or renew leases, then answer with [`Connection::held`].
    Lease {
        /// Goes with the answer.
        request: RequestNumber,
        /// The bucket.
        storage_index: StorageIndex,
    },
}

/// How a PUT or an upload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The share is on stable storage.
    Stored,
    /// The share was here before; its lease was renewed.
    AlreadyHere,
    /// The share is not stored.
    Refused(Refusal),
}

impl Connection {
    /// A connection on which nothing was said yet; `swissnum` lets clients in.
    #[must_use]
    pub fn new(swissnum: Swissnum) -> Self {
        Self {
            swissnum,
            phase: Phase::ExpectHello,
            admitted: false,
            reader: FrameReader::default(),
            output: Output::default(),
            request_next: RequestNumber::FIRST,
            pending: HashMap::new(),
            uploads_open: 0,
            bytes_in_flight: 0,
        }
    }

    /// Takes bytes off the front of `input` until there is an event.
    ///
    /// Returns `None` when `input` is empty, or is not wanted now ([`Self::wants_input`]).
    ///
    /// # Errors
    ///
    /// The rule that the peer broke. REFUSE is queued, nothing is read any more.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Violation> {
        while self.wants_input() {
            let phase = self.phase;
            let judge = |frame_type| payload_len_max(phase, frame_type);
            let frame = self.reader.read(input, judge).and_then(|raw| {
                raw.map(|raw| ClientFrame::decode(raw.frame_type, &raw.payload))
                    .transpose()
                    .map_err(Violation::Malformed)
            });
            let event = match frame {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => self.handle_frame(frame),
                Err(violation) => Err(violation),
            };
            match event {
                // The frame needed nothing from the caller; go on with the next.
                Ok(None) => {}
                Ok(Some(event)) => return Ok(Some(event)),
                Err(violation) => {
                    match violation {
                        Violation::WrongSwissnum => self.refuse(Farewell::WrongSwissnum, ""),
                        broken => self.refuse(Farewell::Violation, &broken.to_string()),
                    }
                    return Err(violation);
                }
            }
        }
        Ok(None)
    }

    /// Whether [`Self::read`] would take bytes now. Changes when something is answered or released,
    /// or when output is taken.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        // Open uploads do not count: their end is a frame that has yet to be read.
        self.phase != Phase::Ended
            && self.pending.len() - self.uploads_open < REQUESTS_MAX
            && self.bytes_in_flight < BYTES_IN_FLIGHT_MAX
            && self.output.remaining() < OUTPUT_LEN_MAX
    }

    /// Whether the peer has said HELLO with the right swissnum.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Whether nothing waits for the peer or for the caller, except input.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && !self.output.has_remaining() && !self.reader.is_inside_frame()
    }

    /// Whether part of a frame has arrived and its rest is owed.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        self.reader.is_inside_frame()
    }

    /// The number of requests that were not answered, open uploads included.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// The number of requests that can be answered without anything more from the peer.
    #[must_use]
    pub fn unanswered_and_whole(&self) -> usize {
        self.pending.len() - self.uploads_open
    }

    /// Share bytes that were given out and not released.
    #[must_use]
    pub fn bytes_in_flight(&self) -> usize {
        self.bytes_in_flight
    }

    /// Bytes for the peer; whoever takes them takes them for good.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// What has passed so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            frames_sent: self.output.frames(),
            bytes_sent: self.output.bytes(),
            frames_received: self.reader.frames(),
            bytes_received: self.reader.bytes(),
        }
    }

    /// Lets the peer in: the answer to [`Event::Admitted`].
    pub fn welcome(&mut self, welcome: Welcome) {
        self.send(&ServerFrame::Welcome(welcome));
    }

    /// Says that `len` bytes of a PUT or DATA are no longer held.
    ///
    /// # Panics
    ///
    /// If more is released than was given out.
    pub fn release(&mut self, len: usize) {
        self.bytes_in_flight = self
            .bytes_in_flight
            .checked_sub(len)
            .expect("bytes are released once");
    }

    /// Says where a resumed upload goes on; its answer is still owed.
    ///
    /// # Panics
    ///
    /// If `request` is not an upload without an answer.
    pub fn resume_at(&mut self, request: RequestNumber, offset: u64) {
        let pending = self.pending.get(&request);
        assert!(
            matches!(pending, Some(Pending::OpenUpload | Pending::Share)),
            "request {request} cannot resume"
        );
        self.send(&ServerFrame::ResumeAt { request, offset });
    }

    /// Answers a PUT or an upload.
    ///
    /// # Panics
    ///
    /// If `request` is neither, or was answered.
    pub fn answer(&mut self, request: RequestNumber, outcome: Outcome) {
        match self.pending.remove(&request) {
            Some(Pending::OpenUpload) => self.uploads_open -= 1,
            Some(Pending::Share) => {}
            other => panic!("request {request} is {other:?}, which has no outcome"),
        }
        self.shrink();
        self.send(&match outcome {
            Outcome::Stored => ServerFrame::Stored { request },
            Outcome::AlreadyHere => ServerFrame::AlreadyHere { request },
            Outcome::Refused(refusal) => ServerFrame::Refused { request, refusal },
        });
    }

    /// Sends bytes of a share: part of the answer to a READ.
    ///
    /// Shares go in ascending order, one after the other, the ranges of each in the order asked,
    /// without gaps.
    ///
    /// # Panics
    ///
    /// If `request` is not a READ without an answer, or there are no or too many bytes.
    pub fn share(
        &mut self,
        request: RequestNumber,
        share_number: ShareNumber,
        offset: u64,
        bytes: Bytes,
    ) {
        assert_eq!(
            self.pending.get(&request),
            Some(&Pending::Read),
            "request {request} takes no share bytes"
        );
        assert!(
            (1..=crate::limits::CHUNK_LEN_MAX).contains(&bytes.len()),
            "{} bytes are no chunk",
            bytes.len()
        );
        self.send(&ServerFrame::Share {
            request,
            share_number,
            offset,
            bytes,
        });
    }

    /// Whether a READ may send more bytes now, or waits until the peer has taken some.
    #[must_use]
    pub fn wants_shares(&self) -> bool {
        self.output.remaining() < OUTPUT_LEN_MAX
    }

    /// Answers a READ or a LEASE.
    ///
    /// # Panics
    ///
    /// If `request` is neither, or was answered.
    pub fn held(
        &mut self,
        request: RequestNumber,
        failure: Option<Reason>,
        shares: Vec<HeldShare>,
    ) {
        match self.pending.remove(&request) {
            Some(Pending::Read | Pending::Lease) => {}
            other => panic!("request {request} is {other:?}, which asks for no shares"),
        }
        self.shrink();
        self.send(&ServerFrame::Held {
            request,
            failure,
            shares,
        });
    }

    /// Ends the conversation: REFUSE is queued unless it already was, nothing is read any more, and
    /// what was not answered stays so.
    pub fn refuse(&mut self, farewell: Farewell, text: &str) {
        if self.phase == Phase::Ended {
            return;
        }
        self.send(&ServerFrame::Refuse {
            farewell,
            text: text.to_owned(),
        });
        self.phase = Phase::Ended;
        self.reader = FrameReader::default();
    }

    fn handle_frame(&mut self, frame: ClientFrame) -> Result<Option<Event>, Violation> {
        if let (Phase::ExpectHello, ClientFrame::Hello(hello)) = (self.phase, &frame) {
            if !self.swissnum.admits(&hello.swissnum) {
                return Err(Violation::WrongSwissnum);
            }
            self.phase = Phase::ExpectRequest;
            self.admitted = true;
            let secret = hello.secret.clone();
            return Ok(Some(Event::Admitted { secret }));
        }
        Ok(match frame {
            ClientFrame::Hello(_) => return Err(Misbehaved::SecondHello.into()),
            ClientFrame::Put {
                storage_index,
                share_number,
                share,
            } => {
                self.bytes_in_flight += share.len();
                Some(Event::Put {
                    request: self.register(Pending::Share),
                    storage_index,
                    share_number,
                    share,
                })
            }
            ClientFrame::Open {
                storage_index,
                share_number,
                resume,
                size,
            } => {
                let request = self.register(Pending::OpenUpload);
                self.uploads_open += 1;
                if self.uploads_open > UPLOADS_MAX {
                    self.answer(request, Outcome::Refused(Reason::TooManyUploads.into()));
                    return Ok(None);
                }
                Some(Event::Open {
                    request,
                    storage_index,
                    share_number,
                    resume,
                    size,
                })
            }
            ClientFrame::Data {
                request,
                offset,
                bytes,
            } => self.open_upload(request)?.then(|| {
                self.bytes_in_flight += bytes.len();
                Event::Data {
                    upload: request,
                    offset,
                    bytes,
                }
            }),
            ClientFrame::Close { request, size } => self.end_upload(request)?.then_some({
                Event::Close {
                    upload: request,
                    size,
                }
            }),
            ClientFrame::Abort { request } => self
                .end_upload(request)?
                .then_some(Event::Abort { upload: request }),
            ClientFrame::Read(read) => Some(Event::Read {
                request: self.register(Pending::Read),
                read,
            }),
            ClientFrame::Lease { storage_index } => Some(Event::Lease {
                request: self.register(Pending::Lease),
                storage_index,
            }),
        })
    }

    fn register(&mut self, pending: Pending) -> RequestNumber {
        let request = self.request_next;
        self.request_next = request.next();
        self.pending.insert(request, pending);
        request
    }

    /// Whether the upload takes more frames. If it was answered, closed or aborted it does not,
    /// which is no violation: the client may not know yet.
    fn open_upload(&self, request: RequestNumber) -> Result<bool, Misbehaved> {
        if request >= self.request_next {
            return Err(Misbehaved::UnknownRequest(request));
        }
        Ok(self.pending.get(&request) == Some(&Pending::OpenUpload))
    }

    fn end_upload(&mut self, request: RequestNumber) -> Result<bool, Misbehaved> {
        let open = self.open_upload(request)?;
        if open {
            self.pending.insert(request, Pending::Share);
            self.uploads_open -= 1;
        }
        Ok(open)
    }

    fn send(&mut self, frame: &ServerFrame) {
        // Answers of the caller may come in after the farewell; the peer no longer listens.
        if self.phase != Phase::Ended {
            frame.encode(&mut self.output);
        }
    }

    /// Gives the memory of a busy time back.
    fn shrink(&mut self) {
        if self.pending.is_empty() {
            self.pending = HashMap::new();
        }
    }
}

/// Which frames may come, and how long they may be: before HELLO, only HELLO.
fn payload_len_max(phase: Phase, frame_type: u8) -> Result<usize, Violation> {
    let len_max = ClientFrame::payload_len_max(frame_type)?;
    match phase {
        Phase::ExpectHello if frame_type != ClientFrame::HELLO => {
            Err(Misbehaved::HelloExpected.into())
        }
        Phase::ExpectRequest if frame_type == ClientFrame::HELLO => {
            Err(Misbehaved::SecondHello.into())
        }
        _ => Ok(len_max),
    }
}

#[cfg(test)]
mod tests;
