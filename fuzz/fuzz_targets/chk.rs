//! No changed copy of a Tahoe share is whole, but for the bytes about which nothing can be proved.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| share::fuzz::chk(bytes));
