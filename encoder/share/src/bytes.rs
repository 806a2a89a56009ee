//! Where the bytes of a share come from.

use std::io;

use lafs::num;

/// The bytes of one share, without its container: a part of a file, or memory.
///
/// They are read in pieces of up to 256 KiB, mostly in ascending order; those of a share of up to
/// 256 KiB at once.
pub trait Bytes {
    /// How many there are.
    fn size(&self) -> u64;

    /// Fills the buffer with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// What the source says; [`io::ErrorKind::UnexpectedEof`] if the buffer reaches beyond the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Bytes for &[u8] {
    fn size(&self) -> u64 {
        num::size(self.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let rest = num::len(offset).and_then(|start| self.get(start..));
        let found = rest.and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A piece of a share in memory, which moves forward with what is asked for.
pub(crate) struct Window<'a> {
    bytes: &'a dyn Bytes,
    /// Most that it holds.
    len_max: usize,
    start: u64,
    piece: Vec<u8>,
}

impl<'a> Window<'a> {
    /// A window that holds nothing yet. It never holds more than the share has.
    pub(crate) fn new(bytes: &'a dyn Bytes, len_max: usize) -> Self {
        Self {
            bytes,
            len_max,
            start: 0,
            piece: Vec::new(),
        }
    }

    /// These bytes of the share: at most as many as the window holds.
    pub(crate) fn slice(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        debug_assert!(len <= self.len_max);
        if self.held(offset, len).is_none() {
            self.fill(offset)?;
        }
        self.held(offset, len)
            .ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    /// The same, as long as the type that is asked for.
    pub(crate) fn array<const N: usize>(&mut self, offset: u64) -> io::Result<[u8; N]> {
        let bytes = self.slice(offset, N)?;
        Ok(bytes.try_into().expect("a slice of the length asked for"))
    }

    /// The next bytes from `offset` on: at least one, and at most `size_max`.
    pub(crate) fn some(&mut self, offset: u64, size_max: u64) -> io::Result<&[u8]> {
        if self.held(offset, 1).is_none() {
            self.fill(offset)?;
        }
        let skip = num::len(offset - self.start).expect("a piece is in memory");
        let held = self.piece.get(skip..).unwrap_or_default();
        if held.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = num::len(size_max).map_or(held.len(), |max| max.min(held.len()));
        Ok(&held[..len])
    }

    fn held(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let skip = num::len(offset.checked_sub(self.start)?)?;
        self.piece.get(skip..skip.checked_add(len)?)
    }

    fn fill(&mut self, offset: u64) -> io::Result<()> {
        let rest = self.bytes.size().saturating_sub(offset);
        let len = num::len(rest).map_or(self.len_max, |rest| rest.min(self.len_max));
        self.start = offset;
        self.piece.resize(len, 0);
        let read = self.bytes.read_at(offset, &mut self.piece);
        if read.is_err() {
            // What is in it now is nothing.
            self.piece.clear();
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_like_a_file() {
        let bytes: &[u8] = b"0123456789";
        let mut piece = [0; 4];
        bytes.read_at(6, &mut piece).unwrap();
        assert_eq!(&piece, b"6789");
        for offset in [7, 11, u64::MAX] {
            let error = bytes.read_at(offset, &mut piece).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset}");
        }
    }

    #[test]
    fn a_window_moves_in_both_directions_and_not_beyond_the_end() {
        let bytes: &[u8] = b"0123456789";
        let mut window = Window::new(&bytes, 4);
        for offset in [0, 1, 3, 6, 2, 8] {
            let start = usize::try_from(offset).unwrap();
            assert_eq!(window.slice(offset, 2).unwrap(), &bytes[start..start + 2]);
            assert!(window.piece.len() <= 4);
        }
        assert_eq!(window.array::<1>(9).unwrap(), *b"9");
        assert_eq!(window.some(0, u64::MAX).unwrap(), b"0123");
        assert_eq!(window.some(2, 1).unwrap(), b"2");
        for offset in [9, 10, 100, u64::MAX] {
            let error = window.slice(offset, 2).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset}");
        }
        assert!(window.some(10, 1).is_err());
    }
}
