//! Bytes on their way to the peer: frames are appended, the socket takes them from the front.
//!
//! Long share bytes are queued as they are, without a copy; all else is gathered so that many small
//! frames leave in one write. An empty output owns no memory.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use lafs::num;

use crate::varint;

/// Encoded frames, taken from the front as a [`Buf`].
#[derive(Debug, Default)]
pub struct Output {
    /// What goes first, in order.
    ready: VecDeque<Bytes>,
    /// What goes after it and may still grow.
    tail: BytesMut,
    len: usize,
    frames: u64,
    bytes: u64,
}

impl Output {
    /// The number of frames that were ever queued.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// The number of bytes that were ever queued.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a frame whose payload is `fields` and then `chunk`.
    pub(crate) fn frame(&mut self, frame_type: u8, fields: &[u8], chunk: &Bytes) {
        let payload_len = fields.len() + chunk.len();
        let mut header = Vec::with_capacity(1 + varint::LEN_MAX);
        header.push(frame_type);
        varint::encode(num::size(payload_len), &mut header);

        self.tail.extend_from_slice(&header);
        self.tail.extend_from_slice(fields);
        if chunk.len() < COPY_LEN_MAX {
            self.tail.extend_from_slice(chunk);
        } else {
            self.ready.push_back(self.tail.split().freeze());
            self.ready.push_back(chunk.clone());
        }
        let len = header.len() + payload_len;
        self.len += len;
        self.frames += 1;
        self.bytes += num::size(len);
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        match self.ready.front() {
            Some(chunk) => chunk,
            None => &self.tail,
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let chunks = self.ready.iter().map(|chunk| &chunk[..]);
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks.chain(tail)) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.len, "the socket took more than there was");
        self.len -= count;
        let mut left = count;
        while let Some(front) = self.ready.front_mut() {
            let step = left.min(front.len());
            front.advance(step);
            left -= step;
            if !front.is_empty() {
                return;
            }
            self.ready.pop_front();
        }
        self.tail.advance(left);
        if self.len == 0 {
            // Idle connections are many; their memory goes back.
            self.ready = VecDeque::new();
            self.tail = BytesMut::new();
        }
    }
}

/// Chunks below this are copied behind their frame: cheaper than a piece of their own in a write.
const COPY_LEN_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(output: &mut Output, step: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while output.has_remaining() {
            let chunk = output.chunk();
            assert!(!chunk.is_empty(), "a non-empty output has a first chunk");
            let len = chunk.len().min(step);
            bytes.extend_from_slice(&chunk[..len]);
            output.advance(len);
        }
        bytes
    }

    #[test]
    fn short_and_long_frames_leave_in_the_order_they_were_queued() {
        let long = Bytes::from(vec![7; COPY_LEN_MAX]);
        let short = Bytes::from_static(b"abc");
        let mut expected = vec![1, 4, 9];
        expected.extend_from_slice(b"abc");
        expected.extend_from_slice(&[2, 0x50, 0x01, 8]);
        expected.extend_from_slice(&long);
        expected.extend_from_slice(&[3, 0]);
        for step in [1, 5, 4096, usize::MAX] {
            let mut output = Output::default();
            output.frame(1, &[9], &short);
            output.frame(2, &[8], &long);
            output.frame(3, &[], &Bytes::new());
            assert_eq!(output.remaining(), expected.len());
            assert_eq!(output.bytes(), num::size(expected.len()));
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = output.chunks_vectored(&mut slices);
            let whole: Vec<u8> = slices[..filled]
                .iter()
                .flat_map(|slice| slice.to_vec())
                .collect();
            assert_eq!(whole, expected);
            assert_eq!(drain(&mut output, step), expected, "step {step}");
            assert_eq!(output.tail.capacity(), 0, "an empty output owns no memory");
        }
    }
}
