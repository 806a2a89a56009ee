//! Measurements that anyone can rerun.

pub mod fit;
pub mod line;
pub mod plot;
pub mod process;
pub mod results;
