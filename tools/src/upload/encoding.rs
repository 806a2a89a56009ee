//! Reading and encoding on a thread of its own, as far ahead as there is room.
//!
//! Page faults and the codec may keep a thread busy for long; the connections have another.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use encoder::{ConvergentKey, Encoded, Encoder};
use lafs::{ConvergenceSecret, Parameters, ReadKey, ShareNumber, num};
use tokio::sync::mpsc;

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

/// Encodes ahead, one segment.
pub(super) struct EncodingThread {
    steps: mpsc::Receiver<Result<Step, InputError>>,
    wanted: Arc<Wanted>,
}

/// The shares that somebody takes.
struct Wanted([AtomicBool; ShareNumber::COUNT]);

impl EncodingThread {
    /// Begins to encode a file.
    pub(super) fn of_file(
        file: Arc<InputFile>,
        key: ReadKey,
        parameters: Parameters,
        wanted: impl IntoIterator<Item = ShareNumber>,
    ) -> Self {
        Self::begin(key, parameters, wanted, move |segment_len, look| {
            file.pieces(segment_len, look)
        })
    }

    /// Begins to encode a stream.
    pub(super) fn of_stream(
        name: String,
        mut stream: Box<dyn Read + Send>,
        key: ReadKey,
        parameters: Parameters,
        wanted: impl IntoIterator<Item = ShareNumber>,
    ) -> Self {
        Self::begin(key, parameters, wanted, move |segment_len, look| {
            let mut segment = vec![0; segment_len];
            let mut size = 0;
            loop {
                let len =
                    input::fill(&mut stream, &mut segment).map_err(|source| InputError::Read {
                        name: name.clone(),
                        source,
                    })?;
                size += num::size(len);
                if size > Parameters::FILE_SIZE_MAX {
                    return Err(InputError::TooLarge { name }.into());
                }
                if len > 0 {
                    look(&segment[..len])?;
                }
                if len < segment_len {
                    return Ok(());
                }
            }
        })
    }

    fn begin<F>(
        key: ReadKey,
        parameters: Parameters,
        wanted: impl IntoIterator<Item = ShareNumber>,
        read: F,
    ) -> Self
    where
        F: FnOnce(usize, &mut dyn FnMut(&[u8]) -> Result<(), Stop>) -> Result<(), Stop>
            + Send
            + 'static,
    {
        let flags = Wanted([const { AtomicBool::new(false) }; ShareNumber::COUNT]);
        for share in wanted {
            flags.0[share.index()].store(true, Ordering::Relaxed);
        }
        let wanted = Arc::new(flags);
        let (sender, steps) = mpsc::channel(1);
        let flags = wanted.clone();
        tokio::task::spawn_blocking(move || {
            let mut encoder = Encoder::new(key, parameters);
            let segment_len = segment_len(parameters);
            let result = read(segment_len, &mut |segment| {
                let encoded = encoder.encode(segment);
                let pieces = flags
                    .shares()
                    .map(|share| (share, Bytes::from(encoded.share(share).concat())))
                    .collect();
                let len = num::size(segment.len());
                sender
                    .blocking_send(Ok(Step::Segment { len, pieces }))
                    .map_err(|_| Stop::Unwanted)
            });
            let last = match result {
                Ok(()) => Ok(Step::End(Box::new(encoder.finish()))),
                Err(Stop::Unwanted) => return,
                Err(Stop::Input(error)) => Err(error),
            };
            // Nobody takes it: the upload was given up.
            let _ = sender.blocking_send(last);
        });
        Self { steps, wanted }
    }

    /// The next step.
    ///
    /// # Errors
    ///
    /// What is wrong with the input; nothing follows.
    pub(super) async fn next(&mut self) -> Result<Step, InputError> {
        self.steps
            .recv()
            .await
            .expect("the thread sends an end or an error")
    }

    /// Nobody takes this share any more.
    pub(super) fn drop_share(&self, share: ShareNumber) {
        self.wanted.0[share.index()].store(false, Ordering::Relaxed);
    }
}

impl Wanted {
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
    match tokio::task::spawn_blocking(work).await {
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
