//! When a store was last in use, as its own files tell: against it a clock can be judged.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::layout::{INCOMING, JOURNAL_FILES};

/// When something was last written by whoever served the store in this directory, by the clock of
/// then; `None` if there is nothing to tell it by.
#[must_use]
pub fn last_use(store: &Path) -> Option<SystemTime> {
    let names = JOURNAL_FILES.into_iter().chain([INCOMING]);
    let times = names.filter_map(|name| fs::metadata(store.join(name)).ok()?.modified().ok());
    times.max()
}
