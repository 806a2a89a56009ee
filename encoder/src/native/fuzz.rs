//! Fuzz entry points: each takes any bytes from a stranger and must not panic.
//!
//! They assert what must hold whatever the bytes are. The tests call them too.

use std::collections::VecDeque;
use std::sync::LazyLock;

use lafs::cap::native::{ReadCap, ReadKey};
use lafs::{Parameters, ShareNumber, num};
use share::native::{Damage, Geometry, ShareVerifier};
use share::{Container, Verdict};

use super::Version;
use super::decoder::{Decoder, Holder, ReadAhead, Request};
use super::encoder::Encoder;

/// A share is verified, as it stands and as a changed copy of a good one, and only a good one
/// passes.
///
/// The first byte is the share number and says of which file; the rest is a share, and also what a
/// good share is XORed with.
pub fn share(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let file = &FILES[usize::from(first >> 3) % FILES.len()];
    let number = ShareNumber::new(first & 7);
    let stranger = verify(file, number, bytes);
    let good = file.shares.iter().any(|share| share == bytes);
    assert!(good || stranger.is_err(), "made a share");

    let Some(good) = file.shares.get(number.index()) else {
        return;
    };
    let mut changed = good.clone();
    for (byte, change) in changed.iter_mut().zip(bytes) {
        *byte ^= change;
    }
    assert_eq!(verify(file, number, &changed).is_ok(), changed == *good);
}

/// Verifies with the cap of a file, and without.
fn verify(file: &File, number: ShareNumber, share: &[u8]) -> Result<(), Damage> {
    let cap = file.cap.verify_cap();
    let with_cap = || {
        let mut verifier = ShareVerifier::new(&cap, number)?;
        for piece in share.chunks(97) {
            verifier.update(piece)?;
        }
        verifier.finish()
    };
    let without_cap = || {
        let geometry = Geometry::of_share(num::size(share.len()), share)?;
        let mut verifier = ShareVerifier::without_cap(cap.storage_index(), number, geometry)?;
        verifier.update(share)?;
        verifier.finish()
    };
    let verdict = share::check(&share, Container::Immutable, cap.storage_index(), number);
    let without_cap = without_cap();
    let is_whole = matches!(verdict, Ok(Verdict::Whole(_)));
    // What begins like a share of Tahoe's is taken for one, and is damaged.
    assert!(!is_whole || without_cap.is_ok());
    let looks_like_tahoe = share.starts_with(&[0, 0, 0]);
    assert!(is_whole || without_cap.is_err() || looks_like_tahoe);
    with_cap().and(without_cap)
}

/// Whatever happens to a decoder, it gives out nothing but the file, and all of it once enough good
/// shares have come.
///
/// The first byte says which file it is; the rest is a script: a byte says what happens, those after
/// it say how.
pub fn answers(script: &[u8]) {
    let Some((first, script)) = script.split_first() else {
        return;
    };
    let file = &FILES[usize::from(*first) % FILES.len()];
    let clip = |offset| file.clip(offset);
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
                    answer(file, &mut decoder, &request, harm);
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
            answer(file, &mut decoder, &request, None);
        }
        let before = output.expected.len();
        output.take(&mut decoder);
        assert!(asked || output.expected.len() < before || decoder.is_done());
        assert_eq!(decoder.next_bad_share(), None);
    }
    assert!(output.expected.is_empty(), "not all of the file came back");
}

/// Answers a request from the good shares; with harm, something goes wrong on the way.
fn answer(
    file: &File,
    decoder: &mut Decoder,
    request: &Request,
    harm: Option<(Option<u8>, Option<u8>)>,
) {
    let Some(share) = file.shares.get(request.share_number.index()) else {
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

/// A small file, 2-of-4, and its shares.
struct File {
    cap: ReadCap,
    plaintext: Vec<u8>,
    shares: Vec<Vec<u8>>,
}

/// Of each version one of seven segments, and of each one of a single segment.
static FILES: LazyLock<[File; 4]> = LazyLock::new(|| {
    [
        File::new(Version::V1, 6 * 128 + 77),
        File::new(Version::V2, 6 * 128 + 77),
        File::new(Version::V1, 77),
        File::new(Version::V2, 77),
    ]
});

impl File {
    fn new(version: Version, len: usize) -> Self {
        let parameters = Parameters::new(2, 4, 128).expect("64 bytes a block");
        let plaintext: Vec<u8> = (0..=255).cycle().take(len).collect();
        let numbers = || (0..4).map(ShareNumber::new);
        let mut encoder = Encoder::of_version(version, ReadKey::new([1; 32]), parameters);
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
        Self {
            cap: encoded.cap().clone(),
            plaintext,
            shares,
        }
    }

    /// An offset, at most the end of the file.
    fn clip(&self, offset: u64) -> usize {
        num::len(offset.min(num::size(self.plaintext.len()))).expect("a small file")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        }
    }
}
