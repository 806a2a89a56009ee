//! Whatever a reader is told, in whatever order, it gives out the file and nothing else.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| encoder::native::fuzz::answers(script));
