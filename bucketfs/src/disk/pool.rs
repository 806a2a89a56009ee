//! The pool engine: a few threads that perform whole operations with plain system calls.
//!
//! What is used where the kernel or a container refuses io_uring. The promises are the same.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::cached::{self, Pace};
use super::files::{Files, Taken};
use super::program;
use super::syscall::{self, Syscalls};
use super::workers::{Bell, Job, Workers};
use super::{Completion, DiskError, Engine, Operation, OperationId, Outcome, Root};

/// Performs operations in threads.
pub struct Pool {
    workers: Workers<Whole>,
    root: Arc<Root>,
    bell: Arc<Bell>,
    files: Files,
    done: Vec<Performed>,
    in_flight: usize,
    pace: Pace,
}

/// An operation on its way to a thread.
pub(super) struct Whole {
    pub(super) id: OperationId,
    pub(super) operation: Operation,
    pub(super) taken: Taken,
}

/// An operation on its way back.
pub(super) struct Performed {
    pub(super) id: OperationId,
    pub(super) operation: Operation,
    pub(super) result: Result<Outcome, DiskError>,
    pub(super) current: Option<OwnedFd>,
}

impl Pool {
    /// Makes a pool that works below `root`. Its threads start when they are needed.
    ///
    /// # Errors
    ///
    /// If there is no descriptor left for an eventfd.
    pub fn new(root: Arc<Root>) -> Result<Self, DiskError> {
        let bell = Arc::new(Bell::new()?);
        let workers = Workers::new(Arc::clone(&root), Arc::clone(&bell), THREADS_MAX);
        Ok(Self {
            workers,
            root,
            bell,
            files: Files::default(),
            done: Vec::new(),
            in_flight: 0,
            pace: Pace::default(),
        })
    }
}

impl Engine for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn writes_directly(&self) -> bool {
        self.root.writes_directly()
    }

    fn submit(&mut self, id: OperationId, operation: Operation) {
        self.in_flight += 1;
        if let Some(result) = cached::perform(&self.root, &operation, &mut self.pace) {
            return self.done.push(Performed {
                id,
                operation,
                result,
                current: None,
            });
        }
        let taken = self.files.take(&operation);
        self.workers.give(Whole {
            id,
            operation,
            taken,
        });
    }

    fn flush(&mut self) {}

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        self.workers.take(&mut self.done);
        for performed in self.done.drain(..) {
            let Performed {
                id,
                operation,
                result,
                current,
            } = performed;
            self.files.put(&operation, current);
            self.in_flight -= 1;
            completions.push(Completion {
                id,
                operation,
                result,
            });
        }
    }

    fn wait(&mut self) {
        while self.in_flight > 0 && self.done.is_empty() {
            self.workers.take(&mut self.done);
            if self.done.is_empty() {
                self.bell.wait();
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        Some(self.bell.as_fd())
    }
}

impl Job for Whole {
    type Done = Performed;

    fn perform(self, root: &Root) -> Performed {
        let mut on = Syscalls::new(root, self.taken.current);
        let program = program::perform(self.operation, self.taken.kept, &mut on);
        let (operation, result) = syscall::run(program);
        Performed {
            id: self.id,
            operation,
            result,
            current: on.current,
        }
    }
}

/// Enough that a sync of the file system and one of the journal leave threads to read and write;
/// more only contend for the same directories.
const THREADS_MAX: usize = 4;
