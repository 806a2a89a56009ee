//! Files made: whole, opened to be written, or filled with zeros.

use bytes::Bytes;
use rustix::io::Errno;

use super::super::beneath::How;
use super::super::step::{Chain, Chunk, Handle, Link, Perform, Step};
use super::super::{DiskError, EntryKind, OpenMode, StorePath};
use super::chain::{one, outcome, run};
use super::names::{below_directories, examine, unlink};
use super::{is_closed, is_left_open, new_directories, without_chain, write};

/// Makes a file with these bytes.
pub(super) async fn file<P: Perform>(
    on: &mut P,
    path: &StorePath,
    bytes: &Bytes,
) -> Result<(), DiskError> {
    let steps = || create_steps(path, bytes);
    match below_directories(on, path, 0, steps).await {
        Ok(_) => Ok(()),
        Err((chain, error)) => {
            undo(on, path, &chain).await;
            Err(error)
        }
    }
}

/// Makes files with these bytes at their final names, each by itself.
pub(super) async fn placed<P: Perform>(
    on: &mut P,
    files: &[(StorePath, Bytes)],
) -> Vec<Result<(), DiskError>> {
    let mut results = Vec::with_capacity(files.len());
    for (path, bytes) in files {
        results.push(place(on, path, bytes).await);
    }
    results
}

/// A name that is taken is nearly always of an earlier attempt, which could not be taken back.
async fn place<P: Perform>(on: &mut P, path: &StorePath, bytes: &Bytes) -> Result<(), DiskError> {
    let steps = || create_steps(path, bytes);
    match below_directories(on, path, new_directories(path), steps).await {
        Ok(_) => Ok(()),
        Err((_, error)) if error.errno == Errno::EXIST => file_anew(on, path, bytes).await,
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
    unless: &StorePath,
) -> Result<(), DiskError> {
    let steps = || {
        let mut links = create_steps(path, bytes);
        links.push(Link::optional(Step::Examine {
            path: unless.clone(),
            kind: None,
        }));
        links
    };
    let (chain, error) = match below_directories(on, path, 0, steps).await {
        Ok(chain) => match chain.links.last() {
            Some(Link {
                step: Step::Examine {
                    kind: Some(kind), ..
                },
                ..
            }) => {
                let error = taken_by(*kind);
                (chain, error)
            }
            examined => match examined.and_then(Link::failure) {
                Some(error) if error.errno != Errno::NOENT => (chain, error),
                _ => return Ok(()),
            },
        },
        Err((chain, error)) => match examine(on, unless).await {
            Ok(kind) => (chain, taken_by(kind)),
            Err(_) => (chain, error),
        },
    };
    undo(on, path, &chain).await;
    Err(error)
}

/// Makes a file of these bytes, whatever was in it.
pub(super) async fn file_anew<P: Perform>(
    on: &mut P,
    path: &StorePath,
    bytes: &Bytes,
) -> Result<(), DiskError> {
    let open = || {
        let (path, how) = (path.clone(), How::Anew);
        vec![Step::Open { path, how }.into()]
    };
    without_chain(below_directories(on, path, 0, open).await)?;
    must_be_file(on).await?;
    let write = write(Handle::Current, 0, Chunk::Shared(bytes.clone()));
    let chain = run(on, Chain::linked(vec![write.into(), Step::Close.into()])).await;
    if let Err((chain, error)) = outcome(chain) {
        if !is_closed(&chain.links) {
            // The first failure is the one to tell.
            let _ = one(on, Step::Close).await;
        }
        let _ = unlink(on, path).await;
        return Err(error);
    }
    Ok(())
}

/// Opens a file for writing and leaves it open.
pub(super) async fn open<P: Perform>(
    on: &mut P,
    path: &StorePath,
    mode: OpenMode,
) -> Result<(), DiskError> {
    let open = |how| Step::Open {
        path: path.clone(),
        how,
    };
    match mode {
        OpenMode::New => {
            let steps = || vec![open(How::New).into()];
            without_chain(below_directories(on, path, 0, steps).await)
        }
        OpenMode::NewDirect => {
            let steps = || vec![open(How::NewDirect).into()];
            match without_chain(below_directories(on, path, 0, steps).await) {
                Err(error) if error.errno == Errno::INVAL => {
                    // The file may have been made before the flag was refused.
                    let _ = unlink(on, path).await;
                    one(on, open(How::New)).await
                }
                result => result,
            }
        }
        OpenMode::Existing => open_existing(on, path).await,
        OpenMode::ExistingDirect => match one(on, open(How::WriteDirect)).await {
            Ok(()) => must_be(on, true).await,
            Err(error) if error.errno == Errno::INVAL => open_existing(on, path).await,
            Err(error) => Err(error),
        },
    }
}

/// Opens a file that exists for writing, if it is one.
pub(super) async fn open_existing<P: Perform>(
    on: &mut P,
    path: &StorePath,
) -> Result<(), DiskError> {
    let (path, how) = (path.clone(), How::Write);
    one(on, Step::Open { path, how }).await?;
    must_be_file(on).await
}

/// Closes the current file again if it is no regular one.
pub(super) async fn must_be_file<P: Perform>(on: &mut P) -> Result<(), DiskError> {
    must_be(on, false).await
}

async fn must_be<P: Perform>(on: &mut P, is_direct: bool) -> Result<(), DiskError> {
    let file = Handle::Current;
    let result = one(on, Step::MustBeFile { file, is_direct }).await;
    if result.is_err() {
        one(on, Step::Release).await?;
    }
    result
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
        let _ = unlink(on, path).await;
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

fn create_steps(path: &StorePath, bytes: &Bytes) -> Vec<Link> {
    let (path, how) = (path.clone(), How::New);
    let open = Step::Open { path, how };
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
        // If it stays, the store finds it among the incoming at its next start.
        let _ = unlink(on, path).await;
    }
}

/// What is told of a name that is taken: that the file exists, or that it is none.
pub(super) fn taken_by(kind: EntryKind) -> DiskError {
    DiskError {
        call: "open",
        errno: kind.must_be_file().err().unwrap_or(Errno::EXIST),
    }
}

/// Bytes of one write of zeros.
const ZEROS_LEN: usize = 1 << 20;
