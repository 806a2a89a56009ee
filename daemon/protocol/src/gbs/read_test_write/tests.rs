use proptest::prelude::*;

use super::super::limits::{
    MUTABLE_SHARE_SIZE_MAX, READ_TEST_WRITE_SIZE_MAX, SPECIMENS_LEN_MAX, TESTS_MAX, WRITES_MAX,
};
use super::super::rejection::Rejection;
use super::*;
use crate::fuzz;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    data_encoding::HEXLOWER
        .decode(digits.as_bytes())
        .expect("hexadecimal")
}

/// Reads a body however it is cut, and checks that the result is always the same.
fn read(body: &[u8]) -> Result<(ReadTestWrite, Vec<u8>), Rejection> {
    fuzz::gbs::read_test_write(body);
    fuzz::gbs::stream(body, usize::MAX)
}

fn refused(body: &str) -> Rejection {
    read(&hex(body)).expect_err(body)
}

// The keys, as the fixtures spell them.
const VECTORS: &str = "72 746573742d77726974652d766563746f7273";
const READS: &str = "6b 726561642d766563746f72";
const TEST: &str = "64 74657374";
const WRITE: &str = "65 7772697465";
const NEW_LENGTH: &str = "6a 6e65772d6c656e677468";
const OFFSET: &str = "66 6f6666736574";
const SIZE: &str = "64 73697a65";
const SPECIMEN: &str = "68 73706563696d656e";
const DATA: &str = "64 64617461";

fn message(shares: &str, reads: &str) -> String {
    format!("a2 {VECTORS} {shares} {READS} {reads}")
}

/// A message that names share 0.
fn share(tests: &str, writes: &str, new_length: &str) -> String {
    let share = format!("a3 {TEST} {tests} {WRITE} {writes} {NEW_LENGTH} {new_length}");
    message(&format!("a1 00 {share}"), "80")
}

fn change(tests: Vec<Test>, writes: Vec<Write>, new_length: Option<u64>) -> ShareChange {
    ShareChange {
        tests,
        writes,
        new_length,
    }
}

/// The example of the reference, section 1.13.
fn example() -> ReadTestWrite {
    let test = Test {
        extent: Extent { offset: 0, size: 1 },
        specimen: Bytes::new(),
    };
    let write = Write {
        offset: 0,
        data_offset: 0,
        data_size: 10,
    };
    ReadTestWrite {
        shares: vec![(ShareNumber::new(0), change(vec![test], vec![write], None))],
        reads: vec![Extent { offset: 0, size: 5 }],
        data_size: 10,
    }
}

#[test]
fn messages_are_written_as_tahoe_writes_them() {
    let body = hex("a272 746573742d77726974652d766563746f7273 a1 00 a3
        6474657374 81 a3 666f6666736574 00 6473697a65 01 68 73706563696d656e 40
        657772697465 81 a2 666f6666736574 00 6464617461 4a 30313233343536373839
        6a 6e65772d6c656e677468 f6
        6b 726561642d766563746f72 81 a2 666f6666736574 00 6473697a65 05");
    assert_eq!(read(&body), Ok((example(), b"0123456789".to_vec())));
    assert_eq!(example().encode(b"0123456789"), body);

    let answer = ReadTestWriteAnswer {
        success: true,
        data: Vec::new(),
    };
    assert_eq!(
        answer.encode().concat(),
        hex("a2 67 73756363657373 f5 64 64617461 a0")
    );
    let answer = ReadTestWriteAnswer {
        success: false,
        data: vec![(ShareNumber::new(0), vec![Bytes::from_static(b"01234")])],
    };
    let body = hex("a2 67 73756363657373 f4 64 64617461 a1 00 81 45 3031323334");
    assert_eq!(answer.encode().concat(), body);
    assert_eq!(ReadTestWriteAnswer::decode(&body), Ok(answer));
}

#[test]
fn long_reads_are_answered_without_a_copy() {
    let long = Bytes::from(vec![7; COPY_LEN_MAX]);
    let reads = vec![Bytes::from_static(b"short"), long.clone(), Bytes::new()];
    let answer = ReadTestWriteAnswer {
        success: true,
        data: vec![
            (ShareNumber::new(255), reads),
            (ShareNumber::new(1), vec![]),
        ],
    };
    let pieces = answer.encode();
    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces[1].as_ptr(), long.as_ptr());
    assert_eq!(ReadTestWriteAnswer::decode(&pieces.concat()), Ok(answer));
}

#[test]
fn each_rule_of_an_answer_is_kept() {
    let success = "67 73756363657373";
    for (body, malformed) in [
        (
            format!("a2 {success} f5 {DATA} a2 00 80 00 80"),
            Malformed::RepeatedKey,
        ),
        (format!("a2 {success} 01 {DATA} a0"), Malformed::Type),
        (
            format!("a2 {success} f5 {DATA} a1 00 81 61 78"),
            Malformed::Type,
        ),
        (
            format!("a2 {success} f5 {DATA} a1 190100 80"),
            Malformed::ShareNumber,
        ),
        (format!("a2 {success} f5 {DATA} b90101"), Malformed::Shares),
        (
            format!("a2 {success} f5 {DATA} a1 00 981f"),
            Malformed::Reads,
        ),
        (format!("a1 {success} f5"), Malformed::MissingKey),
        (
            format!("a2 {success} f5 {DATA} a1 00 81 45 00"),
            Malformed::Truncated,
        ),
    ] {
        assert_eq!(
            ReadTestWriteAnswer::decode(&hex(&body)),
            Err(malformed),
            "{body}"
        );
    }
}

#[test]
fn spellings_that_tahoe_takes_mean_the_same() {
    let reads = format!("81 a2 {OFFSET} 00 {SIZE} 05");
    let test = format!("a3 {OFFSET} 00 {SIZE} 01 {SPECIMEN} 40");
    let write = format!("a2 {OFFSET} 00 {DATA} 4a 30313233343536373839");
    for body in [
        // Keys in another order at each depth: data before its offset, reads before shares.
        format!(
            "a2 {READS} 81 a2 {SIZE} 05 {OFFSET} 00 {VECTORS} a1 00 a3 {NEW_LENGTH} f6
             {WRITE} 81 a2 {DATA} 4a 30313233343536373839 {OFFSET} 00
             {TEST} 81 a3 {SPECIMEN} 40 {SIZE} 01 {OFFSET} 00"
        ),
        // Nothing has a length; strings come in pieces, some of them empty.
        format!(
            "bf {VECTORS} bf 00 bf {TEST} 9f bf {OFFSET} 00 {SIZE} 01 {SPECIMEN} 5f ff ff ff
             {WRITE} 9f bf {OFFSET} 00 {DATA} 5f 40 43 303132 40 47 33343536373839 ff ff ff
             {NEW_LENGTH} f6 ff ff 7f 60 64 72656164 67 2d766563746f72 ff
             9f bf {OFFSET} 00 {SIZE} 05 ff ff ff"
        ),
        // Numbers in more bytes than they need.
        format!(
            "b802 {VECTORS} b90001 1800 ba00000003 {TEST} 9801 {test} {WRITE} 9b0000000000000001
             a2 7806 6f6666736574 1a00000000 {DATA} 580a 30313233343536373839
             {NEW_LENGTH} f6 {READS} 81 a2 {OFFSET} 1b0000000000000000 {SIZE} 190005"
        ),
        // Anything behind the message.
        format!(
            "a2 {VECTORS} a1 00 a3 {TEST} 81 {test} {WRITE} 81 {write} {NEW_LENGTH} f6
             {READS} {reads} ff 00 a2"
        ),
    ] {
        let expected = (example(), b"0123456789".to_vec());
        assert_eq!(read(&hex(&body)), Ok(expected), "{body}");
    }
}

#[test]
fn the_data_of_all_writes_is_one_stream_that_each_write_points_into() {
    let body = format!(
        "a2 {VECTORS} a2 07 a3 {TEST} 80 {WRITE} 82 a2 {DATA} 43 616263 {OFFSET} 1864
         a2 {OFFSET} 0c {DATA} 40 {NEW_LENGTH} 00
         18ff a3 {WRITE} 81 a2 {OFFSET} 02 {DATA} 5f 41 64 42 6566 ff {NEW_LENGTH} 05 {TEST} 80
         {READS} 80"
    );
    let (request, data) = read(&hex(&body)).unwrap();
    assert_eq!(data, b"abcdef");
    let write = |offset, data_offset, data_size| Write {
        offset,
        data_offset,
        data_size,
    };
    let first = change(vec![], vec![write(100, 0, 3), write(12, 3, 0)], Some(0));
    let second = change(vec![], vec![write(2, 3, 3)], Some(5));
    let shares = vec![
        (ShareNumber::new(7), first),
        (ShareNumber::new(255), second),
    ];
    assert_eq!(request.shares, shares);
    assert_eq!((request.reads, request.data_size), (vec![], 6));
}

#[test]
fn each_rule_of_a_request_is_kept() {
    let empty = format!("a3 {TEST} 80 {WRITE} 80 {NEW_LENGTH} f6");
    let repeated = format!("a2 00 {empty} 00 {empty}");
    let test = |rest: &str| share(&format!("81 {rest}"), "80", "f6");
    let write = |rest: &str| share("80", &format!("81 {rest}"), "f6");
    let extent = format!("{OFFSET} 00 {SIZE} 01");
    assert!(read(&hex(&message("a0", "80"))).is_ok());
    assert!(read(&hex(&share("80", "80", "1b ffffffffffffffff"))).is_ok());
    for (body, malformed) in [
        (String::new(), Malformed::Truncated),
        ("00".into(), Malformed::Type),
        ("82".into(), Malformed::Type),
        ("d9d9f7 a0".into(), Malformed::Type),
        ("a0".into(), Malformed::MissingKey),
        ("bf ff".into(), Malformed::MissingKey),
        (format!("a1 {VECTORS} a0"), Malformed::MissingKey),
        (format!("a1 {READS} 80"), Malformed::MissingKey),
        (
            format!("a3 {VECTORS} a0 {READS} 80 61 78 00"),
            Malformed::UnknownKey,
        ),
        (
            format!("a3 {VECTORS} a0 {READS} 80 {READS} 80"),
            Malformed::RepeatedKey,
        ),
        (format!("a2 60 a0 {READS} 80"), Malformed::UnknownKey),
        (
            format!("a2 78 40 {}", "78".repeat(64)),
            Malformed::UnknownKey,
        ),
        (
            format!("a2 7b ffffffffffffffff {}", "78".repeat(64)),
            Malformed::UnknownKey,
        ),
        (
            format!("a2 52 {} a0 {READS} 80", &VECTORS[3..]),
            Malformed::Type,
        ),
        (format!("a2 7f 41 78 ff a0 {READS} 80"), Malformed::Type),
        (
            format!("a2 7f 7f 61 78 ff ff a0 {READS} 80"),
            Malformed::Type,
        ),
        ("a2 ff".into(), Malformed::Type),
        ("a2 7c".into(), Malformed::Type),
        (message("80", "80"), Malformed::Type),
        (message("f6", "80"), Malformed::Type),
        (message("a0", "a0"), Malformed::Type),
        (message("a0", "d90102 80"), Malformed::Type),
        (message("a0", "bf ff"), Malformed::Type),
        (message("bf 00 ff", "80"), Malformed::Type),
        (message(&format!("a1 20 {empty}"), "80"), Malformed::Type),
        (message(&format!("a1 61 30 {empty}"), "80"), Malformed::Type),
        (
            message(&format!("a1 190100 {empty}"), "80"),
            Malformed::ShareNumber,
        ),
        (message(&repeated, "80"), Malformed::RepeatedKey),
        (message("a1 00 f6", "80"), Malformed::Type),
        (
            message(&format!("a1 00 a2 {TEST} 80 {WRITE} 80"), "80"),
            Malformed::MissingKey,
        ),
        (share("80", "80", "20"), Malformed::Type),
        (share("80", "80", "f7"), Malformed::Type),
        (share("80", "80", "f4"), Malformed::Type),
        (share("80", "80", "f8 16"), Malformed::Type),
        (share("80", "80", "c2 40"), Malformed::Type),
        (share("a0", "80", "f6"), Malformed::Type),
        (share("80", "40", "f6"), Malformed::Type),
        (test("80"), Malformed::Type),
        (test("a0"), Malformed::MissingKey),
        (test(&format!("a2 {extent}")), Malformed::MissingKey),
        (
            test(&format!("a3 {extent} {SPECIMEN} 61 78")),
            Malformed::Type,
        ),
        (
            test(&format!("a3 {extent} {SPECIMEN} 5f 61 78 ff")),
            Malformed::Type,
        ),
        (
            test(&format!("a3 {extent} {SPECIMEN} 5f 5f ff ff")),
            Malformed::Type,
        ),
        (
            test(&format!("a3 {extent} {DATA} 40")),
            Malformed::UnknownKey,
        ),
        (
            test(&format!(
                "a3 {OFFSET} fb3ff0000000000000 {SIZE} 01 {SPECIMEN} 40"
            )),
            Malformed::Type,
        ),
        (
            test(&format!("a3 {OFFSET} 20 {SIZE} 01 {SPECIMEN} 40")),
            Malformed::Type,
        ),
        (write(&format!("a1 {OFFSET} 00")), Malformed::MissingKey),
        (
            write(&format!("a2 {OFFSET} 00 {OFFSET} 00")),
            Malformed::RepeatedKey,
        ),
        (
            write(&format!("a2 {OFFSET} 00 {DATA} 61 78")),
            Malformed::Type,
        ),
        (write(&format!("a2 {OFFSET} 00 {DATA} f6")), Malformed::Type),
        (
            message("a0", &format!("81 a1 {OFFSET} 00")),
            Malformed::MissingKey,
        ),
        (
            message("a0", &format!("81 a3 {extent} {SPECIMEN} 40")),
            Malformed::UnknownKey,
        ),
        // Claims that nothing backs.
        (message("bb ffffffffffffffff", "80"), Malformed::Shares),
        (message("b90101", "80"), Malformed::Shares),
        (message("a0", "9b ffffffffffffffff"), Malformed::Reads),
        (message("a0", "981f"), Malformed::Reads),
        (share("981f", "80", "f6"), Malformed::Tests),
        (share("9b ffffffffffffffff", "80", "f6"), Malformed::Tests),
        (share("80", "9b ffffffffffffffff", "f6"), Malformed::Writes),
        (
            format!("bb ffffffffffffffff {VECTORS} a0 {READS} 80"),
            Malformed::Truncated,
        ),
        (
            write(&format!("a2 {OFFSET} 00 {DATA} 5b ffffffffffffffff 00")),
            Malformed::Truncated,
        ),
    ] {
        assert_eq!(refused(&body), malformed.into(), "{body}");
    }
}

#[test]
fn counts_end_at_their_bounds_with_and_without_a_length() {
    let item = format!("a2 {OFFSET} 00 {SIZE} 01");
    let test = format!("a3 {OFFSET} 00 {SIZE} 01 {SPECIMEN} 40");
    let write = format!("a2 {OFFSET} 00 {DATA} 40");
    let empty = format!("a3 {TEST} 80 {WRITE} 80 {NEW_LENGTH} f6");
    let open = |item: &str, count: usize| format!("9f {} ff", item.repeat(count));
    let long = |item: &str, count: usize| format!("99 {count:04x} {}", item.repeat(count));

    for array in [open, long] {
        assert!(read(&hex(&message("a0", &array(&item, READS_MAX)))).is_ok());
        let over = message("a0", &array(&item, READS_MAX + 1));
        assert_eq!(refused(&over), Malformed::Reads.into());
        assert!(read(&hex(&share(&array(&test, TESTS_MAX), "80", "f6"))).is_ok());
        let over = share(&array(&test, TESTS_MAX + 1), "80", "f6");
        assert_eq!(refused(&over), Malformed::Tests.into());
        let most = hex(&share("80", &array(&write, WRITES_MAX), "f6"));
        assert!(fuzz::gbs::stream(&most, 1000).is_ok());
        let over = hex(&share("80", &array(&write, WRITES_MAX + 1), "f6"));
        let over = fuzz::gbs::stream(&over, 1000);
        assert_eq!(over, Err(Malformed::Writes.into()));
    }
    let shares: String = (0..256)
        .map(|number| format!("19 {number:04x} {empty}"))
        .collect();
    assert!(read(&hex(&message(&format!("bf {shares} ff"), "80"))).is_ok());
    let over = message(&format!("bf {shares} 00 {empty} ff"), "80");
    assert_eq!(refused(&over), Malformed::RepeatedKey.into());

    // All shares together.
    let half = format!(
        "a3 {TEST} 80 {WRITE} {} {NEW_LENGTH} f6",
        long(&write, WRITES_MAX / 2)
    );
    let most = hex(&message(&format!("a2 00 {half} 01 {half}"), "80"));
    assert!(fuzz::gbs::stream(&most, 1000).is_ok());
    let one = format!("a3 {TEST} 80 {WRITE} 81 {write} {NEW_LENGTH} f6");
    let over = hex(&message(&format!("a3 00 {half} 01 {half} 02 {one}"), "80"));
    let over = fuzz::gbs::stream(&over, 1000);
    assert_eq!(over, Err(Malformed::Writes.into()));
}

#[test]
fn specimens_have_one_bound_together() {
    let request = |lens: &[usize]| {
        let tests = lens.iter().map(|len| Test {
            extent: Extent::default(),
            specimen: Bytes::from(vec![1; *len]),
        });
        let share = |number, tests| (ShareNumber::new(number), change(tests, vec![], None));
        let (first, rest) = (tests.clone().take(1).collect(), tests.skip(1).collect());
        ReadTestWrite {
            shares: vec![share(0, first), share(1, rest)],
            ..ReadTestWrite::default()
        }
        .encode(&[])
    };
    let step = 4096;
    let most = [20_000, 20_000, SPECIMENS_LEN_MAX - 40_000, 0];
    assert!(fuzz::gbs::stream(&request(&most), step).is_ok());
    let over = [20_000, 20_000, SPECIMENS_LEN_MAX - 40_000, 1];
    let over = fuzz::gbs::stream(&request(&over), step).unwrap_err();
    assert_eq!((over, over.status()), (Malformed::Specimens.into(), 413));
}

#[test]
fn a_write_ends_within_the_largest_share() {
    let write = |offset: u64, data: &str| {
        share(
            "80",
            &format!("81 a2 {OFFSET} 1b {offset:016x} {DATA} {data}"),
            "f6",
        )
    };
    for (offset, data) in [
        (MUTABLE_SHARE_SIZE_MAX, "40"),
        (MUTABLE_SHARE_SIZE_MAX - 2, "42 0000"),
    ] {
        assert!(read(&hex(&write(offset, data))).is_ok());
        for offset in [offset + 1, u64::MAX] {
            let refused = refused(&write(offset, data));
            assert_eq!(
                (refused, refused.status()),
                (Malformed::WritePastEnd.into(), 413)
            );
        }
    }
}

#[test]
fn a_body_ends_at_its_bound_whatever_it_is() {
    let end = Err(Rejection::BodyTooLong {
        size_max: READ_TEST_WRITE_SIZE_MAX,
    });
    let message = example().encode(b"0123456789");
    let chunk = vec![0; 1 << 20];
    // Surplus behind the message.
    let mut decoder = ReadTestWriteDecoder::default();
    let mut left = READ_TEST_WRITE_SIZE_MAX - num::size(message.len());
    let mut input = &message[..];
    while decoder.read(&mut input).unwrap().is_some() {}
    while left > 0 {
        let len = num::len(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        assert_eq!(decoder.read(&mut &chunk[..len]), Ok(None));
        left -= num::size(len);
    }
    assert_eq!(decoder.read(&mut &[0][..]), end);

    // Data without an end.
    let mut decoder = ReadTestWriteDecoder::default();
    let begun = hex(&format!(
        "a2 {VECTORS} a1 00 a3 {WRITE} 81 a2 {DATA} 5b 000fffffffffffff"
    ));
    assert_eq!(decoder.read(&mut &begun[..]), Ok(None));
    let mut given = 0;
    while let Ok(Some(data)) = decoder.read(&mut &chunk[..]) {
        given += num::size(data.len());
    }
    assert!(given < READ_TEST_WRITE_SIZE_MAX);
    assert!(given > READ_TEST_WRITE_SIZE_MAX - (2 << 20));
}

#[test]
fn data_is_given_on_as_it_arrives() {
    let mut decoder = ReadTestWriteDecoder::default();
    let begun = format!("a2 {VECTORS} a1 00 a3 {WRITE} 81 a2 {OFFSET} 00 {DATA} 4a");
    assert_eq!(decoder.read(&mut &hex(&begun)[..]), Ok(None));
    for byte in [b"a", b"b"] {
        assert_eq!(decoder.read(&mut &byte[..]), Ok(Some(&byte[..])));
    }
    assert_eq!(decoder.data_size(), 2);
    assert_eq!(decoder.finish(), Err(Malformed::Truncated.into()));
}

// What a hostile client can make the server keep for one request, but for vectors' room to grow.
#[test]
fn what_is_kept_of_a_request_is_bounded_by_two_mebibytes() {
    let tests = SHARES_MAX * TESTS_MAX * size_of::<Test>();
    let writes = WRITES_MAX * size_of::<Write>();
    let shares = SHARES_MAX * size_of::<(ShareNumber, ShareChange)>();
    let bound = tests + writes + shares + SPECIMENS_LEN_MAX;
    assert!(bound < 2 << 20, "{bound}");
}

fn examples() -> Vec<Vec<u8>> {
    let empty = format!("a3 {TEST} 80 {WRITE} 80 {NEW_LENGTH} f6");
    vec![
        example().encode(b"0123456789"),
        hex(&message(&format!("a2 00 {empty} 18ff {empty}"), "80")),
        hex(&format!(
            "bf {VECTORS} bf 00 bf {TEST} 9f bf {OFFSET} 00 {SIZE} 01 {SPECIMEN} 5f 41 78 ff ff ff
             {WRITE} 9f bf {OFFSET} 00 {DATA} 5f 40 43 303132 40 47 33343536373839 ff ff ff
             {NEW_LENGTH} 1903e8 ff ff {READS} 9f bf {OFFSET} 00 {SIZE} 05 ff ff ff"
        )),
    ]
}

#[test]
fn a_request_that_ends_early_is_refused_at_every_length() {
    for example in examples() {
        for len in 0..example.len() {
            let result = read(&example[..len]);
            assert_eq!(result, Err(Malformed::Truncated.into()), "{len} bytes");
        }
        assert!(read(&example).is_ok());
    }
    let answer = ReadTestWriteAnswer {
        success: true,
        data: vec![(ShareNumber::new(3), vec![Bytes::from_static(b"abc")])],
    };
    let body = answer.encode().concat();
    for len in 0..body.len() {
        let result = ReadTestWriteAnswer::decode(&body[..len]);
        assert_eq!(result, Err(Malformed::Truncated), "{len} bytes");
    }
}

#[test]
fn each_flipped_bit_is_refused_or_read_as_another_request_by_both_decoders() {
    for example in examples() {
        for index in 0..example.len() {
            for bit in 0..8 {
                let mut flipped = example.clone();
                flipped[index] ^= 1 << bit;
                fuzz::gbs::read_test_write(&flipped);
            }
        }
    }
}

// The decoder keeps a list of what is open; only what the message has may make it grow.
#[test]
fn deep_nesting_is_refused_where_it_begins() {
    for opening in [0x81, 0x9f, 0xa1, 0xbf, 0xc1, 0xd9] {
        let nested = [opening; 100_000];
        for place in [
            String::new(),
            format!("a2 {VECTORS}"),
            format!("a2 {VECTORS} a1 00"),
            format!("a2 {READS} 81"),
            format!("a2 {VECTORS} a1 00 a3 {TEST} 81 a3 {SPECIMEN}"),
            format!("a2 {VECTORS} a1 00 a3 {NEW_LENGTH}"),
        ] {
            let body = [hex(&place), nested.to_vec()].concat();
            assert!(
                fuzz::gbs::stream(&body, 4096).is_err(),
                "{opening:02x} at {place}"
            );
            assert!(whole::decode(&body).is_err());
        }
    }
}

prop_compose! {
    fn any_request()(
        shares in prop::collection::btree_map(
            any::<u8>(),
            (
                prop::collection::vec(
                    (any::<(u64, u64)>(), prop::collection::vec(any::<u8>(), 0..40)), 0..4),
                prop::collection::vec(
                    (0..1_u64 << 50, prop::collection::vec(any::<u8>(), 0..300)), 0..5),
                any::<Option<u64>>(),
            ),
            0..5,
        ),
        reads in prop::collection::vec(any::<(u64, u64)>(), 0..8),
    ) -> (ReadTestWrite, Vec<u8>) {
        let extent = |(offset, size)| Extent { offset, size };
        let mut data = Vec::new();
        let shares = shares.into_iter().map(|(number, (tests, writes, new_length))| {
            let tests = tests.into_iter().map(|(place, specimen)| Test {
                extent: extent(place),
                specimen: specimen.into(),
            });
            let writes = writes.into_iter().map(|(offset, bytes)| {
                let data_offset = num::size(data.len());
                data.extend_from_slice(&bytes);
                Write { offset, data_offset, data_size: num::size(bytes.len()) }
            });
            let change = change(tests.collect(), writes.collect(), new_length);
            (ShareNumber::new(number), change)
        }).collect();
        let request = ReadTestWrite {
            shares,
            reads: reads.into_iter().map(extent).collect(),
            data_size: num::size(data.len()),
        };
        (request, data)
    }
}

proptest! {
    #[test]
    fn a_request_reads_back_as_itself_however_it_is_cut(
        (request, data) in any_request(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let body = request.encode(&data);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let mut decoder = ReadTestWriteDecoder::default();
        let mut given = Vec::new();
        for cut in cuts.windows(2) {
            let mut input = &body[cut[0]..cut[1]];
            while let Some(piece) = decoder.read(&mut input).unwrap() {
                given.extend_from_slice(piece);
            }
        }
        prop_assert_eq!(decoder.finish(), Ok(request.clone()));
        prop_assert_eq!(&given, &data);
        prop_assert_eq!(read(&body), Ok((request, data)));
    }

    #[test]
    fn a_damaged_request_is_taken_the_same_however_it_is_cut(
        (request, data) in any_request(),
        place: prop::sample::Index,
        damage: u8,
    ) {
        let mut body = request.encode(&data);
        let index = place.index(body.len());
        body[index] ^= damage;
        fuzz::gbs::read_test_write(&body);
    }

    #[test]
    fn garbage_is_taken_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::gbs::read_test_write(&bytes);
        fuzz::gbs::call(&bytes);
    }
}
