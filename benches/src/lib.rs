//! Measurements that anyone can rerun.

pub mod disk_limits;
pub mod fit;
pub mod gbs;
pub mod hosts;
pub mod http;
pub mod image;
pub mod large_load;
pub mod large_writes;
pub mod line;
pub mod ours;
pub mod parts;
pub mod peers;
pub mod plot;
pub mod process;
pub mod results;
pub mod session;
pub mod store_load;
