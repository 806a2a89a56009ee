//! Shares that are not what they should be: each is named, and none is believed.

use encoder::Parameters;
use encoder::native::{
    BadShare, Damage, Geometry, Holder, Inconsistent, ReadAhead, ShareVerifier, Ueb, UebError,
};
use lafs::ShareNumber;
use lafs::cap::native::{ReadCap, ReadKey, VerifyCap};
use lafs::cap::{Cap, UebHash};
use proptest::prelude::*;

use crate::grid::{Downloaded, Held, Manner, Uploaded, download, key, noise, number_of, upload};
use crate::reference::{self, Field, Malice};

const SMALL: ReadAhead = ReadAhead {
    window_size: 256,
    ahead_size: 512,
};

/// Seven segments, so that its trees have peaks of three heights.
fn file() -> Uploaded {
    let parameters = Parameters::new(2, 4, 128).unwrap();
    upload(noise(6 * 128 + 77, 1), parameters, &key(1))
}

fn one_segment() -> Uploaded {
    let parameters = Parameters::default_for(2, 4).unwrap();
    upload(noise(77, 1), parameters, &key(1))
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
    let Some(end) = held.bytes.last_chunk() else {
        return Err(Damage::Ueb(UebError::Magic));
    };
    let ueb = Ueb::parse(end)?;
    let mut verifier = ShareVerifier::without_cap(cap.storage_index(), held.number, &ueb)?;
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
fn every_flipped_bit_of_a_share_is_found_by_a_verifier() {
    for file in [file(), one_segment()] {
        let cap = file.cap.verify_cap();
        let good = Held {
            number: number_of(3),
            bytes: file.shares[3].clone(),
        };
        assert_eq!(verify(&cap, &good), Ok(()));
        assert_eq!(verify_without_cap(&cap, &good), Ok(()));
        let trailer = usize::try_from(Geometry::from(&cap).trailer().start).unwrap();
        for index in 0..good.bytes.len() {
            for bit in 0..8 {
                let mut flipped = good.clone();
                flipped.bytes[index] ^= 1 << bit;
                let with_cap = verify(&cap, &flipped);
                assert!(with_cap.is_err(), "byte {index} bit {bit}");
                if index < trailer {
                    let located = !matches!(with_cap, Err(Damage::Ueb(_) | Damage::OtherFile));
                    assert!(located, "byte {index} bit {bit}: {with_cap:?}");
                }
                let without_cap = verify_without_cap(&cap, &flipped);
                assert!(without_cap.is_err(), "byte {index} bit {bit}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_that_matters_is_found_by_a_reader_and_the_share_replaced() {
    for file in [file(), one_segment()] {
        let servers = file.held();
        for index in 0..file.shares[0].len() {
            let mut servers = servers.clone();
            servers[0].bytes[index] ^= 1 << (index % 8);
            let bad = comes_back(&file, &servers[..3]);
            // A reader passes over stored nodes that it can compute.
            if verify(&file.cap.verify_cap(), &servers[0]).is_err() && !bad.is_empty() {
                assert_eq!(bad.len(), 1);
                assert_eq!(bad[0].holder, Holder(0));
                assert_eq!(bad[0].share_number, number_of(0));
            }
        }
    }
}

#[test]
fn every_truncation_is_found_and_the_share_replaced() {
    for file in [file(), one_segment()] {
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
    let file = file();
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
    let bad = comes_back(&file, &servers);
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
    let bad = comes_back(&file, &servers);
    assert_eq!(bad[0].damage, Damage::NoSuchShare { total: 4 });
}

// The storage index is in no share, but every share is bound to its own.
#[test]
fn a_share_in_another_files_bucket_is_found_even_without_a_cap() {
    let (file, parameters) = (file(), file().cap.parameters());
    let other = upload(file.plaintext.clone(), parameters, &key(2));
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

// "With k good shares left the file comes back", whatever else the servers do.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn two_good_shares_of_many_bad_ones_are_enough(
        harm in proptest::collection::vec((0..6_u8, any::<u16>(), any::<u8>()), 1..12),
        good in any::<[u8; 2]>(),
        open in any::<bool>(),
    ) {
        let file = file();
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
    let file = file();
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

// A cap that was copied wrongly must fail, not give other bytes.
#[test]
fn a_flipped_bit_in_a_cap_gives_no_other_file() {
    let file = one_segment();
    let text = file.cap.to_string().into_bytes();
    for index in 0..text.len() {
        for bit in 0..7 {
            let mut flipped = text.clone();
            flipped[index] ^= 1 << bit;
            let flipped = String::from_utf8(flipped).unwrap();
            let Ok(Cap::NativeRead(cap)) = flipped.parse() else {
                continue;
            };
            assert_ne!(cap, file.cap);
            let servers = file.held();
            let (downloaded, _) = download(&cap, 0..u64::MAX, &servers, Manner::OpenAll, SMALL);
            let nothing_wanted = cap.size() == 0;
            assert!(
                matches!(downloaded, Downloaded::Short(_)) || nothing_wanted,
                "{flipped}: {downloaded:?}"
            );
        }
    }
}

// The UEB's hash is right, and yet the numbers of the cap are not those of the file.
#[test]
fn a_cap_with_other_parameters_than_the_file_is_refused_with_that_reason() {
    let file = one_segment();
    let parameters = Parameters::default_for(1, 4).unwrap();
    let same_layout = Parameters::new(2, 3, file.cap.parameters().segment_size()).unwrap();
    for parameters in [parameters, same_layout] {
        let cap = ReadCap::new(
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

// What is wrong is said as exactly as one share allows.
#[test]
fn each_damage_is_named_for_what_it_is() {
    let file = file();
    let cap = file.cap.verify_cap();
    let geometry = Geometry::from(&cap);
    let leaf = geometry.block(2).end;
    let ueb = geometry.share_size() - 114;
    for (offset, damage) in [
        (geometry.block(2).start + 5, Damage::Block { segment: 2 }),
        (leaf, Damage::Block { segment: 2 }),
        (leaf + 16, Damage::Crypttext { segment: 3 }),
        (leaf + 48, Damage::Plaintext { segment: 3 }),
        (geometry.trailer().start, Damage::ShareRoot),
        (ueb, Damage::Ueb(UebError::Magic)),
        (
            ueb + 10,
            Damage::Ueb(UebError::FileSize((0x80 << 56) + cap.size())),
        ),
        (ueb + 113, Damage::OtherFile),
    ] {
        let mut servers = file.held();
        servers[0].bytes[usize::try_from(offset).unwrap()] ^= 0x80;
        assert_eq!(verify(&cap, &servers[0]), Err(damage), "offset {offset}");
        // A reader is told by the nodes that it needs, of the window that it asks for.
        let bad = comes_back(&file, &servers);
        assert_eq!(bad.len(), 1, "offset {offset}");
        let same = std::mem::discriminant(&bad[0].damage) == std::mem::discriminant(&damage);
        assert!(same, "offset {offset}: {:?}", bad[0].damage);
    }
}

// Every share is whole and in its place; only together they are no file. Readers who happen to use
// different shares must not get different files.
#[test]
fn a_malicious_uploader_gets_no_two_files_out_of_one_cap() {
    let field = Field::new();
    let (read_key, numbers) = ([9; 32], (2, 4, 128));
    let plaintext = noise(3 * 128 + 77, 1);
    let parameters = Parameters::new(2, 4, 128).unwrap();
    for (malice, first, expected) in [
        (Malice::None, 2, None),
        (Malice::Secondary, 0, None),
        (
            Malice::Secondary,
            2,
            Some(Inconsistent::Crypttext { segment: 0 }),
        ),
        (
            Malice::Padding,
            0,
            Some(Inconsistent::Padding { segment: 3 }),
        ),
        (
            Malice::Plaintext,
            0,
            Some(Inconsistent::Plaintext { segment: 0 }),
        ),
    ] {
        let made = reference::encode(&field, &read_key, numbers, &plaintext, malice);
        let size = u64::try_from(plaintext.len()).unwrap();
        let hash = UebHash::new(made.ueb_hash);
        let cap = ReadCap::new(ReadKey::new(read_key), hash, parameters, size).unwrap();
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
        }
        let (downloaded, bad) = download(&cap, 0..size, &servers, Manner::OpenAll, SMALL);
        assert_eq!(bad, []);
        match expected {
            None => assert_eq!(downloaded, Downloaded::Plaintext(plaintext.clone())),
            Some(inconsistent) => assert_eq!(downloaded, Downloaded::Inconsistent(inconsistent)),
        }
    }
}

#[test]
fn bytes_that_were_not_asked_for_are_refused() {
    let file = file();
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
