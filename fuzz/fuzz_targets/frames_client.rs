//! Whatever reads as frames of a client is written the same way.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocol::fuzz::client_frames(bytes));
