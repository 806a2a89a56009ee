//! A node that Tahoe-LAFS has made, taken over by the real program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lafs::StorageIndex;
use protocol::server::Outcome;
use tempfile::TempDir;

use crate::client::{Client, bucket};
use crate::gbs::http::Http;
use crate::node::{Running, start, tahoed};

/// The node of the fixture, on a free port, with a share as Tahoe keeps it.
pub(crate) fn node() -> (TempDir, StorageIndex) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixture = manifest.join("../tests/fixtures/tahoe-node");
    let temporary = TempDir::with_prefix("tahoed-test-").unwrap();
    let path = temporary.path();
    let index = StorageIndex::new([1; 16]);
    let share = path
        .join("storage/shares/ae")
        .join(index.to_string())
        .join("0");
    fs::create_dir_all(share.parent().unwrap()).unwrap();
    fs::create_dir(path.join("storage/shares/incoming")).unwrap();
    fs::create_dir(path.join("private")).unwrap();
    let container = manifest.join("../../bucketfs/tests/fixtures/immutable-v2-1lease.bin");
    fs::copy(container, share).unwrap();
    for name in [
        "tahoe.cfg",
        "node.pubkey",
        "permutation-seed",
        "private/node.pem",
        "private/storage.furl",
    ] {
        fs::copy(fixture.join(name), path.join(name)).unwrap();
    }
    // As Tahoe makes it.
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(path.join("private"), private).unwrap();
    (temporary, index)
}

fn run(node: &Path) -> Running {
    // The fixture's port may be taken here.
    let path = node.join("tahoed.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("127.0.0.1:27341", "127.0.0.1:0")).unwrap();
    start(node)
}

// The RSA key and the version 1 certificate of Tahoe, its swissnum, its one-level tree.
#[tokio::test]
async fn an_adopted_node_serves_both_protocols_from_the_tree_as_it_lies() {
    let (node, index) = node();
    let adopted = tahoed().arg("adopt").arg(node.path()).output().unwrap();
    assert!(adopted.status.success(), "{adopted:?}");
    let said = String::from_utf8(adopted.stdout).unwrap();
    assert!(said.contains("tahoed servers-yaml"), "{said}");
    let running = run(node.path());
    let swissnum = running.nurl.swissnum().as_str();
    assert_eq!(swissnum, "2knmi7affpq6wuuc4fdyrzz3qtdx3nkz");
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let heard = http
        .answer(&http.ask("GET", &format!("/storage/v1/immutable/{index}/0")))
        .await;
    assert_eq!(heard.status, 200);
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.share(index, 0).await, Some(heard.body));
    assert_eq!(client.put(bucket(1), 3, b"share").await, Outcome::Stored);
    drop((client, http));
    running.terminate();
    assert!(running.wait().success());
    // Where Tahoe would look for it.
    let name = bucket(1).to_string();
    let share = node
        .path()
        .join("storage/shares")
        .join(&name[..2])
        .join(name)
        .join("3");
    assert!(share.is_file());
    let incoming = node.path().join("storage/shares/incoming");
    assert_eq!(fs::read_dir(incoming).unwrap().count(), 0);
}

#[test]
fn what_is_no_node_and_what_runs_is_not_adopted() {
    let empty = TempDir::new().unwrap();
    let refused = tahoed().arg("adopt").arg(empty.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("has no tahoe.cfg"), "{said}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);

    let (node, _) = node();
    let pidfile = node.path().join("running.process");
    fs::write(&pidfile, format!("{} 1795741534.41\n", std::process::id())).unwrap();
    let refused = tahoed().arg("adopt").arg(node.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("stop the Tahoe node first"), "{said}");
    assert!(!node.path().join("tahoed.toml").exists());
}
