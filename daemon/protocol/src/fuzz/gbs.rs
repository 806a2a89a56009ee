//! The same for GBS: the head of a request, each message, and the body that is streamed.

use std::fmt::Debug;

use lafs::Swissnum;

use crate::gbs::read_test_write::whole;
use crate::gbs::{
    Advisory, AllocateAnswer, AllocateRequest, Call, Endpoint, ReadTestWrite, ReadTestWriteAnswer,
    ReadTestWriteDecoder, Rejection, RequiredAnswer, SharesAnswer, VersionAnswer,
};

/// Reads bytes as the head of a request, a line each: `METHOD TARGET`, then `name: value`.
///
/// # Panics
///
/// If a request without this server's swissnum gets through, or an endpoint has no path of its own.
pub fn call(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let (method, target) = first.split_once(' ').unwrap_or((&first, ""));
    let headers: Vec<(String, &[u8])> = lines
        .map(|line| {
            let end = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(end.unwrap_or(line.len()));
            let value = value.strip_prefix(b":").unwrap_or_default();
            (String::from_utf8_lossy(name).into_owned(), value)
        })
        .collect();
    if let Ok(endpoint) = Endpoint::route(method, target) {
        let path = endpoint.to_string();
        assert_eq!(Endpoint::route(endpoint.method(), &path), Ok(endpoint));
    }
    let swissnum = Swissnum::new(SWISSNUM).expect("base32 is a swissnum");
    match Call::parse(method, target, &headers[..], &swissnum) {
        Ok(call) => {
            let mut authorization = headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
            let (_, value) = authorization.next().expect("a call is authorized");
            assert_eq!(value.trim_ascii(), AUTHORIZATION.as_bytes());
            assert!(call.check_content_length(0).is_ok(), "no body is too long");
        }
        Err(rejection) => assert!((400..500).contains(&rejection.status()), "{rejection}"),
    }
}

/// Reads bytes as the body of an allocate.
///
/// # Panics
///
/// If what was read is not read again after it is written.
pub fn allocate(bytes: &[u8]) {
    again(bytes, AllocateRequest::decode, AllocateRequest::encode);
}

/// Reads bytes as the body of a corruption advisory.
///
/// # Panics
///
/// If what was read is not read again after it is written.
pub fn advisory(bytes: &[u8]) {
    again(bytes, Advisory::decode, Advisory::encode);
}

/// Reads bytes as each of the answers.
///
/// # Panics
///
/// If what was read is not read again after it is written.
pub fn answers(bytes: &[u8]) {
    again(bytes, AllocateAnswer::decode, AllocateAnswer::encode);
    again(bytes, RequiredAnswer::decode, RequiredAnswer::encode);
    again(bytes, SharesAnswer::decode, SharesAnswer::encode);
    again(bytes, VersionAnswer::decode, VersionAnswer::encode);
    again(bytes, ReadTestWriteAnswer::decode, |answer| {
        answer.encode().concat()
    });
}

fn again<T: Debug + PartialEq, E: Debug + PartialEq>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, E>,
    encode: fn(&T) -> Vec<u8>,
) {
    if let Ok(message) = decode(bytes) {
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
}

/// Reads bytes as the body of a read-test-write: at once, in pieces, and with the other decoder.
///
/// # Panics
///
/// If the results differ, or what was read is not read again after it is written.
pub fn read_test_write(bytes: &[u8]) {
    let streamed = stream(bytes, usize::MAX);
    let step = 2 + bytes.len() % 11;
    for step in [1, step] {
        assert_eq!(stream(bytes, step), streamed, "in steps of {step}");
    }
    match (&streamed, &whole::decode(bytes)) {
        (Ok(streamed), Ok(whole)) => assert_eq!(streamed, whole),
        (Err(_), Err(_)) => {}
        (streamed, whole) => panic!("{streamed:?} in pieces, {whole:?} as a whole"),
    }
    if let Ok((request, data)) = streamed {
        let body = request.encode(&data);
        assert_eq!(stream(&body, step), Ok((request, data)));
    }
}

/// Reads the body of a read-test-write in steps of so many bytes, and the data of its writes.
///
/// # Errors
///
/// Those of the decoder.
///
/// # Panics
///
/// If the decoder leaves input without giving data, or gives none.
pub fn stream(body: &[u8], step: usize) -> Result<(ReadTestWrite, Vec<u8>), Rejection> {
    let mut decoder = ReadTestWriteDecoder::default();
    let mut data = Vec::new();
    for mut input in body.chunks(step) {
        while let Some(piece) = decoder.read(&mut input)? {
            assert!(!piece.is_empty(), "a piece has bytes");
            data.extend_from_slice(piece);
        }
        assert!(input.is_empty(), "input is left only when data came out");
    }
    let request = decoder.finish()?;
    assert_eq!(request.data_size, lafs::num::size(data.len()));
    Ok((request, data))
}

/// The swissnum of the fixtures, and the header that it makes.
const SWISSNUM: &str = "gbsfixtureswissnum234567abcdefgh";
const AUTHORIZATION: &str = "Tahoe-LAFS Z2JzZml4dHVyZXN3aXNzbnVtMjM0NTY3YWJjZGVmZ2g=";
