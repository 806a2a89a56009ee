//! A client against servers that are honest, confused, and lying.

use super::*;
use crate::range::ByteRange;
use crate::refusal::Refusal;

const BUCKET: StorageIndex = StorageIndex::new([1; 16]);
const ZERO: ShareNumber = ShareNumber::new(0);

const WELCOME: Welcome = Welcome {
    relaxed: false,
    read_only: false,
    space_free: 1 << 30,
    share_size_max: 1 << 40,
    uploads_max: 64,
    requests_max: 1024,
};

fn connection() -> Connection {
    let swissnum = Swissnum::from_random(&[9; 20]);
    Connection::new(&ConnectionSecret::new([7; 32]), &swissnum)
}

fn bytes(frames: &[ServerFrame]) -> Vec<u8> {
    let mut output = Output::default();
    for frame in frames {
        frame.encode(&mut output);
    }
    let len = output.remaining();
    output.copy_to_bytes(len).to_vec()
}

/// Feeds frames to the connection, until the first violation.
fn hear(connection: &mut Connection, frames: &[ServerFrame]) -> Result<Vec<Event>, Violation> {
    let stream = bytes(frames);
    let mut input = &stream[..];
    let mut events = Vec::new();
    while let Some(event) = connection.read(&mut input)? {
        events.push(event);
    }
    Ok(events)
}

/// The frames that the connection queued since the last call.
fn asked(connection: &mut Connection) -> Vec<ClientFrame> {
    let len = connection.output_len();
    let bytes = connection.output().copy_to_bytes(len);
    let mut input = &bytes[..];
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    while let Some(raw) = reader
        .read(&mut input, ClientFrame::payload_len_max)
        .unwrap()
    {
        frames.push(ClientFrame::decode(raw.frame_type, &raw.payload).unwrap());
    }
    frames
}

// The contract of DESIGN section 3: everything sent to a server for a share of a 1000-byte file
// at 3-of-10 (a share of 445 bytes) is at most 600 bytes before TLS.
#[test]
fn the_first_flight_with_a_small_share_is_at_most_600_bytes() {
    let mut connection = connection();
    connection.put(BUCKET, ZERO, Bytes::from(vec![0; 445]));
    assert_eq!(connection.output_len(), 67 + 465);
    assert!(connection.output_len() <= 600);
    assert_eq!(
        connection.traffic(),
        Traffic {
            frames_sent: 2,
            bytes_sent: 532,
            ..Traffic::default()
        }
    );
}

#[test]
fn requests_are_numbered_in_the_order_they_are_made_and_answers_find_them() {
    let mut connection = connection();
    let put = connection.put(BUCKET, ZERO, Bytes::from_static(b"share"));
    let upload = connection.open(BUCKET, ZERO, None, false);
    assert!(connection.write(upload, Bytes::from(vec![1; CHUNK_LEN_MAX + 1])));
    assert!(connection.close(upload));
    let lease = connection.lease(BUCKET);
    assert_eq!([put, upload, lease].map(RequestNumber::as_u64), [0, 1, 2]);
    let frames = asked(&mut connection);
    assert!(matches!(frames[0], ClientFrame::Hello(_)));
    assert!(
        matches!(frames[4], ClientFrame::Data { offset: 65_536, ref bytes, .. } if bytes.len() == 1)
    );
    assert!(matches!(frames[5], ClientFrame::Close { size: 65_537, .. }));
    let held = ServerFrame::Held {
        request: lease,
        failure: None,
        shares: Vec::new(),
    };
    let stored = |request| ServerFrame::Stored { request };
    let events = hear(
        &mut connection,
        &[
            ServerFrame::Welcome(WELCOME),
            stored(upload),
            held,
            stored(put),
        ],
    );
    assert_eq!(events.unwrap().len(), 4);
    assert_eq!(connection.unanswered(), 0);
}

#[test]
fn an_upload_that_was_answered_early_sends_nothing_more() {
    let mut connection = connection();
    let upload = connection.open(BUCKET, ZERO, Some(9), false);
    let early = ServerFrame::AlreadyHere { request: upload };
    hear(&mut connection, &[ServerFrame::Welcome(WELCOME), early]).unwrap();
    asked(&mut connection);
    assert!(!connection.write(upload, Bytes::from_static(b"bytes")));
    assert!(!connection.close(upload));
    assert!(!connection.abort(upload));
    assert_eq!(connection.output_len(), 0);
}

#[test]
fn a_resumed_upload_goes_on_from_where_the_server_says() {
    let mut connection = connection();
    let upload = connection.open(BUCKET, ZERO, Some(9), true);
    let resume = ServerFrame::ResumeAt {
        request: upload,
        offset: 5,
    };
    let events = hear(&mut connection, &[ServerFrame::Welcome(WELCOME), resume]).unwrap();
    assert_eq!(
        events[1],
        Event::ResumeAt {
            request: upload,
            offset: 5
        }
    );
    asked(&mut connection);
    assert!(connection.write(upload, Bytes::from_static(b"rest")));
    assert!(connection.close(upload));
    let frames = asked(&mut connection);
    assert!(matches!(frames[0], ClientFrame::Data { offset: 5, .. }));
    assert!(matches!(frames[1], ClientFrame::Close { size: 9, .. }));
}

#[test]
#[should_panic(expected = "takes no bytes now")]
fn writing_before_the_server_said_where_to_resume_is_our_bug() {
    let mut connection = connection();
    let upload = connection.open(BUCKET, ZERO, Some(9), true);
    connection.write(upload, Bytes::from_static(b"bytes"));
}

#[test]
fn an_aborted_upload_still_gets_its_answer() {
    let mut connection = connection();
    let upload = connection.open(BUCKET, ZERO, None, true);
    assert!(connection.abort(upload));
    assert!(!connection.abort(upload));
    let answers = [
        ServerFrame::Welcome(WELCOME),
        // Crossed the ABORT on the line.
        ServerFrame::ResumeAt {
            request: upload,
            offset: 0,
        },
        ServerFrame::Refused {
            request: upload,
            refusal: Reason::Aborted.into(),
        },
    ];
    let events = hear(&mut connection, &answers).unwrap();
    let aborted = Outcome::Refused(Refusal::new(Reason::Aborted));
    assert_eq!(
        events[2],
        Event::Answered {
            request: upload,
            outcome: aborted
        }
    );
}

/// A connection with a PUT (0), an upload (1), a READ of bytes 4..8 (2) and a LEASE (3).
fn busy() -> Connection {
    let mut connection = connection();
    connection.put(BUCKET, ZERO, Bytes::from_static(b"share"));
    connection.open(BUCKET, ZERO, None, false);
    let range = ByteRange::new(4, 4).unwrap();
    connection.read_shares(ReadRequest::new(BUCKET, 1, vec![ZERO], vec![range]).unwrap());
    connection.lease(BUCKET);
    connection
}

#[test]
fn each_broken_rule_of_a_server_is_named() {
    let [put, upload, read, lease, unknown] = [0, 1, 2, 3, 4].map(RequestNumber);
    let held = |request, shares: &[(u8, u64)]| ServerFrame::Held {
        request,
        failure: None,
        shares: shares
            .iter()
            .map(|&(number, size)| HeldShare {
                share_number: ShareNumber::new(number),
                size: Some(size),
            })
            .collect(),
    };
    let share = |request, offset, bytes: &'static [u8]| ServerFrame::Share {
        request,
        share_number: ZERO,
        offset,
        bytes: Bytes::from_static(bytes),
    };
    let welcome = ServerFrame::Welcome(WELCOME);
    let stored = |request| ServerFrame::Stored { request };
    let cases = [
        (
            "an answer before WELCOME",
            vec![stored(put)],
            Misbehaved::WelcomeExpected,
        ),
        (
            "two WELCOMEs",
            vec![welcome.clone(), welcome.clone()],
            Misbehaved::SecondWelcome,
        ),
        (
            "an answer to nothing",
            vec![welcome.clone(), stored(unknown)],
            Misbehaved::UnknownRequest(unknown),
        ),
        (
            "two answers",
            vec![welcome.clone(), stored(put), stored(put)],
            Misbehaved::UnknownRequest(put),
        ),
        (
            "stored before the end",
            vec![welcome.clone(), stored(upload)],
            Misbehaved::WrongAnswer(upload),
        ),
        (
            "a READ stored",
            vec![welcome.clone(), stored(read)],
            Misbehaved::WrongAnswer(read),
        ),
        (
            "a PUT resumed",
            vec![
                welcome.clone(),
                ServerFrame::ResumeAt {
                    request: put,
                    offset: 0,
                },
            ],
            Misbehaved::WrongAnswer(put),
        ),
        (
            "an upload resumed unasked",
            vec![
                welcome.clone(),
                ServerFrame::ResumeAt {
                    request: upload,
                    offset: 0,
                },
            ],
            Misbehaved::WrongAnswer(upload),
        ),
        (
            "share bytes for a LEASE",
            vec![welcome.clone(), share(lease, 0, b"x")],
            Misbehaved::WrongAnswer(lease),
        ),
        (
            "more bytes than asked for",
            vec![welcome.clone(), share(read, 4, b"12345")],
            Misbehaved::UnaskedBytes(read),
        ),
        (
            "fewer bytes than held",
            vec![
                welcome.clone(),
                share(read, 4, b"123"),
                held(read, &[(0, 8)]),
            ],
            Misbehaved::MissingBytes(read),
        ),
        (
            "a PUT answered with shares",
            vec![welcome.clone(), held(put, &[])],
            Misbehaved::WrongAnswer(put),
        ),
        (
            "something after REFUSE",
            vec![
                ServerFrame::Refuse {
                    farewell: Farewell::Idle,
                    text: String::new(),
                },
                stored(put),
            ],
            Misbehaved::AfterRefuse,
        ),
    ];
    for (what, frames, misbehaved) in cases {
        let heard = hear(&mut busy(), &frames);
        assert_eq!(heard, Err(misbehaved.into()), "{what}");
    }
    let honest = [
        welcome,
        share(read, 4, b"12"),
        share(read, 6, b"34"),
        held(read, &[(0, 8)]),
        held(lease, &[(0, 8)]),
        stored(put),
    ];
    assert_eq!(hear(&mut busy(), &honest).unwrap().len(), honest.len());
}

#[test]
fn a_refusal_may_come_instead_of_a_welcome() {
    let refuse = ServerFrame::Refuse {
        farewell: Farewell::WrongSwissnum,
        text: String::new(),
    };
    let events = hear(&mut connection(), &[refuse]).unwrap();
    assert!(matches!(
        events[..],
        [Event::Refused {
            farewell: Farewell::WrongSwissnum,
            ..
        }]
    ));
}
