//! One connection that speaks the pipeline: the loop that carries bytes and answers.
//!
//! It decides nothing: what the bytes mean is [`server::Connection`]'s, what the store has to do is
//! [`Work`]'s, how long to wait is [`Patience`]'s. An idle connection holds no buffer of ours.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf;
use protocol::limits::{BYTES_IN_FLIGHT_ALL_MAX, CHUNK_LEN_MAX, FLIGHT_LEN_MAX};
use protocol::server::{self, Event};
use protocol::{Farewell, Violation};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::gathering::Gathering;
use crate::goodbye;
use crate::patience::{Patience, Sight};
use crate::peer::Peer;
use crate::shared::{Shared, StopSignal};
use crate::socket::Socket;
use crate::store::{Done, Session};
use crate::work::Work;

/// A connection and everything under way for it.
pub(crate) struct Pipeline {
    stream: TlsStream<Socket>,
    connection: server::Connection,
    work: Work,
    session: Session,
    steps: JoinSet<Done>,
    patience: Patience,
    gathering: Gathering,
    timer: Pin<Box<Sleep>>,
    shared: Arc<Shared>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What of the connection's bytes in flight the daemon's total knows of.
    counted: usize,
    reading: Reading,
}

/// Whether there is more to come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// There may be.
    On,
    /// Nothing more comes; what was asked for in full is answered, then the connection ends.
    Over(End),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer had no more to ask.
    Peer,
    /// The daemon stops.
    Stop,
    /// REFUSE is queued.
    Farewell,
}

impl End {
    /// For the log.
    fn name(self) -> &'static str {
        match self {
            Self::Peer => "the client",
            Self::Stop => "the server, which stops",
            Self::Farewell => "the server",
        }
    }
}

impl Pipeline {
    /// Serves a connection on which TLS is done and HELLO is due at some time.
    pub(crate) async fn serve(
        mut stream: TlsStream<Socket>,
        shared: Arc<Shared>,
        stop: StopSignal,
        hello_due: Instant,
        turned_away: bool,
    ) {
        stream.get_mut().1.set_buffer_limit(Some(FLIGHT_LEN_MAX));
        let now = Instant::now();
        let patience = Patience::new(shared.limits(), hello_due, now);
        let mut connection = server::Connection::new(shared.swissnum().clone());
        let mut reading = Reading::On;
        if turned_away {
            connection.refuse(Farewell::TooManyConnections, "");
            reading = Reading::Over(End::Farewell);
        }
        let mut pipeline = Self {
            stream,
            connection,
            work: Work::default(),
            session: Session::new(shared.store().clone()),
            steps: JoinSet::new(),
            timer: Box::pin(sleep_until(patience.deadline().into())),
            patience,
            gathering: Gathering::default(),
            shared,
            stopped: Box::pin(stop.stopped()),
            counted: 0,
            reading,
        };
        let ended = poll_fn(|context| pipeline.poll_serve(context)).await;
        pipeline.end(ended).await;
    }

    /// Carries what there is to carry, until the connection has nothing more to say.
    fn poll_serve(&mut self, context: &mut Context<'_>) -> Poll<io::Result<End>> {
        if self.reading == Reading::On && self.stopped.as_mut().poll(context).is_ready() {
            self.stop_reading(End::Stop);
        }
        loop {
            let mut moved = self.poll_steps(context);
            moved |= self.poll_write(context)?;
            moved |= self.poll_read(context)?;
            self.count_bytes();
            if let Some(end) = self.poll_end(context)? {
                return Poll::Ready(Ok(end));
            }
            if !moved && !self.poll_timer(context)? {
                return Poll::Pending;
            }
        }
    }

    /// Takes the store's answers and gives it new steps.
    fn poll_steps(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        // A peer that does not take its answers gets no more of them.
        while self.connection.wants_shares() {
            let Poll::Ready(Some(done)) = self.steps.poll_join_next(context) else {
                break;
            };
            // A step only panics by a bug of ours, which is not to be carried on.
            let done = done.expect("a step neither panics nor is aborted");
            let (request, answer) = self.session.take_back(done);
            if let Some(kind) = answer.refused_share() {
                self.shared.share_refused(kind);
            }
            self.work
                .handle_answer(request, answer, &mut self.connection);
            moved = true;
        }
        while let Some((request, step)) = self.work.next_step(&self.connection) {
            self.steps.spawn(self.session.begin(request, step));
            moved = true;
        }
        moved
    }

    /// Writes what is queued, as far as the socket takes it, unless it waits for more.
    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        let more = self.work.has_puts() && self.reading == Reading::On;
        let output = self.connection.output();
        let len = output.remaining();
        if len > 0 && self.gathering.holds(Instant::now(), len, more) {
            return Ok(false);
        }
        while output.has_remaining() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = output.chunks_vectored(&mut slices);
            let stream = Pin::new(&mut self.stream);
            match stream.poll_write_vectored(context, &slices[..count]) {
                Poll::Ready(Ok(len)) => {
                    output.advance(len);
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(moved),
            }
        }
        if self.stream.get_ref().1.wants_write() {
            let _pending = Pin::new(&mut self.stream).poll_flush(context)?;
        }
        Ok(moved)
    }

    /// Reads and handles one TLS record, if it is wanted and there.
    fn poll_read(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        if self.reading != Reading::On || !self.may_read() {
            return Ok(false);
        }
        let stream = Pin::new(&mut self.stream);
        let input = match stream.poll_fill_buf(context) {
            Poll::Pending => return Ok(false),
            Poll::Ready(input) => input?,
        };
        let mut rest = input;
        let len = input.len();
        let mut violation = None;
        loop {
            match self.connection.read(&mut rest) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    if let Event::Admitted { .. } = event {
                        self.connection.welcome(self.shared.welcome());
                    }
                    self.work.handle_event(event, &mut self.connection);
                }
                Err(broken) => {
                    violation = Some(broken);
                    break;
                }
            }
        }
        let taken = len - rest.len();
        Pin::new(&mut self.stream).consume(taken);
        if len == 0 {
            self.stop_reading(End::Peer);
        }
        if let Some(violation) = violation {
            self.log_violation(violation);
            self.stop_reading(End::Farewell);
        }
        Ok(taken > 0 || self.reading != Reading::On)
    }

    /// Whether this connection's limits, and all connections' together, let it take more.
    fn may_read(&self) -> bool {
        // One chunk each is always granted, so that every connection comes to its turn; whoever
        // has more waits for its own chunks to be done with, which wakes it.
        self.connection.wants_input()
            && (self.connection.bytes_in_flight() < CHUNK_LEN_MAX
                || self.shared.bytes_in_flight() < BYTES_IN_FLIGHT_ALL_MAX)
    }

    fn count_bytes(&mut self) {
        let received = self.stream.get_ref().0.received_len();
        let held = self.connection.bytes_in_flight() + received;
        self.shared.recount_bytes(self.counted, held);
        self.counted = held;
    }

    /// Whether the conversation is over and all of it is with the socket.
    fn poll_end(&mut self, context: &mut Context<'_>) -> io::Result<Option<End>> {
        let Reading::Over(end) = self.reading else {
            return Ok(None);
        };
        if end != End::Farewell && self.work.is_busy() {
            return Ok(None);
        }
        if end == End::Stop {
            // Everything that was asked for is answered.
            self.connection.refuse(Farewell::Stopping, "");
        }
        self.poll_write(context)?;
        let flushed =
            !self.connection.output().has_remaining() && !self.stream.get_ref().1.wants_write();
        Ok(flushed.then_some(end))
    }

    /// Ends the connection of a peer that has tried our patience; sets the timer anew.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let now = Instant::now();
        let traffic = self.connection.traffic();
        let waiting = self.connection.output().remaining();
        let owes_rest =
            self.reading == Reading::On && self.may_read() && self.connection.is_inside_frame();
        self.patience.observe(
            now,
            Sight {
                admitted: self.connection.is_admitted() || self.reading != Reading::On,
                moved: traffic.bytes_received + traffic.bytes_sent - lafs::num::size(waiting),
                owing: owes_rest || waiting > 0 || self.stream.get_ref().1.wants_write(),
                working: self.work.is_busy(),
            },
        );
        let deadline = self.deadline().into();
        if deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(context).is_ready() {
            if let Some(farewell) = self.patience.verdict(now) {
                if self.reading == Reading::Over(End::Farewell) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                debug!(peer = %self.peer(), reason = %farewell, "closing");
                self.connection.refuse(farewell, "");
                self.stop_reading(End::Farewell);
                return Ok(true);
            }
            if self.gathering.deadline().is_some_and(|due| due <= now) {
                return Ok(true);
            }
            // The deadline has moved on since the timer was set.
            let deadline = self.deadline().into();
            self.timer.as_mut().reset(deadline);
        }
        Ok(false)
    }

    /// When to look at this connection again, whatever happens until then.
    fn deadline(&self) -> Instant {
        let patience = self.patience.deadline();
        self.gathering
            .deadline()
            .map_or(patience, |due| due.min(patience))
    }

    /// Nothing more is read: uploads that were not closed are left to be resumed.
    fn stop_reading(&mut self, end: End) {
        self.reading = Reading::Over(end);
        self.work.leave_uploads(&mut self.connection);
        if end == End::Farewell {
            self.work.drop_reads();
        }
    }

    /// Says goodbye, then lets the store finish what it has begun for this connection.
    async fn end(mut self, ended: io::Result<End>) {
        match &ended {
            Ok(end) => {
                let traffic = self.connection.traffic();
                debug!(
                    peer = %self.peer(),
                    by = end.name(),
                    frames_sent = traffic.frames_sent,
                    bytes_sent = traffic.bytes_sent,
                    frames_received = traffic.frames_received,
                    bytes_received = traffic.bytes_received,
                    "closed"
                );
            }
            Err(error) => debug!(peer = %self.peer(), %error, "broken"),
        }
        if ended.is_ok() {
            goodbye::say(&mut self.stream).await;
        }
        // Closes the socket; the store still owes answers, and uploads have to be left in order.
        drop(self.stream);
        self.work.drop_reads();
        self.work.leave_uploads(&mut self.connection);
        loop {
            while let Some((request, step)) = self.work.next_step(&self.connection) {
                self.steps.spawn(self.session.begin(request, step));
            }
            let Some(done) = self.steps.join_next().await else {
                break;
            };
            let done = done.expect("a step neither panics nor is aborted");
            let (request, answer) = self.session.take_back(done);
            self.work
                .handle_answer(request, answer, &mut self.connection);
        }
        self.shared.recount_bytes(self.counted, 0);
    }

    fn log_violation(&self, violation: Violation) {
        let (peer, notices) = (self.peer(), self.shared.notices());
        match violation {
            Violation::WrongSwissnum => notices.wrong_swissnum(peer),
            broken => notices.malformed(peer, &broken),
        }
    }

    fn peer(&self) -> Peer {
        Peer::of(self.stream.get_ref().0.stream())
    }
}

/// Pieces of output that go into one write.
const SLICES: usize = 16;
