//! Peers that are wrong, slow, silent or malicious: each is refused, and nobody else notices.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lafs::{ShareNumber, Swissnum};
use protocol::frame::ServerFrame;
use protocol::server::Outcome;
use protocol::{Farewell, FrameReader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, FOREVER, bucket, pattern, tls};
use crate::node::{Node, Running};

/// A server that is patient for a few seconds: on a busy machine honest clients need them too.
pub(crate) fn impatient() -> (Node, Running) {
    let node = Node::new(
        "[limits]\nhandshake_timeout_seconds = 4\nprogress_timeout_seconds = 2\n\
         idle_timeout_seconds = 86400",
    );
    let running = node.start();
    (node, running)
}

/// That a client in good faith is served.
pub(crate) async fn serves(running: &Running) {
    let mut client = Client::connect(&running.nurl, 9).await.unwrap();
    let share = pattern(1000, 0);
    let outcome = client.put(bucket(99), 0, &share).await;
    assert!(
        matches!(outcome, Outcome::Stored | Outcome::AlreadyHere),
        "{outcome:?}"
    );
    assert_eq!(client.share(bucket(99), 0).await.unwrap(), share);
}

/// Reads until the server hangs up.
async fn until_hung_up(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(FOREVER, stream.read_to_end(&mut bytes));
    let _reset = read.await.expect("the server hangs up within reason");
    bytes
}

/// Why the server refused, as its last frame says.
fn refusal_in(mut said: &[u8]) -> Option<Farewell> {
    let mut reader = FrameReader::default();
    let mut last = None;
    while let Some(raw) = reader
        .read(&mut said, ServerFrame::payload_len_max)
        .unwrap()
    {
        last = Some(ServerFrame::decode(raw.frame_type, &raw.payload).unwrap());
    }
    match last? {
        ServerFrame::Refuse { farewell, .. } => Some(farewell),
        _ => None,
    }
}

/// HELLO of a client that may come in.
fn hello(running: &Running) -> Vec<u8> {
    let swissnum = running.nurl.swissnum().as_str().as_bytes();
    let mut bytes = vec![0x01, 0x40, u8::try_from(32 + swissnum.len()).unwrap()];
    bytes.extend_from_slice(&[7; 32]);
    bytes.extend_from_slice(swissnum);
    bytes
}

#[tokio::test]
async fn a_wrong_swissnum_lets_nobody_in() {
    let node = Node::new("");
    let running = node.start();
    let wrong = Swissnum::from_random(&[0; 20]);
    let mut client = Client::connect_with(&running.nurl, 1, &wrong)
        .await
        .unwrap();
    client
        .connection
        .put(bucket(1), ShareNumber::new(0), Bytes::from_static(b"share"));
    assert_eq!(client.farewell().await, Some(Farewell::WrongSwissnum));
    assert_eq!(node.shares().len(), 0);
    serves(&running).await;
}

// The pin is the client's only proof of whom it gives its swissnum to.
#[tokio::test]
async fn another_key_than_the_pinned_one_ends_in_tls() {
    let (one, two) = (Node::new(""), Node::new(""));
    let (one, two) = (one.start(), two.start());
    let mixed = lafs::nurl::Nurl::new(
        *two.nurl.key_hash(),
        one.nurl.host().clone(),
        one.nurl.port(),
        one.nurl.swissnum().clone(),
    );
    let error = Client::connect(&mixed.unwrap(), 1).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    serves(&one).await;
}

#[tokio::test]
async fn bytes_that_are_not_tls_are_hung_up_on() {
    let node = Node::new("");
    let running = node.start();
    for garbage in [
        pattern(5000, 3),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0x16, 3, 1, 0xff, 0xff, 1],
    ] {
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        let _reset = socket.write_all(&garbage).await;
        let _reset = socket.shutdown().await;
        until_hung_up(&mut socket).await;
    }
    serves(&running).await;
}

#[tokio::test]
async fn a_client_that_names_no_protocol_of_ours_is_hung_up_on() {
    let node = Node::new("");
    let running = node.start();
    for alpn in [&[&b"h2"[..]][..], &[&b"h2"[..], &b"tahoe-pipeline/2"[..]]] {
        let error = tls(&running.nurl, alpn).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{alpn:?}");
    }
    serves(&running).await;
}

#[tokio::test]
async fn frames_that_are_wrong_or_out_of_place_are_answered_with_refuse() {
    let node = Node::new("");
    let running = node.start();
    let hello = hello(&running);
    let after_hello = |rest: &[u8]| [&hello[..], rest].concat();
    for (what, bytes) in [
        ("garbage", pattern(3000, 1)),
        ("a PUT before HELLO", vec![0x02, 18]),
        ("two HELLOs", after_hello(&hello)),
        ("an unknown type", after_hello(&[0x33, 0])),
        (
            "a length beyond all bounds",
            after_hello(&[0x02, 0xbf, 0xff, 0xff, 0xff]),
        ),
        ("a length in eight bytes", after_hello(&[0x04, 0xff])),
        (
            "a length longer than it needs",
            after_hello(&[0x08, 0x40, 0x10]),
        ),
        ("DATA before OPEN", after_hello(&[0x04, 3, 0, 0, 1])),
        ("a LEASE cut short", after_hello(&[0x08, 1, 0])),
        (
            "2^62 share numbers",
            after_hello(&[&[0x07, 25][..], &[1; 17], &[0xff; 8]].concat()),
        ),
    ] {
        let mut stream = tls(&running.nurl, &[protocol::ALPN]).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let answer = until_hung_up(&mut stream).await;
        assert_eq!(refusal_in(&answer), Some(Farewell::Violation), "{what}");
    }
    serves(&running).await;
    assert_eq!(node.placed(1), 1);
}

#[tokio::test]
async fn clients_that_do_not_get_on_with_it_are_hung_up_on() {
    let (_node, running) = impatient();
    // No TLS at all, TLS and no HELLO, half a HELLO.
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut shaken = tls(&running.nurl, &[protocol::ALPN]).await.unwrap();
    let mut halfway = tls(&running.nurl, &[protocol::ALPN]).await.unwrap();
    halfway.write_all(&hello(&running)[..20]).await.unwrap();
    assert_eq!(until_hung_up(&mut silent).await, b"");
    assert_eq!(
        refusal_in(&until_hung_up(&mut shaken).await),
        Some(Farewell::TooSlow)
    );
    assert_eq!(
        refusal_in(&until_hung_up(&mut halfway).await),
        Some(Farewell::TooSlow)
    );
    serves(&running).await;
}

// One byte every tenth of a second: always active, never done.
#[tokio::test]
async fn a_client_that_drips_is_hung_up_on() {
    let (_node, running) = impatient();
    let mut stream = tls(&running.nurl, &[protocol::ALPN]).await.unwrap();
    stream.write_all(&hello(&running)).await.unwrap();
    stream
        .write_all(&[0x02, 0x80, 0, 0xff, 0xff])
        .await
        .unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let drip = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            if writing
                .write_all(&[1])
                .await
                .and(writing.flush().await)
                .is_err()
            {
                return;
            }
        }
    };
    let answer = tokio::select! {
        answer = until_hung_up(&mut reading) => answer,
        () = drip => panic!("reset before REFUSE was read"),
    };
    assert_eq!(refusal_in(&answer), Some(Farewell::TooSlow));
    serves(&running).await;
}

// It asks for much and takes nothing: the server's memory is not its buffer.
#[tokio::test]
async fn a_client_that_takes_no_answers_is_hung_up_on() {
    let (_node, running) = impatient();
    let share = pattern(8 << 20, 0);
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    client.upload(bucket(1), 0, &share).await;
    let mut stream = tls(&running.nurl, &[protocol::ALPN]).await.unwrap();
    stream.write_all(&hello(&running)).await.unwrap();
    let mut read = vec![0x07, 16 + 1 + 1 + 1 + 1 + 8];
    read.extend_from_slice(bucket(1).as_bytes());
    read.extend_from_slice(&[1, 0, 1, 0]);
    read.extend_from_slice(&(0xc000_0000_0000_0000_u64 | 1 << 61).to_be_bytes());
    for _ in 0..20 {
        stream.write_all(&read).await.unwrap();
    }
    stream.flush().await.unwrap();
    // Writing goes on until the server has closed; reading would make room for answers.
    let closed = async {
        loop {
            if stream
                .write_all(&read)
                .await
                .and(stream.flush().await)
                .is_err()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(FOREVER, closed)
        .await
        .expect("the server hangs up within reason");
    serves(&running).await;
}

#[tokio::test]
async fn hostile_clients_leave_no_descriptors_and_disturb_no_upload() {
    let node = Node::new("");
    let running = node.start();
    let share = pattern(2_000_000, 5);
    let mut honest = Client::connect(&running.nurl, 1).await.unwrap();
    let upload = honest
        .connection
        .open(bucket(1), ShareNumber::new(0), None, false);
    let half = Bytes::copy_from_slice(&share[..1_000_000]);
    assert!(honest.connection.write(upload, half));
    honest.flush().await.unwrap();
    serves(&running).await;
    settle(&running, 1).await;
    let before = running.descriptors();

    let hello = hello(&running);
    for salt in 0..20 {
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        let _reset = socket.write_all(&pattern(100, salt)).await;
        drop(socket);
        let mut stream = tls(&running.nurl, &[protocol::ALPN]).await.unwrap();
        stream.write_all(&pattern(2000, salt)).await.unwrap();
        drop(stream);
        // An upload of another client that breaks off, and one that fights for the same share.
        let mut thief = Client::connect(&running.nurl, 2).await.unwrap();
        let stolen = thief
            .connection
            .open(bucket(1), ShareNumber::new(0), None, false);
        thief.connection.abort(stolen);
        let own = thief
            .connection
            .open(bucket(2), ShareNumber::new(0), None, salt % 2 == 0);
        if salt % 2 == 1 {
            thief.connection.write(own, Bytes::from(vec![1; 10_000]));
        }
        thief.flush().await.unwrap();
        drop(thief);
        let mut stream = tls(&running.nurl, &[protocol::ALPN]).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        stream.write_all(&[0x04, 3, 0x3f, 0, 1]).await.unwrap();
        until_hung_up(&mut stream).await;
    }
    // One upload of the thief's stays, to be resumed.
    settle(&running, before + 1).await;

    let half = Bytes::copy_from_slice(&share[1_000_000..]);
    assert!(honest.connection.write(upload, half));
    honest.connection.close(upload);
    assert_eq!(honest.outcome(upload).await, Outcome::Stored);
    assert_eq!(honest.share(bucket(1), 0).await.unwrap(), share);
}

/// Waits until the server has no more descriptors than this; or, to learn how many it has at rest,
/// until their number has not changed for a while.
pub(crate) async fn settle(running: &Running, most: usize) {
    let mut last = (running.descriptors(), Instant::now());
    let started = Instant::now();
    loop {
        let now = running.descriptors();
        if now <= most && most > 1 {
            return;
        }
        if now != last.0 {
            last = (now, Instant::now());
        }
        let at_rest = last.1.elapsed() > Duration::from_millis(500);
        if most == 1 && at_rest {
            return;
        }
        assert!(
            started.elapsed() < FOREVER,
            "{now} descriptors, {most} expected"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
