//! Downloading: a capability in, verified plaintext out.
//!
//! The first servers of the ring are asked for whichever share they have, without a question before:
//! of a small file that is all, one round trip. What comes is believed only as far as the decoder
//! can prove it; a server that is down, slow or lying is replaced by the next one on the ring while
//! there are any.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use encoder::{Decoder, Holder, Limits, Request, RequestId};
use lafs::cap::{Cap, ReadCap};
use lafs::{ShareNumber, num};
use protocol::{ByteRange, ReadRequest, Refusal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::error::{Doing, Error, Failure, NotEnoughShares, ServerError};
use crate::grid::{Grid, Held, Reading, Server, Trips};
use crate::output::Target;

mod span;

pub use span::{Span, SpanError};

/// Hears how a download goes.
pub trait Observer {
    /// This many bytes will be written.
    fn expects(&self, _bytes: u64) {}
    /// So many more bytes were verified and written.
    fn wrote(&self, _bytes: u64) {}
    /// A server failed or lied, and is being routed around.
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
        Cap::Read(cap) => {
            let range = span.within(cap.size())?;
            observer.expects(range.end - range.start);
            let mut download = Download::new(grid, cap, range.clone(), observer);
            download.run(&mut target).await?;
            Downloaded {
                size: range.end - range.start,
                servers_asked: download.asked_servers(),
                round_trips: download.trips.count(),
                failures: download.failures,
            }
        }
        Cap::Verify(_) => return Err(Error::VerifyOnly),
    };
    target.finish().await?;
    Ok(downloaded)
}

/// A download in progress.
struct Download<'a> {
    grid: &'a Grid,
    observer: &'a dyn Observer,
    cap: &'a ReadCap,
    decoder: Decoder,
    trips: Trips,
    ring: Vec<Rc<Server>>,
    /// Places on the ring still to be asked: each once, and once more after a passing failure.
    candidates: VecDeque<usize>,
    /// Who was asked, by [`Holder`].
    holders: Vec<HolderState>,
    failures: Vec<Failure>,
    sender: mpsc::UnboundedSender<(Holder, Question, Reading)>,
    inbox: mpsc::UnboundedReceiver<(Holder, Question, Reading)>,
}

/// A server that was asked, in one attempt.
struct HolderState {
    place: usize,
    is_second_attempt: bool,
    /// The first question has no end of its answer yet.
    is_opening: bool,
    is_lost: bool,
    /// What the decoder made of the shares in the first answer.
    opened: HashMap<ShareNumber, Option<RequestId>>,
    /// Requests without an end.
    requests: HashSet<RequestId>,
}

/// What an answer belongs to.
#[derive(Clone, Copy, Debug)]
enum Question {
    Opening,
    Request(RequestId),
}

impl<'a> Download<'a> {
    fn new(
        grid: &'a Grid,
        cap: &'a ReadCap,
        range: Range<u64>,
        observer: &'a dyn Observer,
    ) -> Self {
        let ring = grid.ring(cap.storage_index());
        let (sender, inbox) = mpsc::unbounded_channel();
        Self {
            grid,
            observer,
            cap,
            decoder: Decoder::new(cap, range, Limits::default()),
            trips: Trips::new(),
            candidates: (0..ring.len()).collect(),
            ring,
            holders: Vec::new(),
            failures: Vec::new(),
            sender,
            inbox,
        }
    }

    async fn run(&mut self, target: &mut Target) -> Result<(), Error> {
        let mut pace = Pace::new(self.grid.patience().hedge);
        loop {
            while let Some(bytes) = self.decoder.plaintext()? {
                target.write(bytes).await?;
                self.observer.wrote(num::size(bytes.len()));
            }
            self.note_bad_shares();
            if self.decoder.is_done() {
                return Ok(());
            }
            while let Some(request) = self.decoder.next_request() {
                self.ask(request);
            }
            self.ask_further_servers()?;
            tokio::select! {
                event = self.inbox.recv() => {
                    let (holder, question, reading) = event.expect("we hold a sender ourselves");
                    self.handle_reading(holder, question, reading);
                    pace.progress();
                }
                () = sleep_until(pace.deadline) => {
                    self.pass_over_the_late();
                    pace.wait_on();
                }
            }
        }
    }

    /// Asks as many further servers as shares are missing, counting those that have yet to answer.
    fn ask_further_servers(&mut self) -> Result<(), Error> {
        let opening = self.holders.iter().filter(|holder| holder.is_opening);
        let opening = opening.count();
        let missing = self.decoder.shortfall();
        for _ in opening..missing {
            if !self.open_next() {
                break;
            }
        }
        let is_waiting = self.holders.iter().any(HolderState::is_awaited);
        let is_hopeless = if missing > 0 {
            !self.holders.iter().any(|holder| holder.is_opening)
        } else {
            !is_waiting
        };
        if is_hopeless {
            return Err(self.not_enough(missing));
        }
        Ok(())
    }

    /// Asks the next server on the ring for any share; false if there is none.
    fn open_next(&mut self) -> bool {
        let Some(place) = self.candidates.pop_front() else {
            return false;
        };
        let holder = Holder(num::size(self.holders.len()));
        let is_second_attempt = self.holders.iter().any(|holder| holder.place == place);
        self.holders.push(HolderState {
            place,
            is_second_attempt,
            is_opening: true,
            is_lost: false,
            opened: HashMap::new(),
            requests: HashSet::new(),
        });
        // On a grid of fewer servers than needed shares, each must give several.
        let needed = self.cap.parameters().needed();
        let limit = needed.div_ceil(self.ring.len().max(1));
        let ranges = byte_ranges(self.decoder.opening());
        self.send(holder, Question::Opening, limit, Vec::new(), ranges);
        true
    }

    fn ask(&mut self, request: Request) {
        let Request {
            id,
            holder,
            number,
            ranges,
        } = request;
        self.state(holder).requests.insert(id);
        let ranges = byte_ranges(&ranges);
        self.send(holder, Question::Request(id), 1, vec![number], ranges);
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
        let place = self.state(holder).place;
        self.ring[place].read(&self.trips, read, move |reading| {
            // Nobody listens once the download is over.
            drop(sender.send((holder, question, reading)));
        });
    }

    fn handle_reading(&mut self, holder: Holder, question: Question, reading: Reading) {
        if self.state(holder).is_lost {
            return;
        }
        match (question, reading) {
            (
                Question::Opening,
                Reading::Bytes {
                    share,
                    offset,
                    bytes,
                },
            ) => {
                let decoder = &mut self.decoder;
                let index = index(holder);
                let opened = &mut self.holders[index].opened;
                let request = opened
                    .entry(share)
                    .or_insert_with(|| decoder.answer(holder, share));
                if let Some(request) = *request {
                    decoder.receive(request, offset, &bytes);
                }
            }
            (Question::Request(request), Reading::Bytes { offset, bytes, .. }) => {
                self.decoder.receive(request, offset, &bytes);
            }
            (Question::Opening, Reading::Held(held)) => self.opened(holder, &held),
            (Question::Request(request), Reading::Held(held)) => {
                self.state(holder).requests.remove(&request);
                self.decoder.end(request);
                self.note_refusal(holder, &held);
            }
            (_, Reading::Failed(error)) => {
                let state = self.state(holder);
                let (place, is_second_attempt) = (state.place, state.is_second_attempt);
                if error.is_passing() && !is_second_attempt {
                    self.candidates.push_back(place);
                }
                self.note(holder, None, error);
                self.lose(holder);
            }
        }
    }

    /// A server has given its whole answer to the first question.
    fn opened(&mut self, holder: Holder, held: &Held) {
        for share in &held.shares {
            if share.size.is_some() {
                self.decoder.offer(holder, share.share_number);
            }
        }
        let state = self.state(holder);
        state.is_opening = false;
        let requests: Vec<_> = state.opened.values().copied().flatten().collect();
        for request in requests {
            self.decoder.end(request);
        }
        if held.shares.is_empty() && held.failure.is_none() {
            // No failure yet: only when shares are missing in the end is it worth a word.
            let failure = self.failure(holder, None, Arc::new(ServerError::NoShare));
            self.failures.push(failure);
        }
        self.note_refusal(holder, held);
    }

    fn note_refusal(&mut self, holder: Holder, held: &Held) {
        if let Some(reason) = held.failure {
            let refusal = ServerError::Refused(Refusal::new(reason));
            self.note(holder, None, Arc::new(refusal));
        }
    }

    /// Turns to others when some servers have answered and the rest stays silent.
    fn pass_over_the_late(&mut self) {
        let missing = self.decoder.shortfall();
        if missing > 0 {
            for _ in 0..missing {
                self.open_next();
            }
            return;
        }
        // A slow server is better than none, and one that was passed over before is all there is.
        let fresh = self
            .candidates
            .iter()
            .filter(|place| self.holders.iter().all(|holder| holder.place != **place))
            .count();
        let is_anyone_idle = self
            .holders
            .iter()
            .any(|holder| !holder.is_lost && !holder.is_awaited());
        if !is_anyone_idle {
            return;
        }
        let late: Vec<_> = (0..self.holders.len())
            .filter(|&index| {
                let holder = &self.holders[index];
                holder.is_awaited() && !holder.is_second_attempt
            })
            .take(fresh)
            .collect();
        for index in late {
            let holder = Holder(num::size(index));
            self.candidates.push_back(self.holders[index].place);
            let error = ServerError::TooSlow {
                doing: Doing::Answering,
                limit: self.grid.patience().hedge,
            };
            self.note(holder, None, Arc::new(error));
            self.lose(holder);
        }
    }

    fn lose(&mut self, holder: Holder) {
        let state = self.state(holder);
        state.is_lost = true;
        state.is_opening = false;
        state.requests.clear();
        self.decoder.lost(holder);
    }

    fn note_bad_shares(&mut self) {
        while let Some(bad) = self.decoder.next_bad_share() {
            self.note(
                bad.holder,
                Some(bad.number),
                Arc::new(ServerError::BadShare(bad.damage)),
            );
        }
    }

    fn note(&mut self, holder: Holder, share: Option<ShareNumber>, error: Arc<ServerError>) {
        let failure = self.failure(holder, share, error);
        self.observer.failed(&failure);
        self.failures.push(failure);
    }

    fn failure(
        &mut self,
        holder: Holder,
        share: Option<ShareNumber>,
        error: Arc<ServerError>,
    ) -> Failure {
        let place = self.state(holder).place;
        Failure {
            server: self.ring[place].name().clone(),
            share,
            error,
        }
    }

    fn not_enough(&mut self, missing: usize) -> Error {
        let needed = self.cap.parameters().needed();
        Error::NotEnoughShares(NotEnoughShares {
            found: needed.saturating_sub(missing),
            needed,
            servers: self.asked_servers(),
            failures: std::mem::take(&mut self.failures),
        })
    }

    fn asked_servers(&self) -> usize {
        let places: HashSet<_> = self.holders.iter().map(|holder| holder.place).collect();
        places.len()
    }

    fn state(&mut self, holder: Holder) -> &mut HolderState {
        &mut self.holders[index(holder)]
    }
}

impl HolderState {
    fn is_awaited(&self) -> bool {
        self.is_opening || !self.requests.is_empty()
    }
}

/// How long to wait before turning to others: what those who answered took, a few times over.
struct Pace {
    begun: Instant,
    hedge: Duration,
    deadline: Instant,
}

impl Pace {
    fn new(hedge: Duration) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            hedge,
            deadline: begun + hedge,
        }
    }

    fn progress(&mut self) {
        let usual = self.begun.elapsed() * 3;
        let wait = usual.clamp(HEDGE_MIN.min(self.hedge), self.hedge);
        self.deadline = Instant::now() + wait;
    }

    fn wait_on(&mut self) {
        self.deadline = Instant::now() + self.hedge;
    }
}

/// Below this, a hiccup is no sign of anything.
const HEDGE_MIN: Duration = Duration::from_millis(500);

fn byte_ranges(ranges: &[Range<u64>]) -> Vec<ByteRange> {
    ranges
        .iter()
        .map(|range| {
            ByteRange::new(range.start, range.end - range.start)
                .expect("the decoder asks for bytes that a share has")
        })
        .collect()
}

fn index(holder: Holder) -> usize {
    num::len(holder.0).expect("it is a place in a table")
}
