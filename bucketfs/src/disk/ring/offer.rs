//! The queue offered to the kernel, and what becomes of it if the kernel takes nothing.
//!
//! A refusal is no reason to wait here: somebody rings the bell a moment later, and whoever drives
//! the engine comes back. After half a minute of refusals the helper threads do what was refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::workers::STACK_SIZE;
use super::Ring;
use super::kernel::Handed;
use super::patience::PAUSE;

impl Ring {
    /// Hands the kernel what waits; what it refuses is offered again, or taken back in the end.
    pub(super) fn offer(&mut self, clock: impl FnOnce() -> Instant) {
        let before = self.kernel.left();
        let mut pushed = 0;
        let mut handed = Handed::All;
        while let Some(key) = self.waiting.front().copied() {
            if self.push(key) {
                self.waiting.pop_front();
                pushed += self.entries.len();
                continue;
            }
            handed = self.kernel.hand_over();
            if handed == Handed::Later {
                break;
            }
        }
        if handed == Handed::All {
            handed = self.kernel.hand_over();
        }
        if handed == Handed::All {
            self.queued.clear();
            return self.patience.renew();
        }
        let left = self.forget_taken();
        if left < before + pushed {
            self.patience.renew();
        }
        match self.patience.is_at_end(clock()) {
            true => self.give_up(left),
            false => self.pause(),
        }
    }

    /// Strikes what the kernel has taken, whole or in part, off the queue; returns how many entries
    /// are left in it.
    fn forget_taken(&mut self) -> usize {
        let left = self.kernel.left();
        let mut entries: usize = self.queued.iter().map(|(_, entries)| entries).sum();
        while let Some((_, first)) = self.queued.front() {
            entries -= first;
            if entries < left {
                break;
            }
            self.queued.pop_front();
        }
        left
    }

    /// Has the bell rung in a moment.
    fn pause(&self) {
        if self.is_pausing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (bell, is_pausing) = (Arc::clone(&self.bell), Arc::clone(&self.is_pausing));
        let over = move || {
            is_pausing.store(false, Ordering::Release);
            bell.ring();
        };
        let after = over.clone();
        let thread = std::thread::Builder::new().name("store-pause".into());
        let thread = thread.stack_size(STACK_SIZE).spawn(move || {
            std::thread::sleep(PAUSE);
            after();
        });
        if thread.is_err() {
            // Then without a pause.
            over();
        }
    }

    /// Goes over to the helper threads, with all that the kernel has not taken.
    ///
    /// # Panics
    ///
    /// If the kernel has taken a part of a chain: nobody would know when that part has ended.
    fn give_up(&mut self, left: usize) {
        let kept: usize = self.queued.iter().map(|(_, entries)| entries).sum();
        assert_eq!(
            kept, left,
            "the kernel takes no more, and has a part of a chain"
        );
        tracing::error!(
            operations = self.flights.len(),
            "io_uring takes nothing more; the store's I/O goes on in a few threads"
        );
        self.kernel.give_up();
        let queued = std::mem::take(&mut self.queued);
        self.aloft -= queued.len();
        let queued = queued.into_iter().map(|(key, _)| key);
        let keys: Vec<_> = queued.chain(std::mem::take(&mut self.waiting)).collect();
        for key in keys {
            self.flights[key].take_back();
            self.proceed(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::super::super::{
        Engine, Existing, FileId, OpenMode, Operation, OperationId, Outcome, Root, StorePath,
    };
    use super::super::patience::PATIENCE;
    use super::*;

    fn ring() -> (Ring, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        (Ring::new(Arc::new(root)).unwrap(), directory)
    }

    fn create(path: &str) -> Operation {
        Operation::CreateFile {
            path: StorePath::new(path),
            bytes: bytes::Bytes::from_static(b"bytes"),
            existing: Existing::Refuse,
            unless: None,
        }
    }

    /// One of each way to the kernel: a chain, a single step, steps together behind another.
    fn submit_some(ring: &mut Ring) {
        let file = FileId(0);
        let path = StorePath::new("journal");
        let mode = OpenMode::New;
        ring.submit(OperationId(0), create("dir/a"));
        ring.submit(OperationId(1), Operation::Open { file, path, mode });
        ring.submit(OperationId(2), create("b"));
    }

    fn all_done(ring: &mut Ring) -> Vec<u64> {
        let mut completions = Vec::new();
        while ring.in_flight() > 0 {
            ring.wait();
            ring.reap(&mut completions);
        }
        for completion in &completions {
            assert_eq!(completion.result, Ok(Outcome::Done), "{completion:?}");
        }
        let mut ids: Vec<_> = completions.iter().map(|done| done.id.0).collect();
        ids.sort_unstable();
        ids
    }

    fn refusing(errno: i32) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(errno))
    }

    // Kernels before 6.14 say ENOMEM when there is little memory at the moment. That ended the
    // daemon, with everything in flight.
    #[test]
    fn what_the_kernel_refuses_is_offered_again() {
        let refusals: [fn(&io_uring::IoUring) -> io::Result<usize>; 4] = [
            |_| refusing(libc::ENOMEM),
            |_| refusing(libc::EAGAIN),
            |_| refusing(libc::EBUSY),
            |_| refusing(libc::EINTR),
        ];
        for refuse in refusals {
            let (mut ring, directory) = ring();
            let taking = std::mem::replace(&mut ring.kernel.submit, refuse);
            submit_some(&mut ring);
            let start = Instant::now();
            for millis in [0, 10, 20, 29_999] {
                ring.offer(|| start + Duration::from_millis(millis));
                assert_eq!(ring.in_flight(), 3);
                // Whoever waits for the engine is to come back, whether it has completed anything.
                ring.bell.wait();
            }
            ring.kernel.submit = taking;
            assert_eq!(all_done(&mut ring), [0, 1, 2]);
            assert!(directory.path().join("dir/a").exists());
            // Half a minute begins anew with the next refusal.
            ring.kernel.submit = refuse;
            ring.submit(OperationId(3), create("c"));
            ring.offer(|| start + PATIENCE + PATIENCE);
            assert_eq!(ring.in_flight(), 1);
            ring.kernel.submit = taking;
            assert_eq!(all_done(&mut ring), [3]);
        }
    }

    // Nothing that was submitted may be lost, nor done twice, nor be looked at by the kernel when
    // its buffers are gone.
    #[test]
    fn after_half_a_minute_of_refusals_the_helpers_do_what_was_refused() {
        let (mut ring, directory) = ring();
        ring.submit(OperationId(9), create("before"));
        assert_eq!(all_done(&mut ring), [9]);
        ring.kernel.submit = |_| refusing(libc::ENOMEM);
        submit_some(&mut ring);
        // More than the queue has room for.
        for id in 10..310 {
            ring.submit(OperationId(id), create(&format!("many/{id}")));
        }
        let start = Instant::now();
        ring.offer(|| start);
        ring.offer(|| start + PATIENCE);
        let ids: Vec<_> = (0..3).chain(10..310).collect();
        assert_eq!(all_done(&mut ring), ids);
        for name in ["dir/a", "b", "many/10", "many/309"] {
            let bytes = std::fs::read(directory.path().join(name)).unwrap();
            assert_eq!(bytes, b"bytes", "{name}");
        }
        let append = Operation::Append {
            file: FileId(0),
            offset: 0,
            bytes: (&b"entry"[..]).into(),
            sync: true,
        };
        ring.submit(OperationId(4), append);
        ring.submit(OperationId(5), create("after"));
        assert_eq!(all_done(&mut ring), [4, 5]);
        drop(ring);
        let bytes = std::fs::read(directory.path().join("journal")).unwrap();
        assert_eq!(bytes, b"entry");
    }

    // What the kernel has taken before it refuses the rest it completes in its own time.
    #[test]
    fn what_the_kernel_took_before_it_refused_comes_back_from_it() {
        let (mut ring, _directory) = ring();
        submit_some(&mut ring);
        ring.offer(Instant::now);
        ring.kernel.submit = |_| refusing(libc::ENOMEM);
        ring.submit(OperationId(3), create("c"));
        let start = Instant::now();
        ring.offer(|| start);
        ring.offer(|| start + PATIENCE);
        assert_eq!(all_done(&mut ring), [0, 1, 2, 3]);
    }
}
