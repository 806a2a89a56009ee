//! The programs that this project is measured beside, unmodified, in private instances that vanish.

pub mod ssh;
pub mod tahoe;
