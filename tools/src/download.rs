//! Downloading: a capability in, verified plaintext out.
//!
//! The first servers of the ring are asked at once for any share that they have: a small file is one
//! round trip. Nothing that comes is believed until the decoder has proved it. A server that is down,
//! late or lying is replaced by the next one on the ring, as long as there is one.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use encoder::native::{Decoder, Geometry, Holder, ReadAhead, Request, RequestId};
use lafs::cap::native::ReadCap;
use lafs::cap::{Cap, CapError};
use lafs::{ShareNumber, num};
use protocol::{ByteRange, ReadRequest, Refusal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::{Error, NotEnoughShares};
use crate::failure::{Doing, Failure, ServerError};
use crate::grid::{Grid, Held, Reading, Server, Trips, until};
use crate::output::Target;

mod route;
mod span;

use route::{Place, Question, Route};

pub use span::{Span, SpanError};

/// Is told how a download goes.
pub trait Observer {
    /// This many bytes will be written.
    fn expects(&self, _bytes: u64) {}
    /// So many more bytes were verified and written.
    fn wrote(&self, _bytes: u64) {}
    /// A server failed or lied, and was routed around.
    fn failed(&self, _failure: &Failure) {}
}

impl Observer for crate::upload::Unobserved {}

/// A download that succeeded.
#[derive(Debug)]
pub struct Downloaded {
    /// Bytes written.
    pub size: u64,
    /// Servers that were asked.
    pub servers_asked: usize,
    /// What went wrong and was routed around.
    pub failures: Vec<Failure>,
    /// Round trips from the first request to the last answer.
    pub round_trips: u32,
}

/// Writes a file, or part of one, to `target`, and publishes it there.
///
/// # Errors
///
/// [`Error::NotEnoughShares`] if too few good shares were found, [`Error::Inconsistent`] if good
/// shares make no file, [`Error::Span`] if the part is not in the file, [`Error::Output`].
pub async fn download(
    grid: &Grid,
    cap: &Cap,
    span: Span,
    mut target: Target,
    observer: &dyn Observer,
) -> Result<Downloaded, Error> {
    let downloaded = match cap {
        Cap::Literal(literal) => {
            let bytes = literal.as_bytes();
            let range = span.within(num::size(bytes.len()))?;
            let part = num::len(range.start).zip(num::len(range.end));
            let (start, end) = part.expect("it is within a short text");
            observer.expects(range.end - range.start);
            target.write(&bytes[start..end]).await?;
            Downloaded {
                size: range.end - range.start,
                servers_asked: 0,
                failures: Vec::new(),
                round_trips: 0,
            }
        }
        Cap::NativeRead(cap) => {
            const { assert!(Decoder::RANGES_MAX <= protocol::limits::READ_RANGES_MAX) };
            if Geometry::from(cap).share_size() > protocol::limits::SHARE_SIZE_MAX {
                return Err(CapError::Size.into());
            }
            let range = span.within(cap.size())?;
            observer.expects(range.end - range.start);
            let mut download = Download::new(grid, cap, range.clone(), observer);
            download.run(&mut target).await?;
            Downloaded {
                size: range.end - range.start,
                servers_asked: download.route.servers_asked(),
                round_trips: download.trips.count(),
                failures: download.failures,
            }
        }
        Cap::NativeVerify(_) => return Err(Error::VerifyOnly),
    };
    target.finish().await?;
    Ok(downloaded)
}

/// A download in progress.
struct Download<'a> {
    observer: &'a dyn Observer,
    cap: &'a ReadCap,
    decoder: Decoder,
    route: Route,
    trips: Trips,
    ring: Vec<Rc<Server>>,
    /// What the decoder made of the shares in each answer to an opening.
    opened: HashMap<(Holder, ShareNumber), Option<RequestId>>,
    /// Some of the file has been written, so an opening need not ask for its beginning.
    is_begun: bool,
    failures: Vec<Failure>,
    /// How many of the failures the observer was told of.
    told: usize,
    sender: mpsc::UnboundedSender<(Holder, Question, Reading)>,
    inbox: mpsc::UnboundedReceiver<(Holder, Question, Reading)>,
}

impl<'a> Download<'a> {
    fn new(grid: &Grid, cap: &'a ReadCap, range: Range<u64>, observer: &'a dyn Observer) -> Self {
        let ring = grid.ring(cap.storage_index());
        // Servers that owe somebody an answer come last.
        let (late, punctual): (Vec<_>, Vec<_>) =
            (0..ring.len()).partition(|&place| ring[place].is_late());
        let (sender, inbox) = mpsc::unbounded_channel();
        Self {
            observer,
            cap,
            decoder: Decoder::new(cap, range, ReadAhead::default()),
            route: Route::new(
                punctual.into_iter().chain(late),
                grid.patience(),
                Instant::now(),
            ),
            trips: Trips::new(),
            ring,
            opened: HashMap::new(),
            is_begun: false,
            failures: Vec::new(),
            told: 0,
            sender,
            inbox,
        }
    }

    async fn run(&mut self, target: &mut Target) -> Result<(), Error> {
        loop {
            while let Some(bytes) = self.decoder.plaintext()? {
                target.write(bytes).await?;
                self.observer.wrote(num::size(bytes.len()));
                self.is_begun = true;
                self.tell_failures();
            }
            self.note_bad_shares();
            if self.decoder.is_done() {
                self.tell_failures();
                return Ok(());
            }
            self.ask()?;
            let begun = Instant::now();
            let look_at = self
                .route
                .next_look(begun, |place| self.ring[place].sight());
            let event = tokio::select! {
                // What has come is looked at first: it may be we who were late.
                biased;
                event = self.inbox.recv() => event,
                () = until(look_at) => None,
            };
            let now = Instant::now();
            self.route.wait(now, now - begun);
            if let Some((holder, question, reading)) = event {
                if !self.route.is_lost(holder) {
                    self.handle_reading(holder, question, reading);
                }
            } else {
                let sight = |place: Place| self.ring[place].sight();
                for place in self.route.find_silent(now, sight) {
                    self.ring[place].note_late();
                }
            }
        }
    }

    /// Asks what is to be asked now: of holders for bytes, of further servers for shares.
    fn ask(&mut self) -> Result<(), Error> {
        loop {
            while let Some(request) = self.decoder.next_request() {
                self.ask_for_bytes(request);
            }
            let Some((late, waited)) = self.route.replace_next(Instant::now()) else {
                break;
            };
            self.decoder.lost(late);
            let error = ServerError::TooSlow {
                doing: Doing::Answering,
                limit: waited,
            };
            self.note(late, None, Arc::new(error));
        }
        let shortfall = self.decoder.shortfall();
        while let Some(holder) = self.route.open_next(shortfall, Instant::now()) {
            self.open(holder);
        }
        if self.route.cannot_succeed(shortfall) {
            return Err(self.not_enough(shortfall));
        }
        Ok(())
    }

    /// Asks a server for any share.
    fn open(&mut self, holder: Holder) {
        // On a grid of fewer servers than needed shares, each must give several.
        let needed = self.cap.parameters().needed();
        let limit = needed.div_ceil(self.ring.len().max(1));
        let ranges = match self.is_begun {
            false => byte_ranges(self.decoder.opening()),
            true => Vec::new(),
        };
        self.send(holder, Question::Opening, limit, Vec::new(), ranges);
    }

    fn ask_for_bytes(&mut self, request: Request) {
        let Request {
            id,
            holder,
            share_number,
            ranges,
        } = request;
        self.route.ask(holder, id, share_number, Instant::now());
        let ranges = byte_ranges(&ranges);
        self.send(holder, Question::Request(id), 1, vec![share_number], ranges);
    }

    fn send(
        &mut self,
        holder: Holder,
        question: Question,
        limit: usize,
        numbers: Vec<ShareNumber>,
        ranges: Vec<ByteRange>,
    ) {
        let limit = u16::try_from(limit).expect("at most 256 shares are needed");
        let read = ReadRequest::new(self.cap.storage_index(), limit, numbers, ranges)
            .expect("the decoder's ranges ascend and are few");
        let sender = self.sender.clone();
        self.server(holder).read(&self.trips, read, move |reading| {
            // Nobody listens once the download is over.
            drop(sender.send((holder, question, reading)));
        });
    }

    fn handle_reading(&mut self, holder: Holder, question: Question, reading: Reading) {
        let now = Instant::now();
        match reading {
            Reading::Bytes {
                share,
                offset,
                bytes,
            } => {
                self.route.receive(holder, question, now);
                let request = match question {
                    Question::Opening => self.opened(holder, share),
                    Question::Request(request) => Some(request),
                };
                if let Some(request) = request {
                    self.decoder.receive(request, offset, &bytes);
                }
            }
            Reading::Held(held) => {
                let readable = held.shares.iter().filter(|share| share.size.is_some());
                let numbers = readable.map(|share| share.share_number);
                self.route.end(holder, question, numbers, now);
                match question {
                    Question::Opening => self.end_opening(holder, &held),
                    Question::Request(request) => self.decoder.end(request),
                }
                if let Some(reason) = held.failure {
                    let refusal = ServerError::Refused(Refusal::new(reason));
                    self.note(holder, None, Arc::new(refusal));
                }
            }
            Reading::Failed(error) => {
                self.route.fail(holder, error.is_passing());
                self.decoder.lost(holder);
                self.note(holder, None, error);
            }
        }
    }

    /// The request that bytes of the answer to an opening belong to, if they are wanted.
    fn opened(&mut self, holder: Holder, share: ShareNumber) -> Option<RequestId> {
        let (decoder, route) = (&mut self.decoder, &mut self.route);
        *self.opened.entry((holder, share)).or_insert_with(|| {
            let request = decoder.answer(holder, share);
            if request.is_some() {
                route.take(holder, share);
            }
            request
        })
    }

    /// A server has given its whole answer to the opening.
    fn end_opening(&mut self, holder: Holder, held: &Held) {
        for share in &held.shares {
            if share.size.is_some() {
                self.decoder.offer(holder, share.share_number);
            }
        }
        for ((opened, _), request) in &self.opened {
            if let (true, Some(request)) = (*opened == holder, *request) {
                self.decoder.end(request);
            }
        }
        if held.shares.is_empty() && held.failure.is_none() {
            self.note(holder, None, Arc::new(ServerError::NoShare));
        }
    }

    fn note_bad_shares(&mut self) {
        while let Some(bad) = self.decoder.next_bad_share() {
            self.route.condemn(bad.holder, bad.share_number);
            self.note(
                bad.holder,
                Some(bad.share_number),
                Arc::new(ServerError::BadShare(bad.damage)),
            );
        }
    }

    fn note(&mut self, holder: Holder, share: Option<ShareNumber>, error: Arc<ServerError>) {
        self.failures.push(Failure {
            server: self.server(holder).name().clone(),
            share,
            error,
        });
    }

    /// Tells of what was routed around. If that fails in the end, the error tells it all.
    fn tell_failures(&mut self) {
        for failure in &self.failures[self.told..] {
            // That a server has no share of a file is no failure of the server.
            if !matches!(*failure.error, ServerError::NoShare) {
                self.observer.failed(failure);
            }
        }
        self.told = self.failures.len();
    }

    fn not_enough(&mut self, missing: usize) -> Error {
        let needed = self.cap.parameters().needed();
        Error::NotEnoughShares(NotEnoughShares {
            found: needed.saturating_sub(missing),
            needed,
            servers: self.route.servers_asked(),
            failures: std::mem::take(&mut self.failures),
        })
    }

    fn server(&self, holder: Holder) -> &Rc<Server> {
        &self.ring[self.route.place(holder)]
    }
}

fn byte_ranges(ranges: &[Range<u64>]) -> Vec<ByteRange> {
    ranges
        .iter()
        .map(|range| {
            ByteRange::new(range.start, range.end - range.start)
                .expect("the decoder asks for bytes that a share has")
        })
        .collect()
}
