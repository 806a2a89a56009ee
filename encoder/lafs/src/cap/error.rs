//! Why a text is not a capability.

use crate::ParametersError;

/// The text is not a capability, or not one of the kind asked for.
///
/// No variant repeats what it refuses: a mistyped cap is still nearly a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapError {
    /// The text does not begin like the cap it should be.
    #[error("not a capability that can be used here (they begin with URI:TLN1: or URI:LIT:)")]
    Kind,
    /// There are too few fields between the colons, or too many.
    #[error("the capability has not seven fields; was it cut or joined when it was copied?")]
    FieldCount,
    /// The read key is not one.
    #[error("the capability's key is not 52 characters of a-z and 2-7; was it mistyped?")]
    ReadKey,
    /// The storage index is not one.
    #[error("the capability's storage index is not 26 characters of a-z and 2-7; was it mistyped?")]
    StorageIndex,
    /// The hash is not one.
    #[error("the capability's hash is not 52 characters of a-z and 2-7; was it mistyped?")]
    UebHash,
    /// A number is not a decimal, is too large for its field, or has a sign or leading zeros.
    #[error("one of the capability's last four fields is not a plain decimal number in range")]
    Number,
    /// The numbers do not go together.
    #[error("the capability's numbers do not go together: {0}")]
    Parameters(#[from] ParametersError),
    /// The file would be larger than the format allows.
    #[error("the capability's file size is beyond 2^60 bytes")]
    Size,
    /// The file in a literal cap is not base32.
    #[error("the literal capability is not base32; was it cut or mistyped?")]
    Literal,
}
