//! The capabilities of Tahoe-LAFS, as far as they can be named.
//!
//! ```text
//! URI:CHK: ...     an immutable file          URI:DIR2-CHK: ...    a directory in one
//! URI:SSK: ...     a mutable file             URI:DIR2: ...        a directory in one
//! URI:MDMF: ...    a large mutable file       URI:DIR2-MDMF: ...   a directory in one
//!                                             URI:DIR2-LIT: ...    a directory in a literal
//! ```
//!
//! `-RO` and `-Verifier` follow the name of what only reads, or only verifies. `ro.` or `imm.` may
//! stand before the text (reference: Tahoe file formats, section 3.2). Literal files are common to
//! both, see [`Literal`](super::Literal).

use std::fmt;

/// A kind of capability of Tahoe-LAFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads an immutable file.
    Chk,
    /// Verifies an immutable file.
    ChkVerifier,
    /// Writes a mutable file.
    Ssk,
    /// Reads a mutable file.
    SskReadOnly,
    /// Verifies a mutable file.
    SskVerifier,
    /// Writes a large mutable file.
    Mdmf,
    /// Reads a large mutable file.
    MdmfReadOnly,
    /// Verifies a large mutable file.
    MdmfVerifier,
    /// Writes a directory.
    Dir2,
    /// Reads a directory.
    Dir2ReadOnly,
    /// Verifies a directory.
    Dir2Verifier,
    /// Writes a directory in a large mutable file.
    Dir2Mdmf,
    /// Reads a directory in a large mutable file.
    Dir2MdmfReadOnly,
    /// Verifies a directory in a large mutable file.
    Dir2MdmfVerifier,
    /// Reads an immutable directory.
    Dir2Chk,
    /// Verifies an immutable directory.
    Dir2ChkVerifier,
    /// Is a small immutable directory.
    Dir2Literal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Chk,
        Self::ChkVerifier,
        Self::Ssk,
        Self::SskReadOnly,
        Self::SskVerifier,
        Self::Mdmf,
        Self::MdmfReadOnly,
        Self::MdmfVerifier,
        Self::Dir2,
        Self::Dir2ReadOnly,
        Self::Dir2Verifier,
        Self::Dir2Mdmf,
        Self::Dir2MdmfReadOnly,
        Self::Dir2MdmfVerifier,
        Self::Dir2Chk,
        Self::Dir2ChkVerifier,
        Self::Dir2Literal,
    ];

    /// The kind that a text begins like, whatever follows.
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = ["ro.", "imm."]
            .into_iter()
            .find_map(|claim| text.strip_prefix(claim))
            .unwrap_or(text);
        let (name, _) = text.strip_prefix("URI:")?.split_once(':')?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What stands between the first colons: Tahoe's own name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// The name, and what it is a capability for.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Chk => ("CHK", "immutable file"),
            Self::ChkVerifier => ("CHK-Verifier", "immutable file verify"),
            Self::Ssk => ("SSK", "mutable file write"),
            Self::SskReadOnly => ("SSK-RO", "mutable file read"),
            Self::SskVerifier => ("SSK-Verifier", "mutable file verify"),
            Self::Mdmf => ("MDMF", "mutable file write"),
            Self::MdmfReadOnly => ("MDMF-RO", "mutable file read"),
            Self::MdmfVerifier => ("MDMF-Verifier", "mutable file verify"),
            Self::Dir2 => ("DIR2", "directory write"),
            Self::Dir2ReadOnly => ("DIR2-RO", "directory read"),
            Self::Dir2Verifier => ("DIR2-Verifier", "directory verify"),
            Self::Dir2Mdmf => ("DIR2-MDMF", "directory write"),
            Self::Dir2MdmfReadOnly => ("DIR2-MDMF-RO", "directory read"),
            Self::Dir2MdmfVerifier => ("DIR2-MDMF-Verifier", "directory verify"),
            Self::Dir2Chk => ("DIR2-CHK", "immutable directory"),
            Self::Dir2ChkVerifier => ("DIR2-CHK-Verifier", "immutable directory verify"),
            Self::Dir2Literal => ("DIR2-LIT", "literal directory"),
        }
    }
}

impl fmt::Display for Kind {
    /// For people: `immutable file capability (CHK)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, purpose) = self.words();
        write!(f, "{purpose} capability ({name})")
    }
}
