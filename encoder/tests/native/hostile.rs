//! Shares that are not what they should be: each is named, and none is believed.

use encoder::Parameters;
use encoder::native::{
    BadShare, Damage, Geometry, Holder, Inconsistent, ReadAhead, ShareVerifier, UebError, Version,
};
use lafs::ShareNumber;
use lafs::cap::UebHash;
use lafs::cap::native::{ReadCap, ReadKey, VerifyCap};
use proptest::prelude::*;

use crate::grid::{Downloaded, Held, Manner, Uploaded, download, key, noise, number_of, upload_as};
use crate::reference::{self, Field, Malice};

const SMALL: ReadAhead = ReadAhead {
    window_size: 256,
    ahead_size: 512,
};

/// Seven segments, so that its trees have peaks of three heights.
fn file(version: Version) -> Uploaded {
    let parameters = Parameters::new(2, 4, 128).unwrap();
    upload_as(version, noise(6 * 128 + 77, 1), parameters, &key(1))
}

fn one_segment(version: Version) -> Uploaded {
    let parameters = Parameters::default_for(2, 4).unwrap();
    upload_as(version, noise(77, 1), parameters, &key(1))
}

/// Both, in all versions.
fn files() -> impl Iterator<Item = Uploaded> {
    Version::ALL
        .into_iter()
        .flat_map(|version| [file(version), one_segment(version)])
}

fn verify(cap: &VerifyCap, held: &Held) -> Result<(), Damage> {
    let mut verifier = ShareVerifier::new(cap, held.number)?;
    for piece in held.bytes.chunks(50) {
        verifier.update(piece)?;
    }
    verifier.finish()
}

/// As fsck: from what the share says at its end.
fn verify_without_cap(cap: &VerifyCap, held: &Held) -> Result<(), Damage> {
    let len = held.bytes.len();
    let ending = &held.bytes[len.saturating_sub(Geometry::ENDING_LEN)..];
    let geometry = Geometry::of_share(u64::try_from(len).unwrap(), ending)?;
    let mut verifier = ShareVerifier::without_cap(cap.storage_index(), held.number, geometry)?;
    verifier.update(&held.bytes)?;
    verifier.finish()
}

/// The file from servers of which only the last two are known to be good.
fn comes_back(file: &Uploaded, servers: &[Held]) -> Vec<BadShare> {
    let mut all_bad = None;
    for manner in [Manner::OpenAll, Manner::Offers] {
        let (downloaded, bad) = download(&file.cap, 0..u64::MAX, servers, manner, SMALL);
        assert_eq!(downloaded, Downloaded::Plaintext(file.plaintext.clone()));
        all_bad.get_or_insert(bad);
    }
    all_bad.unwrap()
}

// What a verifier passes, every reader can use; and nothing in a share goes unread by it.
#[test]
fn every_flipped_bit_of_every_share_is_found_by_a_verifier() {
    for file in files() {
        for good in file.held() {
            flip_every_bit(&file, &good);
        }
    }
}

fn flip_every_bit(file: &Uploaded, good: &Held) {
    let cap = file.cap.verify_cap();
    assert_eq!(verify(&cap, good), Ok(()));
    assert_eq!(verify_without_cap(&cap, good), Ok(()));
    let trailer = usize::try_from(Geometry::from(&cap).trailer().start).unwrap();
    let mut flipped = good.clone();
    for index in 0..good.bytes.len() {
        for bit in 0..8 {
            flipped.bytes[index] ^= 1 << bit;
            let with_cap = verify(&cap, &flipped);
            assert!(with_cap.is_err(), "byte {index} bit {bit}");
            if index < trailer {
                let located = !matches!(with_cap, Err(Damage::Ueb(_) | Damage::OtherFile));
                assert!(located, "byte {index} bit {bit}: {with_cap:?}");
            }
            let without_cap = verify_without_cap(&cap, &flipped);
            assert!(without_cap.is_err(), "byte {index} bit {bit}");
            flipped.bytes[index] ^= 1 << bit;
        }
    }
}

// Of a file of one segment a reader reads the whole share, and believes no bit of it.
#[test]
fn every_flipped_bit_of_a_small_share_is_found_by_a_reader_and_the_share_replaced() {
    for file in Version::ALL.map(one_segment) {
        for number in 0..4 {
            for index in 0..file.shares[0].len() {
                for bit in 0..8 {
                    let mut servers = file.held();
                    servers.rotate_left(number);
                    servers[0].bytes[index] ^= 1 << bit;
                    let bad = comes_back(&file, &servers[..3]);
                    assert_eq!(bad.len(), 1, "byte {index} bit {bit}");
                    assert_eq!(bad[0].holder, Holder(0));
                    assert_eq!(bad[0].share_number, number_of(number));
                }
            }
        }
    }
}

#[test]
fn every_flipped_bit_that_matters_is_found_by_a_reader_and_the_share_replaced() {
    for file in Version::ALL.map(file) {
        let servers = file.held();
        for index in 0..file.shares[0].len() {
            let mut servers = servers.clone();
            servers[0].bytes[index] ^= 1 << (index % 8);
            // A reader passes over stored nodes that it can compute.
            for bad in comes_back(&file, &servers[..3]) {
                assert_eq!(bad.holder, Holder(0));
                assert_eq!(bad.share_number, number_of(0));
            }
        }
    }
}

// Whatever the numbers are: a flipped bit is found in the share that has it, by whoever looks, and
// costs nothing as long as there is another share.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_flipped_bit_is_found_in_its_share_whatever_the_parameters(
        (total, needed) in prop_oneof![
            (1..=12_usize).prop_flat_map(|total| (Just(total), 1..=total)),
            (1..=256_usize).prop_flat_map(|total| (Just(total), 1..=total)),
        ],
        units in 1..=2_u32,
        // Whole segments and some bytes, of a segment.
        size in (0..=4_usize, prop_oneof![Just(0), Just(1), Just(63), 0..=256_usize * 64]),
        flips in proptest::collection::vec((any::<usize>(), any::<usize>(), 0..8_u8), 12),
        version in prop::sample::select(&Version::ALL),
        open in any::<bool>(),
    ) {
        let segment_size = units * 64 * u32::try_from(needed).unwrap();
        let parameters = Parameters::new(needed, total, segment_size).unwrap();
        let segment_len = usize::try_from(segment_size).unwrap();
        let len = size.0 * segment_len + size.1 % segment_len;
        let file = upload_as(version, noise(len, 1), parameters, &key(1));
        let cap = file.cap.verify_cap();
        for (number, place, bit) in flips {
            let number = number % total;
            let good = Held { number: number_of(number), bytes: file.shares[number].clone() };
            prop_assert_eq!(verify(&cap, &good), Ok(()));
            prop_assert_eq!(verify_without_cap(&cap, &good), Ok(()));
            let mut flipped = good;
            let place = place % flipped.bytes.len();
            flipped.bytes[place] ^= 1 << bit;
            prop_assert!(verify(&cap, &flipped).is_err());
            prop_assert!(verify_without_cap(&cap, &flipped).is_err());

            let mut servers = vec![flipped];
            servers.extend(file.held());
            let manner = if open { Manner::OpenAll } else { Manner::Offers };
            let (downloaded, bad) = download(&file.cap, 0..u64::MAX, &servers, manner, SMALL);
            prop_assert_eq!(downloaded, Downloaded::Plaintext(file.plaintext.clone()));
            let named = |bad: &BadShare| {
                bad.holder == Holder(0) && bad.share_number == number_of(number)
            };
            prop_assert!(bad.iter().all(named), "{bad:?}");
            if open && 0 < len && len <= segment_len {
                prop_assert_eq!(bad.len(), 1);
            }
        }
    }
}

#[test]
fn every_truncation_is_found_and_the_share_replaced() {
    for file in files() {
        let cap = file.cap.verify_cap();
        let expected = Geometry::from(&cap).share_size();
        for len in 0..file.shares[1].len() {
            let mut servers = file.held();
            servers[1].bytes.truncate(len);
            let found = u64::try_from(len).unwrap();
            assert_eq!(
                verify(&cap, &servers[1]),
                Err(Damage::Size { expected, found })
            );
            assert!(verify_without_cap(&cap, &servers[1]).is_err());
            let bad = comes_back(&file, &servers[..3]);
            assert_eq!(bad.len(), 1, "{len} bytes: {bad:?}");
            assert!(matches!(bad[0].damage, Damage::Size { .. }), "{bad:?}");
        }
        let mut long = file.held().remove(1);
        long.bytes.push(0);
        let found = expected + 1;
        assert_eq!(verify(&cap, &long), Err(Damage::Size { expected, found }));
    }
}

#[test]
fn swapped_shares_and_wrong_numbers_are_named_as_what_they_are() {
    files().for_each(|file| swap_shares_of(&file));
}

fn swap_shares_of(file: &Uploaded) {
    let mut servers = file.held();
    let (left, right) = servers.split_at_mut(1);
    std::mem::swap(&mut left[0].bytes, &mut right[0].bytes);
    let cap = file.cap.verify_cap();
    for (holder, actual) in [(0, 1), (1, 0)] {
        let damage = Damage::OtherNumber {
            actual: number_of(actual),
        };
        assert_eq!(verify(&cap, &servers[holder]), Err(damage));
        assert_eq!(verify_without_cap(&cap, &servers[holder]), Err(damage));
    }
    let bad = comes_back(file, &servers);
    let expected = |holder, actual| BadShare {
        holder: Holder(holder),
        share_number: number_of(usize::try_from(holder).unwrap()),
        damage: Damage::OtherNumber {
            actual: number_of(actual),
        },
    };
    assert_eq!(bad, [expected(0, 1), expected(1, 0)]);

    let absent = Held {
        number: ShareNumber::new(4),
        bytes: file.shares[0].clone(),
    };
    assert_eq!(verify(&cap, &absent), Err(Damage::NoSuchShare { total: 4 }));
    servers = file.held();
    servers[0] = absent;
    let bad = comes_back(file, &servers);
    assert_eq!(bad[0].damage, Damage::NoSuchShare { total: 4 });
}

// The storage index is in no share, but every share is bound to its own.
#[test]
fn a_share_in_another_files_bucket_is_found_even_without_a_cap() {
    for file in files() {
        let (version, parameters) = (file.cap.version(), file.cap.parameters());
        let other = upload_as(version, file.plaintext.clone(), parameters, &key(2));
        let cap = file.cap.verify_cap();
        let stray = other.held().remove(0);
        assert_eq!(verify(&cap, &stray), Err(Damage::OtherFile));
        assert_eq!(verify_without_cap(&cap, &stray), Err(Damage::ShareRoot));
        let mut servers = file.held();
        servers[0] = stray;
        let bad = comes_back(&file, &servers);
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0].damage, Damage::OtherFile);
    }
}

// Two versions of one file under one key have one bucket, which writers do not make. Nobody takes a
// share of one for a share of the other all the same, and each is good for what it is.
#[test]
fn a_share_of_another_version_is_damaged_for_a_cap_and_whole_by_itself() {
    for [first, second] in [Version::ALL.map(file), Version::ALL.map(one_segment)] {
        for (file, other) in [(&first, &second), (&second, &first)] {
            let cap = file.cap.verify_cap();
            let stray = other.held().remove(0);
            assert!(verify(&cap, &stray).is_err());
            assert_eq!(verify_without_cap(&cap, &stray), Ok(()));
            let mut servers = file.held();
            servers[0] = stray;
            let bad = comes_back(file, &servers);
            assert_eq!(bad.len(), 1);
            assert_eq!(bad[0].holder, Holder(0));
        }
    }
}

// The mark of version 2 is short, and its file may hold anything at the place where shares of version
// 1 have theirs. The size decides.
#[test]
fn an_end_that_could_be_of_two_versions_is_of_the_one_that_fits() {
    let old = file(Version::V1).shares.remove(0);
    let ueb = &old[old.len() - 114..];
    let second = one_segment(Version::V2);
    let geometry = Geometry::from(&second.cap);
    let trailer_len = geometry.trailer_len();
    let mut ending = ueb.to_vec();
    ending[114 - 7..].copy_from_slice(&second.shares[0][second.shares[0].len() - 7..]);
    let of_size = |size| Geometry::of_share(size, &ending).unwrap();
    assert!(trailer_len < 114);
    assert_eq!(of_size(geometry.share_size()), geometry);
    let size = u64::try_from(old.len()).unwrap();
    assert_eq!(of_size(size).version(), Version::V1);
    assert_eq!(of_size(size).file_size(), 6 * 128 + 77);
}

#[test]
fn an_end_of_no_known_version_is_said_to_be_one() {
    for ending in [&b""[..], b"\x1f", b"\0\0\0\0\x30", &[0xff; 200]] {
        let size = u64::try_from(ending.len()).unwrap();
        assert_eq!(Geometry::of_share(size, ending), Err(UebError::Magic));
    }
    let mut share = one_segment(Version::CURRENT).held().remove(0);
    *share.bytes.last_mut().unwrap() = 0x31;
    let cap = one_segment(Version::CURRENT).cap.verify_cap();
    assert_eq!(verify(&cap, &share), Err(UebError::Magic.into()));
    let error = verify_without_cap(&cap, &share).unwrap_err();
    let text = "does not end like a share of the native format, version 1 or 2";
    assert_eq!(error.to_string(), text);
}

// "With k good shares left the file comes back", whatever else the servers do.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn two_good_shares_of_many_bad_ones_are_enough(
        harm in proptest::collection::vec((0..6_u8, any::<u16>(), any::<u8>()), 1..12),
        good in any::<[u8; 2]>(),
        open in any::<bool>(),
        which in 0..4_usize,
    ) {
        let file = files().nth(which).unwrap();
        let mut servers: Vec<Held> = harm
            .iter()
            .map(|(kind, place, number)| {
                let number = usize::from(*number) % 4;
                let mut bytes = file.shares[number].clone();
                let place = usize::from(*place) % bytes.len();
                match kind {
                    0 => bytes[place] ^= 0x40,
                    1 => bytes.truncate(place),
                    2 => bytes = file.shares[(number + 1) % 4].clone(),
                    3 => bytes[place..].fill(0),
                    4 => bytes.clear(),
                    _ => bytes = noise(bytes.len(), 3),
                }
                Held { number: number_of(number), bytes }
            })
            .collect();
        let first = usize::from(good[0]) % 4;
        let second = (first + 1 + usize::from(good[1]) % 3) % 4;
        for number in [first, second] {
            servers.push(file.held().remove(number));
        }
        let manner = if open { Manner::OpenAll } else { Manner::Offers };
        let (downloaded, bad) = download(&file.cap, 0..u64::MAX, &servers, manner, SMALL);
        prop_assert_eq!(downloaded, Downloaded::Plaintext(file.plaintext));
        let harmed = u64::try_from(harm.len()).unwrap();
        prop_assert!(bad.iter().all(|bad| bad.holder < Holder(harmed)), "{:?}", bad);
    }
}

#[test]
fn too_few_good_shares_are_said_to_be_too_few() {
    Version::ALL.map(file).iter().for_each(find_too_few_of);
}

fn find_too_few_of(file: &Uploaded) {
    let mut servers = file.held();
    for held in &mut servers[1..] {
        held.bytes[0] ^= 1;
    }
    for manner in [Manner::OpenAll, Manner::Offers] {
        let (downloaded, bad) = download(&file.cap, 0..u64::MAX, &servers, manner, SMALL);
        assert_eq!(downloaded, Downloaded::Short(1));
        assert_eq!(bad.len(), 3);
        assert!(
            bad.iter()
                .all(|bad| bad.damage == Damage::Block { segment: 0 })
        );
    }
}

// A cap that was copied wrongly must fail, not give other bytes: it names another file, or none.
#[test]
fn a_flipped_bit_in_a_cap_gives_no_other_file() {
    for file in Version::ALL.map(one_segment) {
        let (key, hash) = (
            *file.cap.read_key().as_bytes(),
            *file.cap.ueb_hash().as_bytes(),
        );
        let mut caps = Vec::new();
        let mut add = |version, key: [u8; 32], hash: [u8; 32], parameters, size| {
            let (key, hash) = (ReadKey::new(key), UebHash::new(hash));
            caps.extend(ReadCap::of_version(version, key, hash, parameters, size));
        };
        let parameters = file.cap.parameters();
        let (version, size) = (file.cap.version(), file.cap.size());
        for bit in 0..256 {
            let mut flipped = (key, hash);
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            flipped.1[bit / 8] ^= 1 << (bit % 8);
            add(version, flipped.0, hash, parameters, size);
            add(version, key, flipped.1, parameters, size);
        }
        let unit = parameters.segment_size() / 2;
        for (needed, total, segment_size) in [
            (1, 4, unit),
            (1, 4, 2 * unit),
            (2, 3, 2 * unit),
            (2, 5, 2 * unit),
            (2, 6, 2 * unit),
            (2, 4, unit),
            (2, 4, 4 * unit),
            (3, 4, 3 * unit),
        ] {
            let other = Parameters::new(needed, total, segment_size).unwrap();
            add(version, key, hash, other, size);
        }
        for bit in 0..64 {
            add(version, key, hash, parameters, size ^ 1 << bit);
        }
        let other = Version::ALL.into_iter().find(|other| *other != version);
        add(other.unwrap(), key, hash, parameters, size);
        assert!(caps.len() > 512 + 8 + 60);
        for cap in caps {
            assert_ne!(cap, file.cap);
            let servers = file.held();
            let (downloaded, _) = download(&cap, 0..u64::MAX, &servers, Manner::OpenAll, SMALL);
            let nothing_wanted = cap.size() == 0;
            assert!(
                matches!(downloaded, Downloaded::Short(_)) || nothing_wanted,
                "{cap}: {downloaded:?}"
            );
        }
    }
}

// The UEB's hash is right, and yet the numbers of the cap are not those of the file.
#[test]
fn a_cap_with_other_parameters_than_the_file_is_refused_with_that_reason() {
    for file in Version::ALL.map(one_segment) {
        let parameters = Parameters::default_for(1, 4).unwrap();
        let same_layout = Parameters::new(2, 3, file.cap.parameters().segment_size()).unwrap();
        for parameters in [parameters, same_layout] {
            let cap = ReadCap::of_version(
                file.cap.version(),
                file.cap.read_key().clone(),
                *file.cap.ueb_hash(),
                parameters,
                file.cap.size(),
            )
            .unwrap();
            let held = file.held().remove(0);
            let reason = verify(&cap.verify_cap(), &held);
            if parameters == same_layout {
                assert_eq!(reason, Err(Damage::Parameters));
            } else {
                assert!(reason.is_err());
            }
        }
    }
}

// What is wrong is said as exactly as one share allows.
#[test]
fn each_damage_is_named_for_what_it_is() {
    let cap = file(Version::V1).cap.verify_cap();
    let geometry = Geometry::from(&cap);
    let ueb = geometry.share_size() - 114;
    let of_version_1 = [
        (ueb, Damage::Ueb(UebError::Magic)),
        (
            ueb + 10,
            Damage::Ueb(UebError::FileSize((0x80 << 56) + cap.size())),
        ),
        (ueb + 113, Damage::OtherFile),
    ];
    let geometry = Geometry::from(&file(Version::V2).cap);
    let chain_end = geometry.trailer().start + 2 * 16;
    let end = geometry.share_size();
    let of_version_2 = [
        (chain_end, Damage::Content { segment: 6 }),
        (chain_end + 32, Damage::OtherFile),
        // The description: k, n, the block size, the file size, the mark.
        (chain_end + 40, parameters_error(130, 4, 130 * 64)),
        (chain_end + 41, Damage::Parameters),
        (chain_end + 42, parameters_error(2, 4, 2 * 64 * 0x8001)),
        (end - 3, Damage::Parameters),
        (end - 1, Damage::Ueb(UebError::Magic)),
    ];
    find_named_damage(&file(Version::V1), &of_version_1);
    find_named_damage(&file(Version::V2), &of_version_2);
}

fn parameters_error(needed: usize, total: usize, segment_size: u32) -> Damage {
    let error = Parameters::new(needed, total, segment_size).unwrap_err();
    Damage::Ueb(UebError::Parameters(error))
}

fn find_named_damage(file: &Uploaded, of_version: &[(u64, Damage)]) {
    let cap = file.cap.verify_cap();
    let geometry = Geometry::from(&cap);
    let leaf = geometry.block(2).end;
    let of_any = [
        (geometry.block(2).start + 5, Damage::Block { segment: 2 }),
        (leaf, Damage::Block { segment: 2 }),
        (leaf + 16, Damage::Crypttext { segment: 3 }),
        (leaf + 48, Damage::Plaintext { segment: 3 }),
        (geometry.trailer().start, Damage::ShareRoot),
    ];
    for (offset, damage) in of_any.iter().chain(of_version) {
        let mut servers = file.held();
        servers[0].bytes[usize::try_from(*offset).unwrap()] ^= 0x80;
        assert_eq!(verify(&cap, &servers[0]), Err(*damage), "offset {offset}");
        // A reader is told by the nodes that it needs, of the window that it asks for. At the root,
        // version 2 has one hash of both contents.
        let bad = comes_back(file, &servers);
        assert_eq!(bad.len(), 1, "offset {offset}");
        let of_content = |damage: &Damage| {
            cap.version() == Version::V2
                && matches!(damage, Damage::Crypttext { .. } | Damage::Plaintext { .. })
        };
        let found = bad[0].damage;
        let same = std::mem::discriminant(&found) == std::mem::discriminant(damage);
        let joined = matches!(found, Damage::Content { .. }) && of_content(damage);
        assert!(same || joined, "offset {offset}: {found:?}");
    }
}

// Every share is whole and in its place; only together they are no file. Readers who happen to use
// different shares must not get different files.
#[test]
fn a_malicious_uploader_gets_no_two_files_out_of_one_cap() {
    let crypttext = |segment| Inconsistent::Crypttext { segment };
    let padding = |segment| Inconsistent::Padding { segment };
    let plaintext = |segment| Inconsistent::Plaintext { segment };
    let content = |segment| Inconsistent::Content { segment };
    // Of one segment, version 2 has one hash of both.
    for (version, len, joined) in [
        (1, 3 * 128 + 77, false),
        (2, 3 * 128 + 77, false),
        (1, 77, false),
        (2, 77, true),
    ] {
        let last = u64::try_from(len / 128).unwrap();
        let wrong_crypttext = if joined { content(0) } else { crypttext(0) };
        let wrong_plaintext = if joined { content(0) } else { plaintext(0) };
        for (malice, first, expected) in [
            (Malice::None, 2, None),
            (Malice::Secondary, 0, None),
            (Malice::Secondary, 2, Some(wrong_crypttext)),
            (Malice::Padding, 0, Some(padding(last))),
            (Malice::Plaintext, 0, Some(wrong_plaintext)),
        ] {
            read_from_malicious(version, len, malice, first, expected);
        }
    }
}

fn read_from_malicious(
    number: reference::Version,
    len: usize,
    malice: Malice,
    first: usize,
    expected: Option<Inconsistent>,
) {
    let version = Version::ALL[usize::from(number) - 1];
    let (read_key, numbers) = ([9; 32], (2, 4, 128));
    let plaintext = noise(len, 1);
    let parameters = Parameters::new(2, 4, 128).unwrap();
    let field = Field::new();
    let made = reference::encode(number, &field, &read_key, numbers, &plaintext, malice);
    let size = u64::try_from(plaintext.len()).unwrap();
    let (key, hash) = (ReadKey::new(read_key), UebHash::new(made.ueb_hash));
    let cap = ReadCap::of_version(version, key, hash, parameters, size).unwrap();
    let servers: Vec<Held> = made.shares[first..first + 2]
        .iter()
        .zip(first..)
        .map(|(share, number)| Held {
            number: number_of(number),
            bytes: share.clone(),
        })
        .collect();
    for held in &servers {
        assert_eq!(verify(&cap.verify_cap(), held), Ok(()));
        assert_eq!(verify_without_cap(&cap.verify_cap(), held), Ok(()));
    }
    let (downloaded, bad) = download(&cap, 0..size, &servers, Manner::OpenAll, SMALL);
    assert_eq!(bad, []);
    match expected {
        None => assert_eq!(downloaded, Downloaded::Plaintext(plaintext)),
        Some(inconsistent) => assert_eq!(downloaded, Downloaded::Inconsistent(inconsistent)),
    }
}

#[test]
fn bytes_that_were_not_asked_for_are_refused() {
    let file = file(Version::CURRENT);
    let range = 0..file.cap.size();
    for (offset, bytes) in [(1, &[0; 4][..]), (u64::MAX, &[0]), (0, &[0; 2000])] {
        let mut decoder = encoder::native::Decoder::new(&file.cap, range.clone(), SMALL);
        let request = decoder.answer(Holder(1), number_of(1)).unwrap();
        decoder.receive(request, offset, bytes);
        let bad = decoder.next_bad_share().unwrap();
        assert_eq!(bad.damage, Damage::Unasked { offset });
        assert_eq!(decoder.next_bad_share(), None);
        assert_eq!(
            decoder.answer(Holder(1), number_of(1)),
            None,
            "it is bad for good"
        );
    }
}
