//! The erasure code: primary blocks to secondary blocks, and any `needed` blocks back to primary.
//!
//! `reed-solomon-simd`'s code, Leopard-RS over GF(2^16), with the primary blocks as its original
//! shards and the secondary blocks as its recovery shards (`docs/native-format.md`, "Erasure
//! code"). Two cases are simpler: if one block is needed, every block is a copy of it; if all
//! blocks are needed, there are no secondary blocks.

pub(crate) mod engine;
pub(crate) mod recovery;
mod tableless;

use lafs::Parameters;
use reed_solomon_simd::EncoderResult;
use reed_solomon_simd::rate::{DefaultRateEncoder, EncoderWork, RateEncoder};

use self::engine::EitherEngine;

/// Computes secondary blocks.
pub(crate) struct Code {
    parameters: Parameters,
    /// Made at its first use.
    encoder: Option<DefaultRateEncoder<EitherEngine>>,
}

impl Code {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            encoder: None,
        }
    }

    /// Computes the secondary blocks of a segment from its primary blocks, laid end to end.
    pub(crate) fn encode<'a>(&'a mut self, primary: &'a [u8], block_len: usize) -> Blocks<'a> {
        let needed = self.parameters.needed();
        debug_assert_eq!(primary.len(), needed * block_len);
        let secondary = (1 < needed && needed < self.parameters.total()).then(|| {
            let encoder = self.encoder(block_len);
            for block in primary.chunks_exact(block_len) {
                encoder.add_original_shard(block).expect(VALID);
            }
            encoder.encode().expect("all original shards were added")
        });
        Blocks {
            primary,
            block_len,
            secondary,
        }
    }

    /// The codec, ready for blocks of this length.
    fn encoder(&mut self, block_len: usize) -> &mut DefaultRateEncoder<EitherEngine> {
        let (engine, work) = match self.encoder.take() {
            Some(encoder) => encoder.into_parts(),
            None => (EitherEngine::Unchosen, EncoderWork::new()),
        };
        let engine = engine.for_work(block_len * self.parameters.total());
        let encoder = DefaultRateEncoder::new(
            self.parameters.needed(),
            self.parameters.total() - self.parameters.needed(),
            block_len,
            engine,
            Some(work),
        );
        self.encoder.insert(encoder.expect(VALID))
    }
}

/// All blocks of one segment.
pub(crate) struct Blocks<'a> {
    primary: &'a [u8],
    block_len: usize,
    secondary: Option<EncoderResult<'a>>,
}

impl Blocks<'_> {
    /// The block for the share with this number, below `total`.
    pub(crate) fn block(&self, index: usize) -> &[u8] {
        const BELOW: &str = "a share number is below the total";
        let mut primary = self.primary.chunks_exact(self.block_len);
        let needed = primary.len();
        match &self.secondary {
            Some(secondary) if index >= needed => secondary.recovery(index - needed).expect(BELOW),
            // The one primary block, of which every other is a copy.
            None if needed == 1 => self.primary,
            _ => primary.nth(index).expect(BELOW),
        }
    }
}

const VALID: &str = "up to 256 shards of an even length are within the codec's bounds";

#[cfg(test)]
mod tests {
    use super::*;

    // This is what lets readers decode the blocks of several segments at once.
    #[test]
    fn blocks_laid_end_to_end_are_one_block() {
        let parameters = Parameters::default_for(3, 10).unwrap();
        let segments: Vec<Vec<u8>> = (1..4).map(|n| vec![n; 3 * 128]).collect();
        let mut primary = Vec::new();
        for column in 0..3 {
            for segment in &segments {
                primary.extend_from_slice(&segment[column * 128..][..128]);
            }
        }
        let mut code = Code::new(parameters);
        let whole = code.encode(&primary, 3 * 128);
        for (index, segment) in segments.iter().enumerate() {
            let mut code = Code::new(parameters);
            let blocks = code.encode(segment, 128);
            for number in 0..10 {
                assert_eq!(
                    whole.block(number)[index * 128..][..128],
                    *blocks.block(number)
                );
            }
        }
    }
}
