//! How fast files become shares and shares files, on one core, against the limit of the parts.
//!
//! The limit is the time that the cipher, the erasure code and the hash each take alone over the
//! bytes that the pipeline puts through them, added up. All are measured in the same rounds, one
//! after the other, so that what else the machine does meets all of them; what it does on this core
//! does not count, but it does take its share of the caches.

use std::hint::black_box;
use std::process::ExitCode;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use clap::Parser;
use encoder::Parameters;
use encoder::native::{ConvergentKey, Decoder, Encoder, Holder, ReadAhead};
use lafs::cap::native::{ReadCap, ReadKey};
use lafs::{ConvergenceSecret, ShareNumber};
use reed_solomon_simd::ReedSolomonEncoder;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use benches::{process, results};

/// Measure encoding and decoding on one core
#[derive(Parser)]
struct Arguments {
    /// Shares that bring the file back
    #[arg(long, default_value_t = 3)]
    needed: usize,
    /// Shares in all
    #[arg(long, default_value_t = 10)]
    total: usize,
    /// Size of the file in MiB
    #[arg(long, default_value_t = 24)]
    size: usize,
    /// How often everything is measured; the best and the median count
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Replace the section of docs/results.md
    #[arg(long)]
    write: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = results::expect_writable(arguments.write) {
        eprintln!("encode: {error}");
        return ExitCode::FAILURE;
    }
    let parameters = match Parameters::default_for(arguments.needed, arguments.total) {
        Ok(parameters) => parameters,
        Err(error) => {
            eprintln!("encode: {error}");
            return ExitCode::from(2);
        }
    };
    let measured = measure(&arguments, parameters);
    let table = measured.table();
    if arguments.json {
        println!("{}", serde_json::json!(measured));
    } else {
        print!("{table}");
    }
    if arguments.write {
        if let Err(error) = results::write_section("encode", &table) {
            eprintln!("encode: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(arguments: &Arguments, parameters: Parameters) -> Measured {
    let file = File::new(arguments.size << 20, parameters);
    // First of all, so that the peak is that of the encoder.
    let before = process::memory(std::process::id()).map_or(0, |memory| memory.resident);
    file.encode();
    let peak = process::memory(std::process::id()).map_or(0, |memory| memory.peak);

    let uploaded = file.upload();
    let secondary: Vec<usize> = (arguments.total - arguments.needed..arguments.total).collect();
    let mut one_lost: Vec<usize> = (1..arguments.needed).collect();
    one_lost.push(arguments.total - 1);
    let primary: Vec<usize> = (0..arguments.needed).collect();

    let mut samples = Samples::default();
    for _ in 0..arguments.rounds {
        samples.cipher.push(time(|| file.cipher()));
        samples.code.push(time(|| file.code()));
        samples.hash.push(time(|| file.hash()));
        samples.encode.push(time(|| file.encode()));
        samples.key.push(time(|| drop(black_box(file.key()))));
        samples
            .decode_primary
            .push(time(|| uploaded.decode(&primary)));
        samples
            .decode_one_lost
            .push(time(|| uploaded.decode(&one_lost)));
        samples
            .decode_secondary
            .push(time(|| uploaded.decode(&secondary)));
    }
    let rate = |seconds: &[f64]| Rate::of(file.plaintext.len(), seconds);
    let limit = samples.limit();
    let ratios = limit.iter().zip(&samples.encode);
    Measured {
        needed: arguments.needed,
        total: arguments.total,
        segment_size: parameters.segment_size(),
        hashed: file.hashed(),
        memory: peak.saturating_sub(before),
        cipher: rate(&samples.cipher),
        code: rate(&samples.code),
        hash: rate(&samples.hash),
        limit: rate(&limit),
        encode: rate(&samples.encode),
        of_limit: median(ratios.map(|(limit, encode)| limit / encode).collect()),
        key: rate(&samples.key),
        decode_primary: rate(&samples.decode_primary),
        decode_one_lost: rate(&samples.decode_one_lost),
        decode_secondary: rate(&samples.decode_secondary),
    }
}

/// A file in memory, and what is done to it.
struct File {
    parameters: Parameters,
    plaintext: Vec<u8>,
}

impl File {
    fn new(len: usize, parameters: Parameters) -> Self {
        let mut plaintext = vec![0; len];
        let mut bytes = blake3::Hasher::new().finalize_xof();
        bytes.fill(&mut plaintext);
        Self {
            parameters,
            plaintext,
        }
    }

    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.plaintext.chunks(self.segment_len())
    }

    fn segment_len(&self) -> usize {
        self.parameters.segment_size().try_into().expect("32 bits")
    }

    fn block_len(&self) -> usize {
        self.parameters.block_size().try_into().expect("32 bits")
    }

    /// Bytes that the pipeline hashes for each byte of the file: itself, and all its blocks.
    fn hashed(&self) -> f64 {
        1.0 + self.hashed_blocks() as f64 / self.parameters.needed() as f64
    }

    /// Blocks of a segment that are hashed; copies of one block are hashed once.
    fn hashed_blocks(&self) -> usize {
        match self.parameters.needed() {
            1 => 1,
            _ => self.parameters.total(),
        }
    }

    /// The cipher alone.
    fn cipher(&self) {
        let mut ciphertext = vec![0; self.segment_len()];
        for segment in self.segments() {
            let mut cipher = ChaCha20::new(&[1; 32].into(), &[0; 12].into());
            cipher.apply_keystream_b2b(segment, &mut ciphertext[..segment.len()]);
            black_box(&ciphertext);
        }
    }

    /// The erasure code alone.
    fn code(&self) {
        let (needed, total) = (self.parameters.needed(), self.parameters.total());
        if needed == 1 || needed == total {
            return;
        }
        let mut encoder = ReedSolomonEncoder::new(needed, total - needed, self.block_len())
            .expect("the parameters are within the codec's bounds");
        // A short last segment is left out: it is a fraction of one in hundreds.
        for segment in self.plaintext.chunks_exact(self.segment_len()) {
            for block in segment.chunks_exact(self.block_len()) {
                encoder.add_original_shard(block).expect("a whole block");
            }
            black_box(encoder.encode().expect("all were added"));
        }
    }

    /// The hash alone: each segment, and each block of it, secondary ones too.
    fn hash(&self) {
        let key = [1; 32];
        for segment in self.segments() {
            black_box(blake3::keyed_hash(&key, segment));
            let primary = segment.chunks(self.block_len());
            for block in primary.cycle().take(self.hashed_blocks()) {
                black_box(blake3::keyed_hash(&key, block));
            }
        }
    }

    /// The first pass over a file that is uploaded convergently.
    fn key(&self) -> ReadKey {
        let mut key = ConvergentKey::new(&ConvergenceSecret::new([1; 32]), self.parameters);
        for piece in self.plaintext.chunks(1 << 20) {
            key.update(piece);
        }
        key.finish()
    }

    /// All of the pipeline.
    fn encode(&self) {
        let mut encoder = Encoder::new(ReadKey::new([1; 32]), self.parameters);
        for segment in self.segments() {
            black_box(encoder.encode(segment).share(ShareNumber::new(0)));
        }
        black_box(encoder.finish());
    }

    fn upload(&self) -> Uploaded {
        let numbers = || (0..self.parameters.total()).filter_map(ShareNumber::from_index);
        let mut shares = vec![Vec::new(); self.parameters.total()];
        let mut encoder = Encoder::new(ReadKey::new([1; 32]), self.parameters);
        for segment in self.segments() {
            let segment = encoder.encode(segment);
            for (number, share) in numbers().zip(&mut shares) {
                share.extend(segment.share(number).concat());
            }
        }
        let encoded = encoder.finish();
        for (number, share) in numbers().zip(&mut shares) {
            share.extend(encoded.share(number));
        }
        Uploaded {
            cap: encoded.cap().clone(),
            shares,
        }
    }
}

/// A file's shares in memory.
struct Uploaded {
    cap: ReadCap,
    shares: Vec<Vec<u8>>,
}

impl Uploaded {
    /// Decodes the file from the shares with these numbers, which come in frames of 64 KiB.
    fn decode(&self, numbers: &[usize]) {
        let mut decoder = Decoder::new(&self.cap, 0..u64::MAX, ReadAhead::default());
        for number in numbers {
            let number = ShareNumber::from_index(*number).expect("below the total");
            decoder.offer(Holder(0), number);
        }
        while !decoder.is_done() {
            while let Some(bytes) = decoder.plaintext().expect("the shares are good") {
                black_box(bytes);
            }
            while let Some(request) = decoder.next_request() {
                for range in request.ranges {
                    let index = |offset: u64| usize::try_from(offset).expect("it is in memory");
                    let bytes = &self.shares[request.share_number.index()];
                    let mut offset = range.start;
                    for frame in bytes[index(range.start)..index(range.end)].chunks(1 << 16) {
                        decoder.receive(request.id, offset, frame);
                        offset += frame.len() as u64;
                    }
                }
            }
        }
    }
}

/// Seconds that everything took, one entry a round.
#[derive(Default)]
struct Samples {
    cipher: Vec<f64>,
    code: Vec<f64>,
    hash: Vec<f64>,
    encode: Vec<f64>,
    key: Vec<f64>,
    decode_primary: Vec<f64>,
    decode_one_lost: Vec<f64>,
    decode_secondary: Vec<f64>,
}

impl Samples {
    /// The parts added up, round by round.
    fn limit(&self) -> Vec<f64> {
        let parts = self.cipher.iter().zip(&self.code).zip(&self.hash);
        parts
            .map(|((cipher, code), hash)| cipher + code + hash)
            .collect()
    }
}

/// Bytes of the file per second.
#[derive(Serialize)]
struct Rate {
    best: f64,
    median: f64,
}

impl Rate {
    fn of(len: usize, seconds: &[f64]) -> Self {
        Self {
            best: len as f64 / seconds.iter().copied().fold(f64::INFINITY, f64::min),
            median: len as f64 / median(seconds.to_vec()),
        }
    }
}

#[derive(Serialize)]
struct Measured {
    needed: usize,
    total: usize,
    segment_size: u32,
    /// Bytes hashed for each byte of the file.
    hashed: f64,
    /// Bytes of memory that encoding took, tables of the codec included.
    memory: u64,
    cipher: Rate,
    code: Rate,
    hash: Rate,
    limit: Rate,
    encode: Rate,
    /// Rate of the pipeline in parts of the limit, the median of the rounds.
    of_limit: f64,
    key: Rate,
    decode_primary: Rate,
    decode_one_lost: Rate,
    decode_secondary: Rate,
}

impl Measured {
    fn table(&self) -> String {
        let Self { needed, total, .. } = self;
        let row = |name: &str, rate: &Rate| {
            let (best, median) = (rate.best / 1e6, rate.median / 1e6);
            format!("| {name} | {best:.0} | {median:.0} |\n")
        };
        let rows = [
            row("cipher alone (ChaCha20)", &self.cipher),
            row("erasure code alone (`reed-solomon-simd`)", &self.code),
            row(
                &format!("hash alone (BLAKE3 over {:.2} bytes for each)", self.hashed),
                &self.hash,
            ),
            row("the three added up: the limit", &self.limit),
            row("**encode**: encrypt, code, hash", &self.encode),
            row("convergent key, a pass of its own", &self.key),
            row("**decode** from primary shares only", &self.decode_primary),
            row("decode with one primary share lost", &self.decode_one_lost),
            row(
                "decode from as few primary shares as possible",
                &self.decode_secondary,
            ),
        ];
        format!(
            "{needed} of {total}, segments of {} KiB, one thread; MB of the file per second of processor \
             time.\n\n\
             | | best | median |\n|---|---|---|\n{}\n\
             Encoding runs at **{:.0} %** of the limit (median of the rounds), and takes {:.1} MiB \
             of memory, the codec's tables included.\n",
            self.segment_size >> 10,
            rows.concat(),
            self.of_limit * 100.0,
            self.memory as f64 / f64::from(1 << 20),
        )
    }
}

/// Processor time of this thread that the work takes: others on the machine do not count.
fn time(work: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    };
    let began = now();
    work();
    now() - began
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
