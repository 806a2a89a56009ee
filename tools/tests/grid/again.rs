//! Uploading a file again sends none of it, and mends what was lost.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::time::Instant;
use tools::download::Span;
use tools::grid::{Patience, Stored};
use tools::home::Encoding;
use tools::ledger::Ledger;
use tools::upload::{Source, Uploaded};

use crate::fake::{FakeServer, Manner, grid, plaintext, run, servers, uploader};
use crate::fetch;

struct Client {
    directory: tempfile::TempDir,
    servers: Vec<FakeServer>,
}

impl Client {
    async fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            servers: servers(10, Manner::Honest).await,
        }
    }

    fn ledger(&self) -> PathBuf {
        self.directory.path().join("uploads")
    }

    /// Uploads as a new process would: with connections of its own, and the record on disk.
    async fn upload(&self, path: &Path) -> Uploaded {
        let ledger = Ledger::open(&self.ledger()).unwrap();
        let grid = grid(&self.servers);
        let uploader = uploader(&grid, Encoding::default(), Some(ledger));
        uploader
            .upload(Source::File(path.to_owned()))
            .await
            .unwrap()
    }

    fn file(&self, len: usize) -> PathBuf {
        let path = self.directory.path().join(format!("file-{len}"));
        fs::write(&path, plaintext(len)).unwrap();
        path
    }

    fn share_bytes_received(&self) -> Vec<usize> {
        let servers = self.servers.iter();
        servers.map(FakeServer::share_bytes_received).collect()
    }

    fn leases(&self) -> usize {
        self.servers.iter().map(FakeServer::leases).sum()
    }
}

const SIZES: [usize; 3] = [1000, 300_000, 5_000_000];

#[test]
fn a_second_upload_sends_no_share_bytes_and_renews_every_lease() {
    run(async {
        let client = Client::new().await;
        for len in SIZES {
            let path = client.file(len);
            let first = client.upload(&path).await;
            let (bytes, leases) = (client.share_bytes_received(), client.leases());
            let second = client.upload(&path).await;
            assert_eq!(second.cap, first.cap);
            assert_eq!(client.share_bytes_received(), bytes, "{len} bytes");
            assert_eq!(client.leases(), leases + 10);
            assert_eq!(second.happiness, 10);
            assert!(
                second
                    .shares
                    .iter()
                    .all(|share| share.stored == Stored::Before)
            );
        }
    });
}

#[test]
fn a_second_upload_sends_only_what_a_server_lost() {
    run(async {
        let client = Client::new().await;
        for len in SIZES {
            let path = client.file(len);
            let first = client.upload(&path).await;
            client.servers[4].forget_shares();
            let before = client.share_bytes_received();
            let second = client.upload(&path).await;
            assert_eq!(second.cap, first.cap);
            let after = client.share_bytes_received();
            for (index, (before, after)) in before.iter().zip(&after).enumerate() {
                assert_eq!(before == after, index != 4, "{len} bytes, server {index}");
            }
            assert_eq!(client.servers[4].share_count(), 1);
        }
    });
}

// The record is a hint: without it more is sent, and nothing else changes.
#[test]
fn deleting_the_record_costs_bytes_and_nothing_else() {
    run(async {
        let client = Client::new().await;
        let path = client.file(2000);
        let first = client.upload(&path).await;
        fs::remove_file(client.ledger()).unwrap();
        let second = client.upload(&path).await;
        assert_eq!(second.cap, first.cap);
        assert!(
            second
                .shares
                .iter()
                .all(|share| share.stored == Stored::Before)
        );
        let fetched = fetch(&grid(&client.servers), &second.cap, Span::Whole).await;
        assert_eq!(fetched.unwrap(), plaintext(2000));
    });
}

#[test]
fn a_server_that_is_gone_is_made_up_for_by_the_others() {
    run(async {
        let client = Client::new().await;
        let path = client.file(2000);
        client.upload(&path).await;
        client.servers[0].behave(Manner::Hanging(0));
        let second = client.upload(&path).await;
        assert_eq!(second.happiness, 9);
        let sent = second
            .shares
            .iter()
            .filter(|share| share.stored == Stored::Now);
        assert_eq!(sent.count(), 1);
    });
}

// Its lease cannot be renewed, and that must not take longer than any other question to it.
#[test]
fn a_server_that_is_frozen_is_made_up_for_without_a_long_wait() {
    run(async {
        let client = Client::new().await;
        for len in SIZES {
            let path = client.file(len);
            client.upload(&path).await;
            client.servers[0].behave(Manner::Frozen);
            let begun = Instant::now();
            let second = client.upload(&path).await;
            assert_eq!(second.happiness, 9, "{len} bytes");
            let time = begun.elapsed();
            assert!(time <= Patience::default().slow, "{len} bytes: {time:?}");
            client.servers[0].thaw(Manner::Honest);
        }
    });
}
