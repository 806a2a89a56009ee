//! `config.toml`: what a user may choose, with comments that say what it means.

use serde::Deserialize;

use crate::error::SettingsError;

/// The settings of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How files are spread, unless a command says otherwise.
    pub encoding: Encoding,
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

impl Default for Encoding {
    /// Tahoe-LAFS's own: 3 of 10, content with 7.
    fn default() -> Self {
        Self {
            needed: 3,
            happy: 7,
            total: 10,
        }
    }
}

impl Encoding {
    /// Checks that the three numbers can be meant.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Encoding`] unless 1 <= needed <= total <= 256 and 1 <= happy <= total.
    pub fn new(needed: u16, happy: u16, total: u16) -> Result<Self, SettingsError> {
        let counts = 1..=total;
        if total <= 256 && counts.contains(&needed) && counts.contains(&happy) {
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

    /// What suits a grid of `servers` servers: as 3, 7 and 10 of ten, and never more than there are.
    #[must_use]
    pub fn for_grid(servers: u16) -> Self {
        let default = Self::default();
        if servers >= default.total {
            return default;
        }
        let total = servers.max(1);
        let part = |of: u16| (total * of).div_ceil(default.total);
        Self {
            needed: part(default.needed),
            happy: part(default.happy),
            total,
        }
    }
}

impl Settings {
    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// [`SettingsError`]: what is wrong, with the line where the parser knows it.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        // The version first: a newer file may have keys that are unknown here.
        let Version { version } = toml::from_str(text)?;
        if version != VERSION {
            return Err(SettingsError::Version { version });
        }
        let file: File = toml::from_str(text)?;
        let Upload {
            needed,
            happy,
            total,
        } = file.upload;
        Ok(Self {
            encoding: Encoding::new(needed, happy, total)?,
        })
    }

    /// Writes the file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let Encoding {
            needed,
            happy,
            total,
        } = self.encoding;
        format!(
            "\
# Settings of tahoectl. Options on the command line win over this file.

# Format of this file; do not change.
version = {VERSION}

[upload]
# A file becomes `total` shares, one a server while there are enough servers.
total = {total}
# Any `needed` of them bring the file back: fewer cost less space, more tolerate less loss.
needed = {needed}
# An upload fails unless this many servers hold a share of their own.
happy = {happy}
"
        )
    }
}

const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "read before, by Version")]
    version: u32,
    #[serde(default)]
    upload: Upload,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Upload {
    needed: u16,
    happy: u16,
    total: u16,
}

impl Default for Upload {
    fn default() -> Self {
        let Encoding {
            needed,
            happy,
            total,
        } = Encoding::default();
        Self {
            needed,
            happy,
            total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let settings = Settings {
            encoding: Encoding::new(7, 16, 31).unwrap(),
        };
        assert_eq!(Settings::from_toml(&settings.to_toml()).unwrap(), settings);
    }

    #[test]
    fn a_file_with_a_version_alone_means_the_defaults() {
        assert_eq!(
            Settings::from_toml("version = 1").unwrap(),
            Settings::default()
        );
    }

    #[test]
    fn numbers_that_cannot_be_meant_are_refused() {
        for (needed, happy, total) in [(0, 1, 1), (2, 1, 1), (1, 2, 1), (1, 0, 1), (1, 1, 257)] {
            let text = format!(
                "version = 1\n[upload]\nneeded = {needed}\nhappy = {happy}\ntotal = {total}"
            );
            let error = Settings::from_toml(&text).unwrap_err();
            assert!(
                matches!(error, SettingsError::Encoding { .. }),
                "{text}: {error}"
            );
        }
        assert!(Encoding::new(256, 1, 256).is_ok());
    }

    // A misspelled key must not silently leave the default in force.
    #[test]
    fn unknown_keys_and_other_versions_are_refused() {
        let unknown = "version = 1\n[upload]\nhapy = 5";
        assert!(matches!(
            Settings::from_toml(unknown),
            Err(SettingsError::Toml(_))
        ));
        let newer = "version = 2\nfeature = true";
        assert!(matches!(
            Settings::from_toml(newer),
            Err(SettingsError::Version { version: 2 })
        ));
    }

    #[test]
    fn a_small_grid_gets_numbers_it_can_meet() {
        for servers in 1..=12 {
            let Encoding {
                needed,
                happy,
                total,
            } = Encoding::for_grid(servers);
            assert!(total <= servers);
            assert!(Encoding::new(needed, happy, total).is_ok());
        }
        assert_eq!(Encoding::for_grid(4), Encoding::new(2, 3, 4).unwrap());
        assert_eq!(Encoding::for_grid(10), Encoding::default());
    }
}
