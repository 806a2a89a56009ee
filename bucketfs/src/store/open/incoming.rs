//! What the last run left in incoming, this program's or Tahoe's: ranged uploads are resumed if
//! what was written of them is still there, everything else is removed.

use std::collections::BTreeSet;

use lafs::{ShareNumber, StorageIndex};

use super::Opening;
use crate::disk::{ByteRange, EntryKind, Operation, Outcome, StorePath};
use crate::error::{DiskError, OpenError};
use crate::journal::replay;
use crate::layout::{
    INCOMING, Incoming, Layouts, ShareKey, Tree, incoming_note, incoming_ranged, parse_incoming,
};
use crate::limits;
use crate::request::Now;
use crate::store::ranged::Table;
use crate::ticket::{TICKETS_LEN, TICKETS_SIZE, Ticket};

/// What is resumed.
#[derive(Default)]
pub(super) struct Left {
    pub(super) ranged: Table,
    /// Space for what they lack.
    pub(super) promised: u64,
    /// What they have already.
    pub(super) written: u64,
    /// The highest serial number of a ranged upload.
    pub(super) serial: u64,
}

impl Opening<'_> {
    /// Finds the uploads to resume, and removes the files of the others.
    ///
    /// After a loss of writes there is none: what their tickets say may be lost.
    pub(super) fn sort_incoming(
        &mut self,
        layouts: Layouts,
        has_lost: bool,
        now: Now,
    ) -> Result<Left, OpenError> {
        let mut left = Left::default();
        let mut ranged = Vec::new();
        let mut notes = BTreeSet::new();
        for (name, kind) in self.list(&StorePath::new(INCOMING))? {
            let Ok(name) = String::from_utf8(name) else {
                continue;
            };
            match (kind, parse_incoming(&name)) {
                (EntryKind::File, Some((serial, kind))) => {
                    // Not of the others, which are removed: a spare name has a number of its own.
                    if kind != Incoming::Upload {
                        left.serial = left.serial.max(serial);
                    }
                    match kind {
                        Incoming::Ranged => ranged.push(serial),
                        Incoming::Note => _ = notes.insert(serial),
                        Incoming::Upload => {
                            let path = StorePath::new(&format!("{INCOMING}/{name}"));
                            self.remove_if_there(&path)?;
                        }
                    }
                }
                (EntryKind::Directory, _) => self.remove_tahoes(&name),
                _ => {}
            }
        }
        // The later of two uploads of a share is the one that is in progress.
        ranged.sort_unstable_by_key(|serial| std::cmp::Reverse(*serial));
        for serial in ranged {
            let may_resume = !has_lost && !self.config.read_only;
            let ticket = if may_resume {
                self.ticket(serial, notes.contains(&serial))
            } else {
                None
            };
            match ticket {
                Some((ticket, noted))
                    if left.ranged.len() < limits::ALLOCATIONS
                        && !left.ranged.contains(ticket.key)
                        && !self.is_held(layouts, ticket.key)? =>
                {
                    if noted {
                        notes.remove(&serial);
                    }
                    let file = (serial, noted);
                    left.written = left.written.saturating_add(ticket.written.total());
                    let promised = left.ranged.resume(ticket, file, now.elapsed);
                    left.promised = left.promised.saturating_add(promised);
                }
                _ => self.remove_if_there(&incoming_ranged(serial))?,
            }
        }
        for serial in notes {
            self.remove_if_there(&incoming_note(serial))?;
        }
        if left.ranged.len() > 0 {
            tracing::info!(uploads = left.ranged.len(), "resumed uploads in progress");
        }
        Ok(left)
    }

    /// Whether there is a share, in either of two layouts.
    fn is_held(&mut self, layouts: Layouts, key: ShareKey) -> Result<bool, OpenError> {
        let Layouts { layout, from } = layouts;
        for layout in from.into_iter().chain([layout]) {
            if self.exists(&Tree::new(layout).share(key))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The ticket of an upload's file, if it has one that is of use, and whether it was in the note.
    fn ticket(&mut self, serial: u64, has_note: bool) -> Option<(Ticket, bool)> {
        match self.read_ticket(serial, has_note) {
            Ok(ticket) => ticket,
            Err(error) => {
                tracing::warn!(%error, "cannot resume an upload");
                None
            }
        }
    }

    fn read_ticket(
        &mut self,
        serial: u64,
        has_note: bool,
    ) -> Result<Option<(Ticket, bool)>, DiskError> {
        let path = incoming_ranged(serial);
        let looked = self.disk.perform(Operation::Read {
            path: path.clone(),
            ranges: Vec::new(),
        })?;
        let Outcome::Read { size, .. } = looked else {
            panic!("a read gave {looked:?}");
        };
        let boot = self.config.boot_id;
        let len = TICKETS_LEN;
        if let Some(offset) = size.checked_sub(TICKETS_SIZE) {
            let (_, tail) = replay::read(&mut self.disk, &path, ByteRange { offset, len })?;
            if let Some(ticket) = Ticket::parse(&tail, boot).filter(|ticket| ticket.ends(size)) {
                return Ok(Some((ticket, false)));
            }
        }
        if !has_note {
            return Ok(None);
        }
        let range = ByteRange { offset: 0, len };
        let (_, note) = replay::read(&mut self.disk, &incoming_note(serial), range)?;
        let ticket = Ticket::parse(&note, boot).filter(|ticket| ticket.is_cut_off(size));
        Ok(ticket.map(|ticket| (ticket, true)))
    }

    /// Removes Tahoe's uploads in progress, as it does itself when it starts:
    /// `incoming/ab/<si>/<n>`, or `incoming/<si>/<n>` in the days of the flat layout.
    ///
    /// They do no harm, so one that cannot be removed does not keep the store from opening.
    fn remove_tahoes(&mut self, name: &str) {
        let path = format!("{INCOMING}/{name}");
        if name.parse::<StorageIndex>().is_ok() {
            return self.remove_tahoes_shares(&path, 1);
        }
        for (bucket, kind) in self.list_or_warn(&path) {
            let is_bucket = bucket.parse::<StorageIndex>().is_ok();
            let is_below = bucket.get(..2) == Some(name);
            if kind == EntryKind::Directory && is_bucket && is_below {
                self.remove_tahoes_shares(&format!("{path}/{bucket}"), 2);
            }
        }
    }

    fn remove_tahoes_shares(&mut self, bucket: &str, prune: u8) {
        for (name, kind) in self.list_or_warn(bucket) {
            if kind == EntryKind::File && name.parse::<ShareNumber>().is_ok() {
                let path = StorePath::new(&format!("{bucket}/{name}"));
                if let Err(error) = self.remove_and_prune(&path, prune) {
                    tracing::warn!(%error, "cannot remove an upload that was not finished");
                }
            }
        }
    }

    fn list_or_warn(&mut self, path: &str) -> Vec<(String, EntryKind)> {
        let entries = self.list(&StorePath::new(path)).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look for uploads that were not finished");
            Vec::new()
        });
        let named = |(name, kind)| Some((String::from_utf8(name).ok()?, kind));
        entries.into_iter().filter_map(named).collect()
    }
}
