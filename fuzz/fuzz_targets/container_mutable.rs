//! Whatever parses as a mutable container is written the same way, and can be changed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bucketfs::fuzz::mutable_container(bytes));
