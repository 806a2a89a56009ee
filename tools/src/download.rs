//! Downloading: a capability in, verified plaintext out.
//!
//! The first servers of the ring are asked at once for any share that they have: a small file is one
//! round trip. Nothing that comes is believed until the decoder has proved it. A server that is down,
//! late or lying is replaced by the next one on the ring, as long as there is one.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use encoder::native::{Decoder, Geometry, Holder, ReadAhead, Request};
use lafs::cap::native::ReadCap;
use lafs::cap::{Cap, CapError};
use lafs::{ShareNumber, num};
use protocol::{ByteRange, ReadRequest, Refusal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::{Error, NotEnoughShares};
use crate::failure::{Doing, Failure, ServerError};
use crate::grid::{Grid, Reading, Server, Trips, until};
use crate::output::{Block, Target};

mod decoding;
mod route;
mod span;
mod write_ahead;

use decoding::{Decoding, Input};
use route::{Place, Question, Route};
use write_ahead::WriteAhead;

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
            let mut block = Block::new(end - start);
            block.push(&bytes[start..end]);
            if !block.is_empty() {
                target.write(block).await?;
            }
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
            target = download.run(target).await?;
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
    size: u64,
    /// Not here while it works on another thread.
    decoding: Option<Box<Decoding>>,
    /// What it is to take next.
    inputs: Vec<Input>,
    route: Route,
    trips: Trips,
    ring: Vec<Rc<Server>>,
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
        let size = range.end - range.start;
        let decoder = Decoder::new(cap, range, ReadAhead::default());
        Self {
            observer,
            cap,
            size,
            decoding: Some(Box::new(Decoding::new(decoder))),
            inputs: Vec::new(),
            route: Route::new(
                punctual.into_iter().chain(late),
                grid.patience(),
                Instant::now(),
            ),
            trips: Trips::new(),
            ring,
            is_begun: false,
            failures: Vec::new(),
            told: 0,
            sender,
            inbox,
        }
    }

    async fn run(&mut self, target: Target) -> Result<Target, Error> {
        let mut output = WriteAhead::new(target, self.size);
        let mut block: Option<Block> = None;
        // The decoder has more than the last block could take.
        let mut is_stuck = false;
        loop {
            if is_stuck || !self.inputs.is_empty() {
                if let Some(filling) = block.take().or_else(|| output.free_block()) {
                    let filled = self.step(filling).await?;
                    is_stuck = filled.is_full();
                    self.note_bad_shares();
                    if !filled.is_empty() {
                        self.is_begun = true;
                        self.tell_failures();
                    }
                    block = Some(filled);
                }
            }
            let is_last = self.decoding().is_done();
            block = block.and_then(|filled| output.put(filled, is_last));
            if is_last {
                while !output.is_resting() {
                    self.observer.wrote(output.written().await?);
                }
                self.tell_failures();
                return Ok(output.into_target());
            }
            self.ask_for_more();
            if !is_stuck && self.inputs.is_empty() {
                self.ask_others()?;
            } else if block.is_some() || output.has_free_block() {
                continue;
            }
            self.wait(&mut output).await?;
        }
    }

    /// Has the decoder take what has come: what may take long, on another thread.
    async fn step(&mut self, mut block: Block) -> Result<Block, Error> {
        let inputs = std::mem::take(&mut self.inputs);
        let mut decoding = self.decoding.take().expect(BETWEEN_STEPS);
        let (decoding, block, stepped) = if self.size <= ASIDE_SIZE_MIN {
            let stepped = decoding.step(inputs, &mut block);
            (decoding, block, stepped)
        } else {
            let stepping = tokio::task::spawn_blocking(move || {
                let stepped = decoding.step(inputs, &mut block);
                (decoding, block, stepped)
            });
            let stepped = stepping.await;
            stepped.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        };
        self.decoding = Some(decoding);
        stepped?;
        while let Some((holder, share)) = self.decoding().next_taken() {
            self.route.take(holder, share);
        }
        Ok(block)
    }

    /// Waits until something has come from a server, or has gone to the target, or somebody is late.
    async fn wait(&mut self, output: &mut WriteAhead) -> Result<(), Error> {
        let begun = Instant::now();
        let look_at = self
            .route
            .next_look(begun, |place| self.ring[place].sight());
        let mut is_looking = false;
        let mut event = tokio::select! {
            biased;
            // The next block should not wait until the servers have nothing more to send.
            written = output.written() => {
                self.observer.wrote(written?);
                None
            }
            // What has come is looked at before the time: it may be we who were late.
            event = self.inbox.recv() => event,
            () = until(look_at) => {
                is_looking = true;
                None
            }
        };
        let now = Instant::now();
        self.route.wait(now, now - begun);
        if is_looking {
            let sight = |place: Place| self.ring[place].sight();
            for place in self.route.find_silent(now, sight) {
                self.ring[place].note_late();
            }
        }
        while let Some((holder, question, reading)) = event {
            if !self.route.is_lost(holder) {
                self.handle_reading(holder, question, reading);
            }
            event = self.inbox.try_recv().ok();
        }
        Ok(())
    }

    /// Asks for the bytes that the decoder wants next.
    fn ask_for_more(&mut self) {
        while let Some(request) = self.decoder().next_request() {
            self.ask_for_bytes(request);
        }
    }

    /// Turns to other holders for what late ones owe, and to further servers for shares, once the
    /// decoder has taken all that has come.
    fn ask_others(&mut self) -> Result<(), Error> {
        while let Some((late, waited)) = self.route.replace_next(Instant::now()) {
            self.decoder().lost(late);
            let error = ServerError::TooSlow {
                doing: Doing::Answering,
                limit: waited,
            };
            self.note(late, None, Arc::new(error));
            self.ask_for_more();
        }
        let shortfall = self.decoder().shortfall();
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
            false => byte_ranges(self.decoder().opening()),
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
                self.inputs.push(match question {
                    Question::Opening => Input::Opened(holder, share, offset, bytes),
                    Question::Request(request) => Input::Bytes(request, offset, bytes),
                });
            }
            Reading::Held(held) => {
                let readable = held.shares.iter().filter(|share| share.size.is_some());
                let numbers: Vec<_> = readable.map(|share| share.share_number).collect();
                self.route
                    .end(holder, question, numbers.iter().copied(), now);
                match question {
                    Question::Opening => {
                        self.inputs.push(Input::OpeningEnded(holder, numbers));
                        if held.shares.is_empty() && held.failure.is_none() {
                            self.note(holder, None, Arc::new(ServerError::NoShare));
                        }
                    }
                    Question::Request(request) => self.inputs.push(Input::Ended(request)),
                }
                if let Some(reason) = held.failure {
                    let refusal = ServerError::Refused(Refusal::new(reason));
                    self.note(holder, None, Arc::new(refusal));
                }
            }
            Reading::Failed(error) => {
                self.route.fail(holder, error.is_passing());
                self.inputs.push(Input::Lost(holder));
                self.note(holder, None, error);
            }
        }
    }

    fn note_bad_shares(&mut self) {
        while let Some(bad) = self.decoder().next_bad_share() {
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

    fn decoding(&mut self) -> &mut Decoding {
        self.decoding.as_mut().expect(BETWEEN_STEPS)
    }

    fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoding().decoder
    }
}

const BETWEEN_STEPS: &str = "between two steps the decoder is here";

/// Up to this size it takes longer to wake another thread than to decode.
const ASIDE_SIZE_MIN: u64 = 256 << 10;

fn byte_ranges(ranges: &[Range<u64>]) -> Vec<ByteRange> {
    ranges
        .iter()
        .map(|range| {
            ByteRange::new(range.start, range.end - range.start)
                .expect("the decoder asks for bytes that a share has")
        })
        .collect()
}
