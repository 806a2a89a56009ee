//! The driver: carries requests, operations, completions and the time between the store, its
//! engine and whoever asks. It decides nothing.
//!
//! [`open`] gives the two ends. [`Driver::run`] is one task on a current-thread runtime, and stays
//! on the thread that opened it: a ring answers to no other. Every [`StoreHandle`] is a way to ask,
//! from any thread. The queue between them is bounded, and the driver takes from it only while the
//! store has room, so whoever asks too much waits.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use crate::disk::{Completion, Engine, EngineChoice, EngineError, FLIGHT_MAX, Root, start_engine};
use crate::error::OpenError;
use crate::glance::Glance;
use crate::handle::{Inbox, Left, Message, StoreHandle};
use crate::identifier::{Found, look};
use crate::keys::KeyMap;
use crate::layout::VERSION;
use crate::request::{Answer, DetachUpload, DropSpool, Now, Request, RequestId};
use crate::store::{Config, Store};

/// Opens the store in a directory; [`crate::create()`] makes one.
///
/// Blocks until the journal is replayed. The driver has to be run for the handle to be of use.
///
/// # Errors
///
/// [`StartError`]; nothing of the store is lost by it.
pub fn open(
    path: &Path,
    engine: EngineChoice,
    config: &Config,
) -> Result<(StoreHandle, Driver), StartError> {
    // Before the directory is locked, which would leave a trace on a disk that is not the store's.
    match look(path)? {
        Found::Store(_) => {}
        Found::NoDirectory | Found::NoStore => {
            return Err(OpenError::Missing { name: VERSION }.into());
        }
        // Opening says it in detail.
        Found::Part { .. } => {}
    }
    open_at(path, engine, config, Clock::start())
}

fn open_at(
    path: &Path,
    engine: EngineChoice,
    config: &Config,
    clock: Clock,
) -> Result<(StoreHandle, Driver), StartError> {
    let root = Arc::new(Root::open(path).map_err(OpenError::from)?);
    let mut engine = start_engine(&root, engine)?;
    let store = Store::open(engine.as_mut(), config, clock.now())?;
    let glance = Glance::new(&root, store.sight());
    let (handle, inbox) = StoreHandle::new(glance);
    let driver = Driver {
        store,
        engine,
        clock,
        inbox,
        replies: KeyMap::default(),
        completions: Vec::new(),
        woken_by: None,
        left: Vec::new(),
        ending: None,
    };
    Ok((handle, driver))
}

/// Why a store cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Its engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The store, its engine, and what goes between them.
pub struct Driver {
    store: Store,
    engine: Box<dyn Engine>,
    clock: Clock,
    inbox: Inbox,
    /// Who asked.
    replies: KeyMap<RequestId, oneshot::Sender<Answer>>,
    completions: Vec<Completion>,
    /// What ended the last wait, to be taken next.
    woken_by: Option<Message>,
    /// What nobody is there for any more, and the store has not been told so.
    left: Vec<Left>,
    /// Who wants to know when it has ended; `Some` once it is ending.
    ending: Option<Vec<oneshot::Sender<()>>>,
}

impl Driver {
    /// Drives the store until somebody shuts it down, or nobody is left who could ask.
    ///
    /// # Errors
    ///
    /// If the runtime cannot watch the engine's descriptor. What was acknowledged is safe.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O and time drivers enabled.
    pub async fn run(mut self) -> io::Result<()> {
        let readiness = self.readiness()?;
        loop {
            let carried = self.carry();
            if self.store.is_shut_down() {
                return Ok(());
            }
            if !carried {
                self.wait(readiness.as_ref()).await?;
            }
            step_aside().await;
        }
    }

    /// Carries everything there is to where it belongs, once around; returns whether there was
    /// anything.
    fn carry(&mut self) -> bool {
        let now = self.clock.now();
        let mut carried = self.take_completions(now);
        carried |= self.take_requests(now);
        if self
            .store
            .poll_timeout()
            .is_some_and(|at| at <= now.elapsed)
        {
            self.store.handle_timeout(now);
        }
        // What is ready to be told goes first: what the disk is to do next may take a while.
        self.give_answers();
        carried |= self.give_operations();
        // What was done as it was submitted is taken at once: the next step of a request may be in
        // memory too.
        for _ in 0..AT_ONCE_MAX {
            if !self.take_completions(now) {
                break;
            }
            carried = true;
            self.give_answers();
            self.give_operations();
        }
        self.engine.flush();
        self.give_answers();
        carried
    }

    fn give_operations(&mut self) -> bool {
        let mut any = false;
        while self.engine.in_flight() < FLIGHT_MAX {
            let Some((id, operation)) = self.store.poll_operation() else {
                break;
            };
            self.engine.submit(id, operation);
            // It may be done already, and then nothing will signal it.
            any = true;
        }
        any
    }

    fn give_answers(&mut self) {
        while let Some((id, answer)) = self.store.poll_answer() {
            if let Some(reply) = self.replies.remove(&id) {
                // Whoever asked may be gone; what was asked is done all the same.
                let _ = reply.send(answer);
            }
        }
    }

    fn take_completions(&mut self, now: Now) -> bool {
        self.engine.reap(&mut self.completions);
        let any = !self.completions.is_empty();
        for completion in self.completions.drain(..) {
            self.store.handle_completion(now, completion);
        }
        any
    }

    fn take_requests(&mut self, now: Now) -> bool {
        let mut any = false;
        while let Ok(left) = self.inbox.left.try_recv() {
            self.left.push(left);
            any = true;
        }
        if let Some(message) = self.woken_by.take() {
            self.take(now, message);
            any = true;
        }
        let mut emptied = false;
        while self.store.has_room() && !emptied {
            match self.inbox.messages.try_recv() {
                Ok(message) => {
                    self.take(now, message);
                    any = true;
                }
                Err(_) => emptied = true,
            }
        }
        // What began an upload or a spool was in the queue before word of its end came: now the
        // store knows of it.
        if emptied {
            for left in std::mem::take(&mut self.left) {
                self.leave(now, left);
            }
        }
        any
    }

    fn take(&mut self, now: Now, message: Message) {
        match message {
            Message::Ask { id, request, reply } => {
                self.replies.insert(id, reply);
                self.store.handle_request(now, id, request);
            }
            Message::ShutDown(ended) => self.end(now, Some(ended)),
        }
    }

    fn leave(&mut self, now: Now, left: Left) {
        let id = self.inbox.next_id();
        let request: Request = match left {
            Left::Upload(upload) => DetachUpload { upload }.into(),
            Left::Spool(spool) => DropSpool { spool }.into(),
        };
        self.store.handle_request(now, id, request);
    }

    fn end(&mut self, now: Now, ended: Option<oneshot::Sender<()>>) {
        if self.ending.is_none() {
            self.store.shut_down(now);
        }
        self.ending.get_or_insert_default().extend(ended);
    }

    /// Waits until there is something to carry, however long that is: whatever ended it is taken
    /// later, when the clock has been read anew.
    async fn wait(&mut self, readiness: Option<&AsyncFd<OwnedFd>>) -> io::Result<()> {
        let now = self.clock.now();
        let timeout = self.store.poll_timeout();
        let timeout = timeout.map(|at| at.saturating_sub(now.elapsed));
        let has_room = self.store.has_room();
        let open = self.ending.is_none();
        tokio::select! {
            ready = signal(readiness) => ready?,
            message = self.inbox.messages.recv(), if has_room && open => match message {
                Some(message) => self.woken_by = Some(message),
                None => self.end(self.clock.now(), None),
            },
            Some(left) = self.inbox.left.recv(), if open => self.left.push(left),
            () = tokio::time::sleep(timeout.unwrap_or_default()), if timeout.is_some() => {}
        }
        Ok(())
    }

    /// The engine's descriptor, watched by the runtime.
    fn readiness(&self) -> io::Result<Option<AsyncFd<OwnedFd>>> {
        let Some(readiness) = self.engine.readiness() else {
            return Ok(None);
        };
        let readiness = readiness.try_clone_to_owned()?;
        // SAFETY: the `AsyncFd` owns the descriptor, which nothing closes or replaces before it.
        #[expect(unsafe_code, reason = "tokio asks for this promise")]
        let watched = unsafe { AsyncFd::register_with_interest(readiness, Interest::READABLE) };
        Ok(Some(watched?))
    }
}

impl Drop for Driver {
    /// Leaves the engine idle, and lets those know who wait for the end.
    fn drop(&mut self) {
        while self.engine.in_flight() > 0 {
            self.engine.wait();
            self.engine.reap(&mut self.completions);
            self.completions.clear();
        }
    }
}

/// How many steps of a request are taken in one turn of the thread; no request has more that are done
/// as they are submitted, but for those of many shares.
const AT_ONCE_MAX: usize = 8;

/// Lets the thread's other tasks have a turn: what they ask for joins the next batch.
///
/// Unlike tokio's own yield this does not look for readiness first, which is a system call.
async fn step_aside() {
    let mut aside = false;
    poll_fn(|context| {
        if std::mem::replace(&mut aside, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits for an edge of the engine's descriptor; nobody reads it, every signal makes one.
async fn signal(readiness: Option<&AsyncFd<OwnedFd>>) -> io::Result<()> {
    match readiness {
        Some(readiness) => {
            readiness.readable().await?.clear_ready();
            Ok(())
        }
        None => std::future::pending().await,
    }
}

/// The two clocks that the store reckons by.
pub(crate) struct Clock(Box<dyn Fn() -> Now + Send>);

impl Clock {
    pub(crate) fn start() -> Self {
        let started = Instant::now();
        Self(Box::new(move || {
            let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            Now {
                elapsed: started.elapsed(),
                // A clock set before 1970 reads as 1970: leases never move back.
                unix: unix.unwrap_or(Duration::ZERO).as_secs(),
            }
        }))
    }

    pub(crate) fn now(&self) -> Now {
        (self.0)()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex};

    use super::*;
    use crate::StoreId;
    use crate::container::{Container, expiration};
    use crate::layout::{Layout, ShareKey, Tree};
    use crate::request::{Put, Stored};

    // The clock was read before the wait: the first request after 40 idle days made a lease that
    // had ended when it was born.
    #[test]
    fn what_comes_after_a_long_wait_is_dated_by_when_it_came() {
        let began = Now {
            elapsed: Duration::ZERO,
            unix: 1_700_000_000,
        };
        let now = Arc::new(Mutex::new(began));
        let shown = Arc::clone(&now);
        let clock = Clock(Box::new(move || *shown.lock().expect("nobody panics")));
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = Config::new([1; 32]);
        config.journal_size = Config::JOURNAL_SIZE_MIN;
        crate::create(directory.path(), &config, StoreId::new([7; 16])).expect("a store is made");
        let (store, driver) =
            open_at(directory.path(), EngineChoice::Pool, &config, clock).expect("the store opens");
        let key = ShareKey {
            storage_index: StorageIndex::new([1; 16]),
            share_number: ShareNumber::new(0),
        };
        let put = Put {
            key,
            share: Bytes::from_static(b"share"),
            lease: LeaseSecrets {
                renew: RenewSecret::new([1; 32]),
                cancel: CancelSecret::new([2; 32]),
            },
        };
        let later = Now {
            elapsed: Duration::from_secs(40 * 86_400),
            unix: began.unix + 40 * 86_400,
        };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let driver = tokio::task::spawn_local(driver.run());
            // Until the driver has nothing to carry, and waits.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            *now.lock().expect("nobody panics") = later;
            assert_eq!(store.ask(put).await, Ok(Stored::New));
            store.shut_down().await;
            driver.await.expect("it does not panic").expect("it ends");
        });
        let path = Tree::new(Layout::default()).share(key).to_string();
        let file = std::fs::read(directory.path().join(path)).expect("the share's file");
        let container = Container::parse(&file).expect("a container");
        assert_eq!(container.leases[0].expiration, expiration(later.unix));
    }
}
