//! Fuzz entry points: each takes any bytes from a stranger and must not panic.

pub use crate::native::fuzz::ending;
