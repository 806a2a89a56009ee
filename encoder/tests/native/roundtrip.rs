//! What goes up comes down.

use encoder::Parameters;
use encoder::native::{Geometry, ReadAhead};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::grid::{Downloaded, Manner, download, key, noise, upload};

/// Small windows, so that a file of a few kilobytes has many.
const SMALL: ReadAhead = ReadAhead {
    window_size: 512,
    ahead_size: 2048,
};

fn parameters() -> impl Strategy<Value = Parameters> {
    (1..=20_usize, any::<Index>(), 1..=3_u32).prop_map(|(total, needed, units)| {
        let needed = 1 + needed.index(total);
        let segment_size = units * 64 * u32::try_from(needed).unwrap();
        Parameters::new(needed, total, segment_size).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_shares_as_many_as_are_needed_bring_the_file_back(
        parameters in parameters(),
        len in 0..6000_usize,
        order in proptest::collection::vec(any::<u32>(), 20),
        open in any::<bool>(),
    ) {
        let file = upload(noise(len, 1), parameters, &key(7));
        let geometry = Geometry::from(&file.cap);
        for share in &file.shares {
            prop_assert_eq!(u64::try_from(share.len()).unwrap(), geometry.share_size());
        }
        let mut servers = file.held();
        servers.sort_by_key(|held| order[held.number.index()]);
        servers.truncate(parameters.needed());
        let manner = if open { Manner::OpenAll } else { Manner::Offers };
        let (downloaded, bad) = download(&file.cap, 0..u64::MAX, &servers, manner, SMALL);
        prop_assert_eq!(downloaded, Downloaded::Plaintext(file.plaintext));
        prop_assert_eq!(bad, []);
    }

    #[test]
    fn a_range_is_that_range(
        parameters in parameters(),
        len in 0..6000_usize,
        ends in any::<(u16, u16)>(),
        open in any::<bool>(),
    ) {
        let file = upload(noise(len, 2), parameters, &key(7));
        let start = usize::from(ends.0 % 6500).min(len);
        let end = usize::from(ends.1 % 6500).clamp(start, 6500);
        let range = u64::try_from(start).unwrap()..u64::try_from(end).unwrap();
        let manner = if open { Manner::OpenAll } else { Manner::Offers };
        let (downloaded, bad) = download(&file.cap, range, &file.held(), manner, SMALL);
        let expected = file.plaintext[start..end.min(len)].to_vec();
        prop_assert_eq!(downloaded, Downloaded::Plaintext(expected));
        prop_assert_eq!(bad, []);
    }
}

// Off-by-one errors live at whole segments, at the first and last byte, and where trees change
// shape.
#[test]
fn sizes_around_every_boundary_come_back() {
    for (needed, total) in [(1, 1), (1, 4), (2, 2), (3, 10), (5, 7)] {
        let segment_size = 64 * needed;
        let parameters =
            Parameters::new(needed, total, u32::try_from(segment_size).unwrap()).unwrap();
        for segments in [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17] {
            for len in (segments * segment_size).saturating_sub(2)..=segments * segment_size + 2 {
                let file = upload(noise(len, 3), parameters, &key(9));
                let mut servers = file.held();
                servers.reverse();
                servers.truncate(needed);
                let (downloaded, bad) =
                    download(&file.cap, 0..u64::MAX, &servers, Manner::OpenAll, SMALL);
                assert_eq!(
                    downloaded,
                    Downloaded::Plaintext(file.plaintext),
                    "{len} bytes at {needed} of {total}"
                );
                assert_eq!(bad, []);
            }
        }
    }
}

#[test]
fn files_of_the_usual_parameters_come_back() {
    let parameters = Parameters::default_for(3, 10).unwrap();
    for len in [1, 1000, 196_607, 196_608, 196_609, 5_000_000] {
        let file = upload(noise(len, 4), parameters, &key(1));
        for first in [0, 5] {
            let servers = &file.held()[first..first + 5];
            let read_ahead = ReadAhead::default();
            let (downloaded, bad) =
                download(&file.cap, 0..u64::MAX, servers, Manner::Offers, read_ahead);
            assert!(
                downloaded == Downloaded::Plaintext(file.plaintext.clone()),
                "{len} bytes"
            );
            assert_eq!(bad, []);
        }
    }
}

#[test]
fn extreme_counts_come_back() {
    for (needed, total) in [(1, 256), (2, 256), (128, 256), (255, 256), (256, 256)] {
        let segment_size = u32::try_from(64 * needed).unwrap();
        let parameters = Parameters::new(needed, total, segment_size).unwrap();
        let file = upload(noise(64 * needed * 2 + 777, 5), parameters, &key(1));
        let mut servers = file.held();
        servers.drain(..total - needed);
        let (downloaded, bad) = download(&file.cap, 0..u64::MAX, &servers, Manner::Offers, SMALL);
        assert!(
            downloaded == Downloaded::Plaintext(file.plaintext),
            "{needed} of {total}"
        );
        assert_eq!(bad, []);
    }
}
