//! Small pieces of text that many messages are made of.

use std::path::Path;

/// A number of things, in words: "1 server", "3 servers".
#[must_use]
pub fn counted(count: usize, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        _ => format!("{count} {thing}s"),
    }
}

/// Text as a shell takes it for one word.
#[must_use]
pub fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A path as a shell takes it for one word.
#[must_use]
pub fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// Text that may be a stranger's, such as a file name, made harmless for a terminal.
///
/// Line feeds stay: messages have several lines.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmless(character) || character == '\n' {
            safe.push(character);
        } else {
            safe.extend(character.escape_default());
        }
    }
    safe
}

/// One line of a stranger's text, at most `QUOTE_LEN_MAX` characters of it.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut safe: String = printable(line).chars().take(QUOTE_LEN_MAX).collect();
    if line.chars().nth(QUOTE_LEN_MAX).is_some() {
        safe.push_str("...");
    }
    safe
}

/// Neither a control character nor one that turns the direction of writing around.
fn is_harmless(character: char) -> bool {
    let turns = ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    !character.is_control() && !turns.iter().any(|range| range.contains(&character))
}

/// Enough to recognise a line by.
const QUOTE_LEN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_plural() {
        assert_eq!(counted(0, "server"), "0 servers");
        assert_eq!(counted(1, "server"), "1 server");
        assert_eq!(counted(2, "server"), "2 servers");
    }

    #[test]
    fn what_is_quoted_is_one_word_of_the_shell() {
        assert_eq!(quoted("/srv/a-b_c.d"), "/srv/a-b_c.d");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted(""), "''");
    }

    // A file name can hold what moves the cursor, recolours the screen or retitles the window.
    #[test]
    fn a_stranger_does_not_steer_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[2Jb\nc\u{9b}d"),
            "a\\u{1b}[2Jb\nc\\u{9b}d"
        );
        assert_eq!(printable("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
        assert_eq!(excerpt("first\nsecond"), "first");
        assert_eq!(excerpt(&"x".repeat(300)).len(), QUOTE_LEN_MAX + 3);
    }
}
