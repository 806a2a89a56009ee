use proptest::prelude::*;

use super::*;
use crate::fuzz;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    data_encoding::HEXLOWER
        .decode(digits.as_bytes())
        .expect("hexadecimal")
}

fn numbers(numbers: impl IntoIterator<Item = u8>) -> Vec<ShareNumber> {
    numbers.into_iter().map(ShareNumber::new).collect()
}

fn allocate(body: &str) -> Result<AllocateRequest, Rejection> {
    AllocateRequest::decode(&hex(body))
}

/// The two keys of an allocate.
const SHARE_NUMBERS: &str = "6d 73686172652d6e756d62657273";
const ALLOCATED_SIZE: &str = "6e 616c6c6f63617465642d73697a65";

/// An allocate that asks for this set, and this size.
fn allocate_of(set: &str, size: &str) -> String {
    format!("a2 {SHARE_NUMBERS} {set} {ALLOCATED_SIZE} {size}")
}

// The bytes of the reference, sections 1.5 to 1.12.
#[test]
fn messages_are_written_as_tahoe_writes_them() {
    let version = VersionAnswer::new(76_654_020_096, "tahoe-lafs/1.20.0");
    let bytes = hex(
        "a2582f 687474703a2f2f616c6c6d79646174612e6f72672f7461686f652f70726f746f636f6c732f
         73746f726167652f7631
         a3581c 6d6178696d756d2d696d6d757461626c652d73686172652d73697a65 1b00000011d8ef8600
         581a 6d6178696d756d2d6d757461626c652d73686172652d73697a65 1b00f582a1a1341000
         4f 617661696c61626c652d7370616365 1b00000011d8ef8600
         53 6170706c69636174696f6e2d76657273696f6e 51 7461686f652d6c6166732f312e32302e30",
    );
    assert_eq!(version.encode(), bytes);
    assert_eq!(VersionAnswer::decode(&bytes), Ok(version));

    let request = AllocateRequest {
        share_numbers: numbers([0, 1]),
        allocated_size: 48,
    };
    let bytes = hex(&allocate_of("d90102 820001", "1830"));
    assert_eq!(request.encode(), bytes);
    assert_eq!(AllocateRequest::decode(&bytes), Ok(request));

    let answer = AllocateAnswer {
        already_have: Vec::new(),
        allocated: numbers([0, 1]),
    };
    let bytes = hex("a26c 616c72656164792d68617665 d90102 80 69 616c6c6f6361746564 d90102 820001");
    assert_eq!(answer.encode(), bytes);
    assert_eq!(AllocateAnswer::decode(&bytes), Ok(answer));

    let answer = RequiredAnswer {
        required: vec![(0, 16), (32, 48)],
    };
    let bytes =
        hex("a168 7265717569726564 82 a265626567696e00 63656e6410 a265626567696e1820 63656e641830");
    assert_eq!(answer.encode(), bytes);
    assert_eq!(RequiredAnswer::decode(&bytes), Ok(answer));
    assert_eq!(
        RequiredAnswer::default().encode(),
        hex("a168 7265717569726564 80")
    );

    let answer = SharesAnswer {
        share_numbers: numbers([0, 3, 5]),
    };
    assert_eq!(answer.encode(), hex("d9 0102 83 00 03 05"));
    assert_eq!(SharesAnswer::default().encode(), hex("d9 0102 80"));

    let advisory = Advisory::new("block 3 fails its hash check".to_owned()).unwrap();
    let bytes =
        hex("a1 66 726561736f6e 78 1c 626c6f636b2033206661696c7320697473206861736820636865636b");
    assert_eq!(advisory.encode(), bytes);
    assert_eq!(Advisory::decode(&bytes), Ok(advisory));
}

#[test]
fn spellings_that_tahoe_takes_mean_the_same() {
    let expected = Ok(AllocateRequest {
        share_numbers: numbers([0, 1]),
        allocated_size: 10,
    });
    for body in [
        allocate_of("d90102 82 00 01", "0a"),
        // Any order, repetitions, a set under a longer tag, anything behind the message.
        format!("a2 {ALLOCATED_SIZE} 0a {SHARE_NUMBERS} d90102 82 00 01"),
        allocate_of("d90102 85 01 00 01 00 00", "0a"),
        allocate_of("da00000102 82 00 01", "0a"),
        allocate_of("d90102 82 00 01", "0a ff 00 1b"),
        // Integers and lengths in more bytes than they need.
        allocate_of("d90102 98 02 1800 190001", "1b 000000000000000a"),
        allocate_of("d90102 9b 0000000000000002 00 01", "1a 0000000a"),
        // No lengths.
        allocate_of("d90102 9f 00 01 ff", "0a"),
        format!("bf {SHARE_NUMBERS} d90102 9f 00 01 ff {ALLOCATED_SIZE} 0a ff"),
        format!(
            "a2 7f 65 7368617265 60 68 2d6e756d62657273 ff d90102 82 00 01 {ALLOCATED_SIZE} 0a"
        ),
    ] {
        assert_eq!(allocate(&body), expected, "{body}");
    }
}

#[test]
fn each_rule_of_an_allocate_is_kept() {
    let set = "d90102 81 00";
    let members = |count: usize| format!("d90102 99 {count:04x} {}", "00".repeat(count));
    let unending = |count: usize| format!("d90102 9f {} ff", "00".repeat(count));
    assert!(allocate(&allocate_of("d90102 80", "1b ffffffffffffffff")).is_ok());
    assert!(allocate(&allocate_of(&members(256), "01")).is_ok());
    assert!(allocate(&allocate_of(&unending(256), "01")).is_ok());
    for (body, malformed) in [
        (String::new(), Malformed::Truncated),
        ("f6 00".into(), Malformed::Type),
        ("80".into(), Malformed::Type),
        ("a0".into(), Malformed::MissingKey),
        (format!("a1 {SHARE_NUMBERS} {set}"), Malformed::MissingKey),
        (format!("a1 {ALLOCATED_SIZE} 01"), Malformed::MissingKey),
        (format!("bf {ALLOCATED_SIZE} 01 ff"), Malformed::MissingKey),
        (
            format!("a3 {SHARE_NUMBERS} {set} {ALLOCATED_SIZE} 01 61 78 01"),
            Malformed::UnknownKey,
        ),
        (
            format!("a3 {SHARE_NUMBERS} {set} {ALLOCATED_SIZE} 01 {ALLOCATED_SIZE} 01"),
            Malformed::RepeatedKey,
        ),
        // Keys of bytes; a key that is a number.
        (
            format!("a2 4d {} {set} {ALLOCATED_SIZE} 01", &SHARE_NUMBERS[2..]),
            Malformed::Type,
        ),
        ("a2 00 00 01 00".into(), Malformed::Type),
        (allocate_of("81 00", "01"), Malformed::Type),
        (allocate_of("d90103 81 00", "01"), Malformed::Type),
        (allocate_of("d90102 d90102 81 00", "01"), Malformed::Type),
        (allocate_of("d90102 a1 00 00", "01"), Malformed::Type),
        (allocate_of("d90102 41 00", "01"), Malformed::Type),
        (allocate_of("d90102 81 20", "01"), Malformed::Type),
        (allocate_of("d90102 81 f6", "01"), Malformed::Type),
        (
            allocate_of("d90102 81 190100", "01"),
            Malformed::ShareNumber,
        ),
        (
            allocate_of("d90102 81 1b ffffffffffffffff", "01"),
            Malformed::ShareNumber,
        ),
        (allocate_of(&members(257), "01"), Malformed::Shares),
        (allocate_of(&unending(257), "01"), Malformed::Shares),
        (
            allocate_of("d90102 9b ffffffffffffffff 00", "01"),
            Malformed::Shares,
        ),
        (allocate_of(set, "00"), Malformed::EmptyShare),
        (allocate_of(set, "20"), Malformed::Type),
        (allocate_of(set, "f94900"), Malformed::Type),
        (allocate_of(set, "fb4024000000000000"), Malformed::Type),
        (
            allocate_of(set, "c2 49 010000000000000000"),
            Malformed::Type,
        ),
        (allocate_of(set, "61 31"), Malformed::Type),
        (allocate_of(set, "f6"), Malformed::Type),
        (allocate_of(set, "ff"), Malformed::Type),
        (allocate_of(set, "1c"), Malformed::Type),
    ] {
        assert_eq!(allocate(&body), Err(malformed.into()), "{body}");
        assert_eq!(malformed.status(), 400);
    }
}

#[test]
fn a_body_may_be_as_long_as_its_bound() {
    let mut body = hex(&allocate_of("d90102 81 00", "01"));
    body.resize(ALLOCATE_LEN_MAX, 0);
    assert!(AllocateRequest::decode(&body).is_ok());
    body.push(0);
    let rejection = AllocateRequest::decode(&body).unwrap_err();
    assert_eq!(
        (rejection.status(), rejection),
        (413, Rejection::BodyTooLong { size_max: 8192 })
    );

    // The longest reason that fits into the longest body: 3 + 6 + 2 bytes are the map around it.
    let longest = Advisory::new("x".repeat(ADVISORY_LEN_MAX - 11)).unwrap();
    assert_eq!(longest.encode().len(), ADVISORY_LEN_MAX);
    assert_eq!(Advisory::decode(&longest.encode()), Ok(longest));
    let longer = Advisory::new("x".repeat(ADVISORY_LEN_MAX - 10)).unwrap();
    assert_eq!(
        Advisory::decode(&longer.encode()),
        Err(Rejection::BodyTooLong { size_max: 32_768 })
    );
}

#[test]
fn a_reason_is_text_that_says_something() {
    assert_eq!(Advisory::new(String::new()), None);
    assert!(Advisory::new("x".repeat(REASON_LEN_MAX)).is_some());
    assert_eq!(Advisory::new("x".repeat(REASON_LEN_MAX + 1)), None);
    let reason = "66 726561736f6e";
    let pieces = Advisory::decode(&hex(&format!("a1 {reason} 7f 62 c3a9 60 61 78 ff"))).unwrap();
    assert_eq!(pieces.reason(), "\u{e9}x");
    for (body, malformed) in [
        (format!("a1 {reason} 60"), Malformed::Reason),
        (format!("a1 {reason} 7f ff"), Malformed::Reason),
        (format!("a1 {reason} 41 78"), Malformed::Type),
        (format!("a1 {reason} 61 ff"), Malformed::Type),
        // A character cut by the pieces of its text.
        (format!("a1 {reason} 7f 61 c3 61 a9 ff"), Malformed::Type),
        (format!("a1 {reason} 7f 7f 61 78 ff ff"), Malformed::Type),
        (format!("a1 {reason} f6"), Malformed::Type),
        (
            format!("a1 {reason} 7b ffffffffffffffff 78"),
            Malformed::Truncated,
        ),
        ("a1 61 72 61 78".into(), Malformed::UnknownKey),
    ] {
        assert_eq!(
            Advisory::decode(&hex(&body)),
            Err(malformed.into()),
            "{body}"
        );
    }
}

// Tahoe's client refuses an answer with a key that it does not know; so do we.
#[test]
fn an_answer_with_an_extension_is_refused() {
    let answers = [
        AllocateAnswer::default().encode(),
        RequiredAnswer::default().encode(),
        VersionAnswer::new(1, "x").encode(),
    ];
    for answer in &answers {
        let mut extended = answer.clone();
        extended[0] += 1;
        extended.extend_from_slice(&hex("61 78 01"));
        for refused in [
            AllocateAnswer::decode(&extended).is_err(),
            RequiredAnswer::decode(&extended).is_err(),
            VersionAnswer::decode(&extended).is_err(),
        ] {
            assert!(refused);
        }
    }
    let text_keys = AllocateAnswer::default().encode();
    assert_eq!(VersionAnswer::decode(&text_keys), Err(Malformed::Type));
}

fn examples() -> Vec<Vec<u8>> {
    vec![
        hex(&allocate_of(
            "d90102 83 00 1818 18ff",
            "1b 0000000100000000",
        )),
        hex(&format!(
            "bf {SHARE_NUMBERS} d90102 9f 00 01 ff {ALLOCATED_SIZE} 190030 ff"
        )),
        Advisory::new("caf\u{e9}".to_owned()).unwrap().encode(),
        AllocateAnswer {
            already_have: numbers([7]),
            allocated: numbers([0, 200]),
        }
        .encode(),
        RequiredAnswer {
            required: vec![(0, 16), (1 << 33, u64::MAX)],
        }
        .encode(),
        SharesAnswer {
            share_numbers: numbers(0..=255),
        }
        .encode(),
        VersionAnswer::new(u64::MAX, "tahoed/0.1.0").encode(),
    ]
}

fn take(bytes: &[u8]) {
    fuzz::gbs::allocate(bytes);
    fuzz::gbs::advisory(bytes);
    fuzz::gbs::answers(bytes);
}

#[test]
fn a_message_that_ends_early_is_refused_at_every_length() {
    for example in examples() {
        for len in 0..example.len() {
            let cut = &example[..len];
            let refused = [
                AllocateRequest::decode(cut).is_err(),
                Advisory::decode(cut).is_err(),
                AllocateAnswer::decode(cut).is_err(),
                RequiredAnswer::decode(cut).is_err(),
                SharesAnswer::decode(cut).is_err(),
                VersionAnswer::decode(cut).is_err(),
            ];
            assert_eq!(refused, [true; 6], "{len} bytes of {example:02x?}");
        }
    }
}

#[test]
fn each_flipped_bit_is_refused_or_read_as_another_message() {
    for example in examples() {
        take(&example);
        for index in 0..example.len() {
            for bit in 0..8 {
                let mut flipped = example.clone();
                flipped[index] ^= 1 << bit;
                take(&flipped);
            }
        }
    }
}

// A decoder that recursed into what it skips would run out of stack here (reference, dependencies).
#[test]
fn deep_nesting_and_huge_counts_cost_nothing() {
    for opening in [0x81, 0x9f, 0xa1, 0xbf, 0xc1, 0x5f, 0x7f, 0xd9] {
        take(&[opening; ADVISORY_LEN_MAX]);
        for key in [SHARE_NUMBERS, ALLOCATED_SIZE, "66 726561736f6e"] {
            let mut body = hex(&format!("a2 {key}"));
            body.resize(ALLOCATE_LEN_MAX, opening);
            take(&body);
        }
    }
    for major in 2..6 {
        let mut body = vec![major << 5 | 27];
        body.extend_from_slice(&u64::MAX.to_be_bytes());
        take(&body);
        take(&[&hex("d90102")[..], &body].concat());
        take(&[&hex("a168 7265717569726564")[..], &body].concat());
    }
}

proptest! {
    #[test]
    fn garbage_is_taken_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        take(&bytes);
    }

    #[test]
    fn an_allocate_reads_back_as_itself(
        set in prop::collection::btree_set(any::<u8>(), 0..=256),
        allocated_size in 1..=u64::MAX,
    ) {
        let request = AllocateRequest { share_numbers: numbers(set), allocated_size };
        let body = request.encode();
        prop_assert!(body.len() <= ALLOCATE_LEN_MAX);
        prop_assert_eq!(AllocateRequest::decode(&body), Ok(request));
    }

    #[test]
    fn the_missing_ranges_read_back_as_themselves(
        required in prop::collection::vec(any::<(u64, u64)>(), 0..50),
    ) {
        let answer = RequiredAnswer { required };
        prop_assert_eq!(RequiredAnswer::decode(&answer.encode()), Ok(answer));
    }
}
