//! The native suite, as `docs/native-format.md` has it to the byte.
//!
//! * [`Encoder`] turns a file into shares, one segment after another, each share front to back.
//!   [`ConvergentKey`] derives the key from the file, so that a second upload gets the same one.
//! * [`Decoder`] says what to request from servers, and turns their answers into verified
//!   plaintext.
//!
//! What the bytes of a share are and prove is in the crate `share`, which needs no key: its
//! [`Geometry`] knows where everything is, its [`ShareVerifier`] verifies one share.
//!
//! What is written is of the current [`Version`]; what was written in earlier ones is read for ever.
//!
//! Memory depends on the segment size and not on the file's. Apart from that, the codec makes
//! tables of 8 MiB after some megabytes of work, which stay for the life of the process.

mod cipher;
mod codec;
mod decoder;
mod encoder;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod inconsistent;
mod key;
mod proof;

pub use lafs::cap::native::Version;
pub use share::native::{Damage, Geometry, ShareVerifier, UebError};

pub use self::decoder::{BadShare, Decoder, Holder, ReadAhead, Request, RequestId};
pub use self::encoder::{Encoded, Encoder, Segment};
pub use self::inconsistent::Inconsistent;
pub use self::key::ConvergentKey;
