//! Files go to servers and come back, whatever their size and whoever is missing.

use std::collections::BTreeSet;
use std::path::Path;

use tools::download::{Span, download};
use tools::home::Encoding;
use tools::output::Target;
use tools::upload::{Unobserved, Uploaded};

use crate::fake::{FakeServer, Manner, grid, plaintext, run, servers};
use crate::{fetch, upload};

/// The servers that hold these bytes' shares in ring order would do; any subset must.
async fn only(servers: Vec<FakeServer>, keep: impl Fn(usize) -> bool) -> Vec<FakeServer> {
    servers
        .into_iter()
        .enumerate()
        .filter_map(|(index, server)| keep(index).then_some(server))
        .collect()
}

#[test]
fn every_size_comes_back_from_three_of_ten_servers() {
    run(async {
        let servers = servers(10, Manner::Honest).await;
        let all = grid(&servers);
        let mut uploaded = Vec::new();
        for len in [
            0, 1, 55, 56, 1000, 65_535, 65_536, 65_537, 196_000, 262_080, 262_081, 300_000,
            786_241, 5_000_000,
        ] {
            let bytes = plaintext(len);
            let result = upload(&all, Encoding::default(), &bytes).await.unwrap();
            assert_eq!(result.failures.len(), 0);
            uploaded.push((bytes, result));
        }
        let few = grid(&only(servers, |index| index % 3 == 1).await);
        for (bytes, result) in uploaded {
            let fetched = fetch(&few, &result.cap, Span::Whole).await.unwrap();
            assert!(fetched == bytes, "{} bytes", bytes.len());
        }
    });
}

#[test]
fn a_small_file_is_one_round_trip_each_way_and_three_at_first_contact() {
    run(async {
        let servers = servers(10, Manner::Honest).await;
        let grid = grid(&servers);
        let first = upload(&grid, Encoding::default(), &plaintext(1000))
            .await
            .unwrap();
        assert_eq!(first.round_trips, 3);
        let second = upload(&grid, Encoding::default(), &plaintext(1001))
            .await
            .unwrap();
        assert_eq!(second.round_trips, 1);
        let target = Target::file(Path::new("/dev/null")).unwrap();
        let result = download(&grid, &second.cap, Span::Whole, target, &Unobserved).await;
        assert_eq!(result.unwrap().round_trips, 1);
    });
}

// What a small file costs on a slow line, all of it but TLS and TCP/IP: ten times a frame of 20 bytes
// around a share of 445, and on a new connection a HELLO.
#[test]
fn a_file_of_1_kb_sends_4650_bytes_to_ten_servers_before_tls() {
    run(async {
        let servers = servers(10, Manner::Honest).await;
        let grid = grid(&servers);
        let hello = grid.traffic().bytes_sent;
        let mut before = 0;
        for (len, expected) in [(1000, hello + 4650), (1000, 4650), (996, 4630)] {
            // Not the same bytes again, which would be there already.
            let mut bytes = plaintext(len);
            bytes[0] ^= u8::try_from(before % 251).unwrap();
            upload(&grid, Encoding::default(), &bytes).await.unwrap();
            let sent = grid.traffic().bytes_sent;
            assert_eq!(sent - before, expected, "{len} bytes");
            before = sent;
        }
        // DESIGN has a share of such a file and everything around it, HELLO too, in 600 bytes.
        assert!(hello / 10 + 465 <= 600);
    });
}

// Whoever lists the shares of an upload can tell the user that one server holds them all.
#[test]
fn an_upload_says_of_each_share_which_server_holds_it() {
    run(async {
        let servers = servers(4, Manner::Honest).await;
        let holders = |uploaded: &Uploaded| {
            let servers = uploaded.shares.iter().map(|share| share.server.clone());
            servers.collect::<BTreeSet<_>>().len()
        };
        let encoding = Encoding::new(3, 1, 10).unwrap();
        let one = grid(&servers[..1]);
        let uploaded = upload(&one, encoding, &plaintext(5000)).await.unwrap();
        assert_eq!((uploaded.shares.len(), holders(&uploaded)), (10, 1));
        assert_eq!(uploaded.happiness, 1);

        let encoding = Encoding::new(2, 4, 4).unwrap();
        let all = grid(&servers);
        let uploaded = upload(&all, encoding, &plaintext(6000)).await.unwrap();
        assert_eq!((uploaded.shares.len(), holders(&uploaded)), (4, 4));
    });
}
