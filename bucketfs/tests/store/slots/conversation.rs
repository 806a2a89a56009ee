//! A conversation that was recorded between a client and Tahoe-LAFS 1.20 (reference, fixture
//! `gbs/06-mutable`): every read-test-write of it, and what it was answered.

use std::collections::BTreeMap;

use bucketfs::{Extent, ReadTestWrite, ShareChange, SlotRefusal};
use lafs::{ShareNumber, WriteEnabler};

use super::{ask, bytes, is, read_and, refused, slots};

struct Recorded {
    name: &'static str,
    shares: &'static [Change],
    read: &'static [(u64, u64)],
    /// `None` for status 401; the client showed another write enabler.
    answer: Option<(bool, &'static [Parts])>,
}

/// Share number, and what was read of it.
type Parts = (u8, &'static [&'static [u8]]);

/// Share number, tests, writes, new length.
type Change = (
    u8,
    &'static [(u64, u64, &'static [u8])],
    &'static [(u64, &'static [u8])],
    Option<u64>,
);

#[test]
fn what_tahoe_answered_is_what_the_store_answers() {
    let mut bench = slots();
    for recorded in CONVERSATION {
        let shares = recorded.shares.iter();
        let shares: BTreeMap<_, _> = shares
            .map(|(share, tests, writes, new_length)| {
                let tests = tests
                    .iter()
                    .map(|(offset, size, is_there)| is(*offset, *size, is_there));
                let writes = writes
                    .iter()
                    .map(|(offset, written)| bytes(*offset, written));
                let change = ShareChange {
                    tests: tests.collect(),
                    writes: writes.collect(),
                    new_length: *new_length,
                };
                (ShareNumber::new(*share), change)
            })
            .collect();
        let read = recorded.read.iter();
        let read = read.map(|&(offset, size)| Extent { offset, size });
        let mut request = ReadTestWrite {
            shares,
            read: read.collect(),
            ..ask()
        };
        let expected = match recorded.answer {
            Some((success, read)) => read_and(success, read),
            None => {
                request.write_enabler = WriteEnabler::new([0xc8; 32]);
                refused(SlotRefusal::WrongWriteEnabler)
            }
        };
        assert_eq!(bench.change(request), expected, "{}", recorded.name);
    }
    assert!(bench.slot().is_empty());
}

const CONVERSATION: &[Recorded] = &[
    Recorded {
        name: "nothing at all on an empty slot",
        shares: &[],
        read: &[(0, 5)],
        answer: Some((true, &[])),
    },
    Recorded {
        name: "test against missing share fails",
        shares: &[(0, &[(0, 1, b"x")], &[(0, b"hello")], None)],
        read: &[],
        answer: Some((false, &[])),
    },
    Recorded {
        name: "create, with the client's usual must-not-exist test",
        shares: &[(0, &[(0, 1, b"")], &[(0, b"0123456789")], None)],
        read: &[(0, 5)],
        answer: Some((true, &[])),
    },
    Recorded {
        name: "must-not-exist test now fails; reads still returned",
        shares: &[(0, &[(0, 1, b"")], &[(0, b"XXXX")], None)],
        read: &[(0, 5)],
        answer: Some((false, &[(0, &[b"01234"])])),
    },
    Recorded {
        name: "test and reads past the end see what exists",
        shares: &[(0, &[(8, 10, b"89")], &[], None)],
        read: &[(8, 10), (100, 5), (0, 0)],
        answer: Some((true, &[(0, &[b"89", b"", b""])])),
    },
    Recorded {
        name: "wrong write enabler",
        shares: &[(0, &[], &[(0, b"ZZ")], None)],
        read: &[],
        answer: None,
    },
    Recorded {
        name: "wrong write enabler even for pure reads",
        shares: &[],
        read: &[(0, 5)],
        answer: None,
    },
    Recorded {
        name: "write past the end leaves a zero-filled hole",
        shares: &[(0, &[], &[(15, b"ABC")], None)],
        read: &[],
        answer: Some((true, &[(0, &[])])),
    },
    Recorded {
        name: "new-length larger than the data does nothing",
        shares: &[(0, &[], &[], Some(100))],
        read: &[(0, 100)],
        answer: Some((true, &[(0, &[b"0123456789\0\0\0\0\0ABC"])])),
    },
    Recorded {
        name: "truncate to 5",
        shares: &[(0, &[], &[], Some(5))],
        read: &[(0, 100)],
        answer: Some((true, &[(0, &[b"0123456789\0\0\0\0\0ABC"])])),
    },
    Recorded {
        name: "write beyond the truncated end zero-fills",
        shares: &[(0, &[], &[(7, b"!")], None)],
        read: &[],
        answer: Some((true, &[(0, &[])])),
    },
    Recorded {
        name: "look",
        shares: &[],
        read: &[(0, 100)],
        answer: Some((true, &[(0, &[b"01234\0\0!"])])),
    },
    Recorded {
        name: "write then truncate in one request",
        shares: &[(0, &[], &[(0, b"abcdefghij")], Some(4))],
        read: &[],
        answer: Some((true, &[(0, &[])])),
    },
    Recorded {
        name: "empty write past the end extends with zeros",
        shares: &[(0, &[], &[(12, b"")], None)],
        read: &[],
        answer: Some((true, &[(0, &[])])),
    },
    Recorded {
        name: "second share",
        shares: &[(3, &[], &[(0, b"three")], None)],
        read: &[(0, 3)],
        answer: Some((true, &[(0, &[b"abc"])])),
    },
    Recorded {
        name: "all-or-nothing: one failing test blocks both",
        shares: &[
            (0, &[(0, 1, b"a")], &[(0, b"NEW")], None),
            (3, &[(0, 1, b"x")], &[(0, b"NEW")], None),
        ],
        read: &[(0, 3)],
        answer: Some((false, &[(0, &[b"abc"]), (3, &[b"thr"])])),
    },
    Recorded {
        name: "share with neither tests nor writes is created empty",
        shares: &[(5, &[], &[], None)],
        read: &[(0, 3)],
        answer: Some((true, &[(0, &[b"abc"]), (3, &[b"thr"])])),
    },
    Recorded {
        name: "delete share 5; its writes are ignored",
        shares: &[(5, &[], &[(0, b"data")], Some(0))],
        read: &[],
        answer: Some((true, &[(0, &[]), (3, &[]), (5, &[])])),
    },
    Recorded {
        name: "delete a share that is not there",
        shares: &[(77, &[], &[], Some(0))],
        read: &[],
        answer: Some((true, &[(0, &[]), (3, &[])])),
    },
    Recorded {
        name: "delete the rest",
        shares: &[(0, &[], &[], Some(0)), (3, &[], &[], Some(0))],
        read: &[(0, 3)],
        answer: Some((true, &[(0, &[b"abc"]), (3, &[b"thr"])])),
    },
];
