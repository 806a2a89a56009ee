//! What a bucket holds, by the names in its directory.

use lafs::ShareNumber;
use rustix::io::Errno;

use crate::disk::{EntryKind, Outcome};
use crate::error::DiskError;

/// The share numbers among a bucket's entries and those pending, in ascending order; other files are
/// left alone.
pub(super) fn share_numbers(
    listed: Result<Outcome, DiskError>,
    pending: Vec<ShareNumber>,
) -> Result<Vec<ShareNumber>, DiskError> {
    let entries = match listed {
        Ok(Outcome::Listed(entries)) => entries,
        Ok(outcome) => panic!("a listing gave {outcome:?}"),
        Err(error) if error.errno == Errno::NOENT => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut numbers: Vec<ShareNumber> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter_map(|entry| share_number(&entry.name))
        .chain(pending)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// The share that a name in a bucket is of, if it is of one.
pub(crate) fn share_number(name: &[u8]) -> Option<ShareNumber> {
    std::str::from_utf8(name).ok()?.parse().ok()
}
