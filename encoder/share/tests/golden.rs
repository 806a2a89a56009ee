//! Shares that Tahoe-LAFS 1.20 wrote: all are whole, and say of their file what Tahoe says of it.
//!
//! The files in `tests/fixtures/` were written once, by the original client; the one whose name begins
//! with `made` was put together by hand, with OpenSSL's key.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use lafs::{ShareNumber, StorageIndex, base32};
use share::{Container, Kind, Verdict, What, Whole, check};

/// Name, kind, needed, total, size of the file, storage index, UEB hash or fingerprint, share numbers.
type File = (
    &'static str,
    Kind,
    (u16, u16),
    u64,
    &'static str,
    &'static str,
    &'static [u8],
);

const FILES: [File; 12] = [
    (
        "chk-57-1of1",
        Kind::ChkV1,
        (1, 1),
        57,
        "c33sj3s6rjaiz3nwx65y7hjnnq",
        "u7usy5rfb3kjnjqaw5g6is4mwxtuedvnlylgvz5j7mps3brorata",
        &[0],
    ),
    (
        "chk-1000-3of10",
        Kind::ChkV1,
        (3, 10),
        1000,
        "44jxvxag4a5db4ecruqbq4pco4",
        "pnjmaavgxgpn4n3yeshucebfaffrzfrwbprrs77xcuxaveyfpp4q",
        &[0, 5, 9],
    ),
    (
        "chk-1000-3of10-randkey-v2",
        Kind::ChkV2,
        (3, 10),
        1000,
        "i7iazcywnj24ukgmd7fidfho24",
        "4zjvbquiiubcqf77tfkqgwjfypno5ivuv24oye2e24qfjzbx4hwq",
        &[3, 4, 8],
    ),
    (
        "chk-1000-7of10-seg100",
        Kind::ChkV1,
        (7, 10),
        1000,
        "xmxsvvic67swgs2yjroqeoj5em",
        "fb4hm5ti4mzzo6kmokmvluk7akrzyloqfwjjdikqp2vfncfkkvkq",
        &[0, 2, 4, 5, 7, 8, 9],
    ),
    (
        "chk-4096-2of5-seg1024",
        Kind::ChkV1,
        (2, 5),
        4096,
        "bwuxzlsm5s7c6de3qmwr7kf4ja",
        "zylzfh523qsr2okyf3sikrvppuhwvb7vb76u3tmpfeszt5p57h7a",
        &[1, 4],
    ),
    (
        "sdmf-100-3of10",
        Kind::Sdmf,
        (3, 10),
        100,
        "w2mqzfnbbqejnf2nrflab2rst4",
        "m2pjglgc2yuyo2hhw46tknrcxssv7n7zxb4my3utvwvsana5hnwa",
        &[0, 4, 9],
    ),
    (
        "sdmf-0-3of10",
        Kind::Sdmf,
        (3, 10),
        0,
        "yo7chmsnnzvxjucbft3ftmjlfe",
        "lw32qxpouwwf6jsq2ce6nggconp3udthe6bckdvwcydg2ycqsmta",
        &[0],
    ),
    (
        "sdmf-5000-2of3-seq3",
        Kind::Sdmf,
        (2, 3),
        5000,
        "t5pe32vpoctk6onijikn7gztja",
        "izs6t5oeeoyj4dilzwureg7fwolw3ahvsyfnso34he55zcgghqya",
        &[1, 2],
    ),
    (
        "sdmf-1-1of1",
        Kind::Sdmf,
        (1, 1),
        1,
        "5k5xmuxaq6jv4ija3jxaqi57ha",
        "puqkhc5siq4fv6opy23xct5ywo6fl6l5g4gtiumt76n4brrpp3va",
        &[0],
    ),
    (
        "dir-3entries-3of10",
        Kind::Sdmf,
        (3, 10),
        956,
        "blenajablo77u72sqae6p6sdoe",
        "656qwqh3hqnpmowwdplptx4s2uzagjmuiehoopxi2dul4fml6ioa",
        &[0, 1, 2, 9],
    ),
    (
        "mdmf-10-3of10",
        Kind::Mdmf,
        (3, 10),
        10,
        "hlopquychynfblyroht2gen3ky",
        "nn33oreeomdcslhcgaej5qok2f6yrwaurv4mc4lxaiie2lsp27ka",
        &[0, 1, 2],
    ),
    (
        "mdmf-131074-3of5",
        Kind::Mdmf,
        (3, 5),
        131_074,
        "bg2wybtmki7xug2npwpiq7umsm",
        "brojjm53saghjhqfd7g7s466y22abm7wolwme5cofjhxhdrgwiva",
        &[1, 2],
    ),
];

fn container(kind: Kind) -> Container {
    match kind {
        Kind::Sdmf | Kind::Mdmf => Container::Mutable,
        _ => Container::Immutable,
    }
}

fn read(name: &str, number: u8) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    fs::read(format!("{folder}/{name}.sh{number}.share")).unwrap()
}

#[test]
fn every_share_that_tahoe_wrote_is_whole() {
    for (name, kind, (needed, total), file_size, storage_index, identity, numbers) in FILES {
        let storage_index: StorageIndex = storage_index.parse().unwrap();
        for number in numbers {
            let bytes = read(name, *number);
            let place = ShareNumber::new(*number);
            let expected = Verdict::Whole(Whole {
                kind,
                needed,
                total,
                file_size,
                identity: base32::decode_array(identity).unwrap(),
            });
            let verdict = check(&bytes.as_slice(), container(kind), storage_index, place);
            assert_eq!(verdict.unwrap(), expected, "{name}, share {number}");
        }
    }
}

#[test]
fn under_another_number_every_share_says_which_it_is() {
    for (name, kind, (_, total), _, storage_index, _, numbers) in FILES {
        let storage_index: StorageIndex = storage_index.parse().unwrap();
        for number in numbers {
            let bytes = read(name, *number);
            for other in 0..=u8::try_from(total).unwrap() {
                let place = ShareNumber::new(other);
                let verdict = check(&bytes.as_slice(), container(kind), storage_index, place);
                let what = match verdict.unwrap() {
                    Verdict::Whole(_) => None,
                    Verdict::Damaged { damage, .. } => Some(damage.what),
                    Verdict::Unknown => panic!("{name} is not known"),
                };
                let expected = match other {
                    _ if other == *number => None,
                    _ if u16::from(other) == total => Some(What::NoSuchShare),
                    _ => Some(What::OtherNumber),
                };
                assert_eq!(what, expected, "{name}: share {number} as {other}");
            }
        }
    }
}

#[test]
fn a_share_in_the_wrong_kind_of_container_is_never_whole() {
    for (name, kind, _, _, storage_index, _, numbers) in FILES {
        let other = match container(kind) {
            Container::Immutable => Container::Mutable,
            Container::Mutable => Container::Immutable,
        };
        let bytes = read(name, numbers[0]);
        let place = ShareNumber::new(numbers[0]);
        let verdict = check(
            &bytes.as_slice(),
            other,
            storage_index.parse().unwrap(),
            place,
        );
        assert!(!matches!(verdict.unwrap(), Verdict::Whole(_)), "{name}");
    }
}

#[test]
fn every_cut_of_every_share_is_found() {
    for (name, kind, _, _, storage_index, _, numbers) in FILES {
        let storage_index: StorageIndex = storage_index.parse().unwrap();
        let number = numbers[0];
        let bytes = read(name, number);
        // Of the large one, every 97th.
        let step = if bytes.len() > 10_000 { 97 } else { 1 };
        for len in (0..bytes.len()).step_by(step) {
            let cut = &bytes[..len];
            let place = ShareNumber::new(number);
            let verdict = check(&cut, container(kind), storage_index, place).unwrap();
            assert!(!matches!(verdict, Verdict::Whole(_)), "{name} cut to {len}");
        }
    }
}

// What nobody knows is not damage.
#[test]
fn other_bytes_are_unknown() {
    let bytes = (0..100_000).map(|index| u8::try_from(index % 251).unwrap());
    let noise: Vec<u8> = bytes.collect();
    let index = StorageIndex::new([1; 16]);
    for bytes in [
        &b""[..],
        b"\x07",
        b"\x02text",
        &noise[7..2000],
        &noise[700..],
    ] {
        for container in [Container::Immutable, Container::Mutable] {
            let verdict = check(&bytes, container, index, ShareNumber::new(0)).unwrap();
            assert_eq!(verdict, Verdict::Unknown, "{container:?}");
        }
    }
}

// The keys of Tahoe's first years, made by pycryptopp, have the exponent 17.
#[test]
fn a_signature_by_a_key_with_a_small_exponent_is_good() {
    let bytes = include_bytes!("fixtures/made-sdmf-exponent-17.sh0.share");
    let index = StorageIndex::new([1; 16]);
    let verdict = |bytes: &[u8]| {
        let number = ShareNumber::new(0);
        check(&bytes, Container::Mutable, index, number).unwrap()
    };
    let Verdict::Whole(whole) = verdict(bytes) else {
        panic!("{:?}", verdict(bytes));
    };
    assert_eq!((whole.kind, whole.file_size), (Kind::Sdmf, 35));
    let mut changed = *bytes;
    changed[60] ^= 1;
    match verdict(&changed) {
        Verdict::Damaged { damage, .. } => assert_eq!(damage.what, What::Signature),
        other => panic!("{other:?}"),
    }
}
