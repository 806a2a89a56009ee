//! What the last run left in incoming, this program's or Tahoe's.

use lafs::{ShareNumber, StorageIndex};

use super::Opening;
use crate::disk::{EntryKind, StorePath};
use crate::error::OpenError;
use crate::layout::INCOMING;

impl Opening<'_> {
    /// Removes the files of uploads that were not finished.
    pub(super) fn empty_incoming(&mut self) -> Result<(), OpenError> {
        for (name, kind) in self.list(&StorePath::new(INCOMING))? {
            let Ok(name) = String::from_utf8(name) else {
                continue;
            };
            match kind {
                EntryKind::File if u64::from_str_radix(&name, 16).is_ok() => {
                    let path = StorePath::new(&format!("{INCOMING}/{name}"));
                    self.remove_if_there(&path)?;
                }
                EntryKind::Directory => self.remove_tahoes(&name),
                _ => {}
            }
        }
        Ok(())
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
