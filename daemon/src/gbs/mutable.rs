//! `POST /mutable/SI/read-test-write`: everything that is done to a slot.
//!
//! The body may hold whole shares. What it writes is kept in memory if it is little, and goes to a
//! spool of the store as it comes if it is more; nothing is done before all of it was understood.

use std::collections::BTreeMap;

use bucketfs::container::mutable::Content;
use bucketfs::limits::SLOT_LEN;
use bucketfs::{Extent, ShareChange, SlotRefusal, SlotWrite, Spool, Test, Unwritable};
use bytes::{Bytes, BytesMut};
use hyper::StatusCode;
use lafs::{LeaseSecrets, ShareNumber, StorageIndex, WriteEnabler, num};
use protocol::gbs::{ReadTestWrite, ReadTestWriteAnswer, ReadTestWriteDecoder, Rejection};
use protocol::limits::CHUNK_LEN_MAX;

use super::answer::Answer;
use super::intake::Intake;
use super::refusal::rejection;
use crate::notices::Kind;
use crate::shared::Shared;

pub(super) async fn read_test_write(
    shared: &Shared,
    storage_index: StorageIndex,
    lease: LeaseSecrets,
    write_enabler: WriteEnabler,
    intake: &mut Intake<'_>,
) -> Result<Answer, Rejection> {
    let mut decoder = ReadTestWriteDecoder::default();
    let mut writing = Writing::new(shared);
    loop {
        let chunk = intake.chunk(CHUNK_LEN_MAX).await?;
        if chunk.bytes.is_empty() {
            break;
        }
        let mut input = &chunk.bytes[..];
        while let Some(bytes) = decoder.read(&mut input)? {
            writing.take(bytes).await?;
        }
    }
    let asked = decoder.finish()?;
    let written = writing.finish().await?;
    let request = bucketfs::ReadTestWrite {
        storage_index,
        write_enabler,
        lease,
        shares: shares(&asked, &written),
        read: asked.reads.iter().copied().map(extent).collect(),
        spool: None,
    };
    let store = shared.store();
    let pending = store.read_test_write(request, written.spool).await;
    let done = pending.await.map_err(|refusal| {
        match refusal {
            SlotRefusal::Unwritable(Unwritable::Full) => shared.share_refused(Kind::Full),
            SlotRefusal::ReadOnly => shared.share_refused(Kind::ReadOnly),
            _ => {}
        }
        rejection(refusal)
    })?;
    let answer = ReadTestWriteAnswer {
        success: done.success,
        data: done.read,
    };
    Ok(Answer::Message(StatusCode::OK, answer.encode()))
}

/// What becomes of each share, in the store's words.
fn shares(asked: &ReadTestWrite, written: &Written) -> BTreeMap<ShareNumber, ShareChange> {
    let change = |change: &protocol::gbs::ShareChange| ShareChange {
        tests: change
            .tests
            .iter()
            .map(|test| Test {
                offset: test.extent.offset,
                size: test.extent.size,
                specimen: test.specimen.clone(),
            })
            .collect(),
        writes: change
            .writes
            .iter()
            .map(|write| SlotWrite {
                offset: write.offset,
                content: written.content(write.data_offset, write.data_size),
            })
            .collect(),
        new_length: change.new_length,
    };
    let shares = asked.shares.iter();
    shares
        .map(|(number, wanted)| (*number, change(wanted)))
        .collect()
}

fn extent(extent: protocol::gbs::Extent) -> Extent {
    Extent {
        offset: extent.offset,
        size: extent.size,
    }
}

/// The data of all writes of a request, as it comes.
struct Writing<'a> {
    shared: &'a Shared,
    /// What is not in the spool yet.
    buffer: BytesMut,
    /// There once there is more than fits into memory.
    spool: Option<Spool>,
}

/// The data of all writes of a request.
struct Written {
    /// Empty if there is a spool.
    bytes: Bytes,
    spool: Option<Spool>,
}

impl<'a> Writing<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            buffer: BytesMut::new(),
            spool: None,
        }
    }

    async fn take(&mut self, mut bytes: &[u8]) -> Result<(), Rejection> {
        while !bytes.is_empty() {
            if self.buffer.len() == SLOT_LEN {
                self.spool().await?;
            }
            let room = SLOT_LEN - self.buffer.len();
            let (taken, rest) = bytes.split_at(bytes.len().min(room));
            self.buffer.extend_from_slice(taken);
            bytes = rest;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Written, Rejection> {
        if self.spool.is_some() {
            self.spool().await?;
        }
        Ok(Written {
            bytes: self.buffer.freeze(),
            spool: self.spool,
        })
    }

    /// Writes what is in the buffer to the spool.
    async fn spool(&mut self) -> Result<(), Rejection> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => none.insert(self.shared.store().spool().await.map_err(rejection)?),
        };
        let bytes = self.buffer.split().freeze();
        spool.write(bytes).await.await.map_err(rejection)
    }
}

impl Written {
    fn content(&self, offset: u64, size: u64) -> Content {
        if self.spool.is_some() {
            return Content::Spooled { offset, size };
        }
        let start = num::len(offset).expect("all of it is in memory");
        let len = num::len(size).expect("all of it is in memory");
        Content::Bytes(self.bytes.slice(start..start + len))
    }
}
