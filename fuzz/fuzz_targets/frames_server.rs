//! Whatever reads as frames of a server is written the same way.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocol::fuzz::server_frames(bytes));
