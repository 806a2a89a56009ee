//! On the directory of a node that Tahoe-LAFS 1.20 has made (`tests/fixtures/tahoe-node`), with a
//! share in its store.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::error::RunError;

/// What Tahoe says of the node in the fixture.
const TUB_ID: &str = "75n2d72cb5liruih3wcbr6lafjfox4s7";
const SWISSNUM: &str = "2knmi7affpq6wuuc4fdyrzz3qtdx3nkz";
const SERVER_ID: &str = "v0-26s47c77t6msu7ctt32tgcjbubk36gytnqflqqq5xxxxxyangbjq";

fn node() -> TempDir {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tahoe-node");
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path();
    for directory in ["private", "storage/shares/incoming", "storage/shares/ae"] {
        fs::create_dir_all(path.join(directory)).unwrap();
    }
    let bucket = path.join("storage/shares/ae/aeaqcaibaeaqcaibaeaqcaibae");
    fs::create_dir(&bucket).unwrap();
    fs::write(bucket.join("0"), b"\0\0\0\x02\0\0\0\x01\0\0\0\0x").unwrap();
    for name in [
        "tahoe.cfg",
        "my_nodeid",
        "node.pubkey",
        "permutation-seed",
        "private/node.pem",
        "private/storage.furl",
    ] {
        fs::copy(fixture.join(name), path.join(name)).unwrap();
    }
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(path.join("private"), private).unwrap();
    temporary
}

/// Every file under a directory, by its path in it.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn set(node: &Path, from: &str, to: &str) {
    let path = node.join("tahoe.cfg");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

// Clients must find the same server, and Tahoe the same node if it goes back.
#[test]
fn a_node_keeps_its_names_and_all_of_tahoes_files() {
    let temporary = node();
    let path = temporary.path();
    let before = files(path);
    let directory = Directory::new(path);
    let adopted = adopt(path, &directory).unwrap();
    assert_eq!(adopted.store, path.join("storage"));
    assert_eq!(adopted.warnings, []);
    let after = files(path);
    for (name, contents) in &before {
        assert_eq!(after.get(name), Some(contents), "{}", name.display());
    }
    let config = directory.config().unwrap();
    assert_eq!(config.nickname, "old node");
    assert_eq!(config.listen, ["127.0.0.1:27341".parse().unwrap()]);
    assert_eq!(config.store.path, Path::new("storage"));
    assert_eq!(config.store.reserved_space.0, 1_000_000_000);
    assert!(!config.store.read_only);
    let names = directory.names(&config).unwrap();
    assert_eq!(names.node_id.to_string(), TUB_ID);
    assert_eq!(names.server_id.to_string(), SERVER_ID);
    let seed = fs::read_to_string(path.join("permutation-seed")).unwrap();
    assert_eq!(names.permutation_seed.to_string(), seed.trim());
    let nurl = directory.nurls(&config, None).unwrap().remove(0);
    assert_eq!(nurl.swissnum().as_str(), SWISSNUM);
    assert_eq!((nurl.host().as_str(), nurl.port()), ("localhost", 27341));
    let found = bucketfs::look(&path.join("storage")).unwrap();
    assert_eq!(found, bucketfs::Found::Store(config.store.id));
}

#[test]
fn a_node_is_served_from_a_directory_of_its_own() {
    let temporary = node();
    let path = temporary.path();
    let before = files(path);
    let elsewhere = tempfile::tempdir().unwrap();
    let directory = Directory::new(elsewhere.path().join("new"));
    adopt(path, &directory).unwrap();
    let config = directory.config().unwrap();
    let store = fs::canonicalize(path.join("storage")).unwrap();
    assert_eq!(directory.store_path(&config), store);
    let here = Directory::new(path);
    assert_eq!(
        directory.identity().unwrap().key_hash(),
        here.identity().unwrap().key_hash()
    );
    assert_eq!(directory.swissnum().unwrap().as_str(), SWISSNUM);
    assert_eq!(
        directory.names(&config).unwrap().node_id.to_string(),
        TUB_ID
    );
    let after = files(path);
    let new: Vec<_> = after
        .keys()
        .filter(|name| !before.contains_key(*name))
        .collect();
    assert!(
        new.iter().all(|name| name.starts_with("storage")),
        "{new:?}"
    );
}

// Two programs on one store would each undo what the other does.
#[test]
fn a_node_that_runs_is_neither_adopted_nor_served() {
    let temporary = node();
    let path = temporary.path();
    let pidfile = path.join("running.process");
    let running = format!("{} 1795741534.41\n", std::process::id());
    fs::write(&pidfile, &running).unwrap();
    let before = files(path);
    let directory = Directory::new(path);
    let error = adopt(path, &directory).unwrap_err();
    assert!(matches!(error, AdoptError::Running(_)), "{error}");
    assert!(
        error.to_string().contains("stop the Tahoe node first"),
        "{error}"
    );
    assert_eq!(files(path), before);

    fs::remove_file(&pidfile).unwrap();
    adopt(path, &directory).unwrap();
    fs::write(&pidfile, &running).unwrap();
    let config = directory.config().unwrap();
    let error = crate::daemon::Daemon::start(&directory, config)
        .err()
        .unwrap();
    assert!(matches!(error, RunError::TahoeRuns(_)), "{error}");
}

#[test]
fn adopting_twice_is_refused_and_adopting_again_after_an_interruption_goes_on() {
    let temporary = node();
    let path = temporary.path();
    let directory = Directory::new(path);
    adopt(path, &directory).unwrap();
    let whole = files(path);
    let error = adopt(path, &directory).unwrap_err();
    assert!(matches!(error, AdoptError::Exists { .. }), "{error}");
    assert_eq!(files(path), whole);
    fs::remove_file(directory.config_path()).unwrap();
    adopt(path, &directory).unwrap();
    assert_eq!(files(path), whole);
    // The swissnum of another server is no leftover of this one.
    fs::remove_file(directory.config_path()).unwrap();
    fs::write(directory.swissnum_path(), "other\n").unwrap();
    let error = adopt(path, &directory).unwrap_err();
    assert!(matches!(error, AdoptError::Exists { .. }), "{error}");
}

#[test]
fn what_tahoe_found_out_by_itself_is_found_in_its_files() {
    let temporary = node();
    let path = temporary.path();
    set(path, "tub.port = tcp:27341:interface=127.0.0.1", "");
    set(
        path,
        "tub.location = tcp:localhost:27341",
        "tub.location = AUTO",
    );
    fs::write(path.join("client.port"), "tcp:4711\n").unwrap();
    fs::remove_file(path.join("permutation-seed")).unwrap();
    fs::write(
        path.join("private/introducers.yaml"),
        "introducers:\n  a:\n    furl: x\n",
    )
    .unwrap();
    let directory = Directory::new(path);
    let adopted = adopt(path, &directory).unwrap();
    let place = "private/introducers.yaml";
    assert_eq!(adopted.warnings, [Warning::Introducer { place }]);
    let config = directory.config().unwrap();
    assert_eq!(config.listen, ["0.0.0.0:4711".parse().unwrap()]);
    assert_eq!(config.location[0].to_string(), "localhost:27341");
    let names = directory.names(&config).unwrap();
    assert_eq!(names.permutation_seed.to_string(), TUB_ID);
}

// A warning of what is not there teaches people to skip warnings.
#[test]
fn only_an_introducer_that_is_there_is_warned_of() {
    for (name, text, place) in [
        ("private/introducers.yaml", "introducers: {}\n", None),
        (
            "private/introducers.yaml",
            "introducers: {}\n# a:\n#   furl: pb://x\n",
            None,
        ),
        (
            "private/introducers.yaml",
            "introducers:\n  a:\n    furl: pb://x\n",
            Some("private/introducers.yaml"),
        ),
        (
            "private/introducers.yaml",
            "introducers: {a: {furl: pb://x}}\n",
            Some("private/introducers.yaml"),
        ),
        (
            "tahoe.cfg",
            "\n[client]\nintroducer.furl = pb://x\n",
            Some("[client] introducer.furl"),
        ),
        ("tahoe.cfg", "\n[client]\nintroducer.furl =\n", None),
    ] {
        let temporary = node();
        let path = temporary.path();
        let before = fs::read_to_string(path.join(name)).unwrap_or_default();
        let before = before.replace("[client]", "[once]");
        fs::write(path.join(name), before + text).unwrap();
        let adopted = adopt(path, &Directory::new(path)).unwrap();
        let expected = place.map(|place| Warning::Introducer { place });
        assert_eq!(adopted.warnings, Vec::from_iter(expected), "{name}: {text}");
    }
}

#[test]
fn each_file_that_is_missing_or_wrong_is_named_and_nothing_is_made() {
    for (name, contents) in [
        ("tahoe.cfg", None),
        ("tahoe.cfg", Some("nonsense")),
        ("private/node.pem", None),
        ("private/node.pem", Some("nonsense")),
        ("private/storage.furl", None),
        ("private/storage.furl", Some("http://x")),
        ("node.pubkey", Some("pub-v0-short")),
        ("permutation-seed", Some("UPPER")),
    ] {
        let temporary = node();
        let path = temporary.path();
        match contents {
            Some(contents) => fs::write(path.join(name), contents).unwrap(),
            None => fs::remove_file(path.join(name)).unwrap(),
        }
        let before = files(path);
        let error = adopt(path, &Directory::new(path)).unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
        assert_eq!(files(path), before, "{name}");
    }
}

// As root it would make files that the node's own user cannot open.
#[test]
fn a_node_of_another_user_is_adopted_with_a_warning() {
    let temporary = node();
    let path = temporary.path();
    let ours = geteuid().as_raw();
    let pem = path.join("private/node.pem");
    // Only root can make another user's file to try it with.
    if std::os::unix::fs::chown(&pem, Some(ours + 1), None).is_err() {
        return;
    }
    let adopted = adopt(path, &Directory::new(path)).unwrap();
    let owner = ours + 1;
    assert_eq!(adopted.warnings, [Warning::OtherUser { ours, owner }]);
}

#[test]
fn a_furl_of_another_certificate_is_refused() {
    let temporary = node();
    let path = temporary.path().join("private/storage.furl");
    let furl = format!("pb://i7g4bv3qe7blsysbucejb26pjsobzm3j@tcp:h:1/{SWISSNUM}\n");
    fs::write(path, furl).unwrap();
    let error = adopt(temporary.path(), &Directory::new(temporary.path())).unwrap_err();
    assert!(matches!(error, AdoptError::OtherTub { .. }), "{error}");
}

#[test]
fn a_store_directory_that_is_none_is_refused() {
    let temporary = node();
    let path = temporary.path();
    set(path, "#storage_dir =", "storage_dir = /nonexistent/storage");
    let error = adopt(path, &Directory::new(path)).unwrap_err();
    assert!(matches!(error, AdoptError::Store { .. }), "{error}");
    assert!(
        error.to_string().contains("/nonexistent/storage"),
        "{error}"
    );
    assert!(!Directory::new(path).config_path().exists());
}
