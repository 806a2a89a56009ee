//! `tahoectl fsck` on the store of a server, running and stopped.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::user::{RunningGrid, User};

/// The only store below a directory.
fn store(below: &Path) -> PathBuf {
    let mut directories = vec![below.to_owned()];
    while let Some(directory) = directories.pop() {
        if directory.join("version").is_file() && directory.join("shares").is_dir() {
            return directory;
        }
        let entries = fs::read_dir(directory).unwrap();
        let below = entries.map(|entry| entry.unwrap().path());
        directories.extend(below.filter(|path| path.is_dir()));
    }
    panic!("there is a store below {}", below.display());
}

/// The only share below a directory.
fn only_share(below: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut directories = vec![below.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let list = if path.is_dir() {
                &mut directories
            } else {
                &mut files
            };
            list.push(path);
        }
    }
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

fn objects(text: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap());
    objects.collect()
}

#[test]
fn a_store_is_checked_and_put_right_with_its_daemon_and_without() {
    let grid = RunningGrid::start(1);
    let user = &grid.user;
    // Large enough not to be in the journal, which is believed before the tree.
    let file = user.write("file", &[7; 300_000]);
    user.done(&["upload", &file]);
    let store = store(Path::new(&grid.directory));
    let path = store.to_str().unwrap();
    let said = user.done(&["fsck", path]);
    assert!(said.contains("1 buckets, 1 immutable"), "{said}");

    let share = store.join("shares/ae/aq/aeaqcaibaeaqcaibaeaqcaibae/3");
    fs::create_dir_all(share.parent().unwrap()).unwrap();
    fs::write(&share, b"hello, world").unwrap();
    let output = user.run(&["fsck", path]);
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("damage   container        shares/ae/aq"),
        "{said}"
    );
    // The daemon does it.
    let output = user.run(&["--json", "fsck", "--repair", path]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(objects(&output.stdout)[0]["outcome"], "corrected");
    assert!(!share.exists());
    assert!(user.done(&["fsck", path]).contains("errors left 0"));

    // As after a disk has changed a bit.
    let uploaded = only_share(&store.join("shares"));
    let mut bytes = fs::read(&uploaded).unwrap();
    bytes[5000] ^= 1;
    fs::write(&uploaded, &bytes).unwrap();
    user.done(&["fsck", path]);
    let output = user.run(&["--json", "fsck", "--deep", path]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(objects(&output.stdout)[0]["kind"], "share-bytes");
    let output = user.run(&["fsck", "--deep", "--repair", path]);
    assert_eq!(output.status.code(), Some(1));
    user.done(&["upload", &file]);
    user.done(&["fsck", "--deep", path]);

    fs::create_dir_all(share.parent().unwrap()).unwrap();
    fs::write(&share, b"hello, world").unwrap();
    user.done(&["grid", "down", &grid.directory]);
    let output = user.run(&["--json", "fsck", "--repair", "--dry-run", path]);
    assert_eq!(output.status.code(), Some(4));
    let [finding, summary] = &objects(&output.stdout)[..] else {
        panic!("a finding and a summary");
    };
    assert_eq!(finding["type"], "finding");
    assert_eq!(finding["kind"], "container");
    assert_eq!(finding["share"], 3);
    assert_eq!(finding["outcome"], "planned");
    assert_eq!(summary["type"], "fsck");
    assert_eq!(summary["exit"], 4);
    assert!(share.exists());
    let output = user.run(&["--json", "fsck", "--repair", path]);
    assert_eq!(output.status.code(), Some(1));
    let moved = &objects(&output.stdout)[0]["to"];
    let moved = store.join(moved.as_str().unwrap());
    assert_eq!(fs::read(moved).unwrap(), b"hello, world");
    user.done(&["fsck", "--repair", path]);
    // The server serves what it did.
    user.done(&["grid", "up", &grid.directory]);
    user.done(&["fsck", path]);
}

#[test]
fn a_command_line_that_makes_no_sense_has_the_code_of_fsck() {
    let user = User::new();
    user.failed(16, &["fsck"]);
    user.failed(16, &["fsck", "--rate", "0", "/nowhere"]);
    let missing = user.failed(8, &["fsck", "/nowhere/store"]);
    assert!(
        missing.contains("the one with the file `version`"),
        "{missing}"
    );
}
