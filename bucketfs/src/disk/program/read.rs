//! Parts of a file, read from one open.

use super::super::beneath::How;
use super::super::step::{Chain, Handle, Link, Perform, Step};
use super::super::{ByteRange, DiskError, Outcome, StorePath};
use super::chain::{CHAIN_LEN_MAX, answered, finish, one, run};

/// Reads parts of a file, clipped to its end.
pub(super) async fn read<P: Perform>(
    on: &mut P,
    path: &StorePath,
    ranges: &[ByteRange],
) -> Result<Outcome, DiskError> {
    let path = path.clone();
    let how = How::Read;
    one(on, Step::Open { path, how }).await?;
    let result = read_current(on, ranges).await;
    one(on, Step::Release).await?;
    result
}

async fn read_current<P: Perform>(on: &mut P, ranges: &[ByteRange]) -> Result<Outcome, DiskError> {
    let file = Handle::Current;
    let (size, _) = answered(on, Step::Size { file }).await?;
    let mut pieces = vec![Vec::new(); ranges.len()];
    let mut wanted = ranges
        .iter()
        .zip(&mut pieces)
        .filter(|(range, _)| range.offset < size && range.len > 0);
    loop {
        let (links, targets): (Vec<_>, Vec<_>) = wanted
            .by_ref()
            .take(CHAIN_LEN_MAX)
            .map(|(range, piece)| (link(*range, size), piece))
            .unzip();
        if links.is_empty() {
            break;
        }
        let chain = run(on, Chain::together(links)).await;
        for (link, target) in chain.links.into_iter().zip(targets) {
            *target = read_rest(on, link).await?;
        }
    }
    Ok(Outcome::Read { size, pieces })
}

/// Reads what a short read left, until the bytes are there or the file ends after all.
async fn read_rest<P: Perform>(on: &mut P, mut link: Link) -> Result<Vec<u8>, DiskError> {
    loop {
        if let Some(error) = link.failure() {
            return Err(error);
        }
        let count = link.result.and_then(Result::ok);
        let count = count.expect("a chain that was run has results");
        let Step::Read {
            file,
            offset,
            buffer,
            len,
        } = link.step
        else {
            unreachable!("a step comes back as what it was")
        };
        let left = usize::try_from(count).map_or(0, |count| len.saturating_sub(count));
        if count == 0 || left == 0 {
            return Ok(buffer);
        }
        let rest = Step::Read {
            file,
            offset: offset + count,
            buffer,
            len: left,
        };
        link = finish(on, rest.into()).await;
    }
}

fn link(range: ByteRange, size: u64) -> Link {
    let left = size.saturating_sub(range.offset);
    let len = usize::try_from(left).map_or(range.len, |left| left.min(range.len));
    Link::from(Step::Read {
        file: Handle::Current,
        offset: range.offset,
        buffer: Vec::with_capacity(len),
        len,
    })
}
