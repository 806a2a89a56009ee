//! Where the shares of a file go: the permuted ring, servers of happiness, and the plan of one
//! upload.
//!
//! Nothing here does I/O: the plan is told what servers answered and says what to ask of whom next.

mod happiness;
mod plan;
mod ring;

pub use happiness::{Holdings, ServerIndex};
pub use plan::{Assignment, PlacementPlan};
pub use ring::{Seed, permuted};
