//! Reading and encoding where it may block, one segment ahead of what is sent.
//!
//! Page faults and the codec may keep a thread busy for long; the connections have another. Each
//! segment is a piece of work of its own, so no thread waits for the servers.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use encoder::native::{ConvergentKey, Encoded, Encoder};
use lafs::cap::native::ReadKey;
use lafs::{ConvergenceSecret, Parameters, ShareNumber, num};
use tokio::task::JoinHandle;

use super::Observer;
use crate::error::InputError;
use crate::input::{self, InputFile};

/// What encoding yields, in order.
pub(super) enum Step {
    /// The next bytes of the shares that are wanted.
    Segment {
        /// Bytes of plaintext.
        len: u64,
        /// Bytes of each share that was wanted, ascending.
        pieces: Vec<(ShareNumber, Bytes)>,
    },
    /// The file has ended.
    End(Box<Encoded>),
}

/// Encodes a file or a stream, one segment ahead.
pub(super) struct EncodeAhead {
    running: JoinHandle<Made>,
    wanted: Arc<Wanted>,
}

/// A step, and the work again if more steps follow.
type Made = (Result<Step, InputError>, Option<Box<Work>>);

/// All that the next step needs.
struct Work {
    encoder: Encoder,
    input: Input,
    segment_len: usize,
    wanted: Arc<Wanted>,
}

/// Where the plaintext comes from.
enum Input {
    File {
        file: Arc<InputFile>,
        offset: u64,
    },
    Stream {
        name: String,
        stream: Box<dyn Read + Send>,
        segment: Vec<u8>,
        size: u64,
    },
}

/// The shares that somebody takes.
struct Wanted([AtomicBool; ShareNumber::COUNT]);

impl EncodeAhead {
    /// Begins to encode a file.
    pub(super) fn of_file(
        file: Arc<InputFile>,
        key: ReadKey,
        parameters: Parameters,
        wanted: impl IntoIterator<Item = ShareNumber>,
    ) -> Self {
        Self::begin(key, parameters, wanted, Input::File { file, offset: 0 })
    }

    /// Begins to encode a stream.
    pub(super) fn of_stream(
        name: String,
        stream: Box<dyn Read + Send>,
        key: ReadKey,
        parameters: Parameters,
        wanted: impl IntoIterator<Item = ShareNumber>,
    ) -> Self {
        let input = Input::Stream {
            name,
            stream,
            segment: vec![0; segment_len(parameters)],
            size: 0,
        };
        Self::begin(key, parameters, wanted, input)
    }

    fn begin(
        key: ReadKey,
        parameters: Parameters,
        wanted: impl IntoIterator<Item = ShareNumber>,
        input: Input,
    ) -> Self {
        let wanted = Arc::new(Wanted::new(wanted));
        let work = Box::new(Work {
            encoder: Encoder::new(key, parameters),
            input,
            segment_len: segment_len(parameters),
            wanted: wanted.clone(),
        });
        let running = tokio::task::spawn_blocking(|| work.step());
        Self { running, wanted }
    }

    /// The next step; nothing follows the end or an error. Dropped while it waits, it loses nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the input.
    pub(super) async fn next(&mut self) -> Result<Step, InputError> {
        let (step, work) = ended((&mut self.running).await);
        if let Some(work) = work {
            self.running = tokio::task::spawn_blocking(|| work.step());
        }
        step
    }

    /// Nobody takes this share any more.
    pub(super) fn drop_share(&self, share: ShareNumber) {
        self.wanted.0[share.index()].store(false, Ordering::Relaxed);
    }
}

impl Work {
    fn step(mut self: Box<Self>) -> Made {
        match self.segment() {
            Ok(Some(segment)) => (Ok(segment), Some(self)),
            Ok(None) => (Ok(Step::End(Box::new(self.encoder.finish()))), None),
            Err(error) => (Err(error), None),
        }
    }

    /// Encodes the next segment; `None` at the end.
    fn segment(&mut self) -> Result<Option<Step>, InputError> {
        let Self {
            encoder,
            input,
            segment_len,
            wanted,
        } = self;
        input.next(*segment_len, |segment| {
            let encoded = encoder.encode(segment);
            let pieces = wanted
                .shares()
                .map(|share| (share, Bytes::from(encoded.share(share).concat())))
                .collect();
            let len = num::size(segment.len());
            Step::Segment { len, pieces }
        })
    }
}

impl Input {
    fn next<T>(
        &mut self,
        segment_len: usize,
        encode: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, InputError> {
        match self {
            Self::File { file, offset } => {
                let encoded = file.piece_at(*offset, segment_len, encode)?;
                *offset += num::size(segment_len);
                Ok(encoded)
            }
            Self::Stream {
                name,
                stream,
                segment,
                size,
            } => {
                let len = input::fill(stream, segment).map_err(|source| InputError::Read {
                    name: name.clone(),
                    source,
                })?;
                *size += num::size(len);
                if *size > Parameters::FILE_SIZE_MAX {
                    return Err(InputError::TooLarge { name: name.clone() });
                }
                Ok((len > 0).then(|| encode(&segment[..len])))
            }
        }
    }
}

impl Wanted {
    fn new(shares: impl IntoIterator<Item = ShareNumber>) -> Self {
        let wanted = Self([const { AtomicBool::new(false) }; ShareNumber::COUNT]);
        for share in shares {
            wanted.0[share.index()].store(true, Ordering::Relaxed);
        }
        wanted
    }

    fn shares(&self) -> impl Iterator<Item = ShareNumber> {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, wanted)| wanted.load(Ordering::Relaxed))
            .map(|(index, _)| super::share_number(index))
    }
}

/// Computes the convergent key of a file.
pub(super) async fn convergent_key(
    file: Arc<InputFile>,
    secret: &ConvergenceSecret,
    parameters: Parameters,
    observer: Arc<dyn Observer>,
) -> Result<ReadKey, InputError> {
    let mut key = ConvergentKey::new(secret, parameters);
    // Dropped with this future, which stops the thread.
    let asker = Arc::new(());
    let asked = Arc::downgrade(&asker);
    let computed = blocking(move || {
        file.pieces(HASH_LEN, |piece| {
            if asked.strong_count() == 0 {
                return Err(Stop::Unwanted);
            }
            key.update(piece);
            observer.hashed(num::size(piece.len()));
            Ok(())
        })
        .map(|()| key.finish())
    })
    .await;
    drop(asker);
    match computed {
        Ok(key) => Ok(key),
        Err(Stop::Input(error)) => Err(error),
        Err(Stop::Unwanted) => unreachable!("we still wait for it"),
    }
}

/// Runs `work` where it may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    ended(tokio::task::spawn_blocking(work).await)
}

/// What a piece of work has come to; its panic is ours.
fn ended<T>(result: Result<T, tokio::task::JoinError>) -> T {
    match result {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels blocking work, and it polls nobody.
            Err(error) => unreachable!("{error}"),
        },
    }
}

/// Why reading stopped.
enum Stop {
    Input(InputError),
    /// Nobody waits for more.
    Unwanted,
}

impl From<InputError> for Stop {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

fn segment_len(parameters: Parameters) -> usize {
    usize::try_from(parameters.segment_size()).expect("a segment is at most 4 MiB")
}

/// BLAKE3 is fastest on long inputs; a window is a whole number of these.
const HASH_LEN: usize = 256 << 10;
