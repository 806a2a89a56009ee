//! Whatever parses as a NURL prints as a NURL that parses to the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lafs::fuzz::nurl(bytes));
