//! The native suite, as `docs/native-format.md` has it to the byte.
//!
//! * [`Encoder`] makes shares of a file, a segment at a time and front to back; [`ConvergentKey`] the
//!   key that a second upload of the same file will have again.
//! * [`Decoder`] says what to ask of servers, and makes verified plaintext of what they answer.
//! * [`ShareVerifier`] verifies one share without its key, with a verify cap or, as fsck, with none.
//! * [`Geometry`] knows where everything is in a share, [`Ueb`] what its last bytes say.
//!
//! Memory is bounded by the segment size, whatever the file's; but the codec's tables, 8 MiB made
//! after some megabytes of work, stay for the life of the process.

mod cipher;
mod codec;
mod damage;
mod decoder;
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
pub use self::ueb::{Ueb, UebError};
pub use self::verify::ShareVerifier;
