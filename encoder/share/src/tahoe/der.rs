//! The envelope of a public key in DER: SubjectPublicKeyInfo (RFC 5280, section 4.1) with
//! rsaEncryption (RFC 3279, section 2.3.1).
//!
//! ```text
//! SEQUENCE
//!   SEQUENCE
//!     OBJECT IDENTIFIER 1.2.840.113549.1.1.1
//!     NULL
//!   BIT STRING, no unused bits: SEQUENCE of modulus and exponent
//! ```

/// The key inside of the envelope, as `ring` takes it: modulus and exponent. None unless the bytes
/// are the one encoding of an RSA key's envelope; the key itself is not looked at.
pub(crate) fn rsa_key(bytes: &[u8]) -> Option<&[u8]> {
    let (envelope, []) = take(SEQUENCE, bytes)? else {
        return None;
    };
    let rest = envelope.strip_prefix(RSA_ENCRYPTION)?;
    let (bits, []) = take(BIT_STRING, rest)? else {
        return None;
    };
    bits.strip_prefix(&[0])
}

/// The value of an element of this type, and what is behind it.
fn take(kind: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&[kind])?;
    let (len, rest) = match rest {
        [len @ ..=0x7f, rest @ ..] => (usize::from(*len), rest),
        [0x81, len @ 0x80..=0xff, rest @ ..] => (usize::from(*len), rest),
        [0x82, high @ 1..=0xff, low, rest @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    (len <= rest.len()).then(|| rest.split_at(len))
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The algorithm: a sequence of its identifier and NULL.
const RSA_ENCRYPTION: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

#[cfg(test)]
mod tests {
    use super::*;

    fn element(kind: u8, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(value.len()).unwrap().to_be_bytes();
        let head = match len {
            [0, short @ ..0x80] => vec![kind, short],
            [0, long] => vec![kind, 0x81, long],
            [high, low] => vec![kind, 0x82, high, low],
        };
        [head.as_slice(), value].concat()
    }

    fn envelope(key: &[u8]) -> Vec<u8> {
        let bits = element(BIT_STRING, &[&[0], key].concat());
        element(SEQUENCE, &[RSA_ENCRYPTION, &bits].concat())
    }

    #[test]
    fn the_key_of_any_length_is_found() {
        for len in [0, 1, 100, 107, 108, 126, 127, 128, 240, 270, 2000] {
            let key = vec![7; len];
            assert_eq!(rsa_key(&envelope(&key)), Some(key.as_slice()), "{len}");
        }
    }

    // A key with two spellings would have two fingerprints.
    #[test]
    fn every_other_envelope_is_refused() {
        for key in [vec![7; 10], vec![7; 300]] {
            let good = envelope(&key);
            for len in 0..good.len() {
                assert_eq!(rsa_key(&good[..len]), None);
            }
            assert_eq!(rsa_key(&[good.as_slice(), &[0]].concat()), None);
            for at in 0..good.len() - key.len() {
                for bit in 0..8 {
                    let mut flipped = good.clone();
                    flipped[at] ^= 1 << bit;
                    assert_eq!(rsa_key(&flipped), None, "bit {bit} of byte {at}");
                }
            }
        }
    }
}
