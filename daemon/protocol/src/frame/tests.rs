//! Hostile bytes against both decoders, and one spelling per frame.

use bytes::{Buf, Bytes};
use lafs::{ConnectionSecret, ShareNumber, StorageIndex};
use proptest::prelude::*;

use super::*;
use crate::error::Malformed;
use crate::limits::{CHUNK_LEN_MAX, READ_RANGES_MAX, SHARE_SIZE_MAX, TEXT_LEN_MAX};
use crate::output::Output;
use crate::range::{ByteRange, ReadRequest};
use crate::reader::{FrameReader, RawFrame};
use crate::refusal::{Farewell, Reason, Refusal};
use crate::{fuzz, varint};

const BUCKET: StorageIndex = StorageIndex::new([0x5a; 16]);

fn encoded(encode: impl FnOnce(&mut Output)) -> Bytes {
    let mut output = Output::default();
    encode(&mut output);
    output.copy_to_bytes(output.remaining())
}

fn raw(bytes: &[u8]) -> RawFrame {
    let mut input = bytes;
    let frame = FrameReader::default()
        .read(&mut input, |_| Ok::<_, Malformed>(1 << 20))
        .unwrap()
        .unwrap();
    assert!(input.is_empty(), "one frame");
    frame
}

fn client_frame(bytes: &[u8]) -> Result<ClientFrame, Malformed> {
    let raw = raw(bytes);
    ClientFrame::decode(raw.frame_type, &raw.payload)
}

fn server_frame(bytes: &[u8]) -> Result<ServerFrame, Malformed> {
    let raw = raw(bytes);
    ServerFrame::decode(raw.frame_type, &raw.payload)
}

fn request() -> impl Strategy<Value = RequestNumber> {
    (0..=varint::MAX).prop_map(RequestNumber)
}

fn chunk() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        9 => proptest::collection::vec(any::<u8>(), 1..200),
        1 => Just(vec![3; CHUNK_LEN_MAX]),
    ]
    .prop_map(Bytes::from)
}

fn read() -> impl Strategy<Value = ReadRequest> {
    let numbers = proptest::collection::btree_set(any::<u8>(), 0..=256);
    let edges = proptest::collection::btree_set(0..SHARE_SIZE_MAX, 0..=2 * READ_RANGES_MAX);
    (1..=256_u16, numbers, edges).prop_map(|(limit, numbers, edges)| {
        let edges: Vec<u64> = edges.into_iter().collect();
        let ranges = edges
            .chunks_exact(2)
            .map(|edge| ByteRange::new(edge[0], edge[1] - edge[0]).unwrap())
            .collect();
        let numbers = numbers.into_iter().map(ShareNumber::new).collect();
        ReadRequest::new(BUCKET, limit, numbers, ranges).unwrap()
    })
}

fn any_client_frame() -> impl Strategy<Value = ClientFrame> {
    let share_number = any::<u8>().prop_map(ShareNumber::new);
    let storage_index = any::<[u8; 16]>().prop_map(StorageIndex::new);
    let size = 0..=SHARE_SIZE_MAX;
    let offset = 0..=SHARE_SIZE_MAX - num(CHUNK_LEN_MAX);
    prop_oneof![
        (
            any::<[u8; 32]>(),
            proptest::collection::vec(any::<u8>(), 1..=128)
        )
            .prop_map(|(secret, swissnum)| ClientFrame::Hello(Hello {
                secret: ConnectionSecret::new(secret),
                swissnum: swissnum.into(),
            })),
        (storage_index.clone(), share_number.clone(), chunk()).prop_map(
            |(storage_index, share_number, share)| ClientFrame::Put {
                storage_index,
                share_number,
                share,
            }
        ),
        (
            storage_index.clone(),
            share_number,
            any::<bool>(),
            proptest::option::of(size.clone())
        )
            .prop_map(|(storage_index, share_number, resume, size)| {
                ClientFrame::Open {
                    storage_index,
                    share_number,
                    resume,
                    size,
                }
            }),
        (request(), offset, chunk()).prop_map(|(request, offset, bytes)| ClientFrame::Data {
            request,
            offset,
            bytes,
        }),
        (request(), size).prop_map(|(request, size)| ClientFrame::Close { request, size }),
        request().prop_map(|request| ClientFrame::Abort { request }),
        read().prop_map(ClientFrame::Read),
        storage_index.prop_map(|storage_index| ClientFrame::Lease { storage_index }),
    ]
}

fn num(len: usize) -> u64 {
    lafs::num::size(len)
}

fn any_server_frame() -> impl Strategy<Value = ServerFrame> {
    let size = 0..=SHARE_SIZE_MAX;
    let text = "[ -~\u{20ac}]{0,60}";
    let held =
        proptest::collection::btree_map(any::<u8>(), proptest::option::of(size.clone()), 0..=256);
    prop_oneof![
        (
            any::<(bool, bool, bool)>(),
            proptest::array::uniform3(0..=varint::MAX),
            size.clone()
        )
            .prop_map(
                |(
                    (relaxed, read_only, long_data),
                    [space_free, uploads_max, requests_max],
                    share_size_max,
                )| {
                    ServerFrame::Welcome(Welcome {
                        relaxed,
                        read_only,
                        long_data,
                        space_free,
                        share_size_max,
                        uploads_max,
                        requests_max,
                    })
                }
            ),
        request().prop_map(|request| ServerFrame::Stored { request }),
        request().prop_map(|request| ServerFrame::AlreadyHere { request }),
        (request(), size).prop_map(|(request, offset)| ServerFrame::ResumeAt { request, offset }),
        (request(), any::<u8>(), text).prop_map(|(request, code, text)| ServerFrame::Refused {
            request,
            refusal: Refusal::with_text(Reason::from_code(code), text),
        }),
        (request(), any::<u8>(), 0..1_u64 << 50, chunk()).prop_map(
            |(request, number, offset, bytes)| ServerFrame::Share {
                request,
                share_number: ShareNumber::new(number),
                offset,
                bytes,
            }
        ),
        (request(), 0..=255_u8, held).prop_map(|(request, code, held)| ServerFrame::Held {
            request,
            failure: (code > 0).then(|| Reason::from_code(code)),
            shares: held
                .into_iter()
                .map(|(number, size)| HeldShare {
                    share_number: ShareNumber::new(number),
                    size,
                })
                .collect(),
        }),
        (any::<u8>(), text).prop_map(|(code, text)| ServerFrame::Refuse {
            farewell: Farewell::from_code(code),
            text,
        }),
    ]
}

proptest! {
    #[test]
    fn a_clients_frame_reads_back_as_itself(frame in any_client_frame()) {
        let bytes = encoded(|output| frame.encode(output));
        let raw = raw(&bytes);
        prop_assert!(raw.payload.len() <= ClientFrame::payload_len_max(raw.frame_type).unwrap());
        prop_assert_eq!(ClientFrame::decode(raw.frame_type, &raw.payload), Ok(frame));
    }

    #[test]
    fn a_servers_frame_reads_back_as_itself(frame in any_server_frame()) {
        let bytes = encoded(|output| frame.encode(output));
        let raw = raw(&bytes);
        prop_assert!(raw.payload.len() <= ServerFrame::payload_len_max(raw.frame_type).unwrap());
        prop_assert_eq!(ServerFrame::decode(raw.frame_type, &raw.payload), Ok(frame));
    }

    #[test]
    fn garbage_is_taken_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz::client_frames(&bytes);
        fuzz::server_frames(&bytes);
        fuzz::client_connection(&bytes);
        fuzz::server_connection(&bytes);
    }

    // Garbage rarely gets past its first byte; frames with one damaged byte get far.
    #[test]
    fn a_damaged_conversation_is_taken_without_panic(
        frames in proptest::collection::vec(any_client_frame(), 1..6),
        answers in proptest::collection::vec(any_server_frame(), 1..6),
        place: prop::sample::Index,
        damage: u8,
    ) {
        let damaged = |bytes: Bytes| {
            let mut bytes = bytes.to_vec();
            let index = place.index(bytes.len());
            bytes[index] ^= damage;
            bytes
        };
        let asked = damaged(encoded(|output| frames.iter().for_each(|frame| frame.encode(output))));
        fuzz::client_frames(&asked);
        fuzz::server_connection(&asked);
        let said = damaged(encoded(|output| answers.iter().for_each(|frame| frame.encode(output))));
        fuzz::server_frames(&said);
        fuzz::client_connection(&said);
    }
}

/// One frame of each type, none larger than it must be to have all its fields.
fn client_examples() -> Vec<ClientFrame> {
    let request = RequestNumber(300);
    let share_number = ShareNumber::new(7);
    let numbers = [1, 9].map(ShareNumber::new).to_vec();
    let ranges = [ByteRange::new(70, 1), ByteRange::new(900, 64)].map(Option::unwrap);
    vec![
        ClientFrame::Hello(Hello {
            secret: ConnectionSecret::new([1; 32]),
            swissnum: Bytes::from_static(b"swiss"),
        }),
        ClientFrame::Put {
            storage_index: BUCKET,
            share_number,
            share: Bytes::from_static(b"share"),
        },
        ClientFrame::Open {
            storage_index: BUCKET,
            share_number,
            resume: true,
            size: Some(1000),
        },
        ClientFrame::Data {
            request,
            offset: 70,
            bytes: Bytes::from_static(b"bytes"),
        },
        ClientFrame::Close { request, size: 75 },
        ClientFrame::Abort { request },
        ClientFrame::Read(ReadRequest::new(BUCKET, 2, numbers, ranges.to_vec()).unwrap()),
        ClientFrame::Lease {
            storage_index: BUCKET,
        },
    ]
}

fn server_examples() -> Vec<ServerFrame> {
    let request = RequestNumber(300);
    vec![
        ServerFrame::Welcome(Welcome {
            relaxed: true,
            read_only: false,
            long_data: false,
            space_free: 1 << 40,
            share_size_max: SHARE_SIZE_MAX,
            uploads_max: 64,
            requests_max: 1024,
        }),
        ServerFrame::Stored { request },
        ServerFrame::AlreadyHere { request },
        ServerFrame::ResumeAt {
            request,
            offset: 70,
        },
        ServerFrame::Refused {
            request,
            refusal: Refusal::with_text(Reason::Full, "no"),
        },
        ServerFrame::Share {
            request,
            share_number: ShareNumber::new(7),
            offset: 70,
            bytes: Bytes::from_static(b"bytes"),
        },
        ServerFrame::Held {
            request,
            failure: Some(Reason::Disk),
            shares: [(1, Some(900)), (7, None)]
                .map(|(number, size)| HeldShare {
                    share_number: ShareNumber::new(number),
                    size,
                })
                .to_vec(),
        },
        ServerFrame::Refuse {
            farewell: Farewell::Idle,
            text: "bye".to_owned(),
        },
    ]
}

/// Calls `check` with each payload and its type, cut to each shorter length.
fn each_cut(frame: &Bytes, mut check: impl FnMut(u8, Bytes, usize)) {
    let raw = raw(frame);
    for len in 0..raw.payload.len() {
        check(raw.frame_type, raw.payload.slice(..len), len);
    }
}

// What ends in free bytes is shorter but well formed when cut there; all else must be refused.
#[test]
fn a_cut_payload_is_refused_at_each_length() {
    for frame in client_examples() {
        let bytes = encoded(|output| frame.encode(output));
        let free_from = match &frame {
            ClientFrame::Hello(_) => 33,
            ClientFrame::Put { .. } => 18,
            ClientFrame::Data { .. } => 5,
            _ => usize::MAX,
        };
        each_cut(&bytes, |frame_type, payload, len| {
            let decoded = ClientFrame::decode(frame_type, &payload);
            assert_eq!(
                decoded.is_ok(),
                len >= free_from,
                "{frame:?} cut to {len}: {decoded:?}"
            );
        });
    }
    for frame in server_examples() {
        let bytes = encoded(|output| frame.encode(output));
        let free_from = match &frame {
            ServerFrame::Refused { .. } => 4,
            ServerFrame::Share { .. } => 6,
            ServerFrame::Refuse { .. } => 1,
            _ => usize::MAX,
        };
        each_cut(&bytes, |frame_type, payload, len| {
            let decoded = ServerFrame::decode(frame_type, &payload);
            assert_eq!(
                decoded.is_ok(),
                len >= free_from,
                "{frame:?} cut to {len}: {decoded:?}"
            );
        });
    }
}

#[test]
fn each_flipped_bit_is_refused_or_read_as_another_frame_with_one_spelling() {
    for frame in client_examples() {
        let bytes = encoded(|output| frame.encode(output));
        for_each_flip(&bytes, |flipped| {
            fuzz::client_frames(flipped);
            fuzz::server_connection(flipped);
        });
    }
    for frame in server_examples() {
        let bytes = encoded(|output| frame.encode(output));
        for_each_flip(&bytes, |flipped| {
            fuzz::server_frames(flipped);
            fuzz::client_connection(flipped);
        });
    }
}

fn for_each_flip(bytes: &[u8], mut check: impl FnMut(&[u8])) {
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[index] ^= 1 << bit;
            check(&flipped);
        }
    }
}

#[test]
fn a_byte_too_many_is_refused() {
    let fixed = |frame: &ClientFrame| {
        !matches!(
            frame,
            ClientFrame::Hello(_) | ClientFrame::Put { .. } | ClientFrame::Data { .. }
        )
    };
    for frame in client_examples().into_iter().filter(fixed) {
        let raw = raw(&encoded(|output| frame.encode(output)));
        let longer = [&raw.payload[..], &[0]].concat().into();
        let decoded = ClientFrame::decode(raw.frame_type, &longer);
        assert_eq!(decoded, Err(Malformed::TrailingBytes), "{frame:?}");
    }
}

/// A frame of this type with these fields.
fn frame(frame_type: u8, fields: &[&[u8]]) -> Bytes {
    encoded(|output| output.frame(frame_type, &fields.concat(), &Bytes::new()))
}

fn spelled(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::encode(value, &mut bytes);
    bytes
}

// Each error of the client's decoder is provoked, each by the smallest frame that can.
#[test]
fn each_broken_rule_of_a_clients_frame_is_named() {
    let bucket = &BUCKET.as_bytes()[..];
    let count = |count, count_max| Malformed::Count { count, count_max };
    let many_ranges: Vec<u8> = (0..65).flat_map(|offset| [offset & 0x3f, 1]).collect();
    for (what, frame, error) in [
        ("an unknown type", frame(0x09, &[]), Malformed::FrameType(9)),
        (
            "a server's type",
            frame(0x81, &[&[0; 5]]),
            Malformed::FrameType(0x81),
        ),
        ("no swissnum", frame(1, &[&[0; 32]]), Malformed::SwissnumLen),
        (
            "a long swissnum",
            frame(1, &[&[0; 32 + 129]]),
            Malformed::SwissnumLen,
        ),
        (
            "an empty share",
            frame(2, &[bucket, &[0]]),
            Malformed::Empty,
        ),
        (
            "a share too long for its frame",
            frame(2, &[bucket, &[0], &[0; CHUNK_LEN_MAX + 1]]),
            Malformed::TrailingBytes,
        ),
        (
            "unknown flags",
            frame(3, &[bucket, &[0, 2, 0]]),
            Malformed::Code {
                field: "OPEN flags",
                value: 2,
            },
        ),
        (
            "a size beyond the largest share",
            frame(3, &[bucket, &[0, 0], &spelled(SHARE_SIZE_MAX + 2)]),
            Malformed::PastEnd,
        ),
        ("no bytes", frame(4, &[&[0, 0]]), Malformed::Empty),
        (
            "bytes beyond the largest share",
            frame(4, &[&[0], &spelled(SHARE_SIZE_MAX), &[1]]),
            Malformed::PastEnd,
        ),
        (
            "an offset beyond the largest share",
            frame(4, &[&[0], &spelled(SHARE_SIZE_MAX + 1), &[1]]),
            Malformed::PastEnd,
        ),
        (
            "a long number",
            frame(6, &[&[0x40, 1]]),
            Malformed::LongVarint,
        ),
        (
            "a limit of 0",
            frame(7, &[bucket, &[0, 0, 0]]),
            count(0, 256),
        ),
        (
            "a limit of 257",
            frame(7, &[bucket, &spelled(257), &[0, 0]]),
            count(257, 256),
        ),
        (
            "2^62 - 1 share numbers",
            frame(7, &[bucket, &[1], &spelled(varint::MAX)]),
            count(varint::MAX, 256),
        ),
        (
            "2^62 - 1 ranges",
            frame(7, &[bucket, &[1, 0], &spelled(varint::MAX)]),
            count(varint::MAX, READ_RANGES_MAX),
        ),
        (
            "65 ranges",
            frame(7, &[bucket, &[1, 0], &spelled(65), &many_ranges]),
            count(65, READ_RANGES_MAX),
        ),
        (
            "a share number twice",
            frame(7, &[bucket, &[1, 2, 5, 5, 0]]),
            Malformed::ShareNumberOrder,
        ),
        (
            "overlapping ranges",
            frame(7, &[bucket, &[1, 0, 2, 0, 5, 4, 1]]),
            Malformed::RangeOrder,
        ),
        (
            "an empty range",
            frame(7, &[bucket, &[1, 0, 1, 4, 0]]),
            Malformed::RangeOrder,
        ),
        (
            "a range beyond the largest share",
            frame(7, &[bucket, &[1, 0, 1, 4], &spelled(SHARE_SIZE_MAX)]),
            Malformed::PastEnd,
        ),
        (
            "a short bucket",
            frame(8, &[&bucket[1..]]),
            Malformed::Truncated,
        ),
    ] {
        assert_eq!(client_frame(&frame), Err(error), "{what}");
    }
}

#[test]
fn each_broken_rule_of_a_servers_frame_is_named() {
    for (what, frame, error) in [
        (
            "a client's type",
            frame(0x01, &[&[0; 40]]),
            Malformed::FrameType(1),
        ),
        (
            "an unknown status",
            frame(0x82, &[&[0, 4]]),
            Malformed::Code {
                field: "RESULT status",
                value: 4,
            },
        ),
        (
            "a text that is none",
            frame(0x82, &[&[0, 3, 1, 0xff]]),
            Malformed::Text,
        ),
        (
            "a text too long",
            frame(0x85, &[&[1], &[b'x'; TEXT_LEN_MAX + 1]]),
            Malformed::TrailingBytes,
        ),
        ("no bytes", frame(0x83, &[&[0, 0, 0]]), Malformed::Empty),
        (
            "a share twice",
            frame(0x84, &[&[0, 0, 2, 5, 1, 5, 1]]),
            Malformed::ShareNumberOrder,
        ),
        (
            "257 shares",
            frame(0x84, &[&[0, 0], &spelled(257)]),
            Malformed::Count {
                count: 257,
                count_max: 256,
            },
        ),
        (
            "a largest share that no share can have",
            frame(0x81, &[&[0, 0], &spelled(SHARE_SIZE_MAX + 1), &[0, 0]]),
            Malformed::PastEnd,
        ),
    ] {
        assert_eq!(server_frame(&frame), Err(error), "{what}");
    }
}

// A later server announces what else it does in these bits; today's client must not mind.
#[test]
fn unknown_welcome_flags_are_ignored() {
    let welcome = server_frame(&frame(0x81, &[&[0xf8, 9, 8, 7, 6]])).unwrap();
    let expected = Welcome {
        relaxed: false,
        read_only: false,
        long_data: false,
        space_free: 9,
        share_size_max: 8,
        uploads_max: 7,
        requests_max: 6,
    };
    assert_eq!(welcome, ServerFrame::Welcome(expected));
}
