//! Files into shares and back: encryption, erasure codes, convergent keys. No I/O.
//!
//! Each suite is a module: it has its own formats, and its own encoder and decoder for them.
//!
//! * [`native`]: immutable files of the native suite.

pub mod native;

pub use lafs::{Parameters, ParametersError};
