//! The check of native shares from their bytes alone, as fsck and the scrub do it.

use encoder::Parameters;
use encoder::native::{Geometry, Version};
use lafs::ShareNumber;
use lafs::num;
use share::{Container, Fact, Kind, Verdict, What, Whole, check};

use crate::grid::{Held, Uploaded, key, noise, upload_as};

/// None, one, and seven segments, and shares that are not read at once.
fn files() -> impl Iterator<Item = Uploaded> {
    let small = Parameters::new(2, 4, 128).unwrap();
    let large = Parameters::new(1, 2, 1 << 17).unwrap();
    Version::ALL.into_iter().flat_map(move |version| {
        [(small, 0), (small, 77), (small, 845), (large, 700_000)]
            .map(|(parameters, len)| upload_as(version, noise(len, 1), parameters, &key(1)))
    })
}

fn verdict(file: &Uploaded, held: &Held) -> Verdict {
    let index = file.cap.verify_cap().storage_index();
    let bytes = held.bytes.as_slice();
    check(&bytes, Container::Immutable, index, held.number).unwrap()
}

/// Which claim fails, and where.
fn damage(file: &Uploaded, held: &Held) -> (What, u64) {
    match verdict(file, held) {
        Verdict::Damaged { damage, .. } => (damage.what, damage.offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_share_is_whole_and_says_of_its_file_what_the_cap_says() {
    for file in files() {
        let count = |count: usize| u16::try_from(count).unwrap();
        let parameters = file.cap.parameters();
        let expected = Verdict::Whole(Whole {
            kind: match file.cap.version() {
                Version::V1 => Kind::NativeV1,
                Version::V2 => Kind::NativeV2,
            },
            needed: count(parameters.needed()),
            total: count(parameters.total()),
            file_size: file.cap.size(),
            identity: *file.cap.verify_cap().ueb_hash().as_bytes(),
        });
        for held in file.held() {
            assert_eq!(verdict(&file, &held), expected);
        }
    }
}

#[test]
fn no_share_with_a_flipped_bit_or_cut_is_whole() {
    for file in files() {
        let good = file.held().remove(1);
        let len = good.bytes.len();
        let step = if len > 10_000 { 4999 } else { 1 };
        for index in (0..len).step_by(step).chain(len - 10..len) {
            let mut bad = good.clone();
            bad.bytes[index] ^= 1 << (index % 8);
            assert!(
                !matches!(verdict(&file, &bad), Verdict::Whole(_)),
                "byte {index}"
            );
            bad.bytes.truncate(index);
            assert!(
                !matches!(verdict(&file, &bad), Verdict::Whole(_)),
                "cut to {index}"
            );
        }
        let mut long = good;
        long.bytes.push(0);
        assert!(!matches!(verdict(&file, &long), Verdict::Whole(_)));
    }
}

#[test]
fn the_part_that_is_corrupted_is_named_with_its_place() {
    for version in Version::ALL {
        let parameters = Parameters::new(2, 4, 128).unwrap();
        let file = upload_as(version, noise(845, 1), parameters, &key(1));
        let geometry = Geometry::from(&file.cap);
        let good = file.held().remove(2);
        let flipped = |offset: u64| {
            let mut bad = good.clone();
            bad.bytes[num::len(offset).unwrap()] ^= 1;
            damage(&file, &bad)
        };
        let block = geometry.block(3);
        assert_eq!(flipped(block.start + 5), (What::Block, block.start));
        // The hash of a block is behind it, then those of the ciphertext and the plaintext.
        assert_eq!(flipped(block.end), (What::Block, block.start));
        // Behind that are the nodes over it.
        let node = block.end + 64;
        assert_eq!(flipped(node + 3), (What::Block, node));
        assert_eq!(flipped(node + 16), (What::CrypttextTree, node));
        assert_eq!(flipped(node + 48), (What::PlaintextTree, node));
        let trailer = geometry.trailer();
        assert_eq!(flipped(trailer.start), (What::ShareRoot, trailer.start));
    }
}

#[test]
fn a_share_in_the_wrong_place_is_named() {
    for file in files() {
        let mut held = file.held().remove(1);
        held.number = ShareNumber::new(0);
        match verdict(&file, &held) {
            Verdict::Damaged { damage, .. } => {
                assert_eq!(damage.what, What::OtherNumber);
                assert_eq!(
                    (damage.expected, damage.found),
                    (Fact::Number(0), Fact::Number(1))
                );
            }
            other => panic!("{other:?}"),
        }
        held.number = ShareNumber::new(9);
        assert_eq!(damage(&file, &held).0, What::NoSuchShare);
        let other = upload_as(
            file.cap.version(),
            noise(10, 3),
            file.cap.parameters(),
            &key(2),
        );
        let stray = other.held().remove(1);
        assert_eq!(damage(&file, &stray).0, What::ShareRoot);
    }
}

// The mark of version 1 is long enough to tell a cut share from anything else.
#[test]
fn a_share_of_version_1_that_lost_its_beginning_is_known() {
    let parameters = Parameters::new(2, 4, 128).unwrap();
    let file = upload_as(Version::V1, noise(845, 1), parameters, &key(1));
    let mut held = file.held().remove(1);
    let size = num::size(held.bytes.len());
    held.bytes.drain(..10);
    let index = file.cap.verify_cap().storage_index();
    let verdict = check(
        &held.bytes.as_slice(),
        Container::Immutable,
        index,
        held.number,
    )
    .unwrap();
    let Verdict::Damaged { kind, damage } = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!((kind, damage.what), (Kind::NativeV1, What::Size));
    assert_eq!(
        (damage.expected, damage.found),
        (size.into(), (size - 10).into())
    );
}
