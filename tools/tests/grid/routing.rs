//! Servers that are down, full, slow or lying are routed around while that is possible, and named.

use tools::Error;
use tools::download::Span;
use tools::error::ServerError;
use tools::home::Encoding;
use tools::upload::Uploaded;

use crate::fake::{FakeServer, Manner, grid, grid_of, new_port, plaintext, run, run_each, servers};
use crate::{fetch, upload};

/// One file that goes in one frame a share, one that is streamed, one that is asked about first.
const SIZES: [usize; 3] = [1000, 300_000, 4_300_000];

/// Every way in which a server can be useless to an upload.
const USELESS: [Manner; 8] = [
    Manner::Full,
    Manner::Silent,
    Manner::Trickling,
    Manner::Babbling,
    Manner::Hanging(0),
    Manner::Hanging(400),
    Manner::Rejecting,
    Manner::Stopping,
];

fn cases(manners: impl IntoIterator<Item = Manner>) -> Vec<(Manner, usize)> {
    manners
        .into_iter()
        .flat_map(|manner| SIZES.map(|len| (manner, len)))
        .collect()
}

/// Seven honest servers, and three that behave like this.
async fn three_of_ten(manner: Manner) -> Vec<FakeServer> {
    let mut all = servers(7, Manner::Honest).await;
    all.extend(servers(3, manner).await);
    all
}

fn servers_used(uploaded: &Uploaded) -> usize {
    let mut names: Vec<_> = uploaded.shares.iter().map(|share| &share.server).collect();
    names.sort();
    names.dedup();
    names.len()
}

#[test]
fn an_upload_succeeds_with_three_useless_servers_and_names_them() {
    run_each(cases(USELESS), |(manner, len)| async move {
        let servers = three_of_ten(manner).await;
        let grid = grid(&servers);
        let bytes = plaintext(len);
        let uploaded = upload(&grid, Encoding::default(), &bytes)
            .await
            .unwrap_or_else(|error| panic!("{manner:?}, {len} bytes: {error}"));
        assert_eq!(uploaded.happiness, 7, "{manner:?}, {len} bytes");
        assert_eq!(servers_used(&uploaded), 7);
        let shares = uploaded.shares.iter().map(|share| share.share);
        let shares: std::collections::BTreeSet<_> = shares.collect();
        assert_eq!(
            shares.len(),
            10,
            "{manner:?}, {len} bytes: every share is somewhere"
        );
        for server in &servers[7..] {
            let name = format!("127.0.0.1:{}", server.nurl.port());
            let is_named = uploaded
                .failures
                .iter()
                .any(|failure| *failure.server == *name);
            assert!(is_named, "{manner:?}, {len} bytes: {name}");
        }
        for server in &servers[7..] {
            server.behave(Manner::Hanging(0));
        }
        let fetched = fetch(&grid, &uploaded.cap, Span::Whole).await.unwrap();
        assert!(fetched == bytes);
    });
}

// The whole point of `happy`: six servers are one too few, and the user learns which ones failed.
#[test]
fn an_upload_fails_with_four_useless_servers_and_says_why() {
    let manners = [
        Manner::Full,
        Manner::Silent,
        Manner::Hanging(0),
        Manner::Stopping,
    ];
    run_each(cases(manners), |(manner, len)| async move {
        let mut all = servers(6, Manner::Honest).await;
        all.extend(servers(4, manner).await);
        let error = upload(&grid(&all), Encoding::default(), &plaintext(len))
            .await
            .unwrap_err();
        let message = error.to_string();
        let Error::Unhappy(unhappy) = error else {
            panic!("{manner:?}, {len} bytes: {message}");
        };
        assert!(unhappy.happiness < 7);
        for server in &all[6..] {
            let name = format!("127.0.0.1:{}", server.nurl.port());
            assert!(message.contains(&name), "{manner:?}, {len}: {message}");
        }
    });
}

#[test]
fn servers_that_are_not_there_are_routed_around() {
    run(async {
        let servers = servers(7, Manner::Honest).await;
        let mut nurls: Vec<_> = servers.iter().map(|server| server.nurl.clone()).collect();
        for _ in 0..3 {
            // Nobody listens there.
            let port = new_port();
            let text = nurls[0].to_string();
            let old = format!(":{}/", nurls[0].port());
            nurls.push(text.replace(&old, &format!(":{port}/")).parse().unwrap());
        }
        let grid = grid_of(&nurls, &servers);
        let bytes = plaintext(2000);
        let uploaded = upload(&grid, Encoding::default(), &bytes).await.unwrap();
        let named: std::collections::BTreeSet<_> = uploaded
            .failures
            .iter()
            .map(|failure| &failure.server)
            .collect();
        assert_eq!(named.len(), 3);
        for failure in &uploaded.failures {
            assert!(matches!(*failure.error, ServerError::Unreachable(_)));
        }
        let fetched = fetch(&grid, &uploaded.cap, Span::Whole).await.unwrap();
        assert!(fetched == bytes);
    });
}

// The NURL pins the key: another server at the same address must not even learn the swissnum.
#[test]
fn a_server_with_another_key_gets_nothing() {
    run(async {
        let servers = servers(2, Manner::Honest).await;
        let impostor = servers[0].nurl.port();
        let text = servers[1].nurl.to_string();
        let old = format!(":{}/", servers[1].nurl.port());
        let nurl = text
            .replace(&old, &format!(":{impostor}/"))
            .parse()
            .unwrap();
        let grid = grid_of(&[nurl], &servers);
        let encoding = Encoding::new(1, 1, 1).unwrap();
        let error = upload(&grid, encoding, &plaintext(2000)).await.unwrap_err();
        let Error::Unhappy(unhappy) = error else {
            panic!("{error}");
        };
        assert!(matches!(*unhappy.failures[0].error, ServerError::WrongKey));
        assert_eq!(grid.traffic().bytes_received, 0);
        assert_eq!(servers[0].share_bytes_received(), 0);
    });
}

#[test]
fn a_server_that_takes_bytes_slowly_is_given_up_when_it_holds_the_others_back() {
    run(async {
        let mut all = servers(9, Manner::Honest).await;
        all.extend(servers(1, Manner::Sluggish).await);
        let bytes = plaintext(6_000_000);
        let uploaded = upload(&grid(&all), Encoding::default(), &bytes)
            .await
            .unwrap();
        assert_eq!(servers_used(&uploaded), 9);
        assert!(
            uploaded
                .failures
                .iter()
                .any(|failure| matches!(*failure.error, ServerError::TooSlow { .. }))
        );
    });
}

// Nothing is wrong with a server whose connection broke: the upload goes on where it was.
#[test]
fn a_share_whose_connection_broke_is_resumed_and_not_sent_again() {
    run(async {
        let mut all = servers(9, Manner::Honest).await;
        all.extend(servers(1, Manner::HangingOnce(700_000)).await);
        let bytes = plaintext(6_000_000);
        let uploaded = upload(&grid(&all), Encoding::default(), &bytes)
            .await
            .unwrap();
        assert_eq!(servers_used(&uploaded), 10);
        let broken = &all[9];
        assert_eq!(broken.connections(), 2);
        assert_eq!(broken.share_count(), 1);
        let whole = all[0].share_bytes_received();
        // The chunk at which it hung up had arrived and was dropped.
        assert!(broken.share_bytes_received() <= whole + (64 << 10));
    });
}

#[test]
fn a_small_share_whose_connection_broke_is_sent_again() {
    run(async {
        let mut all = servers(9, Manner::Honest).await;
        all.extend(servers(1, Manner::HangingOnce(100)).await);
        let uploaded = upload(&grid(&all), Encoding::default(), &plaintext(1000))
            .await
            .unwrap();
        assert_eq!(servers_used(&uploaded), 10);
        assert_eq!(uploaded.failures.len(), 0);
        assert_eq!(all[9].connections(), 2);
    });
}

#[test]
fn a_download_passes_over_servers_that_lie_and_names_their_shares() {
    let manners = [
        Manner::Flipping(5),
        Manner::Flipping(1_000_003),
        Manner::Cutting,
        Manner::Swapping,
        Manner::Babbling,
        Manner::Silent,
        Manner::Trickling,
        Manner::Hanging(0),
        Manner::Rejecting,
        Manner::Stopping,
    ];
    run_each(cases(manners), |(manner, len)| async move {
        let servers = servers(10, Manner::Honest).await;
        let grid = grid(&servers);
        let bytes = plaintext(len);
        let other = plaintext(len + 1);
        let uploaded = upload(&grid, Encoding::default(), &bytes).await.unwrap();
        if manner == Manner::Swapping {
            upload(&grid, Encoding::default(), &other).await.unwrap();
        }
        for server in &servers[..7] {
            server.behave(manner);
        }
        let fresh = crate::fake::grid(&servers);
        let fetched = fetch(&fresh, &uploaded.cap, Span::Whole)
            .await
            .unwrap_or_else(|error| panic!("{manner:?}, {len} bytes: {error}"));
        assert!(fetched == bytes, "{manner:?}, {len} bytes");
    });
}

#[test]
fn a_download_without_enough_good_shares_says_what_each_server_did() {
    let manners = [Manner::Flipping(77), Manner::Cutting, Manner::Trickling];
    run_each(cases(manners), |(manner, len)| async move {
        let servers = servers(10, Manner::Honest).await;
        let grid = grid(&servers);
        let uploaded = upload(&grid, Encoding::default(), &plaintext(len))
            .await
            .unwrap();
        for server in &servers[..8] {
            server.behave(manner);
        }
        let fresh = crate::fake::grid(&servers);
        let error = fetch(&fresh, &uploaded.cap, Span::Whole).await.unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, Error::NotEnoughShares(_)),
            "{manner:?}, {len} bytes: {message}"
        );
        for server in &servers[..8] {
            let name = format!("127.0.0.1:{}", server.nurl.port());
            assert!(
                message.contains(&name),
                "{manner:?}, {len} bytes: {message}"
            );
        }
    });
}
