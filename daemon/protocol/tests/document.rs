//! The worked example of `docs/pipeline-protocol.md` is what the code sends and takes.
//!
//! Someone who writes another client starts from that example; it must never drift.

use std::fmt::Write;

use bytes::{Buf, Bytes};
use lafs::{ConnectionSecret, ShareNumber, StorageIndex, Swissnum};
use protocol::server::Outcome;
use protocol::{ByteRange, HeldShare, ReadRequest, Reason, Refusal, Welcome, client, server};

const DOCUMENT: &str = include_str!("../../../docs/pipeline-protocol.md");

/// The bytes of a code block of the document: its lines hold hex, then at least two blanks and words.
fn example(name: &str) -> Vec<u8> {
    let start = format!("```hex {name}\n");
    let (_, block) = DOCUMENT.split_once(&start).expect("the example is there");
    let (block, _) = block.split_once("```").expect("the example ends");
    let hex: String = block
        .lines()
        .map(|line| line.split("  ").next().unwrap_or_default())
        .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
        .collect();
    (0..hex.len())
        .step_by(2)
        .map(|index| u8::from_str_radix(&hex[index..index + 2], 16).expect("hex"))
        .collect()
}

fn taken(output: &mut protocol::Output) -> Vec<u8> {
    let len = output.remaining();
    output.copy_to_bytes(len).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes it");
        text
    })
}

fn identity() -> (ConnectionSecret, Swissnum) {
    let mut secret = [0; 32];
    for (byte, value) in secret.iter_mut().zip(0x20..) {
        *byte = value;
    }
    let swissnum = Swissnum::new("hnww5p2racujw5eabvftfkgmhxpjbzy2").expect("base32 is a swissnum");
    (ConnectionSecret::new(secret), swissnum)
}

const BUCKET: StorageIndex = StorageIndex::new([1; 16]);

#[test]
fn the_clients_bytes_are_those_of_the_document() {
    let (secret, swissnum) = identity();
    let mut client = client::Connection::new(&secret, &swissnum);
    client.put(BUCKET, ShareNumber::new(3), Bytes::from_static(b"hello"));
    let upload = client.open(BUCKET, ShareNumber::new(4), Some(70_000), false);
    client.write(upload, Bytes::from_static(b"first"));
    client.abort(upload);
    let range = ByteRange::new(0, 100).unwrap();
    client.read_shares(ReadRequest::new(BUCKET, 1, Vec::new(), vec![range]).unwrap());
    client.lease(BUCKET);
    assert_eq!(hex(&taken(client.output())), hex(&example("client")));
}

#[test]
fn the_servers_bytes_are_those_of_the_document_and_the_client_takes_them() {
    let (secret, swissnum) = identity();
    let mut server = server::Connection::new(swissnum.clone());
    let asked = example("client");
    let mut input = &asked[..];
    let mut requests = Vec::new();
    while let Some(event) = server.read(&mut input).unwrap() {
        match event {
            server::Event::Put { request, share, .. } => {
                server.release(share.len());
                requests.push(request);
            }
            server::Event::Open { request, .. }
            | server::Event::Read { request, .. }
            | server::Event::Lease { request, .. } => requests.push(request),
            server::Event::Data { bytes, .. } => server.release(bytes.len()),
            _ => {}
        }
    }
    server.welcome(Welcome {
        relaxed: false,
        read_only: false,
        long_data: false,
        space_free: 1 << 30,
        share_size_max: 1 << 61,
        uploads_max: 64,
        requests_max: 1024,
    });
    let held = |size| {
        vec![HeldShare {
            share_number: ShareNumber::new(3),
            size: Some(size),
        }]
    };
    let aborted = Refusal::with_text(Reason::Aborted, "as asked");
    server.answer(requests[1], Outcome::Refused(aborted));
    server.answer(requests[0], Outcome::Stored);
    server.share(
        requests[2],
        ShareNumber::new(3),
        0,
        Bytes::from_static(b"hello"),
    );
    server.held(requests[2], None, held(5));
    server.held(requests[3], None, held(5));
    let said = taken(server.output());
    assert_eq!(hex(&said), hex(&example("server")));

    let mut client = client::Connection::new(&secret, &swissnum);
    client.put(BUCKET, ShareNumber::new(3), Bytes::from_static(b"hello"));
    let upload = client.open(BUCKET, ShareNumber::new(4), Some(70_000), false);
    client.abort(upload);
    client.read_shares(ReadRequest::whole(BUCKET, 1).unwrap());
    client.lease(BUCKET);
    let mut input = &said[..];
    let mut events = 0;
    while client.read(&mut input).unwrap().is_some() {
        events += 1;
    }
    assert_eq!((events, client.unanswered()), (6, 0));
}
