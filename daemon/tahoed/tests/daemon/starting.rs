//! What `tahoed` says and does before it serves: help, init, and everything that keeps it from it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use lafs::nurl::Nurl;

use crate::client::{Client, bucket};
use crate::node::{Node, tahoed};

/// Exit code, standard output, standard error.
fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn help_and_version_say_what_it_is() {
    let (code, help, _) = output(tahoed().arg("--help"));
    assert_eq!(code, Some(0));
    for word in [
        "init",
        "adopt",
        "run",
        "nurl",
        "servers-yaml",
        "tahoed init /srv/tahoed --location",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
    let (code, version, _) = output(tahoed().arg("--version"));
    assert_eq!(
        (code, version),
        (Some(0), format!("tahoed {}\n", env!("CARGO_PKG_VERSION")))
    );
    let (code, _, complaint) = output(tahoed().arg("serve"));
    assert_eq!(code, Some(2), "{complaint}");
}

#[test]
fn init_makes_what_nurl_prints_and_never_twice() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("node");
    let init = || {
        let mut command = tahoed();
        command.arg("init").arg(&path);
        command.args([
            "--port",
            "4444",
            "--location",
            "a.example",
            "--location",
            "[::1]:99",
        ]);
        output(&mut command)
    };
    assert_eq!(init().0, Some(0));
    for (name, mode) in [
        ("", 0o700),
        ("private", 0o700),
        ("private/node.pem", 0o600),
        ("private/swissnum", 0o600),
    ] {
        let permissions = fs::metadata(path.join(name)).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{name}");
    }
    let (code, nurls, _) = output(tahoed().arg("nurl").arg(&path));
    assert_eq!(code, Some(0));
    let nurls: Vec<Nurl> = nurls.lines().map(|line| line.parse().unwrap()).collect();
    let places: Vec<_> = nurls
        .iter()
        .map(|nurl| (nurl.host().as_str(), nurl.port()))
        .collect();
    assert_eq!(places, [("a.example", 4444), ("::1", 99)]);

    let (code, yaml, _) = output(tahoed().arg("servers-yaml").arg(&path));
    assert_eq!(code, Some(0));
    assert!(yaml.starts_with("storage:\n  v0-"), "{yaml}");
    assert!(
        nurls.iter().all(|nurl| yaml.contains(&nurl.to_string())),
        "{yaml}"
    );

    let before = fs::read(path.join("private/node.pem")).unwrap();
    let (code, _, complaint) = init();
    assert_eq!(code, Some(3));
    assert!(complaint.contains("there is a server in"), "{complaint}");
    assert_eq!(fs::read(path.join("private/node.pem")).unwrap(), before);
}

#[test]
fn a_directory_that_was_never_made_is_not_run() {
    let (code, _, complaint) = output(tahoed().args(["run", "/nonexistent/node"]));
    assert_eq!(code, Some(3));
    assert!(
        complaint.contains("tahoed init /nonexistent/node"),
        "{complaint}"
    );
}

/// Runs a node that must not start, and looks for words in what it says.
fn refuses(node: &Node, words: &str) {
    let (code, said) = node.fail();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(words), "{words:?} is not in {said:?}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_key_that_is_not_known_is_refused_with_its_place() {
    let node = Node::new("connections = 5");
    refuses(&node, "line 6, column 1");
    refuses(&node, "tahoed.toml");
}

#[test]
fn a_store_that_is_a_file_is_refused() {
    let node = Node::new("");
    fs::remove_dir_all(node.store()).unwrap();
    fs::write(node.store(), b"not a directory").unwrap();
    refuses(&node, "is not a directory");
}

#[test]
fn a_store_that_is_in_use_is_refused() {
    let node = Node::new("");
    let running = node.start();
    refuses(&node, "in use by another process");
    drop(running);
    node.start();
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let node = Node::new("");
    drop(node.start());
    let path = node.store().join("version");
    let version = fs::read_to_string(&path).unwrap();
    let newer = version.replacen('1', "9999", 1);
    assert_ne!(newer, version);
    fs::write(&path, &newer).unwrap();
    refuses(&node, "format version 9999");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn a_store_that_cannot_be_written_is_refused() {
    let node = Node::new("store.path = '/proc/tahoed-test'");
    let (code, said) = node.fail();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("/proc"), "{said}");
}

#[test]
fn an_address_that_is_taken_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Node::new("");
    let path = node.directory().config_path();
    let port = taken.local_addr().unwrap().port();
    let config = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")),
    )
    .unwrap();
    refuses(&node, "another program listens there");
}

#[test]
fn an_identity_that_is_damaged_is_refused_by_name() {
    let node = Node::new("");
    fs::write(node.directory().identity_path(), b"nothing").unwrap();
    refuses(&node, "node.pem: it holds no certificate");
}

#[tokio::test]
async fn every_io_engine_serves() {
    for engine in ["auto", "pool"] {
        let node = Node::new(&format!("store.io_engine = '{engine}'"));
        let running = node.start();
        let mut client = Client::connect(&running.nurl, 1).await.unwrap();
        client.put(bucket(1), 0, b"share").await;
        assert_eq!(
            client.share(bucket(1), 0).await.unwrap(),
            b"share",
            "{engine}"
        );
    }
}

#[tokio::test]
async fn relaxed_and_read_only_are_said_in_welcome() {
    for (settings, relaxed, read_only) in [
        ("store.durability = 'relaxed'", true, false),
        ("store.read_only = true", false, true),
    ] {
        let node = Node::new(settings);
        let running = node.start();
        let mut client = Client::connect(&running.nurl, 1).await.unwrap();
        let Some(protocol::client::Event::Welcome(welcome)) = client.next().await.unwrap() else {
            panic!("WELCOME comes first");
        };
        assert_eq!((welcome.relaxed, welcome.read_only), (relaxed, read_only));
    }
}

// What is lost at the next boot has to be told before it.
#[test]
fn a_store_in_memory_is_warned_of() {
    let in_memory = std::path::Path::new("/dev/shm");
    if !rustix::fs::statfs(in_memory).is_ok_and(|found| found.f_type == 0x0102_1994) {
        // This machine has none there.
        return;
    }
    let temporary = tempfile::tempdir_in(in_memory).unwrap();
    let node = Node::new("");
    let store = temporary.path().join("store");
    let mut init = tahoed();
    init.arg("init").arg(node.directory().path());
    let (code, said, complaint) = output(init.arg("--store").arg(&store));
    assert_eq!(code, Some(0), "{said}{complaint}");
    let running = node.start();
    running.logged("the store lies in memory");
}

// Leases of decades came of a clock that was ahead for a moment, and nothing said so.
#[test]
fn a_clock_that_is_behind_the_store_is_said() {
    let node = Node::new("");
    let running = node.start();
    running.terminate();
    let log = running.logged("stopped");
    assert!(!log.contains("the clock"), "{log}");
    assert!(running.wait().success());
    let journal = fs::File::options()
        .write(true)
        .open(node.store().join("journal/a"))
        .unwrap();
    let later = SystemTime::now() + Duration::from_secs(1000 * 24 * 60 * 60 + 600);
    journal.set_modified(later).unwrap();
    let running = node.start();
    let log = running.logged("behind the time at which the store was last used");
    assert!(log.contains("days=1000"), "{log}");
}
