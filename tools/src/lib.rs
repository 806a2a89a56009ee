//! The grid client and its command line.

pub mod placement;
