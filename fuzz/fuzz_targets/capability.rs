//! Whatever parses as a capability prints as the text it was parsed from, and its verify capability too.
#![no_main]

use lafs::cap::Cap;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(cap) = text.parse::<Cap>() else {
        return;
    };
    assert_eq!(cap.to_string(), text);
    if let Cap::NativeRead(read) = cap {
        let verify = read.verify_cap().to_string();
        assert!(
            matches!(verify.parse(), Ok(Cap::NativeVerify(again)) if again == read.verify_cap()),
            "{verify}"
        );
    }
});
