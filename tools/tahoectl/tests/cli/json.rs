//! What a program reads: every line an object of a known shape, also when things go wrong.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;

use crate::user::{NURL_OF_NOBODY, RunningGrid, User};

fn object(text: &[u8]) -> Value {
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["version"], 1, "{object}");
    assert!(object["type"].is_string(), "{object}");
    object
}

#[test]
fn usage_errors_are_objects_too() {
    let user = User::new();
    for arguments in [
        &["--json", "no-such-command"][..],
        &["--json"],
        &["upload", "--json"],
        &["upload", "--json", "-k", "many", "file"],
        &["download", "--json", "--range", "backwards", "URI:LIT:aa"],
        &["--json", "download", "not a capability"],
        &["--json", "init", "-k", "5", "-n", "4"],
    ] {
        let output = user.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let error = object(&output.stderr);
        assert_eq!(
            (&error["type"], &error["exit"]),
            (&"error".into(), &2.into()),
            "{error}"
        );
        assert!(
            error["error"].is_string() && error["kind"].is_string(),
            "{error}"
        );
    }
    // After `--` it is a file.
    let output = user.run(&["upload", "--no-such-option", "--", "--json"]);
    assert!(output.stderr.starts_with(b"error: "));
}

#[test]
fn an_error_names_its_file_and_each_failure_its_server_and_kind() {
    let user = User::new();
    user.done(&["init"]);
    user.done(&["grid", "add", NURL_OF_NOBODY]);
    let file = user.write("file", &[4; 900]);
    let output = user.run(&["--json", "upload", &file]);
    assert_eq!(output.status.code(), Some(3));
    let error = object(&output.stderr);
    assert_eq!(error["kind"], "too_few_servers");
    assert_eq!(error["file"], file);
    let failure = &error["failures"][0];
    assert_eq!(failure["server"], "127.0.0.1:9");
    assert_eq!(failure["kind"], "unreachable");
    assert!(failure["reason"].is_string());

    let missing = user.path("missing");
    let output = user.run(&["--json", "upload", missing.to_str().unwrap()]);
    let error = object(&output.stderr);
    assert_eq!(
        (&error["kind"], &error["file"]),
        (&"input".into(), &missing.to_str().into())
    );
}

// A name that was not UTF-8 lost its bytes.
#[test]
fn a_name_that_is_not_text_comes_back_byte_for_byte() {
    let grid = RunningGrid::start(1);
    let user = &grid.user;
    let name = OsStr::from_bytes(b"caf\xe9\x01");
    let path = user.directory.path().join(name);
    fs::write(&path, [3; 900]).unwrap();
    let output = user
        .command(&["--json", "upload"])
        .arg(&path)
        .output()
        .unwrap();
    let uploaded = object(&output.stdout);
    let decode = |object: &Value| {
        let text = object["file_b64"].as_str().unwrap();
        data_encoding::BASE64.decode(text.as_bytes()).unwrap()
    };
    assert_eq!(decode(&uploaded), path.as_os_str().as_bytes());
    let copy = user.directory.path().join(OsStr::from_bytes(b"copy\xff"));
    let cap = uploaded["cap"].as_str().unwrap();
    let output = user
        .command(&["--json", "download", cap, "-o"])
        .arg(&copy)
        .output()
        .unwrap();
    let downloaded = object(&output.stdout);
    assert_eq!(decode(&downloaded), copy.as_os_str().as_bytes());
    let output = user
        .command(&["--json", "download", cap, "-o"])
        .arg(&copy)
        .output()
        .unwrap();
    assert_eq!(object(&output.stderr)["kind"], "output_exists");
    // In text, as sha256sum has it: the bytes as they are.
    let output = user
        .command(&["upload"])
        .args([&path, &path])
        .output()
        .unwrap();
    let line = output.stdout.split(|byte| *byte == b'\n').next().unwrap();
    assert!(line.ends_with(path.as_os_str().as_bytes()));
}
