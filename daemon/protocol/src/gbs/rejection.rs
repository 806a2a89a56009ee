//! Why a request is not served, one variant a rule, with the status of each.
//!
//! Most are decided here, from the bytes of the request. The last part needs the store: the daemon
//! takes those variants from here so that statuses stand in one place. The text of an answer never
//! repeats what the client sent: it may be a secret.

use super::limits::{
    READS_MAX, REASON_LEN_MAX, SHARES_MAX, SPECIMENS_LEN_MAX, TESTS_MAX, WRITES_MAX,
};

/// Why a request is refused; its `Display` is the body of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No endpoint has this path.
    #[error("no such path")]
    NoSuchPath,
    /// The endpoint does not have this method.
    #[error("the method is not allowed here")]
    MethodNotAllowed {
        /// The methods that it has, as the `Allow` header lists them.
        allow: &'static str,
    },

    /// `Authorization` is missing, or not that of this server's swissnum.
    #[error("Wrong Authorization header")]
    WrongAuthorization,
    /// `Authorization` is not UTF-8.
    #[error("Bad Authorization header")]
    BadAuthorization,

    /// A secret is not a kind, one space, and base64 of at least one byte.
    #[error("Bad X-Tahoe-Authorization header")]
    SecretForm,
    /// No secret is of this kind.
    #[error("an X-Tahoe-Authorization header has an unknown kind")]
    SecretKind,
    /// A lease secret is kept as 32 bytes.
    #[error("Lease secrets must be 32 bytes long")]
    LeaseSecretLen,
    /// A write enabler is kept as 32 bytes; Tahoe would take another and never match it again.
    #[error("a write enabler must be 32 bytes long")]
    WriteEnablerLen,
    /// Fewer kinds of secrets than the endpoint needs, or more.
    #[error("X-Tahoe-Authorization headers must be exactly: {required}")]
    SecretSet {
        /// The kinds that it needs.
        required: &'static str,
    },

    /// The request's `Content-Type` is not CBOR.
    #[error("the body must be application/cbor")]
    ContentType,
    /// What `Accept` prefers is not CBOR.
    #[error("the answer is application/cbor")]
    Accept,

    /// `Range` is not one range of bytes with both ends.
    #[error("Range must be bytes=FIRST-LAST")]
    Range,
    /// `Content-Range` is missing or not a range of bytes within its own total.
    #[error("Content-Range must be bytes FIRST-LAST/TOTAL or bytes FIRST-LAST/*")]
    ContentRange,

    /// The body is longer than the endpoint takes.
    #[error("the body is longer than {size_max} bytes")]
    BodyTooLong {
        /// The most that it takes.
        size_max: u64,
    },
    /// The body is not the message that the endpoint takes.
    #[error(transparent)]
    Malformed(#[from] Malformed),

    /// Nothing finished is held under this storage index and share number.
    #[error("no such share")]
    NoSuchShare,
    /// No finished share is held under this storage index, or, for an advisory, of this number.
    #[error("nothing is held there")]
    NothingHeld,
    /// No upload of this share is in progress.
    #[error("no such upload")]
    NoSuchUpload,
    /// The share cannot be aborted any more: it is finished.
    #[error("the share is finished")]
    UploadFinished,
    /// The upload was begun with another upload secret.
    #[error("wrong upload secret")]
    WrongUploadSecret,
    /// The slot was made with another write enabler.
    #[error("wrong write enabler")]
    WrongWriteEnabler,
    /// Other bytes than these were written there before.
    #[error("other bytes have been written there")]
    Conflict,
    /// The body of a write is shorter than its `Content-Range`.
    #[error("the body is shorter than its Content-Range")]
    ShortBody,
    /// A write goes beyond the size that was allocated.
    #[error("the range is beyond the allocated size")]
    BeyondAllocated,
    /// A bucket is asked for as if it were a slot, or the reverse.
    #[error("the storage index holds shares of the other kind")]
    OtherKind,
    /// A mutable share would be longer than one can be.
    #[error("the share would be too large")]
    ShareTooLarge,
    /// What the reads ask for is longer than a client takes.
    #[error("the answer would be too long")]
    AnswerTooLong,
    /// No room on the disk, or none that may be used.
    #[error("the server has no space left")]
    NoSpace,
    /// The body comes too slowly.
    #[error("the body came too slowly")]
    SlowBody,
    /// The server has as much to do as it takes.
    #[error("the server is busy")]
    Busy,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The server's disk failed, or what is on it is damaged.
    #[error("the server failed")]
    Failed,
}

impl Rejection {
    /// The HTTP status.
    ///
    /// Where Tahoe answers 500 to what is the client's doing, a 4xx (reference, section 8).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadAuthorization
            | Self::SecretForm
            | Self::SecretKind
            | Self::LeaseSecretLen
            | Self::WriteEnablerLen
            | Self::SecretSet { .. }
            | Self::ShortBody => 400,
            Self::WrongAuthorization | Self::WrongUploadSecret | Self::WrongWriteEnabler => 401,
            Self::NoSuchPath | Self::NoSuchShare | Self::NothingHeld | Self::NoSuchUpload => 404,
            Self::MethodNotAllowed { .. } | Self::UploadFinished => 405,
            Self::Accept => 406,
            Self::SlowBody => 408,
            Self::Conflict | Self::OtherKind => 409,
            Self::BodyTooLong { .. } | Self::ShareTooLarge | Self::AnswerTooLong => 413,
            Self::ContentType => 415,
            Self::Range | Self::ContentRange | Self::BeyondAllocated => 416,
            Self::Failed => 500,
            Self::Busy | Self::Stopping => 503,
            Self::NoSpace => 507,
            Self::Malformed(malformed) => malformed.status(),
        }
    }

    /// The `Content-Type` of the answer, if it has one.
    ///
    /// Tahoe's client looks at the type of an answer to a read before it looks at the status.
    #[must_use]
    pub fn content_type(self) -> Option<&'static str> {
        match self {
            Self::NoSuchShare | Self::Range => Some(super::OCTET_STREAM),
            _ => None,
        }
    }

    /// The `Allow` header of the answer, if it has one.
    #[must_use]
    pub fn allow(self) -> Option<&'static str> {
        match self {
            Self::MethodNotAllowed { allow } => Some(allow),
            _ => None,
        }
    }
}

/// The body is not the message that its place asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body ends inside the message.
    #[error("the message ends early")]
    Truncated,
    /// No CBOR, or a value of a type that this place does not have: a float, a negative number, an
    /// array that is not tagged as a set, text for bytes, a key of bytes.
    #[error("the message has a value of the wrong type")]
    Type,
    /// A key that the map does not have. No extension hides in a message.
    #[error("the message has an unknown key")]
    UnknownKey,
    /// A key that was there before: which of the two values counts would be a guess.
    #[error("the message has the same key twice")]
    RepeatedKey,
    /// A key that the map must have.
    #[error("the message lacks a key")]
    MissingKey,
    /// A number that no share has.
    #[error("a share number is 0 to 255")]
    ShareNumber,
    /// A share of no bytes, for which no `Content-Range` could be written.
    #[error("a share has at least one byte")]
    EmptyShare,
    /// A reason that is empty or too long.
    #[error("a reason has 1 to {REASON_LEN_MAX} bytes")]
    Reason,
    /// More share numbers than there are.
    #[error("a message names at most {SHARES_MAX} shares")]
    Shares,
    /// More tests of one share than Tahoe allows.
    #[error("a share has at most {TESTS_MAX} tests")]
    Tests,
    /// More reads than Tahoe allows.
    #[error("a message has at most {READS_MAX} reads")]
    Reads,
    /// More writes than this server keeps track of.
    #[error("a message has at most {WRITES_MAX} writes")]
    Writes,
    /// More bytes to compare with than this server keeps in memory.
    #[error("the specimens of a message have at most {SPECIMENS_LEN_MAX} bytes")]
    Specimens,
    /// A write that ends beyond the largest share.
    #[error("a write ends beyond the largest share")]
    WritePastEnd,
}

impl Malformed {
    /// The HTTP status: 413 for what Tahoe would take and only our bounds refuse.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Writes | Self::Specimens | Self::WritePastEnd => 413,
            _ => 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The client inspects the type of an answer to a read before its status, and takes another one
    // for a broken server (reference, section 1.3).
    #[test]
    fn what_is_refused_of_a_read_is_typed_as_share_bytes() {
        for rejection in [Rejection::NoSuchShare, Rejection::Range] {
            assert_eq!(rejection.content_type(), Some("application/octet-stream"));
        }
        assert_eq!(Rejection::WrongAuthorization.content_type(), None);
    }

    #[test]
    fn a_405_says_what_is_allowed() {
        let rejection = Rejection::MethodNotAllowed { allow: "GET, HEAD" };
        assert_eq!(
            (rejection.status(), rejection.allow()),
            (405, Some("GET, HEAD"))
        );
        assert_eq!(Rejection::NoSuchPath.allow(), None);
    }
}
