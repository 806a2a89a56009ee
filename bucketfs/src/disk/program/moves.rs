//! Directories that are given other names, each with all that is in it.
//!
//! A directory that cannot be moved stays where it is; which of the two is looked at, and not taken
//! from what a failed call says.

use rustix::io::Errno;

use super::super::step::{Perform, Step, Target};
use super::super::{DiskError, EntryKind, Move, Moved, StorePath};
use super::chain::one;
use super::names::{above, below_directories, examine, in_its_directory};

/// Moves directories, each by itself.
pub(super) async fn moved<P: Perform>(
    on: &mut P,
    moves: &[Move],
    prune: u8,
    has_room: bool,
) -> Vec<Result<Moved, DiskError>> {
    let mut results = Vec::with_capacity(moves.len());
    for one in moves {
        results.push(move_one(on, one, prune, has_room).await);
    }
    results
}

async fn move_one<P: Perform>(
    on: &mut P,
    Move { source, target }: &Move,
    prune: u8,
    has_room: bool,
) -> Result<Moved, DiskError> {
    if !is_directory(on, source).await? {
        return Ok(Moved::NotThere);
    }
    if !has_room {
        let (call, errno) = ("mkdir", Errno::NOSPC);
        return Ok(Moved::Stays(DiskError { call, errno }));
    }
    // An empty directory in its place gives way, anything else does not.
    let rename = || {
        let rename = Step::Rename {
            source: source.clone(),
            target: target.clone(),
            existing: Target::Replace,
        };
        in_its_directory(target, rename)
    };
    if let Err((_, refused)) = below_directories(on, target, 0, rename).await {
        return match is_directory(on, source).await? {
            true => Ok(Moved::Stays(refused)),
            false => Err(refused),
        };
    }
    // The way to these was looked at with the source.
    for path in above(source).take(usize::from(prune)) {
        if one(on, Step::RemoveDirectory { path }).await.is_err() {
            break;
        }
    }
    Ok(Moved::Moved)
}

/// Whether a directory is there. What else may be there, or on the way, is none.
async fn is_directory<P: Perform>(on: &mut P, path: &StorePath) -> Result<bool, DiskError> {
    match examine(on, path).await {
        Ok(kind) => Ok(kind == EntryKind::Directory),
        Err(error) if error.errno == Errno::NOENT || error.is_foreign() => Ok(false),
        Err(error) => Err(error),
    }
}
