//! A reader meets servers that changed, cut or exchanged their shares, or answer at the wrong place.
//!
//! It must not panic, not ask without end, give out no byte that is not the file's, and give out the
//! file if enough servers left their shares as they were.
#![no_main]

use std::sync::LazyLock;

use encoder::{Decoder, Encoder, Holder, Limits, Request};
use lafs::cap::ReadCap;
use lafs::{Parameters, ReadKey, ShareNumber};

/// Three of five; six segments, so that there are trees.
const NEEDED: usize = 3;
const TOTAL: usize = 5;
const SEGMENT_SIZE: u32 = 192;
const FILE_LEN: usize = 1000;

/// More requests than any number of liars can cause: each share is asked for each window at most once.
const REQUESTS_MAX: usize = 1000;

struct File {
    cap: ReadCap,
    plaintext: Vec<u8>,
    shares: Vec<Vec<u8>>,
}

static FILE: LazyLock<File> = LazyLock::new(|| {
    let parameters = Parameters::new(NEEDED, TOTAL, SEGMENT_SIZE).expect("they are allowed");
    let plaintext: Vec<u8> = (0..=255).cycle().take(FILE_LEN).collect();
    let mut encoder = Encoder::new(ReadKey::new([7; 32]), parameters);
    let mut shares = vec![Vec::new(); TOTAL];
    for segment in plaintext.chunks(parameters.segment_size().try_into().expect("it is small")) {
        let segment = encoder.encode(segment);
        for (number, share) in (0..).map(ShareNumber::new).zip(&mut shares) {
            for bytes in segment.share(number) {
                share.extend_from_slice(bytes);
            }
        }
    }
    let encoded = encoder.finish();
    for (number, share) in (0..).map(ShareNumber::new).zip(&mut shares) {
        share.extend_from_slice(encoded.share(number));
    }
    File {
        cap: encoded.cap().clone(),
        plaintext,
        shares,
    }
});

/// A server, which is the holder and has the share of this index.
struct Server {
    share: Vec<u8>,
    /// Added to every offset that it answers with.
    shift: u64,
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = &*FILE;
    let mut servers: Vec<_> = file
        .shares
        .iter()
        .map(|share| Server {
            share: share.clone(),
            shift: 0,
        })
        .collect();
    for change in bytes.chunks_exact(5) {
        let [server, what, high, low, value] = change.try_into().expect("chunks of five");
        let server = usize::from(server) % TOTAL;
        let offset = usize::from(u16::from_be_bytes([high, low]));
        match what % 4 {
            0 => {
                if let Some(byte) = servers[server].share.get_mut(offset) {
                    *byte ^= value;
                }
            }
            1 => servers[server].share.truncate(offset),
            2 => servers[server]
                .share
                .clone_from(&file.shares[usize::from(value) % TOTAL]),
            _ => servers[server].shift = value.into(),
        }
    }
    let honest = servers
        .iter()
        .zip(&file.shares)
        .filter(|(server, share)| server.share == **share && server.shift == 0)
        .count();

    let (plaintext, is_done) = read(&file.cap, &servers);
    assert_eq!(
        plaintext,
        file.plaintext[..plaintext.len()],
        "not the file's bytes"
    );
    assert_eq!(is_done, plaintext.len() == FILE_LEN);
    assert!(
        is_done || honest < NEEDED,
        "{honest} honest servers, and no file"
    );
});

fn read(cap: &ReadCap, servers: &[Server]) -> (Vec<u8>, bool) {
    let limits = Limits {
        window_size: 2 * SEGMENT_SIZE,
        ahead_size: 4 * SEGMENT_SIZE,
    };
    let mut decoder = Decoder::new(cap, 0..cap.size(), limits);
    let opening = decoder.opening().to_vec();
    let mut requests: Vec<Request> = Vec::new();
    for index in 0..TOTAL {
        let (holder, number) = named(index);
        if let Some(id) = decoder.answer(holder, number) {
            requests.push(Request {
                id,
                holder,
                number,
                ranges: opening.clone(),
            });
        }
    }
    let mut plaintext = Vec::new();
    for _ in 0..REQUESTS_MAX {
        loop {
            match decoder.plaintext() {
                Ok(Some(bytes)) => plaintext.extend_from_slice(bytes),
                Ok(None) => break,
                Err(_) => return (plaintext, false),
            }
        }
        while decoder.next_bad_share().is_some() {}
        if decoder.is_done() {
            return (plaintext, true);
        }
        requests.extend(std::iter::from_fn(|| decoder.next_request()));
        if requests.is_empty() {
            assert_ne!(decoder.shortfall(), 0, "it neither asks nor ends");
            return (plaintext, false);
        }
        answer(&mut decoder, &requests.remove(0), servers);
    }
    panic!("it asks without end");
}

fn answer(decoder: &mut Decoder, request: &Request, servers: &[Server]) {
    let server = &servers[usize::try_from(request.holder.0).expect("we named it")];
    let within = |offset: u64| {
        usize::try_from(offset)
            .expect("it is small")
            .min(server.share.len())
    };
    for range in &request.ranges {
        let bytes = &server.share[within(range.start)..within(range.end)];
        if !bytes.is_empty() {
            decoder.receive(request.id, range.start + server.shift, bytes);
        }
    }
    decoder.end(request.id);
}

fn named(index: usize) -> (Holder, ShareNumber) {
    let number = u8::try_from(index).expect("there are five");
    (Holder(number.into()), ShareNumber::new(number))
}
