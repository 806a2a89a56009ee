//! The decoder: shares of which any may be wrong in, verified plaintext in order out.
//!
//! It believes nothing. A block is believed when its hash leads through the block hash tree, the
//! share hash tree and the UEB to the cap; the segment decoded from such blocks when its hash leads
//! through the crypttext hash tree to the UEB; and its plaintext likewise. A share that fails is
//! reported with what is wrong with it, and replaced by another while there are any.
//!
//! No I/O: the caller asks servers what [`Decoder::opening`] and [`Decoder::next_request`] say, and
//! hands over what they send.
//!
//! ```text
//! send every server: "any share you have of this storage index, these ranges": opening()
//! loop:
//!     plaintext()       until it has none: write what it gives
//!     next_bad_share()  until it has none: tell the user, the server
//!     is_done()         stop
//!     next_request()    until it has none: send to its holder
//!     shortfall()       not 0: ask further servers; when there are none left, fail
//!     wait for a server: answer() or offer() a share, receive() bytes, end() a request, lost()
//! ```

use std::ops::Range;

use lafs::ShareNumber;
use lafs::cap::ReadCap;

use crate::error::{BadShare, Inconsistent};
use crate::geometry::Geometry;

/// Who sends a share, named by the caller: a server, a connection, a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder(pub u64);

/// Names a request of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// Bytes of a share that the decoder wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names the answers.
    pub id: RequestId,
    /// Who to ask.
    pub holder: Holder,
    /// Which share.
    pub number: ShareNumber,
    /// Which bytes of it: at most [`Decoder::RANGES_MAX`] ranges, ascending, apart from each other.
    pub ranges: Vec<Range<u64>>,
}

/// How much a decoder may hold and ask for ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Plaintext bytes in a window: what is asked of a share in one request, and decoded in one
    /// call. Rounded down to whole segments, and up to one.
    pub window_size: u32,
    /// Plaintext bytes in all windows that are asked for and not yet taken, at least one window.
    pub ahead_size: u32,
}

impl Default for Limits {
    /// 4 MiB ahead: 80 MB/s over a round trip of 50 ms.
    fn default() -> Self {
        Self {
            window_size: 1 << 20,
            ahead_size: 4 << 20,
        }
    }
}

/// Decodes a range of one file from its shares.
pub struct Decoder {
    geometry: Geometry,
    opening: Vec<Range<u64>>,
}

impl Decoder {
    /// Most ranges in one request.
    pub const RANGES_MAX: usize = 64;

    /// Begins to read these bytes of a file, as far as it goes.
    #[must_use]
    pub fn new(cap: &ReadCap, _plaintext: Range<u64>, _limits: Limits) -> Self {
        let geometry = Geometry::from(cap);
        Self {
            geometry,
            opening: std::iter::once(0..geometry.share_size()).collect(),
        }
    }

    /// The layout of the file's shares.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// What to ask of any share of the file before anything is known about it.
    ///
    /// All shares have one layout, so one question serves for whichever shares a server holds; of a
    /// small file it is the whole share.
    #[must_use]
    pub fn opening(&self) -> &[Range<u64>] {
        &self.opening
    }

    /// A holder begins to answer the opening for a share.
    ///
    /// Returns the request that its bytes belong to, or `None` if they are not wanted: the share is
    /// then remembered as if it had been [offered](Self::offer).
    pub fn answer(&mut self, _holder: Holder, _number: ShareNumber) -> Option<RequestId> {
        None
    }

    /// A holder says that it holds a share, of this size if it said that too.
    pub fn offer(&mut self, _holder: Holder, _number: ShareNumber, _size: Option<u64>) {}

    /// Nothing more will come from a holder: what it was asked is asked of others.
    pub fn lost(&mut self, _holder: Holder) {}

    /// How many shares with other numbers are needed beyond those that are known and not bad.
    #[must_use]
    pub fn shortfall(&self) -> usize {
        0
    }

    /// What to ask next, of whom. Ask again after every other call.
    pub fn next_request(&mut self) -> Option<Request> {
        None
    }

    /// Takes bytes of a share that were asked for; those of each range must come in order.
    ///
    /// Bytes of a request that has been settled otherwise are ignored.
    pub fn receive(&mut self, _request: RequestId, _offset: u64, _bytes: &[u8]) {}

    /// The holder has sent all it has to say to a request.
    pub fn end(&mut self, _request: RequestId) {}

    /// A share that turned out bad since this was last asked. It will not be used again.
    pub fn next_bad_share(&mut self) -> Option<BadShare> {
        None
    }

    /// The next bytes of the plaintext, verified, or `None` if shares must come first.
    ///
    /// # Errors
    ///
    /// [`Inconsistent`] if whole shares make no file. Other shares would not help.
    pub fn plaintext(&mut self) -> Result<Option<&[u8]>, Inconsistent> {
        Ok(None)
    }

    /// Whether all plaintext has been given out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.geometry.file_size() == 0
    }
}
