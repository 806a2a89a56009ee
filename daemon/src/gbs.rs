//! GBS: the protocol of Tahoe-LAFS's clients, HTTP over the same TLS as the pipeline.
//!
//! hyper carries the requests ([`connection`]); what their bytes mean is [`protocol::gbs`]'s, what
//! becomes of shares is the store's. Here is what lies between: the order in which a request is
//! looked at ([`service`]), its body as it comes ([`intake`]), the answer as it goes ([`answer`],
//! [`share_stream`]), and one file for each family of endpoints.
//!
//! What always holds:
//! * nothing of a body is read before the swissnum and the secrets of the request were looked at;
//! * of a body and of an answer one chunk is in memory, whatever their size, but for messages, which
//!   have a bound;
//! * a connection does one request after the other, as its client sent them.

mod advisory;
mod answer;
mod connection;
mod immutable;
mod intake;
mod lease;
mod mutable;
mod read;
mod refusal;
mod service;
mod share_stream;
mod transport;
mod version;
mod watch;

pub(crate) use connection::serve;
