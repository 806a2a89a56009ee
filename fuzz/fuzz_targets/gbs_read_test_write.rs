//! A read-test-write reads the same in pieces, at once, and with another decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocol::fuzz::gbs::read_test_write(bytes));
