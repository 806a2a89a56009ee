//! Wrong capabilities are errors, and parts of files are exactly those parts.

use encoder::native::{ConvergentKey, Encoder, Version};
use lafs::cap::native::{ReadCap, ReadKey};
use lafs::cap::{Cap, UebHash};
use lafs::{ConvergenceSecret, Parameters, ShareNumber, num};
use tools::download::Span;
use tools::home::Encoding;

use crate::fake::{CONVERGENCE, FakeServer, Manner, grid, plaintext, run, servers};
use crate::{fetch, upload};

// Every character of a capability matters: changed, it does not parse, or does not bring back a file.
// Of one without a check, as they were first printed: a check finds all of them before any server is
// asked.
#[test]
fn a_capability_with_a_changed_character_is_an_error_and_never_another_file() {
    run(async {
        let servers = servers(3, Manner::Honest).await;
        let grid = grid(&servers);
        let cap = store_version_1(&servers, &plaintext(500));
        let printed = cap.to_string();
        let (_, fields) = printed["URI:TLN1:".len()..].split_once(':').unwrap();
        let text = format!("URI:TLN1:{fields}");
        for index in 0..text.len() {
            for replacement in ['a', 'z', '2', '7', '1', '9', ':', '\u{e9}'] {
                let mut changed: Vec<_> = text.chars().collect();
                changed[index] = replacement;
                let changed: String = changed.into_iter().collect();
                if changed == text {
                    continue;
                }
                if let Ok(cap) = changed.parse::<Cap>() {
                    let result = fetch(&grid, &cap, Span::Whole).await;
                    assert!(result.is_err(), "{changed} brought something back");
                }
            }
        }
    });
}

// What was stored before there was version 2 comes back, whole and in part, for ever.
#[test]
fn a_file_of_version_1_is_read() {
    run(async {
        let servers = servers(3, Manner::Honest).await;
        let grid = grid(&servers);
        for len in [1_usize, 1000, 700_000] {
            let bytes = plaintext(len);
            let cap = store_version_1(&servers, &bytes);
            assert!(cap.to_string().starts_with("URI:TLN1:"));
            assert!(fetch(&grid, &cap, Span::Whole).await.unwrap() == bytes);
            let end = fetch(&grid, &cap, Span::Last(1)).await.unwrap();
            assert_eq!(end, bytes[len - 1..]);
        }
    });
}

// A file that is there in version 1 is stored again in version 2: no server takes a share of one for a
// share of the other.
#[test]
fn a_file_that_is_there_in_version_1_is_uploaded_in_version_2() {
    run(async {
        let servers = servers(3, Manner::Honest).await;
        let grid = grid(&servers);
        let bytes = plaintext(1000);
        let old = store_version_1(&servers, &bytes);
        let encoding = Encoding::new(2, 3, 3).unwrap();
        let uploaded = upload(&grid, encoding, &bytes).await.unwrap();
        assert!(uploaded.cap.to_string().starts_with("URI:TLN2:"));
        for cap in [old, uploaded.cap] {
            assert!(fetch(&grid, &cap, Span::Whole).await.unwrap() == bytes);
        }
    });
}

/// Stores a file as programs did that knew version 1 only, 2 of 3; returns its capability.
fn store_version_1(servers: &[FakeServer], bytes: &[u8]) -> Cap {
    let parameters = Parameters::default_for(2, 3).unwrap();
    let secret = ConvergenceSecret::new(CONVERGENCE);
    let mut key = ConvergentKey::of_version(Version::V1, &secret, parameters);
    key.update(bytes);
    let mut encoder = Encoder::of_version(Version::V1, key.finish(), parameters);
    let numbers = || (0..3).map(ShareNumber::new);
    let mut shares = vec![Vec::new(); 3];
    let segment_len = usize::try_from(parameters.segment_size()).unwrap();
    for segment in bytes.chunks(segment_len) {
        let segment = encoder.encode(segment);
        for (share, number) in shares.iter_mut().zip(numbers()) {
            share.extend(segment.share(number).concat());
        }
    }
    let encoded = encoder.finish();
    for ((mut share, number), server) in shares.into_iter().zip(numbers()).zip(servers) {
        share.extend_from_slice(encoded.share(number));
        server.store(encoded.cap().storage_index(), number, share);
    }
    Cap::NativeRead(encoded.cap().clone())
}

#[test]
fn a_range_is_exactly_that_part_of_the_file() {
    run(async {
        let servers = servers(4, Manner::Honest).await;
        let grid = grid(&servers);
        let encoding = Encoding::new(2, 3, 4).unwrap();
        for len in [20_usize, 3000, 700_000] {
            let bytes = plaintext(len);
            let uploaded = upload(&grid, encoding, &bytes).await.unwrap();
            let end = len - 1;
            for text in [
                "0-0".to_owned(),
                format!("{end}-{end}"),
                format!("{}-{}", len / 3, len / 2),
                format!("{}-", len / 2),
                "-7".to_owned(),
                "5-99999999".to_owned(),
            ] {
                let span: Span = text.parse().unwrap();
                let range = span.within(num::size(len)).unwrap();
                let expected = &bytes[num::len(range.start).unwrap()..num::len(range.end).unwrap()];
                let fetched = fetch(&grid, &uploaded.cap, span).await.unwrap();
                assert!(fetched == expected, "{text} of {len}");
            }
            let beyond = Span::From(num::size(len));
            assert!(fetch(&grid, &uploaded.cap, beyond).await.is_err());
        }
    });
}

#[test]
fn a_verify_capability_does_not_read() {
    run(async {
        let servers = servers(3, Manner::Honest).await;
        let grid = grid(&servers);
        let encoding = Encoding::new(2, 3, 3).unwrap();
        let uploaded = upload(&grid, encoding, &plaintext(500)).await.unwrap();
        let Cap::NativeRead(cap) = uploaded.cap else {
            panic!("500 bytes are no literal");
        };
        let verify = Cap::NativeVerify(cap.verify_cap());
        assert!(fetch(&grid, &verify, Span::Whole).await.is_err());
    });
}

// The smallest segments have more hashes than blocks: such shares would be beyond what the protocol
// can ask for. A capability with these numbers, which anyone can write, ended the program.
#[test]
fn a_capability_of_a_file_that_no_server_can_hold_is_an_error() {
    run(async {
        let servers = servers(1, Manner::Honest).await;
        let grid = grid(&servers);
        for segment_size in [64, 128] {
            let parameters = Parameters::new(1, 256, segment_size).unwrap();
            let (key, hash) = (ReadKey::new([1; 32]), UebHash::new([2; 32]));
            let cap = ReadCap::new(key, hash, parameters, Parameters::FILE_SIZE_MAX).unwrap();
            let fetched = fetch(&grid, &Cap::NativeRead(cap), Span::Last(7)).await;
            assert!(fetched.is_err());
        }
    });
}
