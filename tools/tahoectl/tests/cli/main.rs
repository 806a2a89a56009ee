//! The program as a user runs it, with real servers.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod files;
mod fsck;
mod hints;
mod json;
mod sizes;
mod stop;
mod terminal;
mod user;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use user::{NURL_OF_NOBODY, RunningGrid, User};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_configuration_is_for_its_owner_alone_and_never_made_twice() {
    let user = User::new();
    user.done(&["init", "-k", "2", "-n", "5"]);
    let home = user.home();
    assert_eq!(mode(&home), 0o700);
    for name in [
        "config.toml",
        "servers",
        "private/convergence",
        "private/master",
    ] {
        assert_eq!(mode(&home.join(name)), 0o600, "{name}");
    }
    let secret = fs::read(home.join("private/convergence")).unwrap();
    assert!(user.failed(3, &["init"]).contains("configured already"));
    assert_eq!(fs::read(home.join("private/convergence")).unwrap(), secret);
}

#[test]
fn a_configuration_that_makes_no_sense_is_named_with_what_to_try() {
    let user = User::new();
    let file = user.write("file", &[7; 100]);
    assert!(user.failed(3, &["upload", &file]).contains("tahoectl init"));
    user.done(&["init"]);
    assert!(user.failed(3, &["upload", &file]).contains("grid add"));
    assert!(
        user.failed(2, &["grid", "add", "pb://nonsense"])
            .contains("NURL")
    );

    let convergence = user.home().join("private/convergence");
    fs::write(&convergence, "short").unwrap();
    assert!(user.failed(3, &["upload", &file]).contains("base32"));

    let servers = user.home().join("servers");
    fs::write(&servers, "# a comment\n\npb://nonsense\n").unwrap();
    assert!(user.failed(3, &["grid", "list"]).contains("line 3"));
}

// A NURL in a file that others can read lets them in: `servers` was accepted at mode 644.
#[test]
fn a_secret_that_others_can_read_is_refused() {
    let user = User::new();
    user.done(&["init"]);
    let file = user.write("file", &[7; 100]);
    for name in ["servers", "private/convergence", "private/master"] {
        let path = user.home().join(name);
        for mode in [0o644, 0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let message = user.failed(3, &["upload", &file]);
            assert!(message.contains("open to others"), "{message}");
            assert!(message.contains(&format!("mode {mode:03o}")), "{message}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(user.failed(3, &["upload", &file]).contains("no server is"));
}

// `init` emptied the list of servers of a directory whose settings were lost.
#[test]
fn init_makes_what_is_missing_and_replaces_nothing() {
    let user = User::new();
    user.done(&["init"]);
    user.done(&["grid", "add", NURL_OF_NOBODY]);
    let names = [
        "config.toml",
        "servers",
        "private/convergence",
        "private/master",
    ];
    let read = || names.map(|name| fs::read(user.home().join(name)).unwrap());
    for lost in 0..names.len() {
        let before = read();
        fs::remove_file(user.home().join(names[lost])).unwrap();
        assert!(user.remarks(&["init"]).contains(names[lost]));
        let after = read();
        for (index, name) in names.iter().enumerate().filter(|(index, _)| *index != lost) {
            assert!(before[index] == after[index], "{name}");
        }
        user.done(&["grid", "add", NURL_OF_NOBODY]);
    }
}

#[test]
fn what_is_no_capability_is_a_usage_error() {
    let user = User::new();
    for text in [
        "",
        "hello",
        "URI:TLN1:a:b:3:10:5",
        "URI:LIT:ab",
        "URI:CHK:x",
    ] {
        let message = user.failed(2, &["download", text]);
        assert!(message.contains("capability"), "{text}: {message}");
    }
}

// A literal needs neither servers nor a configuration.
#[test]
fn a_literal_is_downloaded_without_a_grid() {
    let user = User::new();
    assert_eq!(user.done(&["download", "URI:LIT:nbswy3dp"]), "hello");
    let page = "http://127.0.0.1:3456/uri/URI%3ALIT%3Anbswy3dp";
    assert_eq!(user.done(&["download", page]), "hello");
    let range = ["download", "--range", "1-2", "URI:LIT:nbswy3dp"];
    assert_eq!(user.done(&range), "el");
    let cap = user.write("cap", b"URI:LIT:nbswy3dp\n");
    assert_eq!(user.done(&["download", "--cap-file", &cap]), "hello");
    let mut piped = user
        .command(&["download", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    piped
        .stdin
        .take()
        .unwrap()
        .write_all(b" URI:LIT:nbswy3dp\n")
        .unwrap();
    assert_eq!(piped.wait_with_output().unwrap().stdout, b"hello");
}

#[test]
fn files_go_to_real_servers_and_come_back_in_the_order_they_were_named() {
    let grid = RunningGrid::start(4);
    let user = &grid.user;
    let contents: Vec<Vec<u8>> = [900_usize, 0, 20, 5_000_000, 300_000]
        .iter()
        .map(|&len| (0..=250).cycle().skip(len % 7).take(len).collect())
        .collect();
    let files: Vec<_> = contents
        .iter()
        .enumerate()
        .map(|(index, bytes)| user.write(&format!("file-{index}"), bytes))
        .collect();
    let mut arguments = vec!["upload"];
    arguments.extend(files.iter().map(String::as_str));
    let printed = user.done(&arguments);
    assert_eq!(user.done(&arguments), printed, "the second time, the same");
    let (caps, names): (Vec<_>, Vec<_>) = printed
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .unzip();
    assert_eq!(names, files);
    let copy = user.path("copy");
    let copy = copy.to_str().unwrap();
    for (cap, bytes) in caps.iter().zip(&contents) {
        user.done(&["download", cap, "-fo", copy]);
        assert!(fs::read(copy).unwrap() == *bytes, "{} bytes", bytes.len());
    }

    // Which capability is whose was lost with the file in between.
    let missing = user.path("missing");
    let missing = missing.to_str().unwrap();
    let output = user.run(&["upload", &files[0], missing, &files[2]]);
    assert_eq!(output.status.code(), Some(3));
    let expected = format!("{}  {}\n{}  {}\n", caps[0], files[0], caps[2], files[2]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains(missing), "{message}");

    let mut input = user.command(&["upload", "-"]);
    input.stdin(File::open(&files[3]).unwrap());
    let cap = String::from_utf8(input.output().unwrap().stdout).unwrap();
    assert_ne!(cap.trim(), caps[3], "a stream has a random key");
    let output = user.run(&["download", cap.trim()]);
    assert!(output.stdout == contents[3]);

    // Nobody reads what is written: no panic, no message.
    let mut cut = user.command(&["download", caps[3]]);
    let mut child = cut
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(141), "as by SIGPIPE");
}

#[test]
fn a_grid_that_is_down_is_an_error_by_server_and_leaves_no_file() {
    let grid = RunningGrid::start(3);
    let user = &grid.user;
    let file = user.write("file", &[5; 5000]);
    let cap = user.done(&["upload", &file]);
    user.done(&["grid", "down", &grid.directory]);
    assert!(
        user.failed(3, &["grid", "down", &grid.directory])
            .contains("no grid")
    );
    let copy = user.path("copy");
    let arguments = ["download", cap.trim(), "-o", copy.to_str().unwrap()];
    let message = user.failed(3, &arguments);
    assert_eq!(message.matches("127.0.0.1:").count(), 3, "{message}");
    let message = user.failed(3, &["upload", &file]);
    assert!(message.contains("cannot be reached"), "{message}");
    let names = fs::read_dir(user.directory.path()).unwrap();
    let partial = names.filter(|name| {
        let name = name.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("copy")
    });
    assert_eq!(partial.count(), 0);
}

// The promise of the README: one command, nothing configured, nothing left behind.
#[test]
fn try_shows_the_whole_way_and_cleans_up() {
    let user = User::new();
    let empty = user.write("empty", &[]);
    let file = user.write("file", &[9; 70_000]);
    let output = user.run(&["try", &file, &empty]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert_eq!(message.matches("the same bytes").count(), 2, "{message}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    let left = fs::read_dir(user.directory.path()).unwrap().count();
    assert_eq!(left, 2, "only the two files are left");
}
