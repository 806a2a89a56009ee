//! Our placement equals Tahoe-LAFS's: vectors written once by Tahoe-LAFS 1.20, never by us.

#![expect(
    clippy::unwrap_used,
    reason = "a vector that does not parse is a failed test"
)]

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use lafs::{ShareNumber, StorageIndex};
use tools::placement::{Holdings, Seed, permuted};

#[derive(Deserialize)]
struct Vectors {
    permuted_list: PermutedList,
    servers_of_happiness: Vec<Happiness>,
    permutation_seeds_hex: BTreeMap<String, String>,
    permutation: Vec<Permutation>,
}

#[derive(Deserialize)]
struct PermutedList {
    storage_index_hex: String,
    order: Vec<usize>,
    /// Of seed 0, not of the first on the ring.
    first_permuted_hash_hex: String,
}

#[derive(Deserialize)]
struct Happiness {
    sharemap: BTreeMap<String, Vec<String>>,
    happiness: usize,
}

#[derive(Deserialize)]
struct Permutation {
    storage_index_hex: String,
    order: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    server_id: String,
    sha1_hex: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("fixtures/placement.json")).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn storage_index(text: &str) -> StorageIndex {
    StorageIndex::new(hex(text).try_into().unwrap())
}

#[test]
fn the_ring_is_in_the_order_of_tahoe() {
    let vectors = vectors();
    for case in &vectors.permutation {
        let index = storage_index(&case.storage_index_hex);
        let (names, seeds): (Vec<_>, Vec<_>) = vectors
            .permutation_seeds_hex
            .iter()
            .map(|(name, seed)| (name, Seed::new(hex(seed))))
            .unzip();
        let order: Vec<_> = permuted(index, &seeds)
            .into_iter()
            .map(|place| names[place])
            .collect();
        let expected: Vec<_> = case.order.iter().map(|place| &place.server_id).collect();
        assert_eq!(order, expected);
        for place in &case.order {
            let seed = Seed::new(hex(&vectors.permutation_seeds_hex[&place.server_id]));
            assert_eq!(seed.position(index).to_vec(), hex(&place.sha1_hex));
        }
    }
}

#[test]
fn a_ring_of_twelve_is_in_the_order_of_tahoe() {
    let case = vectors().permuted_list;
    let seeds: Vec<_> = (0..12)
        .map(|number| Seed::new(Sha256::digest(format!("seed-{number}")).to_vec()))
        .collect();
    let index = storage_index(&case.storage_index_hex);
    let order = permuted(index, &seeds);
    assert_eq!(order, case.order);
    assert_eq!(
        seeds[0].position(index).to_vec(),
        hex(&case.first_permuted_hash_hex)
    );
}

#[test]
fn happiness_is_what_tahoe_computes() {
    let cases = vectors().servers_of_happiness;
    assert!(!cases.is_empty());
    for case in cases {
        let mut names = Vec::new();
        let mut holdings = Holdings::new();
        for (share, servers) in case.sharemap {
            let share: ShareNumber = share.parse().unwrap();
            for server in servers {
                let index = names.iter().position(|name| *name == server);
                let index = index.unwrap_or_else(|| {
                    names.push(server);
                    names.len() - 1
                });
                holdings.insert(index, share);
            }
        }
        assert_eq!(holdings.happiness(), case.happiness, "{holdings:?}");
    }
}
