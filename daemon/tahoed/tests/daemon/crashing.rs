//! kill -9 under load: whatever was acknowledged is there and whole after the restart, and what was
//! not is absent or whole.
//!
//! The process dies, not the machine: what it had given to the kernel survives. The crash of the
//! machine is simulated in `bucketfs`, where it can be cut anywhere; this is that nothing of the
//! daemon's answers runs ahead of the store.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use lafs::ShareNumber;
use protocol::client::Event;
use protocol::server::Outcome;
use protocol::{ReadRequest, RequestNumber};

use crate::client::{Client, bucket, pattern};
use crate::node::Node;

/// A small generator (xorshift64*), so that a seed repeats a round.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from(high).unwrap() % bound
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_daemon_is_killed() {
    let seed = match std::env::var("TAHOED_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => u64::try_from(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_micros(),
        )
        .unwrap(),
    };
    println!("repeat with TAHOED_TEST_SEED={seed}");
    let mut random = Random(seed | 1);
    for engine in ["auto", "pool"] {
        let node = Node::new(&format!("store.io_engine = '{engine}'"));
        let mut acknowledged = BTreeMap::new();
        let mut asked = BTreeMap::new();
        for round in 0..3 {
            println!("{engine}, round {round}");
            load_and_kill(&node, &mut random, round, &mut asked, &mut acknowledged).await;
        }
        let running = node.start();
        let mut client = Client::connect(&running.nurl, 1).await.unwrap();
        let shares = read_all(&mut client, asked.keys().copied()).await;
        for (index, len) in &asked {
            match &shares[index][..] {
                [] => assert!(!acknowledged.contains_key(index), "share {index} is lost"),
                share => assert!(share == pattern(*len, *index), "share {index} is torn"),
            }
        }
        println!(
            "{} of {} shares were acknowledged",
            acknowledged.len(),
            asked.len()
        );
        assert!(!acknowledged.is_empty());
    }
}

/// Asks for many puts and some uploads, kills the daemon in the middle, and tells apart what was
/// asked for and what was acknowledged.
async fn load_and_kill(
    node: &Node,
    random: &mut Random,
    round: u32,
    asked: &mut BTreeMap<u32, usize>,
    acknowledged: &mut BTreeMap<u32, usize>,
) {
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let mut requests: BTreeMap<RequestNumber, u32> = BTreeMap::new();
    let number = ShareNumber::new(0);
    for count in 0..600 {
        let index = round * 10_000 + count;
        let is_large = random.below(30) == 0;
        let len = match is_large {
            true => 65_537 + random.below(400_000),
            false => 1 + random.below(3000),
        };
        let len = usize::try_from(len).unwrap();
        let share = Bytes::from(pattern(len, index));
        let request = if is_large {
            let upload = client.connection.open(bucket(index), number, None, false);
            client.connection.write(upload, share);
            client.connection.close(upload);
            upload
        } else {
            client.connection.put(bucket(index), number, share)
        };
        requests.insert(request, index);
        asked.insert(index, len);
    }
    let until = random.below(500);
    let mut answers = 0;
    while answers < until {
        match client
            .next()
            .await
            .unwrap()
            .expect("the daemon is not killed yet")
        {
            Event::Answered { request, outcome } => {
                assert_eq!(outcome, Outcome::Stored);
                acknowledge(&requests, request, asked, acknowledged);
                answers += 1;
            }
            Event::Welcome(_) => {}
            other => panic!("{other:?}"),
        }
    }
    running.kill();
    // Answers that were on their way count as well.
    while let Ok(Some(event)) = client.next().await {
        if let Event::Answered { request, outcome } = event {
            assert_eq!(outcome, Outcome::Stored);
            acknowledge(&requests, request, asked, acknowledged);
        }
    }
}

/// Every share, whole; empty where there is none.
async fn read_all(
    client: &mut Client,
    indexes: impl Iterator<Item = u32>,
) -> BTreeMap<u32, Vec<u8>> {
    let mut requests = BTreeMap::new();
    let mut shares = BTreeMap::new();
    for index in indexes {
        let whole = ReadRequest::whole(bucket(index), 1).unwrap();
        requests.insert(client.connection.read_shares(whole), index);
        shares.insert(index, Vec::new());
    }
    while client.connection.unanswered() > 0 {
        match client.next().await.unwrap().expect("the server hung up") {
            Event::Share { request, bytes, .. } => {
                shares
                    .get_mut(&requests[&request])
                    .unwrap()
                    .extend_from_slice(&bytes);
            }
            Event::Held { failure, .. } => assert_eq!(failure, None),
            Event::Welcome(_) => {}
            other => panic!("{other:?}"),
        }
    }
    shares
}

fn acknowledge(
    requests: &BTreeMap<RequestNumber, u32>,
    request: RequestNumber,
    asked: &BTreeMap<u32, usize>,
    acknowledged: &mut BTreeMap<u32, usize>,
) {
    let index = requests[&request];
    acknowledged.insert(index, asked[&index]);
}
