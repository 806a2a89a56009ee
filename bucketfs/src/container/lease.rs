//! The lease record of an immutable container.
//!
//! ```text
//! 0x00  4  owner number: 0 came with an upload, 1 was asked for by itself
//! 0x04 32  renew secret (version 1), or its BLAKE2b-256 (version 2)
//! 0x24 32  cancel secret, likewise
//! 0x44  4  expiration, seconds since 1970
//! ```
//!
//! A lease is identified by its renew secret. Renewal writes the expiration and nothing else. It moves
//! it back only where it is further away than any lease lasts: a clock that had jumped ahead made it.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use bytes::Bytes;
use lafs::LeaseSecrets;
use subtle::ConstantTimeEq;

use super::{Header, LEASE_COUNT_OFFSET, LEASE_SIZE, LEASES_MAX, Version};
use crate::error::{Damage, TooManyLeases};

/// How long a lease lasts from the operation that makes or renews it: 31 days, as in Tahoe.
pub const LEASE_DURATION: u64 = 31 * 24 * 60 * 60;

/// Where a record keeps the expiration.
const EXPIRATION_OFFSET: u64 = 68;
const _: () = assert!(EXPIRATION_OFFSET + 4 == LEASE_SIZE);

/// Returns when a lease made or renewed at `unix` ends; the field's last second from 2106 on.
#[must_use]
pub fn expiration(unix: u64) -> u32 {
    u32::try_from(unix.saturating_add(LEASE_DURATION)).unwrap_or(u32::MAX)
}

/// Whether a renewal changes when a lease ends, that would make it end at `wanted`.
///
/// A lease that lasts longer than that was made when the clock was further on. Up to [`CLOCK_SLACK`]
/// that is nothing: clocks are put right. Beyond it the clock had jumped ahead, and the lease would
/// keep its share for decades after its client is gone; unless it is now that the clock is wrong,
/// which is certain where it is before [`CLOCK_FLOOR`].
pub(super) fn changes(ends: u32, wanted: u32) -> bool {
    let is_beyond = ends.saturating_sub(wanted) > CLOCK_SLACK;
    ends < wanted || is_beyond && wanted >= expiration(CLOCK_FLOOR)
}

/// How far ahead of now a clock may have been without a lease being moved back for it: a day, more
/// than time zones and daylight saving can put it out.
const CLOCK_SLACK: u32 = 24 * 60 * 60;

/// The beginning of 2025, before this program was written. Machines without a battery start earlier.
pub const CLOCK_FLOOR: u64 = 1_735_689_600;

/// A lease as its container keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who it says it is of.
    pub owner: u32,
    /// When it ends, in seconds since 1970.
    pub expiration: u32,
    renew: [u8; 32],
    cancel: [u8; 32],
}

impl Lease {
    /// Makes the record that a container of `version` keeps of these secrets.
    #[must_use]
    pub fn new(version: Version, secrets: &LeaseSecrets, owner: u32, expiration: u32) -> Self {
        Self {
            owner,
            expiration,
            renew: kept(version, secrets.renew.as_bytes()),
            cancel: kept(version, secrets.cancel.as_bytes()),
        }
    }

    /// Takes a record apart; every 72 bytes are one.
    #[must_use]
    pub fn parse(record: &[u8; 72]) -> Self {
        let field = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&record[at..at + 4]);
            u32::from_be_bytes(bytes)
        };
        let secret = |at: usize| {
            let mut bytes = [0; 32];
            bytes.copy_from_slice(&record[at..at + 32]);
            bytes
        };
        Self {
            owner: field(0),
            renew: secret(4),
            cancel: secret(36),
            expiration: field(68),
        }
    }

    /// Takes records laid end to end apart.
    ///
    /// # Errors
    ///
    /// [`Damage::Truncated`] if the last one is cut.
    pub fn parse_all(records: &[u8]) -> Result<Vec<Self>, Damage> {
        let mut leases = Vec::with_capacity(records.len() / 72);
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
    pub fn encode(&self) -> [u8; 72] {
        let mut record = [0; 72];
        record[0..4].copy_from_slice(&self.owner.to_be_bytes());
        record[4..36].copy_from_slice(&self.renew);
        record[36..68].copy_from_slice(&self.cancel);
        record[68..72].copy_from_slice(&self.expiration.to_be_bytes());
        record
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Version 1 keeps secrets in the clear, and nobody needs the hashes printed either.
        f.debug_struct("Lease")
            .field("owner", &self.owner)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// A client that wants a lease on a share.
#[derive(Debug)]
pub struct LeaseSearch<'a> {
    /// Identifies the lease.
    pub secrets: &'a LeaseSecrets,
    /// Recorded if the lease is added.
    pub owner: u32,
    /// When it is to end.
    pub expiration: u32,
}

impl LeaseSearch<'_> {
    /// Finds out what must be written for the client to have its lease.
    ///
    /// # Errors
    ///
    /// [`TooManyLeases`] if one would have to be added to [`LEASES_MAX`].
    pub fn run(&self, header: &Header, leases: &[Lease]) -> Result<LeaseChange, TooManyLeases> {
        let wanted = Lease::new(header.version, self.secrets, self.owner, self.expiration);
        let own = leases
            .iter()
            .zip(0_u32..)
            .find(|(lease, _)| bool::from(lease.renew.ct_eq(&wanted.renew)));
        match own {
            Some((lease, _)) if !changes(lease.expiration, self.expiration) => {
                Ok(LeaseChange::None)
            }
            Some((lease, index)) => Ok(LeaseChange::Renew {
                offset: header.leases_offset() + LEASE_SIZE * u64::from(index) + EXPIRATION_OFFSET,
                from: lease.expiration,
                to: self.expiration,
            }),
            None if header.leases >= LEASES_MAX => Err(TooManyLeases),
            None => Ok(LeaseChange::Add {
                offset: header.file_size(),
                count: header.leases,
                lease: wanted,
            }),
        }
    }
}

/// What to write into a container for a lease to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// Nothing: the lease is there and lasts long enough.
    None,
    /// Another expiration.
    Renew {
        /// Where it is kept.
        offset: u64,
        /// What is there.
        from: u32,
        /// What is to be there.
        to: u32,
    },
    /// Another record.
    Add {
        /// The end of the file.
        offset: u64,
        /// How many leases there are without it.
        count: u32,
        /// The record.
        lease: Lease,
    },
}

impl LeaseChange {
    /// The writes that make the change. Between them the file is not a container.
    #[must_use]
    pub fn writes(&self) -> Vec<(u64, Bytes)> {
        match self {
            Self::None => Vec::new(),
            Self::Renew { offset, to, .. } => vec![(*offset, word(*to))],
            Self::Add {
                offset,
                count,
                lease,
            } => vec![
                (*offset, Bytes::copy_from_slice(&lease.encode())),
                (LEASE_COUNT_OFFSET, word(count + 1)),
            ],
        }
    }

    /// The writes, and the size to cut the file to, that take a change back that failed half-way.
    #[must_use]
    pub fn undo(&self) -> (Vec<(u64, Bytes)>, Option<u64>) {
        match self {
            Self::None => (Vec::new(), None),
            Self::Renew { offset, from, .. } => (vec![(*offset, word(*from))], None),
            Self::Add { offset, count, .. } => {
                (vec![(LEASE_COUNT_OFFSET, word(*count))], Some(*offset))
            }
        }
    }
}

/// A big-endian word.
pub(super) fn word(word: u32) -> Bytes {
    Bytes::copy_from_slice(&word.to_be_bytes())
}

/// What a container of `version` keeps of a secret.
pub(super) fn kept(version: Version, secret: &[u8; 32]) -> [u8; 32] {
    match version {
        Version::One => *secret,
        Version::Two => Blake2b::<U32>::digest(secret).into(),
    }
}

#[cfg(test)]
mod tests {
    use lafs::{CancelSecret, RenewSecret};

    use super::*;

    fn secrets(byte: u8) -> LeaseSecrets {
        LeaseSecrets {
            renew: RenewSecret::new([byte; 32]),
            cancel: CancelSecret::new([!byte; 32]),
        }
    }

    fn search(leases: &[Lease], secrets: &LeaseSecrets, expiration: u32) -> LeaseChange {
        let header = super::super::UncheckedHeader {
            version: Version::Two,
            leases: u32::try_from(leases.len()).unwrap(),
        };
        let header = header
            .check(12 + 1000 + 72 * u64::try_from(leases.len()).unwrap())
            .unwrap();
        let search = LeaseSearch {
            secrets,
            owner: 1,
            expiration,
        };
        search.run(&header, leases).unwrap()
    }

    // The reference's vector: bytes 00..1f.
    #[test]
    fn secrets_are_hashed_as_tahoe_hashes_them() {
        let mut secret = [0; 32];
        for (byte, value) in secret.iter_mut().zip(0..) {
            *byte = value;
        }
        let expected = "cb2f5160fc1f7e05a55ef49d340b48da2e5a78099d53393351cd579dd42503d6";
        let hex: String = kept(Version::Two, &secret)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, expected);
        assert_eq!(kept(Version::One, &secret), secret);
    }

    // It kept a share until 2106, whatever its client did.
    #[test]
    fn renewal_moves_an_expiration_back_that_no_right_clock_made() {
        let now = CLOCK_FLOOR + 1_000_000;
        let wanted = expiration(now);
        let renewed = |ends| {
            let leases = [Lease::new(Version::Two, &secrets(1), 0, ends)];
            match search(&leases, &secrets(1), wanted) {
                LeaseChange::Renew { from, to, .. } => Some((from, to)),
                _ => None,
            }
        };
        assert_eq!(renewed(u32::MAX), Some((u32::MAX, wanted)));
        let first = wanted + CLOCK_SLACK + 1;
        assert_eq!(renewed(first), Some((first, wanted)));
        assert_eq!(renewed(first - 1), None);
        assert_eq!(renewed(wanted), None);
        assert_eq!(renewed(wanted - 1), Some((wanted - 1, wanted)));
    }

    // A machine that starts in 1970 must not end what was promised by a right clock.
    #[test]
    fn a_clock_that_is_certainly_wrong_moves_nothing_back() {
        let before = expiration(CLOCK_FLOOR) - 1;
        assert!(!changes(u32::MAX, before));
        assert!(changes(u32::MAX, before + 1));
        assert!(!changes(expiration(CLOCK_FLOOR), expiration(0)));
    }

    // A clock that was put right must not end a lease that was promised for a little longer.
    #[test]
    fn renewal_moves_an_expiration_back_for_nothing_less() {
        let lease = Lease::new(Version::Two, &secrets(1), 0, 5000);
        let leases = [Lease::new(Version::Two, &secrets(2), 0, 0), lease];
        assert_eq!(search(&leases, &secrets(1), 4999), LeaseChange::None);
        assert_eq!(search(&leases, &secrets(1), 5000), LeaseChange::None);
        assert_eq!(
            search(&leases, &secrets(1), 5001),
            LeaseChange::Renew {
                offset: 12 + 1000 + 72 + 68,
                from: 5000,
                to: 5001
            }
        );
    }

    #[test]
    fn the_last_lease_allowed_is_the_last_one_added() {
        let header = super::super::UncheckedHeader {
            version: Version::Two,
            leases: LEASES_MAX,
        };
        let header = header
            .check(12 + LEASE_SIZE * u64::from(LEASES_MAX))
            .unwrap();
        let search = LeaseSearch {
            secrets: &secrets(9),
            owner: 1,
            expiration: 1,
        };
        let leases: Vec<_> = (0..LEASES_MAX)
            .map(|_| Lease::new(Version::One, &secrets(1), 0, 0))
            .collect();
        assert_eq!(search.run(&header, &leases), Err(TooManyLeases));
    }

    #[test]
    fn leases_end_in_31_days_or_with_the_field() {
        assert_eq!(expiration(1_700_000_000), 1_702_678_400);
        assert_eq!(expiration(u64::from(u32::MAX)), u32::MAX);
        assert_eq!(expiration(u64::MAX), u32::MAX);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let lease = Lease::new(Version::One, &secrets(1), 7, 9);
        assert_eq!(
            format!("{lease:?}"),
            "Lease { owner: 7, expiration: 9, .. }"
        );
    }
}
