//! SDMF and MDMF shares.

use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PSS_SHA256, RsaKeyPair};

use super::{Made, Numbers, block_leaf, noise, share_leaves};
use crate::tahoe::chain::tests::chain;
use crate::tahoe::hash::{self, Hash};
use crate::tahoe::tree::tests::stored;
use crate::{Container, Kind, Verdict, What, Whole};

/// The key of one of the files that Tahoe wrote.
fn key() -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(include_bytes!("../../../tests/fixtures/key.der")).unwrap()
}

/// The key in its envelope, for keys of 2048 bits with the exponent 65537.
fn envelope(key: &RsaKeyPair) -> Vec<u8> {
    let head = b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\
        \x03\x82\x01\x0f\x00";
    [head.as_slice(), key.public_key().as_ref()].concat()
}

fn sign(key: &RsaKeyPair, bytes: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), bytes, &mut signature)
        .unwrap();
    signature
}

fn whole(kind: Kind, numbers: Numbers, public_key: &[u8]) -> Whole {
    Whole {
        kind,
        needed: numbers.needed,
        total: numbers.total,
        file_size: numbers.file_size,
        identity: hash::tagged(hash::FINGERPRINT, public_key),
    }
}

fn counts(numbers: Numbers) -> [u8; 2] {
    [numbers.needed, numbers.total].map(|count| u8::try_from(count).unwrap())
}

/// What is wrong if the first byte of the block tree is. A single leaf is the root; nothing but the
/// chain says what it must be.
fn tree_what(leaves: &[Hash]) -> What {
    match leaves.len() {
        0 | 1 => What::ShareRoot,
        _ => What::BlockTree,
    }
}

fn sdmf(numbers: Numbers) -> Made {
    let key = key();
    let public_key = envelope(&key);
    let block: Vec<u8> = match *numbers.blocks() {
        [] => Vec::new(),
        [len] => noise(len, 1),
        _ => panic!("one segment"),
    };
    let leaves: Vec<Hash> = numbers
        .blocks()
        .iter()
        .map(|_| block_leaf(&[&block]))
        .collect();
    let tree = stored(&leaves);
    let (root, chain) = chain(
        &share_leaves(numbers, tree[0]),
        numbers.number.into(),
        false,
    );
    let mut bytes = vec![0];
    bytes.extend(5_u64.to_be_bytes());
    bytes.extend(root);
    bytes.extend([9; 16]);
    bytes.extend(counts(numbers));
    bytes.extend(numbers.segment_size.to_be_bytes());
    bytes.extend(numbers.file_size.to_be_bytes());
    let signature = sign(&key, &bytes);
    let body = [
        ("public key", public_key.clone(), What::PublicKey),
        ("signature", signature, What::Signature),
        ("chain", chain, What::ShareChain),
        ("block tree", tree.concat(), tree_what(&leaves)),
        ("block", block, What::Block),
    ];
    let mut offset = 107;
    for (index, (_, part, _)) in body.iter().enumerate() {
        offset += part.len();
        match u32::try_from(offset).unwrap() {
            narrow if index < 4 => bytes.extend(narrow.to_be_bytes()),
            last => bytes.extend(u64::from(last).to_be_bytes()),
        }
    }
    let private_key = noise(1217, 2);
    let end = offset + private_key.len();
    bytes.extend(u64::try_from(end).unwrap().to_be_bytes());
    let mut parts = vec![("signed bytes", 1, What::Signature)];
    for (name, part, what) in body {
        if !part.is_empty() {
            parts.push((name, bytes.len(), what));
        }
        bytes.extend(part);
    }
    bytes.extend(private_key);
    Made {
        bytes,
        container: Container::Mutable,
        number: numbers.number,
        parts,
        whole: whole(Kind::Sdmf, numbers, &public_key),
    }
}

fn mdmf(numbers: Numbers) -> Made {
    let key = key();
    let public_key = envelope(&key);
    let lens = (0..).zip(numbers.blocks());
    let blocks: Vec<(Vec<u8>, Vec<u8>)> = lens
        .map(|(index, len)| (noise(16, 100 + index), noise(len, index)))
        .collect();
    let leaves: Vec<Hash> = blocks
        .iter()
        .map(|(salt, block)| block_leaf(&[salt, block]))
        .collect();
    let tree = stored(&leaves);
    let (root, chain) = chain(
        &share_leaves(numbers, tree[0]),
        numbers.number.into(),
        false,
    );
    let mut bytes = vec![1];
    bytes.extend(5_u64.to_be_bytes());
    bytes.extend(root);
    bytes.extend(counts(numbers));
    bytes.extend(numbers.segment_size.to_be_bytes());
    bytes.extend(numbers.file_size.to_be_bytes());
    let signature = sign(&key, &bytes);
    let data: Vec<u8> = blocks
        .into_iter()
        .flat_map(|(a, b)| [a, b].concat())
        .collect();
    let private_key = noise(1217, 2);
    let front: [(&str, Vec<u8>, Option<What>); 4] = [
        ("private key", private_key, None),
        ("chain", chain, Some(What::ShareChain)),
        ("signature", signature, Some(What::Signature)),
        ("public key", public_key.clone(), Some(What::PublicKey)),
    ];
    let mut offsets = vec![123];
    for (_, part, _) in &front {
        offsets.push(offsets[offsets.len() - 1] + part.len());
    }
    offsets.extend([2167, 2167 + data.len(), 2167 + data.len() + 32 * tree.len()]);
    for offset in offsets {
        bytes.extend(u64::try_from(offset).unwrap().to_be_bytes());
    }
    let mut parts = vec![
        ("signed bytes", 1, What::Signature),
        ("offset", 59 + 7, What::Header),
    ];
    let mut add = |bytes: &mut Vec<u8>, name, part: Vec<u8>, what: Option<What>| {
        if let (Some(what), false) = (what, part.is_empty()) {
            parts.push((name, bytes.len(), what));
        }
        bytes.extend(part);
    };
    for (name, part, what) in front {
        add(&mut bytes, name, part, what);
    }
    bytes.resize(2167, 0xee);
    add(&mut bytes, "blocks", data, Some(What::Block));
    add(
        &mut bytes,
        "block tree",
        tree.concat(),
        Some(tree_what(&leaves)),
    );
    Made {
        bytes,
        container: Container::Mutable,
        number: numbers.number,
        parts,
        whole: whole(Kind::Mdmf, numbers, &public_key),
    }
}

#[test]
fn sdmf_shares_of_all_sizes_pass_and_each_changed_part_is_named() {
    for numbers in [
        Numbers::new((1, 1), 0, 0, 0),
        Numbers::new((1, 1), 1, 1, 0),
        Numbers::new((3, 10), 0, 0, 7),
        Numbers::new((3, 10), 102, 100, 9),
        Numbers::new((255, 255), 510, 300, 254),
        Numbers::new((1, 2), 900_001, 900_001, 1),
    ] {
        sdmf(numbers).check_all(&format!("{numbers:?}"));
    }
}

#[test]
fn mdmf_shares_of_all_sizes_pass_and_each_changed_part_is_named() {
    for numbers in [
        Numbers::new((1, 1), 131_072, 0, 0),
        Numbers::new((1, 1), 131_072, 1, 0),
        Numbers::new((3, 10), 131_073, 10, 7),
        Numbers::new((3, 10), 6, 1000, 9),
        Numbers::new((255, 255), 510, 30_000, 254),
        Numbers::new((1, 2), 131_072, 900_001, 1),
    ] {
        mdmf(numbers).check_all(&format!("{numbers:?}"));
    }
}

// Slots are not truncated when a shorter version is written.
#[test]
fn what_is_behind_the_end_of_a_slot_belongs_to_nothing() {
    let numbers = Numbers::new((3, 10), 102, 100, 9);
    for made in [sdmf(numbers), mdmf(numbers)] {
        let longer = [made.bytes.as_slice(), &noise(8709, 3)].concat();
        assert_eq!(made.check(&longer), Verdict::Whole(made.whole));
    }
}

// A key that signs other numbers can claim what it likes; the numbers must still make sense.
#[test]
fn numbers_that_are_signed_and_impossible_are_named() {
    let good = Numbers::new((3, 10), 102, 100, 2);
    for make in [sdmf, mdmf] {
        let mut made = make(good);
        made.number = 4;
        assert_eq!(made.damage(&made.bytes).what, What::OtherNumber);
        made.number = 10;
        assert_eq!(made.damage(&made.bytes).what, What::NoSuchShare);
    }
    let key = key();
    for (counts_at, signed_len, signature_at, made) in
        [(57, 75, 401, sdmf(good)), (41, 59, 1476, mdmf(good))]
    {
        // Needed, total, segment size, file size.
        let numbers: [(u8, u8, u64, u64); 6] = [
            (0, 10, 102, 100),
            (11, 10, 102, 100),
            (3, 10, 0, 100),
            (3, 10, 101, 100),
            (3, 10, 102, u64::MAX),
            (3, 10, u64::MAX, u64::MAX),
        ];
        for (needed, total, segment_size, file_size) in numbers {
            let mut bytes = made.bytes.clone();
            bytes[counts_at..counts_at + 2].copy_from_slice(&[needed, total]);
            bytes[counts_at + 2..counts_at + 10].copy_from_slice(&segment_size.to_be_bytes());
            bytes[counts_at + 10..counts_at + 18].copy_from_slice(&file_size.to_be_bytes());
            let signature = sign(&key, &bytes[..signed_len]);
            bytes[signature_at..signature_at + signature.len()].copy_from_slice(&signature);
            let damage = made.damage(&bytes);
            assert_eq!(damage.what, What::Parameters, "{needed} {total}: {damage}");
        }
    }
}
