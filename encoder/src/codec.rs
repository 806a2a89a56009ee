//! The erasure code: primary blocks to secondary blocks, and any `needed` blocks back to primary.
//!
//! `reed-solomon-simd`'s code, Leopard-RS over GF(2^16), with the primary blocks as its original
//! shards and the secondary blocks as its recovery shards (`docs/native-format.md`, "Erasure code").
//! Two cases have a simpler code: with one block needed every block is a copy, and with all blocks
//! needed there are no secondary blocks.

use lafs::Parameters;
use reed_solomon_simd::{EncoderResult, ReedSolomonEncoder};

/// Computes secondary blocks.
pub(crate) struct Code {
    parameters: Parameters,
    /// Made when first needed: its tables take 9 MiB and some milliseconds.
    encoder: Option<ReedSolomonEncoder>,
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
        let secondary_count = self.parameters.total() - needed;
        if needed == 1 || secondary_count == 0 {
            return Blocks {
                primary,
                block_len,
                secondary: None,
            };
        }
        const VALID: &str = "up to 256 shards of an even length are within the codec's bounds";
        let encoder = match &mut self.encoder {
            Some(encoder) => {
                encoder
                    .reset(needed, secondary_count, block_len)
                    .expect(VALID);
                encoder
            }
            none => none
                .insert(ReedSolomonEncoder::new(needed, secondary_count, block_len).expect(VALID)),
        };
        for block in primary.chunks_exact(block_len) {
            encoder.add_original_shard(block).expect(VALID);
        }
        Blocks {
            primary,
            block_len,
            secondary: Some(encoder.encode().expect("all original shards were added")),
        }
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
        let mut primary = self.primary.chunks_exact(self.block_len);
        let primary_count = primary.len();
        match &self.secondary {
            Some(secondary) if index >= primary_count => secondary
                .recovery(index - primary_count)
                .expect("a share number is below the total"),
            // The one primary block, of which every other is a copy.
            None if primary_count == 1 => self.primary,
            _ => primary
                .nth(index)
                .expect("a share number is below the total"),
        }
    }
}
