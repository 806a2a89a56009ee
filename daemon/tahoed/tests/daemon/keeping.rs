//! The walks that a server does by itself or is asked for: scrub, expiry, counting.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::control::{Expired, Reason, Reply, Request, Status, Task, Walked};
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

fn expired(node: &Node, words: &[&str]) -> Expired {
    match asked(node, &[&["expire"], words].concat()) {
        Reply::Expired(expired) => expired,
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

/// Has the one lease of an immutable share end at that time.
fn end_lease(path: &Path, unix: u64) {
    let mut bytes = fs::read(path).unwrap();
    let end = u32::try_from(unix).unwrap().to_be_bytes();
    let at = bytes.len() - end.len();
    bytes[at..].copy_from_slice(&end);
    fs::write(path, bytes).unwrap();
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
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

// What is removed by mistake is gone for good.
#[tokio::test]
async fn expiry_removes_what_has_ended_and_says_what_it_freed() {
    let node = node_with("expire.enabled = true\n", &[b"ended", b"live", b"older"]).await;
    end_lease(&file(&node, 0), now() - 10);
    end_lease(&file(&node, 2), now() - 100 * 86_400);
    let sizes = [0, 2].map(|number| fs::metadata(file(&node, number)).unwrap().len());
    let foreign = file(&node, 1).parent().unwrap().join("notes.txt");
    fs::write(&foreign, "odd").unwrap();
    let running = node.start();

    let would = expired(&node, &["--dry-run"]);
    assert!(would.whole && would.dry_run);
    assert_eq!((would.shares, would.removed.immutable.shares), (3, 2));
    assert_eq!(would.removed.immutable.bytes, sizes[0] + sizes[1]);
    assert_eq!(node.shares().len(), 4, "a dry run removes nothing");

    let did = expired(&node, &[]);
    assert!(did.whole && !did.dry_run);
    assert_eq!((did.removed, did.failed), (would.removed, 0));
    running.logged("expiry: removed shares");
    let left = node.shares();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(file(&node, 1).exists() && foreign.exists());

    let status = parsed(node.directory().path());
    assert!(status.expiry.enabled && !status.expiry.was_dry_run);
    assert_eq!(status.expiry.removed, did.removed);
    let rule = status.expiry.rule.unwrap();
    assert_eq!(rule, "shares whose leases have ended");
    let again = expired(&node, &[]);
    assert_eq!((again.shares, again.removed.immutable.shares), (1, 0));
}

#[tokio::test]
async fn without_the_configuration_nothing_is_removed() {
    for (settings, words) in [
        ("", "expire.enabled is not set"),
        (
            "expire = { enabled = true, dry_run = true }\n",
            "expire.dry_run is set",
        ),
    ] {
        let node = node_with(settings, &[b"ended"]).await;
        end_lease(&file(&node, 0), now() - 10);
        let _running = node.start();
        let output = run(&node, &["expire"]);
        assert_eq!(output.status.code(), Some(3));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{said}");
        assert_eq!(expired(&node, &["--dry-run"]).removed.immutable.shares, 1);
        assert_eq!(node.shares().len(), 1);
    }
}

#[tokio::test]
async fn shares_are_counted_when_it_is_asked_for() {
    let node = node_with("", &[b"one", b"two"]).await;
    let _running = node.start();
    let Reply::Walked(counted) = asked(&node, &["count"]) else {
        panic!("a count is a walk");
    };
    assert!(counted.whole);
    assert_eq!((counted.buckets, counted.shares), (2, 2));
    let shares = parsed(node.directory().path()).shares.unwrap();
    assert_eq!(shares.immutable.shares, 2);
    assert_eq!(shares.immutable.bytes, counted.bytes);
}

#[test]
fn a_server_that_does_not_run_walks_nowhere() {
    let node = Node::new("");
    for words in [&["scrub"][..], &["expire", "--dry-run"], &["count"]] {
        let output = run(&node, words);
        assert_eq!(output.status.code(), Some(3), "{words:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("no server runs there"), "{said}");
    }
}
