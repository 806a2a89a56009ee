//! A window: consecutive segments that are requested together, and given out one by one.

use std::collections::VecDeque;
use std::ops::Range;

use lafs::{ShareNumber, num};
use share::native::geometry::Geometry;

use super::column::Column;
use super::segment::SegmentDecoder;
use crate::native::inconsistent::Inconsistent;

/// Some segments, and the columns that have come for them.
pub(super) struct Window {
    pub(super) segments: Range<u64>,
    /// From shares with distinct numbers.
    pub(super) columns: Vec<Column>,
    /// The segment to decode next.
    next: u64,
    /// What remains to be given out of the segment before that.
    pieces: VecDeque<Piece>,
}

/// Some bytes of a primary block, to be given out.
pub(super) struct Piece {
    segment: u64,
    number: usize,
    bytes: Range<usize>,
}

impl Window {
    /// A window without columns.
    pub(super) fn new(segments: Range<u64>) -> Self {
        Self {
            next: segments.start,
            segments,
            columns: Vec::new(),
            pieces: VecDeque::new(),
        }
    }

    /// Whether a share with this number has a column in it.
    pub(super) fn has(&self, number: ShareNumber) -> bool {
        self.columns.iter().any(|column| column.number == number)
    }

    /// Whether it can be decoded: it has exactly as many columns as are needed, by ascending share
    /// number, and all are proved.
    pub(super) fn is_ready(&self, needed: usize) -> bool {
        self.columns.len() == needed && self.columns.iter().all(Column::is_proved)
    }

    /// Drops the columns that are not needed, once there are enough proved ones. Primary blocks are
    /// kept rather than secondary ones, which must be decoded.
    pub(super) fn settle(&mut self, needed: usize, spare: &mut Vec<Vec<u8>>) {
        let proved = self.columns.iter().filter(|column| column.is_proved());
        if proved.count() < needed {
            return;
        }
        self.columns
            .sort_unstable_by_key(|column| (!column.is_proved(), column.number));
        let rest = self.columns.drain(needed..);
        spare.extend(rest.map(Column::into_buffer));
    }

    /// Drops some columns.
    pub(super) fn drop_columns(
        &mut self,
        spare: &mut Vec<Vec<u8>>,
        mut which: impl FnMut(&Column) -> bool,
    ) {
        let mut index = 0;
        while let Some(column) = self.columns.get(index) {
            if which(column) {
                spare.push(self.columns.swap_remove(index).into_buffer());
            } else {
                index += 1;
            }
        }
    }

    /// Whether everything has been given out.
    pub(super) fn is_exhausted(&self) -> bool {
        self.next == self.segments.end && self.pieces.is_empty()
    }

    /// The next bytes of `wanted` to give out, from a window that is ready; none at its end.
    pub(super) fn next_piece(
        &mut self,
        geometry: Geometry,
        decoder: &mut SegmentDecoder,
        wanted: &Range<u64>,
    ) -> Result<Option<Piece>, Inconsistent> {
        while self.pieces.is_empty() && self.next < self.segments.end {
            let segment = self.next;
            let index = num::len(segment - self.segments.start).expect("a window is small");
            decoder.decode(segment, index, &mut self.columns)?;
            self.next += 1;
            self.pieces = pieces(geometry, segment, wanted);
        }
        Ok(self.pieces.pop_front())
    }

    /// The bytes of the piece that [`next_piece`](Self::next_piece) returned last.
    pub(super) fn bytes<'a>(&'a self, piece: &Piece, decoder: &'a SegmentDecoder) -> &'a [u8] {
        let block = decoder.primary_block(piece.segment, &self.columns, piece.number);
        &block[piece.bytes.clone()]
    }
}

/// The wanted bytes of a segment, block by block.
fn pieces(geometry: Geometry, segment: u64, wanted: &Range<u64>) -> VecDeque<Piece> {
    let segment_bytes = geometry.plaintext(segment);
    let block_size = num::size(geometry.block_size(segment));
    (0..geometry.parameters().needed())
        .filter_map(|number| {
            let start = segment_bytes.start + num::size(number) * block_size;
            let end = (start + block_size).min(segment_bytes.end);
            let (first, last) = (start.max(wanted.start), end.min(wanted.end));
            let index = |offset: u64| num::len(offset - start).expect("within a block");
            (first < last).then(|| Piece {
                segment,
                number,
                bytes: index(first)..index(last),
            })
        })
        .collect()
}
