//! Bytes that begin at a multiple of [`ALIGN`] in memory, as direct I/O wants them.
//!
//! ```text
//! | up to ALIGN - 1 bytes that nobody looks at | the bytes            | room |
//! ^ where the allocator put it                 ^ a multiple of ALIGN
//! ```
//!
//! The front is longer than it need be instead of asking the allocator for alignment, which no safe
//! interface does. The allocation is never grown in place: that could move the bytes to another
//! distance from a multiple of `ALIGN`.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// What direct writes are multiples of: their place in memory, their offset and their length.
///
/// No disk in use has larger sectors, and no file system that is written so ([`super::Root`] finds
/// that out) has larger demands.
pub const ALIGN: usize = 4096;

/// A buffer for direct writes.
#[derive(Default)]
pub struct Aligned {
    /// The front, and the bytes.
    whole: Vec<u8>,
    /// Length of the front.
    front: usize,
}

impl Aligned {
    /// Makes an empty buffer with room for so many bytes.
    #[must_use]
    pub fn with_room(len: usize) -> Self {
        let mut whole: Vec<u8> = Vec::with_capacity(len.saturating_add(ALIGN - 1));
        let front = whole.as_ptr().align_offset(ALIGN);
        assert!(front < ALIGN, "every address is near a multiple");
        whole.resize(front, 0);
        Self { whole, front }
    }

    /// How many bytes it has room for without being moved.
    #[must_use]
    pub fn room(&self) -> usize {
        self.whole.capacity() - self.front
    }

    /// Appends bytes, moving all of them to another place if there is no room.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.whole.extend_from_slice(bytes);
    }

    /// Cuts it to a length, or extends it with bytes of one value.
    pub fn resize(&mut self, len: usize, value: u8) {
        self.make_room(len.saturating_sub(self.len()));
        self.whole.resize(self.front + len, value);
    }

    /// Cuts it to a length, if it is longer.
    pub fn truncate(&mut self, len: usize) {
        self.whole.truncate(self.front.saturating_add(len));
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    fn make_room(&mut self, more: usize) {
        let len = self.len() + more;
        if len > self.room() {
            let mut roomier = Self::with_room(len.max(2 * self.room()).max(ALIGN));
            roomier.whole.extend_from_slice(self);
            *self = roomier;
        }
        // An allocation of no bytes is nowhere in particular.
        debug_assert!(self.is_empty() || self.as_ptr().align_offset(ALIGN) == 0);
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.whole[self.front..]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.whole[self.front..]
    }
}

impl From<&[u8]> for Aligned {
    fn from(bytes: &[u8]) -> Self {
        let mut aligned = Self::with_room(bytes.len());
        aligned.extend_from_slice(bytes);
        aligned
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl PartialEq for Aligned {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Aligned {}

impl fmt::Debug for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_aligned(buffer: &Aligned) -> bool {
        buffer.as_ptr().align_offset(ALIGN) == 0
    }

    // The kernel refuses a direct write from anywhere else.
    #[test]
    fn bytes_stay_aligned_whatever_is_done_to_them() {
        for room in [0, 1, ALIGN - 1, ALIGN, 3 * ALIGN + 5, 1 << 20] {
            let mut buffer = Aligned::with_room(room);
            let mut wanted = Vec::new();
            for step in 0..40_usize {
                let piece: Vec<_> = (0..251_u8).cycle().take(step * 97).collect();
                buffer.extend_from_slice(&piece);
                wanted.extend_from_slice(&piece);
                if step % 7 == 6 {
                    buffer.truncate(step * 50);
                    wanted.truncate(step * 50);
                }
                buffer.resize(buffer.len() + step, 7);
                wanted.resize(wanted.len() + step, 7);
                assert_eq!(*buffer, *wanted);
                assert!(buffer.is_empty() || is_aligned(&buffer), "{room}, {step}");
                assert!(is_aligned(&buffer.clone()) || buffer.is_empty());
            }
            buffer.clear();
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_buffer_with_room_is_not_moved() {
        let mut buffer = Aligned::with_room(10 * ALIGN);
        buffer.extend_from_slice(b"a");
        let place = buffer.as_ptr();
        for _ in 0..10 {
            buffer.clear();
            buffer.resize(10 * ALIGN, 1);
            assert_eq!(buffer.as_ptr(), place);
        }
        assert!(buffer.room() >= 10 * ALIGN);
    }
}
