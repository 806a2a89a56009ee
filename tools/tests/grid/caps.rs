//! Wrong capabilities are errors, and parts of files are exactly those parts.

use lafs::cap::native::{ReadCap, ReadKey};
use lafs::cap::{Cap, UebHash};
use lafs::{Parameters, num};
use tools::download::Span;
use tools::home::Encoding;

use crate::fake::{Manner, grid, plaintext, run, servers};
use crate::{fetch, upload};

// Every character of a capability matters: changed, it does not parse, or does not bring back a file.
// Of one without a check, as they were first printed: a check finds all of them before any server is
// asked.
#[test]
fn a_capability_with_a_changed_character_is_an_error_and_never_another_file() {
    run(async {
        let servers = servers(3, Manner::Honest).await;
        let grid = grid(&servers);
        let encoding = Encoding::new(2, 3, 3).unwrap();
        let uploaded = upload(&grid, encoding, &plaintext(500)).await.unwrap();
        let printed = uploaded.cap.to_string();
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
