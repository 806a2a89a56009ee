//! Base32 as Tahoe-LAFS prints it: RFC 4648 alphabet in lower case, no padding, strict.
//!
//! The unused low bits of the last character must be zero, so that every value has one spelling
//! (reference: Tahoe file formats, section 3.1).

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

/// The alphabet, in the order of the values 0 to 31.
pub const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz234567";

static ENCODING: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str(ALPHABET);
    specification
        .encoding()
        .expect("32 distinct ASCII symbols make a base32 encoding")
});

/// Returns `bytes` in base32.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    ENCODING.encode(bytes)
}

/// Writes `bytes` in base32 into `text`, which has just the room for it.
pub(crate) fn encode_into(bytes: &[u8], text: &mut [u8]) {
    ENCODING.encode_mut(bytes, text);
}

/// Returns the bytes that `text` spells, or `None` if no bytes are spelled that way.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    ENCODING.decode(text.as_bytes()).ok()
}

/// Returns the `N` bytes that `text` spells, or `None` if it spells another number of them or none.
#[must_use]
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    // The length is compared first so that a long hostile text costs nothing.
    if text.len() != ENCODING.encode_len(N) {
        return None;
    }
    let mut array = [0; N];
    let written = ENCODING.decode_mut(text.as_bytes(), &mut array).ok()?;
    (written == N).then_some(array)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Two spellings of one value would let two caps name one file and break comparisons by text.
    #[test]
    fn a_last_character_with_spare_bits_set_is_refused() {
        assert_eq!(decode_array::<1>("aa"), Some([0]));
        assert_eq!(decode_array::<1>("ab"), None);
        assert_eq!(decode("ab"), None);
    }

    #[test]
    fn upper_case_padding_blanks_and_other_lengths_are_refused() {
        for text in [
            "AA",
            "aa======",
            " aa",
            "a",
            "aaa",
            "a1",
            "a8",
            "aaaaaaa\u{e9}",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_spelling_is_the_one_tahoe_prints() {
        assert_eq!(encode(b"hello"), "nbswy3dp");
        assert_eq!(encode(&[1; 16]), "aeaqcaibaeaqcaibaeaqcaibae");
        assert_eq!(encode(&[]), "");
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = encode(&bytes);
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn what_decodes_is_spelled_the_one_way(text in "[a-z2-7]{0,40}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
