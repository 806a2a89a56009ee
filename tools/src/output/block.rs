//! A piece of an output, gathered in memory that lies as direct I/O wants it.

/// The bytes of a piece but the last, and so the memory of one.
pub const BLOCK_LEN: usize = 1 << 20;

/// What direct I/O wants memory, offsets and lengths to be multiples of; no disk wants more.
const ALIGNMENT: usize = 4096;
const _: () = assert!(BLOCK_LEN % ALIGNMENT == 0);

/// Bytes that are written together.
#[derive(Debug)]
pub struct Block {
    /// Whatever was in it before, with the bytes somewhere in the middle.
    memory: Vec<u8>,
    start: usize,
    len: usize,
    len_max: usize,
}

impl Block {
    /// An empty block for up to so many bytes, at most [`BLOCK_LEN`].
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        let len_max = len_max.min(BLOCK_LEN);
        let memory = vec![0; len_max + ALIGNMENT];
        // Where the address cannot be told it stays unaligned, and the disk refuses direct I/O.
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self {
            start: if start <= ALIGNMENT { start } else { 0 },
            memory,
            len: 0,
            len_max,
        }
    }

    /// Appends as many of the bytes as there is room for, and returns how many.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.len_max - self.len);
        let end = self.start + self.len;
        self.memory[end..end + len].copy_from_slice(&bytes[..len]);
        self.len += len;
        len
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is no room in it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len == self.len_max
    }

    /// Takes the bytes out.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_takes_what_fits_and_lies_where_a_disk_wants_it() {
        let mut block = Block::new(usize::MAX);
        assert!(block.is_empty());
        assert_eq!(block.push(&[1; BLOCK_LEN - 1]), BLOCK_LEN - 1);
        assert!(!block.is_full());
        assert_eq!(block.push(&[2, 3]), 1);
        assert!(block.is_full());
        assert_eq!(block.bytes().as_ptr().align_offset(ALIGNMENT), 0);
        assert_eq!(&block.bytes()[BLOCK_LEN - 2..], [1, 2]);
        block.clear();
        assert_eq!(block.push(&[4]), 1);
        assert_eq!(block.bytes(), [4]);
    }
}
