//! The two older layouts, served as they lie, and stores that Tahoe-LAFS made.

use bucketfs::disk::sim::{Faults, Medium, Random, Sim};
use bucketfs::{AdoptError, Layout, OpenError, Store, Stored};
use lafs::StorageIndex;

use crate::bench::{Bench, bucket, close, config, disk, lease, open, path_in, put, remove, write};
use crate::{FIXTURE, FIXTURE_ONE, MUTABLE};

/// Names under `shares` that are not in incoming.
fn shares(medium: &Medium) -> Vec<String> {
    let files = medium.files().into_keys();
    files
        .filter(|path| path.starts_with("shares/") && !path.starts_with("shares/incoming/"))
        .collect()
}

// Every kind of change to the tree follows the layout: put, upload, lease, removal, replay.
#[test]
fn a_store_of_each_layout_keeps_its_shares_where_the_layout_has_them() {
    for layout in Layout::ALL {
        let mut made = config();
        made.layout = layout;
        let mut bench = Bench::on(disk(), &made).unwrap();
        assert_eq!(bench.status().layout, layout);
        assert_eq!(bench.put(0, b"put"), Ok(Stored::New));
        let upload = bench.send(open(1, 1, None, false));
        bench.send(write(upload, 0, b"uploaded"));
        assert_eq!(bench.ask(close(upload, 8)), Ok(()));
        assert_eq!(bench.put(2, b"removed"), Ok(Stored::New));
        assert!(bench.ask(lease(1)).unwrap().held.len() == 3);
        assert_eq!(bench.ask(remove(2)), Ok(()));

        // What was configured for a new store says nothing of one that exists.
        let mut random = Random::new(1);
        let medium = bench.kill().cut_power(&mut random);
        let mut bench = Bench::on(medium, &config()).unwrap();
        assert_eq!(bench.status().layout, layout);
        let expected = [path_in(layout, 0), path_in(layout, 1)];
        assert_eq!(bench.sim.look(shares), expected);
        assert_eq!(bench.share(0).as_deref(), Some(&b"put"[..]));
        assert_eq!(bench.share(1).as_deref(), Some(&b"uploaded"[..]));
        for share in 0..2 {
            assert_eq!(bench.ask(remove(share)), Ok(()));
        }
        let version = &bench.shut_down().files()["version"];
        assert_eq!(
            *version,
            format!("bucketfs 1\nlayout {layout}\n").as_bytes()
        );
    }
}

/// A disk as Tahoe leaves it, in the layout of its day.
fn tahoes(layout: Layout) -> Medium {
    let mut medium = disk();
    medium.plant(&path_in(layout, 0), FIXTURE);
    medium.plant(&path_in(layout, 5), FIXTURE_ONE);
    medium.plant("bucket_counter.state.json", b"{}");
    medium.plant("corruption-advisories/a", b"report");
    let half = match layout {
        Layout::Flat => format!("shares/incoming/{}/3", bucket()),
        _ => format!("shares/incoming/ae/{}/3", bucket()),
    };
    medium.plant(&half, b"half");
    medium
}

fn adopt(medium: Medium, layout: Layout) -> Result<Medium, AdoptError> {
    let mut sim = Sim::new(medium, 1, Faults::default());
    Store::adopt(&mut sim, layout, &config())?;
    Ok(sim.into_medium())
}

#[test]
fn an_adopted_store_is_served_as_it_lies_and_lies_as_tahoe_has_it() {
    for layout in [Layout::OneLevel, Layout::Flat] {
        let before = tahoes(layout).files();
        let adopted = adopt(tahoes(layout), layout).unwrap();
        for (path, bytes) in &before {
            assert_eq!(adopted.files()[path], *bytes, "nothing is touched");
        }
        let mut bench = Bench::on(adopted, &config()).unwrap();
        let left = bench.sim.look(Medium::files);
        assert!(
            !left.keys().any(|path| path.starts_with("shares/incoming/")),
            "Tahoe's uploads do not outlast a start"
        );
        assert_eq!(bench.put(0, b"new"), Ok(Stored::AlreadyHeld));
        assert_eq!(bench.put(7, b"new"), Ok(Stored::New));
        assert_eq!(bench.put(8, b"new"), Ok(Stored::New));
        assert_eq!(bench.ask(remove(8)), Ok(()));
        let medium = bench.shut_down();
        assert_eq!(
            shares(&medium),
            [0, 5, 7].map(|share| path_in(layout, share))
        );
        assert_eq!(medium.files()["bucket_counter.state.json"], b"{}");
    }
}

// More names than one listing gave hid in which layout a store of the oldest kind lies: it is read
// page by page.
#[test]
fn a_flat_store_of_very_many_buckets_is_seen_for_what_it_is() {
    let mut medium = Medium::new(1 << 28);
    for number in 0..2 * bucketfs::disk::LIST_PAGE_LEN {
        // Somebody else's directories come first, as they may.
        medium.plant(&format!("shares/0-{number}/note"), b"");
    }
    medium.plant(&path_in(Layout::Flat, 0), FIXTURE);
    match adopt(medium.clone(), Layout::OneLevel).unwrap_err() {
        AdoptError::OtherLayout { found, .. } => assert_eq!(found, Layout::Flat),
        error => panic!("{error}"),
    }
    let mut bench = Bench::on(adopt(medium, Layout::Flat).unwrap(), &config()).unwrap();
    assert_eq!(bench.put(0, b"new"), Ok(Stored::AlreadyHeld));
}

#[test]
fn what_cannot_be_adopted_is_said_and_left_alone() {
    let unchanged = |medium: &Medium, layout| {
        let before = medium.files();
        let mut sim = Sim::new(medium.clone(), 1, Faults::default());
        let error = Store::adopt(&mut sim, layout, &config()).unwrap_err();
        assert_eq!(sim.look(Medium::files), before);
        error
    };
    let error = unchanged(&disk(), Layout::OneLevel);
    assert!(matches!(error, AdoptError::NotTahoe), "{error}");

    let mut file = disk();
    file.plant("shares", b"a file");
    let error = unchanged(&file, Layout::OneLevel);
    assert!(matches!(error, AdoptError::NotTahoe), "{error}");

    let own = Bench::new().shut_down();
    let error = unchanged(&own, Layout::TwoLevel);
    assert!(matches!(error, AdoptError::AlreadyAdopted), "{error}");

    for (found, named) in [
        (Layout::OneLevel, Layout::Flat),
        (Layout::Flat, Layout::OneLevel),
        (Layout::OneLevel, Layout::TwoLevel),
        (Layout::TwoLevel, Layout::OneLevel),
    ] {
        match unchanged(&tahoes(found), named) {
            AdoptError::OtherLayout { found: f, named: n } => assert_eq!((f, n), (found, named)),
            error => panic!("{error}"),
        }
    }

    // One of this program's own stores that lost its version file, and was killed.
    let mut killed = Bench::new();
    killed.put(0, b"share").unwrap();
    killed.settle();
    let files = killed.kill().files();
    let mut lost = disk();
    for (path, bytes) in files.iter().filter(|(path, _)| *path != "version") {
        lost.plant(path, bytes);
    }
    let error = unchanged(&lost, Layout::TwoLevel);
    assert!(matches!(error, AdoptError::JournalInUse), "{error}");
}

// Before the version file is there it is Tahoe's, afterwards it opens; nothing is in between.
#[test]
fn a_power_cut_may_come_before_any_system_call_of_an_adoption() {
    for call in 0.. {
        let mut random = Random::new(call);
        let mut sim = Sim::new(tahoes(Layout::OneLevel), call, Faults::default());
        sim.crash_at(call);
        let done = Store::adopt(&mut sim, Layout::OneLevel, &config());
        let crashed = sim.has_crashed();
        let mut medium = sim.into_medium();
        if call % 3 != 0 {
            medium = medium.cut_power(&mut random);
        }
        for (path, bytes) in tahoes(Layout::OneLevel).files() {
            assert_eq!(medium.files()[&path], bytes);
        }
        if !medium.files().contains_key("version") {
            assert!(done.is_err());
            let Err(error) = Bench::on(medium.clone(), &config()) else {
                panic!("{call}: opened before it was adopted");
            };
            assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
            medium = adopt(medium, Layout::OneLevel).unwrap();
        }
        // Opened, and then without power before anything else is done.
        let bench = Bench::on(medium, &config()).unwrap();
        let medium = bench.kill().cut_power(&mut random);
        let mut bench = Bench::on(medium, &config()).unwrap();
        assert_eq!(bench.put(0, b"new"), Ok(Stored::AlreadyHeld));
        if !crashed {
            break;
        }
    }
}

// A Tahoe server goes on with the directory after an orderly shutdown, and this program after it:
// what the journal held once must not be done to what Tahoe made of it.
#[test]
fn between_two_runs_the_shares_may_be_changed_by_tahoe() {
    let adopted = adopt(tahoes(Layout::OneLevel), Layout::OneLevel).unwrap();
    let mut bench = Bench::on(adopted, &config()).unwrap();
    bench.put(1, b"share").unwrap();
    bench.ask(lease(1)).unwrap();
    let mut medium = bench.shut_down();
    medium.plant(&path_in(Layout::OneLevel, 1), FIXTURE);
    let other = StorageIndex::new([9; 16]);
    let slot = format!("shares/{}/{other}/0", &other.to_string()[..2]);
    medium.plant(&slot, MUTABLE);
    let mut bench = Bench::on(medium, &config()).unwrap();
    assert_eq!(bench.status().replayed, 0);
    let files = bench.sim.look(Medium::files);
    assert_eq!(files[&path_in(Layout::OneLevel, 1)], FIXTURE);
    assert_eq!(files[&slot], MUTABLE);
    assert_eq!(bench.ask(put(1, b"share")), Ok(Stored::AlreadyHeld));
}
