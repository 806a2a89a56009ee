//! A small share, whole: into incoming, into the journal, to its name, acknowledged.

use bytes::Bytes;
use lafs::{LeaseSecrets, num};

use super::lease::{Renew, Then};
use super::space::{Measurement, cost};
use super::{
    Answer, Flight as StoreFlight, LeaseOwner, Limits, Recorded, RequestId, Store, Task, is_held,
    refusal,
};
use crate::container::{self, Lease};
use crate::disk::{Completion, Existing, Operation, Outcome, StorePath};
use crate::durable::Durable;
use crate::error::Refusal;
use crate::journal::format::Record;
use crate::journal::log::Hold;
use crate::layout::ShareKey;

/// A share on its way.
#[derive(Debug)]
pub(super) struct Put {
    request: RequestId,
    key: ShareKey,
    container: Bytes,
    incoming: StorePath,
    origin: Origin,
}

/// What the share came by.
#[derive(Debug)]
enum Origin {
    /// A put; if the share is held, its lease remains to be renewed.
    Put {
        lease: Box<LeaseSecrets>,
        expiration: u32,
    },
    /// An upload of parts, all of it in one.
    Parts,
}

#[derive(Debug)]
pub(super) enum Flight {
    /// Nothing seemed free; the file system is asked once more.
    Space(Put, Measurement),
    /// The share is refused for this reason, unless it is held already.
    Probe(Put, Refusal),
    /// The file in incoming is being written.
    File(Put),
    /// The journal has the share; it is being named.
    Name(Put, Durable, Hold),
}

impl Put {
    /// Of an upload of parts in progress, whose promise of space it takes over.
    pub(super) fn of_parts(
        request: RequestId,
        key: ShareKey,
        container: Bytes,
        incoming: StorePath,
    ) -> Self {
        Self {
            request,
            key,
            container,
            incoming,
            origin: Origin::Parts,
        }
    }

    fn cost(&self) -> u64 {
        cost(num::size(self.container.len()))
    }
}

impl Store {
    pub(super) fn put(
        &mut self,
        request: RequestId,
        key: ShareKey,
        bytes: &Bytes,
        lease: LeaseSecrets,
    ) {
        let limit = Limits::SMALL_SHARE_SIZE;
        if num::size(bytes.len()) > limit {
            return self.refuse(request, Refusal::TooLarge { limit });
        }
        let expiration = container::expiration(self.now.unix);
        let owner = LeaseOwner::Upload.number();
        let version = self.container_version;
        let first = Lease::new(version, &lease, owner, expiration);
        let put = Put {
            request,
            key,
            container: container::encode(version, bytes, &first),
            incoming: self.next_incoming(),
            origin: Origin::Put {
                lease: Box::new(lease),
                expiration,
            },
        };
        self.acquire(key, Task::Put(put));
    }

    pub(super) fn put_locked(&mut self, put: Put) {
        let refusal = self.write_refusal();
        if let Origin::Parts = put.origin {
            return match refusal {
                None => self.put_file(put),
                Some(refusal) => {
                    self.space.cancel(put.cost());
                    self.put_ended(&put, Err(refusal));
                }
            };
        }
        if let Some(refusal) = refusal {
            return self.put_ended(&put, Err(refusal));
        }
        if self.is_in_progress(put.key) {
            return self.put_ended(&put, Err(Refusal::InProgress));
        }
        if self.read_only {
            return self.put_unless_held(put, Refusal::ReadOnly);
        }
        self.measure_space_if_due();
        if self.space.promise(put.cost()) {
            return self.put_file(put);
        }
        let measurement = self.space.begin();
        let flight = Flight::Space(put, measurement);
        self.start(StoreFlight::Put(flight), Operation::FreeSpace);
    }

    pub(super) fn put_completed(&mut self, flight: Flight, completion: Completion) {
        match flight {
            Flight::Space(put, measurement) => {
                self.space_completed(measurement, &completion);
                if self.space.promise(put.cost()) {
                    self.put_file(put);
                } else {
                    self.put_unless_held(put, Refusal::Full);
                }
            }
            Flight::Probe(put, refusal) => match is_held(&completion) {
                Ok(true) => self.put_held(put),
                Ok(false) => self.put_ended(&put, Err(refusal)),
                Err(error) => self.put_ended(&put, Err(Refusal::Disk(error))),
            },
            Flight::File(put) => self.put_written(put, completion),
            Flight::Name(put, durable, hold) => {
                self.put_named(put, durable, hold, &completion);
            }
        }
    }

    /// The file first and the journal after it: a share that the disk has no room for never
    /// enters the journal, and neither does one that is held already.
    fn put_file(&mut self, put: Put) {
        let operation = Operation::CreateFile {
            path: put.incoming.clone(),
            bytes: put.container.clone(),
            existing: Existing::Refuse,
            unless: Some(self.layout.share(put.key)),
        };
        self.start(StoreFlight::Put(Flight::File(put)), operation);
    }

    fn put_written(&mut self, put: Put, completion: Completion) {
        match completion.result {
            Ok(Outcome::Done) => {
                self.space.keep(put.cost());
                let record = Record::Create {
                    key: put.key,
                    container: put.container.clone(),
                };
                self.record(record, Recorded::Put(put));
            }
            Ok(outcome) => panic!("a file was made, and gave {outcome:?}"),
            Err(error) if error.errno == rustix::io::Errno::EXIST => {
                self.space.cancel(put.cost());
                self.put_held(put);
            }
            Err(error) => {
                self.space.cancel(put.cost());
                tracing::warn!(path = %put.incoming, %error, "cannot write a share");
                self.put_ended(&put, Err(refusal(error)));
            }
        }
    }

    pub(super) fn put_recorded(&mut self, put: Put, durable: Durable, hold: Hold) {
        let operation = Operation::Publish {
            source: put.incoming.clone(),
            target: self.layout.share(put.key),
        };
        let flight = Flight::Name(put, durable, hold);
        self.start(StoreFlight::Put(flight), operation);
    }

    pub(super) fn put_record_failed(&mut self, put: Put) {
        self.clean_up(put.incoming.clone());
        self.put_ended(&put, Err(Refusal::Failed));
    }

    fn put_named(&mut self, put: Put, durable: Durable, hold: Hold, completion: &Completion) {
        self.log.release(hold);
        match completion.result {
            Ok(_) => self.put_ended(&put, Ok(durable)),
            Err(error) => {
                // Should the store crash before the next checkpoint, replay names it after all:
                // the share is then there, whole, and nobody was told so.
                let path = self.layout.share(put.key);
                tracing::warn!(%path, %error, "cannot name a share");
                self.clean_up(put.incoming.clone());
                self.put_ended(&put, Err(refusal(error)));
            }
        }
    }

    /// The share is held: what remains of the put is its lease. The lock goes with it.
    fn put_held(&mut self, put: Put) {
        match put.origin {
            Origin::Put { lease, expiration } => self.renew_locked(Renew {
                key: put.key,
                secrets: lease,
                owner: LeaseOwner::Upload,
                expiration,
                then: Then::AlreadyHeld(put.request),
            }),
            Origin::Parts => self.parts_held_locked(put.request, put.key),
        }
    }

    fn put_unless_held(&mut self, put: Put, refusal: Refusal) {
        let operation = self.probe(put.key);
        let flight = Flight::Probe(put, refusal);
        self.start(StoreFlight::Put(flight), operation);
    }

    fn put_ended(&mut self, put: &Put, result: Result<Durable, Refusal>) {
        match (&put.origin, result) {
            (Origin::Parts, result) => self.parts_ended(put.request, put.key, result),
            (_, Ok(durable)) => self.acknowledge(put.request, Answer::Stored, durable),
            (_, Err(refusal)) => self.refuse(put.request, refusal),
        }
        self.release(put.key);
    }
}
