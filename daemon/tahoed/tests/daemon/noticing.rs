//! What the log says at the level `info` of what clients do, and that they cannot flood it.

use std::fs;

use lafs::Swissnum;
use protocol::Reason;
use protocol::server::Outcome;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Client, bucket};
use crate::gbs::http::Http;
use crate::node::{Node, Running};

/// Everything that was logged until the server has answered a signal that came after it.
fn log(running: &Running) -> String {
    running.signal(Signal::USR1);
    running.logged("status connections=")
}

#[tokio::test]
async fn wrong_swissnums_are_said_once_and_counted_whichever_protocol_they_came_by() {
    let node = Node::new("log.level = 'info'");
    let running = node.start();
    let wrong = Swissnum::new("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
    for _ in 0..5 {
        let mut client = Client::connect_with(&running.nurl, 1, &wrong)
            .await
            .unwrap();
        client.connection.lease(bucket(1));
        client.farewell().await;
        let mut http = Http::connect(&running.nurl).await.unwrap();
        let ask = crate::gbs::http::Ask::new("GET", "/storage/v1/version");
        assert_eq!(http.answer(&ask).await.status, 401);
    }
    let said = log(&running);
    assert_eq!(
        said.matches("a client has a wrong swissnum").count(),
        1,
        "{said}"
    );
    running.terminate();
    let said = running.logged("stopped");
    assert!(
        said.contains("more wrong swissnums in the last minute count=9"),
        "{said}"
    );
    assert!(!said.contains("aaaaaaaa"), "{said}");
    assert!(running.wait().success());
}

#[tokio::test]
async fn handshakes_that_fail_and_broken_requests_are_said_once() {
    let node = Node::new("log.level = 'info'");
    let running = node.start();
    for _ in 0..5 {
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        socket.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut heard).await;
        let mut http = Http::connect(&running.nurl).await.unwrap();
        http.write(b"\x1b[2J nonsense\r\n\r\n").await.unwrap();
        http.hangs_up().await;
    }
    running.terminate();
    let said = running.logged("stopped");
    for (line, count) in [
        ("TLS failed; further failures are counted", 1),
        ("more TLS handshakes failed in the last minute count=4", 1),
        ("a client broke the protocol; further ones are counted", 1),
        (
            "more clients broke the protocol in the last minute count=4",
            1,
        ),
    ] {
        assert_eq!(said.matches(line).count(), count, "{line}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

// Once an attacker wrote 2 743 lines a second.
#[tokio::test]
async fn reports_of_corrupt_shares_are_said_once_and_counted_and_printable() {
    let node = Node::new("log.level = 'info'");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(1), 0, b"share").await, Outcome::Stored);
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let path = format!("/storage/v1/immutable/{}/0/corrupt", bucket(1));
    // {"reason": "a\u{1b}[2J\nb"} in CBOR.
    let body = b"\xa1\x66reason\x67a\x1b[2J\nb";
    for _ in 0..20 {
        let ask = http.ask("POST", &path).body(body);
        let ask = ask.header("Content-Type", "application/cbor");
        assert_eq!(http.answer(&ask).await.status, 200);
    }
    running.terminate();
    let said = running.logged("stopped");
    assert_eq!(
        said.matches("a client reports a corrupt share").count(),
        1,
        "{said}"
    );
    assert!(said.contains("reason=a\\u{1b}[2J\\nb"), "{said}");
    assert!(
        said.contains("more reports of corrupt shares in the last minute count=19"),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[tokio::test]
async fn a_store_that_takes_no_shares_says_so_at_start_and_when_it_refuses_one() {
    for (settings, reason, at_start, at_refusal, at_end) in [
        (
            "store.reserved_space = '1EiB'",
            Reason::Full,
            "taking no new shares: the free space is below store.reserved_space",
            "refusing new shares: the free space is down to store.reserved_space",
            "so many were, as full count=",
        ),
        (
            "store.max_size = 0",
            Reason::Full,
            "taking no new shares: the store holds store.max_size",
            "or the shares have store.max_size",
            "so many were, as full count=",
        ),
        (
            "store.read_only = true",
            Reason::ReadOnly,
            "taking no new shares: store.read_only is set",
            "refusing new shares: the store is read-only",
            "so many were, as read-only count=",
        ),
    ] {
        let node = Node::new(&format!("log.level = 'info'\n{settings}"));
        let running = node.start();
        running.logged(at_start);
        let mut client = Client::connect(&running.nurl, 1).await.unwrap();
        for number in 0..10 {
            match client.put(bucket(number), 0, b"share").await {
                Outcome::Refused(refusal) => assert_eq!(refusal.reason, reason),
                other => panic!("{other:?}"),
            }
        }
        // Tahoe's protocol is not refused: it is given less than it asked for.
        let mut http = Http::connect(&running.nurl).await.unwrap();
        assert_eq!(http.allocate(bucket(77), &[0], 5, 1).await.allocated, []);
        let said = log(&running);
        assert_eq!(said.matches(at_refusal).count(), 1, "{said}");
        // The end is said after a minute without a refusal, with how many there were.
        assert!(!said.contains(at_end), "{said}");
    }
}

// Two spellings of one value, `Full` and `"full"`, and lists in brackets are for us, not for programs.
#[tokio::test]
async fn a_log_in_json_has_values_and_no_notation_of_ours() {
    let node = Node::new("log.format = 'json'");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(1), 0, b"share").await, Outcome::Stored);
    drop(client);
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let ask = http.ask("GET", "/storage/v1/version");
    assert_eq!(http.answer(&ask).await.status, 200);
    drop(http);
    running.signal(Signal::USR1);
    running.logged("\"message\":\"status\"");
    running.terminate();
    let said = running.logged("\"message\":\"stopped\"");
    for line in said.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for (key, value) in line.as_object().unwrap() {
            let text = value.as_str().unwrap_or("");
            let is_words = !text.contains(['{', '[', '"']) && !text.contains("::");
            assert!(is_words && !value.is_object(), "{key}: {value}");
        }
    }
    let serving = said
        .lines()
        .find(|line| line.contains("\"serving\""))
        .unwrap();
    let serving: Value = serde_json::from_str(serving).unwrap();
    assert_eq!(serving["addresses"], running.address.to_string());
    assert_eq!(serving["durability"], "durable");
}

// The sockets that wait took the descriptors of the store, and authorised requests got a 500.
#[tokio::test]
async fn idle_connections_leave_the_store_its_descriptors() {
    let node = Node::new("");
    let running = node.start_with_descriptors(64);
    running.logged("fewer connections at once than configured");
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(0), 0, b"share").await, Outcome::Stored);
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(running.address).await.unwrap());
    }
    for number in 1..20 {
        let share = vec![7; 100_000];
        let upload = client.upload(bucket(number), 0, &share).await;
        assert_eq!(upload, Outcome::Stored);
        assert_eq!(client.share(bucket(number), 0).await, Some(share));
    }
    drop(idle);
    running.terminate();
    assert!(running.wait().success());
}

#[test]
fn too_few_descriptors_to_serve_anybody_are_refused_with_the_number_that_would_do() {
    let node = Node::new("");
    let (code, said) = node.fail_with_descriptors(40);
    assert_eq!(code, Some(3), "{said}");
    let least = said.split("ulimit -n ").nth(1).unwrap();
    let least: u64 = least.split(',').next().unwrap().parse().unwrap();
    let running = node.start_with_descriptors(least);
    running.terminate();
    assert!(running.wait().success());
}

// Out of descriptors, the listener stays readable: a loop that only tries again would never sleep.
#[tokio::test]
async fn running_out_of_descriptors_is_said_once_and_ends_when_there_are_some_again() {
    let node = Node::new("log.level = 'info'");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(0), 0, b"share").await, Outcome::Stored);
    // The server's hard limit is ours, and nobody may raise it again.
    let few = Rlimit {
        current: Some(10),
        ..getrlimit(Resource::Nofile)
    };
    let before = prlimit(Some(running.id()), Resource::Nofile, few).unwrap();
    let _waiting = TcpStream::connect(running.address).await.unwrap();
    running.logged("cannot accept a connection");
    prlimit(Some(running.id()), Resource::Nofile, before).unwrap();
    let mut other = Client::connect(&running.nurl, 2).await.unwrap();
    assert_eq!(other.put(bucket(1), 0, b"share").await, Outcome::Stored);
    let said = log(&running);
    assert_eq!(
        said.matches("cannot accept a connection").count(),
        1,
        "{said}"
    );
}

#[test]
fn adopting_and_running_leave_secrets_of_the_log_out() {
    let node = Node::new("log.level = 'trace'");
    let running = node.start();
    running.terminate();
    let said = running.logged("stopped");
    let swissnum = fs::read_to_string(node.directory().swissnum_path()).unwrap();
    assert!(!said.contains(swissnum.trim()), "{said}");
}
