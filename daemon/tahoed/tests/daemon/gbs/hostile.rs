//! Clients that are wrong, slow or malicious over HTTP: each is answered within bounds or hung up
//! on, writes nothing that it should not, and costs nobody else anything.

use std::time::Duration;

use data_encoding::BASE64;
use lafs::{StorageIndex, num};
use protocol::gbs::{AllocateRequest, VersionAnswer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::http::{Ask, Http, authorization};
use crate::client::{FOREVER, bucket, pattern, tls};
use crate::hostile::{impatient, serves, settle};
use crate::node::{Node, Running};

const SI: &str = "aeaqcaibaeaqcaibaeaqcaibae";

/// Every endpoint with all that it needs but the swissnum.
fn endpoints() -> Vec<Ask> {
    let path = |rest: &str| format!("/storage/v1/{rest}");
    let allocate = AllocateRequest {
        share_numbers: vec![lafs::ShareNumber::new(0)],
        allocated_size: 5,
    };
    vec![
        Ask::new("GET", &path("version")),
        Ask::new("PUT", &path(&format!("lease/{SI}"))).lease(1),
        Ask::new("POST", &path(&format!("immutable/{SI}")))
            .lease(1)
            .upload_secret(1)
            .body(allocate.encode()),
        Ask::new("PATCH", &path(&format!("immutable/{SI}/0")))
            .upload_secret(1)
            .header("Content-Range", "bytes 0-4/*")
            .body("share"),
        Ask::new("PUT", &path(&format!("immutable/{SI}/0/abort"))).upload_secret(1),
        Ask::new("GET", &path(&format!("immutable/{SI}/shares"))),
        Ask::new("GET", &path(&format!("immutable/{SI}/0"))),
        Ask::new("POST", &path(&format!("immutable/{SI}/0/corrupt"))).body(b"\xa1\x66reason\x61x"),
        Ask::new("POST", &path(&format!("mutable/{SI}/read-test-write")))
            .lease(1)
            .secret("write-enabler", &[1; 32])
            .body(b"\xa2\x72test-write-vectors\xa0\x6bread-vector\x80"),
        Ask::new("GET", &path(&format!("mutable/{SI}/shares"))),
        Ask::new("GET", &path(&format!("mutable/{SI}/0"))),
        Ask::new("POST", &path(&format!("mutable/{SI}/0/corrupt"))).body(b"\xa1\x66reason\x61x"),
    ]
}

/// That nothing is in the store but what was put there in good faith.
async fn nothing_written(node: &Node, running: &Running) {
    let mut http = Http::connect(&running.nurl).await.unwrap();
    assert_eq!(http.list(SI.parse().unwrap()).await, []);
    serves(running).await;
    assert_eq!(node.placed(1), 1);
    assert_eq!(node.incoming(), 0);
    assert!(!node.store().join("corruption-advisories").exists());
}

#[tokio::test]
async fn a_wrong_swissnum_opens_no_endpoint() {
    let node = Node::new("");
    let running = node.start();
    let right = authorization(running.nurl.swissnum().as_str());
    let cut = &right[..right.len() - 4];
    for ask in endpoints() {
        let with = |value: &str| ask.clone().header("Authorization", value);
        for ask in [
            ask.clone(),
            with(""),
            with(cut),
            with(&authorization("wrong")),
            with(&right.to_lowercase()),
            with(&format!("{right}{right}")),
            with("wrong").header("Authorization", &right),
        ] {
            let mut http = Http::connect(&running.nurl).await.unwrap();
            let heard = http.answer(&ask).await;
            assert_eq!(heard.status, 401, "{ask:?}");
            assert!(!String::from_utf8_lossy(&heard.body).contains("wrong"));
        }
    }
    nothing_written(&node, &running).await;
}

// The body of a stranger is not worth reading: he is told at once, whatever he announces.
#[tokio::test]
async fn a_stranger_is_answered_before_his_body() {
    let node = Node::new("");
    let running = node.start();
    for ask in endpoints() {
        for size in ["1000000000", "9223372036854775808"] {
            let mut http = Http::connect(&running.nurl).await.unwrap();
            let ask = ask.clone().header("Content-Length", size);
            let heard = http.answer(&ask).await;
            assert_eq!(
                (heard.status, heard.header("connection")),
                (401, Some("close"))
            );
            http.hangs_up().await;
        }
    }
    nothing_written(&node, &running).await;
}

#[tokio::test]
async fn secrets_that_are_missing_surplus_or_misspelt_are_refused() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let target = format!("/storage/v1/immutable/{SI}");
    let body = AllocateRequest {
        share_numbers: vec![lafs::ShareNumber::new(0)],
        allocated_size: 5,
    };
    let base = http.ask("POST", &target).body(body.encode());
    let good = |ask: Ask| ask.lease(1).upload_secret(1);
    let header = "X-Tahoe-Authorization";
    let base64 = BASE64.encode(&[1; 32]);
    for ask in [
        base.clone(),
        base.clone().lease(1),
        base.clone().upload_secret(1),
        good(base.clone()).secret("write-enabler", &[1; 32]),
        good(base.clone()).secret("lease-renew-secret", &[1; 31]),
        good(base.clone()).secret("lease-renew-secret", &[1; 33]),
        good(base.clone()).secret("upload-secret", b""),
        good(base.clone()).secret("Upload-Secret", &[1; 20]),
        good(base.clone()).secret("master-secret", &[1; 20]),
        good(base.clone()).header(header, ""),
        good(base.clone()).header(header, "upload-secret"),
        good(base.clone()).header(
            header,
            format!("upload-secret {}", &base64[..base64.len() - 1]),
        ),
        good(base.clone()).header(header, format!("upload-secret  {base64}")),
        good(base.clone()).header(header, "upload-secret ****"),
        good(base.clone()).header(header, b"upload-secret \xff\xfe"),
        base.clone().header(
            header,
            format!("upload-secret {base64}, lease-renew-secret {base64}"),
        ),
    ] {
        let heard = http.answer(&ask).await;
        assert_eq!(heard.status, 400, "{ask:?}");
        // The text must not repeat what may be a secret.
        assert!(!String::from_utf8_lossy(&heard.body).contains(&base64[..8]));
    }
    nothing_written(&node, &running).await;
    // Of two of one kind the last counts.
    let ask = base.lease(2).upload_secret(2).lease(1).upload_secret(1);
    assert_eq!(http.answer(&ask).await.status, 200);
    let (status, _) = http.write_part(SI.parse().unwrap(), 0, 0, b"sh", 1).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn messages_that_are_wrong_huge_or_endless_are_refused() {
    let node = Node::new("");
    let running = node.start();
    let allocate = b"\xa2\x6dshare-numbers\xd9\x01\x02\x81\x00\x6eallocated-size\x05";
    let reading = b"\xa2\x72test-write-vectors\xa0\x6bread-vector\x80";
    let mut bodies = Vec::new();
    for (path, body) in [
        (format!("immutable/{SI}"), &allocate[..]),
        (format!("mutable/{SI}/read-test-write"), &reading[..]),
    ] {
        let mut add = |body: Vec<u8>| bodies.push((path.clone(), body));
        for len in 0..body.len() {
            add(body[..len].to_vec());
        }
        add(pattern(1000, 1));
        add(vec![0x81; 5000]);
        add(vec![0xbf; 5000]);
        // A map, an array, a text and a byte string of 2^63 and of 2^64 - 1.
        for major in [0xbb, 0x9b, 0x7b, 0x5b] {
            add([&[major, 0x80][..], &[0; 7]].concat());
            add([&[major][..], &[0xff; 8], &[0; 50]].concat());
        }
    }
    let set = |count: &[u8]| {
        let mut body = b"\xa2\x6dshare-numbers\xd9\x01\x02".to_vec();
        body.extend_from_slice(count);
        body
    };
    bodies.push((
        format!("immutable/{SI}"),
        set(&[0x9b, 0x40, 0, 0, 0, 0, 0, 0, 0]),
    ));
    // Negative and too large numbers, a size of nothing.
    for number in [
        &b"\x20"[..],
        b"\x19\x01\x00",
        b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let body = [&set(b"\x81")[..], number, b"\x6eallocated-size\x05"].concat();
        bodies.push((format!("immutable/{SI}"), body));
    }
    for size in [
        &b"\x00"[..],
        b"\x20",
        b"\xf9\x3c\x00",
        b"\xc2\x49\x01\0\0\0\0\0\0\0\0",
    ] {
        let body = [&set(b"\x81\x00")[..], b"\x6eallocated-size", size].concat();
        bodies.push((format!("immutable/{SI}"), body));
    }
    let mut http = Http::connect(&running.nurl).await.unwrap();
    for (path, body) in bodies {
        let ask = http
            .ask("POST", &format!("/storage/v1/{path}"))
            .lease(1)
            .body(&body);
        let ask = match path.starts_with("mutable") {
            true => ask.secret("write-enabler", &[1; 32]),
            false => ask.upload_secret(1),
        };
        let heard = http.answer(&ask).await;
        assert!(
            [400, 413].contains(&heard.status),
            "{path} {body:02x?}: {heard:?}"
        );
        if heard.header("connection") == Some("close") {
            http = Http::connect(&running.nurl).await.unwrap();
        }
    }
    nothing_written(&node, &running).await;
}

// Announced or not, a body has a bound.
#[tokio::test]
async fn bodies_beyond_their_bound_are_refused_without_being_read() {
    let node = Node::new("");
    let running = node.start();
    for (path, size) in [
        (format!("immutable/{SI}"), 8193_u64),
        (format!("immutable/{SI}"), 1 << 63),
        (format!("mutable/{SI}/read-test-write"), 1 << 48),
        (format!("lease/{SI}"), 1 << 30),
    ] {
        let mut http = Http::connect(&running.nurl).await.unwrap();
        let method = if path.starts_with("lease") {
            "PUT"
        } else {
            "POST"
        };
        let ask = http.ask(method, &format!("/storage/v1/{path}")).lease(1);
        let ask = match path.split('/').next() {
            Some("mutable") => ask.secret("write-enabler", &[1; 32]),
            Some("immutable") => ask.upload_secret(1),
            _ => ask,
        };
        let heard = http
            .answer(&ask.header("Content-Length", size.to_string()))
            .await;
        assert_eq!(heard.status, 413, "{path} {size}");
        http.hangs_up().await;
    }
    // In chunks, whose end never comes.
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let ask = http
        .ask("POST", &format!("/storage/v1/immutable/{SI}"))
        .lease(1)
        .upload_secret(1)
        .header("Transfer-Encoding", "chunked");
    http.send(&ask).await.unwrap();
    let chunk = [b"1000\r\n".to_vec(), vec![0; 4096], b"\r\n".to_vec()].concat();
    for _ in 0..3 {
        http.write(&chunk).await.unwrap();
    }
    assert_eq!(http.heard("POST").await.unwrap().status, 413);
    http.hangs_up().await;
    nothing_written(&node, &running).await;
}

#[tokio::test]
async fn ranges_that_make_no_sense_are_refused_and_overlaps_must_agree() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    http.allocate(bucket(1), &[0], 48, 1).await;
    for range in [
        "",
        "bytes",
        "bytes -5",
        "bytes -5--1/*",
        "bytes 5-4/*",
        "bytes 0-4",
        "bytes +0-4/*",
        "bytes 0-4/3/2",
        "bytes 0-4, 6-7/*",
        "bytes 9-10/9",
        "bytes 0-18446744073709551615/*",
        "bytes 0-99999999999999999999/*",
        "items 0-4/*",
        "bytes=0-4/*",
    ] {
        let ask = http
            .bucket("PATCH", bucket(1), "/0")
            .upload_secret(1)
            .body("share");
        let heard = http.answer(&ask.header("Content-Range", range)).await;
        assert_eq!(heard.status, 416, "{range}");
    }
    let status = |answer: (u16, Vec<(u64, u64)>)| answer.0;
    assert_eq!(
        status(http.write_part(bucket(1), 0, 8, b"abcdefgh", 1).await),
        200
    );
    assert_eq!(
        status(http.write_part(bucket(1), 0, 12, b"efghij", 1).await),
        200
    );
    assert_eq!(
        status(http.write_part(bucket(1), 0, 0, b"12345678X", 1).await),
        409
    );
    assert_eq!(
        status(http.write_part(bucket(1), 0, 40, &[1; 9], 1).await),
        416
    );
    assert_eq!(
        status(http.write_part(bucket(1), 0, 5000, b"x", 1).await),
        416
    );
    assert_eq!(status(http.write_part(bucket(1), 0, 0, b"x", 2).await), 401);
    assert_eq!(http.read(bucket(1), 0).await.status, 404);
    http.store(bucket(2), 0, b"0123456789").await;
    for range in [
        "bytes=-5",
        "bytes=5-",
        "bytes=5-4",
        "bytes=0-1,3-4",
        "x",
        "bytes=0-+4",
    ] {
        let ask = http.bucket("GET", bucket(2), "/0").header("Range", range);
        assert_eq!(http.answer(&ask).await.status, 416, "{range}");
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_store() {
    let node = Node::new("");
    let running = node.start();
    let outside = node.directory().path().join("private/swissnum");
    let before = std::fs::read(&outside).unwrap();
    for path in [
        "/",
        "*",
        "/storage/v1/../../private/swissnum",
        "/storage/v1/immutable/../../../private/swissnum",
        "/storage/v1/immutable/..%2f..%2f..%2fprivate/swissnum",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibae/..",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibae/%2e%2e",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibae/..%2f0",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibae/0%00",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibae/256",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibae/-1",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibae/1e1",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibae/18446744073709551616",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibaE/0",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaibab/0",
        "/storage/v1/immutable/aeaqcaibaeaqcaibaeaqcaib/0",
        "/storage/v1/immutable/incoming/0",
        "/storage/v1/immutable//0",
        "/storage/v1/version/..",
    ] {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            let mut http = Http::connect(&running.nurl).await.unwrap();
            let ask = http.ask(method, path).lease(1).upload_secret(1);
            let heard = http
                .answer(&ask.header("Content-Range", "bytes 0-0/*").body("x"))
                .await;
            assert!(
                [400, 404].contains(&heard.status),
                "{method} {path}: {heard:?}"
            );
        }
    }
    assert_eq!(std::fs::read(&outside).unwrap(), before);
    nothing_written(&node, &running).await;
}

#[tokio::test]
async fn what_is_no_request_is_answered_or_hung_up_on() {
    let node = Node::new("");
    let running = node.start();
    let long_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(9000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(300));
    let version = "GET /storage/v1/version HTTP/1.1";
    for bytes in [
        pattern(5000, 3),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\r\n\r\n\r\n\r\nGET\r\n\r\n".to_vec(),
        b"GET /storage/v1/version HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /storage /v1/version HTTP/1.1\r\n\r\n".to_vec(),
        long_header.into_bytes(),
        many_headers.into_bytes(),
        format!("{version}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy").into_bytes(),
        format!("{version}\r\nContent-Length: -1\r\n\r\n").into_bytes(),
        format!("{version}\r\nTransfer-Encoding: gzip\r\n\r\n").into_bytes(),
        format!("{version}\r\n: x\r\n\r\n").into_bytes(),
        format!("{version}\r\nA\0: x\r\n\r\n").into_bytes(),
    ] {
        let mut stream = tls(&running.nurl, &[]).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        let mut said = Vec::new();
        let read = tokio::time::timeout(FOREVER, stream.read_to_end(&mut said));
        let _reset = read.await.expect("the server hangs up within reason");
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    nothing_written(&node, &running).await;
}

// Requests that do not wait for answers get them all the same, in their order.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    http.store(bucket(1), 0, &pattern(256, 0)).await;
    let mut bytes = Vec::new();
    for index in 0..200 {
        let ask = http.bucket("GET", bucket(1), "/0");
        bytes.extend(
            ask.header("Range", format!("bytes={index}-{index}"))
                .bytes(),
        );
    }
    let (mut reading, mut writing) = tokio::io::split(http.stream);
    let write = async {
        writing.write_all(&bytes).await.unwrap();
        writing.flush().await.unwrap();
    };
    let read = async {
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        while said.windows(4).filter(|four| four == b"\r\n\r\n").count() < 200 {
            let len = tokio::time::timeout(FOREVER, reading.read(&mut buffer));
            let len = len.await.unwrap().unwrap();
            assert_ne!(len, 0);
            said.extend_from_slice(&buffer[..len]);
        }
        said
    };
    let (said, ()) = tokio::join!(read, write);
    let said = String::from_utf8_lossy(&said).into_owned();
    let ranges: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("content-range: "))
        .collect();
    let expected: Vec<String> = (0..200)
        .map(|index| format!("bytes {index}-{index}/*"))
        .collect();
    assert_eq!(ranges, expected);
}

// One byte every tenth of a second: always active, never done.
#[tokio::test]
async fn heads_and_bodies_that_drip_are_hung_up_on() {
    let (node, running) = impatient();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    http.allocate(SI.parse().unwrap(), &[0], 1_000_000, 1).await;
    let share = vec![7; 1_000_000];
    let body = http
        .writing(SI.parse().unwrap(), 0, 0, &share)
        .upload_secret(1)
        .bytes();
    let message = http
        .allocating(bucket(5), &[0], 5, 1)
        .header("X", "y".repeat(5000))
        .bytes();
    // In the middle of a head, after an answer; in the middle of a body of share bytes.
    for (begun, rest, told) in [
        (&message[..20], &message[20..], None),
        (&body[..800], &body[800..], Some(408)),
    ] {
        let mut http = Http::connect(&running.nurl).await.unwrap();
        let version = http.answer(&http.ask("GET", "/storage/v1/version")).await;
        assert_eq!(version.status, 200);
        http.write(begun).await.unwrap();
        let (mut heard, mut writing) = http.split();
        let dripping = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            for byte in rest {
                ticks.tick().await;
                if writing
                    .write_all(&[*byte])
                    .await
                    .and(writing.flush().await)
                    .is_err()
                {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let answer = tokio::select! {
            answer = heard.heard("PATCH") => answer,
            () = dripping => unreachable!("it drips for ever"),
        };
        assert_eq!(answer.map(|heard| heard.status), told);
    }
    assert_eq!(node.shares().len(), 0);
    serves(&running).await;
}

#[tokio::test]
async fn a_client_that_presents_no_swissnum_is_hung_up_on_in_time() {
    let (_node, running) = impatient();
    // Silent; and busy with requests that are all refused.
    let mut silent = Http::connect(&running.nurl).await.unwrap();
    let mut busy = Http::connect(&running.nurl).await.unwrap();
    silent.hangs_up().await;
    let ask = Ask::new("GET", "/storage/v1/version");
    let refused = async {
        while busy.send(&ask).await.is_ok() {
            match busy.heard("GET").await {
                Some(heard) => assert_eq!(heard.status, 401),
                None => return,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let hung_up = tokio::time::timeout(FOREVER, refused).await;
    hung_up.expect("the server hangs up within reason");
    serves(&running).await;
}

// It asks for much and takes nothing: the server's memory is not its buffer.
#[tokio::test]
async fn a_client_that_takes_no_answer_is_hung_up_on() {
    // Made first: it takes longer than the server waits for a first request, on a busy machine.
    let share = pattern(20 << 20, 0);
    let (_node, running) = impatient();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    http.store(bucket(1), 0, &share).await;
    settle(&running, 1).await;
    let before = running.descriptors();
    let mut greedy = Http::connect(&running.nurl).await.unwrap();
    greedy
        .send(&greedy.bucket("GET", bucket(1), "/0"))
        .await
        .unwrap();
    settle(&running, before).await;
    let heard = http.read(bucket(1), 0).await;
    assert!(heard.body == share);
    serves(&running).await;
}

#[tokio::test]
async fn a_body_is_sent_for_when_the_client_waits_to_be_told() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    http.allocate(bucket(1), &[0], 5, 1).await;
    let bytes = http.writing(bucket(1), 0, 0, b"share").upload_secret(1);
    let bytes = bytes.header("Expect", "100-continue").bytes();
    let (head, body) = bytes.split_at(bytes.len() - 5);
    http.write(head).await.unwrap();
    let mut said = [0; 25];
    let read = tokio::time::timeout(FOREVER, http.stream.read_exact(&mut said));
    read.await.unwrap().unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    http.write(body).await.unwrap();
    assert_eq!(http.heard("PATCH").await.unwrap().status, 201);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let node = Node::new("limits.connections = 1");
    let running = node.start();
    let mut one = Http::connect(&running.nurl).await.unwrap();
    let ask = one.ask("GET", "/storage/v1/version");
    assert_eq!(one.answer(&ask).await.status, 200);
    let mut two = Http::connect(&running.nurl).await.unwrap();
    assert_eq!(two.answer(&ask).await.status, 503);
    two.hangs_up().await;
    assert_eq!(one.answer(&ask).await.status, 200);
}

#[tokio::test]
async fn idle_connections_and_answers_under_way_do_not_keep_the_daemon_from_stopping() {
    let node = Node::new("limits.stop_timeout_seconds = 60");
    let running = node.start();
    let mut idle = Http::connect(&running.nurl).await.unwrap();
    idle.store(bucket(1), 0, &pattern(2 << 20, 0)).await;
    let mut reader = Http::connect(&running.nurl).await.unwrap();
    reader
        .send(&reader.bucket("GET", bucket(1), "/0"))
        .await
        .unwrap();
    // The first bytes prove that it is in the middle of it.
    let mut first = [0; 1];
    reader.stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, *b"H");
    running.terminate();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(FOREVER, reader.stream.read_to_end(&mut rest));
    read.await.unwrap().unwrap();
    assert!(rest.ends_with(&pattern(2 << 20, 0)));
    idle.hangs_up().await;
    let stopped = tokio::task::spawn_blocking(|| running.wait());
    let in_time = tokio::time::timeout(Duration::from_secs(40), stopped).await;
    assert!(in_time.expect("long before the timeout").unwrap().success());
}

#[tokio::test]
async fn hostile_clients_leave_no_descriptors_and_disturb_no_upload() {
    let node = Node::new("");
    let running = node.start();
    let share = pattern(2_000_000, 5);
    let honest: StorageIndex = bucket(1);
    let mut http = Http::connect(&running.nurl).await.unwrap();
    http.allocate(honest, &[0], num::size(share.len()), 1).await;
    http.write_part(honest, 0, 0, &share[..1_000_000], 1).await;
    serves(&running).await;
    settle(&running, 1).await;
    let before = running.descriptors();
    for salt in 0..20 {
        let mut one = Http::connect(&running.nurl).await.unwrap();
        let bytes = one
            .writing(honest, 0, 1_000_000, &[9; 100_000])
            .upload_secret(2)
            .bytes();
        one.write(&bytes[..50_000]).await.unwrap();
        let mut two = Http::connect(&running.nurl).await.unwrap();
        two.write(&pattern(2000, salt)).await.unwrap();
        let mut three = Http::connect(&running.nurl).await.unwrap();
        let abort = three.bucket("PUT", honest, "/0/abort").upload_secret(2);
        assert_eq!(three.answer(&abort).await.status, 401);
        let mut four = Http::connect(&running.nurl).await.unwrap();
        let answer = four.allocate(honest, &[0, 1], 1 << 20, 2).await;
        assert!(!answer.allocated.contains(&lafs::ShareNumber::new(0)));
        four.write_part(honest, 1, 0, &[1; 1000], 2).await;
        let mut five = Http::connect(&running.nurl).await.unwrap();
        five.send(&five.bucket("GET", honest, "/0")).await.unwrap();
    }
    // Parts of uploads keep no file open.
    settle(&running, before).await;
    let (status, _) = http
        .write_part(honest, 0, 1_000_000, &share[1_000_000..], 1)
        .await;
    assert_eq!(status, 201);
    assert!(http.read(honest, 0).await.body == share);
}

#[tokio::test]
async fn the_space_that_is_told_is_what_may_be_used() {
    let node = Node::new("store.reserved_space = '1000P'");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let heard = http.answer(&http.ask("GET", "/storage/v1/version")).await;
    let version = VersionAnswer::decode(&heard.body).unwrap();
    assert_eq!(version.available_space, 0);
    assert_eq!(http.allocate(bucket(1), &[0], 5, 1).await.allocated, []);
    let (status, _) = http.write_part(bucket(1), 0, 0, b"share", 1).await;
    assert_eq!(status, 404);
}
