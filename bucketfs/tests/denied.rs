//! Where io_uring is denied, as containers do, the store works all the same and says why.
//!
//! Each test denies it to its own thread, with a seccomp filter that cannot be taken off again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread;

use bucketfs::disk::{
    EngineChoice, EngineError, Existing, Operation, OperationId, Outcome, RingRefusal, Root,
    StorePath, start_engine,
};
use bytes::Bytes;
use rustix::io::Errno;

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

/// The numbers of the calls, the same on every architecture.
const SETUP: u32 = 425;
const ENTER: u32 = 426;
const REGISTER: u32 = 427;

/// Makes system calls fail in this thread, and in those that it starts.
#[expect(unsafe_code, reason = "seccomp has no safe interface")]
fn deny(calls: RangeInclusive<u32>, errno: Errno) {
    let (first, last) = calls.into_inner();
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let answer = libc::SECCOMP_RET_ERRNO | u32::try_from(errno.raw_os_error()).unwrap();
    let mut program = [
        // The call's number is the first word of what the filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, first, 0, 2),
        statement(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, last, 1, 0),
        statement(libc::BPF_RET | libc::BPF_K, answer, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap(),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: sets a flag of this thread.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(done, 0, "no_new_privs");
    // SAFETY: the kernel copies the program, which lives until this returns.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
