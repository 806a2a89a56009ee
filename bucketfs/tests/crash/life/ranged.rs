//! Ranged uploads: begun, resumed in this life or the next, resent, aborted, left alone.

use bucketfs::{
    AbortRanged, AbortRangedRefusal, Allocate, Allocated, Answer, RangeWritten, ShareKey,
    WriteRange, WriteRangeRefusal,
};
use bytes::Bytes;
use lafs::ShareNumber;

use super::{Asked, Attempted, Life, Then};
use crate::ledger::{PartsInProgress, Verdict, Violation, secrets, upload_secret};

/// A part on its way.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    key: ShareKey,
    begin: usize,
    end: usize,
    /// It says something else than was written before.
    differs: bool,
}

impl Life<'_> {
    pub(super) fn ask_parts(&mut self) {
        let removing = self.removing;
        let mut idle = self.ledger.parts.iter();
        let is_idle =
            |key: ShareKey, parts: &PartsInProgress| !parts.asked && removing != Some(key);
        let idle = idle.find(|(key, parts)| is_idle(**key, parts));
        match idle.map(|(key, _)| *key) {
            Some(key) if self.random.one_in(2) => self.go_on_with_parts(key),
            _ => self.allocate(),
        }
    }

    fn allocate(&mut self) {
        let key = self.key();
        let bucket = key.storage_index;
        if self.removing.is_some_and(|key| key.storage_index == bucket) {
            return;
        }
        let again = match self.ledger.parts.get_mut(&key) {
            Some(parts) if parts.asked => return,
            Some(parts) => {
                parts.asked = true;
                true
            }
            None => false,
        };
        let len = match self.random.below(3) {
            0 => 66_000 + self.random.index(20_000),
            _ => 1 + self.random.index(1500),
        };
        let attempted = self.attempted(key, len, Then::Nothing);
        for key in shares_of(key) {
            *self.busy.entry(key).or_default() += 1;
        }
        let request = Allocate {
            storage_index: bucket,
            share_numbers: vec![key.share_number],
            size: len as u64,
            secret: upload_secret(attempted.client),
            lease: secrets(attempted.client, bucket),
        };
        self.send(Asked::Allocate(attempted, again), request);
    }

    pub(super) fn allocated(
        &mut self,
        attempted: &Attempted,
        again: bool,
        answer: Answer,
    ) -> Verdict {
        let Attempted { key, client, .. } = *attempted;
        if let Some(parts) = self.ledger.parts.get_mut(&key).filter(|_| again) {
            parts.asked = false;
        }
        for key in shares_of(key) {
            self.idle(key);
        }
        let Answer::Allocate(Ok(Allocated { held, allocated })) = answer else {
            return Ok(());
        };
        for share_number in held {
            let storage_index = key.storage_index;
            let key = ShareKey {
                storage_index,
                share_number,
            };
            // On a disk that fails the share may be held without the lease.
            if !self.faulty {
                self.ledger.leased(key, client, attempted.until)?;
            }
        }
        if allocated == [key.share_number] {
            let len = self.ledger.bytes(attempted.attempt).len();
            let parts = PartsInProgress {
                attempt: attempted.attempt,
                client,
                until: attempted.until,
                answered: vec![false; len],
                sent: vec![false; len],
                asked: false,
                is_new: true,
                orphaned: false,
                ending: false,
            };
            let before = self.ledger.parts.get(&key);
            let gave_way = before.is_some_and(|before| before.orphaned && before.client != client);
            let must_go_on = !self.faulty && !gave_way && self.ledger.must_go_on(key);
            let before = self.ledger.parts.insert(key, parts);
            if must_go_on || before.is_some_and(|before| before.is_new && !before.ending) {
                return Err(Violation(format!("{key:?} was allocated twice")));
            }
            if self.random.one_in(3) {
                self.part(key, 0, len);
            } else if self.removing != Some(key) {
                self.go_on_with_parts(key);
            }
        }
        Ok(())
    }

    fn go_on_with_parts(&mut self, key: ShareKey) {
        let len = self.ledger.parts[&key].sent.len();
        match self.random.below(12) {
            0 => self.abort_parts(key),
            1 => self.part(key, 0, 0),
            // From what is missing, as a client that goes front to back.
            2..=6 => {
                let parts = &self.ledger.parts[&key];
                let begin = parts.answered.iter().position(|answered| !answered);
                let begin = begin.unwrap_or(0);
                let end = (begin + 1 + self.random.index(len)).min(len);
                self.part(key, begin, end);
            }
            _ => {
                let begin = self.random.index(len);
                let end = (begin + 1 + self.random.index(len / 2 + 1)).min(len);
                self.part(key, begin, end);
            }
        }
    }

    fn part(&mut self, key: ShareKey, begin: usize, end: usize) {
        let parts = self.ledger.parts.get_mut(&key).unwrap();
        parts.asked = true;
        parts.orphaned = false;
        let (attempt, client) = (parts.attempt, parts.client);
        let written = begin < end && parts.answered[begin];
        let differs = written && self.random.one_in(8);
        if !differs {
            parts.sent[begin..end].fill(true);
        }
        if !parts.sent.contains(&false) {
            self.ledger.may_store(key, attempt);
        }
        let mut bytes = self.ledger.bytes(attempt)[begin..end].to_vec();
        if differs {
            bytes[0] ^= 1;
        }
        *self.busy.entry(key).or_default() += 1;
        let request = WriteRange {
            key,
            secret: upload_secret(client),
            offset: begin as u64,
            bytes: Bytes::from(bytes),
        };
        let sent = Sent {
            key,
            begin,
            end,
            differs,
        };
        self.send(Asked::Part(sent), request);
    }

    pub(super) fn part_answered(&mut self, sent: &Sent, answer: Answer) -> Verdict {
        let key = sent.key;
        self.idle(key);
        let must_go_on = self.ledger.must_go_on(key);
        let Some(parts) = self.ledger.parts.get_mut(&key) else {
            return Err(Violation(format!("{sent:?} of no upload: {answer:?}")));
        };
        parts.asked = false;
        match answer {
            Answer::WriteRange(Ok(RangeWritten::Complete)) => {
                let (attempt, lease) = (parts.attempt, (parts.client, parts.until));
                let whole = !parts.sent.contains(&false);
                self.ledger.parts.remove(&key);
                if !whole {
                    return Err(Violation(format!("{sent:?} finished half a share")));
                }
                self.ledger.stored_or_held(key, attempt, lease)
            }
            Answer::WriteRange(Ok(RangeWritten::Missing(missing))) => {
                parts.answered[sent.begin..sent.end].fill(true);
                // What was never answered may be there, what was answered must.
                for (begin, end) in missing {
                    let range = usize::try_from(begin).unwrap()..usize::try_from(end).unwrap();
                    if sent.differs || parts.answered[range].contains(&true) {
                        let text = format!("{key:?} misses {begin}..{end} after {sent:?}");
                        return Err(Violation(text));
                    }
                }
                if self.random.one_in(3) && self.removing != Some(key) {
                    self.go_on_with_parts(key);
                }
                Ok(())
            }
            Answer::WriteRange(Err(WriteRangeRefusal::Conflict)) if sent.differs => Ok(()),
            Answer::WriteRange(Err(WriteRangeRefusal::TooManyRanges { .. })) => Ok(()),
            Answer::WriteRange(Err(WriteRangeRefusal::UnknownUpload))
                if must_go_on && !self.faulty =>
            {
                Err(Violation(format!("{key:?}: the upload is lost")))
            }
            Answer::WriteRange(Err(refusal))
                if self.faulty || refusal == WriteRangeRefusal::UnknownUpload =>
            {
                // The journal may have it, or the tree, and a crash may bring it about.
                self.ledger.parts.remove(&key);
                Ok(())
            }
            answer => Err(Violation(format!("{sent:?} was answered {answer:?}"))),
        }
    }

    fn abort_parts(&mut self, key: ShareKey) {
        let parts = self.ledger.parts.get_mut(&key).unwrap();
        parts.asked = true;
        parts.ending = true;
        let secret = upload_secret(parts.client);
        *self.busy.entry(key).or_default() += 1;
        let request = AbortRanged { key, secret };
        self.send(Asked::AbortParts(key), request);
    }

    pub(super) fn parts_aborted(&mut self, key: ShareKey, answer: &Answer) -> Verdict {
        // It may have been allocated anew before its file was gone.
        if self
            .ledger
            .parts
            .get(&key)
            .is_some_and(|parts| parts.ending)
        {
            self.ledger.parts.remove(&key);
        }
        match answer {
            Answer::AbortRanged(
                Ok(())
                | Err(
                    AbortRangedRefusal::UnknownUpload
                    | AbortRangedRefusal::AlreadyHeld
                    | AbortRangedRefusal::Disk(_),
                ),
            ) => Ok(()),
            answer => Err(Violation(format!("an abort was answered {answer:?}"))),
        }
    }

    /// The requests of the last life will never be answered.
    pub(super) fn forget_questions(&mut self) {
        for parts in self.ledger.parts.values_mut() {
            parts.asked = false;
            parts.is_new = false;
            parts.orphaned = true;
        }
        // One that was only allocated is forgotten.
        self.ledger
            .parts
            .retain(|_, parts| parts.sent.contains(&true));
    }
}

fn shares_of(key: ShareKey) -> impl Iterator<Item = ShareKey> {
    let storage_index = key.storage_index;
    (0..3).map(move |share| ShareKey {
        storage_index,
        share_number: ShareNumber::new(share),
    })
}
