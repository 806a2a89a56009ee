//! Tahoe's immutable share (CHK).
//!
//! ```text
//! header                  `chk/header.rs`
//! blocks                  one of each segment; the last may be shorter
//! unused                  zeros, where a plaintext hash tree was once
//! crypttext hash tree     `tree.rs`
//! block hash tree         the same, over the blocks of this share
//! share hash chain        `chain.rs`
//! UEB size                4 bytes in version 1, 8 in version 2
//! UEB                     `chk/ueb.rs`
//! zeros                   older clients reserved more for the UEB than it has
//! ```
//!
//! The UEB says the size of everything, and the roots of the crypttext and share hash trees. Its own
//! hash is in the capability and nowhere else. The storage index is in no hash: that a share is in
//! the right bucket, only a capability can prove.

mod header;
mod ueb;

use std::io;

use lafs::{ShareNumber, num};

use self::header::Header;
pub(crate) use self::header::{Front, Version};
use self::ueb::Ueb;
use crate::bytes::{Bytes, Window};
use crate::check::{PIECE_LEN, Stop};
use crate::tahoe::chain::{self, Chain};
use crate::tahoe::hash;
use crate::tahoe::tree::StoredTree;
use crate::verdict::{Damage, Kind, What, Whole};

/// Reads what tells which version a share has.
pub(crate) fn front(bytes: &dyn Bytes) -> io::Result<Front> {
    let mut front = [0; Front::LEN];
    let len = num::len(bytes.size()).map_or(Front::LEN, |len| len.min(Front::LEN));
    bytes.read_at(0, &mut front[..len])?;
    Ok(Front::new(front))
}

/// The kind of shares of this version.
pub(crate) fn kind(version: Version) -> Kind {
    match version {
        Version::V1 => Kind::ChkV1,
        Version::V2 => Kind::ChkV2,
    }
}

/// Checks everything in a share that can be checked without its capability.
pub(crate) fn check(
    bytes: &dyn Bytes,
    version: Version,
    number: ShareNumber,
) -> Result<Whole, Stop> {
    let header = Header::read(bytes, version)?;
    let (ueb_at, ueb_bytes) = read_ueb(bytes, &header)?;
    let ueb = Ueb::parse(&ueb_bytes, ueb_at, bytes.size())?;
    let shape = ueb.shape;
    if number.index() >= usize::from(shape.total) {
        let number = u64::from(number.as_u8());
        return Err(Damage::new(What::NoSuchShare, ueb_at, u64::from(shape.total), number).into());
    }
    let places = header.check(&ueb, bytes.size())?;

    let tree = |offset, what| StoredTree {
        offset,
        leaf_count: ueb.blocks.count,
        what,
    };
    match &ueb.plaintext_root {
        Some(root) => {
            tree(places.unused, What::PlaintextTree).check(bytes, Some(root))?;
        }
        None => zeros(bytes, places.unused, places.crypttext_tree)?,
    }
    tree(places.crypttext_tree, What::CrypttextTree).check(bytes, Some(&ueb.crypttext_root))?;
    let block_tree = tree(places.block_tree, What::BlockTree);
    let block_root = block_tree.check(bytes, None)?;
    let mut chain_bytes = vec![0; chain::len(shape.total, true)];
    bytes.read_at(places.chain, &mut chain_bytes)?;
    let chain = Chain {
        bytes: &chain_bytes,
        offset: places.chain,
        has_leaf: true,
    };
    chain.check(number, shape.total, &block_root, &ueb.share_root)?;
    ueb.blocks.check(bytes, places.blocks, &block_tree)?;
    zeros(bytes, ueb_at + num::size(ueb_bytes.len()), bytes.size())?;
    Ok(Whole {
        kind: kind(version),
        needed: shape.needed,
        total: shape.total,
        file_size: shape.file_size,
        identity: hash::tagged(hash::UEB, &ueb_bytes),
    })
}

/// The bytes of the UEB, and where they are.
fn read_ueb(bytes: &dyn Bytes, header: &Header) -> Result<(u64, Vec<u8>), Stop> {
    let size_at = header.ueb_size_at();
    let field_size = header.version().field_size();
    let end = |offset: u64, size: u64| offset.checked_add(size).filter(|end| *end <= bytes.size());
    let Some(ueb_at) = end(size_at, field_size) else {
        let end = size_at.saturating_add(field_size);
        return Err(Damage::new(What::Size, bytes.size(), end, bytes.size()).into());
    };
    let ueb_size = match header.version() {
        Version::V1 => u32::from_be_bytes(read(bytes, size_at)?).into(),
        Version::V2 => u64::from_be_bytes(read(bytes, size_at)?),
    };
    if ueb_size > UEB_SIZE_MAX {
        return Err(Damage::new(What::Ueb, size_at, UEB_SIZE_MAX, ueb_size).into());
    }
    let Some(ueb_end) = end(ueb_at, ueb_size) else {
        let end = ueb_at.saturating_add(ueb_size);
        return Err(Damage::new(What::Size, bytes.size(), end, bytes.size()).into());
    };
    let len = num::len(ueb_end - ueb_at).expect("a UEB is small");
    let mut ueb = vec![0; len];
    bytes.read_at(ueb_at, &mut ueb)?;
    Ok((ueb_at, ueb))
}

/// Checks that nothing is there but zeros.
fn zeros(bytes: &dyn Bytes, start: u64, end: u64) -> Result<(), Stop> {
    let mut window = Window::new(bytes, PIECE_LEN);
    let mut offset = start;
    while offset < end {
        let piece = window.some(offset, end - offset)?;
        if let Some(index) = piece.iter().position(|byte| *byte != 0) {
            let found = u64::from(piece[index]);
            return Err(Damage::new(What::Unused, offset + num::size(index), 0_u64, found).into());
        }
        offset += num::size(piece.len());
    }
    Ok(())
}

fn read<const N: usize>(bytes: &dyn Bytes, offset: u64) -> io::Result<[u8; N]> {
    let mut field = [0; N];
    bytes.read_at(offset, &mut field)?;
    Ok(field)
}

/// Largest UEB. Tahoe's verifier refuses one of 2000 bytes; it has about 320.
const UEB_SIZE_MAX: u64 = 1999;
