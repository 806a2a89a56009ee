//! The line of progress: what fits into the width of the terminal, most important first.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanDuration};

/// How far things are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    pub(super) doing: &'static str,
    /// Files done, and files in all.
    pub(super) files: (usize, usize),
    /// Bytes that were read for the keys of files, before any was sent.
    pub(super) looked_at: u64,
    pub(super) done: u64,
    /// Bytes in all, if that is known: of a pipe nobody knows.
    pub(super) total: Option<u64>,
    pub(super) per_second: u64,
}

impl Snapshot {
    /// The line, at most `width` columns wide.
    pub(super) fn line(&self, width: usize) -> String {
        let mut line = self.doing.to_owned();
        let mut add = |text: String| {
            if line.len() + text.len() <= width {
                line.push_str(&text);
                true
            } else {
                false
            }
        };
        if let (done, all @ 2..) = self.files {
            add(format!(", {done} of {all} files"));
        }
        let is_reading = self.done == 0 && self.looked_at > 0;
        let done = if is_reading {
            self.looked_at
        } else {
            self.done
        };
        let verb = if is_reading { ", read " } else { ", " };
        let (done_text, speed) = (BinaryBytes(done), BinaryBytes(self.per_second));
        match self.total {
            Some(total) => add(format!("{verb}{done_text} of {}", BinaryBytes(total))),
            None => add(format!("{verb}{done_text}")),
        };
        if self.per_second > 0 && !is_reading {
            add(format!(", {speed}/s"));
            if let Some(left) = self.left() {
                add(format!(", {} left", HumanDuration(left)));
            }
        }
        if let Some(total) = self.total {
            let room = width.saturating_sub(line.len()).min(BAR_WIDTH_MAX + 3);
            if room >= BAR_WIDTH_MIN + 3 {
                line = format!("{line} {}", bar(done, total, room - 3));
            }
        }
        line.chars().take(width).collect()
    }

    fn left(&self) -> Option<Duration> {
        let left = self.total?.checked_sub(self.done)?;
        Some(Duration::from_secs(left.div_ceil(self.per_second.max(1))))
    }
}

/// A bar of `width` columns between brackets.
fn bar(done: u64, total: u64, width: usize) -> String {
    let columns = u128::try_from(width).unwrap_or_default();
    let full = match total {
        0 => columns,
        total => u128::from(done.min(total)) * columns / u128::from(total),
    };
    let full = usize::try_from(full).unwrap_or(width);
    format!("[{}{}]", "#".repeat(full), "-".repeat(width - full))
}

const BAR_WIDTH_MAX: usize = 30;
const BAR_WIDTH_MIN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Snapshot = Snapshot {
        doing: "uploading",
        files: (0, 1),
        looked_at: 0,
        done: 5 << 20,
        total: Some(10 << 20),
        per_second: 1 << 20,
    };

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        assert_eq!(
            HALF.line(80),
            "uploading, 5.00 MiB of 10.00 MiB, 1.00 MiB/s, 5 seconds left [########---------]"
        );
        let many = Snapshot {
            files: (3, 12),
            ..HALF
        };
        assert!(
            many.line(80)
                .starts_with("uploading, 3 of 12 files, 5.00 MiB of")
        );
    }

    // It said "123 MiB of 0 B, 0s left".
    #[test]
    fn a_stream_has_no_size_and_no_end_in_sight() {
        let stream = Snapshot {
            total: None,
            ..HALF
        };
        assert_eq!(stream.line(80), "uploading, 5.00 MiB, 1.00 MiB/s");
    }

    #[test]
    fn reading_for_the_key_is_progress_too() {
        let reading = Snapshot {
            done: 0,
            looked_at: 5 << 20,
            per_second: 0,
            ..HALF
        };
        assert!(
            reading
                .line(80)
                .starts_with("uploading, read 5.00 MiB of 10.00 MiB [")
        );
    }

    // A line that wraps is drawn below itself, again and again.
    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for doing in ["uploading", "downloading"] {
            for exponent in 0..64 {
                for width in 0..200 {
                    let snapshot = Snapshot {
                        doing,
                        files: (999_999, 1_000_000),
                        looked_at: 1,
                        done: (1 << exponent) - 1,
                        total: Some(u64::MAX >> (63 - exponent)),
                        per_second: 1 << (exponent / 2),
                    };
                    let line = snapshot.line(width);
                    assert!(line.chars().count() <= width, "{width}: {line}");
                    let unknown = Snapshot {
                        total: None,
                        ..snapshot
                    };
                    assert!(unknown.line(width).len() <= width);
                }
            }
        }
    }
}
