//! The walks that a server does by itself or is asked for: scrub, expiry, counting.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use protocol::control::{Reason, Reply, Request, Status, Task, Walked};
use protocol::server::Outcome;

use crate::client::{Client, bucket};
use crate::control::{Talk, parsed};
use crate::node::{Node, tahoed};

/// Share 1 of a file that Tahoe-LAFS 1.20 has stored.
const CHK_SHARE: &[u8] = include_bytes!("../fixtures/chk-4096-2of5-seg1024.sh1.share");

/// As fast as it goes.
const FAST: &str = "keeper = { operations_per_second = 1000000, bytes_per_second = '1TiB' }\n";

/// A command of `tahoed` on a node.
fn run(node: &Node, words: &[&str]) -> Output {
    let directory = node.directory();
    let output = tahoed().args(words).arg(directory.path()).output();
    output.unwrap()
}

/// What it prints in JSON.
fn asked(node: &Node, words: &[&str]) -> Reply {
    let output = run(node, &[words, &["--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    Reply::parse(text.trim_end().as_bytes()).unwrap()
}

fn scrubbed(node: &Node) -> Walked {
    match asked(node, &["scrub"]) {
        Reply::Walked(walked) => walked,
        other => panic!("{other:?}"),
    }
}

/// A stopped node that holds these shares, one in each bucket, in their places.
async fn node_with(settings: &str, shares: &[&[u8]]) -> Node {
    let node = Node::new(&format!("{FAST}{settings}"));
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    for (index, share) in shares.iter().enumerate() {
        let bucket = bucket(u32::try_from(index).unwrap());
        assert_eq!(client.put(bucket, 1, share).await, Outcome::Stored);
    }
    drop(client);
    running.terminate();
    assert!(running.wait().success());
    assert_eq!(node.shares().len(), shares.len());
    node
}

/// The file of the share in the bucket of that number.
fn file(node: &Node, number: u32) -> PathBuf {
    let name = bucket(number).to_string();
    let shares = node.shares();
    let path = shares
        .iter()
        .find(|path| path.to_str().unwrap().contains(&name));
    node.store().join("shares").join(path.unwrap())
}

fn advisories(node: &Node) -> Vec<String> {
    let entries = fs::read_dir(node.store().join("corruption-advisories"));
    let entries = entries.into_iter().flatten();
    let texts = entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    texts.collect()
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

// A share that rots on the disk must be known before it is needed.
#[tokio::test]
async fn the_scrub_finds_a_flipped_byte_and_tells_of_it_once() {
    let node = node_with("", &[CHK_SHARE, CHK_SHARE, b"of another program"]).await;
    let whole = fs::read(file(&node, 1)).unwrap();
    flip(&file(&node, 1), 200);
    let running = node.start();
    let first = scrubbed(&node);
    assert!(first.whole);
    assert_eq!((first.buckets, first.shares, first.damaged), (3, 3, 1));
    running.logged("scrub: a share is damaged");
    let told = advisories(&node);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains(&format!("storage_index: {}", bucket(1))),
        "{told:?}"
    );
    assert!(
        told[0].contains("found by the scrub of this server"),
        "{told:?}"
    );
    let status = parsed(node.directory().path());
    assert_eq!(status.scrub.damaged, 1);
    let finding = &status.scrub.findings[0];
    assert_eq!(
        (&finding.storage_index, finding.share_number),
        (&bucket(1).to_string(), 1)
    );
    assert_eq!(status.scrub.last.unwrap().shares, 3);
    assert_eq!(status.leases.unwrap().shares_live, 3);

    // It is known: by this process and by the next one.
    assert_eq!(scrubbed(&node).damaged, 1);
    running.terminate();
    assert!(running.wait().success());
    let running = node.start();
    assert_eq!(parsed(node.directory().path()).scrub.damaged, 1);
    assert_eq!(scrubbed(&node).damaged, 1);
    assert!(!running.logged("").contains("a share is damaged"));
    assert_eq!(advisories(&node).len(), 1);

    // Until it is whole again.
    fs::write(file(&node, 1), whole).unwrap();
    assert_eq!(scrubbed(&node).damaged, 0);
    assert_eq!(parsed(node.directory().path()).scrub.findings, []);
}

// A store of years is never read in one go.
#[tokio::test]
async fn the_scrub_goes_on_where_it_stopped() {
    let shares: Vec<&[u8]> = vec![b"share"; 150];
    let node = node_with("", &shares).await;
    node.configure("keeper = { operations_per_second = 100, bytes_per_second = '1TiB' }");
    let running = node.start();
    let mut talk = Talk::with(&node);
    talk.say(&Request::Scrub {}.line());
    loop {
        match talk.hear() {
            Some(Reply::Progress(progress)) if progress.buckets > 0 => break,
            Some(Reply::Progress(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    let status: Status = parsed(node.directory().path());
    assert_eq!(status.work.unwrap().task, Task::Scrub);
    let mut other = Talk::with(&node);
    // One at a time: it was asked for, and is not interrupted.
    other.say(&Request::Count {}.line());
    assert_eq!(other.refusal(), Reason::NotNow);
    other.say(&Request::Stop { task: Task::Scrub }.line());
    assert_eq!(other.hear(), Some(Reply::Done {}));
    let stopped = loop {
        match talk.hear() {
            Some(Reply::Progress(_)) => {}
            Some(Reply::Walked(walked)) => break walked,
            other => panic!("{other:?}"),
        }
    };
    assert!(
        !stopped.whole && stopped.buckets > 0 && stopped.buckets < 150,
        "{stopped:?}"
    );
    running.terminate();
    assert!(running.wait().success());

    let before = parsed(node.directory().path()).scrub.current.unwrap();
    assert_eq!(before.buckets, stopped.buckets);
    node.configure(FAST);
    let _running = node.start();
    let whole = scrubbed(&node);
    assert!(whole.whole);
    assert_eq!((whole.buckets, whole.shares), (150, 150), "each once");
    let last = parsed(node.directory().path()).scrub.last.unwrap();
    assert_eq!(last.began, before.began);
}

#[test]
fn a_server_that_does_not_run_walks_nowhere() {
    let node = Node::new("");
    let output = run(&node, &["scrub"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no server runs there"), "{said}");
}
