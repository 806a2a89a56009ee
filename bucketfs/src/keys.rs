//! Tables by keys that come from outside.
//!
//! Their hash is far cheaper than the standard library's for keys of a few bytes. Whoever chooses
//! storage indexes must not choose which of them share a place in a table: the hash is keyed with
//! what the system gave at random, each table by itself.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

/// A table by keys from outside.
pub(crate) type KeyMap<K, V> = HashMap<K, V, KeyState>;

/// A set of such keys.
pub(crate) type KeySet<K> = HashSet<K, KeyState>;

/// What the keys of one table are hashed with.
#[derive(Clone, Debug)]
pub(crate) struct KeyState(SeedableRandomState);

/// The larger part of the key, which all tables have.
static SHARED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(random()));

impl Default for KeyState {
    fn default() -> Self {
        Self(SeedableRandomState::with_seed(random(), &SHARED))
    }
}

impl BuildHasher for KeyState {
    type Hasher = <SeedableRandomState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// The standard library asks the system for its keys, and gives no two tables the same.
fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Were they the same everywhere, keys that meet in one place could be found out beforehand.
    #[test]
    fn no_two_tables_hash_alike() {
        let hash = || KeyState::default().hash_one([7_u8; 17]);
        let hashes: HashSet<u64> = (0..100).map(|_| hash()).collect();
        assert_eq!(hashes.len(), 100);
    }

    #[test]
    fn keys_that_differ_in_one_bit_do_not_share_a_place() {
        let state = KeyState::default();
        let mut places: HashSet<u64> = HashSet::new();
        for bit in 0..136 {
            let mut key = [0_u8; 17];
            key[bit / 8] |= 1 << (bit % 8);
            places.insert(state.hash_one(key));
        }
        assert_eq!(places.len(), 136);
    }
}
