//! The erasure code backwards: computes missing primary blocks from any `needed` blocks.
//!
//! Each missing block is a sum of multiples of the received ones. The multiples depend on which
//! blocks are missing, not on their contents, and follow from the definition of the code
//! ([`Matrix`]). So a segment costs one multiplication for each pair of a missing and a received
//! block, at the speed of the cache. The codec's own decoder takes 0.5 ms for each call and needs
//! several times the segment's size: of 3-of-10 segments with 64 KiB blocks, all primary blocks
//! missing, it decodes 0.2 to 0.4 GB/s, and this 3 to 4 (measured in one run). The codec's would be
//! faster if some forty blocks were missing and megabytes were decoded at once.

use lafs::Parameters;
use reed_solomon_simd::engine::{Engine, GfElement, tables};

use super::engine::EitherEngine;

/// Recovers missing primary blocks.
pub(crate) struct Recovery {
    parameters: Parameters,
    /// The one for the numbers of the last call.
    matrix: Option<Matrix>,
    engine: EitherEngine,
    /// A strip of a block, while it is multiplied.
    strip: Box<[[u8; CHUNK_LEN]; STRIP_LEN / CHUNK_LEN]>,
}

impl Recovery {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            matrix: None,
            engine: EitherEngine::Unchosen,
            strip: Box::new([[0; CHUNK_LEN]; STRIP_LEN / CHUNK_LEN]),
        }
    }

    /// Computes the primary blocks of a segment that are not among those received.
    ///
    /// `received` holds exactly as many blocks as are needed, all of one even length, each with its
    /// number. `missing` holds buffers of that length for the others, in the order of their
    /// numbers.
    pub(crate) fn recover(&mut self, received: &[(usize, &[u8])], missing: &mut [&mut [u8]]) {
        let numbers = received.iter().map(|(number, _)| *number);
        let matrix = match self.matrix.take() {
            Some(matrix) if numbers.clone().eq(matrix.numbers.iter().copied()) => matrix,
            _ => Matrix::new(self.parameters, numbers.collect()),
        };
        debug_assert_eq!(missing.len(), matrix.rows.len());
        let work = missing.iter().map(|block| block.len() * received.len());
        let engine = std::mem::replace(&mut self.engine, EitherEngine::Unchosen);
        self.engine = engine.for_work(work.sum());
        for (row, missing) in matrix.rows.iter().zip(missing) {
            for (index, sum) in missing.chunks_mut(STRIP_LEN).enumerate() {
                sum.fill(0);
                let start = index * STRIP_LEN;
                for (log, (_, block)) in row.iter().zip(received) {
                    let strip = &block[start..start + sum.len()];
                    self.add_product(sum, strip, *log);
                }
            }
        }
        self.matrix = Some(matrix);
    }

    /// Adds to `sum` the product of a strip with a coefficient, given by its logarithm.
    fn add_product(&mut self, sum: &mut [u8], strip: &[u8], log: GfElement) {
        let whole_len = strip.len() / CHUNK_LEN * CHUNK_LEN;
        let (whole, short) = strip.split_at(whole_len);
        let (whole_sum, short_sum) = sum.split_at_mut(whole_len);

        let product = &mut self.strip[..whole_len / CHUNK_LEN];
        product.as_flattened_mut().copy_from_slice(whole);
        self.engine.mul(product, log);
        add(whole_sum, product.as_flattened());

        if !short.is_empty() {
            // Its halves go where the halves of a whole chunk begin.
            let half = short.len() / 2;
            let high = CHUNK_LEN / 2..CHUNK_LEN / 2 + half;
            let mut chunk = [0; CHUNK_LEN];
            chunk[..half].copy_from_slice(&short[..half]);
            chunk[high.clone()].copy_from_slice(&short[half..]);
            self.engine.mul(std::slice::from_mut(&mut chunk), log);
            add(&mut short_sum[..half], &chunk[..half]);
            add(&mut short_sum[half..], &chunk[high]);
        }
    }
}

/// How to compute the missing primary blocks from those received.
struct Matrix {
    /// The numbers of the blocks received.
    numbers: Vec<usize>,
    /// For each missing block, the logarithm of each received block's coefficient. None is 0.
    rows: Vec<Vec<GfElement>>,
}

impl Matrix {
    /// Computes the coefficients for these received blocks.
    ///
    /// At the low rate all blocks are values of one polynomial of a degree below `width`, which is
    /// known at `width` points: those of the received blocks, and those where it is 0. Lagrange's
    /// formula gives a missing value from the known ones.
    ///
    /// At the high rate all blocks, and zeros at the other points of the field, are values of a
    /// polynomial whose degree is `width` below the size of the field. So their sum is 0 even if
    /// each is multiplied with the value of any one polynomial of a degree below `width`. Take the
    /// one that is 0 at all `width` unknown points except that of the missing block: then only this
    /// and the received blocks are left in the sum.
    fn new(parameters: Parameters, numbers: Vec<usize>) -> Self {
        let needed = parameters.needed();
        let points = Points::new(parameters);
        let logs = &*tables::get_exp_log().log;
        // The logarithm of the product of the differences between a point and others.
        let product = |point: usize, others: &[usize]| {
            let others = others.iter().filter(|other| **other != point);
            let logs = others.map(|other| u32::from(logs[point ^ other]));
            logs.sum::<u32>() % MODULUS
        };
        let received: Vec<usize> = numbers.iter().map(|n| points.of(*n)).collect();
        let missing: Vec<usize> = (0..needed)
            .filter(|number| !numbers.contains(number))
            .map(|number| points.of(number))
            .collect();
        let others: Vec<usize> = if points.is_high_rate {
            let unneeded = (0..points.width).filter(|point| !received.contains(point));
            missing.iter().copied().chain(unneeded).collect()
        } else {
            let zeros = needed..points.width;
            received.iter().copied().chain(zeros).collect()
        };
        let of_received: Vec<u32> = received.iter().map(|p| product(*p, &others)).collect();
        let row = |to: &usize| {
            let of_missing = product(*to, &others);
            let coefficient = |(from, of_received): (&usize, &u32)| {
                let (above, below) = if points.is_high_rate {
                    (*of_received, of_missing)
                } else {
                    (of_missing, *of_received)
                };
                let difference = u32::from(logs[from ^ to]);
                let log = (above + 2 * MODULUS - below - difference) % MODULUS;
                GfElement::try_from(log).expect("less than 2^16")
            };
            received.iter().zip(&of_received).map(coefficient).collect()
        };
        let rows = missing.iter().map(row).collect();
        Self { numbers, rows }
    }
}

/// At which point of the field each block is a value of the polynomial.
struct Points {
    needed: usize,
    /// The lower count of primary and secondary blocks, rounded up to a power of two.
    width: usize,
    is_high_rate: bool,
}

impl Points {
    fn new(parameters: Parameters) -> Self {
        let needed = parameters.needed();
        let secondary_count = parameters.total() - needed;
        let (primary_width, secondary_width) = (
            needed.next_power_of_two(),
            secondary_count.next_power_of_two(),
        );
        let is_high_rate = primary_width > secondary_width
            || (primary_width == secondary_width && needed <= secondary_count);
        Self {
            needed,
            width: primary_width.min(secondary_width),
            is_high_rate,
        }
    }

    /// The point of the block with this number.
    fn of(&self, number: usize) -> usize {
        match number.checked_sub(self.needed) {
            None if self.is_high_rate => self.width + number,
            None => number,
            Some(secondary) if self.is_high_rate => secondary,
            Some(secondary) => self.width + secondary,
        }
    }
}

/// How many logarithms there are.
const MODULUS: u32 = 65_535;

fn add(sum: &mut [u8], summand: &[u8]) {
    for (sum, summand) in sum.iter_mut().zip(summand) {
        *sum ^= summand;
    }
}

/// What the codec works on: 32 symbols, first the low halves of all, then the high halves.
const CHUNK_LEN: usize = 64;

/// A few strips fit in the innermost cache of any processor.
const STRIP_LEN: usize = 4096;
const _: () = assert!(STRIP_LEN % CHUNK_LEN == 0);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::native::codec::Code;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_blocks_bring_back_the_missing_ones(
            total in 3..=256_usize,
            needed in any::<Index>(),
            block_len in 1..4200_usize,
            order in proptest::collection::vec(any::<u32>(), 256),
            seed in any::<u8>(),
        ) {
            let needed = 2 + needed.index(total - 2);
            let block_len = 2 * if total > 20 { 1 + block_len % 100 } else { block_len };
            let parameters = Parameters::default_for(needed, total).unwrap();
            let primary: Vec<u8> = (0..needed * block_len)
                .map(|index| u8::try_from(index % 253).unwrap() ^ seed)
                .collect();
            let mut code = Code::new(parameters);
            let blocks = code.encode(&primary, block_len);

            let mut numbers: Vec<usize> = (0..total).collect();
            numbers.sort_by_key(|number| order[*number]);
            numbers.truncate(needed);
            let received: Vec<_> = numbers.iter().map(|n| (*n, blocks.block(*n))).collect();
            let missing: Vec<usize> = (0..needed).filter(|n| !numbers.contains(n)).collect();
            let mut restored = vec![vec![0xff; block_len]; missing.len()];
            let mut buffers: Vec<&mut [u8]> = restored.iter_mut().map(|b| &mut b[..]).collect();
            Recovery::new(parameters).recover(&received, &mut buffers);
            for (number, restored) in missing.iter().zip(&restored) {
                prop_assert_eq!(&restored[..], blocks.block(*number), "block {}", number);
            }
        }
    }
}
