//! Share bytes: encryption, erasure codes, hash trees, UEB. No I/O.
//!
//! The native suite, as `docs/native-format.md` has it to the byte. [`Encoder`] makes shares of a
//! file, [`Geometry`] knows where everything is in them.

mod cipher;
mod codec;
mod decoder;
mod encoder;
mod error;
#[doc(hidden)]
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

pub use lafs::{Parameters, ParametersError};

pub use crate::decoder::{Decoder, Holder, Limits, Request, RequestId};
pub use crate::encoder::{Encoded, Encoder, Segment};
pub use crate::error::{BadShare, Damage, Inconsistent};
pub use crate::geometry::Geometry;
pub use crate::key::ConvergentKey;
pub use crate::ueb::{Ueb, UebError};
pub use crate::verify::ShareVerifier;
