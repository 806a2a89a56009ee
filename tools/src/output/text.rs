//! Whether bytes are text that a terminal shows as it is.

/// Watches bytes that come in pieces, which may end in the middle of a character.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The beginning of a character whose end is still to come.
    begun: Vec<u8>,
}

impl Text {
    /// Takes the next bytes; false if they cannot belong to a text.
    ///
    /// What is left of UTF-8 then steers no terminal: no control characters but white space.
    pub(super) fn goes_on_with(&mut self, bytes: &[u8]) -> bool {
        let mut bytes = bytes;
        while !self.begun.is_empty() {
            let Some((next, rest)) = bytes.split_first() else {
                return true;
            };
            self.begun.push(*next);
            bytes = rest;
            match std::str::from_utf8(&self.begun) {
                Ok(character) => {
                    if !is_shown_as_it_is(character) {
                        return false;
                    }
                    self.begun.clear();
                }
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let whole = match std::str::from_utf8(bytes) {
            Ok(whole) => whole,
            Err(error) if error.error_len().is_some() => return false,
            Err(error) => {
                let (whole, begun) = bytes.split_at(error.valid_up_to());
                self.begun.extend_from_slice(begun);
                std::str::from_utf8(whole).expect("the error said how far it is valid")
            }
        };
        is_shown_as_it_is(whole)
    }
}

fn is_shown_as_it_is(text: &str) -> bool {
    let is_space = |character| matches!(character, '\t' | '\n' | '\r' | '\u{c}');
    text.chars()
        .all(|character| !character.is_control() || is_space(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_text(pieces: &[&[u8]]) -> bool {
        let mut text = Text::default();
        pieces.iter().all(|piece| text.goes_on_with(piece))
    }

    #[test]
    fn text_may_be_cut_anywhere() {
        let bytes = "Grüße,\t世界 🎉\r\n".as_bytes();
        for cut in 0..=bytes.len() {
            for next in cut..=bytes.len() {
                assert!(is_text(&[&bytes[..cut], &bytes[cut..next], &bytes[next..]]));
            }
        }
    }

    // The escape sequences of a file are commands to the terminal that shows it.
    #[test]
    fn what_steers_a_terminal_or_is_no_character_is_not_text() {
        let others: [&[u8]; 6] = [
            b"a\0b",
            b"\x1b[2J",
            b"\x7f",
            "\u{9b}2J".as_bytes(),
            b"\xff\xfe",
            b"caf\xe9!",
        ];
        for bytes in others {
            for cut in 0..=bytes.len() {
                assert!(!is_text(&[&bytes[..cut], &bytes[cut..]]), "{bytes:?}");
            }
        }
    }
}
