//! Lines out of a stream of bytes, none longer than may be.

use super::LINE_LEN_MAX;

/// Bytes that came, until they are a line.
#[derive(Debug, Default)]
pub struct LineReader {
    buffer: Vec<u8>,
}

impl LineReader {
    /// Takes bytes up to the end of a line; returns the line without its end, if there is one.
    ///
    /// `input` is what came, and afterwards what of it is left. Without a line nothing is left.
    ///
    /// # Errors
    ///
    /// [`LineTooLong`]: the other side breaks the rules, and nothing after it can be read.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, LineTooLong> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(input.len());
        if self.buffer.len() + taken > LINE_LEN_MAX {
            return Err(LineTooLong);
        }
        self.buffer.extend_from_slice(&input[..taken]);
        let rest = end.map_or(input.len(), |end| end + 1);
        *input = &input[rest..];
        Ok(end.map(|_| std::mem::take(&mut self.buffer)))
    }

    /// Whether part of a line came already.
    #[must_use]
    pub fn is_in_line(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// A line has more than [`LINE_LEN_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line has more than {LINE_LEN_MAX} bytes")]
pub struct LineTooLong;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_however_the_bytes_are_cut() {
        let bytes = b"one\n\ntwo\nthree";
        for step in 1..=bytes.len() {
            let mut reader = LineReader::default();
            let mut lines = Vec::new();
            for mut piece in bytes.chunks(step) {
                while !piece.is_empty() {
                    lines.extend(reader.read(&mut piece).expect("short lines"));
                }
            }
            assert_eq!(lines, [&b"one"[..], b"", b"two"], "{step}");
            assert!(reader.is_in_line(), "{step}");
        }
    }

    // Whoever never ends a line must not make the daemon hold it.
    #[test]
    fn a_line_that_is_too_long_is_refused_and_not_held() {
        let mut reader = LineReader::default();
        let line = vec![b'x'; LINE_LEN_MAX];
        assert_eq!(reader.read(&mut &line[..]), Ok(None));
        assert_eq!(reader.read(&mut &b"x"[..]), Err(LineTooLong));
        assert_eq!(reader.read(&mut &b"\n"[..]), Ok(Some(line)));
        let long = [vec![b'x'; LINE_LEN_MAX + 1], vec![b'\n']].concat();
        assert_eq!(LineReader::default().read(&mut &long[..]), Err(LineTooLong));
    }
}
