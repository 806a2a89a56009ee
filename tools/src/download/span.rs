//! The part of a file to be downloaded.

use std::ops::Range;
use std::str::FromStr;

use crate::error::Error;

/// A part of a file, before its size is known. Written as in HTTP and curl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// All of it.
    Whole,
    /// From the first of these bytes to the last, counted from 0: `A-B`.
    Between(u64, u64),
    /// From this byte on: `A-`.
    From(u64),
    /// The last so many bytes: `-N`.
    Last(u64),
}

impl Span {
    /// The bytes of a file of this size, as far as it goes.
    ///
    /// # Errors
    ///
    /// [`Error::Span`] if the file ends before the part begins.
    pub fn within(self, size: u64) -> Result<Range<u64>, Error> {
        let range = match self {
            Self::Whole => return Ok(0..size),
            Self::Between(first, last) => first..last.saturating_add(1).min(size),
            Self::From(first) => first..size,
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        if range.start < size {
            Ok(range)
        } else {
            Err(Error::Span {
                start: range.start,
                size,
            })
        }
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let (first, last) = text.split_once('-').ok_or(SpanError)?;
        let number = |digits: &str| -> Result<Option<u64>, SpanError> {
            if digits.is_empty() {
                return Ok(None);
            }
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(SpanError);
            }
            digits.parse().map(Some).map_err(|_| SpanError)
        };
        match (number(first)?, number(last)?) {
            (Some(first), Some(last)) if first <= last => Ok(Self::Between(first, last)),
            (Some(first), None) => Ok(Self::From(first)),
            (None, Some(count)) if count > 0 => Ok(Self::Last(count)),
            _ => Err(SpanError),
        }
    }
}

/// The text is not a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a range is A-B (first and last byte, counted from 0), A- (from A on) or -N (the last N)")]
pub struct SpanError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_curl_reads_them() {
        let span = |text: &str| text.parse::<Span>().unwrap().within(10).unwrap();
        assert_eq!(span("0-0"), 0..1);
        assert_eq!(span("3-5"), 3..6);
        assert_eq!(span("3-99"), 3..10);
        assert_eq!(span("3-"), 3..10);
        assert_eq!(span("-4"), 6..10);
        assert_eq!(span("-99"), 0..10);
        assert_eq!(span("0-18446744073709551615"), 0..10);
        assert_eq!(Span::Whole.within(0).unwrap(), 0..0);
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "-",
            "5",
            "5-4",
            "-0",
            "a-b",
            "+1-2",
            "1--2",
            "99999999999999999999-",
        ] {
            assert_eq!(text.parse::<Span>(), Err(SpanError), "{text:?}");
        }
    }

    #[test]
    fn a_span_beyond_the_end_says_so() {
        for span in [Span::From(10), Span::Between(10, 12)] {
            assert!(matches!(
                span.within(10),
                Err(Error::Span {
                    start: 10,
                    size: 10
                })
            ));
        }
        assert!(Span::Last(1).within(0).is_err());
    }
}
