//! What a share is: of a bucket or of a slot, as the first bytes of its file tell.

use crate::container::mutable;

/// What a share is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareKind {
    /// A share of a bucket: it never changes.
    Immutable,
    /// A share of a slot.
    Mutable,
}

impl ShareKind {
    /// How many of a file's first bytes [`ShareKind::of`] looks at.
    pub const FRONT_LEN: usize = crate::container::HEADER_LEN;

    /// What a file is that begins so. One that is neither counts as a bucket's: whoever looks at it
    /// finds out that it is damaged.
    #[must_use]
    pub fn of(front: &[u8]) -> Self {
        match mutable::is_mutable(front) {
            true => Self::Mutable,
            false => Self::Immutable,
        }
    }

    /// The word that Tahoe has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Immutable => "immutable",
            Self::Mutable => "mutable",
        }
    }
}
