//! The bounds and endpoints of `docs/gbs.md` are those of the code.
//!
//! Operators and writers of clients go by that page; a bound that was changed must show there.

use lafs::StorageIndex;
use protocol::gbs::{Endpoint, limits};

const DOCUMENT: &str = include_str!("../../../docs/gbs.md");

#[test]
fn every_bound_has_its_value() {
    let len = |len: usize| lafs::num::size(len);
    let bounds = [
        ("PATH_LEN_MAX", len(limits::PATH_LEN_MAX)),
        ("SECRET_VALUE_LEN_MAX", len(limits::SECRET_VALUE_LEN_MAX)),
        ("IGNORED_LEN_MAX", len(limits::IGNORED_LEN_MAX)),
        ("ALLOCATE_LEN_MAX", len(limits::ALLOCATE_LEN_MAX)),
        ("SHARES_MAX", len(limits::SHARES_MAX)),
        ("ADVISORY_LEN_MAX", len(limits::ADVISORY_LEN_MAX)),
        ("REASON_LEN_MAX", len(limits::REASON_LEN_MAX)),
        ("TESTS_MAX", len(limits::TESTS_MAX)),
        ("READS_MAX", len(limits::READS_MAX)),
        ("WRITES_MAX", len(limits::WRITES_MAX)),
        ("SPECIMENS_LEN_MAX", len(limits::SPECIMENS_LEN_MAX)),
        ("READ_TEST_WRITE_SIZE_MAX", limits::READ_TEST_WRITE_SIZE_MAX),
        ("MUTABLE_SHARE_SIZE_MAX", limits::MUTABLE_SHARE_SIZE_MAX),
        ("ANSWER_LEN_MAX", len(limits::ANSWER_LEN_MAX)),
    ];
    for (name, value) in bounds {
        let row = format!("| `{name}` | {value} |");
        assert!(DOCUMENT.contains(&row), "{row}");
    }
    let source = include_str!("../src/gbs/limits.rs");
    assert_eq!(source.matches("pub const").count(), bounds.len());
}

#[test]
fn every_endpoint_of_the_page_is_routed() {
    let storage_index = StorageIndex::new([1; 16]).to_string();
    let rows = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once("` |"));
    let mut count = 0;
    for (method, path) in rows.filter_map(|(cell, _)| cell.split_once(" `/")) {
        for kind in ["immutable", "mutable"] {
            let path = path
                .replace("KIND", kind)
                .replace("SI", &storage_index)
                .replace("/N", "/7");
            let routed = Endpoint::route(method, &format!("/storage/v1/{path}"));
            assert!(routed.is_ok(), "{method} {path}: {routed:?}");
        }
        count += 1;
    }
    assert_eq!(count, 9);
}
