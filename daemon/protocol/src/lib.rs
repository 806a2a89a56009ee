//! The wire protocols, without I/O: the pipeline, both ends, Tahoe-LAFS's own in [`gbs`], and that
//! of a daemon's operator in [`control`].
//!
//! Bytes and answers go in, events and bytes come out; sockets, TLS and time belong to the caller.
//! The pipeline to the byte is `docs/pipeline-protocol.md`; every bound in it is in [`limits`].
//!
//! Each end of it is one state machine, [`client::Connection`] and [`server::Connection`], used the
//! same way: feed it what arrived with `read`, one event at a time, until it wants no more; call
//! its methods to say something; then write what its `output` holds to the peer.

pub mod client;
pub mod control;
mod error;
pub mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod gbs;
pub mod limits;
mod output;
mod range;
mod reader;
mod refusal;
pub mod server;
mod traffic;
pub mod varint;

pub use error::{Malformed, Misbehaved, Violation};
pub use frame::{HeldShare, RequestNumber, Welcome};
pub use output::Output;
pub use range::{ByteRange, ReadRequest, ReadRequestError};
pub use reader::{FrameReader, RawFrame};
pub use refusal::{Farewell, Reason, Refusal};
pub use traffic::Traffic;

/// The name of this protocol in TLS (RFC 7301); a version that reads differently gets another.
pub const ALPN: &[u8] = b"tahoe-pipeline/1";
