//! The configured bounds: connections, idleness, space.

use bytes::Bytes;
use lafs::ShareNumber;
use protocol::server::Outcome;
use protocol::{Farewell, Reason};

use crate::client::{Client, bucket, pattern};
use crate::node::Node;

fn reason(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.reason),
        _ => None,
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_its_place_is_free_again_later() {
    let node = Node::new("limits.connections = 2");
    let running = node.start();
    let mut one = Client::connect(&running.nurl, 1).await.unwrap();
    let mut two = Client::connect(&running.nurl, 2).await.unwrap();
    one.put(bucket(1), 0, b"share").await;
    two.put(bucket(1), 0, b"share").await;
    let mut three = Client::connect(&running.nurl, 3).await.unwrap();
    assert_eq!(three.farewell().await, Some(Farewell::TooManyConnections));
    assert_eq!(one.put(bucket(2), 0, b"share").await, Outcome::Stored);
    drop(two);
    // The server has to notice first.
    loop {
        let mut four = Client::connect(&running.nurl, 4).await.unwrap();
        four.connection.lease(bucket(1));
        if !matches!(
            four.farewell_or_answer().await,
            Some(Farewell::TooManyConnections)
        ) {
            break;
        }
    }
}

#[tokio::test]
async fn a_connection_that_wants_nothing_is_closed_at_last() {
    let node = Node::new("limits.idle_timeout_seconds = 1");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(1), 0, b"share").await, Outcome::Stored);
    assert_eq!(client.farewell().await, Some(Farewell::Idle));
}

// Far more than the server holds for one connection, and nothing read by the client meanwhile.
#[tokio::test]
async fn flow_control_is_the_sockets() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let share = Bytes::from(pattern(65_536, 0));
    for index in 0..300 {
        client
            .connection
            .put(bucket(index), ShareNumber::new(0), share.clone());
    }
    for index in 1000..4000 {
        client
            .connection
            .put(bucket(index), ShareNumber::new(0), share.slice(..100));
    }
    client.flush().await.unwrap();
    let mut stored = 0;
    while client.connection.unanswered() > 0 {
        match client.next().await.unwrap().expect("the server hung up") {
            protocol::client::Event::Answered { outcome, .. } => {
                assert_eq!(outcome, Outcome::Stored);
                stored += 1;
            }
            protocol::client::Event::Welcome(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stored, 3300);
}

#[tokio::test]
async fn one_upload_too_many_is_refused_and_the_others_go_on() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let uploads: Vec<_> = (0..65)
        .map(|index| {
            client
                .connection
                .open(bucket(index), ShareNumber::new(0), None, false)
        })
        .collect();
    let refused = client.outcome(uploads[64]).await;
    assert_eq!(reason(&refused), Some(Reason::TooManyUploads));
    for upload in &uploads[..64] {
        client
            .connection
            .write(*upload, Bytes::from_static(b"share"));
        client.connection.close(*upload);
    }
    let mut stored = 0;
    while client.connection.unanswered() > 0 {
        if let Some(protocol::client::Event::Answered { outcome, .. }) =
            client.next().await.unwrap()
        {
            assert_eq!(outcome, Outcome::Stored);
            stored += 1;
        }
    }
    assert_eq!(stored, 64);
}

#[tokio::test]
async fn a_server_down_to_its_reserve_refuses_shares_and_serves_what_it_has() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(1), 0, b"share").await, Outcome::Stored);
    running.terminate();
    assert!(running.wait().success());

    node.configure("store.reserved_space = '1EiB'");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(
        reason(&client.put(bucket(2), 0, b"share").await),
        Some(Reason::Full)
    );
    let upload = client.upload(bucket(2), 0, &[1; 100_000]).await;
    assert_eq!(reason(&upload), Some(Reason::Full));
    assert_eq!(
        client.put(bucket(1), 0, b"share").await,
        Outcome::AlreadyHere
    );
    assert_eq!(client.share(bucket(1), 0).await.unwrap(), b"share");
    let lease = client.connection.lease(bucket(1));
    assert_eq!(client.heard(lease).await.failure, None);
    assert_eq!((node.placed(1), node.incoming()), (1, 0));
}

// The space runs out in the middle of a share whose size nobody knew before.
#[tokio::test]
async fn a_disk_that_fills_in_the_middle_of_a_share_gives_that_share_up_alone() {
    // Others use the same disk, and may change how much of it is free.
    for _ in 0..10 {
        if fills_in_the_middle_of_a_share().await {
            return;
        }
    }
    panic!("the free space changes all the time");
}

/// False if somebody else has taken space meanwhile, or given some back.
async fn fills_in_the_middle_of_a_share() -> bool {
    let node = Node::new("");
    let free = || {
        let free = rustix::fs::statvfs(node.directory().path()).unwrap();
        free.f_bavail * free.f_frsize
    };
    let reserved = free() - (48 << 20);
    node.configure(&format!("store.reserved_space = {reserved}"));
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    if client.put(bucket(1), 0, b"before").await != Outcome::Stored {
        return false;
    }
    let upload = client
        .connection
        .open(bucket(2), ShareNumber::new(0), None, false);
    let chunk = Bytes::from(pattern(1 << 20, 0));
    let mut sent = 0;
    while client.connection.write(upload, chunk.clone()) {
        client.flush().await.unwrap();
        sent += 1;
        // A round trip, in which the refusal may come.
        let lease = client.connection.lease(bucket(1));
        client.heard(lease).await;
        if sent == 200 {
            assert!(
                free() > reserved,
                "{sent} MiB went into a disk with room for 48"
            );
            return false;
        }
    }
    // What it had written is given back, so a small share has room.
    let after = client.put(bucket(3), 0, b"after").await;
    if after != Outcome::Stored && free() < reserved + (1 << 20) {
        return false;
    }
    assert_eq!(after, Outcome::Stored);
    assert_eq!(client.share(bucket(1), 0).await.unwrap(), b"before");
    assert_eq!((node.placed(2), node.incoming()), (2, 0));
    true
}
