//! Why a text is not a capability.

use super::tahoe;
use crate::ParametersError;

/// The text is not a capability, or not one of the kind asked for.
///
/// Each message stands by itself. No variant repeats what it refuses: a mistyped cap is still
/// nearly a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapError {
    /// The text does not begin like the cap it should be.
    #[error("this is not a capability (they begin with URI:TLN2:, URI:TLN1: or URI:LIT:)")]
    Kind,
    /// It is a capability of Tahoe-LAFS, which is not read yet.
    #[error(
        "this is a Tahoe-LAFS {0}; this version reads native capabilities only (they begin with \
         URI:TLN2:, URI:TLN1: or URI:LIT:)"
    )]
    Tahoe(tahoe::Kind),
    /// It is a native capability of a later version of the format.
    #[error(
        "this begins like a capability of a newer version of the native format (this program reads \
         URI:TLN1: and URI:TLN2:); it is mistyped, or a newer program reads it"
    )]
    Newer,
    /// It begins like a capability of an unknown kind.
    #[error(
        "this begins like a capability, but of a kind that is not known here; it is mistyped, or \
         made by a newer version"
    )]
    UnknownKind,
    /// The check does not match the rest.
    #[error("the capability is mistyped or incomplete: its check does not match")]
    Check,
    /// There are too few fields between the colons, or too many.
    #[error("the capability is incomplete or mistyped: it has too few fields or too many")]
    FieldCount,
    /// The read key is not one.
    #[error("the capability is mistyped: its key is not 52 characters of a-z and 2-7")]
    ReadKey,
    /// The storage index is not one.
    #[error("the capability is mistyped: its storage index is not 26 characters of a-z and 2-7")]
    StorageIndex,
    /// The hash is not one.
    #[error("the capability is mistyped: its hash is not 52 characters of a-z and 2-7")]
    UebHash,
    /// A number is not a decimal, is too large for its field, or has a sign or leading zeros.
    #[error("the capability is mistyped: one of its last four fields is not a decimal in range")]
    Number,
    /// The numbers contradict each other.
    #[error("the capability is mistyped: its numbers contradict each other: {0}")]
    Parameters(#[from] ParametersError),
    /// The file, or a share of it, would be larger than is possible.
    #[error("the capability is mistyped: no file can be as large as it says")]
    Size,
    /// The file in a literal cap is not base32.
    #[error("the literal capability is mistyped or incomplete: it is not base32")]
    Literal,
    /// An address of a web page has no capability in it.
    #[error("this is an address without a capability in it (none of its parts begins with URI:)")]
    Address,
    /// An address goes on behind a capability that is not a directory's.
    #[error(
        "the address names something inside of a file; only a capability of a directory has parts"
    )]
    Path,
}
