//! The version file: what the store directory is, in two or three lines that a person can read.
//!
//! ```text
//! bucketfs 1
//! layout two-level
//!
//! bucketfs 2
//! layout two-level
//! from one-level
//! ```
//!
//! The layouts are of [`Layout::ALL`]. Version 2 is that of a store whose buckets are being moved
//! from one layout to another: a program that knows no such thing must not open it, or it would miss
//! every bucket that has been moved, or has not been yet. When the last one is moved it is of version
//! 1 again.
//!
//! It is the first file of a new store, and is there before any other.

use crate::error::OpenError;
use crate::layout::{Layout, Layouts};

/// The latest format version that this program reads.
pub(crate) const VERSION: u32 = 2;

/// That of a store that is not being moved.
const SETTLED: u32 = 1;

/// That of one that is.
const MIGRATING: u32 = 2;

/// Longest version file: a later version may say more, and is still told apart.
pub(crate) const LEN_MAX: usize = 4096;

/// Prints the version file.
pub(crate) fn print(layouts: Layouts) -> String {
    let Layouts { layout, from } = layouts;
    match from {
        None => format!("bucketfs {SETTLED}\nlayout {layout}\n"),
        Some(from) => format!("bucketfs {MIGRATING}\nlayout {layout}\nfrom {from}\n"),
    }
}

/// Parses the version file.
pub(crate) fn parse(text: &[u8]) -> Result<Layouts, OpenError> {
    let text = std::str::from_utf8(text).map_err(|_| OpenError::MalformedVersion)?;
    let (first, rest) = text.split_once('\n').ok_or(OpenError::MalformedVersion)?;
    let found: u32 = first
        .strip_prefix("bucketfs ")
        .and_then(|version| version.parse().ok())
        .ok_or(OpenError::MalformedVersion)?;
    if found > VERSION {
        let known = VERSION;
        return Err(OpenError::NewerVersion { found, known });
    }
    let lines: Option<Vec<_>> = rest
        .strip_suffix('\n')
        .map(|rest| rest.split('\n').collect());
    let layouts = match (found, lines.as_deref()) {
        (SETTLED, Some([layout])) => named("layout ", layout).map(Layouts::settled),
        (MIGRATING, Some([layout, from])) => {
            let layouts = named("layout ", layout).zip(named("from ", from));
            let layouts = layouts.filter(|(layout, from)| layout != from);
            layouts.map(|(layout, from)| Layouts {
                layout,
                from: Some(from),
            })
        }
        _ => None,
    };
    layouts.ok_or(OpenError::MalformedVersion)
}

/// The layout in a line that begins so.
fn named(key: &str, line: &str) -> Option<Layout> {
    let name = line.strip_prefix(key)?;
    Layout::ALL.into_iter().find(|layout| layout.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses() {
        for layout in Layout::ALL {
            for from in Layout::ALL.map(Some).into_iter().chain([None]) {
                let layouts = Layouts { layout, from };
                let parsed = parse(print(layouts).as_bytes());
                match from == Some(layout) {
                    true => assert!(parsed.is_err(), "{layouts:?}"),
                    false => assert_eq!(parsed.unwrap(), layouts),
                }
            }
        }
        let settled = Layouts::settled(Layout::OneLevel);
        assert_eq!(print(settled), "bucketfs 1\nlayout one-level\n");
        let migrating = Layouts {
            layout: Layout::TwoLevel,
            from: Some(Layout::Flat),
        };
        let text = "bucketfs 2\nlayout two-level\nfrom flat\n";
        assert_eq!(print(migrating), text);
    }

    // A later program may keep shares elsewhere; writing beside them would split the store in two.
    #[test]
    fn a_store_of_a_later_version_is_refused_by_name() {
        let error = parse(b"bucketfs 3\nwhatever it says").unwrap_err();
        let expected =
            "the store has format version 3, this program knows up to 2; use a newer one";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn other_files_are_not_version_files() {
        for text in [
            &b""[..],
            b"bucketfs 1",
            b"bucketfs 0\nlayout two-level\n",
            b"bucketfs 1\nlayout three-level\n",
            b"bucketfs 1\nlayout two-level\nmore",
            b"bucketfs 1\nlayout two-level\nfrom flat\n",
            b"bucketfs 2\nlayout two-level\n",
            b"bucketfs 2\nlayout two-level\nfrom flat",
            b"bucketfs 2\nfrom flat\nlayout two-level\n",
            b"bucketfs 2\nlayout two-level\nfrom flat\nmore\n",
            b"bucketfs one\n",
            b"\xff\n",
        ] {
            assert!(
                matches!(parse(text), Err(OpenError::MalformedVersion)),
                "{text:?}"
            );
        }
    }
}
