//! What each operation means, in steps; the same for every engine that has a kernel under it.
//!
//! A program is an `async fn` over [`Perform`]. On the ring it is suspended while the kernel works;
//! in a thread of the pool it never is. The usual case of each operation is one chain, hence one
//! trip to the kernel; whatever a chain leaves undone (a step that was cut short or cancelled) is
//! then done step by step.

use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::beneath::How;
use super::files::Kept;
use super::step::{Chain, Chunk, Handle, Link, Perform, Step, Target};
use super::{
    Aligned, DiskError, Entry, EntryKind, Existing, ListCursor, OpenMode, Operation, Outcome,
    StorePath,
};

mod blocks;
mod chain;
mod copy;
mod create;
mod moves;
mod names;
mod read;

use chain::{answered, one, outcome, run};
use names::{below_directories, in_its_directory};

/// Performs an operation; `kept` is the file it names, if it names an open one.
///
/// An open that succeeds leaves the file as the current one. Everything else leaves none.
pub(crate) async fn perform<P: Perform>(
    mut operation: Operation,
    kept: Option<Kept>,
    on: &mut P,
) -> (Operation, Result<Outcome, DiskError>) {
    let is_direct = kept.as_ref().is_some_and(|kept| kept.is_direct);
    let kept = || {
        let kept = kept.as_ref().expect("the store opened the file it names");
        Handle::Kept(Arc::clone(&kept.file))
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
        Operation::Place { files } => Ok(Outcome::Placed(create::placed(on, files).await)),
        Operation::MoveDirectories {
            moves,
            prune,
            has_room,
        } => {
            let moved = moves::moved(on, moves, *prune, *has_room).await;
            Ok(Outcome::Moved(moved))
        }
        Operation::Preallocate { path, size } => {
            create::preallocated(on, path, *size).await.map(done)
        }
        Operation::MakeDirectories { path } => names::make_directories(on, path).await.map(done),
        Operation::Open { path, mode, .. } => create::open(on, path, *mode).await.map(done),
        Operation::WriteAt { offset, bytes, .. } => {
            let bytes = Chunk::Shared(bytes.clone());
            one(on, write(kept(), *offset, bytes)).await.map(done)
        }
        Operation::WriteBlocks { offset, bytes, .. } => {
            append(on, &kept(), *offset, bytes, AppendSync::None)
                .await
                .map(done)
        }
        Operation::Finish {
            blocks,
            writes,
            sync,
            ..
        } => finish(on, &kept(), blocks, writes, *sync).await.map(done),
        Operation::SyncFile { .. } => one(on, sync_data(kept())).await.map(done),
        Operation::Close { .. } => one(on, Step::Close).await.map(done),
        Operation::Append {
            offset,
            bytes,
            sync,
            ..
        } => {
            let how = match (*sync, is_direct) {
                (false, _) => AppendSync::None,
                (true, true) => AppendSync::Write,
                (true, false) => AppendSync::File,
            };
            append(on, &kept(), *offset, bytes, how).await.map(done)
        }
        Operation::Publish { source, target } => publish(on, source, target).await.map(done),
        Operation::Link { source, target } => names::link(on, source, target, 0).await.map(done),
        Operation::Replace {
            source,
            spare,
            target,
        } => names::replace(on, source, spare.as_ref(), target)
            .await
            .map(done),
        Operation::Copy { source, ranges, .. } => {
            copy::copy(on, source, &kept(), ranges).await.map(done)
        }
        Operation::SyncDirectories { paths } => sync_directories(on, paths).await.map(done),
        Operation::SyncFileSystem => one(on, Step::SyncFileSystem).await.map(done),
        Operation::Read { path, ranges } => read::read(on, path, ranges).await,
        Operation::Patch { path, writes, size } => {
            patch(on, path, writes, *size, false).await.map(done)
        }
        Operation::Seal { path, writes, size } => {
            patch(on, path, writes, Some(*size), true).await.map(done)
        }
        Operation::Remove { path, prune } => names::remove(on, path, *prune).await.map(done),
        Operation::RemoveDirectory { path, prune } => {
            names::remove_directory(on, path, *prune).await.map(done)
        }
        Operation::List { path } => list(on, path).await.map(Outcome::Listed),
        Operation::ListPage { path, after } => list_page(on, path, after).await,
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
    match (existing, unless) {
        (Existing::Refuse, None) => create::file(on, path, bytes).await,
        (Existing::Refuse, Some(unless)) => create::file_unless(on, path, bytes, unless).await,
        (Existing::Overwrite, None) => create::file_anew(on, path, bytes).await,
        (Existing::Overwrite, Some(unless)) => match names::examine(on, unless).await {
            Ok(kind) => Err(create::taken_by(kind)),
            Err(error) if error.errno == Errno::NOENT => create::file_anew(on, path, bytes).await,
            Err(error) => Err(error),
        },
    }
}

/// What makes an append durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AppendSync {
    None,
    /// The write itself: past the page cache it is one operation of the kernel's and one completion.
    Write,
    /// A sync behind it. A durable write through the page cache would be no cheaper, and on some
    /// file systems wait for more than its own bytes.
    File,
}

async fn append<P: Perform>(
    on: &mut P,
    file: &Handle,
    offset: u64,
    bytes: &mut Aligned,
    sync: AppendSync,
) -> Result<(), DiskError> {
    let step = Step::Write {
        file: file.clone(),
        offset,
        bytes: Chunk::Aligned(std::mem::take(bytes)),
        written: 0,
        is_durable: sync == AppendSync::Write,
    };
    let mut links = vec![step.into()];
    if sync == AppendSync::File {
        links.push(sync_data(file.clone()).into());
    }
    let mut chain = run(on, Chain::linked(links)).await;
    match &mut chain.links[0].step {
        Step::Write {
            bytes: Chunk::Aligned(buffer),
            ..
        } => *bytes = std::mem::take(buffer),
        _ => unreachable!("a step comes back as what it was"),
    }
    without_chain(outcome(chain))
}

/// How many of the directories above a share are to be made with it.
///
/// A share's bucket is nearly always new, and in a store of up to a million so is the directory
/// above it. The one above that is there after the first thousand; to make it all the same costs
/// 2 us of a hundred, and saves those a trip that fails. The topmost, `shares`, is there.
fn new_directories(share: &StorePath) -> usize {
    share.as_str().matches('/').count().saturating_sub(1)
}

async fn finish<P: Perform>(
    on: &mut P,
    file: &Handle,
    blocks: &mut Option<(u64, Aligned)>,
    writes: &[(u64, Bytes)],
    sync: bool,
) -> Result<(), DiskError> {
    if let Some((offset, bytes)) = blocks {
        append(on, file, *offset, bytes, AppendSync::None).await?;
    }
    let through = Step::MustBeFile {
        file: file.clone(),
        is_direct: false,
    };
    one(on, through).await?;
    let mut links: Vec<_> = writes
        .iter()
        .map(|(offset, bytes)| {
            let bytes = Chunk::Shared(bytes.clone());
            Link::from(write(file.clone(), *offset, bytes))
        })
        .collect();
    links.extend(sync.then(|| Link::from(sync_data(file.clone()))));
    without_chain(outcome(run(on, Chain::linked(links)).await))
}

async fn publish<P: Perform>(
    on: &mut P,
    source: &StorePath,
    target: &StorePath,
) -> Result<(), DiskError> {
    let new = new_directories(target);
    let rename = || {
        let rename = Step::Rename {
            source: source.clone(),
            target: target.clone(),
            existing: Target::Keep,
        };
        in_its_directory(target, rename)
    };
    let error = match below_directories(on, target, new, rename).await {
        Ok(_) => return Ok(()),
        Err((_, error)) => error,
    };
    match error.errno {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => {}
        Errno::EXIST => return Err(taken(on, target, error).await),
        _ => return Err(error),
    }
    // No RENAME_NOREPLACE here. A second name cannot replace one either.
    match names::link(on, source, target, new).await {
        Ok(()) => names::unlink(on, source).await,
        Err(error) if error.errno == Errno::EXIST => Err(taken(on, target, error).await),
        Err(error) => Err(error),
    }
}

/// Tells a file that has the name already from something that is no file.
async fn taken<P: Perform>(on: &mut P, target: &StorePath, error: DiskError) -> DiskError {
    match names::examine(on, target).await {
        Ok(EntryKind::File) | Err(_) => error,
        Ok(kind) => create::taken_by(kind),
    }
}

async fn sync_directories<P: Perform>(on: &mut P, paths: &[StorePath]) -> Result<(), DiskError> {
    for path in paths {
        let path = path.clone();
        let how = How::Directory;
        let open = Step::Open { path, how };
        let sync = Step::Sync {
            file: Handle::Current,
            data_only: false,
        };
        let links = vec![open.into(), sync.into(), Step::Close.into()];
        let chain = run(on, Chain::linked(links)).await;
        whole_or_closed(on, chain).await?;
    }
    Ok(())
}

async fn patch<P: Perform>(
    on: &mut P,
    path: &StorePath,
    writes: &[(u64, Bytes)],
    size: Option<u64>,
    sync: bool,
) -> Result<(), DiskError> {
    let split;
    let (large, rest) = match on.writes_directly() {
        true => {
            split = blocks::split(writes);
            (&split.large[..], &split.rest[..])
        }
        false => (&[][..], writes),
    };
    if large.is_empty() {
        create::open_existing(on, path).await?;
    } else {
        create::open(on, path, OpenMode::ExistingDirect).await?;
        if let Err(error) = blocks::write_all(on, large).await {
            // The first failure is the one to tell.
            let _ = one(on, Step::Close).await;
            return Err(error);
        }
    }
    let file = Handle::Current;
    let mut links = Vec::with_capacity(rest.len() + 3);
    links.extend(rest.iter().map(|(offset, bytes)| {
        let bytes = Chunk::Shared(bytes.clone());
        Link::from(write(file.clone(), *offset, bytes))
    }));
    links.extend(size.map(|size| Link::from(Step::Resize { file, size })));
    // Behind a resize that failed, which does not end a chain on the ring, a sync does no harm.
    links.extend(sync.then(|| Link::from(sync_data(Handle::Current))));
    links.push(Step::Close.into());
    let chain = run(on, Chain::linked(links)).await;
    match outcome(chain) {
        Ok(_) => Ok(()),
        Err((chain, error)) => {
            if !is_closed(&chain.links) {
                // The first failure is the one to tell.
                let _ = one(on, Step::Close).await;
            }
            Err(error)
        }
    }
}

async fn list<P: Perform>(on: &mut P, path: &StorePath) -> Result<Vec<Entry>, DiskError> {
    let step = Step::List {
        path: path.clone(),
        entries: Vec::new(),
    };
    match answered(on, step).await? {
        (_, Step::List { entries, .. }) => Ok(entries),
        _ => unreachable!("a step comes back as what it was"),
    }
}

async fn list_page<P: Perform>(
    on: &mut P,
    path: &StorePath,
    after: &ListCursor,
) -> Result<Outcome, DiskError> {
    let step = Step::ListPage {
        path: path.clone(),
        after: after.clone(),
        page: (Vec::new(), None),
    };
    match answered(on, step).await? {
        (_, Step::ListPage { page, .. }) => {
            let (entries, next) = page;
            Ok(Outcome::Page { entries, next })
        }
        _ => unreachable!("a step comes back as what it was"),
    }
}

async fn free_space<P: Perform>(on: &mut P) -> Result<Outcome, DiskError> {
    match answered(on, Step::FreeSpace { space: None }).await? {
        (_, Step::FreeSpace { space: Some(space) }) => Ok(Outcome::Space(space)),
        _ => unreachable!("a step that succeeded has its answer"),
    }
}

/// The outcome of a chain from open to close; closes the file if the chain did not come to that.
async fn whole_or_closed<P: Perform>(on: &mut P, chain: Chain) -> Result<(), DiskError> {
    let Err((chain, error)) = outcome(chain) else {
        return Ok(());
    };
    if is_left_open(&chain.links) {
        // The first failure is the one to tell.
        let _ = one(on, Step::Close).await;
    }
    Err(error)
}

/// Whether links that begin with an open left the file open.
fn is_left_open(links: &[Link]) -> bool {
    matches!(links[0].result, Some(Ok(_))) && !is_closed(links)
}

/// Whether the current file was closed by one of these links.
fn is_closed(links: &[Link]) -> bool {
    let mut closes = links.iter().filter(|link| matches!(link.step, Step::Close));
    closes.any(|link| link.result.is_some())
}

fn without_chain(result: Result<Chain, (Chain, DiskError)>) -> Result<(), DiskError> {
    match result {
        Ok(_) => Ok(()),
        Err((_, error)) => Err(error),
    }
}

fn write(file: Handle, offset: u64, bytes: Chunk) -> Step {
    Step::Write {
        file,
        offset,
        bytes,
        written: 0,
        is_durable: false,
    }
}

fn sync_data(file: Handle) -> Step {
    Step::Sync {
        file,
        data_only: true,
    }
}
