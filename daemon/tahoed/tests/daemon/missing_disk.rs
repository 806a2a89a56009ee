//! A disk that is not mounted is an error, and never an empty store.

use std::fs;
use std::path::Path;

use crate::client::{Client, bucket};
use crate::node::{Node, node_with_a_share};

/// Every file and directory below, by name.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

// Reported of several storage systems, with data lost: the mount point was served as a new store.
#[tokio::test]
async fn a_store_that_is_not_mounted_is_refused_and_nothing_is_made_in_its_place() {
    let node = node_with_a_share().await;
    let (store, aside) = (node.store(), node.store().with_extension("aside"));
    fs::rename(&store, &aside).unwrap();
    let refuses = |words: &str| {
        let (code, said) = node.fail();
        assert_eq!(code, Some(3), "{said}");
        for words in [words, "it lies on the file system mounted at /"] {
            assert!(said.contains(words), "{words:?} is not in {said:?}");
        }
    };
    refuses("does not exist");
    assert!(!store.exists());
    fs::create_dir(&store).unwrap();
    refuses("holds no store");
    fs::create_dir(store.join("lost+found")).unwrap();
    refuses("holds no store");
    assert_eq!(names(&store), ["lost+found"]);
    fs::remove_dir_all(&store).unwrap();

    // It is mounted again.
    fs::rename(&aside, &store).unwrap();
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.share(bucket(1), 0).await.unwrap(), b"share");
}

#[tokio::test]
async fn a_store_in_part_or_another_store_is_refused() {
    let (node, other) = (node_with_a_share().await, Node::new(""));
    let store = node.store();
    let refuses = |words: &str| {
        let (code, said) = node.fail();
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    };
    let aside = store.with_extension("aside");
    for (name, words) in [
        ("shares", "has lost its `shares`"),
        ("journal", "has lost its `journal`"),
        ("identifier", "has no identifier, and tahoed.toml says"),
        ("version", "and no file `version`"),
    ] {
        fs::rename(store.join(name), &aside).unwrap();
        let before = names(&store);
        refuses(words);
        assert_eq!(names(&store), before, "{name}");
        fs::rename(&aside, store.join(name)).unwrap();
    }
    fs::rename(&store, &aside).unwrap();
    fs::rename(other.store(), &store).unwrap();
    refuses("is another store: its identifier is");
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&aside, &store).unwrap();
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.share(bucket(1), 0).await.unwrap(), b"share");
}

// As a node was before stores had identifiers: neither of the two has one.
#[tokio::test]
async fn a_node_from_before_identifiers_is_given_one_once() {
    let node = node_with_a_share().await;
    fs::remove_file(node.store().join("identifier")).unwrap();
    let path = node.directory().config_path();
    let text = "# Mine.\nlisten = ['127.0.0.1:0'] # loopback\n\n[store]\n# Not much.\n\
                reserved_space = '1M'\n[log]\nlevel = 'debug'\n";
    fs::write(&path, text).unwrap();
    let running = node.start();
    running.logged("wrote the store's identifier into tahoed.toml");
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.share(bucket(1), 0).await.unwrap(), b"share");
    drop(client);
    running.terminate();
    assert!(running.wait().success());

    let identifier = fs::read_to_string(node.store().join("identifier")).unwrap();
    let id = identifier.lines().nth(1).unwrap();
    let expected = text.replace("'1M'\n", &format!("'1M'\nid = \"{id}\"\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    let running = node.start();
    running.terminate();
    let log = running.logged("stopped");
    assert!(!log.contains("identifier"), "{log}");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(
        fs::read_to_string(node.store().join("identifier")).unwrap(),
        identifier
    );
    // From now on a missing disk shows.
    fs::rename(node.store(), node.store().with_extension("aside")).unwrap();
    let (code, said) = node.fail();
    assert_eq!(code, Some(3), "{said}");
}

// Such a node may have been made and never started: then it has no store, and gets none now.
#[test]
fn a_node_from_before_identifiers_without_a_store_is_refused() {
    let node = Node::new("");
    let path = node.directory().config_path();
    fs::write(&path, "listen = ['127.0.0.1:0']\n").unwrap();
    fs::remove_dir_all(node.store()).unwrap();
    let (code, said) = node.fail();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("does not exist"), "{said}");
    assert!(!node.store().exists());
}
