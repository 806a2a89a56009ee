//! Names made and taken away, in directories that may have to be made first.
//!
//! A directory is entered before something in it is named: so no symbolic link is followed.

use rustix::io::Errno;

use super::super::step::{Chain, Link, Perform, Step, Target};
use super::super::{DiskError, EntryKind, StorePath};
use super::chain::{answered, one, outcome, run};

/// Makes a name, and those of the directories above that are missing.
///
/// `steps` make the name `path`, and enter its directory first unless they open it. The `expected`
/// directories above it that are probably missing are made in the same chain; the others only if it
/// turns out that they are.
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
        let mut links: Vec<_> = made.iter().flat_map(make).collect();
        let makes = links.len();
        links.extend(steps());
        let without_makes = |mut ran: Chain| {
            ran.links.drain(..makes);
            ran
        };
        let ran = match outcome(run(on, Chain::linked(links)).await) {
            Ok(ran) => return Ok(without_makes(ran)),
            Err((ran, error)) => match error.errno {
                Errno::NOENT if attempt < ATTEMPTS_MAX => without_makes(ran),
                _ => return Err((without_makes(ran), error)),
            },
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
        match each(on, make(path)).await {
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
    let made = below_directories(on, path, 0, || in_its_directory(path, step())).await;
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
        EntryKind::Directory => Ok(()),
        EntryKind::File => Err(error),
        EntryKind::Other => Err(DiskError {
            errno: Errno::NOTDIR,
            ..error
        }),
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
    unlink(on, path).await?;
    self::prune(on, path, prune).await;
    Ok(())
}

/// Removes an empty directory, and then those above it as far as they are empty.
pub(super) async fn remove_directory<P: Perform>(
    on: &mut P,
    path: &StorePath,
    prune: u8,
) -> Result<(), DiskError> {
    let step = Step::RemoveDirectory { path: path.clone() };
    each(on, in_its_directory(path, step)).await?;
    self::prune(on, path, prune).await;
    Ok(())
}

/// Removes directories above a name that has gone.
async fn prune<P: Perform>(on: &mut P, path: &StorePath, prune: u8) {
    // The way to these was looked at just now, when the name's own directory was entered.
    for path in above(path).take(usize::from(prune)) {
        if one(on, Step::RemoveDirectory { path }).await.is_err() {
            break;
        }
    }
}

/// Takes a file's name away.
pub(super) async fn unlink<P: Perform>(on: &mut P, path: &StorePath) -> Result<(), DiskError> {
    let step = Step::Unlink { path: path.clone() };
    each(on, in_its_directory(path, step)).await
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
        in_its_directory(target, rename)
    };
    match below_directories(on, target, 0, rename).await {
        Ok(_) => Ok(()),
        Err((_, error)) => Err(error),
    }
}

/// Gives what is no directory a second name; `expected` directories above it are probably missing.
pub(super) async fn link<P: Perform>(
    on: &mut P,
    source: &StorePath,
    target: &StorePath,
    expected: usize,
) -> Result<(), DiskError> {
    let link = || {
        let (source, target) = (source.clone(), target.clone());
        let step = Step::Link {
            source,
            target: target.clone(),
        };
        in_its_directory(&target, step)
    };
    match below_directories(on, target, expected, link).await {
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
    let link = || {
        let (source, target) = (source.clone(), spare.clone());
        in_its_directory(spare, Step::Link { source, target })
    };
    match each(on, link()).await {
        Err(error) if error.errno == Errno::EXIST => {
            unlink(on, spare).await?;
            each(on, link()).await
        }
        result => result,
    }
}

/// The directories above a path, the nearest first; the store directory is always there.
pub(super) fn above(path: &StorePath) -> impl Iterator<Item = StorePath> {
    std::iter::successors(path.parent(), StorePath::parent).take_while(|path| !path.is_root())
}

/// A step that names `path`, behind one that enters the directory it is in.
pub(super) fn in_its_directory(path: &StorePath, step: impl Into<Link>) -> Vec<Link> {
    let directory = path.parent().filter(|directory| !directory.is_root());
    let enter = directory.map(|directory| Link::from(Step::Enter { directory }));
    enter.into_iter().chain([step.into()]).collect()
}

/// Makes a directory; that it cannot be made does not end the chain.
fn make(path: &StorePath) -> Vec<Link> {
    let path_made = path.clone();
    in_its_directory(
        path,
        Link::optional(Step::MakeDirectory { path: path_made }),
    )
}

/// Runs steps to the first that fails, optional or not.
async fn each<P: Perform>(on: &mut P, links: Vec<Link>) -> Result<(), DiskError> {
    let chain = run(on, Chain::linked(links)).await;
    chain
        .links
        .iter()
        .find_map(Link::failure)
        .map_or(Ok(()), Err)
}

/// How often a name is tried that other operations take the directory away from.
const ATTEMPTS_MAX: usize = 3;
