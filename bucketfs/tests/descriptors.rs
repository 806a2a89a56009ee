//! No engine loses a file descriptor. One test, as the table of descriptors is the process's.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::sync::Arc;

use bucketfs::disk::{
    ByteRange, Engine, Existing, FileId, ListCursor, OpenMode, Operation, OperationId, Pool, Ring,
    Root, StorePath,
};
use bytes::Bytes;
use rustix::fs::{CWD, FileType, Mode};

type Make = fn(Arc<Root>) -> Box<dyn Engine>;

const ENGINES: &[(&str, Make)] = &[
    ("pool", |root| Box::new(Pool::new(root).unwrap())),
    ("ring", |root| Box::new(Ring::new(root).unwrap())),
    #[cfg(feature = "tokio-uring")]
    ("tokio-uring", |root| {
        Box::new(bucketfs::disk::TokioUring::new(root).unwrap())
    }),
];

// A descriptor lost with each client that hangs up while its file is being opened would end the
// daemon after a day; two runtimes had this bug.
#[test]
fn abandoned_and_failed_operations_leave_no_descriptor() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), b"bytes").unwrap();
    let fifo = directory.path().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    // So that it can be opened for writing, too.
    let mut options = fs::OpenOptions::new();
    let _reader = options.read(true).write(true).open(&fifo).unwrap();
    for (name, make) in ENGINES {
        let root = Arc::new(Root::open(directory.path()).unwrap());
        let before = open_descriptors();
        abandon_opens(make(Arc::clone(&root)));
        assert_eq!(open_descriptors(), before, "{name}: opens abandoned");

        let mut engine = make(Arc::clone(&root));
        fail_once_each(engine.as_mut());
        let before = open_descriptors();
        for _ in 0..200 {
            fail_once_each(engine.as_mut());
        }
        assert_eq!(open_descriptors(), before, "{name}: operations failed");
    }
}

/// Submits 200 opens, hands them to the kernel and drops the engine without reaping.
fn abandon_opens(mut engine: Box<dyn Engine>) {
    for slot in 0..200 {
        let path = StorePath::new(&format!("incoming/{}-{slot}", engine.name()));
        let operation = Operation::Open {
            file: FileId(slot),
            path,
            mode: OpenMode::New,
        };
        engine.submit(OperationId(slot.into()), operation);
    }
    engine.flush();
}

/// One operation of each kind that opens something and then fails, and a read.
fn fail_once_each(engine: &mut dyn Engine) {
    let create = |path| Operation::CreateFile {
        path: StorePath::new(path),
        bytes: Bytes::from_static(b"bytes"),
        existing: Existing::Refuse,
        unless: None,
    };
    let open = |path, mode| Operation::Open {
        file: FileId(0),
        path: StorePath::new(path),
        mode,
    };
    let fifo = StorePath::new("fifo");
    let path = StorePath::new("file");
    let range = ByteRange { offset: 0, len: 9 };
    let operations = [
        create("file"),
        create("file/below"),
        open("file", OpenMode::New),
        open("absent", OpenMode::Existing),
        Operation::List { path: path.clone() },
        Operation::ListPage {
            path: path.clone(),
            after: ListCursor::Start,
        },
        Operation::Read {
            path: fifo.clone(),
            ranges: Vec::new(),
        },
        Operation::Patch {
            path: fifo.clone(),
            writes: Vec::new(),
            size: None,
        },
        Operation::CreateFile {
            path: fifo.clone(),
            bytes: Bytes::new(),
            existing: Existing::Overwrite,
            unless: None,
        },
        Operation::CreateFile {
            path: StorePath::new("incoming/1"),
            bytes: Bytes::new(),
            existing: Existing::Refuse,
            unless: Some(fifo),
        },
        Operation::Publish {
            source: path.clone(),
            target: StorePath::new("fifo/below"),
        },
        Operation::SyncDirectories {
            paths: vec![path.clone()],
        },
        Operation::Patch {
            path: path.clone(),
            writes: vec![(u64::MAX, Bytes::from_static(b"beyond all files"))],
            size: None,
        },
        Operation::Read {
            path,
            ranges: vec![range],
        },
    ];
    let count = operations.len();
    for (id, operation) in (0..).map(OperationId).zip(operations) {
        engine.submit(id, operation);
    }
    let mut completions = Vec::new();
    while engine.in_flight() > 0 {
        engine.wait();
        engine.reap(&mut completions);
    }
    let failed = completions.iter().filter(|done| done.result.is_err());
    assert_eq!(failed.count(), count - 1, "{completions:?}");
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
