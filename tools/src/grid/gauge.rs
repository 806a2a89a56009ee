//! What the kernel knows of a connection: how much of what was written has arrived, and how fast.
//!
//! `getsockopt(TCP_INFO)` fills in `struct tcp_info` of `linux/tcp.h`, which has only ever grown at
//! its end. What is used of it, in the machine's byte order:
//!
//! ```text
//!   16  4  segment size: bytes that go into a packet
//!   68  4  round trip, smoothed, in microseconds
//!  120  8  bytes acknowledged, the SYN counted as one
//!  144  4  bytes written and not sent
//!  200  8  bytes sent, those sent again included (since Linux 4.19)
//!  208  8  bytes sent again
//! ```

#![expect(
    unsafe_code,
    reason = "no library that we use has a safe call for TCP_INFO"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// Reads one connection's counters. Keeps the socket open.
#[derive(Debug)]
pub(super) struct Gauge(OwnedFd);

/// The counters at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Bytes that were ever written.
    pub(super) written: u64,
    /// Those of them that the kernel has not sent.
    pub(super) unsent: u64,
    /// Those of them that the other side has acknowledged.
    pub(super) acknowledged: u64,
    /// Bytes that go into a packet.
    pub(super) segment: u64,
    /// The round trip that TCP reckons with.
    pub(super) smoothed: Duration,
}

impl Gauge {
    /// A gauge of this socket, if the kernel gives us what is needed.
    pub(super) fn of(socket: impl AsFd) -> Option<Self> {
        let gauge = Self(socket.as_fd().try_clone_to_owned().ok()?);
        gauge.read().map(|_| gauge)
    }

    /// The counters now; `None` of a socket that is no connection.
    pub(super) fn read(&self) -> Option<Reading> {
        let mut counters = [0; SIZE];
        let len = read(&self.0, &mut counters).ok()?;
        (len == SIZE).then(|| Reading::decode(&counters))
    }
}

impl Reading {
    fn decode(counters: &[u8; SIZE]) -> Self {
        let short = |offset: usize| {
            let bytes = counters[offset..].first_chunk().expect("it is within");
            u64::from(u32::from_ne_bytes(*bytes))
        };
        let long = |offset: usize| {
            let bytes = counters[offset..].first_chunk().expect("it is within");
            u64::from_ne_bytes(*bytes)
        };
        let unsent = short(144);
        Self {
            written: long(200).saturating_sub(long(208)) + unsent,
            unsent,
            acknowledged: long(120).saturating_sub(1),
            segment: short(16),
            smoothed: Duration::from_micros(short(68)),
        }
    }
}

fn read(socket: &OwnedFd, counters: &mut [u8; SIZE]) -> io::Result<usize> {
    let mut len = libc::socklen_t::try_from(SIZE).expect("it is small");
    // SAFETY: the kernel writes at most `len` bytes, which `counters` has, and then the length; both
    // live until the call has returned.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            counters.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(len).expect("no more than was asked for"))
}

/// Up to the last counter that is used.
const SIZE: usize = 216;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn what_was_written_is_acknowledged_once_the_other_side_has_read_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let gauge = Gauge::of(&near).unwrap();
        let before = gauge.read().unwrap();
        assert_eq!((before.written, before.acknowledged), (0, 0));
        assert!(before.segment > 0);

        near.write_all(&[7; 1000]).unwrap();
        far.read_exact(&mut [0; 1000]).unwrap();
        // An answer carries the acknowledgement.
        far.write_all(&[1]).unwrap();
        near.read_exact(&mut [0]).unwrap();
        let after = gauge.read().unwrap();
        assert_eq!((after.written, after.unsent), (1000, 0));
        assert_eq!(after.acknowledged, 1000);
    }

    #[test]
    fn what_is_no_connection_has_no_gauge() {
        assert!(Gauge::of(UdpSocket::bind("127.0.0.1:0").unwrap()).is_none());
    }
}
