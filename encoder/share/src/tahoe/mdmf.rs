//! Tahoe's mutable share of any size (MDMF).
//!
//! ```text
//! 0    1   version: 1
//! 1    8   sequence number
//! 9    32  root of the share hash tree
//! 41   1   shares needed
//! 42   1   shares in all
//! 43   8   segment size
//! 51   8   file size                                           the bytes before are signed
//! 59   8   where the encrypted private key is: right behind the header
//! 67   8   where the share hash chain is
//! 75   8   where the signature is
//! 83   8   where the public key is
//! 91   8   where the public key ends
//! 99   8   where the blocks are
//! 107  8   where the block hash tree is
//! 115  8   where it ends
//! 123      encrypted private key, share hash chain, signature, public key, unused, blocks, block
//!          hash tree
//! ```
//!
//! Integers are big-endian. In front of each block is the salt of its segment, 16 bytes, which is
//! hashed with it. The unused part has the size that is left of what writers reserve for the parts
//! before; there may be anything in it, also of an earlier version. What is behind the end in a slot
//! belongs to nothing. The private key is encrypted, and in no hash.

use lafs::{ShareNumber, num};

use crate::bytes::Bytes;
use crate::check::Stop;
use crate::tahoe::blocks::Shape;
use crate::tahoe::signed::{
    Parts, Signed, chain_size, check_offset, check_order, field, read_header,
};
use crate::tahoe::tree::StoredTree;
use crate::verdict::{Damage, Kind, What, Whole};

/// The first byte.
pub(crate) const VERSION: u8 = 1;

/// Checks everything in a share that can be checked without its capability.
pub(crate) fn check(bytes: &dyn Bytes, number: ShareNumber) -> Result<Whole, Stop> {
    let size = bytes.size();
    let header: [u8; HEADER_LEN] = read_header(bytes)?;
    let be64 = |at: usize| u64::from_be_bytes(field(&header, at));
    let offsets: [(u64, u64); 8] = std::array::from_fn(|index| {
        let at = 59 + 8 * index;
        (num::size(at), be64(at))
    });
    check_offset(59, Some(num::size(HEADER_LEN)), offsets[0].1)?;
    check_order(&offsets, size)?;
    let [
        private_key,
        chain,
        signature,
        public_key,
        public_key_end,
        blocks_at,
        block_tree,
        end,
    ] = offsets.map(|(_, offset)| offset);
    let parts = Parts {
        kind: Kind::Mdmf,
        signed_len: 59,
        public_key: (public_key, public_key_end),
        signature: (signature, public_key),
        chain: (chain, signature),
        block_tree,
        blocks: blocks_at,
    };
    let fingerprint = parts.check_signature(bytes)?;

    let signed = Signed {
        shape: Shape {
            needed: header[41].into(),
            total: header[42].into(),
            segment_size: be64(43),
            file_size: be64(51),
        },
        root: field(&header, 9),
    };
    parts.check_number(&signed, 41, number)?;
    let shape = &signed.shape;
    let Some(blocks) = shape.blocks(SALT_SIZE, size) else {
        let expected = "segments that fit into the share";
        return Err(Damage::new(What::Parameters, 43, expected, shape.segment_size).into());
    };
    if chain == private_key {
        return Err(Damage::new(What::Header, 67, "a private key", chain).into());
    }
    check_offset(75, chain.checked_add(chain_size(shape.total)), signature)?;
    check_offset(107, blocks_at.checked_add(blocks.all_size), block_tree)?;
    let tree_size = StoredTree::size(blocks.count);
    check_offset(
        115,
        tree_size.and_then(|size| block_tree.checked_add(size)),
        end,
    )?;
    parts.check_hashes(bytes, &signed, &blocks, number, fingerprint)
}

const HEADER_LEN: usize = 123;
const SALT_SIZE: u64 = 16;
