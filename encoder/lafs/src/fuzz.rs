//! Fuzz entry points: each takes any bytes from a stranger and must not panic.
//!
//! The fuzzer and the hostile tests call the same functions. They also check what must hold of
//! whatever is accepted.

use crate::cap::Cap;
use crate::nurl::Nurl;

/// Reads bytes as a capability.
///
/// # Panics
///
/// If what was read is printed in another way, unless that lacks nothing but its check; if its
/// verify cap is not read again; if pasting it makes a difference.
pub fn capability(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let pasted = Cap::from_pasted(text);
    let Ok(cap) = text.parse::<Cap>() else {
        return;
    };
    assert_eq!(pasted.as_ref(), Ok(&cap));
    let printed = cap.to_string();
    let mut fields: Vec<&str> = printed.split(':').collect();
    if printed != text {
        fields.remove(2);
        assert_eq!(fields.join(":"), text);
        assert_eq!(printed.parse().as_ref(), Ok(&cap));
    }
    if let Cap::NativeRead(read) = cap {
        let verify = read.verify_cap();
        assert_eq!(verify.to_string().parse(), Ok(Cap::NativeVerify(verify)));
    }
}

/// Reads bytes as a NURL.
///
/// # Panics
///
/// If what was read does not print as a NURL that reads the same.
pub fn nurl(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(nurl) = text.parse::<Nurl>() {
        assert_eq!(nurl.to_string().parse(), Ok(nurl));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A seed that no parser accepts teaches the fuzzer nothing, and nobody notices.
    #[test]
    fn the_seeds_of_the_fuzzer_are_accepted() {
        for seed in [
            include_str!("../../../fuzz/seeds/capability/literal"),
            include_str!("../../../fuzz/seeds/capability/read"),
            include_str!("../../../fuzz/seeds/capability/read-2"),
            include_str!("../../../fuzz/seeds/capability/read-without-check"),
            include_str!("../../../fuzz/seeds/capability/verify"),
            include_str!("../../../fuzz/seeds/capability/verify-2"),
            include_str!("../../../fuzz/seeds/capability/verify-without-check"),
        ] {
            capability(seed.as_bytes());
            assert!(seed.parse::<Cap>().is_ok(), "{seed}");
        }
        let page = include_str!("../../../fuzz/seeds/capability/page");
        assert!(Cap::from_pasted(page).is_ok());
        let nurl_seed = include_str!("../../../fuzz/seeds/nurl/tcp");
        nurl(nurl_seed.as_bytes());
        assert!(nurl_seed.parse::<Nurl>().is_ok());
    }
}
