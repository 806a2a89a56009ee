//! What the last run left in incoming, this program's or Tahoe's: uploads of parts are gone on with
//! if what was written of them is still there, everything else is removed.

use lafs::{ShareNumber, StorageIndex};

use super::Opening;
use crate::disk::{ByteRange, EntryKind, Operation, Outcome, StorePath};
use crate::error::{DiskError, OpenError};
use crate::journal::replay;
use crate::layout::{INCOMING, Layout, parse_incoming};
use crate::store::parts::Parts;
use crate::store::parts::ticket::{TICKETS_LEN, TICKETS_SIZE, Ticket};
use crate::store::{Limits, Now};

/// What is gone on with.
#[derive(Default)]
pub(super) struct Left {
    pub(super) parts: Parts,
    /// Space for what they lack.
    pub(super) promised: u64,
    /// The highest serial number in use.
    pub(super) serial: u64,
}

impl Opening<'_> {
    /// Finds the uploads to go on with, and removes the files of the others.
    ///
    /// After a loss of writes there is none: what their tickets say may be lost.
    pub(super) fn sort_incoming(
        &mut self,
        layout: Layout,
        has_lost: bool,
        now: Now,
    ) -> Result<Left, OpenError> {
        let mut left = Left::default();
        let mut with_parts = Vec::new();
        for (name, kind) in self.list(&StorePath::new(INCOMING))? {
            let Ok(name) = String::from_utf8(name) else {
                continue;
            };
            match (kind, parse_incoming(&name)) {
                (EntryKind::File, Some((serial, is_parts))) => {
                    let path = StorePath::new(&format!("{INCOMING}/{name}"));
                    left.serial = left.serial.max(serial);
                    if is_parts {
                        with_parts.push((serial, path));
                    } else {
                        self.remove_if_there(&path)?;
                    }
                }
                (EntryKind::Directory, _) => self.remove_tahoes(&name),
                _ => {}
            }
        }
        // The later of two uploads of a share is the one that is in progress.
        with_parts.sort_unstable_by_key(|(serial, _)| std::cmp::Reverse(*serial));
        for (_, path) in with_parts {
            let may_go_on = !has_lost && !self.config.read_only;
            let ticket = if may_go_on { self.ticket(&path) } else { None };
            match ticket {
                Some(ticket)
                    if left.parts.len() < Limits::ALLOCATIONS
                        && !left.parts.is_in_progress(ticket.key)
                        && !self.exists(&layout.share(ticket.key))? =>
                {
                    let promised = left.parts.resume(ticket, path, now.elapsed);
                    left.promised = left.promised.saturating_add(promised);
                }
                _ => self.remove_if_there(&path)?,
            }
        }
        if left.parts.len() > 0 {
            tracing::info!(uploads = left.parts.len(), "uploads in progress go on");
        }
        Ok(left)
    }

    /// The ticket of an upload's file, if it has one that is of use.
    fn ticket(&mut self, path: &StorePath) -> Option<Ticket> {
        match self.read_ticket(path) {
            Ok(ticket) => ticket,
            Err(error) => {
                tracing::warn!(%path, %error, "cannot go on with an upload");
                None
            }
        }
    }

    fn read_ticket(&mut self, path: &StorePath) -> Result<Option<Ticket>, DiskError> {
        let looked = self.disk.perform(Operation::Read {
            path: path.clone(),
            ranges: Vec::new(),
        })?;
        let Outcome::Read { size, .. } = looked else {
            panic!("a read gave {looked:?}");
        };
        let Some(offset) = size.checked_sub(TICKETS_SIZE) else {
            return Ok(None);
        };
        let len = TICKETS_LEN;
        let (_, tail) = replay::read(&mut self.disk, path, ByteRange { offset, len })?;
        Ok(Ticket::parse(&tail, size, self.config.boot_id))
    }

    /// Removes Tahoe's uploads in progress, as it does itself when it starts:
    /// `incoming/ab/<si>/<n>`, or `incoming/<si>/<n>` in the days of the flat layout.
    ///
    /// They are in nobody's way, so what cannot be removed does not keep the store from opening.
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
