//! The decoder: takes shares, any of which may be wrong, and gives verified plaintext in order.
//!
//! It trusts no server. A block is used when its hash leads through the block hash tree, the share
//! hash tree and the UEB to the cap. A segment decoded from such blocks is used when its hash leads
//! through the crypttext hash tree to the UEB, and its plaintext likewise. A share that fails is
//! reported with what is wrong with it, and replaced by another as long as there are others.
//!
//! No I/O: the caller sends servers what [`Decoder::opening`] and [`Decoder::next_request`] return,
//! and hands over their answers.
//!
//! ```text
//! opening(): request these ranges of any share of this storage index from the servers
//! loop:
//!     plaintext()       until it returns none: write it
//!     next_bad_share()  until it returns none: report it
//!     is_done()         if so, stop
//!     next_request()    until it returns none: send it to its holder
//!     shortfall()       if not 0, ask more servers; if there are none left, fail
//!     wait for a server; then answer() or offer() a share, receive() bytes, end() a request, or
//!     lost() if nothing more comes from it
//! ```

mod column;
mod request;
mod segment;
mod shares;
mod window;

use std::collections::VecDeque;
use std::ops::Range;

use lafs::cap::native::{ReadCap, VerifyCap};
use lafs::{Parameters, ShareNumber};
use share::native::Damage;
use share::native::geometry::Geometry;
use share::native::trailer::ShareName;

use self::column::Column;
pub use self::request::{Holder, Request, RequestId};
use self::segment::SegmentDecoder;
pub use self::shares::BadShare;
use self::shares::{ShareIndex, Shares};
use self::window::Window;
use super::inconsistent::Inconsistent;
use super::proof::{KnownNodes, Proof};

/// How much a decoder may hold and request ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAhead {
    /// Plaintext bytes in a window. Each share gets one request for a window. Rounded down to whole
    /// segments, but at least one.
    pub window_size: u32,
    /// Plaintext bytes in all windows that are requested and not yet given out; at least one
    /// window.
    pub ahead_size: u32,
}

impl Default for ReadAhead {
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
    cap: VerifyCap,
    geometry: Geometry,
    /// The bytes of the file that are wanted.
    plaintext: Range<u64>,
    /// The segments that are in no window yet.
    segments: Range<u64>,
    /// Segments in a window, a power of two. Windows are aligned, so that most of the hashes that
    /// prove one also prove its neighbours.
    window_len: u64,
    /// Most windows at a time.
    windows_max: usize,
    windows: VecDeque<Window>,
    /// How many windows have been given out.
    given_out: u64,
    opening: Vec<Range<u64>>,
    shares: Shares,
    segment_decoder: SegmentDecoder,
    bad: VecDeque<BadShare>,
    failure: Option<Inconsistent>,
    /// How many requests have been made.
    requests: u64,
    /// Buffers of former columns, to be used again.
    spare: Vec<Vec<u8>>,
}

impl Decoder {
    /// Most ranges in one request.
    pub const RANGES_MAX: usize = 64;

    /// A decoder for these bytes of a file; what is beyond its end is ignored.
    #[must_use]
    pub fn new(cap: &ReadCap, plaintext: Range<u64>, read_ahead: ReadAhead) -> Self {
        let geometry = Geometry::from(cap);
        let segment_size = geometry.parameters().segment_size();
        let window_len = (read_ahead.window_size / segment_size).clamp(1, WINDOW_LEN_MAX);
        let window_len = 1 << window_len.ilog2();
        let windows_max = read_ahead.ahead_size / (window_len * segment_size);
        let mut decoder = Self {
            cap: cap.verify_cap(),
            geometry,
            segments: geometry.segments_of(&plaintext),
            plaintext,
            window_len: window_len.into(),
            windows_max: usize::try_from(windows_max.max(1)).expect("usize has 32 bits or more"),
            windows: VecDeque::new(),
            given_out: 0,
            opening: Vec::new(),
            shares: Shares::new(geometry.parameters().needed()),
            segment_decoder: SegmentDecoder::new(geometry, cap.read_key()),
            bad: VecDeque::new(),
            failure: None,
            requests: 0,
            spare: Vec::new(),
        };
        if decoder.open_window() {
            let segments = decoder.windows[0].segments.clone();
            decoder.opening = Proof::new(geometry, segments, &KnownNodes::default()).ranges();
        }
        decoder
    }

    /// The layout of the file's shares.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The ranges to request first, of whichever shares a server holds.
    ///
    /// All shares have the same layout, so the ranges do not depend on the share number. Of a small
    /// file they are the whole share: request them from every server. Of a large file, request them
    /// from `needed` servers, and [offer](Self::offer) the shares that others hold. They are empty
    /// if nothing is wanted, as of an empty file.
    #[must_use]
    pub fn opening(&self) -> &[Range<u64>] {
        &self.opening
    }

    /// A holder begins to answer the [opening](Self::opening) with a share.
    ///
    /// Returns the request that its bytes belong to. `None` means that they are not wanted: the
    /// share is then known as if it had been [offered](Self::offer).
    pub fn answer(&mut self, holder: Holder, number: ShareNumber) -> Option<RequestId> {
        let share = self.admit(holder, number)?;
        let id = self.next_id();
        let window = self.windows.front_mut()?;
        let is_opening = self.given_out == 0;
        if !is_opening || window.has(number) || window.is_ready(self.shares.needed()) {
            return None;
        }
        let proof = Proof::new(
            self.geometry,
            window.segments.clone(),
            &KnownNodes::default(),
        );
        window.columns.push(Column::new(share, number, id, proof));
        Some(id)
    }

    /// A holder says that it has a share.
    pub fn offer(&mut self, holder: Holder, number: ShareNumber) {
        self.admit(holder, number);
    }

    /// Nothing more will come from a holder. What it was to send is requested from others.
    pub fn lost(&mut self, holder: Holder) {
        self.shares.lose(holder);
        self.drop_unusable();
    }

    /// How many more shares are needed, with numbers other than those of the usable ones.
    #[must_use]
    pub fn shortfall(&self) -> usize {
        let unopened = (!self.segments.is_empty()).then_some([].as_slice());
        let windows = self.windows.iter().map(|window| window.columns.as_slice());
        let short = |columns: &[Column]| {
            let mut have = [false; ShareNumber::COUNT];
            let numbers = columns.iter().map(|column| column.number);
            for number in numbers.chain(self.shares.numbers()) {
                have[number.index()] = true;
            }
            let have = have.into_iter().filter(|have| *have).count();
            self.shares.needed().saturating_sub(have)
        };
        windows.chain(unopened).map(short).max().unwrap_or(0)
    }

    /// The next request to send. Call it until it returns `None`, after every other call.
    pub fn next_request(&mut self) -> Option<Request> {
        loop {
            let id = self.next_id();
            let needed = self.shares.needed();
            let chosen = self.shares.choose().to_vec();
            let next = self
                .windows
                .iter_mut()
                .filter(|window| window.columns.len() < needed)
                .find_map(|window| {
                    let apart = |share: &ShareIndex| !window.has(self.shares.share(*share).number);
                    let share = chosen.iter().copied().find(apart)?;
                    Some((window, share))
                });
            if let Some((window, index)) = next {
                let share = self.shares.share(index);
                let proof = Proof::new(self.geometry, window.segments.clone(), &share.known);
                let column = Column::new(index, share.number, id, proof);
                let request = Request {
                    id,
                    holder: share.holder,
                    share_number: share.number,
                    ranges: column.ranges().to_vec(),
                };
                window.columns.push(column);
                return Some(request);
            }
            let may_open = chosen.len() == needed && self.windows.len() < self.windows_max;
            if !may_open || !self.open_window() {
                return None;
            }
        }
    }

    /// Takes the next bytes of a request: any number of them, within one of its ranges, in order.
    ///
    /// Bytes of a request that is not needed any more are ignored.
    pub fn receive(&mut self, request: RequestId, offset: u64, bytes: &[u8]) {
        let Some((window, column)) = self.find(request) else {
            return;
        };
        let share = self.windows[window].columns[column].share;
        if let Err(damage) = self.take(window, column, offset, bytes) {
            self.condemn(share, damage);
        }
    }

    /// The holder has sent everything for a request. If bytes are missing, its share is too short.
    ///
    /// If it failed to send them for another reason, call [`lost`](Self::lost) instead.
    pub fn end(&mut self, request: RequestId) {
        let Some((window, column)) = self.find(request) else {
            return;
        };
        let column = &self.windows[window].columns[column];
        if let Some(found) = column.expected() {
            let expected = self.geometry.share_size();
            self.condemn(column.share, Damage::Size { expected, found });
        }
    }

    /// The next share that turned out to be bad. It will not be used again.
    pub fn next_bad_share(&mut self) -> Option<BadShare> {
        self.bad.pop_front()
    }

    /// The next bytes of the verified plaintext, or `None` if more shares must come first.
    ///
    /// # Errors
    ///
    /// [`Inconsistent`] if good shares do not make a file. Other shares would not help: every
    /// further call returns the same.
    pub fn plaintext(&mut self) -> Result<Option<&[u8]>, Inconsistent> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let piece = loop {
            let Some(window) = self.windows.front_mut() else {
                return Ok(None);
            };
            if !window.is_ready(self.shares.needed()) {
                return Ok(None);
            }
            let decoder = &mut self.segment_decoder;
            match window.next_piece(self.geometry, decoder, &self.plaintext) {
                Ok(Some(piece)) => break piece,
                Ok(None) => self.close_window(),
                Err(failure) => {
                    self.failure = Some(failure);
                    return Err(failure);
                }
            }
        };
        let window = self.windows.front().expect("the piece is from it");
        Ok(Some(window.bytes(&piece, &self.segment_decoder)))
    }

    /// Whether all plaintext has been given out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.segments.is_empty() && self.windows.iter().all(Window::is_exhausted)
    }

    /// Adds bytes to a column, and checks it when all have come.
    fn take(
        &mut self,
        window: usize,
        column: usize,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Damage> {
        let from = self.windows[0].segments.start;
        let window = &mut self.windows[window];
        let column = &mut window.columns[column];
        if column.receive(offset, bytes, &mut self.spare)? {
            let proved = column.prove(&ShareName::of_cap(&self.cap, column.number)?)?;
            self.shares
                .known_mut(column.share)
                .learn(proved.nodes, from);
            window.settle(self.shares.needed(), &mut self.spare);
        }
        Ok(())
    }

    /// Begins the next window; returns whether there was one.
    fn open_window(&mut self) -> bool {
        let Range { start, end } = self.segments;
        if start == end {
            return false;
        }
        let next = (start / self.window_len + 1) * self.window_len;
        let next = next.min(end);
        self.windows.push_back(Window::new(start..next));
        self.segments.start = next;
        true
    }

    /// Removes the first window, which has been given out.
    fn close_window(&mut self) {
        let window = self.windows.pop_front().expect("it has been given out");
        self.given_out += 1;
        self.spare
            .extend(window.columns.into_iter().map(Column::into_buffer));
        self.spare.truncate(self.windows_max * self.shares.needed());
    }

    /// Adds a share, unless the file has none with this number.
    fn admit(&mut self, holder: Holder, number: ShareNumber) -> Option<ShareIndex> {
        let index = self.shares.admit(holder, number)?;
        match ShareName::of_cap(&self.cap, number) {
            Ok(_) => Some(index),
            Err(damage) => {
                self.condemn(index, damage);
                None
            }
        }
    }

    /// Reports a share as bad, and stops using it.
    fn condemn(&mut self, index: ShareIndex, damage: Damage) {
        self.bad.push_back(self.shares.condemn(index, damage));
        self.drop_unusable();
    }

    /// Drops the unfinished columns of shares that are not usable any more. Proved ones stay.
    fn drop_unusable(&mut self) {
        for window in &mut self.windows {
            let shares = &self.shares;
            window.drop_columns(&mut self.spare, |column| {
                !column.is_proved() && !shares.is_usable(column.share)
            });
        }
    }

    /// The window and the column that a request is for, unless the column is finished.
    fn find(&self, request: RequestId) -> Option<(usize, usize)> {
        let awaits = |column: &Column| column.request == request && !column.is_proved();
        self.windows
            .iter()
            .enumerate()
            .find_map(|(index, window)| Some((index, window.columns.iter().position(awaits)?)))
    }

    fn next_id(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }
}

/// Most segments in a window, a power of two. It bounds the ranges of a request: beside the
/// segments, there is one node for each level of a window and one for each level above it.
const WINDOW_LEN_MAX: u32 = 256;
const _: () = {
    let segment_count_max = Parameters::FILE_SIZE_MAX / Parameters::BLOCK_UNIT as u64;
    let levels = segment_count_max.ilog2();
    let ranges_max = 2 + levels + WINDOW_LEN_MAX.ilog2();
    assert!(ranges_max as usize <= Decoder::RANGES_MAX);
};
