//! Fuzz entry points: each takes any bytes from a stranger and must not panic.
//!
//! They assert what must hold whatever the bytes are. The tests call them too.

use lafs::{ShareNumber, StorageIndex};

pub use crate::native::fuzz::ending;
use crate::{Container, Verdict, check};

/// A share is checked, as it stands and as a changed copy of one that Tahoe wrote. No change passes
/// but one of bytes about which nothing can be proved.
pub fn chk(bytes: &[u8]) {
    changed(&CHK, Container::Immutable, bytes);
}

/// The same for mutable shares.
pub fn mutable(bytes: &[u8]) {
    changed(&MUTABLE, Container::Mutable, bytes);
}

/// The first byte says of which share, the next two where the change begins; the rest is a share, and
/// also what the good one is XORed with.
fn changed(shares: &[Good], container: Container, bytes: &[u8]) {
    let [which, high, low, rest @ ..] = bytes else {
        return;
    };
    let good = &shares[usize::from(*which) % shares.len()];
    let checked = |bytes: &[u8]| {
        let number = ShareNumber::new(good.number);
        let verdict = check(&bytes, container, STORAGE_INDEX, number);
        verdict.expect("memory can be read")
    };
    checked(rest);
    let start = usize::from(u16::from_be_bytes([*high, *low])) % good.bytes.len();
    let mut changed = good.bytes.to_vec();
    for (byte, change) in changed[start..].iter_mut().zip(rest) {
        *byte ^= change;
    }
    let pairs = changed.iter().zip(good.bytes);
    let mut places = pairs.enumerate().filter(|(_, (new, old))| new != old);
    let is_unproved = |place| {
        good.unproved
            .iter()
            .any(|[start, end]| (*start..*end).contains(&place))
    };
    let is_proved_wrong = places.any(|(place, _)| !is_unproved(place));
    if let Verdict::Whole(_) = checked(&changed) {
        assert!(!is_proved_wrong, "a changed share passed");
    } else {
        assert!(changed != good.bytes, "a good share did not pass");
    }
}

/// A share that Tahoe wrote.
struct Good {
    bytes: &'static [u8],
    number: u8,
    /// Where a change can pass: start and end.
    unproved: &'static [[usize; 2]],
}

/// The hash of the whole ciphertext, in the UEB, can be compared with nothing.
static CHK: [Good; 4] = [
    Good {
        bytes: include_bytes!("../tests/fixtures/chk-57-1of1.sh0.share"),
        number: 0,
        unproved: &[[284, 316]],
    },
    Good {
        bytes: include_bytes!("../tests/fixtures/chk-1000-3of10.sh5.share"),
        number: 5,
        unproved: &[[700, 732]],
    },
    Good {
        bytes: include_bytes!("../tests/fixtures/chk-1000-3of10-randkey-v2.sh4.share"),
        number: 4,
        unproved: &[[736, 768]],
    },
    Good {
        bytes: include_bytes!("../tests/fixtures/chk-4096-2of5-seg1024.sh1.share"),
        number: 1,
        unproved: &[[2955, 2987]],
    },
];

/// The encrypted private key is in no hash, and what is left of the reserve of an MDMF share is
/// nothing. The end of an SDMF share says how long the key is, which may be less.
static MUTABLE: [Good; 3] = [
    Good {
        bytes: include_bytes!("../tests/fixtures/sdmf-100-3of10.sh4.share"),
        number: 4,
        unproved: &[[99, 107], [859, 2076]],
    },
    Good {
        bytes: include_bytes!("../tests/fixtures/sdmf-0-3of10.sh0.share"),
        number: 0,
        unproved: &[[99, 107], [825, 2041]],
    },
    Good {
        bytes: include_bytes!("../tests/fixtures/mdmf-10-3of10.sh2.share"),
        number: 2,
        unproved: &[[123, 1341], [2027, 2167]],
    },
];

/// No hash in Tahoe's shares holds it.
const STORAGE_INDEX: StorageIndex = StorageIndex::new([1; 16]);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn whatever_comes_as_a_share_is_checked(
            bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            chk(&bytes);
            mutable(&bytes);
        }
    }

    // With nothing changed, and with one byte.
    #[test]
    fn every_share_passes_and_none_with_a_changed_byte() {
        for which in 0..4 {
            chk(&[which, 0, 0]);
            mutable(&[which, 0, 0]);
            for at in 0..4096_u16 {
                let [high, low] = at.to_be_bytes();
                chk(&[which, high, low, 0x10]);
                mutable(&[which, high, low, 0x10]);
            }
        }
    }
}
