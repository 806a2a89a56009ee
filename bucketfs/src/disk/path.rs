//! Paths below the store directory.

use std::ffi::{CStr, CString};
use std::fmt;
use std::sync::Arc;

/// A path below the store directory: relative, without `..` and without NUL.
///
/// Made by the crate's layout alone, so it cannot lead outside the store.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorePath(Arc<CStr>);

impl StorePath {
    /// The store directory itself.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from(c"."))
    }

    /// Makes a path of names separated by `/`.
    ///
    /// # Panics
    ///
    /// If a name is empty, `.` or `..`, or holds NUL: paths come from the layout, never from outside.
    #[must_use]
    pub fn new(path: &str) -> Self {
        assert!(
            path.split('/').all(|name| !matches!(name, "" | "." | "..")),
            "a store path is of plain names: {path:?}"
        );
        let path = CString::new(path).expect("a store path holds no NUL");
        Self(Arc::from(path))
    }

    /// Takes a path that somebody outside names; `None` if it is not of plain names, or too long.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let is_plain = |name: &str| !matches!(name, "" | "." | "..");
        let is_path = path.len() <= PATH_LEN_MAX && path.split('/').all(is_plain);
        let path = CString::new(path).ok().filter(|_| is_path)?;
        Some(Self(Arc::from(path)))
    }

    /// The last name of the path.
    pub(crate) fn name(&self) -> &str {
        let path = self.as_str();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }

    /// A path that the layout has spelled out.
    pub(crate) fn spelled(path: &CStr) -> Self {
        Self(Arc::from(path))
    }

    /// Whether this is the store directory itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        &*self.0 == c"."
    }

    /// The path as the kernel takes it.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        &self.0
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("made of text")
    }

    /// The last name of the path, if all the others are those of `directory`.
    pub(crate) fn name_in(&self, directory: &Self) -> Option<&CStr> {
        let path = self.0.to_bytes_with_nul();
        let rest = path.strip_prefix(directory.0.to_bytes())?;
        let name = rest
            .strip_prefix(b"/")
            .filter(|name| !name.contains(&b'/'))?;
        Some(CStr::from_bytes_with_nul(name).expect("the end of a C string is one"))
    }

    /// The directory that holds this path's last name; the root has none.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        match self.as_str().rsplit_once('/') {
            Some((parent, _)) => Some(Self::new(parent)),
            None if self.as_str() == "." => None,
            None => Some(Self::root()),
        }
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Most bytes of a path from outside: what the kernel takes (`PATH_MAX`), with room for more in front.
const PATH_LEN_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_lead_up_to_the_root() {
        let path = StorePath::new("shares/ab/cd");
        let parents: Vec<_> = std::iter::successors(path.parent(), StorePath::parent)
            .map(|path| path.to_string())
            .collect();
        assert_eq!(parents, ["shares/ab", "shares", "."]);
    }

    #[test]
    fn a_name_is_in_no_directory_but_its_own() {
        let path = StorePath::new("shares/ab/cd");
        let name = |directory: &str| path.name_in(&StorePath::new(directory));
        assert_eq!(name("shares/ab"), Some(c"cd"));
        for directory in [
            "shares",
            "shares/a",
            "shares/ab/cd",
            "shares/abc",
            "journal",
        ] {
            assert_eq!(name(directory), None, "{directory}");
        }
        assert_eq!(path.name_in(&StorePath::root()), None);
    }

    #[test]
    fn paths_that_lead_outside_cannot_be_made() {
        for path in ["", "/etc", "a//b", "../a", "a/..", "./a", "a/"] {
            assert!(
                std::panic::catch_unwind(|| StorePath::new(path)).is_err(),
                "{path:?}"
            );
            assert_eq!(StorePath::parse(path), None, "{path:?}");
        }
    }
}
