//! What a real Tahoe-LAFS 1.20 storage server answered, asked again.
//!
//! Fixtures `gbs/01` to `06` were recorded in sequence on one server with an empty store. Compared
//! are status, `Content-Type`, `Content-Range`, and the body: CBOR without the order of sets and
//! maps. Not compared are the texts of errors and its pages in HTML, and where Tahoe answered 500
//! any refusal will do. Space is not compared, as it is another disk's.

use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::Value as Json;

use super::cbor::{self, Value};
use super::http::{Ask, Heard, Http, authorization};
use crate::node::{Node, Running};

const SWISSNUM: &str = "gbsfixtureswissnum234567abcdefgh";

fn steps(scenario: &str) -> Vec<Json> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/tests/fixtures/gbs");
    let text = std::fs::read_to_string(directory.join(format!("{scenario}.json"))).unwrap();
    let scenario: Json = serde_json::from_str(&text).unwrap();
    scenario["steps"].as_array().unwrap().clone()
}

fn bytes(hex: &Json) -> Vec<u8> {
    HEXLOWER.decode(hex.as_str().unwrap().as_bytes()).unwrap()
}

fn headers(message: &Json) -> impl Iterator<Item = (&str, &str)> {
    let headers = message["headers"].as_array().unwrap().iter();
    headers.map(|header| (header[0].as_str().unwrap(), header[1].as_str().unwrap()))
}

/// The request of a step.
fn ask(step: &Json) -> Ask {
    let request = &step["request"];
    let (method, target) = (&request["method"], &request["target"]);
    let mut ask = Ask::new(method.as_str().unwrap(), target.as_str().unwrap());
    for (name, value) in headers(request) {
        if name == "Host" || name == "Content-Length" {
            continue;
        }
        // Headers were recorded as Latin-1.
        let value: Vec<u8> = value.chars().map(|c| u8::try_from(c).unwrap()).collect();
        ask = ask.header(name, value);
    }
    ask.body(body(request))
}

fn body(request: &Json) -> Vec<u8> {
    let padded = |len| {
        let mut body = HEXLOWER
            .decode(b"a26d73686172652d6e756d62657273d9010281006e616c6c6f63617465642d73697a650a")
            .unwrap();
        body.resize(len, 0);
        body
    };
    let reason = |len: u16| {
        let mut body = b"\xa1\x66reason\x79".to_vec();
        body.extend_from_slice(&len.to_be_bytes());
        body.resize(body.len() + usize::from(len), b'x');
        body
    };
    match request["body_recipe"].as_str() {
        None => bytes(&request["body_hex"]),
        Some(recipe) if recipe.contains("padded with zero bytes to 8192") => padded(8192),
        Some(recipe) if recipe.contains("padded with zero bytes to 8193") => padded(8193),
        Some(recipe) if recipe.contains("32757 times") => reason(32_757),
        Some(recipe) if recipe.contains("32758 times") => reason(32_758),
        Some(other) => panic!("{other}"),
    }
}

/// Compares what was heard with what Tahoe said.
fn compare(step: &Json, heard: &Heard) {
    let (name, response) = (step["name"].as_str().unwrap(), &step["response"]);
    if response["status"] == 500 {
        assert!((400..600).contains(&heard.status), "{name}: {heard:?}");
        return;
    }
    assert_eq!(
        Json::from(heard.status),
        response["status"],
        "{name}: {heard:?}"
    );
    let said = |wanted: &str| {
        let mut headers = headers(response);
        headers
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    };
    let content_type = said("Content-Type");
    if !content_type.is_some_and(|value| value.starts_with("text/html")) {
        assert_eq!(heard.header("content-type"), content_type, "{name}");
    }
    assert_eq!(
        heard.header("content-range"),
        said("Content-Range"),
        "{name}"
    );
    let expected = bytes(&response["body_hex"]);
    match content_type {
        _ if heard.status >= 400 || step["request"]["method"] == "HEAD" => {}
        Some("application/cbor") => {
            let (heard, expected) = (cbor::read(&heard.body), cbor::read(&expected));
            match step["variable"].is_null() {
                true => assert_eq!(heard, expected, "{name}"),
                false => assert_eq!(shape(&heard), shape(&expected), "{name}"),
            }
        }
        _ => assert_eq!(heard.body, expected, "{name}"),
    }
}

/// A value without its numbers and strings of bytes, but for keys.
fn shape(value: &Value) -> Value {
    match value {
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), shape(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(shape).collect()),
        Value::Unsigned(_) => Value::Unsigned(0),
        Value::Bytes(_) => Value::Bytes(Vec::new()),
        other => other.clone(),
    }
}

/// A server that has the swissnum of the recorded one.
fn start(swissnum: &str) -> (Node, Running) {
    let node = Node::new("");
    std::fs::write(node.directory().swissnum_path(), swissnum).unwrap();
    let running = node.start();
    (node, running)
}

#[tokio::test]
async fn every_recorded_scenario_is_answered_as_tahoe_answered_it() {
    let (_node, running) = start(SWISSNUM);
    for scenario in [
        "01-version-auth",
        "02-immutable-upload",
        "03-immutable-read",
        "04-validation",
        "05-lease-corrupt",
        "06-mutable",
    ] {
        for (index, step) in steps(scenario).iter().enumerate() {
            println!("{scenario} {}: {}", index + 1, step["name"]);
            let mut http = Http::connect(&running.nurl).await.unwrap();
            compare(step, &http.answer(&ask(step)).await);
        }
    }
}

// The same over one connection for all: what a refused request leaves must not disturb the next.
#[tokio::test]
async fn the_scenarios_are_answered_over_connections_that_are_kept() {
    let (_node, running) = start(SWISSNUM);
    let mut connections = 0;
    let mut http = None;
    for scenario in ["02-immutable-upload", "03-immutable-read", "06-mutable"] {
        for step in steps(scenario) {
            println!("{scenario}: {}", step["name"]);
            let mut open = match http.take() {
                Some(open) => open,
                None => {
                    connections += 1;
                    Http::connect(&running.nurl).await.unwrap()
                }
            };
            let heard = open.answer(&ask(&step)).await;
            compare(&step, &heard);
            if heard.header("connection") != Some("close") {
                http = Some(open);
            }
        }
    }
    assert!(connections < 10, "{connections} connections");
}

/// Samples of what the real client sends, by their place in the fixture.
#[tokio::test]
async fn the_requests_of_the_real_client_are_answered_as_it_expects() {
    let samples = steps("07-real-client");
    let (_, authorized) = headers(&samples[0]["request"])
        .find(|(name, _)| *name == "Authorization")
        .unwrap();
    let swissnum = "hnww5p2racujw5eabvftfkgmhxpjbzy2";
    assert_eq!(authorized, authorization(swissnum));
    let (_node, running) = start(swissnum);
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let (version, rest) = samples.split_first().unwrap();
    let heard = http.answer(&ask(version)).await;
    assert_eq!(heard.header("connection"), Some("close"));
    assert_eq!(
        shape(&cbor::read(&heard.body)),
        shape(&cbor::read(&bytes(&version["response"]["body_hex"])))
    );
    http.hangs_up().await;

    let mut http = Http::connect(&running.nurl).await.unwrap();
    prepare(&mut http, &samples).await;
    for step in rest {
        println!("{}", step["name"]);
        let heard = http.answer(&ask(step)).await;
        let response = &step["response"];
        assert_eq!(Json::from(heard.status), response["status"], "{heard:?}");
        match heard.header("content-type") {
            // The slot's other share was sent before the samples.
            Some("application/cbor") if step["name"].as_str().unwrap().contains("mutable") => {
                cbor::read(&heard.body);
            }
            _ => compare(step, &heard),
        }
    }
}

/// What was there before the samples were taken: an upload to be aborted, a share to be leased.
async fn prepare(http: &mut Http, samples: &[Json]) {
    let sample = |name: &str| {
        let found = samples
            .iter()
            .find(|step| step["name"].as_str().unwrap() == name);
        found.unwrap_or_else(|| panic!("{name}"))
    };
    let bucket = |step: &Json| {
        let target = step["request"]["target"].as_str().unwrap();
        target.split('/').nth(4).unwrap().to_owned()
    };
    let secrets = |step: &Json| -> Vec<String> {
        let secrets =
            headers(&step["request"]).filter(|(name, _)| *name == "X-Tahoe-Authorization");
        secrets.map(|(_, value)| value.to_owned()).collect()
    };
    let one_byte = HEXLOWER
        .decode(b"a26d73686172652d6e756d62657273d9010281006e616c6c6f63617465642d73697a6501")
        .unwrap();
    let abort = sample("abort");
    let target = format!("/storage/v1/immutable/{}", bucket(abort));
    let mut allocate = http.ask("POST", &target).lease(1).body(&one_byte);
    for secret in secrets(abort) {
        allocate = allocate.header("X-Tahoe-Authorization", secret);
    }
    assert_eq!(http.answer(&allocate).await.status, 200);

    let lease = sample("add or renew lease");
    let target = format!("/storage/v1/immutable/{}", bucket(lease));
    let allocate = http
        .ask("POST", &target)
        .lease(1)
        .upload_secret(1)
        .body(&one_byte);
    assert_eq!(http.answer(&allocate).await.status, 200);
    let write = http
        .ask("PATCH", &format!("{target}/0"))
        .upload_secret(1)
        .header("Content-Range", "bytes 0-0/*")
        .body("x");
    assert_eq!(http.answer(&write).await.status, 201);
}
