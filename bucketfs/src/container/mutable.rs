//! The mutable share container: a header with room for four leases, the share, further leases.
//!
//! ```text
//! 0x000 32  magic: "Tahoe mutable container v1\n" and 75 09 44 03 8e, or v2 and c3 55 21 99 25
//! 0x020 20  node id of the server that recorded the write enabler
//! 0x034 32  write enabler, in the clear in both versions
//! 0x054  8  share size D
//! 0x05c  8  offset E of the extra leases, at least 0x1d4 + D
//! 0x064     four leases, LEASE_SIZE bytes each
//! 0x1d4     the share, D bytes; then what is left of a larger one, up to E
//! E      4  number X of extra leases
//! E + 4     X leases
//! ```
//!
//! Integers are big-endian. The same bytes as Tahoe-LAFS `storage/mutable.py`. A share that grows
//! beyond E moves the extra leases to its new end; one that shrinks changes D alone, so that its
//! old bytes stay behind it and E never goes back. What is behind D is never read out.

use lafs::{WriteEnabler, num};

mod image;
mod lease;

pub use image::{Content, Image, Piece, ShareTooLarge, Sizes, Source};
pub use lease::{Lease, LeaseChange, LeaseSearch, Leases, NodeId};

use super::Version;
use crate::error::{Damage, TooManyLeases};

/// Size of the header, its four leases included.
pub const HEADER_SIZE: u64 = 468;

/// [`HEADER_SIZE`] in memory.
pub const HEADER_LEN: usize = 468;
const _: () = assert!(HEADER_LEN as u64 == HEADER_SIZE);
const _: () = assert!(HEADER_LEN == LEASES_AT + LEASES_IN_HEADER * 92);

/// Owner number, expiration time, renew secret, cancel secret, node id.
pub const LEASE_SIZE: u64 = 92;
const _: () = assert!(LEASE_SIZE == 4 + 4 + 32 + 32 + 20);

/// Size of the number of extra leases in front of them.
pub const COUNT_SIZE: u64 = 4;

/// Most bytes of extra leases that the store takes into memory, their number included.
pub(crate) const EXTRA_LEN_MAX: usize = 4 + lease::RECORD_LEN * 1024;
const _: () = assert!(EXTRA_LEN_MAX as u64 == COUNT_SIZE + LEASE_SIZE * super::LEASES_MAX as u64);

/// Largest share that Tahoe keeps in a slot (`MutableShareFile.MAX_SIZE`).
pub const SHARE_SIZE_MAX: u64 = 69_105_000_000_000_000;

/// How many leases the header has room for.
pub const LEASES_IN_HEADER: usize = 4;

/// Where the header keeps the first of its leases.
const LEASES_AT: usize = 100;

const MAGIC_LEN: usize = 32;
const MAGIC_ONE: &[u8; MAGIC_LEN] = b"Tahoe mutable container v1\n\x75\x09\x44\x03\x8e";
const MAGIC_TWO: &[u8; MAGIC_LEN] = b"Tahoe mutable container v2\n\xc3\x55\x21\x99\x25";

/// Whether a file that begins so is a mutable container, whole or damaged.
///
/// The first 12 bytes tell: an immutable container's begin with its version, 0 0 0 1 or 0 0 0 2.
#[must_use]
pub fn is_mutable(front: &[u8]) -> bool {
    front.starts_with(&MAGIC_ONE[..super::HEADER_LEN])
}

/// A header whose words are known, and not yet compared with the size of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncheckedHeader {
    version: Version,
    node_id: NodeId,
    write_enabler: WriteEnabler,
    sizes: Sizes,
    leases: [Lease; LEASES_IN_HEADER],
}

impl UncheckedHeader {
    /// Takes the header from the front of a file.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the file is shorter than a header, or of another kind.
    pub fn parse(front: &[u8]) -> Result<Self, Damage> {
        let (magic, rest) = front
            .split_first_chunk::<MAGIC_LEN>()
            .ok_or(Damage::Truncated)?;
        let version = match magic {
            MAGIC_ONE => Version::One,
            MAGIC_TWO => Version::Two,
            _ => return Err(Damage::UnknownContainer),
        };
        let (node_id, rest) = rest.split_first_chunk().ok_or(Damage::Truncated)?;
        let (write_enabler, rest) = rest.split_first_chunk().ok_or(Damage::Truncated)?;
        let (data, rest) = rest.split_first_chunk().ok_or(Damage::Truncated)?;
        let (extra, rest) = rest.split_first_chunk().ok_or(Damage::Truncated)?;
        let records = rest
            .get(..LEASES_IN_HEADER * lease::RECORD_LEN)
            .ok_or(Damage::Truncated)?;
        let leases = Lease::parse_all(records)?;
        Ok(Self {
            version,
            node_id: NodeId(*node_id),
            write_enabler: WriteEnabler::new(*write_enabler),
            sizes: Sizes {
                data: u64::from_be_bytes(*data),
                extra: u64::from_be_bytes(*extra),
            },
            leases: leases.try_into().map_err(|_| Damage::Truncated)?,
        })
    }

    /// The size of the share, and where the extra leases are, as the header has it.
    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Compares with the size of the file.
    ///
    /// # Errors
    ///
    /// [`Damage::Truncated`] if the share reaches beyond the place of the extra leases, or their
    /// number is not in the file.
    pub fn check(self, file_size: u64) -> Result<Header, Damage> {
        let end = HEADER_SIZE.checked_add(self.sizes.data);
        let count_end = self.sizes.extra.checked_add(COUNT_SIZE);
        // A share that reaches into the extra leases would hand out their secrets as its bytes.
        let sound = end.is_some_and(|end| end <= self.sizes.extra)
            && count_end.is_some_and(|end| end <= file_size);
        if !sound {
            return Err(Damage::Truncated);
        }
        Ok(Header {
            version: self.version,
            node_id: self.node_id,
            write_enabler: self.write_enabler,
            sizes: self.sizes,
            leases: self.leases,
            file_size,
        })
    }
}

/// A container's header, consistent with the size of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    version: Version,
    node_id: NodeId,
    write_enabler: WriteEnabler,
    sizes: Sizes,
    leases: [Lease; LEASES_IN_HEADER],
    file_size: u64,
}

impl Header {
    /// The header of a container without share bytes and leases, as Tahoe creates it.
    #[must_use]
    pub fn new(version: Version, node_id: NodeId, write_enabler: WriteEnabler) -> Self {
        Self {
            version,
            node_id,
            write_enabler,
            sizes: Sizes::EMPTY,
            leases: std::array::from_fn(|_| Lease::ABSENT),
            file_size: HEADER_SIZE + COUNT_SIZE,
        }
    }

    /// How the container keeps lease secrets.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Who may change the share.
    #[must_use]
    pub fn write_enabler(&self) -> &WriteEnabler {
        &self.write_enabler
    }

    /// Which server recorded the write enabler. Informational.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The size of the share, and where the extra leases are.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The size of the share.
    #[must_use]
    pub fn share_size(&self) -> u64 {
        self.sizes.data
    }

    /// The size of the file that the header was compared with.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// The container's leases, given what the file has from [`Sizes::extra`] on.
    ///
    /// # Errors
    ///
    /// [`Damage::Truncated`] if the leases are not all there, and [`TooManyLeases`] if
    /// another program made more than [`super::LEASES_MAX`] extra ones.
    pub fn leases(&self, extra: &[u8]) -> Result<Leases, LeasesError> {
        let (count, rest) = extra.split_first_chunk().ok_or(Damage::Truncated)?;
        let size = LEASE_SIZE * u64::from(u32::from_be_bytes(*count));
        if self.sizes.extra + COUNT_SIZE + size > self.file_size {
            return Err(Damage::Truncated.into());
        }
        if size > LEASE_SIZE * u64::from(super::LEASES_MAX) {
            return Err(TooManyLeases.into());
        }
        // Whatever is behind them is no lease, and Tahoe does not look at it either.
        let records = num::len(size).and_then(|len| rest.get(..len));
        Ok(Leases {
            in_header: self.leases.clone(),
            extra: Lease::parse_all(records.ok_or(Damage::Truncated)?)?,
        })
    }

    /// The header's bytes, of a container that has these sizes and leases from now on.
    #[must_use]
    pub fn encode(&self, sizes: Sizes, leases: &Leases) -> [u8; HEADER_LEN] {
        let magic = match self.version {
            Version::One => MAGIC_ONE,
            Version::Two => MAGIC_TWO,
        };
        let mut bytes = [0; HEADER_LEN];
        bytes[..32].copy_from_slice(magic);
        bytes[32..52].copy_from_slice(&self.node_id.0);
        bytes[52..84].copy_from_slice(self.write_enabler.as_bytes());
        bytes[84..92].copy_from_slice(&sizes.data.to_be_bytes());
        bytes[92..LEASES_AT].copy_from_slice(&sizes.extra.to_be_bytes());
        let records = bytes[LEASES_AT..].chunks_exact_mut(lease::RECORD_LEN);
        for (record, lease) in records.zip(&leases.in_header) {
            record.copy_from_slice(&lease.encode());
        }
        bytes
    }
}

/// Why the leases of a container are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeasesError {
    /// They are not all there.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// There are more than a store keeps.
    #[error(transparent)]
    TooMany(#[from] TooManyLeases),
}

/// A whole container in memory, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container<'a> {
    /// Version, write enabler and sizes.
    pub header: Header,
    /// The share.
    pub share: &'a [u8],
    /// What is left of a larger one.
    pub slack: &'a [u8],
    /// The leases, empty places included.
    pub leases: Leases,
    /// What is behind the last lease: nothing, in a container that Tahoe or we wrote.
    pub behind: &'a [u8],
}

impl<'a> Container<'a> {
    /// Takes a whole file apart. Every byte of it belongs to one of the parts.
    ///
    /// # Errors
    ///
    /// [`LeasesError::Damaged`] if it is not a mutable container; as [`Header::leases`].
    pub fn parse(file: &'a [u8]) -> Result<Self, LeasesError> {
        let header = UncheckedHeader::parse(file)?.check(num::size(file.len()))?;
        let split = |bytes: &'a [u8], size: u64| {
            let parts = num::len(size).and_then(|len| bytes.split_at_checked(len));
            parts.ok_or(Damage::Truncated)
        };
        let Sizes { data, extra } = header.sizes;
        let (_, rest) = split(file, HEADER_SIZE)?;
        let (share, rest) = split(rest, data)?;
        let (slack, rest) = split(rest, extra - HEADER_SIZE - data)?;
        let leases = header.leases(rest)?;
        let (_, behind) = split(rest, leases.extra_size())?;
        Ok(Self {
            header,
            share,
            slack,
            leases,
            behind,
        })
    }
}

/// Meets whatever bytes a fuzzer makes: nothing panics, what parses prints as it was read, and the
/// container that a change makes of it parses.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(container) = Container::parse(bytes) else {
        return;
    };
    let Container {
        header,
        share,
        slack,
        leases,
        behind,
    } = container;
    let printed = [
        &header.encode(header.sizes, &leases),
        share,
        slack,
        &leases.encode_extra(),
        behind,
    ]
    .concat();
    assert_eq!(printed, bytes);
    // A write that moves the leases, with a gap before it; the file says where, within reason.
    let mut image = Image::new(header.sizes);
    let gap = u64::from(bytes.last().copied().unwrap_or(0));
    let content = Content::Bytes(bytes::Bytes::from_static(b"written"));
    image
        .write(header.share_size() + gap, &content)
        .expect("a file in memory is far below the largest share");
    let changed = image
        .assemble(&header, &leases, bytes)
        .expect("nothing of it is in a spool");
    let parsed = Container::parse(&changed).expect("what is written is a container");
    assert_eq!(parsed.leases, leases);
    assert!(parsed.share.starts_with(share) && parsed.share.ends_with(b"written"));
}
