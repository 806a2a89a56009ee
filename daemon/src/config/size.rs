//! Sizes as operators write them: `1G`, `500M`, `2GiB`, as in Tahoe's configuration.

use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    /// Digits, then K, M, G, T, P or E, then `i` for powers of 1024, then `B`; any case, no blanks.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let digits_end = lower.find(|c: char| !c.is_ascii_digit());
        let (digits, unit) = lower.split_at(digits_end.unwrap_or(lower.len()));
        let unit = unit.strip_suffix('b').unwrap_or(unit);
        let (prefix, base) = match unit.strip_suffix('i') {
            Some(prefix) if !prefix.is_empty() => (prefix, 1024_u64),
            Some(_) => return Err(ByteSizeError),
            None => (unit, 1000),
        };
        let power = match prefix {
            "" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            "p" => 5,
            "e" => 6,
            _ => return Err(ByteSizeError),
        };
        let number: u64 = digits.parse().map_err(|_| ByteSizeError)?;
        let size = number.checked_mul(base.pow(power)).ok_or(ByteSizeError)?;
        Ok(Self(size))
    }
}

/// The text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a size is digits and a unit without blanks, such as 500M, 1G or 2GiB, below 2^64 bytes")]
pub struct ByteSizeError;

#[cfg(test)]
mod tests {
    use super::*;

    // The same text means the same in a Tahoe configuration (reference: storage server, section 5).
    #[test]
    fn sizes_read_as_tahoe_reads_them() {
        for (text, size) in [
            ("0", 0),
            ("100", 100),
            ("100b", 100),
            ("1K", 1000),
            ("1kib", 1024),
            ("5GB", 5_000_000_000),
            ("2Gi", 2 << 30),
            ("1E", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(size)), "{text}");
        }
        for text in [
            "", "G", "1.5G", "1 G", "-1", "1i", "1iB", "1X", "1GG", "19E", "1G ",
        ] {
            assert_eq!(text.parse::<ByteSize>(), Err(ByteSizeError), "{text:?}");
        }
    }
}
