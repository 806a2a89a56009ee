//! Whoever may connect to the control socket may say anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocol::fuzz::control::lines(bytes));
