//! A store on a simulated disk, asked one thing or many at a time.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::time::Duration;

use bucketfs::disk::Engine;
use bucketfs::disk::sim::{Faults, Medium, Sim};
use bucketfs::{
    Answer, Ask, AskStatus, BootId, CloseUpload, Config, Extent, Held, Layout, LeaseOwner, Now,
    OpenError, OpenUpload, Put, PutRefusal, Read, Remove, RenewLeases, RequestId, ShareKey,
    SharesRead, Status, Store, Stored, Wanted, WriteUpload,
};
use bytes::Bytes;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex, UploadSecret};

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Sent<A> {
    pub(crate) id: RequestId,
    asked: PhantomData<fn() -> A>,
}

impl<A> Clone for Sent<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Sent<A> {}

/// What a request is answered with.
pub(crate) type Answered<A> = Result<<A as Ask>::Success, <A as Ask>::Refusal>;

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) sim: Sim,
    pub(crate) now: Now,
    next: u64,
    answers: HashMap<RequestId, Answer>,
}

/// A disk that is large enough for every test but those of full ones.
pub(crate) fn disk() -> Medium {
    Medium::new(64 << 20)
}

pub(crate) fn config() -> Config {
    let mut config = Config::new([1; 32]);
    config.journal_size = Config::JOURNAL_SIZE_MIN;
    config
}

/// As [`config`], in a boot of the kernel that others are also of.
pub(crate) fn with_boot(boot: u8) -> Config {
    let mut config = config();
    config.boot_id = BootId::new([boot; 16]);
    config
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::on(disk(), &config()).unwrap()
    }

    pub(crate) fn on(medium: Medium, config: &Config) -> Result<Self, OpenError> {
        let mut sim = Sim::new(medium, 1, Faults::default());
        let now = Now {
            elapsed: Duration::ZERO,
            unix: 1_700_000_000,
        };
        let store = Store::create(&mut sim, config, now)?;
        Ok(Self {
            store,
            sim,
            now,
            next: 0,
            answers: HashMap::new(),
        })
    }

    /// Ends the process without more ado, and leaves the disk.
    pub(crate) fn kill(self) -> Medium {
        self.sim.into_medium()
    }

    pub(crate) fn shut_down(mut self) -> Medium {
        self.store.shut_down(self.now);
        while !self.store.is_shut_down() {
            self.turn();
        }
        self.kill()
    }

    pub(crate) fn send<A: Ask>(&mut self, ask: A) -> Sent<A> {
        let id = RequestId(self.next);
        self.next += 1;
        self.store.handle_request(self.now, id, ask);
        let asked = PhantomData;
        Sent { id, asked }
    }

    pub(crate) fn answer<A: Ask>(&mut self, sent: Sent<A>) -> Answered<A> {
        for _ in 0..1_000_000 {
            if let Some(answer) = self.answers.remove(&sent.id) {
                return A::result(answer).expect("the answer to what was asked");
            }
            self.turn();
        }
        panic!("{:?} is never answered", sent.id);
    }

    pub(crate) fn ask<A: Ask>(&mut self, ask: A) -> Answered<A> {
        let sent = self.send(ask);
        self.answer(sent)
    }

    /// Does whatever there is to do.
    pub(crate) fn settle(&mut self) {
        let mut idle = 0;
        while idle < 2 {
            self.turn();
            idle = if self.sim.in_flight() == 0 {
                idle + 1
            } else {
                0
            };
        }
    }

    pub(crate) fn turn(&mut self) {
        while let Some((id, operation)) = self.store.poll_operation() {
            self.sim.submit(id, operation);
        }
        self.sim.step();
        let mut completions = Vec::new();
        self.sim.reap(&mut completions);
        for completion in completions {
            self.store.handle_completion(self.now, completion);
        }
        self.answers
            .extend(std::iter::from_fn(|| self.store.poll_answer()));
    }

    pub(crate) fn status(&mut self) -> Status {
        *self.ask(AskStatus).unwrap()
    }

    pub(crate) fn put(&mut self, share: u8, bytes: &[u8]) -> Result<Stored, PutRefusal> {
        self.ask(put(share, bytes))
    }

    /// The share, if it is held and whole within one answer.
    pub(crate) fn share(&mut self, share: u8) -> Option<Bytes> {
        let wanted = Wanted::These(vec![ShareNumber::new(share)]);
        let SharesRead {
            held,
            unreadable,
            pieces,
            rest,
            ..
        } = self.ask(read(wanted, &[(0, u64::MAX)])).unwrap();
        assert!(unreadable.is_empty() && rest.is_empty());
        let is_held = held.iter().any(|held| held.share_number.as_u8() == share);
        let piece = pieces.first().map(|piece| piece.bytes.clone());
        is_held.then(|| piece.unwrap_or_default())
    }

    /// The share's file, once the tree has what was acknowledged.
    pub(crate) fn file(&mut self, share: u8) -> Vec<u8> {
        self.settle();
        let path = path(share);
        self.sim.look(|medium| medium.files()[&path].clone())
    }
}

/// Every test's bucket.
pub(crate) fn bucket() -> StorageIndex {
    StorageIndex::new([1; 16])
}

pub(crate) fn path(share: u8) -> String {
    path_in(Layout::TwoLevel, share)
}

/// Where a share lies in a store of this layout.
pub(crate) fn path_in(layout: Layout, share: u8) -> String {
    let above = match layout {
        Layout::Flat => "shares",
        Layout::OneLevel => "shares/ae",
        Layout::TwoLevel => "shares/ae/aq",
    };
    format!("{above}/{}/{share}", bucket())
}

/// The secrets of the fixtures.
pub(crate) fn secrets(index: u8) -> LeaseSecrets {
    LeaseSecrets {
        renew: RenewSecret::new([0x10 + index; 32]),
        cancel: CancelSecret::new([0x80 + index; 32]),
    }
}

/// A share of every test's bucket.
pub(crate) fn key(share: u8) -> ShareKey {
    ShareKey {
        storage_index: bucket(),
        share_number: ShareNumber::new(share),
    }
}

pub(crate) fn put(share: u8, bytes: &[u8]) -> Put {
    Put {
        key: key(share),
        share: Bytes::copy_from_slice(bytes),
        lease: secrets(0),
    }
}

pub(crate) fn open(share: u8, secret: u8, size: Option<u64>, resume: bool) -> OpenUpload {
    OpenUpload {
        key: key(share),
        secret: UploadSecret::new([secret; 32]),
        lease: secrets(0),
        size,
        resume,
    }
}

pub(crate) fn write(upload: Sent<OpenUpload>, offset: u64, bytes: &[u8]) -> WriteUpload {
    WriteUpload {
        upload: upload.id,
        offset,
        bytes: Bytes::copy_from_slice(bytes),
    }
}

pub(crate) fn close(upload: Sent<OpenUpload>, size: u64) -> CloseUpload {
    let upload = upload.id;
    CloseUpload { upload, size }
}

pub(crate) fn lease(index: u8) -> RenewLeases {
    RenewLeases {
        storage_index: bucket(),
        lease: secrets(index),
        owner: LeaseOwner::Renewal,
    }
}

pub(crate) fn remove(share: u8) -> Remove {
    Remove { key: key(share) }
}

pub(crate) fn read(wanted: Wanted, extents: &[(u64, u64)]) -> Read {
    let extent = |&(offset, size): &(u64, u64)| Extent { offset, size };
    Read {
        storage_index: bucket(),
        wanted,
        extents: extents.iter().map(extent).collect(),
    }
}

pub(crate) fn numbers(shares: &[(ShareNumber, u64)]) -> Vec<(u8, u64)> {
    shares
        .iter()
        .map(|(share, size)| (share.as_u8(), *size))
        .collect()
}

pub(crate) fn sizes(shares: &[Held]) -> Vec<(u8, u64)> {
    shares
        .iter()
        .map(|held| (held.share_number.as_u8(), held.size))
        .collect()
}
