//! What a share is to become, before a byte of it is written.

use bytes::Bytes;
use lafs::{ShareNumber, num};

use crate::container::mutable::{
    Content, HEADER_SIZE, Header, Image, LEASE_SIZE, LeaseChange, Leases, Source,
};
use crate::journal::format::{GROUP_SIZE_MAX, RECORD_HEADER_SIZE, WRITE_HEADER_SIZE};

/// A share, and what is to become of it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) share: ShareNumber,
    /// Whether there is no such share yet.
    pub(super) is_new: bool,
    pub(super) header: Header,
    /// The leases as they are.
    pub(super) before: Leases,
    pub(super) lease: LeaseChange,
    /// The leases as they are to be.
    pub(super) leases: Leases,
    pub(super) image: Image,
}

impl Draft {
    pub(super) fn changes_nothing(&self) -> bool {
        let pieces = self.image.pieces();
        let mut sources = pieces.map(|(_, piece)| &piece.source);
        let same_bytes = sources.all(|source| *source == Source::Old);
        let same_sizes = self.image.sizes() == self.header.sizes();
        !self.is_new && same_bytes && same_sizes && self.lease == LeaseChange::None
    }

    pub(super) fn needs_old(&self) -> bool {
        self.image
            .pieces()
            .any(|(_, piece)| piece.source == Source::Old)
    }

    pub(super) fn needs_spool(&self) -> bool {
        let is_spooled = |source: &Source| matches!(source, Source::New(Content::Spooled { .. }));
        self.image
            .pieces()
            .any(|(_, piece)| is_spooled(&piece.source))
    }

    /// Size of the body of a patch record, if the share can be changed within its room.
    pub(super) fn patch_size(&self) -> Option<u64> {
        let same_room = self.image.sizes().extra == self.header.sizes().extra;
        let same_leases = !matches!(self.lease, LeaseChange::Extend { .. });
        if self.is_new || !same_room || !same_leases || self.needs_spool() {
            return None;
        }
        let around = 8 + 2 * WRITE_HEADER_SIZE + HEADER_SIZE + LEASE_SIZE;
        let pieces = self.image.pieces();
        let changed = pieces.filter(|(_, piece)| piece.source != Source::Old);
        let sizes = changed.map(|(_, piece)| WRITE_HEADER_SIZE + piece.size);
        Some(sizes.fold(around, u64::saturating_add))
    }

    /// The writes of a patch, at most as many bytes as [`Draft::patch_size`] says.
    pub(super) fn patch(&self) -> Vec<(u64, Bytes)> {
        let mut writes = Vec::new();
        let header = self.header.encode(self.image.sizes(), &self.leases);
        if header != self.header.encode(self.header.sizes(), &self.before) {
            writes.push((0, Bytes::copy_from_slice(&header)));
        }
        let lease = self.lease.writes(&self.header, &self.before);
        // Those in the header are in it already.
        writes.extend(lease.into_iter().filter(|(at, _)| *at >= HEADER_SIZE));
        for (offset, piece) in self.image.pieces() {
            match &piece.source {
                Source::Old => {}
                Source::Zeros => {
                    let len = num::len(piece.size).expect("less than what fits into a batch");
                    writes.push((offset, vec![0; len].into()));
                }
                Source::New(Content::Bytes(bytes)) => writes.push((offset, bytes.clone())),
                Source::New(Content::Spooled { .. }) => unreachable!("a patch has no spool"),
            }
        }
        writes
    }
}

/// How much of a batch is left for the shares of a request.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

/// Size of the record of a share that takes the least: nothing but a number.
const REPLACE_SIZE: u64 = RECORD_HEADER_SIZE + 8;
const _: () = assert!(256 * REPLACE_SIZE < GROUP_SIZE_MAX);

impl Budget {
    pub(super) fn new(shares: usize) -> Self {
        let least = REPLACE_SIZE * num::size(shares);
        let left = GROUP_SIZE_MAX.checked_sub(least);
        Self {
            left: left.expect("there are 256 share numbers"),
        }
    }

    /// Takes room for a record with a body of this size, if there is as much.
    pub(super) fn take(&mut self, body: u64) -> bool {
        let more = (RECORD_HEADER_SIZE + body).saturating_sub(REPLACE_SIZE);
        let fits = more <= self.left;
        if fits {
            self.left -= more;
        }
        fits
    }
}
