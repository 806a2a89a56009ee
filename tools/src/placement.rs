//! Where the shares of a file go: the permuted ring, servers of happiness, the goal of an upload,
//! and the plan of one.
//!
//! Nothing here does I/O: the plan is told what servers answered and says what to ask of whom next.

mod goal;
mod happiness;
mod plan;
mod ring;

pub use goal::Goal;
pub use happiness::{Holdings, ServerIndex};
pub use plan::{Assignment, PlacementPlan};
pub use ring::{Seed, permuted};
