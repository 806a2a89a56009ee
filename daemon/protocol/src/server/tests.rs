//! A server against clients that are honest, wrong, and hostile.

use bytes::{Buf, Bytes};

use super::*;
use crate::error::Malformed;
use crate::frame::Hello;
use crate::limits::CHUNK_LEN_MAX;

const BUCKET: StorageIndex = StorageIndex::new([1; 16]);
const ZERO: ShareNumber = ShareNumber::new(0);

fn swissnum() -> Swissnum {
    Swissnum::from_random(&[9; 20])
}

fn hello(presented: &'static [u8]) -> ClientFrame {
    ClientFrame::Hello(Hello {
        secret: ConnectionSecret::new([7; 32]),
        swissnum: Bytes::from_static(presented),
    })
}

fn bytes(frames: &[ClientFrame]) -> Vec<u8> {
    let mut output = Output::default();
    for frame in frames {
        frame.encode(&mut output);
    }
    let len = output.remaining();
    output.copy_to_bytes(len).to_vec()
}

/// A connection after HELLO.
fn admitted() -> Connection {
    let mut connection = Connection::new(swissnum());
    let hello = ClientFrame::Hello(Hello {
        secret: ConnectionSecret::new([7; 32]),
        swissnum: Bytes::copy_from_slice(swissnum().as_str().as_bytes()),
    });
    let event = connection.read(&mut &bytes(&[hello])[..]);
    assert!(matches!(event, Ok(Some(Event::Admitted { .. }))));
    connection
}

/// What the connection queued since the last call.
fn answers(connection: &mut Connection) -> Vec<ServerFrame> {
    let len = connection.output().remaining();
    let bytes = connection.output().copy_to_bytes(len);
    let mut input = &bytes[..];
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    while let Some(raw) = reader
        .read(&mut input, ServerFrame::payload_len_max)
        .unwrap()
    {
        frames.push(ServerFrame::decode(raw.frame_type, &raw.payload).unwrap());
    }
    frames
}

fn put(len: usize) -> ClientFrame {
    ClientFrame::Put {
        storage_index: BUCKET,
        share_number: ZERO,
        share: Bytes::from(vec![1; len]),
    }
}

fn open() -> ClientFrame {
    ClientFrame::Open {
        storage_index: BUCKET,
        share_number: ZERO,
        resume: false,
        size: None,
    }
}

fn data(request: u64) -> ClientFrame {
    ClientFrame::Data {
        request: RequestNumber(request),
        offset: 0,
        bytes: Bytes::from_static(b"bytes"),
    }
}

fn close(request: u64) -> ClientFrame {
    ClientFrame::Close {
        request: RequestNumber(request),
        size: 5,
    }
}

fn lease() -> ClientFrame {
    ClientFrame::Lease {
        storage_index: BUCKET,
    }
}

#[test]
fn a_first_flight_of_hello_and_work_comes_out_in_order() {
    let mut connection = admitted();
    let stream = bytes(&[put(3), open(), data(1), close(1), lease()]);
    for step in [1, 7, stream.len()] {
        let mut connection = admitted();
        let mut count = 0;
        for mut part in stream.chunks(step) {
            while connection.read(&mut part).unwrap().is_some() {
                count += 1;
            }
        }
        assert_eq!(count, 5, "step {step}");
    }
    let mut input = &stream[..];
    let mut events = Vec::new();
    while let Some(event) = connection.read(&mut input).unwrap() {
        events.push(event);
    }
    assert_eq!(
        events[2..],
        [
            Event::Data {
                upload: RequestNumber(1),
                offset: 0,
                bytes: Bytes::from_static(b"bytes"),
            },
            Event::Close {
                upload: RequestNumber(1),
                size: 5,
            },
            Event::Lease {
                request: RequestNumber(2),
                storage_index: BUCKET,
            },
        ]
    );
    assert_eq!(connection.unanswered(), 3);
    connection.answer(RequestNumber(1), Outcome::Stored);
    connection.answer(RequestNumber(0), Outcome::AlreadyHere);
    connection.held(RequestNumber(2), None, Vec::new());
    assert_eq!(answers(&mut connection).len(), 3);
    assert_eq!(connection.bytes_in_flight(), 8);
    connection.release(8);
    assert!(connection.is_idle());
}

#[test]
fn a_wrong_swissnum_ends_the_connection_without_an_event() {
    for presented in [&b"x"[..], b"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"] {
        let mut connection = Connection::new(swissnum());
        let stream = bytes(&[hello(presented), put(3)]);
        let mut input = &stream[..];
        assert_eq!(connection.read(&mut input), Err(Violation::WrongSwissnum));
        assert_eq!(
            connection.read(&mut input),
            Ok(None),
            "nothing is read after it"
        );
        assert!(!connection.wants_input());
        assert!(!connection.is_admitted());
        let refuse = ServerFrame::Refuse {
            farewell: Farewell::WrongSwissnum,
            text: String::new(),
        };
        assert_eq!(answers(&mut connection), [refuse]);
    }
}

// Before HELLO nobody may make the server allocate more than a HELLO's payload.
#[test]
fn before_hello_any_other_frame_is_refused_by_its_first_byte() {
    for frame_type in 0..=255 {
        let result = Connection::new(swissnum()).read(&mut &[frame_type][..]);
        let expected = match frame_type {
            ClientFrame::HELLO => Ok(None),
            0x02..=0x08 => Err(Misbehaved::HelloExpected.into()),
            other => Err(Malformed::FrameType(other).into()),
        };
        assert_eq!(result, expected, "type {frame_type}");
    }
}

#[test]
fn a_frame_out_of_place_ends_the_connection_and_says_why() {
    let again = hello(b"x");
    for (what, frames, misbehaved) in [
        ("a second HELLO", vec![again], Misbehaved::SecondHello),
        (
            "DATA before OPEN",
            vec![data(0)],
            Misbehaved::UnknownRequest(RequestNumber(0)),
        ),
        (
            "CLOSE of a request to come",
            vec![open(), close(1)],
            Misbehaved::UnknownRequest(RequestNumber(1)),
        ),
        (
            "ABORT of a request far away",
            vec![ClientFrame::Abort {
                request: RequestNumber(1 << 60),
            }],
            Misbehaved::UnknownRequest(RequestNumber(1 << 60)),
        ),
    ] {
        let mut connection = admitted();
        let stream = bytes(&frames);
        let mut input = &stream[..];
        let violation = loop {
            match connection.read(&mut input) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{what} was read"),
                Err(violation) => break violation,
            }
        };
        assert_eq!(violation, misbehaved.into(), "{what}");
        let refuse = ServerFrame::Refuse {
            farewell: Farewell::Violation,
            text: misbehaved.to_string(),
        };
        assert_eq!(answers(&mut connection).last(), Some(&refuse), "{what}");
    }
}

// The client learns of an early answer a round trip late; what it sent meanwhile is no violation.
#[test]
fn what_follows_an_early_answer_is_ignored() {
    let mut connection = admitted();
    let stream = bytes(&[open(), data(0), data(0), close(0), close(0), data(0)]);
    let mut input = &stream[..];
    assert!(matches!(
        connection.read(&mut input),
        Ok(Some(Event::Open { .. }))
    ));
    connection.answer(RequestNumber(0), Outcome::AlreadyHere);
    assert_eq!(connection.read(&mut input), Ok(None));
    assert_eq!((input.len(), connection.bytes_in_flight()), (0, 0));
    assert_eq!(connection.unanswered(), 0);
}

#[test]
fn data_that_refers_to_a_put_is_ignored() {
    let mut connection = admitted();
    let stream = bytes(&[
        put(3),
        data(0),
        ClientFrame::Abort {
            request: RequestNumber(0),
        },
    ]);
    let mut input = &stream[..];
    assert!(matches!(
        connection.read(&mut input),
        Ok(Some(Event::Put { .. }))
    ));
    assert_eq!(connection.read(&mut input), Ok(None));
}

#[test]
fn nothing_more_is_read_while_too_much_is_in_hand() {
    // Requests.
    let mut connection = admitted();
    let stream = bytes(&vec![lease(); REQUESTS_MAX + 1]);
    let mut input = &stream[..];
    let mut count = 0;
    while connection.read(&mut input).unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, REQUESTS_MAX);
    assert!(!input.is_empty() && !connection.wants_input());
    connection.held(RequestNumber(5), None, Vec::new());
    assert!(connection.read(&mut input).unwrap().is_some());

    // Bytes.
    let mut connection = admitted();
    let full = BYTES_IN_FLIGHT_MAX / CHUNK_LEN_MAX;
    let stream = bytes(&vec![put(CHUNK_LEN_MAX); full + 1]);
    let mut input = &stream[..];
    for _ in 0..full {
        assert!(connection.read(&mut input).unwrap().is_some());
    }
    assert_eq!(connection.read(&mut input), Ok(None));
    connection.release(CHUNK_LEN_MAX);
    assert!(connection.read(&mut input).unwrap().is_some());

    // Answers that the peer does not take.
    let mut connection = admitted();
    let read = ClientFrame::Read(ReadRequest::whole(BUCKET, 1).unwrap());
    let stream = bytes(&[read.clone(), read]);
    let mut input = &stream[..];
    assert!(connection.read(&mut input).unwrap().is_some());
    while connection.wants_shares() {
        connection.share(
            RequestNumber(0),
            ZERO,
            0,
            Bytes::from(vec![1; CHUNK_LEN_MAX]),
        );
    }
    assert_eq!(connection.read(&mut input), Ok(None));
    assert!(connection.output().remaining() < OUTPUT_LEN_MAX + 2 * CHUNK_LEN_MAX);
    let queued = connection.output().remaining();
    connection.output().advance(queued);
    assert!(connection.read(&mut input).unwrap().is_some());
}

// With the requests full of open uploads, their DATA and CLOSE must still be read, or nothing moves.
#[test]
fn open_uploads_never_stop_the_frames_that_would_end_them() {
    let mut connection = admitted();
    let stream = bytes(&vec![open(); UPLOADS_MAX + 1]);
    let mut input = &stream[..];
    let mut count = 0;
    while connection.read(&mut input).unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, input.len()), (UPLOADS_MAX, 0));
    let refused = ServerFrame::Refused {
        request: RequestNumber(lafs::num::size(UPLOADS_MAX)),
        refusal: Reason::TooManyUploads.into(),
    };
    assert_eq!(answers(&mut connection), [refused]);
    let stream = bytes(&[close(0), open()]);
    let mut input = &stream[..];
    assert!(matches!(
        connection.read(&mut input),
        Ok(Some(Event::Close { .. }))
    ));
    assert!(matches!(
        connection.read(&mut input),
        Ok(Some(Event::Open { .. }))
    ));
}

#[test]
fn after_our_farewell_nothing_is_read_and_late_answers_are_dropped() {
    let mut connection = admitted();
    let stream = bytes(&[put(3), put(3)]);
    let mut input = &stream[..];
    assert!(connection.read(&mut input).unwrap().is_some());
    connection.refuse(Farewell::Stopping, "");
    connection.refuse(Farewell::Idle, "");
    assert_eq!(connection.read(&mut input), Ok(None));
    connection.answer(RequestNumber(0), Outcome::Stored);
    let refuse = ServerFrame::Refuse {
        farewell: Farewell::Stopping,
        text: String::new(),
    };
    assert_eq!(answers(&mut connection), [refuse]);
}

#[test]
#[should_panic(expected = "which has no outcome")]
fn answering_twice_is_our_bug() {
    let mut connection = admitted();
    let stream = bytes(&[put(3)]);
    assert!(connection.read(&mut &stream[..]).unwrap().is_some());
    connection.answer(RequestNumber(0), Outcome::Stored);
    connection.answer(RequestNumber(0), Outcome::Stored);
}
