//! The whole blocks of large writes, past the page cache.
//!
//! ```text
//! write   |  ..|    |    |    |    |..   |
//!         | head|   whole blocks   |tail |
//! ```
//!
//! Head and tail share their block of the file with other writes, and go through the page cache. Of
//! the blocks in between nothing is there but what was read meanwhile, and the kernel drops that.

use bytes::Bytes;

use super::super::step::{Chunk, Handle, Perform, Step};
use super::super::{ALIGN, Aligned, DiskError, LARGE_LEN};
use super::chain::{answered, one};

/// Writes taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Whole blocks, and where they go.
    pub(super) large: Vec<(u64, Bytes)>,
    /// All else, in its order.
    pub(super) rest: Vec<(u64, Bytes)>,
}

/// Takes the whole blocks out of writes that are large.
pub(super) fn split(writes: &[(u64, Bytes)]) -> Split {
    let mut split = Split::default();
    for (offset, bytes) in writes {
        if bytes.len() < LARGE_LEN {
            split.rest.push((*offset, bytes.clone()));
            continue;
        }
        let head = offset.next_multiple_of(lafs::num::size(ALIGN)) - offset;
        let head = lafs::num::len(head).expect("less than a block");
        let tail = head + (bytes.len() - head) / ALIGN * ALIGN;
        let at = |index: usize| offset + lafs::num::size(index);
        split.large.push((at(head), bytes.slice(head..tail)));
        for (index, part) in [(0, bytes.slice(..head)), (tail, bytes.slice(tail..))] {
            if !part.is_empty() {
                split.rest.push((at(index), part));
            }
        }
    }
    split
}

/// Writes whole blocks of the current file, which is then written through the page cache.
pub(super) async fn write_all<P: Perform>(
    on: &mut P,
    blocks: &[(u64, Bytes)],
) -> Result<(), DiskError> {
    let mut buffer = Aligned::with_room(BUFFER_LEN);
    for (offset, bytes) in blocks {
        let mut offset = *offset;
        for piece in bytes.chunks(BUFFER_LEN) {
            buffer.clear();
            buffer.extend_from_slice(piece);
            let step = Step::Write {
                file: Handle::Current,
                offset,
                bytes: Chunk::Aligned(buffer),
                written: 0,
                is_durable: false,
            };
            buffer = match answered(on, step).await? {
                (
                    _,
                    Step::Write {
                        bytes: Chunk::Aligned(buffer),
                        ..
                    },
                ) => buffer,
                _ => unreachable!("a step comes back as what it was"),
            };
            offset += lafs::num::size(piece.len());
        }
    }
    let through = Step::MustBeFile {
        file: Handle::Current,
        is_direct: false,
    };
    one(on, through).await
}

/// Bytes of one write; the buffer is no larger than twice what the operation brought itself.
const BUFFER_LEN: usize = 256 << 10;
const _: () = assert!(BUFFER_LEN <= 2 * LARGE_LEN && BUFFER_LEN % ALIGN == 0);
const _: () = assert!(LARGE_LEN > 2 * ALIGN);

#[cfg(test)]
mod tests {
    use super::*;

    // A direct write of part of a block is refused; one that is left out leaves a hole.
    #[test]
    fn every_byte_of_a_write_goes_one_way_and_blocks_are_whole() {
        let small = (7, Bytes::from_static(b"small"));
        for (offset, len) in [
            (0, LARGE_LEN),
            (12, LARGE_LEN),
            (4095, LARGE_LEN + 1),
            (4096, LARGE_LEN + 4095),
            ((5 << 30) + 12, 1 << 20),
        ] {
            let bytes: Bytes = (0..251_u8).cycle().take(len).collect();
            let Split { large, rest } = split(&[small.clone(), (offset, bytes.clone())]);
            assert_eq!(rest[0], small, "what is small is as it was");
            let mut parts: Vec<_> = large.iter().chain(&rest[1..]).cloned().collect();
            parts.sort_by_key(|(at, _)| *at);
            let mut end = offset;
            for (at, part) in &parts {
                assert_eq!(*at, end);
                end += lafs::num::size(part.len());
            }
            let joined: Vec<u8> = parts.iter().flat_map(|(_, part)| part.to_vec()).collect();
            assert_eq!(joined, bytes);
            for (at, blocks) in &large {
                assert!(at % 4096 == 0 && blocks.len() % ALIGN == 0 && !blocks.is_empty());
            }
            for (_, part) in &rest[1..] {
                assert!(part.len() < ALIGN);
            }
        }
    }
}
