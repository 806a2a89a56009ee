//! A server hears anything from a client that it has let in.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocol::fuzz::server_connection(bytes));
