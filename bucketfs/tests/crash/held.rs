//! How much a store says it holds, against a count of what is there.

use std::collections::BTreeMap;

use bucketfs::{ShareKind, Store, Totals};

use crate::ledger::{Verdict, Violation};

/// Compares a store in which everything has its place with the files that are there.
pub(crate) fn check(store: &mut Store, files: &BTreeMap<String, Vec<u8>>) -> Verdict {
    let mut there = Totals::default();
    for (path, file) in files {
        let in_tree = path.strip_prefix("shares/");
        if in_tree.is_some_and(|path| !path.starts_with("incoming/")) {
            there.add(ShareKind::of(file), file.len() as u64);
        }
    }
    let said = store.status().held;
    if said != Some(there) {
        return Err(Violation(format!("it holds {there:?}, and says {said:?}")));
    }
    Ok(())
}
