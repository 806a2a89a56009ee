//! Whatever parses as a UEB is written the same way, and its offsets can be computed.
#![no_main]

use encoder::Ueb;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(Ok(ueb)) = bytes.try_into().ok().map(Ueb::parse) else {
        return;
    };
    assert_eq!(ueb.to_bytes()[..], *bytes);
    let geometry = ueb.geometry();
    let trailer = geometry.trailer();
    assert_eq!(trailer.end, geometry.share_size());
    if let Some(last) = geometry.segment_count().checked_sub(1) {
        assert!(geometry.block(last).end <= trailer.start);
        assert_eq!(geometry.plaintext(last).end, geometry.file_size());
    }
});
