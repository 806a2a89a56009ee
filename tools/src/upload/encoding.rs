//! Reading and encoding where it may block, some segments ahead of what is sent.
//!
//! Page faults and the codec may keep a thread busy for long; the connections have another. Each
//! step is a piece of work of its own, so no thread waits for the servers.

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
    /// The next bytes of the shares that are wanted: what some segments add to them.
    Segments {
        /// Bytes of plaintext.
        len: u64,
        /// Bytes of each share that was wanted, ascending.
        pieces: Vec<(ShareNumber, Bytes)>,
    },
    /// The file has ended.
    End(Box<Encoded>),
}

/// Encodes a file or a stream, one step ahead.
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
        match self.segments() {
            Ok(Some(step)) => (Ok(step), Some(self)),
            Ok(None) => (Ok(Step::End(Box::new(self.encoder.finish()))), None),
            Err(error) => (Err(error), None),
        }
    }

    /// Encodes the next segments; `None` at the end.
    fn segments(&mut self) -> Result<Option<Step>, InputError> {
        let shares: Vec<_> = self.wanted.shares().collect();
        let block_len = self.segment_len / self.encoder.parameters().needed();
        let count = (STEP_LEN / (block_len * shares.len().max(1))).clamp(1, SEGMENTS_MAX);
        let Self {
            encoder,
            input,
            segment_len,
            ..
        } = self;
        let mut pieces: Vec<_> = shares.iter().map(|share| (*share, Vec::new())).collect();
        let mut step_len = 0;
        for index in 0..count {
            let len = input.next(*segment_len, |segment| {
                let encoded = encoder.encode(segment);
                for (share, piece) in &mut pieces {
                    let parts = encoded.share(*share);
                    if index == 0 {
                        let len = parts.iter().map(|part| part.len()).sum::<usize>();
                        piece.reserve_exact(len * count + NODES_LEN);
                    }
                    parts
                        .into_iter()
                        .for_each(|part| piece.extend_from_slice(part));
                }
                segment.len()
            })?;
            let Some(len) = len else { break };
            step_len += num::size(len);
            if len < *segment_len {
                break;
            }
        }
        if step_len == 0 {
            return Ok(None);
        }
        let pieces = pieces
            .into_iter()
            .map(|(share, piece)| (share, Bytes::from(piece)))
            .collect();
        Ok(Some(Step::Segments {
            len: step_len,
            pieces,
        }))
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

/// Share bytes that a step makes, about, unless one segment makes more: what is sent to a server at
/// once should be worth its waking up, and memory is dear.
const STEP_LEN: usize = 1408 << 10;

/// Segments of a step: what they add to a share is sent in two frames.
const SEGMENTS_MAX: usize = 2;

/// A few nodes more than the first segment of a step completed.
const NODES_LEN: usize = 256;

/// BLAKE3 is fastest on long inputs; a window is a whole number of these.
const HASH_LEN: usize = 256 << 10;
