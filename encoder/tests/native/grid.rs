//! Files in memory, and servers that are vectors.

use std::ops::Range;

use encoder::Parameters;
use encoder::native::{
    BadShare, Decoder, Encoder, Holder, Inconsistent, ReadAhead, Request, Version,
};
use lafs::ShareNumber;
use lafs::cap::native::{ReadCap, ReadKey};

/// A file that has been uploaded.
pub(crate) struct Uploaded {
    pub(crate) cap: ReadCap,
    pub(crate) plaintext: Vec<u8>,
    /// Whole shares, by number.
    pub(crate) shares: Vec<Vec<u8>>,
}

/// Bytes in which no stretch looks like another.
pub(crate) fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new_keyed(&[seed; 32]);
    hasher.update(b"noise");
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Encodes a file as it is done now.
pub(crate) fn upload(plaintext: Vec<u8>, parameters: Parameters, key: &ReadKey) -> Uploaded {
    upload_as(Version::CURRENT, plaintext, parameters, key)
}

/// Encodes a file.
pub(crate) fn upload_as(
    version: Version,
    plaintext: Vec<u8>,
    parameters: Parameters,
    key: &ReadKey,
) -> Uploaded {
    let mut encoder = Encoder::of_version(version, key.clone(), parameters);
    let mut shares = vec![Vec::new(); parameters.total()];
    let segment_len = usize::try_from(parameters.segment_size()).unwrap();
    for segment in plaintext.chunks(segment_len) {
        let segment = encoder.encode(segment);
        for (number, share) in shares.iter_mut().enumerate() {
            for bytes in segment.share(number_of(number)) {
                share.extend_from_slice(bytes);
            }
        }
    }
    let encoded = encoder.finish();
    for (number, share) in shares.iter_mut().enumerate() {
        share.extend_from_slice(encoded.share(number_of(number)));
    }
    Uploaded {
        cap: encoded.cap().clone(),
        plaintext,
        shares,
    }
}

/// A key that is not derived from the file.
pub(crate) fn key(byte: u8) -> ReadKey {
    ReadKey::new([byte; 32])
}

pub(crate) fn number_of(index: usize) -> ShareNumber {
    ShareNumber::from_index(index).unwrap()
}

/// A share where a server says it has one: perhaps it is what it says.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) number: ShareNumber,
    pub(crate) bytes: Vec<u8>,
}

impl Uploaded {
    /// All shares, each on the server that has its number.
    pub(crate) fn held(&self) -> Vec<Held> {
        let number = |index| number_of(index);
        let shares = self.shares.iter().cloned().enumerate();
        shares
            .map(|(index, bytes)| Held {
                number: number(index),
                bytes,
            })
            .collect()
    }
}

/// What came of a download.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Downloaded {
    Plaintext(Vec<u8>),
    /// This many shares were missing.
    Short(usize),
    Inconsistent(Inconsistent),
}

/// How a client goes about a download.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Asks every server the opening at once.
    OpenAll,
    /// Is told first who has what.
    Offers,
}

/// Downloads a range of a file from servers, each of which is the holder named by its index.
pub(crate) fn download(
    cap: &ReadCap,
    range: Range<u64>,
    servers: &[Held],
    manner: Manner,
    read_ahead: ReadAhead,
) -> (Downloaded, Vec<BadShare>) {
    let mut decoder = Decoder::new(cap, range, read_ahead);
    let mut bad = Vec::new();
    let mut plaintext = Vec::new();
    let mut requests: Vec<Request> = Vec::new();
    let opening = decoder.opening().to_vec();
    for (holder, held) in (0..).map(Holder).zip(servers) {
        match manner {
            Manner::Offers => decoder.offer(holder, held.number),
            Manner::OpenAll => {
                if let Some(id) = decoder.answer(holder, held.number) {
                    requests.push(Request {
                        id,
                        holder,
                        share_number: held.number,
                        ranges: opening.clone(),
                    });
                }
            }
        }
    }
    loop {
        loop {
            match decoder.plaintext() {
                Ok(Some(bytes)) => plaintext.extend_from_slice(bytes),
                Ok(None) => break,
                Err(inconsistent) => return (Downloaded::Inconsistent(inconsistent), bad),
            }
        }
        bad.extend(std::iter::from_fn(|| decoder.next_bad_share()));
        if decoder.is_done() {
            return (Downloaded::Plaintext(plaintext), bad);
        }
        requests.extend(std::iter::from_fn(|| decoder.next_request()));
        if requests.is_empty() {
            assert_ne!(decoder.shortfall(), 0, "it neither asks nor ends");
            return (Downloaded::Short(decoder.shortfall()), bad);
        }
        let request = requests.remove(0);
        serve(&mut decoder, &request, servers);
    }
}

/// Answers a request as a server does: in pieces, and as far as the share goes.
fn serve(decoder: &mut Decoder, request: &Request, servers: &[Held]) {
    assert!(request.ranges.len() <= Decoder::RANGES_MAX);
    assert!(
        request
            .ranges
            .windows(2)
            .all(|pair| pair[0].end < pair[1].start)
    );
    let held = &servers[usize::try_from(request.holder.0).unwrap()];
    assert_eq!(held.number, request.share_number);
    for range in &request.ranges {
        let len = held.bytes.len();
        let within = |offset: u64| usize::try_from(offset).map_or(len, |offset| offset.min(len));
        let (start, end) = (within(range.start), within(range.end));
        let mut offset = range.start;
        for piece in held.bytes[start..end].chunks(1000) {
            decoder.receive(request.id, offset, piece);
            offset += u64::try_from(piece.len()).unwrap();
        }
    }
    decoder.end(request.id);
}
