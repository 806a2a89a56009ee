//! How much a store says it holds, against a count of what is there.

use std::collections::BTreeMap;

use bucketfs::{ShareKind, Store, Totals};

use crate::ledger::{Verdict, Violation};

/// How much is there.
pub(crate) fn count(files: &BTreeMap<String, Vec<u8>>) -> Totals {
    let mut there = Totals::default();
    for (path, file) in files {
        let in_tree = path.strip_prefix("shares/");
        if in_tree.is_some_and(|path| !path.starts_with("incoming/")) {
            there.add(ShareKind::of(file), file.len() as u64);
        }
    }
    there
}

/// Compares a store in which everything has its place with the files that are there. Where shares were
/// moved into the quarantine it may say that it is not sure.
pub(crate) fn check(
    store: &mut Store,
    files: &BTreeMap<String, Vec<u8>>,
    may_be_unsure: bool,
) -> Verdict {
    let there = count(files);
    let said = store.status().held;
    if may_be_unsure && said.is_none() {
        return Ok(());
    }
    if said != Some(there) {
        return Err(Violation(format!("it holds {there:?}, and says {said:?}")));
    }
    Ok(())
}
