//! The programs that this project is compared with, unmodified, in private instances that vanish afterwards.

pub mod ssh;
pub mod tahoe;
