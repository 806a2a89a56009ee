//! The daemon: opens the store and the sockets, serves, stops.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bucketfs::{AskStatus, Driver, StoreHandle};
use lafs::Swissnum;
use lafs::nurl::Nurl;
use protocol::limits::{BACKLOG, TURNED_AWAY_MAX};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tracing::{info, warn};

use crate::adopt::process;
use crate::config::{Config, Names};
use crate::crew::{Crews, Job, runtime};
use crate::directory::Directory;
use crate::error::RunError;
use crate::identity::Identity;
use crate::shared::Shared;
use crate::{code_pages, store};

/// A daemon whose store is open and whose addresses are taken, but that serves nobody yet.
pub struct Daemon {
    config: Config,
    identity: Identity,
    swissnum: Swissnum,
    nurls: Vec<Nurl>,
    store: StoreHandle,
    driver: Driver,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Daemon {
    /// Reads the directory, opens the store, takes the addresses. Blocks while the store's journal
    /// is replayed. Has to be followed by [`Self::run`] on the same thread.
    ///
    /// # Errors
    ///
    /// [`RunError`]; nothing is changed by it.
    pub fn start(directory: &Directory) -> Result<Self, RunError> {
        let config = directory.config()?;
        let (identity, swissnum) = (directory.identity()?, directory.swissnum()?);
        for path in directory.exposed() {
            warn!(path = %path.display(), "other users can read this secret; chmod 600 it");
        }
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
        raise_descriptor_limit(config.limits.connections);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| RunError::Random)?;
        let node_id = config.names.or(Names::of(&identity)).node_id;
        // The store first: its lock says best that this daemon runs already.
        let (store, driver) = store::open(&store_path, &config.store, node_id, seed)?;
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
        // Without a location there is nothing to tell, which is no reason not to serve.
        let port = addresses.first().map(SocketAddr::port);
        let nurls = directory.nurls(&config, port).unwrap_or_default();
        Ok(Self {
            config,
            identity,
            swissnum,
            nurls,
            store,
            driver,
            listeners,
            addresses,
        })
    }

    /// The addresses listened on, with the ports that were free where port 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The NURLs to give to clients; they hold the swissnum.
    #[must_use]
    pub fn nurls(&self) -> &[Nurl] {
        &self.nurls
    }

    /// Serves until `stop` is done, then finishes what is in flight.
    ///
    /// # Errors
    ///
    /// [`RunError::System`] if there are no threads or event queues to be had.
    pub fn run(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let runtime = runtime().map_err(|error| RunError::System {
            action: "make an event queue",
            error,
        })?;
        let Self {
            config,
            identity,
            swissnum,
            store,
            driver,
            listeners,
            addresses,
            ..
        } = self;
        runtime.block_on(async {
            let serve = async {
                let Ok(status) = store.ask(AskStatus).await else {
                    return Ok(());
                };
                info!(
                    addresses = ?addresses,
                    engine = status.engine,
                    durability = ?config.store.durability,
                    replayed = status.replayed,
                    "serving"
                );
                let limits = config.limits;
                let shared = Shared::new(store.clone(), swissnum, &identity, limits, &status);
                let served = serve(listeners, Arc::new(shared), stop).await;
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

/// Accepts connections until `stop`, then waits for those that are under way.
async fn serve(
    listeners: Vec<TcpListener>,
    shared: Arc<Shared>,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let system = |action| move |error| RunError::System { action, error };
    let listeners: io::Result<Vec<_>> = listeners
        .into_iter()
        .map(tokio::net::TcpListener::from_std)
        .collect();
    let listeners = listeners.map_err(system("watch the sockets"))?;
    let limits = *shared.limits();
    let mut crews = Crews::start(limits.threads, &shared).map_err(system("start a thread"))?;
    let served = Arc::new(Semaphore::new(limits.connections));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));

    tokio::pin!(stop);
    code_pages::give_back();
    // Set while something has happened since memory was last given back.
    let mut quiet = Some(Box::pin(sleep(QUIET)));
    loop {
        let accept = poll_fn(|context| {
            let mut ready = listeners
                .iter()
                .map(|listener| listener.poll_accept(context));
            ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        let socket = tokio::select! {
            biased;
            () = &mut stop => break,
            () = crews.reap() => None,
            accepted = accept => match accepted {
                Ok((socket, _)) => Some(socket),
                Err(error) => {
                    pause(&shared, &error).await;
                    continue;
                }
            },
            () = due(quiet.as_mut()) => {
                code_pages::give_back();
                quiet = None;
                continue;
            }
        };
        let at = Instant::now() + QUIET;
        match &mut quiet {
            Some(quiet) => quiet.as_mut().reset(at),
            None => quiet = Some(Box::pin(sleep_until(at))),
        }
        let Some(socket) = socket else {
            continue;
        };
        let (permit, is_turned_away) = match Arc::clone(&served).try_acquire_owned() {
            Ok(permit) => (permit, false),
            Err(_) => match Arc::clone(&turned_away).try_acquire_owned() {
                Ok(permit) => (permit, true),
                // Not even that: the socket is closed without a word.
                Err(_) => continue,
            },
        };
        if is_turned_away {
            shared.refused().say(|more| {
                let most = limits.connections;
                warn!(
                    most,
                    more, "turned a client away: as many connections as configured"
                );
            });
        }
        crews.take(Job {
            socket,
            permit,
            is_turned_away,
        });
    }
    drop(listeners);
    info!("stopping");
    crews.finish(limits.stop_timeout).await;
    Ok(())
}

/// Waits for a timer that may not be set.
async fn due(timer: Option<&mut Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}

/// Waits a little after a connection could not be accepted: mostly for want of descriptors, which
/// others have to give back first.
async fn pause(shared: &Shared, error: &io::Error) {
    shared
        .refused()
        .say(|more| warn!(%error, more, "cannot accept a connection"));
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Takes an address; `None` if this machine has no such kind of address.
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

/// Lets the process have a descriptor for each connection, as far as the system does.
fn raise_descriptor_limit(connections: usize) {
    let wanted = lafs::num::size(connections.saturating_add(DESCRIPTORS_BESIDE_CONNECTIONS));
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit {
        current: Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted))),
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
    let current = getrlimit(Resource::Nofile).current;
    if let Some(current) = current.filter(|current| *current < wanted) {
        warn!(
            current,
            wanted, "few file descriptors: raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
}

/// How long no connection has begun or ended when memory is given back.
const QUIET: Duration = Duration::from_secs(2);

/// How long nothing is accepted after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The store's files, rings, sockets and standard streams, with room to spare.
const DESCRIPTORS_BESIDE_CONNECTIONS: usize = 400;
