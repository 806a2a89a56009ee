//! Servers that stop, at any moment, and are gone on without: what that costs in time and bytes.
//!
//! Times are of the paused clock: they are what the client waited for, to the millisecond, and
//! nothing that the machine did.

use std::path::Path;
use std::time::Duration;

use lafs::cap::Cap;
use tokio::time::Instant;
use tools::Error;
use tools::download::{Span, download};
use tools::grid::{Grid, Patience};
use tools::home::Encoding;
use tools::output::Target;
use tools::upload::{Unobserved, Uploaded};

use crate::fake::{FakeServer, Manner, grid, plaintext, run, run_each, servers};
use crate::{fetch, upload};

/// One file that goes in one frame a share, one that is streamed, one that is asked about first.
const SIZES: [usize; 3] = [1000, 300_000, 4_300_000];

async fn honest_and(honest: usize, others: usize, manner: Manner) -> Vec<FakeServer> {
    let mut all = servers(honest, Manner::Honest).await;
    all.extend(servers(others, manner).await);
    all
}

fn share_bytes_received(servers: &[FakeServer]) -> usize {
    servers.iter().map(FakeServer::share_bytes_received).sum()
}

/// Uploads, and says how long that took.
async fn timed_upload(grid: &Grid, bytes: &[u8]) -> (Uploaded, Duration) {
    let begun = Instant::now();
    let uploaded = upload(grid, Encoding::default(), bytes).await.unwrap();
    (uploaded, begun.elapsed())
}

/// The server at this place of the file's ring: a download asks the first ones first.
fn server_at<'a>(
    place: usize,
    grid: &Grid,
    uploaded: &Uploaded,
    servers: &'a [FakeServer],
) -> &'a FakeServer {
    let Cap::NativeRead(cap) = &uploaded.cap else {
        panic!("a literal is on no server");
    };
    let port = grid.ring(cap.storage_index())[place].nurl().port();
    let server = servers.iter().find(|server| server.nurl.port() == port);
    server.unwrap()
}

/// What all shares of such a file come to.
async fn bytes_of(len: usize) -> usize {
    let servers = servers(10, Manner::Honest).await;
    timed_upload(&grid(&servers), &plaintext(len)).await;
    share_bytes_received(&servers)
}

fn shares(uploaded: &Uploaded) -> usize {
    let shares = uploaded.shares.iter().map(|share| share.share);
    shares.collect::<std::collections::BTreeSet<_>>().len()
}

// Issue: 20 MB took 12 s. The server's kernel accepts the connection, its process does nothing.
#[test]
fn a_frozen_server_of_ten_costs_an_upload_no_more_than_a_slow_servers_time() {
    run_each(SIZES, |len| async move {
        let servers = honest_and(9, 1, Manner::Frozen).await;
        let (uploaded, time) = timed_upload(&grid(&servers), &plaintext(len)).await;
        let patience = Patience::default();
        assert_eq!(shares(&uploaded), 10, "{len} bytes");
        assert_eq!(uploaded.happiness, 9, "{len} bytes");
        assert!(time <= patience.slow, "{len} bytes: {time:?}");
        assert_eq!(share_bytes_received(&servers), bytes_of(len).await);
        let name = format!("127.0.0.1:{}", servers[9].nurl.port());
        assert!(
            uploaded
                .failures
                .iter()
                .all(|failure| *failure.server == *name),
            "{len} bytes: {:?}",
            uploaded.failures
        );
        assert_eq!(uploaded.failures.len(), 1, "{len} bytes");
    });
}

// Whoever uploads a thousand files must not wait a thousand times for the same server.
#[test]
fn what_a_frozen_server_costs_is_paid_once() {
    run(async {
        let servers = honest_and(9, 1, Manner::Frozen).await;
        let grid = grid(&servers);
        timed_upload(&grid, &plaintext(1000)).await;
        for len in [1001, 300_000, 1002, 4_300_000] {
            let (uploaded, time) = timed_upload(&grid, &plaintext(len)).await;
            assert_eq!(shares(&uploaded), 10);
            assert_eq!(time, Duration::ZERO, "{len} bytes");
        }
    });
}

// Fifty files at once, as `upload *` sends them, and a server that stops among them.
#[test]
fn many_small_files_go_on_without_a_server_that_stops() {
    run(async {
        let servers = honest_and(9, 1, Manner::Freezing(10_000)).await;
        let grid = grid(&servers);
        let begun = Instant::now();
        let mut uploads = tokio::task::JoinSet::new();
        for len in 1000..1050 {
            let grid = grid.clone();
            uploads.spawn_local(async move {
                let uploaded = upload(&grid, Encoding::default(), &plaintext(len)).await;
                shares(&uploaded.unwrap())
            });
        }
        let stored = uploads.join_all().await;
        assert_eq!(stored, [10; 50]);
        let (time, patience) = (begun.elapsed(), Patience::default());
        assert!(time <= patience.slow, "{time:?}");
        let sent = share_bytes_received(&servers);
        let mut least = 0;
        for len in 1000..1050 {
            least += bytes_of(len).await;
        }
        assert!(sent * 10 <= least * 11, "{sent}, {least}");
    });
}

// It answers, so nothing is wrong with it; but the file would take as long as it does.
#[test]
fn a_download_replaces_a_server_that_is_much_slower_than_the_others() {
    run(async {
        let servers = servers(10, Manner::Honest).await;
        let bytes = plaintext(6_000_000);
        let (uploaded, _) = timed_upload(&grid(&servers), &bytes).await;
        let fresh = grid(&servers);
        server_at(1, &fresh, &uploaded, &servers).behave(Manner::Sluggish);
        let begun = Instant::now();
        let fetched = fetch(&fresh, &uploaded.cap, Span::Whole).await.unwrap();
        assert!(fetched == bytes);
        let (time, patience) = (begun.elapsed(), Patience::default());
        assert!(time <= patience.slow * 2, "{time:?}");
    });
}

#[test]
fn a_late_server_that_answers_in_the_end_is_used_again() {
    run(async {
        let servers = honest_and(9, 1, Manner::Frozen).await;
        let grid = grid(&servers);
        timed_upload(&grid, &plaintext(1000)).await;
        servers[9].thaw(Manner::Honest);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (uploaded, _) = timed_upload(&grid, &plaintext(1001)).await;
        assert_eq!(uploaded.happiness, 10);
    });
}

#[test]
fn the_share_of_a_server_that_stops_in_mid_upload_goes_to_another() {
    run_each([0, 100_000, 1_000_000, 1_433_000], |limit| async move {
        let len = 4_300_000;
        let servers = honest_and(9, 1, Manner::Freezing(limit)).await;
        let (uploaded, time) = timed_upload(&grid(&servers), &plaintext(len)).await;
        assert_eq!(shares(&uploaded), 10, "stopped at {limit}");
        assert_eq!(uploaded.happiness, 9, "stopped at {limit}");
        let patience = Patience::default();
        assert!(time <= patience.slow * 2, "stopped at {limit}: {time:?}");
        let (sent, least) = (share_bytes_received(&servers), bytes_of(len).await);
        assert!(
            sent * 10 <= least * 11,
            "stopped at {limit}: {sent}, {least}"
        );
    });
}

// The same when there is no other server, and enough are happy: the share is left out.
#[test]
fn a_stopped_servers_share_is_left_out_where_nobody_else_takes_it() {
    run(async {
        for len in SIZES {
            let mut servers = servers(7, Manner::Honest).await;
            servers.push(FakeServer::start(Manner::Frozen).await);
            let grid = grid(&servers);
            let encoding = Encoding::new(3, 7, 8).unwrap();
            // The others take one share each and no second one.
            servers[..7]
                .iter()
                .for_each(|server| server.take_at_most(1));
            let begun = Instant::now();
            let uploaded = upload(&grid, encoding, &plaintext(len)).await.unwrap();
            let time = begun.elapsed();
            assert_eq!(uploaded.happiness, 7);
            assert!(time <= Patience::default().slow * 2, "{len}: {time:?}");
        }
    });
}

#[test]
fn an_upload_that_needs_a_stopped_server_fails_at_the_one_deadline() {
    let manners = [Manner::Frozen, Manner::Blackholed, Manner::Freezing(200)];
    let cases = manners
        .into_iter()
        .flat_map(|manner| SIZES.map(|len| (manner, len)));
    run_each(cases.collect::<Vec<_>>(), |(manner, len)| async move {
        let servers = honest_and(6, 4, manner).await;
        let begun = Instant::now();
        let error = upload(&grid(&servers), Encoding::default(), &plaintext(len))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Unhappy(_)), "{error}");
        let (time, stall) = (begun.elapsed(), Patience::default().stall);
        let look = stall / 8;
        assert!(time <= stall + look, "{manner:?}, {len} bytes: {time:?}");
    });
}

#[test]
fn a_frozen_server_of_ten_costs_a_download_half_a_second() {
    run_each(SIZES, |len| async move {
        let servers = servers(10, Manner::Honest).await;
        let bytes = plaintext(len);
        let (uploaded, _) = timed_upload(&grid(&servers), &bytes).await;
        for place in 0..3 {
            let fresh = grid(&servers);
            let frozen = server_at(place, &fresh, &uploaded, &servers);
            frozen.behave(Manner::Frozen);
            let begun = Instant::now();
            let fetched = fetch(&fresh, &uploaded.cap, Span::Whole).await.unwrap();
            assert!(fetched == bytes);
            let time = begun.elapsed();
            assert!(time <= Patience::default().late, "{len} bytes: {time:?}");
            frozen.thaw(Manner::Honest);
        }
    });
}

#[test]
fn a_download_replaces_servers_that_stop_in_its_midst() {
    run_each([1, 2, 3], |stopped| async move {
        let servers = servers(10, Manner::Honest).await;
        let bytes = plaintext(6_000_000);
        let (uploaded, _) = timed_upload(&grid(&servers), &bytes).await;
        let fresh = grid(&servers);
        for place in 0..stopped {
            server_at(place, &fresh, &uploaded, &servers).freeze_after(700_000);
        }
        let begun = Instant::now();
        let fetched = fetch(&fresh, &uploaded.cap, Span::Whole).await.unwrap();
        assert!(fetched == bytes);
        let (time, patience) = (begun.elapsed(), Patience::default());
        assert!(time <= patience.slow, "{stopped} stopped: {time:?}");
    });
}

#[test]
fn a_download_that_needs_a_stopped_server_fails_at_the_one_deadline() {
    run_each(SIZES, |len| async move {
        let servers = servers(10, Manner::Honest).await;
        let encoding = Encoding::new(10, 10, 10).unwrap();
        let uploaded = upload(&grid(&servers), encoding, &plaintext(len))
            .await
            .unwrap();
        servers[3].freeze_after(len / 40);
        let begun = Instant::now();
        let error = fetch(&grid(&servers), &uploaded.cap, Span::Whole)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::NotEnoughShares(_)), "{error}");
        let (time, stall) = (begun.elapsed(), Patience::default().stall);
        assert!(time <= stall + stall / 8, "{len} bytes: {time:?}");
    });
}

// Ctrl-Z and fg: for the client a minute has passed, and for the servers nothing.
#[test]
fn a_process_that_was_stopped_for_a_minute_blames_nobody() {
    run(async {
        let far = Manner::Distant(Duration::from_millis(200));
        let servers = servers(10, far).await;
        for len in SIZES {
            let grid = grid(&servers);
            let bytes = plaintext(len);
            let (uploaded, ()) = tokio::join!(
                async { timed_upload(&grid, &bytes).await.0 },
                stop_for_a_minute()
            );
            assert_eq!(uploaded.failures.len(), 0, "{len} bytes");
            let (fetched, ()) = tokio::join!(
                fetch(&grid, &uploaded.cap, Span::Whole),
                stop_for_a_minute()
            );
            assert!(fetched.unwrap() == bytes, "{len} bytes");
            let (again, _) = timed_upload(&grid, &bytes).await;
            assert_eq!(again.failures.len(), 0, "{len} bytes");
            assert_eq!(again.happiness, 10, "{len} bytes");
        }
    });
}

async fn stop_for_a_minute() {
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::time::advance(Duration::from_secs(60)).await;
}

// Half of the grid is overseas. Nothing is wrong with it, so nothing is sent twice.
#[test]
fn servers_that_are_only_far_away_get_their_shares_and_no_other_gets_them_too() {
    run(async {
        let far = Manner::Distant(Duration::from_millis(300));
        let servers = honest_and(5, 5, far).await;
        let grid = grid(&servers);
        let mut expected = 0;
        for len in [1000, 300_000, 4_300_000, 1001, 300_001, 4_300_001] {
            let (uploaded, _) = timed_upload(&grid, &plaintext(len)).await;
            assert_eq!(uploaded.happiness, 10, "{len} bytes");
            expected += bytes_of(len).await;
            assert_eq!(share_bytes_received(&servers), expected, "{len} bytes");
        }
    });
}

// Nobody can spare them: a slow grid is slow, and does not fail for being slow.
#[test]
fn half_a_grid_of_slow_servers_is_waited_for_as_far_as_it_is_needed() {
    run(async {
        let servers = honest_and(5, 5, Manner::Sluggish).await;
        let (uploaded, _) = timed_upload(&grid(&servers), &plaintext(4_300_000)).await;
        assert_eq!(uploaded.happiness, 7);
        assert_eq!(shares(&uploaded), 10);
    });
}

// A slow line makes everybody slow: asking more servers would make it slower.
#[test]
fn on_a_slow_line_no_further_server_is_asked() {
    run(async {
        let far = Manner::Distant(Duration::from_millis(900));
        for slow in [far, Manner::Sluggish] {
            let servers = servers(10, slow).await;
            let grid = grid(&servers);
            let mut expected = 0;
            for len in [1000, 300_000, 6_000_000] {
                let bytes = plaintext(len);
                let (uploaded, _) = timed_upload(&grid, &bytes).await;
                assert_eq!(uploaded.failures.len(), 0, "{slow:?}, {len} bytes");
                expected += bytes_of(len).await;
                assert_eq!(share_bytes_received(&servers), expected);
                let target = Target::file(Path::new("/dev/null")).unwrap();
                let fetched = download(&grid, &uploaded.cap, Span::Whole, target, &Unobserved);
                let fetched = fetched.await.unwrap();
                assert_eq!(fetched.servers_asked, 3, "{slow:?}, {len} bytes");
            }
        }
    });
}
