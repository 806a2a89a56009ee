//! The real `tahoed`, as a process on loopback, judged from outside.
#![expect(
    clippy::unwrap_used,
    reason = "a test that fails says where by panicking"
)]

mod adopting;
mod client;
mod control;
mod crashing;
mod documents;
mod gbs;
mod hints;
mod hostile;
mod keeping;
mod limits;
mod missing_disk;
mod node;
mod noticing;
mod signals;
mod starting;
mod stopping;
mod storing;
