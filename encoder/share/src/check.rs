//! The check of a share of any kind.

use std::io;

use lafs::{ShareNumber, StorageIndex, num};

use crate::bytes::Bytes;
use crate::native::check::{self as native, Ending};
use crate::tahoe::{chk, mdmf, sdmf};
use crate::verdict::{Damage, Kind, Verdict, Whole};

/// Which container the bytes are from: it says which kinds of shares they can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// A bucket's.
    Immutable,
    /// A slot's.
    Mutable,
}

/// Checks a share by what its bytes say of themselves.
///
/// The storage index and the number are where it was found. A slot may have more bytes than its
/// share: they belong to nothing, and are not looked at.
///
/// # Errors
///
/// What [`Bytes::read_at`] returned. It says nothing about the share.
pub fn check(
    bytes: &dyn Bytes,
    container: Container,
    storage_index: StorageIndex,
    number: ShareNumber,
) -> io::Result<Verdict> {
    let examine = |bytes: &dyn Bytes| match container {
        Container::Immutable => immutable(bytes, storage_index, number),
        Container::Mutable => mutable(bytes, number),
    };
    // Most shares are small: one read, and no seeking.
    match num::len(bytes.size()).filter(|len| *len <= PIECE_LEN) {
        Some(len) => {
            let mut whole = vec![0; len];
            bytes.read_at(0, &mut whole)?;
            examine(&whole.as_slice())
        }
        None => examine(bytes),
    }
}

fn immutable(
    bytes: &dyn Bytes,
    storage_index: StorageIndex,
    number: ShareNumber,
) -> io::Result<Verdict> {
    // The first bytes of a native share are ciphertext, its last ones could be a part of anything.
    // So what is marked best is looked for first, and what is marked in part only last: that is
    // damaged whatever it is.
    let front = chk::front(bytes)?;
    if let Some(version) = front.marked() {
        return verdict(chk::kind(version), chk::check(bytes, version, number));
    }
    match native::ending(bytes)? {
        Ending::Fits(geometry) => verdict(
            native::kind(&geometry),
            native::check(bytes, geometry, storage_index, number),
        ),
        Ending::Damaged(damage) => verdict(Kind::NativeV1, Err(damage.into())),
        Ending::Other => match front.half_marked() {
            Some(version) => verdict(chk::kind(version), chk::check(bytes, version, number)),
            None => Ok(Verdict::Unknown),
        },
    }
}

fn mutable(bytes: &dyn Bytes, number: ShareNumber) -> io::Result<Verdict> {
    if bytes.size() == 0 {
        return Ok(Verdict::Unknown);
    }
    let mut version = [0];
    bytes.read_at(0, &mut version)?;
    match version {
        [sdmf::VERSION] => verdict(Kind::Sdmf, sdmf::check(bytes, number)),
        [mdmf::VERSION] => verdict(Kind::Mdmf, mdmf::check(bytes, number)),
        _ => Ok(Verdict::Unknown),
    }
}

fn verdict(kind: Kind, checked: Result<Whole, Stop>) -> io::Result<Verdict> {
    match checked {
        Ok(whole) => Ok(Verdict::Whole(whole)),
        Err(Stop::Damage(damage)) => Ok(Verdict::Damaged { kind, damage }),
        Err(Stop::Read(error)) => Err(error),
    }
}

/// Why a check ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something is wrong with the share.
    Damage(Damage),
    /// It could not be read.
    Read(io::Error),
}

impl From<Damage> for Stop {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// How much is read at once. Shares of up to this size are read as a whole.
pub(crate) const PIECE_LEN: usize = 256 << 10;
