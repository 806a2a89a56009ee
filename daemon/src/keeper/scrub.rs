//! The scrub: reads every share, proves its bytes as far as that goes without keys, and tells of
//! damage. It changes nothing.
//!
//! What is damaged is told once: in the log, and to the store as a corruption advisory. It is known
//! until a whole pass has not found it any more.

use std::io;

use bucketfs::view::{Deep, Fault, Finding, Seen, Severity, ShareBytes, ShareSeen};
use bucketfs::{Advise, ShareKey, ShareKind};
use protocol::control::{self, FINDINGS_MAX, Reason, Refused, Reply, TEXT_LEN_MAX, Task, Walked};
use serde::{Deserialize, Serialize};
use share::{Container, Verdict};
use tracing::{info, warn};

use super::Reins;
use super::pass::Course;
use super::schedule::Notes;
use super::wait::wait;
use super::workshop::{self, Workshop, lock};
use crate::printable::Printable;
use crate::status::now;

/// What is remembered of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    #[serde(flatten)]
    notes: Notes,
    /// Which pass it is, the one under way or the last one: from 1.
    #[serde(default)]
    number: u64,
    /// Damaged shares, in the order in which they were found.
    #[serde(default)]
    damaged: Vec<Damaged>,
    /// Those of this pass that are not kept, for there are too many.
    #[serde(default)]
    more: u64,
    /// What else is not as it should be, of this pass.
    #[serde(default)]
    others: u64,
}

/// A damaged share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Damaged {
    #[serde(flatten)]
    finding: control::Finding,
    /// Which pass has found it last.
    pass: u64,
}

impl workshop::Page for Page {
    const NAME: &'static str = "scrub";

    fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }
}

impl Page {
    /// What there is to say of it, but for when it is due.
    pub(crate) fn status(&self) -> control::Scrub {
        let latest = self.damaged.len().saturating_sub(FINDINGS_MAX);
        let findings = self.damaged[latest..].iter();
        control::Scrub {
            every: None,
            current: self.notes.current.as_ref().map(|current| current.pass),
            last: self.notes.last,
            next: None,
            damaged: lafs::num::size(self.damaged.len()).saturating_add(self.more),
            findings: findings.map(|damaged| damaged.finding.clone()).collect(),
        }
    }

    /// Takes a damaged share; returns whether it was not known.
    fn take(&mut self, key: ShareKey, what: &str, now: u64) -> bool {
        let pass = self.number;
        let (storage_index, share_number) =
            (key.storage_index.to_string(), key.share_number.as_u8());
        let known = self.damaged.iter_mut().find(|damaged| {
            let finding = &damaged.finding;
            finding.share_number == share_number && finding.storage_index == storage_index
        });
        if let Some(known) = known {
            known.pass = pass;
            return false;
        }
        if self.damaged.len() >= KNOWN_MAX {
            self.more += 1;
            return self.more == 1;
        }
        self.damaged.push(Damaged {
            finding: control::Finding {
                storage_index,
                share_number,
                seen: now,
                what: what.to_owned(),
            },
            pass,
        });
        true
    }

    /// Forgets what a whole pass has not found any more.
    fn forget(&mut self) {
        let last = self.number;
        self.damaged.retain(|damaged| damaged.pass == last);
    }
}

/// Walks until it is done, or told to stop.
pub(super) fn run(workshop: &Workshop, reins: &Reins) -> Reply {
    let page = workshop.scrub_mutex();
    let course = Course {
        task: Task::Scrub,
        workshop,
        reins,
        page,
        is_saved: true,
    };
    {
        let mut page = lock(page);
        if page.notes.current.is_none() {
            page.number += 1;
            (page.more, page.others) = (0, 0);
        }
    }
    let gone = course.run(Some(&Prover), |seen| {
        for finding in seen.findings() {
            take(workshop, seen, finding);
        }
    });
    let gone = match gone {
        Ok(gone) => gone,
        Err(error) => {
            return Reply::Refused(Refused::new(Reason::Failed, error.to_string()));
        }
    };
    let (damaged, others) = {
        let mut page = lock(page);
        if gone.whole {
            page.forget();
        }
        (page.status().damaged, page.others)
    };
    course.save();
    let pass = gone.pass;
    if gone.whole {
        let (shares, bytes) = (pass.shares, pass.bytes);
        info!(
            shares,
            bytes, damaged, others, "scrub: every share was read"
        );
    }
    if gone.whole && others > 0 {
        let store = workshop.store().display();
        info!(%store, "scrub: what else is not as it should be `tahoectl fsck` tells");
    }
    Reply::Walked(Walked {
        whole: gone.whole,
        buckets: pass.buckets,
        shares: pass.shares,
        bytes: pass.bytes,
        damaged,
        foreign: others,
    })
}

fn take(workshop: &Workshop, seen: &Seen, finding: &Finding) {
    let page = workshop.scrub_mutex();
    let Some(key) = finding
        .share
        .filter(|_| finding.kind.severity() == Severity::Damage)
    else {
        lock(page).others += 1;
        return;
    };
    let what = what(finding);
    if !lock(page).take(key, &what, now()) {
        return;
    }
    let (storage_index, share_number) = (key.storage_index, key.share_number);
    warn!(%storage_index, %share_number, what, "scrub: a share is damaged");
    let advice = Advise {
        key,
        kind: kind_of(seen, key),
        reason: format!("found by the scrub of this server: {what}"),
    };
    // It is told in the log in any case; the store keeps a bounded number of them.
    let _ = wait(workshop.handle().ask(advice));
}

/// What a share is: that it is of a slot may be just what cannot be told any more.
fn kind_of(seen: &Seen, key: ShareKey) -> ShareKind {
    let Seen::Bucket(bucket) = seen else {
        return ShareKind::Immutable;
    };
    let same = bucket.shares.iter().find(|share| share.key == key);
    let share = same.or(bucket.shares.first());
    share.map_or(ShareKind::Immutable, |share| share.kind)
}

/// What is wrong, in a line that fits into a status.
fn what(finding: &Finding) -> String {
    let [found, expected] = [&finding.found, &finding.expected].map(|text| Printable::new(text));
    let mut what = format!("{}: {found}; expected {expected}", finding.kind);
    let end = (0..=TEXT_LEN_MAX)
        .rev()
        .find(|at| what.is_char_boundary(*at));
    what.truncate(end.unwrap_or(0));
    what
}

/// Proves shares.
pub(crate) struct Prover;

impl Deep for Prover {
    fn check(&self, seen: &ShareSeen, bytes: &ShareBytes<'_>) -> io::Result<Vec<Fault>> {
        let container = match seen.kind {
            ShareKind::Immutable => Container::Immutable,
            ShareKind::Mutable => Container::Mutable,
        };
        let ShareKey {
            storage_index,
            share_number,
        } = seen.key;
        let verdict = share::check(&Bytes(bytes), container, storage_index, share_number)?;
        Ok(match verdict {
            Verdict::Damaged { kind, damage } => vec![Fault {
                expected: format!("{} ({kind})", damage.expected),
                found: format!(
                    "{} at byte {}: {}",
                    damage.what.sentence(),
                    damage.offset,
                    damage.found
                ),
            }],
            // Shares of other programs are nobody's damage.
            Verdict::Whole(_) | Verdict::Unknown => Vec::new(),
        })
    }
}

/// The bytes of a share, for who proves them.
struct Bytes<'a>(&'a ShareBytes<'a>);

impl share::Bytes for Bytes<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
}

/// Damaged shares that are kept: half a megabyte at most. Who has more needs no list of them.
const KNOWN_MAX: usize = 1024;
