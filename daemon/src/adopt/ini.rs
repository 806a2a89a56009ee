//! `tahoe.cfg` as text: sections of keys and values, read as Python's `configparser` reads them.
//!
//! ```text
//! [section]
//! # a comment, or ;
//! key = value        or  key: value
//!     more value     indented deeper than its key
//! ```
//!
//! Keys are compared in lower case; of two that are the same the later counts. A `%` stands twice
//! for itself; alone it would mean a reference to another key, which is refused.

use std::collections::HashMap;

/// The sections of a file.
#[derive(Debug, Default)]
pub(super) struct Ini {
    sections: HashMap<String, HashMap<String, String>>,
}

impl Ini {
    /// Reads the text of a file.
    pub(super) fn parse(text: &str) -> Result<Self, IniError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut ini = Self::default();
        let mut section: Option<&str> = None;
        // The key whose value the next line may continue, with its indentation.
        let mut open: Option<(String, usize)> = None;
        for (index, line) in text.lines().enumerate() {
            let fault = IniError { line: index + 1 };
            let content = line.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let indentation = line.len() - line.trim_start().len();
            match (&open, section) {
                (Some((key, of_key)), Some(name)) if indentation > *of_key => {
                    let value = ini.value_mut(name, key);
                    value.push('\n');
                    value.push_str(content);
                    continue;
                }
                _ => {}
            }
            if let Some(rest) = content.strip_prefix('[') {
                let (name, _) = rest.split_once(']').ok_or(fault)?;
                ini.sections.entry(name.to_owned()).or_default();
                (section, open) = (Some(name), None);
                continue;
            }
            let name = section.ok_or(fault)?;
            let (key, value) = content.split_once(['=', ':']).ok_or(fault)?;
            let key = key.trim_end().to_lowercase();
            if key.is_empty() {
                return Err(fault);
            }
            *ini.value_mut(name, &key) = value.trim_start().to_owned();
            open = Some((key, indentation));
        }
        Ok(ini)
    }

    /// The value of a key, or that of the same key in `[DEFAULT]`.
    pub(super) fn value(&self, section: &str, key: &str) -> Result<Option<String>, Reference> {
        let written = [section, "DEFAULT"]
            .into_iter()
            .find_map(|name| self.sections.get(name)?.get(key));
        let Some(written) = written else {
            return Ok(None);
        };
        let plain = written.replace("%%", "");
        match plain.contains('%') {
            true => Err(Reference),
            false => Ok(Some(written.replace("%%", "%"))),
        }
    }

    fn value_mut(&mut self, section: &str, key: &str) -> &mut String {
        let section = self.sections.entry(section.to_owned()).or_default();
        section.entry(key.to_owned()).or_default()
    }
}

/// A line that is no section, key or comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IniError {
    /// Which, from 1.
    pub(super) line: usize,
}

/// A value with a lone `%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference;

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, section: &str, key: &str) -> Option<String> {
        Ini::parse(text).unwrap().value(section, key).unwrap()
    }

    // Each of them was put before Python's `configparser`.
    #[test]
    fn values_are_those_that_python_reads() {
        for (text, expected) in [
            ("[s]\nk = v", Some("v")),
            ("[s]\nK=v", Some("v")),
            ("[s]\nk: v", Some("v")),
            ("[s]\nk = a = b: c", Some("a = b: c")),
            ("[s]\nk =", Some("")),
            ("[s]\nk = v # no comment", Some("v # no comment")),
            ("[s]\n#k = v", None),
            ("[s]\n  ; k = v", None),
            ("[s]\nk = 1\nk = 2", Some("2")),
            ("[s]\nk = 1\n[t]\n[s]\nj = 2", Some("1")),
            ("[s]\nk = 1\n  2\n# between\n  3\nj = 4", Some("1\n2\n3")),
            ("[s]\n  k = 1\n  j = 2", Some("1")),
            ("[DEFAULT]\nk = d\n[s]", Some("d")),
            ("[s]\nk = 100%%", Some("100%")),
            ("\u{feff}[s]\r\nk = v\r\n", Some("v")),
            ("[t]\nk = v", None),
            ("", None),
        ] {
            assert_eq!(value(text, "s", "k").as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_without_a_meaning_are_named() {
        for (text, line) in [
            ("k = v", 1),
            ("[s]\nk = v\nnothing", 3),
            ("[s", 1),
            ("[s]\n= v", 2),
        ] {
            assert_eq!(Ini::parse(text).unwrap_err(), IniError { line }, "{text:?}");
        }
    }

    #[test]
    fn references_to_other_keys_are_refused() {
        let ini = Ini::parse("[s]\nk = %(home)s/x\nj = 5%").unwrap();
        assert_eq!(ini.value("s", "k"), Err(Reference));
        assert_eq!(ini.value("s", "j"), Err(Reference));
    }
}
