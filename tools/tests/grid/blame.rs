//! What a user reads when it does not work: the cause, each server at most once, and what helps.

use std::sync::{Arc, Mutex};

use lafs::cap::native::{ReadCap, ReadKey};
use lafs::cap::{Cap, UebHash};
use lafs::num;
use tools::Error;
use tools::download::{Span, download};
use tools::error::{DownloadCause, Failure, Trouble, UploadCause};
use tools::home::Encoding;
use tools::output::Target;
use tools::upload::{Observer, Source};

use crate::fake::{FakeServer, Manner, grid, observed_uploader, plaintext, run, servers};
use crate::{fetch, upload};

const SIZES: [usize; 3] = [1000, 300_000, 4_300_000];

/// Remembers what it was told while the command ran.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Told {
    fn failed(&self, failure: &Failure) {
        self.0.lock().unwrap().push(failure.to_string());
    }
}

impl tools::download::Observer for Told {
    fn failed(&self, failure: &Failure) {
        self.0.lock().unwrap().push(failure.to_string());
    }
}

/// All that a user is shown of a download that fails.
async fn complaints(servers: &[FakeServer], cap: &Cap) -> (Error, Vec<String>) {
    let told = Told::default();
    let directory = tempfile::tempdir().unwrap();
    let target = Target::file(&directory.path().join("output")).unwrap();
    let result = download(&grid(servers), cap, Span::Whole, target, &told).await;
    let error = result.unwrap_err();
    let mut lines = told.lines();
    lines.push(error.to_string());
    lines.extend(error.hint());
    (error, lines)
}

fn times_named(server: &FakeServer, lines: &[String]) -> usize {
    let name = format!("127.0.0.1:{}", server.nurl.port());
    let words = lines
        .iter()
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || c == ','));
    words
        .filter(|word| word.trim_end_matches(':') == name)
        .count()
}

// Issue: ten servers were blamed, each twice, and the user was told to wait for more servers.
#[test]
fn a_mistyped_key_is_the_capabilitys_fault_and_no_servers() {
    run(async {
        let servers = servers(10, Manner::Honest).await;
        let uploaded = upload(&grid(&servers), Encoding::default(), &plaintext(5000))
            .await
            .unwrap();
        let Cap::NativeRead(cap) = &uploaded.cap else {
            panic!("5000 bytes are no literal");
        };
        let key = ReadKey::new([5; ReadKey::LEN]);
        let mistyped = ReadCap::new(key, *cap.ueb_hash(), cap.parameters(), cap.size()).unwrap();
        let (error, lines) = complaints(&servers, &Cap::NativeRead(mistyped)).await;
        let Error::NotEnoughShares(shortage) = error else {
            panic!("{error}");
        };
        assert_eq!(shortage.cause(), DownloadCause::NoServerHasIt);
        assert!(
            servers
                .iter()
                .all(|server| times_named(server, &lines) == 0)
        );
    });
}

#[test]
fn a_mistyped_hash_is_the_capabilitys_fault_and_each_server_is_named_once() {
    run(async {
        for len in SIZES {
            let servers = servers(10, Manner::Honest).await;
            let uploaded = upload(&grid(&servers), Encoding::default(), &plaintext(len))
                .await
                .unwrap();
            let Cap::NativeRead(cap) = &uploaded.cap else {
                panic!("{len} bytes are no literal");
            };
            let hash = UebHash::new([5; 32]);
            let key = cap.read_key().clone();
            let mistyped = ReadCap::new(key, hash, cap.parameters(), cap.size()).unwrap();
            let (error, lines) = complaints(&servers, &Cap::NativeRead(mistyped)).await;
            let Error::NotEnoughShares(shortage) = error else {
                panic!("{error}");
            };
            assert_eq!(shortage.cause(), DownloadCause::NoShareFits);
            for server in &servers {
                assert_eq!(times_named(server, &lines), 1, "{len} bytes: {lines:#?}");
            }
        }
    });
}

#[test]
fn a_file_whose_shares_are_gone_names_no_server_either() {
    run(async {
        let servers = servers(4, Manner::Honest).await;
        let encoding = Encoding::new(2, 2, 4).unwrap();
        let uploaded = upload(&grid(&servers), encoding, &plaintext(5000))
            .await
            .unwrap();
        servers.iter().for_each(FakeServer::forget_shares);
        let (error, lines) = complaints(&servers, &uploaded.cap).await;
        assert_eq!(
            lines[0],
            "no server of this grid has a share of this file (4 servers asked)"
        );
        let Error::NotEnoughShares(shortage) = error else {
            panic!("{error}");
        };
        assert_eq!(
            (shortage.found, shortage.needed, shortage.servers),
            (0, 2, 4)
        );
    });
}

#[test]
fn a_download_of_a_grid_that_is_away_names_each_server_once() {
    let manners = [
        (Manner::Hanging(0), DownloadCause::ServersAway),
        (Manner::Frozen, DownloadCause::ServersAway),
        (Manner::Blackholed, DownloadCause::ServersAway),
        (Manner::Stopping, DownloadCause::ServersAway),
        (
            Manner::Rejecting,
            DownloadCause::Every(Trouble::WrongSwissnum),
        ),
        (Manner::Babbling, DownloadCause::Every(Trouble::Foreign)),
    ];
    run(async {
        for (manner, cause) in manners {
            let servers = servers(10, Manner::Honest).await;
            let uploaded = upload(&grid(&servers), Encoding::default(), &plaintext(5000))
                .await
                .unwrap();
            servers.iter().for_each(|server| server.behave(manner));
            let (error, lines) = complaints(&servers, &uploaded.cap).await;
            let Error::NotEnoughShares(shortage) = error else {
                panic!("{manner:?}: {error}");
            };
            assert_eq!(shortage.cause(), cause, "{manner:?}");
            for server in &servers {
                assert_eq!(times_named(server, &lines), 1, "{manner:?}: {lines:#?}");
            }
        }
    });
}

#[test]
fn an_upload_that_all_servers_refuse_for_one_reason_says_it_once() {
    let manners = [
        (Manner::Full, Trouble::Full),
        (Manner::ReadOnly, Trouble::ReadOnly),
        (Manner::Rejecting, Trouble::WrongSwissnum),
        (Manner::Babbling, Trouble::Foreign),
        (Manner::Cleartext, Trouble::Foreign),
        (Manner::Hanging(0), Trouble::Away),
        (Manner::Frozen, Trouble::Away),
        (Manner::Stopping, Trouble::Busy),
    ];
    run(async {
        for (manner, trouble) in manners {
            for len in SIZES {
                let servers = servers(10, manner).await;
                let told = Arc::new(Told::default());
                let grid = grid(&servers);
                let uploader = observed_uploader(&grid, Encoding::default(), None, told.clone());
                let stream = std::io::Cursor::new(plaintext(len));
                let source = Source::Stream("a test".to_owned(), Box::new(stream));
                let error = uploader.upload(source).await.unwrap_err();
                let mut lines = told.lines();
                lines.push(error.to_string());
                lines.extend(error.hint());
                let Error::Unhappy(unhappy) = error else {
                    panic!("{manner:?}, {len} bytes: {error}");
                };
                let cause = UploadCause::Every(trouble);
                assert_eq!(
                    unhappy.cause(),
                    cause,
                    "{manner:?}, {len} bytes: {lines:#?}"
                );
                // The first four refusals decide it; who has not answered by then is not named.
                let named: Vec<_> = servers
                    .iter()
                    .map(|server| times_named(server, &lines))
                    .collect();
                assert!(
                    named.iter().sum::<usize>() >= 4 && named.iter().all(|times| *times <= 1),
                    "{manner:?}, {len} bytes: {lines:#?}"
                );
                assert!(!lines.concat().contains("--happy"), "{lines:#?}");
            }
        }
    });
}

#[test]
fn a_failure_that_was_routed_around_is_told_while_it_goes_on() {
    run(async {
        let mut all = servers(9, Manner::Honest).await;
        all.push(FakeServer::start(Manner::Full).await);
        let told = Arc::new(Told::default());
        let grid = grid(&all);
        let uploader = observed_uploader(&grid, Encoding::default(), None, told.clone());
        let stream = Box::new(std::io::Cursor::new(plaintext(5000)));
        let uploaded = uploader
            .upload(Source::Stream("a test".to_owned(), stream))
            .await
            .unwrap();
        assert_eq!(times_named(&all[9], &told.lines()), 1);
        assert_eq!(uploaded.failures.len(), 1);
    });
}

// The number of servers is known before anything is asked, read, or hashed.
#[test]
fn a_grid_that_is_too_small_is_told_so_before_anything_is_done() {
    run(async {
        let servers = servers(4, Manner::Honest).await;
        for len in SIZES {
            let told = Arc::new(Told::default());
            let grid = grid(&servers);
            let uploader = observed_uploader(&grid, Encoding::default(), None, told);
            let path = tempfile::NamedTempFile::new().unwrap();
            path.as_file().set_len(num::size(len)).unwrap();
            let source = Source::File(path.path().to_owned());
            let error = uploader.upload(source).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "this grid has 4 servers, and 7 must store a share of each file; nothing was sent"
            );
        }
        assert!(servers.iter().all(|server| server.connections() == 0));
        // A literal is in its capability.
        let uploaded = upload(&grid(&servers), Encoding::default(), b"short").await;
        let fetched = fetch(&grid(&servers), &uploaded.unwrap().cap, Span::Whole).await;
        assert_eq!(fetched.unwrap(), b"short");
    });
}
