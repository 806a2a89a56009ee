//! The two kernel calls that no safe library offers. All `unsafe` of the line simulator is here.

#![expect(
    unsafe_code,
    reason = "these two calls have no safe wrapper in the libraries we use"
)]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Makes a TUN device in the calling thread's network namespace.
///
/// Each read of it is one IP packet that the namespace sent, each write one that it receives. The
/// device goes when the descriptor is closed.
pub(super) fn open_tun(name: &str) -> io::Result<OwnedFd> {
    assert!(
        name.len() < NAME_SIZE,
        "an interface name leaves room for the NUL"
    );
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let mut request = InterfaceRequest {
        name: [0; NAME_SIZE],
        flags: TUN_WITHOUT_HEADER,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());

    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which `InterfaceRequest` is at least as
    // large as, and which lives until the call has returned.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, &raw mut request) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(device.into())
    }
}

/// Lets the calling thread run before all ordinary ones, so that packets are on time on a busy machine.
pub(super) fn run_first() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads the parameters, which live until it has returned; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// `struct ifreq` of linux/if.h as TUNSETIFF reads it: a name and flags, in 40 bytes on 64 bits and 32
/// on 32.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_SIZE],
    flags: u16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40);

/// `IFNAMSIZ`.
const NAME_SIZE: usize = 16;

/// `_IOW('T', 202, int)` of linux/if_tun.h.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;

/// `IFF_TUN | IFF_NO_PI` of linux/if_tun.h: IP packets, without a header of the driver's own.
const TUN_WITHOUT_HEADER: u16 = 0x0001 | 0x1000;
