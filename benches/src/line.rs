//! A line with a round trip, a rate and a bounded queue, between two hosts that are network namespaces.
//!
//! Each namespace has a TUN device; a thread carries every IP packet from one to the other, in time.
//! So TCP, TLS and everything above are the kernel's and the programs' own, and what a program does over
//! the line it would do over a real one: the same segments, handshakes and slow start. Nothing outside
//! the two namespaces is touched, and they vanish with the line.
//!
//! The client's address is 10.77.0.1, the server's 10.77.0.2; more server addresses are 10.77.1.1 and
//! on. Up is from the client to the server.
//!
//! Needs root (network namespaces), `/dev/net/tun` and `ip` from iproute2.

pub mod control;
mod forward;
mod kernel;
mod resent;
mod residents;
pub mod wire;

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use rustix::event::{EventfdFlags, eventfd};
use serde::{Deserialize, Serialize};

use forward::{End, forward};
use wire::{Counters, Wire, WireSettings};

/// A line between two hosts. Dropping it ends what still runs in them, and them.
#[derive(Debug)]
pub struct Line {
    shared: Arc<Shared>,
    namespaces: [OwnedFd; 2],
    forwarder: Option<JoinHandle<io::Result<()>>>,
}

/// How long, how fast and how patient a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Time from the client to the server and back; each direction takes half.
    pub rtt: Duration,
    /// Bytes per second to the server, 0 for no limit.
    pub up_rate: u64,
    /// Bytes per second to the client, 0 for no limit.
    pub down_rate: u64,
    /// Bytes that may wait in each direction; 0 for the default, the larger of 64 KiB and twice what
    /// the line holds in a round trip.
    pub queue_size: u64,
}

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// The one whose packets go up.
    Client,
    /// The other.
    Server,
}

/// What has passed since the line came up or the counters were reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// From the client to the server.
    pub up: Counters,
    /// From the server to the client.
    pub down: Counters,
}

impl Line {
    /// Makes a line, with `server_addresses` more addresses at the server's end.
    ///
    /// # Errors
    ///
    /// [`LineError`]: what this machine does not have or does not allow.
    pub fn up(settings: Settings, server_addresses: u8) -> Result<Self, LineError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|errno| {
            LineError::Namespace {
                source: errno.into(),
            }
        })?;
        let wires = Mutex::new(settings.wires().map(Wire::new));
        let shared = Arc::new(Shared {
            wires,
            wake,
            stopped: AtomicBool::new(false),
        });

        // The namespaces are made on the forwarder's thread, which is in them from then on: this
        // process's other threads stay where they are.
        let (made, result) = mpsc::sync_channel(1);
        let forwarder = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("line".to_owned())
                .spawn(move || run(&shared, server_addresses, &made))
                .map_err(|source| LineError::Namespace { source })?
        };
        let namespaces = result
            .recv()
            .expect("the forwarder answers before it ends")?;
        Ok(Self {
            shared,
            namespaces,
            forwarder: Some(forwarder),
        })
    }

    /// Calls a function on a thread in one of the hosts: sockets that it opens are there.
    ///
    /// # Errors
    ///
    /// When the kernel lets the thread not enter.
    pub fn within<T: Send>(&self, side: Side, call: impl FnOnce() -> T + Send) -> io::Result<T> {
        let namespace = self.namespace(side);
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET)?;
                Ok(call())
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a program in one of the hosts.
    ///
    /// # Errors
    ///
    /// As [`Command::spawn`].
    pub fn spawn(&self, side: Side, command: &mut Command) -> io::Result<Child> {
        self.within(side, || command.spawn())?
    }

    /// The namespace of a host, to enter it.
    #[must_use]
    pub fn namespace(&self, side: Side) -> BorrowedFd<'_> {
        self.namespaces[side.index()].as_fd()
    }

    /// Changes the line; connections stay up.
    pub fn set(&self, settings: Settings) {
        for (wire, settings) in self.wires().iter_mut().zip(settings.wires()) {
            wire.set(settings);
        }
        self.shared.wake();
    }

    /// What has passed so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let wires = self.wires();
        Statistics {
            up: wires[0].counters(),
            down: wires[1].counters(),
        }
    }

    /// Starts counting anew.
    pub fn reset_statistics(&self) {
        self.wires().iter_mut().for_each(Wire::reset_counters);
    }

    /// How many segments a host's TCP has sent again since the line came up.
    ///
    /// # Errors
    ///
    /// As [`Line::within`], and when the kernel does not say.
    pub fn resent(&self, side: Side) -> io::Result<u64> {
        self.within(side, resent::here)?
    }

    /// Ends every process that runs in the two hosts.
    pub fn end_residents(&self) {
        residents::end(&self.namespaces);
    }

    /// Whether the forwarder still runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.forwarder
            .as_ref()
            .is_some_and(|forwarder| !forwarder.is_finished())
    }

    fn wires(&self) -> MutexGuard<'_, [Wire; 2]> {
        self.shared
            .wires
            .lock()
            .expect("no holder of this lock panics")
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end_residents();
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.wake();
        if let Some(Ok(Err(error))) = self.forwarder.take().map(JoinHandle::join) {
            eprintln!("line: the forwarder failed: {error}");
        }
    }
}

impl Settings {
    fn wires(&self) -> [WireSettings; 2] {
        [self.up_rate, self.down_rate].map(|rate| {
            let held = u128::from(rate) * self.rtt.as_millis() / 1000;
            let default = (64 << 10).max(u64::try_from(2 * held).unwrap_or(u64::MAX));
            let queue_size = if self.queue_size == 0 {
                default
            } else {
                self.queue_size
            };
            WireSettings {
                delay: self.rtt / 2,
                rate,
                queue_size,
            }
        })
    }
}

impl Side {
    /// The host's address on the line.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        match self {
            Self::Client => Ipv4Addr::new(10, 77, 0, 1),
            Self::Server => Ipv4Addr::new(10, 77, 0, 2),
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// One of the further addresses of the server's end.
///
/// # Panics
///
/// For 255, which would be a broadcast address.
#[must_use]
pub fn server_address(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(
        10,
        77,
        1,
        index.checked_add(1).expect("at most 254 addresses"),
    )
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The kernel gives no network namespace.
    #[error(
        "no network namespace: {source}; the line simulator needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN)"
    )]
    Namespace {
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no TUN device.
    #[error(
        "/dev/net/tun: {source}; load the module (modprobe tun), or give the container the device"
    )]
    Tun {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The program `ip` does not run.
    #[error("ip: {source}; install the package iproute2")]
    IpMissing {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The program `ip` refused.
    #[error("ip {arguments}: {message}")]
    Ip {
        /// What it was asked.
        arguments: String,
        /// What it said.
        message: String,
    },
}

#[derive(Debug)]
struct Shared {
    /// Up, then down.
    wires: Mutex<[Wire; 2]>,
    wake: OwnedFd,
    stopped: AtomicBool,
}

impl Shared {
    fn wake(&self) {
        // It only fails when the counter is full, and then the forwarder is awake.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

type Made = Result<[OwnedFd; 2], LineError>;

fn run(shared: &Shared, server_addresses: u8, made: &mpsc::SyncSender<Made>) -> io::Result<()> {
    let (ends, namespaces) = match make_ends(server_addresses) {
        Ok(both) => both,
        Err(error) => {
            made.send(Err(error)).expect("the caller waits for this");
            return Ok(());
        }
    };
    made.send(Ok(namespaces))
        .expect("the caller waits for this");
    forward([&ends[0], &ends[1]], &shared.wires, &shared.wake, || {
        shared.stopped.load(Ordering::Acquire)
    })
}

fn make_ends(server_addresses: u8) -> Result<([End; 2], [OwnedFd; 2]), LineError> {
    let client = End::make(Side::Client, server_addresses)?;
    let server = End::make(Side::Server, server_addresses)?;
    let copy = |end: &End| {
        end.namespace
            .try_clone()
            .map_err(|source| LineError::Namespace { source })
    };
    let namespaces = [copy(&client)?, copy(&server)?];
    Ok(([client, server], namespaces))
}
