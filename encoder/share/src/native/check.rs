//! The check of a native share from its bytes alone.

use std::io;

use lafs::{ShareNumber, StorageIndex, num};

use super::Version;
use super::damage::Damage as Wrong;
use super::geometry::{Geometry, UEB_SIZE_V1};
use super::ueb::UebError;
use super::verify::ShareVerifier;
use crate::bytes::{Bytes, Window};
use crate::check::{PIECE_LEN, Stop};
use crate::verdict::{Damage, Kind, What, Whole};

/// What the end of a share says.
pub(crate) enum Ending {
    /// It is that of a native share of this size.
    Fits(Geometry),
    /// It is marked as that of version 1, but this does not hold.
    Damaged(Damage),
    /// It may be anything.
    Other,
}

/// Looks at the end of a share.
pub(crate) fn ending(bytes: &dyn Bytes) -> io::Result<Ending> {
    let size = bytes.size();
    let len = num::len(size).map_or(Geometry::ENDING_LEN, |len| len.min(Geometry::ENDING_LEN));
    let mut ending = vec![0; len];
    bytes.read_at(size - num::size(len), &mut ending)?;
    let geometry = match Geometry::of_share(size, &ending) {
        Ok(geometry) if geometry.share_size() == size => return Ok(Ending::Fits(geometry)),
        other => other,
    };
    // The mark of version 2 is too short to say anything alone.
    if len < UEB_SIZE_V1 || !ending.starts_with(b"TLN1") {
        return Ok(Ending::Other);
    }
    let start = size - num::size(len);
    Ok(Ending::Damaged(match geometry {
        Ok(geometry) => Damage::new(What::Size, size, geometry.share_size(), size),
        Err(UebError::FileSize(found)) => Damage::new(
            What::Ueb,
            start + 10,
            lafs::Parameters::FILE_SIZE_MAX,
            found,
        ),
        Err(_) => Damage::new(What::Ueb, start + 4, "possible parameters", &ending[4..10]),
    }))
}

/// The kind of shares with this layout.
pub(crate) fn kind(geometry: &Geometry) -> Kind {
    match geometry.version() {
        Version::V1 => Kind::NativeV1,
        Version::V2 => Kind::NativeV2,
    }
}

/// Verifies all bytes of a share whose end says this layout.
pub(crate) fn check(
    bytes: &dyn Bytes,
    geometry: Geometry,
    storage_index: StorageIndex,
    number: ShareNumber,
) -> Result<Whole, Stop> {
    let verifier = ShareVerifier::without_cap(storage_index, number, geometry);
    let mut verifier = verifier.map_err(|_| {
        let total = num::size(geometry.parameters().total());
        let at = geometry.trailer().start;
        Damage::new(What::NoSuchShare, at, total, u64::from(number.as_u8()))
    })?;
    let mut window = Window::new(bytes, PIECE_LEN);
    while verifier.offset() < geometry.share_size() {
        let piece = window.some(verifier.offset(), u64::MAX)?;
        if let Err(wrong) = verifier.update(piece) {
            return Err(damage(&verifier, wrong, &geometry, number).into());
        }
    }
    // It has as many bytes as its end says, or its layout would be another one.
    let ueb_hash = verifier.ueb_hash().expect("all of the share has come");
    let parameters = geometry.parameters();
    let count = |count: usize| u16::try_from(count).expect("at most 256");
    Ok(Whole {
        kind: kind(&geometry),
        needed: count(parameters.needed()),
        total: count(parameters.total()),
        file_size: geometry.file_size(),
        identity: *ueb_hash.as_bytes(),
    })
}

/// What the verifier found, in the words that all kinds of shares have.
fn damage(
    verifier: &ShareVerifier,
    wrong: Wrong,
    geometry: &Geometry,
    number: ShareNumber,
) -> Damage {
    let what = match wrong {
        Wrong::NoSuchShare { .. } => What::NoSuchShare,
        Wrong::Size { .. } | Wrong::Unasked { .. } => What::Size,
        Wrong::Ueb(_) | Wrong::OtherFile | Wrong::Parameters => What::Ueb,
        Wrong::OtherNumber { actual } => {
            let at = geometry.trailer().start;
            let [expected, found] = [number, actual].map(|number| u64::from(number.as_u8()));
            return Damage::new(What::OtherNumber, at, expected, found);
        }
        Wrong::ShareRoot => What::ShareRoot,
        Wrong::Block { .. } => What::Block,
        Wrong::Crypttext { .. } => What::CrypttextTree,
        Wrong::Plaintext { .. } => What::PlaintextTree,
        Wrong::Content { .. } => What::ContentRoot,
    };
    match verifier.mismatch() {
        Some(mismatch) => Damage::new(
            what,
            mismatch.offset,
            mismatch.expected.as_slice(),
            mismatch.found.as_slice(),
        ),
        None => Damage::new(what, geometry.trailer().start, "the share's own", "another"),
    }
}
