//! Whatever reads as journal records is written the same way.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bucketfs::fuzz::journal(bytes));
