//! Tahoe's mutable share of one segment (SDMF).
//!
//! ```text
//! 0    1   version: 0
//! 1    8   sequence number
//! 9    32  root of the share hash tree
//! 41   16  salt
//! 57   1   shares needed
//! 58   1   shares in all
//! 59   8   segment size: the file size, rounded up to a multiple of the shares needed
//! 67   8   file size                                           the bytes before are signed
//! 75   4   where the signature is
//! 79   4   where the share hash chain is
//! 83   4   where the block hash tree is
//! 87   4   where the block is
//! 91   8   where the encrypted private key is
//! 99   8   where it ends
//! 107      public key, signature, share hash chain, block hash tree, block, encrypted private key
//! ```
//!
//! Integers are big-endian. The parts are in this order and without gaps. What is behind the end in a
//! slot belongs to nothing: slots are not truncated when a shorter version is written. The private
//! key is encrypted, and in no hash: nothing is known of it but that it is there.

use lafs::{ShareNumber, num};

use crate::bytes::Bytes;
use crate::check::Stop;
use crate::tahoe::blocks::Shape;
use crate::tahoe::hash::HASH_SIZE;
use crate::tahoe::signed::{
    Parts, Signed, chain_size, check_offset, check_order, field, read_header,
};
use crate::verdict::{Damage, Kind, What, Whole};

/// The first byte.
pub(crate) const VERSION: u8 = 0;

/// Checks everything in a share that can be checked without its capability.
pub(crate) fn check(bytes: &dyn Bytes, number: ShareNumber) -> Result<Whole, Stop> {
    let size = bytes.size();
    let header: [u8; HEADER_LEN] = read_header(bytes)?;
    let be32 = |at: usize| u64::from(u32::from_be_bytes(field(&header, at)));
    let be64 = |at: usize| u64::from_be_bytes(field(&header, at));
    let (signature, chain, block_tree, block) = (be32(75), be32(79), be32(83), be32(87));
    let (private_key, end) = (be64(91), be64(99));
    let offsets = [
        (75, num::size(HEADER_LEN)),
        (75, signature),
        (79, chain),
        (83, block_tree),
        (87, block),
        (91, private_key),
        (99, end),
    ];
    check_order(&offsets, size)?;
    let parts = Parts {
        kind: Kind::Sdmf,
        signed_len: 75,
        public_key: (num::size(HEADER_LEN), signature),
        signature: (signature, chain),
        chain: (chain, block_tree),
        block_tree,
        blocks: block,
    };
    let fingerprint = parts.check_signature(bytes)?;

    let signed = Signed {
        shape: Shape {
            needed: header[57].into(),
            total: header[58].into(),
            segment_size: be64(59),
            file_size: be64(67),
        },
        root: field(&header, 9),
    };
    parts.check_number(&signed, 57, number)?;
    let shape = &signed.shape;
    let blocks = shape.blocks(0, size).filter(|blocks| blocks.count <= 1);
    let Some(blocks) = blocks else {
        let expected = "a segment for the whole file";
        return Err(Damage::new(What::Parameters, 59, expected, shape.segment_size).into());
    };
    check_offset(83, chain.checked_add(chain_size(shape.total)), block_tree)?;
    check_offset(87, block_tree.checked_add(HASH_SIZE), block)?;
    check_offset(91, block.checked_add(blocks.all_size), private_key)?;
    if end == private_key {
        return Err(Damage::new(What::Header, 99, "a private key", end).into());
    }
    parts.check_hashes(bytes, &signed, &blocks, number, fingerprint)
}

const HEADER_LEN: usize = 107;
