//! What can be wrong with a file whose shares are good.

/// The shares are good and of one file, but do not make a file: their uploader made them so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// What the shares decode to is not the ciphertext that the UEB names.
    #[error("segment {segment} does not decode to the bytes that its uploader named")]
    Crypttext {
        /// Which segment.
        segment: u64,
    },
    /// There are bytes behind the end of the file.
    #[error("the padding of segment {segment} is not zeros: its uploader made it so")]
    Padding {
        /// Which segment.
        segment: u64,
    },
    /// What the ciphertext decrypts to is not the plaintext that the UEB names.
    #[error(
        "segment {segment} does not decrypt to the bytes that its uploader named; is the key right?"
    )]
    Plaintext {
        /// Which segment.
        segment: u64,
    },
    /// The file has one segment, and what the shares decode and decrypt to is not what the UEB
    /// names. It has one hash of both.
    #[error(
        "segment {segment} does not decode and decrypt to the bytes that its uploader named; is \
         the key right?"
    )]
    Content {
        /// Which segment.
        segment: u64,
    },
}
