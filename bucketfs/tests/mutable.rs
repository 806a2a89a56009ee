//! The mutable container: the bytes are Tahoe's, and nothing that is not one is taken for one.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use bucketfs::container::mutable::{
    Container, Content, Header, Image, LeaseChange, LeaseSearch, Leases, NodeId, SHARE_SIZE_MAX,
    Sizes, UncheckedHeader, is_mutable,
};
use bucketfs::container::mutable::{LeasesError, ShareTooLarge};
use bucketfs::container::{self, LEASES_MAX, Version};
use bucketfs::fuzz::mutable_container as fuzz;
use bucketfs::{Damage, TooManyLeases};
use bytes::Bytes;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, WriteEnabler};
use proptest::prelude::*;

#[path = "naive/mutable.rs"]
mod naive;

use naive::Naive;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/mutable-", $name, ".bin"))
    };
}

const ONE: &[u8] = fixture!("v1-1lease");
const ONE_WITH_SIX: &[u8] = fixture!("v1-6leases");
const ONE_RENEWED: &[u8] = fixture!("v1-renewed-by-1.20");
const EMPTY: &[u8] = fixture!("v2-empty-no-lease");
const TWO: &[u8] = fixture!("v2-1lease");
const TWO_WITH_SIX: &[u8] = fixture!("v2-6leases");
const GROWN: &[u8] = fixture!("v2-6leases-grown");
const SHRUNK: &[u8] = fixture!("v2-6leases-shrunk");
const SHRUNK_WRITTEN: &[u8] = fixture!("v2-6leases-shrunk-then-written");
const CANCELLED: &[u8] = fixture!("v2-lease-cancelled");

/// All of them, by their names in the manifest.
const FIXTURES: [(&str, &[u8]); 10] = [
    ("mutable-v1-1lease.bin", ONE),
    ("mutable-v1-6leases.bin", ONE_WITH_SIX),
    ("mutable-v1-renewed-by-1.20.bin", ONE_RENEWED),
    ("mutable-v2-empty-no-lease.bin", EMPTY),
    ("mutable-v2-1lease.bin", TWO),
    ("mutable-v2-6leases.bin", TWO_WITH_SIX),
    ("mutable-v2-6leases-grown.bin", GROWN),
    ("mutable-v2-6leases-shrunk.bin", SHRUNK),
    ("mutable-v2-6leases-shrunk-then-written.bin", SHRUNK_WRITTEN),
    ("mutable-v2-lease-cancelled.bin", CANCELLED),
];

const EXPIRATION: u32 = 1_702_678_400;

fn node_id() -> NodeId {
    NodeId(std::array::from_fn(|index| {
        0xa0 + u8::try_from(index).unwrap()
    }))
}

fn write_enabler() -> WriteEnabler {
    WriteEnabler::new(std::array::from_fn(|index| {
        0x40 + u8::try_from(index).unwrap()
    }))
}

fn secrets(index: u8) -> LeaseSecrets {
    LeaseSecrets {
        renew: RenewSecret::new([0x10 + index; 32]),
        cancel: CancelSecret::new([0x80 + index; 32]),
    }
}

fn share() -> Vec<u8> {
    (0..100_u32)
        .map(|index| u8::try_from((index * 31 + 7) % 256).unwrap())
        .collect()
}

fn content(bytes: &[u8]) -> Content {
    Content::Bytes(Bytes::copy_from_slice(bytes))
}

/// Changes a whole file by an image of it.
fn change(file: &[u8], with: impl FnOnce(&mut Image)) -> Vec<u8> {
    let container = Container::parse(file).unwrap();
    let mut image = Image::new(container.header.sizes());
    with(&mut image);
    let changed = image.assemble(&container.header, &container.leases, file);
    let changed = changed.unwrap();
    let size = u64::try_from(changed.len()).unwrap();
    assert_eq!(size, image.file_size(&container.leases));
    changed
}

/// Gives a client its lease, and takes it back and gives it again on the way.
fn lease(file: &mut Vec<u8>, index: u8, expiration: u32) {
    let container = Container::parse(file).unwrap();
    let (header, mut leases) = (container.header, container.leases);
    let search = LeaseSearch {
        secrets: &secrets(index),
        owner: 1,
        expiration,
        node_id: node_id(),
    };
    let change = search.run(header.version(), &leases).unwrap();
    let mut put = |(offset, bytes): (u64, Bytes)| {
        let start = usize::try_from(offset).unwrap();
        let end = start + bytes.len();
        file.resize(file.len().max(end), 0);
        file[start..end].copy_from_slice(&bytes);
    };
    change
        .writes(&header, &leases)
        .into_iter()
        .for_each(&mut put);
    let after = file.clone();
    let mut put = |(offset, bytes): (u64, Bytes)| {
        let start = usize::try_from(offset).unwrap();
        file[start..start + bytes.len()].copy_from_slice(&bytes);
    };
    let (writes, size) = change.undo(&header, &leases);
    writes.into_iter().for_each(&mut put);
    if let Some(size) = size {
        file.truncate(usize::try_from(size).unwrap());
    }
    assert_eq!(Container::parse(file).unwrap().leases, leases, "taken back");
    *file = after;
    leases.apply(&change);
    assert_eq!(Container::parse(file).unwrap().leases, leases);
}

// The fixtures were written by Tahoe-LAFS 1.20 itself, one from the other as here.
#[test]
fn a_history_gives_the_bytes_that_tahoe_gives() {
    let header = Header::new(Version::Two, node_id(), write_enabler());
    let none = Leases::none();
    let empty = Image::new(Sizes::EMPTY).assemble(&header, &none, &[]);
    assert_eq!(empty.unwrap(), EMPTY);

    let mut file = change(EMPTY, |image| image.write(0, &content(&share())).unwrap());
    lease(&mut file, 0, EXPIRATION);
    assert_eq!(file, TWO);
    for index in 1..6 {
        lease(&mut file, index, EXPIRATION + 1000 * u32::from(index));
    }
    assert_eq!(file, TWO_WITH_SIX);
    let file = change(&file, |image| {
        image.write(120, &content(b"grown!")).unwrap()
    });
    assert_eq!(file, GROWN);
    let file = change(&file, |image| image.cut(40));
    assert_eq!(file, SHRUNK);
    let file = change(&file, |image| image.write(50, &content(b"x")).unwrap());
    assert_eq!(file, SHRUNK_WRITTEN);
}

#[test]
fn old_containers_keep_their_secrets_in_the_clear() {
    let mut file = ONE.to_vec();
    for index in 1..6 {
        lease(&mut file, index, EXPIRATION + 1000 * u32::from(index));
    }
    assert_eq!(file, ONE_WITH_SIX);
    let mut file = ONE.to_vec();
    lease(&mut file, 0, 1_702_778_399);
    lease(&mut file, 1, EXPIRATION + 1000);
    assert_eq!(file, ONE_RENEWED);
}

// Version 2 leaves hashes of zeros in a place it empties: only the owner number tells.
#[test]
fn a_place_that_tahoe_emptied_takes_the_next_lease() {
    let mut file = CANCELLED.to_vec();
    let places = |file: &[u8]| -> Vec<bool> {
        let leases = Container::parse(file).unwrap().leases;
        leases.places().map(|lease| !lease.is_absent()).collect()
    };
    assert_eq!(places(&file), [true, false, true, true, true, true]);
    lease(&mut file, 1, EXPIRATION + 1000);
    assert_eq!(file, SHRUNK_WRITTEN);
}

#[test]
fn every_fixture_is_read_as_its_manifest_says() {
    let manifest = include_str!("fixtures/manifest.json");
    for (name, file) in FIXTURES {
        let start = manifest.find(&format!("\"file\": \"{name}\"")).unwrap();
        let entry = &manifest[start + 8..];
        let entry = &entry[..entry.find("\"file\": ").unwrap_or(entry.len())];
        let values = |key: &str| -> Vec<&str> {
            let key = format!("\"{key}\": ");
            let parts = entry.split(&key).skip(1);
            parts
                .map(|rest| rest.split([',', '\n']).next().unwrap().trim_matches('"'))
                .collect()
        };
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let container = Container::parse(file).unwrap();
        let header = &container.header;
        assert!(is_mutable(file) && container.behind.is_empty(), "{name}");
        let version = match header.version() {
            Version::One => "1",
            Version::Two => "2",
        };
        assert_eq!(values("version"), [version], "{name}");
        let enabler = hex(header.write_enabler().as_bytes());
        assert_eq!(values("write_enabler_hex"), [enabler], "{name}");
        let id = hex(&header.node_id().0);
        assert_eq!(values("write_enabler_node_id_hex"), [id], "{name}");
        let sizes = header.sizes();
        assert_eq!(values("data_length"), [sizes.data.to_string()], "{name}");
        assert_eq!(values("extra_lease_offset"), [sizes.extra.to_string()]);
        assert_eq!(values("data_hex"), [hex(container.share)], "{name}");
        assert_eq!(values("slack_hex"), [hex(container.slack)], "{name}");
        let each = |of: fn(&container::mutable::Lease) -> String| -> Vec<String> {
            container.leases.places().map(of).collect()
        };
        assert_eq!(values("owner"), each(|lease| lease.owner.to_string()));
        let ends = each(|lease| lease.expiration.to_string());
        assert_eq!(values("expiration"), ends, "{name}");
        let empty = each(|lease| lease.is_absent().to_string());
        assert_eq!(values("empty"), empty, "{name}");
        let ids = container.leases.places().map(|lease| hex(&lease.node_id.0));
        assert_eq!(values("node_id_hex"), ids.collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn a_container_cut_anywhere_is_refused() {
    for (name, file) in FIXTURES {
        for len in 0..file.len() {
            let parsed = Container::parse(&file[..len]);
            let refused = Err(LeasesError::Damaged(Damage::Truncated));
            assert_eq!(parsed, refused, "{name} {len}");
        }
    }
}

#[test]
fn no_flipped_bit_makes_the_parser_panic() {
    for (_, file) in FIXTURES {
        fuzz(file);
        for bit in 0..file.len() * 8 {
            let mut file = file.to_vec();
            file[bit / 8] ^= 1 << (bit % 8);
            fuzz(&file);
        }
    }
}

// Sums of hostile sizes must not wrap around into something plausible.
#[test]
fn sizes_and_counts_beyond_the_file_are_refused() {
    let with = |at: usize, word: &[u8]| {
        let mut file = TWO_WITH_SIX.to_vec();
        file[at..at + word.len()].copy_from_slice(word);
        Container::parse(&file).map(|_| ())
    };
    for huge in [101, 1 << 32, u64::MAX - 467, u64::MAX] {
        assert_eq!(
            with(84, &huge.to_be_bytes()),
            Err(LeasesError::Damaged(Damage::Truncated))
        );
    }
    for huge in [567, 569, 755, 756, 1 << 40, u64::MAX - 3, u64::MAX] {
        assert_eq!(
            with(92, &huge.to_be_bytes()),
            Err(LeasesError::Damaged(Damage::Truncated))
        );
    }
    for huge in [3, 1 << 26, u32::MAX] {
        assert_eq!(
            with(568, &huge.to_be_bytes()),
            Err(LeasesError::Damaged(Damage::Truncated))
        );
    }
    let unknown = Err(LeasesError::Damaged(Damage::UnknownContainer));
    assert_eq!(with(31, &[0]), unknown);
}

#[test]
fn the_two_kinds_of_container_are_told_apart_by_twelve_bytes() {
    let immutable = include_bytes!("fixtures/immutable-v2-1lease.bin");
    assert!(!is_mutable(&immutable[..12]) && is_mutable(&TWO[..12]) && is_mutable(&ONE[..12]));
    let parsed = UncheckedHeader::parse(&[&immutable[..], &[0; 500]].concat());
    assert_eq!(parsed, Err(Damage::UnknownContainer));
}

#[test]
fn a_share_beyond_tahoes_limit_is_refused() {
    let mut image = Image::new(Sizes::EMPTY);
    let limit = SHARE_SIZE_MAX;
    let refused = Err(ShareTooLarge);
    assert_eq!(image.write(limit, &content(b"x")), refused);
    assert_eq!(image.write(u64::MAX, &content(b"x")), refused);
    image.write(limit - 1, &content(b"x")).unwrap();
    assert_eq!(image.sizes().data, limit);
}

#[test]
fn the_last_extra_lease_allowed_is_the_last_one_added() {
    let mut leases = Leases::none();
    let mut count = 0_u32;
    loop {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&count.to_be_bytes());
        let secrets = LeaseSecrets {
            renew: RenewSecret::new(bytes),
            cancel: CancelSecret::new(bytes),
        };
        let search = LeaseSearch {
            secrets: &secrets,
            owner: 1,
            expiration: 9,
            node_id: node_id(),
        };
        match search.run(Version::One, &leases) {
            Ok(change) => leases.apply(&change),
            Err(refusal) => {
                assert_eq!(refusal, TooManyLeases);
                break;
            }
        }
        // A clock that was set back must not end a lease that was promised for longer.
        let earlier = LeaseSearch {
            expiration: 8,
            ..search
        };
        assert_eq!(earlier.run(Version::One, &leases), Ok(LeaseChange::None));
        count += 1;
    }
    assert_eq!(count, 4 + LEASES_MAX);
}

#[test]
fn nothing_secret_is_printed() {
    let container = Container::parse(ONE).unwrap();
    let lease = container.leases.places().next();
    let printed = format!("{:?}", lease.unwrap());
    assert_eq!(printed, "Lease { owner: 1, expiration: 1702678400, .. }");
    assert!(format!("{:?}", container.header).contains("WriteEnabler(..)"));
}

#[derive(Clone, Debug)]
enum Do {
    Write(usize, Vec<u8>),
    Cut(usize),
    Lease(u8),
}

fn deeds() -> impl Strategy<Value = Vec<Do>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    let deed = prop_oneof![
        (0_usize..800, bytes).prop_map(|(offset, bytes)| Do::Write(offset, bytes)),
        (0_usize..800).prop_map(Do::Cut),
        (0_u8..9).prop_map(Do::Lease),
    ];
    proptest::collection::vec(deed, 0..30)
}

proptest! {
    // Several writes judged at once come to what Tahoe makes of them one by one.
    #[test]
    fn an_image_is_what_tahoe_leaves(history in proptest::collection::vec(deeds(), 1..4)) {
        let mut naive = Naive::create(node_id().0, &write_enabler());
        let mut file = EMPTY.to_vec();
        for deeds in history {
            let container = Container::parse(&file).unwrap();
            let (header, mut leases) = (container.header, container.leases);
            let mut image = Image::new(header.sizes());
            for deed in deeds {
                match deed {
                    Do::Write(offset, bytes) => {
                        naive.write(offset, &bytes);
                        image.write(offset as u64, &content(&bytes)).unwrap();
                    }
                    Do::Cut(size) => {
                        naive.cut(size);
                        image.cut(size as u64);
                    }
                    Do::Lease(index) => {
                        naive.lease(&secrets(index), EXPIRATION, node_id().0);
                        let search = LeaseSearch {
                            secrets: &secrets(index),
                            owner: 1,
                            expiration: EXPIRATION,
                            node_id: node_id(),
                        };
                        let change = search.run(Version::Two, &leases).unwrap();
                        leases.apply(&change);
                    }
                }
            }
            file = image.assemble(&header, &leases, &file).unwrap();
            prop_assert_eq!(&file, &naive.0);
            prop_assert_eq!(Container::parse(&file).unwrap().share, naive.share());
        }
    }

    #[test]
    fn the_fuzz_target_holds(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz(&bytes);
    }
}
