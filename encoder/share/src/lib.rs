//! What the bytes of a share are, and everything about them that can be proved without a key.
//!
//! * [`native`]: the shares of the native suite; the client verifies and writes with the same code.
//!
//! No cipher and no erasure code, so that a server may use it. No I/O.

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod native;
