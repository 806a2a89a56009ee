//! GBS, the HTTP protocol of Tahoe-LAFS 1.20 ("Great Black Swamp"): all of it that is bytes.
//!
//! What arrives becomes a [`Call`], once, at the edge: routed, authorized, with exactly its
//! secrets, its headers read. Bodies and answers are messages with an `encode` and a `decode` each.
//! Sockets, HTTP framing and the store belong to the caller; the status of whatever is refused, by
//! either, is that of a [`Rejection`]. As served here the protocol is described in `docs/gbs.md`;
//! its source is Tahoe-LAFS 1.20, `storage/http_server.py`.
//!
//! Always holds: nothing is allocated that a peer only claims, nothing secret is printed or
//! repeated, and secrets are compared in constant time.

mod call;
mod cbor;
pub mod limits;
mod message;
mod negotiation;
mod range;
pub mod read_test_write;
mod rejection;
mod route;
mod secrets;

pub use call::{Call, Headers};
pub use message::{
    Advisory, AllocateAnswer, AllocateRequest, RequiredAnswer, SharesAnswer, VersionAnswer,
};
pub use negotiation::{check_accept, check_content_type};
pub use range::ByteSpan;
pub use read_test_write::{
    Extent, ReadTestWrite, ReadTestWriteAnswer, ReadTestWriteDecoder, ShareChange, Test, Write,
};
pub use rejection::{Malformed, Rejection};
pub use route::{Endpoint, Kind};
pub use secrets::{Authorized, Secrets, UploadSecret};

/// The type of messages, as a client compares it: lower case.
pub const CBOR: &str = "application/cbor";

/// The type of share bytes.
pub const OCTET_STREAM: &str = "application/octet-stream";
