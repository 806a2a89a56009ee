//! What each operation means, in steps; the same for every engine that has a kernel under it.
//!
//! A program is an `async fn` over [`Perform`]. On the ring it is suspended while the kernel works;
//! in a thread of the pool it never is. The usual case of each operation is one chain, hence one
//! trip to the kernel; whatever a chain leaves undone (a step that was cut short or cancelled) is
//! then done step by step.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::step::{Chain, Chunk, Handle, Link, Order, Perform, Step};
use super::{ByteRange, Entry, EntryKind, Existing, OpenMode, Operation, Outcome, StorePath};
use crate::error::DiskError;

/// Performs an operation; `kept` is the file it names, if it names an open one.
///
/// An open that succeeds leaves the file as the current one. Everything else leaves none.
pub(crate) async fn perform<P: Perform>(
    mut operation: Operation,
    kept: Option<Arc<OwnedFd>>,
    on: &mut P,
) -> (Operation, Result<Outcome, DiskError>) {
    let kept = || {
        let file = kept.as_ref().expect("the store opened the file it names");
        Handle::Kept(Arc::clone(file))
    };
    let done = |()| Outcome::Done;
    let result = match &mut operation {
        Operation::CreateFile {
            path,
            bytes,
            existing,
            unless,
        } => create_file(on, path, bytes, *existing, unless.as_ref())
            .await
            .map(done),
        Operation::Preallocate { path, size } => preallocate(on, path, *size).await.map(done),
        Operation::MakeDirectories { path } => make_directories(on, path).await.map(done),
        Operation::Open { path, mode, .. } => open(on, path, *mode).await.map(done),
        Operation::WriteAt { offset, bytes, .. } => {
            let bytes = Chunk::Shared(bytes.clone());
            one(on, write(kept(), *offset, bytes)).await.1.map(done)
        }
        Operation::SyncFile { .. } => one(on, sync_data(kept())).await.1.map(done),
        Operation::Close { .. } => one(on, Step::Close).await.1.map(done),
        Operation::Append {
            offset,
            bytes,
            sync,
            ..
        } => append(on, &kept(), *offset, bytes, *sync).await.map(done),
        Operation::Publish { source, target } => publish(on, source, target).await.map(done),
        Operation::SyncDirectories { paths } => sync_directories(on, paths).await.map(done),
        Operation::SyncFileSystem => one(on, Step::SyncFileSystem).await.1.map(done),
        Operation::Read { path, ranges } => read(on, path, ranges).await,
        Operation::Patch { path, writes, size } => patch(on, path, writes, *size).await.map(done),
        Operation::Remove { path, prune } => remove(on, path, *prune).await.map(done),
        Operation::List { path } => list(on, path).await.map(Outcome::Listed),
        Operation::FreeSpace => free_space(on).await,
    };
    (operation, result)
}

async fn create_file<P: Perform>(
    on: &mut P,
    path: &StorePath,
    bytes: &Bytes,
    existing: Existing,
    unless: Option<&StorePath>,
) -> Result<(), DiskError> {
    if let Some(unless) = unless {
        must_not_exist(on, unless).await?;
    }
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | match existing {
            Existing::Refuse => OFlags::EXCL,
            Existing::Overwrite => OFlags::TRUNC,
        };
    let result = below_directories(on, path, || {
        let bytes = Chunk::Shared(bytes.clone());
        let open = Step::Open {
            path: path.clone(),
            flags,
        };
        Chain::linked(vec![open, write(Handle::Current, 0, bytes), Step::Close])
    })
    .await;
    match result {
        Ok(_) => Ok(()),
        Err((chain, error)) => {
            undo_new_file(on, path, &chain).await;
            Err(error)
        }
    }
}

async fn preallocate<P: Perform>(on: &mut P, path: &StorePath, size: u64) -> Result<(), DiskError> {
    open(on, path, OpenMode::New).await?;
    let result = fill_with_zeros(on, size).await;
    finish_new_file(on, path, result).await
}

/// Allocates the current file's space, then writes it.
///
/// Space that is only allocated is marked so in its extents, and the first write to each part
/// changes that mark: every sync of the journal would then wait for a commit of the file system's
/// own journal, with all the unrelated changes in it. Written once, later writes change data only.
async fn fill_with_zeros<P: Perform>(on: &mut P, size: u64) -> Result<(), DiskError> {
    allocate(on, size).await?;
    let zeros = Bytes::from(vec![0; ZEROS_LEN]);
    let mut offset = 0;
    while offset < size {
        let len = usize::try_from(size - offset).map_or(ZEROS_LEN, |left| left.min(ZEROS_LEN));
        let bytes = Chunk::Shared(zeros.slice(..len));
        one(on, write(Handle::Current, offset, bytes)).await.1?;
        offset += lafs::num::size(len);
    }
    Ok(())
}

/// Allocates space for the current file in few extents, if the file system can.
async fn allocate<P: Perform>(on: &mut P, size: u64) -> Result<(), DiskError> {
    let step = Step::Allocate {
        file: Handle::Current,
        size,
    };
    match one(on, step).await.1 {
        Err(error) if matches!(error.errno, Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        result => result,
    }
}

async fn open<P: Perform>(on: &mut P, path: &StorePath, mode: OpenMode) -> Result<(), DiskError> {
    let open = |flags| Step::Open {
        path: path.clone(),
        flags,
    };
    match mode {
        OpenMode::New => below_directories(on, path, || Chain::linked(vec![open(NEW_FILE)]))
            .await
            .map(|_| ())
            .map_err(|(_, error)| error),
        OpenMode::Existing => one(on, open(OFlags::WRONLY | OFlags::NOFOLLOW)).await.1,
    }
}

async fn append<P: Perform>(
    on: &mut P,
    file: &Handle,
    offset: u64,
    bytes: &mut Vec<u8>,
    sync: bool,
) -> Result<(), DiskError> {
    let mut steps = vec![write(
        file.clone(),
        offset,
        Chunk::Own(std::mem::take(bytes)),
    )];
    if sync {
        steps.push(sync_data(file.clone()));
    }
    let mut chain = run(on, Chain::linked(steps)).await;
    if let Step::Write {
        bytes: Chunk::Own(buffer),
        ..
    } = &mut chain.links[0].step
    {
        *bytes = std::mem::take(buffer);
    }
    outcome(chain).map(|_| ()).map_err(|(_, error)| error)
}

async fn publish<P: Perform>(
    on: &mut P,
    source: &StorePath,
    target: &StorePath,
) -> Result<(), DiskError> {
    let result = below_new_directory(on, target, || Step::Rename {
        source: source.clone(),
        target: target.clone(),
    })
    .await;
    let Err(error) = result else { return Ok(()) };
    if !matches!(error.errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) {
        return Err(error);
    }
    // No RENAME_NOREPLACE here. A second name cannot replace one either.
    below_new_directory(on, target, || Step::Link {
        source: source.clone(),
        target: target.clone(),
    })
    .await?;
    let unlink = Step::Unlink {
        path: source.clone(),
    };
    one(on, unlink).await.1
}

async fn sync_directories<P: Perform>(on: &mut P, paths: &[StorePath]) -> Result<(), DiskError> {
    for path in paths {
        let open = Step::Open {
            path: path.clone(),
            flags: OFlags::RDONLY | OFlags::DIRECTORY,
        };
        let sync = Step::Sync {
            file: Handle::Current,
            data_only: false,
        };
        let chain = run(on, Chain::linked(vec![open, sync, Step::Close])).await;
        whole_or_closed(on, chain).await?;
    }
    Ok(())
}

async fn read<P: Perform>(
    on: &mut P,
    path: &StorePath,
    ranges: &[ByteRange],
) -> Result<Outcome, DiskError> {
    let open = Step::Open {
        path: path.clone(),
        flags: OFlags::RDONLY | OFlags::NOFOLLOW,
    };
    one(on, open).await.1?;
    let result = read_current(on, ranges).await;
    one(on, Step::Release).await.1?;
    result
}

async fn read_current<P: Perform>(on: &mut P, ranges: &[ByteRange]) -> Result<Outcome, DiskError> {
    let step = Step::Size {
        file: Handle::Current,
    };
    let (size, _) = counted(on, step).await?;
    let mut pieces = vec![Vec::new(); ranges.len()];
    let mut wanted = ranges
        .iter()
        .zip(&mut pieces)
        .filter(|(range, _)| range.offset < size && range.len > 0);
    loop {
        let mut targets = Vec::with_capacity(CHAIN_LEN_MAX);
        let mut steps = Vec::with_capacity(CHAIN_LEN_MAX);
        for (range, piece) in wanted.by_ref().take(CHAIN_LEN_MAX) {
            steps.push(read_step(*range, size));
            targets.push(piece);
        }
        if steps.is_empty() {
            break;
        }
        let chain = run(on, Chain::together(steps)).await;
        for (link, piece) in chain.links.into_iter().zip(targets) {
            *piece = read_rest(on, link).await?;
        }
    }
    Ok(Outcome::Read { size, pieces })
}

/// Reads what a short read left, until the bytes are there or the file ends after all.
async fn read_rest<P: Perform>(on: &mut P, mut link: Link) -> Result<Vec<u8>, DiskError> {
    loop {
        let call = link.step.call();
        let count = link.result.expect("a chain that was run has results");
        let count = count.map_err(|errno| DiskError { call, errno })?;
        let Step::Read {
            file,
            offset,
            buffer,
            len,
        } = link.step
        else {
            unreachable!("only reads were asked for")
        };
        let read = usize::try_from(count).expect("no more than was asked for");
        if read == 0 || read == len {
            return Ok(buffer);
        }
        link = Link::new(Step::Read {
            file,
            offset: offset + count,
            buffer,
            len: len - read,
        });
        link = finish(on, link).await;
    }
}

fn read_step(range: ByteRange, size: u64) -> Step {
    let left = size.saturating_sub(range.offset);
    let len = usize::try_from(left).map_or(range.len, |left| left.min(range.len));
    Step::Read {
        file: Handle::Current,
        offset: range.offset,
        buffer: Vec::with_capacity(len),
        len,
    }
}

async fn patch<P: Perform>(
    on: &mut P,
    path: &StorePath,
    writes: &[(u64, Bytes)],
    size: Option<u64>,
) -> Result<(), DiskError> {
    let mut steps = vec![Step::Open {
        path: path.clone(),
        flags: OFlags::WRONLY | OFlags::NOFOLLOW,
    }];
    for (offset, bytes) in writes {
        steps.push(write(
            Handle::Current,
            *offset,
            Chunk::Shared(bytes.clone()),
        ));
    }
    if let Some(size) = size {
        steps.push(Step::Resize {
            file: Handle::Current,
            size,
        });
    }
    steps.push(Step::Close);
    let chain = run(on, Chain::linked(steps)).await;
    whole_or_closed(on, chain).await
}

async fn remove<P: Perform>(on: &mut P, path: &StorePath, prune: u8) -> Result<(), DiskError> {
    let unlink = Step::Unlink { path: path.clone() };
    one(on, unlink).await.1?;
    let above = std::iter::successors(path.parent(), StorePath::parent);
    for path in above.take(usize::from(prune)) {
        if one(on, Step::RemoveDirectory { path }).await.1.is_err() {
            break;
        }
    }
    Ok(())
}

async fn list<P: Perform>(on: &mut P, path: &StorePath) -> Result<Vec<Entry>, DiskError> {
    let step = Step::List {
        path: path.clone(),
        entries: Vec::new(),
    };
    let (_, step) = counted(on, step).await?;
    let Step::List { entries, .. } = step else {
        unreachable!("a step comes back as what it was")
    };
    Ok(entries)
}

async fn free_space<P: Perform>(on: &mut P) -> Result<Outcome, DiskError> {
    let (_, step) = counted(on, Step::FreeSpace { space: None }).await?;
    let Step::FreeSpace { space: Some(space) } = step else {
        unreachable!("a step that succeeded has its answer")
    };
    Ok(Outcome::Space(space))
}

async fn make_directories<P: Perform>(on: &mut P, path: &StorePath) -> Result<(), DiskError> {
    let mut missing = vec![path.clone()];
    let mut attempts = 0;
    while let Some(path) = missing.pop() {
        let step = Step::MakeDirectory { path: path.clone() };
        let Err(error) = one(on, step).await.1 else {
            continue;
        };
        attempts += 1;
        match (error.errno, path.parent()) {
            // A concurrent removal may take a directory away again while we make the next.
            (Errno::NOENT, Some(parent)) if attempts < ATTEMPTS_MAX => {
                missing.push(path);
                missing.push(parent);
            }
            (Errno::EXIST, _) => must_be_directory(on, path, error).await?,
            _ => return Err(error),
        }
    }
    Ok(())
}

async fn must_be_directory<P: Perform>(
    on: &mut P,
    path: StorePath,
    error: DiskError,
) -> Result<(), DiskError> {
    let kind = None;
    match counted(on, Step::Examine { path, kind }).await? {
        (
            _,
            Step::Examine {
                kind: Some(EntryKind::File),
                ..
            },
        ) => Err(error),
        _ => Ok(()),
    }
}

async fn must_not_exist<P: Perform>(on: &mut P, path: &StorePath) -> Result<(), DiskError> {
    let path = path.clone();
    let (step, result) = one(on, Step::Examine { path, kind: None }).await;
    match result {
        Ok(()) => Err(DiskError {
            call: step.call(),
            errno: Errno::EXIST,
        }),
        Err(error) if error.errno == Errno::NOENT => Ok(()),
        Err(error) => Err(error),
    }
}

/// Runs a chain that begins by making the name `path`; makes the directories above if they miss.
async fn below_directories<P: Perform>(
    on: &mut P,
    path: &StorePath,
    chain: impl Fn() -> Chain,
) -> Result<Chain, (Chain, DiskError)> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let (ran, error) = match outcome(run(on, chain()).await) {
            Err((ran, error)) if error.errno == Errno::NOENT && attempts < ATTEMPTS_MAX => {
                (ran, error)
            }
            result => return result,
        };
        let Some(parent) = path.parent() else {
            return Err((ran, error));
        };
        if let Err(error) = make_directories(on, &parent).await {
            return Err((ran, error));
        }
    }
}

/// Makes the name `path` in a directory that is probably new: a bucket usually is.
async fn below_new_directory<P: Perform>(
    on: &mut P,
    path: &StorePath,
    step: impl Fn() -> Step,
) -> Result<(), DiskError> {
    let parent = path.parent().expect("a share is in a directory");
    let make = Step::MakeDirectory {
        path: parent.clone(),
    };
    let chain = Chain::linked(vec![make, step()]).optional_first();
    let Err((_, error)) = outcome(run(on, chain).await) else {
        return Ok(());
    };
    if error.errno != Errno::NOENT {
        return Err(error);
    }
    below_directories(on, path, || Chain::linked(vec![step()]))
        .await
        .map(|_| ())
        .map_err(|(_, error)| error)
}

/// Closes the current file, and removes it if it is new and came to nothing.
async fn finish_new_file<P: Perform>(
    on: &mut P,
    path: &StorePath,
    result: Result<(), DiskError>,
) -> Result<(), DiskError> {
    let closed = one(on, Step::Close).await.1;
    let result = result.and(closed);
    if result.is_err() {
        let path = path.clone();
        let _ = one(on, Step::Unlink { path }).await;
    }
    result
}

/// Removes a file whose chain (open, write, close) failed after the open.
async fn undo_new_file<P: Perform>(on: &mut P, path: &StorePath, chain: &Chain) {
    if !matches!(chain.links[0].result, Some(Ok(_))) {
        return;
    }
    if chain
        .links
        .last()
        .is_some_and(|close| close.result.is_none())
    {
        let _ = one(on, Step::Close).await;
    }
    let path = path.clone();
    let _ = one(on, Step::Unlink { path }).await;
}

/// The outcome of a chain from open to close; closes the file if the chain did not come to that.
async fn whole_or_closed<P: Perform>(on: &mut P, chain: Chain) -> Result<(), DiskError> {
    let Err((chain, error)) = outcome(chain) else {
        return Ok(());
    };
    let opened = matches!(chain.links[0].result, Some(Ok(_)));
    let closed = chain
        .links
        .last()
        .is_some_and(|close| close.result.is_some());
    if opened && !closed {
        let _ = one(on, Step::Close).await;
    }
    Err(error)
}

fn write(file: Handle, offset: u64, bytes: Chunk) -> Step {
    Step::Write {
        file,
        offset,
        bytes,
        written: 0,
    }
}

fn sync_data(file: Handle) -> Step {
    Step::Sync {
        file,
        data_only: true,
    }
}

/// Runs a single step to its end.
async fn one<P: Perform>(on: &mut P, step: Step) -> (Step, Result<(), DiskError>) {
    let mut chain = run(on, Chain::linked(vec![step])).await;
    let link = chain.links.pop().expect("a chain keeps its links");
    let call = link.step.call();
    let result = link.result.expect("a chain that was run has results");
    let result = result
        .map(|_| ())
        .map_err(|errno| DiskError { call, errno });
    (link.step, result)
}

/// Runs a single step and gives the number it returned.
async fn counted<P: Perform>(on: &mut P, step: Step) -> Result<(u64, Step), DiskError> {
    let mut chain = run(on, Chain::linked(vec![step])).await;
    let link = chain.links.pop().expect("a chain keeps its links");
    let call = link.step.call();
    let count = link.result.expect("a chain that was run has results");
    let count = count.map_err(|errno| DiskError { call, errno })?;
    Ok((count, link.step))
}

/// Runs a chain to its end: what the engine leaves undone is then asked for step by step.
///
/// Afterwards every step up to the one that failed has its result, and writes are whole.
async fn run<P: Perform>(on: &mut P, mut chain: Chain) -> Chain {
    let order = chain.order;
    let sound = chain.links.iter().take(CHAIN_LEN_MAX);
    let sound = sound
        .take_while(|link| !link.step.is_beyond_files())
        .count();
    let rest = chain.links.split_off(sound);
    let mut ran = match sound {
        0 => chain,
        _ => on.run(chain).await,
    };
    let links = std::mem::take(&mut ran.links);
    let mut severed = false;
    for link in links.into_iter().chain(rest) {
        let link = if severed {
            link
        } else {
            finish(on, link).await
        };
        let failed = !matches!(link.result, Some(Ok(_)));
        severed |= failed && !link.optional && order == Order::Linked;
        ran.links.push(link);
    }
    ran
}

/// The first failure of a chain that was run, with the chain.
fn outcome(chain: Chain) -> Result<Chain, (Chain, DiskError)> {
    let failed = chain.links.iter().find_map(|link| match link.result {
        Some(Err(errno)) if !link.optional => {
            let call = link.step.call();
            Some(DiskError { call, errno })
        }
        _ => None,
    });
    match failed {
        None => Ok(chain),
        Some(error) => Err((chain, error)),
    }
}

/// Asks for a step again until it has succeeded or failed for good.
async fn finish<P: Perform>(on: &mut P, mut link: Link) -> Link {
    if link.step.is_beyond_files() {
        link.result = Some(Err(Errno::INVAL));
        return link;
    }
    let mut attempts = 0;
    while attempts < ATTEMPTS_MAX {
        match link.result {
            None | Some(Err(Errno::INTR | Errno::AGAIN | Errno::CANCELED)) => attempts += 1,
            Some(Ok(count)) if link.step.advance(count) => attempts += usize::from(count == 0),
            Some(_) => return link,
        }
        link = again(on, link).await;
    }
    link.result = Some(Err(Errno::IO));
    link
}

async fn again<P: Perform>(on: &mut P, mut link: Link) -> Link {
    link.result = None;
    let links = vec![link];
    let order = Order::Linked;
    let mut chain = on.run(Chain { links, order }).await;
    chain.links.pop().expect("a chain keeps its links")
}

/// For [`Operation::Open`] and [`Operation::Preallocate`].
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW);

/// Most steps given to the kernel at once, which bounds what a flight takes of the rings.
pub(crate) const CHAIN_LEN_MAX: usize = 8;

/// How often a step is tried again that a signal or another operation got in the way of.
const ATTEMPTS_MAX: usize = 16;

/// Bytes of one write of zeros.
const ZEROS_LEN: usize = 1 << 20;
