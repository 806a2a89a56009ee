//! The erasure code backwards: missing primary blocks from any blocks, as many as are needed.
//!
//! Each missing block is a sum of multiples of the received ones. Which multiples depends on which
//! blocks are missing, not on what is in them: the codec is asked for them once, by having it
//! decode unit vectors, and every later segment with the same blocks missing costs one
//! multiplication for each pair of a missing and a received block, at the speed of the cache. The
//! codec's own decoder spends 0.5 ms on each call and works in several times the segment's size;
//! of 3-of-10 segments with 64 KiB blocks, all primary ones missing, it decodes 0.2 to 0.4 GB/s, and
//! this 3 to 4 (measured in one run).

use lafs::Parameters;
use reed_solomon_simd::engine::{Engine, GfElement, Naive, tables};
use reed_solomon_simd::rate::{DefaultRateDecoder, RateDecoder};

use super::VALID;
use super::engine::EitherEngine;

/// Recovers missing primary blocks.
pub(crate) struct Recovery {
    parameters: Parameters,
    /// For the blocks that were received last.
    matrix: Option<Matrix>,
    engine: EitherEngine,
    /// A strip of a block, between being read and being added.
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
    /// `received` are as many blocks as are needed, all of one even length, each with its number.
    /// `missing` are buffers of that length for the others, in the order of their numbers.
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
                for (log, (_, block)) in row.iter().zip(received) {
                    let start = index * STRIP_LEN;
                    let strip = &block[start..start + sum.len()];
                    if let Some(log) = log {
                        self.add_product(sum, strip, *log);
                    }
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
            // Its halves are where the halves of a whole chunk begin.
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

/// How to make the missing primary blocks of those received.
struct Matrix {
    /// The numbers of the blocks received.
    numbers: Vec<usize>,
    /// For each missing block, the logarithm of each received block's coefficient, if that is not 0.
    rows: Vec<Vec<Option<GfElement>>>,
}

impl Matrix {
    fn new(parameters: Parameters, numbers: Vec<usize>) -> Self {
        let (needed, total) = (parameters.needed(), parameters.total());
        debug_assert_eq!(numbers.len(), needed);
        // The block received as the i-th is 1 at its i-th symbol and 0 elsewhere. So the i-th symbol
        // of each block that comes back is what the block received as the i-th is to be multiplied
        // with: its low half is at `low(i)`, its high half half a chunk on.
        let low = |index: usize| {
            let half = CHUNK_LEN / 2;
            index / half * CHUNK_LEN + index % half
        };
        let len = (needed * 2).next_multiple_of(CHUNK_LEN);
        let engine = EitherEngine::Naive(Naive::new());
        let mut decoder =
            DefaultRateDecoder::new(needed, total - needed, len, engine, None).expect(VALID);
        for (index, number) in numbers.iter().enumerate() {
            let mut unit = vec![0; len];
            unit[low(index)] = 1;
            match number.checked_sub(needed) {
                None => decoder.add_original_shard(*number, unit),
                Some(secondary) => decoder.add_recovery_shard(secondary, unit),
            }
            .expect("distinct numbers below the total");
        }
        let restored = decoder.decode().expect("as many blocks as are needed");
        let logs = &tables::get_exp_log().log;
        let row = |block: &[u8]| {
            let coefficient = |index| {
                let (low, high) = (low(index), low(index) + CHUNK_LEN / 2);
                GfElement::from_le_bytes([block[low], block[high]])
            };
            (0..needed)
                .map(coefficient)
                .map(|value| (value != 0).then(|| logs[usize::from(value)]))
                .collect()
        };
        // The order of the iterator is not documented; that of the numbers is ours.
        let rows = (0..needed)
            .filter_map(|number| restored.restored_original(number))
            .map(row)
            .collect();
        Self { numbers, rows }
    }
}

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
    use crate::codec::Code;

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
