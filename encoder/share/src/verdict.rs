//! What a check says of a share: data for whoever reports or repairs.

use std::fmt;

/// What a check says of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that can be proved without a key is proved.
    Whole(Whole),
    /// It is a share of this kind, and something in it is wrong.
    Damaged {
        /// What it is.
        kind: Kind,
        /// What is wrong: the first that was found.
        damage: Damage,
    },
    /// Nothing says that these bytes are a share of a kind that is known here. They may be one of
    /// another program, or one whose marks are damaged.
    Unknown,
}

/// What is proved of a share that is whole, and what it says of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// What it is.
    pub kind: Kind,
    /// How many shares bring the file back.
    pub needed: u16,
    /// How many shares there are.
    pub total: u16,
    /// Size of the file in bytes.
    pub file_size: u64,
    /// The same for all shares of a bucket or slot: of an immutable file the hash that its
    /// capability names (the UEB hash), of a mutable one the fingerprint of its key. A share proves
    /// it only together with a capability, or with the other shares.
    pub identity: [u8; 32],
}

/// The kinds of shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Native format, version 1.
    NativeV1,
    /// Native format, version 2.
    NativeV2,
    /// Tahoe's immutable share, layout 1.
    ChkV1,
    /// Tahoe's immutable share, layout 2, for large files.
    ChkV2,
    /// Tahoe's mutable share of one segment.
    Sdmf,
    /// Tahoe's mutable share of any size.
    Mdmf,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NativeV1,
        Self::NativeV2,
        Self::ChkV1,
        Self::ChkV2,
        Self::Sdmf,
        Self::Mdmf,
    ];

    /// A name for programs, which will not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NativeV1 => "native-1",
            Self::NativeV2 => "native-2",
            Self::ChkV1 => "chk-1",
            Self::ChkV2 => "chk-2",
            Self::Sdmf => "sdmf",
            Self::Mdmf => "mdmf",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which claim does not hold.
    pub what: What,
    /// Where in the share, in bytes from its beginning (not from that of its container). Where the
    /// claim is about more bytes, those of the first one.
    pub offset: u64,
    /// What should be there.
    pub expected: Fact,
    /// What is there.
    pub found: Fact,
}

impl Damage {
    pub(crate) fn new(
        what: What,
        offset: u64,
        expected: impl Into<Fact>,
        found: impl Into<Fact>,
    ) -> Self {
        Self {
            what,
            offset,
            expected: expected.into(),
            found: found.into(),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at byte {}: expected {}, found {}",
            self.what.sentence(),
            self.offset,
            self.expected,
            self.found
        )
    }
}

/// Which claim does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// The share is shorter or longer than it says.
    Size,
    /// A field of the header contradicts the rest of the share.
    Header,
    /// A number of the file (needed, total, a size) is impossible.
    Parameters,
    /// The file has no share with this number.
    NoSuchShare,
    /// It is the share with another number.
    OtherNumber,
    /// The UEB, or the end of a native share, does not say what it must.
    Ueb,
    /// A block is not the one that its hash is of.
    Block,
    /// The block hash tree contradicts itself.
    BlockTree,
    /// The crypttext hash tree contradicts itself or its root.
    CrypttextTree,
    /// The plaintext hash tree contradicts itself or its root.
    PlaintextTree,
    /// The crypttext and plaintext hash trees do not have the root that the share names for both.
    ContentRoot,
    /// The share hash chain has other entries than it must, or contradicts the block hash tree.
    ShareChain,
    /// The block hash tree and the share hash chain do not lead to the root of the file.
    ShareRoot,
    /// There is no public key that can be read.
    PublicKey,
    /// The signature is not that of the share's key over what it signs.
    Signature,
    /// Bytes that nobody uses, and that are always zeros, are not.
    Unused,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Size,
        Self::Header,
        Self::Parameters,
        Self::NoSuchShare,
        Self::OtherNumber,
        Self::Ueb,
        Self::Block,
        Self::BlockTree,
        Self::CrypttextTree,
        Self::PlaintextTree,
        Self::ContentRoot,
        Self::ShareChain,
        Self::ShareRoot,
        Self::PublicKey,
        Self::Signature,
        Self::Unused,
    ];

    /// A name for programs, which will not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What is wrong, for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Size => ("size", "the share has the wrong size"),
            Self::Header => ("header", "a field of the header is wrong"),
            Self::Parameters => ("parameters", "a number of the file is impossible"),
            Self::NoSuchShare => ("no-such-share", "the file has no share with this number"),
            Self::OtherNumber => ("other-number", "it is the share with another number"),
            Self::Ueb => ("ueb", "what the share says of its file is wrong"),
            Self::Block => ("block", "a block, or its hash, is corrupted"),
            Self::BlockTree => ("block-tree", "the block hash tree is corrupted"),
            Self::CrypttextTree => ("crypttext-tree", "the crypttext hash tree is corrupted"),
            Self::PlaintextTree => ("plaintext-tree", "the plaintext hash tree is corrupted"),
            Self::ContentRoot => ("content-root", "the root of the content is corrupted"),
            Self::ShareChain => ("share-chain", "the share hash chain is corrupted"),
            Self::ShareRoot => (
                "share-root",
                "the hashes do not lead to the root of the file",
            ),
            Self::PublicKey => ("public-key", "the public key is corrupted"),
            Self::Signature => ("signature", "the signature is wrong"),
            Self::Unused => ("unused", "unused bytes are not zeros"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One side of a contradiction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A size, an offset, a count.
    Number(u64),
    /// Some bytes, such as a hash; printed in hexadecimal.
    Bytes(Vec<u8>),
    /// Anything else, in words.
    Words(&'static str),
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&[u8]> for Fact {
    /// Keeps as many bytes as a stored node has, at most.
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes[..bytes.len().min(FACT_LEN_MAX)].to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Fact {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&'static str> for Fact {
    fn from(words: &'static str) -> Self {
        Self::Words(words)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Words(words) => f.write_str(words),
        }
    }
}

/// Most bytes that a report quotes.
const FACT_LEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    // Programs tell findings apart by these.
    #[test]
    fn every_name_is_one_and_in_kebab_case() {
        let names: Vec<_> = What::ALL
            .iter()
            .map(|what| what.name())
            .chain(Kind::ALL.iter().map(|kind| kind.name()))
            .collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for name in names {
            let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
            assert!(name.split('-').all(|word| word.chars().all(is_plain)));
        }
    }

    #[test]
    fn the_page_of_the_deep_check_has_every_name() {
        let page = include_str!("../../../docs/deep-check.md");
        let rows: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let is_listed = |name: &str| rows.iter().any(|row| row.contains(&format!("`{name}`")));
        for what in What::ALL {
            assert!(is_listed(what.name()), "{what}");
        }
        for kind in Kind::ALL {
            assert!(is_listed(kind.name()), "{kind}");
        }
    }

    #[test]
    fn a_damage_says_what_where_and_both_sides() {
        let damage = Damage::new(What::Header, 12, 36_u64, &[0xab_u8, 1]);
        assert_eq!(
            damage.to_string(),
            "a field of the header is wrong at byte 12: expected 36, found ab01"
        );
        let damage = Damage::new(What::Unused, 7, "zeros", [1_u8; 100].as_slice());
        assert_eq!(damage.found, Fact::Bytes(vec![1; 64]));
    }
}
