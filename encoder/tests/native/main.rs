//! The native suite from outside: files into shares and back, with everything that can go wrong
//! between.

mod grid;
mod roundtrip;
