//! Whatever parses as the end of a share is written the same way, and its offsets can be computed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| share::fuzz::ending(bytes));
