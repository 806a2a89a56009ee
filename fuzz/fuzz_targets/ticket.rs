//! Whatever parses as the ticket of an upload is written the same way.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bucketfs::fuzz::ticket(bytes));
