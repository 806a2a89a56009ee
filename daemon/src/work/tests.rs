//! Work between both ends of the protocol and a store in memory, whose answers come in any order.

use std::collections::BTreeMap;

use bucketfs::{
    CloseRefusal, Damage, Held, Opened, Piece, ShareKind, Unreadable, Unwritable, Wanted,
    WriteRefusal,
};
use bytes::{Buf, Bytes};
use lafs::{StorageIndex, Swissnum, num};
use proptest::prelude::*;
use protocol::limits::{BYTES_IN_FLIGHT_MAX, CHUNK_LEN_MAX, GATHERED_LEN_MAX, READ_STEP_LEN_MAX};
use protocol::{ByteRange, ReadRequest as WireRead, Reason, Welcome, client};

use super::*;

const BUCKET: StorageIndex = StorageIndex::new([1; 16]);

/// A store that keeps shares in memory and answers when told to.
#[derive(Default)]
struct MemoryStore {
    shares: BTreeMap<ShareKey, Vec<u8>>,
    uploads: HashMap<RequestNumber, (ShareKey, Vec<u8>)>,
    /// Uploads that were left.
    left: BTreeMap<ShareKey, Vec<u8>>,
    broken: Vec<ShareNumber>,
    /// Bytes that there is room for.
    room: Option<usize>,
}

impl MemoryStore {
    fn perform(&mut self, request: RequestNumber, step: Step) -> StepAnswer {
        match step {
            Step::Put(put) => StepAnswer::Put(match self.shares.contains_key(&put.key) {
                true => Ok(Stored::AlreadyHeld),
                false if self.room.is_some_and(|room| put.share.len() > room) => {
                    Err(Unwritable::Full.into())
                }
                false => {
                    self.shares.insert(put.key, put.share.to_vec());
                    Ok(Stored::New)
                }
            }),
            Step::Upload(step) => StepAnswer::Upload(self.perform_of_upload(request, step)),
            Step::Read(read) => StepAnswer::Read(Ok(self.read(&read))),
            Step::Lease(renew) => StepAnswer::Lease(Ok(Leased {
                held: self.held(renew.storage_index),
                failed: Vec::new(),
            })),
        }
    }

    fn perform_of_upload(&mut self, request: RequestNumber, step: UploadStep) -> UploadAnswer {
        match step {
            UploadStep::Open(open) => {
                if self.shares.contains_key(&open.key) {
                    return UploadAnswer::Opened(Ok(Opened::AlreadyHeld));
                }
                let left = self.left.remove(&open.key).filter(|_| open.resume);
                let left = left.unwrap_or_default();
                let offset = num::size(left.len());
                self.uploads.insert(request, (open.key, left));
                UploadAnswer::Opened(Ok(Opened::At { offset }))
            }
            UploadStep::Write { offset, pieces } => {
                let bytes = pieces.concat();
                let (_, written) = self.uploads.get_mut(&request).unwrap();
                let expected = num::size(written.len());
                let all = written.len() + bytes.len();
                let result = if offset != expected {
                    Err(WriteRefusal::Gap { expected })
                } else if self.room.is_some_and(|room| all > room) {
                    Err(Unwritable::Full.into())
                } else {
                    written.extend_from_slice(&bytes);
                    Ok(())
                };
                UploadAnswer::Written(bytes.len(), result)
            }
            UploadStep::Close { size } => {
                let (key, bytes) = self.uploads.remove(&request).unwrap();
                let written = num::size(bytes.len());
                if written != size {
                    return UploadAnswer::Closed(Err(CloseRefusal::WrongSize { written }));
                }
                self.shares.insert(key, bytes);
                UploadAnswer::Closed(Ok(()))
            }
            UploadStep::Abort => {
                self.uploads.remove(&request);
                UploadAnswer::Ended
            }
            UploadStep::Detach => {
                let (key, written) = self.uploads.remove(&request).unwrap();
                self.left.insert(key, written);
                UploadAnswer::Ended
            }
        }
    }

    fn held(&self, bucket: StorageIndex) -> Vec<(ShareNumber, u64)> {
        self.shares
            .iter()
            .filter(|(key, _)| key.storage_index == bucket)
            .filter(|(key, _)| !self.broken.contains(&key.share_number))
            .map(|(key, share)| (key.share_number, num::size(share.len())))
            .collect()
    }

    fn read(&self, read: &bucketfs::Read) -> SharesRead {
        let asked: u64 = read.extents.iter().map(|extent| extent.size).sum();
        assert!(asked <= num::size(READ_STEP_LEN_MAX));
        let mut held = self.held(read.storage_index);
        let mut broken = self.broken.clone();
        if let Wanted::One(one) = read.wanted {
            held.retain(|(number, _)| *number == one);
            broken.retain(|number| *number == one);
        }
        let numbers: Vec<_> = match &read.wanted {
            Wanted::Any(limit) => held
                .iter()
                .map(|(number, _)| *number)
                .take(*limit)
                .collect(),
            Wanted::These(numbers) => numbers.clone(),
            Wanted::One(number) => vec![*number],
        };
        let mut pieces = Vec::new();
        for share_number in numbers
            .into_iter()
            .filter(|number| !self.broken.contains(number))
        {
            let key = ShareKey {
                storage_index: read.storage_index,
                share_number,
            };
            let Some(bytes) = self.shares.get(&key) else {
                continue;
            };
            for extent in &read.extents {
                let start = num::len(extent.offset).unwrap().min(bytes.len());
                let end = num::len(extent.offset + extent.size)
                    .unwrap()
                    .min(bytes.len());
                pieces.push(Piece {
                    share_number,
                    offset: extent.offset,
                    bytes: Bytes::copy_from_slice(&bytes[start..end]),
                });
            }
        }
        let unreadable = broken
            .into_iter()
            .map(|number| (number, Unreadable::Damaged(Damage::Truncated)))
            .collect();
        let kind = ShareKind::Immutable;
        let held = held.into_iter();
        SharesRead {
            held: held
                .map(|(share_number, size)| Held {
                    share_number,
                    size,
                    kind,
                })
                .collect(),
            unreadable,
            pieces,
            rest: Vec::new(),
            version: 0,
        }
    }
}

/// A client, a server and its store, joined without a socket.
struct Joined {
    client: client::Connection,
    server: server::Connection,
    work: Work,
    store: MemoryStore,
    /// Steps that the store has not answered.
    under_way: Vec<(RequestNumber, Step)>,
    events: Vec<client::Event>,
}

impl Joined {
    fn new(store: MemoryStore) -> Self {
        let swissnum = Swissnum::from_random(&[1; 20]);
        let secret = ConnectionSecret::new([2; 32]);
        Self {
            client: client::Connection::new(&secret, &swissnum),
            server: server::Connection::new(swissnum),
            work: Work::default(),
            store,
            under_way: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Runs until nothing moves; `choose` picks which of so many steps the store answers next.
    fn run(&mut self, mut choose: impl FnMut(usize) -> usize) {
        let mut input = Vec::new();
        loop {
            let queued = self.client.output_len();
            input.extend_from_slice(&self.client.output().copy_to_bytes(queued));
            let mut rest = &input[..];
            while let Some(event) = self.server.read(&mut rest).unwrap() {
                if let server::Event::Admitted { .. } = event {
                    self.server.welcome(WELCOME);
                }
                self.work.handle_event(event, &mut self.server);
            }
            input = rest.to_vec();
            assert!(self.server.bytes_in_flight() <= BYTES_IN_FLIGHT_MAX + CHUNK_LEN_MAX);
            while let Some(step) = self.work.next_step(&self.server) {
                self.under_way.push(step);
            }
            if !self.under_way.is_empty() {
                let index = choose(self.under_way.len());
                let (request, step) = self.under_way.remove(index);
                let answer = self.store.perform(request, step);
                self.work.handle_answer(request, answer, &mut self.server);
            }
            let queued = self.server.output().remaining();
            let said = self.server.output().copy_to_bytes(queued);
            let mut rest = &said[..];
            while let Some(event) = self.client.read(&mut rest).unwrap() {
                self.events.push(event);
            }
            self.under_way.extend(self.work.next_step(&self.server));
            if self.client.output_len() == 0 && self.under_way.is_empty() && queued == 0 {
                assert!(input.is_empty(), "the server stopped reading for good");
                return;
            }
        }
    }

    fn outcome(&self, asked: RequestNumber) -> &Outcome {
        self.events
            .iter()
            .find_map(|event| match event {
                client::Event::Answered { request, outcome } if *request == asked => Some(outcome),
                _ => None,
            })
            .expect("an answer")
    }

    fn refused(&self, asked: RequestNumber) -> Reason {
        match self.outcome(asked) {
            Outcome::Refused(refusal) => refusal.reason,
            other => panic!("{other:?}"),
        }
    }

    /// The share bytes that answered a READ, and what HELD said.
    fn answer(
        &self,
        asked: RequestNumber,
    ) -> (BTreeMap<u8, Vec<u8>>, Option<Reason>, Vec<HeldShare>) {
        let mut shares: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for event in &self.events {
            match event {
                client::Event::Share {
                    request,
                    share_number,
                    bytes,
                    ..
                } if *request == asked => {
                    shares
                        .entry(share_number.as_u8())
                        .or_default()
                        .extend_from_slice(bytes);
                }
                client::Event::Held {
                    request,
                    failure,
                    shares: held,
                } if *request == asked => return (shares, *failure, held.clone()),
                _ => {}
            }
        }
        panic!("READ {asked} was not answered");
    }
}

const WELCOME: Welcome = Welcome {
    relaxed: false,
    read_only: false,
    long_data: true,
    space_free: 0,
    share_size_max: 1 << 61,
    uploads_max: 64,
    requests_max: 1024,
};

fn key(share: u8) -> ShareKey {
    ShareKey {
        storage_index: BUCKET,
        share_number: number(share),
    }
}

fn number(number: u8) -> ShareNumber {
    ShareNumber::new(number)
}

/// A store with these shares of [`BUCKET`].
fn holding(shares: &[(u8, Vec<u8>)]) -> MemoryStore {
    MemoryStore {
        shares: shares
            .iter()
            .map(|(share, bytes)| (key(*share), bytes.clone()))
            .collect(),
        ..MemoryStore::default()
    }
}

fn pattern(len: usize, salt: usize) -> Vec<u8> {
    (0..len)
        .map(|index| u8::try_from((index * 7 + salt) % 251).unwrap())
        .collect()
}

fn read(limit: u16, numbers: &[u8], ranges: &[(u64, u64)]) -> WireRead {
    let ranges = ranges
        .iter()
        .map(|&(offset, size)| ByteRange::new(offset, size).unwrap())
        .collect();
    let numbers = numbers.iter().copied().map(ShareNumber::new).collect();
    WireRead::new(BUCKET, limit, numbers, ranges).unwrap()
}

#[test]
fn a_put_an_upload_and_a_lease_are_done_and_answered() {
    let mut joined = Joined::new(MemoryStore::default());
    let put = joined
        .client
        .put(BUCKET, number(0), Bytes::from_static(b"small"));
    let again = joined
        .client
        .put(BUCKET, number(0), Bytes::from_static(b"small"));
    let large = pattern(3 * CHUNK_LEN_MAX + 5, 0);
    let upload = joined.client.open(BUCKET, number(1), None, false);
    joined.client.write(upload, Bytes::from(large.clone()));
    joined.client.close(upload);
    joined.run(|_| 0);
    assert_eq!(joined.outcome(put), &Outcome::Stored);
    assert_eq!(joined.outcome(again), &Outcome::AlreadyHere);
    assert_eq!(joined.outcome(upload), &Outcome::Stored);
    assert_eq!(joined.store.shares[&key(1)], large);
    let lease = joined.client.lease(BUCKET);
    joined.run(|_| 0);
    let (_, failure, held) = joined.answer(lease);
    assert_eq!((failure, held.len()), (None, 2));
    assert!(joined.server.is_idle() && !joined.work.is_busy());
}

// A write to the disk costs the same for one frame and for eight.
#[test]
fn what_has_come_while_a_write_was_under_way_is_written_together() {
    let mut joined = Joined::new(MemoryStore::default());
    let upload = joined.client.open(BUCKET, number(1), None, false);
    let share = pattern(10 * CHUNK_LEN_MAX, 0);
    joined.client.write(upload, Bytes::from(share));
    let queued = joined.client.output_len();
    let input = joined.client.output().copy_to_bytes(queued);
    let mut input = &input[..];
    while let Some(event) = joined.server.read(&mut input).unwrap() {
        joined.work.handle_event(event, &mut joined.server);
    }
    let mut lens = Vec::new();
    while let Some((request, step)) = joined.work.next_step(&joined.server) {
        if let Step::Upload(UploadStep::Write { pieces, .. }) = &step {
            lens.push(pieces.iter().map(Bytes::len).sum::<usize>());
        }
        let answer = joined.store.perform(request, step);
        joined
            .work
            .handle_answer(request, answer, &mut joined.server);
    }
    assert_eq!(
        lens,
        [GATHERED_LEN_MAX, 10 * CHUNK_LEN_MAX - GATHERED_LEN_MAX]
    );
    assert_eq!(joined.server.bytes_in_flight(), 0);
}

#[test]
fn an_upload_that_fails_is_answered_once_and_dropped_from_the_store() {
    let mut joined = Joined::new(MemoryStore {
        room: Some(CHUNK_LEN_MAX),
        ..MemoryStore::default()
    });
    let upload = joined.client.open(BUCKET, number(1), None, false);
    joined
        .client
        .write(upload, Bytes::from(vec![1; 5 * CHUNK_LEN_MAX]));
    joined.client.close(upload);
    joined.run(|_| 0);
    assert_eq!(joined.refused(upload), Reason::Full);
    assert!(
        joined.store.uploads.is_empty(),
        "what was written is dropped"
    );
    assert_eq!(joined.server.bytes_in_flight(), 0);
    assert!(!joined.work.is_busy());
}

#[test]
fn an_aborted_upload_is_answered_and_dropped() {
    let mut joined = Joined::new(MemoryStore::default());
    let upload = joined.client.open(BUCKET, number(1), None, false);
    joined
        .client
        .write(upload, Bytes::from(vec![1; 3 * CHUNK_LEN_MAX]));
    joined.client.abort(upload);
    joined.run(|_| 0);
    assert_eq!(joined.refused(upload), Reason::Aborted);
    assert!(joined.store.uploads.is_empty());
    assert_eq!(joined.server.bytes_in_flight(), 0);
}

#[test]
fn an_upload_that_was_not_closed_is_left_and_goes_on_where_it_was() {
    let whole = pattern(2 * CHUNK_LEN_MAX, 0);
    let mut first = Joined::new(MemoryStore::default());
    let upload = first.client.open(BUCKET, number(1), None, false);
    first
        .client
        .write(upload, Bytes::copy_from_slice(&whole[..CHUNK_LEN_MAX]));
    first.run(|_| 0);
    first.work.leave_uploads(&mut first.server);
    first.run(|_| 0);
    assert!(!first.work.is_busy());

    let mut second = Joined::new(first.store);
    let upload = second.client.open(BUCKET, number(1), None, true);
    second.run(|_| 0);
    let Some(client::Event::ResumeAt { offset, .. }) = second.events.last() else {
        panic!("{:?}", second.events);
    };
    let offset = num::len(*offset).unwrap();
    assert_eq!(offset, CHUNK_LEN_MAX);
    second
        .client
        .write(upload, Bytes::copy_from_slice(&whole[offset..]));
    second.client.close(upload);
    second.run(|_| 0);
    assert_eq!(second.outcome(upload), &Outcome::Stored);
    assert_eq!(second.store.shares[&key(1)], whole);
}

// A connection that ends while an upload fails or closes must leave that answer in peace.
#[test]
fn leaving_an_upload_at_any_moment_ends_its_steps() {
    for answered in 0..6 {
        let mut joined = Joined::new(MemoryStore {
            room: Some(CHUNK_LEN_MAX),
            ..MemoryStore::default()
        });
        let upload = joined.client.open(BUCKET, number(1), None, false);
        joined
            .client
            .write(upload, Bytes::from(vec![1; CHUNK_LEN_MAX + 1]));
        joined.client.close(upload);
        let queued = joined.client.output_len();
        let input = joined.client.output().copy_to_bytes(queued);
        let mut input = &input[..];
        while let Some(event) = joined.server.read(&mut input).unwrap() {
            joined.work.handle_event(event, &mut joined.server);
        }
        let mut left = false;
        for count in 0.. {
            if count == answered {
                joined.work.leave_uploads(&mut joined.server);
                left = true;
            }
            let Some((request, step)) = joined.work.next_step(&joined.server) else {
                if left {
                    break;
                }
                continue;
            };
            let answer = joined.store.perform(request, step);
            joined
                .work
                .handle_answer(request, answer, &mut joined.server);
        }
        assert!(!joined.work.is_busy(), "left after {answered} answers");
        assert_eq!(joined.server.bytes_in_flight(), 0);
    }
}

#[test]
fn what_is_held_is_told_without_bytes() {
    let mut joined = Joined::new(holding(&[(3, vec![1; 10]), (9, vec![1; 20])]));
    let any = joined.client.read_shares(WireRead::held(BUCKET));
    let named = joined.client.read_shares(read(1, &[2, 9], &[]));
    let elsewhere = StorageIndex::new([9; 16]);
    let nothing = joined.client.read_shares(WireRead::held(elsewhere));
    joined.run(|_| 0);
    let held = |share, size| HeldShare {
        share_number: number(share),
        size: Some(size),
    };
    assert_eq!(
        joined.answer(any),
        (BTreeMap::new(), None, vec![held(3, 10), held(9, 20)])
    );
    assert_eq!(
        joined.answer(named),
        (BTreeMap::new(), None, vec![held(9, 20)])
    );
    assert_eq!(joined.answer(nothing), (BTreeMap::new(), None, Vec::new()));
}

#[test]
fn ranges_are_cut_at_the_end_of_each_share() {
    let long = pattern(2 * CHUNK_LEN_MAX + 100, 3);
    let mut joined = Joined::new(holding(&[(3, long.clone()), (9, vec![1; 20])]));
    let whole = joined
        .client
        .read_shares(WireRead::whole(BUCKET, 2).unwrap());
    let parts = joined
        .client
        .read_shares(read(2, &[3, 9], &[(5, 10), (19, 70_000), (1 << 60, 1)]));
    let beyond = joined.client.read_shares(read(1, &[9], &[(20, 1)]));
    joined.run(|_| 0);
    let (shares, failure, held) = joined.answer(whole);
    assert_eq!((failure, held.len()), (None, 2));
    assert_eq!(shares[&3], long);
    assert_eq!(shares[&9], vec![1; 20]);
    let (shares, ..) = joined.answer(parts);
    assert_eq!(shares[&3], [&long[5..15], &long[19..70_019]].concat());
    assert_eq!(shares[&9], vec![1; 11]);
    assert_eq!(joined.answer(beyond).0, BTreeMap::new());
}

// One bad file must not poison the rest of its bucket.
#[test]
fn a_share_that_cannot_be_read_is_named_and_the_next_one_comes_instead() {
    for (limit, numbers) in [(1, vec![]), (1, vec![3, 9]), (2, vec![])] {
        let mut store = holding(&[(3, vec![1; 10]), (9, vec![2; 20])]);
        store.broken = vec![number(3)];
        let mut joined = Joined::new(store);
        let asked = joined
            .client
            .read_shares(read(limit, &numbers, &[(0, 100)]));
        joined.run(|_| 0);
        let (shares, failure, held) = joined.answer(asked);
        assert_eq!(shares, BTreeMap::from([(9, vec![2; 20])]));
        assert_eq!(failure, Some(Reason::Damaged));
        assert_eq!(held[0].size, None);
        assert_eq!(held[1].size, Some(20));
    }
}

#[test]
fn no_more_reads_are_begun_than_the_peer_takes() {
    let mut joined = Joined::new(holding(&[(0, vec![1; 2 * CHUNK_LEN_MAX])]));
    for _ in 0..100 {
        joined
            .client
            .read_shares(WireRead::whole(BUCKET, 1).unwrap());
    }
    let queued = joined.client.output_len();
    let input = joined.client.output().copy_to_bytes(queued);
    let mut input = &input[..];
    while let Some(event) = joined.server.read(&mut input).unwrap() {
        joined.work.handle_event(event, &mut joined.server);
    }
    let mut performed = 0;
    loop {
        while let Some(step) = joined.work.next_step(&joined.server) {
            joined.under_way.push(step);
            assert!(joined.under_way.len() <= READS_MAX);
        }
        let Some((request, step)) = joined.under_way.pop() else {
            break;
        };
        let answer = joined.store.perform(request, step);
        joined
            .work
            .handle_answer(request, answer, &mut joined.server);
        performed += 1;
    }
    let bound = protocol::limits::OUTPUT_LEN_MAX / READ_STEP_LEN_MAX + READS_MAX;
    assert!(
        performed <= bound,
        "{performed} chunks for a peer that takes none"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    // Whatever order the disk answers in, every request is answered and every byte is right.
    #[test]
    fn any_order_of_the_stores_answers_gives_the_same_shares(
        sizes in proptest::collection::vec(1..4 * CHUNK_LEN_MAX, 1..12),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 1..64),
    ) {
        let mut joined = Joined::new(MemoryStore::default());
        let mut asked = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let share = Bytes::from(pattern(*size, index));
            let number = ShareNumber::from_index(index).unwrap();
            asked.push(if *size <= CHUNK_LEN_MAX && index % 3 > 0 {
                joined.client.put(BUCKET, number, share)
            } else {
                let upload = joined.client.open(BUCKET, number, None, false);
                joined.client.write(upload, share);
                joined.client.close(upload);
                upload
            });
        }
        let mut turn = 0;
        let mut choose = |count: usize| {
            turn += 1;
            order[turn % order.len()].index(count)
        };
        joined.run(&mut choose);
        for request in asked {
            prop_assert_eq!(joined.outcome(request), &Outcome::Stored);
        }
        let whole = joined.client.read_shares(WireRead::whole(BUCKET, 256).unwrap());
        let one = joined.client.read_shares(WireRead::whole(BUCKET, 1).unwrap());
        joined.run(&mut choose);
        let (shares, failure, _) = joined.answer(whole);
        prop_assert_eq!(failure, None);
        for (index, size) in sizes.iter().enumerate() {
            prop_assert_eq!(&shares[&u8::try_from(index).unwrap()], &pattern(*size, index));
        }
        prop_assert_eq!(joined.answer(one).0.len(), 1);
        prop_assert!(!joined.work.is_busy());
        prop_assert_eq!(joined.server.bytes_in_flight(), 0);
    }
}
