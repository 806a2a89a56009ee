//! What a decoder requests, and from whom.

use std::ops::Range;

use lafs::ShareNumber;

/// Who sends a share, named by the caller: a server, a connection, a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder(pub u64);

/// Names a request of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

/// Bytes of a share that the decoder wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names the answers.
    pub id: RequestId,
    /// Who to ask.
    pub holder: Holder,
    /// Which share.
    pub share_number: ShareNumber,
    /// Which bytes of it: at most [`RANGES_MAX`](super::Decoder::RANGES_MAX) ranges that ascend and
    /// do not touch.
    pub ranges: Vec<Range<u64>>,
}
