//! Files made: whole, opened to be written, or filled with zeros.

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::step::{Chain, Chunk, Handle, Link, Perform, Step};
use super::super::{DiskError, Existing, OpenMode, StorePath};
use super::chain::one;
use super::names::{below_directories, examine};
use super::{is_left_open, without_chain, write};

/// Makes a file with these bytes.
pub(super) async fn file<P: Perform>(
    on: &mut P,
    path: &StorePath,
    bytes: &Bytes,
    existing: Existing,
) -> Result<(), DiskError> {
    let steps = || create_steps(path, bytes, existing);
    match below_directories(on, path, 0, steps).await {
        Ok(_) => Ok(()),
        Err((chain, error)) => {
            undo(on, path, &chain).await;
            Err(error)
        }
    }
}

/// Makes a file with these bytes, unless another exists.
///
/// Whether it does is asked last: nearly always it does not, and then all of it is one chain.
pub(super) async fn file_unless<P: Perform>(
    on: &mut P,
    path: &StorePath,
    bytes: &Bytes,
    existing: Existing,
    unless: &StorePath,
) -> Result<(), DiskError> {
    let steps = || {
        let mut links = create_steps(path, bytes, existing);
        links.push(Link::optional(Step::Examine {
            path: unless.clone(),
            kind: None,
        }));
        links
    };
    let (chain, error) = match below_directories(on, path, 0, steps).await {
        Ok(chain) => {
            let examined = chain.links.last().expect("it was asked for");
            match examined.failure() {
                Some(error) if error.errno == Errno::NOENT => return Ok(()),
                Some(error) => (chain, error),
                None => (chain, EXISTS),
            }
        }
        Err((chain, error)) => match examine(on, unless).await {
            Ok(_) => (chain, EXISTS),
            Err(_) => (chain, error),
        },
    };
    undo(on, path, &chain).await;
    Err(error)
}

/// Opens a file for writing and leaves it open.
pub(super) async fn open<P: Perform>(
    on: &mut P,
    path: &StorePath,
    mode: OpenMode,
) -> Result<(), DiskError> {
    let open = |flags| Step::Open {
        path: path.clone(),
        flags,
    };
    match mode {
        OpenMode::New => {
            let steps = || vec![open(NEW_FILE).into()];
            without_chain(below_directories(on, path, 0, steps).await)
        }
        OpenMode::Existing => one(on, open(OFlags::WRONLY | OFlags::NOFOLLOW)).await,
    }
}

/// Makes a file of zeros, its space allocated and written.
pub(super) async fn preallocated<P: Perform>(
    on: &mut P,
    path: &StorePath,
    size: u64,
) -> Result<(), DiskError> {
    open(on, path, OpenMode::New).await?;
    let filled = fill_with_zeros(on, size).await;
    let closed = one(on, Step::Close).await;
    let result = filled.and(closed);
    if result.is_err() {
        unlink(on, path).await;
    }
    result
}

/// Allocates the current file's space, then writes it.
///
/// Space that is only allocated is marked so in its extents, and the first write to each part
/// changes that mark: every sync of the journal would then wait for a commit of the file system's
/// own journal, with all the unrelated changes in it. Written once, later writes change data only.
async fn fill_with_zeros<P: Perform>(on: &mut P, size: u64) -> Result<(), DiskError> {
    let file = Handle::Current;
    match one(on, Step::Allocate { file, size }).await {
        // Writing allocates too, only in more pieces.
        Err(error) if matches!(error.errno, Errno::OPNOTSUPP | Errno::NOSYS) => {}
        result => result?,
    }
    let zeros = Bytes::from(vec![0; ZEROS_LEN]);
    let mut offset = 0;
    while offset < size {
        let len = usize::try_from(size - offset).map_or(ZEROS_LEN, |left| left.min(ZEROS_LEN));
        let bytes = Chunk::Shared(zeros.slice(..len));
        one(on, write(Handle::Current, offset, bytes)).await?;
        offset += lafs::num::size(len);
    }
    Ok(())
}

fn create_steps(path: &StorePath, bytes: &Bytes, existing: Existing) -> Vec<Link> {
    let path = path.clone();
    let flags = match existing {
        Existing::Refuse => NEW_FILE,
        Existing::Overwrite => ANY_FILE,
    };
    let open = Step::Open { path, flags };
    let write = write(Handle::Current, 0, Chunk::Shared(bytes.clone()));
    vec![open.into(), write.into(), Step::Close.into()]
}

/// Removes a file that its chain made, if it made one.
async fn undo<P: Perform>(on: &mut P, path: &StorePath, chain: &Chain) {
    if is_left_open(&chain.links) {
        // What brought us here is the error to tell, not another one now.
        let _ = one(on, Step::Close).await;
    }
    if matches!(chain.links[0].result, Some(Ok(_))) {
        unlink(on, path).await;
    }
}

async fn unlink<P: Perform>(on: &mut P, path: &StorePath) {
    let path = path.clone();
    // If it stays, the store finds it among the incoming at its next start.
    let _ = one(on, Step::Unlink { path }).await;
}

const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW);

const ANY_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::TRUNC)
    .union(OFlags::NOFOLLOW);

/// That the other file exists.
const EXISTS: DiskError = DiskError {
    call: "statx",
    errno: Errno::EXIST,
};

/// Bytes of one write of zeros.
const ZEROS_LEN: usize = 1 << 20;
