//! Writing while the next bytes are decoded.
//!
//! Memory is bounded by [`BLOCKS_MAX`] blocks: one is filled, one written, and one waits.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use lafs::num;

use crate::error::Error;
use crate::output::{BLOCK_LEN, Block, Target};

/// A target, and the blocks on their way to it.
pub(super) struct WriteAhead {
    state: State,
    /// What goes to the target next.
    full: VecDeque<Block>,
    free: Vec<Block>,
    /// Blocks that may still be made, and the size of what they are to hold.
    unmade: usize,
    size: u64,
}

enum State {
    Resting(Target),
    Writing(Pin<Box<dyn Future<Output = Written>>>),
    /// A write has failed.
    Failed,
}

/// What has come of a block.
type Written = (Target, u64, Result<Block, Error>);

impl WriteAhead {
    /// Writes so many bytes to a target.
    pub(super) fn new(target: Target, size: u64) -> Self {
        Self {
            state: State::Resting(target),
            full: VecDeque::new(),
            free: Vec::new(),
            unmade: BLOCKS_MAX,
            size,
        }
    }

    /// A block to be filled, if there is one.
    pub(super) fn free_block(&mut self) -> Option<Block> {
        if let Some(block) = self.free.pop() {
            return Some(block);
        }
        self.unmade = self.unmade.checked_sub(1)?;
        Some(Block::new(num::len(self.size).unwrap_or(BLOCK_LEN)))
    }

    /// Whether there is one.
    pub(super) fn has_free_block(&self) -> bool {
        self.unmade > 0 || !self.free.is_empty()
    }

    /// Takes a block that was filled, or filled as far as is possible now; `is_last` if nothing
    /// follows. Gives it back if it is better filled further.
    pub(super) fn put(&mut self, block: Block, is_last: bool) -> Option<Block> {
        let is_awaited = match &self.state {
            State::Resting(target) => target.is_stream() && self.full.is_empty(),
            State::Writing(_) | State::Failed => false,
        };
        if block.is_empty() || !(block.is_full() || is_last || is_awaited) {
            return Some(block);
        }
        self.full.push_back(block);
        self.begin();
        None
    }

    /// Whether nothing is on its way.
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.state, State::Resting(_))
    }

    /// Waits for a write to end, for ever if there is none; returns how many bytes it wrote.
    ///
    /// # Errors
    ///
    /// The target's.
    pub(super) async fn written(&mut self) -> Result<u64, Error> {
        let State::Writing(writing) = &mut self.state else {
            return std::future::pending().await;
        };
        let (target, len, written) = writing.await;
        match written {
            Ok(block) => {
                self.free.push(block);
                self.state = State::Resting(target);
                self.begin();
                Ok(len)
            }
            Err(error) => {
                self.state = State::Failed;
                Err(error)
            }
        }
    }

    /// The target, when nothing is on its way.
    ///
    /// # Panics
    ///
    /// If something is, or has failed.
    pub(super) fn into_target(self) -> Target {
        match self.state {
            State::Resting(target) => target,
            State::Writing(_) | State::Failed => panic!("a target is not taken from under a write"),
        }
    }

    fn begin(&mut self) {
        if !self.is_resting() {
            return;
        }
        let Some(block) = self.full.pop_front() else {
            return;
        };
        let state = std::mem::replace(&mut self.state, State::Failed);
        let State::Resting(mut target) = state else {
            unreachable!("it rests");
        };
        self.state = State::Writing(Box::pin(async move {
            let len = num::size(block.bytes().len());
            let written = target.write(block).await;
            (target, len, written)
        }));
    }
}

/// Blocks at a time.
const BLOCKS_MAX: usize = 3;
