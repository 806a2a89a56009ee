//! A command line in a message, which an operator can paste into a shell.

use std::fmt;
use std::path::Path;

/// `tahoed VERB WORD...`, quoted where a shell would need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine(String);

impl CommandLine {
    /// `program` with these words.
    pub(crate) fn new(program: &str, words: &[&Path]) -> Self {
        let mut line = program.to_owned();
        for word in words {
            let word = word.to_string_lossy();
            line.push(' ');
            match word.bytes().all(is_plain) && !word.is_empty() {
                true => line.push_str(&word),
                false => line.extend(["'", &word.replace('\'', "'\\''"), "'"]),
            }
        }
        Self(line)
    }

    /// This one, and if it succeeds the other.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self(self.0 + " && " + &other.0)
    }

    /// `tahoed init DIRECTORY --store STORE`.
    pub(crate) fn init_store(directory: &Path, store: &Path) -> Self {
        let (verb, option) = (Path::new("init"), Path::new("--store"));
        Self::new("tahoed", &[verb, directory, option, store])
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/.-_=:,+@%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        let store = Path::new("/mnt/it's a disk");
        let command = CommandLine::init_store(Path::new("/srv/tahoed"), store);
        let expected = r"tahoed init /srv/tahoed --store '/mnt/it'\''s a disk'";
        assert_eq!(command.to_string(), expected);
    }
}
