//! Bytes on their way to whole blocks, which are written past the page cache.
//!
//! ```text
//! file    | 12 header | the share ...                                   | lease |
//! blocks  |   buffer 1    |   buffer 2    |  ...  | whole blocks | rest |
//!           one at a time is filled, the others are being written         through the page cache
//! ```
//!
//! A page cache costs a copy, the pages, and their way to the disk when the share is synced, which
//! waits for all of them. What was written past it is on its way at once, and the sync has little
//! left to do. The memory is a share's few buffers, whatever its size, and all buffers together are
//! bounded by the number of [`Seats`]; an upload that gets none goes through the page cache.

use crate::container::{HEADER_SIZE, Header};
use crate::disk::{ALIGN, Aligned};
use crate::limits;

/// Who may gather: a bound on the memory of all uploads together.
#[derive(Debug)]
pub(super) struct Seats {
    free: usize,
    /// Buffers that nobody uses at the moment.
    buffers: Vec<Aligned>,
}

/// What an upload gathers; it has a seat.
#[derive(Debug)]
pub(super) struct Gather {
    /// Where in the file the buffer goes.
    offset: u64,
    /// What is being filled; empty, without room, while there is no buffer.
    buffer: Aligned,
    /// How many buffers are being written.
    written: usize,
    /// Whether the header is in front of the share already.
    has_header: bool,
}

/// The end of what was gathered.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Whole blocks, and where they go.
    pub(super) blocks: Option<(u64, Aligned)>,
    /// Where the rest goes, less than a block.
    pub(super) offset: u64,
    pub(super) rest: Vec<u8>,
    /// Whether the header is in front of the share already.
    pub(super) has_header: bool,
}

impl Seats {
    pub(super) fn new() -> Self {
        Self {
            free: limits::GATHERING_UPLOADS,
            buffers: Vec::new(),
        }
    }

    /// Takes a seat, if one is free; with the share's header, if its size is known.
    pub(super) fn take(&mut self, header: Option<Header>) -> Option<Gather> {
        self.free = self.free.checked_sub(1)?;
        let mut gather = Gather {
            offset: 0,
            buffer: Aligned::default(),
            written: 0,
            has_header: header.is_some(),
        };
        let front = header.map_or([0; HEADER_LEN], |header| header.encode());
        gather.buffer = self.buffer();
        gather.buffer.extend_from_slice(&front);
        Some(gather)
    }

    /// Takes a seat back; none of its buffers is being written.
    pub(super) fn give_back(&mut self, gather: Gather) {
        assert_eq!(gather.written, 0, "the disk has a buffer");
        self.free += 1;
        self.keep(gather.buffer);
    }

    /// Takes back a buffer that has been written.
    pub(super) fn keep(&mut self, mut buffer: Aligned) {
        buffer.clear();
        if buffer.room() >= limits::GATHERED_LEN {
            self.buffers.push(buffer);
        }
    }

    /// Gives the memory back that only a burst of uploads needs.
    pub(super) fn rest(&mut self) {
        self.buffers = Vec::new();
    }

    fn buffer(&mut self) -> Aligned {
        let kept = self.buffers.pop();
        kept.unwrap_or_else(|| Aligned::with_room(limits::GATHERED_LEN))
    }
}

impl Gather {
    /// Takes as many of the bytes as there is room for now; says how many.
    pub(super) fn fill(&mut self, seats: &mut Seats, bytes: &[u8]) -> usize {
        if self.buffer.room() < limits::GATHERED_LEN {
            if self.written == limits::GATHERED_BUFFERS {
                return 0;
            }
            self.buffer = seats.buffer();
        }
        let room = limits::GATHERED_LEN - self.buffer.len();
        let taken = room.min(bytes.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Takes the buffer out if it is full, and where it goes; it is being written from now on.
    pub(super) fn full(&mut self) -> Option<(u64, Aligned)> {
        if self.buffer.len() < limits::GATHERED_LEN {
            return None;
        }
        let offset = self.offset;
        self.offset += lafs::num::size(self.buffer.len());
        self.written += 1;
        Some((offset, std::mem::take(&mut self.buffer)))
    }

    /// A buffer has been written.
    pub(super) fn written(&mut self) {
        self.written = self.written.checked_sub(1).expect("it was being written");
    }

    /// Takes the rest out, which is the end of the share, or the beginning of what is written
    /// through the page cache; with the header, if that was not known before and is now.
    pub(super) fn end(&mut self, header: Option<Header>) -> End {
        if let (0, Some(header)) = (self.offset, header) {
            // Nothing has been written yet, or the first buffer would be behind us.
            self.buffer[..HEADER_LEN].copy_from_slice(&header.encode());
            self.has_header = true;
        }
        let mut blocks = std::mem::take(&mut self.buffer);
        let whole = blocks.len() - blocks.len() % ALIGN;
        let rest = blocks[whole..].to_vec();
        blocks.truncate(whole);
        let offset = self.offset + lafs::num::size(whole);
        End {
            blocks: (whole > 0).then_some((self.offset, blocks)),
            offset,
            rest,
            has_header: self.has_header,
        }
    }
}

/// [`HEADER_SIZE`] in memory.
const HEADER_LEN: usize = 12;
const _: () = assert!(HEADER_LEN as u64 == HEADER_SIZE);

const _: () = assert!(limits::GATHERED_LEN % ALIGN == 0 && limits::GATHERED_LEN > HEADER_LEN);
