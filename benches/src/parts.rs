//! What the parts of a large upload and download cost, each alone: encoding, TLS, the disk.
//!
//! Added up and spread over all processors they are the rate that nothing made of these parts can
//! exceed on one machine, if the disk keeps up. Each is done in the best way that is known: large
//! pieces, buffers that are used again, writes past the cache of pages.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{self, BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use encoder::Parameters;
use encoder::native::{ConvergentKey, Decoder, Encoder, Holder, ReadAhead};
use lafs::cap::native::ReadKey;
use lafs::{ConvergenceSecret, ShareNumber, num};
use rustix::time::{ClockId, clock_gettime};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite::TLS13_AES_128_GCM_SHA256};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tools::output::{BLOCK_LEN, Block};

/// Seconds for a gigabyte (10^9 bytes) of the file.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// Processor time in an upload.
    pub up: f64,
    /// Processor time in a download.
    pub down: f64,
}

/// All parts.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Each alone.
    pub parts: Vec<Part>,
    /// Seconds that the disk takes to write the shares of a gigabyte, and a gigabyte.
    pub disk: [f64; 2],
    cores: f64,
}

impl Parts {
    /// Measures on this machine, with a file in this directory.
    ///
    /// # Errors
    ///
    /// When a part does not work.
    ///
    /// # Panics
    ///
    /// If the parameters are out of bounds.
    pub fn measure(directory: &Path, needed: u8, total: u8) -> io::Result<Self> {
        let parameters = Parameters::default_for(needed.into(), total.into()).expect("parameters");
        let spread = f64::from(total) / f64::from(needed);
        let plaintext: Vec<u8> = (0..=250).cycle().take(SAMPLE_LEN).collect();
        let segment_len = usize::try_from(parameters.segment_size()).map_err(io::Error::other)?;

        let key = cpu(|| {
            let secret = ConvergenceSecret::new([1; 32]);
            let mut key = ConvergentKey::new(&secret, parameters);
            for piece in plaintext.chunks(BLOCK_LEN) {
                key.update(piece);
            }
            black_box(key.finish());
            Ok(())
        })?;
        // Once more than counts: the tables of the code are made by then.
        let mut encoding = 0.0;
        for _ in 0..2 {
            encoding = cpu(|| {
                let mut encoder = Encoder::new(ReadKey::new([1; 32]), parameters);
                for segment in plaintext.chunks(segment_len) {
                    black_box(encoder.encode(segment).share(ShareNumber::new(0)));
                }
                black_box(encoder.finish());
                Ok(())
            })?;
        }
        let shares = Shares::of(&plaintext, parameters, segment_len);
        let decoding = cpu(|| shares.decode())?;
        let tls = cpu(|| tls(&plaintext))?;
        let (write, written) = {
            let mut time = Duration::ZERO;
            let write = cpu(|| {
                time = write(directory, &plaintext)?;
                Ok(())
            })?;
            (write, time.as_secs_f64() * PER_GIGABYTE)
        };
        let read = {
            let file = tempfile::tempfile_in(directory)?;
            (&file).write_all(&plaintext)?;
            cpu(|| read(&file))?
        };
        let part = |name, up, down| Part { name, up, down };
        let cores = thread::available_parallelism()?.get();
        Ok(Self {
            parts: vec![
                part("key: a pass of BLAKE3", key, 0.0),
                part("encode: encrypt, code, hash", encoding, 0.0),
                part("decode: hash, decrypt", 0.0, decoding),
                part("TLS over loopback, both ends", tls * spread, tls),
                part("shares written past the cache", write * spread, 0.0),
                part("shares read from the cache", 0.0, read),
                part("the file written past the cache", 0.0, write),
            ],
            disk: [written * spread, written],
            cores: f64::from(u32::try_from(cores).unwrap_or(u32::MAX)),
        })
    }

    /// Megabytes of the file a second, up and down, that the parts allow.
    #[must_use]
    pub fn rates(&self) -> [f64; 2] {
        let sums = [
            self.parts.iter().map(|part| part.up).sum::<f64>(),
            self.parts.iter().map(|part| part.down).sum::<f64>(),
        ];
        let both = sums.into_iter().zip(self.disk);
        let mut rates = both.map(|(sum, disk)| 1e3 / (sum / self.cores).max(disk));
        [rates.next(), rates.next()].map(|rate| rate.expect("there are two"))
    }
}

/// A file's shares in memory.
struct Shares {
    cap: lafs::cap::native::ReadCap,
    primary: Vec<Vec<u8>>,
}

impl Shares {
    fn of(plaintext: &[u8], parameters: Parameters, segment_len: usize) -> Self {
        let numbers = || (0..parameters.needed()).filter_map(ShareNumber::from_index);
        let mut primary = vec![Vec::new(); parameters.needed()];
        let mut encoder = Encoder::new(ReadKey::new([1; 32]), parameters);
        for segment in plaintext.chunks(segment_len) {
            let segment = encoder.encode(segment);
            for (number, share) in numbers().zip(&mut primary) {
                share.extend(segment.share(number).concat());
            }
        }
        let encoded = encoder.finish();
        for (number, share) in numbers().zip(&mut primary) {
            share.extend(encoded.share(number));
        }
        let cap = encoded.cap().clone();
        Self { cap, primary }
    }

    fn decode(&self) -> io::Result<()> {
        let mut decoder = Decoder::new(&self.cap, 0..u64::MAX, ReadAhead::default());
        for number in (0..self.primary.len()).filter_map(ShareNumber::from_index) {
            decoder.offer(Holder(0), number);
        }
        while !decoder.is_done() {
            while let Some(bytes) = decoder.plaintext().map_err(io::Error::other)? {
                black_box(bytes);
            }
            while let Some(request) = decoder.next_request() {
                for range in request.ranges {
                    let len = |size| num::len(size).expect("it is in memory");
                    let share = &self.primary[request.share_number.index()];
                    let mut offset = range.start;
                    for frame in share[len(range.start)..len(range.end)].chunks(1 << 16) {
                        decoder.receive(request.id, offset, frame);
                        offset += num::size(frame.len());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Sends bytes over TLS 1.3 and loopback, and receives them.
fn tls(bytes: &[u8]) -> io::Result<()> {
    let (client, server) = sessions()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let socket = TcpStream::connect(listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    let expected = bytes.len();
    let receiving = thread::spawn(move || receive(accepted, server, expected));
    send(socket, client, bytes)?;
    let received = receiving.join();
    received.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn send(mut socket: TcpStream, mut session: ClientConnection, bytes: &[u8]) -> io::Result<()> {
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    session.set_buffer_limit(Some(2 * TLS_LEN));
    for piece in bytes.chunks(TLS_LEN) {
        session.writer().write_all(piece)?;
        while session.wants_write() {
            session.write_tls(&mut socket)?;
        }
    }
    Ok(())
}

fn receive(
    mut socket: TcpStream,
    mut session: ServerConnection,
    expected: usize,
) -> io::Result<()> {
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    let mut buffer = vec![0; TLS_LEN];
    let mut received = 0;
    while received < expected {
        let len = socket.read(&mut buffer)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut input = &buffer[..len];
        while !input.is_empty() {
            session.read_tls(&mut input)?;
            session.process_new_packets().map_err(io::Error::other)?;
            loop {
                let mut reader = session.reader();
                let len = match reader.fill_buf() {
                    Ok(plaintext) => black_box(plaintext).len(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    Err(error) => return Err(error),
                };
                if len == 0 {
                    break;
                }
                reader.consume(len);
                received += len;
            }
        }
    }
    Ok(())
}

/// Both ends, with the cipher that the programs choose.
fn sessions() -> io::Result<(ClientConnection, ServerConnection)> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        ..ring::default_provider()
    });
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    let certificate = made.cert.der().clone();
    let key =
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(io::Error::other)?;
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(io::Error::other)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    Ok((
        ClientConnection::new(Arc::new(client), name).map_err(io::Error::other)?,
        ServerConnection::new(Arc::new(server)).map_err(io::Error::other)?,
    ))
}

/// Writes bytes past the cache, where that can be had, and syncs them; says how long it took.
fn write(directory: &Path, bytes: &[u8]) -> io::Result<Duration> {
    let path = directory.join("parts");
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).map_err(io::Error::other)?;
    let create = |flags| {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(flags)
            .open(&path)
    };
    let mut file = create(direct).or_else(|_| create(0))?;
    let mut block = Block::new(BLOCK_LEN);
    let began = Instant::now();
    for piece in bytes.chunks_exact(BLOCK_LEN) {
        block.clear();
        block.push(piece);
        file.write_all(block.bytes())?;
    }
    file.sync_all()?;
    let time = began.elapsed();
    std::fs::remove_file(&path)?;
    Ok(time)
}

/// Reads a file that is in the cache.
fn read(file: &File) -> io::Result<()> {
    let mut buffer = vec![0; TLS_LEN];
    let mut offset = 0;
    while offset < num::size(SAMPLE_LEN) {
        let len = file.read_at(&mut buffer, offset)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += num::size(len);
    }
    Ok(())
}

/// Processor time of this process for a gigabyte, from what the sample takes.
fn cpu(work: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
        Duration::new(seconds, nanoseconds).as_secs_f64()
    };
    let began = now();
    work()?;
    Ok((now() - began) * PER_GIGABYTE)
}

/// What is measured: whole blocks of an output.
const SAMPLE_LEN: usize = 128 * BLOCK_LEN;
const PER_GIGABYTE: f64 = 1e9 / 134_217_728.0;
const _: () = assert!(SAMPLE_LEN == 134_217_728);

/// What goes into TLS, and what is read from a socket, at once.
const TLS_LEN: usize = 128 << 10;
