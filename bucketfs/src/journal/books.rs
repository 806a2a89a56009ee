//! The account of an open store, at the moments that matter, and a count of the tree beside it.
//!
//! What changes is entered when the batch is put together that has the change, never earlier: what
//! waits for a batch may yet be refused.

use lafs::StorageIndex;

use super::account::{Account, Entry};
use crate::totals::Totals;

/// The account of an open store, at the moments that matter.
#[derive(Debug)]
pub(crate) struct Books {
    /// As it is once all batches are done that were put together so far.
    account: Account,
    /// As the batch has it that is being appended.
    appending: Account,
    /// As the last batch has it that is durable.
    durable: Account,
    recount: Option<Recount>,
}

/// A count of the tree under way, from its first storage index to its last.
#[derive(Debug, Default)]
struct Recount {
    /// What is counted: everything up to here, in the order of the texts of storage indexes.
    upto: Option<StorageIndex>,
    /// What there is of that now.
    sum: Totals,
    /// The first behind it that somebody has been at work on since the last answer.
    touched: Option<StorageIndex>,
}

/// What a part that was counted comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It is in the sum.
    Taken,
    /// Somebody was at work on it.
    Touched,
    /// It was the last one; these were the totals before.
    Whole(Option<Totals>),
    /// The count does not stand there.
    Elsewhere,
}

impl Books {
    /// Opens the books where the last run has closed them.
    pub(crate) fn new(account: Account) -> Self {
        Self {
            appending: account.clone(),
            durable: account.clone(),
            account,
            recount: None,
        }
    }

    /// What the store holds, if that was ever counted.
    pub(crate) fn totals(&self) -> Option<Totals> {
        self.account.totals
    }

    /// Enters what a batch that is being put together brings.
    pub(super) fn enter(&mut self, entries: &[Entry]) {
        for entry in entries {
            if *entry == Entry::Unsure {
                self.recount = None;
            }
            let change = self.account.enter(*entry);
            if let (Some(recount), Some(change)) = (&mut self.recount, change) {
                if recount.has(change.index) {
                    change.apply(&mut recount.sum);
                }
            }
        }
    }

    /// The account for the end of that batch.
    pub(super) fn end_batch(&mut self) -> &Account {
        self.account.sequence += 1;
        self.appending.clone_from(&self.account);
        &self.appending
    }

    /// That batch is durable.
    pub(super) fn batch_durable(&mut self) {
        self.durable.clone_from(&self.appending);
    }

    /// The account for a header.
    pub(super) fn durable(&self) -> &Account {
        &self.durable
    }
}

// Counting.
impl Books {
    /// Begins a count at the start of the tree; one under way is given up. These are being worked on.
    pub(crate) fn begin_count(&mut self, at_work: impl Iterator<Item = StorageIndex>) {
        self.recount = Some(Recount::default());
        self.begin_part(at_work);
    }

    fn begin_part(&mut self, at_work: impl Iterator<Item = StorageIndex>) {
        let Some(recount) = &mut self.recount else {
            return;
        };
        recount.touched = None;
        at_work.for_each(|index| recount.touch(index));
    }

    /// Somebody begins to work on a bucket or slot.
    pub(crate) fn touch(&mut self, index: StorageIndex) {
        if let Some(recount) = &mut self.recount {
            recount.touch(index);
        }
    }

    /// Takes what was found behind `after` up to `upto`, or up to the end of the tree.
    pub(crate) fn count_part(
        &mut self,
        after: Option<StorageIndex>,
        upto: Option<StorageIndex>,
        found: &Totals,
        at_work: impl Iterator<Item = StorageIndex>,
    ) -> Part {
        let Some(recount) = &mut self.recount else {
            return Part::Elsewhere;
        };
        let goes_back = upto.is_some_and(|upto| recount.has(upto));
        if recount.upto != after || goes_back {
            return Part::Elsewhere;
        }
        let is_in = |index: StorageIndex| upto.is_none_or(|upto| !comes_after(index, upto));
        if recount.touched.is_some_and(is_in) {
            self.begin_part(at_work);
            return Part::Touched;
        }
        recount.sum.merge(found);
        if upto.is_some() {
            recount.upto = upto;
            self.begin_part(at_work);
            return Part::Taken;
        }
        let before = self.account.totals.replace(recount.sum);
        self.recount = None;
        Part::Whole(before)
    }
}

impl Recount {
    /// Whether a storage index is counted already.
    fn has(&self, index: StorageIndex) -> bool {
        self.upto.is_some_and(|upto| !comes_after(index, upto))
    }

    fn touch(&mut self, index: StorageIndex) {
        let is_first = |touched| comes_after(touched, index);
        if !self.has(index) && self.touched.is_none_or(is_first) {
            self.touched = Some(index);
        }
    }
}

/// Whether one storage index comes after another in a walk of the tree.
fn comes_after(index: StorageIndex, other: StorageIndex) -> bool {
    index.text() > other.text()
}

#[cfg(test)]
mod tests {
    use lafs::ShareNumber;

    use super::*;
    use crate::kind::ShareKind;
    use crate::layout::ShareKey;
    use crate::totals::Tally;

    /// Up to 25 they are in the order of their texts: each has a letter of its own in front.
    fn index(byte: u8) -> StorageIndex {
        StorageIndex::new([byte << 3; 16])
    }

    fn made(byte: u8, size: u64) -> Entry {
        let key = ShareKey {
            storage_index: index(byte),
            share_number: ShareNumber::new(byte),
        };
        Entry::made(key, ShareKind::Immutable, size)
    }

    fn nobody() -> impl Iterator<Item = StorageIndex> {
        std::iter::empty()
    }

    fn tally(shares: u64, bytes: u64) -> Totals {
        Totals {
            immutable: Tally { shares, bytes },
            mutable: Tally::default(),
        }
    }

    // What nobody has counted has no number, not even zero.
    #[test]
    fn without_a_count_there_are_no_totals_whatever_is_entered() {
        let mut books = Books::new(Account::default());
        books.enter(&[made(1, 100)]);
        assert_eq!(books.totals(), None);
        let account = books.end_batch().clone();
        assert_eq!((account.sequence, account.totals), (1, None));
    }

    // A header is written while a batch is on its way, which may never arrive.
    #[test]
    fn a_header_has_the_account_of_what_is_durable() {
        let mut books = Books::new(Account::empty());
        books.enter(&[made(1, 10)]);
        books.end_batch();
        assert_eq!(books.durable().totals, Some(tally(0, 0)));
        books.batch_durable();
        books.enter(&[made(2, 10)]);
        assert_eq!(books.durable().totals, Some(tally(1, 10)));
        assert_eq!(books.totals(), Some(tally(2, 20)));
    }

    #[test]
    fn a_count_takes_what_changes_behind_it_and_refuses_what_changed_in_front() {
        let mut books = Books::new(Account::default());
        books.begin_count(nobody());
        let part = |books: &mut Books, after: Option<u8>, upto: Option<u8>, found| {
            books.count_part(after.map(index), upto.map(index), &found, nobody())
        };
        books.touch(index(9));
        assert_eq!(part(&mut books, None, Some(5), tally(2, 20)), Part::Taken);
        // Behind: entered, and no matter for the next part. In front: looked at again.
        books.touch(index(1));
        books.enter(&[made(1, 7)]);
        books.touch(index(8));
        books.enter(&[made(8, 1000)]);
        assert_eq!(
            part(&mut books, Some(4), None, tally(0, 0)),
            Part::Elsewhere
        );
        assert_eq!(
            part(&mut books, Some(5), Some(5), tally(0, 0)),
            Part::Elsewhere
        );
        assert_eq!(part(&mut books, Some(5), Some(7), tally(1, 3)), Part::Taken);
        books.touch(index(8));
        assert_eq!(
            part(&mut books, Some(7), None, tally(1, 1000)),
            Part::Touched
        );
        let whole = part(&mut books, Some(7), None, tally(1, 1000));
        assert_eq!(whole, Part::Whole(None));
        assert_eq!(books.totals(), Some(tally(5, 1030)));
        assert_eq!(part(&mut books, None, None, tally(0, 0)), Part::Elsewhere);
    }

    // Its work may have begun before the part, and end after it.
    #[test]
    fn who_is_at_work_when_a_part_begins_touches_it() {
        let mut books = Books::new(Account::empty());
        books.begin_count([index(3)].into_iter());
        let all = |books: &mut Books| books.count_part(None, None, &tally(1, 1), nobody());
        assert_eq!(all(&mut books), Part::Touched);
        assert_eq!(all(&mut books), Part::Whole(Some(tally(0, 0))));
        assert_eq!(books.totals(), Some(tally(1, 1)));
    }
}
