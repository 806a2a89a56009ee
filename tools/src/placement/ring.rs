//! The permuted ring: every file sees the servers in an order of its own.
//!
//! The same rule as Tahoe-LAFS (`storage_client.py`, `get_servers_for_psi`): servers are sorted by
//! SHA-1 of the storage index followed by the server's seed. The load of a grid spreads evenly, and
//! a reader that knows the servers knows where to look first.

use sha1::{Digest, Sha1};

use lafs::StorageIndex;

/// What places a server on the ring; never secret.
///
/// For a server of the pipeline it is the SHA-256 of its public key, the 32 bytes that its NURL
/// spells: known before the first contact, and the same for every client.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Seed(Vec<u8>);

impl Seed {
    /// Takes the seed bytes as they are.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Where a server with this seed stands for `storage_index`: a smaller position comes earlier.
    #[must_use]
    pub fn position(&self, storage_index: StorageIndex) -> [u8; 20] {
        Sha1::new()
            .chain_update(storage_index.as_bytes())
            .chain_update(&self.0)
            .finalize()
            .into()
    }
}

/// Returns the indices of `seeds` in the order in which `storage_index` meets the servers.
#[must_use]
pub fn permuted<'a>(
    storage_index: StorageIndex,
    seeds: impl IntoIterator<Item = &'a Seed>,
) -> Vec<usize> {
    let mut order: Vec<_> = seeds
        .into_iter()
        .map(|seed| seed.position(storage_index))
        .enumerate()
        .collect();
    order.sort_by_key(|&(index, position)| (position, index));
    order.into_iter().map(|(index, _)| index).collect()
}
