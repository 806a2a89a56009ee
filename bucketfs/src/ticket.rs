//! The ticket of a ranged upload: what must be known to resume it after a restart.
//!
//! It lies behind the container in the upload's own file, in two slots that are written in turn, so
//! that one of them is always whole. The file ends with them:
//!
//! ```text
//! ticket_offset(share size)             slot 0, SLOT_SIZE bytes
//! ticket_offset(share size) + SLOT_SIZE slot 1
//! ```
//!
//! ```text
//! slot
//! 0x00  8  "tahoetkt"
//! 0x08  4  version: 1
//! 0x0c  4  CRC-32 of the slot from 0x10 to the end of its ranges
//! 0x10  8  sequence: the slot of the higher one counts
//! 0x18 16  boot id: a ticket of another boot is void
//! 0x28 16  storage index
//! 0x38  1  share number
//! 0x39  1  container version
//! 0x3a  2  number of ranges
//! 0x3c  4  zero
//! 0x40  8  share size
//! 0x48 32  hash of the upload secret
//! 0x68 72  lease, as the container will have it
//! 0xb0     ranges that were written: begin 8, end 8
//! ```
//!
//! The note, a file beside that one, is two such slots, the first of them filled. It is made before the
//! share's file is cut to become a share, and goes when it has become one.
//!
//! Integers are big-endian. A ticket is written together with the bytes that it speaks of and after
//! them, and never synced: it need not survive a power cut, because the bytes would not either.
//! Nobody outside can write one: a range ends before it does.

mod ranges;

use std::str::FromStr;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use lafs::{ShareNumber, StorageIndex, UploadSecret};
use subtle::ConstantTimeEq;

use crate::container::{Header, Lease, Version};
use crate::layout::ShareKey;
use crate::limits;

pub(crate) use ranges::Ranges;

/// Size of a slot: half a page.
pub(crate) const SLOT_SIZE: u64 = 2048;
const SLOT_LEN: usize = 2048;

/// Size of both.
pub(crate) const TICKETS_SIZE: u64 = 2 * SLOT_SIZE;
/// [`TICKETS_SIZE`] in memory.
pub(crate) const TICKETS_LEN: usize = 2 * SLOT_LEN;
const _: () = assert!(TICKETS_LEN as u64 == TICKETS_SIZE);

const MAGIC: &[u8; 8] = b"tahoetkt";
const VERSION: u32 = 1;
const CHECKED_FROM: usize = 0x10;
const RANGES_AT: usize = 0xb0;
const RANGE_LEN: usize = 16;
const _: () = assert!(RANGES_AT + limits::RANGES * RANGE_LEN <= SLOT_LEN);

/// Which boot of the kernel this is: what was written and not synced lasts as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId([u8; 16]);

impl BootId {
    /// Makes the id of its bytes; every value is one.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl FromStr for BootId {
    type Err = BootIdError;

    /// Parses what `/proc/sys/kernel/random/boot_id` holds, its newline removed.
    fn from_str(text: &str) -> Result<Self, BootIdError> {
        let digits: String = text.split('-').collect();
        let hexadecimal = |byte: u8| byte.is_ascii_hexdigit();
        if digits.len() != 32 || !digits.bytes().all(hexadecimal) {
            return Err(BootIdError);
        }
        let id = u128::from_str_radix(&digits, 16).map_err(|_| BootIdError)?;
        Ok(Self(id.to_be_bytes()))
    }
}

/// The text is not 32 hexadecimal digits, with or without hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a boot id is 32 hexadecimal digits, as in /proc/sys/kernel/random/boot_id")]
pub struct BootIdError;

/// What is kept of an upload secret.
#[derive(Clone)]
pub(crate) struct SecretHash([u8; 32]);

impl SecretHash {
    pub(crate) fn of(secret: &UploadSecret) -> Self {
        let hash = Blake2b::<U32>::new()
            .chain_update(b"bucketfs upload secret")
            .chain_update(secret.as_bytes());
        Self(hash.finalize().into())
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// What a ticket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) sequence: u64,
    pub(crate) key: ShareKey,
    pub(crate) size: u64,
    pub(crate) secret: SecretHash,
    pub(crate) version: Version,
    pub(crate) lease: Lease,
    pub(crate) written: Ranges,
}

impl Ticket {
    /// The bytes, and where in the file they go. The first ticket of a file fills both slots.
    pub(crate) fn encode(&self, boot: BootId) -> (u64, Vec<u8>) {
        let ranges = self.written.as_slice();
        let count = u16::try_from(ranges.len()).expect("as many as limits::RANGES at most");
        let version = u8::try_from(self.version.number()).expect("one or two");
        let mut bytes = Vec::with_capacity(RANGES_AT + ranges.len() * RANGE_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&boot.0);
        bytes.extend_from_slice(self.key.storage_index.as_bytes());
        bytes.extend_from_slice(&[self.key.share_number.as_u8(), version]);
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.secret.0);
        bytes.extend_from_slice(&self.lease.encode());
        for (begin, end) in ranges {
            bytes.extend_from_slice(&begin.to_be_bytes());
            bytes.extend_from_slice(&end.to_be_bytes());
        }
        let checksum = crc32fast::hash(&bytes[CHECKED_FROM..]);
        bytes[0x0c..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
        if self.sequence == 0 {
            bytes.resize(TICKETS_LEN, 0);
        }
        let slot = SLOT_SIZE * (self.sequence % 2);
        (ticket_offset(self.size) + slot, bytes)
    }

    /// Takes the ticket that counts from two slots, if there is one of this boot.
    pub(crate) fn parse(slots: &[u8], boot: BootId) -> Option<Self> {
        let slots = slots.chunks_exact(SLOT_LEN).take(2);
        let tickets = slots.filter_map(|slot| Self::parse_slot(slot, boot));
        tickets.max_by_key(|ticket| ticket.sequence)
    }

    /// Whether one of two slots holds a ticket, of whichever boot.
    pub(crate) fn is_there(slots: &[u8]) -> bool {
        let mut slots = slots.chunks_exact(SLOT_LEN).take(2);
        slots.any(|slot| {
            let boot = slot.get(0x18..0x28).and_then(|boot| boot.try_into().ok());
            boot.is_some_and(|boot| Self::parse_slot(slot, BootId(boot)).is_some())
        })
    }

    /// Whether a file of this size is of the share that the ticket speaks of, and ends with it.
    pub(crate) fn ends(&self, file_size: u64) -> bool {
        file_size == ticket_offset(self.size) + TICKETS_SIZE
    }

    /// Whether a file of this size is of that share, and was cut to become one.
    pub(crate) fn is_cut_off(&self, file_size: u64) -> bool {
        file_size == Header::new(self.version, self.size).file_size()
    }

    fn parse_slot(slot: &[u8], boot: BootId) -> Option<Self> {
        let mut fields = Fields(slot);
        let known = fields.take()? == *MAGIC && u32::from_be_bytes(fields.take()?) == VERSION;
        let checksum = u32::from_be_bytes(fields.take()?);
        let sequence = u64::from_be_bytes(fields.take()?);
        let same_boot = fields.take()? == boot.0;
        let storage_index = StorageIndex::new(fields.take()?);
        let [share, version] = fields.take()?;
        let count = usize::from(u16::from_be_bytes(fields.take()?));
        let zero = fields.take()? == [0; 4];
        let size = u64::from_be_bytes(fields.take()?);
        let secret = SecretHash(fields.take()?);
        let lease = Lease::parse(&fields.take()?);
        let sound = known && same_boot && zero && count <= limits::RANGES;
        if !sound || size > limits::SHARE_SIZE {
            return None;
        }
        let mut ranges = Vec::with_capacity(count);
        for _ in 0..count {
            let begin = u64::from_be_bytes(fields.take()?);
            ranges.push((begin, u64::from_be_bytes(fields.take()?)));
        }
        let checked = slot.get(CHECKED_FROM..RANGES_AT + count * RANGE_LEN)?;
        if crc32fast::hash(checked) != checksum {
            return None;
        }
        Some(Self {
            sequence,
            key: ShareKey {
                storage_index,
                share_number: ShareNumber::new(share),
            },
            size,
            secret,
            version: Version::of_number(u32::from(version))?,
            lease,
            written: Ranges::checked(ranges, size)?,
        })
    }
}

/// Where the tickets of a share of this size begin: in a block of their own behind the container,
/// so that writing one touches no block of the share.
pub(crate) fn ticket_offset(size: u64) -> u64 {
    Header::new(Version::Two, size)
        .file_size()
        .next_multiple_of(TICKETS_SIZE)
}

/// Takes fields off the front of bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

/// Meets whatever bytes a fuzzer makes: nothing panics, and what parses is written the same way.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let boot = BootId([0; 16]);
    let Some(ticket) = Ticket::parse_slot(bytes, boot) else {
        return;
    };
    let (_, printed) = ticket.encode(boot);
    let len = RANGES_AT + ticket.written.as_slice().len() * RANGE_LEN;
    assert_eq!(printed[..len], bytes[..len]);
}

#[cfg(test)]
mod tests {
    use lafs::{CancelSecret, LeaseSecrets, RenewSecret};

    use super::*;

    const BOOT: BootId = BootId([9; 16]);

    fn ticket(sequence: u64, ranges: usize) -> Ticket {
        let secrets = LeaseSecrets {
            renew: RenewSecret::new([1; 32]),
            cancel: CancelSecret::new([2; 32]),
        };
        let range = |index: usize| {
            let begin = 10 * lafs::num::size(index);
            (begin, begin + 5)
        };
        Ticket {
            sequence,
            key: ShareKey {
                storage_index: StorageIndex::new([3; 16]),
                share_number: ShareNumber::new(4),
            },
            size: 1000,
            secret: SecretHash::of(&UploadSecret::new([5; 32])),
            version: Version::Two,
            lease: Lease::new(Version::Two, &secrets, 0, 77),
            written: Ranges::checked((0..ranges).map(range).collect(), 1000).unwrap(),
        }
    }

    /// The tail of a file in which these tickets were written one after the other.
    fn tail(tickets: &[Ticket]) -> Vec<u8> {
        let mut tail = vec![0; TICKETS_LEN];
        for ticket in tickets {
            let (offset, bytes) = ticket.encode(BOOT);
            let start = usize::try_from(offset - ticket_offset(ticket.size)).unwrap();
            tail[start..start + bytes.len()].copy_from_slice(&bytes);
        }
        tail
    }

    const FILE_SIZE: u64 = 4096 + TICKETS_SIZE;

    fn parse(tail: &[u8]) -> Option<Ticket> {
        Ticket::parse(tail, BOOT).filter(|ticket| ticket.ends(FILE_SIZE))
    }

    // Uploads in progress must be found by the next version of the program, too.
    #[test]
    fn the_bytes_are_those_of_the_documentation() {
        let (offset, bytes) = ticket(7, 2).encode(BOOT);
        assert_eq!(offset, 4096 + 2048);
        assert_eq!(bytes.len(), 0xb0 + 32);
        assert_eq!(bytes[..0x0c], *b"tahoetkt\0\0\0\x01");
        assert_eq!(bytes[0x10..0x18], [0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(bytes[0x18..0x28], [9; 16]);
        assert_eq!(bytes[0x28..0x38], [3; 16]);
        assert_eq!(bytes[0x38..0x40], [4, 2, 0, 2, 0, 0, 0, 0]);
        assert_eq!(bytes[0x40..0x48], [0, 0, 0, 0, 0, 0, 3, 0xe8]);
        assert_eq!(bytes[0x68..0xb0], ticket(7, 2).lease.encode());
        assert_eq!(bytes[0xb7..0xc0], [0, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(bytes[0xc7..0xd0], [10, 0, 0, 0, 0, 0, 0, 0, 15]);
    }

    #[test]
    fn of_two_tickets_the_later_one_counts_and_the_earlier_one_if_that_is_torn() {
        for count in 0..6 {
            let written: Vec<_> = (0..=count).map(|index| ticket(index, 3)).collect();
            let whole = tail(&written);
            assert_eq!(parse(&whole).as_ref(), written.last());
            let next = ticket(count + 1, 4).encode(BOOT).1;
            let slot = usize::from(count % 2 == 0) * SLOT_LEN;
            for len in 1..next.len() {
                let mut torn = whole.clone();
                torn[slot..slot + len].copy_from_slice(&next[..len]);
                assert_eq!(parse(&torn).as_ref(), written.last(), "{count}, {len}");
            }
        }
    }

    // The bytes of another boot were perhaps never written.
    #[test]
    fn tickets_of_another_boot_and_of_another_file_are_void() {
        let tail = tail(&[ticket(0, 3)]);
        assert_eq!(Ticket::parse(&tail, BootId([8; 16])), None);
        assert_eq!(Ticket::parse(&tail[1..], BOOT), None);
        let ticket = Ticket::parse(&tail, BOOT).unwrap();
        for size in [0, 1084, FILE_SIZE - 1, FILE_SIZE + 4096] {
            assert!(!ticket.ends(size), "{size}");
            assert_eq!(ticket.is_cut_off(size), size == 1084);
        }
    }

    #[test]
    fn a_ticket_with_a_flipped_bit_or_cut_short_is_none() {
        let (_, bytes) = ticket(1, limits::RANGES).encode(BOOT);
        assert!(Ticket::parse_slot(&bytes, BOOT).is_some());
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Ticket::parse_slot(&bytes, BOOT), None, "{bit}");
            fuzz(&bytes);
        }
        for len in 0..bytes.len() {
            assert_eq!(Ticket::parse_slot(&bytes[..len], BOOT), None, "{len}");
        }
    }

    #[test]
    fn a_boot_id_is_read_as_the_kernel_prints_it() {
        let id: BootId = "00112233-4455-6677-8899-aabbccddeeff".parse().unwrap();
        let bytes = [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77];
        assert_eq!(id.0[..8], bytes);
        for text in ["", "0011", "+0112233-4455-6677-8899-aabbccddeeff", "x"] {
            assert_eq!(text.parse::<BootId>(), Err(BootIdError), "{text:?}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let printed = format!("{:?}", ticket(0, 0));
        assert!(printed.contains("secret: SecretHash(..)"), "{printed}");
    }
}
