//! Fuzz entry points: each takes any bytes from a stranger and must not panic.
//!
//! They assert what must hold whatever the bytes are. The tests call them too.

use std::collections::VecDeque;
use std::sync::LazyLock;

use lafs::cap::native::{ReadCap, ReadKey};
use lafs::{Parameters, ShareNumber, num};

use super::damage::Damage;
use super::decoder::{Decoder, Holder, ReadAhead, Request};
use super::encoder::Encoder;
use super::geometry::Geometry;
use super::ueb::Ueb;
use super::verify::ShareVerifier;

/// Whatever parses as a UEB prints as the same bytes, and has a layout.
pub fn ueb(bytes: &[u8]) {
    let Some(Ok(ueb)) = bytes.first_chunk().map(Ueb::parse) else {
        return;
    };
    assert_eq!(ueb.to_bytes(), bytes[..Ueb::SIZE]);
    let geometry = Geometry::from(&ueb);
    assert_eq!(geometry.trailer().end, geometry.share_size());
    if let Some(last) = geometry.segment_count().checked_sub(1) {
        assert!(geometry.block(last).end <= geometry.trailer().start);
        assert_eq!(geometry.plaintext(last).end, geometry.file_size());
    }
}

/// A share is verified, as it stands and as a changed copy of a good one, and only a good one
/// passes.
///
/// The first byte is the share number; the rest is a share, and also what a good share is XORed
/// with.
pub fn share(bytes: &[u8]) {
    let Some((number, bytes)) = bytes.split_first() else {
        return;
    };
    let file = &*FILE;
    let number = ShareNumber::new(*number);
    let stranger = verify(number, bytes);
    let good = file.shares.iter().any(|share| share == bytes);
    assert!(good || stranger.is_err(), "made a share");

    let Some(good) = file.shares.get(number.index()) else {
        return;
    };
    let mut changed = good.clone();
    for (byte, change) in changed.iter_mut().zip(bytes) {
        *byte ^= change;
    }
    assert_eq!(verify(number, &changed).is_ok(), changed == *good);
}

/// Verifies with the cap of [`FILE`], and without.
fn verify(number: ShareNumber, share: &[u8]) -> Result<(), Damage> {
    let cap = FILE.cap.verify_cap();
    let with_cap = || {
        let mut verifier = ShareVerifier::new(&cap, number)?;
        for piece in share.chunks(97) {
            verifier.update(piece)?;
        }
        verifier.finish()
    };
    let without_cap = || {
        let ueb = Ueb::parse(share.last_chunk().ok_or(Damage::OtherFile)?)?;
        let mut verifier = ShareVerifier::without_cap(cap.storage_index(), number, &ueb)?;
        verifier.update(share)?;
        verifier.finish()
    };
    with_cap().and(without_cap())
}

/// Whatever happens to a decoder, it gives out nothing but the file, and all of it once enough good
/// shares have come.
///
/// The bytes are a script: a byte says what happens, those after it say how.
pub fn answers(script: &[u8]) {
    let file = &*FILE;
    let read_ahead = ReadAhead {
        window_size: 256,
        ahead_size: 768,
    };
    let mut script = script.iter().copied();
    let mut next = || script.next();
    let start = u64::from(next().unwrap_or(0)) * 4;
    let end = start + u64::from(next().unwrap_or(255)) * 4;
    let mut decoder = Decoder::new(&file.cap, start..end, read_ahead);
    let mut output = Output {
        expected: &file.plaintext[clip(start)..clip(end)],
    };
    let mut requests: VecDeque<Request> = VecDeque::new();
    while let Some(what) = next() {
        let (holder, number) = (
            Holder(u64::from(what >> 4)),
            ShareNumber::new(what >> 4 & 7),
        );
        match what & 7 {
            0 => decoder.offer(holder, number),
            1 => {
                let ranges = decoder.opening().to_vec();
                let id = decoder.answer(holder, number);
                requests.extend(id.map(|id| Request {
                    id,
                    holder,
                    share_number: number,
                    ranges,
                }));
            }
            2 => decoder.lost(holder),
            3 => requests.extend(std::iter::from_fn(|| decoder.next_request())),
            4 => requests.rotate_left(requests.len().min(1)),
            // The next request is answered: well, or cut short, or with a byte changed.
            _ => {
                if let Some(request) = requests.pop_front() {
                    let harm = (what & 7 != 7).then(|| (next(), next()));
                    answer(&mut decoder, &request, harm);
                }
            }
        }
        output.take(&mut decoder);
        while decoder.next_bad_share().is_some() {}
    }

    for (number, holder) in [(1, Holder(100)), (3, Holder(101))] {
        decoder.offer(holder, ShareNumber::new(number));
    }
    // Nothing more comes from the holders so far.
    (0..16).for_each(|holder| decoder.lost(Holder(holder)));
    while !decoder.is_done() {
        assert_eq!(decoder.shortfall(), 0);
        let mut asked = false;
        while let Some(request) = decoder.next_request() {
            asked = true;
            answer(&mut decoder, &request, None);
        }
        let before = output.expected.len();
        output.take(&mut decoder);
        assert!(asked || output.expected.len() < before || decoder.is_done());
        assert_eq!(decoder.next_bad_share(), None);
    }
    assert!(output.expected.is_empty(), "not all of the file came back");
}

/// Answers a request from the good shares; with harm, something goes wrong on the way.
fn answer(decoder: &mut Decoder, request: &Request, harm: Option<(Option<u8>, Option<u8>)>) {
    let Some(share) = FILE.shares.get(request.share_number.index()) else {
        return;
    };
    for range in &request.ranges {
        let index = |offset: u64| num::len(offset).expect("a small share");
        let mut bytes = share[index(range.start)..index(range.end)].to_vec();
        if let Some((Some(place), how)) = harm {
            let place = usize::from(place) % bytes.len();
            match how {
                Some(change) => bytes[place] ^= change,
                None => bytes.truncate(place),
            }
        }
        let (first, second) = bytes.split_at(bytes.len() / 2);
        decoder.receive(request.id, range.start, first);
        decoder.receive(request.id, range.start + num::size(first.len()), second);
    }
    decoder.end(request.id);
}

/// The plaintext that is still to come.
struct Output {
    expected: &'static [u8],
}

impl Output {
    fn take(&mut self, decoder: &mut Decoder) {
        while let Some(bytes) = decoder.plaintext().expect("the file is consistent") {
            let (now, later) = self.expected.split_at(bytes.len().min(self.expected.len()));
            assert_eq!(bytes, now, "bytes that are not the file's");
            self.expected = later;
        }
    }
}

/// A small file of seven segments, 2-of-4, and its shares.
struct File {
    cap: ReadCap,
    plaintext: Vec<u8>,
    shares: Vec<Vec<u8>>,
}

static FILE: LazyLock<File> = LazyLock::new(|| {
    let parameters = Parameters::new(2, 4, 128).expect("64 bytes a block");
    let plaintext: Vec<u8> = (0..=255).cycle().take(6 * 128 + 77).collect();
    let numbers = || (0..4).map(ShareNumber::new);
    let mut encoder = Encoder::new(ReadKey::new([1; 32]), parameters);
    let mut shares = vec![Vec::new(); 4];
    for segment in plaintext.chunks(128) {
        let segment = encoder.encode(segment);
        for (share, number) in shares.iter_mut().zip(numbers()) {
            share.extend(segment.share(number).concat());
        }
    }
    let encoded = encoder.finish();
    for (share, number) in shares.iter_mut().zip(numbers()) {
        share.extend(encoded.share(number));
    }
    File {
        cap: encoded.cap().clone(),
        plaintext,
        shares,
    }
});

/// An offset, at most the end of the file.
fn clip(offset: u64) -> usize {
    num::len(offset.min(num::size(FILE.plaintext.len()))).expect("a small file")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // A seed that is not accepted teaches the fuzzer nothing, and nobody notices.
    #[test]
    fn the_seed_of_the_fuzzer_is_a_ueb() {
        let seed = include_bytes!("../../../fuzz/seeds/ueb/small");
        ueb(seed);
        assert!(
            seed.first_chunk()
                .is_some_and(|bytes| Ueb::parse(bytes).is_ok())
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn whatever_a_decoder_is_told_it_gives_out_the_file(
            script in proptest::collection::vec(any::<u8>(), 0..120)
        ) {
            answers(&script);
        }

        #[test]
        fn whatever_comes_as_a_share_is_a_share_or_refused(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..700),
            calm in any::<u8>(),
        ) {
            // Mostly zeros, so that most of a share is left as it is.
            for byte in bytes.iter_mut().skip(1) {
                if *byte > calm {
                    *byte = 0;
                }
            }
            share(&bytes);
            ueb(&bytes);
        }
    }
}
