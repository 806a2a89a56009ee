//! A column: what one share contributes to a window. First its bytes, then what they prove.

use std::ops::Range;

use lafs::{ShareNumber, num};
use share::native::Damage;
use share::native::trailer::ShareName;

use super::request::RequestId;
use super::shares::ShareIndex;
use crate::native::proof::{Leaf, Proof, Proved, Sparse, locate};

/// The bytes of one share for one window.
pub(super) struct Column {
    pub(super) share: ShareIndex,
    pub(super) number: ShareNumber,
    pub(super) request: RequestId,
    proof: Proof,
    ranges: Vec<Range<u64>>,
    /// The bytes of the ranges that have come, end to end.
    bytes: Vec<u8>,
    len: usize,
    /// One for each segment of the window, once the proof has been checked.
    leaves: Option<Vec<Leaf>>,
}

impl Column {
    /// A column without bytes.
    pub(super) fn new(
        share: ShareIndex,
        number: ShareNumber,
        request: RequestId,
        proof: Proof,
    ) -> Self {
        let ranges = proof.ranges();
        let size = ranges.iter().map(|range| range.end - range.start).sum();
        Self {
            share,
            number,
            request,
            proof,
            len: num::len(size).expect("a window is a few segments"),
            ranges,
            bytes: Vec::new(),
            leaves: None,
        }
    }

    /// The bytes that are wanted.
    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The offset in the share of the next byte that is wanted, or `None` if all have come.
    pub(super) fn expected(&self) -> Option<u64> {
        let received = num::size(self.bytes.len());
        let mut before = 0;
        self.ranges.iter().find_map(|range| {
            let start = before;
            before += range.end - range.start;
            (received < before).then(|| range.start + (received - start))
        })
    }

    /// Takes the next bytes; returns whether all have come now.
    pub(super) fn receive(
        &mut self,
        offset: u64,
        bytes: &[u8],
        spare: &mut Vec<Vec<u8>>,
    ) -> Result<bool, Damage> {
        let end = offset.checked_add(num::size(bytes.len()));
        let is_wanted = self
            .ranges
            .iter()
            .any(|range| range.contains(&offset) && end.is_some_and(|end| end <= range.end));
        if self.expected() != Some(offset) || !is_wanted {
            return Err(Damage::Unasked { offset });
        }
        if self.bytes.is_empty() {
            self.bytes = spare.pop().unwrap_or_default();
            self.bytes.reserve_exact(self.len);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(self.bytes.len() == self.len)
    }

    /// Checks the proof, when all bytes have come; returns the nodes that are verified by it.
    pub(super) fn prove(&mut self, name: &ShareName) -> Result<Proved, Damage> {
        let bytes = Sparse {
            ranges: &self.ranges,
            bytes: &self.bytes,
        };
        let mut proved = self.proof.check(name, &bytes)?;
        self.leaves = Some(std::mem::take(&mut proved.leaves));
        Ok(proved)
    }

    /// Whether the proof has been checked and is right.
    pub(super) fn is_proved(&self) -> bool {
        self.leaves.is_some()
    }

    /// What is proved about the segment at this place in the window.
    pub(super) fn leaf(&self, index: usize) -> &Leaf {
        let leaves = self.leaves.as_ref();
        &leaves.expect("only what is proved is decoded")[index]
    }

    /// A block of the share.
    pub(super) fn block(&self, block: &Range<u64>) -> &[u8] {
        &self.bytes[self.locate(block)]
    }

    /// A block of the share, to be decrypted where it is.
    pub(super) fn block_mut(&mut self, block: &Range<u64>) -> &mut [u8] {
        let place = self.locate(block);
        &mut self.bytes[place]
    }

    fn locate(&self, block: &Range<u64>) -> Range<usize> {
        let start = locate(&self.ranges, block.start);
        start..start + num::len(block.end - block.start).expect("it is in memory")
    }

    /// The buffer, for another column.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        bytes.clear();
        bytes
    }
}
