//! Expiry: has the store remove shares whose leases have all ended, by the operator's rule.
//!
//! The walk sees when the last lease of a share ends, and asks the store only for those that look as
//! if they may go. The store reads the leases again, with the share to itself, and decides
//! ([`bucketfs::Expire`]).

use std::cell::RefCell;
use std::sync::Mutex;
use std::time::Duration;

use bucketfs::view::{Seen, ShareSeen};
use bucketfs::{
    Expire, ExpireRefusal, Expired, ExpiredShare, ExpiryMode, ExpiryRule, Judgement, ShareKind,
};
use protocol::control::{self, Kinds, Reason, Refused, Reply, Task};
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use super::Reins;
use super::pass::Course;
use super::schedule::Notes;
use super::wait::wait;
use super::workshop::{self, Workshop, lock};
use crate::config;
use crate::status::now;

/// What is remembered of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    #[serde(flatten)]
    notes: Notes,
    /// What the pass under way has come to.
    #[serde(default)]
    current_sum: Sum,
    /// What the last whole one came to.
    #[serde(default)]
    last_sum: Sum,
    /// It does not begin before this by itself, in seconds since 1970.
    #[serde(default)]
    not_before: u64,
}

/// What a pass comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    /// Nothing was removed.
    dry_run: bool,
    /// Shares that were removed, or would be.
    removed: Kinds,
    /// Shares that could not be judged or removed.
    failed: u64,
}

impl workshop::Page for Page {
    const NAME: &'static str = "expire";

    fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }
}

impl Page {
    /// What there is to say of it, but for the configuration and when it is due.
    pub(crate) fn status(&self) -> control::Expiry {
        control::Expiry {
            current: self.notes.current.as_ref().map(|current| current.pass),
            last: self.notes.last,
            removed: self.last_sum.removed,
            was_dry_run: self.last_sum.dry_run,
            ..control::Expiry::default()
        }
    }

    /// When it begins by itself.
    pub(super) fn due(&self, every: Duration, started: u64, now: u64) -> u64 {
        self.notes.due(every, started, now).max(self.not_before)
    }

    /// Takes note that the server starts, and was last in use at that time, as far as is known.
    ///
    /// While it was away nobody could renew a lease. So its clients have as much time to do so before
    /// anything is removed, though no more than a lease lasts. A clock that has jumped ahead looks the
    /// same, and is put right in that time.
    pub(super) fn starts(&mut self, last_use: Option<u64>, now: u64) {
        let last_pass = self.notes.last.and_then(|last| last.ended);
        let last_use = last_use.max(last_pass).unwrap_or(now);
        let away = now.saturating_sub(last_use).min(LEASE_DURATION);
        if away >= AWAY_MIN {
            self.not_before = self.not_before.max(now.saturating_add(away));
        }
        // One that was written while the clock was wrong.
        self.not_before = self.not_before.min(now.saturating_add(LEASE_DURATION));
    }

    fn count(&mut self, share: &ExpiredShare) {
        let removed = &mut self.current_sum.removed;
        let amount = match share.kind {
            ShareKind::Immutable => &mut removed.immutable,
            ShareKind::Mutable => &mut removed.mutable,
        };
        amount.shares += 1;
        amount.bytes = amount.bytes.saturating_add(share.size);
    }
}

/// The rule of a configuration, in the store's words.
pub(super) fn rule(expire: &config::Expire) -> ExpiryRule {
    ExpiryRule {
        mode: match expire.mode {
            config::ExpireMode::Age {
                override_lease_duration,
            } => ExpiryMode::Age {
                lasting: override_lease_duration.map(config::Span::duration),
            },
            config::ExpireMode::CutoffDate(date) => ExpiryMode::CutoffDate { unix: date.begin() },
        },
        immutable: expire.immutable,
        mutable: expire.mutable,
    }
}

/// Walks until it is done, or told to stop.
pub(super) fn run(workshop: &Workshop, reins: &Reins, dry_run: bool) -> Reply {
    let configured = workshop.expire();
    // What is only tried out beside what is done anyway is not remembered.
    let is_saved = configured.enabled && configured.dry_run == dry_run;
    let tried_out = Mutex::default();
    let page = match is_saved {
        true => workshop.expire_mutex(),
        false => &tried_out,
    };
    {
        let mut page = lock(page);
        if page.current_sum.dry_run != dry_run {
            page.notes.current = None;
        }
        if page.notes.current.is_none() {
            page.current_sum = Sum {
                dry_run,
                ..Sum::default()
            };
        }
    }
    let course = Course {
        task: Task::Expire,
        workshop,
        reins,
        page,
        is_saved,
    };
    let expirer = Expirer {
        workshop,
        reins,
        page,
        rule: rule(configured),
        dry_run,
        gave_up: RefCell::new(None),
    };
    let gone = match course.run(None, |seen| expirer.take(seen)) {
        Ok(gone) => gone,
        Err(error) => return Reply::Refused(Refused::new(Reason::Failed, error.to_string())),
    };
    let sum = {
        let mut page = lock(page);
        if gone.whole {
            page.last_sum = page.current_sum;
        }
        page.current_sum
    };
    course.save();
    if let Some(refusal) = expirer.gave_up.take() {
        return Reply::Refused(Refused::new(Reason::Failed, refusal.to_string()));
    }
    if gone.whole {
        say(&sum);
    }
    Reply::Expired(control::Expired {
        whole: gone.whole,
        dry_run,
        shares: gone.pass.shares,
        removed: sum.removed,
        failed: sum.failed,
    })
}

fn say(sum: &Sum) {
    let (removed, failed) = (&sum.removed, sum.failed);
    let (immutable, mutable) = (removed.immutable.shares, removed.mutable.shares);
    let bytes = removed
        .immutable
        .bytes
        .saturating_add(removed.mutable.bytes);
    match sum.dry_run {
        true => info!(
            immutable,
            mutable,
            bytes,
            failed,
            "expiry: so many shares would be removed; nothing was, in this dry run"
        ),
        false => info!(immutable, mutable, bytes, failed, "expiry: removed shares"),
    }
}

/// Judges what a walk sees.
struct Expirer<'a> {
    workshop: &'a Workshop,
    reins: &'a Reins,
    page: &'a Mutex<Page>,
    rule: ExpiryRule,
    dry_run: bool,
    /// What the store said when it would have said the same of every other share.
    gave_up: RefCell<Option<ExpireRefusal>>,
}

impl Expirer<'_> {
    fn take(&self, seen: &Seen) {
        let Seen::Bucket(bucket) = seen else {
            return;
        };
        let may_go = |share: &&ShareSeen| {
            let judged = self.rule.judge(share.kind, share.lease_end, now());
            judged == Judgement::Expired
        };
        for share in bucket.shares.iter().filter(may_go) {
            if !self.reins.stop.is_stopped() {
                self.expire(share);
            }
        }
    }

    fn expire(&self, share: &ShareSeen) {
        let (rule, dry_run) = (self.rule, self.dry_run);
        let key = share.key;
        let expire = Expire { key, rule, dry_run };
        let (storage_index, share_number) = (key.storage_index, key.share_number);
        match wait(self.workshop.handle().ask(expire)) {
            Ok(Expired::Removed(gone) | Expired::WouldRemove(gone)) => {
                debug!(%storage_index, %share_number, dry_run, bytes = gone.size, "expired");
                lock(self.page).count(&gone);
            }
            // Renewed since it was seen, or removed.
            Ok(Expired::Kept(_)) | Err(ExpireRefusal::NoShare) => {}
            Err(error) => {
                let failed = {
                    let sum = &mut lock(self.page).current_sum;
                    sum.failed += 1;
                    sum.failed
                };
                match failed {
                    1 => warn!(
                        %storage_index, %share_number, %error,
                        "expiry: a share stays; further ones of this pass are counted"
                    ),
                    _ => debug!(%storage_index, %share_number, %error, "expiry: a share stays"),
                }
                if !is_of_one_share(&error) {
                    self.gave_up.replace(Some(error));
                    self.reins.stop.stop();
                }
            }
        }
    }
}

/// Whether a refusal says something of the share, and not of the store.
fn is_of_one_share(refusal: &ExpireRefusal) -> bool {
    matches!(
        refusal,
        ExpireRefusal::NoShare | ExpireRefusal::Unreadable(_)
    )
}

/// How long a server was away at least for its clients to be given time.
const AWAY_MIN: u64 = 24 * 60 * 60;

/// How long a lease lasts.
const LEASE_DURATION: u64 = bucketfs::container::LEASE_DURATION;

#[cfg(test)]
mod tests {
    use protocol::control::Pass;

    use super::*;

    const DAY: u64 = 86_400;
    const NOW: u64 = 1_800_000_000;

    fn due(page: &Page) -> u64 {
        page.due(Duration::from_secs(DAY), NOW, NOW)
    }

    // A server that comes back after months would otherwise remove every share before the first
    // client has had a chance to say that it wants it.
    #[test]
    fn clients_are_given_as_much_time_as_the_server_was_away() {
        for (away, waits) in [
            (0, 0),
            (DAY - 1, 0),
            (2 * DAY, 2 * DAY),
            (400 * DAY, 31 * DAY),
        ] {
            let mut page = Page::default();
            page.starts(Some(NOW - away), NOW);
            let soon = Page::default();
            assert_eq!(due(&page), due(&soon).max(NOW + waits), "{away}");
            // Another start does not make it shorter.
            page.starts(Some(NOW + 60), NOW + 60);
            assert_eq!(due(&page), due(&soon).max(NOW + waits), "{away}");
        }
    }

    #[test]
    fn a_server_that_was_only_idle_was_not_away() {
        let mut page = Page::default();
        page.notes.last = Some(Pass {
            began: NOW - 100,
            ended: Some(NOW - 50),
            ..Pass::default()
        });
        page.starts(Some(NOW - 90 * DAY), NOW);
        assert_eq!(page.not_before, 0);
        // Nothing is known of a store that was never used.
        let mut page = Page::default();
        page.starts(None, NOW);
        assert_eq!(page.not_before, 0);
    }

    #[test]
    fn a_wrong_clock_does_not_put_it_off_for_years() {
        let mut page = Page {
            not_before: NOW + 4000 * DAY,
            ..Page::default()
        };
        page.starts(Some(NOW), NOW);
        assert_eq!(page.not_before, NOW + 31 * DAY);
    }
}
