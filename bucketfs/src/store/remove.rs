//! The removal of a share: journaled, done, acknowledged.

use super::{Answer, Flight as StoreFlight, Recorded, RequestId, Store, Task, is_held};
use crate::disk::{Completion, Operation};
use crate::durable::Durable;
use crate::error::Refusal;
use crate::journal::format::Record;
use crate::journal::log::Hold;
use crate::layout::ShareKey;

/// A share on its way out.
#[derive(Debug)]
pub(super) struct Removal {
    request: RequestId,
    key: ShareKey,
}

#[derive(Debug)]
pub(super) enum Flight {
    /// Whether there is anything to remove.
    Probe(Removal),
    /// The journal has the removal; the tree follows.
    Gone(Removal, Durable, Hold),
}

impl Store {
    pub(super) fn remove(&mut self, request: RequestId, key: ShareKey) {
        self.acquire(key, Task::Remove(Removal { request, key }));
    }

    pub(super) fn remove_locked(&mut self, removal: Removal) {
        if let Some(refusal) = self.write_refusal() {
            return self.remove_ended(&removal, Err(refusal));
        }
        let operation = self.probe(removal.key);
        self.start(StoreFlight::Remove(Flight::Probe(removal)), operation);
    }

    pub(super) fn remove_completed(&mut self, flight: Flight, completion: Completion) {
        match flight {
            Flight::Probe(removal) => match is_held(&completion) {
                Ok(true) => {
                    let record = Record::Remove { key: removal.key };
                    self.record(record, Recorded::Remove(removal));
                }
                Ok(false) => self.remove_ended(&removal, Err(Refusal::NoShare)),
                Err(error) => self.remove_ended(&removal, Err(Refusal::Disk(error))),
            },
            Flight::Gone(removal, durable, hold) => {
                self.log.release(hold);
                let result = match completion.result {
                    Ok(_) => Ok(durable),
                    Err(error) => {
                        let path = self.layout.share(removal.key);
                        self.give_up(&path, error);
                        Err(Refusal::Disk(error))
                    }
                };
                self.remove_ended(&removal, result);
            }
        }
    }

    pub(super) fn remove_recorded(&mut self, removal: Removal, durable: Durable, hold: Hold) {
        let operation = Operation::Remove {
            path: self.layout.share(removal.key),
            prune: self.layout.levels(),
        };
        let flight = Flight::Gone(removal, durable, hold);
        self.start(StoreFlight::Remove(flight), operation);
    }

    pub(super) fn remove_ended(&mut self, removal: &Removal, result: Result<Durable, Refusal>) {
        match result {
            Ok(durable) => self.acknowledge(removal.request, Answer::Removed, durable),
            Err(refusal) => self.refuse(removal.request, refusal),
        }
        self.release(removal.key);
    }
}
