//! What can be wrong with a share, and with a file.

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
    /// Its end is not a UEB.
    #[error(transparent)]
    Ueb(#[from] UebError),
    /// It is whole, perhaps, but a share of another file: its UEB is not the one the cap names.
    #[error("belongs to another file, or its UEB is corrupted")]
    OtherFile,
    /// Its UEB has the hash that the cap names, but says other parameters than the cap.
    #[error("its UEB and the capability name different parameters")]
    Parameters,
    /// It is whole, but another share of the file.
    #[error("is share {actual}")]
    OtherNumber {
        /// Which share it is.
        actual: ShareNumber,
    },
    /// Its block hash tree does not lead to the UEB's share root at this storage index and number.
    #[error(
        "is not the share with this number, or its blocks or its share hash chain are corrupted"
    )]
    ShareRoot,
    /// A block, or a node of the block hash tree near it, is corrupted.
    #[error("the block of segment {segment}, or a hash beside it, is corrupted")]
    Block {
        /// The first segment that is concerned.
        segment: u64,
    },
    /// A node of the crypttext hash tree is corrupted.
    #[error("the crypttext hashes near segment {segment} are corrupted")]
    Crypttext {
        /// The first segment that is concerned.
        segment: u64,
    },
    /// A node of the plaintext hash tree is corrupted.
    #[error("the plaintext hashes near segment {segment} are corrupted")]
    Plaintext {
        /// The first segment that is concerned.
        segment: u64,
    },
    /// Bytes came that were not asked for, or not in order.
    #[error("its server sent bytes that were not asked for, at offset {offset}")]
    Unasked {
        /// Where in the share.
        offset: u64,
    },
}

/// Shares that are whole and of one file, but do not make one: whoever uploaded them made them so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// What the shares decode to is not the ciphertext that the UEB names.
    #[error("segment {segment} decodes to other bytes than its uploader promised")]
    Crypttext {
        /// Which segment.
        segment: u64,
    },
    /// There is something behind the end of the file.
    #[error("segment {segment} is padded with something else than zeros")]
    Padding {
        /// Which segment.
        segment: u64,
    },
    /// What the ciphertext decrypts to is not the plaintext that the UEB names.
    #[error(
        "segment {segment} decrypts to other bytes than its uploader promised; is the key right?"
    )]
    Plaintext {
        /// Which segment.
        segment: u64,
    },
}
