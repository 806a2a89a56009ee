//! Uploads over GBS: in any order, over any connection, and over the death of the daemon.

use lafs::ShareNumber;

use super::http::Http;
use crate::client::{bucket, pattern};
use crate::node::Node;

#[tokio::test]
async fn a_share_comes_in_any_order_over_any_connection() {
    let node = Node::new("");
    let running = node.start();
    let share = pattern(1_000_000, 1);
    let size = lafs::num::size(share.len());
    let mut one = Http::connect(&running.nurl).await.unwrap();
    let mut two = Http::connect(&running.nurl).await.unwrap();
    one.allocate(bucket(1), &[0], size, 1).await;
    let part = |start: usize, end: usize| &share[start..end];
    let second = (500_000, 1_000_000);
    let (status, missing) = two
        .write_part(bucket(1), 0, 500_000, part(500_000, 900_000), 1)
        .await;
    assert_eq!(
        (status, missing),
        (200, vec![(0, 500_000), (900_000, second.1)])
    );
    let (status, missing) = one.write_part(bucket(1), 0, 0, part(0, 600_000), 1).await;
    assert_eq!((status, missing), (200, vec![(900_000, second.1)]));
    assert_eq!(one.read(bucket(1), 0).await.status, 404);
    assert_eq!(one.list(bucket(1)).await, []);
    let (status, missing) = two
        .write_part(bucket(1), 0, 800_000, part(800_000, 1_000_000), 1)
        .await;
    assert_eq!((status, missing), (201, vec![]));
    assert!(one.read(bucket(1), 0).await.body == share);
}

// A client that is told of a finished share must not have to send it again after a crash; one that
// is in the middle goes on where the store says.
#[tokio::test]
async fn uploads_go_on_after_the_daemon_was_killed() {
    let node = Node::new("");
    let mut running = node.start();
    let shares: Vec<Vec<u8>> = (0..6).map(|salt| pattern(400_000, salt)).collect();
    let numbers: Vec<u8> = (0..6).collect();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    http.allocate(bucket(1), &numbers, 400_000, 1).await;
    for (number, share) in numbers.iter().zip(&shares) {
        let (status, _) = http
            .write_part(bucket(1), *number, 0, &share[..100_000], 1)
            .await;
        assert_eq!(status, 200);
    }
    let (status, _) = http
        .write_part(bucket(1), 0, 100_000, &shares[0][100_000..], 1)
        .await;
    assert_eq!(status, 201);
    for round in 0..3 {
        // A write in the middle of which the daemon dies: its bytes are there or not.
        let number = round + 1;
        let index = usize::from(number);
        let ask = http.writing(bucket(1), number, 100_000, &shares[index][100_000..300_000]);
        let bytes = ask.upload_secret(1).bytes();
        http.write(&bytes[..bytes.len() - 50_000]).await.unwrap();
        running.kill();
        running = node.start();
        http = Http::connect(&running.nurl).await.unwrap();
        assert!(
            http.read(bucket(1), 0).await.body == shares[0],
            "round {round}"
        );
        assert_eq!(
            http.list(bucket(1)).await,
            [ShareNumber::new(0)],
            "round {round}"
        );
    }
    for (number, share) in numbers.iter().zip(&shares).skip(1) {
        // Another client cannot take the upload over.
        let (status, _) = http
            .write_part(bucket(1), *number, 0, &share[..10], 9)
            .await;
        assert_eq!(status, 401, "share {number}");
        let (mut status, mut missing) = http
            .write_part(bucket(1), *number, 0, &share[..10], 1)
            .await;
        while let Some((start, end)) = missing.first() {
            assert_eq!(status, 200, "share {number}");
            let start = usize::try_from(*start).unwrap();
            let part = &share[start..usize::try_from(*end).unwrap()];
            (status, missing) = http.write_part(bucket(1), *number, start, part, 1).await;
        }
        assert_eq!(status, 201, "share {number}");
        assert!(
            http.read(bucket(1), *number).await.body == *share,
            "share {number}"
        );
    }
    assert_eq!(node.incoming(), 0);
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_over_another_connection() {
    let node = Node::new("");
    let running = node.start();
    let share = pattern(500_000, 1);
    for round in 0..5 {
        let mut http = Http::connect(&running.nurl).await.unwrap();
        http.allocate(bucket(round), &[0], 500_000, 1).await;
        let ask = http.writing(bucket(round), 0, 0, &share).upload_secret(1);
        let bytes = ask.bytes();
        let cut = bytes.len() - 1 - 99_999 * usize::try_from(round).unwrap();
        http.write(&bytes[..cut]).await.unwrap();
        drop(http);
        let mut http = Http::connect(&running.nurl).await.unwrap();
        assert_eq!(http.list(bucket(round)).await, []);
        let (status, missing) = http.write_part(bucket(round), 0, 0, &share, 1).await;
        assert_eq!((status, missing), (201, vec![]), "round {round}");
        assert!(
            http.read(bucket(round), 0).await.body == share,
            "round {round}"
        );
    }
}

// An answer cannot be lost: whoever asks for the same again is told the same.
#[tokio::test]
async fn kept_connections_serve_many_requests() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    for index in 0..100 {
        http.store(bucket(index), 0, &pattern(500, index)).await;
    }
    for index in 0..100 {
        assert!(http.read(bucket(index), 0).await.body == pattern(500, index));
    }
    assert_eq!(node.placed(100), 100);
}
