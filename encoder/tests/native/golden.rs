//! Bytes that must never change: what each version of the format made of these files when it was
//! settled, and what the second implementation makes of them.
//!
//! The files in `tests/golden/` were written once. A cap printed years ago must still find and read
//! its file: a difference here is a new version of the format, not a new file to compare with.

use encoder::Parameters;
use encoder::native::{ConvergentKey, Geometry, Version};
use lafs::ConvergenceSecret;
use lafs::cap::Cap;
use lafs::cap::native::ReadKey;

use crate::grid::{Uploaded, upload_as};
use crate::reference::{self, Field, Malice};

/// Needed, total, segment size, and the sizes of files.
const TABLE: &[(usize, usize, u32, &[usize])] = &[
    (
        3,
        10,
        196_608,
        &[
            0, 1, 2, 6, 7, 55, 56, 190, 193, 1000, 65_536, 196_607, 196_608, 196_609,
        ],
    ),
    (
        3,
        10,
        192,
        &[191, 192, 193, 384, 385, 576, 768, 1344, 3000, 3073],
    ),
    (1, 1, 64, &[1, 64, 65, 300]),
    (1, 4, 64, &[1, 64, 65, 300]),
    (4, 4, 256, &[1, 256, 257, 1300]),
    (2, 3, 128, &[1000]),
    (5, 7, 640, &[1999]),
    (7, 10, 448, &[2000]),
    (10, 30, 1280, &[5000]),
    (16, 17, 1024, &[3000]),
    (17, 33, 1088, &[3000]),
    (64, 128, 4096, &[5000]),
    (1, 256, 64, &[100]),
    (2, 256, 128, &[300]),
    (128, 256, 8192, &[9000]),
    (200, 256, 12_800, &[13_000]),
    (255, 256, 16_320, &[16_321]),
    (256, 256, 16_384, &[20_000]),
];

/// Byte i is 7 i + 13 (i / 256), modulo 256.
fn plaintext(len: usize) -> Vec<u8> {
    (0..len)
        .map(|index| u8::try_from((7 * index + 13 * (index / 256)) % 256).unwrap())
        .collect()
}

/// Bytes 0 to 31.
fn secret() -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap())
}

fn files(version: Version) -> impl Iterator<Item = Uploaded> {
    TABLE
        .iter()
        .flat_map(move |(needed, total, segment_size, lens)| {
            let parameters = Parameters::new(*needed, *total, *segment_size).unwrap();
            lens.iter().map(move |len| {
                let plaintext = plaintext(*len);
                let secret = ConvergenceSecret::new(secret());
                let mut key = ConvergentKey::of_version(version, &secret, parameters);
                for piece in plaintext.chunks(333) {
                    key.update(piece);
                }
                upload_as(version, plaintext, parameters, &key.finish())
            })
        })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of a cap of version 1 as it was first printed.
fn without_check(cap: &impl ToString) -> String {
    let text = cap.to_string();
    let mut fields: Vec<&str> = text.split(':').collect();
    fields.remove(2);
    fields.join(":")
}

#[test]
fn caps_and_shares_are_those_of_version_1() {
    let mut computed = String::new();
    for file in files(Version::V1) {
        let digest = blake3::hash(&file.shares.concat());
        let ueb = file.shares[0].last_chunk::<114>().unwrap();
        computed += &format!("{}\n", without_check(&file.cap));
        computed += &format!("    {}\n", without_check(&file.cap.verify_cap()));
        computed += &format!("    UEB {}\n", hex(ueb));
        computed += &format!("    shares {} {}\n", file.shares[0].len(), digest.to_hex());
    }
    let golden = include_str!("../golden/native-1.txt");
    assert!(computed == golden, "now it is\n{computed}");
}

#[test]
fn caps_and_shares_are_those_of_version_2() {
    let mut computed = String::new();
    for file in files(Version::V2) {
        let digest = blake3::hash(&file.shares.concat());
        let trailer = Geometry::from(&file.cap).trailer_len();
        let trailer = &file.shares[0][file.shares[0].len() - trailer..];
        computed += &format!("{}\n", file.cap);
        computed += &format!("    {}\n", file.cap.verify_cap());
        computed += &format!("    trailer {}\n", hex(trailer));
        computed += &format!("    shares {} {}\n", file.shares[0].len(), digest.to_hex());
    }
    let golden = include_str!("../golden/native-2.txt");
    assert!(computed == golden, "now it is\n{computed}");
}

/// Two files, and every byte of their shares.
fn small_shares(version: Version, text: impl Fn(&Uploaded) -> String) -> String {
    let mut computed = String::new();
    for (needed, total, segment_size, len) in [(3, 10, 196_608, 1000), (2, 3, 128, 1000)] {
        let parameters = Parameters::new(needed, total, segment_size).unwrap();
        let file = upload_as(version, plaintext(len), parameters, &ReadKey::new(secret()));
        computed += &format!("{}\n", text(&file));
        for share in &file.shares {
            for line in share.chunks(64) {
                computed += &format!("    {}\n", hex(line));
            }
            computed += "\n";
        }
    }
    computed
}

#[test]
fn small_shares_are_those_of_version_1_to_the_byte() {
    let computed = small_shares(Version::V1, |file| without_check(&file.cap));
    let golden = include_str!("../golden/native-1-shares.txt");
    assert!(
        computed.trim_end() == golden.trim_end(),
        "now it is\n{computed}"
    );
}

#[test]
fn small_shares_are_those_of_version_2_to_the_byte() {
    let computed = small_shares(Version::V2, |file| file.cap.to_string());
    let golden = include_str!("../golden/native-2-shares.txt");
    assert!(
        computed.trim_end() == golden.trim_end(),
        "now it is\n{computed}"
    );
}

// Both texts of a cap of version 1: the first, without a check, and the one that is printed.
#[test]
fn caps_print_with_their_check_and_read_with_and_without() {
    let mut computed = String::new();
    for file in files(Version::V1) {
        computed += &format!("{}\n{}\n", file.cap, file.cap.verify_cap());
    }
    let golden = include_str!("../golden/native-1-caps.txt");
    assert!(computed == golden, "now it is\n{computed}");

    let first = include_str!("../golden/native-1.txt");
    let first = first.lines().map(str::trim);
    let mut count = 0;
    for (first, checked) in first
        .filter(|line| line.starts_with("URI:"))
        .zip(golden.lines())
    {
        let cap: Cap = first.parse().unwrap();
        assert_eq!(checked.parse().as_ref(), Ok(&cap), "{first}");
        assert_eq!(cap.to_string(), checked);
        assert_eq!(reference::checked(first), checked);
        count += 1;
    }
    assert_eq!(count, golden.lines().count());
}

// A server that holds a share says that it is already here, whatever its version: then a share of one
// version would stand for one of the other.
#[test]
fn a_file_has_other_names_in_another_version() {
    for (first, second) in files(Version::V1).zip(files(Version::V2)) {
        assert_eq!(first.plaintext, second.plaintext);
        assert_ne!(first.cap.read_key(), second.cap.read_key());
        assert_ne!(first.cap.storage_index(), second.cap.storage_index());
        assert_ne!(first.cap.ueb_hash(), second.cap.ueb_hash());
        assert!(second.shares[0].len() < first.shares[0].len());
    }
}

#[test]
fn a_second_implementation_makes_the_same_shares() {
    let field = Field::new();
    for (version, number) in Version::ALL.into_iter().zip(1..) {
        for file in files(version) {
            let parameters = file.cap.parameters();
            let segment_size = usize::try_from(parameters.segment_size()).unwrap();
            let numbers = (parameters.needed(), parameters.total(), segment_size);
            let key = reference::convergent_key(number, &secret(), numbers, &file.plaintext);
            assert_eq!(&key, file.cap.read_key().as_bytes(), "{:?}", file.cap);
            let expected =
                reference::encode(number, &field, &key, numbers, &file.plaintext, Malice::None);
            let storage_index = file.cap.storage_index();
            assert_eq!(&expected.storage_index, storage_index.as_bytes());
            assert_eq!(&expected.ueb_hash, file.cap.ueb_hash().as_bytes());
            for (number, share) in file.shares.iter().enumerate() {
                let len = file.plaintext.len();
                let same = *share == expected.shares[number];
                assert!(
                    same,
                    "share {number} of {len} bytes at {numbers:?}, {version:?}"
                );
            }
        }
    }
}
