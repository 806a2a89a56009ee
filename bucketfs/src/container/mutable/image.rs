//! What a container becomes by writes: its sizes, and where each of its bytes comes from.
//!
//! Tahoe changes a container write by write, in place. An image runs through the same writes
//! without a file, and comes to the same bytes: so a change can be judged before it is begun, and
//! made in one go by whatever way suits its size.

use std::collections::BTreeMap;

use bytes::Bytes;
use lafs::num;

use super::{COUNT_SIZE, HEADER_SIZE, Header, Leases, SHARE_SIZE_MAX};

/// A write that would make a share larger than [`SHARE_SIZE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share of a slot has at most {SHARE_SIZE_MAX} bytes")]
pub struct ShareTooLarge;

/// How large the share is, and how far its room reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The size of the share.
    pub data: u64,
    /// Where the extra leases are: the end of the room that the share has.
    pub extra: u64,
}

impl Sizes {
    /// Those of a new container.
    pub const EMPTY: Self = Self {
        data: 0,
        extra: HEADER_SIZE,
    };

    /// Writes so many bytes at an offset of the share.
    ///
    /// # Errors
    ///
    /// [`ShareTooLarge`] beyond [`SHARE_SIZE_MAX`].
    pub fn write(&mut self, offset: u64, size: u64) -> Result<(), ShareTooLarge> {
        let end = offset
            .checked_add(size)
            .filter(|end| *end <= SHARE_SIZE_MAX)
            .ok_or(ShareTooLarge)?;
        self.data = self.data.max(end);
        self.extra = self.extra.max(HEADER_SIZE + end);
        Ok(())
    }

    /// Cuts the share, if it is longer than that. Its room stays.
    pub fn cut(&mut self, size: u64) {
        self.data = self.data.min(size);
    }
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// A part of the request's spool.
    Spooled {
        /// Where in the spool.
        offset: u64,
        /// How much.
        size: u64,
    },
}

impl Content {
    /// How many bytes it is.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => num::size(bytes.len()),
            Self::Spooled { size, .. } => *size,
        }
    }

    /// So many bytes of it, from an offset on; both within it.
    fn part(&self, from: u64, size: u64) -> Self {
        match self {
            Self::Bytes(bytes) => {
                let index = |size| num::len(size).expect("within bytes in memory");
                Self::Bytes(bytes.slice(index(from)..index(from + size)))
            }
            Self::Spooled { offset, .. } => Self::Spooled {
                offset: offset + from,
                size,
            },
        }
    }
}

/// Where bytes of the new container come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The same place of the file as it was.
    Old,
    /// Nowhere: they are zero.
    Zeros,
    /// A write.
    New(Content),
}

/// Bytes between the header and the extra leases that come from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How many.
    pub size: u64,
    /// From where.
    pub source: Source,
}

/// A container between its header and its extra leases, as writes will have made it.
#[derive(Clone, Debug)]
pub struct Image {
    sizes: Sizes,
    /// By their offset in the file; together they cover all from the header to the extra leases.
    pieces: BTreeMap<u64, Piece>,
}

impl Image {
    /// The container as it is.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        let mut image = Self {
            sizes,
            pieces: BTreeMap::new(),
        };
        image.overlay(HEADER_SIZE, sizes.extra - HEADER_SIZE, Source::Old);
        image
    }

    /// The share's size and room.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// All pieces by their offsets in the file, end to end.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &Piece)> {
        self.pieces.iter().map(|(offset, piece)| (*offset, piece))
    }

    /// Writes into the share. A gap between its end and the write becomes zeros.
    ///
    /// # Errors
    ///
    /// [`ShareTooLarge`] beyond [`SHARE_SIZE_MAX`].
    pub fn write(&mut self, offset: u64, content: &Content) -> Result<(), ShareTooLarge> {
        let before = self.sizes;
        self.sizes.write(offset, content.size())?;
        // Where the leases were that have to move Tahoe leaves zeros.
        let room = self.sizes.extra - before.extra;
        self.overlay(before.extra, room, Source::Zeros);
        let gap = offset.saturating_sub(before.data);
        self.overlay(HEADER_SIZE + before.data, gap, Source::Zeros);
        let source = Source::New(content.clone());
        self.overlay(HEADER_SIZE + offset, content.size(), source);
        Ok(())
    }

    /// Cuts the share, if it is longer than that. What is behind its end stays there.
    pub fn cut(&mut self, size: u64) {
        self.sizes.cut(size);
    }

    /// The size of the file with these leases.
    #[must_use]
    pub fn file_size(&self, leases: &Leases) -> u64 {
        self.sizes.extra + leases.extra_size()
    }

    /// Puts the whole container together, given the file as it was; `None` if the spool is needed.
    #[must_use]
    pub fn assemble(&self, header: &Header, leases: &Leases, old: &[u8]) -> Option<Vec<u8>> {
        let mut file = Vec::with_capacity(num::len(self.file_size(leases))?);
        file.extend_from_slice(&header.encode(self.sizes, leases));
        for (_, Piece { size, source }) in self.pieces() {
            let end = file.len() + num::len(*size)?;
            match source {
                Source::Old => file.extend_from_slice(old.get(file.len()..end)?),
                Source::Zeros => file.resize(end, 0),
                Source::New(Content::Bytes(bytes)) => file.extend_from_slice(bytes),
                Source::New(Content::Spooled { .. }) => return None,
            }
        }
        file.extend_from_slice(&leases.encode_extra());
        Some(file)
    }

    /// Has bytes of the file come from elsewhere.
    fn overlay(&mut self, start: u64, size: u64, source: Source) {
        if size == 0 {
            return;
        }
        let end = start + size;
        if let Some((offset, piece)) = self.pieces.range_mut(..start).next_back() {
            let offset = *offset;
            if offset + piece.size > start {
                let rest = piece.split_off(start - offset);
                self.pieces.insert(start, rest);
            }
        }
        while let Some((&offset, _)) = self.pieces.range(start..end).next() {
            let mut piece = self.pieces.remove(&offset).expect("it was just found");
            if offset + piece.size > end {
                let rest = piece.split_off(end - offset);
                self.pieces.insert(end, rest);
            }
        }
        self.pieces.insert(start, Piece { size, source });
    }
}

impl Piece {
    /// Takes off what is from an offset within the piece on.
    fn split_off(&mut self, at: u64) -> Self {
        let size = self.size - at;
        let rest = match &mut self.source {
            Source::Old => Source::Old,
            Source::Zeros => Source::Zeros,
            Source::New(content) => {
                let rest = content.part(at, size);
                *content = content.part(0, at);
                Source::New(rest)
            }
        };
        self.size = at;
        Self { size, source: rest }
    }
}

// The largest container, with the most leases, is still a file that 63 bits can address.
const _: () = assert!(SHARE_SIZE_MAX + HEADER_SIZE + COUNT_SIZE < 1 << 62);
