//! Ranges of share bytes in headers: `Range`, and `Content-Range` both ways.
//!
//! ```text
//! request   Range: bytes=FIRST-LAST                  read; the unit in any case
//! answer    Content-Range: bytes FIRST-LAST/*        what was read
//! request   Content-Range: bytes FIRST-LAST/TOTAL    write; the unit as it stands here
//!                          bytes FIRST-LAST/*
//! ```
//!
//! Both ends are there and inclusive, decimal digits and nothing else. Of several headers the last
//! counts. Nothing is known yet about the share: a range may lie beyond its end.

use std::fmt;

use super::rejection::Rejection;

/// At least one byte, from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteSpan {
    offset: u64,
    size: u64,
}

impl ByteSpan {
    /// The span from `first` to `last`, both inclusive; `None` if it ends before it begins, or
    /// beyond what 64 bits count.
    #[must_use]
    pub fn new(first: u64, last: u64) -> Option<Self> {
        let size = last.checked_sub(first)?.checked_add(1)?;
        first.checked_add(size)?;
        Some(Self {
            offset: first,
            size,
        })
    }

    /// Its first byte.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.offset
    }

    /// How many bytes it has: at least 1.
    #[must_use]
    pub fn size(self) -> u64 {
        self.size
    }

    /// The first byte beyond it.
    #[must_use]
    pub fn end(self) -> u64 {
        self.offset + self.size
    }

    /// Its part within a share of `share_size` bytes: what a read answers with 206, or with 204 if
    /// there is none.
    #[must_use]
    pub fn clip(self, share_size: u64) -> Option<Self> {
        let size = share_size.checked_sub(self.offset)?.min(self.size);
        (size > 0).then_some(Self {
            offset: self.offset,
            size,
        })
    }

    /// Reads the `Range` of a request; `None` if it has none and wants the whole share.
    ///
    /// What 64 bits cannot count is beyond the end of every share.
    ///
    /// # Errors
    ///
    /// [`Rejection::Range`] for several ranges, one without both ends, or none that can be read.
    pub fn parse_range<'a>(
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<Self>, Rejection> {
        let Some(value) = values.last() else {
            return Ok(None);
        };
        let parse = || {
            let (unit, range) = split_once(value.trim_ascii(), b'=')?;
            let (first, last) = split_once(range, b'-')?;
            let span = Self::new(
                saturating_decimal(first)?.min(LAST_MAX),
                saturating_decimal(last)?.min(LAST_MAX),
            )?;
            unit.eq_ignore_ascii_case(UNIT.as_bytes()).then_some(span)
        };
        parse().map(Some).ok_or(Rejection::Range)
    }

    /// Reads the `Content-Range` of a write. The total is only compared with the range itself.
    ///
    /// # Errors
    ///
    /// [`Rejection::ContentRange`] if there is none, or it is not of this form.
    pub fn parse_content_range<'a>(
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, Rejection> {
        let parse = || {
            let (unit, rest) = split_once(values.last()?.trim_ascii(), b' ')?;
            let (range, total) = split_once(rest, b'/')?;
            let (first, last) = split_once(range, b'-')?;
            let span = Self::new(decimal(first)?, decimal(last)?)?;
            let within_total = match total {
                b"*" => true,
                total => span.offset < saturating_decimal(total)?,
            };
            (unit == UNIT.as_bytes() && within_total).then_some(span)
        };
        parse().ok_or(Rejection::ContentRange)
    }
}

/// Prints a `Content-Range` without a total, as Tahoe's server and client both do.
impl fmt::Display for ByteSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.end() - 1;
        write!(f, "{UNIT} {}-{last}/*", self.offset)
    }
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let index = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..index], &text[index + 1..]))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    saturating_decimal(digits).filter(|value| *value < u64::MAX)
}

/// Reads digits; what does not fit is the largest number.
fn saturating_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(value.saturating_mul(10).saturating_add(digit))
    })
}

const UNIT: &str = "bytes";

/// The last byte that has another behind it.
const LAST_MAX: u64 = u64::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn range(value: &str) -> Result<Option<ByteSpan>, Rejection> {
        ByteSpan::parse_range([value.as_bytes()].into_iter())
    }

    fn content_range(value: &str) -> Result<ByteSpan, Rejection> {
        ByteSpan::parse_content_range([value.as_bytes()].into_iter())
    }

    fn span(first: u64, last: u64) -> ByteSpan {
        ByteSpan::new(first, last).unwrap()
    }

    #[test]
    fn a_span_has_at_least_one_byte_and_an_end() {
        assert_eq!(ByteSpan::new(5, 4), None);
        assert_eq!(ByteSpan::new(0, u64::MAX), None);
        assert_eq!(ByteSpan::new(u64::MAX, u64::MAX), None);
        assert_eq!(span(0, u64::MAX - 1).size(), u64::MAX);
        assert_eq!(span(LAST_MAX, LAST_MAX).end(), u64::MAX);
    }

    // The client relies on clipping, and takes a 206 that it did not ask for as an error.
    #[test]
    fn a_span_is_clipped_to_the_share_or_is_outside() {
        assert_eq!(span(0, 2547).clip(813), Some(span(0, 812)));
        assert_eq!(span(40, 47).clip(48), Some(span(40, 47)));
        assert_eq!(span(47, 100).clip(48), Some(span(47, 47)));
        assert_eq!(span(48, 49).clip(48), None);
        assert_eq!(span(0, 0).clip(0), None);
        assert_eq!(
            span(LAST_MAX, LAST_MAX).clip(u64::MAX),
            Some(span(LAST_MAX, LAST_MAX))
        );
        assert_eq!(span(0, 812).to_string(), "bytes 0-812/*");
    }

    #[test]
    fn a_range_has_both_ends() {
        assert_eq!(ByteSpan::parse_range([].into_iter()), Ok(None));
        for (value, expected) in [
            ("bytes=0-9", span(0, 9)),
            ("Bytes=0-0", span(0, 0)),
            (" BYTES=007-010 ", span(7, 10)),
            ("bytes=5-18446744073709551615", span(5, LAST_MAX)),
            ("bytes=5-99999999999999999999999", span(5, LAST_MAX)),
            (
                "bytes=99999999999999999999-99999999999999999999",
                span(LAST_MAX, LAST_MAX),
            ),
        ] {
            assert_eq!(range(value), Ok(Some(expected)), "{value}");
        }
        for value in [
            "",
            "fish",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=10-",
            "bytes=-5",
            "bytes=5-4",
            "bytes=0-1,4-5",
            "bytes=0-1,",
            "bytes=0-1-2",
            "bytes= 0-5",
            "bytes =0-5",
            "bytes=0 - 5",
            "bytes=+0-5",
            "bytes=0x0-5",
            "bytes=0-\u{665}",
            "items=0-5",
            "bytes=99999999999999999999-5",
        ] {
            assert_eq!(range(value), Err(Rejection::Range), "{value}");
        }
        let values = [&b"fish"[..], b"bytes=1-2"];
        assert_eq!(
            ByteSpan::parse_range(values.into_iter()),
            Ok(Some(span(1, 2)))
        );
    }

    #[test]
    fn a_content_range_lies_within_its_total() {
        for (value, expected) in [
            ("bytes 0-812/*", span(0, 812)),
            ("bytes 16-31/48", span(16, 31)),
            ("bytes 0-7/9999", span(0, 7)),
            // Tahoe compares the beginning only.
            ("bytes 0-7/1", span(0, 7)),
            ("bytes 0-7/99999999999999999999999", span(0, 7)),
        ] {
            assert_eq!(content_range(value), Ok(expected), "{value}");
        }
        for value in [
            "",
            "bytes fish",
            "items 0-7/48",
            "Bytes 0-7/48",
            "bytes 7-0/48",
            "bytes 100-103/48",
            "bytes 48-49/48",
            "bytes */48",
            "bytes 0-7",
            "bytes 0-7/",
            "bytes 0-/8",
            "bytes -7/8",
            "bytes  0-7/8",
            "bytes=0-7/8",
            "bytes 0-7/8/9",
            "bytes 0-18446744073709551615/*",
            "bytes 0-99999999999999999999999/*",
        ] {
            assert_eq!(
                content_range(value),
                Err(Rejection::ContentRange),
                "{value}"
            );
        }
        let none = ByteSpan::parse_content_range([].into_iter());
        assert_eq!(none, Err(Rejection::ContentRange));
    }

    #[test]
    fn what_is_printed_reads_back() {
        for expected in [span(0, 0), span(7, 99), span(0, LAST_MAX - 1)] {
            assert_eq!(content_range(&expected.to_string()), Ok(expected));
        }
    }
}
