//! One segment: proved blocks become verified plaintext, in place.

use lafs::cap::native::ReadKey;
use lafs::num;
use share::native::geometry::Geometry;
use share::native::hash;

use super::column::Column;
use crate::native::cipher::Cipher;
use crate::native::codec::recovery::Recovery;
use crate::native::inconsistent::Inconsistent;
use crate::native::key::PlaintextLeaves;

/// Decodes the segments of one file.
pub(super) struct SegmentDecoder {
    geometry: Geometry,
    cipher: Cipher,
    plaintext_leaves: PlaintextLeaves,
    recovery: Recovery,
    /// The missing primary blocks of the current segment, end to end.
    restored: Vec<u8>,
}

impl SegmentDecoder {
    pub(super) fn new(geometry: Geometry, read_key: &ReadKey) -> Self {
        Self {
            geometry,
            cipher: Cipher::new(read_key),
            plaintext_leaves: PlaintextLeaves::new(read_key),
            recovery: Recovery::new(geometry.parameters()),
            restored: Vec::new(),
        }
    }

    /// Decrypts the blocks of a segment where they are; missing ones are computed in a buffer.
    ///
    /// `columns` holds exactly as many as are needed, all proved, by ascending share number.
    /// `index` is the place of the segment in their window.
    pub(super) fn decode(
        &mut self,
        segment: u64,
        index: usize,
        columns: &mut [Column],
    ) -> Result<(), Inconsistent> {
        let block = self.geometry.block(segment);
        let block_len = self.geometry.block_size(segment);
        let needed = self.geometry.parameters().needed();
        let content = columns[0].leaf(index).content;
        let mut rest = self.len(segment);
        self.restore(segment, columns);

        let mut restored = self.restored.chunks_exact_mut(block_len);
        let mut received = columns.iter_mut().peekable();
        let mut primary: Vec<&mut [u8]> = Vec::with_capacity(needed);
        let mut leaves = Vec::with_capacity(needed);
        for number in 0..needed {
            if let Some(column) = received.next_if(|column| is_primary(column, number, needed)) {
                leaves.push(column.leaf(index).block);
                primary.push(column.block_mut(&block));
            } else {
                let block = restored.next().expect("what is missing was restored");
                leaves.push(hash::block_leaf(segment, block));
                primary.push(block);
            }
        }
        let crypttext_leaf = hash::crypttext_leaf(segment, &leaves);
        content.check_crypttext(&crypttext_leaf, segment)?;

        let mut key_stream = self.cipher.segment(segment);
        let mut is_padded = true;
        for block in &mut primary {
            let (ciphertext, padding) = std::mem::take(block).split_at_mut(rest.min(block_len));
            is_padded &= padding.iter().all(|byte| *byte == 0);
            rest -= ciphertext.len();
            key_stream.apply(ciphertext);
            *block = ciphertext;
        }
        let plaintext_leaf = self
            .plaintext_leaves
            .leaf(segment, primary.iter().map(|block| &**block));
        content.check(&crypttext_leaf, &plaintext_leaf, segment)?;
        is_padded
            .then_some(())
            .ok_or(Inconsistent::Padding { segment })
    }

    /// A primary block of the last decoded segment.
    pub(super) fn primary_block<'a>(
        &'a self,
        segment: u64,
        columns: &'a [Column],
        number: usize,
    ) -> &'a [u8] {
        let needed = self.geometry.parameters().needed();
        match columns
            .iter()
            .find(|column| is_primary(column, number, needed))
        {
            Some(column) => column.block(&self.geometry.block(segment)),
            None => {
                let before = columns
                    .iter()
                    .filter(|column| column.number.index() < number);
                let block_len = self.geometry.block_size(segment);
                &self.restored[(number - before.count()) * block_len..][..block_len]
            }
        }
    }

    /// Computes the primary blocks that no column has.
    fn restore(&mut self, segment: u64, columns: &[Column]) {
        let needed = self.geometry.parameters().needed();
        let block = self.geometry.block(segment);
        let block_len = self.geometry.block_size(segment);
        let present = columns
            .iter()
            .filter(|column| needed == 1 || column.number.index() < needed);
        self.restored
            .resize((needed - present.count()) * block_len, 0);
        if !self.restored.is_empty() {
            let received: Vec<_> = columns
                .iter()
                .map(|column| (column.number.index(), column.block(&block)))
                .collect();
            let mut missing: Vec<_> = self.restored.chunks_exact_mut(block_len).collect();
            self.recovery.recover(&received, &mut missing);
        }
    }

    /// Length of a segment's plaintext.
    fn len(&self, segment: u64) -> usize {
        let plaintext = self.geometry.plaintext(segment);
        num::len(plaintext.end - plaintext.start).expect("a segment is at most 4 MiB")
    }
}

/// Whether a column has the primary block with this number. If one share is needed, all have it.
fn is_primary(column: &Column, number: usize, needed: usize) -> bool {
    column.number.index() == number || needed == 1
}
