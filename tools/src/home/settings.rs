//! `config.toml`: what a user may choose, with comments that say what it means.
//!
//! Numbers that are not set follow the grid: they are computed from the number of servers whenever
//! they are used. What a user has set is used as it is.

use serde::Deserialize;
use toml::{Spanned, Value};

use crate::wording::excerpt;

/// The settings of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How files are spread, as far as the user has said.
    pub encoding: Choice,
}

/// What a user has said about how files are spread; the rest follows the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Shares that bring a file back.
    pub needed: Option<u16>,
    /// Servers that must hold a share of their own for an upload to succeed.
    pub happy: Option<u16>,
    /// Shares made.
    pub total: Option<u16>,
}

/// How many shares a file becomes, and how many of what are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Shares that bring a file back.
    pub needed: u16,
    /// Servers that must hold a share of their own for an upload to succeed.
    pub happy: u16,
    /// Shares made.
    pub total: u16,
}

/// What is wrong with a setting.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not TOML, or a key that does not exist.
    #[error("line {line}: {reason}")]
    Toml {
        /// The line, from 1.
        line: usize,
        /// One printable line.
        reason: String,
    },
    /// A number that is none, or not in range.
    #[error(
        "line {line}: `{key}` is {found}; a number from 1 to {COUNT_MAX} would do, such as {example}"
    )]
    Count {
        /// The line, from 1.
        line: usize,
        /// What it is called.
        key: &'static str,
        /// What the file has, printable.
        found: String,
        /// What would do.
        example: u16,
    },
    /// It does not say which version it is of.
    #[error("it does not say `version = {VERSION}`: it is empty, cut off, or another file")]
    NoVersion,
    /// Written by a newer program.
    #[error("it is of version {version}; this program knows version {VERSION}")]
    Version {
        /// What the file says, printable.
        version: String,
    },
    /// Needed, happy and total do not fit each other.
    #[error(
        "needed = {needed}, happy = {happy}, total = {total} do not go together: \
         needed and happy are between 1 and total, total is at most {COUNT_MAX}"
    )]
    Encoding {
        /// Shares that bring the file back.
        needed: u16,
        /// Servers that must hold a share.
        happy: u16,
        /// Shares made.
        total: u16,
    },
}

impl Choice {
    /// What is said here; where nothing is, what `other` says as far as it goes with a total of ours.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let fitting = |count: Option<u16>| match self.total {
            // A smaller total must not need options of its own.
            Some(total) => count.map(|count| count.min(total)),
            None => count,
        };
        Self {
            needed: self.needed.or(fitting(other.needed)),
            happy: self.happy.or(fitting(other.happy)),
            total: self.total.or(other.total),
        }
    }

    /// The numbers for a grid of `servers` servers.
    ///
    /// What was not said follows the grid, and makes room for what was: of a total of 4, no 7 servers
    /// can hold a share.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Encoding`] if what was said does not go together, whatever the rest is.
    pub fn for_grid(self, servers: usize) -> Result<Encoding, SettingsError> {
        let usual = Encoding::for_grid(servers);
        let asked = self.needed.max(self.happy).unwrap_or(usual.total);
        let total = self.total.unwrap_or(usual.total.max(asked));
        // More shares than servers: in the proportion of a grid that has a server for each.
        let ample = Encoding::for_grid(servers.max(total.into()));
        let needed = self.needed.unwrap_or(ample.needed.min(total));
        // As many servers as hold enough shares to bring the file back, if there are so many.
        let enough = needed.min(u16::try_from(servers).unwrap_or(u16::MAX));
        let happy = self.happy.unwrap_or(usual.happy.max(enough).min(total));
        Encoding::new(needed, happy, total)
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_automatic(self) -> bool {
        self == Self::default()
    }
}

impl Encoding {
    /// Tahoe-LAFS's own: 3 of 10, content with 7. What suits ten servers and more.
    pub const TEN: Self = Self {
        needed: 3,
        happy: 7,
        total: 10,
    };

    /// Checks that the three numbers go together.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Encoding`] unless 1 <= needed <= total <= 256 and 1 <= happy <= total.
    pub fn new(needed: u16, happy: u16, total: u16) -> Result<Self, SettingsError> {
        let counts = 1..=total;
        if total <= COUNT_MAX && counts.contains(&needed) && counts.contains(&happy) {
            Ok(Self {
                needed,
                happy,
                total,
            })
        } else {
            Err(SettingsError::Encoding {
                needed,
                happy,
                total,
            })
        }
    }

    /// What suits a grid of `servers` servers: a share for each, in the proportions of 3, 7 and 10.
    ///
    /// From three servers on at least two shares are needed: with one, every share would be as large
    /// as the file.
    #[must_use]
    pub fn for_grid(servers: usize) -> Self {
        let total = match u16::try_from(servers) {
            Ok(servers) if servers < Self::TEN.total => servers.max(1),
            _ => return Self::TEN,
        };
        let part = |of: u16| (total * of).div_ceil(Self::TEN.total);
        let least = if total < 3 { 1 } else { 2 };
        Self {
            needed: part(Self::TEN.needed).max(least),
            happy: part(Self::TEN.happy),
            total,
        }
    }
}

impl Default for Encoding {
    fn default() -> Self {
        Self::TEN
    }
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`SettingsError`]: what is wrong, in which line.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SettingsError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::from_toml(text),
            Err(error) => {
                let (before, _) = bytes.split_at(error.valid_up_to());
                Err(SettingsError::Toml {
                    line: line_count(before),
                    reason: "this is not text".to_owned(),
                })
            }
        }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// As [`Settings::from_bytes`].
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        let wrong = |error| SettingsError::toml(text, &error);
        // The version first: a newer file may have keys that are unknown here.
        let Version { version } = toml::from_str(text).map_err(wrong)?;
        match version {
            None => return Err(SettingsError::NoVersion),
            Some(Value::Integer(VERSION)) => {}
            Some(version) => {
                let version = excerpt(&version.to_string());
                return Err(SettingsError::Version { version });
            }
        }
        let file: File = toml::from_str(text).map_err(wrong)?;
        let usual = Encoding::TEN;
        let encoding = Choice {
            needed: count(text, "needed", file.upload.needed, usual.needed)?,
            happy: count(text, "happy", file.upload.happy, usual.happy)?,
            total: count(text, "total", file.upload.total, usual.total)?,
        };
        // What would fail on every grid is said now, and not by every upload.
        encoding.for_grid(usize::from(COUNT_MAX))?;
        Ok(Self { encoding })
    }

    /// Writes the file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let line = |key: &str, set: Option<u16>, usual: u16| match set {
            Some(count) => format!("{key} = {count}"),
            None => format!("#{key} = {usual}"),
        };
        let usual = Encoding::TEN;
        format!(
            "\
# Settings of tahoectl. Options on the command line win over this file.

# Format of this file; do not change.
version = {VERSION}

[upload]
# A line that begins with # is not set: tahoectl then chooses by the number of servers in the grid,
# and says so at `grid add`. What you set here stays as you set it.

# A file becomes `total` shares, one a server while there are enough servers.
{total}
# Any `needed` of them bring the file back: fewer take less of a loss, more take less space.
{needed}
# An upload fails unless this many servers hold a share of their own, and `needed` shares are stored.
{happy}
",
            total = line("total", self.encoding.total, usual.total),
            needed = line("needed", self.encoding.needed, usual.needed),
            happy = line("happy", self.encoding.happy, usual.happy),
        )
    }
}

impl SettingsError {
    fn toml(text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.as_bytes().get(..start).unwrap_or_default();
        Self::Toml {
            line: line_count(before),
            reason: excerpt(&error.message().replace("unknown field", "unknown key")),
        }
    }
}

/// The line in which something begins that has this text before it, from 1.
fn line_count(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn count(
    text: &str,
    key: &'static str,
    found: Option<Spanned<Value>>,
    example: u16,
) -> Result<Option<u16>, SettingsError> {
    let Some(found) = found else {
        return Ok(None);
    };
    let before = text.as_bytes().get(..found.span().start);
    let number = found
        .get_ref()
        .as_integer()
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| (1..=COUNT_MAX).contains(number));
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(SettingsError::Count {
            line: line_count(before.unwrap_or_default()),
            key,
            found: excerpt(&found.get_ref().to_string()),
            example,
        }),
    }
}

const VERSION: i64 = 1;

/// Shares that the format has numbers for.
const COUNT_MAX: u16 = 256;

#[derive(Deserialize)]
#[serde(expecting = "lines of the form `key = value`")]
struct Version {
    version: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "lines of the form `key = value`")]
struct File {
    #[expect(dead_code, reason = "read before, by Version")]
    version: Value,
    #[serde(default)]
    upload: Upload,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section, [upload]")]
struct Upload {
    needed: Option<Spanned<Value>>,
    happy: Option<Spanned<Value>>,
    total: Option<Spanned<Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(needed: Option<u16>, happy: Option<u16>, total: Option<u16>) -> Choice {
        Choice {
            needed,
            happy,
            total,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for encoding in [
            Choice::default(),
            choice(Some(7), Some(16), Some(31)),
            choice(None, Some(2), None),
        ] {
            let settings = Settings { encoding };
            assert_eq!(Settings::from_toml(&settings.to_toml()).unwrap(), settings);
        }
    }

    #[test]
    fn a_file_with_a_version_alone_leaves_everything_to_the_grid() {
        assert_eq!(
            Settings::from_toml("version = 1").unwrap(),
            Settings::default()
        );
    }

    // Each message whole: it is all that a user sees.
    #[test]
    fn what_cannot_be_meant_is_said_in_words_that_help() {
        let said = |text: &str| Settings::from_toml(text).unwrap_err().to_string();
        let encoding = "needed = 3, happy = 7, total = 2 do not go together: needed and happy are \
                        between 1 and total, total is at most 256";
        for (text, expected) in [
            (
                "version = 1\n[upload]\nneeded = 3\nhappy = 7\ntotal = 2",
                encoding,
            ),
            (
                "version = 1\n[upload]\nhappy = \"many\"",
                "line 3: `happy` is \"many\"; a number from 1 to 256 would do, such as 7",
            ),
            (
                "version = 1\n[upload]\ntotal = 257",
                "line 3: `total` is 257; a number from 1 to 256 would do, such as 10",
            ),
            (
                "version = 1\n\n[upload]\nneeded = 0",
                "line 4: `needed` is 0; a number from 1 to 256 would do, such as 3",
            ),
            (
                "",
                "it does not say `version = 1`: it is empty, cut off, or another file",
            ),
            (
                "version = 2\nfeature = true",
                "it is of version 2; this program knows version 1",
            ),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
        // A misspelled key must not silently leave the default in force.
        let unknown = said("version = 1\n[upload]\nhapy = 5");
        assert!(
            unknown.starts_with("line 3: unknown key `hapy`"),
            "{unknown}"
        );
        let kind = said("version = 1\nupload = 5");
        assert!(kind.contains("a section, [upload]"), "{kind}");
    }

    // Whatever the file holds, the terminal gets a short line that does nothing to it.
    #[test]
    fn a_file_that_is_no_text_is_not_repeated() {
        let files: [&[u8]; 4] = [
            &[0; 4096],
            b"version = 1\n\xff\xfe",
            b"\x1b[2J = 1",
            &[b'x'; 9999],
        ];
        for bytes in files {
            let said = Settings::from_bytes(bytes).unwrap_err().to_string();
            assert!(said.len() < 300, "{said}");
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }

    #[test]
    fn a_small_grid_gets_numbers_it_can_meet() {
        for servers in 0..=12 {
            let Encoding {
                needed,
                happy,
                total,
            } = Encoding::for_grid(servers);
            assert!(usize::from(total) <= servers.max(1));
            assert!(needed <= happy, "an upload that succeeds comes back");
            assert!(Encoding::new(needed, happy, total).is_ok());
        }
        let numbers = |servers| Encoding::for_grid(servers);
        assert_eq!(numbers(1), Encoding::new(1, 1, 1).unwrap());
        assert_eq!(numbers(2), Encoding::new(1, 2, 2).unwrap());
        assert_eq!(numbers(3), Encoding::new(2, 3, 3).unwrap());
        assert_eq!(numbers(4), Encoding::new(2, 3, 4).unwrap());
        assert_eq!(numbers(5), Encoding::new(2, 4, 5).unwrap());
        assert_eq!(numbers(10), Encoding::TEN);
        assert_eq!(numbers(usize::MAX), Encoding::TEN);
    }

    // The user's own numbers are used as they are; only the others move.
    #[test]
    fn what_was_not_said_follows_the_grid_and_makes_room_for_what_was() {
        let numbers = |choice: Choice, servers| choice.for_grid(servers).unwrap();
        let new = |needed, happy, total| Encoding::new(needed, happy, total).unwrap();
        assert_eq!(numbers(Choice::default(), 3), new(2, 3, 3));
        assert_eq!(numbers(Choice::default(), 11), new(3, 7, 10));
        assert_eq!(numbers(choice(None, None, Some(4)), 10), new(3, 4, 4));
        assert_eq!(numbers(choice(Some(5), None, None), 3), new(5, 3, 5));
        assert_eq!(numbers(choice(None, None, Some(10)), 1), new(3, 1, 10));
        assert_eq!(numbers(choice(None, Some(1), None), 1), new(1, 1, 1));
        assert_eq!(
            numbers(choice(Some(3), Some(7), Some(10)), 1),
            new(3, 7, 10)
        );
        assert!(choice(Some(5), None, Some(4)).for_grid(10).is_err());
        let (option, file) = (choice(Some(1), None, None), choice(Some(9), Some(2), None));
        assert_eq!(option.or(file), choice(Some(1), Some(2), None));
        let smaller = choice(None, None, Some(4)).or(choice(Some(3), Some(7), Some(10)));
        assert_eq!(numbers(smaller, 10), new(3, 4, 4));
    }
}
