//! What the store does about what `fsck` finds.

use bucketfs::disk::sim::{Faults, Medium};
use bucketfs::{Mend, MendRefusal, Mended, Mending, Stored, Unwritable};

use crate::FIXTURE;
use crate::bench::{Bench, bucket, config, disk, path, put, remove};

fn mend(path: &str, how: Mending) -> Mend {
    let path = path.to_owned();
    Mend { path, how }
}

fn quarantine(path: &str) -> Mend {
    mend(path, Mending::Quarantine)
}

/// Where something is that was the first of its path on the day of the tests.
fn moved(path: &str) -> Mended {
    let to = Some(format!("quarantine/2023-11-14-0/{path}"));
    Mended { to }
}

/// A store with this in it, which it did not make.
fn with(files: &[(&str, &[u8])]) -> Bench {
    let mut medium = Bench::new().shut_down();
    for (path, bytes) in files {
        medium.plant(path, bytes);
    }
    Bench::on(medium, &config()).unwrap()
}

fn names(medium: &Medium) -> Vec<String> {
    let files = medium.files().into_keys();
    files
        .filter(|path| path.starts_with("shares") || path.starts_with("quarantine"))
        .collect()
}

#[test]
fn a_share_in_quarantine_is_not_held_and_not_lost() {
    let mut bench = Bench::new();
    bench.put(3, b"share").unwrap();
    let file = bench.file(3);
    assert_eq!(bench.ask(quarantine(&path(3))), Ok(moved(&path(3))));
    assert_eq!(bench.share(3), None);
    let files = bench.sim.look(Medium::files);
    assert_eq!(files[&moved(&path(3)).to.unwrap()], file);
    assert_eq!(names(&bench.shut_down()), [moved(&path(3)).to.unwrap()]);
}

// Asking again, as after a crash, must not disturb what is there.
#[test]
fn what_is_not_there_is_not_moved() {
    let mut bench = Bench::new();
    bench.put(3, b"share").unwrap();
    bench.ask(quarantine(&path(3))).unwrap();
    assert_eq!(
        bench.ask(quarantine(&path(3))),
        Err(MendRefusal::NotThere),
        "once"
    );
    assert_eq!(bench.put(3, b"share"), Ok(Stored::New));
    assert_eq!(bench.share(3).as_deref(), Some(&b"share"[..]));
}

#[test]
fn a_second_share_of_the_same_name_has_a_place_of_its_own_in_the_quarantine() {
    let mut bench = Bench::new();
    for content in [b"first", b"other"] {
        bench.put(3, content).unwrap();
        bench.ask(quarantine(&path(3))).unwrap();
    }
    let expected = [0, 1].map(|serial| format!("quarantine/2023-11-14-{serial}/{}", path(3)));
    let medium = bench.shut_down();
    assert_eq!(names(&medium), expected);
    // The next run of the store begins to count anew.
    let mut bench = Bench::on(medium, &config()).unwrap();
    bench.put(3, b"third").unwrap();
    let mended = bench.ask(quarantine(&path(3))).unwrap();
    let third = format!("quarantine/2023-11-14-2/{}", path(3));
    assert_eq!(mended.to, Some(third));
}

// The journal has the share, and the next start would make it anew.
#[test]
fn a_share_in_quarantine_stays_there_when_the_journal_is_replayed() {
    let mut bench = Bench::new();
    bench.put(3, b"share").unwrap();
    bench.ask(quarantine(&path(3))).unwrap();
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert_eq!(bench.share(3), None);
    bench.put(3, b"other").unwrap();
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert_eq!(bench.share(3).as_deref(), Some(&b"other"[..]));
}

#[test]
fn names_that_are_nobodys_are_moved_wherever_they_are_in_the_tree() {
    let paths = [
        "shares/note".to_owned(),
        "shares/ae/note".to_owned(),
        "shares/ae/aq/note".to_owned(),
        format!("shares/ae/aq/{}/note", bucket()),
        "shares/incoming/note".to_owned(),
    ];
    let files: Vec<_> = paths
        .iter()
        .map(|path| (path.as_str(), &b"note"[..]))
        .collect();
    let mut bench = with(&files);
    for path in &paths {
        assert_eq!(bench.ask(quarantine(path)), Ok(moved(path)));
    }
    let mut expected = paths.map(|path| moved(&path).to.unwrap());
    expected.sort();
    let medium = bench.shut_down();
    assert_eq!(names(&medium), expected);
}

#[test]
fn nothing_beside_the_tree_and_no_directory_of_the_stores_is_moved() {
    let mut bench = Bench::new();
    bench.put(3, b"share").unwrap();
    bench.settle();
    for path in [
        "",
        "..",
        "shares/../version",
        "/shares/x",
        "version",
        "journal/a",
        "lock",
        "shares",
        "shares/incoming",
        "quarantine/x",
    ] {
        let refused = Err(MendRefusal::NotInTree);
        assert_eq!(bench.ask(quarantine(path)), refused, "{path}");
    }
    let refused = Err(MendRefusal::NotInTree);
    assert_eq!(bench.ask(quarantine("shares/incoming/1")), refused);
    for path in [
        "shares/ae".to_owned(),
        "shares/ae/aq".to_owned(),
        format!("shares/ae/aq/{}", bucket()),
    ] {
        let refused = Err(MendRefusal::NotFitting);
        assert_eq!(bench.ask(quarantine(&path)), refused, "{path}");
    }
    assert_eq!(bench.share(3).as_deref(), Some(&b"share"[..]));
}

#[test]
fn a_file_in_the_place_of_a_directory_is_moved() {
    for place in ["shares/ae", "shares/ae/aq"] {
        let mut bench = with(&[(place, b"file")]);
        assert_eq!(bench.ask(quarantine(place)), Ok(moved(place)));
        assert_eq!(bench.put(3, b"share"), Ok(Stored::New));
        assert_eq!(bench.share(3).as_deref(), Some(&b"share"[..]));
    }
}

#[test]
fn a_bucket_astray_is_put_in_its_place_unless_that_is_taken() {
    let astray = format!("shares/ae/{}", bucket());
    let file = format!("{astray}/3");
    let mut bench = with(&[(&file, FIXTURE)]);
    let in_place = mend(&astray, Mending::PutInPlace);
    let place = format!("shares/ae/aq/{}", bucket());
    assert_eq!(bench.share(3), None);
    assert_eq!(bench.ask(in_place.clone()), Ok(Mended { to: Some(place) }));
    assert!(bench.share(3).is_some());
    assert_eq!(bench.ask(in_place.clone()), Err(MendRefusal::NotThere));
    assert_eq!(names(&bench.shut_down()), [path(3)]);

    let mut bench = with(&[(&file, FIXTURE), (&path(1), FIXTURE)]);
    assert_eq!(bench.ask(in_place), Err(MendRefusal::Taken));
    assert_eq!(bench.ask(quarantine(&astray)), Ok(moved(&astray)));
    let expected = [moved(&file).to.unwrap(), path(1)];
    assert_eq!(names(&bench.shut_down()), expected);
}

// The share was removed, and then a backup was restored to the wrong place: the removal, still in the
// journal, is of another share.
#[test]
fn what_the_journal_says_of_an_earlier_share_is_not_done_to_one_that_is_put_in_place() {
    let mut bench = Bench::new();
    bench.put(3, b"share").unwrap();
    bench.ask(remove(3)).unwrap();
    let astray = format!("shares/ae/{}", bucket());
    let file = format!("{astray}/3");
    bench.sim.alter(|medium| medium.plant(&file, FIXTURE));
    bench.ask(mend(&astray, Mending::PutInPlace)).unwrap();
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert!(bench.share(3).is_some());
}

#[test]
fn only_an_empty_directory_is_removed() {
    let mut bench = with(&[(&path(3), FIXTURE), ("shares/ba/note", b"")]);
    let empty = |path: &str| mend(path, Mending::RemoveEmpty);
    let directory = format!("shares/ae/aq/{}", bucket());
    for path in [&directory[..], "shares/ae/aq", "shares/ae"] {
        let refused = Err(MendRefusal::NotEmpty);
        assert_eq!(bench.ask(empty(path)), refused, "{path}");
    }
    assert_eq!(bench.ask(empty("shares")), Err(MendRefusal::NotInTree));
    assert_eq!(bench.ask(empty(&path(3))), Err(MendRefusal::NotFitting));
    assert_eq!(bench.ask(empty("shares/bb")), Err(MendRefusal::NotThere));
    assert!(bench.share(3).is_some());
}

#[test]
fn a_store_that_only_reads_mends_nothing() {
    let mut bench = Bench::new();
    bench.put(3, b"share").unwrap();
    bench.settle();
    bench.sim.set_faults(Faults {
        sync_error_every: 1,
        ..Faults::default()
    });
    let refused = bench.ask(quarantine(&path(3))).unwrap_err();
    assert!(matches!(refused, MendRefusal::Unwritable(_)), "{refused}");
    bench.sim.set_faults(Faults::default());
    assert_eq!(
        bench.ask(quarantine(&path(3))),
        Err(Unwritable::Failed.into()),
        "what was lost nobody knows"
    );
    assert_eq!(bench.share(3).as_deref(), Some(&b"share"[..]));
    let mut bench = Bench::on(bench.kill(), &config()).unwrap();
    assert_eq!(bench.ask(quarantine(&path(3))), Ok(moved(&path(3))));
}

// A put and a repair of one share go one after the other.
#[test]
fn a_share_that_is_being_stored_is_moved_when_it_is_whole() {
    let mut bench = Bench::on(disk(), &config()).unwrap();
    let stored = bench.send(put(3, b"share"));
    let mended = bench.send(quarantine(&path(3)));
    assert_eq!(bench.answer(stored), Ok(Stored::New));
    assert_eq!(bench.answer(mended), Ok(moved(&path(3))));
    assert_eq!(bench.share(3), None);
}
