//! Fuzz entry points: each takes any bytes from a stranger and must not panic.
//!
//! The fuzzer and the hostile tests call the same functions. They also check what must hold of
//! whatever is accepted: a frame has one spelling, and a state machine stays within its bounds.

pub mod control;
pub mod gbs;

use bytes::{Buf, Bytes};
use lafs::{ConnectionSecret, ShareNumber, StorageIndex, Swissnum};

use crate::error::Malformed;
use crate::frame::{ClientFrame, HeldShare, ServerFrame};
use crate::limits::{BYTES_IN_FLIGHT_MAX, PAYLOAD_LEN_MAX};
use crate::output::Output;
use crate::range::{ByteRange, ReadRequest};
use crate::reader::FrameReader;
use crate::refusal::Reason;
use crate::server::{Event, Outcome};
use crate::{client, server};

/// Reads bytes as frames of a client and checks that each is spelled the one way.
///
/// # Panics
///
/// If a frame that was read is written differently.
pub fn client_frames(bytes: &[u8]) {
    frames(
        bytes,
        ClientFrame::payload_len_max,
        ClientFrame::decode,
        |frame, output| frame.encode(output),
        |_| false,
    );
}

/// Reads bytes as frames of a server and checks that each is spelled the one way.
///
/// # Panics
///
/// If a frame that was read is written differently.
pub fn server_frames(bytes: &[u8]) {
    frames(
        bytes,
        ServerFrame::payload_len_max,
        ServerFrame::decode,
        |frame, output| frame.encode(output),
        // Its unknown flags are ignored on purpose.
        |frame| matches!(frame, ServerFrame::Welcome(_)),
    );
}

fn frames<F: PartialEq + std::fmt::Debug>(
    mut input: &[u8],
    payload_len_max: fn(u8) -> Result<usize, Malformed>,
    decode: fn(u8, &Bytes) -> Result<F, Malformed>,
    encode: fn(&F, &mut Output),
    has_spellings: fn(&F) -> bool,
) {
    let mut reader = FrameReader::default();
    loop {
        let before = input;
        let Ok(Some(raw)) = reader.read(&mut input, payload_len_max) else {
            return;
        };
        assert!(raw.payload.len() <= PAYLOAD_LEN_MAX, "a payload is bounded");
        let Ok(frame) = decode(raw.frame_type, &raw.payload) else {
            return;
        };
        let mut output = Output::default();
        encode(&frame, &mut output);
        let spelled = output.copy_to_bytes(output.remaining());
        if !has_spellings(&frame) {
            assert_eq!(
                spelled,
                before[..before.len() - input.len()],
                "one spelling"
            );
        }
    }
}

/// A server hears these bytes from a client that knows the swissnum, and answers what it can.
///
/// # Panics
///
/// If the state machine does, or leaves its bounds.
pub fn server_connection(bytes: &[u8]) {
    let (secret, swissnum) = identity();
    let mut hello = client::Connection::new(&secret, &swissnum);
    let hello_len = hello.output_len();
    let mut stream = hello.output().copy_to_bytes(hello_len).to_vec();
    stream.extend_from_slice(bytes);

    let mut connection = server::Connection::new(swissnum);
    let mut input = &stream[..];
    while let Ok(Some(event)) = connection.read(&mut input) {
        answer(&mut connection, event);
        let queued = connection.output().remaining();
        connection.output().advance(queued);
        assert!(connection.bytes_in_flight() <= BYTES_IN_FLIGHT_MAX + PAYLOAD_LEN_MAX);
    }
}

/// A server that knows nothing but is polite: every kind of answer, depending on the request.
fn answer(connection: &mut server::Connection, event: Event) {
    match event {
        Event::Admitted { .. } => {}
        Event::Put { request, share, .. } => {
            connection.release(share.len());
            connection.answer(request, Outcome::Stored);
        }
        Event::Open {
            request, resume, ..
        } => {
            if resume {
                connection.resume_at(request, 7);
            }
        }
        Event::Data { bytes, .. } => connection.release(bytes.len()),
        Event::Close { upload, .. } => connection.answer(upload, Outcome::AlreadyHere),
        Event::Abort { upload } => {
            connection.answer(upload, Outcome::Refused(Reason::Aborted.into()));
        }
        Event::Read { request, .. } | Event::Lease { request, .. } => {
            connection.held(request, None, Vec::<HeldShare>::new());
        }
    }
}

/// A client with one request of each kind under way hears these bytes.
///
/// # Panics
///
/// If the state machine does.
pub fn client_connection(bytes: &[u8]) {
    let (secret, swissnum) = identity();
    let mut connection = client::Connection::new(&secret, &swissnum);
    let bucket = StorageIndex::new([1; 16]);
    connection.put(bucket, ShareNumber::new(0), Bytes::from_static(b"share"));
    connection.open(bucket, ShareNumber::new(1), Some(9), true);
    let upload = connection.open(bucket, ShareNumber::new(2), None, false);
    connection.write(upload, Bytes::from_static(b"bytes"));
    connection.close(upload);
    let ranges = [(0, 4), (8, 4)].map(|(offset, size)| {
        ByteRange::new(offset, size).expect("a range of four bytes near the start")
    });
    let read = ReadRequest::new(bucket, 2, Vec::new(), ranges.to_vec())
        .expect("two ranges that ascend make a read");
    connection.read_shares(read);
    connection.lease(bucket);

    let mut input = bytes;
    while let Ok(Some(_)) = connection.read(&mut input) {}
}

fn identity() -> (ConnectionSecret, Swissnum) {
    (
        ConnectionSecret::new([7; 32]),
        Swissnum::from_random(&[8; 20]),
    )
}
