//! The check of a capability: what was mistyped is found before any server is asked.
//!
//! It is the CRC-32 of the text without its check (the polynomial of IEEE 802.3, as in zip and
//! PNG), big-endian, in base32. A CRC-32 finds every error that lies within 32 bits, so each wrong
//! character, and each two neighbours that changed places; of all others it misses one in 2^32. The
//! check stands before the fields, so that a text that was cut off at its end still has it.
//!
//! It finds mistakes, not malice: what a cap is worth rests on its hash and its key.

use super::error::CapError;
use crate::base32;

/// Length of a check: 32 bits in base32.
pub(super) const LEN: usize = 7;

/// Prints `fields` behind a prefix and their check.
pub(super) fn insert(prefix: &str, fields: &str) -> String {
    format!("{prefix}{}:{fields}", of(prefix, fields))
}

/// Takes the check off what follows a prefix; returns the fields.
pub(super) fn remove<'a>(prefix: &str, checked: &'a str) -> Result<&'a str, CapError> {
    match checked.split_once(':') {
        Some((check, fields)) if check == of(prefix, fields) => Ok(fields),
        _ => Err(CapError::Check),
    }
}

fn of(prefix: &str, fields: &str) -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(prefix.as_bytes());
    hasher.update(fields.as_bytes());
    base32::encode(&hasher.finalize().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    // 0xCBF43926 is the check value that the catalogues of CRCs give for these digits.
    #[test]
    fn the_check_is_the_usual_crc_32() {
        let checked = insert("12345", "6789");
        assert_eq!(checked, "12345zp2dsjq:6789");
        assert_eq!(base32::decode("zp2dsjq").unwrap(), [0xcb, 0xf4, 0x39, 0x26]);
        assert_eq!(remove("12345", "zp2dsjq:6789"), Ok("6789"));
        assert_eq!("zp2dsjq".len(), LEN);
    }

    #[test]
    fn no_check_is_no_right_check() {
        for checked in ["", ":", "6789", ":6789", "zp2dsjq", "zp2dsjr:6789"] {
            assert_eq!(remove("12345", checked), Err(CapError::Check), "{checked}");
        }
    }
}
