//! A few threads that take jobs from one queue, and say on an eventfd when one is done.
//!
//! Threads start when there is work for them and none is idle, and end when the workers are
//! dropped, after the jobs that were taken. The queue is as long as the store's flight at most.
//! Where not even one thread can be had, for want of memory or of tasks, jobs are done in the thread
//! that brings them: it waits for the disk then, and nothing fails.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use super::{DiskError, Root};

/// Something a worker does; it blocks.
pub(crate) trait Job: Send + 'static {
    /// What comes of it.
    type Done: Send + 'static;

    /// Does it, with the store directory at hand.
    fn perform(self, root: &Root) -> Self::Done;
}

/// The threads and their queue.
pub(crate) struct Workers<J: Job> {
    shared: Arc<Shared<J>>,
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
    /// That there is no thread has been said.
    is_alone: bool,
}

struct Shared<J: Job> {
    root: Arc<Root>,
    queue: Mutex<Queue<J>>,
    work: Condvar,
    bell: Arc<Bell>,
}

struct Queue<J: Job> {
    jobs: VecDeque<J>,
    done: Vec<J::Done>,
    idle: usize,
    closed: bool,
}

impl<J: Job> Workers<J> {
    /// Prepares workers, at most `threads_max`; no thread runs yet.
    pub(crate) fn new(root: Arc<Root>, bell: Arc<Bell>, threads_max: usize) -> Self {
        let queue = Queue {
            jobs: VecDeque::new(),
            done: Vec::new(),
            idle: 0,
            closed: false,
        };
        Self {
            shared: Arc::new(Shared {
                root,
                queue: Mutex::new(queue),
                work: Condvar::new(),
                bell,
            }),
            threads: Vec::new(),
            threads_max,
            is_alone: false,
        }
    }

    /// Queues a job.
    pub(crate) fn give(&mut self, job: J) {
        let mut queue = self.shared.lock();
        queue.jobs.push_back(job);
        let wanted = queue.jobs.len() > queue.idle;
        drop(queue);
        if wanted && self.threads.len() < self.threads_max {
            self.start();
        }
        self.shared.work.notify_one();
    }

    /// Moves what is done to `done`.
    pub(crate) fn take(&mut self, done: &mut Vec<J::Done>) {
        done.append(&mut self.shared.lock().done);
    }

    fn start(&mut self) {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name("store-io".into())
            .stack_size(STACK_SIZE)
            .spawn(move || shared.work());
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(error) if self.threads.is_empty() => {
                if !self.is_alone {
                    tracing::error!(
                        %error,
                        "cannot start a thread for the store's I/O, which blocks the daemon until \
                         one can be started; raise the limit on tasks, or free memory"
                    );
                    self.is_alone = true;
                }
                self.shared.work_off();
            }
            Err(error) => {
                tracing::warn!(%error, running = self.threads.len(), "cannot start one more I/O thread");
                self.threads_max = self.threads.len();
            }
        }
    }
}

impl<J: Job> Drop for Workers<J> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A job that panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl<J: Job> Shared<J> {
    fn work(&self) {
        while let Some(job) = self.next() {
            let done = job.perform(&self.root);
            self.lock().done.push(done);
            self.bell.ring();
        }
    }

    /// Does what is queued, in the calling thread.
    fn work_off(&self) {
        loop {
            // Not held while the job is done.
            let job = self.lock().jobs.pop_front();
            let Some(job) = job else {
                return;
            };
            let done = job.perform(&self.root);
            self.lock().done.push(done);
            self.bell.ring();
        }
    }

    fn next(&self) -> Option<J> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue.idle += 1;
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<J>> {
        // The queue is whole between any two statements, whoever panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An eventfd: what an engine is waited for on.
///
/// Nobody reads it: every ring makes an edge, which is what epoll is asked for.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> Result<Self, DiskError> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(Self)
            .map_err(|errno| DiskError {
                call: "eventfd",
                errno,
            })
    }

    pub(crate) fn ring(&self) {
        // Full after 2^64 - 2 rings: then it is readable anyway.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Blocks until it has been rung since the last call.
    pub(crate) fn wait(&self) {
        loop {
            let mut ready = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(errno) => panic!("poll on an eventfd of ours: {errno}"),
            }
        }
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.0, &mut count);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What is not touched takes no memory: a program of system calls with small buffers touches a few
/// pages. Under the address sanitizer it takes more than a hundred kilobytes.
pub(crate) const STACK_SIZE: usize = 512 << 10;
