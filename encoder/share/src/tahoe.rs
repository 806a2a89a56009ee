//! Tahoe-LAFS's shares: immutable ones (CHK) and mutable ones (SDMF, MDMF).
//!
//! The bytes are those of Tahoe-LAFS 1.20; what older versions wrote differently is said where it
//! matters.

mod blocks;
mod chain;
pub(crate) mod chk;
mod der;
pub(crate) mod hash;
#[cfg(test)]
mod made;
pub(crate) mod mdmf;
pub(crate) mod sdmf;
mod signed;
mod tree;
