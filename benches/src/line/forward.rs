//! The forwarder: a thread between the TUN devices of two network namespaces.
//!
//! The namespaces have no name and no file: they live as long as a descriptor of them is open or a
//! process is in them, so nothing is left behind however the process ends.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::wire::Wire;
use super::{LineError, Side, kernel};

/// One end of the line.
pub(super) struct End {
    /// The namespace, to enter it.
    pub(super) namespace: OwnedFd,
    device: OwnedFd,
}

impl End {
    /// Makes a namespace with a TUN device in it. The calling thread stays in the new namespace.
    pub(super) fn make(side: Side, server_addresses: u8) -> Result<Self, LineError> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| LineError::Namespace {
            source: errno.into(),
        })?;
        let namespace = File::open("/proc/thread-self/ns/net")
            .map_err(|source| LineError::Namespace { source })?
            .into();
        let device = kernel::open_tun(DEVICE).map_err(|source| LineError::Tun { source })?;
        // Without this, neighbour discovery would be counted. A kernel without IPv6 has no such file.
        let _ = fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");

        let (own, peer) = (
            side.address().to_string(),
            side.other().address().to_string(),
        );
        ip(&["link", "set", "lo", "up"])?;
        ip(&["addr", "add", &own, "peer", &peer, "dev", DEVICE])?;
        ip(&[
            "link",
            "set",
            DEVICE,
            "mtu",
            MTU,
            "txqueuelen",
            "10000",
            "up",
        ])?;
        for index in 0..server_addresses {
            let address = super::server_address(index).to_string();
            match side {
                Side::Server => ip(&["addr", "add", &address, "dev", "lo"])?,
                Side::Client => ip(&["route", "add", &address, "dev", DEVICE])?,
            }
        }
        Ok(Self { namespace, device })
    }
}

/// Carries packets between the two ends until `stopped` says so, which is asked after each wake-up.
pub(super) fn forward(
    ends: [&End; 2],
    wires: &Mutex<[Wire; 2]>,
    wake: &OwnedFd,
    stopped: impl Fn() -> bool,
) -> io::Result<()> {
    // Both make arrival times exact; where they are refused, `late_us_max` tells what it cost.
    let _ = kernel::run_first();
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));

    let began = Instant::now();
    let mut packet = vec![0; PACKET_SIZE_MAX];
    while !stopped() {
        let next = {
            let mut wires = wires.lock().expect("no holder of this lock panics");
            for (index, wire) in wires.iter_mut().enumerate() {
                send_all(&ends[index].device, wire, began, &mut packet)?;
                deliver(&ends[1 - index].device, wire, began)?;
            }
            wires.iter().filter_map(Wire::next_arrival).min()
        };
        let timeout = next.map(|due| due.saturating_sub(began.elapsed()));
        let timeout = timeout.map(|timeout| timeout.try_into().expect("a delay is short"));
        let mut fds = [
            PollFd::new(&ends[0].device, PollFlags::IN),
            PollFd::new(&ends[1].device, PollFlags::IN),
            PollFd::new(wake, PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds[2].revents().contains(PollFlags::IN) {
            rustix::io::read(wake, &mut [0; 8])?;
        }
    }
    Ok(())
}

/// Takes what a namespace has sent, a bounded number of packets at a time.
fn send_all(
    device: impl AsFd,
    wire: &mut Wire,
    began: Instant,
    packet: &mut [u8],
) -> io::Result<()> {
    for _ in 0..PACKETS_PER_TURN {
        match rustix::io::read(&device, &mut *packet) {
            Ok(len) => wire.send(began.elapsed(), &packet[..len]),
            Err(Errno::AGAIN | Errno::INTR) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn deliver(device: impl AsFd, wire: &mut Wire, began: Instant) -> io::Result<()> {
    while let Some(packet) = wire.arrived(began.elapsed()) {
        match rustix::io::write(&device, &packet) {
            // A namespace that refuses a packet is a receiver that drops it.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::INVAL | Errno::NOBUFS) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Runs `ip` in the calling thread's namespace.
fn ip(arguments: &[&str]) -> Result<(), LineError> {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LineError::IpMissing { source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(LineError::Ip {
        arguments: arguments.join(" "),
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// The device's name in both namespaces.
const DEVICE: &str = "line0";

/// Ethernet's, so that TCP cuts its segments as on a real line.
const MTU: &str = "1500";

/// Room for one packet. Larger ones than the MTU do not come.
const PACKET_SIZE_MAX: usize = 2048;

/// Packets taken from one side before the other has its turn.
const PACKETS_PER_TURN: usize = 64;
