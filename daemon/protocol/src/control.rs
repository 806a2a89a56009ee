//! The control socket of a daemon: what its operator's programs ask, and what they are answered.
//!
//! Lines of JSON over a unix socket, to the letter in `docs/control.md`. A request is one line. It is
//! answered by any number of lines of [`Reply::Progress`], and then by one of [`Reply::Done`] or
//! [`Reply::Refused`]. The requests of a connection are answered one after the other.
//!
//! Both ends take lines apart with [`LineReader`], and what a line says with [`Request::parse`] and
//! [`Reply::parse`]. A daemon refuses what it does not know; an asker leaves out what it does not
//! know, so that a later daemon may say more. [`ask`] is the whole asking end but for the socket.

mod ask;
mod line;
mod reply;
mod request;
mod status;

pub use ask::{AskError, ask};
pub use line::{LineReader, LineTooLong};
pub use reply::{Expired, Mended, Progress, Reason, Refused, Reply, ReplyError, Walked};
pub use request::{Mending, Request, Task};
pub use status::{
    Amount, Connections, Engine, Expiry, Finding, Journal, Kinds, Leases, Pass, Scrub, Space,
    State, Status, Store, Work,
};

/// The version of this protocol; another one reads differently.
pub const VERSION: u32 = 1;

/// The socket's name in the store directory.
pub const SOCKET: &str = "control";

/// Longest line of either side, without its end. The longest that is sent is a status with all its
/// findings, about a quarter of it.
pub const LINE_LEN_MAX: usize = 1 << 16;

/// Connections that a daemon serves at once; the next one is refused.
pub const CONNECTIONS_MAX: usize = 8;

/// Findings in one status; their number says whether there are more.
pub const FINDINGS_MAX: usize = 32;

/// Bytes of a text in a finding.
pub const TEXT_LEN_MAX: usize = 400;
