//! Text that came from outside, made fit for one line of a terminal or a log.

use std::fmt;

/// Text without control characters and of at most 200 characters.
///
/// What does not print stands as an escape (`\n`, `\u{1b}`), and a long text is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printable(String);

impl Printable {
    /// Makes text printable.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut printed = String::new();
        let mut len = 0;
        // One escape more than fits tells that there is more.
        for character in text.chars().take(LEN_MAX + 1) {
            let before = printed.len();
            match character {
                // These need no escape within our sentences.
                '\'' | '"' => printed.push(character),
                other => printed.extend(other.escape_debug()),
            }
            len += printed[before..].chars().count();
        }
        if len > LEN_MAX {
            let cut = printed.char_indices().nth(LEN_MAX - CUT.len());
            printed.truncate(cut.map_or(0, |(at, _)| at));
            printed.push_str(CUT);
        }
        Self(printed)
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a person reads at a glance.
const LEN_MAX: usize = 200;

/// Stands for what was cut.
const CUT: &str = "...";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prints_stays_as_it_is() {
        for text in ["", "plain", "it's \"quoted\"", "n\u{e4}me"] {
            assert_eq!(Printable::new(text).to_string(), text);
        }
    }

    // An escape sequence in a log can change what the operator sees, and a newline forge a line.
    #[test]
    fn what_does_not_print_stands_as_an_escape() {
        for (text, printed) in [
            ("a\nb", "a\\nb"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\0", "\\0"),
            ("\u{202e}", "\\u{202e}"),
        ] {
            assert_eq!(Printable::new(text).to_string(), printed);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        for text in ["\u{e9}".repeat(200), "\0".repeat(100)] {
            assert!(!Printable::new(&text).to_string().ends_with(CUT));
        }
        for text in ["\u{e9}".repeat(201), "\0".repeat(101), "x".repeat(1 << 20)] {
            let printed = Printable::new(&text).to_string();
            assert_eq!(printed.chars().count(), 200);
            assert!(printed.ends_with(CUT), "{printed}");
        }
    }
}
