//! What the bytes of a share are, and everything about them that can be proved without a key.
//!
//! * [`check`] takes the bytes of any share, of this project or of Tahoe-LAFS, and says whether they
//!   are what was stored, as `fsck --deep` and the scrub do. `docs/deep-check.md` says what is proved
//!   for each kind.
//! * [`native`]: the shares of the native suite; the client verifies and writes with the same code.
//!
//! No cipher and no erasure code, so that a server may use it. No I/O: bytes come from a [`Bytes`].
//! Whatever the bytes are, nothing here panics, and memory has a bound that does not depend on them:
//! at most 768 KiB for a check.

mod bytes;
mod check;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod native;
mod tahoe;
mod verdict;

pub use self::bytes::Bytes;
pub use self::check::{Container, check};
pub use self::verdict::{Damage, Fact, Kind, Verdict, What, Whole};
