//! Variable-length integers of QUIC (RFC 9000, section 16), in their shortest form only.
//!
//! ```text
//! first two bits  00  01  10  11
//! bytes            1   2   4   8
//! value bits       6  14  30  62
//! ```
//!
//! Big-endian. One spelling per value, unlike in QUIC, so that a frame has one spelling too.

use crate::Malformed;

/// Largest value.
pub const MAX: u64 = (1 << 62) - 1;

/// Most bytes of one integer.
pub const LEN_MAX: usize = 8;

/// The number of bytes that the integer beginning with `first` has.
#[must_use]
pub fn len(first: u8) -> usize {
    1 << (first >> 6)
}

/// Appends `value` to `bytes`.
///
/// # Panics
///
/// If `value` is larger than [`MAX`].
pub fn encode(value: u64, bytes: &mut Vec<u8>) {
    assert!(value <= MAX, "{value} is not a variable-length integer");
    let (len, mark): (usize, u8) = match value {
        0..=0x3f => (1, 0x00),
        0x40..=0x3fff => (2, 0x40),
        0x4000..=0x3fff_ffff => (4, 0x80),
        _ => (8, 0xc0),
    };
    let start = bytes.len();
    bytes.extend_from_slice(&value.to_be_bytes()[LEN_MAX - len..]);
    bytes[start] |= mark;
}

/// Takes one integer off the front of `input`.
///
/// # Errors
///
/// [`Malformed::Truncated`] if `input` ends first, [`Malformed::LongVarint`] if the value fits in
/// fewer bytes.
pub fn take(input: &mut &[u8]) -> Result<u64, Malformed> {
    let first = *input.first().ok_or(Malformed::Truncated)?;
    let len = len(first);
    let (bytes, rest) = input.split_at_checked(len).ok_or(Malformed::Truncated)?;
    let mut value = u64::from(first & 0x3f);
    for byte in &bytes[1..] {
        value = value << 8 | u64::from(*byte);
    }
    let smallest = match len {
        1 => 0,
        2 => 0x40,
        4 => 0x4000,
        _ => 0x4000_0000,
    };
    if value < smallest {
        return Err(Malformed::LongVarint);
    }
    *input = rest;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(value, &mut bytes);
        bytes
    }

    // The examples of RFC 9000, section A.1.
    #[test]
    fn the_bytes_are_those_of_quic() {
        let examples: [(u64, &[u8]); 4] = [
            (
                151_288_809_941_952_652,
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
            ),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (15_293, &[0x7b, 0xbd]),
            (37, &[0x25]),
        ];
        for (value, bytes) in examples {
            assert_eq!(encoded(value), bytes);
            assert_eq!(take(&mut &bytes[..]), Ok(value));
        }
    }

    #[test]
    fn each_length_begins_where_the_shorter_one_ends() {
        for (value, len) in [
            (0, 1),
            (63, 1),
            (64, 2),
            (16_383, 2),
            (16_384, 4),
            ((1 << 30) - 1, 4),
            (1 << 30, 8),
            (MAX, 8),
        ] {
            let bytes = encoded(value);
            assert_eq!(bytes.len(), len, "{value}");
            assert_eq!(take(&mut &bytes[..]), Ok(value));
            for cut in 0..len {
                assert_eq!(take(&mut &bytes[..cut]), Err(Malformed::Truncated));
            }
        }
    }

    // Two spellings of one length would let a middle box and the server see different frames.
    #[test]
    fn a_longer_form_than_needed_is_refused() {
        for bytes in [
            &[0x40, 63][..],
            &[0x80, 0, 0x3f, 0xff],
            &[0xc0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff],
            &[0xc0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(take(&mut &bytes[..]), Err(Malformed::LongVarint));
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_taken_back(value in 0..=MAX, rest: [u8; 3]) {
            let mut bytes = encoded(value);
            bytes.extend_from_slice(&rest);
            let mut input = &bytes[..];
            prop_assert_eq!(take(&mut input), Ok(value));
            prop_assert_eq!(input, rest);
        }
    }
}
