//! The words of a storage grid: identifiers, secrets, capabilities, base32.
//!
//! Every other crate speaks in these types. They are values that cannot be wrong: parsing is
//! strict, happens once, at the edge, and gives back exactly what was printed. Nothing here does
//! I/O.

pub mod base32;
pub mod cap;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod num;
pub mod nurl;
mod parameters;
mod secret;
mod share;

pub use parameters::{Parameters, ParametersError};
pub use secret::{
    CancelSecret, ConnectionSecret, ConvergenceSecret, LeaseSecrets, RenewSecret, Swissnum,
    SwissnumError, UploadSecret, WriteEnabler,
};
pub use share::{ShareNumber, ShareNumberError, StorageIndex, StorageIndexError};
