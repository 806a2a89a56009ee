//! The decoder, and how it takes a batch of what servers have sent.
//!
//! Hashing, decoding and decrypting keep a processor busy, and the connections need theirs: of a large
//! file a batch is decoded on another thread. What comes meanwhile is the next batch.

use std::collections::HashMap;

use bytes::Bytes;
use encoder::native::{Decoder, Holder, Inconsistent, RequestId};
use lafs::ShareNumber;

use crate::output::Block;

/// What a server has sent.
pub(super) enum Input {
    /// Bytes of a share, in the answer to an opening.
    Opened(Holder, ShareNumber, u64, Bytes),
    /// That answer is whole; these shares can be read.
    OpeningEnded(Holder, Vec<ShareNumber>),
    /// Bytes that were asked for.
    Bytes(RequestId, u64, Bytes),
    /// That answer is whole.
    Ended(RequestId),
    /// Nothing more comes from it.
    Lost(Holder),
}

/// A decoder, with what belongs to it.
pub(super) struct Decoding {
    pub(super) decoder: Decoder,
    /// What the decoder made of the shares in each answer to an opening.
    opened: HashMap<(Holder, ShareNumber), Option<RequestId>>,
    /// Shares of openings whose bytes it took, since somebody asked.
    taken: Vec<(Holder, ShareNumber)>,
    /// Plaintext that had no room in the last block.
    left: Vec<u8>,
}

impl Decoding {
    pub(super) fn new(decoder: Decoder) -> Self {
        Self {
            decoder,
            opened: HashMap::new(),
            taken: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Takes what has come, in order, and adds to `block` what plaintext follows from it, as far as
    /// there is room.
    pub(super) fn step(
        &mut self,
        inputs: Vec<Input>,
        block: &mut Block,
    ) -> Result<(), Inconsistent> {
        for input in inputs {
            self.take(input);
        }
        let taken = block.push(&self.left);
        self.left.drain(..taken);
        while !block.is_full() {
            let Some(bytes) = self.decoder.plaintext()? else {
                break;
            };
            let taken = block.push(bytes);
            self.left.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }

    /// Whether all plaintext is in blocks.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty() && self.decoder.is_done()
    }

    /// The next share of an opening whose bytes were taken.
    pub(super) fn next_taken(&mut self) -> Option<(Holder, ShareNumber)> {
        self.taken.pop()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Opened(holder, share, offset, bytes) => {
                if let Some(request) = self.opened(holder, share) {
                    self.decoder.receive(request, offset, &bytes);
                }
            }
            Input::OpeningEnded(holder, shares) => {
                for share in shares {
                    self.decoder.offer(holder, share);
                }
                for ((opened, _), request) in &self.opened {
                    if let (true, Some(request)) = (*opened == holder, *request) {
                        self.decoder.end(request);
                    }
                }
            }
            Input::Bytes(request, offset, bytes) => self.decoder.receive(request, offset, &bytes),
            Input::Ended(request) => self.decoder.end(request),
            Input::Lost(holder) => self.decoder.lost(holder),
        }
    }

    /// The request that bytes of the answer to an opening belong to, if they are wanted.
    fn opened(&mut self, holder: Holder, share: ShareNumber) -> Option<RequestId> {
        let (decoder, taken) = (&mut self.decoder, &mut self.taken);
        *self.opened.entry((holder, share)).or_insert_with(|| {
            let request = decoder.answer(holder, share);
            if request.is_some() {
                taken.push((holder, share));
            }
            request
        })
    }
}
