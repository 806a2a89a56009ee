//! Writing a file past the kernel's cache of pages.
//!
//! A large file would push everything else out of the cache, each page of it would be new to the
//! cache, and all of them would have to be written before the file is published: the cache makes it
//! slower by half. So whole blocks go to the disk directly, and only the end of a file, or a file
//! that is shorter than a block, through the cache. Where the file system refuses, everything does.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::block::{BLOCK_LEN, Block};

/// How the next bytes of a file are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// Directly, if it can be had.
    #[default]
    Undecided,
    Direct,
    Cached,
}

impl Way {
    /// Appends a block, and says how to go on. Only the last block may be shorter than the others.
    pub(super) fn write(mut self, file: &File, block: &Block) -> (Self, io::Result<()>) {
        let is_whole = block.bytes().len() == BLOCK_LEN;
        if self == Self::Undecided {
            self = match is_whole && set_direct(file, true).is_ok() {
                true => Self::Direct,
                false => Self::Cached,
            };
        }
        if self == Self::Direct && !is_whole {
            if let Err(error) = set_direct(file, false) {
                return (self, Err(error));
            }
            self = Self::Cached;
        }
        self.write_all(file, block.bytes())
    }

    fn write_all(mut self, mut file: &File, mut bytes: &[u8]) -> (Self, io::Result<()>) {
        while !bytes.is_empty() {
            match file.write(bytes) {
                Ok(0) => return (self, Err(io::ErrorKind::WriteZero.into())),
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It wants another alignment, or what is left after half a write has none.
                Err(error)
                    if self == Self::Direct
                        && Errno::from_io_error(&error) == Some(Errno::INVAL) =>
                {
                    if let Err(error) = set_direct(file, false) {
                        return (self, Err(error));
                    }
                    self = Self::Cached;
                }
                Err(error) => return (self, Err(error)),
            }
        }
        (self, Ok(()))
    }
}

fn set_direct(file: &File, is_direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, is_direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn block(bytes: &[u8]) -> Block {
        let mut block = Block::new(bytes.len());
        assert_eq!(block.push(bytes), bytes.len());
        block
    }

    #[test]
    fn whole_blocks_and_an_odd_end_make_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create_new(&path).unwrap();
        let mut way = Way::default();
        let pieces = [vec![1; BLOCK_LEN], vec![2; BLOCK_LEN], vec![3; 4097]];
        for piece in &pieces {
            let (next, written) = way.write(&file, &block(piece));
            written.unwrap();
            way = next;
        }
        assert_eq!(way, Way::Cached);
        assert!(fs::read(&path).unwrap() == pieces.concat());
    }

    // As after half a write, or on a disk with larger sectors.
    #[test]
    fn what_does_not_lie_right_goes_through_the_cache() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create_new(&path).unwrap();
        let (way, written) = Way::default().write(&file, &block(&[1; BLOCK_LEN]));
        written.unwrap();
        let (way, written) = way.write_all(&file, &[2; 1000]);
        written.unwrap();
        assert_eq!(way, Way::Cached);
        let expected = [vec![1; BLOCK_LEN], vec![2; 1000]].concat();
        assert!(fs::read(&path).unwrap() == expected);
    }
}
