//! Spans of time and dates as operators write them: `30 days`, `12 hours`, `2mo`, `2026-01-31`, as in
//! Tahoe's configuration.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A span of time: a whole number of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    seconds: u64,
}

impl Span {
    /// So many days.
    #[must_use]
    pub const fn days(days: u32) -> Self {
        // A `u32` of them is far below the bound of a `u64` of seconds.
        Self {
            seconds: days as u64 * DAY,
        }
    }

    /// So many seconds; more than a thousand years are a thousand years.
    #[must_use]
    pub fn seconds(seconds: u64) -> Self {
        Self {
            seconds: seconds.min(SECONDS_MAX),
        }
    }

    /// In seconds.
    #[must_use]
    pub fn as_secs(self) -> u64 {
        self.seconds
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    /// Digits, a blank or none, then a unit in lower case. Tahoe has days, months of 31 days and
    /// years of 365; the shorter ones are ours.
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).ok_or(SpanError)?;
        let (digits, unit) = text.split_at(digits_end);
        let unit = unit.strip_prefix(' ').unwrap_or(unit);
        let unit = match unit {
            "s" => "second",
            "mo" => "month",
            unit => unit.strip_suffix('s').unwrap_or(unit),
        };
        let (_, of_unit) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(SpanError)?;
        let number: u64 = digits.parse().map_err(|_| SpanError)?;
        let seconds = number.checked_mul(*of_unit).ok_or(SpanError)?;
        match seconds <= SECONDS_MAX {
            true => Ok(Self { seconds }),
            false => Err(SpanError),
        }
    }
}

impl fmt::Display for Span {
    /// In the largest unit of which it is a whole number, but not in months, which are not all alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(name, of_unit): &&(&str, u64)| {
            *name != "month" && *name != "year" && self.seconds % of_unit == 0
        };
        let (name, of_unit) = UNITS.iter().find(fits).unwrap_or(&("second", 1));
        let number = self.seconds / of_unit;
        let plural = if number == 1 { "" } else { "s" };
        write!(f, "{number} {name}{plural}")
    }
}

/// The text is no span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a span of time is digits and a unit, such as \"12 hours\", \"30 days\" or \"2 months\"")]
pub struct SpanError;

/// A day, as `2026-01-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Since 1970-01-01.
    days: u64,
}

impl Date {
    /// The day that a time lies in, in UTC and in seconds since 1970; none is after the year 9999.
    #[must_use]
    pub fn of(unix: u64) -> Self {
        Self {
            days: (unix / DAY).min(DAYS_MAX),
        }
    }

    /// When it begins in UTC, in seconds since 1970.
    #[must_use]
    pub fn begin(self) -> u64 {
        self.days * DAY
    }
}

impl FromStr for Date {
    type Err = DateError;

    /// Four digits, two, two. Years before 1970 have no share.
    fn from_str(text: &str) -> Result<Self, DateError> {
        let mut parts = text.split('-');
        let mut part = |len: usize| {
            let digits = parts.next().filter(|part| part.len() == len)?;
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u64>().ok().filter(|_| plain)
        };
        let (year, month, day) = (part(4), part(2), part(2));
        let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else {
            return Err(DateError);
        };
        let months = month_lengths(year);
        let before = usize::try_from(month).ok().and_then(|month| {
            let index = month.checked_sub(1)?;
            let len = months.get(index)?;
            (1..=*len).contains(&day).then(|| &months[..index])
        });
        let before = before.filter(|_| year >= 1970).ok_or(DateError)?;
        let years = (1970..year).map(|year| 365 + u64::from(is_leap(year)));
        let days = years.sum::<u64>() + before.iter().sum::<u64>() + day - 1;
        Ok(Self { days })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut year, mut days) = (1970, self.days);
        loop {
            let len = 365 + u64::from(is_leap(year));
            if days < len {
                break;
            }
            (year, days) = (year + 1, days - len);
        }
        let mut month = 1;
        for len in month_lengths(year) {
            if days < len {
                break;
            }
            (month, days) = (month + 1, days - len);
        }
        write!(f, "{year:04}-{month:02}-{:02}", days + 1)
    }
}

/// The text is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a day is written like 2026-01-31, and none is before 1970")]
pub struct DateError;

fn is_leap(year: u64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_lengths(year: u64) -> [u64; 12] {
    let february = 28 + u64::from(is_leap(year));
    [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// The largest first.
const UNITS: [(&str, u64); 6] = [
    ("year", 365 * DAY),
    ("month", 31 * DAY),
    ("day", DAY),
    ("hour", 60 * 60),
    ("minute", 60),
    ("second", 1),
];

/// The last day of the year 9999.
const DAYS_MAX: u64 = 2_932_896;

/// A thousand years: sums with times of today stay far below any bound.
const SECONDS_MAX: u64 = 1000 * 365 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    // The same text means the same in a Tahoe configuration (reference: storage server, section 5).
    #[test]
    fn spans_read_as_tahoe_reads_them() {
        for (text, seconds) in [
            ("7days", 7 * DAY),
            ("1 day", DAY),
            ("60 days", 60 * DAY),
            ("2mo", 62 * DAY),
            ("3 month", 93 * DAY),
            ("12 months", 372 * DAY),
            ("2years", 730 * DAY),
            ("0 days", 0),
            ("12 hours", 43_200),
            ("90 minutes", 5400),
            ("1s", 1),
            ("5 seconds", 5),
        ] {
            assert_eq!(text.parse(), Ok(Span { seconds }), "{text}");
        }
        for text in [
            "",
            "7",
            "days",
            "7 Days",
            "7  days",
            " 7 days",
            "7 days ",
            "-1 days",
            "1.5 days",
            "2 weeks",
            "7 dayss",
            "1001 years",
            "99999999999999999999 days",
            "1 \u{e9}",
        ] {
            assert_eq!(text.parse::<Span>(), Err(SpanError), "{text:?}");
        }
    }

    #[test]
    fn spans_are_printed_so_that_they_read_back() {
        for (text, printed) in [
            ("30 days", "30 days"),
            ("2 months", "62 days"),
            ("24 hours", "1 day"),
            ("90 minutes", "90 minutes"),
            ("61 seconds", "61 seconds"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string(), printed);
            assert_eq!(printed.parse(), Ok(span));
        }
        assert_eq!(Span::days(30).to_string(), "30 days");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (text, begin) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2026-11-28", 1_795_824_000),
            ("2100-03-01", 4_107_542_400),
            ("9999-12-31", 253_402_214_400),
        ] {
            let date: Date = text.parse().unwrap();
            assert_eq!(date.begin(), begin, "{text}");
            assert_eq!(date.to_string(), text);
            assert_eq!(Date::of(begin + DAY - 1), date);
        }
        assert_eq!(Date::of(u64::MAX).to_string(), "9999-12-31");
        for text in [
            "",
            "2026-1-31",
            "2026-01-32",
            "2026-02-29",
            "2026-00-01",
            "2026-13-01",
            "2026-01-00",
            "1969-12-31",
            "2026-01-31-",
            "26-01-31",
            "+026-01-31",
            "2026/01/31",
            "2026-01",
        ] {
            assert_eq!(text.parse::<Date>(), Err(DateError), "{text:?}");
        }
    }
}
