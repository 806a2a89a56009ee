//! Every request and answer that was recorded of Tahoe-LAFS 1.20, read and written by this crate.
//!
//! `fixtures/gbs/01` to `06` are ordered steps against one real storage node, `07` is one of each
//! request as the real client sends it. There is no store here. So each step shows whether what can
//! be decided from the bytes alone is decided as Tahoe decided it, and that what is left to the
//! store has a status that the store can give.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER_PERMISSIVE;
use lafs::{Swissnum, num};
use protocol::fuzz;
use protocol::gbs::{
    Advisory, AllocateAnswer, AllocateRequest, ByteSpan, Call, Kind, ReadTestWriteAnswer,
    Rejection, RequiredAnswer, SharesAnswer, VersionAnswer,
};
use serde_json::Value;

const SCENARIOS: [&str; 7] = [
    include_str!("fixtures/gbs/01-version-auth.json"),
    include_str!("fixtures/gbs/02-immutable-upload.json"),
    include_str!("fixtures/gbs/03-immutable-read.json"),
    include_str!("fixtures/gbs/04-validation.json"),
    include_str!("fixtures/gbs/05-lease-corrupt.json"),
    include_str!("fixtures/gbs/06-mutable.json"),
    include_str!("fixtures/gbs/07-real-client.json"),
];

/// Where this server is stricter than the 500 of Tahoe: scenario, step, rule.
///
/// The last three are for the store to find out; they are here so that each 500 has its answer.
const STRICTER: [(&str, &str, Rejection); 4] = [
    (
        "02-immutable-upload",
        "body shorter than range",
        Rejection::ShortBody,
    ),
    (
        "02-immutable-upload",
        "bytes past allocated size",
        Rejection::BeyondAllocated,
    ),
    (
        "06-mutable",
        "immutable endpoint on a mutable slot",
        Rejection::OtherKind,
    ),
    (
        "06-mutable",
        "mutable read of an immutable share",
        Rejection::OtherKind,
    ),
];

/// One recorded request and its answer.
struct Step {
    scenario: String,
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    status: u16,
    answer_headers: Vec<(String, String)>,
    answer: Vec<u8>,
}

impl Step {
    fn answer_header(&self, name: &str) -> Option<&str> {
        let mut headers = self.answer_headers.iter();
        let (_, value) = headers.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    fn call(&self) -> Result<Call, Rejection> {
        let swissnum = match &self.scenario[..] {
            "07-real-client" => real_swissnum(&self.headers),
            _ => Swissnum::new("gbsfixtureswissnum234567abcdefgh").expect("it is a swissnum"),
        };
        Call::parse(&self.method, &self.target, &self.headers[..], &swissnum)
    }
}

/// The real client's server had another swissnum, which only its header tells.
fn real_swissnum(headers: &[(String, Vec<u8>)]) -> Swissnum {
    let mut headers = headers.iter();
    let (_, value) = headers
        .find(|(name, _)| name == "Authorization")
        .expect("it is there");
    let base64 = value.strip_prefix(b"Tahoe-LAFS ").expect("its scheme");
    let swissnum = data_encoding::BASE64.decode(base64).expect("base64");
    let swissnum = std::str::from_utf8(&swissnum).expect("text");
    Swissnum::new(swissnum).expect("it is a swissnum")
}

fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for text in SCENARIOS {
        let scenario: Value = serde_json::from_str(text).expect("a fixture is JSON");
        for step in scenario["steps"].as_array().expect("it has steps") {
            let (request, response) = (&step["request"], &step["response"]);
            let string = |value: &Value| value.as_str().expect("it is text").to_owned();
            let headers = |value: &Value| -> Vec<(String, String)> {
                let headers = value.as_array().expect("headers are a list");
                let pair = |pair: &Value| (string(&pair[0]), string(&pair[1]));
                headers.iter().map(pair).collect()
            };
            steps.push(Step {
                scenario: string(&scenario["scenario"]),
                name: string(&step["name"]),
                method: string(&request["method"]),
                target: string(&request["target"]),
                headers: headers(&request["headers"])
                    .into_iter()
                    .map(|(name, value)| (name, latin_1(&value)))
                    .collect(),
                body: match request["body_hex"].as_str() {
                    Some(hex) => bytes(hex),
                    None => cooked(&string(&request["body_recipe"])),
                },
                status: response["status"]
                    .as_u64()
                    .and_then(|status| status.try_into().ok())
                    .expect("a status"),
                answer_headers: headers(&response["headers"]),
                answer: bytes(response["body_hex"].as_str().unwrap_or_default()),
            });
        }
    }
    steps
}

/// The recordings hold the bytes of a header as the characters of the same numbers.
fn latin_1(text: &str) -> Vec<u8> {
    let byte = |c| u8::try_from(u32::from(c)).expect("a byte");
    text.chars().map(byte).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER_PERMISSIVE
        .decode(hex.as_bytes())
        .expect("it is hexadecimal")
}

/// The bodies that are given as recipes because of their length.
fn cooked(recipe: &str) -> Vec<u8> {
    let padded = |len| {
        let mut body =
            bytes("a26d73686172652d6e756d62657273d9010281006e616c6c6f63617465642d73697a650a");
        body.resize(len, 0);
        body
    };
    let reason = |len| {
        Advisory::new("x".repeat(len))
            .expect("it is a reason")
            .encode()
    };
    match recipe {
        "(valid message padded with zero bytes to 8192)" => padded(8192),
        "(valid message padded with zero bytes to 8193)" => padded(8193),
        "(map with reason = x repeated 32757 times, 32768 bytes)" => reason(32_757),
        "(map with reason = x repeated 32758 times, 32769 bytes)" => reason(32_758),
        _ => panic!("{recipe}"),
    }
}

/// What the bytes of a request alone decide: the rule that it breaks, or the call for the store.
fn judge(step: &Step) -> Result<Call, Rejection> {
    let call = step.call()?;
    match &call {
        // What is wrong with the rest counts only once the share was found.
        Call::ReadShareChunk { .. } | Call::AdviseCorruptShare { .. } if step.status == 404 => {
            return Ok(call);
        }
        Call::ReadShareChunk { range, .. } => {
            (*range)?;
        }
        Call::AdviseCorruptShare { content_type, .. } => (*content_type)?,
        _ => {}
    }
    call.check_content_length(num::size(step.body.len()))?;
    match &call {
        Call::AllocateBuckets { .. } => {
            AllocateRequest::decode(&step.body)?;
        }
        Call::AdviseCorruptShare { .. } => {
            Advisory::decode(&step.body)?;
        }
        Call::ReadTestWrite { .. } => {
            fuzz::gbs::stream(&step.body, 7)?;
        }
        Call::WriteShareData { range, .. } if num::size(step.body.len()) < range.size() => {
            return Err(Rejection::ShortBody);
        }
        _ => {}
    }
    Ok(call)
}

/// The statuses that only the store can give to a call.
fn store_statuses(call: &Call) -> &'static [u16] {
    match call {
        Call::Version => &[200],
        Call::AddOrRenewLease { .. } => &[204, 404],
        Call::AllocateBuckets { .. } => &[200],
        Call::WriteShareData { .. } => &[200, 201, 401, 404, 409, 500],
        Call::AbortShareUpload { .. } => &[200, 401, 404, 405],
        Call::ListShares {
            kind: Kind::Immutable,
            ..
        } => &[200, 500],
        Call::ListShares {
            kind: Kind::Mutable,
            ..
        } => &[200],
        Call::ReadShareChunk { .. } => &[200, 204, 206, 404, 500],
        Call::AdviseCorruptShare { .. } => &[200, 404],
        Call::ReadTestWrite { .. } => &[200, 401],
    }
}

#[test]
fn what_the_bytes_decide_is_decided_as_tahoe_did() {
    let mut wrong = Vec::new();
    let mut count = BTreeMap::new();
    for step in steps() {
        let place = format!("{}, {}", step.scenario, step.name);
        let stricter = STRICTER
            .iter()
            .find(|(scenario, name, _)| (*scenario, *name) == (&step.scenario, &step.name));
        match (judge(&step), stricter) {
            (Ok(call), Some((_, _, rejection))) => {
                assert_eq!(
                    step.status, 500,
                    "{place}: only a 500 has a stricter answer"
                );
                assert!(store_statuses(&call).contains(&500), "{place}");
                assert!((400..500).contains(&rejection.status()));
            }
            (Err(rejection), Some((_, _, expected))) => {
                assert_eq!((step.status, rejection), (500, *expected), "{place}");
            }
            (Ok(call), None) => {
                *count.entry("left to the store").or_insert(0) += 1;
                let statuses = store_statuses(&call);
                if step.status == 500 || !statuses.contains(&step.status) {
                    wrong.push(format!("{place}: {} but nothing is wrong", step.status));
                }
            }
            (Err(rejection), None) => {
                *count.entry("decided").or_insert(0) += 1;
                if rejection.status() != step.status {
                    wrong.push(format!("{place}: {} but {rejection}", step.status));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The harness itself: as many steps as there are, and of both sorts.
    let expected = BTreeMap::from([("decided", DECIDED), ("left to the store", LEFT)]);
    assert_eq!(count, expected);
}

const DECIDED: usize = 60;
const LEFT: usize = 103;

#[test]
fn the_headers_of_a_refusal_are_those_that_the_client_looks_at() {
    for step in steps() {
        let Err(rejection) = judge(&step) else {
            continue;
        };
        let methods = |allow: &str| {
            let mut methods: Vec<_> = allow.split(", ").map(str::to_owned).collect();
            methods.sort();
            methods
        };
        let expected = step.answer_header("Allow").map(methods);
        assert_eq!(rejection.allow().map(methods), expected, "{}", step.name);
        match step.answer_header("Content-Type") {
            // Tahoe's pages for 404, 405 and 500, which need not be copied.
            Some(page) if page.starts_with("text/html") => {}
            expected => assert_eq!(rejection.content_type(), expected, "{}", step.name),
        }
    }
}

#[test]
fn the_requests_of_the_real_client_are_written_the_same() {
    let mut count = 0;
    for step in steps() {
        let plain = ["02-immutable-upload", "06-mutable", "07-real-client"];
        if !plain.contains(&&step.scenario[..]) {
            continue;
        }
        let written = match judge(&step) {
            Ok(Call::AllocateBuckets { .. }) => {
                AllocateRequest::decode(&step.body).unwrap().encode()
            }
            Ok(Call::AdviseCorruptShare { .. }) => match Advisory::decode(&step.body) {
                Ok(advisory) => advisory.encode(),
                Err(_) => continue,
            },
            Ok(Call::ReadTestWrite { .. }) => {
                fuzz::gbs::read_test_write(&step.body);
                let (request, data) = fuzz::gbs::stream(&step.body, 1000).unwrap();
                request.encode(&data)
            }
            _ => continue,
        };
        count += 1;
        assert_eq!(
            hex(&written),
            hex(&step.body),
            "{}, {}",
            step.scenario,
            step.name
        );
    }
    assert_eq!(count, 34);
}

#[test]
fn every_recorded_answer_is_read_and_written_the_same() {
    let mut count = 0;
    for step in steps() {
        let place = format!("{}, {}", step.scenario, step.name);
        if step.answer_header("Content-Type") != Some("application/cbor") || step.method == "HEAD" {
            continue;
        }
        let answer = &step.answer;
        let written = match judge(&step).expect(&place) {
            Call::Version => VersionAnswer::decode(answer).unwrap().encode(),
            Call::AllocateBuckets { .. } => AllocateAnswer::decode(answer).unwrap().encode(),
            Call::WriteShareData { .. } => RequiredAnswer::decode(answer).unwrap().encode(),
            Call::ListShares { .. } => SharesAnswer::decode(answer).unwrap().encode(),
            Call::ReadTestWrite { .. } => {
                let answer = ReadTestWriteAnswer::decode(answer).unwrap();
                answer.encode().concat()
            }
            other => panic!("{place}: {other:?}"),
        };
        count += 1;
        assert_eq!(hex(&written), hex(answer), "{place}");
    }
    assert_eq!(count, 56);
}

#[test]
fn the_ranges_of_recorded_reads_are_clipped_and_printed_the_same() {
    let mut count = 0;
    for step in steps() {
        let place = format!("{}, {}", step.scenario, step.name);
        let Ok(Call::ReadShareChunk {
            range: Ok(Some(range)),
            ..
        }) = judge(&step)
        else {
            continue;
        };
        let clipped = match step.status {
            206 if step.method == "HEAD" => Some(range),
            // Where the answer ends the range does, or the share.
            206 => range.clip(range.offset() + num::size(step.answer.len())),
            204 => None,
            _ => continue,
        };
        count += 1;
        let printed = clipped.map(|span: ByteSpan| span.to_string());
        assert_eq!(
            printed.as_deref(),
            step.answer_header("Content-Range"),
            "{place}"
        );
    }
    assert!(count > 10, "{count}");
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
