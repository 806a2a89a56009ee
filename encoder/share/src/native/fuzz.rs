//! The fuzz entry point of the end of a native share.

use lafs::num;

use super::geometry::Geometry;
use super::{description, ueb};

/// Whatever parses as the end of a share, of any version, is written as the same bytes, and has a
/// layout.
pub fn ending(bytes: &[u8]) {
    if let Some(Ok((head, share_root))) = bytes.last_chunk().map(ueb::parse_v1) {
        assert!(bytes.ends_with(&[head.to_bytes(), share_root.to_vec()].concat()));
        layout(head.geometry);
    }
    if let Ok(geometry) = description::parse(bytes) {
        let mut written = Vec::new();
        description::write(&geometry, &mut written);
        assert!(bytes.ends_with(&written));
        layout(geometry);
    }
    // All versions agree on what this is the end of, if it is one.
    let size = num::size(bytes.len());
    if let Ok(geometry) = Geometry::of_share(size, bytes) {
        let written = bytes.len() >= geometry.trailer_len();
        assert!(written || geometry.share_size() != size);
        let sized = Geometry::of_share(geometry.share_size(), bytes);
        assert!(sized.is_ok());
    }
}

/// A layout is one whatever its numbers are.
fn layout(geometry: Geometry) {
    assert_eq!(geometry.trailer().end, geometry.share_size());
    if let Some(last) = geometry.segment_count().checked_sub(1) {
        assert!(geometry.block(last).end <= geometry.trailer().start);
        assert_eq!(geometry.plaintext(last).end, geometry.file_size());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Version;
    use super::*;

    // A seed that is not accepted teaches the fuzzer nothing, and nobody notices.
    #[test]
    fn the_seeds_of_the_fuzzer_are_ends_of_shares() {
        for (seed, version) in [
            (
                include_bytes!("../../../../fuzz/seeds/ending/version-1").as_slice(),
                Version::V1,
            ),
            (
                include_bytes!("../../../../fuzz/seeds/ending/version-2").as_slice(),
                Version::V2,
            ),
        ] {
            ending(seed);
            let geometry = Geometry::of_share(num::size(seed.len()), seed).unwrap();
            assert_eq!(geometry.version(), version);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_an_end_of_a_share_has_a_layout(
            bytes in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            ending(&bytes);
        }
    }
}
