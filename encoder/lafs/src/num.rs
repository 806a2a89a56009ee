//! The crossing between sizes on disk or wire (`u64`) and lengths in memory (`usize`).
//!
//! The project runs on 32 bits: a size read from a peer or a file need not fit in memory, so the
//! crossing is spelled out, and only these functions make it without a `Result`.

/// A length in memory as a size on disk or wire.
///
/// Always exact: `usize` is at most 64 bits on every target this project supports.
#[must_use]
pub fn size(len: usize) -> u64 {
    const { assert!(usize::BITS <= u64::BITS) };
    // Widening on every supported target, as the assertion above proves.
    len as u64
}

/// A size on disk or wire as a length in memory, or `None` where memory cannot address it.
#[must_use]
pub fn len(size: u64) -> Option<usize> {
    usize::try_from(size).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // A size beyond the address space must be an absence, never a wrapped small number.
    #[test]
    fn sizes_beyond_the_address_space_have_no_len() {
        assert_eq!(len(0), Some(0));
        assert_eq!(len(size(usize::MAX)), Some(usize::MAX));
        if usize::BITS == 32 {
            assert_eq!(len(1 << 32), None);
        }
    }
}
