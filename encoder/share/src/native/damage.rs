//! What can be wrong with a share.

use lafs::ShareNumber;

use super::ueb::UebError;

/// What is wrong with a share. Segments are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file has no share with this number.
    #[error("the file has only {total} shares")]
    NoSuchShare {
        /// How many it has.
        total: usize,
    },
    /// It is shorter or longer than it must be.
    #[error("has {found} bytes instead of {expected}")]
    Size {
        /// What every share of this file has.
        expected: u64,
        /// What there was.
        found: u64,
    },
    /// Its end does not say what share it is.
    #[error(transparent)]
    Ueb(#[from] UebError),
    /// It names another UEB than the cap; the share may be whole, but is of another file.
    #[error("belongs to another file, or its end is corrupted")]
    OtherFile,
    /// It names the UEB that the cap names, but says other parameters than the cap.
    #[error("its end and the capability name different parameters")]
    Parameters,
    /// It is whole, but it is the share with another number.
    #[error("is share {actual}")]
    OtherNumber {
        /// Which share it is.
        actual: ShareNumber,
    },
    /// Its block hash tree does not lead to the UEB at this storage index and number.
    #[error(
        "is not the share with this number, or its blocks or its share hash chain are corrupted"
    )]
    ShareRoot,
    /// A block, or a node of the block hash tree near it, is corrupted.
    #[error("the block of segment {segment}, or a hash beside it, is corrupted")]
    Block {
        /// The first segment that may be affected.
        segment: u64,
    },
    /// A node of the crypttext hash tree is corrupted.
    #[error("the crypttext hashes near segment {segment} are corrupted")]
    Crypttext {
        /// The first segment that may be affected.
        segment: u64,
    },
    /// A node of the plaintext hash tree is corrupted.
    #[error("the plaintext hashes near segment {segment} are corrupted")]
    Plaintext {
        /// The first segment that may be affected.
        segment: u64,
    },
    /// A node of the crypttext or the plaintext hash tree is corrupted, or what the end of the share
    /// says of both.
    #[error(
        "the crypttext or plaintext hashes near segment {segment}, or at the end, are corrupted"
    )]
    Content {
        /// The first segment that may be affected.
        segment: u64,
    },
    /// Bytes came that were not requested, or not in order.
    #[error("its server sent bytes that were not requested, at offset {offset}")]
    Unasked {
        /// Where in the share.
        offset: u64,
    },
}
