#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lafs::nurl::fuzz(bytes));
