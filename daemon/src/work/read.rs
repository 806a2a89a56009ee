//! One READ: share by share, in steps of some chunks.
//!
//! Where at most one share can come, the first step asks for its bytes right away. Otherwise it
//! asks what is held, and the shares follow one by one.

use std::collections::VecDeque;

use bucketfs::{Extent, Held, Piece, ReadRefusal, SharesRead, Unreadable, Wanted};
use lafs::{ShareNumber, num};
use protocol::limits::{CHUNK_LEN_MAX, READ_STEP_LEN_MAX};
use protocol::{ByteRange, HeldShare, ReadRequest, Reason, RequestNumber, server};

use super::{held_shares, reason};

/// A READ without an answer.
#[derive(Debug)]
pub(super) struct Read {
    request: RequestNumber,
    read: ReadRequest,
    state: State,
    held: Vec<HeldShare>,
    /// Why a share could not be read, if one could not.
    failure: Option<Reason>,
}

#[derive(Debug)]
enum State {
    /// What is held is not known yet; one share's first bytes are asked for with it.
    First { with_bytes: bool },
    /// What is held is known.
    Shares {
        /// Shares that may follow this one, ascending.
        queue: VecDeque<ShareNumber>,
        /// Shares whose bytes may still begin.
        limit: usize,
        /// The share under way and how far it has come.
        current: Option<Progress>,
    },
}

/// How far one share has come.
#[derive(Clone, Copy, Debug)]
struct Progress {
    share_number: ShareNumber,
    size: u64,
    /// Everything asked for before this offset was sent.
    offset: u64,
    begun: bool,
}

/// What follows an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another step.
    Step,
    /// Nothing: the READ was answered.
    Done,
}

impl Read {
    pub(super) fn new(request: RequestNumber, read: ReadRequest) -> Self {
        let single = read.limit() == 1 && read.share_numbers().len() <= 1;
        let with_bytes = single && !read.ranges().is_empty();
        Self {
            request,
            read,
            state: State::First { with_bytes },
            held: Vec::new(),
            failure: None,
        }
    }

    pub(super) fn request(&self) -> RequestNumber {
        self.request
    }

    /// What to ask the store next.
    pub(super) fn next_step(&self) -> bucketfs::Read {
        let (wanted, extents) = match &self.state {
            State::First { with_bytes } => {
                let wanted = match self.read.share_numbers() {
                    [] => Wanted::Any(1),
                    [number] => Wanted::One(*number),
                    numbers => Wanted::These(numbers.to_vec()),
                };
                let extents = match with_bytes {
                    true => step(self.read.ranges(), 0, u64::MAX),
                    false => Vec::new(),
                };
                (wanted, extents)
            }
            State::Shares { current, .. } => {
                let current = current.expect("a step is asked for only with a share under way");
                let extents = step(self.read.ranges(), current.offset, current.size);
                (Wanted::One(current.share_number), extents)
            }
        };
        bucketfs::Read {
            storage_index: self.read.storage_index(),
            wanted,
            extents,
        }
    }

    /// Takes the store's answer to a step, sends what came, and answers at the end.
    pub(super) fn handle_answer(
        &mut self,
        result: Result<SharesRead, ReadRefusal>,
        connection: &mut server::Connection,
    ) -> Next {
        let SharesRead {
            held,
            unreadable,
            pieces,
            // We ask for no more than fits, and ask again by ourselves.
            rest: _,
            version: _,
        } = match result {
            Ok(read) => read,
            Err(refusal) => return self.refuse(&refusal, connection),
        };
        if let State::First { .. } = self.state {
            self.learn_what_is_held(held, &unreadable);
            if let Some(first) = pieces.first() {
                self.begin(first.share_number);
            }
        }
        self.send(pieces, &unreadable, connection);
        match self.advance() {
            true => Next::Step,
            false => self.finish(connection),
        }
    }

    fn learn_what_is_held(&mut self, held: Vec<Held>, unreadable: &[(ShareNumber, Unreadable)]) {
        let sound = held
            .into_iter()
            .map(|held| (held.share_number, Some(held.size)));
        let broken = unreadable.iter().map(|(number, _)| (*number, None));
        let wanted = sound
            .chain(broken)
            .filter(|(number, _)| self.read.wants(*number));
        self.held = held_shares(wanted);
        let wanted = unreadable
            .iter()
            .find(|(number, _)| self.read.wants(*number));
        self.failure = wanted.map(|(_, refusal)| reason::of(refusal));
        let readable = |share: &&HeldShare| share.size.is_some();
        let queue = match self.read.ranges() {
            [] => VecDeque::new(),
            _ => self
                .held
                .iter()
                .filter(readable)
                .map(|share| share.share_number)
                .collect(),
        };
        self.state = State::Shares {
            queue,
            limit: usize::from(self.read.limit()),
            current: None,
        };
    }

    /// Makes a share of the queue the one under way; those before it are passed over.
    fn begin(&mut self, share_number: ShareNumber) {
        while let Some(next) = self.next_share() {
            if next == share_number {
                return;
            }
        }
    }

    fn next_share(&mut self) -> Option<ShareNumber> {
        let State::Shares { queue, current, .. } = &mut self.state else {
            return None;
        };
        let share_number = queue.pop_front()?;
        let held = self
            .held
            .iter()
            .find(|share| share.share_number == share_number);
        let size = held.and_then(|share| share.size).unwrap_or(0);
        *current = Some(Progress {
            share_number,
            size,
            offset: 0,
            begun: false,
        });
        Some(share_number)
    }

    /// Sends the pieces of the share under way.
    fn send(
        &mut self,
        pieces: Vec<Piece>,
        unreadable: &[(ShareNumber, Unreadable)],
        connection: &mut server::Connection,
    ) {
        let State::Shares { limit, current, .. } = &mut self.state else {
            return;
        };
        let Some(progress) = current else {
            return;
        };
        let number = progress.share_number;
        let mut failed = unreadable
            .iter()
            .find(|(broken, _)| *broken == number)
            .map(|(_, refusal)| reason::of(refusal));
        let asked = step(self.read.ranges(), progress.offset, progress.size);
        let mut pieces = pieces
            .into_iter()
            .filter(|piece| piece.share_number == number);
        for extent in asked {
            if failed.is_some() {
                break;
            }
            // The store reads what we ask for or says why not; less would be a file that shrank.
            let whole = |piece: &Piece| {
                piece.offset == extent.offset && num::size(piece.bytes.len()) == extent.size
            };
            match pieces.next().filter(whole) {
                Some(piece) => {
                    if !progress.begun {
                        progress.begun = true;
                        *limit -= 1;
                    }
                    progress.offset = extent.offset + extent.size;
                    send_piece(self.request, &piece, connection);
                }
                None => failed = Some(Reason::Damaged),
            }
        }
        if let Some(reason) = failed {
            self.fail(number, reason);
        }
    }

    /// Remembers that the share under way could not be read.
    fn fail(&mut self, share_number: ShareNumber, reason: Reason) {
        self.failure = Some(reason);
        for share in &mut self.held {
            if share.share_number == share_number {
                share.size = None;
            }
        }
        if let State::Shares { current, .. } = &mut self.state {
            *current = None;
        }
    }

    /// Whether there is another step; moves on to the next share if this one is done.
    fn advance(&mut self) -> bool {
        loop {
            let State::Shares { limit, current, .. } = &self.state else {
                return true;
            };
            match current {
                Some(progress)
                    if !step(self.read.ranges(), progress.offset, progress.size).is_empty() =>
                {
                    return true;
                }
                _ if *limit == 0 => return false,
                _ => {}
            }
            if self.next_share().is_none() {
                return false;
            }
        }
    }

    fn refuse(&mut self, refusal: &ReadRefusal, connection: &mut server::Connection) -> Next {
        let reason = reason::of(refusal);
        self.failure = Some(reason);
        if let State::Shares {
            current: Some(progress),
            ..
        } = self.state
        {
            self.fail(progress.share_number, reason);
        }
        self.finish(connection)
    }

    fn finish(&mut self, connection: &mut server::Connection) -> Next {
        let held = std::mem::take(&mut self.held);
        connection.held(self.request, self.failure, held);
        Next::Done
    }
}

/// Sends a piece of a share, in as many frames as it takes.
fn send_piece(request: RequestNumber, piece: &Piece, connection: &mut server::Connection) {
    let mut bytes = piece.bytes.clone();
    let mut offset = piece.offset;
    while !bytes.is_empty() {
        let chunk = bytes.split_to(bytes.len().min(CHUNK_LEN_MAX));
        let len = num::size(chunk.len());
        connection.share(request, piece.share_number, offset, chunk);
        offset += len;
    }
}

/// The parts of `ranges` from `offset` on and below `size`, as many as are read in one step.
fn step(ranges: &[ByteRange], offset: u64, size: u64) -> Vec<Extent> {
    let mut room = num::size(READ_STEP_LEN_MAX);
    let mut extents = Vec::new();
    for range in ranges {
        let (start, end) = (range.offset().max(offset), range.end().min(size));
        if start >= end || room == 0 {
            continue;
        }
        let size = room.min(end - start);
        extents.push(Extent {
            offset: start,
            size,
        });
        room -= size;
    }
    extents
}
