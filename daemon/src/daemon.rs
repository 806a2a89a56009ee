//! The daemon: opens the store and the sockets, serves, stops.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bucketfs::{AskStatus, Driver, Found, Status, StoreHandle, StoreId};
use lafs::Swissnum;
use protocol::control::SOCKET;
use protocol::limits::BACKLOG;
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::adopt::process;
use crate::clock::Clock;
use crate::code_pages::CodePages;
use crate::config::{Config, Memory, Names};
use crate::control::{self, Desk, Listening};
use crate::crew::{Crews, Job};
use crate::directory::Directory;
use crate::error::RunError;
use crate::identity::Identity;
use crate::keeper::{Keeper, Workshop};
use crate::notices::Kind;
use crate::operator::Operator;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::status::{self, Reporter};
use crate::store_fault::StoreFault;
use crate::store_place::{CheckError, Claim};
use crate::{clock, descriptors, file_system, store, store_place};

/// A daemon whose store is open and whose addresses are taken, but that serves nobody yet.
pub(crate) struct Daemon {
    config: Config,
    /// What connections may have of the process's descriptors.
    share: descriptors::Share,
    identity: Identity,
    swissnum: Swissnum,
    store: StoreHandle,
    store_path: PathBuf,
    clock: Clock,
    driver: Driver,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Daemon {
    /// Opens the store and listens. Blocks while the store's journal is replayed. The same thread must
    /// call [`Self::run`] afterwards.
    ///
    /// # Errors
    ///
    /// [`RunError`]; nothing is changed by it.
    pub(crate) fn start(directory: &Directory, config: Config) -> Result<Self, RunError> {
        let (identity, swissnum) = (directory.identity()?, directory.swissnum()?);
        let store_path = directory.store_path(&config);
        // Of an adopted node: its own directory, or the one that its store lies in.
        for node in [Some(directory.path()), store_path.parent()]
            .into_iter()
            .flatten()
        {
            if let Some(found) = process::find(node) {
                return Err(RunError::TahoeRuns(found));
            }
        }
        let fault = |error| RunError::from(StoreFault::new(directory.path(), &store_path, error));
        let claim = store_place::check(directory, &config).map_err(|error| match error {
            CheckError::Wrong(wrong) => Box::new(wrong).into(),
            CheckError::Open(error) => fault(error.into()),
        })?;
        let share = descriptors::share_out(&config.limits)?;
        let (mut seed, mut id) = ([0; 32], [0; StoreId::LEN]);
        getrandom::fill(&mut seed).map_err(|_| RunError::Random)?;
        getrandom::fill(&mut id).map_err(|_| RunError::Random)?;
        let node_id = config.names.or(Names::of(&identity)).node_id;
        let clock = clock::warn_of(&store_path);
        // The store first: its lock says best that this daemon runs already.
        let opened = store::open(&store_path, &config.store, node_id, seed);
        let (store, driver) = opened.map_err(fault)?;
        file_system::warn_of(&store_path);
        if claim == Claim::Unnamed {
            store_place::name(directory, &config, StoreId::new(id));
        }
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.extend(listen(*address)?);
        }
        if listeners.is_empty() {
            return Err(RunError::NoAddress);
        }
        let addresses: io::Result<Vec<_>> = listeners.iter().map(TcpListener::local_addr).collect();
        let addresses = addresses.map_err(|error| RunError::System {
            action: "ask for the address listened on",
            error,
        })?;
        Ok(Self {
            config,
            share,
            identity,
            swissnum,
            store,
            store_path,
            clock,
            driver,
            listeners,
            addresses,
        })
    }

    /// The addresses listened on, with the ports that were free where port 0 was asked for.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` is done, then finishes what is in flight.
    ///
    /// # Errors
    ///
    /// [`RunError::System`] if there are no threads or event queues to be had.
    pub(crate) fn run(
        self,
        runtime: &Runtime,
        mut operator: Operator,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let Self {
            config,
            share,
            identity,
            swissnum,
            store,
            store_path,
            clock,
            driver,
            listeners,
            addresses,
        } = self;
        runtime.block_on(async {
            let serve = async {
                let Ok(status) = store.ask(AskStatus).await else {
                    return Ok(());
                };
                let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
                info!(
                    addresses = addresses.join(" "),
                    engine = status.engine,
                    direct = status.writes_directly,
                    durability = config.store.durability.name(),
                    replayed = status.replayed,
                    "serving"
                );
                say_space(&status);
                let mut limits = config.limits;
                limits.connections = share.connections;
                // The store is open: whatever socket is there is nobody's.
                let mut listening = listen_for_operator(&store_path);
                let shared = Arc::new(Shared::new(
                    store.clone(),
                    swissnum,
                    &identity,
                    config.tls,
                    limits,
                    &status,
                ));
                let is_counted = status.held.is_some();
                let handle = store.clone();
                let workshop = Workshop::new(&store_path, handle, &config, clock, is_counted);
                let keeper = Arc::new(Keeper::new(workshop));
                let desk = Arc::new(Desk {
                    keeper: Arc::clone(&keeper),
                    reporter: Reporter {
                        shared: Arc::clone(&shared),
                        keeper: Arc::clone(&keeper),
                        config: config.clone(),
                        identifier: identifier(&store_path),
                        store: store_path,
                        since: status::now(),
                    },
                });
                let served = {
                    let serving = pin!(
                        Serving {
                            listeners,
                            turned_away_max: share.turned_away,
                            memory: config.memory,
                            shared: Arc::clone(&shared),
                        }
                        .serve(stop)
                    );
                    tokio::select! {
                        served = serving => served,
                        never = operator.attend(&shared) => match never {},
                        never = shared.notices().run() => match never {},
                        never = control::serve(listening.as_mut(), desk) => match never {},
                        never = keeper.run() => match never {},
                    }
                };
                shared.notices().say_counts(Instant::now().into_std());
                // Before the store is free for another daemon, whose socket has the same name.
                drop(listening);
                keeper.stop().await;
                store.shut_down().await;
                served
            };
            // The store's driver shares this thread: both wait for the same events.
            let (served, driven) = tokio::join!(serve, driver.run());
            driven.map_err(|error| RunError::System {
                action: "drive the store",
                error,
            })?;
            info!("stopped");
            served
        })
    }
}

/// Makes the socket for the operator's programs. A server without it serves all the same.
fn listen_for_operator(store: &Path) -> Option<Listening> {
    match Listening::at(store) {
        Ok(listening) => Some(listening),
        Err(error) => {
            let path = store.join(SOCKET);
            let path = path.display();
            warn!(%path, %error, "cannot make the control socket: `tahoed status` will get no answer");
            None
        }
    }
}

/// Which store it is; it has been given an identifier by now, if that could be.
fn identifier(store: &Path) -> Option<StoreId> {
    match bucketfs::look(store) {
        Ok(Found::Store(id)) => id,
        _ => None,
    }
}

/// Says why no shares are taken, if none are.
fn say_space(status: &Status) {
    let (available, reserved) = (status.available, status.reserved);
    let held = status.held.map(|held| held.bytes());
    if status.read_only {
        info!("taking no new shares: store.read_only is set");
    } else if let Some((held, size_max)) = held.zip(status.size_max).filter(|(it, max)| it >= max) {
        warn!(
            held,
            size_max, "taking no new shares: the store holds store.max_size"
        );
    } else if available == 0 {
        warn!(
            reserved,
            "taking no new shares: the free space is below store.reserved_space"
        );
    }
    if status.size_max.is_some() && held.is_none() {
        warn!("store.max_size is not heeded yet: how much the store holds was never counted");
    }
}

/// Accepting connections, and what that needs.
struct Serving {
    listeners: Vec<TcpListener>,
    turned_away_max: usize,
    memory: Memory,
    shared: Arc<Shared>,
}

impl Serving {
    /// Accepts connections until `stop`, then waits for those that are under way.
    async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self {
            listeners,
            turned_away_max,
            memory,
            shared,
        } = self;
        let system = |action| move |error| RunError::System { action, error };
        let listeners: io::Result<Vec<_>> = listeners
            .into_iter()
            .map(tokio::net::TcpListener::from_std)
            .collect();
        let listeners = listeners.map_err(system("watch the sockets"))?;
        let limits = *shared.limits();
        let mut crews = Crews::start(limits.threads, &shared).map_err(system("start a thread"))?;
        let turned_away = Arc::new(Semaphore::new(turned_away_max));

        let mut code_pages = CodePages::new(memory.release_code_pages);
        tokio::pin!(stop);
        loop {
            let accept = poll_fn(|context| {
                let mut ready = listeners
                    .iter()
                    .map(|listener| listener.poll_accept(context));
                ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
            });
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                () = crews.reap() => {
                    code_pages.postpone();
                    continue;
                }
                accepted = accept => accepted,
                () = code_pages.release() => continue,
            };
            code_pages.postpone();
            match accepted {
                Ok((socket, _)) => {
                    if let Some((permit, is_turned_away)) = admit(&shared, &turned_away, &socket) {
                        crews.take(Job {
                            socket,
                            permit,
                            is_turned_away,
                        });
                    }
                }
                Err(error) => pause(&shared, &error).await,
            }
        }
        drop(listeners);
        info!("stopping");
        crews.finish(limits.stop_timeout).await;
        Ok(())
    }
}

/// Gives a connection its permit, and whether it only lets the client be told that there are too
/// many. `None`: not even that, and the socket is closed without a word.
fn admit(
    shared: &Shared,
    turned_away: &Arc<Semaphore>,
    socket: &TcpStream,
) -> Option<(OwnedSemaphorePermit, bool)> {
    if let Ok(permit) = Arc::clone(shared.served()).try_acquire_owned() {
        return Some((permit, false));
    }
    let now = Instant::now().into_std();
    if shared.notices().note(Kind::TurnedAway, now) {
        let (peer, connections) = (Peer::of(socket), shared.limits().connections);
        warn!(%peer, connections, "turned a client away: there are as many connections as may be");
    }
    let permit = Arc::clone(turned_away).try_acquire_owned();
    permit.ok().map(|permit| (permit, true))
}

/// Waits a little after a connection could not be accepted: mostly for want of descriptors, which
/// others have to give back first.
async fn pause(shared: &Shared, error: &io::Error) {
    if shared
        .notices()
        .note(Kind::NotAccepted, Instant::now().into_std())
    {
        warn!(%error, "cannot accept a connection");
    }
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Listens on an address; `None` if this machine has no addresses of that kind.
fn listen(address: SocketAddr) -> Result<Option<TcpListener>, RunError> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let bound = (|| {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        // A restart must not wait for connections of the last run to be forgotten.
        set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            // So that 0.0.0.0 and [::] can both be listened on, whatever the system's default.
            set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(TcpListener::from(socket))
    })();
    match bound {
        Ok(listener) => Ok(Some(listener)),
        Err(Errno::AFNOSUPPORT) => {
            warn!(%address, "not listening there: this machine has no such addresses");
            Ok(None)
        }
        Err(error) => Err(RunError::Listen {
            address,
            error: error.into(),
        }),
    }
}

/// How long nothing is accepted after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
