//! Where io_uring is denied, as containers do, the store works all the same and says why.
//!
//! Each test denies it to its own thread, with a seccomp filter that cannot be taken off again.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::sync::Arc;
use std::thread;

use bucketfs::disk::{
    EngineChoice, EngineError, Existing, Operation, OperationId, Outcome, RingRefusal, Root,
    StorePath, start_engine,
};
use bytes::Bytes;
use rustix::io::Errno;

#[path = "support/deny.rs"]
mod deny;

use deny::deny;

// Docker answers EPERM, older container runtimes ENOSYS; a filter written by hand may forget some of
// the three calls.
#[test]
fn a_denied_ring_is_replaced_by_the_pool_and_the_reason_is_told() {
    let errnos = [Errno::PERM, Errno::NOSYS];
    let calls = [
        SETUP..=REGISTER,
        SETUP..=SETUP,
        ENTER..=ENTER,
        REGISTER..=REGISTER,
    ];
    let cases = calls
        .iter()
        .flat_map(|calls| errnos.map(|errno| (calls.clone(), errno)));
    for (calls, errno) in cases {
        thread::spawn(move || {
            let directory = tempfile::tempdir().unwrap();
            let root = Arc::new(Root::open(directory.path()).unwrap());
            deny(calls, errno);

            let Err(error) = start_engine(&root, EngineChoice::Ring) else {
                panic!("a ring in spite of the filter");
            };
            let refusal = RingRefusal::Seccomp { errno };
            assert_eq!(error, EngineError::Ring(refusal));
            assert!(error.to_string().contains("seccomp"), "{error}");

            let mut engine = start_engine(&root, EngineChoice::Auto).unwrap();
            assert_eq!(engine.name(), "pool");
            let operation = Operation::CreateFile {
                path: StorePath::new("a/file"),
                bytes: Bytes::from_static(b"bytes"),
                existing: Existing::Refuse,
                unless: None,
            };
            engine.submit(OperationId(1), operation);
            engine.wait();
            let mut completions = Vec::new();
            engine.reap(&mut completions);
            assert_eq!(completions[0].result, Ok(Outcome::Done));
        })
        .join()
        .unwrap();
    }
}

// The ring is what is meant to run wherever it can, this machine included.
#[test]
fn the_ring_is_chosen_where_it_works() {
    let directory = tempfile::tempdir().unwrap();
    let root = Arc::new(Root::open(directory.path()).unwrap());
    let engine = start_engine(&root, EngineChoice::Auto).unwrap();
    assert_eq!(engine.name(), "ring");
    let names = std::fs::read_dir(directory.path()).unwrap();
    let names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
    assert_eq!(
        names,
        ["lock"],
        "trying an engine out leaves nothing behind"
    );
}

// A machine short of memory or tasks, which is when the ring goes over to threads.
#[test]
fn where_no_thread_can_be_started_the_work_is_done_all_the_same() {
    for choice in [EngineChoice::Pool, EngineChoice::Ring] {
        thread::spawn(move || {
            let directory = tempfile::tempdir().unwrap();
            let root = Arc::new(Root::open(directory.path()).unwrap());
            let mut engine = start_engine(&root, choice).unwrap();
            deny(CLONE3..=CLONE3, Errno::AGAIN);
            let started = thread::Builder::new().spawn(|| {});
            if started.is_ok() {
                eprintln!("not tested: threads are started by another call here");
                return;
            }
            for id in 0..20 {
                engine.submit(OperationId(id), Operation::SyncFileSystem);
            }
            let mut completions = Vec::new();
            while engine.in_flight() > 0 {
                engine.wait();
                engine.reap(&mut completions);
            }
            assert_eq!(completions.len(), 20);
            assert!(
                completions
                    .iter()
                    .all(|done| done.result == Ok(Outcome::Done))
            );
        })
        .join()
        .unwrap();
    }
}

/// The numbers of the calls, the same on every architecture.
const SETUP: u32 = 425;
const ENTER: u32 = 426;
const REGISTER: u32 = 427;
/// How the C library starts threads.
const CLONE3: u32 = 435;
