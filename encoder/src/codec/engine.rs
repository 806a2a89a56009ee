//! Which engine of the codec computes: the one without tables, or the one with SIMD.
//!
//! The SIMD engines of `reed-solomon-simd` share tables of 8 MiB that take some 14 ms to fill: more
//! than all the rest of storing a small file, and a third of a client's memory. The naive engine
//! has a few small tables, and a tenth of the speed. So a process rents the naive engine until it
//! has paid about as much time as the tables cost, and then buys: it never does much worse than if
//! it had known beforehand how much it would encode. All engines compute the same code.

use std::sync::atomic::{AtomicUsize, Ordering};

use reed_solomon_simd::engine::{DefaultEngine, Engine, GfElement, Naive, ShardsRefMut};

/// An engine of the codec, or the choice still to be made.
pub(crate) enum EitherEngine {
    Unchosen,
    Naive(Naive),
    Simd(DefaultEngine),
}

impl EitherEngine {
    /// The engine for this many more bytes of blocks.
    #[must_use]
    pub(crate) fn for_work(self, len: usize) -> Self {
        match self {
            Self::Simd(_) => self,
            Self::Naive(_) if pay(len) => self,
            Self::Unchosen if pay(len) => Self::Naive(Naive::new()),
            Self::Naive(_) | Self::Unchosen => Self::Simd(DefaultEngine::new()),
        }
    }

    fn chosen(&self) -> &dyn Engine {
        match self {
            Self::Unchosen => unreachable!("for_work chooses before there is work"),
            Self::Naive(engine) => engine,
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

/// Bytes of blocks that this process has put through the naive engine.
static PAID: AtomicUsize = AtomicUsize::new(0);

/// What the tables cost, in bytes of blocks that the naive engine gets through in that time: it
/// makes some 1 GB/s of them.
const PRICE: usize = 12 << 20;

/// Pays for this many bytes, unless that would come to more than the tables.
fn pay(len: usize) -> bool {
    let pay = |paid: usize| paid.checked_add(len).filter(|paid| *paid <= PRICE);
    PAID.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay)
        .is_ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ops::Range;

    use super::*;

    /// GF(2^16) as the format defines it: x^16 + x^5 + x^3 + x^2 + 1, written in a Cantor basis.
    pub(crate) struct Field {
        /// For each element in the Cantor basis, the same in the polynomial basis.
        polynomial: Vec<u16>,
        /// And back.
        cantor: Vec<u16>,
    }

    const CANTOR_BASIS: [u16; 16] = [
        0x0001, 0xacca, 0x3c0e, 0x163e, 0xc582, 0xed2e, 0x914c, 0x4012, 0x6c98, 0x10d8, 0x6a72,
        0xb900, 0xfdb8, 0xfb34, 0xff38, 0x991e,
    ];

    impl Field {
        pub(crate) fn new() -> Self {
            let mut polynomial = vec![0; 1 << 16];
            let mut cantor = vec![0; 1 << 16];
            for element in 0..=u16::MAX {
                let bits = (0..16).filter(|bit| element >> bit & 1 == 1);
                let value = bits.fold(0, |sum, bit| sum ^ CANTOR_BASIS[bit]);
                polynomial[usize::from(element)] = value;
                cantor[usize::from(value)] = element;
            }
            Self { polynomial, cantor }
        }

        fn multiply(&self, a: u16, b: u16) -> u16 {
            let mut a = u32::from(self.polynomial[usize::from(a)]);
            let b = self.polynomial[usize::from(b)];
            let mut product = 0;
            for bit in 0..16 {
                if b >> bit & 1 == 1 {
                    product ^= a;
                }
                a <<= 1;
                if a >> 16 == 1 {
                    a ^= 0x1_002d;
                }
            }
            self.cantor[usize::try_from(product).unwrap()]
        }

        /// The 65534th power, which is the inverse.
        fn invert(&self, a: u16) -> u16 {
            let mut power = a;
            let mut inverse = 1;
            for _ in 1..16 {
                power = self.multiply(power, power);
                inverse = self.multiply(inverse, power);
            }
            inverse
        }

        /// The value at the point `to` of the polynomial, of a degree below the number of `points`,
        /// that is 1 at the point `from` and 0 at the other points.
        pub(crate) fn lagrange(&self, points: Range<usize>, from: usize, to: usize) -> u16 {
            let point = |index: usize| u16::try_from(index).unwrap();
            let mut value = 1;
            for other in points.filter(|other| *other != from) {
                value = self.multiply(value, point(to) ^ point(other));
                value = self.multiply(value, self.invert(point(from) ^ point(other)));
            }
            value
        }

        /// Adds a multiple of one block to another.
        pub(crate) fn add_product(&self, sum: &mut [u8], block: &[u8], coefficient: u16) {
            for (sum, chunk) in sum.chunks_mut(64).zip(block.chunks(64)) {
                let half = chunk.len() / 2;
                for index in 0..half {
                    let symbol = u16::from_le_bytes([chunk[index], chunk[half + index]]);
                    let [low, high] = self.multiply(symbol, coefficient).to_le_bytes();
                    sum[index] ^= low;
                    sum[half + index] ^= high;
                }
            }
        }
    }

    // Which engine computes depends on what the process did before; the bytes must not.
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
                multiply(EitherEngine::Naive(Naive::new()), log),
                multiply(EitherEngine::Simd(DefaultEngine::new()), log)
            );
        }
    }
}
