//! A share that says what it is (its last bytes are a UEB) is verified in pieces without a panic.
#![no_main]

use encoder::{ShareVerifier, Ueb};
use lafs::{ShareNumber, StorageIndex};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(Ok(ueb)) = bytes.last_chunk().map(Ueb::parse) else {
        return;
    };
    let storage_index = StorageIndex::new([1; 16]);
    let Ok(mut verifier) = ShareVerifier::without_cap(storage_index, ShareNumber::new(0), &ueb)
    else {
        return;
    };
    // The lengths of the pieces must not matter; here they depend on the bytes.
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let (piece, later) = rest.split_at(rest.len().min(usize::from(first) + 1));
        if verifier.update(piece).is_err() {
            return;
        }
        rest = later;
    }
    let _ = verifier.finish();
});
