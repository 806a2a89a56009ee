//! The redo journal: small changes to the tree, durable before the tree is.
//!
//! Two files of fixed size are used in turn. Changes are appended to one of them in batches, a
//! batch is durable after one sync, and the tree follows without any. When a file is full the other
//! takes over; once everything that the full one records has been done to the tree and the file
//! system has been synced, the full one is retired by a new header, which makes all its batches
//! void. After a crash the batches that are not void are done again, in order.
//!
//! [`format`] has the bytes, [`account`] how much the store holds, `log` decides what is appended and retired when, `replay` does
//! again what may not have reached the disk.

pub(crate) mod account;
pub(crate) mod books;
mod fields;
pub(crate) mod format;
pub(crate) mod log;
pub(crate) mod replay;
