//! The walk: one thread lists, several look, and the caller takes what they saw, in order.
//!
//! ```text
//! lister --(batches of tasks, bounded)--> readers --(one answer a batch)--> caller, in the order listed
//! ```
//!
//! The lister puts the place of each batch's answer into a second queue, also bounded, which the caller
//! reads from the front: so the order is kept, and nobody runs ahead. With one thread all of it is done
//! by the caller.
//!
//! What looks wrong is looked at again, after a pause, until it is found twice the same on something
//! that did not change in between; what the journal speaks of between the two looks is not yet as it
//! will be. A share that the tree has in part has had its record in the journal all that time.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lafs::StorageIndex;

use super::View;
use super::deep::Deep;
use super::finding::Finding;
use super::journal;
use super::look::{Looker, Observed, lease_end_max};
use super::pace::{Budget, Pace, Stop};
use super::range::Range;
use super::seen::{Prefix, Seen};
use super::status::Stamp;
use super::tree::{Lister, Task};
use crate::keys::KeySet;
use crate::layout::ShareKey;

/// How to walk, and over what.
#[derive(Clone)]
pub struct Walk<'a> {
    /// Only what is behind this bucket, by the order of the text: where an earlier walk has ended.
    pub after: Option<StorageIndex>,
    /// Only this part of the store.
    pub within: Option<Prefix>,
    /// How fast.
    pub budget: Budget,
    /// How many threads read; with one, the caller's does.
    pub threads: usize,
    /// Checks the bytes of the shares.
    pub deep: Option<&'a dyn Deep>,
    /// Ends the walk from outside.
    pub stop: Stop,
}

impl Default for Walk<'_> {
    fn default() -> Self {
        Self {
            after: None,
            within: None,
            budget: Budget::default(),
            threads: THREADS,
            deep: None,
            stop: Stop::default(),
        }
    }
}

impl View {
    /// Walks over the store, and gives what is seen to `take`, which may break off.
    ///
    /// Buckets come in the order of their text, each once; what is wrong with a directory comes before
    /// its buckets. A bucket that is given is done: a later walk may begin behind it. Buckets that
    /// come or go during the walk are seen or not. If the walk was stopped from outside it ends as if
    /// there were no more; [`Stop::is_stopped`] tells.
    pub fn walk<B>(
        &self,
        walk: &Walk<'_>,
        take: impl FnMut(Seen) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let pace = Pace::new(walk.budget, walk.stop.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let looker = Looker {
            view: self,
            pace: &pace,
            deep: walk.deep,
            lease_end_max: lease_end_max(now.map_or(0, |now| now.as_secs())),
        };
        let range = match walk.within {
            Some(prefix) => Range::within(prefix.as_str()),
            None => Range::default(),
        };
        let range = range.behind(walk.after);
        match walk.threads {
            0 | 1 => alone(&looker, range, take),
            threads => together(&looker, range, threads, take),
        }
    }
}

fn alone<B>(
    looker: &Looker<'_>,
    range: Range,
    mut take: impl FnMut(Seen) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut ended = ControlFlow::Continue(());
    let mut give = |batch: Vec<Task>| {
        for seen in settled(looker, batch) {
            ended = take(seen);
            if ended.is_break() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    list(looker, range, &mut give);
    ended
}

fn together<B>(
    looker: &Looker<'_>,
    range: Range,
    threads: usize,
    mut take: impl FnMut(Seen) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let (jobs, waiting) = sync_channel::<Job>(threads);
    let waiting = Mutex::new(waiting);
    let (order, answers) = sync_channel::<Receiver<Vec<Seen>>>(threads * AHEAD);
    std::thread::scope(|scope| {
        let waiting = &waiting;
        scope.spawn(move || {
            let mut give = |tasks: Vec<Task>| {
                let (answer, answered) = sync_channel(1);
                let job = Job { tasks, answer };
                // Nobody takes answers any more, or nobody gives them.
                let is_over = order.send(answered).is_err() || jobs.send(job).is_err();
                match is_over {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            };
            list(looker, range, &mut give);
        });
        for _ in 0..threads {
            scope.spawn(move || {
                loop {
                    let job = waiting.lock().expect("nobody panics with the lock").recv();
                    let Ok(Job { tasks, answer }) = job else {
                        break;
                    };
                    // Whoever would take it may be gone.
                    let _ = answer.send(settled(looker, tasks));
                }
            });
        }
        while let Ok(answer) = answers.recv() {
            // A reader that has no answer has panicked, and the scope says so.
            for seen in answer.recv().unwrap_or_default() {
                let ended = take(seen);
                if ended.is_break() {
                    looker.pace.end();
                    drop(answers);
                    return ended;
                }
            }
        }
        ControlFlow::Continue(())
    })
}

/// Some tasks, and where to give the answer.
struct Job {
    tasks: Vec<Task>,
    answer: SyncSender<Vec<Seen>>,
}

/// Lists everything, in batches.
fn list(looker: &Looker<'_>, range: Range, give: &mut dyn FnMut(Vec<Task>) -> ControlFlow<()>) {
    let mut batch = Vec::new();
    let mut emit = |task| {
        batch.push(task);
        match batch.len() == BATCH_LEN {
            true => give(std::mem::take(&mut batch)),
            false => ControlFlow::Continue(()),
        }
    };
    let listed = Lister {
        view: looker.view,
        pace: looker.pace,
        emit: &mut emit,
    }
    .run(range);
    if listed.is_continue() && !batch.is_empty() {
        // There is nothing behind it to break off.
        let _ = give(batch);
    }
}

/// A task, and what came of looking so far.
struct Doubtful {
    task: Task,
    last: Observed,
    /// Found twice.
    believed: Vec<(Finding, Stamp)>,
    is_settled: bool,
}

/// Looks at everything, and again at what looks wrong. Nothing is told of a batch that was stopped.
fn settled(looker: &Looker<'_>, tasks: Vec<Task>) -> Vec<Seen> {
    let mut looks: Vec<Doubtful> = Vec::with_capacity(tasks.len());
    for task in tasks {
        if looker.pace.is_stopped() {
            return Vec::new();
        }
        let last = looker.look(&task);
        looks.push(Doubtful {
            is_settled: last.findings.is_empty(),
            believed: Vec::new(),
            task,
            last,
        });
    }
    for _ in 1..LOOKS_MAX {
        if looks.iter().all(|look| look.is_settled) {
            break;
        }
        looker.pace.pause(PAUSE);
        let recorded = recorded(looker, &looks);
        looker.view.refresh();
        for look in looks.iter_mut().filter(|look| !look.is_settled) {
            if looker.pace.is_stopped() {
                return Vec::new();
            }
            look.again(looker, &recorded);
        }
    }
    looks.into_iter().filter_map(Doubtful::seen).collect()
}

/// Which of the shares that look wrong the journal speaks of.
fn recorded(looker: &Looker<'_>, looks: &[Doubtful]) -> KeySet<ShareKey> {
    let unsettled = looks.iter().filter(|look| !look.is_settled);
    let findings = unsettled.flat_map(|look| &look.last.findings);
    let keys: KeySet<ShareKey> = findings.filter_map(|(finding, _)| finding.share).collect();
    match keys.is_empty() {
        true => keys,
        false => journal::recorded(looker.view, &keys),
    }
}

impl Doubtful {
    fn again(&mut self, looker: &Looker<'_>, recorded: &KeySet<ShareKey>) {
        let before = std::mem::replace(&mut self.last, looker.look(&self.task));
        let is_in_journal =
            |finding: &Finding| finding.share.is_some_and(|share| recorded.contains(&share));
        self.last
            .findings
            .retain(|(finding, _)| !is_in_journal(finding));
        let found = self.last.findings.iter();
        let twice = found.filter(|found| before.findings.contains(found));
        self.believed = twice.cloned().collect();
        self.is_settled = self.believed.len() == self.last.findings.len();
    }

    fn seen(self) -> Option<Seen> {
        let findings: Vec<_> = self
            .believed
            .into_iter()
            .map(|(finding, _)| finding)
            .collect();
        match self.last.bucket {
            Some(mut bucket) => {
                bucket.findings = findings;
                Some(Seen::Bucket(bucket))
            }
            None if findings.is_empty() => None,
            None => Some(Seen::Findings(findings)),
        }
    }
}

/// Threads that read, unless said otherwise.
const THREADS: usize = 4;

/// Tasks in a batch: enough that handing it on costs little of it.
const BATCH_LEN: usize = 32;

/// Batches that may be ahead of the caller, for each thread.
const AHEAD: usize = 4;

/// Most looks at something that keeps changing while it looks wrong.
const LOOKS_MAX: usize = 5;

/// How long a change may take that is not in the journal.
pub(super) const PAUSE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
