//! A request that gets through has the swissnum, and each endpoint has a path of its own.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocol::fuzz::gbs::call(bytes));
