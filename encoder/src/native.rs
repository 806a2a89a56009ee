//! The native suite, as `docs/native-format.md` has it to the byte.
//!
//! * [`Encoder`] turns a file into shares, one segment after another, each share front to back.
//!   [`ConvergentKey`] derives the key from the file, so that a second upload gets the same one.
//! * [`Decoder`] says what to request from servers, and turns their answers into verified
//!   plaintext.
//! * [`ShareVerifier`] verifies one share without the read key: with a verify cap or, as fsck must,
//!   without any.
//! * [`Geometry`] knows where everything is in a share, and what its last bytes say.
//!
//! What is written is of the current [`Version`]; what was written in earlier ones is read for ever.
//!
//! Memory depends on the segment size and not on the file's. Apart from that, the codec makes
//! tables of 8 MiB after some megabytes of work, which stay for the life of the process.

mod cipher;
mod codec;
mod damage;
mod decoder;
mod description;
mod encoder;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod geometry;
mod hash;
mod key;
mod node;
mod proof;
mod share_tree;
mod trailer;
mod tree;
mod ueb;
mod verify;

pub use self::damage::{Damage, Inconsistent};
pub use self::decoder::{BadShare, Decoder, Holder, ReadAhead, Request, RequestId};
pub use self::encoder::{Encoded, Encoder, Segment};
pub use self::geometry::Geometry;
pub use self::key::ConvergentKey;
pub use self::ueb::UebError;
pub use self::verify::ShareVerifier;
pub use lafs::cap::native::Version;
