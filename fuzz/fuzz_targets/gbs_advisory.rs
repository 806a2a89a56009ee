//! Whatever reads as a corruption advisory is read again after it is written.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocol::fuzz::gbs::advisory(bytes));
