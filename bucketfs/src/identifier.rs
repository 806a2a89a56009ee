//! Which store a directory holds: a number that it was given once, when it was made.
//!
//! Whoever serves a store remembers its identifier. A disk that is not mounted, or another one in
//! its place, then shows before anything is served.
//!
//! The file `identifier` in the store directory is text of two lines:
//!
//! ```text
//! bucketfs identifier 1
//! 000102030405060708090a0b0c0d0e0f
//! ```
//!
//! The first number is the version of this file. The second line is 16 random bytes in lower-case
//! hexadecimal. The file is written when everything else of a new store is there, whole and by one
//! rename, and never changed.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use rustix::io::Errno;

use crate::disk::RootError;
use crate::error::OpenError;
use crate::layout::{IDENTIFIER, IDENTIFIER_NEW, JOURNAL, SHARES, VERSION};

/// Names one store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoreId([u8; Self::LEN]);

impl StoreId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Makes one of random bytes.
    #[must_use]
    pub const fn new(random: [u8; Self::LEN]) -> Self {
        Self(random)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for StoreId {
    type Err = StoreIdError;

    fn from_str(text: &str) -> Result<Self, StoreIdError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 2 * Self::LEN || !text.bytes().all(is_digit) {
            return Err(StoreIdError);
        }
        let mut id = [0; Self::LEN];
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).expect("digits are ASCII");
            *byte = u8::from_str_radix(digits, 16).expect("two digits are a byte");
        }
        Ok(Self(id))
    }
}

/// The text is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a store's identifier is 32 digits of lower-case hexadecimal")]
pub struct StoreIdError;

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A store; one made before there were identifiers has none.
    Store(Option<StoreId>),
    /// The directory is missing.
    NoDirectory,
    /// The directory is there and has nothing of a store in it.
    NoStore,
    /// Only part of a store: that name is missing.
    Part {
        /// What is missing.
        missing: &'static str,
    },
}

/// Looks at a directory, and changes nothing.
///
/// # Errors
///
/// [`OpenError`] if it cannot be looked at, or the identifier in it is none.
pub fn look(path: &Path) -> Result<Found, OpenError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(not_a_directory(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::NoDirectory),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_a_directory(path));
        }
        Err(error) => return Err(unreadable(path, error)),
    }
    let is_there = |name: &str| match fs::symlink_metadata(path.join(name)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unreadable(path, error)),
    };
    let (shares, journal) = (is_there(SHARES)?, is_there(JOURNAL)?);
    let missing = match is_there(VERSION)? {
        false if shares => return Err(OpenError::NotAStore { found: SHARES }),
        false if journal => return Err(OpenError::NotAStore { found: JOURNAL }),
        false if !is_there(IDENTIFIER)? => return Ok(Found::NoStore),
        false => VERSION,
        true if !journal => JOURNAL,
        true if !shares => SHARES,
        true => return read(path).map(Found::Store),
    };
    Ok(Found::Part { missing })
}

/// Gives the store in a directory this identifier, unless it has one; returns what it has then.
///
/// The caller has the store open, or knows that nobody does.
///
/// # Errors
///
/// [`OpenError`]; the store is as it was.
pub fn identify(path: &Path, new: StoreId) -> Result<StoreId, OpenError> {
    if let Some(id) = read(path)? {
        return Ok(id);
    }
    let text = format!("{FIRST_LINE}\n{new}\n");
    let source = path.join(IDENTIFIER_NEW);
    let written = (|| {
        // Left by an attempt that was interrupted.
        let _ = fs::remove_file(&source);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&source)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&source, path.join(IDENTIFIER))?;
        File::open(path)?.sync_all()
    })();
    written.map_err(
        |error| match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => RootError::NotWritable {
                path: path.into(),
                errno,
            }
            .into(),
            _ => unreadable(path, error),
        },
    )?;
    Ok(new)
}

/// The identifier in a store directory, if there is one.
fn read(path: &Path) -> Result<Option<StoreId>, OpenError> {
    let malformed = || OpenError::MalformedIdentifier {
        path: path.join(IDENTIFIER),
    };
    let mut file = match File::open(path.join(IDENTIFIER)) {
        Ok(file) => file.take(LEN_MAX),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, error)),
    };
    let mut text = Vec::new();
    file.read_to_end(&mut text)
        .map_err(|error| unreadable(path, error))?;
    let text = std::str::from_utf8(&text).map_err(|_| malformed())?;
    let id = text
        .strip_prefix(FIRST_LINE)
        .and_then(|rest| rest.strip_prefix('\n')?.strip_suffix('\n'))
        .and_then(|id| id.parse().ok());
    id.map(Some).ok_or_else(malformed)
}

fn unreadable(path: &Path, error: io::Error) -> OpenError {
    let path = path.into();
    RootError::Directory { path, error }.into()
}

fn not_a_directory(path: &Path) -> OpenError {
    RootError::NotADirectory { path: path.into() }.into()
}

/// What begins the file.
const FIRST_LINE: &str = "bucketfs identifier 1";

/// Longer is no identifier.
const LEN_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: StoreId = StoreId::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    const TEXT: &str = "bucketfs identifier 1\n000102030405060708090a0b0c0d0e0f\n";

    fn store(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        directory
    }

    #[test]
    fn an_identifier_is_given_once_and_stays() {
        let store = store(&[VERSION, JOURNAL, SHARES]);
        let path = store.path();
        assert_eq!(look(path).unwrap(), Found::Store(None));
        // Of an attempt that was interrupted.
        fs::write(path.join(IDENTIFIER_NEW), b"half").unwrap();
        assert_eq!(identify(path, ID).unwrap(), ID);
        assert_eq!(identify(path, StoreId::new([9; 16])).unwrap(), ID);
        assert_eq!(look(path).unwrap(), Found::Store(Some(ID)));
        assert_eq!(fs::read_to_string(path.join(IDENTIFIER)).unwrap(), TEXT);
        assert!(!path.join(IDENTIFIER_NEW).exists());
    }

    #[test]
    fn what_is_missing_of_a_store_is_told() {
        let empty = store(&["lost+found"]);
        assert_eq!(look(empty.path()).unwrap(), Found::NoStore);
        let missing = empty.path().join("missing");
        assert_eq!(look(&missing).unwrap(), Found::NoDirectory);
        for (names, missing) in [
            (&[VERSION, JOURNAL, IDENTIFIER][..], SHARES),
            (&[VERSION, SHARES], JOURNAL),
            (&[VERSION], JOURNAL),
            (&[IDENTIFIER], VERSION),
        ] {
            let store = store(names);
            let found = look(store.path()).unwrap();
            assert_eq!(found, Found::Part { missing }, "{names:?}");
        }
        let tahoes = store(&[SHARES]);
        let error = look(tahoes.path()).unwrap_err();
        assert!(
            matches!(error, OpenError::NotAStore { found: SHARES }),
            "{error}"
        );
        let file = empty.path().join("lost+found");
        let error = look(&file).unwrap_err();
        assert!(
            matches!(error, OpenError::Root(RootError::NotADirectory { .. })),
            "{error}"
        );
    }

    #[test]
    fn other_texts_are_no_identifiers() {
        let store = store(&[VERSION, JOURNAL, SHARES]);
        for text in [
            "",
            "bucketfs identifier 1\n",
            &TEXT[..TEXT.len() - 1],
            &TEXT.replace("fier 1", "fier 2"),
            &TEXT.to_uppercase(),
            &format!("{TEXT}more"),
        ] {
            fs::write(store.path().join(IDENTIFIER), text).unwrap();
            let error = look(store.path()).unwrap_err();
            let malformed = matches!(error, OpenError::MalformedIdentifier { .. });
            assert!(malformed, "{text:?}: {error}");
        }
    }
}
