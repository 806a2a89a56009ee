//! What can be uploaded, and where a download can go.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use crate::user::{NURL_OF_NOBODY, Running, RunningGrid, User};

const CAP: &str = "URI:LIT:nbswy3dp";

/// A user whose small files are literals, for which no server is asked.
fn configured() -> User {
    let user = User::new();
    user.done(&["init"]);
    user.done(&["grid", "add", NURL_OF_NOBODY]);
    user
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

// It was replaced without a word, and a file of mode 0600 became one of mode 0644.
#[test]
fn a_file_is_replaced_only_by_force_and_for_the_same_readers() {
    let user = User::new();
    let copy = user.path("copy");
    let output = copy.to_str().unwrap();
    user.done(&["download", CAP, "-o", output]);
    for mode_before in [0o600, 0o640, 0o444] {
        fs::write(&copy, "old").unwrap_or_default();
        fs::remove_file(&copy).unwrap();
        fs::write(&copy, "old").unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode_before)).unwrap();
        let message = user.failed(3, &["download", CAP, "-o", output]);
        assert!(message.contains("exists already"), "{message}");
        assert_eq!(fs::read(&copy).unwrap(), b"old");
        user.done(&["download", CAP, "-f", "-o", output]);
        assert_eq!(fs::read(&copy).unwrap(), b"hello");
        assert_eq!(mode(&copy), mode_before);
    }
}

#[test]
fn a_new_file_is_for_whom_the_umask_lets() {
    let user = User::new();
    for (mask, expected) in [("022", 0o644), ("077", 0o600), ("027", 0o640)] {
        let line = format!("umask {mask}; tahoectl download {CAP} -o copy-{mask}");
        assert!(user.shell(&line).status.success());
        assert_eq!(mode(&user.path(&format!("copy-{mask}"))), expected);
    }
}

#[test]
fn through_a_symbolic_link_what_it_leads_to_is_written_in_one_step() {
    let user = User::new();
    fs::create_dir(user.path("elsewhere")).unwrap();
    let (link, second) = (user.path("link"), user.path("second"));
    symlink("elsewhere/file", &link).unwrap();
    symlink("link", &second).unwrap();
    // A link that leads to nothing yet was itself replaced.
    user.done(&["download", CAP, "-o", second.to_str().unwrap()]);
    let file = user.path("elsewhere/file");
    assert_eq!(fs::read(&file).unwrap(), b"hello");
    let before = fs::metadata(&file).unwrap().ino();
    user.failed(3, &["download", CAP, "-o", link.to_str().unwrap()]);
    user.done(&["download", CAP, "-fo", link.to_str().unwrap()]);
    assert_ne!(fs::metadata(&file).unwrap().ino(), before, "replaced whole");
    for link in [&link, &second] {
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    }
    let circle = user.path("circle");
    symlink("circle", &circle).unwrap();
    let message = user.failed(3, &["download", CAP, "-o", circle.to_str().unwrap()]);
    assert!(message.contains("symbolic links"), "{message}");
}

#[test]
fn a_pipe_or_a_descriptor_is_written_to_and_not_replaced() {
    let user = User::new();
    let line = format!(
        "mkfifo pipe && cat pipe > from-pipe & tahoectl download {CAP} -o >(cat > from-process) && \
         until [ -p pipe ]; do :; done; tahoectl download {CAP} -o pipe && wait && [ -p pipe ] && \
         echo before > kept && tahoectl download {CAP} -o /dev/stdout >> kept && \
         tahoectl download {CAP} -o /dev/null && [ -c /dev/null ]"
    );
    let output = user.shell(&line);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert_eq!(fs::read(user.path("from-pipe")).unwrap(), b"hello");
    assert_eq!(fs::read(user.path("kept")).unwrap(), b"before\nhello");
}

#[test]
fn what_takes_no_file_is_refused() {
    let user = User::new();
    let socket = user.path("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let place = user.directory.path().to_str().unwrap();
    for (target, kind) in [
        (place, "a directory"),
        (socket.to_str().unwrap(), "a socket"),
    ] {
        for force in [&[][..], &["--force"]] {
            let arguments = [&["download", CAP, "-o", target][..], force].concat();
            let message = user.failed(3, &arguments);
            assert!(
                message.contains(kind) && message.contains("hint: "),
                "{message}"
            );
        }
    }
}

#[test]
fn what_can_be_read_only_once_is_uploaded_as_a_stream() {
    let grid = RunningGrid::start(1);
    let user = &grid.user;
    let bytes = vec![6; 700_000];
    user.write("file", &bytes);
    for line in [
        "tahoectl upload <(cat file)",
        "mkfifo pipe; cat file > pipe & tahoectl upload pipe",
        "cat file | tahoectl upload /dev/stdin",
        "tahoectl upload - < file",
    ] {
        let output = user.shell(line);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {message}");
        let cap = String::from_utf8(output.stdout).unwrap();
        assert!(
            user.run(&["download", cap.trim()]).stdout == bytes,
            "{line}"
        );
    }
    // It says that it is empty, and then has content.
    let cap = user.done(&["upload", "/proc/self/mountinfo"]);
    assert!(!user.done(&["download", cap.trim()]).is_empty());
}

#[test]
fn what_has_no_content_of_its_own_is_named_and_stops_nothing_else() {
    let user = configured();
    let file = user.write("file", b"hello");
    let socket = user.path("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let place = user.directory.path().to_str().unwrap();
    let output = user.run(&[
        "upload",
        place,
        socket.to_str().unwrap(),
        "/dev/null",
        &file,
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{CAP}  {file}\n")
    );
    let message = String::from_utf8(output.stderr).unwrap();
    for kind in ["is a directory", "is a socket", "is a device"] {
        assert!(message.contains(kind), "{message}");
    }
    assert_eq!(message.matches("hint: ").count(), 3, "{message}");
}

// It was taken for an empty file.
#[test]
fn a_closed_standard_input_is_an_error_and_an_empty_one_is_not() {
    let user = configured();
    for command in ["upload", "download"] {
        for closed in ["<&-", "<> /dev/null", "0> out"] {
            let output = user.shell(&format!("tahoectl {command} - {closed}"));
            assert_eq!(output.status.code(), Some(3), "{command} {closed}");
            assert!(output.stdout.is_empty());
        }
    }
    let output = user.shell("tahoectl upload - < /dev/null");
    assert_eq!(output.stdout, b"URI:LIT:\n");
    // Two readers of one stream would each have got a part of it.
    let output = user.shell("echo hello | tahoectl upload - -");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
}

// All of them were opened at once, and the connections found no descriptor left.
#[test]
fn more_files_than_descriptors_are_uploaded() {
    let grid = RunningGrid::start(3);
    let user = &grid.user;
    fs::create_dir(user.path("many")).unwrap();
    for index in 0..300_u16 {
        let bytes: Vec<u8> = index.to_be_bytes().repeat(50);
        user.write(&format!("many/{index}"), &bytes);
    }
    let output = user.shell("ulimit -n 100; tahoectl upload many/*");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().lines().count(),
        300
    );
}

// A name that breaks the line would put a made-up capability into the list.
#[test]
fn a_name_with_a_line_feed_does_not_break_the_list() {
    let user = configured();
    let names = ["two\nlines", "back\\slash", "plain"].map(|name| user.write(name, b"hello"));
    let arguments = [&["upload"][..], &names.each_ref().map(String::as_str)].concat();
    let printed = user.done(&arguments);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 3, "{printed}");
    assert!(lines[0].starts_with('\\') && lines[0].ends_with("two\\nlines"));
    assert!(lines[1].starts_with('\\') && lines[1].ends_with("back\\\\slash"));
    assert!(lines[2].starts_with("URI:LIT:"));
}

#[test]
fn nobody_reading_is_quiet_and_ends_as_by_sigpipe() {
    let user = configured();
    let file = user.write("file", b"hello");
    for arguments in [
        &["download", CAP][..],
        &["upload", &file],
        &["upload", &file, &file],
        &["--json", "upload", &file],
        &["grid", "list"],
    ] {
        let child = user
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut running = Running(child.unwrap());
        drop(running.0.stdout.take());
        let mut message = String::new();
        let mut stderr = running.0.stderr.take().unwrap();
        stderr.read_to_string(&mut message).unwrap();
        assert_eq!(message, "", "{arguments:?}");
        assert_eq!(running.0.wait().unwrap().code(), Some(141), "{arguments:?}");
    }
}
