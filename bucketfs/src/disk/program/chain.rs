//! Chains run to their end, whatever an engine leaves undone.

use rustix::io::Errno;

use super::super::DiskError;
use super::super::step::{Chain, Link, Order, Perform, Step};

/// Runs a chain to its end: what the engine leaves undone is then asked for step by step.
///
/// Afterwards every step up to the one that failed has its result, and writes are whole.
pub(super) async fn run<P: Perform>(on: &mut P, mut chain: Chain) -> Chain {
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
pub(super) fn outcome(chain: Chain) -> Result<Chain, (Chain, DiskError)> {
    let mut needed = chain.links.iter().filter(|link| !link.optional);
    match needed.find_map(Link::failure) {
        None => Ok(chain),
        Some(error) => Err((chain, error)),
    }
}

/// Runs a single step to its end.
pub(super) async fn one<P: Perform>(on: &mut P, step: Step) -> Result<(), DiskError> {
    answered(on, step).await.map(|_| ())
}

/// Runs a single step, and gives the number it returned and the step with its answer in it.
pub(super) async fn answered<P: Perform>(on: &mut P, step: Step) -> Result<(u64, Step), DiskError> {
    let mut chain = run(on, Chain::linked(vec![step.into()])).await;
    let link = chain.links.pop().expect("a chain keeps its links");
    match link.failure() {
        Some(error) => Err(error),
        None => {
            let count = link.result.and_then(Result::ok);
            Ok((count.expect("a chain that was run has results"), link.step))
        }
    }
}

/// Asks for a step again until it has succeeded or failed for good.
pub(super) async fn finish<P: Perform>(on: &mut P, mut link: Link) -> Link {
    if link.step.is_beyond_files() {
        link.result = Some(Err(Errno::INVAL));
        return link;
    }
    let mut attempts = 0;
    loop {
        let progress = link.step.progress();
        let undone = match link.result {
            None => true,
            Some(Err(errno)) => link.step.may_be_repeated_after(errno),
            Some(Ok(count)) => link.step.advance(count),
        };
        if !undone {
            return link;
        }
        match link.step.progress() > progress {
            true => attempts = 0,
            false => attempts += 1,
        }
        if attempts > ATTEMPTS_MAX {
            let errno = link.failure().map_or(Errno::IO, |error| error.errno);
            link.result = Some(Err(errno));
            return link;
        }
        link = again(on, link).await;
    }
}

async fn again<P: Perform>(on: &mut P, mut link: Link) -> Link {
    link.result = None;
    let mut chain = on.run(Chain::linked(vec![link])).await;
    chain.links.pop().expect("a chain keeps its links")
}

/// Most steps given to the kernel at once, which bounds what a flight takes of the rings.
pub(super) const CHAIN_LEN_MAX: usize = 8;

/// How often a step is tried again that a signal got in the way of.
const ATTEMPTS_MAX: usize = 16;
