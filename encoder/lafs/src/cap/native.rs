//! Capabilities of the native suite's immutable files.
//!
//! ```text
//! URI:TLN2:C:KEY:UEB:k:n:F:S             read: the plaintext
//! URI:TLN2-Verifier:C:SI:UEB:k:n:F:S     verify: whether the shares are good, not what is in them
//!
//! TLN2   the version of the format that the shares have; TLN1 is read for ever
//! C      check of the rest, 4 bytes in 7 characters of base32
//! KEY    read key, 32 bytes in 52 characters of base32
//! SI     storage index, 16 bytes in 26 characters of base32
//! UEB    hash of the UEB, 32 bytes in 52 characters of base32
//! k n    shares needed and in all, decimal        F    size of the file, decimal
//! S      size of a segment, decimal
//! ```
//!
//! Decimals have no sign and no leading zeros. The first texts of version 1 had no check and no
//! colon behind it: they are read for ever, and not printed any more. A read cap holds a key:
//! `Display` prints it whole, `Debug` does not.

use std::fmt;
use std::str::FromStr;

use super::check;
use super::error::CapError;
use super::ueb_hash::UebHash;
use crate::secret::{derive, secret};
use crate::{Parameters, StorageIndex, base32};

/// A version of the native format: what the shares of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// The first. It is read for ever, and not written any more.
    V1,
    /// Says the same in fewer bytes.
    V2,
}

impl Version {
    /// What writers write.
    pub const CURRENT: Self = Self::V2;

    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// What the text of a read cap begins with.
    const fn read_prefix(self) -> &'static str {
        match self {
            Self::V1 => "URI:TLN1:",
            Self::V2 => "URI:TLN2:",
        }
    }

    /// What the text of a verify cap begins with.
    const fn verify_prefix(self) -> &'static str {
        match self {
            Self::V1 => "URI:TLN1-Verifier:",
            Self::V2 => "URI:TLN2-Verifier:",
        }
    }

    /// The version whose texts begin so, and the rest of the text.
    fn split(text: &str, prefix: fn(Self) -> &'static str) -> Option<(Self, &str)> {
        Self::ALL
            .into_iter()
            .find_map(|version| Some((version, text.strip_prefix(prefix(version))?)))
    }
}

/// Reads a file of the native suite.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadCap {
    version: Version,
    read_key: ReadKey,
    ueb_hash: UebHash,
    parameters: Parameters,
    size: u64,
}

impl ReadCap {
    /// A read cap of the [current](Version::CURRENT) version with these fields.
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
        Self::of_version(Version::CURRENT, read_key, ueb_hash, parameters, size)
    }

    /// A read cap with these fields.
    ///
    /// # Errors
    ///
    /// [`CapError::Size`] if `size` is beyond [`Parameters::FILE_SIZE_MAX`].
    pub fn of_version(
        version: Version,
        read_key: ReadKey,
        ueb_hash: UebHash,
        parameters: Parameters,
        size: u64,
    ) -> Result<Self, CapError> {
        if size > Parameters::FILE_SIZE_MAX {
            return Err(CapError::Size);
        }
        Ok(Self {
            version,
            read_key,
            ueb_hash,
            parameters,
            size,
        })
    }

    /// Whether a text begins like a read cap.
    pub(super) fn is_named_by(text: &str) -> bool {
        Version::split(text, Version::read_prefix).is_some()
    }

    /// The version of the format that the shares have.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
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
            version: self.version,
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
        print(f, self.version.read_prefix(), &key, &self.verify_cap())
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
        let fields = Fields::split(text, Version::read_prefix)?;
        let read_key = base32::decode_array(fields.name).ok_or(CapError::ReadKey)?;
        Ok(Self {
            version: fields.version,
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
    version: Version,
    storage_index: StorageIndex,
    ueb_hash: UebHash,
    parameters: Parameters,
    size: u64,
}

impl VerifyCap {
    /// Whether a text begins like a verify cap.
    pub(super) fn is_named_by(text: &str) -> bool {
        Version::split(text, Version::verify_prefix).is_some()
    }

    /// The version of the format that the shares have.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

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
        let storage_index = self.storage_index.to_string();
        print(f, self.version.verify_prefix(), &storage_index, self)
    }
}

impl FromStr for VerifyCap {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        let fields = Fields::split(text, Version::verify_prefix)?;
        Ok(Self {
            version: fields.version,
            storage_index: fields.name.parse().map_err(|_| CapError::StorageIndex)?,
            ueb_hash: fields.ueb_hash()?,
            parameters: fields.parameters()?,
            size: fields.size()?,
        })
    }
}

secret! {
    /// What a file of the native suite is encrypted with; who knows it may read the file.
    ReadKey
}

impl ReadKey {
    /// Where the shares of the file are.
    ///
    /// Derived, so that a reader needs no more than the key to find them, and a server learns
    /// nothing of the key from the name (`docs/native-format.md`, "Keys").
    #[must_use]
    pub fn storage_index(&self) -> StorageIndex {
        let derived = derive("tahoe-native 2026-11 storage index v1", &[self.as_bytes()]);
        let (index, _) = derived.split_at(StorageIndex::LEN);
        StorageIndex::new(index.try_into().expect("split at its length"))
    }
}

/// Whether a text begins like a cap of a version after these: by the number behind `TLN`.
pub(super) fn is_newer(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("URI:TLN") else {
        return false;
    };
    let end = rest.find(|c: char| !c.is_ascii_digit());
    let (digits, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let is_cap = rest.starts_with(':') || rest.starts_with("-Verifier:");
    is_cap && decimal::<u32>(digits).is_ok_and(|version| version > 2)
}

/// The fields after a prefix, still text.
struct Fields<'a> {
    version: Version,
    name: &'a str,
    ueb_hash: &'a str,
    numbers: [&'a str; 4],
}

impl<'a> Fields<'a> {
    fn split(text: &'a str, prefix: fn(Version) -> &'static str) -> Result<Self, CapError> {
        let (version, rest) = Version::split(text, prefix).ok_or(CapError::Kind)?;
        let fields = match version {
            Version::V1 if !has_check(rest) => rest,
            _ => check::remove(prefix(version), rest)?,
        };
        let mut fields = fields.split(':');
        let mut next = || fields.next().ok_or(CapError::FieldCount);
        let split = Self {
            version,
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
            .map(UebHash::new)
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

/// Whether a text of version 1 has a check: it has one field more, or its first field is as long as a check. The
/// first field of a text without one is much longer.
fn has_check(rest: &str) -> bool {
    let mut fields = rest.split(':');
    let first = fields.next().unwrap_or_default();
    first.len() == check::LEN || fields.count() == FIELD_COUNT
}

/// How many fields there are behind the prefix, but for the check.
const FIELD_COUNT: usize = 6;

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
    let fields = format!(
        "{name}:{}:{}:{}:{}:{}",
        base32::encode(cap.ueb_hash.as_bytes()),
        cap.parameters.needed(),
        cap.parameters.total(),
        cap.size,
        cap.parameters.segment_size(),
    );
    f.write_str(&check::insert(prefix, &fields))
}
