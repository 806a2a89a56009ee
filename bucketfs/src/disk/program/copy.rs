//! Parts of one file copied into another.

use rustix::io::Errno;

use super::super::beneath::How;
use super::super::step::{Chunk, Handle, Perform, Step};
use super::super::{CopyRange, DiskError, StorePath};
use super::chain::{answered, one};
use super::create::must_be_file;
use super::write;

/// Copies parts of a file into an open one.
pub(super) async fn copy<P: Perform>(
    on: &mut P,
    source: &StorePath,
    target: &Handle,
    ranges: &[CopyRange],
) -> Result<(), DiskError> {
    let path = source.clone();
    let how = How::Read;
    one(on, Step::Open { path, how }).await?;
    must_be_file(on).await?;
    let result = copy_current(on, target, ranges).await;
    one(on, Step::Release).await?;
    result
}

async fn copy_current<P: Perform>(
    on: &mut P,
    target: &Handle,
    ranges: &[CopyRange],
) -> Result<(), DiskError> {
    let mut buffer = Vec::new();
    for range in ranges {
        let mut copied = 0;
        while copied < range.size {
            let left = range.size - copied;
            let len = usize::try_from(left).map_or(CHUNK_LEN, |left| left.min(CHUNK_LEN));
            buffer = some(on, range.from + copied, buffer, len).await?;
            let size = lafs::num::size(buffer.len());
            let chunk = Chunk::Own(buffer);
            let written = answered(on, write(target.clone(), range.to + copied, chunk)).await?;
            buffer = match written {
                (
                    _,
                    Step::Write {
                        bytes: Chunk::Own(buffer),
                        ..
                    },
                ) => buffer,
                _ => unreachable!("a step comes back as what it was"),
            };
            copied += size;
        }
    }
    Ok(())
}

/// Reads at least one byte of the current file, at most `len`.
async fn some<P: Perform>(
    on: &mut P,
    offset: u64,
    mut buffer: Vec<u8>,
    len: usize,
) -> Result<Vec<u8>, DiskError> {
    buffer.clear();
    buffer.reserve_exact(len);
    let read = Step::Read {
        file: Handle::Current,
        offset,
        buffer,
        len,
    };
    match answered(on, read).await? {
        (1.., Step::Read { buffer, .. }) => Ok(buffer),
        // The store copies what it knows to be there: bytes that are gone are an error of the disk.
        (_, step) => Err(DiskError {
            call: step.call(),
            errno: Errno::IO,
        }),
    }
}

/// Bytes of one read and one write.
const CHUNK_LEN: usize = 256 * 1024;
