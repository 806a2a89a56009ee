//! Capabilities: the text that names a file, and says how much of it its holder may see.
//!
//! ```text
//! URI:TLN1:KEY:UEB:k:n:F:S             read: the plaintext
//! URI:TLN1-Verifier:SI:UEB:k:n:F:S     verify: whether the shares are whole, nothing of what they say
//! URI:LIT:BYTES                        literal: the file itself, for files of at most 55 bytes
//!
//! KEY    read key, 32 bytes in 52 characters of base32
//! SI     storage index, 16 bytes in 26 characters of base32
//! UEB    hash of the UEB, 32 bytes in 52 characters of base32
//! k n    shares needed and in all, decimal        F    size of the file, decimal
//! S      size of a segment, decimal               BYTES  base32, any number
//! ```
//!
//! Decimals have no sign and no leading zeros, base32 no spare bits: a value has one spelling, the one
//! that `Display` prints. A read cap holds a key: `Display` prints it whole, `Debug` does not.
//! Literal caps are the same text as Tahoe's (reference: Tahoe file formats, section 3.2).

use std::fmt;
use std::str::FromStr;

use crate::{Parameters, ParametersError, ReadKey, StorageIndex, base32};

/// A capability of any kind this project knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cap {
    /// Reads a native file.
    Read(ReadCap),
    /// Verifies a native file.
    Verify(VerifyCap),
    /// Is a small file.
    Literal(Literal),
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(cap) => cap.fmt(f),
            Self::Verify(cap) => cap.fmt(f),
            Self::Literal(literal) => literal.fmt(f),
        }
    }
}

impl FromStr for Cap {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        if text.starts_with(ReadCap::PREFIX) {
            text.parse().map(Self::Read)
        } else if text.starts_with(VerifyCap::PREFIX) {
            text.parse().map(Self::Verify)
        } else if text.starts_with(Literal::PREFIX) {
            text.parse().map(Self::Literal)
        } else {
            Err(CapError::Kind)
        }
    }
}

/// Reads a file of the native suite.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadCap {
    read_key: ReadKey,
    ueb_hash: UebHash,
    parameters: Parameters,
    size: u64,
}

impl ReadCap {
    const PREFIX: &str = "URI:TLN1:";

    /// Puts a read cap together.
    ///
    /// # Errors
    ///
    /// [`CapError::Size`] if `size` is beyond [`Parameters::FILE_SIZE_MAX`].
    pub fn new(
        read_key: ReadKey,
        ueb_hash: UebHash,
        parameters: Parameters,
        size: u64,
    ) -> Result<Self, CapError> {
        if size > Parameters::FILE_SIZE_MAX {
            return Err(CapError::Size);
        }
        Ok(Self {
            read_key,
            ueb_hash,
            parameters,
            size,
        })
    }

    /// What the file is encrypted with.
    #[must_use]
    pub fn read_key(&self) -> &ReadKey {
        &self.read_key
    }

    /// What the UEB of every share must hash to.
    #[must_use]
    pub fn ueb_hash(&self) -> &UebHash {
        &self.ueb_hash
    }

    /// How the file is cut and spread.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Size of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where the shares are.
    #[must_use]
    pub fn storage_index(&self) -> StorageIndex {
        self.read_key.storage_index()
    }

    /// The cap for those who may verify the file but not read it.
    #[must_use]
    pub fn verify_cap(&self) -> VerifyCap {
        VerifyCap {
            storage_index: self.storage_index(),
            ueb_hash: self.ueb_hash,
            parameters: self.parameters,
            size: self.size,
        }
    }
}

impl fmt::Display for ReadCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base32::encode(self.read_key.as_bytes());
        print(f, Self::PREFIX, &key, &self.verify_cap())
    }
}

impl fmt::Debug for ReadCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadCap({}, ..)", self.storage_index())
    }
}

impl FromStr for ReadCap {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        let fields = Fields::split(text, Self::PREFIX)?;
        let read_key = base32::decode_array(fields.name).ok_or(CapError::ReadKey)?;
        Ok(Self {
            read_key: ReadKey::new(read_key),
            ueb_hash: fields.ueb_hash()?,
            parameters: fields.parameters()?,
            size: fields.size()?,
        })
    }
}

/// Verifies a file of the native suite, without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyCap {
    storage_index: StorageIndex,
    ueb_hash: UebHash,
    parameters: Parameters,
    size: u64,
}

impl VerifyCap {
    const PREFIX: &str = "URI:TLN1-Verifier:";

    /// Where the shares are.
    #[must_use]
    pub fn storage_index(&self) -> StorageIndex {
        self.storage_index
    }

    /// What the UEB of every share must hash to.
    #[must_use]
    pub fn ueb_hash(&self) -> &UebHash {
        &self.ueb_hash
    }

    /// How the file is cut and spread.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Size of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl fmt::Display for VerifyCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, Self::PREFIX, &self.storage_index.to_string(), self)
    }
}

impl FromStr for VerifyCap {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        let fields = Fields::split(text, Self::PREFIX)?;
        Ok(Self {
            storage_index: fields.name.parse().map_err(|_| CapError::StorageIndex)?,
            ueb_hash: fields.ueb_hash()?,
            parameters: fields.parameters()?,
            size: fields.size()?,
        })
    }
}

/// A file that is its own capability: no server keeps anything of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Literal(Vec<u8>);

impl Literal {
    const PREFIX: &str = "URI:LIT:";

    /// Largest file that writers make a literal of, as Tahoe's do. Readers take any.
    pub const SIZE_MAX: usize = 55;

    /// Makes a literal of a file, or `None` of one that is too large.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::SIZE_MAX).then(|| Self(bytes.to_vec()))
    }

    /// The file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, base32::encode(&self.0))
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Literal({} bytes)", self.0.len())
    }
}

impl FromStr for Literal {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        let bytes = text.strip_prefix(Self::PREFIX).ok_or(CapError::Kind)?;
        base32::decode(bytes).map(Self).ok_or(CapError::Literal)
    }
}

/// Hash of a UEB: what a cap's integrity rests on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UebHash([u8; Self::LEN]);

impl UebHash {
    /// Length of the hash in bytes.
    pub const LEN: usize = 32;

    /// Makes the hash of its bytes; every value is one.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for UebHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32::encode(&self.0))
    }
}

/// The text is not a capability, or not one of the kind asked for.
///
/// No variant repeats what it refuses: a mistyped cap is still nearly a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapError {
    /// The text does not begin like the cap it should be.
    #[error("not a capability that can be used here (they begin with URI:TLN1: or URI:LIT:)")]
    Kind,
    /// There are too few fields between the colons, or too many.
    #[error("the capability has not seven fields; was it cut or joined when it was copied?")]
    FieldCount,
    /// The read key is not one.
    #[error("the capability's key is not 52 characters of a-z and 2-7; was it mistyped?")]
    ReadKey,
    /// The storage index is not one.
    #[error("the capability's storage index is not 26 characters of a-z and 2-7; was it mistyped?")]
    StorageIndex,
    /// The hash is not one.
    #[error("the capability's hash is not 52 characters of a-z and 2-7; was it mistyped?")]
    UebHash,
    /// A number is not a decimal, is too large for its field, or has a sign or leading zeros.
    #[error("one of the capability's last four fields is not a plain decimal number in range")]
    Number,
    /// The numbers do not go together.
    #[error("the capability's numbers do not go together: {0}")]
    Parameters(#[from] ParametersError),
    /// The file would be larger than the format allows.
    #[error("the capability's file size is beyond 2^60 bytes")]
    Size,
    /// The file in a literal cap is not base32.
    #[error("the literal capability is not base32; was it cut or mistyped?")]
    Literal,
}

/// The fields after a prefix, still text.
struct Fields<'a> {
    name: &'a str,
    ueb_hash: &'a str,
    numbers: [&'a str; 4],
}

impl<'a> Fields<'a> {
    fn split(text: &'a str, prefix: &str) -> Result<Self, CapError> {
        let rest = text.strip_prefix(prefix).ok_or(CapError::Kind)?;
        let mut fields = rest.split(':');
        let mut next = || fields.next().ok_or(CapError::FieldCount);
        let split = Self {
            name: next()?,
            ueb_hash: next()?,
            numbers: [next()?, next()?, next()?, next()?],
        };
        match fields.next() {
            None => Ok(split),
            Some(_) => Err(CapError::FieldCount),
        }
    }

    fn ueb_hash(&self) -> Result<UebHash, CapError> {
        base32::decode_array(self.ueb_hash)
            .map(UebHash)
            .ok_or(CapError::UebHash)
    }

    fn parameters(&self) -> Result<Parameters, CapError> {
        let [needed, total, _, segment_size] = self.numbers;
        let (needed, total): (u16, u16) = (decimal(needed)?, decimal(total)?);
        Ok(Parameters::new(
            needed.into(),
            total.into(),
            decimal(segment_size)?,
        )?)
    }

    fn size(&self) -> Result<u64, CapError> {
        let size = decimal(self.numbers[2])?;
        (size <= Parameters::FILE_SIZE_MAX)
            .then_some(size)
            .ok_or(CapError::Size)
    }
}

/// Parses a decimal in its one spelling: digits only, and no zero before another digit.
fn decimal<T: FromStr>(text: &str) -> Result<T, CapError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(CapError::Number);
    }
    text.parse().map_err(|_| CapError::Number)
}

/// Prints what read and verify caps have in common after their own first field.
fn print(f: &mut fmt::Formatter<'_>, prefix: &str, name: &str, cap: &VerifyCap) -> fmt::Result {
    write!(
        f,
        "{prefix}{name}:{}:{}:{}:{}:{}",
        base32::encode(cap.ueb_hash.as_bytes()),
        cap.parameters.needed(),
        cap.parameters.total(),
        cap.size,
        cap.parameters.segment_size(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        assert_eq!(printed.parse(), Ok(Cap::Read(read.clone())));
        let verify = read.verify_cap();
        assert_eq!(verify.to_string().parse(), Ok(Cap::Verify(verify)));
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
        let debug = format!("{:?} {:?}", Cap::Read(cap.clone()), Literal::new(b"secret"));
        assert!(!debug.contains(&key) && !debug.contains("aeaqcaibaeaqcaibaeaqcaibaea"));
        assert!(debug.ends_with("Some(Literal(6 bytes))"), "{debug}");
    }

    // Every character matters: no flip may leave a text that means the same file.
    #[test]
    fn a_flipped_bit_is_an_error_or_another_cap() {
        let cap = Cap::Read(read_cap());
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
