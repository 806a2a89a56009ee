//! What does not belong in a store, in every place where it could be in the way: it is neither
//! followed nor waited for, nothing behind it is read or changed, and the error says what it is.
//!
//! A store on a disk that others use too, restored from a backup or tidied up by hand, holds such
//! things. One FIFO in the place of a share once stopped a whole daemon.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bucketfs::DiskError;
use bucketfs::disk::{
    ByteRange, CopyRange, Engine, EntryKind, Existing, FileId, OpenMode, Operation, OperationId,
    Outcome, Pool, Ring, Root, StorePath,
};
use bytes::Bytes;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

#[path = "support/deny.rs"]
mod deny;

type Make = fn(Arc<Root>) -> Box<dyn Engine>;

const POOL: Make = |root| Box::new(Pool::new(root).unwrap());
const RING: Make = |root| Box::new(Ring::new(root).unwrap());
const RING_WITHOUT_CHAINS: Make = |root| Box::new(Ring::without_chains(root).unwrap());

/// What is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Fifo,
    Socket,
    Device,
    /// To something of the right kind, outside.
    Link,
    LinkToNowhere,
    /// A file where a directory is wanted, or the other way round.
    WrongKind,
}

const THINGS: [Thing; 6] = [
    Thing::Fifo,
    Thing::Socket,
    Thing::Device,
    Thing::Link,
    Thing::LinkToNowhere,
    Thing::WrongKind,
];

/// Where it is: the directories from `shares` down to the bucket, and the share.
const PLACES: [&str; 5] = [
    "shares",
    "shares/ab",
    "shares/ab/cd",
    "shares/ab/cd/abcdbucket",
    SHARE,
];

const SHARE: &str = "shares/ab/cd/abcdbucket/0";
const BUCKET: &str = PLACES[3];
const BYTES: &[u8] = b"a share that is somebody else's";

/// A directory with a store that has `thing` in one place, and beside it what a link leads to.
struct Scene {
    directory: tempfile::TempDir,
    thing: Thing,
    place: &'static str,
    /// The other end of a FIFO: so a write into it would succeed.
    reader: Option<fs::File>,
}

impl Scene {
    /// `None` where it cannot be made: only root makes devices.
    fn new(thing: Thing, place: &'static str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside").join(SHARE);
        fs::create_dir_all(outside.parent().unwrap()).unwrap();
        fs::write(&outside, BYTES).unwrap();
        let store = directory.path().join("store");
        let path = store.join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(store.join("new"), b"new").unwrap();
        let mut reader = None;
        match thing {
            Thing::Fifo => {
                let mode = Mode::RWXU;
                rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
                let mut options = fs::OpenOptions::new();
                let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
                reader = Some(options.read(true).custom_flags(flags).open(&path).unwrap());
            }
            Thing::Socket => drop(UnixListener::bind(&path).unwrap()),
            Thing::Device => {
                let null = rustix::fs::makedev(1, 3);
                let kind = FileType::CharacterDevice;
                let made = rustix::fs::mknodat(rustix::fs::CWD, &path, kind, Mode::RWXU, null);
                if made == Err(Errno::PERM) {
                    eprintln!("not tested: {thing:?}: only root makes devices");
                    return None;
                }
                made.unwrap();
            }
            Thing::Link => symlink(directory.path().join("outside").join(place), &path).unwrap(),
            Thing::LinkToNowhere => symlink("nowhere", &path).unwrap(),
            Thing::WrongKind if place == SHARE => fs::create_dir(&path).unwrap(),
            Thing::WrongKind => fs::write(&path, b"no directory").unwrap(),
        }
        Some(Self {
            directory,
            thing,
            place,
            reader,
        })
    }

    fn store(&self) -> std::path::PathBuf {
        self.directory.path().join("store")
    }

    /// Everything there is, with what tells whether it was touched.
    fn look(&self) -> BTreeMap<String, (u32, u64, Vec<u8>)> {
        let mut found = BTreeMap::new();
        look_into(self.directory.path(), &mut found);
        // The engine's own.
        found.retain(|path, _| !path.ends_with("/lock"));
        found
    }
}

fn look_into(path: &Path, found: &mut BTreeMap<String, (u32, u64, Vec<u8>)>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let status = fs::symlink_metadata(&path).unwrap();
        let bytes = match status.is_file() {
            true => fs::read(&path).unwrap(),
            false => Vec::new(),
        };
        let name = path.to_str().unwrap().to_owned();
        found.insert(name, (status.mode(), status.ino(), bytes));
        if status.is_dir() {
            look_into(&path, found);
        }
    }
}

fn perform(engine: &mut dyn Engine, operation: Operation) -> Result<Outcome, DiskError> {
    engine.submit(OperationId(0), operation);
    let mut completions = Vec::new();
    while engine.in_flight() > 0 {
        engine.wait();
        engine.reap(&mut completions);
    }
    match completions.pop().unwrap().result {
        // Of one file.
        Ok(Outcome::Placed(results)) => results[0].map(|()| Outcome::Done),
        result => result,
    }
}

/// Every operation that names something on the way to a share, or the share.
fn operations() -> Vec<Operation> {
    let share = StorePath::new(SHARE);
    let bucket = StorePath::new(BUCKET);
    let new = StorePath::new("new");
    let bytes = Bytes::from_static(b"X");
    let writes = vec![(0, bytes.clone())];
    let range = ByteRange { offset: 0, len: 5 };
    let copied = CopyRange {
        from: 0,
        to: 0,
        size: 1,
    };
    vec![
        Operation::Read {
            path: share.clone(),
            ranges: vec![range],
        },
        Operation::Read {
            path: share.clone(),
            ranges: Vec::new(),
        },
        Operation::Patch {
            path: share.clone(),
            writes: writes.clone(),
            size: Some(1),
        },
        Operation::Seal {
            path: share.clone(),
            writes,
            size: 1,
        },
        Operation::Open {
            file: FileId(1),
            path: share.clone(),
            mode: OpenMode::Existing,
        },
        Operation::Copy {
            source: share.clone(),
            file: FileId(0),
            ranges: vec![copied],
        },
        Operation::CreateFile {
            path: StorePath::new("incoming"),
            bytes: bytes.clone(),
            existing: Existing::Refuse,
            unless: Some(share.clone()),
        },
        Operation::Place {
            files: vec![(share.clone(), bytes.clone())],
        },
        Operation::CreateFile {
            path: share.clone(),
            bytes,
            existing: Existing::Overwrite,
            unless: None,
        },
        Operation::Publish {
            source: new.clone(),
            target: share.clone(),
        },
        // What follows needs no file in the share's place.
        Operation::List {
            path: bucket.clone(),
        },
        Operation::MakeDirectories {
            path: bucket.clone(),
        },
        Operation::SyncDirectories {
            paths: vec![bucket.clone()],
        },
        Operation::Preallocate {
            path: StorePath::new(&format!("{BUCKET}/1")),
            size: 4096,
        },
        Operation::Replace {
            source: new,
            spare: None,
            target: share.clone(),
        },
        Operation::Remove {
            path: share,
            prune: 3,
        },
    ]
}

/// How many of the operations are of the share itself.
const OF_THE_SHARE: usize = 10;

fn stands_in_nobodys_way(make: Make) {
    for (thing, place) in THINGS
        .iter()
        .flat_map(|thing| PLACES.map(|place| (*thing, place)))
    {
        let Some(scene) = Scene::new(thing, place) else {
            continue;
        };
        let root = Arc::new(Root::open(&scene.store()).unwrap());
        let mut engine = make(root);
        let open = Operation::Open {
            file: FileId(0),
            path: StorePath::new("spool"),
            mode: OpenMode::New,
        };
        perform(engine.as_mut(), open).unwrap();
        let before = scene.look();
        let mut operations = operations();
        if place == SHARE {
            operations.truncate(OF_THE_SHARE);
        }
        for operation in operations {
            let error = perform(engine.as_mut(), operation.clone());
            let said = format!("{thing:?} at {place}, {operation:?}: {error:?}");
            let error = error.expect_err(&said);
            // A link that leads nowhere may be told from a name that is taken by nobody, or not.
            assert!(error.is_foreign() || is_taken(&error, &scene), "{said}");
            assert_eq!(scene.look(), before, "{said}");
        }
        if let Some(mut reader) = scene.reader {
            let mut written = Vec::new();
            // At its end, as nobody has it open.
            std::io::Read::read_to_end(&mut reader, &mut written).unwrap();
            assert_eq!(written, b"", "{thing:?} at {place}");
        }
    }
}

/// A file in the place of the bucket is what a directory of that name cannot be made for.
fn is_taken(error: &DiskError, scene: &Scene) -> bool {
    scene.thing == Thing::WrongKind && scene.place == BUCKET && error.errno == Errno::EXIST
}

/// Runs a test in a thread of its own, where a filter stays, and which may never come back.
fn guarded(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    match ended.recv_timeout(Duration::from_secs(120)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("something was waited for"),
        _ => thread.join().unwrap(),
    }
}

#[test]
fn nothing_foreign_stands_in_the_way_of_the_pool() {
    guarded(|| stands_in_nobodys_way(POOL));
}

#[test]
fn nothing_foreign_stands_in_the_way_of_the_ring() {
    guarded(|| stands_in_nobodys_way(RING));
}

#[test]
fn nothing_foreign_stands_in_the_way_of_a_ring_without_chains() {
    guarded(|| stands_in_nobodys_way(RING_WITHOUT_CHAINS));
}

// Kernels before 5.6 have no such call, and some containers' filters do not know it.
#[test]
fn nothing_foreign_stands_in_the_way_where_there_is_no_openat2() {
    for errno in [Errno::NOSYS, Errno::PERM] {
        for make in [POOL, RING, RING_WITHOUT_CHAINS] {
            guarded(move || {
                deny::deny(OPENAT2..=OPENAT2, errno);
                stands_in_nobodys_way(make);
            });
        }
    }
}

// It is an operator's to decide where the store lies.
#[test]
fn the_store_itself_may_lie_behind_a_link() {
    let scene = Scene::new(Thing::Fifo, SHARE).unwrap();
    let link = scene.directory.path().join("link");
    symlink(scene.store(), &link).unwrap();
    for make in [POOL, RING] {
        let mut engine = make(Arc::new(Root::open(&link).unwrap()));
        let path = StorePath::new(BUCKET);
        let listed = perform(engine.as_mut(), Operation::List { path }).unwrap();
        let Outcome::Listed(entries) = listed else {
            panic!("{listed:?}");
        };
        // What is no share is no file: whoever looks for shares passes over it.
        assert_eq!(entries[0].kind, EntryKind::Other);
    }
    let status = fs::symlink_metadata(scene.store().join(SHARE)).unwrap();
    assert!(status.file_type().is_fifo());
}

// What an operator reads must send him to the thing, not to his disk.
#[test]
fn the_error_says_what_is_in_the_way() {
    let cases = [
        (Thing::Fifo, SHARE, "no regular file"),
        (Thing::Link, BUCKET, "a symbolic link"),
        (Thing::Fifo, BUCKET, "a directory is wanted"),
        (Thing::WrongKind, SHARE, "a directory is in the place"),
    ];
    for (thing, place, words) in cases {
        let scene = Scene::new(thing, place).unwrap();
        let mut engine = POOL(Arc::new(Root::open(&scene.store()).unwrap()));
        let path = StorePath::new(SHARE);
        let ranges = Vec::new();
        let error = perform(engine.as_mut(), Operation::Read { path, ranges }).unwrap_err();
        assert!(error.to_string().contains(words), "{thing:?}: {error}");
    }
}

/// The number of the call, the same on every architecture.
const OPENAT2: u32 = 437;
