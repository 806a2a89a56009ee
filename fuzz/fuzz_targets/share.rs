//! No bytes pass for a share but a share, and no change to one passes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| encoder::native::fuzz::share(bytes));
