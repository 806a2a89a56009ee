//! Measurements that anyone can rerun.

pub mod line;
