//! The client's end of one connection.
//!
//! The caller asks with the methods, writes [`Connection::output`] to the server, feeds what
//! arrives to [`Connection::read`], and gets one event at a time. Nothing waits for anything: HELLO
//! and the first requests leave in one flight.
//!
//! Always holds:
//! * an event belongs to a request that was made and is of a kind that the request can have;
//! * share bytes come only as asked: shares ascending, each range in order and without gaps, so that
//!   a lying server can send wrong bytes, but not more of them, and not twice;
//! * each request gets exactly one [`Event::Answered`] or [`Event::Held`], unless the connection
//!   ends first. All requests are idempotent: what was not answered may be asked again elsewhere.

mod cursor;

use std::collections::HashMap;

use bytes::{Buf, Bytes};
use lafs::{ConnectionSecret, ShareNumber, StorageIndex, Swissnum, num};

use self::cursor::ReadCursor;
use crate::error::{Misbehaved, Violation};
use crate::frame::{ClientFrame, HeldShare, Hello, RequestNumber, ServerFrame, Welcome};
use crate::limits::{CHUNK_LEN_MAX, DATA_LEN_MAX};
use crate::output::Output;
use crate::range::ReadRequest;
use crate::reader::FrameReader;
use crate::refusal::{Farewell, Reason};
use crate::server::Outcome;
use crate::traffic::Traffic;

/// One connection, as the client sees it.
#[derive(Debug)]
pub struct Connection {
    phase: Phase,
    reader: FrameReader,
    output: Output,
    request_next: RequestNumber,
    /// What was asked and not yet answered.
    pending: HashMap<RequestNumber, Pending>,
    /// Most share bytes in one DATA, as far as the server has said.
    data_len_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    ExpectWelcome,
    ExpectAnswer,
    /// The server sent REFUSE.
    Ended,
}

#[derive(Debug)]
enum Pending {
    Put,
    Upload(Upload),
    Read(ReadCursor),
    Lease,
}

/// An upload that has no answer yet.
#[derive(Debug)]
enum Upload {
    /// The server has yet to say from where on it wants bytes.
    ExpectResumeAt,
    /// The next byte to send is at this offset.
    Open { offset: u64 },
    /// CLOSE or ABORT was sent.
    Ended,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server let us in. First, exactly once; requests need not wait for it.
    Welcome(Welcome),
    /// A PUT or an upload is done.
    Answered {
        /// Which.
        request: RequestNumber,
        /// How it ended.
        outcome: Outcome,
    },
    /// A resumed upload goes on from here: [`Connection::write`] may be called now.
    ResumeAt {
        /// Which.
        request: RequestNumber,
        /// The first byte that the server does not have.
        offset: u64,
    },
    /// Bytes of a share: part of what a READ asked for.
    Share {
        /// The READ.
        request: RequestNumber,
        /// Which share.
        share_number: ShareNumber,
        /// Where they belong.
        offset: u64,
        /// At least one byte; nothing is known about them.
        bytes: Bytes,
    },
    /// A READ or LEASE is done.
    Held {
        /// Which.
        request: RequestNumber,
        /// Why one of the shares could not be read or leased.
        failure: Option<Reason>,
        /// The shares asked for that are held, ascending.
        shares: Vec<HeldShare>,
    },
    /// The server ends the connection; nothing follows.
    Refused {
        /// Why, for a program.
        farewell: Farewell,
        /// Why, for a person; from a peer: print it escaped.
        text: String,
    },
}

impl Connection {
    /// A connection that begins with HELLO.
    #[must_use]
    pub fn new(secret: &ConnectionSecret, swissnum: &Swissnum) -> Self {
        let mut output = Output::default();
        let hello = Hello {
            secret: secret.clone(),
            swissnum: Bytes::copy_from_slice(swissnum.as_str().as_bytes()),
        };
        ClientFrame::Hello(hello).encode(&mut output);
        Self {
            phase: Phase::ExpectWelcome,
            reader: FrameReader::default(),
            output,
            request_next: RequestNumber::FIRST,
            pending: HashMap::new(),
            data_len_max: CHUNK_LEN_MAX,
        }
    }

    /// Stores a whole share of 1 to [`CHUNK_LEN_MAX`] bytes; ends with [`Event::Answered`].
    ///
    /// # Panics
    ///
    /// If the share is empty or longer.
    pub fn put(
        &mut self,
        storage_index: StorageIndex,
        share_number: ShareNumber,
        share: Bytes,
    ) -> RequestNumber {
        assert!(
            (1..=CHUNK_LEN_MAX).contains(&share.len()),
            "a share of {} bytes does not go into one frame",
            share.len()
        );
        self.ask(
            Pending::Put,
            &ClientFrame::Put {
                storage_index,
                share_number,
                share,
            },
        )
    }

    /// Begins an upload; ends with [`Event::Answered`].
    ///
    /// The answer may come at any time, also before the end of the upload: the server refuses, or
    /// has the share. With `resume` nothing can be written before [`Event::ResumeAt`].
    pub fn open(
        &mut self,
        storage_index: StorageIndex,
        share_number: ShareNumber,
        size: Option<u64>,
        resume: bool,
    ) -> RequestNumber {
        let upload = match resume {
            true => Upload::ExpectResumeAt,
            false => Upload::Open { offset: 0 },
        };
        self.ask(
            Pending::Upload(upload),
            &ClientFrame::Open {
                storage_index,
                share_number,
                resume,
                size,
            },
        )
    }

    /// Sends the next bytes of an upload, or nothing if it was answered already; says which.
    ///
    /// # Panics
    ///
    /// Before [`Event::ResumeAt`] of a resumed upload, and after its end.
    pub fn write(&mut self, upload: RequestNumber, mut bytes: Bytes) -> bool {
        let Some(Pending::Upload(state)) = self.pending.get_mut(&upload) else {
            return false;
        };
        let Upload::Open { offset } = state else {
            panic!("upload {upload} takes no bytes now: {state:?}");
        };
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(self.data_len_max));
            let frame = ClientFrame::Data {
                request: upload,
                offset: *offset,
                bytes: chunk.clone(),
            };
            frame.encode(&mut self.output);
            *offset += num::size(chunk.len());
        }
        true
    }

    /// Ends an upload: the share is what was written. Sends nothing if it was answered already, and
    /// says which.
    ///
    /// # Panics
    ///
    /// Before [`Event::ResumeAt`] of a resumed upload, and after its end.
    pub fn close(&mut self, upload: RequestNumber) -> bool {
        let Some(Pending::Upload(state)) = self.pending.get_mut(&upload) else {
            return false;
        };
        let Upload::Open { offset } = *state else {
            panic!("upload {upload} cannot be closed now: {state:?}");
        };
        *state = Upload::Ended;
        let frame = ClientFrame::Close {
            request: upload,
            size: offset,
        };
        frame.encode(&mut self.output);
        true
    }

    /// Gives an upload up; its answer still comes. Sends nothing if it was answered or has ended
    /// already, and says which.
    pub fn abort(&mut self, upload: RequestNumber) -> bool {
        match self.pending.get_mut(&upload) {
            Some(Pending::Upload(Upload::Ended)) => false,
            Some(Pending::Upload(state)) => {
                *state = Upload::Ended;
                ClientFrame::Abort { request: upload }.encode(&mut self.output);
                true
            }
            _ => false,
        }
    }

    /// Asks for shares; ends with [`Event::Held`], before which the bytes come.
    pub fn read_shares(&mut self, read: ReadRequest) -> RequestNumber {
        let frame = ClientFrame::Read(read.clone());
        self.ask(Pending::Read(ReadCursor::new(read)), &frame)
    }

    /// Adds or renews our lease on every share of a bucket; ends with [`Event::Held`].
    pub fn lease(&mut self, storage_index: StorageIndex) -> RequestNumber {
        self.ask(Pending::Lease, &ClientFrame::Lease { storage_index })
    }

    /// Takes bytes off the front of `input` until there is an event, or `input` is empty.
    ///
    /// # Errors
    ///
    /// The rule that the server broke. The connection cannot be used any more.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Violation> {
        if self.phase == Phase::Ended {
            return match input.is_empty() {
                true => Ok(None),
                false => Err(Misbehaved::AfterRefuse.into()),
            };
        }
        let frame = self.reader.read(input, ServerFrame::payload_len_max)?;
        let Some(raw) = frame else {
            return Ok(None);
        };
        let frame = ServerFrame::decode(raw.frame_type, &raw.payload)?;
        let event = self.handle_frame(frame)?;
        if self.pending.is_empty() {
            self.pending = HashMap::new();
        }
        Ok(Some(event))
    }

    /// Bytes for the server; whoever takes them takes them for good.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// The number of bytes that wait to be taken from the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output.remaining()
    }

    /// The number of requests without an answer.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// Whether this request has no answer yet.
    #[must_use]
    pub fn awaits(&self, request: RequestNumber) -> bool {
        self.pending.contains_key(&request)
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

    fn ask(&mut self, pending: Pending, frame: &ClientFrame) -> RequestNumber {
        let request = self.request_next;
        self.request_next = request.next();
        self.pending.insert(request, pending);
        frame.encode(&mut self.output);
        request
    }

    fn handle_frame(&mut self, frame: ServerFrame) -> Result<Event, Misbehaved> {
        match (self.phase, &frame) {
            (Phase::ExpectWelcome, ServerFrame::Welcome(_) | ServerFrame::Refuse { .. }) => {}
            (Phase::ExpectWelcome, _) => return Err(Misbehaved::WelcomeExpected),
            (_, ServerFrame::Welcome(_)) => return Err(Misbehaved::SecondWelcome),
            _ => {}
        }
        match frame {
            ServerFrame::Welcome(welcome) => {
                self.phase = Phase::ExpectAnswer;
                if welcome.long_data {
                    self.data_len_max = DATA_LEN_MAX;
                }
                Ok(Event::Welcome(welcome))
            }
            ServerFrame::Refuse { farewell, text } => {
                self.phase = Phase::Ended;
                Ok(Event::Refused { farewell, text })
            }
            ServerFrame::Stored { request } => self.answered(request, Outcome::Stored),
            ServerFrame::AlreadyHere { request } => self.answered(request, Outcome::AlreadyHere),
            ServerFrame::Refused { request, refusal } => {
                self.answered(request, Outcome::Refused(refusal))
            }
            ServerFrame::ResumeAt { request, offset } => self.resume_at(request, offset),
            ServerFrame::Share {
                request,
                share_number,
                offset,
                bytes,
            } => {
                let cursor = match self.pending.get_mut(&request) {
                    Some(Pending::Read(cursor)) => cursor,
                    Some(_) => return Err(Misbehaved::WrongAnswer(request)),
                    None => return Err(Misbehaved::UnknownRequest(request)),
                };
                if !cursor.takes(share_number, offset, num::size(bytes.len())) {
                    return Err(Misbehaved::UnaskedBytes(request));
                }
                Ok(Event::Share {
                    request,
                    share_number,
                    offset,
                    bytes,
                })
            }
            ServerFrame::Held {
                request,
                failure,
                shares,
            } => {
                match self.pending.remove(&request) {
                    Some(Pending::Read(cursor)) => cursor
                        .finish(failure, &shares)
                        .map_err(|lie| lie.of(request))?,
                    Some(Pending::Lease) => {}
                    Some(_) => return Err(Misbehaved::WrongAnswer(request)),
                    None => return Err(Misbehaved::UnknownRequest(request)),
                }
                Ok(Event::Held {
                    request,
                    failure,
                    shares,
                })
            }
        }
    }

    /// A terminal answer of a PUT or an upload.
    fn answered(&mut self, request: RequestNumber, outcome: Outcome) -> Result<Event, Misbehaved> {
        match self.pending.remove(&request) {
            None => Err(Misbehaved::UnknownRequest(request)),
            Some(Pending::Read(_) | Pending::Lease) => Err(Misbehaved::WrongAnswer(request)),
            // Nothing can be stored of an upload that has not ended.
            Some(Pending::Upload(Upload::Open { .. } | Upload::ExpectResumeAt))
                if outcome == Outcome::Stored =>
            {
                Err(Misbehaved::WrongAnswer(request))
            }
            Some(Pending::Put | Pending::Upload(_)) => Ok(Event::Answered { request, outcome }),
        }
    }

    fn resume_at(&mut self, request: RequestNumber, offset: u64) -> Result<Event, Misbehaved> {
        match self.pending.get_mut(&request) {
            None => return Err(Misbehaved::UnknownRequest(request)),
            Some(Pending::Upload(state @ Upload::ExpectResumeAt)) => {
                *state = Upload::Open { offset };
            }
            // The server had not seen the ABORT yet.
            Some(Pending::Upload(Upload::Ended)) => {}
            Some(_) => return Err(Misbehaved::WrongAnswer(request)),
        }
        Ok(Event::ResumeAt { request, offset })
    }
}

#[cfg(test)]
mod tests;
