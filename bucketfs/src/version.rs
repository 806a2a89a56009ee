//! The version file: what the store directory is, in two lines that a person can read.
//!
//! ```text
//! bucketfs 1
//! layout two-level
//! ```
//!
//! The layout is one of [`Layout::ALL`].
//! It is the first file of a new store, and is there before any other.

use crate::error::OpenError;
use crate::layout::Layout;

/// The format version that this program writes, and the latest that it reads.
pub(crate) const VERSION: u32 = 1;

/// Longest version file: a later version may say more, and is still told apart.
pub(crate) const LEN_MAX: usize = 4096;

/// Prints the version file.
pub(crate) fn print(layout: Layout) -> String {
    format!("bucketfs {VERSION}\nlayout {layout}\n")
}

/// Parses the version file.
pub(crate) fn parse(text: &[u8]) -> Result<Layout, OpenError> {
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
    let name = rest
        .strip_prefix("layout ")
        .and_then(|rest| rest.strip_suffix('\n'));
    Layout::ALL
        .into_iter()
        .find(|layout| found == VERSION && name == Some(layout.name()))
        .ok_or(OpenError::MalformedVersion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses() {
        for layout in Layout::ALL {
            assert_eq!(parse(print(layout).as_bytes()).unwrap(), layout);
        }
        assert_eq!(print(Layout::OneLevel), "bucketfs 1\nlayout one-level\n");
    }

    // A later program may keep shares elsewhere; writing beside them would split the store in two.
    #[test]
    fn a_store_of_a_later_version_is_refused_by_name() {
        let error = parse(b"bucketfs 2\nwhatever it says").unwrap_err();
        let expected =
            "the store has format version 2, this program knows up to 1; use a newer one";
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
