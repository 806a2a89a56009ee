//! Walks over directories with more buckets than are kept of one listing.

use std::fs;

use super::super::names::WINDOW_LEN;
use super::*;
use crate::layout::{Layout, Tree};

const FIXTURE: &[u8] = include_bytes!("../../../tests/fixtures/immutable-v2-1lease.bin");

/// What a store must have to be looked at, in this layout and perhaps on its way from another.
fn store(layout: Layout) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let version = crate::version::print(crate::layout::Layouts::settled(layout));
    fs::write(directory.path().join("version"), version).unwrap();
    fs::create_dir(directory.path().join("shares")).unwrap();
    directory
}

fn plant(directory: &tempfile::TempDir, layout: Layout, index: StorageIndex) {
    let bucket = Tree::new(layout).bucket(index);
    let bucket = directory.path().join(bucket.as_str());
    fs::create_dir_all(&bucket).unwrap();
    fs::write(bucket.join("0"), FIXTURE).unwrap();
}

/// Many that share two characters, some that share four with others, and a few apart.
fn indexes() -> Vec<StorageIndex> {
    let mut indexes = Vec::new();
    for first in [0x00, 0x88] {
        for number in 0..u8::try_from(3 * WINDOW_LEN).unwrap() {
            let mut bytes = [first; 16];
            bytes[1] = number & 0x07;
            bytes[9] = number;
            indexes.push(StorageIndex::new(bytes));
        }
    }
    indexes.push(StorageIndex::new([0xff; 16]));
    indexes.sort_by_key(ToString::to_string);
    indexes
}

fn walk(view: &View, after: Option<StorageIndex>, threads: usize) -> (Vec<StorageIndex>, usize) {
    let (mut seen, mut findings) = (Vec::new(), 0);
    let walk = Walk {
        after,
        threads,
        ..Walk::default()
    };
    let ended: ControlFlow<()> = view.walk(&walk, |next| {
        findings += next.findings().len();
        if let Seen::Bucket(bucket) = next {
            seen.push(bucket.storage_index);
        }
        ControlFlow::Continue(())
    });
    assert!(ended.is_continue());
    (seen, findings)
}

#[test]
fn a_directory_is_read_as_often_as_it_takes() {
    for layout in Layout::ALL {
        let directory = store(layout);
        for index in indexes() {
            plant(&directory, layout, index);
        }
        let view = View::open(directory.path()).unwrap();
        for threads in [1, 3] {
            assert_eq!(walk(&view, None, threads), (indexes(), 0), "{layout}");
        }
        for (place, after) in indexes().into_iter().enumerate() {
            let (seen, _) = walk(&view, Some(after), 1);
            assert_eq!(seen, indexes()[place + 1..], "{layout}, {after}");
        }
    }
}

// In the middle of a migration any of them may be in either place.
#[test]
fn buckets_in_the_places_of_two_layouts_come_in_one_order() {
    for layout in Layout::ALL {
        for from in Layout::ALL.into_iter().filter(|from| *from != layout) {
            let directory = store(layout);
            for (number, index) in indexes().into_iter().enumerate() {
                let place = if number % 3 == 0 { layout } else { from };
                plant(&directory, place, index);
            }
            let view = View::open(directory.path()).unwrap();
            *view.layouts.write().unwrap() = crate::layout::Layouts {
                layout,
                from: Some(from),
            };
            let (seen, _) = walk(&view, None, 2);
            assert_eq!(seen, indexes(), "{from} to {layout}");
        }
    }
}

// What is told of a directory is told once, however often it is read.
#[test]
fn what_is_foreign_is_told_once() {
    let directory = store(Layout::Flat);
    for index in indexes() {
        plant(&directory, Layout::Flat, index);
    }
    for path in ["shares/note", "shares/aa/note"] {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
    let view = View::open(directory.path()).unwrap();
    assert_eq!(walk(&view, None, 2), (indexes(), 2));
    let last = indexes().pop();
    assert_eq!(walk(&view, last, 2), (Vec::new(), 0));
}
