//! CHK shares.

use super::{Made, Numbers, block_leaf, noise, noise_hash, share_leaves};
use crate::tahoe::chain::tests::chain;
use crate::tahoe::hash::{self, Hash};
use crate::tahoe::tree::tests::stored;
use crate::{Container, Damage, Kind, Verdict, What, Whole};

/// What may be different in a share that Tahoe wrote long ago, or for a large file.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Layout 2.
    wide: bool,
    /// With a plaintext hash tree.
    plaintext: bool,
    /// So many zeros at the end.
    reserve: usize,
}

fn make(numbers: Numbers, manner: Manner) -> Made {
    let blocks: Vec<_> = numbers.blocks();
    let data: Vec<Vec<u8>> = (0..).zip(&blocks).map(|(i, len)| noise(*len, i)).collect();
    let count = u64::try_from(blocks.len()).unwrap();
    let leaves: Vec<Hash> = data.iter().map(|block| block_leaf(&[block])).collect();
    let block_tree = stored(&leaves);
    let others = |seed: u64| stored(&(0..count).map(|i| noise_hash(seed + i)).collect::<Vec<_>>());
    let (crypttext_tree, plaintext_tree) = (others(1 << 32), others(1 << 33));
    let share_leaves = share_leaves(numbers, block_tree[0]);
    let (share_root, chain) = chain(&share_leaves, numbers.number.into(), true);

    let Numbers {
        needed,
        total,
        segment_size,
        file_size,
        ..
    } = numbers;
    let tail = (file_size - 1) % segment_size + 1;
    let padded_tail = tail.next_multiple_of(needed.into());
    let mut ueb = Vec::new();
    let mut entry = |key: &str, value: &[u8]| {
        ueb.extend_from_slice(format!("{key}:{}:", value.len()).as_bytes());
        ueb.extend_from_slice(value);
        ueb.push(b',');
    };
    let params = |size: u64| format!("{size}-{needed}-{total}");
    entry("codec_name", b"crs");
    entry("codec_params", params(segment_size).as_bytes());
    entry("crypttext_hash", &[7; 32]);
    entry("crypttext_root_hash", &crypttext_tree[0]);
    entry("needed_shares", needed.to_string().as_bytes());
    entry("num_segments", count.to_string().as_bytes());
    if manner.plaintext {
        entry("plaintext_hash", &[8; 32]);
        entry("plaintext_root_hash", &plaintext_tree[0]);
    }
    entry("segment_size", segment_size.to_string().as_bytes());
    entry("share_root_hash", &share_root);
    entry("size", file_size.to_string().as_bytes());
    entry("tail_codec_params", params(padded_tail).as_bytes());
    entry("total_shares", total.to_string().as_bytes());

    let flat = |tree: &[Hash]| tree.concat();
    let unused = match manner.plaintext {
        true => flat(&plaintext_tree),
        false => vec![0; 32 * block_tree.len()],
    };
    let unused_what = match manner.plaintext {
        true => What::PlaintextTree,
        false => What::Unused,
    };
    let body = [
        ("blocks", data.concat(), What::Block),
        ("unused", unused, unused_what),
        ("crypttext tree", flat(&crypttext_tree), What::CrypttextTree),
        // The root of a tree of one leaf is the leaf: the chain has it too.
        (
            "block tree",
            flat(&block_tree),
            if count > 1 {
                What::BlockTree
            } else {
                What::ShareChain
            },
        ),
        ("chain", chain, What::ShareChain),
    ];
    let width = if manner.wide { 8 } else { 4 };
    let mut fields = vec![blocks[0], body[0].1.len()];
    let mut offset = 4 + 8 * width;
    for (_, part, _) in &body {
        fields.push(offset);
        offset += part.len();
    }
    fields.push(offset);
    let number = |value: usize| {
        let bytes = u64::try_from(value).unwrap().to_be_bytes();
        bytes[8 - width..].to_vec()
    };
    let version: u32 = if manner.wide { 2 } else { 1 };
    let mut bytes = version.to_be_bytes().to_vec();
    bytes.extend(fields.iter().flat_map(|field| number(*field)));
    // The number of a node is first in the chain: another is not one of this share.
    let mut parts = vec![("last of the header", bytes.len() - 1, What::Ueb)];
    for (name, part, what) in body {
        if !part.is_empty() {
            parts.push((name, bytes.len(), what));
        }
        bytes.extend(part);
    }
    bytes.extend(number(ueb.len()));
    parts.push(("UEB", bytes.len(), What::Ueb));
    bytes.extend_from_slice(&ueb);
    bytes.extend(vec![0; manner.reserve]);
    Made {
        bytes,
        container: Container::Immutable,
        number: numbers.number,
        parts,
        whole: Whole {
            kind: if manner.wide {
                Kind::ChkV2
            } else {
                Kind::ChkV1
            },
            needed,
            total,
            file_size,
            identity: hash::tagged(hash::UEB, &ueb),
        },
    }
}

/// One segment and many, at the sizes of the pieces in which shares are read, and beyond.
const TABLE: [Numbers; 12] = [
    Numbers::new((1, 1), 56, 56, 0),
    Numbers::new((3, 10), 57, 56, 9),
    Numbers::new((3, 10), 3, 1, 3),
    Numbers::new((25, 100), 75, 60, 64),
    Numbers::new((101, 256), 101, 1000, 255),
    Numbers::new((1, 3), 1, 5000, 2),
    Numbers::new((1, 2), 7, 20_001, 1),
    Numbers::new((2, 3), 131_072, 131_072 * 8, 0),
    Numbers::new((3, 10), 131_073, 131_073 * 9 - 1, 5),
    Numbers::new((1, 2), 262_144, 262_144 * 3 + 1, 1),
    Numbers::new((1, 1), 700_000, 1_400_000, 0),
    Numbers::new((1, 2), 64, 64 * 8193, 1),
];

#[test]
fn shares_of_all_sizes_pass_and_each_changed_part_is_named() {
    for numbers in TABLE {
        for wide in [false, true] {
            let manner = Manner {
                wide,
                ..Manner::default()
            };
            make(numbers, manner).check_all(&format!("{numbers:?}, wide: {wide}"));
        }
    }
}

// Older clients reserved 1000 bytes for the UEB; the oldest wrote plaintext hashes.
#[test]
fn shares_of_old_clients_pass() {
    for (reserve, plaintext) in [(1, false), (692, false), (692, true), (300_000, true)] {
        let manner = Manner {
            plaintext,
            reserve,
            ..Manner::default()
        };
        let made = make(TABLE[6], manner);
        assert_eq!(made.check(&made.bytes), Verdict::Whole(made.whole));
        let last = made.bytes.len() - 1;
        let mut changed = made.bytes.clone();
        changed[last] = 4;
        let at = u64::try_from(last).unwrap();
        assert_eq!(
            made.damage(&changed),
            Damage::new(What::Unused, at, 0_u64, 4_u64)
        );
    }
}

#[test]
fn a_share_under_another_number_is_named() {
    let mut made = make(TABLE[1], Manner::default());
    made.number = 4;
    let damage = made.damage(&made.bytes);
    assert_eq!(
        (damage.what, damage.expected, damage.found),
        (What::OtherNumber, 4_u64.into(), 9_u64.into())
    );
    made.number = 10;
    let damage = made.damage(&made.bytes);
    assert_eq!(
        (damage.what, damage.expected, damage.found),
        (What::NoSuchShare, 10_u64.into(), 10_u64.into())
    );
}

// The size says how long a check takes, and nothing in the share does.
#[test]
fn claims_of_great_sizes_are_refused_before_they_are_believed() {
    let made = make(TABLE[1], Manner::default());
    for at in [4, 8, 16, 20, 24, 28, 32] {
        let mut changed = made.bytes.clone();
        changed[at..at + 4].fill(0xff);
        made.damage(&changed);
    }
    let made = make(
        TABLE[1],
        Manner {
            wide: true,
            ..Manner::default()
        },
    );
    for at in [4, 12, 28, 36, 44, 52, 60] {
        let mut changed = made.bytes.clone();
        changed[at..at + 8].fill(0xff);
        made.damage(&changed);
    }
}

// A mark is half of what tells a share: the other half says that it is damaged.
#[test]
fn a_share_with_a_damaged_mark_is_still_known() {
    for (wide, field) in [(false, 12 + 3), (true, 20 + 7)] {
        let made = make(
            TABLE[1],
            Manner {
                wide,
                ..Manner::default()
            },
        );
        for at in [3, field] {
            let mut changed = made.bytes.clone();
            changed[at] ^= 0x80;
            assert_eq!(made.damage(&changed).what, What::Header, "byte {at}");
            assert!(matches!(
                made.check(&changed),
                Verdict::Damaged { kind, .. } if kind == made.whole.kind
            ));
        }
    }
}
