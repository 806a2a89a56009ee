//! The immutable share container: a header, the share, then its leases.
//!
//! ```text
//! 0x00  4  container version: 1 keeps lease secrets in the clear, 2 keeps their hashes
//! 0x04  4  share size, at most 2^32 - 1; written for old readers, never trusted
//! 0x08  4  lease count
//! 0x0c     the share, then the leases, LEASE_SIZE bytes each
//! ```
//!
//! Integers are big-endian. The same bytes as Tahoe-LAFS `storage/immutable.py`. The share's size
//! follows from the file's: what is left between header and leases. Both versions are written as the
//! operator chooses and read always; leases added are kept as the version has it (never a mixture
//! in one file). The container of mutable shares is told in [`mutable`].

use bytes::Bytes;
use lafs::num;

mod lease;
pub mod mutable;

pub use lease::{CLOCK_FLOOR, LEASE_DURATION, Lease, LeaseChange, LeaseSearch, expiration};

use crate::error::Damage;

/// Size of the header.
pub const HEADER_SIZE: u64 = 12;

/// [`HEADER_SIZE`] in memory.
pub(crate) const HEADER_LEN: usize = 12;
const _: () = assert!(HEADER_LEN as u64 == HEADER_SIZE);

/// Owner number, renew secret, cancel secret, expiration time.
pub const LEASE_SIZE: u64 = 72;
const _: () = assert!(LEASE_SIZE == 4 + 32 + 32 + 4);

/// Where the header keeps the lease count.
pub(crate) const LEASE_COUNT_OFFSET: u64 = 8;

/// Most leases that the store adds to one container, so that looking for one stays cheap.
///
/// A container that another program filled beyond this is read, and takes no further lease.
pub const LEASES_MAX: u32 = 1024;

/// How a container keeps lease secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// In the clear.
    One,
    /// Hashed.
    #[default]
    Two,
}

impl Version {
    /// The version of this number.
    pub(crate) fn of_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }

    /// Its number in headers.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// A header whose words are known, and not yet compared with the size of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UncheckedHeader {
    version: Version,
    leases: u32,
}

impl UncheckedHeader {
    /// Takes the header from the front of a file.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the file is shorter than a header, or of another kind.
    pub fn parse(front: &[u8]) -> Result<Self, Damage> {
        let (version, rest) = front.split_first_chunk().ok_or(Damage::Truncated)?;
        let (_, rest) = rest.split_first_chunk::<4>().ok_or(Damage::Truncated)?;
        let (leases, _) = rest.split_first_chunk().ok_or(Damage::Truncated)?;
        let version = Version::of_number(u32::from_be_bytes(*version));
        let version = version.ok_or(Damage::UnknownContainer)?;
        Ok(Self {
            version,
            leases: u32::from_be_bytes(*leases),
        })
    }

    /// What a file of this header has at least: its leases, and a share of no bytes.
    pub(crate) fn file_size_min(&self) -> u64 {
        HEADER_SIZE + LEASE_SIZE * u64::from(self.leases)
    }

    /// Compares with the size of the file.
    ///
    /// # Errors
    ///
    /// [`Damage::Truncated`] if the leases alone need more.
    pub fn check(self, file_size: u64) -> Result<Header, Damage> {
        // 2^32 leases are far from 2^64 bytes: the product cannot overflow.
        let around = HEADER_SIZE + LEASE_SIZE * u64::from(self.leases);
        // A share reaching into its leases would hand out lease secrets as share bytes.
        let share_size = file_size.checked_sub(around).ok_or(Damage::Truncated)?;
        Ok(Header {
            version: self.version,
            leases: self.leases,
            share_size,
        })
    }
}

/// A container's header, and the share size that follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    version: Version,
    leases: u32,
    share_size: u64,
}

impl Header {
    /// The header of a new container, which has one lease.
    #[must_use]
    pub fn new(version: Version, share_size: u64) -> Self {
        Self {
            version,
            leases: 1,
            share_size,
        }
    }

    /// How the container keeps lease secrets.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many leases follow the share.
    #[must_use]
    pub fn leases(&self) -> u32 {
        self.leases
    }

    /// The size of the share.
    #[must_use]
    pub fn share_size(&self) -> u64 {
        self.share_size
    }

    /// Where the leases begin.
    #[must_use]
    pub fn leases_offset(&self) -> u64 {
        HEADER_SIZE + self.share_size
    }

    /// The size of the whole container.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.leases_offset() + LEASE_SIZE * u64::from(self.leases)
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; 12] {
        let version = self.version.number();
        let size = u32::try_from(self.share_size).unwrap_or(u32::MAX);
        let mut bytes = [0; 12];
        bytes[0..4].copy_from_slice(&version.to_be_bytes());
        bytes[4..8].copy_from_slice(&size.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.leases.to_be_bytes());
        bytes
    }
}

/// Puts a share and its first lease, which is of the same version, into a container.
#[must_use]
pub fn encode(version: Version, share: &[u8], lease: &Lease) -> Bytes {
    let header = Header::new(version, num::size(share.len()));
    let mut bytes = Vec::with_capacity(12 + share.len() + 72);
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(share);
    bytes.extend_from_slice(&lease.encode());
    bytes.into()
}

/// A whole container in memory, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container<'a> {
    /// Version, lease count and share size.
    pub header: Header,
    /// The share.
    pub share: &'a [u8],
    /// The leases, in their order.
    pub leases: Vec<Lease>,
}

impl<'a> Container<'a> {
    /// Takes a whole file apart. Every byte of it belongs to one of the parts.
    ///
    /// # Errors
    ///
    /// [`Damage`] if it is not an immutable container.
    pub fn parse(file: &'a [u8]) -> Result<Self, Damage> {
        let header = UncheckedHeader::parse(file)?.check(num::size(file.len()))?;
        let (_, rest) = file.split_first_chunk::<12>().ok_or(Damage::Truncated)?;
        let share_len = num::len(header.share_size).ok_or(Damage::Truncated)?;
        let (share, leases) = rest.split_at_checked(share_len).ok_or(Damage::Truncated)?;
        Ok(Self {
            header,
            share,
            leases: Lease::parse_all(leases)?,
        })
    }
}

/// Meets whatever bytes a fuzzer makes: nothing panics, and what parses prints as it was read.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(container) = Container::parse(bytes) else {
        return;
    };
    let mut printed = container.header.encode().to_vec();
    printed.extend_from_slice(container.share);
    for lease in &container.leases {
        printed.extend_from_slice(&lease.encode());
    }
    assert_eq!(printed.len(), bytes.len());
    // The size field is never read back, so it alone may differ.
    assert_eq!(printed[0..4], bytes[0..4]);
    assert_eq!(printed[8..], bytes[8..]);
}

#[cfg(test)]
mod tests {
    use lafs::{CancelSecret, LeaseSecrets, RenewSecret};

    use super::*;

    fn secrets(index: u8) -> LeaseSecrets {
        LeaseSecrets {
            renew: RenewSecret::new([0x10 + index; 32]),
            cancel: CancelSecret::new([0x80 + index; 32]),
        }
    }

    fn share() -> Vec<u8> {
        (0..100_u32)
            .map(|index| u8::try_from((index * 31 + 7) % 256).unwrap())
            .collect()
    }

    const ONE: &[u8] = include_bytes!("../tests/fixtures/immutable-v1-1lease.bin");
    const ONE_WITH_THREE: &[u8] = include_bytes!("../tests/fixtures/immutable-v1-3leases.bin");
    const TWO: &[u8] = include_bytes!("../tests/fixtures/immutable-v2-1lease.bin");
    const TWO_WITH_THREE: &[u8] = include_bytes!("../tests/fixtures/immutable-v2-3leases.bin");
    const MUTABLE: &[u8] = include_bytes!("../tests/fixtures/mutable-v2-1lease.bin");

    // The fixture was written by Tahoe-LAFS 1.20 itself.
    #[test]
    fn a_new_container_is_the_one_tahoe_writes() {
        let lease = Lease::new(Version::One, &secrets(0), 0, 1_702_678_400);
        assert_eq!(encode(Version::One, &share(), &lease), ONE);
        let lease = Lease::new(Version::Two, &secrets(0), 0, 1_702_678_400);
        assert_eq!(encode(Version::Two, &share(), &lease), TWO);
    }

    #[test]
    fn tahoes_containers_of_both_versions_are_read() {
        for (file, version, count) in [
            (ONE, Version::One, 1),
            (ONE_WITH_THREE, Version::One, 3),
            (TWO, Version::Two, 1),
            (TWO_WITH_THREE, Version::Two, 3),
        ] {
            let container = Container::parse(file).unwrap();
            assert_eq!(container.header.version(), version);
            assert_eq!(container.share, share());
            let expected: Vec<_> = (0..count)
                .map(|index| {
                    let owner = u32::from(index > 0);
                    let expiration = 1_702_678_400 + 1000 * u32::from(index);
                    Lease::new(version, &secrets(index), owner, expiration)
                })
                .collect();
            assert_eq!(container.leases, expected);
        }
    }

    // The two fixtures of a version differ by the leases that Tahoe added: so do ours.
    #[test]
    fn adding_leases_gives_the_bytes_that_tahoe_gives() {
        for (one, three) in [(ONE, ONE_WITH_THREE), (TWO, TWO_WITH_THREE)] {
            let mut file = one.to_vec();
            for index in 1..3 {
                let container = Container::parse(&file).unwrap();
                let expiration = 1_702_678_400 + 1000 * u32::from(index);
                let search = LeaseSearch {
                    secrets: &secrets(index),
                    owner: 1,
                    expiration,
                };
                let change = search.run(&container.header, &container.leases).unwrap();
                for (offset, bytes) in change.writes() {
                    let start = num::len(offset).unwrap();
                    file.resize(file.len().max(start + bytes.len()), 0);
                    file[start..start + bytes.len()].copy_from_slice(&bytes);
                }
            }
            assert_eq!(file, three);
        }
    }

    // Tahoe allocates the whole container at once; only its share is still a hole.
    #[test]
    fn the_container_of_an_upload_in_progress_parses() {
        let file = include_bytes!("../tests/fixtures/incoming-partial.bin");
        let container = Container::parse(file).unwrap();
        assert_eq!(container.share.len(), 100);
        assert_eq!(container.leases.len(), 1);
    }

    #[test]
    fn slots_and_other_files_are_not_taken_for_shares() {
        assert!(mutable::is_mutable(MUTABLE) && !mutable::is_mutable(TWO));
        assert_eq!(Container::parse(MUTABLE), Err(Damage::UnknownContainer));
        assert_eq!(
            Container::parse(b"hello, world"),
            Err(Damage::UnknownContainer)
        );
        assert_eq!(Container::parse(&[0; 12]), Err(Damage::UnknownContainer));
    }

    // Cut anywhere, a container is refused or is a shorter share; the leases never become share
    // bytes beyond what the file's size allows, which only the share's own hashes can tell.
    #[test]
    fn a_container_cut_short_is_refused_until_its_leases_fit() {
        for len in 0..TWO_WITH_THREE.len() {
            let parsed = Container::parse(&TWO_WITH_THREE[..len]);
            if len < 12 + 3 * 72 {
                assert_eq!(parsed, Err(Damage::Truncated), "{len}");
            } else {
                assert_eq!(parsed.unwrap().share.len(), len - 12 - 3 * 72, "{len}");
            }
        }
    }

    #[test]
    fn no_flipped_bit_makes_the_parser_panic() {
        for file in [ONE_WITH_THREE, TWO, MUTABLE] {
            for bit in 0..file.len() * 8 {
                let mut file = file.to_vec();
                file[bit / 8] ^= 1 << (bit % 8);
                fuzz(&file);
            }
        }
    }

    // Beyond 4 GiB the old field saturates, and the size comes from the file.
    #[test]
    fn the_size_of_a_large_share_comes_from_its_file() {
        let header = Header::new(Version::Two, 5 << 30);
        assert_eq!(header.encode()[4..8], [0xff; 4]);
        let read = UncheckedHeader::parse(&header.encode()).unwrap();
        assert_eq!(read.check(header.file_size()), Ok(header));
    }
}
