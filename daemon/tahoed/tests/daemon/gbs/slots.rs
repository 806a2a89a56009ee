//! Slots over GBS: large ones, broken-off requests, and readers in the middle of a change.

use lafs::{ShareNumber, StorageIndex};
use protocol::gbs::{Extent, ReadTestWrite, ReadTestWriteAnswer, ShareChange, Test, Write};
use tokio::io::AsyncReadExt;

use super::http::{Ask, Http};
use crate::client::{Client, FOREVER, bucket, pattern};
use crate::hostile::settle;
use crate::node::Node;

fn asking(http: &Http, slot: StorageIndex, asked: &ReadTestWrite, data: &[u8]) -> Ask {
    let target = format!("/storage/v1/mutable/{slot}/read-test-write");
    http.ask("POST", &target)
        .lease(1)
        .secret("write-enabler", &[3; 32])
        .body(asked.encode(data))
}

/// Writes of these sizes one after the other, for each of these shares.
fn writes(numbers: &[u8], sizes: &[u64], new_length: Option<u64>) -> ReadTestWrite {
    let mut asked = ReadTestWrite::default();
    for number in numbers {
        let mut change = ShareChange {
            new_length,
            ..ShareChange::default()
        };
        let mut offset = 0;
        for size in sizes {
            change.writes.push(Write {
                offset,
                data_offset: asked.data_size,
                data_size: *size,
            });
            offset += size;
            asked.data_size += size;
        }
        asked.shares.push((ShareNumber::new(*number), change));
    }
    asked
}

async fn done(http: &mut Http, slot: StorageIndex, asked: &ReadTestWrite, data: &[u8]) -> bool {
    let heard = http.answer(&asking(http, slot, asked, data)).await;
    assert_eq!(heard.status, 200, "{heard:?}");
    ReadTestWriteAnswer::decode(&heard.body).unwrap().success
}

async fn read(http: &mut Http, slot: StorageIndex, number: u8) -> Vec<u8> {
    let ask = http.ask("GET", &format!("/storage/v1/mutable/{slot}/{number}"));
    let heard = http.answer(&ask).await;
    assert_eq!(heard.status, 200, "{heard:?}");
    heard.body
}

// Around what is kept in memory, journaled, and spooled.
#[tokio::test]
async fn shares_of_any_size_are_written_and_read() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    for (index, sizes) in [
        vec![1],
        vec![0, 65_536],
        vec![65_535, 2],
        vec![131_072, 131_072, 10],
        vec![3_000_000],
    ]
    .into_iter()
    .enumerate()
    {
        let slot = bucket(u32::try_from(index).unwrap());
        let asked = writes(&[0, 5], &sizes, None);
        let data = pattern(usize::try_from(asked.data_size).unwrap(), 1);
        assert!(done(&mut http, slot, &asked, &data).await, "{sizes:?}");
        let (zero, five) = data.split_at(data.len() / 2);
        assert!(read(&mut http, slot, 0).await == zero, "{sizes:?}");
        assert!(read(&mut http, slot, 5).await == five, "{sizes:?}");
    }
    assert_eq!(node.incoming(), 0);
}

#[tokio::test]
async fn a_test_that_fails_changes_nothing_and_shows_what_is_there() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let slot = bucket(1);
    assert!(done(&mut http, slot, &writes(&[0], &[5], None), b"share").await);
    let mut asked = writes(&[0], &[100_000], Some(10));
    asked.shares[0].1.tests.push(Test {
        extent: Extent { offset: 0, size: 5 },
        specimen: "other".into(),
    });
    asked.reads.push(Extent {
        offset: 1,
        size: 99,
    });
    let heard = http
        .answer(&asking(&http, slot, &asked, &[7; 100_000]))
        .await;
    let answer = ReadTestWriteAnswer::decode(&heard.body).unwrap();
    assert!(!answer.success);
    assert_eq!(answer.data, [(ShareNumber::new(0), vec!["hare".into()])]);
    assert_eq!(read(&mut http, slot, 0).await, b"share");
    assert_eq!(node.incoming(), 0);
}

// Half a body must change nothing and leave nothing: no share, no spool, no descriptor.
#[tokio::test]
async fn requests_that_break_off_leave_nothing() {
    let node = Node::new("");
    let running = node.start();
    let slot = bucket(1);
    let mut http = Http::connect(&running.nurl).await.unwrap();
    assert!(done(&mut http, slot, &writes(&[0], &[5], None), b"share").await);
    settle(&running, 1).await;
    let before = running.descriptors();
    let asked = writes(&[0, 1], &[500_000], None);
    let bytes = asking(&http, slot, &asked, &vec![7; 1_000_000]).bytes();
    for cut in [300, 70_000, 400_000, bytes.len() - 1] {
        let mut broken = Http::connect(&running.nurl).await.unwrap();
        broken.write(&bytes[..cut]).await.unwrap();
    }
    // Whole, and refused at its end.
    let mut wrong = bytes.clone();
    let end = wrong.len() - 13;
    wrong[end..].fill(0xff);
    let mut broken = Http::connect(&running.nurl).await.unwrap();
    broken.write(&wrong).await.unwrap();
    assert_eq!(broken.heard("POST").await.unwrap().status, 400);
    drop(broken);
    settle(&running, before).await;
    assert_eq!(read(&mut http, slot, 0).await, b"share");
    assert_eq!(node.incoming(), 0);
    assert_eq!(node.placed(1), 1);
}

// A reader of a long share must get all of one state, or know that it did not.
#[tokio::test]
async fn a_share_that_changes_while_it_is_sent_is_not_sent_to_its_end() {
    let node = Node::new("");
    let running = node.start();
    let slot = bucket(1);
    let mut writer = Http::connect(&running.nurl).await.unwrap();
    let old = vec![1; 30 << 20];
    let asked = writes(&[0], &[30 << 20], None);
    assert!(done(&mut writer, slot, &asked, &old).await);
    let mut reader = Http::connect(&running.nurl).await.unwrap();
    reader
        .send(&reader.ask("GET", &format!("/storage/v1/mutable/{slot}/0")))
        .await
        .unwrap();
    let mut heard = vec![0; 1000];
    reader.stream.read_exact(&mut heard).await.unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 200"));
    // More than sockets hold is still to be sent.
    assert!(done(&mut writer, slot, &writes(&[0], &[5], Some(5)), b"share").await);
    let read = tokio::time::timeout(FOREVER, reader.stream.read_to_end(&mut heard));
    let _cut = read.await.expect("the server hangs up");
    assert!(heard.len() < old.len(), "{}", heard.len());
    assert!(!heard[1000..].contains(&b's'), "both states in one answer");
}

// What the pipeline cannot change it does not take for a share of a bucket either.
#[tokio::test]
async fn the_pipeline_reads_slots_and_puts_nothing_into_them() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let slot = bucket(1);
    assert!(done(&mut http, slot, &writes(&[0], &[5], None), b"share").await);
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.share(slot, 0).await.unwrap(), b"share");
    let outcome = client.put(slot, 0, b"other").await;
    assert!(
        matches!(outcome, protocol::server::Outcome::Refused(_)),
        "{outcome:?}"
    );
    assert_eq!(read(&mut http, slot, 0).await, b"share");
    let target = format!("/storage/v1/immutable/{slot}/shares");
    assert_eq!(http.answer(&http.ask("GET", &target)).await.status, 409);
}
