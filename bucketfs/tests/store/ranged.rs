//! Ranged uploads: as Tahoe's protocol has them, and what it leaves to the server.

use std::time::Duration;

use bucketfs::container::Container;
use bucketfs::disk::sim::{Faults, Medium, Random};
use bucketfs::disk::{Engine, Operation};
use bucketfs::{
    AbortRanged, AbortRangedRefusal, Allocate, AllocateRefusal, Allocated, Answer, BootId,
    Durability, OpenRefusal, Opened, PutRefusal, RangeWritten, Stored, Unavailable, Unwritable,
    WriteRange, WriteRangeRefusal, limits,
};
use bytes::Bytes;
use lafs::{ShareNumber, UploadSecret};

use crate::bench::{
    Answered, Bench, bucket, close, config, disk, key, lease, open, path, put, remove, secrets,
    with_boot, write,
};
use crate::{FIXTURE, FIXTURE_ONE, MUTABLE};

fn numbers(shares: &[u8]) -> Vec<ShareNumber> {
    shares.iter().copied().map(ShareNumber::new).collect()
}

fn secret(number: u8) -> UploadSecret {
    UploadSecret::of_bytes(format!("upload-secret-{number:06}").as_bytes())
}

pub(crate) fn allocate(shares: &[u8], size: u64, by: u8) -> Allocate {
    Allocate {
        storage_index: bucket(),
        share_numbers: numbers(shares),
        size,
        secret: secret(by),
        lease: secrets(by),
    }
}

pub(crate) fn part(share: u8, by: u8, offset: u64, bytes: &[u8]) -> WriteRange {
    WriteRange {
        key: key(share),
        secret: secret(by),
        offset,
        bytes: Bytes::copy_from_slice(bytes),
    }
}

fn abort(share: u8, by: u8) -> AbortRanged {
    AbortRanged {
        key: key(share),
        secret: secret(by),
    }
}

fn allocated(held: &[u8], allocated: &[u8]) -> Answered<Allocate> {
    Ok(Allocated {
        held: numbers(held),
        allocated: numbers(allocated),
    })
}

/// What is left to be written; of nothing the share is complete.
fn missing(ranges: &[(u64, u64)]) -> Answered<WriteRange> {
    Ok(match ranges {
        [] => RangeWritten::Complete,
        ranges => RangeWritten::Missing(ranges.to_vec()),
    })
}

fn refused(refusal: impl Into<WriteRangeRefusal>) -> Answered<WriteRange> {
    Err(refusal.into())
}

/// Files in incoming.
fn incoming(bench: &Bench) -> Vec<String> {
    let files = bench.sim.look(Medium::files);
    let names = files.into_keys();
    names
        .filter(|path| path.starts_with("shares/incoming/"))
        .collect()
}

/// Bytes that differ from place to place.
fn bytes(len: usize) -> Vec<u8> {
    let mut random = Random::new(7);
    let words = std::iter::repeat_with(|| random.number().to_le_bytes());
    words.flatten().take(len).collect()
}

// The hot path of small files: what a put costs, and for the allocation one look at the bucket.
#[test]
fn a_small_share_in_one_write_is_written_as_a_put_is() {
    let mut bench = Bench::new();
    let calls = |bench: &Bench| bench.sim.calls();
    let before = calls(&bench);
    assert_eq!(bench.put(9, b"by a put"), Ok(Stored::New));
    let put = calls(&bench) - before;

    let before = calls(&bench);
    assert_eq!(bench.ask(allocate(&[0], 5, 1)), allocated(&[9], &[0]));
    bench.settle();
    let allocating = calls(&bench) - before;
    assert_eq!(
        incoming(&bench),
        [""; 0],
        "nothing is made for an allocation"
    );

    let before = calls(&bench);
    let batches = bench.status().journal_batches;
    assert_eq!(bench.ask(part(0, 1, 0, b"share")), missing(&[]));
    // The bucket is there by now, which a chain finds out in as many calls.
    assert!(calls(&bench) - before <= put + 1, "{put}");
    assert_eq!(bench.status().journal_batches, batches + 1, "one sync");
    assert_eq!(bench.share(0).as_deref(), Some(&b"share"[..]));

    // With nothing held, the look at the bucket is all.
    let mut bench = Bench::new();
    let before = calls(&bench);
    bench.ask(allocate(&[0], 5, 1)).unwrap();
    assert_eq!(calls(&bench) - before, 1);
    assert!(allocating > 1, "leases on what is held");
}

// The container that Tahoe writes: the lease is dated from the allocation, owner number 0.
#[test]
fn the_container_is_tahoes_whether_it_came_in_one_part_or_in_several() {
    let share = Container::parse(FIXTURE).unwrap().share;
    let size = share.len() as u64;
    for version in [bucketfs::container::Version::One, Default::default()] {
        for pieces in [1, 3] {
            let mut config = config();
            config.container_version = version;
            let mut bench = Bench::on(disk(), &config).unwrap();
            bench.now.unix = 1_702_678_400 - 31 * 86_400;
            bench.ask(allocate(&[0], size, 0)).unwrap();
            bench.now.unix += 1000;
            let len = share.len().div_ceil(pieces);
            let mut last = missing(&[(0, size)]);
            for (index, bytes) in share.chunks(len).enumerate() {
                last = bench.ask(part(0, 0, (index * len) as u64, bytes));
            }
            assert_eq!(last, missing(&[]));
            let one = version == bucketfs::container::Version::One;
            assert_eq!(bench.file(0), if one { FIXTURE_ONE } else { FIXTURE });
            bench.settle();
            assert_eq!(incoming(&bench), [""; 0]);
            let status = bench.status();
            assert_eq!((status.uploads, status.promised), (0, 0));
        }
    }
}

// As in the recorded session: the ranges still missing are told after every part.
#[test]
fn parts_come_in_any_order_and_what_is_missing_is_told() {
    let mut bench = Bench::new();
    let share = bytes(48);
    bench.ask(allocate(&[0], 48, 1)).unwrap();
    assert_eq!(bench.ask(part(0, 1, 0, b"")), missing(&[(0, 48)]));
    assert_eq!(
        bench.ask(part(0, 1, 16, &share[16..32])),
        missing(&[(0, 16), (32, 48)])
    );
    assert_eq!(bench.ask(part(0, 1, 0, b"")), missing(&[(0, 16), (32, 48)]));
    assert_eq!(bench.ask(part(0, 1, 32, &share[32..])), missing(&[(0, 16)]));
    assert_eq!(bench.share(0), None, "not before it is whole");
    assert_eq!(bench.ask(part(0, 1, 0, &share[..16])), missing(&[]));
    assert_eq!(bench.share(0).as_deref(), Some(&share[..]));
    let gone = refused(WriteRangeRefusal::UnknownUpload);
    assert_eq!(bench.ask(part(0, 1, 0, &share[..16])), gone);
}

// A client that got no answer sends the same again; one that sends something else is wrong.
#[test]
fn what_was_written_before_may_be_sent_again_and_not_be_changed() {
    let mut bench = Bench::new();
    let share = bytes(100);
    bench.ask(allocate(&[0], 100, 1)).unwrap();
    bench.ask(part(0, 1, 10, &share[10..20])).unwrap();
    bench.ask(part(0, 1, 30, &share[30..40])).unwrap();
    let now = missing(&[(0, 10), (20, 30), (40, 100)]);
    assert_eq!(bench.ask(part(0, 1, 10, &share[10..20])), now);
    assert_eq!(bench.ask(part(0, 1, 12, &share[12..15])), now);
    let mut other = share.clone();
    other[35] ^= 1;
    let conflict = refused(WriteRangeRefusal::Conflict);
    assert_eq!(bench.ask(part(0, 1, 35, &other[35..36])), conflict);
    // Nothing of it is written, not even where nothing was.
    assert_eq!(bench.ask(part(0, 1, 0, &other[..50])), conflict);
    assert_eq!(bench.ask(part(0, 1, 0, b"")), now);
    assert_eq!(bench.ask(part(0, 1, 0, &other)), conflict);
    assert_eq!(
        bench.ask(part(0, 1, 5, &share[5..45])),
        missing(&[(0, 5), (45, 100)])
    );
    assert_eq!(bench.ask(part(0, 1, 0, &share)), missing(&[]));
    assert_eq!(bench.share(0).as_deref(), Some(&share[..]));
}

#[test]
fn parts_of_one_share_at_once_are_taken_one_after_the_other() {
    let mut bench = Bench::new();
    let share = bytes(70_000);
    bench.ask(allocate(&[0, 1], 70_000, 1)).unwrap();
    let mut asked = Vec::new();
    for number in 0..2 {
        for begin in [60_000, 0, 30_000, 10_000, 50_000] {
            let end = (begin + 20_000).min(share.len());
            asked.push(bench.send(part(number, 1, begin as u64, &share[begin..end])));
        }
    }
    let last: Vec<_> = asked.into_iter().map(|id| bench.answer(id)).collect();
    assert_eq!(last[0], missing(&[(0, 60_000)]));
    assert_eq!(last[4], missing(&[]));
    assert_eq!(last[9], missing(&[]));
    assert_eq!(bench.share(0).as_deref(), Some(&share[..]));
    assert_eq!(bench.share(1).as_deref(), Some(&share[..]));
}

// Of the reference: all shares held, asked for or not; those in progress in neither list, whoever
// uploads them, the same client included.
#[test]
fn an_allocation_tells_what_is_held_and_leaves_what_is_in_progress() {
    let mut bench = Bench::new();
    bench.put(3, b"held").unwrap();
    assert_eq!(
        bench.ask(allocate(&[2, 1, 1], 5, 1)),
        allocated(&[3], &[1, 2])
    );
    assert_eq!(
        bench.ask(allocate(&[1, 2, 3, 4], 5, 1)),
        allocated(&[3], &[4])
    );
    assert_eq!(bench.ask(allocate(&[1, 2], 9, 2)), allocated(&[3], &[]));
    assert_eq!(bench.ask(allocate(&[], 5, 2)), allocated(&[3], &[]));
    assert_eq!(bench.ask(part(1, 1, 0, b"share")), missing(&[]));
    assert_eq!(bench.ask(allocate(&[1, 2], 5, 2)), allocated(&[1, 3], &[]));
    // One of the pipeline's is in progress, too, and the reverse.
    let upload = bench.send(open(5, 1, None, false));
    assert_eq!(bench.ask(allocate(&[5], 5, 1)), allocated(&[1, 3], &[]));
    let theirs = refused(WriteRangeRefusal::UnknownUpload);
    assert_eq!(bench.ask(part(5, 1, 0, b"share")), theirs);
    assert_eq!(bench.answer(upload), Ok(Opened::At { offset: 0 }));
    assert_eq!(bench.put(2, b"other"), Err(PutRefusal::InProgress));
    let opened = bench.ask(open(2, 1, None, false));
    assert_eq!(opened, Err(OpenRefusal::InProgress));
}

#[test]
fn an_allocation_renews_the_lease_on_every_share_held() {
    let mut bench = Bench::new();
    bench.put(0, b"one").unwrap();
    bench.put(1, b"two").unwrap();
    bench.now.unix += 1000;
    bench.ask(allocate(&[], 5, 0)).unwrap();
    bench.ask(allocate(&[7], 5, 1)).unwrap();
    for share in 0..2 {
        let file = bench.file(share);
        let leases = Container::parse(&file).unwrap().leases;
        let ends = bucketfs::container::expiration(bench.now.unix);
        let found: Vec<_> = leases
            .iter()
            .map(|lease| (lease.owner, lease.expiration))
            .collect();
        assert_eq!(found, [(0, ends), (0, ends)]);
    }
}

#[test]
fn a_damaged_file_keeps_neither_the_bucket_nor_its_own_number() {
    let mut medium = Bench::new().shut_down();
    medium.plant(&path(1), &FIXTURE[..50]);
    medium.plant(&path(2), FIXTURE);
    let mut bench = Bench::on(medium, &config()).unwrap();
    assert_eq!(bench.ask(allocate(&[0, 1, 2], 5, 1)), allocated(&[2], &[0]));
    assert_eq!(bench.ask(part(0, 1, 0, b"share")), missing(&[]));
    assert_eq!(bench.file(1), FIXTURE[..50], "left for fsck");
}

#[test]
fn where_there_are_slots_nothing_is_allocated() {
    let mut medium = Bench::new().shut_down();
    medium.plant(&path(1), MUTABLE);
    let mut bench = Bench::on(medium, &config()).unwrap();
    let slots = Err(AllocateRefusal::NotABucket);
    assert_eq!(bench.ask(allocate(&[0, 2], 5, 1)), slots);
    assert_eq!(bench.status().uploads, 0);
    assert_eq!(bench.file(1), MUTABLE);
}

#[test]
fn only_who_has_the_secret_writes_or_aborts() {
    let mut bench = Bench::new();
    bench.ask(allocate(&[0], 5, 1)).unwrap();
    let wrong = refused(WriteRangeRefusal::WrongSecret);
    for request in [part(0, 2, 0, b"share"), part(0, 2, 0, b"")] {
        assert_eq!(bench.ask(request), wrong);
    }
    let wrong = Err(AbortRangedRefusal::WrongSecret);
    assert_eq!(bench.ask(abort(0, 2)), wrong);
    let unknown = refused(WriteRangeRefusal::UnknownUpload);
    assert_eq!(bench.ask(part(1, 1, 0, b"share")), unknown);
    assert_eq!(bench.ask(part(0, 1, 0, b"share")), missing(&[]));
}

#[test]
fn an_abort_leaves_nothing_and_the_share_may_be_allocated_anew() {
    let mut bench = Bench::new();
    bench.ask(allocate(&[0, 1], 100, 1)).unwrap();
    bench.ask(part(0, 1, 0, b"some")).unwrap();
    assert_eq!(incoming(&bench).len(), 1);
    assert_eq!(bench.ask(abort(0, 1)), Ok(()));
    assert_eq!(bench.ask(abort(1, 1)), Ok(()));
    assert_eq!(incoming(&bench), [""; 0]);
    let status = bench.status();
    assert_eq!((status.uploads, status.promised), (0, 0));
    let unknown = refused(WriteRangeRefusal::UnknownUpload);
    assert_eq!(
        bench.ask(abort(0, 1)),
        Err(AbortRangedRefusal::UnknownUpload)
    );
    assert_eq!(bench.ask(part(0, 1, 4, b"more")), unknown);
    assert_eq!(bench.ask(allocate(&[0], 3, 2)), allocated(&[], &[0]));
    assert_eq!(bench.ask(part(0, 2, 0, b"new")), missing(&[]));
    assert_eq!(bench.ask(abort(0, 2)), Err(AbortRangedRefusal::AlreadyHeld));
}

#[test]
fn an_abort_waits_for_the_write_before_it_and_what_comes_later_finds_nothing() {
    let mut bench = Bench::new();
    bench.ask(allocate(&[0], 100, 1)).unwrap();
    let first = bench.send(part(0, 1, 0, b"some"));
    let aborted = bench.send(abort(0, 1));
    let second = bench.send(part(0, 1, 4, b"more"));
    let again = bench.send(abort(0, 1));
    assert_eq!(bench.answer(first), missing(&[(4, 100)]));
    assert_eq!(bench.answer(aborted), Ok(()));
    let unknown = refused(WriteRangeRefusal::UnknownUpload);
    assert_eq!(bench.answer(second), unknown);
    let none = Err(AbortRangedRefusal::UnknownUpload);
    assert_eq!(bench.answer(again), none);
    bench.settle();
    assert_eq!(incoming(&bench), [""; 0]);
    // The same where the write is the last one.
    bench.ask(allocate(&[0], 5, 1)).unwrap();
    let first = bench.send(part(0, 1, 0, b"share"));
    let second = bench.send(part(0, 1, 0, b"share"));
    let aborted = bench.send(abort(0, 1));
    assert_eq!(bench.answer(first), missing(&[]));
    assert_eq!(bench.answer(second), unknown);
    assert_eq!(bench.answer(aborted), Err(AbortRangedRefusal::AlreadyHeld));
}

#[test]
fn sizes_and_places_that_cannot_be_are_refused_and_the_upload_goes_on() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.ask(allocate(&[0], 0, 1)),
        Err(AllocateRefusal::EmptyShare)
    );
    for size in [u64::MAX, limits::SHARE_SIZE, 1 << 40] {
        assert_eq!(bench.ask(allocate(&[0], size, 1)), allocated(&[], &[]));
    }
    bench.ask(allocate(&[0], 5, 1)).unwrap();
    let beyond = refused(WriteRangeRefusal::BeyondEnd { size: 5 });
    for offset in [1, 5, u64::MAX - 4, u64::MAX] {
        assert_eq!(bench.ask(part(0, 1, offset, b"share")), beyond);
    }
    assert_eq!(bench.ask(part(0, 1, 6, b"")), beyond);
    let len = limits::WRITE_LEN + 1;
    let limit = limits::WRITE_LEN as u64;
    let too_large = refused(WriteRangeRefusal::TooLarge { limit });
    assert_eq!(bench.ask(part(0, 1, 0, &vec![0; len])), too_large);
    assert_eq!(bench.ask(part(0, 1, 0, b"share")), missing(&[]));
}

// Every other byte: what is known of an upload would be larger than the upload.
#[test]
fn there_are_only_so_many_ranges_to_a_share_in_progress() {
    let mut bench = Bench::new();
    let share = bytes(1000);
    bench.ask(allocate(&[0], 1000, 1)).unwrap();
    let each = |index: usize| part(0, 1, 2 * index as u64, &share[2 * index..=2 * index]);
    for index in 0..limits::RANGES {
        assert!(bench.ask(each(index)).is_ok());
    }
    let limit = limits::RANGES;
    let refusal = refused(WriteRangeRefusal::TooManyRanges { limit });
    assert_eq!(bench.ask(each(limit)), refusal);
    // Where it makes no new range it is welcome.
    assert!(bench.ask(part(0, 1, 1, &share[1..2])).is_ok());
    assert!(bench.ask(each(limit)).is_ok());
    // So many fit into the ticket.
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert_eq!(bench.ask(part(0, 1, 0, &share)), missing(&[]));
    assert_eq!(bench.share(0).as_deref(), Some(&share[..]));
}

// Thousands may be in progress; no descriptor is kept for any of them.
#[test]
fn ranged_uploads_are_many_and_bounded() {
    let mut bench = Bench::on(Medium::new(1 << 30), &config()).unwrap();
    let mut granted = 0;
    for bucket in 0..=limits::ALLOCATIONS / 256 {
        let mut request = allocate(&(0..=255).collect::<Vec<_>>(), 10, 1);
        let byte = u8::try_from(bucket).unwrap();
        request.storage_index = lafs::StorageIndex::new([byte; 16]);
        granted += bench.ask(request).unwrap().allocated.len();
    }
    assert_eq!(granted, limits::ALLOCATIONS);
    assert_eq!(bench.status().uploads, limits::ALLOCATIONS);
    for share in 0..=255 {
        let answer = bench.ask(part(share, 1, 0, b"half"));
        assert_eq!(answer, missing(&[(4, 10)]));
    }
    bench.now.elapsed = limits::UPLOAD_IDLE;
    bench.store.handle_timeout(bench.now);
    bench.settle();
    let status = bench.status();
    assert_eq!((status.uploads, status.promised), (0, 0));
    assert_eq!(incoming(&bench), [""; 0]);
    assert_eq!(bench.ask(allocate(&[0], 10, 1)), allocated(&[], &[0]));
}

// Of the reference: the allocation starts the clock, any part with the right secret starts it anew.
#[test]
fn an_upload_that_nobody_tries_to_write_to_for_half_an_hour_is_given_up() {
    let mut bench = Bench::new();
    let almost = limits::UPLOAD_IDLE - Duration::from_secs(1);
    bench.ask(allocate(&[0, 1, 2], 10, 1)).unwrap();
    bench.ask(part(0, 1, 0, b"x")).unwrap();
    bench.now.elapsed += almost;
    bench.store.handle_timeout(bench.now);
    assert_eq!(bench.ask(part(0, 1, 0, b"")), missing(&[(1, 10)]));
    let conflict = refused(WriteRangeRefusal::Conflict);
    assert_eq!(bench.ask(part(0, 1, 0, b"y")), conflict, "an attempt, too");
    assert_eq!(
        bench.ask(part(1, 2, 0, b"x")),
        refused(WriteRangeRefusal::WrongSecret)
    );
    bench.now.elapsed += Duration::from_secs(1);
    bench.store.handle_timeout(bench.now);
    assert_eq!(bench.status().uploads, 1);
    let unknown = refused(WriteRangeRefusal::UnknownUpload);
    assert_eq!(bench.ask(part(1, 1, 0, b"x")), unknown);
    bench.now.elapsed = bench.store.poll_timeout().unwrap();
    bench.store.handle_timeout(bench.now);
    bench.settle();
    assert_eq!(bench.status().uploads, 0);
    assert_eq!(incoming(&bench), [""; 0]);
    assert_eq!(bench.store.poll_timeout(), None);
}

#[test]
fn space_is_promised_share_by_share_and_a_lack_of_it_refuses_no_request() {
    let mut bench = Bench::on(Medium::new(8 << 20), &config()).unwrap();
    bench.put(9, b"held").unwrap();
    let before = bench.status().available;
    let size = 1 << 20;
    let Allocated {
        held,
        allocated: granted,
    } = bench
        .ask(allocate(&[0, 1, 2, 3, 4, 5, 6, 7], size, 1))
        .unwrap();
    assert_eq!(held, numbers(&[9]));
    assert!(granted.len() > 3 && granted.len() < 8, "{granted:?}");
    let status = bench.status();
    assert!(status.promised >= size * granted.len() as u64);
    assert_eq!(bench.ask(allocate(&[20], size, 1)), allocated(&[9], &[]));
    let status = bench.status();
    assert!(status.available < size && status.available + status.promised >= before);
    for share in granted {
        assert_eq!(bench.ask(abort(share.as_u8(), 1)), Ok(()));
    }
    let all = status.available + status.promised;
    let status = bench.status();
    assert_eq!((status.available, status.promised), (all, 0));
}

// A full or read-only server tells what it has, and renews; that is no reason to fail a file.
#[test]
fn a_read_only_store_allocates_nothing_and_says_what_it_holds() {
    let mut bench = Bench::new();
    bench.put(0, b"held").unwrap();
    bench.ask(allocate(&[1, 2], 10, 1)).unwrap();
    bench.ask(part(1, 1, 0, b"half")).unwrap();
    let mut config = config();
    config.read_only = true;
    let mut bench = Bench::on(bench.kill(), &config).unwrap();
    assert_eq!(bench.ask(allocate(&[0, 1, 2], 5, 1)), allocated(&[0], &[]));
    let unknown = refused(WriteRangeRefusal::UnknownUpload);
    assert_eq!(bench.ask(part(1, 1, 4, b"more")), unknown);
    assert_eq!(incoming(&bench), [""; 0]);
}

#[test]
fn a_store_that_has_failed_allocates_nothing_and_says_what_it_holds() {
    let mut bench = Bench::new();
    bench.put(0, b"held").unwrap();
    bench.ask(allocate(&[1, 2, 3], 5, 1)).unwrap();
    bench.ask(part(3, 1, 0, b"sh")).unwrap();
    bench.sim.set_faults(Faults {
        sync_error_every: 1,
        ..Faults::default()
    });
    assert_eq!(
        bench.ask(part(1, 1, 0, b"share")),
        refused(Unwritable::Failed)
    );
    bench.sim.set_faults(Faults::default());
    assert_eq!(bench.ask(allocate(&[4], 5, 1)), allocated(&[0], &[]));
    assert_eq!(
        bench.ask(part(2, 1, 0, b"share")),
        refused(Unwritable::Failed)
    );
    assert_eq!(
        bench.ask(part(3, 1, 2, b"are")),
        refused(Unwritable::Failed)
    );
}

// Each with its own part of the way failing.
#[test]
fn when_the_disk_fails_a_part_may_be_sent_again_and_a_share_is_given_up() {
    let mut bench = Bench::new();
    let share = bytes(200_000);
    bench.ask(allocate(&[0, 1], 200_000, 1)).unwrap();
    bench.ask(part(0, 1, 0, &share[..100_000])).unwrap();
    let failing = Faults {
        error_every: 1,
        ..Faults::default()
    };
    bench.sim.set_faults(failing);
    let failed = bench.ask(part(0, 1, 100_000, &share[100_000..150_000]));
    assert!(
        matches!(
            failed,
            Err(WriteRangeRefusal::Unwritable(Unwritable::Disk(_)))
        ),
        "{failed:?}"
    );
    bench.sim.set_faults(Faults::default());
    let again = bench.ask(part(0, 1, 100_000, &share[100_000..150_000]));
    assert_eq!(again, missing(&[(150_000, 200_000)]));
    bench.sim.set_faults(Faults {
        sync_error_every: 1,
        ..Faults::default()
    });
    let failed = bench.ask(part(0, 1, 150_000, &share[150_000..]));
    assert!(
        matches!(
            failed,
            Err(WriteRangeRefusal::Unwritable(Unwritable::Disk(_)))
        ),
        "{failed:?}"
    );
    bench.sim.set_faults(Faults::default());
    let unknown = refused(WriteRangeRefusal::UnknownUpload);
    assert_eq!(bench.ask(part(0, 1, 150_000, &share[150_000..])), unknown);
    bench.settle();
    assert_eq!(incoming(&bench), [""; 0]);
    assert_eq!(bench.share(0), None);
    bench.ask(abort(1, 1)).unwrap();
    assert_eq!(bench.status().promised, 0);
}

// A put that ended between the look at the bucket and the promise: allocated, and then held.
#[test]
fn a_share_that_is_found_held_is_finished_with_its_lease() {
    for in_parts in [false, true] {
        let mut bench = Bench::new();
        let share = bytes(100);
        let size = share.len();
        let allocating = bench.send(allocate(&[0], size as u64, 1));
        let putting = bench.send(put(0, b"other"));
        // The listing is done first and told last.
        let mut listed = None;
        while bench.store.poll_answer() != Some((putting.id, Answer::Put(Ok(Stored::New)))) {
            while let Some((id, operation)) = bench.store.poll_operation() {
                bench.sim.submit(id, operation);
            }
            bench.sim.step();
            let mut completions = Vec::new();
            bench.sim.reap(&mut completions);
            for completion in completions {
                match completion.operation {
                    Operation::List { .. } => listed = Some(completion),
                    _ => bench.store.handle_completion(bench.now, completion),
                }
            }
        }
        bench.settle();
        bench.store.handle_completion(bench.now, listed.unwrap());
        assert_eq!(bench.answer(allocating), allocated(&[], &[0]));
        // All of its parts are taken, as its uploader expects.
        if in_parts {
            assert_eq!(bench.ask(part(0, 1, 1, &share[1..])), missing(&[(0, 1)]));
        }
        assert_eq!(bench.ask(part(0, 1, 0, &share)), missing(&[]));
        let file = bench.file(0);
        let container = Container::parse(&file).unwrap();
        assert_eq!(container.share, b"other");
        assert_eq!(container.leases.len(), 2);
        bench.settle();
        assert_eq!(incoming(&bench), [""; 0]);
        let status = bench.status();
        assert_eq!((status.uploads, status.promised), (0, 0));
    }
}

/// An upload with a part of its share written.
fn half_done(share: &[u8]) -> Bench {
    let mut bench = Bench::on(disk(), &with_boot(1)).unwrap();
    bench.ask(allocate(&[0, 1], share.len() as u64, 1)).unwrap();
    bench.ask(part(0, 1, 20, &share[20..30])).unwrap();
    bench.ask(part(0, 1, 60, &share[60..70])).unwrap();
    bench
}

// The client's next range with the same secret is taken.
#[test]
fn an_upload_goes_on_after_a_restart_of_the_process() {
    let share = bytes(100);
    let killed = half_done(&share).kill();
    let ended = half_done(&share).shut_down();
    for medium in [killed, ended] {
        let mut bench = Bench::on(medium, &with_boot(1)).unwrap();
        let status = bench.status();
        assert_eq!(status.uploads, 1);
        assert!(status.promised > 80);
        let wrong = refused(WriteRangeRefusal::WrongSecret);
        assert_eq!(bench.ask(part(0, 2, 0, b"")), wrong);
        // One that was only allocated is forgotten.
        let unknown = refused(WriteRangeRefusal::UnknownUpload);
        assert_eq!(bench.ask(part(1, 1, 0, b"")), unknown);
        assert_eq!(bench.ask(allocate(&[0, 1], 100, 1)), allocated(&[], &[1]));
        let now = missing(&[(0, 20), (30, 60), (70, 100)]);
        assert_eq!(bench.ask(part(0, 1, 0, b"")), now);
        let conflict = refused(WriteRangeRefusal::Conflict);
        assert_eq!(bench.ask(part(0, 1, 60, b"different")), conflict);
        bench.ask(part(0, 1, 0, &share[..25])).unwrap();

        let mut bench = Bench::on(bench.kill(), &with_boot(1)).unwrap();
        bench.now.unix += 5000;
        let now = missing(&[(30, 60), (70, 100)]);
        assert_eq!(bench.ask(part(0, 1, 0, b"")), now);
        assert_eq!(bench.ask(part(0, 1, 25, &share[25..])), missing(&[]));
        assert_eq!(bench.share(0).as_deref(), Some(&share[..]));
        // Dated from the allocation, made with the secrets that only that knew.
        let file = bench.file(0);
        let leases = Container::parse(&file).unwrap().leases;
        let ends = bucketfs::container::expiration(1_700_000_000);
        let expected = bucketfs::container::Lease::new(Default::default(), &secrets(1), 0, ends);
        assert_eq!(leases, [expected]);
        bench.settle();
        assert_eq!(incoming(&bench), [""; 0]);
    }
}

// A client of Tahoe never comes back to an upload; a repair after the restart stores the share.
#[test]
fn an_upload_of_an_earlier_run_gives_way_to_a_new_one_until_its_uploader_is_back() {
    let share = bytes(100);
    let mut bench = Bench::on(half_done(&share).kill(), &with_boot(1)).unwrap();
    let promised = bench.status().promised;
    assert_eq!(bench.ask(allocate(&[0], 100, 2)), allocated(&[], &[0]));
    bench.settle();
    assert_eq!(incoming(&bench), [""; 0]);
    let status = bench.status();
    assert_eq!((status.uploads, status.promised > promised), (1, true));
    let wrong = refused(WriteRangeRefusal::WrongSecret);
    assert_eq!(bench.ask(part(0, 1, 0, &share)), wrong);
    assert_eq!(bench.ask(part(0, 2, 0, &share)), missing(&[]));
    assert_eq!(bench.share(0).as_deref(), Some(&share[..]));

    let mut bench = Bench::on(half_done(&share).kill(), &with_boot(1)).unwrap();
    bench.ask(part(0, 1, 0, &share[..5])).unwrap();
    assert_eq!(bench.ask(allocate(&[0], 100, 2)), allocated(&[], &[]));
    assert_eq!(bench.ask(part(0, 1, 0, &share)), missing(&[]));
}

// Wherever in the last part: what was answered before is there, or the share is.
#[test]
fn a_process_may_be_killed_at_any_moment_of_the_last_part() {
    let share = bytes(100);
    for call in 0.. {
        let mut bench = half_done(&share);
        let mut is_answered = false;
        for _ in 0..2 {
            let calls = bench.sim.calls();
            bench.sim.crash_at(calls + call);
            let last = bench.send(part(0, 1, 0, &share));
            for _ in 0..200 {
                if !bench.sim.has_crashed() {
                    bench.turn();
                }
            }
            is_answered = !bench.sim.has_crashed();
            if is_answered {
                assert_eq!(bench.answer(last), missing(&[]));
            }
            bench = Bench::on(bench.kill(), &with_boot(1)).unwrap();
            if bench.share(0).is_some() {
                break;
            }
            let now = missing(&[(0, 20), (30, 60), (70, 100)]);
            assert_eq!(bench.ask(part(0, 1, 0, b"")), now, "{call}");
        }
        if bench.share(0).is_none() {
            assert_eq!(
                bench.ask(part(0, 1, 0, &share[..20])),
                missing(&[(30, 60), (70, 100)])
            );
            bench = Bench::on(bench.kill(), &with_boot(1)).unwrap();
            assert_eq!(bench.ask(part(0, 1, 0, &share)), missing(&[]));
        }
        assert_eq!(bench.share(0).as_deref(), Some(&share[..]));
        bench.settle();
        assert_eq!(incoming(&bench), [""; 0]);
        if is_answered {
            break;
        }
    }
}

// After a reboot nobody knows what of the unsynced bytes is there.
#[test]
fn after_another_boot_no_upload_goes_on() {
    let share = bytes(100);
    let mut other = with_boot(2);
    for config in [other.clone(), with_boot(3)] {
        let mut bench = Bench::on(half_done(&share).kill(), &config).unwrap();
        assert_eq!(bench.status().uploads, 0);
        assert_eq!(incoming(&bench), [""; 0]);
        assert_eq!(bench.status().promised, 0);
        assert_eq!(bench.ask(allocate(&[0], 100, 2)), allocated(&[], &[0]));
    }
    // Nor where the file system says that it has lost something.
    other.boot_id = BootId::new([1; 16]);
    let mut bench = half_done(&share);
    bench.sim.set_faults(Faults {
        sync_error_every: 1,
        ..Faults::default()
    });
    let lost = bench.send(open(5, 1, None, false));
    for offset in 0..8 {
        bench.ask(write(lost, offset, b"x")).unwrap();
    }
    bench.ask(close(lost, 8)).unwrap_err();
    let mut bench = Bench::on(bench.kill(), &other).unwrap();
    assert_eq!(bench.status().uploads, 0);
}

// The share came to be held in another way: its uploader is told when it asks again.
#[test]
fn an_upload_of_a_share_that_is_held_at_start_does_not_go_on() {
    let share = bytes(100);
    let mut medium = half_done(&share).kill();
    medium.plant(&path(0), FIXTURE);
    let mut bench = Bench::on(medium, &with_boot(1)).unwrap();
    assert_eq!(bench.status().uploads, 0);
    assert_eq!(incoming(&bench), [""; 0]);
    assert_eq!(bench.ask(allocate(&[0], 100, 1)), allocated(&[0], &[]));
}

// What is at the end of a share in progress is the client's, and must not pass for a ticket.
#[test]
fn a_file_that_is_torn_or_forged_does_not_go_on() {
    let share = bytes(100);
    let medium = half_done(&share).kill();
    let files = medium.files();
    let mut tickets = files.iter().filter(|(path, _)| path.ends_with(".parts"));
    let (path, file) = tickets.next().unwrap();
    for len in [0, 12, 4095, 4096, file.len() - 1, file.len() - 2048] {
        let mut torn = medium.clone();
        torn.plant(path, &file[..len]);
        let mut bench = Bench::on(torn, &with_boot(1)).unwrap();
        assert_eq!(bench.status().uploads, 0, "{len}");
        assert_eq!(incoming(&bench), [""; 0]);
    }
    // Uploads that are written front to back have no tickets, whatever their bytes are.
    let mut forged = half_done(&share);
    let upload = forged.send(open(7, 1, None, false));
    forged.answer(upload).unwrap();
    let mut forged_file = file.clone();
    forged_file.drain(..12);
    forged.ask(write(upload, 0, &forged_file)).unwrap();
    let mut bench = Bench::on(forged.kill(), &with_boot(1)).unwrap();
    assert_eq!(bench.status().uploads, 1);
}

// The two uploads of a share that a kill in the wrong moment leaves.
#[test]
fn of_two_uploads_of_a_share_the_later_one_goes_on() {
    let share = bytes(100);
    let mut bench = half_done(&share);
    let old = bench.sim.look(Medium::files);
    assert_eq!(bench.ask(abort(0, 1)), Ok(()));
    bench.ask(allocate(&[0], 100, 2)).unwrap();
    bench.ask(part(0, 2, 0, &share[..10])).unwrap();
    let mut medium = bench.kill();
    let (path, file) = old
        .iter()
        .find(|(path, _)| path.ends_with(".parts"))
        .unwrap();
    medium.plant(path, file);
    let mut bench = Bench::on(medium, &with_boot(1)).unwrap();
    assert_eq!(bench.ask(part(0, 2, 0, b"")), missing(&[(10, 100)]));
    assert_eq!(incoming(&bench).len(), 1);
    // New files are named beside it.
    bench.ask(allocate(&[1], 100, 2)).unwrap();
    assert_eq!(
        bench.ask(part(1, 2, 0, &share[..10])),
        missing(&[(10, 100)])
    );
}

#[test]
fn relaxed_durability_costs_a_share_in_parts_no_sync() {
    let mut config = config();
    config.durability = Durability::Relaxed;
    let mut bench = Bench::on(disk(), &config).unwrap();
    bench.sim.set_faults(Faults {
        sync_error_every: 1,
        ..Faults::default()
    });
    bench.ask(allocate(&[0], 6, 1)).unwrap();
    bench.ask(part(0, 1, 0, b"abc")).unwrap();
    assert_eq!(bench.ask(part(0, 1, 3, b"def")), missing(&[]));
    assert_eq!(bench.share(0).as_deref(), Some(&b"abcdef"[..]));
}

// Whatever the answer is, everything promised is given back in the end.
#[test]
fn shutting_down_finishes_what_is_under_way_and_leaves_what_can_go_on() {
    let mut bench = Bench::on(disk(), &with_boot(1)).unwrap();
    bench.ask(allocate(&[0, 1, 2], 6, 1)).unwrap();
    bench.ask(part(1, 1, 0, b"abc")).unwrap();
    let last = bench.send(part(0, 1, 0, b"abcdef"));
    let allocating = bench.send(allocate(&[3], 6, 1));
    bench.store.shut_down(bench.now);
    assert_eq!(bench.answer(last), missing(&[]));
    assert!(bench.answer(allocating).unwrap().allocated.is_empty());
    let late = bench.ask(part(1, 1, 3, b"def"));
    assert_eq!(late, refused(Unavailable::ShuttingDown));
    let mut bench = Bench::on(bench.shut_down(), &with_boot(1)).unwrap();
    assert_eq!(bench.status().replayed, 0);
    assert_eq!(bench.ask(part(1, 1, 3, b"def")), missing(&[]));
    assert_eq!(bench.share(1).as_deref(), Some(&b"abcdef"[..]));
    assert!(bench.ask(lease(2)).unwrap().held.len() == 2);
    assert_eq!(bench.ask(remove(1)), Ok(()));
}
