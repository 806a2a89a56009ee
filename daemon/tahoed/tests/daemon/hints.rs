//! Every hint is a command that works: each is provoked here, and then done as it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::adopting;
use crate::client::{Client, bucket};
use crate::node::{Node, localise, node_with_a_share, start, tahoed};

/// Exit code and everything that is said.
fn say(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// What `tahoed` says when it cannot.
fn complaint<const COUNT: usize>(arguments: [&str; COUNT]) -> String {
    let (code, said) = say(tahoed().args(arguments));
    assert_eq!(code, Some(3), "{said}");
    // Of `run` the log comes before it.
    let said = said.trim_end().lines().last().unwrap().to_owned();
    assert!(said.starts_with("tahoed: "), "{said}");
    assert!(!said.contains(char::is_control), "{said:?}");
    said
}

/// Does what a message says: the command that begins with these words, in a shell.
fn follow(said: &str, begin: &str) {
    let at = said.find(begin);
    let command = &said[at.unwrap_or_else(|| panic!("no {begin:?} in {said:?}"))..];
    let command = command.split([';', '\n']).next().unwrap();
    // The same, but for the size of a disk that tests share.
    let command = match command.starts_with("tahoed init") && !command.contains("--store") {
        true => &format!("{command} --journal-size 1MiB"),
        false => command,
    };
    let programs = Path::new(env!("CARGO_BIN_EXE_tahoed")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).env("PATH", path);
    let (code, done) = say(&mut shell);
    assert_eq!(code, Some(0), "{command}: {done}");
}

/// That the server in a directory serves, and what it has of the share.
async fn share_of(directory: &Path) -> Option<Vec<u8>> {
    let running = start(directory);
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let share = client.share(bucket(1), 0).await;
    drop(client);
    running.terminate();
    assert!(running.wait().success());
    share
}

#[tokio::test]
async fn a_server_that_was_never_made_is_made() {
    let temporary = TempDir::new().unwrap();
    let directory = temporary.path().join("a node");
    let path = directory.to_str().unwrap();
    for verb in ["run", "nurl", "servers-yaml"] {
        let said = complaint([verb, path]);
        assert!(said.contains("there is no server in"), "{said}");
    }
    follow(&complaint(["run", path]), "tahoed init");
    localise(&directory);
    assert_eq!(share_of(&directory).await, None);
    let said = complaint(["init", path]);
    assert!(said.contains("there is a server in"), "{said}");
    // It is the command that serves, which a shell would wait for.
    assert!(said.contains(&format!("tahoed run '{path}'")), "{said}");
}

#[test]
fn a_directory_above_that_is_missing_is_made() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("x/y/node");
    let path = path.to_str().unwrap();
    follow(&complaint(["init", path]), "mkdir -p");
    let (code, said) = say(tahoed().args(["init", path, "--journal-size", "1MiB"]));
    assert_eq!(code, Some(0), "{said}");
}

// Once it said to make the directory with `tahoed init`, which then refused.
#[tokio::test]
async fn shares_outlive_a_key_or_a_swissnum_that_is_lost_or_damaged() {
    for (name, contents) in [
        ("node.pem", None),
        ("node.pem", Some("nonsense")),
        ("node.pem", Some("")),
        ("swissnum", None),
        ("swissnum", Some("not base32!")),
        ("swissnum", Some("\u{1b}[2J\0")),
    ] {
        let node = node_with_a_share().await;
        let directory = node.directory();
        let path = directory.path().join("private").join(name);
        match contents {
            Some(contents) => fs::write(&path, contents).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let said = complaint(["run", directory.path().to_str().unwrap()]);
        assert!(said.contains(name), "{said}");
        assert!(said.contains("restore it from a backup"), "{said}");
        follow(&said, "tahoed init");
        let new = PathBuf::from(format!("{}.new", directory.path().display()));
        localise(&new);
        assert_eq!(
            share_of(&new).await.as_deref(),
            Some(&b"share"[..]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn secrets_that_others_can_read_are_made_secret() {
    let node = node_with_a_share().await;
    let directory = node.directory();
    for path in [directory.swissnum_path(), directory.identity_path()] {
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        for verb in ["run", "nurl", "servers-yaml"] {
            let said = complaint([verb, directory.path().to_str().unwrap()]);
            assert!(
                said.contains("other users of this machine can read"),
                "{said}"
            );
        }
        follow(
            &complaint(["nurl", directory.path().to_str().unwrap()]),
            "chmod 600",
        );
    }
    assert!(share_of(directory.path()).await.is_some());
}

#[tokio::test]
async fn a_configuration_that_is_lost_is_made_anew_and_all_else_stays() {
    for contents in [Some(""), Some(" \n"), Some("\0\0\0\0"), None] {
        let node = node_with_a_share().await;
        let directory = node.directory();
        let key = fs::read(directory.identity_path()).unwrap();
        let path = directory.config_path();
        let begin = match contents {
            Some(contents) => {
                fs::write(&path, contents).unwrap();
                "rm "
            }
            None => {
                fs::remove_file(&path).unwrap();
                "tahoed init"
            }
        };
        follow(
            &complaint(["run", directory.path().to_str().unwrap()]),
            begin,
        );
        localise(directory.path());
        assert_eq!(fs::read(directory.identity_path()).unwrap(), key);
        let share = share_of(directory.path()).await;
        assert_eq!(share.as_deref(), Some(&b"share"[..]), "{contents:?}");
    }
    // That of an adopted node has more in it than `init` could know.
    let (node, _) = adopting::node();
    assert!(say(tahoed().arg("adopt").arg(node.path())).0 == Some(0));
    fs::write(node.path().join("tahoed.toml"), "").unwrap();
    let said = complaint(["run", node.path().to_str().unwrap()]);
    follow(&said, "rm ");
    let nurl = say(tahoed().arg("nurl").arg(node.path()));
    assert_eq!(nurl.0, Some(0), "{nurl:?}");
}

#[test]
fn a_node_of_tahoe_is_adopted_and_not_made() {
    let (node, _) = adopting::node();
    let path = node.path().to_str().unwrap();
    follow(&complaint(["init", path]), "tahoed adopt");
    let said = complaint(["adopt", path]);
    follow(&said, "mv ");
    let (code, said) = say(tahoed().args(["adopt", path]));
    assert_eq!(code, Some(0), "{said}");

    // Its store is not for another server to take.
    let (node, _) = adopting::node();
    let temporary = TempDir::new().unwrap();
    let other = temporary.path().join("other");
    let store = node.path().join("storage");
    let said = complaint([
        "init",
        other.to_str().unwrap(),
        "--store",
        store.to_str().unwrap(),
    ]);
    assert!(!store.join("lock").exists());
    follow(&said, "tahoed adopt");

    let (node, _) = adopting::node();
    let pidfile = node.path().join("running.process");
    fs::write(&pidfile, format!("{} 1.5\n", std::process::id())).unwrap();
    let said = complaint(["adopt", node.path().to_str().unwrap()]);
    assert!(said.contains("remove that file"), "{said}");
    fs::remove_file(&pidfile).unwrap();
    assert!(say(tahoed().arg("adopt").arg(node.path())).0 == Some(0));
}

#[tokio::test]
async fn who_really_wants_a_new_store_or_another_one_gets_it() {
    let gone = |path: &Path| fs::remove_dir_all(path).unwrap();
    let empty = |path: &Path| {
        fs::remove_dir_all(path).unwrap();
        fs::create_dir(path).unwrap();
    };
    let without_shares = |path: &Path| fs::remove_dir_all(path.join("shares")).unwrap();
    let changes: [&dyn Fn(&Path); 3] = [&gone, &empty, &without_shares];
    for change in changes {
        let node = node_with_a_share().await;
        let directory = node.directory();
        change(&node.store());
        let said = complaint(["run", directory.path().to_str().unwrap()]);
        follow(&said, "tahoed init");
        assert_eq!(share_of(directory.path()).await, None);
    }
    // One without an identifier, as from a backup, and another one in its place.
    let nameless = node_with_a_share().await;
    fs::remove_file(nameless.store().join("identifier")).unwrap();
    let exchanged = Node::new("");
    fs::remove_dir_all(exchanged.store()).unwrap();
    let original = node_with_a_share().await;
    fs::rename(original.store(), exchanged.store()).unwrap();
    for node in [nameless, exchanged] {
        let directory = node.directory();
        let said = complaint(["run", directory.path().to_str().unwrap()]);
        assert!(said.contains("to serve this one from now on"), "{said}");
        follow(&said, "tahoed init");
        let share = share_of(directory.path()).await;
        assert_eq!(share.as_deref(), Some(&b"share"[..]));
    }
}

// Once it said "run fsck", of which there was none.
#[tokio::test]
async fn a_journal_that_is_lost_or_damaged_can_be_given_up() {
    let missing = |store: &Path| fs::remove_file(store.join("journal/b")).unwrap();
    let damaged = |store: &Path| {
        for file in ["journal/a", "journal/b"] {
            let mut bytes = fs::read(store.join(file)).unwrap();
            // Its header is there twice.
            for at in [0x12, 0x812] {
                bytes[at] ^= 1;
            }
            fs::write(store.join(file), bytes).unwrap();
        }
    };
    let changes: [&dyn Fn(&Path); 2] = [&missing, &damaged];
    for change in changes {
        let node = node_with_a_share().await;
        let directory = node.directory();
        change(&node.store());
        let said = complaint(["run", directory.path().to_str().unwrap()]);
        follow(&said, "mv ");
        let share = share_of(directory.path()).await;
        assert_eq!(share.as_deref(), Some(&b"share"[..]));
    }
}

#[tokio::test]
async fn a_small_file_of_the_store_that_is_lost_or_damaged_is_restored() {
    let other = Node::new("");
    let lost = |path: &Path| fs::remove_file(path).unwrap();
    let damaged = |path: &Path| fs::write(path, "\u{1b}[2J").unwrap();
    let changes: [&dyn Fn(&Path); 2] = [&lost, &damaged];
    for change in changes {
        let node = node_with_a_share().await;
        let directory = node.directory();
        change(&node.store().join("version"));
        let said = complaint(["run", directory.path().to_str().unwrap()]);
        assert!(
            said.contains("the same in all stores of one layout"),
            "{said}"
        );
        fs::copy(other.store().join("version"), node.store().join("version")).unwrap();
        assert!(share_of(directory.path()).await.is_some());
    }
    let node = node_with_a_share().await;
    let directory = node.directory();
    damaged(&node.store().join("identifier"));
    follow(
        &complaint(["run", directory.path().to_str().unwrap()]),
        "rm ",
    );
    assert!(share_of(directory.path()).await.is_some());
}

#[test]
fn an_address_that_cannot_be_had_is_told_with_the_reason() {
    let node = Node::new("");
    let directory = node.directory();
    let config = fs::read_to_string(directory.config_path()).unwrap();
    // Of the block that is for documents.
    let elsewhere = config.replace("127.0.0.1:0", "192.0.2.1:0");
    fs::write(directory.config_path(), elsewhere).unwrap();
    let said = complaint(["run", directory.path().to_str().unwrap()]);
    assert!(
        said.contains("no interface of this machine has that address"),
        "{said}"
    );
}

#[test]
fn a_setting_of_tahoe_is_corrected_as_the_message_says() {
    let (node, _) = adopting::node();
    let path = node.path().to_str().unwrap();
    let config = node.path().join("tahoe.cfg");
    let text = fs::read_to_string(&config).unwrap();
    let set = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        fs::write(&config, text.replace(from, to)).unwrap();
    };
    let port = "tub.port = tcp:27341:interface=127.0.0.1";
    for (from, to, words) in [
        (port, "tub.port = listen:tor", "tahoed listens on TCP ports"),
        (
            "reserved_space = 1G",
            "reserved_space = 1.5G",
            "500M, 1G or 2GiB",
        ),
        (
            "enabled = true",
            "enabled = maybe",
            "it has to be true or false",
        ),
        ("#storage_dir =", "storage_dir = ~/x", "an absolute path"),
    ] {
        set(from, to);
        let said = complaint(["adopt", path]);
        assert!(
            said.contains(words) && said.contains("tahoe.cfg: ["),
            "{said}"
        );
    }
    set(port, "");
    fs::write(node.path().join("client.port"), "listen:tor\n").unwrap();
    let said = complaint(["adopt", path]);
    assert!(said.contains("set tub.port in tahoe.cfg"), "{said}");
    fs::write(&config, &text).unwrap();
    let (code, said) = say(tahoed().args(["adopt", path]));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_location_that_cannot_be_told_is_set_as_the_message_says() {
    let node = Node::new("");
    let directory = node.directory();
    let path = directory.path().to_str().unwrap();
    let set = |line: &str| {
        let config = fs::read_to_string(directory.config_path()).unwrap();
        let lines = config.lines().filter(|kept| !kept.starts_with("location"));
        let text = lines.fold(format!("{line}\n"), |text, line| text + line + "\n");
        fs::write(directory.config_path(), text).unwrap();
    };
    let suggested = |said: &str| {
        let at = said.find("location = [").unwrap();
        let end = said[at..].find(']').unwrap();
        said[at..=at + end].to_owned()
    };
    for line in ["location = ['storage.example.org']", ""] {
        set(line);
        for verb in ["nurl", "servers-yaml"] {
            complaint([verb, path]);
        }
        set(&suggested(&complaint(["nurl", path])));
        let (code, said) = say(tahoed().args(["nurl", path]));
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("@storage.example.org:3457/"), "{said}");
    }
}

// It made a configuration of which no NURL could be made.
#[test]
fn a_port_that_nobody_knows_is_asked_for() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("node");
    let init = |location: &str| {
        let arguments = [
            "--port",
            "0",
            "--location",
            location,
            "--journal-size",
            "1MiB",
        ];
        say(tahoed().arg("init").arg(&path).args(arguments))
    };
    let (code, said) = init("storage.example.org");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--location HOST:PORT"), "{said}");
    assert!(!path.exists());
    let (code, said) = init("storage.example.org:99");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(say(tahoed().arg("nurl").arg(&path)).0, Some(0));
}

// "invalid socket address syntax" says neither what an address is nor that it needs a port.
#[test]
fn an_option_that_makes_no_sense_is_told_with_what_would_do() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("node");
    for (option, wrong, words) in [
        (
            "--listen",
            "localhost",
            "an address and a port, such as 0.0.0.0:3457",
        ),
        (
            "--listen",
            "127.0.0.1",
            "an address and a port, such as 0.0.0.0:3457",
        ),
        ("--port", "99999", "0..=65535"),
        ("--location", "a b", "HOST or HOST:PORT"),
        ("--journal-size", "1K", "a size from \"1MiB\" to \"4GiB\""),
        ("--layout", "flat", "two-level, one-level"),
    ] {
        let mut init = tahoed();
        let (code, said) = say(init.arg("init").arg(&path).args([option, wrong]));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(words), "{option} {wrong}: {said}");
        assert!(!path.exists());
    }
}

#[test]
fn a_key_is_corrected_as_the_message_says() {
    for (text, wrong, right) in [
        ("listen_on = ['127.0.0.1:0']", "listen_on", "listen"),
        ("[store]\nreserve = '1G'", "reserve ", "reserved_space "),
        ("[limit]\nthreads = 1", "limit", "limits"),
    ] {
        let node = Node::new("");
        let path = node.directory().config_path();
        fs::write(&path, text).unwrap();
        let said = complaint(["nurl", node.directory().path().to_str().unwrap()]);
        let named = format!("{}`?", right.trim_end());
        assert!(
            said.contains("did you mean `") && said.contains(&named),
            "{said}"
        );
        let corrected = text.replace(wrong, right);
        let corrected = match corrected.contains("listen") {
            true => corrected,
            false => format!("listen = ['127.0.0.1:0']\n{corrected}"),
        };
        fs::write(&path, corrected).unwrap();
        let said = complaint(["nurl", node.directory().path().to_str().unwrap()]);
        assert!(said.contains("has no `location`"), "{said}");
    }
}

#[test]
fn a_file_that_is_not_text_is_told_without_its_bytes() {
    let node = Node::new("");
    let path = node.directory().path().to_owned();
    let path = path.to_str().unwrap();
    fs::write(node.directory().config_path(), b"\xff\xfe\x1b[2J").unwrap();
    let said = complaint(["run", path]);
    assert!(said.contains("is not a text in UTF-8"), "{said}");
    fs::write(node.directory().config_path(), b"listen = [\x1b[2J").unwrap();
    let said = complaint(["run", path]);
    assert!(said.contains("tahoed.toml: line 1, column"), "{said}");
    let long = format!(
        "listen = '{}'",
        "\u{7}x".repeat(100_000).replace('\u{7}', "\t")
    );
    fs::write(node.directory().config_path(), long).unwrap();
    let said = complaint(["run", path]);
    assert!(said.len() < 1000, "{} bytes", said.len());
}

#[test]
fn init_says_what_it_made_and_what_comes_next() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("node");
    let mut init = tahoed();
    init.arg("init").arg(&path).args(["--journal-size", "1MiB"]);
    let (code, said) = say(&mut init);
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "tahoed.toml",
        "node.pem",
        "swissnum",
        "new and empty; identifier",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    follow(&said, "tahoed nurl");
    follow(&said, "tahoed servers-yaml");
    // Its settings are the operator's by now.
    let store = temporary.path().join("disk");
    let give = |arguments: &[&str]| {
        let mut command = tahoed();
        command.arg("init").arg(&path).arg("--store").arg(&store);
        say(command.args(arguments))
    };
    let (code, said) = give(&["--port", "99"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("change --port in"), "{said}");
    let (code, said) = give(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("new and empty; identifier"), "{said}");
    let (code, said) = give(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("it was there and is kept"), "{said}");
}
