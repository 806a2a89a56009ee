//! The lease record of a mutable container, and the places that records are in.
//!
//! ```text
//! 0x00  4  owner number; 0: the place is empty, whatever else is there
//! 0x04  4  expiration, seconds since 1970
//! 0x08 32  renew secret (version 1), or its BLAKE2b-256 (version 2)
//! 0x28 32  cancel secret, likewise
//! 0x48 20  node id of the server that took the lease
//! ```
//!
//! The order differs from that of the immutable container. Tahoe empties a place by writing a
//! record of zeros, which in version 2 leaves hashes of zeros behind: so only the owner number
//! tells. Places are counted from the header's four on through the extra ones. A new lease takes
//! the first empty place; if there is none, one more is made behind the last.

use bytes::Bytes;
use lafs::{LeaseSecrets, num};
use subtle::ConstantTimeEq;

use super::super::lease::{changes, kept, word};
use super::super::{LEASES_MAX, Version};
use super::{COUNT_SIZE, Header, LEASE_SIZE, LEASES_AT, LEASES_IN_HEADER};
use crate::error::{Damage, TooManyLeases};

/// [`LEASE_SIZE`] in memory.
pub(super) const RECORD_LEN: usize = 92;
const _: () = assert!(RECORD_LEN as u64 == LEASE_SIZE);

/// Where a record keeps the expiration.
const EXPIRATION_OFFSET: u64 = 4;

/// Names a server: the SHA-1 of its first certificate (Tahoe's TubID).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeId(pub [u8; 20]);

/// A lease as its container keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who it says it is of; 0 for nobody.
    pub owner: u32,
    /// When it ends, in seconds since 1970.
    pub expiration: u32,
    /// Which server took it.
    pub node_id: NodeId,
    renew: [u8; 32],
    cancel: [u8; 32],
}

impl Lease {
    /// A place that never had a lease.
    pub(super) const ABSENT: Self = Self {
        owner: 0,
        expiration: 0,
        node_id: NodeId([0; 20]),
        renew: [0; 32],
        cancel: [0; 32],
    };

    /// Whether the place is empty.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.owner == 0
    }

    /// Takes a record apart; every 92 bytes are one.
    #[must_use]
    pub fn parse(record: &[u8; RECORD_LEN]) -> Self {
        let mut lease = Self::ABSENT;
        let mut word = [0; 4];
        word.copy_from_slice(&record[0..4]);
        lease.owner = u32::from_be_bytes(word);
        word.copy_from_slice(&record[4..8]);
        lease.expiration = u32::from_be_bytes(word);
        lease.renew.copy_from_slice(&record[8..40]);
        lease.cancel.copy_from_slice(&record[40..72]);
        lease.node_id.0.copy_from_slice(&record[72..92]);
        lease
    }

    /// Takes records laid end to end apart.
    ///
    /// # Errors
    ///
    /// [`Damage::Truncated`] if the last one is cut.
    pub fn parse_all(records: &[u8]) -> Result<Vec<Self>, Damage> {
        let mut leases = Vec::with_capacity(records.len() / RECORD_LEN);
        let mut rest = records;
        while let Some((record, after)) = rest.split_first_chunk() {
            leases.push(Self::parse(record));
            rest = after;
        }
        if !rest.is_empty() {
            return Err(Damage::Truncated);
        }
        Ok(leases)
    }

    /// The record's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        let mut record = [0; RECORD_LEN];
        record[0..4].copy_from_slice(&self.owner.to_be_bytes());
        record[4..8].copy_from_slice(&self.expiration.to_be_bytes());
        record[8..40].copy_from_slice(&self.renew);
        record[40..72].copy_from_slice(&self.cancel);
        record[72..92].copy_from_slice(&self.node_id.0);
        record
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // As of the immutable container's leases: secrets or their hashes are not printed.
        f.debug_struct("Lease")
            .field("owner", &self.owner)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// The places for leases of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leases {
    pub(super) in_header: [Lease; LEASES_IN_HEADER],
    pub(super) extra: Vec<Lease>,
}

impl Leases {
    /// Those of a new container: four empty places.
    #[must_use]
    pub fn none() -> Self {
        Self {
            in_header: std::array::from_fn(|_| Lease::ABSENT),
            extra: Vec::new(),
        }
    }

    /// All places in their order, the empty ones included.
    pub fn places(&self) -> impl Iterator<Item = &Lease> {
        self.in_header.iter().chain(&self.extra)
    }

    /// The size of the extra leases and their number in front of them.
    #[must_use]
    pub fn extra_size(&self) -> u64 {
        COUNT_SIZE + LEASE_SIZE * num::size(self.extra.len())
    }

    /// The number of extra leases, and they.
    #[must_use]
    pub fn encode_extra(&self) -> Vec<u8> {
        let mut bytes = self.count().to_be_bytes().to_vec();
        for lease in &self.extra {
            bytes.extend_from_slice(&lease.encode());
        }
        bytes
    }

    /// Makes a change that [`LeaseSearch::run`] found out for these leases.
    pub fn apply(&mut self, change: &LeaseChange) {
        match change {
            LeaseChange::None => {}
            LeaseChange::Renew { place, to, .. } => self.place_mut(*place).expiration = *to,
            LeaseChange::Fill { place, lease, .. } => *self.place_mut(*place) = lease.clone(),
            LeaseChange::Extend { lease } => self.extra.push(lease.clone()),
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.extra.len()).expect("parsed from a count, and grown to LEASES_MAX")
    }

    fn place_mut(&mut self, place: usize) -> &mut Lease {
        match place.checked_sub(LEASES_IN_HEADER) {
            None => &mut self.in_header[place],
            Some(index) => &mut self.extra[index],
        }
    }
}

/// A client that wants a lease on a share.
#[derive(Debug)]
pub struct LeaseSearch<'a> {
    /// Identifies the lease.
    pub secrets: &'a LeaseSecrets,
    /// Recorded if the lease is added; not 0, which is nobody's.
    pub owner: u32,
    /// When it is to end.
    pub expiration: u32,
    /// Recorded if the lease is added.
    pub node_id: NodeId,
}

impl LeaseSearch<'_> {
    /// Finds out what must be changed for the client to have its lease.
    ///
    /// # Errors
    ///
    /// [`TooManyLeases`] if one would have to be added to [`LEASES_MAX`] extra ones.
    pub fn run(&self, version: Version, leases: &Leases) -> Result<LeaseChange, TooManyLeases> {
        let renew = kept(version, self.secrets.renew.as_bytes());
        let places = || leases.places().enumerate();
        let own =
            places().find(|(_, lease)| !lease.is_absent() && bool::from(lease.renew.ct_eq(&renew)));
        if let Some((place, lease)) = own {
            return Ok(match changes(lease.expiration, self.expiration) {
                false => LeaseChange::None,
                true => LeaseChange::Renew {
                    place,
                    from: lease.expiration,
                    to: self.expiration,
                },
            });
        }
        assert_ne!(self.owner, 0, "a lease of nobody would be no lease");
        let wanted = Lease {
            owner: self.owner,
            expiration: self.expiration,
            node_id: self.node_id,
            renew,
            cancel: kept(version, self.secrets.cancel.as_bytes()),
        };
        match places().find(|(_, lease)| lease.is_absent()) {
            Some((place, before)) => Ok(LeaseChange::Fill {
                place,
                lease: wanted,
                before: before.clone(),
            }),
            None if leases.count() >= LEASES_MAX => Err(TooManyLeases),
            None => Ok(LeaseChange::Extend { lease: wanted }),
        }
    }
}

/// What is to be changed for a lease to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// Nothing: the lease is there and lasts long enough.
    None,
    /// Another expiration.
    Renew {
        /// In which place.
        place: usize,
        /// What is there.
        from: u32,
        /// What is to be there.
        to: u32,
    },
    /// A record in a place that is empty.
    Fill {
        /// Which place.
        place: usize,
        /// The record.
        lease: Lease,
        /// What is there: zeros, or what an earlier lease left.
        before: Lease,
    },
    /// A record in a place that is made for it.
    Extend {
        /// The record.
        lease: Lease,
    },
}

impl LeaseChange {
    /// The writes that make the change in the container's file, which has this header and, before
    /// the change, these leases. Between them the file may not be a container.
    #[must_use]
    pub fn writes(&self, header: &Header, leases: &Leases) -> Vec<(u64, Bytes)> {
        match self {
            Self::None => Vec::new(),
            Self::Renew { place, to, .. } => vec![(expiration_at(header, *place), word(*to))],
            Self::Fill { place, lease, .. } => vec![(record_at(header, *place), record(lease))],
            Self::Extend { lease } => {
                let place = leases.places().count();
                vec![
                    (record_at(header, place), record(lease)),
                    (header.sizes.extra, word(leases.count() + 1)),
                ]
            }
        }
    }

    /// The writes, and the size to set, that take a change back that failed half-way.
    #[must_use]
    pub fn undo(&self, header: &Header, leases: &Leases) -> (Vec<(u64, Bytes)>, Option<u64>) {
        match self {
            Self::None => (Vec::new(), None),
            Self::Renew { place, from, .. } => {
                (vec![(expiration_at(header, *place), word(*from))], None)
            }
            Self::Fill { place, before, .. } => {
                (vec![(record_at(header, *place), record(before))], None)
            }
            Self::Extend { .. } => (
                vec![(header.sizes.extra, word(leases.count()))],
                Some(header.file_size),
            ),
        }
    }
}

/// Where the record in a place is.
fn record_at(header: &Header, place: usize) -> u64 {
    match place.checked_sub(LEASES_IN_HEADER) {
        None => num::size(LEASES_AT) + LEASE_SIZE * num::size(place),
        Some(index) => header.sizes.extra + COUNT_SIZE + LEASE_SIZE * num::size(index),
    }
}

fn expiration_at(header: &Header, place: usize) -> u64 {
    record_at(header, place) + EXPIRATION_OFFSET
}

fn record(lease: &Lease) -> Bytes {
    Bytes::copy_from_slice(&lease.encode())
}
