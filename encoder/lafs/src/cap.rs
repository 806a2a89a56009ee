//! Capabilities: the text that names a file, and says how much of it its holder may see.
//!
//! A capability is of a suite and of a kind. [`native`] has those of the native suite; a [`Literal`]
//! belongs to all suites. A value has one spelling, the one that `Display` prints.

mod error;
mod literal;
pub mod native;
mod ueb_hash;

use std::fmt;
use std::str::FromStr;

pub use self::error::CapError;
pub use self::literal::Literal;
pub use self::ueb_hash::UebHash;

/// A capability of any kind this project knows, named by suite and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cap {
    /// Reads a native file.
    NativeRead(native::ReadCap),
    /// Verifies a native file.
    NativeVerify(native::VerifyCap),
    /// Is a small file.
    Literal(Literal),
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NativeRead(cap) => cap.fmt(f),
            Self::NativeVerify(cap) => cap.fmt(f),
            Self::Literal(literal) => literal.fmt(f),
        }
    }
}

impl FromStr for Cap {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        if text.starts_with(native::ReadCap::PREFIX) {
            text.parse().map(Self::NativeRead)
        } else if text.starts_with(native::VerifyCap::PREFIX) {
            text.parse().map(Self::NativeVerify)
        } else if text.starts_with(Literal::PREFIX) {
            text.parse().map(Self::Literal)
        } else {
            Err(CapError::Kind)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::native::{ReadCap, ReadKey, VerifyCap};
    use super::*;
    use crate::{Parameters, ParametersError, base32};

    fn read_cap() -> ReadCap {
        let parameters = Parameters::default_for(3, 10).unwrap();
        ReadCap::new(
            ReadKey::new([1; 32]),
            UebHash::new([2; 32]),
            parameters,
            1000,
        )
        .unwrap()
    }

    #[test]
    fn caps_print_as_documented_and_parse_back() {
        let read = read_cap();
        let printed = read.to_string();
        assert_eq!(
            printed,
            "URI:TLN1:aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq:\
             aibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaiba:3:10:1000:196608"
        );
        assert_eq!(printed.parse(), Ok(Cap::NativeRead(read.clone())));
        let verify = read.verify_cap();
        assert_eq!(verify.to_string().parse(), Ok(Cap::NativeVerify(verify)));
    }

    // The same text as Tahoe's, so that small files and their caps move freely between the two.
    #[test]
    fn literals_are_tahoes() {
        assert_eq!(Literal::new(b"").unwrap().to_string(), "URI:LIT:");
        assert_eq!(
            Literal::new(b"hello").unwrap().to_string(),
            "URI:LIT:nbswy3dp"
        );
        assert_eq!(
            "URI:LIT:nbswy3dp".parse::<Literal>().unwrap().as_bytes(),
            b"hello"
        );
        assert!(Literal::new(&[0; 55]).is_some());
        assert_eq!(Literal::new(&[0; 56]), None);
        let large = format!("URI:LIT:{}", base32::encode(&[7; 1000]));
        assert_eq!(large.parse::<Literal>().unwrap().to_string(), large);
    }

    #[test]
    fn each_error_is_provoked() {
        let good = read_cap().to_string();
        let fields: Vec<&str> = good.split(':').collect();
        let with = |index: usize, text: &str| {
            let mut fields = fields.clone();
            fields[index] = text;
            fields.join(":").parse::<Cap>()
        };
        assert_eq!(with(0, "uri"), Err(CapError::Kind));
        assert_eq!(with(1, "CHK"), Err(CapError::Kind));
        assert_eq!(with(2, "short"), Err(CapError::ReadKey));
        assert_eq!(with(2, &fields[2].to_uppercase()), Err(CapError::ReadKey));
        assert_eq!(with(3, &fields[3][1..]), Err(CapError::UebHash));
        for (index, number) in [(4, "03"), (4, "+3"), (5, ""), (6, "-1"), (7, "4294967296")] {
            assert_eq!(with(index, number), Err(CapError::Number), "{number:?}");
        }
        assert_eq!(with(6, "18446744073709551616"), Err(CapError::Number));
        assert_eq!(with(6, "1152921504606846977"), Err(CapError::Size));
        assert!(with(6, "1152921504606846976").is_ok());
        assert_eq!(
            with(4, "11"),
            Err(CapError::Parameters(ParametersError::Counts {
                needed: 11,
                total: 10
            }))
        );
        assert_eq!(format!("{good}:").parse::<Cap>(), Err(CapError::FieldCount));
        let cut = good.rsplit_once(':').unwrap().0;
        assert_eq!(cut.parse::<Cap>(), Err(CapError::FieldCount));
        assert_eq!("URI:LIT:a".parse::<Cap>(), Err(CapError::Literal));
        assert_eq!(
            with(1, "TLN1-Verifier"),
            Err(CapError::StorageIndex),
            "a read key in a verify cap"
        );
        assert_eq!(good.parse::<VerifyCap>(), Err(CapError::Kind));
    }

    // A log line must not give the file away.
    #[test]
    fn a_key_is_not_printed_for_debugging() {
        let cap = read_cap();
        let key = base32::encode(cap.read_key().as_bytes());
        let debug = format!(
            "{:?} {:?}",
            Cap::NativeRead(cap.clone()),
            Literal::new(b"secret")
        );
        assert!(!debug.contains(&key) && !debug.contains("aeaqcaibaeaqcaibaeaqcaibaea"));
        assert!(debug.ends_with("Some(Literal(6 bytes))"), "{debug}");
    }

    // Every character matters: no flip may leave a text that means the same file.
    #[test]
    fn a_flipped_bit_is_an_error_or_another_cap() {
        let cap = Cap::NativeRead(read_cap());
        let text = cap.to_string().into_bytes();
        for index in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.clone();
                flipped[index] ^= 1 << bit;
                let Ok(flipped) = String::from_utf8(flipped) else {
                    continue;
                };
                if let Ok(other) = flipped.parse::<Cap>() {
                    assert_ne!(other, cap, "byte {index} bit {bit}");
                    assert_eq!(other.to_string(), flipped);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_printed_back_unchanged(
            text in "(URI:(TLN1|TLN1-Verifier|LIT):)?[a-z2-7]{0,60}(:[a-z2-7]{50,54})?(:[0-9]{0,7}){0,5}"
        ) {
            if let Ok(cap) = text.parse::<Cap>() {
                prop_assert_eq!(cap.to_string(), text);
            }
        }
    }
}
