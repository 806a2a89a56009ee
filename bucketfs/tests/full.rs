//! Disks that are full, or cannot sync, for real: mounted in a namespace of the test's own thread.
//!
//! Writes on it are cut short before they fail, which on the ring severs a chain in its middle.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use bucketfs::DiskError;
use bucketfs::disk::{
    Completion, Engine, Existing, FileId, OpenMode, Operation, OperationId, Outcome, Pool, Ring,
    Root, StorePath,
};
use bytes::Bytes;
use rustix::io::Errno;

type Make = fn(Arc<Root>) -> Box<dyn Engine>;

const ENGINES: &[Make] = &[
    |root| Box::new(Pool::new(root).unwrap()),
    |root| Box::new(Ring::new(root).unwrap()),
    #[cfg(feature = "tokio-uring")]
    |root| Box::new(bucketfs::disk::TokioUring::new(root).unwrap()),
];

/// Runs a test with each engine on a file system of its own, with these limits.
fn on_small_disks(limits: &'static str, test: fn(&mut dyn Engine, &Path)) {
    for make in ENGINES {
        let thread = thread::spawn(move || {
            let directory = tempfile::tempdir().unwrap();
            if let Err(error) = mount(directory.path(), limits) {
                // Only root may; the pipeline that decides runs as root.
                eprintln!("not tested: cannot mount: {error}");
                return;
            }
            let root = Root::open(directory.path()).unwrap();
            let mut engine = make(Arc::new(root));
            test(engine.as_mut(), directory.path());
            drop(engine);
            unmount(directory.path());
        });
        thread.join().unwrap();
    }
}

fn perform(engine: &mut dyn Engine, operation: Operation) -> Result<Outcome, DiskError> {
    perform_whole(engine, operation).result
}

fn perform_whole(engine: &mut dyn Engine, operation: Operation) -> Completion {
    engine.submit(OperationId(0), operation);
    let mut completions = Vec::new();
    while engine.in_flight() > 0 {
        engine.wait();
        engine.reap(&mut completions);
    }
    completions.pop().unwrap()
}

fn errno(engine: &mut dyn Engine, operation: Operation) -> Errno {
    perform(engine, operation).unwrap_err().errno
}

fn create(path: &str, len: usize, unless: Option<&str>) -> Operation {
    Operation::CreateFile {
        path: StorePath::new(path),
        bytes: Bytes::from(vec![7; len]),
        existing: Existing::Refuse,
        unless: unless.map(StorePath::new),
    }
}

fn publish(source: &str, target: &str) -> Operation {
    Operation::Publish {
        source: StorePath::new(source),
        target: StorePath::new(target),
    }
}

const DONE: Result<Outcome, DiskError> = Ok(Outcome::Done);

// The next share may be smaller, and there must be room for it.
#[test]
fn what_does_not_fit_is_refused_and_takes_no_space() {
    on_small_disks("size=256k", |engine, directory| {
        for round in 0..20 {
            let operation = create("incoming/large", 1 << 20, None);
            assert_eq!(errno(engine, operation), Errno::NOSPC, "{round}");
            assert!(!directory.join("incoming/large").exists());
            let path = StorePath::new("journal");
            let size = 1 << 20;
            let operation = Operation::Preallocate { path, size };
            assert_eq!(errno(engine, operation), Errno::NOSPC);
            assert!(!directory.join("journal").exists());
        }
        assert_eq!(perform(engine, create("small", 100_000, None)), DONE);
    });
}

// A share that has no room stays in the journal, and nothing of it is in the tree meanwhile.
#[test]
fn of_files_placed_on_a_full_disk_those_are_there_that_there_was_room_for() {
    on_small_disks("size=256k", |engine, directory| {
        let file = |path: &str, len| (StorePath::new(path), Bytes::from(vec![7; len]));
        let files = vec![
            file("a/b/1", 20_000),
            file("a/b/2", 1 << 20),
            file("a/c/3", 20_000),
        ];
        let Ok(Outcome::Placed(results)) = perform(engine, Operation::Place { files }) else {
            panic!("each has a result of its own");
        };
        let errnos = results
            .iter()
            .map(|result| result.err().map(|error| error.errno));
        let errnos: Vec<_> = errnos.collect();
        assert_eq!(errnos, [None, Some(Errno::NOSPC), None]);
        assert!(!directory.join("a/b/2").exists());
        assert_eq!(fs::read(directory.join("a/c/3")).unwrap(), [7; 20_000]);
    });
}

// On a full disk "already here" must still be said of a share that is.
#[test]
fn that_another_file_exists_is_said_even_on_a_full_disk() {
    on_small_disks("size=256k", |engine, directory| {
        assert_eq!(perform(engine, create("share", 100_000, None)), DONE);
        let operation = create("incoming/again", 1 << 20, Some("share"));
        assert_eq!(errno(engine, operation), Errno::EXIST);
        assert!(!directory.join("incoming/again").exists());
    });
}

#[test]
fn an_open_file_keeps_what_was_written_before_the_disk_was_full() {
    on_small_disks("size=256k", |engine, directory| {
        let file = FileId(0);
        let open = Operation::Open {
            file,
            path: StorePath::new("file"),
            mode: OpenMode::New,
        };
        assert_eq!(perform(engine, open), DONE);
        let write = |offset, len| Operation::WriteAt {
            file,
            offset,
            bytes: Bytes::from(vec![7; len]),
        };
        assert_eq!(perform(engine, write(0, 100_000)), DONE);
        assert_eq!(errno(engine, write(100_000, 1 << 20)), Errno::NOSPC);
        let append = Operation::Append {
            file,
            offset: 1 << 20,
            bytes: (&vec![9; 1 << 20][..]).into(),
            sync: true,
        };
        let completion = perform_whole(engine, append.clone());
        assert_eq!(completion.result.unwrap_err().errno, Errno::NOSPC);
        assert_eq!(completion.operation, append, "the buffer comes back");
        assert_eq!(perform(engine, Operation::Close { file }), DONE);
        let bytes = fs::read(directory.join("file")).unwrap();
        assert_eq!(bytes[..100_000], [7; 100_000]);
    });
}

// "No such file" would send the operator looking for what was deleted.
#[test]
fn why_a_directory_cannot_be_made_is_told() {
    on_small_disks("size=1m,nr_inodes=8", |engine, directory| {
        assert_eq!(perform(engine, create("incoming/1", 10, None)), DONE);
        let operation = publish("incoming/1", "a/b/c/d/e/f/1");
        assert_eq!(errno(engine, operation), Errno::NOSPC);
        assert!(directory.join("incoming/1").exists());
        let operation = create("x/y/z/1", 10, None);
        assert_eq!(errno(engine, operation), Errno::NOSPC);
    });
}

// io_uring lets a chain go on after a sync that failed. Taken for a success, it would be
// acknowledged. (A directory of /proc cannot be synced; what is behind it in the chain succeeds.)
#[test]
fn a_sync_that_fails_in_the_middle_of_a_chain_is_told() {
    on_small_disks("size=1m", |engine, directory| {
        let proc = directory.join("proc");
        fs::create_dir(&proc).unwrap();
        let target = CString::new(proc.as_os_str().as_bytes()).unwrap();
        call_mount(Some(c"proc"), &target, 0, None).unwrap();
        let paths = vec![StorePath::root(), StorePath::new("proc")];
        let error = perform(engine, Operation::SyncDirectories { paths });
        unmount(&proc);
        let (call, errno) = ("fsync", Errno::INVAL);
        assert_eq!(error, Err(DiskError { call, errno }));
    });
}

/// Mounts a tmpfs where only this thread, and those that it starts, see it.
#[expect(unsafe_code, reason = "namespaces and mounts have no safe interface")]
fn mount(directory: &Path, limits: &str) -> io::Result<()> {
    // SAFETY: this thread alone gets a namespace of its own.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    call_mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE, None)?;
    let directory = CString::new(directory.as_os_str().as_bytes()).unwrap();
    let limits = CString::new(limits).unwrap();
    call_mount(Some(c"tmpfs"), &directory, 0, Some(&limits))
}

#[expect(unsafe_code, reason = "namespaces and mounts have no safe interface")]
fn call_mount(
    kind: Option<&CStr>,
    target: &CStr,
    flags: libc::c_ulong,
    limits: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    let (kind, limits) = (pointer(kind), pointer(limits));
    // SAFETY: the strings live until the call returns, and null is a value of each that is optional.
    match unsafe { libc::mount(kind, target.as_ptr(), kind, flags, limits.cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[expect(unsafe_code, reason = "namespaces and mounts have no safe interface")]
fn unmount(directory: &Path) {
    let directory = CString::new(directory.as_os_str().as_bytes()).unwrap();
    // SAFETY: the string lives until the call returns.
    let done = unsafe { libc::umount2(directory.as_ptr(), libc::MNT_DETACH) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}
