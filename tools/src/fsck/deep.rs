//! What a share's bytes prove: the walk of the store and the crate that knows shares, joined.

use std::io;

use bucketfs::ShareKind;
use bucketfs::view::{Deep, Fault, ShareBytes, ShareSeen};
use share::{Bytes, Container, Verdict};

/// Proves shares as far as that can be done without a key. Bytes of no known kind are let pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prover;

impl Deep for Prover {
    fn check(&self, share: &ShareSeen, bytes: &ShareBytes<'_>) -> io::Result<Vec<Fault>> {
        let container = match share.kind {
            ShareKind::Immutable => Container::Immutable,
            ShareKind::Mutable => Container::Mutable,
        };
        let key = share.key;
        let source = Source(bytes);
        let verdict = share::check(&source, container, key.storage_index, key.share_number)?;
        Ok(match verdict {
            Verdict::Whole(_) | Verdict::Unknown => Vec::new(),
            Verdict::Damaged { kind, damage } => vec![Fault {
                expected: damage.expected.to_string(),
                found: format!(
                    "{} at byte {} of the share ({kind}: {})",
                    damage.found,
                    damage.offset,
                    damage.what.sentence()
                ),
            }],
        })
    }
}

/// The bytes of a share in the store, as those of the other crate.
struct Source<'a>(&'a ShareBytes<'a>);

impl Bytes for Source<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
}
