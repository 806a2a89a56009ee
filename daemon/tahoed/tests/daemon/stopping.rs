//! SIGTERM: what is in flight is finished, what was acknowledged is kept, nobody waits forever.

use std::time::Duration;

use bytes::Bytes;
use lafs::ShareNumber;
use protocol::Farewell;
use protocol::client::Event;
use protocol::server::Outcome;

use crate::client::{Client, bucket, pattern};
use crate::node::Node;

#[tokio::test]
async fn what_was_asked_for_is_answered_before_the_server_stops() {
    let node = Node::new("");
    let running = node.start();
    let mut idle = Client::connect(&running.nurl, 2).await.unwrap();
    assert_eq!(idle.put(bucket(9999), 0, b"share").await, Outcome::Stored);
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let unfinished = client
        .connection
        .open(bucket(5000), ShareNumber::new(0), None, false);
    client
        .connection
        .write(unfinished, Bytes::from(vec![1; 100_000]));
    for index in 0..500 {
        let share = Bytes::from(pattern(700, index));
        client
            .connection
            .put(bucket(index), ShareNumber::new(0), share);
    }
    client.flush().await.unwrap();
    // The first answer proves that the server is in the middle of it.
    let mut stored = vec![];
    let mut terminated = false;
    let farewell = loop {
        match client
            .next()
            .await
            .unwrap()
            .expect("REFUSE comes before the end")
        {
            Event::Answered { request, outcome } => {
                assert_eq!(outcome, Outcome::Stored);
                stored.push(u32::try_from(request.as_u64()).unwrap() - 1);
                if !terminated {
                    running.terminate();
                    terminated = true;
                }
            }
            Event::Refused { farewell, .. } => break farewell,
            Event::Welcome(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(farewell, Farewell::Stopping);
    assert_eq!(idle.farewell().await, Some(Farewell::Stopping));
    assert!(running.wait().success());

    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    for index in &stored {
        let share = client.share(bucket(*index), 0).await;
        assert_eq!(
            share,
            Some(pattern(700, *index)),
            "share {index} of {}",
            stored.len()
        );
    }
    assert_eq!(client.share(bucket(5000), 0).await, None);
    assert_eq!(node.incoming(), 0);
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let node = Node::new("limits.stop_timeout_seconds = 60");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(1), 0, b"share").await, Outcome::Stored);
    drop(client);
    running.terminate();
    let stopped = tokio::task::spawn_blocking(|| running.wait());
    let in_time = tokio::time::timeout(Duration::from_secs(40), stopped).await;
    assert!(in_time.expect("long before the timeout").unwrap().success());
}

// Once it hung here: with nothing to finish, nothing woke the loop that was to see the end.
#[test]
fn a_server_that_nobody_ever_asked_stops_too() {
    let node = Node::new("");
    for _ in 0..3 {
        let running = node.start();
        running.terminate();
        assert!(running.wait().success());
    }
}

// A client that never takes its answers must not keep the server from stopping.
#[tokio::test]
async fn a_client_that_does_not_listen_delays_the_stop_only_so_long() {
    let node = Node::new("limits.stop_timeout_seconds = 1");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    client.upload(bucket(1), 0, &pattern(8 << 20, 0)).await;
    for _ in 0..4 {
        let whole = protocol::ReadRequest::whole(bucket(1), 1).unwrap();
        client.connection.read_shares(whole);
    }
    client.flush().await.unwrap();
    let mut other = Client::connect(&running.nurl, 2).await.unwrap();
    assert_eq!(other.put(bucket(2), 0, b"share").await, Outcome::Stored);
    running.terminate();
    assert!(running.wait().success());
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.share(bucket(2), 0).await.unwrap(), b"share");
}
