//! What is stored comes back: small, large, in parallel, resumed, aborted.

use bytes::Bytes;
use lafs::{ShareNumber, StorageIndex};
use protocol::client::Event;
use protocol::server::Outcome;
use protocol::{ByteRange, ReadRequest, Reason};

use crate::client::{Client, bucket, pattern};
use crate::node::Node;

#[tokio::test]
async fn a_share_of_any_size_comes_back_as_it_was_stored() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    for (number, len) in [1, 12, 4096, 65_535, 65_536].into_iter().enumerate() {
        let number = u8::try_from(number).unwrap();
        let share = pattern(len, number.into());
        assert_eq!(
            client.put(bucket(1), number, &share).await,
            Outcome::Stored,
            "{len}"
        );
        assert_eq!(
            client.share(bucket(1), number).await.unwrap(),
            share,
            "{len}"
        );
    }
    for (number, len) in [1, 65_536, 65_537, 1_000_000, 5_000_000]
        .into_iter()
        .enumerate()
    {
        let number = u8::try_from(number).unwrap();
        let share = pattern(len, number.into());
        assert_eq!(
            client.upload(bucket(2), number, &share).await,
            Outcome::Stored,
            "{len}"
        );
        assert_eq!(
            client.share(bucket(2), number).await.unwrap(),
            share,
            "{len}"
        );
    }
    assert_eq!(node.placed(10), 10);
    assert_eq!(node.incoming(), 0);
}

// HELLO and the work leave in one flight; nothing waits for WELCOME.
#[tokio::test]
async fn the_first_flight_carries_work() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let put = client
        .connection
        .put(bucket(1), ShareNumber::new(0), Bytes::from(vec![7; 512]));
    assert!(client.connection.output_len() <= 600);
    let first = client.next().await.unwrap();
    assert!(
        matches!(first, Some(Event::Welcome(welcome)) if !welcome.relaxed && !welcome.read_only)
    );
    assert_eq!(client.outcome(put).await, Outcome::Stored);
    assert_eq!(client.connection.traffic().frames_received, 2);
}

#[tokio::test]
async fn a_share_that_is_held_is_not_stored_again() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(1), 0, b"first").await, Outcome::Stored);
    assert_eq!(
        client.put(bucket(1), 0, b"second").await,
        Outcome::AlreadyHere
    );
    assert_eq!(
        client.upload(bucket(1), 0, b"third").await,
        Outcome::AlreadyHere
    );
    let mut other = Client::connect(&running.nurl, 2).await.unwrap();
    assert_eq!(
        other.put(bucket(1), 0, b"fourth").await,
        Outcome::AlreadyHere
    );
    assert_eq!(other.share(bucket(1), 0).await.unwrap(), b"first");
    let lease = other.connection.lease(bucket(1));
    let heard = other.heard(lease).await;
    assert_eq!((heard.failure, heard.held.len()), (None, 1));
    let nothing = other.connection.lease(bucket(9));
    assert_eq!(other.heard(nothing).await.held, []);
}

#[tokio::test]
async fn ranges_of_any_shares_come_in_one_answer() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    for number in [2, 5, 200] {
        let share = pattern(1000, number.into());
        assert_eq!(client.put(bucket(1), number, &share).await, Outcome::Stored);
    }
    let ranges = [(10, 5), (990, 100)].map(|(offset, size)| ByteRange::new(offset, size).unwrap());
    let read = ReadRequest::new(bucket(1), 2, Vec::new(), ranges.to_vec()).unwrap();
    let request = client.connection.read_shares(read);
    let heard = client.heard(request).await;
    assert_eq!(heard.held.len(), 3);
    let shares = [2, 5].map(|number| (ShareNumber::new(number), pattern(1000, number.into())));
    let expected: Vec<_> = shares
        .iter()
        .flat_map(|(number, share)| {
            [(10, 10..15), (990, 990..1000)]
                .map(|(offset, range)| (*number, offset, Bytes::copy_from_slice(&share[range])))
        })
        .collect();
    assert_eq!(heard.bytes, expected);
    let nothing = client.connection.read_shares(ReadRequest::held(bucket(7)));
    assert_eq!(client.heard(nothing).await.held, []);
}

// One connection carries many uploads and reads at once; each is whole whatever comes between.
#[tokio::test]
async fn reads_and_uploads_of_one_connection_do_not_disturb_each_other() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let stored = pattern(3_000_000, 0);
    assert_eq!(client.upload(bucket(0), 0, &stored).await, Outcome::Stored);

    let shares: Vec<_> = (1..=20).map(|salt| pattern(200_000, salt)).collect();
    let mut uploads = Vec::new();
    for index in 1..=20 {
        uploads.push(
            client
                .connection
                .open(bucket(index), ShareNumber::new(0), None, false),
        );
    }
    let mut reads = Vec::new();
    for part in 0..4 {
        for (upload, share) in uploads.iter().zip(&shares) {
            let bytes = Bytes::copy_from_slice(&share[part * 50_000..(part + 1) * 50_000]);
            assert!(client.connection.write(*upload, bytes));
        }
        let whole = ReadRequest::whole(bucket(0), 1).unwrap();
        reads.push(client.connection.read_shares(whole));
        for salt in 0..50 {
            let small = Bytes::from(pattern(500, salt));
            let number = ShareNumber::new(u8::try_from(part).unwrap());
            client.connection.put(bucket(1000 + salt), number, small);
        }
    }
    for upload in &uploads {
        client.connection.close(*upload);
    }
    let mut read = vec![Vec::new(); reads.len()];
    let mut stored_count = 0;
    while client.connection.unanswered() > 0 {
        match client.next().await.unwrap().expect("the server hung up") {
            Event::Answered { outcome, .. } => {
                assert_eq!(outcome, Outcome::Stored);
                stored_count += 1;
            }
            Event::Share { request, bytes, .. } => {
                let index = reads.iter().position(|read| *read == request).unwrap();
                read[index].extend_from_slice(&bytes);
            }
            Event::Held { failure, .. } => assert_eq!(failure, None),
            Event::Welcome(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stored_count, 20 + 200);
    assert!(read.iter().all(|share| *share == stored));
    for (index, share) in (1..=20).zip(&shares) {
        assert_eq!(client.share(bucket(index), 0).await.as_ref(), Some(share));
    }
    assert_eq!(
        client.share(bucket(1007), 3).await.unwrap(),
        pattern(500, 7)
    );
}

#[tokio::test]
async fn an_upload_goes_on_after_its_connection_broke() {
    let node = Node::new("");
    let running = node.start();
    let share = pattern(1_000_000, 0);
    let mut first = Client::connect(&running.nurl, 1).await.unwrap();
    let size = lafs::num::size(share.len());
    let number = ShareNumber::new(0);
    let upload = first.connection.open(bucket(1), number, Some(size), false);
    first
        .connection
        .write(upload, Bytes::copy_from_slice(&share[..400_000]));
    first.flush().await.unwrap();
    // An answer to what was sent behind it proves that the server has read it.
    assert_eq!(first.put(bucket(2), 0, b"marker").await, Outcome::Stored);
    drop(first);

    // Another client may not go on with it.
    let mut other = Client::connect(&running.nurl, 2).await.unwrap();
    let stolen = other.upload(bucket(1), 0, &share).await;
    assert!(
        matches!(&stolen, Outcome::Refused(refusal) if refusal.reason == Reason::InProgress),
        "{stolen:?}"
    );

    let mut second = Client::connect(&running.nurl, 1).await.unwrap();
    let upload = second.connection.open(bucket(1), number, Some(size), true);
    let offset = loop {
        match second.next().await.unwrap().expect("the server hung up") {
            Event::ResumeAt { request, offset } if request == upload => break offset,
            Event::Welcome(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(offset > 0 && offset <= 400_000, "{offset}");
    let rest = Bytes::copy_from_slice(&share[usize::try_from(offset).unwrap()..]);
    assert!(second.connection.write(upload, rest));
    second.connection.close(upload);
    assert_eq!(second.outcome(upload).await, Outcome::Stored);
    assert_eq!(second.share(bucket(1), 0).await.unwrap(), share);
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let upload = client
        .connection
        .open(bucket(1), ShareNumber::new(0), None, false);
    client
        .connection
        .write(upload, Bytes::from(vec![1; 300_000]));
    client.connection.abort(upload);
    assert!(matches!(
        client.outcome(upload).await,
        Outcome::Refused(refusal) if refusal.reason == Reason::Aborted
    ));
    assert_eq!((node.shares().len(), node.incoming()), (0, 0));
    assert_eq!(client.upload(bucket(1), 0, b"again").await, Outcome::Stored);
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_and_nothing_else() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let open = |client: &mut Client, bucket: StorageIndex, size| {
        client
            .connection
            .open(bucket, ShareNumber::new(0), size, false)
    };
    let short = open(&mut client, bucket(1), Some(100));
    client.connection.write(short, Bytes::from(vec![1; 99]));
    client.connection.close(short);
    let sound = open(&mut client, bucket(2), Some(100));
    client.connection.write(sound, Bytes::from(vec![1; 100]));
    client.connection.close(sound);
    let mut outcomes = Vec::new();
    while outcomes.len() < 2 {
        if let Some(Event::Answered { request, outcome }) = client.next().await.unwrap() {
            outcomes.push((request, outcome));
        }
    }
    for (request, outcome) in outcomes {
        match outcome {
            Outcome::Refused(refusal) => {
                assert_eq!((request, refusal.reason), (short, Reason::WrongSize));
            }
            outcome => assert_eq!((request, outcome), (sound, Outcome::Stored)),
        }
    }
    assert_eq!((node.placed(1), node.incoming()), (1, 0));
}

#[tokio::test]
async fn threads_share_one_store() {
    let node = Node::new("limits.threads = 3");
    let running = node.start();
    let mut clients = Vec::new();
    for secret in 0..6 {
        clients.push(Client::connect(&running.nurl, secret).await.unwrap());
    }
    for (index, client) in (0..).zip(&mut clients) {
        let share = pattern(100_000, index);
        assert_eq!(
            client.upload(bucket(index), 0, &share).await,
            Outcome::Stored
        );
    }
    for (index, client) in (0..).zip(clients.iter_mut().rev()) {
        assert_eq!(
            client.share(bucket(index), 0).await.unwrap(),
            pattern(100_000, index)
        );
    }
    running.terminate();
    assert!(running.wait().success());
}

#[tokio::test]
async fn a_restarted_server_still_holds_what_it_held() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    let (small, large) = (pattern(500, 0), pattern(500_000, 1));
    assert_eq!(client.put(bucket(1), 0, &small).await, Outcome::Stored);
    assert_eq!(client.upload(bucket(2), 0, &large).await, Outcome::Stored);
    running.terminate();
    assert!(running.wait().success());
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.share(bucket(1), 0).await.unwrap(), small);
    assert_eq!(client.share(bucket(2), 0).await.unwrap(), large);
}
