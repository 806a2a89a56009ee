//! Uploads: written in order, resumed, given up, exclusive, bounded.

use bucketfs::disk::sim::Medium;
use bucketfs::{
    AbortRefusal, AbortUpload, CloseRefusal, DetachUpload, OpenRefusal, OpenUpload, Opened,
    PutRefusal, Stored, Unwritable, WriteRefusal, limits,
};

use crate::bench::{Bench, Sent, close, config, open, put, write};

fn abort(upload: Sent<OpenUpload>) -> AbortUpload {
    AbortUpload { upload: upload.id }
}

fn detach(upload: Sent<OpenUpload>) -> DetachUpload {
    DetachUpload { upload: upload.id }
}

/// Files in incoming.
fn incoming(bench: &Bench) -> usize {
    let files = bench.sim.look(Medium::files);
    files
        .keys()
        .filter(|path| path.starts_with("shares/incoming/"))
        .count()
}

// Sent in one flight, without waiting for anything.
#[test]
fn an_upload_needs_no_answer_before_it_is_closed() {
    let mut bench = Bench::new();
    let upload = bench.send(open(0, 1, Some(10), false));
    let first = bench.send(write(upload, 0, b"hello"));
    let second = bench.send(write(upload, 5, b"world"));
    let closed = bench.send(close(upload, 10));
    assert_eq!(bench.answer(closed), Ok(()));
    assert_eq!(bench.answer(first), Ok(()));
    assert_eq!(bench.answer(second), Ok(()));
    assert_eq!(bench.answer(upload), Ok(Opened::At { offset: 0 }));
    assert_eq!(bench.share(0).as_deref(), Some(&b"helloworld"[..]));
    bench.settle();
    assert_eq!(incoming(&bench), 0);
    assert_eq!(bench.status().promised, 0);
}

#[test]
fn an_upload_of_a_share_held_is_told_so_and_what_follows_it_refused() {
    let mut bench = Bench::new();
    bench.put(0, b"held").unwrap();
    let upload = bench.send(open(0, 1, Some(4), false));
    let written = bench.send(write(upload, 0, b"held"));
    let closed = bench.send(close(upload, 4));
    assert_eq!(bench.answer(upload), Ok(Opened::AlreadyHeld));
    let unknown = Err(WriteRefusal::UnknownUpload);
    assert_eq!(bench.answer(written), unknown);
    assert_eq!(bench.answer(closed), Err(CloseRefusal::UnknownUpload));
}

#[test]
fn a_gap_is_refused_and_the_upload_goes_on() {
    let mut bench = Bench::new();
    let upload = bench.send(open(0, 1, None, false));
    bench.ask(write(upload, 0, b"abc")).unwrap();
    let gap = Err(WriteRefusal::Gap { expected: 3 });
    assert_eq!(bench.ask(write(upload, 4, b"x")), gap);
    assert_eq!(bench.ask(write(upload, 2, b"x")), gap);
    assert_eq!(bench.ask(write(upload, 3, b"def")), Ok(()));
    assert_eq!(bench.ask(close(upload, 6)), Ok(()));
    assert_eq!(bench.share(0).as_deref(), Some(&b"abcdef"[..]));
}

#[test]
fn bytes_beyond_the_announced_size_are_refused() {
    let mut bench = Bench::new();
    let upload = bench.send(open(0, 1, Some(4), false));
    let refused = Err(WriteRefusal::TooLarge { limit: 4 });
    assert_eq!(bench.ask(write(upload, 0, b"12345")), refused);
    let limit = limits::SHARE_SIZE;
    let refused = Err(OpenRefusal::TooLarge { limit });
    assert_eq!(bench.ask(open(1, 1, Some(limit + 1), false)), refused);
}

// A share cut short must never get its name.
#[test]
fn a_share_closed_with_another_size_is_given_up() {
    let mut bench = Bench::new();
    let upload = bench.send(open(0, 1, None, false));
    bench.send(write(upload, 0, b"abc"));
    let refused = Err(CloseRefusal::WrongSize { written: 3 });
    assert_eq!(bench.ask(close(upload, 4)), refused);
    bench.settle();
    assert_eq!(bench.share(0), None);
    assert_eq!(incoming(&bench), 0);
    assert_eq!(bench.put(0, b"anew"), Ok(Stored::New));
}

#[test]
fn a_share_in_progress_is_its_uploaders_alone() {
    let mut bench = Bench::new();
    let upload = bench.send(open(0, 1, None, false));
    bench.ask(write(upload, 0, b"abc")).unwrap();
    let refused = Err(OpenRefusal::InProgress);
    assert_eq!(bench.ask(open(0, 2, None, true)), refused);
    assert_eq!(bench.put(0, b"other"), Err(PutRefusal::InProgress));
    assert_eq!(bench.put(1, b"another share"), Ok(Stored::New));
    assert_eq!(bench.ask(close(upload, 3)), Ok(()));
}

// The connection broke; another one goes on, and the first can no longer write into it.
#[test]
fn whoever_knows_the_secret_resumes_and_takes_the_upload_over() {
    let mut bench = Bench::new();
    let first = bench.send(open(0, 1, Some(6), false));
    bench.ask(write(first, 0, b"abc")).unwrap();
    let second = bench.send(open(0, 1, Some(6), true));
    assert_eq!(bench.answer(second), Ok(Opened::At { offset: 3 }));
    let unknown = Err(WriteRefusal::UnknownUpload);
    assert_eq!(bench.ask(write(first, 3, b"xxx")), unknown);
    assert_eq!(bench.ask(detach(second)), Ok(()));
    let third = bench.send(open(0, 1, None, true));
    bench.send(write(third, 3, b"def"));
    assert_eq!(bench.ask(close(third, 6)), Ok(()));
    assert_eq!(bench.share(0).as_deref(), Some(&b"abcdef"[..]));
}

#[test]
fn without_resuming_an_upload_begins_anew() {
    let mut bench = Bench::new();
    let first = bench.send(open(0, 1, None, false));
    bench.ask(write(first, 0, b"abc")).unwrap();
    let second = bench.send(open(0, 1, None, false));
    assert_eq!(bench.answer(second), Ok(Opened::At { offset: 0 }));
    bench.send(write(second, 0, b"new"));
    assert_eq!(bench.ask(close(second, 3)), Ok(()));
    assert_eq!(bench.share(0).as_deref(), Some(&b"new"[..]));
    bench.settle();
    assert_eq!(incoming(&bench), 0);
}

#[test]
fn an_aborted_upload_leaves_nothing() {
    let mut bench = Bench::new();
    let upload = bench.send(open(0, 1, Some(1 << 20), false));
    bench.ask(write(upload, 0, b"abc")).unwrap();
    assert_eq!(incoming(&bench), 1);
    assert!(bench.status().promised > 1 << 19);
    assert_eq!(bench.ask(abort(upload)), Ok(()));
    assert_eq!(incoming(&bench), 0);
    let status = bench.status();
    assert_eq!((status.promised, status.uploads), (0, 0));
    let unknown = Err(AbortRefusal::UnknownUpload);
    assert_eq!(bench.ask(abort(upload)), unknown);
}

// Tahoe's 30 minutes; a write starts them anew, and so a slow line keeps its upload.
#[test]
fn an_upload_that_nobody_writes_to_expires() {
    let mut bench = Bench::new();
    let upload = bench.send(open(0, 1, None, false));
    bench.answer(upload).unwrap();
    let almost = limits::UPLOAD_IDLE - std::time::Duration::from_secs(1);
    for _ in 0..2 {
        bench.now.elapsed += almost;
        bench.store.handle_timeout(bench.now);
        let offset = bench.status().uploads;
        assert_eq!(offset, 1);
        let accepted = if bench.now.elapsed == almost { 0 } else { 1 };
        assert_eq!(bench.ask(write(upload, accepted, b"x")), Ok(()));
    }
    bench.now.elapsed = bench.store.poll_timeout().unwrap();
    bench.store.handle_timeout(bench.now);
    bench.now.elapsed += limits::UPLOAD_IDLE;
    bench.store.handle_timeout(bench.now);
    bench.settle();
    assert_eq!(bench.status().uploads, 0);
    assert_eq!(incoming(&bench), 0);
    assert_eq!(bench.store.poll_timeout(), None);
    let unknown = Err(WriteRefusal::UnknownUpload);
    assert_eq!(bench.ask(write(upload, 2, b"x")), unknown);
}

#[test]
fn there_are_as_many_uploads_as_files_may_be_open() {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..=255)
        .map(|n| bench.send(open(n, 1, None, false)))
        .collect();
    for id in &ids {
        assert_eq!(bench.answer(*id), Ok(Opened::At { offset: 0 }));
    }
    let mut one_more = open(0, 1, None, false);
    one_more.key.storage_index = lafs::StorageIndex::new([2; 16]);
    let refused = Err(OpenRefusal::TooManyUploads);
    assert_eq!(bench.ask(one_more.clone()), refused);
    bench.ask(abort(ids[7])).unwrap();
    assert_eq!(bench.ask(one_more), Ok(Opened::At { offset: 0 }));
}

// Uploads whose connection broke had kept everybody else out for half an hour.
#[test]
fn an_upload_left_alone_makes_place_for_another_when_there_are_too_many() {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..=255)
        .map(|n| bench.send(open(n, 1, None, false)))
        .collect();
    for id in &ids {
        bench.answer(*id).unwrap();
    }
    for (second, index) in (1..).zip([9, 3, 200]) {
        bench.now.elapsed = std::time::Duration::from_secs(second);
        bench.ask(write(ids[index], 0, b"some")).unwrap();
        let upload = ids[index];
        assert_eq!(bench.ask(detach(upload)), Ok(()));
    }
    let elsewhere = |share| {
        let mut request = open(share, 1, None, false);
        request.key.storage_index = lafs::StorageIndex::new([2; 16]);
        request
    };
    // At once: each takes the place of one.
    let opened: Vec<_> = (0..2).map(|n| bench.send(elsewhere(n))).collect();
    for id in &opened {
        assert_eq!(bench.answer(*id), Ok(Opened::At { offset: 0 }));
    }
    assert_eq!(bench.status().uploads, limits::UPLOADS);
    bench.settle();
    assert_eq!(incoming(&bench), limits::UPLOADS);
    // The one left last is still there to be resumed, and those with an owner are left alone.
    let resumed = open(200, 1, None, true);
    assert_eq!(bench.ask(resumed), Ok(Opened::At { offset: 4 }));
    let refused = Err(OpenRefusal::TooManyUploads);
    assert_eq!(bench.ask(elsewhere(2)), refused);
    assert_eq!(bench.ask(write(opened[0], 0, b"x")), Ok(()));
}

#[test]
fn space_promised_to_one_upload_is_not_promised_to_another() {
    let mut bench = Bench::on(Medium::new(8 << 20), &config()).unwrap();
    let first = bench.send(open(0, 1, Some(5 << 20), false));
    assert_eq!(bench.answer(first), Ok(Opened::At { offset: 0 }));
    let refused = Err(Unwritable::Full.into());
    assert_eq!(bench.ask(open(1, 1, Some(5 << 20), false)), refused);
    assert_eq!(bench.ask(abort(first)), Ok(()));
    let again = bench.ask(open(1, 1, Some(5 << 20), false));
    assert_eq!(again, Ok(Opened::At { offset: 0 }));
}

// Somebody else filled the disk meanwhile: the share fails, the store goes on.
#[test]
fn a_disk_that_is_full_in_the_middle_of_a_share_fails_that_share_alone() {
    let mut bench = Bench::on(Medium::new(4 << 20), &config()).unwrap();
    assert_eq!(bench.put(1, b"held"), Ok(Stored::New));
    let upload = bench.send(open(0, 1, None, false));
    let bytes = vec![7; 256 << 10];
    let mut offset = 0;
    let refusal = loop {
        match bench.ask(write(upload, offset, &bytes)) {
            Ok(()) => offset += bytes.len() as u64,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal, Unwritable::Full.into());
    assert!(offset > 2 << 20, "{offset}");
    let full = Err(Unwritable::Full.into());
    assert_eq!(bench.ask(close(upload, offset)), full);
    bench.settle();
    assert_eq!(incoming(&bench), 0);
    assert_eq!(bench.share(1).as_deref(), Some(&b"held"[..]));
    assert_eq!(bench.put(2, b"more"), Ok(Stored::New));
}

#[test]
fn uploads_end_when_the_store_shuts_down() {
    let mut bench = Bench::new();
    let upload = bench.send(open(0, 1, None, false));
    let opening = bench.send(put(1, b"share"));
    bench.store.shut_down(bench.now);
    assert_eq!(bench.answer(upload), Ok(Opened::At { offset: 0 }));
    assert_eq!(bench.answer(opening), Ok(Stored::New));
    let medium = bench.shut_down();
    let files = medium.files();
    assert!(
        !files
            .keys()
            .any(|path| path.starts_with("shares/incoming/"))
    );
}
