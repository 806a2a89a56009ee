//! The account: how much the store holds, exactly, over every crash.
//!
//! ```text
//! 0x00  8  sequence number: of all accounts in both files the one with the highest counts
//! 0x08  1  0: the tree was never counted, and the totals are zero; 1: it was
//! 0x09  1  number of shares being named, at most 16
//! 0x0a  6  zero
//! 0x10  8  immutable shares         0x18  8  bytes of their files
//! 0x20  8  mutable shares           0x28  8  bytes of their files
//! 0x30     the shares being named, 25 bytes each:
//!          storage index 16, share number 1, size of the file 8
//! ```
//!
//! Integers are big-endian. Every batch ends with the account as it is once that batch is done, and
//! every header of a journal file has the account of the last batch that was durable then. Numbers
//! in it are absolute: nothing is added up when the journal is replayed, so that replaying twice, or
//! half, is no matter.
//!
//! Whatever changes the numbers stands in the same batch as the change itself. The one exception
//! is a share that was not journaled, and gets its name by a rename: it is entered before as *being
//! named*, and is in the totals from then on. Whoever replays the journal looks whether it is there,
//! and takes it off if not.

use lafs::{ShareNumber, StorageIndex};

use super::fields::Fields;
use crate::kind::ShareKind;
use crate::layout::ShareKey;
use crate::totals::{Tally, Totals};

/// Most shares being named at a time. As many as leave header and account of a journal file within
/// one sector, which a power cut does not tear.
pub(crate) const NAMING_MAX: usize = 16;

const FIXED_LEN: usize = 0x30;
const NAMING_LEN: usize = 16 + 1 + 8;

/// The longest account.
pub(crate) const ACCOUNT_LEN_MAX: usize = FIXED_LEN + NAMING_MAX * NAMING_LEN;

/// How much the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) sequence: u64,
    /// `None` if nobody has ever counted.
    pub(crate) totals: Option<Totals>,
    /// Shares that are in the totals, and may or may not be there; with the sizes of their files.
    pub(crate) naming: Vec<(ShareKey, u64)>,
}

/// What is to be entered, in the batch that makes it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The share's file has another size, or is new, or is no more.
    Changed {
        index: StorageIndex,
        kind: ShareKind,
        before: Option<u64>,
        after: Option<u64>,
    },
    /// An immutable share that the journal does not have is about to be given its name.
    Naming { key: ShareKey, size: u64 },
    /// It has its name, for good.
    Named { key: ShareKey },
    /// It has no name after all.
    NotNamed { key: ShareKey },
    /// Shares are about to be moved by hand, out of the tree or into it: how much there is then, only
    /// a count tells.
    Unsure,
}

impl Entry {
    /// A share is there that was not, with a file of this size.
    pub(crate) fn made(key: ShareKey, kind: ShareKind, size: u64) -> Self {
        Self::resized(key, kind, None, Some(size))
    }

    /// A share is no more, which had a file of this size. Whatever takes a share out of the tree,
    /// and be it into quarantine, records this with it.
    pub(crate) fn gone(key: ShareKey, kind: ShareKind, size: u64) -> Self {
        Self::resized(key, kind, Some(size), None)
    }

    pub(crate) fn resized(
        key: ShareKey,
        kind: ShareKind,
        before: Option<u64>,
        after: Option<u64>,
    ) -> Self {
        Self::Changed {
            index: key.storage_index,
            kind,
            before,
            after,
        }
    }
}

/// What an entry comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) index: StorageIndex,
    kind: ShareKind,
    before: Option<u64>,
    after: Option<u64>,
}

impl Account {
    /// That of a store without shares.
    pub(crate) fn empty() -> Self {
        Self {
            totals: Some(Totals::default()),
            ..Self::default()
        }
    }

    pub(super) fn enter(&mut self, entry: Entry) -> Option<Change> {
        let change = match entry {
            Entry::Changed {
                index,
                kind,
                before,
                after,
            } => Some(Change {
                index,
                kind,
                before,
                after,
            }),
            Entry::Naming { key, size } => {
                assert!(self.naming.len() < NAMING_MAX, "others wait in line");
                self.naming.push((key, size));
                Some(Change::of(key, None, Some(size)))
            }
            Entry::Named { key } => {
                self.close(key);
                None
            }
            Entry::Unsure => {
                self.totals = None;
                None
            }
            Entry::NotNamed { key } => {
                let size = self.close(key);
                Some(Change::of(key, Some(size), None))
            }
        };
        if let (Some(totals), Some(change)) = (&mut self.totals, change) {
            change.apply(totals);
        }
        change
    }

    fn close(&mut self, key: ShareKey) -> u64 {
        let mut naming = self.naming.iter();
        let position = naming.position(|(named, _)| *named == key);
        let position = position.expect("what is named was entered before");
        self.naming.swap_remove(position).1
    }

    /// Closes all entries of shares being named, given which of them are there.
    pub(crate) fn settle<E>(
        &mut self,
        mut is_there: impl FnMut(ShareKey) -> Result<bool, E>,
    ) -> Result<(), E> {
        while let Some((key, _)) = self.naming.last().copied() {
            let entry = match is_there(key)? {
                true => Entry::Named { key },
                false => Entry::NotNamed { key },
            };
            self.enter(entry);
        }
        Ok(())
    }
}

impl Change {
    fn of(key: ShareKey, before: Option<u64>, after: Option<u64>) -> Self {
        Self {
            index: key.storage_index,
            kind: ShareKind::Immutable,
            before,
            after,
        }
    }

    pub(super) fn apply(&self, totals: &mut Totals) {
        totals.change(self.kind, self.before, self.after);
    }
}

// The bytes.
impl Account {
    pub(crate) fn encoded_len(&self) -> usize {
        FIXED_LEN + self.naming.len() * NAMING_LEN
    }

    pub(crate) fn encode(&self, mut push: impl FnMut(&[u8])) {
        let count = u8::try_from(self.naming.len()).expect("at most NAMING_MAX");
        push(&self.sequence.to_be_bytes());
        push(&[u8::from(self.totals.is_some()), count, 0, 0, 0, 0, 0, 0]);
        let Totals { immutable, mutable } = self.totals.unwrap_or_default();
        for Tally { shares, bytes } in [immutable, mutable] {
            push(&shares.to_be_bytes());
            push(&bytes.to_be_bytes());
        }
        for (key, size) in &self.naming {
            push(key.storage_index.as_bytes());
            push(&[key.share_number.as_u8()]);
            push(&size.to_be_bytes());
        }
    }

    pub(super) fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        let sequence = fields.u64()?;
        let [counted, count, 0, 0, 0, 0, 0, 0] = fields.take()? else {
            return None;
        };
        let mut tally = || {
            Some(Tally {
                shares: fields.u64()?,
                bytes: fields.u64()?,
            })
        };
        let totals = Totals {
            immutable: tally()?,
            mutable: tally()?,
        };
        let totals = match counted {
            0 if totals == Totals::default() => None,
            1 => Some(totals),
            _ => return None,
        };
        let count = usize::from(count);
        if count > NAMING_MAX {
            return None;
        }
        let mut naming = Vec::with_capacity(count);
        for _ in 0..count {
            let storage_index = StorageIndex::new(fields.take()?);
            let [share_number] = fields.take()?;
            let share_number = ShareNumber::new(share_number);
            let key = ShareKey {
                storage_index,
                share_number,
            };
            naming.push((key, fields.u64()?));
        }
        Some(Self {
            sequence,
            totals,
            naming,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ShareKey {
        ShareKey {
            storage_index: index(byte),
            share_number: ShareNumber::new(byte),
        }
    }

    /// Up to 25 they are in the order of their texts: each has a letter of its own in front.
    fn index(byte: u8) -> StorageIndex {
        StorageIndex::new([byte << 3; 16])
    }

    fn bytes(account: &Account) -> Vec<u8> {
        let mut bytes = Vec::new();
        account.encode(|part| bytes.extend_from_slice(part));
        assert_eq!(bytes.len(), account.encoded_len());
        bytes
    }

    fn tally(shares: u64, bytes: u64) -> Totals {
        Totals {
            immutable: Tally { shares, bytes },
            mutable: Tally::default(),
        }
    }

    #[test]
    fn an_account_prints_as_it_was_read_and_cut_is_none() {
        let mut account = Account::empty();
        account.sequence = 0x0102;
        account.enter(Entry::made(key(7), ShareKind::Mutable, 472));
        account.enter(Entry::Naming {
            key: key(9),
            size: 100_084,
        });
        let bytes = bytes(&account);
        assert_eq!(
            bytes[..0x10],
            [0, 0, 0, 0, 0, 0, 1, 2, 1, 1, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes.len(), 0x30 + 25);
        assert_eq!(Account::parse(&mut Fields(&bytes)), Some(account));
        for end in 0..bytes.len() {
            assert_eq!(Account::parse(&mut Fields(&bytes[..end])), None, "{end}");
        }
    }

    // A name may be there after a crash or not; the one who looks decides.
    #[test]
    fn shares_being_named_are_settled_by_who_looks() {
        let mut account = Account::empty();
        for byte in 0..4 {
            account.enter(Entry::Naming {
                key: key(byte),
                size: 1000,
            });
        }
        account.enter(Entry::NotNamed { key: key(1) });
        account.enter(Entry::Named { key: key(2) });
        assert_eq!(account.totals, Some(tally(3, 3000)));
        account.settle(|it| Ok::<_, ()>(it == key(0))).unwrap();
        assert_eq!(account.totals, Some(tally(2, 2000)));
        assert_eq!(account.naming, []);
    }
}
