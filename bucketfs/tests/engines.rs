//! One suite for every engine: each operation, its errors, and what must never be lost or leaked.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use bucketfs::DiskError;
use bucketfs::disk::{
    ByteRange, Completion, CopyRange, Engine, Entry, EntryKind, Existing, FileId, LIST_ENTRIES_MAX,
    LIST_PAGE_LEN, ListCursor, Move, Moved, OpenMode, Operation, OperationId, Outcome, Pool, Ring,
    Root, StorePath,
};
use bytes::Bytes;
use rustix::io::Errno;

#[path = "support/deny.rs"]
mod deny;

/// An engine on a disk of its own.
struct Bench {
    engine: Box<dyn Engine>,
    /// Where the files really are; the simulation has them in memory.
    directory: Option<tempfile::TempDir>,
    next: u64,
}

impl Bench {
    fn new(make: Make) -> Self {
        let (engine, directory) = make();
        Self {
            engine,
            directory,
            next: 0,
        }
    }

    fn submit(&mut self, operation: Operation) -> OperationId {
        let id = OperationId(self.next);
        self.next += 1;
        self.engine.submit(id, operation);
        id
    }

    fn wait_for_all(&mut self) -> Vec<Completion> {
        let mut completions = Vec::new();
        while self.engine.in_flight() > 0 {
            self.engine.wait();
            self.engine.reap(&mut completions);
        }
        completions
    }

    /// Performs one operation and checks that it comes back as it went in.
    fn perform(&mut self, operation: Operation) -> Result<Outcome, DiskError> {
        let id = self.submit(operation.clone());
        let mut completions = self.wait_for_all();
        assert_eq!(completions.len(), 1);
        let completion = completions.pop().unwrap();
        assert_eq!(completion.id, id);
        assert_eq!(completion.operation, operation);
        completion.result
    }

    fn errno(&mut self, operation: Operation) -> Errno {
        self.perform(operation).unwrap_err().errno
    }

    fn done(&mut self, operation: Operation) {
        assert_eq!(self.perform(operation), Ok(Outcome::Done));
    }

    /// Where a file really is.
    fn file(&self, path: &str) -> PathBuf {
        self.directory.as_ref().unwrap().path().join(path)
    }

    /// What a file holds, as somebody else sees it, if there is anybody.
    fn contents(&mut self, path: &str) -> Vec<u8> {
        if self.directory.is_some() {
            return fs::read(self.file(path)).unwrap();
        }
        match self.perform(read(path, &[(0, 1 << 24)])) {
            Ok(Outcome::Read { mut pieces, .. }) => pieces.pop().unwrap(),
            result => panic!("{path}: {result:?}"),
        }
    }

    fn exists(&mut self, path: &str) -> bool {
        match &self.directory {
            Some(directory) => directory.path().join(path).exists(),
            None => self.perform(read(path, &[])) != self.perform(read("never-made", &[])),
        }
    }

    /// Opens a new file in slot 0.
    fn open_new(&mut self, path: &str) {
        self.done(open(0, path, OpenMode::New));
    }
}

type Make = fn() -> (Box<dyn Engine>, Option<tempfile::TempDir>);

/// A store directory, and an engine that works there.
fn on_disk<E: Engine + 'static>(
    make: impl FnOnce(Arc<Root>) -> E,
) -> (Box<dyn Engine>, Option<tempfile::TempDir>) {
    in_directory(tempfile::tempdir().unwrap(), make)
}

/// The same in memory, where there is a file system there: files are made ten times as fast.
fn in_memory<E: Engine + 'static>(
    make: impl FnOnce(Arc<Root>) -> E,
) -> (Box<dyn Engine>, Option<tempfile::TempDir>) {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    in_directory(directory.unwrap(), make)
}

fn in_directory<E: Engine + 'static>(
    directory: tempfile::TempDir,
    make: impl FnOnce(Arc<Root>) -> E,
) -> (Box<dyn Engine>, Option<tempfile::TempDir>) {
    let root = Arc::new(Root::open(directory.path()).unwrap());
    (Box::new(make(root)), Some(directory))
}

fn create(path: &str, bytes: &[u8]) -> Operation {
    Operation::CreateFile {
        path: StorePath::new(path),
        bytes: Bytes::copy_from_slice(bytes),
        existing: Existing::Refuse,
        unless: None,
    }
}

fn open(slot: u16, path: &str, mode: OpenMode) -> Operation {
    Operation::Open {
        file: FileId(slot),
        path: StorePath::new(path),
        mode,
    }
}

fn close(slot: u16) -> Operation {
    Operation::Close { file: FileId(slot) }
}

fn write_at(slot: u16, offset: u64, bytes: &[u8]) -> Operation {
    Operation::WriteAt {
        file: FileId(slot),
        offset,
        bytes: Bytes::copy_from_slice(bytes),
    }
}

fn read(path: &str, ranges: &[(u64, usize)]) -> Operation {
    let range = |&(offset, len): &(u64, usize)| ByteRange { offset, len };
    Operation::Read {
        path: StorePath::new(path),
        ranges: ranges.iter().map(range).collect(),
    }
}

fn publish(source: &str, target: &str) -> Operation {
    Operation::Publish {
        source: StorePath::new(source),
        target: StorePath::new(target),
    }
}

fn remove(path: &str, prune: u8) -> Operation {
    Operation::Remove {
        path: StorePath::new(path),
        prune,
    }
}

fn list(path: &str) -> Operation {
    let path = StorePath::new(path);
    Operation::List { path }
}

/// A pattern that shows where in a file it came from.
fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i * 7 + i / 251).to_le_bytes()[0])
        .collect()
}

fn a_file_is_made_with_its_bytes_and_the_directories_above(make: Make) {
    let mut bench = Bench::new(make);
    for (path, len) in [("top", 0), ("one/file", 1), ("a/b/c/d/file", 70_000)] {
        let bytes = pattern(len);
        bench.done(create(path, &bytes));
        assert_eq!(bench.contents(path), bytes, "{path}");
    }
    bench.done(create("a/b/c/d/second", b"in a directory that is there"));
}

// An existing share must survive whoever uploads it again.
fn a_file_that_exists_is_refused_and_left_alone(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("dir/file", b"first"));
    assert_eq!(bench.errno(create("dir/file", b"second")), Errno::EXIST);
    assert_eq!(bench.contents("dir/file"), b"first");
}

fn a_file_is_not_made_if_another_exists(make: Make) {
    let mut bench = Bench::new(make);
    let unless = |path: &str, unless: &str| Operation::CreateFile {
        path: StorePath::new(path),
        bytes: Bytes::from_static(b"bytes"),
        existing: Existing::Refuse,
        unless: Some(StorePath::new(unless)),
    };
    bench.done(unless("incoming/a", "shares/a"));
    bench.done(publish("incoming/a", "shares/a"));
    assert_eq!(bench.errno(unless("incoming/a", "shares/a")), Errno::EXIST);
    assert!(!bench.exists("incoming/a"));
}

// Replay makes a share of a torn file, whatever is in it.
fn overwriting_replaces_all_of_a_file(make: Make) {
    let mut bench = Bench::new(make);
    let overwrite = |bytes: &'static [u8]| Operation::CreateFile {
        path: StorePath::new("dir/file"),
        bytes: Bytes::from_static(bytes),
        existing: Existing::Overwrite,
        unless: None,
    };
    bench.done(overwrite(b"a long first content"));
    bench.done(overwrite(b"short"));
    assert_eq!(bench.contents("dir/file"), b"short");
}

// What the journal has is made where it belongs; what an earlier attempt left there is no obstacle.
fn files_are_placed_each_by_itself(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("shares/ab/file", b"foreign"));
    bench.done(create(
        "shares/ab/cd/old/0",
        b"half of what is to be there, or more",
    ));
    let file = |path: &str, bytes: &'static [u8]| {
        let path = StorePath::new(path);
        (path, Bytes::from_static(bytes))
    };
    let files = vec![
        file("shares/ab/cd/new/0", b"one"),
        file("shares/ab/file/new/0", b"two"),
        file("shares/ab/cd/old/0", b"three"),
        file("shares/xy/zz/new/7", b""),
        file("shares/ab/cd", b"four"),
    ];
    let Ok(Outcome::Placed(results)) = bench.perform(Operation::Place { files }) else {
        panic!("each has a result of its own");
    };
    let errnos: Vec<_> = results
        .iter()
        .map(|result| result.err().map(|error| error.errno))
        .collect();
    let expected = [None, Some(Errno::NOTDIR), None, None, Some(Errno::ISDIR)];
    assert_eq!(errnos, expected);
    assert_eq!(bench.contents("shares/ab/cd/new/0"), b"one");
    assert_eq!(bench.contents("shares/ab/file"), b"foreign");
    assert_eq!(bench.contents("shares/ab/cd/old/0"), b"three");
    assert!(bench.exists("shares/xy/zz/new/7"));
}

// One that cannot be moved keeps no other from it, and is where it was.
fn directories_are_moved_each_by_itself(make: Make) {
    let mut bench = Bench::new(make);
    for bucket in ["one", "two", "three", "four"] {
        bench.done(create(&format!("shares/ab/{bucket}/0"), bucket.as_bytes()));
    }
    bench.done(create("shares/ab/file", b"a file"));
    bench.done(create("shares/ab/cd/two/7", b"in the way"));
    bench.done(create("shares/xy/file", b"in the way, too"));
    bench.done(Operation::MakeDirectories {
        path: StorePath::new("shares/ab/cd/four"),
    });
    let to = |source: &str, target: &str| Move {
        source: StorePath::new(source),
        target: StorePath::new(target),
    };
    let moves = vec![
        to("shares/ab/one", "shares/ab/on/one"),
        to("shares/ab/two", "shares/ab/cd/two"),
        to("shares/ab/absent", "shares/ab/cd/absent"),
        to("shares/zz/absent", "shares/ab/cd/absent"),
        to("shares/ab/file", "shares/ab/cd/file"),
        to("shares/ab/three", "shares/xy/file/three"),
        to("shares/ab/four", "shares/ab/cd/four"),
    ];
    let operation = |moves, has_room| Operation::MoveDirectories {
        moves,
        prune: 1,
        has_room,
    };
    let mut perform = |operation| match bench.perform(operation) {
        Ok(Outcome::Moved(results)) => results,
        result => panic!("each has a result of its own, not {result:?}"),
    };
    let results = perform(operation(moves, true));
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results[0], Moved::Moved);
    let stays = |result| {
        matches!(
            result,
            Moved::Stays(DiskError {
                errno: Errno::NOTEMPTY | Errno::EXIST,
                ..
            })
        )
    };
    assert!(stays(results[1]), "{:?}", results[1]);
    assert_eq!(results[2..5], [Moved::NotThere; 3]);
    let stays = |result| {
        matches!(
            result,
            Moved::Stays(DiskError {
                errno: Errno::NOTDIR,
                ..
            })
        )
    };
    assert!(stays(results[5]), "{:?}", results[5]);
    assert_eq!(results[6], Moved::Moved);
    let back = vec![to("shares/ab/on/one", "shares/one")];
    let results = perform(operation(back.clone(), false));
    let stays = |result| {
        matches!(
            result,
            Ok(Moved::Stays(DiskError {
                errno: Errno::NOSPC,
                ..
            }))
        )
    };
    assert!(stays(results[0]), "{:?}", results[0]);
    assert_eq!(perform(operation(back, true)), [Ok(Moved::Moved)]);
    for (path, bytes) in [
        ("shares/one/0", "one"),
        ("shares/ab/two/0", "two"),
        ("shares/ab/three/0", "three"),
        ("shares/ab/cd/four/0", "four"),
        ("shares/ab/file", "a file"),
    ] {
        assert_eq!(bench.contents(path), bytes.as_bytes(), "{path}");
    }
    assert!(!bench.exists("shares/ab/on"), "an empty one went");
}

fn names_of_the_wrong_kind_are_errors(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("file", b"x"));
    let make_directories = |path: &str| Operation::MakeDirectories {
        path: StorePath::new(path),
    };
    bench.done(make_directories("dir/inner"));
    bench.done(make_directories("dir/inner"));
    assert_eq!(bench.errno(make_directories("file")), Errno::EXIST);
    assert_eq!(bench.errno(create("file/below", b"")), Errno::NOTDIR);
    assert_eq!(bench.errno(create("dir", b"")), Errno::EXIST);
    assert_eq!(
        bench.errno(open(0, "dir", OpenMode::Existing)),
        Errno::ISDIR
    );
    assert_eq!(bench.errno(read("dir", &[(0, 1)])), Errno::ISDIR);
    assert_eq!(bench.errno(list("file")), Errno::NOTDIR);
    let errno = bench.errno(remove("dir", 0));
    assert!(matches!(errno, Errno::ISDIR | Errno::PERM), "{errno}");
}

fn what_is_missing_is_said_to_be_missing(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("dir/file", b"x"));
    for operation in [
        read("absent", &[(0, 1)]),
        read("dir/absent/file", &[(0, 1)]),
        open(0, "absent", OpenMode::Existing),
        publish("absent", "dir/target"),
        publish("absent", "new/dir/target"),
        remove("absent", 3),
        list("absent"),
        Operation::Patch {
            path: StorePath::new("absent"),
            writes: vec![(0, Bytes::from_static(b"x"))],
            size: None,
        },
        Operation::SyncDirectories {
            paths: vec![StorePath::new("dir"), StorePath::new("absent")],
        },
    ] {
        assert_eq!(
            bench.errno(operation.clone()),
            Errno::NOENT,
            "{operation:?}"
        );
    }
}

fn reading_is_clipped_to_the_end_of_the_file(make: Make) {
    let mut bench = Bench::new(make);
    let bytes = pattern(5000);
    bench.done(create("file", &bytes));
    let ranges = [
        (0, 10),
        (4990, 10),
        (4990, 500),
        (5000, 10),
        (u64::MAX - 5, 10),
        (7, 0),
    ];
    let Ok(Outcome::Read { size, pieces }) = bench.perform(read("file", &ranges)) else {
        panic!("not read");
    };
    assert_eq!(size, 5000);
    let wanted: [&[u8]; 6] = [&bytes[..10], &bytes[4990..], &bytes[4990..], b"", b"", b""];
    assert_eq!(pieces, wanted);
    let all: Vec<_> = (0..50).map(|i| (i * 100, 100)).collect();
    let Ok(Outcome::Read { pieces, .. }) = bench.perform(read("file", &all)) else {
        panic!("not read");
    };
    assert_eq!(pieces.concat(), bytes);
}

fn an_open_file_is_written_anywhere_and_synced_and_closed(make: Make) {
    let mut bench = Bench::new(make);
    bench.open_new("incoming/file");
    assert_eq!(
        bench.errno(open(1, "incoming/file", OpenMode::New)),
        Errno::EXIST
    );
    let bytes = pattern(200_000);
    bench.done(write_at(0, 100_000, &bytes[100_000..]));
    bench.done(write_at(0, 0, &bytes[..100_000]));
    bench.done(Operation::SyncFile { file: FileId(0) });
    bench.done(close(0));
    assert_eq!(bench.contents("incoming/file"), bytes);
    bench.done(open(0, "incoming/file", OpenMode::Existing));
    bench.done(write_at(0, 1, b"!"));
    bench.done(close(0));
    assert_eq!(
        bench.contents("incoming/file")[..3],
        [bytes[0], b'!', bytes[2]]
    );
}

// On 32 bits an offset in a C `long` would wrap around and land on other bytes.
fn offsets_beyond_4_gib_stay_where_they_are(make: Make) {
    let mut bench = Bench::new(make);
    let far = (4 << 30) + 12_345;
    bench.open_new("file");
    bench.done(write_at(0, 12_345, b"near"));
    bench.done(write_at(0, far, b"far"));
    bench.done(Operation::Append {
        file: FileId(0),
        offset: far + 3,
        bytes: (&b"ther"[..]).into(),
        sync: false,
    });
    bench.done(close(0));
    let Ok(Outcome::Read { size, pieces }) = bench.perform(read("file", &[(far, 9), (12_345, 4)]))
    else {
        panic!("not read");
    };
    assert_eq!(size, far + 7);
    assert_eq!(pieces, [b"farther".to_vec(), b"near".to_vec()]);
    bench.done(Operation::Patch {
        path: StorePath::new("file"),
        writes: vec![(far + 1, Bytes::from_static(b"AR"))],
        size: Some(far + 3 + (1 << 32)),
    });
    let file = fs::File::open(bench.file("file")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), far + 3 + (1 << 32));
    let mut bytes = [0; 7];
    file.read_exact_at(&mut bytes, far).unwrap();
    assert_eq!(&bytes, b"fARther");
}

fn preallocated_space_is_zero_and_there(make: Make) {
    let mut bench = Bench::new(make);
    let size = (2 << 20) + 4096;
    let path = StorePath::new("journal/0");
    bench.done(Operation::Preallocate {
        path: path.clone(),
        size,
    });
    let status = fs::metadata(bench.file("journal/0")).unwrap();
    assert_eq!(status.len(), size);
    assert!(status.blocks() * 512 >= size, "{} blocks", status.blocks());
    assert!(bench.contents("journal/0").iter().all(|byte| *byte == 0));
    assert_eq!(
        bench.errno(Operation::Preallocate { path, size }),
        Errno::EXIST
    );
}

fn an_append_is_written_and_gives_its_buffer_back(make: Make) {
    let mut bench = Bench::new(make);
    bench.open_new("journal");
    for (index, sync) in [true, false, true].into_iter().enumerate() {
        bench.done(Operation::Append {
            file: FileId(0),
            offset: 5 * u64::try_from(index).unwrap(),
            bytes: (&b"entry"[..]).into(),
            sync,
        });
    }
    assert_eq!(bench.contents("journal"), b"entryentryentry");
}

// As the journal is written: whole blocks, one after the other, into a file that is there.
fn a_durable_append_of_blocks_is_read_as_it_was_written(make: Make) {
    let mut bench = Bench::new(make);
    let path = StorePath::new("journal/0");
    let size = 64 * 4096;
    bench.done(Operation::Preallocate { path, size });
    bench.done(open(0, "journal/0", OpenMode::ExistingDirect));
    let mut wanted = vec![0; 64 * 4096];
    for (block, blocks) in [(0, 1), (1, 3), (40, 20), (4, 1)] {
        let bytes = pattern(blocks * 4096 + block);
        let bytes = &bytes[block..];
        wanted[block * 4096..][..bytes.len()].copy_from_slice(bytes);
        bench.done(Operation::Append {
            file: FileId(0),
            offset: u64::try_from(block * 4096).unwrap(),
            bytes: bytes.into(),
            sync: block % 2 == 0,
        });
        // Through the page cache, which may have the block from before.
        assert_eq!(bench.contents("journal/0"), wanted);
    }
    bench.done(close(0));
}

// As a large share is written: whole blocks past the page cache, then an end of any length.
fn blocks_and_an_end_make_a_file_of_any_size(make: Make) {
    let mut bench = Bench::new(make);
    for (slot, mode) in [(0, OpenMode::NewDirect), (1, OpenMode::New)] {
        let path = format!("incoming/{slot}");
        let wanted = pattern(50 * 4096 + 77);
        bench.done(open(slot, &path, mode));
        for block in [0, 16] {
            bench.done(Operation::WriteBlocks {
                file: FileId(slot),
                offset: block * 4096,
                bytes: part(&wanted, block * 4096, 16 * 4096).into(),
            });
        }
        bench.done(Operation::Finish {
            file: FileId(slot),
            blocks: Some((32 * 4096, part(&wanted, 32 * 4096, 18 * 4096).into())),
            writes: vec![
                (50 * 4096, Bytes::copy_from_slice(&wanted[50 * 4096..])),
                (1, Bytes::from_static(b"header")),
            ],
            sync: true,
        });
        // Written through the page cache from then on.
        bench.done(write_at(slot, 9, b"more"));
        bench.done(close(slot));
        let mut wanted = wanted;
        wanted[1..7].copy_from_slice(b"header");
        wanted[9..13].copy_from_slice(b"more");
        assert_eq!(bench.contents(&path), wanted);
    }
    assert_eq!(
        bench.errno(open(2, "incoming/0", OpenMode::NewDirect)),
        Errno::EXIST
    );
    assert_eq!(
        bench.errno(open(2, "absent", OpenMode::ExistingDirect)),
        Errno::NOENT
    );
}

fn part(bytes: &[u8], offset: u64, len: usize) -> &[u8] {
    &bytes[usize::try_from(offset).unwrap()..][..len]
}

// Whole blocks of it go past the page cache, which may hold the old ones; the ends go through it.
fn a_large_write_at_any_offset_is_read_as_it_was_written(make: Make) {
    let mut bench = Bench::new(make);
    let path = StorePath::new("parts");
    let mut wanted = pattern(1_000_003);
    bench.done(create("parts", &wanted));
    let writes: [&[(usize, usize)]; 4] = [
        &[(12, 300_000)],
        &[(300_012, 128 << 10), (5, 7), (900_000, 128 << 10)],
        &[(1, 131_072), (131_073, 131_073), (600_001, 262_144)],
        &[(4096, 262_144), (500_000, 128 << 10)],
    ];
    for (round, ranges) in writes.into_iter().enumerate() {
        let mut writes = Vec::new();
        for (offset, len) in ranges {
            let bytes: Vec<_> = pattern(*len).iter().map(|byte| !byte).collect();
            if wanted.len() < offset + len {
                wanted.resize(offset + len, 0);
            }
            wanted[*offset..][..*len].copy_from_slice(&bytes);
            writes.push((u64::try_from(*offset).unwrap(), Bytes::from(bytes)));
        }
        let path = path.clone();
        let size = u64::try_from(wanted.len()).unwrap();
        bench.done(match round % 2 {
            0 => Operation::Patch {
                path,
                writes,
                size: None,
            },
            _ => Operation::Seal { path, writes, size },
        });
        assert_eq!(bench.contents("parts"), wanted, "{round}");
    }
}

// Two uploads of one share: the second must not take the place of the first.
fn publishing_makes_directories_and_never_replaces(make: Make) {
    let mut bench = Bench::new(make);
    for (source, bytes) in [("incoming/1", b"one"), ("incoming/2", b"two")] {
        bench.done(create(source, bytes));
    }
    bench.done(publish("incoming/1", "shares/ab/cd/bucket/0"));
    assert!(!bench.exists("incoming/1"));
    let again = publish("incoming/2", "shares/ab/cd/bucket/0");
    assert_eq!(bench.errno(again), Errno::EXIST);
    assert_eq!(bench.contents("shares/ab/cd/bucket/0"), b"one");
    bench.done(publish("incoming/2", "shares/ab/cd/bucket/1"));
    assert_eq!(bench.contents("shares/ab/cd/bucket/1"), b"two");
}

// A slot's share is replaced under the eyes of readers; the replacement may need its own name still.
fn replacing_takes_the_place_of_a_file_and_may_keep_the_source(make: Make) {
    let mut bench = Bench::new(make);
    let replace = |source: &str, spare: Option<&str>, target: &str| Operation::Replace {
        source: StorePath::new(source),
        spare: spare.map(StorePath::new),
        target: StorePath::new(target),
    };
    for (name, bytes) in [("in/1", b"one"), ("in/2", b"two"), ("in/3", b"six")] {
        bench.done(create(name, bytes));
    }
    bench.done(replace("in/1", None, "shares/ab/bucket/0"));
    assert!(!bench.exists("in/1"));
    assert_eq!(bench.contents("shares/ab/bucket/0"), b"one");
    bench.done(replace("in/2", None, "shares/ab/bucket/0"));
    assert!(!bench.exists("in/2"));
    assert_eq!(bench.contents("shares/ab/bucket/0"), b"two");
    // Whatever has the spare name is what a replay left there.
    bench.done(create("in/spare", b"old"));
    for _ in 0..3 {
        bench.done(replace("in/3", Some("in/spare"), "shares/ab/bucket/0"));
        assert_eq!(bench.contents("shares/ab/bucket/0"), b"six");
        assert_eq!(bench.contents("in/3"), b"six");
    }
    bench.done(remove("in/3", 0));
    assert_eq!(bench.contents("shares/ab/bucket/0"), b"six");
    for spare in [None, Some("in/other")] {
        let errno = bench.errno(replace("in/absent", spare, "shares/ab/bucket/0"));
        assert_eq!(errno, Errno::NOENT);
    }
    bench.done(create("in/4", b"file"));
    let errno = bench.errno(replace("in/4", None, "shares/ab/bucket"));
    assert!(matches!(errno, Errno::ISDIR), "{errno}");
    assert_eq!(bench.contents("in/4"), b"file");
}

fn parts_of_a_file_are_copied_into_an_open_one(make: Make) {
    let mut bench = Bench::new(make);
    let bytes = pattern(700_000);
    bench.done(create("source", &bytes));
    bench.open_new("target");
    let copy = |source: &str, ranges: &[(u64, u64, u64)]| Operation::Copy {
        source: StorePath::new(source),
        file: FileId(0),
        ranges: ranges
            .iter()
            .map(|&(from, to, size)| CopyRange { from, to, size })
            .collect(),
    };
    bench.done(copy("source", &[]));
    bench.done(copy(
        "source",
        &[(0, 100, 600_000), (699_990, 0, 10), (5, 50, 0)],
    ));
    bench.done(write_at(0, 20, b"between"));
    let error = bench
        .perform(copy("source", &[(699_990, 0, 11)]))
        .unwrap_err();
    assert_eq!((error.call, error.errno), ("pread", Errno::IO));
    assert_eq!(bench.errno(copy("absent", &[(0, 0, 1)])), Errno::NOENT);
    bench.done(close(0));
    let mut wanted = vec![0; 600_100];
    wanted[..10].copy_from_slice(&bytes[699_990..]);
    wanted[20..27].copy_from_slice(b"between");
    wanted[100..].copy_from_slice(&bytes[..600_000]);
    assert!(bench.contents("target") == wanted);
}

fn directories_and_the_file_system_are_synced(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("a/b/file", b"x"));
    let paths = ["a/b", "a"].map(StorePath::new).into_iter();
    let paths = paths.chain([StorePath::root()]).collect();
    bench.done(Operation::SyncDirectories { paths });
    bench.done(Operation::SyncFileSystem);
}

fn a_size_that_no_file_can_have_is_told(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("file", b"bytes"));
    for size in [(1 << 63) - 1, u64::MAX] {
        let error = bench.perform(Operation::Patch {
            path: StorePath::new("file"),
            writes: vec![(0, Bytes::from_static(b"B"))],
            size: Some(size),
        });
        let error = error.unwrap_err();
        assert_eq!(error.call, "ftruncate");
        let known = [Errno::FBIG, Errno::INVAL];
        assert!(known.contains(&error.errno), "{error}");
    }
    assert_eq!(bench.contents("file"), b"Bytes");
    // The sync behind it succeeds, and must not make a success of it.
    let error = bench.perform(Operation::Seal {
        path: StorePath::new("file"),
        writes: vec![(0, Bytes::from_static(b"S"))],
        size: u64::MAX,
    });
    assert_eq!(error.unwrap_err().call, "ftruncate");
    assert_eq!(bench.contents("file"), b"Sytes");
}

fn a_patch_writes_in_place_and_sets_the_size(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("file", &[b'.'; 100]));
    let writes = (0..20).map(|i| (i * 5, Bytes::from_static(b"#")));
    bench.done(Operation::Patch {
        path: StorePath::new("file"),
        writes: writes.collect(),
        size: Some(98),
    });
    assert_eq!(bench.contents("file"), b"#....".repeat(20)[..98]);
    bench.done(Operation::Patch {
        path: StorePath::new("file"),
        writes: vec![
            (96, Bytes::from_static(b"##")),
            (97, Bytes::from_static(b"??")),
        ],
        size: None,
    });
    assert_eq!(&bench.contents("file")[94..], b".##??");
}

fn sealing_writes_in_place_sets_the_size_and_syncs(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("file", &[b'.'; 100]));
    bench.done(Operation::Seal {
        path: StorePath::new("file"),
        writes: vec![
            (90, Bytes::from_static(b"####")),
            (0, Bytes::from_static(b"#")),
        ],
        size: 92,
    });
    let expected = [&b"#"[..], &[b'.'; 89], b"##"].concat();
    assert_eq!(bench.contents("file"), expected);
    assert_eq!(
        bench.errno(Operation::Seal {
            path: StorePath::new("missing"),
            writes: vec![(0, Bytes::from_static(b"#"))],
            size: 1,
        }),
        Errno::NOENT
    );
    assert!(!bench.exists("missing"));
}

fn removing_prunes_directories_that_are_empty(make: Make) {
    let mut bench = Bench::new(make);
    for path in ["a/b/c/1", "a/b/c/2", "a/x"] {
        bench.done(create(path, b""));
    }
    bench.done(remove("a/b/c/1", 3));
    assert!(bench.exists("a/b/c/2"));
    bench.done(remove("a/b/c/2", 1));
    assert!(!bench.exists("a/b/c"));
    assert!(bench.exists("a/b"));
    bench.done(create("a/b/c/3", b""));
    bench.done(remove("a/b/c/3", 3));
    assert!(!bench.exists("a/b"));
    assert!(bench.exists("a"));
}

fn a_directory_is_listed_with_its_kinds(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("dir/file", b""));
    bench.done(create("dir/inner/file", b""));
    bench.done(create("dir/inner/deeper/file", b""));
    let Ok(Outcome::Listed(mut entries)) = bench.perform(list("dir")) else {
        panic!("not listed");
    };
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let entry = |name: &str, kind| Entry {
        name: name.into(),
        kind,
    };
    let file = entry("file", EntryKind::File);
    assert_eq!(entries, [file, entry("inner", EntryKind::Directory)]);
}

/// Makes files in a directory, the quickest way there is.
fn make_files(bench: &mut Bench, directory: &str, names: impl Iterator<Item = usize>) {
    for index in names {
        let name = format!("{directory}/{index:05}");
        match &bench.directory {
            Some(root) => drop(fs::File::create(root.path().join(name)).unwrap()),
            None => bench.done(create(&name, b"")),
        }
    }
}

fn page(bench: &mut Bench, path: &str, after: ListCursor) -> (Vec<String>, Option<ListCursor>) {
    let path = StorePath::new(path);
    match bench.perform(Operation::ListPage { path, after }) {
        Ok(Outcome::Page { entries, next }) => {
            assert!(entries.iter().all(|entry| entry.kind == EntryKind::File));
            let names = entries.into_iter().map(|entry| entry.name);
            (
                names.map(|name| String::from_utf8(name).unwrap()).collect(),
                next,
            )
        }
        result => panic!("{result:?}"),
    }
}

/// Lists all of a directory that has files of these numbers.
fn lists_in_pages(bench: &mut Bench, names: std::ops::Range<usize>) {
    let mut told = Vec::new();
    let mut after = ListCursor::Start;
    loop {
        let (names, next) = page(bench, "flat", after);
        told.extend(names);
        let Some(next) = next else {
            break;
        };
        after = next;
    }
    told.sort_unstable();
    let wanted: Vec<_> = names.map(|index| format!("{index:05}")).collect();
    assert!(
        told == wanted,
        "{} names told of {}",
        told.len(),
        wanted.len()
    );
}

// A flat store has all its buckets in one directory: above 65 536 of them nobody could list it.
fn a_directory_of_more_names_than_a_list_holds_is_listed_in_pages(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("flat/00000", b""));
    lists_in_pages(&mut bench, 0..1);
    make_files(&mut bench, "flat", 1..LIST_ENTRIES_MAX + 5000);
    let listed = bench.perform(list("flat")).map(|_| "all of it");
    assert_eq!(listed.unwrap_err().errno, Errno::OVERFLOW);
    lists_in_pages(&mut bench, 0..LIST_ENTRIES_MAX + 5000);
}

// A walk over a large store takes hours, in which uploads and removals go on, and the daemon may be
// started anew. A name that is missed is a share that is never checked, and then thought lost.
/// Three pages, the last one short.
const NAMES: usize = 2 * LIST_PAGE_LEN + 500;

fn names_that_stay_are_told_once_while_others_come_and_go(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("flat/00000", b""));
    make_files(&mut bench, "flat", 1..NAMES);
    let mut told = HashMap::<String, usize>::new();
    let mut gone = Vec::new();
    let mut after = Some(ListCursor::Start);
    let mut pages = 0;
    while let Some(cursor) = after {
        let (names, next) = page(&mut bench, "flat", cursor);
        for name in &names {
            *told.entry(name.clone()).or_default() += 1;
        }
        // The last name told, which the cursor may be made of; others told; others yet to come.
        let last = names.last().cloned();
        let some = (0..NAMES).skip(pages).step_by(97);
        let some = some.map(|index| format!("{index:05}")).chain(last);
        for name in some {
            if !gone.contains(&name) {
                bench.done(remove(&format!("flat/{name}"), 0));
                gone.push(name);
            }
        }
        make_files(
            &mut bench,
            "flat",
            (0..200).map(|index| 50_000 + 200 * pages + index),
        );
        pages += 1;
        after = next;
    }
    assert!(pages >= 3, "{pages} pages");
    let twice: Vec<_> = told.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "told twice: {twice:?}");
    let stayed = (0..NAMES).map(|index| format!("{index:05}"));
    let stayed = stayed.filter(|name| !gone.contains(name));
    let missed: Vec<_> = stayed.filter(|name| !told.contains_key(name)).collect();
    assert!(missed.is_empty(), "never told: {missed:?}");
}

// A position in another directory means nothing; whoever keeps cursors must hear of it.
fn a_position_in_another_directory_is_refused(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("flat/0", b""));
    let after = ListCursor::Position {
        inode: 1,
        offset: 0,
    };
    let path = StorePath::new("flat");
    let stale = Operation::ListPage { path, after };
    assert_eq!(bench.errno(stale), Errno::STALE);
    let path = StorePath::new("absent");
    let after = ListCursor::Start;
    let absent = Operation::ListPage { path, after };
    assert_eq!(bench.errno(absent), Errno::NOENT);
}

// Whatever an operator put there: it is left alone, not taken for a share.
fn a_link_is_listed_as_something_else_and_not_followed(make: Make) {
    let mut bench = Bench::new(make);
    bench.done(create("file", b"bytes"));
    bench.done(create("dir/file", b""));
    std::os::unix::fs::symlink("../file", bench.file("dir/link")).unwrap();
    let Ok(Outcome::Listed(entries)) = bench.perform(list("dir")) else {
        panic!("not listed");
    };
    let name = b"link".to_vec();
    let kind = EntryKind::Other;
    assert!(entries.contains(&Entry { name, kind }), "{entries:?}");
    assert_eq!(bench.errno(read("dir/link", &[(0, 5)])), Errno::LOOP);
    assert_eq!(
        bench.errno(open(0, "dir/link", OpenMode::Existing)),
        Errno::LOOP
    );
}

fn free_space_is_told(make: Make) {
    let mut bench = Bench::new(make);
    let Ok(Outcome::Space(space)) = bench.perform(Operation::FreeSpace) else {
        panic!("not told");
    };
    assert!(0 < space.free && space.free <= space.total, "{space:?}");
}

fn many_operations_are_in_flight_and_each_comes_back_once(make: Make) {
    let mut bench = Bench::new(make);
    let mut wanted = HashMap::new();
    for i in 0..600_usize {
        let path = format!("shares/{}/{i}", i % 7);
        let bytes = pattern(i * 3);
        let id = bench.submit(create(&path, &bytes));
        wanted.insert(id, (path, bytes));
    }
    assert_eq!(bench.engine.in_flight(), 600);
    for completion in bench.wait_for_all() {
        let (path, bytes) = wanted.remove(&completion.id).expect("came back once");
        assert_eq!(completion.result, Ok(Outcome::Done), "{path}");
        assert_eq!(bench.contents(&path), bytes);
    }
    assert!(wanted.is_empty());
    let reads: Vec<_> = (0..600)
        .map(|i| bench.submit(read(&format!("shares/{}/{i}", i % 7), &[(0, 10_000)])))
        .collect();
    let mut completions = bench.wait_for_all();
    completions.sort_by_key(|completion| completion.id);
    for (i, (completion, id)) in completions.into_iter().zip(reads).enumerate() {
        assert_eq!(completion.id, id);
        let Ok(Outcome::Read { pieces, .. }) = completion.result else {
            panic!("{:?}", completion.result);
        };
        assert_eq!(pieces, [pattern(i * 3)]);
    }
}

// The kernel writes into these buffers whatever becomes of the engine.
fn dropping_an_engine_waits_for_what_is_in_flight(make: Make) {
    let mut bench = Bench::new(make);
    let bytes = pattern(1 << 20);
    bench.done(create("file", &bytes));
    bench.open_new("journal");
    for i in 0..100 {
        bench.submit(read("file", &[(0, 1 << 20), (100, 1000)]));
        bench.submit(create(&format!("dir/{i}"), &bytes));
        bench.submit(Operation::FreeSpace);
    }
    bench.submit(Operation::Append {
        file: FileId(0),
        offset: 0,
        bytes: (&bytes[..]).into(),
        sync: true,
    });
    bench.engine.flush();
    let Bench {
        engine, directory, ..
    } = bench;
    drop(engine);
    drop(directory);
}

fn nothing_submitted_means_nothing_to_wait_for(make: Make) {
    let mut bench = Bench::new(make);
    bench.engine.flush();
    bench.engine.wait();
    let mut completions = Vec::new();
    bench.engine.reap(&mut completions);
    assert!(completions.is_empty());
    assert_eq!(bench.engine.in_flight(), 0);
}

/// Runs a test in a thread of its own: a filter on system calls stays with it.
fn apart(test: fn(Make), make: Make) {
    thread::spawn(move || test(make)).join().unwrap();
}

macro_rules! tests {
    ($make:expr, $($claim:ident)*) => {
        $(
            #[test]
            fn $claim() {
                crate::apart(crate::$claim, $make);
            }
        )*
    };
}

/// What every engine must do.
macro_rules! suite {
    ($make:expr) => {
        tests!($make,
            a_file_is_made_with_its_bytes_and_the_directories_above
            a_file_that_exists_is_refused_and_left_alone
            a_file_is_not_made_if_another_exists
            overwriting_replaces_all_of_a_file
            files_are_placed_each_by_itself
            directories_are_moved_each_by_itself
            names_of_the_wrong_kind_are_errors
            what_is_missing_is_said_to_be_missing
            reading_is_clipped_to_the_end_of_the_file
            an_open_file_is_written_anywhere_and_synced_and_closed
            an_append_is_written_and_gives_its_buffer_back
            a_durable_append_of_blocks_is_read_as_it_was_written
            blocks_and_an_end_make_a_file_of_any_size
            a_large_write_at_any_offset_is_read_as_it_was_written
            publishing_makes_directories_and_never_replaces
            replacing_takes_the_place_of_a_file_and_may_keep_the_source
            parts_of_a_file_are_copied_into_an_open_one
            directories_and_the_file_system_are_synced
            a_patch_writes_in_place_and_sets_the_size
            sealing_writes_in_place_sets_the_size_and_syncs
            removing_prunes_directories_that_are_empty
            a_directory_is_listed_with_its_kinds
            a_position_in_another_directory_is_refused
            free_space_is_told
            many_operations_are_in_flight_and_each_comes_back_once
            dropping_an_engine_waits_for_what_is_in_flight
            nothing_submitted_means_nothing_to_wait_for
        );
    };
}

/// What can only be seen on a real disk.
macro_rules! suite_on_disk {
    ($make:expr) => {
        suite!($make);
        tests!($make,
            offsets_beyond_4_gib_stay_where_they_are
            preallocated_space_is_zero_and_there
            a_size_that_no_file_can_have_is_told
            a_link_is_listed_as_something_else_and_not_followed
        );
    };
}

mod pool {
    suite_on_disk!(|| super::on_disk(|root| super::Pool::new(root).unwrap()));
}

// What kernels before 5.6 get, and containers whose filters do not know the call.
mod pool_without_openat2 {
    use rustix::io::Errno;

    suite_on_disk!(|| {
        super::deny::deny(OPENAT2..=OPENAT2, Errno::NOSYS);
        super::on_disk(|root| super::Pool::new(root).unwrap())
    });

    /// The number of the call, the same on every architecture.
    const OPENAT2: u32 = 437;
}

mod ring {
    suite_on_disk!(|| super::on_disk(|root| super::Ring::new(root).unwrap()));

    // Most reads are of what was written or read a moment ago: a trip through the event queue would
    // be most of what they cost.
    #[test]
    fn what_is_in_memory_is_read_when_it_is_submitted() {
        let mut bench =
            super::Bench::new(|| super::on_disk(|root| super::Ring::new(root).unwrap()));
        bench.done(super::create("bucket/0", b"a share"));
        bench.submit(super::read("bucket/0", &[(2, 5)]));
        bench.submit(super::list("bucket"));
        let mut completions = Vec::new();
        bench.engine.reap(&mut completions);
        let [read, listed] = &completions[..] else {
            panic!("{completions:?}");
        };
        let pieces = vec![b"share".to_vec()];
        assert_eq!(read.result, Ok(super::Outcome::Read { size: 7, pieces }));
        let Ok(super::Outcome::Listed(entries)) = &listed.result else {
            panic!("{listed:?}");
        };
        assert_eq!(entries[0].name, b"0");
    }
}

// What kernels before 5.19 get must not wait for one of them to be tested.
mod ring_without_chains {
    suite_on_disk!(|| super::on_disk(|root| super::Ring::without_chains(root).unwrap()));
}

/// Large directories, where making them is what takes the time.
mod pages {
    /// Where cursors are positions, if that is ext4, XFS or btrfs.
    mod on_disk {
        tests!(
            || crate::on_disk(|root| crate::Ring::new(root).unwrap()),
            names_that_stay_are_told_once_while_others_come_and_go
        );
    }

    /// Where they are names.
    mod in_memory {
        tests!(|| crate::in_memory(|root| crate::Pool::new(root).unwrap()),
            a_directory_of_more_names_than_a_list_holds_is_listed_in_pages
            names_that_stay_are_told_once_while_others_come_and_go
        );
    }
}

mod sim {
    use bucketfs::disk::sim::{Faults, Medium, Sim};

    suite!(|| {
        let medium = Medium::new(1 << 30);
        (Box::new(Sim::new(medium, 1, Faults::default())), None)
    });
    tests!(
        || {
            let medium = Medium::new(1 << 30);
            (Box::new(Sim::new(medium, 1, Faults::default())), None)
        },
        a_directory_of_more_names_than_a_list_holds_is_listed_in_pages
        names_that_stay_are_told_once_while_others_come_and_go
    );
}

#[cfg(feature = "tokio-uring")]
mod tokio_uring {
    use bucketfs::disk::TokioUring;

    suite_on_disk!(|| super::on_disk(|root| TokioUring::new(root).unwrap()));
}
