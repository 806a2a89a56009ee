//! An upload that succeeds can be read back, however few servers it is content with.
//!
//! With `happy` below `needed`, one server can be enough servers and hold too few shares.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::Duration;

use lafs::ShareNumber;
use tokio::time::Instant;
use tools::Error;
use tools::download::Span;
use tools::error::{Trouble, UploadCause};
use tools::grid::{Grid, Patience};
use tools::home::Encoding;
use tools::ledger::Ledger;
use tools::upload::{Source, Uploaded};

use crate::fake::{FakeServer, Manner, grid, plaintext, run, run_each, servers, uploader};
use crate::{fetch, upload};

/// One file that goes in one frame a share, one that is streamed, one that is asked about first.
const SIZES: [usize; 3] = [1000, 300_000, 4_300_000];

/// Three of four shares are needed, and one server is enough.
fn three_of_four() -> Encoding {
    Encoding::new(3, 1, 4).unwrap()
}

async fn upload_stream(grid: &Grid, encoding: Encoding, bytes: Vec<u8>) -> Result<Uploaded, Error> {
    let stream = Box::new(Cursor::new(bytes));
    let uploader = uploader(grid, encoding, None);
    uploader
        .upload(Source::Stream("a test".to_owned(), stream))
        .await
}

async fn upload_as(
    is_stream: bool,
    grid: &Grid,
    encoding: Encoding,
    bytes: &[u8],
) -> Result<Uploaded, Error> {
    if is_stream {
        upload_stream(grid, encoding, bytes.to_vec()).await
    } else {
        upload(grid, encoding, bytes).await
    }
}

/// Each size, as a file and as a stream.
fn sources() -> Vec<(usize, bool)> {
    SIZES
        .into_iter()
        .flat_map(|len| [(len, false), (len, true)])
        .collect()
}

fn distinct(servers: &[FakeServer]) -> usize {
    let numbers: BTreeSet<ShareNumber> =
        servers.iter().flat_map(FakeServer::share_numbers).collect();
    numbers.len()
}

fn name(server: &FakeServer) -> String {
    format!("127.0.0.1:{}", server.nurl.port())
}

// Two servers with room for a share each made the upload happy, and the file unreadable.
#[test]
fn an_upload_whose_servers_fill_up_before_enough_shares_are_stored_fails_and_says_so() {
    run_each(sources(), |(len, is_stream)| async move {
        let servers = servers(2, Manner::Honest).await;
        servers.iter().for_each(|server| server.take_at_most(1));
        let (grid, bytes) = (grid(&servers), plaintext(len));
        let uploaded = upload_as(is_stream, &grid, three_of_four(), &bytes).await;
        let error = uploaded.unwrap_err();
        let mut names = [name(&servers[0]), name(&servers[1])];
        names.sort();
        let message = error.to_string();
        // A large upload that cannot succeed any more ends before its shares do.
        let stored = distinct(&servers);
        let Error::Unhappy(unhappy) = error else {
            panic!("{len} bytes: {message}");
        };
        assert_eq!(unhappy.cause(), UploadCause::Every(Trouble::Full));
        assert!(stored <= 2, "{len} bytes: {stored}");
        assert_eq!(unhappy.stored, stored, "{len} bytes");
        assert_eq!(unhappy.needed, 3);
        if stored == 2 {
            assert_eq!(
                message,
                format!(
                    "2 different shares are stored in a grid of 2 servers, and 3 are needed to \
                     read the file\n  {}: refused: the server is full (no room in the test)",
                    names.join(", ")
                )
            );
            assert_eq!(
                unhappy.hint(),
                "make room on these servers, or add others with `tahoectl grid add NURL`"
            );
        }
    });
}

// The first share arrives, and then its server is lost, however it is lost.
#[test]
fn an_upload_that_loses_a_server_it_needs_for_the_shares_alone_fails() {
    let manners = [
        Manner::Full,
        Manner::ReadOnly,
        Manner::Silent,
        Manner::Frozen,
        Manner::Freezing(200),
        Manner::Hanging(0),
        Manner::Hanging(400),
        Manner::Stopping,
    ];
    let cases = manners
        .into_iter()
        .flat_map(|manner| sources().into_iter().map(move |source| (manner, source)));
    run_each(
        cases.collect::<Vec<_>>(),
        |(manner, (len, is_stream))| async move {
            let mut servers = servers(1, Manner::Honest).await;
            servers[0].take_at_most(2);
            servers.push(FakeServer::start(manner).await);
            let (grid, bytes) = (grid(&servers), plaintext(len));
            let begun = Instant::now();
            let result = upload_as(is_stream, &grid, three_of_four(), &bytes).await;
            let case = format!("{manner:?}, {len} bytes, a stream: {is_stream}");
            assert!(matches!(result, Err(Error::Unhappy(_))), "{case}");
            let (time, stall) = (begun.elapsed(), Patience::default().stall);
            assert!(time <= stall + stall / 8, "{case}: {time:?}");
        },
    );
}

// A stream asks nobody once it has begun, so nobody else could have taken these shares.
#[test]
fn a_server_that_holds_back_a_stream_is_kept_while_its_shares_are_needed() {
    run_each(SIZES, |len| async move {
        let mut servers = servers(1, Manner::Honest).await;
        servers[0].take_at_most(2);
        servers.push(FakeServer::start(Manner::Sluggish).await);
        let (grid, bytes) = (grid(&servers), plaintext(len));
        let uploaded = upload_stream(&grid, three_of_four(), bytes.clone()).await;
        let uploaded = uploaded.unwrap_or_else(|error| panic!("{len} bytes: {error}"));
        let fetched = fetch(&grid, &uploaded.cap, Span::Whole).await.unwrap();
        assert!(fetched == bytes, "{len} bytes");
    });
}

// It was left out as late although nobody else had room for what it was to store.
#[test]
fn a_slow_server_is_waited_for_while_its_shares_are_needed() {
    run_each(sources(), |(len, is_stream)| async move {
        let mut servers = servers(1, Manner::Honest).await;
        servers[0].take_at_most(2);
        servers.push(FakeServer::start(Manner::Distant(Duration::from_secs(4))).await);
        let grid = grid(&servers);
        let bytes = plaintext(len);
        let uploaded = upload_as(is_stream, &grid, three_of_four(), &bytes).await;
        let uploaded = uploaded.unwrap_or_else(|error| panic!("{len}, {is_stream}: {error}"));
        let fetched = fetch(&grid, &uploaded.cap, Span::Whole).await.unwrap();
        assert!(fetched == bytes, "{len} bytes, a stream: {is_stream}");
    });
}

// It was late for one file, and for the next one nobody asked it, though nobody else had room.
#[test]
fn a_server_that_was_late_is_asked_again_when_the_others_have_no_room() {
    run(async {
        let servers = [
            FakeServer::start(Manner::Honest).await,
            FakeServer::start(Manner::Frozen).await,
        ];
        let grid = grid(&servers);
        let copies = Encoding::new(1, 1, 2).unwrap();
        upload(&grid, copies, &plaintext(1000)).await.unwrap();
        servers[0].take_at_most(2);
        let bytes = plaintext(1001);
        let (uploaded, ()) = tokio::join!(upload(&grid, three_of_four(), &bytes), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            servers[1].thaw(Manner::Honest);
        });
        let fetched = fetch(&grid, &uploaded.unwrap().cap, Span::Whole).await;
        assert!(fetched.unwrap() == bytes);
    });
}

// What is remembered is a hint: what the servers have lost meanwhile must not count.
#[test]
fn a_second_upload_of_a_file_that_lost_its_shares_fails_where_they_find_no_room() {
    run(async {
        for len in SIZES {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("input");
            std::fs::write(&path, plaintext(len)).unwrap();
            let servers = servers(2, Manner::Honest).await;
            let upload = async || {
                let ledger = Ledger::open(&directory.path().join("uploads")).unwrap();
                let uploader = uploader(&grid(&servers), three_of_four(), Some(ledger));
                uploader.upload(Source::File(path.clone())).await
            };
            upload().await.unwrap();
            servers[1].forget_shares();
            servers[1].behave(Manner::Full);
            servers[0].take_at_most(2);
            let error = upload().await.unwrap_err();
            assert!(matches!(error, Error::Unhappy(_)), "{len} bytes: {error}");
            servers[1].behave(Manner::Honest);
            let uploaded = upload().await.unwrap();
            let fetched = fetch(&grid(&servers), &uploaded.cap, Span::Whole).await;
            assert!(fetched.unwrap() == plaintext(len), "{len} bytes");
        }
    });
}

/// Draws numbers from a seed.
struct Draw(blake3::OutputReader);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(
            blake3::Hasher::new()
                .update(&seed.to_le_bytes())
                .finalize_xof(),
        )
    }

    fn below(&mut self, bound: usize) -> usize {
        let mut byte = [0];
        self.0.fill(&mut byte);
        usize::from(byte[0]) % bound
    }
}

// Whatever the numbers and whoever fails: success means that the shares are there.
#[test]
fn no_upload_succeeds_with_fewer_different_shares_than_are_needed() {
    run_each(0..96, |seed| async move {
        let mut draw = Draw::new(seed);
        let total = 1 + draw.below(6);
        let needed = 1 + draw.below(total);
        let mut servers = Vec::new();
        for _ in 0..=draw.below(4) {
            let manner = [
                Manner::Honest,
                Manner::Honest,
                Manner::Honest,
                Manner::Full,
                Manner::Frozen,
                Manner::Freezing(draw.below(256) * 8),
                Manner::Hanging(draw.below(256) * 8),
                Manner::HangingOnce(draw.below(256) * 8),
            ][draw.below(8)];
            let server = FakeServer::start(manner).await;
            server.take_at_most(draw.below(4));
            servers.push(server);
        }
        let happy = 1 + draw.below(total.min(servers.len()));
        let count = |count: usize| u16::try_from(count).unwrap();
        let encoding = Encoding::new(count(needed), count(happy), count(total)).unwrap();
        let (len, is_stream) = ([1000, 1000, 300_000][draw.below(3)], draw.below(2) == 0);
        let grid = grid(&servers);
        let result = upload_as(is_stream, &grid, encoding, &plaintext(len)).await;
        let stored = distinct(&servers);
        match result {
            Ok(uploaded) => {
                assert!(stored >= needed, "seed {seed}: {stored} of {encoding:?}");
                assert!(uploaded.happiness >= happy, "seed {seed}: {encoding:?}");
            }
            Err(Error::Unhappy(unhappy)) => {
                let is_short = unhappy.stored < needed || unhappy.happiness < happy;
                assert!(is_short, "seed {seed}: {encoding:?}: {unhappy}");
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    });
}
