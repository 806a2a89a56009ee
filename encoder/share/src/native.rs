//! Shares of the native suite, as `docs/native-format.md` has them to the byte.
//!
//! * [`Geometry`] knows where everything is in a share, and what its last bytes say.
//! * [`ShareVerifier`] verifies one share, with a verify cap or, as fsck must, without any.
//!
//! The other modules are for the crate `encoder`, which writes shares and reads parts of them.

pub(crate) mod check;
mod damage;
mod description;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
pub mod geometry;
pub mod hash;
pub mod node;
pub mod share_tree;
pub mod trailer;
pub mod tree;
pub mod ueb;
mod verify;

pub use lafs::cap::native::Version;

pub use self::damage::Damage;
pub use self::geometry::Geometry;
pub use self::ueb::UebError;
pub use self::verify::{Mismatch, ShareVerifier};
