//! Names made in directories that may have to be made first.

use rustix::io::Errno;

use super::super::step::{Chain, Link, Perform, Step, Target};
use super::super::{DiskError, EntryKind, StorePath};
use super::chain::{answered, one, outcome, run};

/// Makes a name, and those of the directories above that are missing.
///
/// `steps` begin with the one that makes the name `path`. The `expected` directories above it that
/// are probably missing are made in the same chain; the others only if it turns out that they are.
/// A directory that somebody removes meanwhile is made again, a bounded number of times.
pub(super) async fn below_directories<P: Perform>(
    on: &mut P,
    path: &StorePath,
    expected: usize,
    steps: impl Fn() -> Vec<Link>,
) -> Result<Chain, (Chain, DiskError)> {
    let mut above: Vec<_> = above(path).collect();
    above.reverse();
    let mut made = &above[above.len().saturating_sub(expected)..];
    for attempt in 0.. {
        let makes = made.iter().cloned().map(make);
        let links = makes.chain(steps()).collect();
        let mut ran = run(on, Chain::linked(links)).await;
        ran.links.drain(..made.len());
        let ran = match outcome(ran) {
            Err((ran, error)) if error.errno == Errno::NOENT && attempt < ATTEMPTS_MAX => ran,
            result => return result,
        };
        if attempt == 0 {
            made = &above;
            continue;
        }
        // In a chain a directory that cannot be made goes unnoticed, and the reason with it.
        if let Err(refused) = make_each(on, &above).await {
            return Err((ran, refused));
        }
    }
    unreachable!("attempts are bounded")
}

/// Makes directories one by one, the topmost first, where they are missing.
async fn make_each<P: Perform>(on: &mut P, paths: &[StorePath]) -> Result<(), DiskError> {
    for path in paths {
        let path = path.clone();
        match one(on, Step::MakeDirectory { path }).await {
            Err(error) if !matches!(error.errno, Errno::EXIST | Errno::NOENT) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes directories, as `mkdir -p`.
pub(super) async fn make_directories<P: Perform>(
    on: &mut P,
    path: &StorePath,
) -> Result<(), DiskError> {
    let step = || Step::MakeDirectory { path: path.clone() };
    let made = below_directories(on, path, 0, || vec![step().into()]).await;
    match made {
        Ok(_) => Ok(()),
        Err((_, error)) if error.errno == Errno::EXIST => must_be_directory(on, path, error).await,
        Err((_, error)) => Err(error),
    }
}

async fn must_be_directory<P: Perform>(
    on: &mut P,
    path: &StorePath,
    error: DiskError,
) -> Result<(), DiskError> {
    match examine(on, path).await? {
        EntryKind::File => Err(error),
        // A symbolic link may lead to one; an operator may have moved the shares to another disk.
        EntryKind::Directory | EntryKind::Other => Ok(()),
    }
}

/// What a name names.
pub(super) async fn examine<P: Perform>(
    on: &mut P,
    path: &StorePath,
) -> Result<EntryKind, DiskError> {
    let path = path.clone();
    match answered(on, Step::Examine { path, kind: None }).await? {
        (
            _,
            Step::Examine {
                kind: Some(kind), ..
            },
        ) => Ok(kind),
        _ => unreachable!("a step that succeeded has its answer"),
    }
}

/// Removes a file, and then the directories above it as far as they are empty.
pub(super) async fn remove<P: Perform>(
    on: &mut P,
    path: &StorePath,
    prune: u8,
) -> Result<(), DiskError> {
    one(on, Step::Unlink { path: path.clone() }).await?;
    for path in above(path).take(usize::from(prune)) {
        if one(on, Step::RemoveDirectory { path }).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Gives a file the name of another, which is replaced; with `spare` it keeps its own.
pub(super) async fn replace<P: Perform>(
    on: &mut P,
    source: &StorePath,
    spare: Option<&StorePath>,
    target: &StorePath,
) -> Result<(), DiskError> {
    if let Some(spare) = spare {
        second_name(on, source, spare).await?;
    }
    let renamed = spare.unwrap_or(source);
    let rename = || {
        let rename = Step::Rename {
            source: renamed.clone(),
            target: target.clone(),
            existing: Target::Replace,
        };
        vec![rename.into()]
    };
    match below_directories(on, target, 0, rename).await {
        Ok(_) => Ok(()),
        Err((_, error)) => Err(error),
    }
}

/// Gives a file a second name, taking it from whatever has it.
async fn second_name<P: Perform>(
    on: &mut P,
    source: &StorePath,
    spare: &StorePath,
) -> Result<(), DiskError> {
    let link = || Step::Link {
        source: source.clone(),
        target: spare.clone(),
    };
    match one(on, link()).await {
        Err(error) if error.errno == Errno::EXIST => {
            let path = spare.clone();
            one(on, Step::Unlink { path }).await?;
            one(on, link()).await
        }
        result => result,
    }
}

/// The directories above a path, the nearest first; the store directory is always there.
fn above(path: &StorePath) -> impl Iterator<Item = StorePath> {
    std::iter::successors(path.parent(), StorePath::parent).take_while(|path| !path.is_root())
}

fn make(path: StorePath) -> Link {
    Link::optional(Step::MakeDirectory { path })
}

/// How often a name is tried that other operations take the directory away from.
const ATTEMPTS_MAX: usize = 3;
