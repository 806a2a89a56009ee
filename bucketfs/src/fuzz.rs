//! Fuzz entry points: each takes any bytes, as a damaged disk may hold them, and must not panic.
//!
//! They also check what must hold of whatever is accepted.

/// Reads bytes as the container of an immutable share.
///
/// # Panics
///
/// If what was read does not print as it was read.
pub fn container(bytes: &[u8]) {
    crate::container::fuzz(bytes);
}

/// Reads bytes as the container of a slot's share.
///
/// # Panics
///
/// If what was read does not print as it was read, or is no container after a change.
pub fn mutable_container(bytes: &[u8]) {
    crate::container::mutable::fuzz(bytes);
}

/// Reads bytes as a journal file, and as records.
///
/// # Panics
///
/// If a record that was read does not print as it was read.
pub fn journal(bytes: &[u8]) {
    crate::journal::format::fuzz(bytes);
}

/// Reads bytes as the ticket of an upload in ranges.
///
/// # Panics
///
/// If what was read does not print as it was read.
pub fn ticket(bytes: &[u8]) {
    crate::ticket::fuzz(bytes);
}
