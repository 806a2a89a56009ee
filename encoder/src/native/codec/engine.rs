//! The choice between the codec's engines: one without tables, or SIMD with large ones.
//!
//! The SIMD engines of `reed-solomon-simd` share tables of 8 MiB that take some 14 ms to fill. That
//! is longer than everything else in storing a small file, and a third of a client's memory. The
//! engine without tables has a tenth of the speed. So a process uses it until that has cost about as
//! much time as the tables would have, and changes then. It never takes much longer than if it had
//! known in advance how much it would encode (this is the "ski rental" rule). All engines compute
//! the same code.

use std::sync::atomic::{AtomicUsize, Ordering};

use reed_solomon_simd::engine::{DefaultEngine, Engine, GfElement, ShardsRefMut};

use super::tableless::Tableless;

/// An engine of the codec, or none yet.
pub(crate) enum EitherEngine {
    Unchosen,
    Tableless(Tableless),
    Simd(DefaultEngine),
}

impl EitherEngine {
    /// The engine for this many more bytes of blocks.
    #[must_use]
    pub(crate) fn for_work(self, len: usize) -> Self {
        match self {
            Self::Simd(_) => self,
            Self::Tableless(_) if pay(len) => self,
            Self::Unchosen if pay(len) => Self::Tableless(Tableless),
            Self::Tableless(_) | Self::Unchosen => Self::Simd(DefaultEngine::new()),
        }
    }

    fn chosen(&self) -> &dyn Engine {
        match self {
            Self::Unchosen => unreachable!("for_work chooses before there is work"),
            Self::Tableless(engine) => engine,
            Self::Simd(engine) => engine,
        }
    }
}

impl Engine for EitherEngine {
    fn fft(
        &self,
        data: &mut ShardsRefMut<'_>,
        pos: usize,
        size: usize,
        truncated_size: usize,
        skew_delta: usize,
    ) {
        self.chosen()
            .fft(data, pos, size, truncated_size, skew_delta);
    }

    fn ifft(
        &self,
        data: &mut ShardsRefMut<'_>,
        pos: usize,
        size: usize,
        truncated_size: usize,
        skew_delta: usize,
    ) {
        self.chosen()
            .ifft(data, pos, size, truncated_size, skew_delta);
    }

    fn mul(&self, x: &mut [[u8; 64]], log_m: GfElement) {
        self.chosen().mul(x, log_m);
    }
}

/// Bytes of blocks that this process has put through the engine without tables.
static PAID: AtomicUsize = AtomicUsize::new(0);

/// What the tables cost, as the bytes of blocks that the other engine computes in the same time, at
/// some 1 GB/s.
const PRICE: usize = 12 << 20;

/// Counts this many bytes, unless the sum would be more than the tables cost.
fn pay(len: usize) -> bool {
    let pay = |paid: usize| paid.checked_add(len).filter(|paid| *paid <= PRICE);
    PAID.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The engine depends on what the process did before; the bytes must not.
    #[test]
    fn both_engines_compute_the_same() {
        let multiply = |engine: EitherEngine, log| {
            let mut chunks: Vec<[u8; 64]> = (0..9).map(|n| [n * 29; 64]).collect();
            engine.mul(&mut chunks, log);
            let mut shards = ShardsRefMut::new(4, 2, &mut chunks);
            engine.ifft(&mut shards, 0, 4, 3, 4);
            engine.fft(&mut shards, 0, 4, 4, 0);
            chunks
        };
        for log in [0, 1, 255, 256, 65_534] {
            assert_eq!(
                multiply(EitherEngine::Tableless(Tableless), log),
                multiply(EitherEngine::Simd(DefaultEngine::new()), log)
            );
        }
    }
}
