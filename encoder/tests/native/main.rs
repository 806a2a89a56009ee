//! The native suite from outside: files into shares and back, with everything that can go wrong
//! between.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deep;
mod golden;
mod grid;
mod hostile;
mod reference;
mod roundtrip;
