//! The real `tahoed`, as a process on loopback, judged from outside.
#![expect(
    clippy::unwrap_used,
    reason = "a test that fails says where by panicking"
)]

mod adopting;
mod client;
mod crashing;
mod gbs;
mod hostile;
mod limits;
mod node;
mod starting;
mod stopping;
mod storing;
