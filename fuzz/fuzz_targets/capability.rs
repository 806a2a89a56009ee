//! A capability, as a person might type it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lafs::fuzz::capability(bytes));
