//! One store, two protocols: what comes by one is read by the other. And TLS as both versions.

use lafs::ShareNumber;
use protocol::server::Outcome;
use rustls::version::{TLS12, TLS13};

use super::http::Http;
use crate::client::{Client, bucket, pattern, tls_of};
use crate::node::Node;

#[tokio::test]
async fn what_gbs_stores_the_pipeline_reads_and_the_reverse() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    // Around the chunks in which both move shares.
    for (index, len) in [1, 1000, 65_535, 65_536, 65_537, 1_000_003]
        .into_iter()
        .enumerate()
    {
        let index = u32::try_from(index).unwrap();
        let share = pattern(len, index);
        http.store(bucket(index), 3, &share).await;
        assert_eq!(client.share(bucket(index), 3).await, Some(share.clone()));
        assert_eq!(
            client.put(bucket(index), 3, b"x").await,
            Outcome::AlreadyHere
        );

        let index = index + 100;
        assert_eq!(
            client.upload(bucket(index), 7, &share).await,
            Outcome::Stored
        );
        assert_eq!(http.list(bucket(index)).await, [ShareNumber::new(7)]);
        let heard = http.read(bucket(index), 7).await;
        assert_eq!(heard.status, 200);
        assert!(heard.body == share, "{len} bytes");
        let held = http.allocate(bucket(index), &[7, 8], 5, 1).await;
        assert_eq!(held.already_have, [ShareNumber::new(7)]);
        assert_eq!(held.allocated, [ShareNumber::new(8)]);
    }
}

#[tokio::test]
async fn ranges_of_a_large_share_are_what_they_say() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let share = pattern(300_000, 1);
    http.store(bucket(1), 0, &share).await;
    for (first, last) in [
        (0, 0),
        (0, 65_535),
        (1, 65_536),
        (65_535, 131_072),
        (100, 299_999),
        (299_999, 299_999),
        (200_000, 5_000_000),
    ] {
        let ask = http.bucket("GET", bucket(1), "/0");
        let heard = http
            .answer(&ask.header("Range", format!("bytes={first}-{last}")))
            .await;
        let end = share.len().min(last + 1);
        assert_eq!(heard.status, 206);
        let range = format!("bytes {first}-{}/*", end - 1);
        assert_eq!(heard.header("content-range"), Some(range.as_str()));
        assert!(heard.body == share[first..end], "{range}");
    }
    let head = http.answer(&http.bucket("HEAD", bucket(1), "/0")).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("300000"))
    );
    assert_eq!(http.list(bucket(1)).await, [ShareNumber::new(0)]);
}

// Tahoe's client offers both and no ALPN; others may name HTTP.
#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    let node = Node::new("");
    let running = node.start();
    for (version, alpn) in [
        (&TLS12, &[][..]),
        (&TLS13, &[]),
        (&TLS12, &[&b"http/1.1"[..]]),
        (&TLS13, &[&b"h2"[..], &b"http/1.1"[..]]),
    ] {
        let stream = tls_of(version, &running.nurl, alpn).await.unwrap();
        let mut http = Http::over(&running.nurl, stream);
        let heard = http.answer(&http.ask("GET", "/storage/v1/version")).await;
        assert_eq!(heard.status, 200, "{version:?} {alpn:?}");
    }
}

#[tokio::test]
async fn an_operator_can_refuse_the_older_version_of_tls() {
    let node = Node::new("tls.version_min = '1.3'");
    let running = node.start();
    assert!(tls_of(&TLS12, &running.nurl, &[]).await.is_err());
    let stream = tls_of(&TLS13, &running.nurl, &[]).await.unwrap();
    let mut http = Http::over(&running.nurl, stream);
    let heard = http.answer(&http.ask("GET", "/storage/v1/version")).await;
    assert_eq!(heard.status, 200);
}

#[tokio::test]
async fn a_server_that_takes_nothing_new_says_so_and_goes_on_serving() {
    let node = Node::new("");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    http.store(bucket(1), 0, b"share").await;
    running.kill();

    node.configure("store.read_only = true");
    let running = node.start();
    let mut http = Http::connect(&running.nurl).await.unwrap();
    let heard = http.answer(&http.ask("GET", "/storage/v1/version")).await;
    let version = protocol::gbs::VersionAnswer::decode(&heard.body).unwrap();
    assert_eq!(version.available_space, 0);
    assert_eq!(version.immutable_share_size_max, 0);
    let answer = http.allocate(bucket(1), &[0, 1], 5, 2).await;
    assert_eq!(answer.already_have, [ShareNumber::new(0)]);
    assert_eq!(answer.allocated, []);
    assert_eq!(http.read(bucket(1), 0).await.body, b"share");
}
