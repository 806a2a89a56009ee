//! What the store has promised, and whether a disk keeps it.
//!
//! For each share the ledger has the states that a crash may leave it in: `None` for absent, or
//! the attempt whose bytes it has. An acknowledgement leaves one of them; a request under way adds
//! what it may bring about. Every attempt has bytes of its own, so that the share of an earlier one
//! cannot pass for that of a later.

use std::collections::{BTreeMap, BTreeSet};

use bucketfs::ShareKey;
use bucketfs::container::{Container, Lease, Version};
use bucketfs::disk::sim::Random;
use lafs::{CancelSecret, LeaseSecrets, RenewSecret, ShareNumber, StorageIndex, UploadSecret};

/// A promise that was not kept, or an answer that cannot be.
#[derive(Debug)]
pub(crate) struct Violation(pub(crate) String);

pub(crate) type Verdict<T = ()> = Result<T, Violation>;

/// One try to store a share.
pub(crate) type Attempt = u64;

/// All promises.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    shares: BTreeMap<ShareKey, Promise>,
    lens: BTreeMap<Attempt, usize>,
    /// Ranged uploads in progress, which outlast a life but not a boot.
    pub(crate) parts: BTreeMap<ShareKey, PartsInProgress>,
    /// Files of uploads that came to nothing may be there: a removal has failed in this boot.
    pub(crate) parts_may_be_left: bool,
    /// A share was, or may have been, moved into the quarantine.
    pub(crate) has_mended: bool,
    /// When leases that were asked for may end.
    expirations: BTreeSet<u32>,
    /// Shares on their way into the quarantine: of what they may be.
    quarantining: BTreeMap<ShareKey, BTreeSet<Attempt>>,
    /// Shares that are there for good.
    quarantined: Vec<(ShareKey, BTreeSet<Attempt>)>,
}

/// A ranged upload, as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct PartsInProgress {
    pub(crate) attempt: Attempt,
    pub(crate) client: u8,
    /// The end of the lease that the share will have.
    pub(crate) until: u32,
    /// Of each byte: whether a part with it was answered, and whether one was ever sent.
    pub(crate) answered: Vec<bool>,
    pub(crate) sent: Vec<bool>,
    /// A request for it is under way, or was when the process ended.
    pub(crate) asked: bool,
    /// It was allocated in this life, not in an earlier one.
    pub(crate) is_new: bool,
    /// Its client has not come back to it in this life: another's allocation may take its place.
    pub(crate) orphaned: bool,
    /// It may have been aborted or finished.
    pub(crate) ending: bool,
}

#[derive(Clone, Debug)]
struct Promise {
    may_be: BTreeSet<Option<Attempt>>,
    /// Every attempt there was: what a read that began earlier may still give.
    tried: BTreeSet<Attempt>,
    /// Of each client, the earliest end that its lease may have.
    leases: BTreeMap<u8, u32>,
}

impl Default for Promise {
    fn default() -> Self {
        Self {
            may_be: BTreeSet::from([None]),
            tried: BTreeSet::new(),
            leases: BTreeMap::new(),
        }
    }
}

// What was asked and answered.
impl Ledger {
    /// Makes an attempt of so many bytes.
    pub(crate) fn attempt(&mut self, len: usize) -> Attempt {
        let attempt = self.lens.len() as Attempt;
        self.lens.insert(attempt, len);
        attempt
    }

    /// The bytes of an attempt.
    pub(crate) fn bytes(&self, attempt: Attempt) -> Vec<u8> {
        let mut random = Random::new(attempt);
        let words = std::iter::repeat_with(|| random.number().to_le_bytes());
        words.flatten().take(self.lens[&attempt]).collect()
    }

    pub(crate) fn lease_until(&mut self, expiration: u32) {
        self.expirations.insert(expiration);
    }

    /// From here on the share may be this attempt's.
    pub(crate) fn may_store(&mut self, key: ShareKey, attempt: Attempt) {
        let promise = self.promise(key);
        promise.may_be.insert(Some(attempt));
        promise.tried.insert(attempt);
    }

    /// The attempt came to nothing, for certain.
    pub(crate) fn cannot_store(&mut self, key: ShareKey, attempt: Attempt) -> Verdict {
        let promise = self.promise(key);
        promise.may_be.remove(&Some(attempt));
        promise.check(key)
    }

    pub(crate) fn stored(&mut self, key: ShareKey, attempt: Attempt, lease: (u8, u32)) -> Verdict {
        let promise = self.promise(key);
        if !promise.may_be.contains(&None) {
            return Err(Violation(format!("{key:?} was stored over a share held")));
        }
        promise.may_be = BTreeSet::from([Some(attempt)]);
        promise.leases = BTreeMap::from([lease]);
        Ok(())
    }

    /// The share is held, by this attempt or by one before it, and has this lease.
    pub(crate) fn stored_or_held(
        &mut self,
        key: ShareKey,
        attempt: Attempt,
        (client, until): (u8, u32),
    ) -> Verdict {
        let promise = self.promise(key);
        if promise.may_be.remove(&None) {
            promise.may_be.insert(Some(attempt));
        } else {
            promise.may_be.remove(&Some(attempt));
        }
        promise.lease(client, until);
        promise.check(key)
    }

    /// Another boot: what was not synced is gone, uploads in progress with it.
    pub(crate) fn reboot(&mut self) {
        self.parts.clear();
        self.parts_may_be_left = false;
    }

    /// Whether a ranged upload has to be found when the store is opened again.
    pub(crate) fn must_go_on(&self, key: ShareKey) -> bool {
        let Some(parts) = self.parts.get(&key) else {
            return false;
        };
        let promise = self.shares.get(&key);
        let may_be_held = promise.is_some_and(|promise| promise.may_be.iter().any(Option::is_some));
        parts.answered.contains(&true) && !parts.ending && !may_be_held
    }

    /// The share was held before this attempt.
    pub(crate) fn held(
        &mut self,
        key: ShareKey,
        attempt: Attempt,
        (client, until): (u8, u32),
    ) -> Verdict {
        let promise = self.promise(key);
        promise.may_be.remove(&Some(attempt));
        promise.may_be.remove(&None);
        promise.lease(client, until);
        promise.check(key)
    }

    pub(crate) fn leased(&mut self, key: ShareKey, client: u8, until: u32) -> Verdict {
        let promise = self.promise(key);
        promise.may_be.remove(&None);
        promise.lease(client, until);
        promise.check(key)
    }

    pub(crate) fn may_remove(&mut self, key: ShareKey) {
        self.promise(key).may_be.insert(None);
    }

    pub(crate) fn removed(&mut self, key: ShareKey) {
        let promise = self.promise(key);
        promise.may_be = BTreeSet::from([None]);
        promise.leases.clear();
    }

    /// The share was looked at, and is there.
    pub(crate) fn stays(&mut self, key: ShareKey) {
        self.promise(key).may_be.remove(&None);
    }

    /// Whether every lease that the share was promised was made before this moment.
    pub(crate) fn may_expire(&self, key: ShareKey, made_before: u64) -> bool {
        let promise = self.shares.get(&key);
        let made = |until: &u32| u64::from(*until) - bucketfs::container::LEASE_DURATION;
        promise.is_none_or(|promise| promise.leases.values().all(|it| made(it) < made_before))
    }

    /// The share may be moved into the quarantine from here on; it is certainly there.
    pub(crate) fn may_quarantine(&mut self, key: ShareKey) {
        self.has_mended = true;
        let may_be = self.promise(key).may_be.iter().flatten().copied().collect();
        self.quarantining.insert(key, may_be);
    }

    /// It is there: `None` if that was refused.
    pub(crate) fn quarantined(&mut self, key: ShareKey, is_there: bool) {
        let moved = self.quarantining.remove(&key);
        self.quarantined
            .extend(moved.filter(|_| is_there).map(|moved| (key, moved)));
    }

    /// Whether the share is there whatever happens.
    pub(crate) fn is_certain(&self, key: ShareKey) -> bool {
        let promise = self.shares.get(&key);
        promise.is_some_and(|promise| !promise.may_be.contains(&None))
    }

    /// Whether some attempt had these bytes.
    pub(crate) fn may_read(&self, key: ShareKey, front: &[u8], size: u64) -> bool {
        let promise = self.shares.get(&key);
        promise.is_some_and(|promise| {
            let mut attempts = promise.tried.iter();
            attempts.any(|attempt| {
                let bytes = self.bytes(*attempt);
                bytes.len() as u64 == size && bytes.starts_with(front)
            })
        })
    }

    fn promise(&mut self, key: ShareKey) -> &mut Promise {
        self.shares.entry(key).or_default()
    }
}

impl Promise {
    fn lease(&mut self, client: u8, until: u32) {
        let lease = self.leases.entry(client).or_insert(until);
        *lease = until.max(*lease);
    }

    fn check(&self, key: ShareKey) -> Verdict {
        if self.may_be.is_empty() {
            return Err(Violation(format!("{key:?}: no state fits the answers")));
        }
        Ok(())
    }
}

// What is on the disk.
impl Ledger {
    /// Compares every share on a disk with the promises, and takes what is there for promised.
    ///
    /// The store has been opened on that disk, so what is there must last from here on.
    pub(crate) fn check(&mut self, files: &BTreeMap<String, Vec<u8>>) -> Verdict {
        let mut found = BTreeMap::new();
        for (path, file) in files {
            let Some(name) = path.strip_prefix("shares/") else {
                continue;
            };
            let may_go_on = self.parts_may_be_left || !self.parts.is_empty();
            let of_parts = name.ends_with(".parts") || name.ends_with(".note");
            if name.starts_with("incoming/") && of_parts && may_go_on {
                continue;
            }
            if name.starts_with("incoming/") {
                return Err(Violation(format!("{path} was left in incoming")));
            }
            if found.insert(parse(name)?, file).is_some() {
                return Err(Violation(format!("{path} is there twice")));
            }
        }
        self.check_quarantine(&found, files)?;
        for (key, parts) in &mut self.parts {
            // Finished without an answer, or by somebody else: not to be resumed.
            parts.ending |= found.contains_key(key);
        }
        let keys: BTreeSet<_> = self.shares.keys().chain(found.keys()).copied().collect();
        for key in keys {
            let promise = self.check_share(key, found.get(&key).copied())?;
            self.shares.insert(key, promise);
        }
        Ok(())
    }

    /// What was to be moved is in its place or in the quarantine, and what was moved stays there.
    fn check_quarantine(
        &mut self,
        found: &BTreeMap<ShareKey, &Vec<u8>>,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Verdict {
        for (key, may_be) in std::mem::take(&mut self.quarantining) {
            if !found.contains_key(&key) {
                self.quarantined.push((key, may_be));
            }
        }
        for (key, may_be) in &self.quarantined {
            let is_it = |(path, file): (&String, &Vec<u8>)| {
                let is_of_key =
                    path.starts_with("quarantine/") && parse(path).is_ok_and(|found| found == *key);
                let share = Container::parse(file).map(|container| container.share.to_vec());
                let mut attempts = may_be.iter();
                is_of_key && attempts.any(|attempt| share.as_ref() == Ok(&self.bytes(*attempt)))
            };
            if !files.iter().any(is_it) {
                return Err(Violation(format!("{key:?} is not in the quarantine")));
            }
        }
        Ok(())
    }

    fn check_share(&self, key: ShareKey, file: Option<&Vec<u8>>) -> Verdict<Promise> {
        let promise = self.shares.get(&key).cloned().unwrap_or_default();
        let Some(file) = file else {
            if promise.may_be.contains(&None) {
                let tried = promise.tried;
                return Ok(Promise {
                    tried,
                    ..Promise::default()
                });
            }
            return Err(Violation(format!("{key:?} is lost, of {promise:?}")));
        };
        let container = Container::parse(file).map_err(|damage| {
            let len = file.len();
            Violation(format!(
                "{key:?} is torn: {damage}: {len} bytes, of {promise:?}"
            ))
        })?;
        let mut attempts = promise.may_be.iter().flatten();
        let attempt = attempts
            .find(|attempt| self.bytes(**attempt) == container.share)
            .ok_or_else(|| {
                let len = container.share.len();
                let is = self
                    .lens
                    .keys()
                    .find(|a| self.bytes(**a) == container.share);
                Violation(format!(
                    "{key:?} has {len} bytes of {is:?}, not of {promise:?}"
                ))
            })?;
        let leases = self.check_leases(key, &promise, &container)?;
        Ok(Promise {
            may_be: BTreeSet::from([Some(*attempt)]),
            tried: promise.tried.clone(),
            leases,
        })
    }

    /// Every lease promised is there, and no other than were asked for, each of them once.
    fn check_leases(
        &self,
        key: ShareKey,
        promise: &Promise,
        container: &Container<'_>,
    ) -> Verdict<BTreeMap<u8, u32>> {
        let mut found = BTreeMap::new();
        for lease in &container.leases {
            let is_of = |client: &u8| {
                let secrets = secrets(*client, key.storage_index);
                *lease == Lease::new(Version::Two, &secrets, lease.owner, lease.expiration)
            };
            let client = (0..CLIENTS).find(is_of);
            let client = client
                .filter(|_| self.expirations.contains(&lease.expiration))
                .ok_or_else(|| Violation(format!("{key:?} has an orphaned {lease:?}")))?;
            if found.insert(client, lease.expiration).is_some() {
                return Err(Violation(format!("{key:?} has two leases of {client}")));
            }
        }
        for (client, until) in &promise.leases {
            if found.get(client).is_none_or(|found| found < until) {
                let text = format!("{key:?}: {client} has {found:?}, was promised {until}");
                return Err(Violation(text));
            }
        }
        Ok(found)
    }
}

/// How many clients there are.
pub(crate) const CLIENTS: u8 = 3;

pub(crate) fn secrets(client: u8, storage_index: StorageIndex) -> LeaseSecrets {
    let byte = client ^ storage_index.as_bytes()[0];
    LeaseSecrets {
        renew: RenewSecret::new([byte; 32]),
        cancel: CancelSecret::new([!byte; 32]),
    }
}

pub(crate) fn upload_secret(client: u8) -> UploadSecret {
    UploadSecret::new([client; 32])
}

/// The share of a path below `shares`.
fn parse(path: &str) -> Verdict<ShareKey> {
    let parse = || {
        let mut names = path.rsplit('/');
        let share_number: ShareNumber = names.next()?.parse().ok()?;
        let storage_index: StorageIndex = names.next()?.parse().ok()?;
        Some(ShareKey {
            storage_index,
            share_number,
        })
    };
    parse().ok_or_else(|| Violation(format!("{path} is no share")))
}
