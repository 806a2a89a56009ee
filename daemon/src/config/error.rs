//! What is wrong with a configuration: where, which key, and what would do instead.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::printable::Printable;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    line: usize,
    column: usize,
}

impl Place {
    /// The place at a byte of a file's text.
    pub(super) fn of(path: &Path, text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or("");
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column } = self;
        write!(f, "{}: line {line}, column {column}", path.display())
    }
}

/// What a value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A whole number of a range.
    Number(RangeInclusive<u64>),
    /// In words.
    Text(&'static str),
    /// One of a few names.
    OneOf(Vec<&'static str>),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(range) => {
                write!(
                    f,
                    "a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            }
            Self::Text(rule) => f.write_str(rule),
            Self::OneOf(names) => {
                for (index, name) in names.iter().enumerate() {
                    let before = match index {
                        0 => "",
                        last if last + 1 == names.len() => " or ",
                        _ => ", ",
                    };
                    write!(f, "{before}\"{name}\"")?;
                }
                Ok(())
            }
        }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is not TOML.
    #[error("{place}: {what}")]
    Syntax {
        /// Where.
        place: Place,
        /// The parser's words.
        what: Printable,
    },
    /// A key that means nothing.
    #[error("{place}: there is no key `{key}`; {advice}")]
    UnknownKey {
        /// Where.
        place: Place,
        /// Its whole name.
        key: Printable,
        /// Which keys there are.
        advice: KeyAdvice,
    },
    /// A value where keys belong.
    #[error("{place}: `{table}` is the name of a table: write [{table}], and its keys below it")]
    NotATable {
        /// Where.
        place: Place,
        /// Its name.
        table: &'static str,
    },
    /// A key that must be there is not.
    #[error("{}: `{key}` is missing; set it to {rule}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Its whole name.
        key: String,
        /// What it may be.
        rule: &'static str,
    },
    /// A value that will not do.
    #[error("{place}: `{key}` is {found}; it must be {rule}")]
    Value {
        /// Where.
        place: Place,
        /// Which.
        key: String,
        /// As it stands there.
        found: Printable,
        /// What it may be.
        rule: Rule,
    },
}

/// What to write instead of a key that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAdvice {
    /// The key that is spelled most like it, by its whole name.
    Nearest(String),
    /// All keys of the table.
    All(&'static [&'static str]),
}

impl fmt::Display for KeyAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nearest(key) => write!(f, "did you mean `{key}`?"),
            Self::All(keys) => write!(f, "the keys here are {}", keys.join(", ")),
        }
    }
}
