//! Whatever parses as a NURL prints as a NURL that parses to the same.
#![no_main]

use lafs::nurl::Nurl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(nurl) = text.parse::<Nurl>() {
        let printed = nurl.to_string();
        assert!(
            printed.parse::<Nurl>() == Ok(nurl),
            "{text:?} prints as {printed:?}"
        );
    }
});
